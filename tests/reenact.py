"""Real runs of a live Zeek, done again from the files that they left."""

import gzip
import heapq
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import groupby
from pathlib import Path

from fake_zeek import SECOND_US, Timed

RUNS = (
    "tsv-rotate10s",
    "json-rotate10s",
    "json-iso8601-scan-notice",
    "gzip-rotate10s",
    "killed-then-leftover-rotated",
    "postprocessor-gzip",
)
"""The log directories in ``zeek-live`` of the shared data."""
Operation = tuple[int, str, Callable[[], object]]
"""When (microseconds since 1970), what is done, and the doing of it."""
_NAME = re.compile(r"(\w+)(?:\.(\d[\d_.-]*))?\.log(?:\.gz)?")


def write_times(data: bytes, delay_s: float = 5.5) -> list[Timed]:
    """Give each row of a log, and when Zeek may have written it, in the file's order.

    A row is written ``delay_s`` after the connection's end, and after the row before.
    """
    rows, now_us = [], 0
    for end_s, line in _ends(data):
        now_us = max(now_us, int((end_s + delay_s) * SECOND_US))
        rows.append((now_us, line))
    return rows


def _ends(data: bytes) -> Iterator[tuple[float, bytes]]:
    fields: list[str] = []
    for line in data.splitlines(keepends=True):
        text = line.decode().rstrip("\n")
        if text.startswith("#fields"):
            fields = text.split("\t")[1:]
        if text.startswith("#"):
            continue
        is_json = text.startswith("{")
        row = json.loads(text) if is_json else _cells(fields, text)
        lasted = row.get("duration", "-")
        yield _seconds(row["ts"]) + (0 if lasted == "-" else float(lasted)), line


def _cells(fields: list[str], text: str) -> dict[str, str]:
    return dict(zip(fields, text.split("\t"), strict=True))


def _seconds(ts: str | float) -> float:
    if isinstance(ts, str) and "T" in ts:
        return datetime.fromisoformat(ts).timestamp()
    return float(ts)


def reenact(directory: Path, log_dir: Path, archive_dir: Path) -> Iterator[str]:
    """Do again to ``log_dir`` what a real Zeek did; one file operation a step.

    The bytes are those below ``directory``, a log directory that a live Zeek left; what
    lies in its folder ``arch`` went there through ``log_dir`` and now goes to
    ``archive_dir``. At the end both hold exactly the real files. What another run left
    as conn.log in ``log_dir`` is truncated in place, as Zeek does.

    Yields
    ------
    str
        What was done, after it was done.
    """
    log_dir.mkdir(parents=True, exist_ok=True)
    archive_dir.mkdir(parents=True, exist_ok=True)
    real = sorted(directory.rglob("*.log*"), key=_place)
    streams = [
        _stream([_Life(path, log_dir, archive_dir) for path in paths])
        for _, paths in groupby(real, key=lambda path: _place(path)[0])
    ]
    for _, what, operate in heapq.merge(*streams, key=lambda step: step[0]):
        operate()
        yield what


def _place(path: Path) -> tuple[str, bool, str]:
    """Order files by stream and age; the one that kept its name is the last."""
    found = _NAME.fullmatch(path.name)
    assert found, path
    return found[1], found[2] is None, found[2] or ""


def _stream(lives: "list[_Life]") -> Iterator[Operation]:
    now_us = 0
    for life in lives:
        for time_us, what, operate in life.operations():
            now_us = max(now_us, time_us)
            yield now_us, what, operate


class _Life:
    """One file of a real log directory, from its first row to its last place."""

    def __init__(self, real: Path, log_dir: Path, archive_dir: Path) -> None:
        self.stream, self.stays, date = _place(real)
        self.in_flight = real.suffix == ".gz" and real.parent.name != "arch"
        self.in_archive = real.parent.name == "arch"
        self.bytes = real.read_bytes()
        is_packed = real.suffix == ".gz"
        self.data = gzip.decompress(self.bytes) if is_packed else self.bytes
        suffix = ".gz" if self.in_flight else ""
        self.live = log_dir / f"{self.stream}.log{suffix}"
        if self.in_archive:  # 26-11-22_04.12.01-26-11-22_04.12.10
            date = "20" + date.partition("_")[0] + "-" + date[9:17].replace(".", "-")
        self.rotated = log_dir / f"{self.stream}.{date}.log{suffix}"
        self.archived = archive_dir / real.name
        self.fd = -1

    def operations(self) -> Iterator[Operation]:
        """Give the operations; those after the last row have no time of their own."""
        if self.in_flight:
            yield from self._packed_in_flight()
        else:
            yield from self._appended()
        if not self.stays:
            name = self.rotated.name
            yield 0, f"rename to {name}", lambda: self.live.rename(self.rotated)
        if self.in_archive:
            half = len(self.bytes) // 2
            for part in (b"", self.bytes[:half], self.bytes[half:]):
                yield 0, f"pack {self.archived.name}", partial(self._pack, part)
            yield 0, f"remove {self.rotated.name}", self.rotated.unlink

    def _appended(self) -> Iterator[Operation]:
        rows = write_times(self.data, 5.5 if self.stream == "conn" else 0.5)
        head = self.data[: self.data.index(rows[0][1])]
        tail = self.data[len(head) + sum(len(line) for _, line in rows) :]
        yield rows[0][0], f"open {self.live.name}", partial(self._open, head)
        for _, batch in groupby(rows, key=lambda row: row[0] // SECOND_US):
            timed = list(batch)
            lines = b"".join(line for _, line in timed)
            what = f"append {len(timed)} rows to {self.live.name}"
            yield timed[-1][0], what, partial(self._append, lines)
        if tail:
            yield 0, f"#close {self.live.name}", partial(self._append, tail)
        yield 0, f"close {self.live.name}", lambda: os.close(self.fd)

    def _packed_in_flight(self) -> Iterator[Operation]:
        rows = write_times(self.data)
        yield rows[0][0], f"open {self.live.name}", partial(self._open, b"")
        yield rows[-1][0], f"fill {self.live.name}", partial(self._append, self.bytes)
        yield 0, f"close {self.live.name}", lambda: os.close(self.fd)

    def _open(self, head: bytes) -> None:
        self.fd = os.open(self.live, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(self.fd, head)

    def _append(self, data: bytes) -> None:
        assert os.write(self.fd, data) == len(data)

    def _pack(self, part: bytes) -> None:
        with self.archived.open("ab") as file:
            file.write(part)
