"""Where a sensor's state lies: its directory, its profiles, what a person asked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from entropy_ids.alarms import journal as journals
from entropy_ids.alarms.outputs import HEARTBEAT
from entropy_ids.config import Config, SensorConfig
from entropy_ids.decisions import Decisions
from entropy_ids.errors import ConfigError, ProfileError
from entropy_ids.features.sets import SETS
from entropy_ids.pipeline import check_gates, check_settings
from entropy_ids.profile.store import Profile
from entropy_ids.reading import set_of

JOURNAL = "journal.jsonl"
_REQUEST, _PROFILES = "use", "profiles"
_REBUILD_S = 3 * 3600
"""Read before the last minute known: Zeek's longest timer is an hour, and the detector
looks at half an hour."""


def state(config: Config) -> Path:
    """Give the state directory."""
    return Path(config["state.dir"])


def directory(config: Config, sensor: str) -> Path:
    """Make and give a sensor's state directory."""
    path = state(config) / "sensors" / sensor
    path.mkdir(mode=0o750, parents=True, exist_ok=True)
    return path


def alarms_directory(config: Config, sensor: str) -> Path:
    """Give where a sensor's alarms go: of several sensors each has a directory."""
    root = Path(config["alarms.dir"])
    return root / sensor if len(config.sensors) > 1 else root


def profiles(config: Config, sensor: str) -> Path:
    """Give the directory of a sensor's profiles, each named by its hash."""
    return directory(config, sensor) / _PROFILES


def known(config: Config, sensor: str) -> list[str]:
    """Give the hashes of a sensor's profiles, those of the newest training last."""
    found = profiles(config, sensor).glob("[!.]*/manifest.json")
    return [path.parent.name for path in sorted(found, key=lambda p: p.stat().st_mtime)]


def profile(config: Config, sensor: str, profile_hash: str) -> Profile:
    """Read one of a sensor's profiles.

    Raises
    ------
    ProfileError
        When it is damaged, or there is none of that hash.
    """
    names = known(config, sensor)
    if profile_hash not in names:
        raise ProfileError(
            f"sensor {sensor}: expected one of the profiles "
            f"{', '.join(names) or '(none yet)'}, found {profile_hash!r}; train one, "
            "or see: entropy-ids status"
        )
    return Profile.read(profiles(config, sensor) / profile_hash)


def keep(config: Config, sensor: SensorConfig) -> str:
    """Copy the configured profile beside the others; give its hash, empty for none."""
    if sensor.profile is None:
        return ""
    given = Profile.read(sensor.profile)
    check_gates(given)
    if given.hash not in known(config, sensor.name):
        given.write(profiles(config, sensor.name) / given.hash)
    return given.hash


def check(config: Config) -> None:
    """Refuse configured profiles that do not fit the settings; touches nothing.

    Raises
    ------
    ProfileError
        When one is damaged, or was trained with other settings than are given.
    """
    _check_set(config)
    for sensor in config.sensors:
        if sensor.profile is not None:
            profile = Profile.read(sensor.profile)
            check_settings(profile, config)
            check_gates(profile)
            _check_same_set(sensor, profile, config)


def _check_set(config: Config) -> None:
    """Refuse features of other logs than conn: a sparse log holds minutes open."""
    name = config["features.set"]
    if len(SETS[name].logs) > 1:
        raise ConfigError(
            "features.set: expected a set of conn alone (conn, ddos) for live sensors, "
            f"found {name}; judge its logs with entropy-ids replay"
        )


def _check_same_set(sensor: SensorConfig, profile: Profile, config: Config) -> None:
    """Refuse a profile of another feature set than the configured one."""
    name = set_of(profile.manifest["settings"])
    if name != config["features.set"]:
        raise ConfigError(
            f"sensor {sensor.name}: expected a profile of features.set "
            f"{config['features.set']}, found one of {name}; set it, or train anew"
        )


def on_duty(config: Config, sensor: str) -> str:
    """Give the hash of the profile decided on last; empty while there is none."""
    path = state(config) / JOURNAL
    rows = journals.read(path) if path.exists() else []
    return Decisions.of(rows, sensor).last


def adopt(config: Config, sensor: str, fresh: Path) -> str:
    """Put a profile just trained beside the others; give its hash."""
    made = Profile.read(fresh)
    target = profiles(config, sensor) / made.hash
    if target.exists():
        shutil.rmtree(fresh)
    else:
        target.parent.mkdir(mode=0o750, exist_ok=True)
        fresh.rename(target)
    return made.hash


def check_fits(after: Profile, before: Profile | None) -> None:
    """Refuse a profile whose rows are counted in another way than now.

    Raises
    ------
    ProfileError
        Names the setting.
    """
    if before is None:
        return
    settings = [
        {"features.set": "conn"} | one.manifest["settings"] for one in (after, before)
    ]
    for key in ("site.local_networks", "features.set"):
        new, old = (one[key] for one in settings)
        if new != old:
            raise ProfileError(
                f"profile {after.hash}: expected {key} = {old} as now, found {new}; "
                "open minutes are counted by it: begin with a new state.dir instead"
            )


def ask(config: Config, sensor: str, profile_hash: str) -> None:
    """Leave a request for a profile, for the daemon to find."""
    fresh = directory(config, sensor) / f".{_REQUEST}"
    fresh.write_text(profile_hash + "\n")
    fresh.replace(directory(config, sensor) / _REQUEST)


def asked(config: Config, sensor: str) -> str | None:
    """Give the profile that was asked for."""
    try:
        return (directory(config, sensor) / _REQUEST).read_text().strip()
    except FileNotFoundError:
        return None


def answered(config: Config, sensor: str, profile_hash: str) -> None:
    """Take a request away that was journalled, or refused; a newer one stays."""
    if asked(config, sensor) == profile_hash:
        (directory(config, sensor) / _REQUEST).unlink(missing_ok=True)


def set_aside(path: Path) -> None:
    """Keep damaged copies for people.

    They stay in their places too, until a whole one is written there: a kill before
    that must not look like a first start.
    """
    for copy in (path, path.with_name(path.name + ".previous")):
        if copy.exists():
            shutil.copyfile(copy, copy.with_name(copy.name + ".damaged"))


def rebuild_from_us(alarms: Path) -> int | None:
    """Give the log time to read again from, by the last heartbeat; None without one."""
    try:
        told = json.loads((alarms / HEARTBEAT).read_text())["log_clock_s"]
        return (int(told) - _REBUILD_S) * 1_000_000
    except (OSError, ValueError, KeyError, TypeError):
        return None


def sensor_of(config: Config, name: str | None) -> SensorConfig:
    """Give the sensor of a name; without one, the only sensor.

    Raises
    ------
    ConfigError
        When it is not that clear.
    """
    names = [sensor.name for sensor in config.sensors]
    if name is None and len(names) == 1:
        return config.sensors[0]
    if name not in names:
        raise ConfigError(
            f"--sensor: expected one of {', '.join(names) or 'no sensor at all'}, "
            f"found {name or 'none given'}"
        )
    return config.sensors[names.index(name)]
