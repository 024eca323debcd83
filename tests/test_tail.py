"""Every row once and in order, whatever Zeek and its archivers do to the files."""

import gzip
import os
import random
import time
import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
import zstandard
from zeek import COLUMNS, conn, header, json_rows, tsv, tsv_rows, write

from entropy_ids.collector.archive import find_logs
from entropy_ids.collector.identity import OpenLog, identity_of
from entropy_ids.collector.segments import LINE_BYTES, Segmenter, segments
from entropy_ids.collector.tail import LOST_S, Cursor, Follower

HOUR_US = 3600 * 10**6
BOTH = pytest.mark.parametrize("form", [tsv, json_rows], ids=["tsv", "json"])


@dataclass
class Desk:
    """A log directory, an archive, and a Follower whose rows are noted down."""

    folder: Path
    got: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)
    later_s: float = 0.0

    def __post_init__(self):
        self.logs, self.archive = self.folder / "current", self.folder / "logs"
        self.logs.mkdir()
        self.live = self.logs / "conn.log"
        self.start()

    def now(self):
        return time.time() + self.later_s

    def start(self, cursor=None, stream="", **how):
        self.follower = Follower(
            stream, self.logs, self.archive, cursor, self.now, **how
        )

    def restart(self):
        """Go on from the cursor, as it comes out of a checkpoint."""
        coded = msgspec.msgpack.encode(self.follower.cursor)
        self.start(msgspec.msgpack.decode(coded, type=Cursor | None))

    def poll(self, most_bytes=8 << 20):
        for part in self.follower.poll(most_bytes):
            self.got += part.flows.frame["uid"].to_list()
            self.bad += [row.reason for row in part.bad]
        self.remarks += [(each.kind, each.detail) for each in self.follower.remarks]
        self.follower.remarks.clear()
        return self.got

    def kinds(self):
        return [kind for kind, _ in self.remarks]

    def add(self, data, path=None):
        with (path or self.live).open("ab") as file:
            file.write(data)

    def rotate(self, hour, path=None):
        """Rename as Zeek does."""
        rotated = self.logs / f"conn.2024-04-21-{hour:02}-00-00.log"
        return (path or self.live).rename(rotated)

    def pack(self, rotated):
        """Archive as zeekctl does."""
        target = self.archived(int(rotated.name[16:18]))
        write(target, rotated.read_bytes())
        rotated.unlink()
        return target

    def archived(self, hour):
        day = self.archive / "2024-04-21"
        day.mkdir(parents=True, exist_ok=True)
        return day / f"conn.{hour:02}:00:00-{hour + 1:02}:00:00.log.gz"


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def rows(start, number=3):
    return [conn(start + n) for n in range(number)]


def recent(start, ago_s=60, number=3):
    """Give rows that were written so long ago."""
    ts = time.time() - ago_s
    return [conn(start + n, ts=ts + n, duration=0.0) for n in range(number)]


def uids(*starts, number=3):
    return [f"C{start + n}" for start in starts for n in range(number)]


def age(path, seconds=300):
    stamp = time.time() - seconds
    os.utime(path, (stamp, stamp))


# identity and segmenter


@BOTH
def test_identity_is_the_same_plain_packed_and_grown(tmp_path, form):
    data = form(rows(1, 100))
    names = ("conn.log", "conn.log.gz", "conn.log.zst")
    found = {OpenLog(write(tmp_path / name, data)).identity for name in names}
    grown = identity_of(form(rows(1, 1)))
    assert found == {grown}
    assert identity_of(form(rows(2))) != grown


def test_identity_waits_for_a_whole_row():
    data = tsv(rows(1, 1))
    known = [cut for cut in range(len(data) + 1) if identity_of(data[:cut])]
    assert known == [len(data)]


def test_a_bare_header_is_no_row():
    names = "\t".join(COLUMNS).encode() + b"\n"
    assert identity_of(names) is None
    one, other = (identity_of(names + tsv_rows([conn(n)])) for n in (1, 2))
    assert one != other


def test_identity_of_an_endless_row_needs_8_kib():
    data = header() + b"x" * 9000
    assert identity_of(data[:8191]) is None
    assert identity_of(data[:8192]) == identity_of(data)


