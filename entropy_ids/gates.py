"""Gates: they score a sensor's closed minutes as they come; the higher the stranger.

What raises an alarm is a minute above the threshold of the profile; where its score
comes from, from the columns of its series or from its flows, is known here alone.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd
import polars as pl

from entropy_ids.detectors import DETECTORS, SeriesDetector
from entropy_ids.detectors.flows import FlowModel, Memory
from entropy_ids.errors import StateError
from entropy_ids.features.series import Measure
from entropy_ids.models import detector_of, flow_model_of
from entropy_ids.profile.store import Profile
from entropy_ids.types import EntropySeries, Minutes


@dataclass(frozen=True)
class GateState:
    """All that a gate knows between two minutes.

    Attributes
    ----------
    tail
        The last minutes: ``minute``, ``coverage``, ``flows``, ``epoch``, the columns.
    memory
        Of a flow model.
    """

    tail: pl.DataFrame | None = None
    memory: Memory = field(default_factory=dict)


class Gate(Protocol):
    """Scores closed minutes, in their order."""

    def score(self, fresh: EntropySeries, minutes: Minutes) -> pd.Series[float]:
        """Give the scores of minutes that follow those of the last call."""

    def state(self) -> GateState:
        """Give all that the next call depends on, besides the profile."""

    def restore(self, state: GateState) -> None:
        """Go on from where `state` was taken."""

    def relieve(self, before: Gate) -> None:
        """Take over what can be used of a gate of another profile."""


@dataclass
class SeriesGate:
    """Scores minutes by their columns and those of the minutes before them.

    Parameters
    ----------
    detector
        Trained.
    measure
        What the series were measured by.
    """

    detector: SeriesDetector
    measure: Measure
    _tail: EntropySeries | None = None

    def score(self, fresh: EntropySeries, minutes: Minutes) -> pd.Series[float]:
        """Give the scores of minutes that follow those of the last call."""
        before = self._tail
        series = fresh if before is None else EntropySeries.concat([before, fresh])
        self._tail = series.tail(self.detector.window - 1)
        return self.detector.score(series).score.iloc[len(series) - len(fresh) :]

    def state(self) -> GateState:
        """Give the minutes that the next ones are seen with."""
        return GateState(None if self._tail is None else self._tail.frame())

    def restore(self, state: GateState) -> None:
        """Go on from where `state` was taken.

        Raises
        ------
        StateError
            When the profile has other columns.
        """
        tail, self._tail = state.tail, None
        if tail is not None:
            names = [column.name for column in self.measure.columns]
            if tail.columns[-len(names) :] != names:
                raise StateError(
                    f"expected a state of the profile's {len(names)} columns, found "
                    "one of others; give the sensor its profile back, or begin anew"
                )
            self._tail = self.measure.series(tail[names].to_numpy(), tail)

    def relieve(self, before: Gate) -> None:
        """Take the last minutes over when both measure alike.

        Otherwise the first minutes have no score.
        """
        if isinstance(before, SeriesGate) and self.measure == before.measure:
            self._tail = before._tail


@dataclass
class FlowGate:
    """Scores minutes by the strangest of their flows.

    Parameters
    ----------
    model
        Trained.
    """

    model: FlowModel
    _memory: Memory = field(default_factory=dict)

    def score(self, fresh: EntropySeries, minutes: Minutes) -> pd.Series[float]:
        """Give the highest score of each minute's flows, 0 for none."""
        flows = in_order(minutes.rows)
        scores = highest(flows["minute"], self.model.score(flows, self._memory))
        stamps = pd.DatetimeIndex(fresh.values.index).as_unit("s").asi8
        found = pd.Series(
            [scores.get(int(stamp), 0.0) for stamp in stamps],
            index=fresh.values.index,
            name="score",
            dtype=np.float64,
        )
        return found.where(fresh.scorable)

    def state(self) -> GateState:
        """Give what the model remembers."""
        return GateState(memory=deepcopy(self._memory))

    def restore(self, state: GateState) -> None:
        """Go on from where `state` was taken."""
        self._memory = deepcopy(state.memory)

    def relieve(self, before: Gate) -> None:
        """Begin anew: another model remembers other things."""


def in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Give rows minute by minute, so that it does not matter how many closed at once.

    Within a minute they lie by stream and in file order.
    """
    return rows.sort("minute", maintain_order=True)


def highest(minutes: pl.Series, scores: np.ndarray) -> dict[int, float]:
    """Give each minute's highest score; a flow without one counts nothing.

    Examples
    --------
    >>> highest(pl.Series([0, 0, 60]), np.array([1.0, 3.0, 2.0]))
    {0: 3.0, 60: 2.0}
    """
    table = pl.DataFrame({"minute": minutes, "score": scores}).fill_nan(None)
    best = table.drop_nulls().group_by("minute").agg(pl.col("score").max())
    return dict(best.sort("minute").rows())


def gate_of(profile: Profile, measure: Measure) -> Gate:
    """Make the gate of a profile.

    Raises
    ------
    ProfileError
        When its parts do not fit together.
    """
    settings, kind = profile.manifest["settings"], profile.manifest["detector"]
    if kind in DETECTORS:
        detector = detector_of(settings, kind)
        names = [column.name for column in measure.columns]
        detector.restore(names, profile.weights, profile.residual)
        return SeriesGate(detector, measure)
    model = flow_model_of(settings, kind)
    model.restore(profile.manifest["model"], profile.weights)
    return FlowGate(model)
