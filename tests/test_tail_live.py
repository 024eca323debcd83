"""The Follower beside a Zeek that rotates, stops, crashes and starts again.

What it gives is what Zeek wrote: in order, no row twice, and none missing but those
that were truncated before anybody could read them.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_zeek import SECOND_US, FakeZeek
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)
from zeek import T0, conn

from entropy_ids.collector.tail import Follower
from entropy_ids.types import Quality

START_US = T0 * SECOND_US
FORMS = st.fixed_dictionaries(
    {
        "as_json": st.booleans(),
        "gzip_archive": st.booleans(),
        "postprocessor": st.sampled_from(["zeekctl", "plain", "zeek-archiver"]),
        "leftover_rotation": st.booleans(),
        "flush_rows": st.sampled_from([0, 1]),
    }
)


class Site:
    """A Zeek, a Follower beside it, and what the Follower gave."""

    def __init__(self, folder: Path, **form: object) -> None:
        logs = folder / "spool" / "zeek", folder / "logs"
        self.zeek = FakeZeek(*logs, start_us=START_US, **form)
        self.follower = Follower("", *logs, now=self.zeek.now)
        self.number = 0
        self.got: list[str] = []
        self.bad = 0
        self.remarks: list[Quality] = []

    def rows(self, number: int) -> Iterator[dict]:
        """Give new rows; each connection ended a little after the one before."""
        for _ in range(number):
            self.zeek.now_us += 1000
            self.number += 1
            yield conn(self.number, ts=self.zeek.now() - 7.0)

    def log(self, number: int = 5) -> None:
        self.zeek.log(*self.rows(number))
        self.zeek.flush()

    def poll(self, most_bytes: int = 8 << 20) -> list[str]:
        parsed = self.follower.poll(most_bytes)
        new = [uid for part in parsed for uid in part.flows.frame["uid"]]
        self.got += new
        self.bad += sum(len(part.bad) for part in parsed)
        self.remarks += self.follower.remarks
        self.follower.remarks.clear()
        return new

    def catch_up(self) -> None:
        """Poll until nothing comes, even after the time that the Follower waits."""
        for _ in range(3):
            for _ in range(1000):
                if not self.poll() and not self.follower.behind:
                    break
            self.wait(200)

    def forget(self) -> None:
        """Throw the Follower away and make it anew from its cursor."""
        old = self.follower
        self.follower = Follower(
            "", self.zeek.log_dir, self.zeek.archive_dir, old.cursor, now=self.zeek.now
        )

    def wait(self, seconds: float = 1) -> None:
        self.zeek.now_us += int(seconds * SECOND_US)

    @property
    def written(self) -> list[str]:
        return [uid(row) for _, row in self.zeek.written]

    @property
    def gaps(self) -> list[Quality]:
        return [remark for remark in self.remarks if remark.kind == "gap"]


def uid(row: bytes) -> str:
    cells = row.split(b'"' if row.startswith(b"{") else b"\t")
    return (cells[5] if row.startswith(b"{") else cells[1]).decode()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


class Histories(RuleBasedStateMachine):
    """Anything that may happen to a log directory, in any order."""

    @initialize(form=FORMS)
    def begin(self, form):
        self.folder = Path(tempfile.mkdtemp())
        self.site = Site(self.folder, **form)
        self.zeek = self.site.zeek
        self.up = True
        self.torn = False
        self.checked = 0
        self.seen: set[str] = set()
        self.site.log(1)
        self.poll(1 << 20)

    @precondition(lambda self: self.up)
    @rule(number=st.sampled_from([1, 2, 5, 70]))
    def log(self, number):
        self.zeek.log(*self.site.rows(number))

    @precondition(lambda self: self.up)
    @rule(rows=st.sampled_from([1, 3, None]))
    def flush(self, rows):
        self.zeek.flush(rows)

    @precondition(lambda self: self.up)
    @rule(share=st.sampled_from([0.0, 0.1, 0.5]))
    def half_line(self, share):
        self.zeek.half_line(*self.site.rows(1), share)

    @precondition(lambda self: self.up)
    @rule()
    def rotate(self):
        self.site.wait()
        self.zeek.rotate()

    @rule(steps=st.integers(1, 5))
    def archive(self, steps):
        for _ in range(min(steps, len(self.zeek.pending))):
            self.zeek.pending.popleft()()

    @precondition(lambda self: self.up)
    @rule(still_open=st.integers(0, 3))
    def stop(self, still_open):
        self.site.wait()
        self.zeek.stop(*self.site.rows(still_open))
        self.up = False

    @precondition(lambda self: self.up)
    @rule(half=st.booleans())
    def kill(self, half):
        self.zeek.kill(*self.site.rows(half))
        self.torn = True
        self.up = False

    @precondition(lambda self: not self.up)
    @rule()
    def restart(self):
        self.site.wait()
        if self.zeek.postprocessor == "zeekctl":  # it starts Zeek after it tidied up
            self.zeek.archive()
        self.zeek.restart()
        self.up = True

    @precondition(lambda self: self.zeek.postprocessor == "zeekctl")
    @rule()
    def crash(self):
        self.site.wait()
        self.zeek.crash_spool_move()
        self.torn = True
        self.up = False

    @precondition(lambda self: self.zeek.running)
    @rule()
    def copytruncate(self):
        self.zeek.copytruncate()
        self.torn = True

    @rule(most_bytes=st.sampled_from([1, 500, 5000, 8 << 20]))
    def poll(self, most_bytes):
        self.site.poll(most_bytes)
        self.compare()

    @rule()
    def forget(self):
        self.site.forget()

    @rule()
    def let_minutes_pass(self):
        self.zeek.archive()
        self.site.wait(200)

    def compare(self):
        """Find each row got among those written, after the one before it.

        Rows behind the hole of a truncation are lost to archives, for want of a header;
        those that come all the same may come when their file is found.
        """
        lost = {uid(row) for row in self.zeek.lost}
        got, self.site.got = self.site.got, []
        assert len({*self.seen, *got}) == len(self.seen) + len(got), "a row came twice"
        self.seen.update(got)
        for row in got:
            ahead = self.site.written[self.checked :]
            assert row in ahead or row in lost, f"{row} came too late"
            if row in ahead:
                passed = ahead.index(row)
                assert {*ahead[:passed]} <= lost, f"passed over before {row}"
                self.checked += passed + 1

    def teardown(self):
        if hasattr(self, "site"):
            try:
                self.end()
            finally:
                shutil.rmtree(self.folder)

    def end(self):
        self.zeek.flush()
        self.zeek.archive()
        self.site.catch_up()
        self.compare()
        lost = {uid(row) for row in self.zeek.lost}
        assert set(self.site.written[self.checked :]) <= lost
        assert len(self.site.gaps) >= self.begun_and_cut_short()
        assert lost or not self.site.gaps
        assert self.torn or not self.site.bad

    def begun_and_cut_short(self) -> int:
        """Count the generations of which some rows came and some are missing."""
        came, missing = set(), set()
        for generation, row in self.zeek.written:
            (came if uid(row) in self.seen else missing).add(generation)
        return len(came & missing)


class TestHistories(Histories.TestCase):
    settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.slow
class TestManyHistories(Histories.TestCase):
    settings = settings(max_examples=3000, stateful_step_count=80, deadline=None)


def away(site: Site, rotations: int) -> None:
    """Let Zeek write and rotate while the Follower is down in the middle of a file."""
    site.log(10)
    site.poll()
    site.log(10)
    for _ in range(rotations):
        site.wait(3600)
        site.zeek.rotate()
        site.zeek.archive()
        site.log(10)
    site.forget()


@pytest.mark.parametrize("rotations", [0, 1, 3, 30])
@pytest.mark.parametrize("form", [{}, {"as_json": True}, {"postprocessor": "plain"}])
def test_nothing_is_lost_by_being_away(tmp_path, rotations, form):
    site = Site(tmp_path, **form)
    away(site, rotations)
    site.catch_up()
    assert site.got == site.written
    assert not site.gaps


@pytest.mark.parametrize("logger", ["", "logger-1"])
@pytest.mark.parametrize("gzip_archive", [True, False])
def test_an_archive_that_grows_at_the_return_is_waited_for(
    tmp_path, logger, gzip_archive
):
    site = Site(tmp_path, logger=logger, gzip_archive=gzip_archive)
    away(site, 2)
    site.wait(3600)
    site.zeek.rotate()
    for _ in site.zeek.steps():
        site.forget()
        site.poll()
    site.catch_up()
    assert site.got == site.written
    assert not site.gaps


def test_an_idle_hour_leaves_no_file_and_no_gap(site: Site):
    for busy in (True, False, False, True):
        site.log(3 * busy)
        site.poll()
        site.wait(3600)
        site.zeek.rotate()
        site.zeek.archive()
        site.poll()
    assert site.got == site.written
    assert not site.gaps


@pytest.mark.parametrize("rows", [1, 10, 100])
def test_a_restart_of_zeek_that_truncates_unread_rows_is_told(site: Site, rows):
    site.log(10)
    site.poll()
    site.log(10)
    site.zeek.kill()
    site.zeek.restart()
    site.log(rows)
    site.catch_up()
    assert site.got == [*site.written[:10], *site.written[20:]]
    assert len(site.gaps) == 1


def test_a_truncation_while_away_is_told_and_the_new_rows_come(site: Site):
    site.log(10)
    site.poll()
    site.log(10)
    site.zeek.kill()
    site.zeek.restart()
    site.log(100)
    site.forget()
    site.catch_up()
    assert site.got == [*site.written[:10], *site.written[20:]]
    assert site.gaps


def test_a_moved_spool_is_read_to_its_end_through_the_open_file(site: Site):
    site.log(10)
    site.poll()
    site.log(10)
    site.zeek.crash_spool_move()
    site.poll()
    assert site.got == site.written
    site.zeek.archive()
    site.log(10)
    site.catch_up()
    assert site.got == site.written
    assert not site.gaps


@pytest.mark.parametrize("gzip_archive", [True, False])
def test_a_moved_spool_is_found_in_the_archive_after_a_restart(tmp_path, gzip_archive):
    site = Site(tmp_path, gzip_archive=gzip_archive)
    site.log(10)
    site.poll()
    site.log(500)
    site.zeek.crash_spool_move()
    site.forget()
    site.poll()
    for _ in site.zeek.steps():
        site.poll()
        site.forget()
    site.log(10)
    site.catch_up()
    assert site.got == site.written
    assert not site.gaps


def test_a_line_is_never_taken_before_its_end(site: Site):
    site.log(1)
    for share in (0.0, 0.2, 0.9, 1.0):
        site.zeek.half_line(*site.rows(1), share)
        site.poll()
        assert site.got == site.written
        site.forget()
    site.zeek.flush()
    site.poll()
    assert site.got == site.written
    assert not site.bad