@BOTH
def test_a_segmenter_goes_on_where_another_stopped(tmp_path, form):
    data = form(rows(1)) + b"\n" + form(rows(4))
    path = write(tmp_path / "conn.log", data)
    whole = list(segments(path))
    pieces, line, layout = [], 1, None
    for one in data.splitlines(keepends=True):
        segmenter = Segmenter(path, line, layout)
        pieces += segmenter.feed(one)
        line, layout = segmenter.line, segmenter.layout
    assert b"".join(s.data for s in pieces) == b"".join(s.data for s in whole).replace(
        b"\n\n", b"\n"
    )
    assert line == data.count(b"\n") + 1
    assert pieces[-1].layout == whole[-1].layout


# appending


@BOTH
def test_rows_come_when_their_line_is_complete_and_once(desk, form):
    data = form(rows(1, 4))
    for byte in data:
        desk.add(bytes([byte]))
        desk.poll()
    assert desk.got == uids(1, number=4)
    assert (desk.bad, desk.remarks) == ([], [])


@BOTH
def test_a_half_line_is_completed_once_over_restarts(desk, form):
    data = form(rows(1, 2))
    for cut in range(0, len(data), 7):
        desk.add(data[cut : cut + 7])
        desk.poll()
        desk.restart()
    assert desk.poll() == uids(1, number=2)
    assert (desk.bad, desk.remarks) == ([], [])


def test_a_poll_reads_about_as_much_as_it_may(desk):
    desk.add(tsv(rows(1, 100)))
    desk.poll(2000)
    assert 0 < len(desk.got) < 20
    assert desk.follower.behind
    assert desk.follower.lag_bytes == desk.live.stat().st_size - 2000
    while desk.follower.behind:
        desk.poll(2000)
    assert desk.got == uids(1, number=100)
    assert desk.follower.lag_bytes == 0


def test_an_endless_line_costs_one_row_and_little_memory(desk):
    desk.add(tsv(rows(1)))
    desk.poll()
    tracemalloc.start()
    for _ in range(40):
        desk.add(b"x" * (1 << 20))
        desk.poll()
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    desk.add(b"\n" + tsv_rows(rows(4)))
    assert desk.poll() == uids(1, 4)
    assert desk.bad == ["too-long"]


def test_an_endless_line_is_passed_over_after_a_restart(desk):
    desk.add(tsv(rows(1)) + b"x" * (3 * LINE_BYTES))
    desk.poll()
    desk.restart()
    desk.poll(1000)
    desk.add(b"\n" + tsv_rows(rows(4)))
    desk.restart()
    assert desk.poll() == uids(1, 4)
    assert desk.bad == ["too-long"]


# rotation


@BOTH
def test_rows_written_just_before_the_rename_are_read(desk, form):
    desk.add(form(rows(1)))
    desk.poll()
    desk.add(tsv_rows(rows(4)) if form is tsv else form(rows(4)))
    desk.rotate(6)
    desk.poll()
    desk.add(form(rows(7)))
    assert desk.poll() == uids(1, 4, 7)
    assert desk.remarks == []


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_several_rotations_between_two_polls_lose_nothing(desk, packed, again):
    for hour in range(5):
        desk.add(tsv(rows(10 * hour)))
        if hour == 0:
            desk.poll()
            desk.add(tsv_rows(rows(3)))
        if hour < 4:
            rotated = desk.rotate(hour)
            if packed:
                desk.pack(rotated)
    if again:
        desk.restart()
    assert desk.poll() == uids(0, 3, 10, 20, 30, 40)
    assert desk.remarks == []


def test_a_last_line_without_newline_is_taken_when_the_file_is_left(desk):
    desk.add(tsv(rows(1))[:-1])
    desk.poll()
    assert desk.got == uids(1, number=2)
    desk.rotate(6)
    assert desk.poll() == uids(1)
    desk.restart()
    assert desk.poll() == uids(1)


def test_an_archiver_that_lags_behind_costs_nothing(desk):
    hour_s = 3600
    desk.add(tsv(recent(1, 6 * hour_s)))
    desk.poll()
    age(desk.rotate(1), 6 * hour_s)
    for hour, ago_s in ((2, 5 * hour_s), (3, 4 * hour_s)):
        desk.add(tsv(recent(10 * hour, ago_s)))
        age(desk.rotate(hour), ago_s)
    desk.add(tsv(recent(90)))
    desk.pack(desk.logs / "conn.2024-04-21-02-00-00.log")
    assert desk.poll() == uids(1, 20, 30, 90)


