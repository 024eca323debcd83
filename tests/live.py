"""A daemon's sensor in this process, on a clock that the test moves."""

import json
import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fake_zeek import SECOND_US, FakeZeek, Timed
from reenact import write_times

from entropy_ids.alarms import journal as journals
from entropy_ids.alarms.journal import Journal
from entropy_ids.alarms.outputs import ALARMS, MINUTES, QUALITY, ZEEK
from entropy_ids.cli import main
from entropy_ids.collector import find_logs
from entropy_ids.collector.segments import open_log
from entropy_ids.config import Config
from entropy_ids.daemon import store
from entropy_ids.daemon.sensor import Sensor
from entropy_ids.decisions import Decisions
from entropy_ids.profile.store import Profile
from entropy_ids.reading import Reading
from entropy_ids.replay import replay

CONFIG = """
[[sensor]]
name = "s"
log_dirs = {log_dirs}
archive_dir = "{root}/archive"
{profile}
[state]
dir = "{root}/state"
[alarms]
dir = "{root}/alarms"
[daemon]
listen = ""
poll_s = 0.05
"""


LOSSES = {"gap", "state-damaged", "output-touched", "regenerated-differs"}
"""Remarks that no kill alone may lead to."""


def config_of(
    root: Path,
    profile: Path | None,
    *more: str,
    loggers: tuple[str, ...] = ("current",),
) -> Config:
    """Write a configuration for one sensor, and read it."""
    dirs = [str(root / "spool" / name) for name in loggers]
    line = f'profile = "{profile}"' if profile else ""
    root.mkdir(parents=True, exist_ok=True)
    file = root / "site.toml"
    file.write_text(CONFIG.format(log_dirs=dirs, root=root, profile=line))
    return Config.load(file, more, environment={})


def sensor_of(config: Config, now=lambda: 0.0) -> Sensor:
    """Start the only sensor, as a daemon does after any stop."""
    path = store.state(config) / store.JOURNAL
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = journals.read(path) if path.exists() else []
    (sensor,) = config.sensors
    decisions = Decisions.of(rows, sensor.name)
    return Sensor(sensor, config, Journal(path), decisions, now)


def read_all(sensor: Sensor) -> None:
    """Let it read what there is."""
    while sensor.poll():
        pass


def lines_of(sources: list[Path]) -> deque[Timed]:
    """Give the rows of archived logs with the times at which Zeek may write them."""
    rows: deque[Timed] = deque()
    for log in find_logs(sources):
        with open_log(log.path) as file:
            rows += write_times(file.read())
    return rows


def zeek_of(root: Path, start_us: int, logger: str = "", **how: object) -> FakeZeek:
    """Make a Zeek that writes where `config_of` looks."""
    spool = root / "spool" / (logger or "current")
    return FakeZeek(spool, root / "archive", start_us=start_us, logger=logger, **how)


LOGGERS = ("logger-1", "logger-2")


class Pair:
    """Two loggers of one sensor, to which the rows of one log are dealt.

    Attributes
    ----------
    zeeks, hands
        Of each the writer, and the rows that it has yet to write.
    """

    def __init__(self, root: Path, rows: Iterable[Timed], draw: random.Random) -> None:
        self.hands: tuple[deque[Timed], ...] = deque(), deque()
        for row in rows:
            draw.choice(self.hands).append(row)
        self.zeeks = [
            zeek_of(root, hand[0][0], name, flush_rows=0, interval_s=1200)
            for name, hand in zip(LOGGERS, self.hands, strict=True)
        ]

    def play(self, until_us: int, *numbers: int) -> None:
        """Let the loggers of these numbers write what comes before a time."""
        for number in numbers:
            self.zeeks[number].play(self.hands[number], until_us)

    def end(self) -> None:
        """Write all that is left; stop, so that each file names its logger."""
        for zeek, hand in zip(self.zeeks, self.hands, strict=True):
            zeek.play(hand, hand[-1][0] + SECOND_US if hand else zeek.now_us)
            zeek.stop()
            zeek.archive()


class Killed(BaseException):
    """What runs is killed here; nothing catches it."""


