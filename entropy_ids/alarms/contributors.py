"""Who made a minute strange: the values that it has more of than usual."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import sqrt

import pandas as pd
import polars as pl

from entropy_ids.features.catalog import FEATURES, NAMED, NAMED_BESIDE, PAIR
from entropy_ids.features.counting import TABLES, Tables
from entropy_ids.types import Contributor, Minutes

EXCESS_SHARE = 0.5
"""Values are named until they make up so much of what the minute has too much."""
_SIGMAS, _FLOWS = 3.0, 2.0
"""Flows count as too many above a value's usual number by so many Poisson standard
deviations and so many flows: a host that was merely there is not named."""
_PART = 0.1
"""Values of a feature are named if they make up so much of what the most telling
feature has too much: of a flood's many sources, those drawn thrice are no culprits."""
_BYTES_SHARE = 0.25
"""Bytes, which come in huge lumps, when the share exceeds the usual one by so much."""
_SIZE_SHARE = 0.4
"""Answers of one size by so much: bots ask for one page, a crowd reads several."""
MOST_VALUES = 5
MOST_UIDS = 100
USUAL_VALUES = 1_000
_COMPACT_ROWS = 200_000


def _net(address: pl.Expr) -> pl.Expr:
    """Give an address's network: IPv4 /16, IPv6 /32."""
    v4 = address.str.extract(r"^(\d+\.\d+)\.")
    v6 = address.str.extract(r"^([0-9A-Fa-f]*(?::[0-9A-Fa-f]+)?)(?::)")
    return pl.coalesce(v4 + ".0.0/16", v6 + "::/32", address)


def _range(log2_bin: pl.Expr) -> pl.Expr:
    """Give the sizes that a log2 bin holds; the bin -1 is 0."""
    low = pl.lit(1, pl.Int64) * 2 ** log2_bin.clip(0).cast(pl.Int64)
    return (
        pl.when(log2_bin < 0)
        .then(pl.lit("0"))
        .otherwise(pl.format("{}-{}", low, 2 * low - 1))
    )


def label(feature: str) -> pl.Expr:
    """Give values as text: ``80/tcp`` a port, ``128-255`` a size, ``-`` unset."""
    if feature == "orig_net":
        return _net(pl.col("id.orig_h")).alias("value")
    if feature == "resp_bytes":
        return _range(pl.col(feature)).fill_null("-").alias("value")
    columns = [
        pl.col(name).cast(pl.String).fill_null("-") for name in FEATURES[feature].key
    ]
    return pl.concat_str(columns, separator="/").alias("value")


def weight(feature: str) -> str:
    """Tell what a value's share is of: its flows or its bytes."""
    return FEATURES[feature].weight if feature in FEATURES else "flows"


def table_of(feature: str) -> str:
    """Name the count table that a feature's values are in."""
    return FEATURES[feature].table if feature in FEATURES else "talk"


def named_in(tables: Tables) -> list[str]:
    """Give the features that values are named by, of the logs that were read."""
    every = (*NAMED, *NAMED_BESIDE)
    return [feature for feature in every if table_of(feature) in tables]


def values_of(tables: Tables, feature: str) -> pl.DataFrame:
    """Sum a feature's values, as text, over all minutes and directions of tables."""
    table = table_of(feature)
    total = pl.col(weight(feature)).sum().alias("weight")
    return tables[table].group_by(label(feature)).agg(pl.col("flows").sum(), total)


@dataclass
class Usual:
    """Counts, over training, how often each value occurs."""

    _parts: dict[str, list[pl.DataFrame]] = field(default_factory=dict)

    def add(self, minutes: Minutes) -> None:
        """Count the values of these minutes."""
        for feature in named_in(minutes.tables):
            parts = self._parts.setdefault(feature, [])
            parts.append(values_of(minutes.tables, feature).select("value", "weight"))
            if sum(part.height for part in parts) > _COMPACT_ROWS:
                parts[:] = [_total(parts)]

    def table(self) -> pd.DataFrame:
        """Give the most frequent values: ``feature``, ``value``, ``share``."""
        tables = []
        for feature in self._parts or [""]:
            total = _total(self._parts.get(feature, [_NO_VALUES]))
            share = pl.col("weight") / max(total["weight"].sum(), 1)
            top = total.sort("weight", "value", descending=[True, False])
            tables.append(
                top.head(USUAL_VALUES).select(
                    pl.lit(feature).alias("feature"), "value", share.alias("share")
                )
            )
        return pl.concat(tables).to_pandas()


_NO_VALUES = pl.DataFrame(schema={"value": pl.String, "weight": pl.Int64})
_NO_SETTERS = pl.DataFrame(
    schema={
        "minute": pl.Int64,
        "key": pl.String,
        "value": pl.String,
        "uids": pl.List(pl.String),
    }
)
MOST_SETTERS = 3
"""Connections kept for each heaviest value of a training minute."""


@dataclass
class Heaviest:
    """Keeps the heaviest value of each address and port in every minute, with uids."""

    _parts: list[pl.DataFrame] = field(default_factory=list)

    def add(self, minutes: Minutes) -> None:
        """Look at the rows of these minutes."""
        self._parts += [_heaviest(minutes.rows, *item) for item in _ROW_KEYS.items()]

    def table(self) -> pd.DataFrame:
        """Give ``minute``, ``key``, ``value`` and ``uids`` (the first three)."""
        parts = pl.concat([_NO_SETTERS, *self._parts])
        table = parts.sort("minute", "key", maintain_order=True).to_pandas()
        table["minute"] = pd.to_datetime(table["minute"], unit="s", utc=True)
        return table


