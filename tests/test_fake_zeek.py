"""The imitation of Zeek has the shape of what real Zeeks left behind."""

import gzip
import os
import re
from collections import deque
from pathlib import Path

import pytest
from fake_zeek import SECOND_US, FakeZeek
from hypothesis import given, settings
from hypothesis import strategies as st
from reenact import RUNS, reenact, write_times
from zeek import T0, conn, read_conn, tsv_rows

from entropy_ids.collector import find_logs

START_US = T0 * SECOND_US
"""2024-04-21 06:59:58 UTC."""


@pytest.fixture
def zeek(tmp_path: Path) -> FakeZeek:
    return fake(tmp_path)


def fake(folder: Path, **how: object) -> FakeZeek:
    spool, logs = folder / "spool" / "zeek", folder / "logs"
    return FakeZeek(spool, logs, **{"start_us": START_US} | how)


def names(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in files)


def wait(zeek: FakeZeek, seconds: float = 1) -> None:
    zeek.now_us += int(seconds * SECOND_US)


def uids(path: Path) -> list[str]:
    return read_conn(path).flows.frame["uid"].to_list()


def test_no_file_before_the_first_row(zeek: FakeZeek):
    zeek.log(conn(1))
    assert names(zeek.log_dir) == []
    zeek.flush()
    assert uids(zeek.live) == ["C1"]


def test_the_new_file_waits_for_its_first_row(zeek: FakeZeek):
    zeek.log(conn(1))
    zeek.rotate()
    assert names(zeek.log_dir) == ["conn.2024-04-21-06-59-58.log"]
    wait(zeek, 5)
    zeek.log(conn(2))
    zeek.flush()
    assert b"#open\t2024-04-21-07-00-03\n" in zeek.live.read_bytes()


def test_names_carry_the_boundary_and_not_the_first_row(zeek: FakeZeek):
    rows = deque((START_US + s * SECOND_US, tsv_rows([conn(s)])) for s in (1, 5, 3605))
    zeek.play(rows, START_US + 7300 * SECOND_US)
    zeek.archive()
    assert names(zeek.archive_dir) == [
        "2024-04-21/conn.06:59:59-07:00:00.log.gz",
        "2024-04-21/conn.07:00:00-08:00:00.log.gz",
        "2024-04-21/conn.08:00:00-09:00:00.log.gz",
    ]


def test_names_are_in_local_time(tmp_path: Path):
    zeek = fake(tmp_path, zone="Europe/Vienna", logger="logger-1")
    zeek.log(conn(1))
    zeek.rotate()
    zeek.archive()
    (name,) = names(zeek.archive_dir)
    assert name == "2024-04-21/conn.08:59:58-08:59:58-logger-1.log.gz"


def test_zeekctl_shows_a_half_written_archive_beside_the_plain_file(zeek: FakeZeek):
    zeek.log(*map(conn, range(100)))
    zeek.rotate()
    seen = [
        (
            names(zeek.log_dir),
            [p.stat().st_size for p in zeek.archive_dir.rglob("*.gz")],
        )
        for _ in zeek.steps()
    ]
    plain = ["conn.2024-04-21-06-59-58.log"]
    assert [there for there, _ in seen] == [plain, plain, plain, []]
    assert [s[0] > 0 for _, s in seen] == [False, True, True, True]
    assert seen[1][1] < seen[2][1]


def test_zeek_archiver_shows_whole_archives_only(tmp_path: Path):
    zeek = fake(tmp_path, postprocessor="zeek-archiver")
    zeek.log(conn(1))
    zeek.rotate()
    queued = "log-queue/conn__2024-04-21-06-59-58__2024-04-21-06-59-58__.log"
    assert names(zeek.log_dir) == [queued]
    whole = [bool(list(zeek.archive_dir.rglob("conn*"))) for _ in zeek.steps()]
    assert whole == [False, False, True, True]
    assert names(zeek.log_dir) == []


