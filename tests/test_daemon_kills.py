"""The real process beside a Zeek that writes a day, killed again and again."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_zeek import SECOND_US, FakeZeek, Timed
from live import (
    LOSSES,
    assert_same,
    config_of,
    lines_of,
    minutes_in,
    remarks_in,
    replayed_by_command,
    zeek_of,
)

from entropy_ids.config import Config
from entropy_ids.daemon import checkpoint, store
from entropy_ids.daemon import status as statuses
from entropy_ids.daemon.sensor import Checkpoint

pytestmark = pytest.mark.slow

KILLS = 55
DAY = ("2026-03-03/conn.2[0-3]*", "2026-03-04/*")
"""The day with the two attacks, and four hours before it for a midnight."""
COMMAND = """
from entropy_ids.daemon import sensor
sensor.CHECKPOINT_S = 0.5  # or few lives would be long enough for any
from entropy_ids.cli import main
main()
"""


@contextmanager
def daemon(config: Config) -> Iterator[subprocess.Popen[bytes]]:
    """Run the daemon in a process; whatever happens, it is gone afterwards."""
    with Path(config["state.dir"] + ".stderr").open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "run", "--config", str(config.file)],
            stderr=said,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def checkpoint_of(config: Config) -> Checkpoint | None:
    found = checkpoint.read(store.directory(config, "s") / "checkpoint", Checkpoint)
    return found.document if found else None


def minutes_of(config: Config) -> int:
    kept = checkpoint_of(config)
    return kept.tally.minutes if kept else 0


def go_on(zeek: FakeZeek, rows: deque[Timed], share: int, draw: random.Random) -> None:
    """Let Zeek write for some simulated time, and its archiver do some steps."""
    zeek.play(rows, zeek.now_us + draw.randint(1, share) * SECOND_US)
    for _ in range(min(len(zeek.pending), draw.randint(0, 4))):
        zeek.pending.popleft()()


def begin(config: Config, zeek: FakeZeek, rows: deque[Timed]) -> None:
    """Let the daemon see the first file, from which on archived ones are its own."""
    zeek.play(rows, zeek.now_us + 60 * SECOND_US)
    with daemon(config):
        while checkpoint_of(config) is None:
            time.sleep(0.05)


def killed_lives(
    config: Config, zeek: FakeZeek, rows: deque[Timed], draw: random.Random
) -> int:
    """Let the daemon live `KILLS` times; count the lives that left minutes."""
    fruitful = 0
    for _ in range(KILLS):
        go_on(zeek, rows, 1200, draw)
        before = minutes_of(config)
        with daemon(config) as process:
            for _ in until_killed(config, process.pid, draw):
                go_on(zeek, rows, 12, draw)
            assert process.poll() is None, "it ended before it was killed"
        fruitful += minutes_of(config) > before
    return fruitful


def until_killed(config: Config, pid: int, draw: random.Random) -> Iterator[None]:
    """Wait for a time from the start on, or from its lock, or from its first poll."""
    lock, status = (store.state(config) / name for name in ("lock", "status.json"))
    begun = draw.choice((lambda: True, lambda: tells(lock), lambda: tells(status)))

    def tells(path: Path) -> bool:
        return path.exists() and str(pid) in path.read_text()

    left_s = draw.uniform(0, 3)
    while left_s > 0:
        yield
        time.sleep(0.05)
        left_s -= 0.05 * begun()


def finish(config: Config, zeek: FakeZeek, rows: deque[Timed]) -> int:
    """Let Zeek write on and the daemon read it all; give its code after SIGTERM."""
    zeek.play(rows, rows[-1][0] + SECOND_US if rows else zeek.now_us)
    zeek.archive()
    end_s = time.monotonic() + 120
    with daemon(config) as process:
        while time.monotonic() < end_s:
            told = statuses.read(store.state(config))
            if (told.pid, told.sensors[0].rows) == (process.pid, len(zeek.written)):
                break
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        return process.wait(5)


def test_a_day_through_fifty_kills_is_the_day_replayed(
    tmp_path: Path,
    profile_dir: Path,
    office: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the process compares times of files with the wall clock
    monkeypatch.setattr(os, "utime", lambda *_, **__: None)
    config = config_of(tmp_path, profile_dir)
    rows = lines_of([path for names in DAY for path in sorted(office.glob(names))])
    written = len(rows)
    zeek = zeek_of(tmp_path, rows[0][0], flush_rows=0)
    begin(config, zeek, rows)
    assert killed_lives(config, zeek, rows, random.Random(7)) >= KILLS / 5
    assert finish(config, zeek, rows) == 0
    kept = checkpoint_of(config)
    assert kept and kept.tally.incidents >= 2
    assert kept.assembler.account.rows == written
    assert kept.assembler.account.balanced
    alarms = tmp_path / "alarms"
    assert len(minutes_in(alarms)) == kept.tally.minutes > 27 * 60
    next_open = kept.assembler.next_open
    assert_same(alarms, replayed_by_command(tmp_path, profile_dir, next_open))
    assert not remarks_in(alarms) & LOSSES
