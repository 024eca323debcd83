"""Evaluate profiles on labelled logs: one pass over the logs, then the arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import polars as pl

from entropy_ids.collector import LogFile
from entropy_ids.errors import ConfigError, InputError
from entropy_ids.evaluate.compare import Asked, compare
from entropy_ids.evaluate.deployed import judge
from entropy_ids.evaluate.flows import with_labels
from entropy_ids.evaluate.judged_flows import JudgedFlows, by_minute, judged
from entropy_ids.evaluate.labels import Label
from entropy_ids.evaluate.methods import METHODS, OWN, Bench, Floats, Ints, Method
from entropy_ids.evaluate.results import Evaluated, Evaluation
from entropy_ids.evaluate.sightings import Sighting, Sightings
from entropy_ids.evaluate.truth import Truth
from entropy_ids.evaluate.variants import VARIANTS
from entropy_ids.features.assembler import Assembler
from entropy_ids.gates import FlowGate, SeriesGate, in_order
from entropy_ids.pipeline import Watch
from entropy_ids.profile.store import Profile
from entropy_ids.reading import (
    FileDone,
    Reading,
    minutes_of,
    set_of,
    streams_of,
    with_siblings,
)
from entropy_ids.types import Alarm, Minutes


class Watched:
    """A profile's watch over the logs: its minutes and the newest word of each alarm.

    Parameters
    ----------
    sensor
        Named in alarms.
    """

    def __init__(self, profile: Profile, sensor: str, quiet_minutes: int) -> None:
        self.profile = profile
        self.watch = Watch(profile, sensor, quiet_minutes)
        self._tables: list[pd.DataFrame] = []
        self._alarms: dict[str, Alarm] = {}

    def push(self, minutes: Minutes) -> None:
        """Take closed minutes."""
        table, alarms = self.watch.push(minutes)
        self._tables.append(table)
        self._alarms |= {alarm.id: alarm for alarm in alarms}

    def judged(self, flows: pl.DataFrame, asked: Asked) -> JudgedFlows:
        """Hold what is said of single flows against their labels.

        A series detector says of a flow what it says of its minute.
        """
        gate = self.watch.gate
        if isinstance(gate, FlowGate):
            return judged(gate.model, self.profile, flows, asked.seed, asked.baselines)
        stamps = pl.Series(_seconds(self.table))
        return by_minute(stamps, self.table["score"].to_numpy(np.float64), flows)

    @property
    def table(self) -> pd.DataFrame:
        """All minutes: scores and columns."""
        return pd.concat(self._tables, ignore_index=True)

    @property
    def alarms(self) -> list[Alarm]:
        """The newest revision of every incident."""
        return list(self._alarms.values())

    def methods(self, asked: Asked) -> dict[str, Method]:
        """Give the methods to compare; the detector's own join is the detector.

        A flow model's profile is compared with no other methods: they stand beside
        the profiles of series detectors.
        """
        gate = self.watch.gate
        if not asked.rivals or not isinstance(gate, SeriesGate):
            return {OWN: METHODS[OWN]}
        every = METHODS | (VARIANTS if asked.variants else {})
        return {n: method for n, method in every.items() if n != gate.detector.join}


@dataclass(frozen=True)
class Read:
    """What reading the logs gave, besides what the watched keep.

    Attributes
    ----------
    sightings
        The minutes that labels touch.
    flows
        Every row with its label, minute by minute, for flow models and labelled sets;
        empty for others: it is large.
    """

    sightings: list[Sighting]
    flows: pl.DataFrame
    assembler: Assembler


def watch(
    logs: Sequence[LogFile],
    labels: Sequence[Label],
    watched: Mapping[str, Watched],
    reading: Reading,
    file_done: FileDone | None = None,
) -> Read:
    """Read logs once, for all profiles.

    Parameters
    ----------
    labels
        Those that lie wholly outside the range that is read are left out.

    Raises
    ------
    ConfigError
        When profiles name different local networks: directions would differ.
    InputError
        When no row could be counted, or a label lies outside the logs.
    """
    networks = {name: one.watch.networks for name, one in watched.items()}
    if len(set(networks.values())) > 1:
        found = ", ".join(f"{name}: {list(some)}" for name, some in networks.items())
        raise ConfigError(
            "--profile: expected profiles with the same site.local_networks, found "
            f"{found}; evaluate them one by one"
        )
    sets = [set_of(one.profile.manifest["settings"]) for one in watched.values()]
    every = with_siblings(logs, sets)
    assembler = Assembler(streams_of(every), next(iter(networks.values())))
    sightings = Sightings([label for label in labels if _wanted(label, reading)])
    rows = [pl.DataFrame()]
    keep = any(log.is_labelled for log in logs) or any(
        isinstance(one.watch.gate, FlowGate) for one in watched.values()
    )
    for minutes in minutes_of(every, assembler, reading, file_done):
        sightings.add(minutes)
        if keep:
            rows.append(with_labels(in_order(minutes.rows), labels))
        for one in watched.values():
            one.push(minutes)
    if not assembler.account.counted:
        raise InputError(
            f"expected rows in {len(logs)} conn logs, found none that could be counted "
            "in the range asked for; check --from and --to"
        )
    return Read(sightings.all(), pl.concat(rows, how="diagonal"), assembler)


def _wanted(label: Label, reading: Reading) -> bool:
    begins, ends = reading.since, reading.until
    return (begins is None or label.end >= begins) and (
        ends is None or label.start < ends
    )


def evaluate(
    watched: Mapping[str, Watched],
    read: Read,
    asked: Asked,
    done: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Hold what profiles made of the logs against the labels.

    Parameters
    ----------
    done
        Called after each method of each profile.

    Returns
    -------
    Evaluation
        Without profiles when no scored minute is normal, as on a host that is attacked
        all the time; of its flows it tells all the same.

    Raises
    ------
    InputError
        When neither minutes nor flows are both normal and attacks.
    """
    flows = {
        name: one.judged(read.flows, asked)
        for name, one in (watched.items() if len(read.flows) else ())
    }
    stamps = _seconds(next(iter(watched.values())).table)
    profiles, remark = [], ""
    try:
        for name, one in watched.items():
            profiles.append(_evaluated(name, one, read.sightings, asked, done))
    except InputError as problem:
        if not any(one.per_flow for one in flows.values()):
            raise
        profiles, remark = [], str(problem)
    first, last = int(stamps.min()), int(stamps.max())
    return Evaluation(first, last, asked, profiles, flows, remark)


def _evaluated(
    name: str,
    one: Watched,
    sightings: Sequence[Sighting],
    asked: Asked,
    done: Callable[[], None],
) -> Evaluated:
    table = one.table
    scored = np.flatnonzero(table["score"].notna())
    truth = Truth(_seconds(table)[scored], sightings, asked.seed)
    scores = table["score"].to_numpy()[scored]
    threshold = one.watch.threshold
    deployed = judge(truth, scores > threshold, one.alarms, threshold)
    gate = one.watch.gate
    if isinstance(gate, SeriesGate):
        bench = Bench(one.profile, gate.detector, table, asked.seed)
        rows, left_out = compare(bench, truth, one.methods(asked), asked, done)
    else:
        own: dict[str, Callable[[Floats], Floats]] = {OWN: lambda shown: shown}
        rows, left_out = compare(scores, truth, own, asked, done)
    return Evaluated(
        name,
        one.profile.hash,
        truth,
        deployed,
        rows,
        left_out,
        detector=one.profile.manifest["detector"],
        took_s=one.profile.took_s,
        size_bytes=one.profile.size_bytes,
    )


def _seconds(table: pd.DataFrame) -> Ints:
    return pd.DatetimeIndex(table["minute"]).as_unit("s").asi8
