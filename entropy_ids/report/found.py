"""Read back what a replay or a daemon wrote: alarms, minutes, remarks, evidence.

All of it may hold what an attacker sent, or be cut short: what cannot be understood is
counted and left out. What is said of it is the business of the other modules here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import polars as pl

from entropy_ids.alarms import files
from entropy_ids.alarms.history import as_alarm, parsed
from entropy_ids.alarms.incidents import SEVERITIES
from entropy_ids.alarms.outputs import ALARMS, MINUTES, QUALITY
from entropy_ids.alarms.sinks import minutes_schema
from entropy_ids.errors import ConfigError, InputError
from entropy_ids.types import Alarm, Quality

EVIDENCE_LOGS = ("conn", "dns", "http", "files", "smtp", "ssl", "ssh", "notice")
MOST_EVIDENCE_BYTES = 16 << 20
_ID = re.compile(r"[0-9a-f]{8,64}")
_DAY = r"\d{4}-\d\d-\d\d"
_Told = TypeVar("_Told")


class Rows(msgspec.Struct, frozen=True):
    """Rows of one log that belong to an incident: the first ones, and how many."""

    rows: list[dict[str, Any]] = []
    count: int = 0
    missing: bool = False


@dataclass(frozen=True)
class Evidence:
    """Rows of other logs that belong to an incident.

    Attributes
    ----------
    logs
        Log → its rows; empty where nothing was kept.
    problems
        What could not be read when they were looked for.
    """

    logs: dict[str, Rows] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def missing(self) -> list[str]:
        """The logs that were not there."""
        return [name for name, found in self.logs.items() if found.missing]


class _Remark(msgspec.Struct, rename={"kind": "class"}):
    kind: str
    start: datetime
    summary: str


@dataclass(frozen=True)
class Found:
    """What an output directory tells.

    Attributes
    ----------
    incidents
        The newest revision of each, the worst first; suppressed ones come last.
    minutes
        As in ``minutes.parquet``, with ``minute`` in epoch seconds, each once.
    remarks
        About the data, in the order of their minutes.
    odd
        Lines of the files that were not understood.
    """

    directory: Path
    incidents: list[Alarm] = field(default_factory=list)
    minutes: pl.DataFrame = field(default_factory=pl.DataFrame)
    remarks: list[Quality] = field(default_factory=list)
    odd: int = 0

    @property
    def active(self) -> list[Alarm]:
        """The incidents that no rule suppresses."""
        return [alarm for alarm in self.incidents if alarm.suppressed_by is None]

    def evidence(self, alarm: Alarm) -> Evidence:
        """Give what was kept of other logs; nothing where the file is odd."""
        path = self.directory / "evidence" / f"{alarm.id}.json"
        try:
            told = json.loads(files.read(path, MOST_EVIDENCE_BYTES) or b"{}")
            logs = {name: told[name] for name in EVIDENCE_LOGS if name in told}
            return msgspec.convert(told | {"logs": logs}, Evidence)
        except (ConfigError, OSError, TypeError, ValueError, RecursionError):
            return Evidence()


def read(directory: Path, since: int | None = None, until: int | None = None) -> Found:
    """Read the output of a replay, or of a daemon's days.

    Parameters
    ----------
    since, until
        The first minute wanted and the first not wanted; None is open. An incident
        counts when a part of it lies within.

    Raises
    ------
    InputError
        When there are no alarm files, or a table of minutes is damaged.
    """
    first = -float("inf") if since is None else since
    end = float("inf") if until is None else until
    lines, odd = _lines(_paths(directory, ALARMS, required=True), _alarm_of)
    newest: dict[str, Alarm] = {}
    for alarm in lines:
        if alarm.id not in newest or alarm.revision >= newest[alarm.id].revision:
            newest[alarm.id] = alarm
    within = [a for a in newest.values() if a.start < end and a.end > first]
    remarks, more_odd = _lines(_paths(directory, QUALITY), _remark_of)
    return Found(
        directory,
        sorted(within, key=_worst_first),
        _minutes(_paths(directory, MINUTES), since, until),
        sorted((r for r in remarks if first <= r.minute < end), key=lambda r: r.minute),
        odd + more_odd,
    )


def _alarm_of(row: dict[str, Any]) -> Alarm:
    alarm = as_alarm(row, ALARMS)
    known = _ID.fullmatch(alarm.id) and alarm.severity in SEVERITIES
    if not known or not 0 <= alarm.start < alarm.end:
        raise ValueError("an id, a severity or a time of another kind")
    return alarm


def _remark_of(row: dict[str, Any]) -> Quality:
    remark = msgspec.convert(row, _Remark)
    return Quality(remark.kind, int(remark.start.timestamp()), remark.summary)


def _worst_first(alarm: Alarm) -> tuple[bool, int, float, str]:
    rank = -SEVERITIES.index(alarm.severity)
    return alarm.suppressed_by is not None, rank, -alarm.start, alarm.id


def _lines(
    paths: Iterable[Path], made: Callable[[dict[str, Any]], _Told]
) -> tuple[list[_Told], int]:
    """Give what whole lines hold, and how many were not understood."""
    found: list[_Told] = []
    odd = 0
    for path in paths:
        name = path.name
        for line in files.lines(files.read(path)):
            try:
                found.append(made(parsed(line, name)))
            except (InputError, ValueError, OverflowError, RecursionError):
                odd += 1
    return found, odd


def _paths(directory: Path, name: str, *, required: bool = False) -> list[Path]:
    """Give the files of all days, the plain one (of the current day) last."""
    stem, _, ending = name.partition(".")
    dated = re.compile(rf"{stem}\.{_DAY}\.{ending}")
    try:
        names = {path.name for path in directory.iterdir()}
    except OSError as err:
        raise InputError(
            f"{directory}: expected the directory of a replay's --out or of a daemon's "
            f"alarms, found: {err.strerror}"
        ) from err
    found = sorted(filter(dated.fullmatch, names)) + [name] * (name in names)
    if required and not found:
        below = sorted(path.parent.name for path in directory.glob(f"*/{name}"))
        which = f"give one of its sensors: {', '.join(below)}" if below else "give it"
        raise InputError(
            f"{directory}: expected {name}, as in a replay's --out or a daemon's "
            f"directory of alarms, found none; {which}"
        )
    return [directory / each for each in found]


def _minutes(
    paths: Iterable[Path], since: int | None, until: int | None
) -> pl.DataFrame:
    """Give the minutes of all days; of a minute told twice the later row."""
    tables = [table for table in map(_table, paths) if table is not None]
    if not tables:
        return pl.DataFrame(schema={"minute": pl.Int64, **_HEAD})
    joined = pl.concat(tables, how="diagonal").with_columns(
        pl.col("minute").dt.epoch("s")
    )
    if since is not None:
        joined = joined.filter(pl.col("minute") >= since)
    if until is not None:
        joined = joined.filter(pl.col("minute") < until)
    once = joined.unique("minute", keep="last", maintain_order=True)
    return once.sort("minute")


_HEAD = {
    "score": pl.Float64,
    "threshold": pl.Float64,
    "coverage": pl.String,
    "flows": pl.Int64,
}


def _table(path: Path) -> pl.DataFrame | None:
    """Read a table of minutes; None while a replay has not written it."""
    data = files.read(path)
    if not data:
        return None
    try:
        table = pl.read_parquet(BytesIO(data), use_statistics=False)
        head = pl.DataFrame(minutes_schema([]).empty_table()).schema
        return table.cast(head).fill_nan(None)
    except (pl.exceptions.PolarsError, OSError) as err:
        raise InputError(
            f"{path}: expected a table of minutes, found a damaged one or another "
            "table; move it away, or replay the logs anew"
        ) from err
