"""Small builders that several tests share: a series, counted minutes, verdicts, alarms.

Everything has a usual value, so that a test names only what it is about.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from entropy_ids.collector.schema import KEPT
from entropy_ids.features.counting import count
from entropy_ids.types import (
    MINUTE_S,
    Alarm,
    Contributor,
    Deviation,
    EntropySeries,
    Minutes,
    Sign,
    Verdict,
)

T0 = 1_713_682_800
"""2024-04-21 07:00 UTC, a Sunday."""
COLUMNS = (
    "orig_h.all.renyi.1",
    "resp_h.all.rarefied.0",
    "resp_p.inbound.rarefied.1",
    "orig_p.all.tsallis.-2",
    "fan_out.outbound.log2",
    "flows.all.log2",
)

HOSTILE = {
    "ansi": "\x1b[31mred\x1b[0m",
    "osc-52": "\x1b]52;c;ZXZpbA==\x07",
    "c1": "\x9b31m\x85",
    "bidi": "\u202egnp.exe\u2066\u2069",
    "zero-width": "a\u200bb\u200d\ufeff",
    "line-separators": "one\u2028two\u2029three",
    "nul": "a\x00b",
    "tab": "a\tb",
    "newline": "a\nb",
    "carriage-return": "a\rb\r\n",
    "backslash": "C:\\x09\\",
    "commas": ",a,,b,",
    "quotes": "\"a\" 'b' `c`",
    "unset": "-",
    "empty-mark": "(empty)",
    "empty": "",
    "header": "#close\t#fields",
    "megabyte": "x" * (1 << 20),
    "escapes": "\x1b" * 1_500,
    "surrogate": "a\udc80b",
    "unassigned": "a\U000e0041\ue000b",
    "markup": "[bold red]a[/bold red][/]",
    "letters": "füñf 五 ∑",
}
"""Text as it may come from the wire."""


# ------------------------------------------------------------------------- series


def stamps(minutes: int, start: int = T0) -> pd.DatetimeIndex:
    """Give consecutive minutes."""
    seconds = start + MINUTE_S * np.arange(minutes)
    return pd.DatetimeIndex(pd.to_datetime(seconds, unit="s", utc=True), name="minute")


def series(
    minutes: int = 240,
    seed: int = 0,
    start: int = T0,
    columns: Iterable[str] = COLUMNS,
    unknown: float = 0.0,
) -> EntropySeries:
    """Give a rhythm, two hidden causes and some noise, seen through columns.

    ``unknown`` is the share of values that are NaN.
    """
    names = list(columns)
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(3, len(names)))  # the same site
    rhythm = np.sin(2 * np.pi * np.arange(minutes) / 60)
    causes = np.column_stack([rhythm, rng.normal(size=(minutes, 2))])
    values = 5 + causes @ mix + rng.normal(scale=0.3, size=(minutes, len(names)))
    wide = [place for place, name in enumerate(names) if "tsallis" in name]
    values[:, wide] = 10 ** (values[:, wide] / 2 + 3)
    values[rng.random(values.shape) < unknown] = np.nan
    index = stamps(minutes, start)
    return EntropySeries(
        pd.DataFrame(values, index=index, columns=names),
        pd.Series(["complete"] * minutes, index=index, name="coverage"),
        pd.Series(rng.integers(1, 100, minutes), index=index, name="flows"),
        pd.Series(np.zeros(minutes, np.int64), index=index, name="epoch"),
    )


def covered(whole: EntropySeries, marks: Mapping[int, str]) -> EntropySeries:
    """Give the series with other coverage at some positions."""
    coverage = whole.coverage.copy()
    for place, mark in marks.items():
        coverage.iloc[place] = mark
    return replace(whole, coverage=coverage)


def epochs(*parts: EntropySeries) -> EntropySeries:
    """Join series as if the clock had been anchored anew before each of them."""
    return EntropySeries.concat(
        [replace(part, epoch=part.epoch + number) for number, part in enumerate(parts)]
    )


def copied(whole: EntropySeries) -> EntropySeries:
    """Copy a series, values and all."""
    return EntropySeries(
        whole.values.copy(deep=True),
        whole.coverage.copy(deep=True),
        whole.flows.copy(deep=True),
        whole.epoch.copy(deep=True),
    )


# ----------------------------------------------------------------- counted minutes

Row = dict[str, Any]


def row(orig_h: str = "10.0.0.1", **values: Any) -> Row:
    """Give a connection; ``id.`` is left out of names."""
    usual = {"orig_h": orig_h, "orig_p": 40_000, "resp_h": "192.0.2.1", "resp_p": 443}
    usual |= {"proto": "tcp", "service": "ssl", "conn_state": "SF", "uid": "C1"}
    ends = ("orig_h", "orig_p", "resp_h", "resp_p")
    return {f"id.{k}" if k in ends else k: v for k, v in (usual | values).items()}


def minutes(rows: Iterable[Row], minute: int = T0) -> Minutes:
    """Give one closed minute that holds these connections."""
    rows = list(rows)
    columns = {name: [row.get(name) for row in rows] for name in KEPT}
    frame = pl.DataFrame(columns, schema=KEPT).with_columns(
        minute=pl.lit(minute, pl.Int64), direction=pl.lit(0, pl.Int8)
    )
    index = {"minute": [minute], "coverage": ["complete"], "flows": [len(rows)]}
    return Minutes(pl.DataFrame(index | {"epoch": [0]}), count(frame), frame)


# --------------------------------------------------------------- verdicts and alarms


def contributor(value: str = "10.0.0.1", **values: Any) -> Contributor:
    """Give a value that half of the minute's hundred connections have."""
    usual = {"feature": "orig_h", "direction": "all", "flows": 50, "share": 0.5}
    return Contributor(value=value, **(usual | {"usual_share": 0.1} | values))


