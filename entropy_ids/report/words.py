"""The words that the page and the terminal share: figures, ranges, the headline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import polars as pl

from entropy_ids.alarms.incidents import SEVERITIES
from entropy_ids.features.catalog import FEATURES
from entropy_ids.report.found import Evidence, Found
from entropy_ids.types import MINUTE_S, Alarm, Contributor, Deviation

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "conn": (
        "ts",
        "uid",
        "id.orig_h",
        "id.orig_p",
        "id.resp_h",
        "id.resp_p",
        "proto",
        "service",
        "duration",
        "orig_bytes",
        "resp_bytes",
        "conn_state",
    ),
    "dns": ("ts", "uid", "id.orig_h", "query", "qtype_name", "rcode_name", "answers"),
    "http": ("ts", "uid", "method", "host", "uri", "status_code", "user_agent"),
    "files": ("ts", "fuid", "source", "mime_type", "filename", "total_bytes", "sha1"),
    "smtp": ("ts", "uid", "mailfrom", "rcptto", "subject", "last_reply"),
    "ssl": ("ts", "uid", "id.resp_h", "version", "server_name", "validation_status"),
    "ssh": ("ts", "uid", "auth_success", "auth_attempts", "client", "server"),
    "notice": ("ts", "uid", "note", "msg", "src", "dst"),
}
"""What is shown of a row of evidence; the rest stands in its file."""
_MEASURES = {
    "renyi": "Rényi entropy",
    "tsallis": "Tsallis entropy",
    "rarefied": "entropy of equal samples",
}
_UNITS = {"renyi": " bits", "rarefied": " bits"}
_DIRECTIONS = {"all": "whole site"}
_MEANINGS = {"orig_net": "source network"}
_DAY_S = 86_400
_LONG = 1e15
_NAMED = 2


def headline(found: Found) -> str:
    """Say in one sentence how the network is."""
    scored = found.minutes["score"].count()
    active = found.active
    if not scored and not active:
        return "No minute was scored, so nothing is known of this network."
    if not active:
        return f"Nothing unusual: no incident in {scored:,} scored minutes."
    kinds = Counter(alarm.severity for alarm in active)
    worst = [f"{kinds[name]} {name}" for name in reversed(SEVERITIES) if kinds[name]]
    running = sum(alarm.state != "closed" for alarm in active)
    return (
        f"{plural(len(active), 'incident')} to look at: {', '.join(worst)}; "
        f"{running or 'none'} still open."
    )


def plural(number: int, noun: str) -> str:
    """Count things.

    Examples
    --------
    >>> plural(1, "minute"), plural(1440, "minute")
    ('1 minute', '1,440 minutes')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def stamp(second: float, form: str = "%Y-%m-%d %H:%M") -> str:
    """Write a UTC time for people; a number that is no time stays a number."""
    try:
        return datetime.fromtimestamp(second, UTC).strftime(form)
    except (ValueError, OverflowError, OSError):
        return str(second)