def test_a_file_and_its_packed_copy_are_read_once(desk):
    desk.add(tsv(rows(1)))
    rotated = desk.rotate(6)
    write(desk.archived(6), rotated.read_bytes())
    desk.add(tsv(rows(4)))
    assert desk.poll() == uids(1, 4)
    rotated.unlink()
    desk.rotate(7)
    desk.add(tsv(rows(7)))
    desk.restart()
    assert desk.poll() == uids(1, 4, 7)


def test_a_packed_file_is_resumed_in_its_middle(desk):
    desk.add(tsv(rows(1, 1000)))
    desk.poll(50_000)
    desk.pack(desk.rotate(6))
    while desk.follower.behind:
        desk.restart()
        desk.poll(50_000)
    assert desk.got == uids(1, number=1000)
    assert desk.remarks == []


def test_logs_of_other_loggers_are_left_alone(desk):
    desk.start(stream="logger-1")
    desk.add(tsv(rows(1)))
    desk.poll()
    desk.live.unlink()
    for name, start in (("logger-1", 4), ("logger-2", 7)):
        path = desk.archived(7).with_name(f"conn.07:00:00-08:00:00-{name}.log.gz")
        write(path, tsv(rows(start)))
    assert desk.poll() == uids(1, 4)


def test_a_summary_beside_the_log_is_no_log(desk):
    desk.add(tsv(rows(1)))
    write(desk.logs / "conn-summary.log", tsv(rows(4)))
    write(desk.logs / ".conn.log", tsv(rows(7)))
    assert desk.poll() == uids(1)


def test_order_is_that_of_rows_as_in_replay(desk):
    for hour, start in ((1, 300), (2, 100), (3, 200)):
        desk.add(tsv([conn(start - 90, duration=0.0), *rows(start, 80)]))
        desk.rotate(hour)
    desk.poll()
    order = find_logs([desk.logs])
    assert [row for row in desk.got if row in ("C100", "C200", "C300")] == [
        "C100",
        "C200",
        "C300",
    ]
    assert [log.path.name[16:18] for log in order] == ["02", "03", "01"]


def test_the_cursor_orders_a_generation_as_replay_does(desk):
    for start in range(0, 200, 10):
        desk.add(tsv_rows(rows(start, 10)) if start else tsv(rows(0, 10)))
        desk.poll()
    (log,) = find_logs([desk.logs])
    assert desk.follower.cursor.around_us == log.around_us


# the beginning


def test_reading_begins_at_the_oldest_file_in_the_log_directory(desk):
    write(desk.archived(5), tsv(rows(0)))
    for hour in (6, 7):
        desk.add(tsv(rows(10 * hour)))
        desk.rotate(hour)
    desk.add(tsv(rows(80)))
    assert desk.poll() == uids(60, 70, 80)


def test_reading_may_begin_with_the_file_that_was_written_at_a_time(desk):
    for hour in (4, 5, 6):
        write(desk.archived(hour), tsv(rows(10 * hour)))
    desk.add(tsv(rows(70)))
    desk.start(archive_from_us=int(conn(55)["ts"]) * 10**6)
    assert desk.poll() == uids(50, 60, 70)


def test_there_is_no_cursor_before_there_is_a_row(desk):
    desk.add(header())
    assert desk.poll() == []
    assert desk.follower.cursor is None
    desk.restart()
    desk.add(tsv_rows(rows(1)))
    assert desk.poll() == uids(1)


def test_a_directory_that_does_not_exist_yet_is_waited_for(desk):
    desk.logs.rmdir()
    for _ in range(3):
        desk.poll()
    assert desk.kinds() == ["unreadable"]
    desk.logs.mkdir()
    desk.add(tsv(rows(1)))
    for _ in range(3):
        desk.poll()
    assert desk.got == uids(1)
    assert desk.kinds() == ["unreadable", "unreadable"]


# accidents


