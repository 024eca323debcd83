"""The contract of series detectors; public methods validate, private ones compute.

A detector learns from the whole minutes of a training series and scores the minutes of
another. The same seed gives the same scores; saved and loaded scores are equal; any
cutting of a series into chunks gives the same bits, as long as each chunk brings the
``window - 1`` minutes before it; other columns are refused; the first minutes of an
epoch are NaN while it warms up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from entropy_ids.calendar import SLOTS, Calendar
from entropy_ids.detectors.marginal import LEVELS, Marginal
from entropy_ids.detectors.residual import Floats, Joint, Scaler, Tensors, aspects_of
from entropy_ids.detectors.training import (
    Progress,
    Training,
    last_minutes,
    seeded,
    train,
)
from entropy_ids.errors import InputError, ProfileError
from entropy_ids.types import MINUTE_S, EntropySeries, Scores

_FLOWS = "flows.all.log2"
_MORE = 0.5
"""Doublings. Measured: without, a day of twice the usual traffic costs six incidents
instead of two, a holiday two instead of one; with 1.0 that holds too, but two fewer
captured attacks of 84 are found."""
_LEAST_SEQUENCES = 3  # a covariance needs more than one residual to be left


class SeriesDetector(ABC):
    """A detector that scores minutes by how badly a network foretells their columns.

    Parameters
    ----------
    calendar
        The site's slots; an unknown value is taken for its slot's median.
    window
        Minutes in a sequence.
    join
        How residuals become one score: a name of
        `entropy_ids.detectors.residual.JOINS`.
    training
        How the network is trained.
    """

    name: ClassVar[str]
    own: ClassVar[tuple[str, ...]] = ()
    """Arguments of its own, each the setting ``detector.`` with the same name."""

    def __init__(
        self,
        calendar: Calendar,
        window: int = 30,
        join: str = "mahalanobis",
        training: Training | None = None,
    ) -> None:
        self.calendar = calendar
        self.window = window
        self.join = join
        self.training = training or Training()
        self.columns: list[str] = []
        self._network: nn.Module | None = None
        self._scaler: Scaler | None = None
        self._marginal: Marginal | None = None
        self._joint: Joint | None = None

    @abstractmethod
    def _make(self) -> nn.Module:
        """Make a network over `columns`, as `entropy_ids.detectors.training` runs it.

        It takes scaled minutes, unknown ones at their slot's median, and what of them
        is known, both (B, T, C), and gives the minutes that it expects, (B, T, C).
        """

    def fit(self, series: EntropySeries, progress: Progress | None = None) -> Scores:
        """Learn from a series; give the scores of its minutes, as if they were new.

        They differ a little from what `score` then gives: each eighth is held against
        the quantiles of the other seven.

        Raises
        ------
        InputError
            When no sequence of whole minutes is long enough.
        """
        whole = series.complete.to_numpy()
        series = replace(series, coverage=series.coverage.where(whole, "partial"))
        self.columns = list(series.values.columns)
        ends = self.ends(series)
        if len(ends) < _LEAST_SEQUENCES:
            raise InputError(
                f"expected at least {self.window} consecutive minutes to train on, "
                f"found {int(whole.sum())} whole ones of {len(series)}; read more logs"
            )
        slots = self.calendar.slots(_index(series))
        self._scaler = Scaler.fit(series.values[whole], slots[whole])
        scaled, inputs = self._scaler.transform(_masked(series), slots)
        self._network = seeded(self._make, self.training.seed)
        known = ~np.isnan(scaled)
        train(self._network, inputs, known, ends, self.window, self.training, progress)
        residuals = self.residuals(series, ends)
        self._marginal = Marginal.fit(residuals, slots[ends])
        normal = Marginal.crossed(residuals, slots[ends])
        normal *= self._trust(series.values.iloc[ends], slots[ends])
        self._joint = Joint.fit(normal, self.join, aspects_of(self.columns))
        return self._scores(series, ends, *self._joint.score(normal, residuals))

    def score(self, series: EntropySeries) -> Scores:
        """Score the minutes of a series that may be and have a window before them.

        Raises
        ------
        ProfileError
            When the columns are not those that the detector learned.
        """
        if self._joint is None or self._marginal is None:
            raise ProfileError("expected a fitted detector, found a new one; call fit")
        if list(series.values.columns) != self.columns:
            raise ProfileError(
                f"expected the {len(self.columns)} columns that the profile was "
                f"trained on, found {len(series.values.columns)}, "
                f"{_difference(self.columns, list(series.values.columns))}; train anew"
            )
        ends = self.ends(series)
        residuals = self.residuals(series, ends)
        slots = self.calendar.slots(_index(series)[ends])
        normal = self._marginal.scores(residuals, slots)
        normal *= self._trust(series.values.iloc[ends], slots)
        return self._scores(series, ends, *self._joint.score(normal, residuals))

    def _trust(self, values: pd.DataFrame, slots: NDArray[np.int64]) -> Floats:
        """Give the weight of each column's score: less with other flows than usual.

        The entropies of n flows scatter like 1 / sqrt(n): half the usual flows of an
        hour make strange entropies, and nothing strange. More flows than usual bend
        them too, but an attack is more flows, so these cost a ninth of the weight at
        most (`_MORE`). Flows themselves count fully.
        """
        weights = np.ones(values.shape)
        if _FLOWS not in self.columns or self._scaler is None:
            return weights
        at, scaler = self.columns.index(_FLOWS), self._scaler
        usual = scaler.center[at] + scaler.scale[at] * scaler.slot_center[slots, at]
        away = np.nan_to_num(values[_FLOWS].to_numpy() - usual)
        less = np.where(away < 0, -away / 2, np.minimum(away, _MORE) / 3)
        others = [not name.startswith("flows.") for name in self.columns]
        weights[:, others] = np.exp2(-less)[:, None]
        return weights

    def _scores(
        self,
        series: EntropySeries,
        ends: NDArray[np.int64],
        score: Floats,
        shares: Floats,
    ) -> Scores:
        """Put the scores of the minutes at ``ends`` into their places."""
        index = series.values.index
        table = pd.DataFrame(np.nan, index=index, columns=self.columns)
        table.iloc[ends] = shares
        column = np.full(len(index), np.nan)
        column[ends] = score
        return Scores(pd.Series(column, index=index, name="score"), table)

    def ends(self, series: EntropySeries) -> NDArray[np.int64]:
        """Give the positions of the minutes to score: a window of one epoch before."""
        epoch = series.epoch.to_numpy()
        place = np.arange(len(series))
        begins = np.searchsorted(epoch, epoch, side="left")
        ready = series.scorable.to_numpy() & (place - begins >= self.window - 1)
        return np.flatnonzero(ready).astype(np.int64)

    def residuals(self, series: EntropySeries, ends: NDArray[np.int64]) -> Floats:
        """Give known less expected, NaN where unknown, for the minutes at ``ends``."""
        assert self._scaler is not None
        assert self._network is not None
        slots = self.calendar.slots(_index(series))
        scaled, inputs = self._scaler.transform(_masked(series), slots)
        known = ~np.isnan(scaled)
        places = _index(series).as_unit("s").asi8[ends] // MINUTE_S
        expected = last_minutes(self._network, inputs, known, ends, places, self.window)
        residual: Floats = scaled[ends] - expected.astype(np.float64)
        return residual

    def tensors(self) -> tuple[dict[str, NDArray[np.float32]], Tensors]:
        """Give the network's weights, and the scaler with the joint distribution."""
        assert self._network is not None
        assert self._scaler is not None
        assert self._marginal is not None
        assert self._joint is not None
        fitted = (self._scaler, self._marginal, self._joint)
        weights = self._network.state_dict()
        return (
            {name: value.numpy().copy() for name, value in weights.items()},
            {name: value for part in fitted for name, value in part.tensors().items()},
        )

    def restore(
        self,
        columns: list[str],
        weights: dict[str, NDArray[np.float32]],
        residual: Tensors,
    ) -> None:
        """Take what `tensors` gave.

        Raises
        ------
        ProfileError
            When names or shapes are others.
        """
        size = len(columns)
        shapes = {name: value.shape for name, value in residual.items()}
        wanted: dict[str, tuple[int, ...]] = {
            "center": (size,),
            "scale": (size,),
            "mean": (size,),
        }
        wanted |= {"slot_center": (SLOTS, size), "covariance": (size, size)}
        wanted |= {"quantiles": (SLOTS, len(LEVELS), size)}
        wanted |= {"tails": (len(aspects_of(columns)),)}
        if any(shapes.get(name) != shape for name, shape in wanted.items()):
            raise ProfileError(
                f"residual.safetensors: expected tensors for {size} columns, found "
                f"{shapes}; the profile is damaged, train anew"
            )
        self.columns = columns
        self._scaler = Scaler(
            columns, residual["center"], residual["scale"], residual["slot_center"]
        )
        self._marginal = Marginal(residual["quantiles"])
        self._joint = Joint(
            residual["mean"],
            residual["covariance"],
            residual["tails"],
            self.join,
            aspects_of(columns),
        )
        self._network = self._loaded(weights)

    def _loaded(self, weights: dict[str, NDArray[np.float32]]) -> nn.Module:
        network = self._make()
        try:
            network.load_state_dict(
                {name: torch.from_numpy(value) for name, value in weights.items()}
            )
        except RuntimeError as err:
            raise ProfileError(
                f"model.safetensors: expected the weights of {self.name} with "
                f"{len(self.columns)} columns, found others; the profile is damaged, "
                "train anew"
            ) from err
        return network.eval()


def _masked(series: EntropySeries) -> pd.DataFrame:
    """Make the values of minutes that may not be scored unknown."""
    return series.values.where(series.scorable, np.nan)


def _index(series: EntropySeries) -> pd.DatetimeIndex:
    index = series.values.index
    assert isinstance(index, pd.DatetimeIndex)
    return index


def _difference(wanted: list[str], found: list[str]) -> str:
    missing = [name for name in wanted if name not in found]
    more = [name for name in found if name not in wanted]
    if missing:
        return f"without {missing[0]}"
    return f"with {more[0]}" if more else "in another order"
