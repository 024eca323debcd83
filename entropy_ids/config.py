"""The values of settings: file < environment < ``--set``.

Settings stop at the pipeline's builder: below it are plain constructor arguments.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from entropy_ids.errors import ConfigError
from entropy_ids.settings import SETTINGS
from entropy_ids.types import MINUTE_S

ENVIRONMENT = "ENTROPY_IDS_"


_BY_KEY = {setting.key: setting for setting in SETTINGS}


class Config:
    """The value of every setting, and which were given rather than left as they are.

    Examples
    --------
    >>> config = Config.load(overrides=["judging.k=1.5"], environment={})
    >>> config["judging.k"], config["entropy.kind"], sorted(config.given)
    (1.5, 'renyi', ['judging.k'])
    """

    def __init__(self, given: Mapping[str, tuple[Any, str]]) -> None:
        self._values = {setting.key: setting.default for setting in SETTINGS}
        self.given: set[str] = set()
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
        given: dict[str, tuple[Any, str]] = {}
        if path is not None:
            given |= {
                key: (value, str(path)) for key, value in _from_file(path).items()
            }
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
        return Config(given)

    def trained(self) -> dict[str, Any]:
        """Give the settings that a profile is made with."""
        return {s.key: self[s.key] for s in SETTINGS if s.trained}


def _from_file(path: Path) -> dict[str, Any]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise ConfigError(
            f"{path}: expected a readable configuration file, found: {err.strerror}"
        ) from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise ConfigError(f"{path}: expected TOML, found: {err}") from err
    flat: dict[str, Any] = {}
    for section, values in tables.items():
        if not isinstance(values, dict):
            raise ConfigError(
                f"{path}: expected sections such as [site], found {section} outside one"
            )
        flat |= {f"{section}.{key}": value for key, value in values.items()}
    return flat


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
