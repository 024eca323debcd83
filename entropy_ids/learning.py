"""Train: a series, and what else was seen of its minutes, become a profile."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

from entropy_ids.alarms.contributors import Seen
from entropy_ids.alarms.incidents import iso
from entropy_ids.calendar import Calendar
from entropy_ids.config import Config
from entropy_ids.detectors import DETECTORS
from entropy_ids.detectors.flows import LABEL, NORMAL, FlowModel
from entropy_ids.detectors.threshold import (
    HELD_EVERY,
    LEAST_EXPECTED,
    Budget,
    held_out,
    meet,
    top_percent,
)
from entropy_ids.detectors.training import Progress
from entropy_ids.errors import InputError
from entropy_ids.gates import highest, in_order
from entropy_ids.models import check_kind, detector_of, flow_model_of
from entropy_ids.pipeline import minutes_table
from entropy_ids.profile.bounds import bound_setters
from entropy_ids.profile.outlook import shortfalls
from entropy_ids.profile.revise import bounds_of, normal
from entropy_ids.profile.signatures import default_text
from entropy_ids.profile.store import Profile
from entropy_ids.types import DAY_MINUTES, EntropySeries, Minutes

LEAST_OBSERVED = 0.05
"""A column that fewer training minutes than this share could measure is left out."""
MOST_FLOWS = 2_000_000
"""A flow model learns from so many of the newest flows; some 150 bytes each."""

Bools = NDArray[np.bool_]
Shaded = Callable[[Minutes], set[int]]
"""Which of some minutes attacks that are to be left out touch."""
Labelled = Callable[[pl.DataFrame], pl.DataFrame]
"""Gives rows their `LABEL`."""


@dataclass
class Witness(Seen):
    """Looks at training minutes for all that `train` asks for besides their series.

    Parameters
    ----------
    flows
        Keep the flows, for a flow model.
    labelled
        Names the class of each flow. A supervised model learns the classes, any other
        from normal flows alone; without it, from all.
    shaded
        Tells the minutes that are not to be learned from.
    """

    flows: bool = False
    labelled: Labelled = lambda rows: rows.drop(LABEL, strict=False)
    shaded: Shaded = lambda _: set()
    left_out: set[int] = field(default_factory=set)
    _rows: list[pl.DataFrame] = field(default_factory=list)

    def add(self, minutes: Minutes) -> None:
        """Look at these minutes."""
        super().add(minutes)
        self.left_out |= self.shaded(minutes)
        if self.flows:
            self._rows.append(self.labelled(in_order(minutes.rows)))
            while len(self._rows) > 1 and self._height() > MOST_FLOWS:
                self._rows.pop(0)

    def _height(self) -> int:
        return sum(rows.height for rows in self._rows)

    def kept(self) -> pl.DataFrame:
        """Give the flows that were kept, in their order, with ``minute``."""
        return pl.concat(self._rows, how="diagonal")


@dataclass(frozen=True)
class Trained:
    """What training made, and what it is to be told of it."""

    profile: Profile
    left_out: list[str]


@dataclass(frozen=True)
class _Fitted:
    """Scores of the training minutes, the threshold met by them, and the parts."""

    scores: pd.Series[float]
    threshold: float
    budget: Budget | None
    weights: dict[str, NDArray[np.float32]]
    residual: dict[str, NDArray[np.float64]]
    facts: Mapping[str, Any] | None = None


def witness_of(kind: str, **how: Any) -> Witness:
    """Make the witness for a detector of that name; see `Witness`."""
    check_kind(kind)
    return Witness(flows=kind not in DETECTORS, **how)


def train(
    series: EntropySeries,
    seen: Seen,
    config: Config,
    sensor: str,
    kind: str,
    progress: Progress | None = None,
) -> Trained:
    """Make a profile of a training series.

    Parameters
    ----------
    series
        The training range, all default columns.
    seen
        What the minutes of the same range hold besides: for a flow model a `Witness`.

    Raises
    ------
    ConfigError
        When there is no detector of that name.
    InputError
        When there are too few whole minutes.
    """
    check_kind(kind)
    if isinstance(seen, Witness):
        series = _without(series, seen.left_out)
    if not series.complete.any():
        raise InputError(
            f"expected whole minutes to train on, found none in {len(series)}; the "
            "first and the last minute read are never whole, so read more logs"
        )
    series, left_out = _measurable(series)
    if kind in DETECTORS:
        fitted = _fit(series, config, kind, progress)
    else:
        assert isinstance(seen, Witness)
        fitted = _fit_flows(series, seen.kept(), config, kind, progress)
    columns = list(series.values.columns)
    calendar = Calendar.of(config)
    table = minutes_table(series, fitted.scores, fitted.threshold)
    table = table.astype(dict.fromkeys(columns, np.float32))  # half the size
    slots = calendar.slots(_index(series)[series.complete])
    stamps = _index(series).as_unit("s").asi8
    budget = fitted.budget
    manifest = {
        "sensor": sensor,
        "range": {
            "first": iso(int(stamps[0])),
            "last": iso(int(stamps[-1])),
            "minutes": len(series),
            "whole": int(series.complete.sum()),
            "normal": int(normal(table, fitted.threshold).sum()),
        },
        "columns": columns,
        "detector": kind,
        "settings": config.trained(),
        "threshold": fitted.threshold,
        "budget": budget and {**asdict(budget), "interval": list(budget.interval)},
        "remarks": shortfalls(slots) + _unmet(budget, config),
    }
    if fitted.facts is not None:
        manifest["model"] = fitted.facts
    bounds = bounds_of(table, columns, calendar, manifest)
    profile = Profile(
        manifest,
        fitted.weights,
        fitted.residual,
        bounds,
        bound_setters(bounds, seen.heaviest.table()),
        table,
        seen.usual.table(),
        default_text(),
    )
    return Trained(profile, left_out)


def _without(series: EntropySeries, minutes: set[int]) -> EntropySeries:
    """Make minutes that are not to be learned from partial."""
    out = np.isin(_index(series).as_unit("s").asi8, sorted(minutes))
    return replace(series, coverage=series.coverage.where(~out, "partial"))


def _measurable(series: EntropySeries) -> tuple[EntropySeries, list[str]]:
    """Leave out the columns that too few whole minutes could measure."""
    observed = series.values[series.complete].notna().mean()
    kept = observed.index[observed >= LEAST_OBSERVED]
    left_out = [name for name in observed.index if name not in kept]
    return replace(series, values=series.values[list(kept)]), left_out


def _fit(
    series: EntropySeries, config: Config, kind: str, progress: Progress | None
) -> _Fitted:
    """Train a series detector, and set the threshold."""
    detector = detector_of(config, kind)
    held = _held(series, config)
    if held is None:
        scores = detector.fit(series, progress).score
    else:
        shown = series.coverage.where(~held, "partial")
        detector.fit(replace(series, coverage=shown), progress)
        scores = detector.score(series).score.where(series.complete)
    threshold, budget = _threshold(scores, held, config)
    return _Fitted(scores, threshold, budget, *detector.tensors())


def _fit_flows(
    series: EntropySeries,
    flows: pl.DataFrame,
    config: Config,
    kind: str,
    progress: Progress | None,
) -> _Fitted:
    """Train a flow model on whole minutes, and set the threshold by others.

    A supervised model learns attacks; the threshold is set by minutes without any.
    """
    model = flow_model_of(config, kind)
    held = _held(series, config)
    stamps = _index(series).as_unit("s").asi8
    shown = series.complete.to_numpy() & (True if held is None else ~held)
    model.fit(_lesson(flows, stamps[shown], model), progress)
    scores = _score_flows(model, flows, series)
    usual = scores.where(~np.isin(stamps, _attacked(flows)))
    threshold, budget = _threshold(usual, held, config)
    facts, weights = model.tensors()
    return _Fitted(scores, threshold, budget, weights, {}, facts)


def _lesson(
    flows: pl.DataFrame, minutes: NDArray[np.int64], model: FlowModel
) -> pl.DataFrame:
    """Give the flows of some minutes that a model is to learn.

    A supervised model sees the others too, but learns only the attacks among them: each
    class is rare, and what is held out is to count false alarms.
    """
    shown = pl.col("minute").is_in(minutes)
    if model.supervised:
        label = pl.when(shown | (pl.col(LABEL) != NORMAL)).then(LABEL)
        return flows.with_columns(label.alias(LABEL))
    if LABEL in flows.columns:
        shown &= pl.col(LABEL) == NORMAL
    return flows.filter(shown)


def _score_flows(
    model: FlowModel, flows: pl.DataFrame, series: EntropySeries
) -> pd.Series[float]:
    """Give each whole minute's highest score; unknown before the first kept flow."""
    found = highest(flows["minute"], model.score(flows, {}))
    first = int(flows["minute"][0])
    stamps = _index(series).as_unit("s").asi8
    scores = [found.get(int(s), 0.0) if s >= first else np.nan for s in stamps]
    return pd.Series(scores, _index(series), np.float64, "score").where(series.complete)


