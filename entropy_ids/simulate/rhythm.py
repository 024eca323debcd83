"""When things happen at the site: its week, its jobs, and its slow drift.

All is read off the site's own clocks, minute by minute; what happens is said in
``services``.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from entropy_ids.calendar import HOURS, Calendar
from entropy_ids.simulate.hosts import FloatArray, IntArray
from entropy_ids.simulate.services import DAY_MIN, HOUR_MIN, Job

#: Activity of people over the hours of a day: 0 as at night, 1 as at the peak.
WEEKDAY: Final = {
    0: 0.02, 5.5: 0.0, 7: 0.1, 8: 0.5, 9: 0.92, 10.5: 1.0, 11.75: 0.95, 12.5: 0.7,
    13.5: 0.93, 15: 1.0, 16.5: 0.9, 18: 0.4, 20: 0.12, 22: 0.05, 24: 0.02,
}  # fmt: skip
WEEKEND: Final = {0: 0.02, 5.5: 0.0, 9: 0.04, 11: 0.12, 16: 0.12, 20: 0.05, 24: 0.02}
MONDAY_MIN: Final = 3 * DAY_MIN  # 1970 began on a Thursday

WAVES_DAYS: Final = (17.0, 53.0)  # periods of the drift, incommensurable with weeks
WAVE: Final = 0.05  # by so much each wave moves the logarithm of a quantity at most


@dataclass(frozen=True)
class Clock:
    """The site's clocks over a stretch of UTC minutes.

    Attributes
    ----------
    wall
        Minutes since 1970 as the clocks on the wall show them.
    off
        Whether the local date is a weekend or a holiday.
    """

    wall: IntArray
    off: NDArray[np.bool_]

    @classmethod
    def of(cls, calendar: Calendar, first: dt.date, days: int) -> "Clock":
        """Read the clocks over whole UTC days."""
        minutes = pd.date_range(first, periods=days * DAY_MIN, freq="min", tz="UTC")
        local = minutes.tz_convert(calendar.timezone).tz_localize(None)
        wall = local.as_unit("s").asi8 // 60
        return cls(wall, calendar.slots(minutes) >= HOURS)

    @property
    def dates(self) -> IntArray:
        """Local dates as ordinals, as `datetime.date.toordinal` counts them."""
        return self.wall // DAY_MIN + dt.date(1970, 1, 1).toordinal()


def activity(clock: Clock, shift_h: float = 0.0) -> FloatArray:
    """Read how active people are in each minute, 0 to 1; all ``shift_h`` earlier."""
    hours = clock.wall % DAY_MIN / HOUR_MIN + shift_h
    week, weekend = (
        np.interp(hours, list(curve), list(curve.values()))
        for curve in (WEEKDAY, WEEKEND)
    )
    return np.where(clock.off, weekend, week)


def running(job: Job, clock: Clock) -> NDArray[np.bool_]:
    """Tell the minutes of a clock's last day in which a job runs.

    As with cron a run that falls into the hour that spring leaves out is left out, and
    in the hour that autumn repeats only what runs every hour runs again.
    """
    wall = clock.wall
    begins = (wall + MONDAY_MIN - job.at_min) % job.every_min == 0
    if job.every_min > HOUR_MIN:
        begins[1:] &= wall[1:] > np.maximum.accumulate(wall)[:-1]
    begun = np.cumsum(begins)
    return begun[-DAY_MIN:] > begun[-DAY_MIN - job.lasts_min : -job.lasts_min]


def drift(day: int, phases: FloatArray, wave: float = WAVE) -> FloatArray:
    """Give the factors by which quantities have wandered on a day.

    Parameters
    ----------
    day
        The date as an ordinal.
    phases
        Two angles for each quantity, in radians: (2, quantities).
    wave
        Logarithm of the largest factor of one wave; 0.90 to 1.11 by default in all.
    """
    angles = 2 * np.pi * day / np.array(WAVES_DAYS)
    waves: FloatArray = np.sin(phases + angles[:, None]).sum(axis=0)
    return np.exp(wave * waves)
