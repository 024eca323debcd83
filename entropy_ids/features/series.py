"""Measure: closed minutes become an entropy series, columns by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import polars as pl

from entropy_ids.features.catalog import FEATURES, PAIR, Column
from entropy_ids.features.counting import ANCHOR, SUMS, Tables, key_of
from entropy_ids.features.entropy import Floats, Spectrum, rarefied, renyi, tsallis
from entropy_ids.features.feature import Key, View
from entropy_ids.types import DIRECTIONS, EntropySeries, Minutes


@dataclass(frozen=True)
class Measure:
    """Measures closed minutes through fixed columns.

    Parameters
    ----------
    columns
        The columns, in the order of the series.
    rarefy_to
        N0 of the volume-invariant entropies, connections.
    """

    columns: tuple[Column, ...]
    rarefy_to: int

    def __call__(self, minutes: Minutes) -> EntropySeries:
        """Give the series of these minutes; NaN where a value is unknown."""
        index = minutes.index
        values = np.full((index.height, len(self.columns)), np.nan)
        if minutes.tables:
            row_of = {minute: row for row, minute in enumerate(index["minute"])}
            for spectrum, places in self._spectra(minutes.tables):
                rows = np.array([row_of[m] for m in spectrum.keys["minute"]], np.int64)
                seen = spectrum.keys["direction"].to_numpy()
                measured = self._values(spectrum, places)
                for place in places:
                    here = seen == DIRECTIONS.index(self.columns[place].direction)
                    values[rows[here], place] = measured[place][here]
        self._zeros(values, index)
        return self.series(values, index)

    def series(self, values: Floats, index: pl.DataFrame) -> EntropySeries:
        """Give values of the columns as a series; ``index`` as of `Minutes`."""
        return _series(values, index, {c.name: c.unit for c in self.columns})

    def _spectra(self, tables: Tables) -> Iterator[tuple[Spectrum, list[int]]]:
        """Yield each spectrum once, with the columns that are read off it."""
        places: dict[tuple[View, str], list[int]] = {}
        for place, column in enumerate(self.columns):
            feature = FEATURES[column.feature]
            places.setdefault((feature.view, feature.weight), []).append(place)
        rolled = Rollups(tables)
        plans = []
        for (view, weight), wanted in places.items():
            directions = {self.columns[place].direction for place in wanted}
            counts = rolled.get(view).rename({weight: "c"})
            plans.append(_plan(counts, view.key, directions))
        for table_of, wanted in zip(
            pl.collect_all(plans), places.values(), strict=True
        ):
            yield Spectrum.read(table_of), wanted

    def _values(self, spectrum: Spectrum, places: list[int]) -> dict[int, Floats]:
        columns = {place: self.columns[place] for place in places}
        measured = {}
        invariant: dict[float, Floats] = {}
        for place, column in columns.items():
            order = column.alpha
            if order is None:
                largest = FEATURES[column.feature].kind == "largest"
                size = spectrum.c[spectrum.last] if largest else spectrum.total
                measured[place] = np.asarray(np.log2(1 + size))
            elif column.statistic == "rarefied":
                invariant = invariant or rarefied(spectrum, self.rarefy_to)
                measured[place] = invariant[order]
            else:
                entropy = renyi if column.statistic == "renyi" else tsallis
                measured[place] = entropy(spectrum, order)
        return measured

    def _zeros(self, values: Floats, index: pl.DataFrame) -> None:
        """Make sizes that nothing was seen of zero, unless the minute is unknown."""
        known = (index["coverage"] != "silent").to_numpy()[:, None]
        size = np.array([column.statistic == "log2" for column in self.columns])
        values[np.isnan(values) & known & size] = 0.0


class Rollups:
    """Plans of count tables summed to any key, with every weight that a value has.

    Weights add over directions: a pair of addresses has one direction, so that the
    distinct peers of a host do, too. A table that is not there is an empty one: no
    stream of its log was read.
    """

    def __init__(self, tables: Tables) -> None:
        self._keys = {name: key_of(table) for name, table in tables.items()}
        self._tables = {name: table.lazy() for name, table in tables.items()}
        self._sums = {
            name: [column for column in SUMS if column in table.columns]
            for name, table in tables.items()
        }
        self._made: dict[View, pl.LazyFrame] = {}

    def get(self, view: View) -> pl.LazyFrame:
        """Give ``minute``, ``direction``, the key and its weights."""
        if view.table not in self._tables:
            return _nothing(view.key)
        if self._keys[view.table] == view.key and view == View(view.table, view.key):
            return self._tables[view.table]
        if view not in self._made:
            made = self._talk(view) if view.table == "talk" else self._roll(view)
            self._made[view] = made
        return self._made[view]

    def _talk(self, view: View) -> pl.LazyFrame:
        counts, distinct = self._tables["talk"], "ports"
        if view.ports:
            counts = counts.filter(pl.col("id.resp_p").is_in(view.ports))
        elif view.key != PAIR and set(view.key) < set(PAIR):
            counts, distinct = self.get(View("talk", PAIR)), "peers"
        return self._summed(counts, view, distinct)

    def _roll(self, view: View) -> pl.LazyFrame:
        """Sum a table of another log; of what is counted, ``of`` is distinct."""
        counts = self._tables[view.table]
        if view.only:
            column, *values = view.only
            counts = counts.filter(pl.col(column).is_in(values))
        if view.of:
            counts = self._summed(counts, view._replace(key=view.of), "rows")
        return self._summed(counts, view, "distinct")

    def _summed(self, counts: pl.LazyFrame, view: View, distinct: str) -> pl.LazyFrame:
        return counts.group_by(*ANCHOR, *view.key).agg(
            *(pl.col(column).sum() for column in self._sums[view.table]),
            pl.len().cast(pl.Int64).alias(distinct),
        )


def _nothing(key: Key) -> pl.LazyFrame:
    """Plan the counts of a log that was not read."""
    weights = (*SUMS, "distinct")
    kinds: dict[str, pl.DataType] = {"minute": pl.Int64(), "direction": pl.Int8()}
    kinds |= dict.fromkeys(key, pl.String())
    return pl.LazyFrame(schema=kinds | dict.fromkeys(weights, pl.Int64()))


def _plan(
    counts: pl.LazyFrame, key: tuple[str, ...], directions: set[str]
) -> pl.LazyFrame:
    """Plan each value's weight by direction, and summed over the whole site as 0."""
    parts = []
    if directions != {"all"}:
        parts.append(counts.filter(pl.col("direction") > 0))
    if "all" in directions:
        whole = counts.group_by("minute", *key).agg(pl.col("c").sum())
        parts.append(whole.with_columns(direction=pl.lit(0, pl.Int8)))
    picked = [part.select("minute", "direction", "c") for part in parts]
    return Spectrum.plan(pl.concat(picked))


def _series(
    values: Floats, index: pl.DataFrame, units: dict[str, str]
) -> EntropySeries:
    minute = pd.DatetimeIndex(
        pd.to_datetime(index["minute"].to_numpy(), unit="s", utc=True), name="minute"
    )
    coverage, flows, epoch = (
        pd.Series(index[name].to_list(), index=minute, name=name)
        for name in ("coverage", "flows", "epoch")
    )
    table = pd.DataFrame(values, index=minute, columns=list(units))
    table.attrs["units"] = units
    return EntropySeries(table, coverage, flows, epoch)
