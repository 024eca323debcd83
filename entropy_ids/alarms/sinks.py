"""Emit: alarms as JSON lines and as a Zeek log, remarks about data as JSON lines.

Text from the wire is hostile: `sanitize` is the one way out, then each format escapes.
A replay's files are written here; a daemon's are in `entropy_ids.alarms.outputs`.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from entropy_ids.alarms.incidents import iso
from entropy_ids.types import Alarm, BadRow, Quality

MOST_CHARS = 1_000
_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_DIGITS = 6


def sanitize(text: str) -> str:
    r"""Make text harmless to print: control, bidi, zero-width and separator characters.

    Examples
    --------
    >>> sanitize("a\x1b[31m\u202eb")
    'a\\u{1b}[31m\\u{202e}b'
    """
    safe = "".join(
        f"\\u{{{ord(char):x}}}" if unicodedata.category(char) in _UNSAFE else char
        for char in text[: MOST_CHARS + 1]
    )
    return safe if len(text) <= MOST_CHARS else safe[:MOST_CHARS] + "..."


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return sanitize(value)
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    return value


def as_dict(alarm: Alarm) -> dict[str, Any]:
    """Give an alarm as it stands in ``alarms.jsonl``."""
    row = {
        "id": alarm.id,
        "revision": alarm.revision,
        "state": alarm.state,
        "schema": alarm.schema,
        "sensor": alarm.sensor,
        "class": alarm.class_name,
        "severity": alarm.severity,
        "confidence": alarm.confidence,
        "start": iso(alarm.start),
        "end": iso(alarm.end),
        "detector": alarm.detector,
        "score": alarm.score,
        "threshold": alarm.threshold,
        "deviations": [asdict(deviation) for deviation in alarm.deviations],
        "contributors": [asdict(contributor) for contributor in alarm.contributors],
        "uids": alarm.uids,
        "community_ids": alarm.community_ids,
        "flows": alarm.flows,
        "suppressed_by": alarm.suppressed_by,
        "profile": dict(alarm.profile),
        "technique": alarm.technique,
        "summary": alarm.summary,
    }
    cleaned: dict[str, Any] = _clean(row)
    return cleaned


def alarm_line(alarm: Alarm) -> str:
    """Give an alarm as a line of ``alarms.jsonl``."""
    return json.dumps(as_dict(alarm)) + "\n"


def remark_line(sensor: str, remark: Quality) -> str:
    """Give a remark as a line of ``quality.jsonl``."""
    row = {"sensor": sensor, "class": remark.kind, "start": iso(remark.minute)}
    return json.dumps(_clean({**row, "summary": remark.detail})) + "\n"


ZEEK_FIELDS: dict[str, str] = {
    "ts": "time",
    "id": "string",
    "revision": "count",
    "state": "string",
    "schema": "count",
    "sensor": "string",
    "class": "string",
    "severity": "string",
    "confidence": "double",
    "start": "time",
    "end": "time",
    "detector": "string",
    "score": "double",
    "threshold": "double",
    "deviations": "vector[string]",
    "contributors": "vector[string]",
    "uids": "vector[string]",
    "community_ids": "vector[string]",
    "flows": "count",
    "suppressed_by": "string",
    "profile_name": "string",
    "profile_hash": "string",
    "technique": "vector[string]",
    "summary": "string",
}
"""Columns of ``entropy_alarm.log``; a deviation is written as JSON in one element."""
_UNSET, _EMPTY = "-", "(empty)"


def zeek_row(alarm: Alarm) -> str:
    """Give an alarm as a line of ``entropy_alarm.log``, without its newline."""
    row = as_dict(alarm)
    row |= {
        "ts": alarm.start,
        "start": alarm.start,
        "end": alarm.end,
        "profile_name": row["profile"]["name"],
        "profile_hash": row["profile"]["hash"],
        "deviations": [json.dumps(item) for item in row["deviations"]],
        "contributors": [json.dumps(item) for item in row["contributors"]],
    }
    return "\t".join(_zeek_value(row[name], kind) for name, kind in ZEEK_FIELDS.items())


def _zeek_value(value: Any, kind: str) -> str:
    if value is None:
        return _UNSET
    if kind == "time":
        return f"{value}.000000"
    if kind.startswith("vector"):
        return ",".join(_escape(str(v), more=",") for v in value) or _EMPTY
    return _escape(str(value)) if isinstance(value, str) else str(value)


def _escape(text: str, more: str = "") -> str:
    """Escape as Zeek's ASCII writer does, and what would read as unset or empty."""
    if text in (_UNSET, _EMPTY, ""):
        return "".join(f"\\x{ord(c):02x}" for c in text) or _EMPTY
    special = "\\\t\n\r" + more
    return "".join(f"\\x{ord(c):02x}" if c in special else c for c in text)