def when(start: int, end: int) -> str:
    """Say when something was, and how long.

    Examples
    --------
    >>> when(1713684300, 1713684600)
    '2024-04-21 07:25 to 07:30 UTC, 5 minutes'
    """
    same_day = start // _DAY_S == end // _DAY_S
    until = stamp(end, "%H:%M" if same_day else "%Y-%m-%d %H:%M")
    length = plural((end - start) // MINUTE_S, "minute")
    return f"{stamp(start)} to {until} UTC, {length}"


def span(minutes: pl.DataFrame) -> str:
    """Say from when to when a table of minutes goes."""
    if minutes.is_empty():
        return "no minutes"
    first, last = minutes["minute"][0], minutes["minute"][-1] + MINUTE_S
    return f"{stamp(first)} to {stamp(last)} UTC"


def meaning(feature: str) -> str:
    """Say what a feature is."""
    known = FEATURES.get(feature)
    return known.meaning if known else _MEANINGS.get(feature, feature)


def place(deviation: Deviation) -> str:
    """Say what deviates, and as seen where."""
    where = _DIRECTIONS.get(deviation.direction, deviation.direction)
    return f"{meaning(deviation.feature)}, {where}"


def measure(deviation: Deviation) -> str:
    """Say through what statistic it deviates; a plain number needs none."""
    if deviation.entropy == "log2":
        return "number"
    name = _MEASURES.get(deviation.entropy, deviation.entropy)
    return name if deviation.alpha is None else f"{name}, order {deviation.alpha:g}"


def figure(deviation: Deviation, value: float) -> str:
    """Write a value of a deviating column; sizes as numbers, not as logarithms.

    Examples
    --------
    >>> from dataclasses import replace
    >>> size = Deviation("flows", "all", "log2", None, 7, 1, 2, 6, "high")
    >>> figure(size, 7.0), figure(replace(size, entropy="renyi"), 7.0)
    ('127', '7.00 bits')
    """
    if not isfinite(value):
        return "unknown"
    if deviation.entropy == "log2":
        number = 2.0 ** min(value, 1000.0) - 1
        return f"{number:,.0f}" if number < _LONG else f"{number:.2g}"
    return f"{value:.2f}{_UNITS.get(deviation.entropy, '')}"


def usual(deviation: Deviation) -> str:
    """Write the usual range of a deviating column."""
    low, high = (figure(deviation, n) for n in (deviation.low, deviation.high))
    return f"{low.removesuffix(_UNITS.get(deviation.entropy, ''))} to {high}"


def without(deviation: Deviation) -> str:
    """Say without whose connections a column would be inside, and where.

    Examples
    --------
    >>> from entropy_ids.types import Removal, Removed
    >>> scanner = Removal("orig_h", (Removed("10.20.3.7", 812, 0.61, 0.0),), 0.8)
    >>> size = Deviation("fan_out", "all", "log2", None, 7, 1, 2, 6, "high", scanner)
    >>> without(size)
    '10.20.3.7 (r 0.8)'
    """
    removal = deviation.removal
    if removal is None:
        return ""
    values = [removed.value for removed in removal.values]
    more = f" and {len(values) - _NAMED} more" if len(values) > _NAMED else ""
    r = "too few left" if removal.r is None else f"r {removal.r:.1f}"
    return f"{', '.join(values[:_NAMED])}{more} ({r})"


def explains(contributor: Contributor) -> str:
    """Say how many columns would be inside without a value."""
    number = len(contributor.explains)
    return plural(number, "column") if number else ""


def times(alarm: Alarm) -> str:
    """Say how far above the threshold the score was."""
    return f"{alarm.score / max(alarm.threshold, 1e-300):.2f} ×"


def furthest(deviations: Iterable[Deviation], most: int) -> list[Deviation]:
    """Give the first deviation of each feature: the others say much the same."""
    first: dict[str, Deviation] = {}
    for deviation in deviations:
        first.setdefault(deviation.feature, deviation)
    return list(first.values())[:most]


def lacking(evidence: Evidence) -> list[str]:
    """Say what evidence could not be had."""
    absent = ", ".join(f"{log}.log" for log in evidence.missing)
    return [f"Not there: {absent}."] * bool(absent) + evidence.problems


def columns_of(log: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give the columns to show of rows of evidence: those that any row has."""
    return [
        name
        for name in COLUMNS[log]
        if any(row.get(name) not in (None, "", []) for row in rows)
    ]


def cell(name: str, value: object, most: int = 120) -> str:
    """Write one value of a row of evidence."""
    if value is None or value == []:
        return "-"
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    if name == "ts" and isinstance(value, (int, float)):
        value = stamp(value, "%Y-%m-%d %H:%M:%S")
    shown = str(value)
    return shown if len(shown) <= most else shown[:most] + "..."
