"""The one place where the stages are put together; drivers hold the ends.

`train` makes a profile of a series, `Watch` scores and judges minutes by a profile.
What comes before, up to closed minutes, is in `entropy_ids.reading`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from entropy_ids.alarms.contributors import Seen, contributors, leading, matching_uids
from entropy_ids.alarms.incidents import Incident, Incidents, iso
from entropy_ids.calendar import Calendar
from entropy_ids.config import Config
from entropy_ids.detectors import DETECTORS, SeriesDetector
from entropy_ids.detectors.threshold import (
    HELD_EVERY,
    LEAST_EXPECTED,
    Budget,
    held_out,
    meet,
    top_percent,
)
from entropy_ids.detectors.training import Progress, Training
from entropy_ids.errors import ConfigError, InputError, ProfileError, StateError
from entropy_ids.features.catalog import Column
from entropy_ids.features.series import Measure
from entropy_ids.profile.bounds import Bounds, bound_setters, signs, sizes
from entropy_ids.profile.outlook import shortfalls
from entropy_ids.profile.revise import bounds_of, normal
from entropy_ids.profile.signatures import Look, default_text, name
from entropy_ids.profile.store import Profile
from entropy_ids.types import DAY_MINUTES, Alarm, EntropySeries, Minutes, Verdict

LEAST_OBSERVED = 0.05
"""A column that fewer training minutes than this share could measure is left out."""


def detector_of(settings: Config | Mapping[str, Any], kind: str) -> SeriesDetector:
    """Make an untrained detector.

    Raises
    ------
    ConfigError
        When there is none of that name.
    """
    if kind not in DETECTORS:
        raise ConfigError(
            f"--detector: expected one of {', '.join(DETECTORS)}, found {kind!r}"
        )
    training = Training(
        epochs=settings["training.epochs"],
        patience=settings["training.patience"],
        batch=settings["training.batch"],
        learning_rate=settings["training.learning_rate"],
        seed=settings["training.seed"],
        threads=settings["training.threads"],
        pass_sequences=settings["training.pass_sequences"],
    )
    own = {key: settings[f"detector.{key}"] for key in ("hidden", "latent")}
    return DETECTORS[kind](
        calendar=Calendar.of(settings),
        window=settings["detector.window_min"],
        join=settings["detector.join"],
        training=training,
        **own,
    )


@dataclass(frozen=True)
class Trained:
    """What training made, and what it is to be told of it."""

    profile: Profile
    left_out: list[str]


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
        What the minutes of the same range hold besides.

    Raises
    ------
    InputError
        When there are too few whole minutes.
    """
    if not series.complete.any():
        raise InputError(
            f"expected whole minutes to train on, found none in {len(series)}; the "
            "first and the last minute read are never whole, so read more logs"
        )
    series, left_out = _measurable(series)
    detector = detector_of(config, kind)
    scores, threshold, budget = _fit(detector, series, config, progress)
    columns = list(series.values.columns)
    table = minutes_table(series, scores, threshold)
    table = table.astype(dict.fromkeys(columns, np.float32))  # half the size
    slots = detector.calendar.slots(_index(series)[series.complete])
    stamps = _index(series).as_unit("s").asi8
    manifest = {
        "sensor": sensor,
        "range": {
            "first": iso(int(stamps[0])),
            "last": iso(int(stamps[-1])),
            "minutes": len(series),
            "whole": int(series.complete.sum()),
            "normal": int(normal(table, threshold).sum()),
        },
        "columns": columns,
        "detector": kind,
        "settings": config.trained(),
        "threshold": threshold,
        "budget": budget and {**asdict(budget), "interval": list(budget.interval)},
        "remarks": shortfalls(slots) + _unmet(budget, config),
    }
    bounds = bounds_of(table, columns, detector.calendar, manifest)
    weights, residual = detector.tensors()
    setters = bound_setters(bounds, seen.heaviest.table())
    profile = Profile(
        manifest,
        weights,
        residual,
        bounds,
        setters,
        table,
        seen.usual.table(),
        default_text(),
    )
    return Trained(profile, left_out)


