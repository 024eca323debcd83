"""Change a profile without training: take minutes out of its bounds; compare two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from entropy_ids.calendar import Calendar
from entropy_ids.errors import InputError
from entropy_ids.features.catalog import Column
from entropy_ids.profile.bounds import learn
from entropy_ids.profile.outlook import slots_of
from entropy_ids.profile.store import Profile

_SIDES = ("low", "high")
RETRACTED = "retracted"
"""Coverage of a training minute that was taken out."""


def normal(series: pd.DataFrame, threshold: float) -> pd.Series[bool]:
    """Tell which training minutes bounds are learned from: whole, with a low error."""
    return (series["coverage"] == "complete") & (series["score"] <= threshold)


def bounds_of(
    series: pd.DataFrame, columns: Sequence[str], calendar: Calendar, manifest: Any
) -> pd.DataFrame:
    """Learn the bounds of a profile from its training minutes.

    Parameters
    ----------
    series
        As `Profile.series`.
    manifest
        ``threshold`` and ``settings`` of the profile.
    """
    kept = series[normal(series, manifest["threshold"])]
    values = kept.set_index("minute")[list(columns)].astype(np.float64)
    slots, dates = slots_of(kept, calendar)
    return learn(values, slots, dates, manifest["settings"]["judging.slot_minutes"])


def retract(profile: Profile, minutes: Sequence[int]) -> Profile:
    """Take minutes out of a profile's bounds, as if they had never been normal.

    The network, the threshold and the usual shares of values stay as they are: only
    training anew without these minutes changes those.

    Parameters
    ----------
    minutes
        Epoch seconds, UTC.

    Raises
    ------
    InputError
        When a minute was not trained on.
    """
    series = profile.series.copy()
    stamps = pd.DatetimeIndex(series["minute"]).as_unit("s").asi8
    unknown = [minute for minute in minutes if minute not in stamps]
    if unknown:
        raise InputError(
            f"expected a minute of the training, found {_utc(unknown[0])}; the profile "
            f"was trained on {_utc(stamps[0])} to {_utc(stamps[-1])}"
        )
    series.loc[np.isin(stamps, minutes), "coverage"] = RETRACTED
    manifest = profile.manifest
    calendar = Calendar.of(manifest["settings"])
    bounds = bounds_of(series, manifest["columns"], calendar, manifest)
    return replace(profile, series=series, bounds=bounds, hash="")


def _utc(stamp: int) -> str:
    return f"{pd.Timestamp(stamp, unit='s', tz='UTC'):%Y-%m-%dT%H:%MZ}"


@dataclass(frozen=True)
class Difference:
    """How two profiles differ.

    Attributes
    ----------
    manifest
        Key → value in the one and in the other, where they differ.
    columns
        Columns of one only.
    bounds
        ``column``, ``slots`` (how many moved) and ``moved``: the largest move of a
        bound over all slots, in spans of the first profile; largest first.
    """

    manifest: dict[str, tuple[Any, Any]]
    columns: list[str]
    bounds: pd.DataFrame


def diff(one: Profile, other: Profile) -> Difference:
    """Compare two profiles."""
    flat = [_flat(profile) for profile in (one, other)]
    changed = {
        key: (flat[0].get(key), flat[1].get(key))
        for key in dict.fromkeys([*flat[0], *flat[1]])
        if flat[0].get(key) != flat[1].get(key)
    }
    names = [set(profile.manifest["columns"]) for profile in (one, other)]
    return Difference(changed, sorted(names[0] ^ names[1]), _moved(one, other))


def _flat(profile: Profile) -> dict[str, Any]:
    manifest = profile.manifest
    flat = {key: manifest.get(key) for key in ("sensor", "detector", "threshold")}
    flat |= {f"range.{key}": value for key, value in manifest["range"].items()}
    return flat | dict(manifest["settings"])


def moved_share(one: Profile, other: Profile) -> float:
    """Give the share of bounds that lie off by more than their span in ``one``.

    It is of the bounds that both know; of none, all have moved.
    """
    moved = _both(one, other)["moved"].dropna()
    return float((moved > 1).mean()) if len(moved) else 1.0


def _both(one: Profile, other: Profile) -> pd.DataFrame:
    """Join the bounds of slots and columns that both know, with how far they moved."""
    both = one.bounds.merge(other.bounds, on=["slot", "column"], suffixes=("", "_new"))
    least = both["column"].map(lambda name: Column.named(name).resolution)
    span = np.maximum(both["high"] - both["low"], least)
    moves = pd.DataFrame({side: both[side] - both[f"{side}_new"] for side in _SIDES})
    both["moved"] = moves.abs().max(axis=1) / span
    return both


def _moved(one: Profile, other: Profile) -> pd.DataFrame:
    both = _both(one, other)
    moved = both[both["moved"] > 0].groupby("column")["moved"].agg(["size", "max"])
    moved = moved.rename(columns={"size": "slots", "max": "moved"}).reset_index()
    order = moved.sort_values(["moved", "column"], ascending=[False, True])
    return order.reset_index(drop=True)