def _attacked(flows: pl.DataFrame) -> NDArray[np.int64]:
    """Give the minutes with flows that are labelled as attacks."""
    if LABEL not in flows.columns:
        return np.array([], np.int64)
    return flows.filter(pl.col(LABEL) != NORMAL)["minute"].unique().to_numpy()


def _held(series: EntropySeries, config: Config) -> Bools | None:
    """Choose minutes to meet the budget on; None where they would be too few."""
    held = held_out(_index(series), Calendar.of(config))
    days = int((held & series.complete).sum()) / DAY_MINUTES
    asked = config["threshold.alarms_per_day"]
    return None if round(asked * days, 1) < LEAST_EXPECTED else held


def _threshold(
    scores: pd.Series[float], held: Bools | None, config: Config
) -> tuple[float, Budget | None]:
    """Set the threshold: by the budget, or else by the highest errors."""
    if held is None:
        return top_percent(scores, config["threshold.top_percent"]), None
    asked = config["threshold.alarms_per_day"]
    budget = meet(scores[held], asked, config["incidents.quiet_minutes"])
    return budget.threshold, budget


def _unmet(budget: Budget | None, config: Config) -> list[str]:
    """Say that a budget was asked for, and could not be held against anything."""
    asked = config["threshold.alarms_per_day"]
    if budget or not asked:
        return []
    return [
        f"the budget of {asked:g} a day (threshold.alarms_per_day) cannot be met: it "
        "is held against about a quarter of the days, which must allow "
        f"{LEAST_EXPECTED:g} incidents; train on "
        f"{math.ceil(HELD_EVERY[0] * LEAST_EXPECTED / asked)} days or more. Here the "
        f"{config['threshold.top_percent']:g} % of training minutes with the highest "
        "error lie above the threshold (threshold.top_percent)"
    ]


def _index(series: EntropySeries) -> pd.DatetimeIndex:
    index = series.values.index
    assert isinstance(index, pd.DatetimeIndex)
    return index
