"""Who made a minute strange: the values that it has more of than usual."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd
import polars as pl

from entropy_ids.features.catalog import FEATURES, PAIR
from entropy_ids.features.counting import Tables
from entropy_ids.types import Contributor, Minutes

ALWAYS = ("orig_h", "orig_net", "resp_h", "resp_p")
"""``orig_net`` is the source's network (IPv4 /16, IPv6 /32): in a flood from everywhere
no address stands out, but networks may."""
WHEN_DEVIATING = ("service", "conn_state")
EXCESS_SHARE = 0.5
"""Values are named until they make up so much of what the minute has too much."""
MOST_VALUES = 5
MOST_UIDS = 100
USUAL_VALUES = 1_000
_COMPACT_ROWS = 200_000


def _net(address: pl.Expr) -> pl.Expr:
    """Give an address's network: IPv4 /16, IPv6 /32."""
    v4 = address.str.extract(r"^(\d+\.\d+)\.")
    v6 = address.str.extract(r"^([0-9A-Fa-f]*(?::[0-9A-Fa-f]+)?)(?::)")
    return pl.coalesce(v4 + ".0.0/16", v6 + "::/32", address)


def label(feature: str) -> pl.Expr:
    """Give a feature's values as text: ``80/tcp`` for a port, ``-`` for unset."""
    if feature == "orig_net":
        return _net(pl.col("id.orig_h")).alias("value")
    columns = [
        pl.col(name).cast(pl.String).fill_null("-") for name in FEATURES[feature].key
    ]
    return pl.concat_str(columns, separator="/").alias("value")


def _values(tables: Tables, feature: str) -> pl.DataFrame:
    """Count a feature's values, as text, over all minutes and directions of tables."""
    table = FEATURES[feature].table if feature in FEATURES else "talk"
    return tables[table].group_by(label(feature)).agg(pl.col("flows").sum())


@dataclass
class Usual:
    """Counts, over training, how often each value occurs."""

    _parts: dict[str, list[pl.DataFrame]] = field(default_factory=dict)

    def add(self, minutes: Minutes) -> None:
        """Count the values of these minutes."""
        for feature in (*ALWAYS, *WHEN_DEVIATING) if minutes.tables else ():
            parts = self._parts.setdefault(feature, [])
            parts.append(_values(minutes.tables, feature))
            if sum(part.height for part in parts) > _COMPACT_ROWS:
                parts[:] = [_total(parts)]

    def table(self) -> pd.DataFrame:
        """Give the most frequent values: ``feature``, ``value``, ``share``."""
        tables = []
        for feature, parts in self._parts.items() or [("", [_NO_VALUES])]:
            total = _total(parts)
            share = pl.col("flows") / total["flows"].sum()
            top = total.sort("flows", "value", descending=[True, False])
            tables.append(
                top.head(USUAL_VALUES).select(
                    pl.lit(feature).alias("feature"), "value", share.alias("share")
                )
            )
        return pl.concat(tables).to_pandas()


_NO_VALUES = pl.DataFrame(schema={"value": pl.String, "flows": pl.Int64})
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
    return pl.concat(parts).group_by("value").agg(pl.col("flows").sum())


def contributors(
    tables: Tables, deviating: Iterable[str], usual: pd.DataFrame
) -> tuple[Contributor, ...]:
    """Name the values that a minute has more of than usual.

    Parameters
    ----------
    tables
        The minute's counts.
    deviating
        Features outside their bounds; addresses and ports are looked at in any case.
    usual
        As `Usual.table` gives it.

    Returns
    -------
    tuple
        By feature, at most five each, the largest excess of flows first; ties in the
        order of their values.
    """
    names = ALWAYS + tuple(name for name in WHEN_DEVIATING if name in set(deviating))
    shares = {
        (feature, value): share
        for feature, value, share in zip(*usual.to_dict("list").values(), strict=True)
    }
    found: list[Contributor] = []
    explained = False
    for name in names:
        if name == "orig_net" and explained:
            continue
        more, explained = _excessive(name, _values(tables, name), shares)
        found += more
    return tuple(found)


def _excessive(
    feature: str, counts: pl.DataFrame, shares: Mapping[tuple[str, str], float]
) -> tuple[list[Contributor], bool]:
    """Give the values that make up half of the excess, at most five, and if they do."""
    total = int(counts["flows"].sum())
    found = [
        Contributor(feature, "all", value, flows, flows / total, usual)
        for value, flows in counts.rows()
        for usual in [shares.get((feature, value), 0.0)]
    ]
    found = [contributor for contributor in found if excess(contributor) > 0]
    found.sort(key=lambda contributor: (-excess(contributor), contributor.value))
    left = EXCESS_SHARE * sum(map(excess, found))
    for place, contributor in enumerate(found[:MOST_VALUES]):
        left -= excess(contributor)
        if left <= 0:
            return found[: place + 1], True
    return found[:MOST_VALUES], not found


def excess(contributor: Contributor) -> float:
    """Give the flows of a value beyond its usual share of the minute.

    Examples
    --------
    >>> round(excess(Contributor("resp_p", "all", "80/tcp", 60, 0.6, 0.1)), 6)
    50.0
    """
    return contributor.flows * (1 - contributor.usual_share / contributor.share)


def leading(found: tuple[Contributor, ...]) -> Contributor | None:
    """Give the value with the largest excess: what an incident opens with."""
    return max(found, key=excess, default=None)


def matching_uids(
    rows: pl.DataFrame, contributor: Contributor | None
) -> tuple[str, ...]:
    """Give the connections that carry a value, in file order, capped."""
    if contributor is None:
        return ()
    same = label(contributor.feature) == contributor.value
    uids = rows.filter(same)["uid"].drop_nulls().head(MOST_UIDS)
    return tuple(uids)
