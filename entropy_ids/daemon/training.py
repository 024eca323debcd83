"""Candidates: profiles trained beside the daemon, and what lets one take over.

A training is a command of its own in a process of its own, with a lower priority; the
daemon goes on watching meanwhile.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import numpy as np

from entropy_ids.alarms.incidents import iso
from entropy_ids.collector.archive import LIVE, LogFile, find_logs, is_conn_name
from entropy_ids.config import Config, SensorConfig
from entropy_ids.daemon import store
from entropy_ids.daemon.sensor import Sensor
from entropy_ids.errors import ConfigError, InputError, ProfileError
from entropy_ids.profile.revise import moved_share
from entropy_ids.profile.store import Profile
from entropy_ids.types import DAY_MINUTES, MINUTE_S

log = logging.getLogger(__name__)

LEAST_FOUND = 0.8
"""Of the attacks injected into yesterday's logs, so many must be found."""
DRIFT_LEVEL, DRIFT_MINUTES = 0.8, DAY_MINUTES // 2
"""Drift: half of a day's scores lie above this quantile of the training's."""
_DAY_S = DAY_MINUTES * MINUTE_S
_NET_BITS = 24
_SERVERS = {
    "203.0.113.10": 250,
    "203.0.113.11": 251,
    "203.0.113.25": 252,
    "10.20.0.53": 253,
}
"""Servers that attacks are laid on, and the host numbers that they are moved to."""
_NICE = 10
_POLL_S = 0.5


@dataclass(frozen=True)
class Candidate:
    """A trained profile, and what speaks for or against it.

    Attributes
    ----------
    moved
        Share of the bounds that moved by more than their span; None without others.
    found, injected
        Of attacks laid over the last day; None where that was not asked for.
    taken
        True when it takes over without being asked.
    verdict
        All of that in words.
    """

    hash: str
    moved: float | None
    found: int | None
    injected: int | None
    taken: bool
    verdict: str

    def as_dict(self) -> dict[str, Any]:
        """Give it for the journal."""
        return asdict(self)


class Stopped(InputError):
    """The daemon ends; the training is given up."""


class Trainer:
    """Trains candidates of sensors.

    Parameters
    ----------
    stopped
        Tells that the daemon ends.
    """

    def __init__(
        self, config: Config, stopped: Callable[[], bool], now: Callable[[], float]
    ) -> None:
        self.config, self._stopped, self._now = config, stopped, now
        self._tried_s: dict[str, float] = {}

    def due(self, sensor: Sensor) -> str | None:
        """Say why a sensor is to be trained now, if it is; at most once a day."""
        name = sensor.sensor.name
        if self._now() - self._tried_s.get(name, 0.0) < _DAY_S:
            return None
        profile = sensor.duty.profile
        why = self._ripe(sensor.sensor) if profile is None else drift(sensor, profile)
        if why:
            self._tried_s[name] = self._now()
        return why

    def train(self, sensor: SensorConfig, current: Profile | None) -> Candidate:
        """Train a candidate on the last days, and judge it.

        Raises
        ------
        InputError
            When there is nothing to train on, or training fails: what it said.
        """
        fresh = store.profiles(self.config, sensor.name) / ".fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        files = self._files(sensor)
        since = _end_of(files) - int(self.config["daemon.retrain_days"] * _DAY_S)
        where = [str(file.path) for file in files]
        own = ["--sensor", sensor.name, "--workers", "1"]
        self._command(
            "train", *where, "--profile", str(fresh), *own, "--from", iso(since)
        )
        made = store.adopt(self.config, sensor.name, fresh)
        return self._judged(sensor, made, current, files)

    def _ripe(self, sensor: SensorConfig) -> str | None:
        """Say that there are days enough to learn from, and no candidate yet."""
        if store.known(self.config, sensor.name):
            return None
        try:
            files = self._files(sensor)
        except InputError:
            return None
        days = (_end_of(files) - _start_of(files)) / _DAY_S
        if days < self.config["daemon.learn_days"]:
            return None
        return f"there are {days:.0f} days of logs, and no profile yet"

    def _judged(
        self,
        sensor: SensorConfig,
        made: str,
        current: Profile | None,
        files: Sequence[LogFile],
    ) -> Candidate:
        """Hold a candidate against the guards, when they may let it take over."""
        if current is not None and made == current.hash:
            return Candidate(made, 0.0, None, None, False, "the same as the one in use")
        profile = store.profile(self.config, sensor.name, made)
        moved = None if current is None else moved_share(current, profile)
        if self.config["daemon.takeover"] != "guarded":
            wait = f"waits for: entropy-ids profile use {made}"
            return Candidate(made, moved, None, None, False, wait)
        found, injected = self._selftest(sensor, made, files)
        problems = self._against(moved, found, injected)
        verdict = "; ".join(problems) or "takes over"
        return Candidate(made, moved, found, injected, not problems, verdict)

    def _against(self, moved: float | None, found: int, injected: int) -> list[str]:
        most, problems = self.config["daemon.most_bounds_moved"], []
        if moved is not None and moved > most:
            problems.append(
                f"expected at most {most:.0%} of the bounds to move by their span, "
                f"found {moved:.0%}"
            )
        if found < LEAST_FOUND * injected:
            problems.append(
                f"expected {LEAST_FOUND:.0%} of {injected} injected attacks to be "
                f"found, found {found}"
            )
        return problems

    def _selftest(
        self, sensor: SensorConfig, made: str, files: Sequence[LogFile]
    ) -> tuple[int, int]:
        """Inject every class of attack into the last day; count what is found."""
        last = [file for file in files if _around(file) >= _end_of(files) - _DAY_S]
        work = store.directory(self.config, sensor.name) / ".selftest"
        shutil.rmtree(work, ignore_errors=True)
        over = [part for file in last for part in ("--over", str(file.path))]
        profile = store.profiles(self.config, sensor.name) / made
        try:
            renames = _renames(self.config["site.local_networks"])
            self._command("simulate", str(work / "logs"), *over, "--attacks", *renames)
            self._command(
                "evaluate",
                str(work / "logs"),
                *("--labels", str(work / "logs" / "labels.csv")),
                *("--profile", str(profile), "--json", str(work / "found.json")),
                "--no-rivals",
            )
            (told,) = json.loads((work / "found.json").read_text())["profiles"].values()
            return int(told["all"]["found"]), int(told["all"]["attacks"])
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _files(self, sensor: SensorConfig) -> list[LogFile]:
        """Give rotated logs that were written since the range began."""
        days = max(self.config["daemon.retrain_days"], self.config["daemon.learn_days"])
        oldest_s = self._now() - (days + 1) * _DAY_S
        folders = [
            *sensor.log_dirs,
            *([sensor.archive_dir] if sensor.archive_dir else []),
        ]
        paths = {
            path.resolve()
            for folder in folders
            for path in Path(folder).rglob("conn*")
            if is_conn_name(path.name) and path.name != LIVE
            if path.is_file() and path.stat().st_mtime >= oldest_s
        }
        found = find_logs(sorted(paths)) if paths else []
        found = [file for file in found if file.around_us is not None]
        if not found:
            raise InputError(
                f"sensor {sensor.name}: expected rotated conn logs of the last "
                f"{days:g} days in {', '.join(map(str, folders))}, found none; name "
                "the sensor's archive_dir"
            )
        return found

    def _command(self, *arguments: str) -> None:
        """Run a command of this program to its end, or until the daemon ends."""
        order = [sys.executable, "-m", "entropy_ids", arguments[0]]
        settings = (
            self.config.arguments if arguments[0] in ("train", "evaluate") else ()
        )
        with subprocess.Popen(
            [*order, *arguments[1:], *settings],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.nice(_NICE) and None,
        ) as process:
            while process.poll() is None:
                if self._stopped():
                    process.terminate()
                time.sleep(_POLL_S)
            said = process.stderr.read() if process.stderr else ""
        if self._stopped():
            raise Stopped("expected time to train, found the daemon ending")
        if process.returncode:
            raise InputError(f"{arguments[0]} ended with {process.returncode}: {said}")


