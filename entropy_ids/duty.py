"""Who watches a sensor from which minute on: nobody yet, a profile, then another.

Both drivers push closed minutes here; what was decided by people or by wall time
comes in as changes at named minutes, so that a replay can repeat it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl

from entropy_ids.alarms.suppression import Suppression
from entropy_ids.features.assembler import Lift
from entropy_ids.features.series import Measure
from entropy_ids.pipeline import Watch, WatchState, minutes_table
from entropy_ids.profile.store import Profile
from entropy_ids.types import DAY_MINUTES, MINUTE_S, Alarm, Minutes

_DAY_S = DAY_MINUTES * MINUTE_S


@dataclass(frozen=True)
class Change:
    """What is other from a minute on; None stays as it was."""

    minute: int
    profile: Profile | None = None
    quiet_minutes: int | None = None
    suppression: Suppression | None = None


@dataclass(frozen=True)
class Decided:
    """Decisions about a sensor, ready to be done.

    Attributes
    ----------
    first
        The profile on duty at the start; None while nobody is.
    changes
        What became other, by ascending minutes.
    lifts
        Streams that were dropped or came back.
    """

    first: Profile | None
    changes: Sequence[Change] = ()
    lifts: Sequence[Lift] = ()

    @property
    def profiles(self) -> list[Profile]:
        """All profiles, in the order of duty."""
        every = [self.first, *(change.profile for change in self.changes)]
        return [one for one in every if one is not None]


@dataclass(frozen=True)
class Judged:
    """Consecutive minutes of one UTC day, judged in one way.

    Attributes
    ----------
    minute, last
        The first and the last of them.
    table
        Their rows of ``minutes.parquet``.
    alarms
        The revisions that closing them made.
    """

    minute: int
    last: int
    table: pd.DataFrame
    alarms: list[Alarm]


class Duty:
    """Judges a sensor's closed minutes by the profile that is on duty.

    Parameters
    ----------
    sensor
        The sensor's name, in alarms.
    measure
        Measures minutes while there is no profile.
    profile
        The first one; None while the sensor is learned.
    quiet_minutes
        Minutes without an anomaly that close an incident.
    changes
        What is decided already, by ascending minutes.
    suppression
        Marks alarms that are expected; by default none.
    """

    def __init__(
        self,
        sensor: str,
        measure: Measure,
        profile: Profile | None,
        quiet_minutes: int,
        changes: Iterable[Change] = (),
        suppression: Suppression | None = None,
    ) -> None:
        self._sensor, self._measure = sensor, measure
        self.quiet_minutes = quiet_minutes
        self._changes = list(changes)
        self.suppression = suppression or Suppression()
        self.profile = profile
        self.watch = None if profile is None else self._watch(profile)

    def push(self, minutes: Minutes) -> Iterator[Judged]:
        """Judge closed minutes, parted where a day ends or something changes."""
        stamps = minutes.index["minute"].to_numpy()
        ends = np.flatnonzero(np.diff(stamps // _DAY_S)) + 1
        changes = np.searchsorted(stamps, [change.minute for change in self._changes])
        cuts = np.unique([0, *ends, *changes, len(stamps)]).astype(int)
        for first, last in pairwise(cuts):
            span = int(stamps[first]), int(stamps[last - 1])
            self._apply(span[0])
            whole = (first, last) == (0, len(stamps))
            piece = minutes if whole else between(minutes, *span)
            yield Judged(*span, *self._judge(piece))

    def change(self, change: Change) -> None:
        """Decide what is other from a minute on that is not closed yet."""
        self._changes.append(change)

    def restore(self, state: WatchState | None) -> None:
        """Go on from where the watch of this profile stood."""
        if state is not None and self.watch is not None:
            self.watch.restore(state)

    def _apply(self, minute: int) -> None:
        due = [change for change in self._changes if change.minute <= minute]
        self._changes = self._changes[len(due) :]
        for change in due:
            self.quiet_minutes = change.quiet_minutes or self.quiet_minutes
            self.suppression = change.suppression or self.suppression
            if self.watch is not None:
                self.watch.quiet_minutes = self.quiet_minutes
            if change.profile is not None:
                self.watch = self._watch(change.profile, self.watch)
                self.profile = change.profile

    def _watch(self, profile: Profile, before: Watch | None = None) -> Watch:
        watch = Watch(profile, self._sensor, self.quiet_minutes)
        if before is not None:
            watch.relieve(before)
        return watch

    def _judge(self, minutes: Minutes) -> tuple[pd.DataFrame, list[Alarm]]:
        if self.watch is not None:
            table, alarms = self.watch.push(minutes)
            return table, self.suppression.mark(alarms)
        series = self._measure(minutes)
        unknown = pd.Series(np.nan, index=series.values.index)
        return minutes_table(series, unknown, np.nan), []


def between(minutes: Minutes, first: int, last: int) -> Minutes:
    """Give the minutes from ``first`` to ``last``, both among them."""
    wanted = pl.col("minute").is_between(first, last)
    tables = {name: table.filter(wanted) for name, table in minutes.tables.items()}
    return Minutes(minutes.index.filter(wanted), tables, minutes.rows.filter(wanted))
