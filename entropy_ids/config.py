"""The values of settings: file < environment < ``--set``.

Settings stop at the pipeline's builder: below it are plain constructor arguments.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from entropy_ids.errors import ConfigError
from entropy_ids.settings import SETTINGS
from entropy_ids.types import MINUTE_S

ENVIRONMENT = "ENTROPY_IDS_"


_BY_KEY = {setting.key: setting for setting in SETTINGS}


@dataclass(frozen=True)
class SensorConfig:
    """One ``[[sensor]]`` of the configuration file.

    Attributes
    ----------
    name
        Stands in alarms, metrics and the names of files; of letters, digits, ``._-``.
    log_dirs
        Directories with a live ``conn.log``, one per logger.
    archive_dir
        Zeek's archive of rotated logs, to catch up from; None when there is none.
    profile
        Directory of the profile to begin with; None to learn one.
    """

    name: str
    log_dirs: tuple[Path, ...]
    archive_dir: Path | None = None
    profile: Path | None = None

    @property
    def streams(self) -> dict[str, Path]:
        """The directory of each stream.

        A single stream has no name. Of several each is called as its directory, and so
        are its files in the archive (``conn.*-logger-1.log.gz``).

        Examples
        --------
        >>> list(SensorConfig("a", (Path("spool/one"), Path("spool/two"))).streams)
        ['one', 'two']
        """
        if len(self.log_dirs) == 1:
            return {"": self.log_dirs[0]}
        return {directory.name: directory for directory in self.log_dirs}


class Config:
    """The value of every setting, and which were given rather than left as they are.

    Attributes
    ----------
    given
        Keys of the settings that were given.
    sensors
        What the daemon watches; from the file alone.
    file
        The configuration file, if there is one.

    Examples
    --------
    >>> config = Config.load(overrides=["judging.k=1.5"], environment={})
    >>> config["judging.k"], config["entropy.kind"], sorted(config.given)
    (1.5, 'renyi', ['judging.k'])
    """

    def __init__(
        self,
        given: Mapping[str, tuple[Any, str]],
        sensors: tuple[SensorConfig, ...] = (),
        file: Path | None = None,
        overrides: tuple[str, ...] = (),
    ) -> None:
        self._values = {setting.key: setting.default for setting in SETTINGS}
        self.given: set[str] = set()
        self.sensors = sensors
        self.file = file
        self._overrides = overrides
        for key, (value, where) in given.items():
            self._values[key] = _checked(key, value, where)
            self.given.add(key)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    @staticmethod
    def load(
        path: Path | None = None,
        overrides: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Config:
        """Read settings: file, then environment, then ``section.key=value`` overrides.

        Raises
        ------
        ConfigError
            When the file cannot be read, or a setting is unknown or out of bounds.
        """
        overrides = tuple(overrides)
        given: dict[str, tuple[Any, str]] = {}
        sensors: tuple[SensorConfig, ...] = ()
        if path is not None:
            tables = _from_file(path)
            sensors = _sensors(tables.pop("sensor", []), str(path))
            given |= {key: (value, str(path)) for key, value in _flat(tables, path)}
        variables = os.environ if environment is None else environment
        for setting in SETTINGS:
            name = ENVIRONMENT + setting.key.replace(".", "_").upper()
            if name in variables:
                given[setting.key] = (_literal(variables[name]), name)
        for override in overrides:
            key, equals, text = override.partition("=")
            if not equals:
                raise ConfigError(
                    f"--set {override}: expected section.key=value, found no '='"
                )
            given[key.strip()] = (_literal(text.strip()), "--set")
        return Config(given, sensors, path, overrides)

    def reload(self) -> Config:
        """Read file and environment as they are now, and the same overrides.

        Raises
        ------
        ConfigError
            As `load`; this one stays as it is.
        """
        return Config.load(self.file, self._overrides)

    @property
    def arguments(self) -> list[str]:
        """Give the options by which another command gets the same settings."""
        file = [] if self.file is None else ["--config", str(self.file)]
        return file + [part for one in self._overrides for part in ("--set", one)]

    def trained(self) -> dict[str, Any]:
        """Give the settings that a profile is made with."""
        return {s.key: self[s.key] for s in SETTINGS if s.trained}


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise ConfigError(
            f"{path}: expected a readable configuration file, found: {err.strerror}"
        ) from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise ConfigError(f"{path}: expected TOML, found: {err}") from err


def _flat(tables: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Any]]:
    """Give every setting of the sections by its full key."""
    for section, values in tables.items():
        if not isinstance(values, dict):
            raise ConfigError(
                f"{path}: expected sections such as [site], found {section} outside one"
            )
        yield from ((f"{section}.{key}", value) for key, value in values.items())


def _literal(text: str) -> Any:
    """Read a value as TOML would; anything else is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _checked(key: str, value: Any, where: str) -> Any:
    if key not in _BY_KEY:
        near = difflib.get_close_matches(key, _BY_KEY, n=1)
        hint = f"did you mean {near[0]}?" if near else "see: entropy-ids config show"
        raise ConfigError(f"{where}: expected a known setting, found {key}; {hint}")
    setting = _BY_KEY[key]
    kind = type(setting.default)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**63 else str(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ConfigError(
            f"{where}: {key}: expected {_KINDS[kind]}, found {value!r} "
            f"(default {setting.default!r})"
        )
    if kind is list:
        _check_items(key, value, where)
    if setting.allowed and not setting.allowed[0](value):
        raise ConfigError(
            f"{where}: {key}: expected {setting.allowed[1]}, found {value!r}"
        )
    return value


_KINDS = {int: "a whole number", float: "a number", str: "a text", list: "a list"}


def _check_items(key: str, items: list[Any], where: str) -> None:
    wanted = (int, float) if key == "entropy.alphas" else str
    for item in items:
        if not isinstance(item, wanted) or isinstance(item, bool):
            raise ConfigError(
                f"{where}: {key}: expected a list of "
                f"{'texts' if wanted is str else 'numbers'}, found {item!r} in it"
            )


_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_SENSOR_KEYS = ("name", "log_dirs", "archive_dir", "profile")


def _sensors(tables: Any, where: str) -> tuple[SensorConfig, ...]:
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise ConfigError(
            f"{where}: sensor: expected tables headed [[sensor]], found {tables!r}"
        )
    sensors = tuple(
        _sensor(table, f"{where}: sensor[{number}]")
        for number, table in enumerate(tables)
    )
    _check_differ([sensor.name for sensor in sensors], f"{where}: sensor names")
    return sensors


def _sensor(table: Mapping[str, Any], where: str) -> SensorConfig:
    for key in sorted(table.keys() - _SENSOR_KEYS):
        near = difflib.get_close_matches(key, _SENSOR_KEYS, n=1)
        hint = (
            f"did you mean {near[0]}?" if near else "one of " + ", ".join(_SENSOR_KEYS)
        )
        raise ConfigError(f"{where}.{key}: expected a known key, {hint}")
    name = _named(table.get("name"), f"{where}.name")
    directories = table.get("log_dirs")
    if not isinstance(directories, list) or not directories:
        raise ConfigError(
            f"{where}.log_dirs: expected a list of directories, found {directories!r}"
        )
    paths = tuple(_path(item, f"{where}.log_dirs") for item in directories)
    if len(paths) > 1:
        streams = [_named(path.name, f"{where}.log_dirs: {path}") for path in paths]
        _check_differ(streams, f"{where}.log_dirs: last parts")
    archive_dir, profile = (
        _path(table[key], f"{where}.{key}") if key in table else None
        for key in ("archive_dir", "profile")
    )
    return SensorConfig(name, paths, archive_dir, profile)


def _named(name: Any, where: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"{where}: expected a name of letters, digits, '.', '_' and '-', found "
            f"{name!r}"
        )
    return name


def _path(text: Any, where: str) -> Path:
    if not isinstance(text, str) or not text or "\0" in text:
        raise ConfigError(f"{where}: expected a directory, found {text!r}")
    return Path(text)


def _check_differ(names: list[str], where: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where}: expected them to differ, found {name} twice")


_FARTHEST_S = 1e11  # the year 5138


def utc_minute(text: str) -> int:
    """Read a UTC time, ISO 8601 or epoch seconds, down to its minute.

    Raises
    ------
    ConfigError
        When it is neither.

    Examples
    --------
    >>> utc_minute("2024-04-21T07:25"), utc_minute("1713684300")
    (1713684300, 1713684300)
    """
    try:
        stamp = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
            stamp = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
        except (ValueError, OverflowError) as err:
            raise ConfigError(
                f"expected a UTC time such as 2024-04-21T07:25 or epoch seconds, found "
                f"{text!r}"
            ) from err
    if not abs(stamp) < _FARTHEST_S:
        raise ConfigError(
            f"expected a UTC time such as 2024-04-21T07:25 or epoch seconds, found "
            f"{text!r}"
        )
    return int(stamp // MINUTE_S * MINUTE_S)