def drift(sensor: Sensor, profile: Profile) -> str | None:
    """Say that a day's scores have drifted off the training's, if they have.

    Examples
    --------
    Half of the minutes of a usual day score above the training's median; drift is when
    half of them score above its 80 % quantile.
    """
    recent = sensor.tally.recent
    if len(recent) < DRIFT_MINUTES:
        return None
    trained = profile.series["score"].dropna().to_numpy()
    level, middle = float(np.quantile(trained, DRIFT_LEVEL)), float(np.median(recent))
    if middle <= level:
        return None
    return (
        f"drift: half of the last {len(recent)} scores lie above {middle:.2f}, in "
        f"training {1 - DRIFT_LEVEL:.0%} above {level:.2f}"
    )


def use(config: Config, sensor: str | None, profile_hash: str) -> str:
    """Ask the daemon to take a profile; give its whole hash.

    Parameters
    ----------
    profile_hash
        A hash, or how one begins.

    Raises
    ------
    ConfigError, ProfileError
        When sensor or profile are not clear, or the profile is damaged.
    """
    name = store.sensor_of(config, sensor).name
    known = store.known(config, name)
    found = [one for one in known if one.startswith(profile_hash)]
    if len(found) > 1:
        raise ConfigError(
            f"HASH: expected one profile, found {len(found)} that begin with "
            f"{profile_hash}: {', '.join(found)}"
        )
    if not found:
        raise ProfileError(
            f"HASH: expected one of {', '.join(known) or '(no profile yet)'}, found "
            f"{profile_hash}; see: entropy-ids status"
        )
    Profile.read(store.profiles(config, name) / found[0])
    store.ask(config, name, found[0])
    return found[0]


def _renames(networks: Sequence[str]) -> list[str]:
    """Give options that move injected attacks into the site's first network.

    Without networks Zeek's own flags tell directions, and the attacks carry those.
    """
    every = [ip_network(text, strict=False) for text in networks]
    ours = [net for net in every if net.version == 4 and net.prefixlen <= _NET_BITS]
    if not ours:
        return []
    inside = next(ours[0].subnets(new_prefix=_NET_BITS))
    to = {"10.20.3.0/24": str(inside)}
    first = inside.network_address
    to |= {old: str(first + host) for old, host in _SERVERS.items()}
    return [part for old, new in to.items() for part in ("--rename", f"{old}={new}")]


def _around(file: LogFile) -> int:
    return (file.around_us or 0) // 1_000_000


def _start_of(files: Sequence[LogFile]) -> int:
    return min(map(_around, files)) // MINUTE_S * MINUTE_S


def _end_of(files: Sequence[LogFile]) -> int:
    """Give a minute that the last file has rows up to, at least."""
    return (max(map(_around, files)) // MINUTE_S + 1) * MINUTE_S