@BOTH
@pytest.mark.parametrize("number", [1, 3, 50])
def test_truncation_in_place_is_a_gap_and_the_new_rows_come(desk, form, number):
    desk.add(form(rows(1)))
    desk.poll()
    with desk.live.open("r+b") as file:
        file.truncate(0)
        file.write(form(rows(100, number)))
    assert desk.poll() == uids(1) + uids(100, number=number)
    assert desk.kinds() == ["gap"]
    desk.restart()
    desk.rotate(6)
    desk.poll()
    assert len(desk.got) == 3 + number


def test_a_truncated_file_of_which_a_copy_was_made_is_read_on_there(desk):
    desk.add(tsv(rows(1)))
    desk.poll()
    desk.add(tsv_rows(rows(4)))
    write(desk.logs / "conn.2024-04-21-06-00-00.log", desk.live.read_bytes())
    desk.live.write_bytes(tsv(rows(7)))
    assert desk.poll() == uids(1, 4, 7)
    assert desk.kinds() == ["gap"]


def test_truncation_to_nothing_is_seen_before_the_new_rows(desk):
    desk.add(tsv(rows(1)))
    desk.poll()
    os.truncate(desk.live, 0)
    desk.poll()
    assert desk.kinds() == ["gap"]
    desk.add(tsv(rows(4)))
    assert desk.poll() == uids(1, 4)
    assert desk.kinds() == ["gap"]


@BOTH
@pytest.mark.parametrize("again", [False, True])
def test_a_hole_after_truncation_under_the_writer_is_passed_over(desk, form, again):
    desk.add(form(rows(1)))
    desk.poll()
    size = 20 << 20
    with desk.live.open("r+b") as file:
        file.truncate(0)
        file.seek(size)
        file.write((tsv_rows if form is tsv else form)(rows(4)))
    desk.poll()
    if again:
        desk.restart()
    desk.add((tsv_rows if form is tsv else form)(rows(7)))
    assert desk.poll() == uids(1, 4, 7)
    assert desk.bad == []
    assert set(desk.kinds()) == {"gap"}
    assert desk.follower.cursor.offset == desk.live.stat().st_size


def test_nuls_among_rows_are_passed_over_and_told(desk):
    desk.add(tsv(rows(1)))
    desk.poll()
    desk.add(b"\0" * 3_000_000)
    desk.poll(1 << 20)
    desk.restart()
    desk.poll()
    desk.add(b"\0" + tsv_rows(rows(4))[:-9] + b"\0\0" + tsv_rows(rows(7)))
    desk.poll()
    assert desk.got == uids(1, 4)[:-1] + uids(7)
    assert desk.bad == ["fields"]
    assert set(desk.kinds()) == {"gap"}


def test_a_moved_spool_is_read_to_its_end(desk):
    desk.add(tsv(rows(1)))
    desk.poll()
    desk.add(tsv_rows(rows(4)))
    desk.logs.rename(desk.folder / "crashed")
    desk.logs.mkdir()
    desk.add(tsv(rows(7)))
    assert desk.poll() == uids(1, 4, 7)
    assert desk.remarks == []


def test_the_log_directory_may_be_a_link_that_changes(desk):
    desk.logs.rmdir()
    for name, start in (("one", 1), ("two", 4)):
        write(desk.folder / name / "conn.log", tsv(rows(start)))
    desk.logs.symlink_to("one")
    assert desk.poll() == uids(1)
    desk.logs.unlink()
    desk.logs.symlink_to("two")
    assert desk.poll() == uids(1, 4)


def test_a_removed_file_is_read_to_its_end_while_it_is_open(desk):
    desk.add(tsv(rows(1)))
    desk.poll()
    desk.add(tsv_rows(rows(4)))
    desk.live.unlink()
    assert desk.poll() == uids(1, 4)
    assert desk.remarks == []


def test_a_generation_that_vanished_is_waited_for_and_then_a_gap(desk):
    desk.add(tsv(rows(1)))
    desk.poll()
    desk.live.unlink()
    desk.add(tsv(rows(7)))
    desk.restart()
    desk.poll()
    desk.later_s = LOST_S - 1
    assert desk.poll() == uids(1)
    assert desk.remarks == []
    desk.later_s = LOST_S + 1
    assert desk.poll() == uids(1, 7)
    assert desk.kinds() == ["gap"]


