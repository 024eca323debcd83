"""The one place where the stages are put together; drivers hold the ends.

`Watch` scores and judges minutes by a profile. What comes before, up to closed minutes,
is in `entropy_ids.reading`; profiles are made in `entropy_ids.learning`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import polars as pl

from entropy_ids.alarms.community import community_ids
from entropy_ids.alarms.contributors import contributors, leading, matching
from entropy_ids.alarms.incidents import Incident, Incidents
from entropy_ids.alarms.removal import Judging, explained
from entropy_ids.calendar import Calendar
from entropy_ids.config import Config
from entropy_ids.detectors import FLOW_MODELS
from entropy_ids.detectors.flows import Memory
from entropy_ids.errors import ConfigError, ProfileError
from entropy_ids.features.catalog import Column
from entropy_ids.features.series import Measure
from entropy_ids.gates import GateState, gate_of
from entropy_ids.profile.bounds import Bounds, signs, sizes
from entropy_ids.profile.signatures import Look, name
from entropy_ids.profile.store import Profile
from entropy_ids.types import Alarm, EntropySeries, Minutes, Verdict


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
    trained = {"features.set": "conn", **trained}  # before there were sets
    for key in sorted(config.given):
        if key in trained and config[key] != trained[key]:
            raise ProfileError(
                f"{key}: expected {trained[key]!r} as the profile was trained with, "
                f"found {config[key]!r}; leave the setting out, or train anew"
            )


def check_gates(profile: Profile) -> None:
    """Refuse a profile whose scores are no ground for alarms.

    Raises
    ------
    ConfigError
        Names the detector.
    """
    kind = str(profile.manifest.get("detector"))
    if kind in FLOW_MODELS and not FLOW_MODELS[kind].gates:
        raise ConfigError(
            f"--profile: expected one that judges minutes, found one of {kind}, which "
            "classifies flows: use it in entropy-ids evaluate and explain"
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
    memory
        Of a flow model.
    """

    tail: pl.DataFrame | None
    incidents: list[Incident]
    memory: Memory = field(default_factory=dict)


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
            self.calendar = Calendar.of(settings)
            self.measure = Measure(tuple(columns), settings["entropy.rarefy_to"])
            self.networks = tuple(settings["site.local_networks"])
            k, margin = settings["judging.k"], settings["judging.margin"]
            self._bounds = Bounds(profile.bounds, k, margin)
            self._judging = Judging(k, margin, settings["entropy.rarefy_to"])
            named = {"name": str(manifest["sensor"]), "hash": profile.hash}
            self.gate = gate_of(profile, self.measure)
        except (KeyError, TypeError, ValueError, ConfigError) as err:
            raise ProfileError(
                f"expected a profile that this version can honour, found: {err}; "
                "train anew"
            ) from err
        names = [column.name for column in columns]
        if [column.name for column in self._bounds.columns] != names:
            raise ProfileError(
                "bounds.parquet: expected the columns of manifest.json, found others; "
                "the profile is damaged, train anew"
            )
        self._signatures = profile.signatures
        self._usual = profile.usual
        self._incidents = Incidents(sensor, manifest["detector"], named, quiet_minutes)

    def push(self, minutes: Minutes) -> tuple[pd.DataFrame, list[Alarm]]:
        """Take closed minutes; give their table and the alarms that they make."""
        fresh = self.measure(minutes)
        scores = self.gate.score(fresh, minutes)
        slots = self.calendar.slots(_index(fresh))
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
        gate = self.gate.state()
        return WatchState(gate.tail, self._incidents.state(), gate.memory)

    def restore(self, state: WatchState) -> None:
        """Go on from where `state` was taken, with the same profile.

        Raises
        ------
        StateError
            When the profile has other columns.
        """
        self.gate.restore(GateState(state.tail, state.memory))
        self._incidents.restore(state.incidents)

    def relieve(self, before: Watch) -> None:
        """Take over from a watch with another profile.

        Running incidents go on; the gate takes over what it can use.
        """
        self.gate.relieve(before.gate)
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
        same = matching(minutes.rows, leading(found))
        told, found = explained(minutes, deviations, found, self._usual, self._judging)
        return Verdict(
            minute=int(minutes.index["minute"][0]),
            score=score,
            threshold=self.threshold,
            flows=int(minutes.index["flows"][0]),
            deviations=told,
            signs=signed,
            class_name=class_name,
            technique=technique,
            contributors=found,
            uids=tuple(same["uid"]),
            community_ids=community_ids(same),
        )


def _one_minute(minutes: Minutes, minute: int) -> Minutes:
    here = pl.col("minute") == minute
    tables = {name: table.filter(here) for name, table in minutes.tables.items()}
    return Minutes(minutes.index.filter(here), tables, minutes.rows.filter(here))
