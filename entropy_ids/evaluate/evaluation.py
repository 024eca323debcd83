"""Evaluate profiles on labelled logs: one pass over the logs, then the arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from entropy_ids.collector import LogFile
from entropy_ids.errors import ConfigError, InputError
from entropy_ids.evaluate.compare import Asked, compare
from entropy_ids.evaluate.deployed import judge
from entropy_ids.evaluate.labels import Label
from entropy_ids.evaluate.methods import METHODS, Bench, Ints, Method
from entropy_ids.evaluate.results import Evaluated, Evaluation
from entropy_ids.evaluate.sightings import Sighting, Sightings
from entropy_ids.evaluate.truth import Truth
from entropy_ids.evaluate.variants import VARIANTS
from entropy_ids.features.assembler import Assembler
from entropy_ids.pipeline import Watch
from entropy_ids.profile.store import Profile
from entropy_ids.reading import FileDone, Reading, minutes_of, streams_of
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

    @property
    def table(self) -> pd.DataFrame:
        """All minutes: scores and columns."""
        return pd.concat(self._tables, ignore_index=True)

    @property
    def alarms(self) -> list[Alarm]:
        """The newest revision of every incident."""
        return list(self._alarms.values())

    def methods(self, asked: Asked) -> dict[str, Method]:
        """Give the methods to compare; the detector's own join is the detector."""
        if not asked.rivals:
            return {}
        every = METHODS | (VARIANTS if asked.variants else {})
        own = self.watch.detector.join
        return {name: method for name, method in every.items() if name != own}


def watch(
    logs: Sequence[LogFile],
    labels: Sequence[Label],
    watched: Mapping[str, Watched],
    reading: Reading,
    file_done: FileDone | None = None,
) -> tuple[list[Sighting], Assembler]:
    """Read logs once, for all profiles; give the minutes that labels touch.

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
    assembler = Assembler(streams_of(logs), next(iter(networks.values())))
    sightings = Sightings([label for label in labels if _wanted(label, reading)])
    for minutes in minutes_of(logs, assembler, reading, file_done):
        sightings.add(minutes)
        for one in watched.values():
            one.push(minutes)
    if not assembler.account.counted:
        raise InputError(
            f"expected rows in {len(logs)} conn logs, found none that could be counted "
            "in the range asked for; check --from and --to"
        )
    return sightings.all(), assembler


def _wanted(label: Label, reading: Reading) -> bool:
    begins, ends = reading.since, reading.until
    return (begins is None or label.end >= begins) and (
        ends is None or label.start < ends
    )


def evaluate(
    watched: Mapping[str, Watched],
    sightings: Sequence[Sighting],
    asked: Asked,
    done: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Hold what profiles made of the logs against the labels.

    Parameters
    ----------
    done
        Called after each method of each profile.

    Raises
    ------
    InputError
        When no scored minute is normal.
    """
    profiles = [
        _evaluated(name, one, sightings, asked, done) for name, one in watched.items()
    ]
    stamps = _seconds(next(iter(watched.values())).table)
    return Evaluation(int(stamps.min()), int(stamps.max()), asked, profiles)


def _evaluated(
    name: str,
    one: Watched,
    sightings: Sequence[Sighting],
    asked: Asked,
    done: Callable[[], None],
) -> Evaluated:
    table = one.table
    bench = Bench(one.profile, one.watch.detector, table, asked.seed)
    truth = Truth(_seconds(table)[bench.scored], sightings, asked.seed)
    scores = table["score"].to_numpy()[bench.scored]
    threshold = one.watch.threshold
    deployed = judge(truth, scores > threshold, one.alarms, threshold)
    compared, left_out = compare(bench, truth, one.methods(asked), asked, done)
    return Evaluated(name, one.profile.hash, truth, deployed, compared, left_out)


def _seconds(table: pd.DataFrame) -> Ints:
    return pd.DatetimeIndex(table["minute"]).as_unit("s").asi8
