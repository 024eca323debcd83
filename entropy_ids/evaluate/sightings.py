"""Which minutes of the logs a label touches: rows are counted when Zeek writes them.

An attack of two minutes may be counted six minutes later, or be one row at its end. So
its minutes are those that hold its rows, told by their addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entropy_ids.alarms.incidents import iso
from entropy_ids.errors import InputError
from entropy_ids.evaluate.labels import Label
from entropy_ids.features.counting import in_networks
from entropy_ids.types import MINUTE_S, Minutes

LATE_S = 3_900
"""A row is written an hour after its connection's end at most, and some minutes."""
SLACK_S = 60
"""Labels are right to the minute."""
AFTER_S = 5 * MINUTE_S
"""What an attack leaves behind in the minutes after it is neither found nor false."""
_REMOVED = "outage"  # leaves no rows of its own, but a time without those of others

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sighting:
    """A label and the minutes that count its rows, ascending; none when no row does."""

    label: Label
    minutes: Ints

    @property
    def span(self) -> tuple[int, int]:
        """First and last counted minute; an empty span where there is none."""
        if not len(self.minutes):
            return 0, -1
        return int(self.minutes[0]), int(self.minutes[-1])

    @property
    def finding(self) -> Ints:
        """The minutes in which an alarm finds it: the counted ones and the next."""
        return np.append(self.minutes, self.minutes[-1:] + MINUTE_S)

    def shades(self, minutes: Ints) -> NDArray[np.bool_]:
        """Tell the minutes from its first counted one to five after the last."""
        first, last = self.span
        shaded: NDArray[np.bool_] = (minutes >= first) & (minutes <= last + AFTER_S)
        return shaded & (len(self.minutes) > 0)


class Sightings:
    """Looks out for labels in the minutes of logs as they close.

    Parameters
    ----------
    labels
        A label without addresses, or an outage, counts from its first minute to the
        one after its last; any other by its rows: those between an attacker and a
        victim, either way round, or of either where only one side is known.
    """

    def __init__(self, labels: Sequence[Label]) -> None:
        self._labels = labels
        self._counted: list[set[int]] = [set() for _ in labels]
        self._first: int | None = None
        self._last = 0

    def add(self, minutes: Minutes) -> None:
        """Look at closed minutes."""
        index = minutes.index["minute"]
        first, last = (
            int(pick) for pick in (index.to_numpy().min(), index.to_numpy().max())
        )
        self._first = first if self._first is None else min(self._first, first)
        self._last = max(self._last, last)
        for label, counted in zip(self._labels, self._counted, strict=True):
            if label.start < last + MINUTE_S and first <= label.end + LATE_S:
                counted.update(minutes_of(label, minutes))

    def all(self) -> list[Sighting]:
        """Give every label with its minutes, in the order of the labels.

        Raises
        ------
        InputError
            When a label lies outside the logs.
        """
        for label in self._labels:
            self._check(label)
        return [
            Sighting(label, np.array(sorted(counted), np.int64))
            for label, counted in zip(self._labels, self._counted, strict=True)
        ]

    def _check(self, label: Label) -> None:
        first = 0 if self._first is None else self._first
        if label.start < self._last + MINUTE_S and first <= label.end:
            return
        raise InputError(
            f"label {label.class_name} from {iso(int(label.start))} to "
            f"{iso(int(label.end))}: expected it within the logs, which go from "
            f"{iso(first)} to {iso(self._last)}; give the logs of that time, or leave "
            "it out with --from and --to"
        )


def minutes_of(label: Label, minutes: Minutes) -> list[int]:
    """Give the minutes among some that count a label's rows."""
    start = int(label.start // MINUTE_S * MINUTE_S)
    if label.class_name == _REMOVED or not label.attackers + label.victims:
        end = int(label.end // MINUTE_S * MINUTE_S) + MINUTE_S
        index = minutes.index["minute"]
        return index.filter(index.is_between(start, end)).to_list()
    rows = minutes.rows.filter(pl.col("minute").is_between(start, label.end + LATE_S))
    began = pl.col("ts").dt.epoch("s")  # others of the same hosts are ordinary
    rows = rows.filter(began.is_between(label.start - SLACK_S, label.end + SLACK_S))
    return rows["minute"].filter(matches(rows, label)).unique().to_list()


def matches(rows: pl.DataFrame, label: Label) -> pl.Series:
    """Tell the rows between a label's attackers and victims, either way round."""
    (attacking, attacked), (answering, asked) = (
        [_inside(rows[end], side) for end in ("id.orig_h", "id.resp_h")]
        for side in (label.attackers, label.victims)
    )
    if label.attackers and label.victims:
        return (attacking & asked) | (attacked & answering)
    return attacking | attacked | answering | asked


def _inside(addresses: pl.Series, side: tuple[str, ...]) -> pl.Series:
    """Tell the addresses that are named, or lie in a network that is."""
    networks = tuple(name for name in side if "/" in name)
    unique = addresses.unique() if networks else ()
    within = [a for a in unique if a is not None and in_networks(a, networks)]
    return addresses.is_in([*side, *within])
