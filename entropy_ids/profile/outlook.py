"""What a profile can be trusted with: what its training lacked, and what to expect.

Pure reckoning over the training minutes; nothing here changes a profile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from entropy_ids.calendar import DAY_TYPES, HOURS, Calendar
from entropy_ids.profile.bounds import MARGINS, Floats
from entropy_ids.types import DAY_MINUTES

LEAST_DAYS = 2.0
KS = (1.0, 1.1, 1.25, 1.5, 2.0)


def false_flags(n: int) -> float:
    """Give the chance that a normal minute lies outside the extremes of ``n`` others.

    For one continuous column; columns go together, so that chances do not add.

    Examples
    --------
    >>> round(false_flags(120), 4)
    0.0165
    """
    return 2 / (n + 1)


def shortfalls(slots: NDArray[np.int64]) -> list[str]:
    """Say in sentences what the whole minutes of a training range lack.

    Parameters
    ----------
    slots
        The slot of each whole minute.
    """
    found = []
    days = len(slots) / DAY_MINUTES
    if days < LEAST_DAYS:
        found.append(
            f"expected at least two days of whole minutes, found {days:.1f}: every "
            "hour rests on one day at most; train on more days"
        )
    for number, day_type in enumerate(DAY_TYPES):
        hours = set(slots[slots // HOURS == number] % HOURS)
        missing = [hour for hour in range(HOURS) if hour not in hours]
        if not hours:
            found.append(
                f"no {day_type} minute was trained on: its hours take the bounds of "
                f"the other days; train on a range with a {day_type}"
            )
        elif missing:
            listed = ", ".join(f"{hour:02d}" for hour in missing)
            found.append(
                f"no minute of {day_type} hours {listed} was trained on: they take the "
                "bounds of the hours around them; train on more days"
            )
    return found


def effect_of_k(
    values: pd.DataFrame,
    slots: NDArray[np.int64],
    dates: NDArray[np.int64],
    ks: Sequence[float] = KS,
) -> pd.DataFrame:
    """Tell how many normal signals lie outside the bounds of the *other* days.

    Parameters
    ----------
    values
        Normal training minutes × columns.
    slots, dates
        The slot and the local date of each minute.

    Returns
    -------
    pandas.DataFrame
        ``margin``, ``k``, and ``outside``: the mean share of columns outside their
        bounds when each day is held against all others; NaN when no slot has two days.
    """
    counts = {(margin, k): np.zeros(2) for margin in MARGINS for k in ks}
    for data, low, high in _left_out_days(values.to_numpy(), slots, dates):
        for (margin, k), count in counts.items():
            lowest, highest = MARGINS[margin](low, high, k)
            outside = (data < lowest) | (data > highest)
            known = ~np.isnan(data) & ~np.isnan(low)
            count += outside[known].sum(), known.sum()
    rows = [
        (margin, k, out / known if known else np.nan)
        for (margin, k), (out, known) in counts.items()
    ]
    return pd.DataFrame(rows, columns=["margin", "k", "outside"])


def _left_out_days(
    data: Floats, slots: NDArray[np.int64], dates: NDArray[np.int64]
) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Yield each day of each slot, with minimum and maximum of the slot's others."""
    for slot in np.unique(slots):
        here, of_day = data[slots == slot], dates[slots == slot]
        days = np.unique(of_day)
        lows = np.stack([_least(here[of_day == day]) for day in days])
        highs = np.stack([-_least(-here[of_day == day]) for day in days])
        for place, day in enumerate(days) if len(days) > 1 else ():
            others = np.arange(len(days)) != place
            low, high = _least(lows[others]), -_least(-highs[others])
            yield here[of_day == day], low, high


def _least(values: Floats) -> Floats:
    """Give the minimum of each column over what is known, NaN where nothing is."""
    least = np.where(np.isnan(values), np.inf, values).min(axis=0)
    return np.where(np.isinf(least), np.nan, least)


def slots_of(
    series: pd.DataFrame, calendar: Calendar
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give slot and local date of every minute of a profile's series."""
    minutes = pd.DatetimeIndex(series["minute"])
    return calendar.slots(minutes), calendar.dates(minutes)
