"""The files of one live sensor: appended to, one set for each day of the log clock.

What a line holds is the business of `entropy_ids.alarms.sinks`. Whatever is written
again after a kill is compared with what is there, and only what goes beyond is added.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from entropy_ids.alarms import files
from entropy_ids.alarms.files import LineFile
from entropy_ids.alarms.sinks import (
    alarm_line,
    minutes_schema,
    remark_line,
    zeek_footer,
    zeek_header,
    zeek_row,
)
from entropy_ids.errors import ConfigError
from entropy_ids.types import DAY_MINUTES, MINUTE_S, Alarm, Quality

ALARMS, QUALITY = "alarms.jsonl", "quality.jsonl"
MINUTES, ZEEK = "minutes.parquet", "entropy_alarm.log"
HEARTBEAT = "heartbeat.json"
_LINES = (ALARMS, QUALITY, ZEEK)
"""In the order of their renaming: ``#open`` in the last tells whose day it is."""
DAY_S = DAY_MINUTES * MINUTE_S
_DATED = re.compile(
    r"(?:(?:alarms|quality)\.(\d{4}-\d\d-\d\d)\.jsonl"
    r"|minutes\.(\d{4}-\d\d-\d\d)\.parquet"
    r"|entropy_alarm\.(\d{4}-\d\d-\d\d)-00-00-00\.log)"
)
_OPEN = re.compile(rb"^#open\t(\d{4}-\d\d-\d\d)-\d\d-\d\d-\d\d\n", re.MULTILINE)
_HEAD_BYTES = 4096
_ODD = {
    "output-touched": "expected the file as it was left, found it shorter, longer or "
    "gone; lines are appended to what is there",
    "regenerated-differs": "expected the lines of before the restart once more, found "
    "others; all are kept, and the new ones appended",
}


@dataclass(frozen=True)
class OutputsState:
    """How far the files of a sensor are written; a part of its checkpoint.

    Attributes
    ----------
    day
        First second of the UTC day that the files are of; None before any minute.
    sizes
        Bytes of the files of lines of that day, by the names they have on their day.
    minutes
        Rows of that day's table of minutes.
    """

    day: int | None
    sizes: dict[str, int]
    minutes: int


class Outputs:
    """The alarm directory of one live sensor.

    The files of the current day have plain names. With the first minute of a later day
    they get the date into their names, and new ones begin. Nothing in a file of lines
    is ever changed: what writes there again after a kill is skipped as far as it is
    there. A clock that is set back stays in the current files until that day is over.

    Parameters
    ----------
    directory
        Made when it is not there.
    sensor
        The sensor's name, in remarks.
    columns
        Entropy columns of ``minutes.parquet``.
    state
        From the checkpoint that the minutes go on from. Without one, the files that
        are there are continued: a line that the file of its day holds is not written
        again, and rows of a table are dropped from the first minute that comes again.

    Raises
    ------
    ConfigError
        When the directory cannot be made, or one of its files is no regular file.
    OSError
        From any method, when the disk is full or broken. Then nothing is lost: make
        another one from the last checkpoint's state, and write from there.
    """

    def __init__(
        self,
        directory: Path,
        sensor: str,
        columns: Sequence[str],
        state: OutputsState | None = None,
    ) -> None:
        self.directory = directory
        self._sensor, self._schema = sensor, minutes_schema(columns)
        _make(directory)
        self._settled = state is None or state.day is None
        self._open(state or OutputsState(None, {}, 0))

    def _open(self, state: OutputsState) -> None:
        """Open the files of a day."""
        self._day = state.day
        self._files = {
            name: LineFile(
                self._path(name),
                state.sizes.get(name, 0),
                settled=self._settled or name == QUALITY,
            )
            for name in _LINES
        }
        rows = None if self._settled else state.minutes
        self._table = _Table(self._path(MINUTES), self._schema, rows)
        touched = [name for name in _LINES if self._files[name].touched]
        for name in touched + [MINUTES] * self._table.touched:
            self._remark_on(name, "output-touched")

    def write(
        self, minute: int, alarms: Iterable[Alarm], rows: pd.DataFrame | None = None
    ) -> None:
        """Append the revisions that closing a minute made, and its row of the table."""
        self.advance(minute)
        if rows is not None:
            self._table.add(rows)
        for alarm in alarms:
            self._put(ALARMS, alarm_line(alarm))
            self._put(ZEEK, zeek_row(alarm) + "\n")

    def advance(self, minute: int) -> None:
        """Begin the files of another day, when the minute's day is later."""
        day = minute - minute % DAY_S
        live = _day_of_live(self.directory) if self._day is None else None
        if live is not None and live < day:
            self._open(OutputsState(live, {}, 0))
        if self._day is not None:
            if day <= self._day:
                return
            self._end(minute, self._day)
        self._open(OutputsState(day, {}, 0))
        header = zeek_header(minute).splitlines(keepends=True)
        if not (self._settled and self._files[ZEEK].holds(header[-1].encode())):
            for line in header:
                self._put(ZEEK, line)

    def remark(self, quality: Quality) -> None:
        """Append a remark to ``quality.jsonl``, unless it holds it already."""
        self._files[QUALITY].write(remark_line(self._sensor, quality).encode())

    def sync(self) -> None:
        """Wait until all that was written is on disk; a checkpoint comes after."""
        for name in _LINES:
            self._files[name].sync()
        self._table.sync()
        files.sync_directory(self.directory)

    def state(self) -> OutputsState:
        """Give what a checkpoint needs, as of the last `sync`."""
        sizes = {name: self._files[name].size for name in _LINES}
        return OutputsState(self._day, sizes, self._table.height)

    def _put(self, name: str, line: str) -> None:
        if odd := self._files[name].write(line.encode()):
            self._remark_on(name, odd)

    def _remark_on(self, name: str, kind: str) -> None:
        self.remark(Quality(kind, self._day or 0, f"{name}: {_ODD[kind]}"))

    def _path(self, name: str) -> Path:
        """Give where a file of the day is: under its plain name, or its dated one."""
        live = self.directory / name
        if self._day is None:
            return live
        rotated = self.directory / dated(name, self._day)
        now = _day_of_live(self.directory)
        gone = now is not None and now > self._day
        return rotated if gone or rotated.exists() else live

    def _end(self, minute: int, day: int) -> None:
        """Give the files of a day their dated names, if they have not got them."""
        self._put(ZEEK, zeek_footer(minute))
        self._table.end(self.directory / dated(MINUTES, day))
        for name in _LINES:
            file = self._files[name]
            file.sync()
            file.path.rename(self.directory / dated(name, day))
        files.sync_directory(self.directory)


