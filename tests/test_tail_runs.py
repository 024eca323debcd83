"""The Follower beside real runs of Zeek that are done again, file by file."""

import random
from pathlib import Path

import pytest
from reenact import RUNS, reenact
from zeek import read_conn

from entropy_ids.collector.archive import find_logs
from entropy_ids.collector.tail import Follower

pytestmark = pytest.mark.shared


def uids_of(folder: Path) -> list[str]:
    """Give the rows of a real run in the order in which its Zeek wrote them."""
    logs = find_logs([folder])
    logs.sort(key=lambda log: (log.path.name == "conn.log", log.path.name))
    return [uid for log in logs for uid in read_conn(log.path).flows.frame["uid"]]


def play(follower: Follower, got: list[str]) -> None:
    for part in follower.poll(8 << 20):
        assert not part.bad
        got += part.flows.frame["uid"].to_list()
    assert not [remark for remark in follower.remarks if remark.kind == "gap"]


@pytest.mark.parametrize("run", RUNS)
def test_a_real_run_is_followed_row_for_row(run, shared_data: Path, tmp_path):
    real, folders = (
        shared_data / "zeek-live" / run,
        (tmp_path / "spool", tmp_path / "a"),
    )
    got: list[str] = []
    steps = reenact(real, *folders)
    next(steps)
    follower = Follower("", *folders)
    for _ in steps:
        play(follower, got)
    assert got == uids_of(real)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("seed", range(3))
def test_a_real_run_is_followed_with_rests(run, seed, shared_data: Path, tmp_path):
    """Rows of one poll may hold several files, whose order is then find_logs'."""
    real, folders = (
        shared_data / "zeek-live" / run,
        (tmp_path / "spool", tmp_path / "a"),
    )
    draw, got = random.Random(seed), []
    steps = reenact(real, *folders)
    next(what for what in steps if "conn.log" in what and not what.startswith("open"))
    follower = Follower("", *folders)
    play(follower, got)
    for _ in steps:
        if draw.random() < 0.1:
            play(follower, got)
        if draw.random() < 0.1:
            follower = Follower("", *folders, follower.cursor)
    play(follower, got)
    play(follower, got)
    assert sorted(got) == sorted(uids_of(real))


@pytest.mark.parametrize("run", ["tsv-rotate10s", "json-rotate10s"])
def test_what_a_real_run_left_is_read_before_the_next_truncates_it(
    run, shared_data: Path, tmp_path
):
    live, folders = shared_data / "zeek-live", (tmp_path / "spool", tmp_path / "a")
    folders[0].mkdir()
    follower = Follower("", *folders)
    got: list[str] = []
    for name in (run, "killed-then-leftover-rotated"):
        for _ in reenact(live / name, *folders):
            for part in follower.poll(8 << 20):
                got += part.flows.frame["uid"].to_list()
    expected = [uids_of(live / name) for name in (run, "killed-then-leftover-rotated")]
    assert got == expected[0] + expected[1]
