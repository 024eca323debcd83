"""The methods that are compared: one line of `METHODS` each, all on the same columns.

Every method learns from the training series alone and scores the minutes that the
profile's own detector scores, so that all are asked the same. Unknown values are
treated as the detector treats them: an input is its slot's median, a residual is left
out. Adding a method is one function and one line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest

from entropy_ids.detectors.base import SeriesDetector
from entropy_ids.detectors.marginal import Marginal
from entropy_ids.detectors.residual import JOINS, Joint, Scaler
from entropy_ids.features.catalog import Column
from entropy_ids.models import detector_of
from entropy_ids.profile.store import Profile
from entropy_ids.types import MINUTE_S, EntropySeries

COMPONENTS = 16
TREES = 200
_MAD_TO_STD = 1.4826
_LEAST_SPREAD = 0.1  # bits: 7 % more or fewer flows are no change

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def series_of(table: pd.DataFrame, columns: list[str]) -> EntropySeries:
    """Give the series of a table of minutes; a step in time begins an epoch."""
    index = pd.DatetimeIndex(table["minute"], name="minute")
    steps = np.diff(index.as_unit("s").asi8) != MINUTE_S
    epoch = np.concatenate([[0], np.cumsum(steps)])
    return EntropySeries(
        table[columns].set_index(index).astype(np.float64),
        pd.Series(table["coverage"].to_numpy(), index, name="coverage"),
        pd.Series(table["flows"].to_numpy(), index, name="flows"),
        pd.Series(epoch, index, name="epoch"),
    )


@dataclass(frozen=True)
class Scaled:
    """Minutes × columns on one scale.

    Attributes
    ----------
    known
        NaN where unknown.
    filled
        Unknown values are their slot's median, wild ones are cut off.
    usual
        The slot's median itself.
    """

    known: Floats
    filled: Floats
    usual: Floats


@dataclass(frozen=True)
class Bench:
    """What every method is given.

    Attributes
    ----------
    profile
        What was trained; its series is the training series.
    detector
        The profile's detector, ready to score.
    watched
        The table of minutes that `entropy_ids.pipeline.Watch` made of the logs.
    seed
        Of methods that draw.
    """

    profile: Profile
    detector: SeriesDetector
    watched: pd.DataFrame
    seed: int

    @cached_property
    def train(self) -> EntropySeries:
        """The training series."""
        return series_of(self.profile.series, self.detector.columns)

    @cached_property
    def test(self) -> EntropySeries:
        """The series to score."""
        return series_of(self.watched, self.detector.columns)

    @cached_property
    def scored(self) -> Ints:
        """Positions in `test` of the minutes to score."""
        return np.flatnonzero(self.watched["score"].notna())

    @cached_property
    def slots(self) -> tuple[Ints, Ints]:
        """Slots of the whole training minutes, and of the minutes to score."""
        slots = self.detector.calendar.slots
        whole = self.train.values.index[self.train.complete]
        scored = self.test.values.index[self.scored]
        return slots(pd.DatetimeIndex(whole)), slots(pd.DatetimeIndex(scored))

    @cached_property
    def values(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Whole training minutes, and the minutes to score."""
        whole = self.train.values[self.train.complete]
        return whole, self.test.values.iloc[self.scored]

    @cached_property
    def scaled(self) -> tuple[Scaled, Scaled]:
        """The same on one scale, fitted on the training minutes."""
        scaler = Scaler.fit(self.values[0], self.slots[0])
        train, test = (
            Scaled(known, filled.astype(np.float64), scaler.slot_center[slots])
            for values, slots in zip(self.values, self.slots, strict=True)
            for known, filled in [scaler.transform(values, slots)]
        )
        return train, test


Method = Callable[[Bench], Floats]
"""Scores of the minutes to score; higher is stranger."""


def own(bench: Bench) -> Floats:
    """Give the scores that the profile's detector gave when it watched."""
    return bench.watched["score"].to_numpy(np.float64)[bench.scored]