def deviation(name: str = "orig_h.all.renyi.1", sign: Sign = "concentrated", **values):
    """Give a column outside its bounds."""
    feature, direction, entropy, *alpha = name.split(".")
    order = float(alpha[0]) if alpha else None
    usual = {"value": 0.5, "low": 1.0, "high": 2.0, "r": -0.5}
    return Deviation(
        feature, direction, entropy, order, sign=sign, **(usual | dict(values))
    )


def verdict(minute: int = T0, class_name: str = "port-scan", **values: Any) -> Verdict:
    """Give a minute above the threshold."""
    usual: dict[str, Any] = {
        "score": 1.5,
        "threshold": 1.0,
        "flows": 100,
        "deviations": (deviation(),),
        "signs": {("orig_h", "all"): "concentrated"},
        "technique": (f"T-{class_name}",),
        "contributors": (contributor(),),
        "uids": ("C1", "C2"),
    }
    return Verdict(minute=minute, class_name=class_name, **(usual | values))


def alarm(**values: Any) -> Alarm:
    """Give the first revision of an incident of one minute."""
    usual: dict[str, Any] = {
        "id": "0123456789abcdef",
        "revision": 1,
        "state": "open",
        "sensor": "office",
        "class_name": "port-scan",
        "severity": "medium",
        "confidence": 0.65,
        "start": T0,
        "end": T0 + MINUTE_S,
        "detector": "lstm-autoencoder",
        "score": 3.25,
        "threshold": 1.3,
        "deviations": (deviation(), deviation("pair_ports.all.log2", "high", r=1.75)),
        "contributors": (contributor(), contributor("443/tcp", feature="resp_p")),
        "uids": ("C1", "C2"),
        "flows": 100,
        "profile": {"name": "office", "hash": "fedcba9876543210"},
        "technique": ("T1046",),
        "summary": "port-scan from 10.0.0.1",
    }
    return Alarm(**(usual | values))
