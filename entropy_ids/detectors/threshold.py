"""From scores to the score above which a minute is an alarm.

Two rules: the highest X % of training minutes (the paper), or a budget of incidents a
day, met on minutes that the detector never saw.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gammaincinv

from entropy_ids.calendar import HOURS, Calendar
from entropy_ids.errors import InputError
from entropy_ids.types import DAY_MINUTES, MINUTE_S

HELD_EVERY = (4, 3)
"""One weekday and one day off in so many is held out: over the weeks, each in turn."""
LEAST_DAYS = 8
"""With fewer days a held-out block is an eighth of the range instead of a day."""
LEAST_EXPECTED = 2.0
"""Incidents that a budget must let happen in the held-out time, to be met there."""


def top_percent(scores: pd.Series[float], percent: float) -> float:
    """Give the threshold that the highest ``percent`` of scores lie above.

    Parameters
    ----------
    scores
        Training scores; NaN are left out.
    percent
        Share of minutes, in percent (the paper's top X %). By construction 14.4 X
        minutes a day of normal traffic like the training's are above it.

    Raises
    ------
    InputError
        When no minute was scored.

    Examples
    --------
    >>> top_percent(pd.Series([3.0, 1.0, 2.0, float("nan"), 4.0]), 25)
    3.0
    """
    known = np.sort(scores.dropna().to_numpy())
    if not len(known):
        raise InputError(
            "expected scored minutes to set a threshold by, found none; "
            "train on more consecutive minutes"
        )
    above = int(len(known) * Fraction(str(percent)) / 100)  # 0.57 % means 57/10,000
    return float(known[len(known) - 1 - min(above, len(known) - 1)])


def held_out(minutes: pd.DatetimeIndex, calendar: Calendar) -> NDArray[np.bool_]:
    """Choose the minutes that a budget is met on: whole days of either day type.

    Parameters
    ----------
    minutes
        The training minutes, ascending, UTC. Of fewer than eight days, two eighths of
        the range are held out instead.
    """
    block = calendar.dates(minutes)
    off = calendar.slots(minutes) // HOURS
    if len(np.unique(block)) < LEAST_DAYS:
        block = np.arange(len(minutes)) * LEAST_DAYS // len(minutes)
        off = np.zeros_like(block)
    held = np.zeros(len(minutes), np.bool_)
    for day_type, every in enumerate(HELD_EVERY):
        here = off == day_type
        order = np.unique(block[here], return_inverse=True)[1]
        held[here] = order % every == every // 2
    return held


@dataclass(frozen=True)
class Budget:
    """A budget of incidents a day, as it was met.

    Attributes
    ----------
    alarms_per_day
        What was asked for.
    days
        Scored minutes held out, in days.
    incidents
        What these minutes give at the threshold.
    """

    alarms_per_day: float
    days: float
    incidents: int
    threshold: float

    @property
    def interval(self) -> tuple[float, float]:
        """Incidents a day to be expected: the exact 95 % interval of a Poisson rate."""
        return poisson_interval(self.incidents, self.days)


def poisson_interval(events: int, days: float) -> tuple[float, float]:
    """Give the exact (Garwood) 95 % interval of a rate, events a day.

    Examples
    --------
    >>> [round(limit, 2) for limit in poisson_interval(7, 7.0)]
    [0.4, 2.06]
    """
    low = gammaincinv(events, 0.025) if events else 0.0  # scipy.stats takes 0.6 s
    return float(low / days), float(gammaincinv(events + 1, 0.975) / days)


def meet(scores: pd.Series[float], alarms_per_day: float, quiet_minutes: int) -> Budget:
    """Find the lowest threshold that keeps held-out minutes within a budget.

    Parameters
    ----------
    scores
        Of held-out minutes (index UTC, ascending); NaN are left out.
    alarms_per_day
        Incidents a day.
    quiet_minutes
        Minutes without an anomaly that part two incidents.

    Notes
    -----
    An incident here is a run of minutes above the threshold; when two different events
    overlap, alarms count two. Where no threshold spends the budget, the one that makes
    the most incidents is taken: below it they only merge, until all minutes are one.
    """
    known = scores.dropna()
    days = len(known) / DAY_MINUTES
    assert isinstance(known.index, pd.DatetimeIndex)
    stamps = known.index.as_unit("s").asi8
    values = known.to_numpy()
    threshold, met = float(values.max()), 0
    for candidate in np.unique(values)[::-1]:
        incidents = runs(stamps[values > candidate], quiet_minutes)
        if incidents > alarms_per_day * days:
            break
        if incidents >= met:
            threshold, met = float(candidate), incidents
    return Budget(alarms_per_day, days, met, threshold)


def runs(stamps: NDArray[np.int64], quiet_minutes: int) -> int:
    """Count the incidents that anomalous minutes make.

    Parameters
    ----------
    stamps
        Anomalous minutes, epoch seconds, ascending.

    Examples
    --------
    >>> runs(np.array([0, 60, 300, 6000]), quiet_minutes=5)
    2
    """
    return int(len(stamps) > 0) + int(
        (np.diff(stamps) > quiet_minutes * MINUTE_S).sum()
    )
