"""Counting honestly: incidents, intervals, thresholds at equal false alarms, rankings.

Plain arrays in, plain numbers out; what a minute or an attack is, others say.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from entropy_ids.detectors.threshold import poisson_interval, runs
from entropy_ids.types import MINUTE_S

DRAWS = 200
_HOUR_S = 3_600

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


def rate(events: int, days: float) -> Estimate:
    """Give events a day with the exact Poisson interval.

    Examples
    --------
    >>> none = rate(0, 7.0)
    >>> none.value, none.low, round(none.high * 7, 3)
    (0.0, 0.0, 3.689)
    """
    return Estimate(events / days, *poisson_interval(events, days))


def falls(minutes: Ints, scores: Floats, quiet_minutes: int) -> tuple[Floats, Ints]:
    """Lower the threshold over normal minutes, and count incidents all the way.

    Returns
    -------
    tuple
        Thresholds, falling; and the most incidents that any threshold down to this one
        makes of the minutes above it. Not the number itself: a lower threshold also
        joins incidents, down to one that never ends.
    """
    reach = quiet_minutes * MINUTE_S
    order = np.argsort(-scores, kind="stable")
    above: list[int] = []
    counts = [0]
    for minute in minutes[order].tolist():
        at = bisect_left(above, minute)
        left = at > 0 and minute - above[at - 1] <= reach
        right = at < len(above) and above[at] - minute <= reach
        joined = left and right and above[at] - above[at - 1] <= reach
        counts.append(counts[-1] + 1 - left - right + joined)
        above.insert(at, minute)
    ranked = scores[order]
    new = np.flatnonzero(np.diff(ranked, prepend=np.inf))  # equal scores go together
    return ranked[new], np.maximum.accumulate(np.array(counts)[new])


def threshold_for(
    minutes: Ints, scores: Floats, most: int, quiet_minutes: int
) -> tuple[float, int]:
    """Give the lowest threshold that makes at most ``most`` incidents, and how many.

    It is no lower than the median score: an incident without end is no alarm.
    """
    thresholds, counts = falls(minutes, scores, quiet_minutes)
    fit = (counts <= most) & (thresholds >= np.median(scores))
    last = int(np.flatnonzero(fit)[-1])
    above = np.sort(minutes[scores > thresholds[last]])
    return float(thresholds[last]), runs(above, quiet_minutes)


class Ranking:
    """Minutes in the order of their scores; weighs them without sorting again.

    Parameters
    ----------
    positive
        Which minutes an attack is counted in.
    scores
        Higher is stranger; equal scores share a place.
    """

    def __init__(self, positive: Bools, scores: Floats) -> None:
        self._order = np.argsort(-scores, kind="stable")
        self._positive = positive[self._order]
        ends = np.diff(scores[self._order], append=-np.inf) != 0
        self._ends = np.flatnonzero(ends)

    def curve(self, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """Give the share of true and of false positives above each place, from 0."""
        true, false = self._above(weights)
        return true / true[-1], false / false[-1]

    def precision(self) -> tuple[Floats, Floats]:
        """Give recall and precision above each place, the strangest first."""
        true, false = (part[1:] for part in self._above(None))
        return true / true[-1], true / (true + false)

    def roc_auc(self, weights: Floats | None = None) -> float:
        """Give the area under the receiver's curve, as scikit-learn does."""
        return float(np.trapezoid(*self.curve(weights)))

    def average_precision(self, weights: Floats | None = None) -> float:
        """Give the average precision, as scikit-learn does."""
        true, false = self._above(weights)
        precision = true[1:] / np.maximum(true[1:] + false[1:], 1e-300)
        return float((np.diff(true) * precision).sum() / true[-1])

    def _above(self, weights: Floats | None) -> tuple[Floats, Floats]:
        ranked = 1.0 if weights is None else weights[self._order]
        true = np.cumsum(ranked * self._positive)[self._ends]
        false = np.cumsum(ranked * ~self._positive)[self._ends]
        return np.append(0.0, true), np.append(0.0, false)


def resampled(blocks: Sequence[Ints], seed: int) -> Floats:
    """Draw blocks with replacement, kind by kind.

    Parameters
    ----------
    blocks
        For each kind (attacks, normal hours), the block that each minute belongs to,
        -1 for none; a minute belongs to a block of one kind only.

    Returns
    -------
    numpy.ndarray
        Draws × minutes: how often each minute was drawn.
    """
    rng = np.random.default_rng(seed)
    weights = np.zeros((DRAWS, len(blocks[0])))
    for kind in blocks:
        here = kind >= 0
        number = int(kind.max(initial=-1)) + 1
        if number:
            drawn = rng.multinomial(number, np.full(number, 1 / number), size=DRAWS)
            weights[:, here] = drawn[:, kind[here]]
    return weights


def interval(measure: Callable[[Floats | None], float], weights: Floats) -> Estimate:
    """Give a measure of all minutes, with the 95 % interval of its draws."""
    drawn = [measure(draw) for draw in weights]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Estimate(measure(None), float(low), float(high))


def hours(minutes: Ints) -> Ints:
    """Give each minute the number of its hour, counted from 0.

    Examples
    --------
    >>> hours(np.array([0, 60, 3600, 36000]))
    array([0, 0, 1, 2])
    """
    return np.unique(minutes // _HOUR_S, return_inverse=True)[1].astype(np.int64)
