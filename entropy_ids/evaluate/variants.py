"""The profile's detector trained anew on less: what a part of the design is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from entropy_ids.calendar import HOURS
from entropy_ids.detectors.threshold import held_out
from entropy_ids.errors import InputError
from entropy_ids.evaluate.methods import Bench, Floats, Method
from entropy_ids.features.catalog import Column
from entropy_ids.models import detector_of
from entropy_ids.types import EntropySeries

_LEVEL = 0.998
"""Two models are put on one scale by this quantile of their training scores."""

Part = Callable[[EntropySeries], EntropySeries]


def trained_on(keep: Callable[[Column], bool]) -> Method:
    """Train the detector on some of the columns."""

    def score(bench: Bench) -> Floats:
        names = bench.detector.columns
        kept = [name for name in names if keep(Column.named(name))]
        if not kept or kept == names:
            raise InputError(
                f"expected some of the profile's {len(names)} columns to leave out, "
                f"found {len(kept)} to keep"
            )
        _, scores = _anew(bench, lambda series: _narrowed(series, kept))
        return scores[bench.scored]

    return score


def two_models(bench: Bench) -> Floats:
    """Train on weekdays and on weekends apart, as the paper does."""
    joined = np.full(len(bench.test), np.nan)
    for off in (False, True):
        usual, scores = _anew(bench, _on_days(bench, off))
        level = np.nanquantile(usual, _LEVEL)
        joined = np.where(np.isnan(scores), joined, scores / level)
    return joined[bench.scored]


def _raw(column: Column) -> bool:
    return column.statistic in ("renyi", "tsallis")


VARIANTS: dict[str, Method] = {
    "shannon-only": trained_on(lambda column: _raw(column) and column.alpha == 1),
    "raw": trained_on(lambda column: column.statistic != "rarefied"),
    "invariant": trained_on(lambda column: not _raw(column)),
    "site-wide": trained_on(lambda column: column.direction == "all"),
    "two-models": two_models,
}
"""Name → method; each trains for a minute or more."""


def _narrowed(series: EntropySeries, columns: list[str]) -> EntropySeries:
    return replace(series, values=series.values[columns])


def _on_days(bench: Bench, off: bool) -> Part:
    """Make whole only the minutes of weekdays, or of days off."""

    def part(series: EntropySeries) -> EntropySeries:
        slots = bench.detector.calendar.slots(_index(series))
        return _without(series, (slots >= HOURS) != off)

    return part


def _anew(bench: Bench, part: Part) -> tuple[Floats, Floats]:
    """Train on a part of the training minutes; score these, and those of the logs."""
    manifest = bench.profile.manifest
    detector = detector_of(manifest["settings"], manifest["detector"])
    train = shown = part(bench.train)
    if manifest.get("budget"):  # the profile was trained without these, either
        held = held_out(_index(train), bench.detector.calendar)
        shown = _without(train, held)
    detector.fit(shown)
    usual, scores = (
        np.asarray(detector.score(series).score, np.float64)
        for series in (train, part(bench.test))
    )
    return usual, scores


def _without(series: EntropySeries, out: np.ndarray) -> EntropySeries:
    return replace(series, coverage=series.coverage.where(~out, "partial"))


def _index(series: EntropySeries) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(series.values.index)
