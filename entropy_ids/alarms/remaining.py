"""Measure a minute without the connections of some values, for many such sets at once.

Which sets are worth trying is left to `entropy_ids.alarms.removal`.

Notes
-----
A set takes from each value of the measured feature as many connections (bytes, peers,
ports) as the two have in common. How a column follows from
that is in `entropy_ids.alarms.changes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from entropy_ids.alarms.changes import Changes
from entropy_ids.alarms.contributors import label
from entropy_ids.features.catalog import FEATURES, PAIR, Column, Feature
from entropy_ids.features.counting import log2_bin
from entropy_ids.features.entropy import Floats
from entropy_ids.types import DIRECTIONS, Minutes

ADDRESSES = ("orig_h", "resp_h")
REMOVABLE = (*ADDRESSES, "resp_p", "service")
"""Features whose values are removed: whom to ask, and what for."""
HEAVIEST, LIGHTEST = 32, 8
"""Values of each that are tried: by connections, as many again by bytes; and of those
with the fewest, which rule the entropies of negative order."""
_TEXTS = ("id.orig_h", "id.resp_h", "proto", "service", "conn_state")
_SIZES = ("orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts")
_UNITS: dict[str, tuple[str, ...]] = {
    "peers": PAIR,
    "ports": (*PAIR, "id.resp_p", "proto"),
}
"""What is counted once, however many connections it has."""

Sets = Sequence[tuple[int, ...]]
"""Each names its values by their places among the candidates."""


def connections(minutes: Minutes) -> pl.DataFrame:
    """Give the rows of one minute as they are counted, with their ``direction``.

    Sizes and durations are in their bins, ``bytes`` and ``sent`` are summed from.
    """
    sent = pl.col("orig_bytes").fill_null(0)
    ways = minutes.tables["talk"].select(*PAIR, "direction")
    rows = minutes.rows.join(
        ways.sort("direction").unique(PAIR, keep="last", maintain_order=True),
        on=PAIR,
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )
    return rows.with_columns(
        pl.col(*_TEXTS).cast(pl.Categorical),  # compared as numbers from here on
        **{name: log2_bin(pl.col(name)) for name in _SIZES},
        bytes=sent + pl.col("resp_bytes").fill_null(0),
        sent=sent,
        duration=log2_bin(pl.col("duration").cast(pl.Int64) // 1_000),
    )


def seen(rows: pl.DataFrame, direction: str) -> pl.DataFrame:
    """Give the rows of one direction, numbered by ``row``."""
    if direction != "all":
        rows = rows.filter(pl.col("direction") == DIRECTIONS.index(direction))
    return rows.with_row_index("row")


class Candidates:
    """The values that may be removed from the connections of one direction.

    Attributes
    ----------
    features, values
        Of each candidate, by place.
    flows
        How many of these connections each has.
    hits
        ``candidate``, ``row``: which rows are whose.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        self.features: list[str] = []
        self.values: list[str] = []
        self.flows: list[int] = []
        hits = []
        for feature in REMOVABLE:
            key = FEATURES[feature].key
            picked = _picked(rows, feature).with_row_index("candidate", len(self))
            hits.append(
                rows.select("row", *key)
                .join(picked.select("candidate", *key), on=key, nulls_equal=True)
                .select("candidate", "row")
            )
            self.features += [feature] * picked.height
            self.values += picked["value"].to_list()
            self.flows += picked["flows"].to_list()
        self.hits = pl.concat(hits)

    def __len__(self) -> int:
        return len(self.values)


def _picked(rows: pl.DataFrame, feature: str) -> pl.DataFrame:
    """Give a feature's heaviest and lightest values, ties by their text."""
    key = FEATURES[feature].key
    values = rows.group_by(key).agg(pl.len().alias("flows"), pl.col("bytes").sum())
    values = values.with_columns(label(feature)).sort(
        "flows", "value", descending=[True, False]
    )
    by_bytes = values.sort("bytes", "value", descending=[True, False])
    parts = values.head(HEAVIEST), by_bytes.head(HEAVIEST), values.tail(LIGHTEST)
    return pl.concat(parts).unique("value", keep="first", maintain_order=True)


class Remaining:
    """What counts are without the connections of any candidates.

    Parameters
    ----------
    rows
        The connections of one direction.
    candidates
        Of the same rows.
    feature
        What is counted, or another feature of the same counts.
    """

    def __init__(
        self, rows: pl.DataFrame, candidates: Candidates, feature: Feature
    ) -> None:
        self._key = feature.key or ("whole",)
        self._unit = _UNITS.get(feature.weight)
        kept = self._unit or self._key
        rows = rows.with_columns(whole=pl.lit(0, pl.Int8), flows=_flows(feature))
        weighed = rows.select(*kept, w="flows" if self._unit else feature.weight)
        hit = weighed[candidates.hits["row"]]
        hit = hit.with_columns(candidates.hits["candidate"]).filter(pl.col("w") > 0)
        self._lost = hit.group_by("candidate", *kept).agg(pl.col("w").sum())
        self._units = weighed.group_by(kept).agg(pl.col("w").sum().alias("c"))
        self._counts = self._units
        if self._unit:
            distinct = pl.len().cast(pl.Int64).alias("c")
            self._counts = self._units.group_by(self._key).agg(distinct)
        counted = self._counts.filter(pl.col("c") > 0).group_by("c")
        self._whole = counted.agg(pl.len().cast(pl.Int64).alias("m")).sort("c")

    def values(
        self, sets: Sets, columns: Iterable[Column], rarefy_to: int
    ) -> dict[Column, Floats]:
        """Measure columns of these counts without each set of candidates.

        Returns
        -------
        dict
            As of `entropy_ids.alarms.changes.Changes.measure`.
        """
        gone = self._gone(sets).join(self._counts, on=self._key, nulls_equal=True)
        left = (pl.col("c") - pl.col("w")).alias("left")
        changed = gone.group_by("set", "c", left).agg(
            pl.len().cast(pl.Int64).alias("n")
        )
        changes = Changes(self._whole, changed.sort("set", "c", "left"), len(sets))
        return changes.measure(columns, rarefy_to)

    def _gone(self, sets: Sets) -> pl.DataFrame:
        """Give what each set takes from each value: ``set``, the key, ``w``."""
        members = pl.DataFrame(
            [(place, one) for place, some in enumerate(sets) for one in some],
            schema={"set": pl.Int64, "candidate": pl.UInt32},
            orient="row",
        )
        gone = members.join(self._lost, on="candidate")
        kept = self._unit or self._key
        if any(len(some) > 1 for some in sets):  # else there is nothing to add up
            gone = gone.group_by("set", *kept).agg(pl.col("w").sum())
        if not self._unit:
            return gone
        gone = gone.join(self._units, on=self._unit, nulls_equal=True)
        gone = gone.filter(pl.col("w") == pl.col("c"))
        return gone.group_by("set", *self._key).agg(pl.len().cast(pl.Int64).alias("w"))


def _flows(feature: Feature) -> pl.Expr:
    """Count each connection once, or only those to a feature's ports."""
    if not feature.ports:
        return pl.lit(1, pl.Int64)
    return pl.col("id.resp_p").is_in(feature.ports).fill_null(False).cast(pl.Int64)
