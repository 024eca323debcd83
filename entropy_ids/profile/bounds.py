"""Bounds per slot and column, and the judging of minutes against them.

Notes
-----
The paper's rule is r = (H - k min) / (k (max - min)) with r < 0 concentration and r > 1
dispersion; a larger k tightens its lower bound, against its purpose. By default the
margin is ``span``: with r0 = (H - min) / (max - min), concentration is r0 < -(k - 1)
and dispersion r0 > k; at k = 1 all margins are the same. `MARGINS` has the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from entropy_ids.calendar import SLOTS, nearest
from entropy_ids.errors import InputError
from entropy_ids.features.catalog import FEATURES, Column
from entropy_ids.types import Deviation, Sign

CONCENTRATED_ORDERS = (1.0, 2.0)
DISPERSED_ORDERS = (0.0, 1.0)
"""Both orders of a pair must agree before a feature gets that sign; orders below 0 go
up in most anomalies of either kind, so they only confirm."""

Floats = NDArray[np.float64]
MARGINS: dict[str, Callable[[Floats, Floats, float], tuple[Floats, Floats]]] = {
    "span": lambda low, high, k: (
        low - (k - 1) * (high - low),
        high + (k - 1) * (high - low),
    ),
    "ratio": lambda low, high, k: (low / k, high * k),
    "published": lambda low, high, k: (low * k, high * k),
}
"""Minimum, maximum and k → the bounds that a minute is judged by."""


def learn(
    values: pd.DataFrame,
    slots: NDArray[np.int64],
    dates: NDArray[np.int64],
    slot_minutes: int,
) -> pd.DataFrame:
    """Learn the bounds of every slot from low-error minutes.

    Parameters
    ----------
    values
        Minutes × columns that are normal.
    slots, dates
        The slot and the local date of each minute.
    slot_minutes
        A slot with fewer minutes borrows from the hours around it, then from the other
        day type.

    Returns
    -------
    pandas.DataFrame
        One row per slot and column: ``low``, ``high``, ``low_minute``, ``high_minute``
        (who set them), ``n`` (minutes known), ``borrowed`` (minutes of other slots),
        ``days`` (dates that they are of).

    Raises
    ------
    InputError
        When there is no minute to learn from.
    """
    if not len(values):
        raise InputError(
            "expected minutes below the threshold to learn bounds from, found none; "
            "train on more logs"
        )
    return pd.concat(
        [
            _slot_bounds(values, slots, dates, slot, nearest(slots, slot, slot_minutes))
            for slot in range(SLOTS)
        ],
        ignore_index=True,
    )


def _slot_bounds(
    values: pd.DataFrame,
    slots: NDArray[np.int64],
    dates: NDArray[np.int64],
    slot: int,
    rows: NDArray[np.int64],
) -> pd.DataFrame:
    data = values.to_numpy()[rows]
    known = ~np.isnan(data)
    some = known.any(axis=0)
    low_at = np.where(known, data, np.inf).argmin(axis=0)
    high_at = np.where(known, data, -np.inf).argmax(axis=0)
    place = np.arange(data.shape[1])
    minutes = values.index[rows]
    return pd.DataFrame(
        {
            "slot": slot,
            "column": list(values.columns),
            "low": np.where(some, data[low_at, place], np.nan),
            "high": np.where(some, data[high_at, place], np.nan),
            "low_minute": pd.Series(minutes[low_at]).where(some),
            "high_minute": pd.Series(minutes[high_at]).where(some),
            "n": known.sum(axis=0),
            "borrowed": int((slots[rows] != slot).sum()),
            "days": len(np.unique(dates[rows])),
        }
    )


def setter_key(column: Column) -> str:
    """Name the key whose heaviest value tells who set a column's bound."""
    key = FEATURES[column.feature].key
    return _SETTER_KEYS.get(key, "pair")


_SETTER_KEYS: dict[tuple[str, ...], str] = {
    ("id.orig_h",): "orig_h",
    ("id.resp_h",): "resp_h",
    ("id.orig_p",): "orig_p",
    ("id.resp_p", "proto"): "resp_p",
}