def test_a_generation_that_shows_up_in_time_is_no_gap(desk):
    desk.add(tsv(rows(1)))
    desk.poll()
    desk.add(tsv_rows(rows(4)))
    hidden = desk.live.rename(desk.folder / "elsewhere")
    desk.add(tsv(rows(7)))
    desk.restart()
    assert desk.poll() == uids(1)
    write(desk.archived(6), hidden.read_bytes())
    assert desk.poll() == uids(1, 4, 7)
    assert desk.remarks == []


def test_an_inode_that_is_used_again_is_another_generation(desk):
    desk.add(tsv(rows(1)))
    desk.poll()
    kept = desk.live.stat().st_ino
    cursor = desk.follower.cursor
    desk.follower.close()
    data = desk.live.read_bytes() + tsv_rows(rows(4))
    write(desk.archived(6), data)
    desk.live.write_bytes(tsv(rows(7, 50)))
    assert desk.live.stat().st_ino == kept
    desk.start(cursor)
    assert desk.poll() == uids(1, 4) + uids(7, number=50)
    assert desk.remarks == []


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda p: p.symlink_to(p)])
def test_what_is_no_file_does_not_hang_and_is_told_once(desk, make):
    make(desk.live)
    for _ in range(3):
        desk.poll()
    assert desk.kinds() == ["unreadable"]
    desk.live.rename(desk.folder / "away")
    desk.add(tsv(rows(1)))
    assert desk.poll() == uids(1)
    assert desk.kinds() == ["unreadable", "unreadable"]


def test_a_file_that_may_not_be_opened_is_told_once_and_read_later(desk, monkeypatch):
    desk.add(tsv(rows(1)))

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        for _ in range(3):
            assert desk.poll() == []
    assert desk.remarks == [
        (
            "unreadable",
            f"{desk.live}: expected to read it, found: Permission denied",
        )
    ]
    assert desk.poll() == uids(1)
    assert desk.kinds() == ["unreadable", "unreadable"]


