"""A daemon's sensor in this process, on a clock that the test moves."""

from collections import deque
from pathlib import Path

from fake_zeek import FakeZeek, Timed
from reenact import write_times

from entropy_ids.alarms import journal as journals
from entropy_ids.alarms.journal import Journal
from entropy_ids.collector import find_logs
from entropy_ids.collector.segments import open_log
from entropy_ids.config import Config
from entropy_ids.daemon import store
from entropy_ids.daemon.sensor import Sensor
from entropy_ids.decisions import Decisions

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
poll_s = 0.1
"""


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
