"""Scale columns for a network, and join the residuals of its columns to one score.

How residuals are joined decides more than the network does: a plain mean of squares
drowns an attack that bends three columns of a hundred. Entropies are strongly
correlated, and an attack breaks the correlation, so residuals are whitened first.

Notes
-----
Departure from Bhat & Neogi: they score by the mean squared error (`JOINS` has it as
``mean-square``, over the residuals as they are); the default is the Mahalanobis
distance of the vector of their normal scores (`entropy_ids.detectors.marginal`), with
the covariance of low-error training minutes shrunk after Ledoit and Wolf.

References
----------
.. [1] Ledoit, Wolf 2004, doi 10.1016/S0047-259X(03)00096-4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg
from sklearn.covariance import LedoitWolf
from threadpoolctl import threadpool_limits

from entropy_ids.calendar import SLOTS
from entropy_ids.features.catalog import Column

Floats = NDArray[np.float64]
Tensors = dict[str, NDArray[np.float64]]

_IQR_TO_STD = 1.349
_CLIP = 10.0
"""Robust standard deviations that an input is cut off at, so that one wild column does
not blind the network; residuals are taken from the uncut value."""
_OUTLIERS = (0.01, 0.005)
"""Shares of training minutes left out, in two rounds, before the covariance is taken.
No more: what comes back every hour (cron) is rare, but normal."""


def _logged(names: list[str]) -> NDArray[np.bool_]:
    """Tell the Tsallis columns of order 0 and below, which span many decades."""
    columns = [Column.named(name) for name in names]
    return np.array(
        [
            column.statistic == "tsallis" and (column.alpha or 0) <= 0
            for column in columns
        ]
    )


@dataclass(frozen=True)
class Scaler:
    """Robust scaling by median and interquartile range, fitted on training minutes.

    Attributes
    ----------
    center, scale
        One value per column.
    slot_center
        slots × columns: the scaled median of each slot, what an unknown value is
        taken for.
    """

    names: list[str]
    center: Floats
    scale: Floats
    slot_center: Floats

    @staticmethod
    def fit(values: pd.DataFrame, slots: NDArray[np.int64]) -> Scaler:
        """Fit on minutes × columns that are all known to be whole."""
        names = list(values.columns)
        data = _flat(values, names)
        seen = ~np.isnan(data).all(axis=0)
        low, center, high, spread = np.zeros((4, len(names)))
        some = data[:, seen]
        low[seen], center[seen], high[seen] = np.nanquantile(
            some, (0.25, 0.5, 0.75), axis=0
        )
        spread[seen] = np.nanstd(some, axis=0)
        scale = np.maximum((high - low) / _IQR_TO_STD, 0.1 * spread)
        least = np.array([Column.named(name).resolution for name in names])
        scale = np.maximum(scale, least)
        scaled = (data - center) / scale
        slot_center = np.zeros((SLOTS, len(names)))
        for slot in np.unique(slots):
            here = scaled[slots == slot]
            seen = ~np.isnan(here).all(axis=0)
            slot_center[slot, seen] = np.nanmedian(here[:, seen], axis=0)
        return Scaler(names, center, scale, slot_center)

    def transform(
        self, values: pd.DataFrame, slots: NDArray[np.int64]
    ) -> tuple[Floats, NDArray[np.float32]]:
        """Give scaled values (NaN where unknown) and the network's input (no NaN)."""
        scaled = (_flat(values, self.names) - self.center) / self.scale
        filled = np.where(np.isnan(scaled), self.slot_center[slots], scaled)
        return scaled, np.clip(filled, -_CLIP, _CLIP).astype(np.float32)

    def tensors(self) -> Tensors:
        """Give what a profile keeps."""
        return {
            "center": self.center,
            "scale": self.scale,
            "slot_center": self.slot_center,
        }


def _flat(values: pd.DataFrame, names: list[str]) -> Floats:
    data = values.to_numpy(np.float64)
    logged = _logged(names)
    return np.where(logged, np.log1p(np.where(logged, data, 0)), data)


def _mahalanobis(residual: Floats, whitened: Floats) -> tuple[float, Floats]:
    squares = whitened**2
    return float(np.sqrt(squares.mean())), squares


def _mean_square(residual: Floats, whitened: Floats) -> tuple[float, Floats]:
    squares = residual**2
    return float(squares.mean()), squares  # not centred: the paper's error


