"""The numbers that the page's script draws: minutes, incidents, curves."""

from __future__ import annotations

from bisect import bisect_left
from math import isfinite
from typing import Any

import polars as pl

from entropy_ids.alarms.incidents import SEVERITIES
from entropy_ids.features.catalog import Column
from entropy_ids.report.found import Found
from entropy_ids.report.words import furthest
from entropy_ids.types import MINUTE_S, Alarm, Deviation

MOST_CURVES = 4
AROUND = 60
"""Minutes shown before and after an incident."""
_DIGITS = 5


def charts(found: Found) -> dict[str, Any]:
    """Give all that is drawn, as plain values; None is unknown."""
    table = with_gaps(found.minutes)
    minutes = table["minute"].to_list()
    return {
        "minute": minutes,
        "score": _rounded(table["score"]),
        "threshold": _rounded(table["threshold"]),
        "flows": table["flows"].to_list(),
        "incidents": [
            [alarm.start, alarm.end, SEVERITIES.index(alarm.severity)]
            for alarm in found.active
        ],
        "unscored": _unscored(table),
        "curves": {
            f"{place}-{number}": _curve(table, minutes, alarm, deviation)
            for place, alarm in enumerate(found.incidents)
            for number, deviation in enumerate(drawn(found, alarm))
        },
    }


def drawn(found: Found, alarm: Alarm) -> list[Deviation]:
    """Give the deviations whose curves stand beside an incident."""
    there = [d for d in alarm.deviations if column_of(d) in found.minutes.columns]
    return furthest(there, MOST_CURVES)


def column_of(deviation: Deviation) -> str:
    """Name the column of the minutes that deviates."""
    d = deviation
    return Column(d.feature, d.direction, d.entropy, d.alpha).name


def with_gaps(table: pl.DataFrame) -> pl.DataFrame:
    """Put one unknown minute into every gap, so that no line is drawn across it."""
    after = pl.col("minute").diff().shift(-1) > MINUTE_S
    gaps = table.filter(after).select(pl.col("minute") + MINUTE_S)
    return pl.concat([table, gaps], how="diagonal").sort("minute")


def _unscored(table: pl.DataFrame) -> list[tuple[int, int]]:
    """Give the stretches without a score: first second, end."""
    runs = table.with_columns(run=pl.col("score").is_null().rle_id()).filter(
        pl.col("score").is_null()
    )
    ends = runs.group_by("run", maintain_order=True).agg(
        start=pl.col("minute").min(), end=pl.col("minute").max() + MINUTE_S
    )
    return ends.select("start", "end").rows()


def _curve(
    table: pl.DataFrame, minutes: list[int], alarm: Alarm, deviation: Deviation
) -> dict[str, Any]:
    first = bisect_left(minutes, alarm.start - AROUND * MINUTE_S)
    end = bisect_left(minutes, alarm.end + AROUND * MINUTE_S)
    return {
        "first": first,
        "values": _rounded(table[column_of(deviation)][first:end]),
        "low": _finite(deviation.low),
        "high": _finite(deviation.high),
        "from": alarm.start,
        "to": alarm.end,
        "log2": deviation.entropy == "log2",
    }


def _rounded(values: pl.Series) -> list[float | None]:
    numbers = values.cast(pl.Float64).round_sig_figs(_DIGITS).to_list()
    return [None if n is None else _finite(n) for n in numbers]


def _finite(number: float) -> float | None:
    return float(f"{number:.{_DIGITS}g}") if isfinite(number) else None