def joined(join: str) -> Method:
    """Join the detector's residuals in another way, without new training."""

    def score(bench: Bench) -> Floats:
        manifest, profile = bench.profile.manifest, bench.profile
        settings = {**manifest["settings"], "detector.join": join}
        detector = detector_of(settings, manifest["detector"])
        detector.restore(bench.detector.columns, profile.weights, profile.residual)
        scores = np.asarray(detector.score(bench.test).score, np.float64)
        return scores[bench.scored]

    return score


def flow_counts(bench: Bench) -> Floats:
    """Hold log2 of the flows against its slot's median, in robust deviations."""
    slots = bench.slots
    train = _log2(bench.train.flows[bench.train.complete])
    test = _log2(bench.test.flows.iloc[bench.scored])
    off = (train - _by_slot(train, "median", slots[0], slots[0])).abs()
    spread = _MAD_TO_STD * _by_slot(off, "median", *slots)
    distance = np.abs(test.to_numpy() - _by_slot(train, "median", *slots))
    return np.asarray((distance / np.maximum(spread, _LEAST_SPREAD))[:, 0])


def min_max(bench: Bench) -> Floats:
    """Count the columns outside their slot's range: the paper's profile, no network.

    A column counts for how far it is outside, in spans of its range, 1 at most.
    """
    train, test = bench.values
    low, high = (_by_slot(train, limit, *bench.slots) for limit in ("min", "max"))
    least = [Column.named(name).resolution for name in train.columns]
    outside = np.maximum(low - test.to_numpy(), test.to_numpy() - high)
    excess = np.clip(outside / np.maximum(high - low, least), 0, 1)
    return np.asarray(np.nansum(excess, axis=1))


def _log2(flows: pd.Series[int]) -> pd.DataFrame:
    return pd.DataFrame({"flows": np.log2(1 + flows.to_numpy(np.float64))})


def _by_slot(values: pd.DataFrame, statistic: str, slots: Ints, wanted: Ints) -> Floats:
    """Give each column's statistic in some slots; in an unseen one, that of all."""
    known = values.groupby(slots).agg(statistic)
    return np.asarray(known.reindex(wanted).fillna(values.agg(statistic)).to_numpy())


def slot_median(bench: Bench) -> Floats:
    """Take the Mahalanobis distance from the slot's median."""
    train, test = bench.scaled
    return _distance(bench, train.known - train.usual, test.known - test.usual)


def pca(bench: Bench) -> Floats:
    """Take the mean square of what 16 principal components leave."""
    return np.asarray(np.nanmean(_unexplained(bench)[1] ** 2, axis=1))


def pca_mahalanobis(bench: Bench) -> Floats:
    """Take the Mahalanobis distance of what 16 principal components leave."""
    return _distance(bench, *_unexplained(bench))


def isolation_forest(bench: Bench) -> Floats:
    """Ask how few random cuts set a minute apart."""
    train, test = bench.scaled
    forest = IsolationForest(n_estimators=TREES, random_state=bench.seed, n_jobs=1)
    return np.asarray(-forest.fit(train.filled).score_samples(test.filled))


def _unexplained(bench: Bench) -> tuple[Floats, Floats]:
    components = min(COMPONENTS, *bench.scaled[0].filled.shape)
    model = PCA(components, svd_solver="full").fit(bench.scaled[0].filled)
    train, test = (
        np.asarray(part.known - model.inverse_transform(model.transform(part.filled)))
        for part in bench.scaled
    )
    return train, test


def _distance(bench: Bench, train: Floats, test: Floats) -> Floats:
    """Join residuals as the detector does by default."""
    marginal = Marginal.fit(train, bench.slots[0])
    usual, scored = (
        marginal.scores(residuals, slots)
        for residuals, slots in zip((train, test), bench.slots, strict=True)
    )
    return Joint.fit(usual, "mahalanobis").score(scored)[0]


OWN = "detector"
METHODS: dict[str, Method] = {
    OWN: own,
    **{join: joined(join) for join in JOINS},
    "flow-counts": flow_counts,
    "min-max": min_max,
    "slot-median": slot_median,
    "pca": pca,
    "pca-mahalanobis": pca_mahalanobis,
    "isolation-forest": isolation_forest,
}
"""Name → method. The first is the profile as it stands; the names of joins are its
network with its residuals joined in another way."""