def test_a_disk_that_fails_is_told_once_and_read_later(desk, monkeypatch):
    desk.add(tsv(rows(1)))
    desk.poll()
    desk.add(tsv_rows(rows(4)))

    def fail(*_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(OpenLog, "read", fail)
        for _ in range(3):
            assert desk.poll() == uids(1)
    assert desk.poll() == uids(1, 4)
    assert desk.kinds() == ["unreadable", "unreadable"]


# what files hold


def test_other_columns_after_a_rotation_are_told_and_read(desk):
    desk.add(tsv(rows(1)))
    desk.poll()
    desk.rotate(6)
    desk.add(tsv(rows(4), COLUMNS[::-1]))
    desk.restart()
    assert desk.poll() == uids(1, 4)
    desk.rotate(7)
    desk.add(json_rows(rows(7)))
    assert desk.poll() == uids(1, 4, 7)
    assert desk.kinds() == ["fields-changed", "fields-changed"]


@pytest.mark.parametrize(
    "data", [header(path="dns") + b"x\n", b"Lorem\nipsum\n", b"[\n"]
)
def test_what_is_no_conn_log_is_passed_over_and_told_once(desk, data):
    desk.add(tsv(rows(1)))
    desk.poll()
    desk.rotate(6)
    desk.add(data)
    desk.poll()
    desk.add(data)
    desk.poll()
    desk.restart()
    desk.poll()
    desk.rotate(7)
    desk.add(tsv(rows(7)))
    assert desk.poll() == uids(1, 7)
    assert desk.kinds() == ["fields-changed"]


def test_remarks_carry_the_minute_of_the_last_row(desk):
    desk.add(tsv([conn(1, ts=1_713_682_798.0, duration=5.0)]))
    desk.follower.poll()
    os.truncate(desk.live, 0)
    desk.follower.poll()
    assert [each.minute for each in desk.follower.remarks] == [1_713_682_800]


# packing


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("place", ["archive", "spool"])
def test_a_packed_file_that_grows_is_waited_for(desk, place, again):
    desk.add(tsv(rows(0)))
    desk.poll()
    desk.rotate(6)
    data = gzip.compress(tsv(rows(10, 3000)))
    hidden = desk.archived(7)
    path = (
        hidden if place == "archive" else desk.logs / "conn.2024-04-21-07-00-00.log.gz"
    )
    desk.add(tsv(rows(5000)))
    for cut in (0, 10, len(data) // 2, len(data)):
        path.write_bytes(data[:cut])
        desk.poll()
        if again:
            desk.restart()
    desk.poll()
    assert desk.got == uids(0) + uids(10, number=3000) + uids(5000)
    assert desk.remarks == []


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_packed_file_that_stays_cut_short_is_a_gap(desk, pack, share):
    suffix = ".gz" if pack is gzip.compress else ".zst"
    path = (desk.logs / "conn.2024-04-21-06-00-00.log").with_suffix(".log" + suffix)
    data = pack(tsv(rows(1, 3000)))
    path.write_bytes(data[: int(share * len(data))])
    age(path)
    desk.add(tsv(rows(5000)))
    desk.poll()
    desk.restart()
    desk.poll()
    assert desk.got[-3:] == uids(5000)
    assert desk.got[:-3] == uids(1, number=len(desk.got) - 3)
    assert desk.kinds() == ["gap"]


def test_a_gzip_file_gives_all_rows_before_damage(desk):
    path = desk.logs / "conn.2024-04-21-06-00-00.log.gz"
    data = gzip.compress(tsv(rows(1, 100)))
    path.write_bytes(data[:-9])
    age(path)
    assert desk.poll() == uids(1, number=100)
    assert desk.kinds() == ["gap"]


def test_an_empty_archive_is_a_gap_when_nobody_writes_to_it(desk):
    desk.add(tsv(rows(1)))
    desk.poll()
    desk.rotate(6).unlink()
    path = desk.archived(7)
    path.touch()
    desk.add(tsv(rows(7)))
    assert desk.poll() == uids(1)
    desk.later_s = 121
    assert desk.poll() == uids(1, 7)
    assert desk.kinds() == ["gap"]


def test_a_plain_copy_that_grows_in_the_archive_is_waited_for(desk):
    desk.add(json_rows(rows(1)))
    desk.poll()
    desk.rotate(6).unlink()
    desk.add(json_rows(rows(7)))
    copy = desk.archived(7).with_suffix("")
    data = json_rows(rows(4))
    for cut in (0, 20, len(data) // 2, len(data)):
        copy.write_bytes(data[:cut])
        desk.poll()
    assert desk.got == uids(1, 4)
    desk.later_s = 121
    assert desk.poll() == uids(1, 4, 7)
    assert desk.remarks == []


def test_what_zeek_packs_itself_is_read_when_it_is_complete(desk):
    live = desk.logs / "conn.log.gz"
    data = gzip.compress(tsv(rows(1, 3000)))
    for cut in (0, len(data) // 3, len(data) // 2):
        live.write_bytes(data[:cut])
        desk.poll()
        desk.poll()
    assert desk.got == []
    live.write_bytes(data)
    desk.rotate(6, live).rename(desk.logs / "conn.2024-04-21-06-00-00.log.gz")
    assert desk.poll() == uids(1, number=3000)
    assert desk.kinds() == ["unreadable"]


def test_a_packed_log_that_zeek_left_under_its_name_is_read(desk):
    write(desk.logs / "conn.log.gz", tsv(rows(1)))
    assert desk.poll() == uids(1)


# cost


def test_an_idle_poll_costs_well_under_a_millisecond(desk):
    desk.add(tsv(rows(1, 1000)))
    desk.poll()
    costs = []
    for _ in range(50):
        begun = time.perf_counter()
        desk.follower.poll()
        costs.append(time.perf_counter() - begun)
    assert sorted(costs)[25] < 0.5e-3


def test_an_old_archive_is_never_opened(desk, monkeypatch):
    for hour in range(20):
        age(write(desk.archived(hour), tsv(rows(hour))), 86_400)
    opened = []
    original = OpenLog.__init__
    monkeypatch.setattr(
        OpenLog,
        "__init__",
        lambda self, path: opened.append(path) or original(self, path),
    )
    desk.add(tsv(recent(1000)))
    desk.poll()
    desk.rotate(22)
    desk.add(tsv(recent(2000)))
    assert desk.poll() == uids(1000, 2000)
    assert not [path for path in opened if path.is_relative_to(desk.archive)]


def test_between_two_files_nothing_is_opened_twice(desk, monkeypatch):
    desk.add(tsv(rows(1)))
    desk.poll()
    desk.pack(desk.rotate(6))
    desk.poll()
    monkeypatch.setattr(OpenLog, "__init__", None)
    for _ in range(3):
        assert desk.poll() == uids(1)


def test_no_file_stays_open(desk):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for hour in range(10):
        desk.add(tsv(rows(10 * hour)))
        desk.poll()
        desk.pack(desk.rotate(hour))
        desk.poll()
        desk.restart()
    desk.follower.close()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


# random histories


class History:
    """Random doings of a Zeek and its archiver, with a reader that comes and goes."""

    def __init__(self, folder, seed, *, accidents):
        self.draw = random.Random(seed)
        self.desk = Desk(folder)
        self.form = self.draw.choice([tsv, json_rows])
        self.accidents = accidents
        self.number = self.hour = 0
        self.pending = b""
        self.written, self.packing = {}, []
        self.life = 0
        self.append(whole=True)
        self.desk.poll()

    def append(self, whole=False):
        """Write a piece of what is to be written, cut at any byte."""
        if not self.pending:
            new = rows(self.number, self.draw.choice([1, 2, 10, 90]))
            self.number += len(new)
            is_new = not self.desk.live.exists() or not self.desk.live.stat().st_size
            self.life += is_new
            self.written |= {row["uid"]: self.life for row in new}
            form = tsv_rows if self.form is tsv and not is_new else self.form
            self.pending = form(new)
        most = 10_000 if whole or self.draw.random() < 0.5 else 2000
        cut = len(self.pending) if whole else self.draw.randrange(most)
        self.desk.add(self.pending[:cut])
        self.pending = self.pending[cut:]

    def rotate(self):
        if not self.desk.live.exists() or self.hour == 23:
            return
        self.desk.add(self.pending)
        self.pending = b""
        self.packing.append(self.desk.rotate(self.hour))
        self.hour += 1

    def archive(self):
        """Begin a packed copy, or end it and remove the plain file."""
        if not self.packing:
            return
        rotated = self.packing[0]
        target = self.desk.archived(int(rotated.name[16:18]))
        data = gzip.compress(rotated.read_bytes(), mtime=0)
        if not target.exists():
            target.write_bytes(data[: self.draw.randrange(len(data))])
            return
        target.write_bytes(data)
        self.packing.pop(0).unlink()

    def move_spool(self):
        """Crash: the directory is moved, the live file archived from there."""
        if self.hour == 23 or self.packing or not self.desk.live.exists():
            return
        self.rotate()
        rotated = self.packing.pop()
        write(self.desk.archived(self.hour - 1), rotated.read_bytes())
        self.desk.logs.rename(self.desk.folder / f"crash-{self.hour}")
        self.desk.logs.mkdir()

    def truncate(self):
        if self.accidents and self.desk.live.exists() and self.draw.random() < 0.3:
            self.pending = b""
            os.truncate(self.desk.live, 0)

    def poll(self):
        self.desk.poll(self.draw.choice([300, 5000, 8 << 20]))

    def run(self, steps):
        doings = [self.append] * 4 + [self.poll] * 3
        doings += [self.rotate, self.archive, self.archive]
        doings += [self.desk.restart, self.move_spool, self.truncate]
        for _ in range(steps):
            self.draw.choice(doings)()
        self.desk.add(self.pending)
        while self.packing:
            self.archive()
        for self.desk.later_s in (0, 121, 242, 363):
            while self.desk.poll() and self.desk.follower.behind:
                pass
        return self.desk


@pytest.mark.parametrize("seed", range(40))
def test_a_random_history_loses_and_doubles_nothing(tmp_path, seed):
    history = History(tmp_path, seed, accidents=False)
    desk = history.run(60)
    assert desk.got == list(history.written)
    assert (desk.bad, desk.remarks) == ([], [])


@pytest.mark.parametrize("seed", range(40))
def test_what_a_random_history_with_truncations_loses_is_told(tmp_path, seed):
    history = History(tmp_path, seed, accidents=True)
    desk = history.run(60)
    written = iter(history.written)
    assert all(row in written for row in desk.got), "doubled, or out of order"
    missing = {history.written[row] for row in set(history.written) - set(desk.got)}
    cut_short = missing & {history.written[row] for row in desk.got}
    assert desk.kinds().count("gap") >= len(cut_short)