def test_a_stop_rotates_and_leaves_the_open_connections(zeek: FakeZeek):
    zeek.log(conn(1))
    wait(zeek)
    zeek.stop(conn(2))
    assert names(zeek.log_dir) == ["conn.2024-04-21-06-59-58.log", "conn.log"]
    assert uids(zeek.live) == ["C2"]
    assert zeek.live.read_bytes().endswith(b"#close\t2024-04-21-06-59-59\n")


def test_a_stop_without_rotation_leaves_one_file(tmp_path: Path):
    zeek = fake(tmp_path, interval_s=0)
    zeek.log(conn(1))
    zeek.stop(conn(2))
    assert names(zeek.log_dir) == ["conn.log"]
    assert uids(zeek.live) == ["C1", "C2"]


def test_a_restart_truncates_in_place_at_the_first_row(zeek: FakeZeek):
    zeek.log(conn(1))
    zeek.flush()
    before = zeek.live.stat().st_ino
    zeek.kill()
    zeek.restart()
    assert uids(zeek.live) == ["C1"]
    zeek.log(conn(2))
    zeek.flush()
    assert zeek.live.stat().st_ino == before
    assert uids(zeek.live) == ["C2"]
    assert zeek.lost == [tsv_rows([conn(1)])]
    assert zeek.written == [(0, tsv_rows([conn(1)])), (1, tsv_rows([conn(2)]))]


def test_leftover_rotation_loses_nothing(tmp_path: Path):
    zeek = fake(tmp_path, leftover_rotation=True)
    zeek.log(conn(1))
    zeek.flush()
    zeek.kill()
    wait(zeek)
    zeek.restart()
    assert names(zeek.log_dir) == ["conn.2024-04-21-06-59-58.log"]
    assert zeek.lost == []


def test_a_killed_zeek_may_leave_half_a_line(zeek: FakeZeek):
    zeek.log(conn(1))
    zeek.flush()
    zeek.kill(half=conn(2))
    data = zeek.live.read_bytes()
    assert b"#close" not in data
    assert tsv_rows([conn(2)]).startswith(data.splitlines()[-1])
    assert [row for _, row in zeek.written] == [tsv_rows([conn(1)])]


def test_a_half_line_is_completed_by_the_next_write(zeek: FakeZeek):
    zeek.half_line(conn(1))
    assert not zeek.live.read_bytes().endswith(b"\n")
    zeek.log(conn(2))
    zeek.flush()
    assert uids(zeek.live) == ["C1", "C2"]


def test_a_crash_moves_the_spool_and_archives_it_from_there(zeek: FakeZeek):
    zeek.log(conn(1))
    zeek.rotate()
    wait(zeek)
    zeek.log(conn(2))
    zeek.flush()
    away = zeek.crash_spool_move()
    assert names(zeek.log_dir) == []
    zeek.archive()
    packed = sorted(zeek.archive_dir.rglob("*.gz"))
    assert [uids(path) for path in packed] == [["C1"], ["C2"]]
    assert names(away) == ["conn.log"]


def test_copytruncate_leaves_a_hole(zeek: FakeZeek):
    zeek.log(conn(1))
    zeek.flush()
    hole = zeek.live.stat().st_size
    zeek.copytruncate()
    zeek.log(conn(2))
    zeek.flush()
    assert zeek.live.read_bytes() == bytes(hole) + tsv_rows([conn(2)])
    assert zeek.lost == [tsv_rows([conn(1)]), tsv_rows([conn(2)])]


@pytest.mark.parametrize(("flush_rows", "writes"), [(1, 3), (2, 2), (0, 1)])
def test_rows_in_one_write_are_as_asked(tmp_path, monkeypatch, flush_rows, writes):
    zeek = fake(tmp_path, as_json=True, flush_rows=flush_rows)
    sizes = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, d: sizes.append(fd) or write(fd, d))
    zeek.log(*map(conn, range(3)))
    zeek.flush()
    assert len(sizes) == writes


