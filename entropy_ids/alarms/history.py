"""What a directory of alarms says: its lines read back, over all days."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from entropy_ids.alarms import files
from entropy_ids.alarms.sinks import sanitize
from entropy_ids.errors import InputError
from entropy_ids.types import Alarm

LIVE = "alarms.jsonl"
DATED = "alarms.????-??-??.jsonl"
_SHOWN = 60


def read_alarms(directory: Path) -> list[Alarm]:
    """Give every revision, in the order in which they were written.

    Parameters
    ----------
    directory
        What ``replay --out`` or the daemon writes for one sensor; files of earlier days
        are read too.

    Raises
    ------
    InputError
        When there is no ``alarms.jsonl`` of any day, or a line is no alarm.
    """
    live = directory / LIVE
    held = {live: files.read(live)}  # first: a day may end while we read
    dated = sorted(directory.glob(DATED))
    if not dated and not live.exists():
        raise InputError(
            f"{directory}: expected a directory with {LIVE}, found none; give what "
            "replay --out or the daemon wrote"
        )
    found: list[Alarm] = []
    for path in (*dated, live):
        data = held.get(path) or files.read(path)
        for number, line in enumerate(files.lines(data), 1):
            found.append(as_alarm(parsed(line, f"{path}:{number}"), f"{path}:{number}"))
    return found


def parsed(line: bytes, where: str) -> dict[str, Any]:
    """Read one line as the object that it holds.

    Raises
    ------
    InputError
        When it holds none.
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise InputError(
            f"{where}: expected an object in JSON, found "
            f"{sanitize(line[:_SHOWN].decode(errors='replace'))!r}; remove the line"
        )
    return row


def as_alarm(row: dict[str, Any], where: str) -> Alarm:
    """Make an alarm of its line: the reverse of `entropy_ids.alarms.sinks.as_dict`.

    Raises
    ------
    InputError
        When the row lacks something, or holds another kind of value.
    """
    try:
        times = {name: _epoch(row[name]) for name in ("start", "end")}
        return msgspec.convert(row | times | {"class_name": row["class"]}, Alarm)
    except (KeyError, TypeError, ValueError) as err:
        raise InputError(
            f"{where}: expected a whole alarm, found {sanitize(str(err))} missing or "
            "odd; remove the line"
        ) from err


def _epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def newest(alarms: Iterable[Alarm]) -> list[Alarm]:
    """Give the newest revision of each incident, by their first minutes."""
    by_id = {alarm.id: alarm for alarm in alarms}
    return sorted(by_id.values(), key=lambda alarm: (alarm.start, alarm.id))


def find(alarms: Iterable[Alarm], alarm_id: str) -> Alarm:
    """Give the newest revision of the incident whose id begins so.

    Raises
    ------
    InputError
        When there is none, or more than one.
    """
    incidents = newest(alarms)
    found = [alarm for alarm in incidents if alarm.id.startswith(alarm_id)]
    if len(found) != 1 or not alarm_id:
        raise InputError(
            f"{sanitize(alarm_id)!r}: expected the beginning of one alarm's id, found "
            f"{len(found)} of {len(incidents)} that begin so; alarms.jsonl has the ids"
        )
    return found[0]
