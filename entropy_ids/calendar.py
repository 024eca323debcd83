"""Site time: the only module that knows a time zone.

Everywhere else minutes are UTC. Here they become day types and hours: the slots in
which a site repeats itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from entropy_ids.errors import ConfigError

if TYPE_CHECKING:
    from entropy_ids.config import Config

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY_TYPES = ("weekday", "weekend")
HOURS = 24
SLOTS = len(DAY_TYPES) * HOURS


@dataclass(frozen=True)
class Calendar:
    """Which slot of the week a minute belongs to, in the site's own time.

    Parameters
    ----------
    timezone
        IANA name, such as ``Europe/Berlin``.
    weekend
        Day names of three letters.
    holidays
        Dates (ISO 8601) that count as weekend.

    Raises
    ------
    ConfigError
        When the zone, a day or a date does not exist.

    Examples
    --------
    >>> minutes = pd.DatetimeIndex(["2024-04-19T22:30:00Z"])  # Saturday 00:30 in Berlin
    >>> slot = Calendar("Europe/Berlin").slots(minutes)[0]
    >>> Calendar.name(slot)
    'weekend 00'
    """

    timezone: str = "UTC"
    weekend: tuple[str, ...] = ("Sat", "Sun")
    holidays: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as err:
            raise ConfigError(
                f"site.timezone: expected an IANA time zone such as Europe/Berlin, "
                f"found {self.timezone!r}; see the TZ names of your system"
            ) from err
        for day in self.weekend:
            if day not in DAYS:
                raise ConfigError(
                    f"site.weekend: expected days of {', '.join(DAYS)}, found {day!r}"
                )
        for holiday in self.holidays:
            try:
                dt.date.fromisoformat(holiday)
            except ValueError as err:
                raise ConfigError(
                    "site.holidays: expected dates such as 2026-12-25, found "
                    f"{holiday!r}"
                ) from err

    @staticmethod
    def of(settings: Config | Mapping[str, Any]) -> Calendar:
        """Make the calendar of these settings."""
        return Calendar(
            settings["site.timezone"],
            tuple(settings["site.weekend"]),
            tuple(settings["site.holidays"]),
        )

    def dates(self, minutes: pd.DatetimeIndex) -> NDArray[np.int64]:
        """Give each UTC minute's local date, as days since 1970."""
        local = minutes.tz_convert(self.timezone).tz_localize(None)
        return local.as_unit("s").asi8 // 86_400

    def slots(self, minutes: pd.DatetimeIndex) -> NDArray[np.int64]:
        """Give each UTC minute's slot: hour, plus 24 on weekends and holidays."""
        local = minutes.tz_convert(self.timezone)
        days_off = [DAYS.index(day) for day in self.weekend]
        off = np.isin(local.day_of_week, days_off)
        if self.holidays:
            dates = local.strftime("%Y-%m-%d")
            off |= np.isin(
                dates, [str(dt.date.fromisoformat(d)) for d in self.holidays]
            )
        return np.asarray(local.hour, np.int64) + HOURS * off

    @staticmethod
    def name(slot: int) -> str:
        """Name a slot by day type and hour."""
        return f"{DAY_TYPES[slot // HOURS]} {slot % HOURS:02d}"


def nearest(slots: NDArray[np.int64], slot: int, wanted: int) -> NDArray[np.int64]:
    """Give the minutes of a slot, or of the nearest hours that have enough together.

    Parameters
    ----------
    slots
        The slot of each minute.
    wanted
        Minutes; hours of the same day type are taken before those of both.

    Returns
    -------
    numpy.ndarray
        Positions, ascending; all of them when they are not enough.
    """
    day_type, hour = divmod(slot, HOURS)
    away = np.abs(slots % HOURS - hour)
    away = np.minimum(away, HOURS - away)
    same = slots // HOURS == day_type
    for allowed in (same, np.ones_like(same)):
        for reach in range(HOURS // 2 + 1):
            rows = np.flatnonzero(allowed & (away <= reach))
            if len(rows) >= wanted:
                return rows
    return np.arange(len(slots))
