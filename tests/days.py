"""A daemon in this process over a day of logs that grow, and its faults."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pandas as pd
import pytest
from live import config_of, lines_in, minutes_in
from zeek import Row, conn, header, tsv_rows

from entropy_ids.alarms.outputs import QUALITY
from entropy_ids.config import Config
from entropy_ids.daemon.metrics import serve
from entropy_ids.daemon.run import Daemon
from entropy_ids.daemon.status import SensorStatus

START = 1_772_582_400  # 2026-03-04


def rows(first: int, last: int) -> list[Row]:
    """Give a connection a second for some minutes of the day."""
    return [
        conn(n, ts=START + n + 0.25, duration=0.5) for n in range(60 * first, 60 * last)
    ]


def grow(root: Path, first: int, last: int, logger: str = "current") -> Path:
    """Let a conn log grow by some minutes."""
    path = root / "spool" / logger / "conn.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write((b"" if file.tell() else header()) + tsv_rows(rows(first, last)))
    return path


def settle(daemon: Daemon) -> SensorStatus:
    """Let it read what there is; tell how its first sensor is."""
    for _ in range(3):
        daemon.poll()
    return daemon.status.sensors[0]


def kinds(alarms: Path) -> list[str]:
    """Give what was remarked upon."""
    return [json.loads(line)["class"] for line in lines_in(alarms, QUALITY)]


def closed(root: Path) -> list[int]:
    """Give the closed minutes of the day."""
    stamps = minutes_in(root / "alarms")["minute"]
    return [
        (stamp - pd.Timestamp(START, unit="s", tz="UTC")).seconds // 60
        for stamp in stamps
    ]


def changed(config: Config, old: str, new: str) -> None:
    """Edit the configuration's file, as a person does."""
    assert config.file
    text = config.file.read_text()
    assert old in text
    config.file.write_text(text.replace(old, new))


def two_of(root: Path) -> Config:
    """Give a configuration of two sensors, with five minutes of logs for each."""
    file = config_of(root, None).file
    assert file
    tables = "".join(
        f'[[sensor]]\nname = "{name}"\nlog_dirs = ["{root}/spool/{name}"]\n'
        for name in ("one", "two")
    )
    file.write_text(
        tables + file.read_text().partition("\n[state]")[2].join(("[state]", ""))
    )
    for name in ("one", "two"):
        grow(root, 0, 5, name)
    return Config.load(file, environment={})


def page(daemon: Daemon) -> str:
    """Give the metrics over HTTP."""
    server = serve("127.0.0.1:0", lambda: daemon.status)
    try:
        with urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())
    finally:
        server.close()


class Full:
    """Directories to which nothing can be written, as on a full disk."""

    def __init__(self, patch: pytest.MonkeyPatch, code: int = errno.ENOSPC) -> None:
        self.roots: tuple[Path, ...] = ()
        self._code = code
        for name in ("write", "fsync"):
            patch.setattr(os, name, self._failing(getattr(os, name)))

    def _failing(self, operate: Callable[..., object]) -> Callable[..., object]:
        def operated(descriptor: int, *rest: object) -> object:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if any(path.is_relative_to(root) for root in self.roots):
                raise OSError(self._code, os.strerror(self._code), str(path))
            return operate(descriptor, *rest)

        return operated
