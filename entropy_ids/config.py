"""Settings: each with a default, a unit and a reason; file < environment < ``--set``.

Settings stop at the pipeline's builder: below it are plain constructor arguments.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from entropy_ids.errors import ConfigError
from entropy_ids.types import MINUTE_S

ENVIRONMENT = "ENTROPY_IDS_"


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes
    ----------
    trained
        True when a profile is made with it, so that only training can change it.
    allowed
        What a value must satisfy, and the words that say so.
    """

    key: str
    default: Any
    unit: str
    reason: str
    trained: bool = False
    allowed: tuple[Callable[[Any], bool], str] | None = None


def _one_of(*names: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in names, "one of " + ", ".join(names)


def _between(low: float, high: float) -> tuple[Callable[[Any], bool], str]:
    return lambda value: low <= value <= high, f"a number from {low:g} to {high:g}"


_ALPHAS = (
    lambda value: len(value) > 0 and all(-20 <= order <= 20 for order in value),
    "numbers from -20 to 20",
)

SETTINGS: tuple[Setting, ...] = (
    Setting("site.name", "site", "", "names the sensor in alarms unless --sensor does"),
    Setting(
        "site.timezone",
        "UTC",
        "IANA name",
        "weekday, weekend and hour are the site's own",
        trained=True,
    ),
    Setting(
        "site.weekend", ["Sat", "Sun"], "days", "their rhythm is another", trained=True
    ),
    Setting(
        "site.holidays", [], "dates", "count as weekend, e.g. 2026-12-25", trained=True
    ),
    Setting(
        "site.local_networks",
        [],
        "CIDR",
        "directions; when empty Zeek's local_orig and local_resp tell",
        trained=True,
    ),
    Setting(
        "entropy.kind",
        "renyi",
        "",
        "raw entropies; Tsallis orders the same but grows to 1e12 at alpha -2",
        trained=True,
        allowed=_one_of("renyi", "tsallis"),
    ),
    Setting(
        "entropy.alphas",
        [-2, -1, 0, 1, 2],
        "",
        "the paper asks for positive and negative orders; below 0 rare values rule",
        trained=True,
        allowed=_ALPHAS,
    ),
    Setting(
        "entropy.rarefy_to",
        16,
        "connections",
        "sample of the volume-invariant columns; minutes with fewer have none",
        trained=True,
        allowed=_between(4, 1000),
    ),
    Setting(
        "detector.window_min",
        30,
        "minutes",
        "length of the sequences; 60 costs twice the time",
        trained=True,
        allowed=_between(2, 240),
    ),
    Setting(
        "detector.hidden",
        64,
        "units",
        "LSTM width; 128 costs three times the time",
        trained=True,
        allowed=_between(1, 1024),
    ),
    Setting(
        "detector.latent",
        32,
        "units",
        "the bottleneck, a third of the default columns",
        trained=True,
        allowed=_between(1, 1024),
    ),
    Setting(
        "detector.join",
        "mahalanobis",
        "",
        "how residuals become one score: on three days of a real host (README) "
        "mahalanobis finds both bursts, mean-square (the paper) neither",
        trained=True,
        allowed=_one_of("mahalanobis", "mean-square", "whitened"),
    ),
    Setting(
        "training.epochs",
        20,
        "passes",
        "at most; stops early when held-out loss no longer falls",
        trained=True,
        allowed=_between(1, 1000),
    ),
    Setting(
        "training.pass_sequences",
        16384,
        "sequences",
        "drawn for one pass, at most: neighbours overlap by 29 of 30 minutes",
        trained=True,
        allowed=_between(1, 10_000_000),
    ),
    Setting(
        "training.patience",
        3,
        "passes",
        "passes without a better held-out loss before it stops",
        trained=True,
        allowed=_between(1, 1000),
    ),
    Setting(
        "training.batch",
        128,
        "sequences",
        "sequences per step of the optimiser; 256 is no faster",
        trained=True,
        allowed=_between(1, 4096),
    ),
    Setting(
        "training.learning_rate",
        1e-3,
        "",
        "Adam's usual step",
        trained=True,
        allowed=_between(1e-6, 1.0),
    ),
    Setting(
        "training.seed",
        1,
        "",
        "same seed, same logs, same profile hash",
        trained=True,
        allowed=_between(0, 2**31 - 1),
    ),
    Setting(
        "training.threads",
        2,
        "threads",
        "part of the result: sums are split by thread",
        trained=True,
        allowed=_between(1, 64),
    ),
    Setting(
        "threshold.top_percent",
        0.2,
        "% of minutes",
        "training minutes above it: by construction 2.9 normal minutes a day",
        trained=True,
        allowed=_between(0.001, 50.0),
    ),
    Setting(
        "judging.margin",
        "span",
        "",
        "bounds widen by a share of max - min; scale free, and the paper's at k = 1",
        trained=True,
        allowed=_one_of("span"),
    ),
    Setting(
        "judging.k",
        1.25,
        "",
        "margin (k - 1)(max - min) on both sides: at 1.1 0.2 % of normal signs are "
        "false, at 1.25 none were seen",
        trained=True,
        allowed=_between(1.0, 2.0),
    ),
    Setting(
        "judging.slot_minutes",
        120,
        "minutes",
        "an hour slot with fewer borrows from its neighbours and says so: a normal "
        "minute falls outside the bounds of n with chance 2/(n + 1)",
        trained=True,
        allowed=_between(1, 100_000),
    ),
    Setting(
        "incidents.quiet_minutes",
        5,
        "minutes",
        "normal minutes of the log clock that close an incident",
        allowed=_between(1, 1440),
    ),
    Setting(
        "reading.block_kib",
        4096,
        "KiB",
        "read at once; 8192 is no faster and takes 50 MB more",
        allowed=_between(1, 1 << 20),
    ),
)
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