def bound_setters(bounds: pd.DataFrame, heaviest: pd.DataFrame) -> pd.DataFrame:
    """Keep, of the heaviest values of minutes, those of minutes that set a bound.

    Parameters
    ----------
    bounds
        As `learn` gives it.
    heaviest
        ``minute``, ``key``, ``value``, ``uids``.
    """
    asked = bounds["column"].map(lambda name: setter_key(Column.named(name)))
    pairs = [
        pd.DataFrame({"minute": bounds[side], "key": asked})
        for side in ("low_minute", "high_minute")
    ]
    wanted = pd.concat(pairs).dropna().drop_duplicates()
    return heaviest.merge(wanted, on=["minute", "key"]).reset_index(drop=True)


class Bounds:
    """The learned bounds, ready to judge.

    Parameters
    ----------
    table
        As `learn` gives it.
    k
        The margin's width, 1 for none.
    margin
        A name of `MARGINS`.
    """

    def __init__(self, table: pd.DataFrame, k: float, margin: str = "span") -> None:
        names = list(dict.fromkeys(table["column"]))
        wide = table.pivot(index="slot", columns="column", values=["low", "high"])
        self.columns = [Column.named(name) for name in names]
        low, high = wide["low"][names].to_numpy(), wide["high"][names].to_numpy()
        resolution = np.array([column.resolution for column in self.columns])
        floor = np.maximum(resolution - (high - low), 0) / 2  # on either side
        self._low, self._high = low, high
        self._least, self._span = low - floor, high - low + 2 * floor
        self._allowed = MARGINS[margin](low - floor, high + floor, k)

    def deviations(self, values: NDArray[np.float64], slot: int) -> list[Deviation]:
        """Give the columns of one minute that lie outside, furthest out first."""
        low, high = self._low[slot], self._high[slot]
        lowest, highest = (bound[slot] for bound in self._allowed)
        r = (values - self._least[slot]) / self._span[slot]
        found = [
            _deviation(
                self.columns[at],
                values[at],
                low[at],
                high[at],
                r[at],
                values[at] < lowest[at],
            )
            for at in np.flatnonzero((values < lowest) | (values > highest))
        ]
        return sorted(found, key=lambda deviation: -abs(deviation.r - 0.5))


def _deviation(
    column: Column, value: float, low: float, high: float, r: float, below: bool
) -> Deviation:
    entropy = FEATURES[column.feature].kind == "distribution"
    sign: Sign
    if below:
        sign = "concentrated" if entropy else "low"
    else:
        sign = "dispersed" if entropy else "high"
    return Deviation(
        column.feature,
        column.direction,
        column.statistic,
        column.alpha,
        float(value),
        float(low),
        float(high),
        float(r),
        sign,
    )


def signs(
    deviations: list[Deviation], columns: list[Column], values: NDArray[np.float64]
) -> Mapping[tuple[str, str], Sign]:
    """Give each feature and direction its one sign, if it has one.

    Parameters
    ----------
    deviations
        The columns outside their bounds.
    columns, values
        All columns of the minute; where the volume-invariant entropies are known they
        decide, else the raw ones.
    """
    outside = {(d.feature, d.direction, d.entropy, d.alpha): d.sign for d in deviations}
    decided: dict[tuple[str, str], Sign] = {}
    known = [
        column for column, value in zip(columns, values, strict=True) if value == value
    ]
    for place in dict.fromkeys((d.feature, d.direction) for d in deviations):
        here = [c for c in known if (c.feature, c.direction) == place]
        invariant = [c for c in here if c.statistic == "rarefied"]
        sign = _sign(invariant or here, outside)
        if sign:
            decided[place] = sign
    return decided


def _sign(
    columns: list[Column], outside: Mapping[tuple[str, str, str, float | None], Sign]
) -> Sign | None:
    found = {
        c.alpha: outside.get((c.feature, c.direction, c.statistic, c.alpha))
        for c in columns
    }
    if None in found:  # a size has no order
        return found[None]
    rules: tuple[tuple[Sign, tuple[float, ...]], ...] = (
        ("concentrated", CONCENTRATED_ORDERS),
        ("dispersed", DISPERSED_ORDERS),
    )
    for sign, orders in rules:
        asked = [found[order] for order in orders if order in found]
        if asked and all(answer == sign for answer in asked):
            return sign
    return None


def sizes(
    columns: list[Column], values: NDArray[np.float64]
) -> Mapping[tuple[str, str], float]:
    """Give the sizes of a minute (flows, fan-out, bytes ...) as plain numbers."""
    return {
        (column.feature, column.direction): round(2.0**value - 1, 6)
        for column, value in zip(columns, values, strict=True)
        if column.statistic == "log2" and value == value
    }
