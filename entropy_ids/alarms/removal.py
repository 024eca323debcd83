"""Why a column deviates: the fewest values without which it would not.

Notes
-----
For each deviating column the connections of some values (addresses, ports, services)
are left out and the column is measured again, exactly. What removes the cause of a
concentration is often a value of the column's own feature; thousands of ports that one
scanner tried go with the scanner alone. So values of every feature in
`entropy_ids.alarms.remaining.REMOVABLE` are tried, and those of one feature are a set.

One value is sought first, then two, then more in the order of their effect: of the
values left, that one is taken which brings the column nearest to its bounds. Of sets
equally small that one is given after which the column can be measured, of values that
the minute has more of than usual, of addresses, with the fewest connections, in this
order. What cannot be measured does not deviate, as when minutes are judged; but that
little is left says something only of values that there are too many of.

A size below its bounds has no removal, nor have features of other logs than conn, nor
a minute of which not every connection was kept to be named by (200,000 of a stream
are).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from entropy_ids.alarms.contributors import values_of
from entropy_ids.alarms.remaining import (
    ADDRESSES,
    REMOVABLE,
    Candidates,
    Remaining,
    Sets,
    connections,
    seen,
)
from entropy_ids.features.catalog import FEATURES, Column
from entropy_ids.features.counting import TABLES
from entropy_ids.features.entropy import Floats
from entropy_ids.profile.bounds import MARGINS
from entropy_ids.types import Contributor, Deviation, Minutes, Removal, Removed

MOST_REMOVED = 10
"""Values of a set: more than one would look up one by one explain nothing."""
PAIRED = 8
"""Values of each feature that are tried in pairs and beyond: those that bring the
column nearest to its bounds alone."""
_SAME = 1e-6
"""So near, relatively, must what the rows say be to what the tables said."""

_ROUNDING = 1e-9
"""What is no farther outside than this lies on its bound."""

Set = tuple[int, ...]
Option = tuple[Set, float]
"""Candidates by place, and a column without them (or how far outside it is)."""
Counts = tuple[tuple[str, ...], str, tuple[int, ...]]
"""Key, weight and ports: what columns that are read off the same counts share."""
Named = frozenset[tuple[str, str]]
Found = tuple[str, tuple[str, ...], float | None]
"""A feature, values of it, and r without them."""
Chosen = tuple[Deviation, Found]


@dataclass(frozen=True)
class Judging:
    """How columns are measured and judged, besides their learned bounds.

    Attributes
    ----------
    k, margin
        Of `entropy_ids.profile.bounds.Bounds`.
    rarefy_to
        Of `entropy_ids.features.series.Measure`.
    """

    k: float
    margin: str
    rarefy_to: int


def explained(
    minutes: Minutes,
    deviations: Iterable[Deviation],
    found: Iterable[Contributor],
    usual: pd.DataFrame,
    judging: Judging,
) -> tuple[tuple[Deviation, ...], tuple[Contributor, ...]]:
    """Say of each deviation what removes it, and of each contributor what it explains.

    Parameters
    ----------
    minutes
        The minute.
    deviations
        Its columns outside their bounds.
    found
        Its values that there are more of than usual.
    usual
        As `entropy_ids.alarms.contributors.Usual.table` gives it.
    judging
        How the columns were measured and judged.
    """
    named = frozenset((one.feature, one.value) for one in found)
    chosen = _chosen(minutes, deviations, named, judging)
    shares = _Shares(minutes, usual)
    told = tuple(
        replace(d, removal=shares.removal(*chosen[d]) if d in chosen else None)
        for d in deviations
    )
    return told, tuple(replace(one, explains=_explains(one, told)) for one in found)


def _explains(one: Contributor, deviations: Iterable[Deviation]) -> tuple[str, ...]:
    """Name the columns whose removal takes a value, be it named by flows or bytes."""
    if one.feature not in FEATURES:  # a network
        return ()
    key = FEATURES[one.feature].key
    return tuple(
        _column(d).name
        for d in deviations
        if d.removal and FEATURES[d.removal.feature].key == key
        if one.value in {removed.value for removed in d.removal.values}
    )


def _column(deviation: Deviation) -> Column:
    return Column(
        deviation.feature, deviation.direction, deviation.entropy, deviation.alpha
    )


class _Shares:
    """What removed values are told with: flows, share and usual share."""

    def __init__(self, minutes: Minutes, usual: pd.DataFrame) -> None:
        self._minutes, self._usual = minutes, usual
        self._known: dict[str, tuple[dict[str, int], dict[str, float]]] = {}

    def removal(self, feature: str, values: Sequence[str], r: float | None) -> Removal:
        if feature not in self._known:
            self._known[feature] = self._read(feature)
        flows, usual = self._known[feature]
        total = sum(flows.values())
        removed = (
            Removed(value, flows[value], flows[value] / total, usual.get(value, 0.0))
            for value in values
        )
        return Removal(feature, tuple(removed), r)

    def _read(self, feature: str) -> tuple[dict[str, int], dict[str, float]]:
        values = values_of(self._minutes.tables, feature)
        same = self._usual[self._usual["feature"] == feature]
        return (
            dict(zip(values["value"], values["flows"], strict=True)),
            dict(zip(same["value"], same["share"].tolist(), strict=True)),
        )


def _chosen(
    minutes: Minutes, deviations: Iterable[Deviation], named: Named, judging: Judging
) -> dict[Deviation, Found]:
    """Give the deviations that can be removed: by what, and where they then lie."""
    groups: dict[str, dict[Counts, list[Deviation]]] = {}
    for d in deviations:
        feature = FEATURES[d.feature]
        if d.sign != "low" and feature.table in TABLES:
            counts = feature.key, feature.weight, feature.ports
            groups.setdefault(d.direction, {}).setdefault(counts, []).append(d)
    if not groups or minutes.rows.height != minutes.index["flows"].sum():
        return {}
    rows = connections(minutes)
    chosen: dict[Deviation, Found] = {}
    for direction, by_counts in groups.items():
        here = seen(rows, direction)
        candidates = Candidates(here)
        for some in by_counts.values():
            remaining = Remaining(here, candidates, FEATURES[some[0].feature])
            search = _Search(candidates, remaining, named, judging)
            chosen.update(search(some))
    return chosen


@dataclass(frozen=True)
class Limits:
    """What a column is judged by, and where r is 0 and 1."""

    lowest: float
    highest: float
    least: float
    span: float

    @staticmethod
    def of(deviation: Deviation, judging: Judging) -> Limits:
        """Give the limits that a column was found outside of."""
        low, high = deviation.low, deviation.high
        floor = max(_column(deviation).resolution - (high - low), 0) / 2
        least, span = low - floor, high - low + 2 * floor
        ends = np.array([least]), np.array([high + floor])
        lowest, highest = MARGINS[judging.margin](*ends, judging.k)
        return Limits(float(lowest[0]), float(highest[0]), least, span)

    def distance(self, values: Floats) -> Floats:
        """Give how far outside values lie."""
        below, above = self.lowest - values, values - self.highest
        return np.maximum(np.maximum(below, above) - _ROUNDING, 0.0)

    def r(self, value: float) -> float | None:
        """Say where a value lies between its bounds; None where it is unknown."""
        return None if np.isnan(value) else (value - self.least) / self.span


@dataclass(frozen=True)
class _Tried:
    """Sets, and a column without each of them."""

    sets: Sets
    values: Floats
    distance: Floats


@dataclass(frozen=True)
class _Search:
    """Seeks the removals of columns that are read off the same counts."""

    candidates: Candidates
    remaining: Remaining
    named: Named
    judging: Judging

    def __call__(self, deviations: Sequence[Deviation]) -> Iterator[Chosen]:
        alone: list[Set] = [(), *((place,) for place in range(len(self.candidates)))]
        first = {
            d: tried
            for d, tried in self._try(alone, deviations).items()
            if np.isclose(tried.values[0], d.value, rtol=_SAME, atol=_SAME)
        }
        found = {d: self._best(tried) for d, tried in first.items()}
        left = [d for d, best in found.items() if best is None]
        nearest = {d: self._nearest(first[d]) for d in left}
        for d, tried in self._try(_pairs(nearest.values()), left).items():
            whole = float(first[d].distance[0])
            found[d] = self._best(tried) or self._more(d, tried, nearest[d], whole)
        for d, best in found.items():
            if best:
                some, value = best
                names = tuple(self.candidates.values[place] for place in some)
                r = Limits.of(d, self.judging).r(value)
                yield d, (self.candidates.features[some[0]], names, r)

    def _try(
        self, sets: Sets, deviations: Sequence[Deviation]
    ) -> dict[Deviation, _Tried]:
        """Measure columns without sets, and how far outside they then are.

        Only values that there are too many of may leave too little to be measured.
        """
        if not sets or not deviations:
            return {}
        columns = [_column(d) for d in deviations]
        measured = self.remaining.values(sets, columns, self.judging.rarefy_to)
        found = {}
        for d, column in zip(deviations, columns, strict=True):
            values = measured[column]
            distance = Limits.of(d, self.judging).distance(values)
            for at in np.flatnonzero(np.isnan(values)).tolist():
                distance[at] = 0.0 if self._are_named(sets[at]) else np.inf
            found[d] = _Tried(sets, values, distance)
        return found

    def _are_named(self, some: Set) -> bool:
        features, values = self.candidates.features, self.candidates.values
        return all((features[place], values[place]) in self.named for place in some)

    def _best(self, tried: _Tried) -> Option | None:
        """Give the first of the sets that bring a column inside."""
        inside = np.flatnonzero(tried.distance == 0).tolist()
        options = [(tried.sets[at], float(tried.values[at])) for at in inside]
        return min(options, key=self._rank, default=None)

    def _rank(self, option: Option) -> tuple[object, ...]:
        some, value = option
        feature = self.candidates.features[some[0]]
        return (
            bool(np.isnan(value)),
            not self._are_named(some),
            feature not in ADDRESSES,
            sum(self.candidates.flows[place] for place in some),
            REMOVABLE.index(feature),
            [self.candidates.values[place] for place in some],
        )

    def _nearest(self, first: _Tried) -> list[list[int]]:
        """Give, of each feature, the values that bring a column nearest alone."""
        order = np.argsort(first.distance[1:], kind="stable").tolist()
        features = self.candidates.features
        return [
            [place for place in order if features[place] == feature][:PAIRED]
            for feature in REMOVABLE
        ]

    def _more(
        self, d: Deviation, pairs: _Tried, nearest: list[list[int]], whole: float
    ) -> Option | None:
        """Seek more than two values of one feature."""
        found = []
        for left in nearest:
            mine = [at for at, pair in enumerate(pairs.sets) if pair[0] in left]
            if mine:
                at = min(mine, key=lambda at: float(pairs.distance[at]))
                begun = pairs.sets[at], float(pairs.distance[at])
                found.append(self._greedy(d, begun, left, whole))
        options = [option for option in found if option]
        return min(options, key=lambda o: (len(o[0]), self._rank(o)), default=None)

    def _greedy(
        self, d: Deviation, begun: Option, left: Sequence[int], whole: float
    ) -> Option | None:
        """Take values in the order of their effect, while that leads anywhere.

        Each does less than those before: when as many as are allowed would not bring
        the column inside at this pace, neither will they at a slower one.
        """
        taken, distance = begun
        while (
            len(taken) < MOST_REMOVED
            and (whole - distance) * MOST_REMOVED >= whole * len(taken)
            and (sets := [(*taken, one) for one in left if one not in taken])
        ):
            tried = self._try(sets, [d])[d]
            if best := self._best(tried):
                return best
            at = int(np.argmin(tried.distance))
            taken, distance = sets[at], float(tried.distance[at])
        return None


def _pairs(nearest: Iterable[list[list[int]]]) -> list[Set]:
    """Give the pairs of values that any column is brought nearest by."""
    pairs = {
        pair
        for some in nearest
        for left in some
        for pair in combinations(sorted(left), 2)
    }
    return sorted(pairs)