def _measurable(series: EntropySeries) -> tuple[EntropySeries, list[str]]:
    """Leave out the columns that too few whole minutes could measure."""
    observed = series.values[series.complete].notna().mean()
    kept = observed.index[observed >= LEAST_OBSERVED]
    left_out = [name for name in observed.index if name not in kept]
    return replace(series, values=series.values[list(kept)]), left_out


def _fit(
    detector: SeriesDetector,
    series: EntropySeries,
    config: Config,
    progress: Progress | None,
) -> tuple[pd.Series[float], float, Budget | None]:
    """Train, and set the threshold: by the budget, or else by the highest errors."""
    asked = config["threshold.alarms_per_day"]
    held = held_out(_index(series), detector.calendar)
    days = int((held & series.complete).sum()) / DAY_MINUTES
    if round(asked * days, 1) < LEAST_EXPECTED:
        scores = detector.fit(series, progress).score
        return scores, top_percent(scores, config["threshold.top_percent"]), None
    shown = series.coverage.where(~held, "partial")
    detector.fit(replace(series, coverage=shown), progress)
    scores = detector.score(series).score.where(series.complete)
    budget = meet(scores[held], asked, config["incidents.quiet_minutes"])
    return scores, budget.threshold, budget


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


def minutes_table(
    series: EntropySeries, scores: pd.Series[float], threshold: float
) -> pd.DataFrame:
    """Give the table of ``minutes.parquet``."""
    head = pd.DataFrame(
        {
            "minute": series.values.index,
            "score": scores.to_numpy(),
            "threshold": threshold,
            "coverage": series.coverage.to_numpy(),
            "flows": series.flows.to_numpy(),
        }
    )
    return pd.concat([head, series.values.reset_index(drop=True)], axis=1)


def _index(series: EntropySeries) -> pd.DatetimeIndex:
    index = series.values.index
    assert isinstance(index, pd.DatetimeIndex)
    return index


def check_settings(profile: Profile, config: Config) -> None:
    """Refuse a profile that was trained with other settings than were now given.

    Raises
    ------
    ProfileError
        Names the first setting that differs.
    """
    trained = profile.manifest.get("settings")
    if not isinstance(trained, Mapping):
        raise ProfileError(
            "manifest.json: expected the settings of the training, found none; the "
            "profile is damaged, train anew"
        )
    for key in sorted(config.given):
        if key in trained and config[key] != trained[key]:
            raise ProfileError(
                f"{key}: expected {trained[key]!r} as the profile was trained with, "
                f"found {config[key]!r}; leave the setting out, or train anew"
            )


@dataclass(frozen=True)
class WatchState:
    """All that a `Watch` knows between two pushes.

    Attributes
    ----------
    tail
        The last minutes: ``minute``, ``coverage``, ``flows``, ``epoch``, the columns.
    incidents
        Those that are running.
    """

    tail: pl.DataFrame | None
    incidents: list[Incident]


