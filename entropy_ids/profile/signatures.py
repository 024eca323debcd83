"""Name a minute by its signs; the names stand in a file that a SOC can edit."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import get_args

from entropy_ids.errors import ConfigError
from entropy_ids.features.catalog import FEATURES
from entropy_ids.types import DIRECTIONS, Sign

UNNAMED = "unnamed-change"
CLASSES = (
    "port-scan",
    "network-scan",
    "dos",
    "ddos",
    "worm",
    "brute-force",
    "dns-tunnel",
    "exfiltration",
    "point-to-multipoint",
    "flash-crowd",
    "outage",
    UNNAMED,
)
_KEYS = {"class", "meaning", "technique", "all", "any", "none"}
_ENTROPY_SIGNS = ("concentrated", "dispersed")
_TRY = (*DIRECTIONS[1:], DIRECTIONS[0])

Place = tuple[str, str]
"""A feature and a direction."""
Signs = Mapping[Place, Sign]
Sizes = Mapping[Place, float]


@dataclass(frozen=True)
class Condition:
    """A feature has a sign, in one direction or in whichever is tried.

    ``least`` is the number that a size must reach besides.
    """

    feature: str
    direction: str | None
    sign: str
    least: float = 0.0

    def holds(self, signs: Signs, sizes: Sizes, direction: str) -> bool:
        """Tell whether a minute meets it."""
        place = (self.feature, self.direction or direction)
        return signs.get(place) == self.sign and sizes.get(place, 0.0) >= self.least


@dataclass(frozen=True)
class Signature:
    """One class, and the conditions under which it is given."""

    class_name: str
    meaning: str
    technique: tuple[str, ...]
    all_of: tuple[Condition, ...]
    any_of: tuple[Condition, ...]
    none_of: tuple[Condition, ...]

    def fits(self, signs: Signs, sizes: Sizes) -> bool:
        """Tell whether some direction meets all conditions."""
        return any(self._fits(signs, sizes, direction) for direction in _TRY)

    def _fits(self, signs: Signs, sizes: Sizes, direction: str) -> bool:
        def hold(conditions: tuple[Condition, ...]) -> list[bool]:
            return [
                condition.holds(signs, sizes, direction) for condition in conditions
            ]

        return (
            all(hold(self.all_of))
            and (not self.any_of or any(hold(self.any_of)))
            and not any(hold(self.none_of))
        )


def default_text() -> str:
    """Give the signatures that come with the package."""
    return (
        resources.files("entropy_ids.profile").joinpath("signatures.toml").read_text()
    )


def parse_signatures(
    text: str, where: str | Path = "signatures.toml"
) -> list[Signature]:
    """Read signatures.

    Raises
    ------
    ConfigError
        When a class, feature, direction or sign does not exist.

    Examples
    --------
    >>> rules = parse_signatures(default_text())
    >>> place = ("pair_ports", "inbound")
    >>> name({place: "high"}, {place: 812}, rules)
    ('port-scan', ('T1046',))
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise ConfigError(f"{where}: expected TOML, found: {err}") from err
    entries = tables.pop("signature", [])
    if tables or not _are_tables(entries):
        raise ConfigError(
            f"{where}: expected only [[signature]] tables, found "
            f"{next(iter(tables), 'signature')} of another kind"
        )
    return [_signature(entry, str(where)) for entry in entries]


def _are_tables(entries: object) -> bool:
    return isinstance(entries, list) and all(isinstance(e, dict) for e in entries)


def name(
    signs: Signs, sizes: Sizes, signatures: list[Signature]
) -> tuple[str, tuple[str, ...]]:
    """Give the class of a minute and its ATT&CK techniques.

    Parameters
    ----------
    signs
        The minute's signs.
    sizes
        Its sizes (flows, fan-out, bytes ...), as plain numbers.
    """
    for signature in signatures:
        if signature.fits(signs, sizes):
            return signature.class_name, signature.technique
    return UNNAMED, ()


def _signature(entry: Mapping[str, object], where: str) -> Signature:
    unknown = set(entry) - _KEYS
    class_name = str(entry.get("class"))
    if unknown or class_name not in CLASSES or not entry.get("all"):
        raise ConfigError(
            f"{where}: expected signatures with class (one of {', '.join(CLASSES)}), "
            f"all, and perhaps any, none, meaning, technique; found {dict(entry)!r}"
        )
    all_of, any_of, none_of = (
        tuple(_condition(text, where) for text in _texts(entry, key, where))
        for key in ("all", "any", "none")
    )
    technique = tuple(_texts(entry, "technique", where))
    meaning = str(entry.get("meaning", ""))
    return Signature(class_name, meaning, technique, all_of, any_of, none_of)


def _texts(entry: Mapping[str, object], key: str, where: str) -> list[str]:
    values = entry.get(key, [])
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise ConfigError(f"{where}: {key}: expected a list of texts, found {values!r}")
    return values


def _condition(text: str, where: str) -> Condition:
    place, _, rest = text.partition(" ")
    sign, _, number = rest.partition(" ")
    least = number or "0"
    feature, dot, direction = place.partition(".")
    if (
        feature not in FEATURES
        or (dot and direction not in DIRECTIONS)
        or (sign in _ENTROPY_SIGNS) != (FEATURES[feature].kind == "distribution")
        or sign not in get_args(Sign)
        or not (least.isascii() and least.isdigit())
        or (int(least) and FEATURES[feature].kind == "distribution")
    ):
        raise ConfigError(
            f"{where}: expected 'feature[.direction] sign' (for sizes: and a number) "
            f"with a feature of {', '.join(FEATURES)}, found {text!r}"
        )
    return Condition(feature, direction or None, sign, float(least))
