"""How much a series detector learns from more minutes: its error by training size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from entropy_ids.detectors import DETECTORS, SeriesDetector
from entropy_ids.detectors.residual import Scaler
from entropy_ids.errors import InputError
from entropy_ids.evaluate.methods import series_of
from entropy_ids.models import detector_of
from entropy_ids.profile.store import Profile
from entropy_ids.types import DAY_MINUTES, EntropySeries

_CUT = 10.0
"""Robust deviations that a residual counts at most: one wild column is no ignorance."""

DOUBLINGS = 5
"""A profile's curve ends at all of its minutes, and halves so often before."""


def curve_of(profile: Profile) -> pd.DataFrame | None:
    """Train a profile's detector anew on ever more of its own minutes.

    Returns
    -------
    pandas.DataFrame or None
        As `learning_curve` gives it; None for a flow model.

    Raises
    ------
    InputError
        When the profile has less than two days.
    """
    manifest = profile.manifest
    kind, settings = manifest["detector"], manifest["settings"]
    if kind not in DETECTORS:
        return None
    series = series_of(profile.series, manifest["columns"])
    most = len(series) - DAY_MINUTES
    if most < DAY_MINUTES:
        raise InputError(
            f"--learning: expected a profile of two days at least, found one of "
            f"{len(series)} minutes; train on more logs"
        )
    sizes = [most >> halvings for halvings in range(DOUBLINGS, -1, -1)]
    return learning_curve(lambda: detector_of(settings, kind), series, sizes)


def learning_curve(
    make: Callable[[], SeriesDetector],
    series: EntropySeries,
    sizes: Sequence[int],
    held_minutes: int = DAY_MINUTES,
) -> pd.DataFrame:
    """Train a detector on ever more of a series, and tell how it errs on its end.

    Parameters
    ----------
    make
        Gives an untrained detector, each time the same.
    series
        Normal minutes.
    sizes
        Minutes to train on: each time the last so many before those held back.
    held_minutes
        Minutes at the end that none is trained on and all are held against.

    Returns
    -------
    pandas.DataFrame
        A row per size: ``minutes``, the size; ``error``, the mean square of the
        residuals of the held-back minutes, in robust deviations of the columns over
        all minutes before these, so that sizes and detectors compare.

    Raises
    ------
    InputError
        When the series is too short.
    """
    cut = len(series) - held_minutes
    if not sizes or max(sizes) > cut:
        raise InputError(
            f"expected training sizes of at most {max(cut, 0)} minutes ({len(series)} "
            f"less the {held_minutes} held back), found {list(sizes)}; give smaller "
            "ones, or more logs"
        )
    unit = _spread(make(), series.slice(0, cut))
    errors = []
    for size in sizes:
        detector = make()
        detector.fit(series.slice(cut - size, cut))
        held = series.slice(cut - detector.window + 1, len(series))
        errors.append(_error(detector, held, unit))
    return pd.DataFrame({"minutes": list(sizes), "error": errors})


def _spread(detector: SeriesDetector, series: EntropySeries) -> np.ndarray:
    """Give each column's robust deviation in the whole minutes of a series."""
    values = series.values[series.complete]
    slots = detector.calendar.slots(pd.DatetimeIndex(values.index))
    return Scaler.fit(values, slots).scale


def _error(detector: SeriesDetector, series: EntropySeries, unit: np.ndarray) -> float:
    """Give the mean square of a series' residuals, in other units than its own."""
    own = detector.tensors()[1]["scale"]
    residuals = detector.residuals(series, detector.ends(series)) * own / unit
    return float(np.nanmean(np.clip(residuals, -_CUT, _CUT) ** 2))