def _largest(residual: Floats, whitened: Floats) -> tuple[float, Floats]:
    return float(np.abs(whitened).max()), whitened**2


JOINS: dict[str, Callable[[Floats, Floats], tuple[float, Floats]]] = {
    "mahalanobis": _mahalanobis,
    "mean-square": _mean_square,
    "whitened": _largest,
}
"""Residuals of the known columns, raw and whitened → score and share of each column.

Means are over the known columns, so that minutes with few of them compare.
"""


class Joint:
    """Joins a minute's residuals to one score.

    Parameters
    ----------
    mean, covariance
        Of the residuals of low-error training minutes; shapes (columns,) and
        (columns, columns).
    join
        A name of `JOINS`.
    """

    def __init__(self, mean: Floats, covariance: Floats, join: str) -> None:
        self.mean = mean
        self.covariance = covariance
        self.join = join
        self._whiteners: dict[bytes, Floats] = {}

    @staticmethod
    def fit(residuals: Floats, join: str) -> Joint:
        """Fit on minutes × columns (normal scores); NaN (unknown) count as 0.

        Variances are scaled up by the share of minutes that a column was known in.
        """
        residuals = residuals[~np.isnan(residuals).all(axis=1)]
        known = ~np.isnan(residuals)
        seen = known.any(axis=0)
        filled = np.where(known, residuals, 0.0)
        spread = np.median(np.abs(filled), axis=0) + filled.std(axis=0) + 1e-9
        error = ((filled / spread) ** 2).mean(axis=1)
        joint = Joint(np.zeros(filled.shape[1]), np.eye(filled.shape[1]), join)
        for share in _OUTLIERS:
            low = error <= np.quantile(error, 1 - share)
            with threadpool_limits(1):
                shrunk = LedoitWolf().fit(filled[low][:, seen]).covariance_
            covariance = np.eye(filled.shape[1])
            covariance[np.ix_(seen, seen)] = shrunk
            rare = 1 / np.sqrt(np.maximum(known[low].mean(axis=0), 1e-3))
            covariance = covariance * rare[:, None] * rare[None, :]
            mean = filled[low].mean(axis=0) * rare**2
            joint = Joint(mean, covariance, join)
            whitened = [joint.whiten(row) for row in residuals]
            error = np.array([_mahalanobis(row, row)[0] for row in whitened])
            error = np.nan_to_num(error)
        return joint

    def score(
        self, residuals: Floats, raw: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """Score minutes one by one, so that no minute's score depends on others.

        Parameters
        ----------
        residuals
            Minutes × columns, as for `fit`.
        raw
            The residuals before they became normal scores, for ``mean-square``.

        Returns
        -------
        tuple
            Scores, shape (minutes,), NaN where no column is known; and the share of
            each column, shape (minutes, columns).
        """
        scores = np.full(len(residuals), np.nan)
        shares = np.zeros_like(residuals)
        raw = residuals if raw is None else raw
        for row, residual in enumerate(residuals):
            known = ~np.isnan(residual)
            if known.any():
                whitened = self.whiten(residual)
                score, parts = JOINS[self.join](raw[row, known], whitened)
                scores[row] = score
                shares[row, known] = parts / max(parts.sum(), 1e-300)
        return scores, shares

    def whiten(self, residual: Floats) -> Floats:
        """Give the known residuals less their mean, whitened (ZCA)."""
        known = ~np.isnan(residual)
        centered = residual[known] - self.mean[known]
        # elementwise product and numpy's own sum: no library that splits by threads
        whitened: Floats = (self._whitener(known) * centered).sum(axis=1)
        return whitened

    def _whitener(self, known: NDArray[np.bool_]) -> Floats:
        key = np.packbits(known).tobytes()
        if key not in self._whiteners:
            with threadpool_limits(1):
                values, vectors = linalg.eigh(self.covariance[np.ix_(known, known)])
                root = np.sqrt(np.maximum(values, 1e-9 * max(values.max(), 1e-300)))
                whitener = (vectors / root) @ vectors.T
            if len(self._whiteners) > 1024:
                self._whiteners.clear()
            self._whiteners[key] = whitener
        return self._whiteners[key]

    def tensors(self) -> Tensors:
        """Give what a profile keeps."""
        return {"mean": self.mean, "covariance": self.covariance}