class Kills:
    """Kills what runs in this process at one of its next file operations.

    A write stops half-way; another operation is done, or is not.

    Attributes
    ----------
    left
        Operations to be let through before the kill; None lets all through.
    """

    def __init__(self, patch: pytest.MonkeyPatch, draw: random.Random) -> None:
        self.left: int | None = None
        self.done = 0
        self._draw = draw
        for name in ("write", "fsync", "replace", "rename", "unlink"):
            patch.setattr(os, name, self._deadly(name, getattr(os, name)))

    def survive(self, left: int, live: Callable[[], object]) -> bool:
        """Let something run; tell whether it ended before so many operations."""
        self.left = left
        try:
            live()
        except Killed:
            self.done += 1
            return False
        finally:
            self.left = None
        return True

    def _deadly(self, name: str, operate: Callable[..., object]) -> object:
        def operated(*args: object, **how: object) -> object:
            if self.left is None:
                return operate(*args, **how)
            self.left -= 1
            if self.left >= 0:
                return operate(*args, **how)
            if name == "write":
                descriptor, data = args
                operate(descriptor, data[: len(data) // 2])
            elif self._draw.random() < 0.5:
                operate(*args, **how)
            raise Killed

        return operated


class Lives:
    """Something that is begun anew after each kill.

    Parameters
    ----------
    begin
        Makes it.
    live
        What it does each time that it goes on.
    """

    def __init__(
        self, kills: Kills, begin: Callable[[], Any], live: Callable[[Any], object]
    ) -> None:
        self._kills, self._begin, self._do = kills, begin, live
        self._alive: list[Any] = []

    @property
    def one(self) -> Any:
        """The one that lives."""
        return self._alive[0]

    def go_on(self, kills_after: Iterable[int] = ()) -> None:
        """Kill it after so many operations each, until it outlives one; go on."""
        any(self._kills.survive(left, self._live) for left in kills_after)
        self._live()

    def _live(self) -> None:
        one = self._alive.pop() if self._alive else self._begin()
        self._do(one)
        self._alive.append(one)


def replayed_by_command(root: Path, profile: Path, next_open: int | None) -> Path:
    """Replay archive and spool as an operator does, up to the last minute closed."""
    assert next_open is not None
    until = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(next_open))
    journal = root / "state" / store.JOURNAL
    how = ["--profile", profile, "--journal", journal, "--sensor", "s", "--to", until]
    arguments = ["replay", *left_in(root), *how, "--out", root / "replayed"]
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    assert not ended.value.code
    return root / "replayed"


def replayed(root: Path, sensor: Sensor, profile: Profile) -> Path:
    """Replay what the archive and a lone spool now hold, with the journal.

    A spool's conn.log does not name its logger: of several let each `stop` before.
    """
    out = root / "replayed"
    rows = journals.read(store.state(sensor.config) / store.JOURNAL)
    name = sensor.sensor.name
    decided = Decisions.of(rows, name).decided(
        lambda wanted: store.profile(sensor.config, name, wanted)
    )
    replay(
        find_logs(left_in(root)),
        profile,
        out,
        sensor=name,
        quiet_minutes=sensor.config["incidents.quiet_minutes"],
        reading=Reading(until=sensor.assembler.next_open),
        decided=decided,
    )
    return out


def left_in(root: Path) -> list[Path]:
    """Give the logs in the archive and in a lone spool."""
    return [*root.rglob("archive/**/conn.*"), *root.glob("spool/current/conn.*")]


def assert_same(live: Path, again: Path) -> None:
    """Hold the alarms and minutes of two directories against each other."""
    for name in (ALARMS, ZEEK):
        assert lines_in(live, name) == lines_in(again, name)
    pd.testing.assert_frame_equal(minutes_in(live), minutes_in(again), check_exact=True)


def remarks_in(alarms: Path) -> set[str]:
    """Give the classes of all remarks on the data."""
    return {json.loads(line)["class"] for line in lines_in(alarms, QUALITY)}


def lines_in(alarms: Path, name: str) -> list[bytes]:
    """Give the lines of all days, those of Zeek's headers left out."""
    lines = b"".join(path.read_bytes() for path in _days(alarms, name))
    return [line for line in lines.splitlines(True) if not line.startswith(b"#")]


def minutes_in(alarms: Path) -> pd.DataFrame:
    """Give all days' tables of minutes, as one."""
    days = [pd.read_parquet(path) for path in _days(alarms, MINUTES)]
    return pd.concat(days, ignore_index=True)


def _days(alarms: Path, name: str) -> list[Path]:
    """Give the files of all days, the oldest first."""
    stem, _, ending = name.partition(".")
    found = alarms.glob(f"{stem}*.{ending}")
    return sorted(found, key=lambda path: (path.name == name, path.name))