class _Table:
    """One day's ``minutes.parquet``: kept in memory, put in place whole.

    Parameters
    ----------
    rows
        How many of the rows that are there to keep; None keeps those before the first
        minute that comes.
    """

    def __init__(self, path: Path, schema: pa.Schema, rows: int | None) -> None:
        self._path, self._schema, self._settled = path, schema, rows is None
        data = files.read(path) if rows != 0 else b""
        self._table = _table_of(data, schema).slice(0, rows)
        least = int(bool(data)) if rows is None else rows
        self.touched = self._table.num_rows < least
        self._fresh: list[pa.Table] = []

    @property
    def height(self) -> int:
        return sum(map(len, self._fresh), len(self._table))

    def add(self, rows: pd.DataFrame) -> None:
        table = pa.Table.from_pandas(
            rows, self._schema, preserve_index=False, nthreads=1
        )
        if self._settled and len(table):
            self._drop_from(table["minute"][0])
        self._fresh.append(table)

    def _drop_from(self, first: pa.Scalar) -> None:
        there = self._table["minute"]
        place = pc.index(there, first).as_py()
        if place >= 0:
            self._table = self._table.slice(0, place)
        else:
            self._table = self._table.filter(pc.less(there, first))
        self._settled = False

    def sync(self) -> None:
        if not self._fresh:
            return
        tables, self._fresh = [self._table, *self._fresh], []
        self._table = pa.concat_tables(tables, promote_options="default")
        self._table = self._table.combine_chunks()
        self._write()

    def end(self, rotated: Path) -> None:
        """Give the whole day its dated name."""
        self.sync()
        if len(self._table):
            self._write()
            self._path.replace(rotated)

    def _write(self) -> None:
        data = BytesIO()
        pq.write_table(self._table, data, compression="zstd")
        files.replace(self._path, data.getvalue())


def _table_of(data: bytes, schema: pa.Schema) -> pa.Table:
    """Read a table; an empty one when there is none, or it is damaged."""
    try:
        return pq.ParquetFile(BytesIO(data)).read(use_threads=False)
    except (OSError, ValueError):
        return schema.empty_table()


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, PermissionError) as err:
        raise ConfigError(
            f"{directory}: expected a directory to write alarms to, found: "
            f"{err.strerror}; change [alarms] dir or its rights"
        ) from err


def dated(name: str, day: int) -> str:
    """Give the name that a file gets when its day is over.

    Examples
    --------
    >>> dated("alarms.jsonl", 1772582400), dated("entropy_alarm.log", 1772582400)
    ('alarms.2026-03-04.jsonl', 'entropy_alarm.2026-03-04-00-00-00.log')
    """
    date = datetime.fromtimestamp(day, UTC).strftime("%Y-%m-%d")
    stem, _, ending = name.partition(".")
    return f"{stem}.{date}{'-00-00-00' if name == ZEEK else ''}.{ending}"


def _day_of_live(directory: Path) -> int | None:
    """Give the day of the files with plain names, as the Zeek log's header tells it."""
    found = _OPEN.search(files.read(directory / ZEEK, _HEAD_BYTES))
    return _day_of(found[1].decode()) if found else None


def _day_of(date: str) -> int | None:
    try:
        return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None


def _days(directory: Path) -> dict[Path, int]:
    """Give the dated files and their days."""
    found: dict[Path, int] = {}
    for path in sorted(directory.iterdir()):
        name = _DATED.fullmatch(path.name)
        day = _day_of(next(filter(None, name.groups()))) if name else None
        if day is not None and path.is_file() and not path.is_symlink():
            found[path] = day
    return found


def retire(directory: Path, keep_days: int, today_minute: int) -> list[str]:
    """Remove dated files that are older than some days; give their names.

    Parameters
    ----------
    keep_days
        Days before that of ``today_minute`` whose files are kept; 0 keeps all.
    today_minute
        A minute that a checkpoint holds, since the files of its day are still needed;
        no later than the wall clock, or a sensor's wrong clock removes all.
    """
    if keep_days <= 0:
        return []
    oldest = today_minute - today_minute % DAY_S - keep_days * DAY_S
    old = [path for path, day in _days(directory).items() if day < oldest]
    for path in old:
        path.unlink()
    return [path.name for path in old]


def heartbeat(directory: Path, document: Mapping[str, Any]) -> None:
    """Put ``heartbeat.json`` in place."""
    data = json.dumps(document, indent=2) + "\n"
    files.replace(directory / HEARTBEAT, data.encode(), durable=False)