def test_a_day_is_written_and_archived_whole(tmp_path: Path):
    zeek = fake(tmp_path, flush_rows=0)
    number = 50_000
    rows = deque(
        (START_US + n * 1_728_000, tsv_rows([conn(n, ts=T0 + n * 1.728 - 9)]))
        for n in range(number)
    )
    zeek.play(rows, START_US + 86_400 * SECOND_US)
    zeek.stop()
    zeek.archive()
    found = find_logs([zeek.archive_dir])
    assert len(found) == 25
    assert [uid for log in found for uid in uids(log.path)] == [
        f"C{n}" for n in range(number)
    ]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 5000), max_size=40), st.sampled_from(["zeekctl", "plain"])
)
def test_nothing_is_lost_by_rotation_alone(tmp_path_factory, pauses, postprocessor):
    folder = tmp_path_factory.mktemp("play")
    zeek = fake(folder, postprocessor=postprocessor)
    now_us, rows = START_US, deque()
    for number, pause in enumerate([1, *pauses]):
        now_us += pause * SECOND_US
        values = conn(number, ts=now_us / SECOND_US - 9)
        rows.append((now_us, tsv_rows([values])))
    zeek.play(rows, now_us + SECOND_US)
    zeek.archive()
    got = [uid for log in find_logs([folder]) for uid in uids(log.path)]
    assert got == [f"C{n}" for n in range(len(pauses) + 1)]


# against real runs


def skeleton(data: bytes) -> list[bytes]:
    """Give the lines that are no rows, without their values."""
    dated = re.sub(rb"\d{4}(-\d\d){5}", b"DATE", data)
    return [line for line in dated.splitlines() if line.startswith(b"#")]


@pytest.mark.shared
def test_headers_names_and_what_stays_are_a_real_zeeks(shared_data: Path, tmp_path):
    real = shared_data / "zeek-live" / "tsv-rotate10s"
    files = [*sorted(real.glob("conn.2*")), real / "conn.log"]
    rows = deque(row for path in files[:-1] for row in write_times(path.read_bytes()))
    _, still_open = write_times(files[-1].read_bytes())[0]
    zeek = fake(tmp_path, interval_s=10, postprocessor="plain", start_us=rows[0][0])
    zeek.play(rows, rows[-1][0] + SECOND_US)
    zeek.stop(still_open)
    assert names(zeek.log_dir) == [path.name for path in files]
    for path in files:
        ours = (zeek.log_dir / path.name).read_bytes()
        assert skeleton(ours) == skeleton(path.read_bytes())


@pytest.mark.shared
@pytest.mark.parametrize("run", RUNS)
def test_a_re_enactment_ends_with_the_real_files(run, shared_data: Path, tmp_path):
    real = shared_data / "zeek-live" / run
    log_dir, archive_dir = tmp_path / "spool", tmp_path / "logs"
    steps = list(reenact(real, log_dir, archive_dir))
    assert len(steps) > len(names(real))
    assert names(log_dir) == [name for name in names(real) if "/" not in name]
    for name in names(real):
        folder = archive_dir if "/" in name else log_dir
        assert (folder / Path(name).name).read_bytes() == (real / name).read_bytes()


@pytest.mark.shared
def test_a_second_run_truncates_what_the_first_left(shared_data: Path, tmp_path):
    live = shared_data / "zeek-live"
    for run in ("tsv-rotate10s", "killed-then-leftover-rotated"):
        steps = reenact(live / run, tmp_path, tmp_path / "logs")
        inodes = [
            (tmp_path / "conn.log").stat().st_ino
            for what in steps
            if what == "open conn.log"
        ]
    assert (tmp_path / "conn.log").read_bytes() == (
        live / run / "conn.log"
    ).read_bytes()
    assert len(inodes) == 4


def test_the_archive_is_gzip(zeek: FakeZeek):
    zeek.log(conn(1))
    zeek.rotate()
    plain = next(zeek.log_dir.iterdir()).read_bytes()
    zeek.archive()
    (packed,) = zeek.archive_dir.rglob("*.gz")
    assert gzip.decompress(packed.read_bytes()) == plain