class Watch:
    """Scores and judges the closed minutes of one sensor by a profile.

    Parameters
    ----------
    profile
        What is usual.
    sensor
        The sensor's name, in alarms.
    quiet_minutes
        Minutes without an anomaly that close an incident.

    Raises
    ------
    ProfileError
        When the profile's parts do not fit together.
    """

    def __init__(self, profile: Profile, sensor: str, quiet_minutes: int) -> None:
        manifest = profile.manifest
        try:
            settings = manifest["settings"]
            self.threshold = float(manifest["threshold"])
            columns = [Column.named(column) for column in manifest["columns"]]
            self.detector = detector_of(settings, manifest["detector"])
            self.measure = Measure(tuple(columns), settings["entropy.rarefy_to"])
            self.networks = tuple(settings["site.local_networks"])
            self._bounds = Bounds(
                profile.bounds, settings["judging.k"], settings["judging.margin"]
            )
            named = {"name": str(manifest["sensor"]), "hash": profile.hash}
        except (KeyError, TypeError, ValueError, ConfigError) as err:
            raise ProfileError(
                f"expected a profile that this version can honour, found: {err}; "
                "train anew"
            ) from err
        names = [column.name for column in columns]
        self.detector.restore(names, profile.weights, profile.residual)
        if [column.name for column in self._bounds.columns] != names:
            raise ProfileError(
                "bounds.parquet: expected the columns of manifest.json, found others; "
                "the profile is damaged, train anew"
            )
        self._signatures = profile.signatures
        self._usual = profile.usual
        self._tail: EntropySeries | None = None
        self._incidents = Incidents(sensor, manifest["detector"], named, quiet_minutes)

    def push(self, minutes: Minutes) -> tuple[pd.DataFrame, list[Alarm]]:
        """Take closed minutes; give their table and the alarms that they make."""
        fresh = self.measure(minutes)
        known = 0 if self._tail is None else len(self._tail)
        series = (
            fresh if self._tail is None else EntropySeries.concat([self._tail, fresh])
        )
        scores = self.detector.score(series).score.iloc[known:]
        self._tail = series.tail(self.detector.window - 1)
        slots = self.detector.calendar.slots(_index(fresh))
        alarms: list[Alarm] = []
        for row, score in enumerate(scores):
            minute = int(minutes.index["minute"][row])
            verdict = None
            if score > self.threshold:
                values = fresh.values.iloc[row].to_numpy()
                one = _one_minute(minutes, minute)
                verdict = self._judge(one, values, int(slots[row]), float(score))
            alarms += self._incidents.step(minute, verdict)
        return minutes_table(fresh, scores, self.threshold), alarms

    @property
    def quiet_minutes(self) -> int:
        """Minutes without an anomaly that close an incident."""
        return self._incidents.quiet_minutes

    @quiet_minutes.setter
    def quiet_minutes(self, minutes: int) -> None:
        self._incidents.quiet_minutes = minutes

    def state(self) -> WatchState:
        """Give all that the next push depends on, besides the profile."""
        tail = None if self._tail is None else self._tail.frame()
        return WatchState(tail, self._incidents.state())

    def restore(self, state: WatchState) -> None:
        """Go on from where `state` was taken, with the same profile.

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
        self._incidents.restore(state.incidents)

    def relieve(self, before: Watch) -> None:
        """Take over from a watch with another profile.

        Running incidents go on. So do the last minutes when both measure alike;
        otherwise the first minutes have no score.
        """
        self._tail = before._tail if self.measure == before.measure else None
        self._incidents.restore(before._incidents.state())

    def _judge(
        self, minutes: Minutes, row: np.ndarray, slot: int, score: float
    ) -> Verdict:
        """Say what is unusual in one minute, what it looks like, and by whom."""
        deviations = self._bounds.deviations(row, slot)
        signed = signs(deviations, self._bounds.columns, row)
        found = contributors(minutes.tables, self._usual)
        named: dict[str, tuple[str, ...]] = {}
        for contributor in found:
            values = named.get(contributor.feature, ())
            named[contributor.feature] = (*values, contributor.value)
        look = Look(signed, sizes(self._bounds.columns, row), named)
        class_name, technique = name(look, self._signatures)
        top = leading(found)
        return Verdict(
            minute=int(minutes.index["minute"][0]),
            score=score,
            threshold=self.threshold,
            flows=int(minutes.index["flows"][0]),
            deviations=tuple(deviations),
            signs=signed,
            class_name=class_name,
            technique=technique,
            contributors=found,
            uids=matching_uids(minutes.rows, top),
        )


def _one_minute(minutes: Minutes, minute: int) -> Minutes:
    here = pl.col("minute") == minute
    tables = {name: table.filter(here) for name, table in minutes.tables.items()}
    return Minutes(minutes.index.filter(here), tables, minutes.rows.filter(here))