_ROW_KEYS = {
    "orig_h": ("id.orig_h",),
    "resp_h": ("id.resp_h",),
    "resp_p": ("id.resp_p", "proto"),
    "orig_p": ("id.orig_p",),
    "pair": PAIR,
}


def _heaviest(rows: pl.DataFrame, name: str, key: tuple[str, ...]) -> pl.DataFrame:
    """Give the most frequent value of each minute, the first seen of equals."""
    values = rows.group_by("minute", *key, maintain_order=True).agg(
        pl.len().alias("flows"), pl.col("uid").head(MOST_SETTERS).alias("uids")
    )
    top = values.sort("flows", descending=True, maintain_order=True)
    text = pl.concat_str(
        [pl.col(column).cast(pl.String).fill_null("-") for column in key], separator="/"
    )
    return top.unique("minute", keep="first", maintain_order=True).select(
        "minute", pl.lit(name).alias("key"), text.alias("value"), "uids"
    )


@dataclass
class Seen:
    """What training keeps of the minutes that it reads, besides their series."""

    usual: Usual = field(default_factory=Usual)
    heaviest: Heaviest = field(default_factory=Heaviest)

    def add(self, minutes: Minutes) -> None:
        """Look at these minutes."""
        self.usual.add(minutes)
        self.heaviest.add(minutes)


def _total(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(parts).group_by("value").agg(pl.col("weight").sum())


def contributors(tables: Tables, usual: pd.DataFrame) -> tuple[Contributor, ...]:
    """Name the values that a minute has more of than usual.

    Parameters
    ----------
    tables
        The minute's counts.
    usual
        As `Usual.table` gives it.

    Returns
    -------
    tuple
        By feature, in the order of `NAMED`, at most five each, the largest excess
        first, ties in the order of their values; networks only where no address is
        named, and no feature whose values make up less than a tenth of what the most
        telling one has too much. Shares of ``orig_h_bytes`` and ``resp_h_bytes`` are
        of bytes.
    """
    shares = {
        (feature, value): share
        for feature, value, share in zip(*usual.to_dict("list").values(), strict=True)
    }
    found = {
        name: _excessive(name, values_of(tables, name), shares)
        for name in named_in(tables)
    }
    most = max((sum(map(excess, some)) for some in found.values()), default=0.0)
    found = {
        name: some
        for name, some in found.items()
        if weight(name) != "flows" or sum(map(excess, some)) >= _PART * most
    }
    if found.get("orig_h"):
        found.pop("orig_net", None)
    return tuple(contributor for some in found.values() for contributor in some)


def _excessive(
    feature: str, values: pl.DataFrame, shares: Mapping[tuple[str, str], float]
) -> list[Contributor]:
    """Give the values that make up half of what is too much, at most five."""
    total = max(int(values["weight"].sum()), 1)
    too_many = _RULES.get(feature, _too_many_flows)
    found = [
        Contributor(feature, "all", value, flows, heavy / total, usual)
        for value, flows, heavy in values.rows()
        for usual in [shares.get((feature, value), 0.0)]
        if too_many(heavy / total, usual, total)
    ]
    found.sort(key=lambda c: (c.usual_share - c.share, c.value))
    left = EXCESS_SHARE * sum(c.share - c.usual_share for c in found)
    for place, contributor in enumerate(found[:MOST_VALUES], 1):
        left -= contributor.share - contributor.usual_share
        if left <= 0:
            return found[:place]
    return found[:MOST_VALUES]


def _too_many_flows(share: float, usual: float, total: int) -> bool:
    expected = usual * total
    return share * total > expected + _SIGMAS * sqrt(expected) + _FLOWS


def _too_many_bytes(share: float, usual: float, total: int) -> bool:
    return share > usual + _BYTES_SHARE


def _too_alike(share: float, usual: float, total: int) -> bool:
    return share > usual + _SIZE_SHARE


_RULES = {
    "orig_h_bytes": _too_many_bytes,
    "resp_h_bytes": _too_many_bytes,
    "resp_bytes": _too_alike,
}


def excess(contributor: Contributor) -> float:
    """Give the flows of a value beyond its usual share of the minute.

    Examples
    --------
    >>> round(excess(Contributor("resp_p", "all", "80/tcp", 60, 0.6, 0.1)), 6)
    50.0
    """
    return contributor.flows * (1 - contributor.usual_share / contributor.share)


def leading(found: tuple[Contributor, ...]) -> Contributor | None:
    """Give the value with the largest excess: what an incident opens with.

    Sizes do not lead: they tell nobody whom to ask. Nor do values of other logs than
    conn: no connection could be named by them.
    """
    leading = [
        c for c in found if c.feature != "resp_bytes" and table_of(c.feature) in TABLES
    ]
    return max(leading, key=excess, default=None)


def matching(rows: pl.DataFrame, contributor: Contributor | None) -> pl.DataFrame:
    """Give the connections with a uid that carry a value, in file order, capped."""
    if contributor is None:
        return rows.clear()
    same = label(contributor.feature) == contributor.value
    return rows.filter(same, pl.col("uid").is_not_null()).head(MOST_UIDS)