def zeek_header(minute: int | None) -> str:
    """Give the header of ``entropy_alarm.log``, opened at a minute of the log clock."""
    lines = [
        "#separator \\x09",
        "#set_separator\t,",
        f"#empty_field\t{_EMPTY}",
        f"#unset_field\t{_UNSET}",
        "#path\tentropy_alarm",
        f"#open\t{_zeek_time(minute)}",
        "#fields\t" + "\t".join(ZEEK_FIELDS),
        "#types\t" + "\t".join(ZEEK_FIELDS.values()),
    ]
    return "\n".join(lines) + "\n"


def zeek_footer(minute: int | None) -> str:
    """Give the last line of ``entropy_alarm.log``, closed at a minute."""
    return f"#close\t{_zeek_time(minute)}\n"


def _zeek_time(minute: int | None) -> str:
    if minute is None:
        return _UNSET
    return datetime.fromtimestamp(minute, UTC).strftime("%Y-%m-%d-%H-%M-%S")


def minutes_schema(columns: Sequence[str]) -> pa.Schema:
    """Give the schema of ``minutes.parquet`` for these entropy columns."""
    head = {
        "minute": pa.timestamp("us", "UTC"),
        "score": pa.float64(),
        "threshold": pa.float64(),
        "coverage": pa.large_string(),
        "flows": pa.int64(),
    }
    return pa.schema(head | dict.fromkeys(columns, pa.float64()))


class AlarmFiles:
    """The alarm files of one directory, written anew as minutes close.

    The first and the last minute are the Zeek log's ``#open`` and ``#close``, so that
    the bytes follow from the logs alone.
    """

    def __init__(self, directory: Path) -> None:
        self._jsonl = _new(directory / "alarms.jsonl")
        self._zeek = _new(directory / "entropy_alarm.log")
        self._minute: int | None = None

    def advance(self, minute: int) -> None:
        """Take a minute that closed; the first one opens the Zeek log."""
        if self._minute is None:
            self._zeek.write(zeek_header(minute))
        self._minute = minute

    def write(self, minute: int, alarms: Iterable[Alarm]) -> None:
        """Append the revisions that closing a minute made to both files."""
        self.advance(minute)
        for alarm in alarms:
            self._jsonl.write(alarm_line(alarm))
            self._zeek.write(zeek_row(alarm) + "\n")

    def close(self) -> None:
        """End both files."""
        if self._minute is None:
            self._zeek.write(zeek_header(None))
        self._zeek.write(zeek_footer(self._minute))
        self._jsonl.close()
        self._zeek.close()


def write_remarks(
    directory: Path, sensor: str, quality: Sequence[Quality], bad: Sequence[BadRow]
) -> None:
    """Write ``quality.jsonl`` and ``quarantine.jsonl``."""
    with _new(directory / "quality.jsonl") as out:
        out.writelines(remark_line(sensor, remark) for remark in quality)
    with _new(directory / "quarantine.jsonl") as out:
        for line in bad:
            out.write(json.dumps(_clean(asdict(line))) + "\n")


def _new(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8", newline="\n")
