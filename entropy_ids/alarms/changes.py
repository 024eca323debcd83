r"""Measure counts after changes to a few of them, for many sets of changes at once.

Notes
-----
With :math:`S = \sum_i (c_i / N)^\alpha` over the whole minute, a set that leaves
:math:`c'_i` of :math:`c_i` gives :math:`S' = S + \sum_i (c_i'^\alpha - c_i^\alpha) /
N^\alpha` over the values that it changes alone, and :math:`\sum p_i'^\alpha = S' (N /
N')^\alpha`; Shannon's entropy likewise from :math:`c \ln c`. So a set costs what it
changes, not what there is. Where a difference would lose digits (orders below 0 and
above 3, and sets that leave next to nothing), and what has no such sum (rarefied), is
measured of all counts of a set, by the functions that measured the minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entropy_ids.features.catalog import FEATURES, Column
from entropy_ids.features.entropy import Floats, Spectrum, rarefied, renyi, tsallis

SAFE_ORDERS = (0.0, 3.0)
_LEAST_LEFT = 1e-6
"""Of a sum. A difference that leaves no less than this keeps nine digits or more."""
_LN2 = np.log(2)
_TINY = 1e-300
Term = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Changes:
    """How sets change counts.

    Attributes
    ----------
    whole
        Every count before: ``c``, ascending, and ``m``, how many values have it.
    table
        What changes: ``set``, by place, ``c`` as it was, ``left`` as it is, and ``n``,
        how many values this happens to. Sorted, so that sums have the same bits
        whatever the order of the rows.
    sets
        How many sets there are.
    """

    whole: pl.DataFrame
    table: pl.DataFrame
    sets: int

    def measure(
        self, columns: Iterable[Column], rarefy_to: int
    ) -> dict[Column, Floats]:
        """Measure columns that are read off these counts after each set's changes.

        Parameters
        ----------
        columns
            What is measured.
        rarefy_to
            N0 of the volume-invariant entropies, connections.

        Returns
        -------
        dict
            Column → one value per set: NaN where it cannot be measured, and a size of
            which nothing is left is 0.
        """
        found: dict[Column, Floats] = {}
        apart: list[Column] = []
        for column in columns:
            if column.alpha is None:
                largest = FEATURES[column.feature].kind == "largest"
                size = self._largest() if largest else self._total
                found[column] = np.log2(1 + size)
            elif column.statistic != "rarefied" and _safe(column.alpha):
                found[column] = self._entropy(column, column.alpha)
            else:
                apart.append(column)
        return found | (self._apart(apart, rarefy_to) if apart else {})

    @cached_property
    def _arrays(self) -> tuple[Floats, Floats, Floats]:
        """Give ``c``, ``left`` and ``n`` of the table."""
        c, left, n = (
            self.table[name].to_numpy().astype(np.float64)
            for name in ("c", "left", "n")
        )
        return c, left, n

    @cached_property
    def _whole(self) -> Floats:
        """Give ``c`` of the whole."""
        return self.whole["c"].to_numpy().astype(np.float64)

    def _sum(self, term: Term) -> Floats:
        """Add up a term of every count, by set."""
        c, left, n = self._arrays
        change = n * (term(left) - term(c))
        whole = self.whole["m"].to_numpy() * term(self._whole)
        at = self.table["set"].to_numpy()
        sums = np.bincount(at, weights=change, minlength=self.sets)
        return np.asarray(sums + whole.sum(), np.float64)

    @cached_property
    def _total(self) -> Floats:
        """N' of every set."""
        return self._sum(lambda c: c)

    def _entropy(self, column: Column, alpha: float) -> Floats:
        """Measure an entropy from the sums that sets change."""
        scale = max(float(self._whole @ self.whole["m"].to_numpy()), 1.0)
        share = self._total / scale
        term = _x_ln_x if alpha == 1 else _power(alpha)
        sums = self._sum(lambda c: term(c / scale))
        nats = np.full(self.sets, np.nan)
        kept = share > 0
        if alpha == 1:
            nats[kept] = np.log(share[kept]) - sums[kept] / share[kept]
        else:
            power = np.maximum(sums[kept], _TINY) / share[kept] ** alpha
            nats[kept] = np.log(power) / (1 - alpha)
        entropy = _in_unit(np.abs(nats), column.statistic, alpha)
        whole = float(self.whole["m"].to_numpy() @ np.abs(term(self._whole / scale)))
        lost = kept & (
            np.minimum(share, np.abs(sums) / max(whole, _TINY)) < _LEAST_LEFT
        )
        if lost.any():
            entropy[lost] = self._only(lost)._apart([column], 1)[column]
        return entropy

    def _only(self, chosen: NDArray[np.bool_]) -> Changes:
        """Give these sets alone, numbered anew."""
        number = pl.Series(np.cumsum(chosen) - 1)
        here = self.table.filter(pl.Series(chosen)[self.table["set"]])
        table = here.with_columns(number[here["set"]].alias("set"))
        return Changes(self.whole, table, int(chosen.sum()))

    def _largest(self) -> Floats:
        """Give the largest count of every set: what is left of one, or an old one."""
        found = np.zeros(self.sets)
        np.maximum.at(found, self.table["set"].to_numpy(), self._arrays[1])
        return np.maximum(found, self._largest_unchanged())

    def _largest_unchanged(self) -> Floats:
        """Give the largest count that some value still has as it was.

        It follows on those largest counts all of whose values a set changes.
        """
        counts = self.whole.sort("c", descending=True).with_row_index("rank")
        used_up = (
            self.table.group_by("set", "c")
            .agg(pl.col("n").sum())
            .join(counts, on="c")
            .filter(pl.col("n") == pl.col("m"))
            .sort("set", "rank")
            .filter(pl.col("rank") == pl.int_range(pl.len()).over("set"))
            .group_by("set")
            .agg(pl.len().alias("rank"))
        )
        rank = np.zeros(self.sets, np.int64)
        rank[used_up["set"].to_numpy()] = used_up["rank"].to_numpy()
        return np.append(counts["c"].to_numpy(), 0).astype(np.float64)[rank]

    def _apart(self, columns: list[Column], rarefy_to: int) -> dict[Column, Floats]:
        """Measure entropies from all counts of every set."""
        spectrum = self._spectrum()
        at = spectrum.keys["minute"].to_numpy()
        asked = any(column.statistic == "rarefied" for column in columns)
        invariant = rarefied(spectrum, rarefy_to) if asked else {}
        found = {}
        for column in columns:
            assert column.alpha is not None
            if column.statistic == "rarefied":
                measured = invariant[column.alpha]
            else:
                entropy = renyi if column.statistic == "renyi" else tsallis
                measured = entropy(spectrum, column.alpha)
            found[column] = np.full(self.sets, np.nan)
            found[column][at] = measured
        return found

    def _spectrum(self) -> Spectrum:
        """Give the counts of each set as a segment; its ``minute`` is the set."""
        every = pl.DataFrame({"set": pl.int_range(self.sets, eager=True)})
        changed = self.table.select("set", "c", m=-pl.col("n"))
        left = self.table.select("set", c="left", m="n")
        table = (
            pl.concat([every.join(self.whole, how="cross"), changed, left])
            .group_by("set", "c")
            .agg(pl.col("m").sum())
            .filter(pl.col("m") > 0, pl.col("c") > 0)
            .sort("set", "c")
        )
        zero = pl.lit(0).alias("direction")
        return Spectrum.read(
            table.select(pl.col("set").alias("minute"), zero, "c", "m")
        )


def _safe(alpha: float) -> bool:
    low, high = SAFE_ORDERS
    return low <= alpha <= high


def _x_ln_x(x: Floats) -> Floats:
    return x * np.log(np.where(x > 0, x, 1.0))


def _power(alpha: float) -> Term:
    """Raise to a power; what is not there has none, not even to 0."""
    return lambda x: np.where(x > 0, x, 1.0) ** alpha * (x > 0)


def _in_unit(nats: Floats, statistic: str, alpha: float) -> Floats:
    """Give a Rényi entropy in nats in the unit of a column."""
    if statistic == "renyi":
        return np.asarray(nats / _LN2)
    if alpha == 1:
        return nats
    return np.asarray(np.expm1((1 - alpha) * nats) / (1 - alpha))
