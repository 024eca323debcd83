"""Candidates: profiles trained beside the daemon, and what lets one take over.

A training is a command of its own in a process of its own, with a lower priority; the
daemon goes on watching meanwhile.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
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
_SETTLED_S = 300
"""A log that changed within so long may still be on its way to the archive, half of
it packed: trainings by the calendar begin at the hours at which Zeek rotates."""
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
    now
        The wall clock.
    """

    def __init__(
        self, config: Config, stopped: Callable[[], bool], now: Callable[[], float]
    ) -> None:
        self.config, self._stopped, self._now = config, stopped, now
        self._tried_s: dict[str, float] = {}

    def due(self, sensor: Sensor) -> str | None:
        """Say why a sensor is to be trained now, if it is.

        That is at most once a day, and not while its last candidate waits for a person.
        """
        name, profile = sensor.sensor.name, sensor.duty.profile
        lately = self._now() - self._tried_s.get(name, -math.inf) < _DAY_S
        if lately or self._waits(name, profile):
            return None
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
        Stopped
            When the daemon ends meanwhile.
        """
        files = self._files(sensor)
        since = _end_of(files) - int(self.config["daemon.retrain_days"] * _DAY_S)
        where = [str(file.path) for file in files]
        own = ["--sensor", sensor.name, "--from", iso(since), "--workers", "1"]
        with _emptied(store.directory(self.config, sensor.name) / ".training") as work:
            fresh = work / "profile"
            self._command("train", *where, *own, "--profile", str(fresh))
            made = store.adopt(self.config, sensor.name, fresh)
            return self._judged(sensor, made, current, files, work)

    def _waits(self, name: str, profile: Profile | None) -> bool:
        """Tell that a person has not taken the newest candidate."""
        newest = store.known(self.config, name)[-1:]
        used = [] if profile is None else [profile.hash]
        return self.config["daemon.takeover"] == "manual" and newest not in ([], used)

    def _ripe(self, sensor: SensorConfig) -> str | None:
        """Say that there are days enough to learn from."""
        try:
            files = self._files(sensor)
        except InputError:
            return None
        days = (_end_of(files) - _start_of(files)) / _DAY_S
        if days < self.config["daemon.learn_days"]:
            return None
        return f"there are {days:.1f} days of logs, and no profile yet"

    def _judged(
        self,
        sensor: SensorConfig,
        made: str,
        current: Profile | None,
        files: Sequence[LogFile],
        work: Path,
    ) -> Candidate:
        """Hold a candidate against the guards, when they may let it take over."""
        if current is not None and made == current.hash:
            return Candidate(made, 0.0, None, None, False, "the same as the one in use")
        profile_dir = store.profiles(self.config, sensor.name) / made
        profile = Profile.read(profile_dir)
        moved = None if current is None else moved_share(current, profile)
        if self.config["daemon.takeover"] != "guarded":
            wait = f"waits for: entropy-ids profile use {made}"
            return Candidate(made, moved, None, None, False, wait)
        try:
            found, injected = self._selftest(profile_dir, files, work)
        except Stopped:
            raise
        except InputError as err:
            return Candidate(made, moved, None, None, False, f"self-test: {err}")
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
        if not injected or found < LEAST_FOUND * injected:
            problems.append(
                f"expected {LEAST_FOUND:.0%} of the injected attacks to be found, "
                f"found {found} of {injected}"
            )
        return problems

    def _selftest(
        self, profile_dir: Path, files: Sequence[LogFile], work: Path
    ) -> tuple[int, int]:
        """Inject every class of attack into the last day; count what is found."""
        last = [file for file in files if _around(file) >= _end_of(files) - _DAY_S]
        over = [part for file in last for part in ("--over", str(file.path))]
        renames = _renames(self.config["site.local_networks"])
        logs, found = str(work / "logs"), work / "found.json"
        self._command("simulate", logs, *over, "--attacks", *renames)
        labels = ["--labels", str(work / "logs" / "labels.csv")]
        asked = ["--json", str(found), "--no-rivals", "--workers", "1"]
        self._command("evaluate", logs, *labels, "--profile", str(profile_dir), *asked)
        (told,) = json.loads(found.read_text())["profiles"].values()
        return int(told["all"]["found"]), int(told["all"]["attacks"])

    def _files(self, sensor: SensorConfig) -> list[LogFile]:
        """Give rotated logs that were written since the range began."""
        days = max(self.config["daemon.retrain_days"], self.config["daemon.learn_days"])
        first_s = self._now() - (days + 1) * _DAY_S
        last_s = self._now() - _SETTLED_S
        folders = [
            *sensor.log_dirs,
            *([sensor.archive_dir] if sensor.archive_dir else []),
        ]
        paths = {
            path.resolve()
            for folder in folders
            for path in Path(folder).rglob("conn*")
            if is_conn_name(path.name) and path.name != LIVE
            if path.is_file() and first_s <= path.stat().st_mtime <= last_s
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

    def _command(self, name: str, *arguments: str) -> None:
        """Run a command of this program to its end, or until the daemon ends."""
        order = [sys.executable, "-m", "entropy_ids", name, *arguments]
        with (
            tempfile.TemporaryFile("w+") as said,
            subprocess.Popen(
                [*order, *self.config.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
            ) as process,
        ):
            self._wait(process)
            said.seek(0)
            words = said.read().strip().splitlines()
        if self._stopped():
            raise Stopped(f"expected time to {name}, found the daemon ending")
        if process.returncode:
            raise InputError(
                f"{name}: expected exit code 0, found {process.returncode}: "
                f"{words[-1] if words else 'it said nothing'}"
            )

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        """Let a process come to its end at a low priority; end it with the daemon."""
        with suppress(OSError):  # it has ended, or its priority is lower yet
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
        while process.poll() is None:
            if self._stopped():
                process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_S)


@contextmanager
def _emptied(directory: Path) -> Iterator[Path]:
    """Give an empty directory, and remove it with all that is in it."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o750)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


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
        When sensor or profile are not clear, or the daemon could not take the profile.
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
    profile = store.profile(config, name, found[0])
    before = store.on_duty(config, name)
    store.check_fits(profile, store.profile(config, name, before) if before else None)
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
