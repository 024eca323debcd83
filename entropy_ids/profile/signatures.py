"""Name a minute by its signs; the names stand in a file that a SOC can edit."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from math import inf
from pathlib import Path
from typing import Protocol, get_args

from entropy_ids.errors import ConfigError
from entropy_ids.features.catalog import FEATURES, NAMED
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


@dataclass(frozen=True)
class Look:
    """What a strange minute looks like.

    Attributes
    ----------
    signs
        The sign of each feature and direction.
    sizes
        Its sizes (flows, fan-out, bytes ...), as plain numbers.
    named
        Feature → the values that the minute has too many of, the largest excess first:
        as few as make up half of it.
    """

    signs: Signs = field(default_factory=dict)
    sizes: Mapping[Place, float] = field(default_factory=dict)
    named: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Condition(Protocol):
    """Something that a minute meets or not."""

    def holds(self, look: Look, direction: str) -> bool:
        """Tell whether it does, as seen in one direction."""


@dataclass(frozen=True)
class HasSign:
    """A feature has a sign, in one direction or in whichever is tried.

    ``least`` is the number that a size must reach besides.
    """

    feature: str
    direction: str | None
    sign: str
    least: float = 0.0

    def holds(self, look: Look, direction: str) -> bool:
        """Tell whether a minute meets it."""
        place = (self.feature, self.direction or direction)
        return (
            look.signs.get(place) == self.sign
            and look.sizes.get(place, 0.0) >= self.least
        )


@dataclass(frozen=True)
class HasSize:
    """A size reaches a number, whether that is unusual or not."""

    feature: str
    direction: str | None
    least: float

    def holds(self, look: Look, direction: str) -> bool:
        """Tell whether a minute meets it."""
        place = (self.feature, self.direction or direction)
        return look.sizes.get(place, 0.0) >= self.least


COUNTS: dict[str, tuple[int, float]] = {
    "one": (1, 1),
    "few": (2, inf),
    "some": (1, inf),
    "none": (0, 0),
}
"""How many values make up half of what is too much."""


@dataclass(frozen=True)
class HasCount:
    """So many values of a feature stand out."""

    feature: str
    count: str

    def holds(self, look: Look, direction: str) -> bool:
        """Tell whether a minute meets it."""
        low, high = COUNTS[self.count]
        return low <= len(look.named.get(self.feature, ())) <= high


@dataclass(frozen=True)
class HasValue:
    """One of these values stands out."""

    feature: str
    values: tuple[str, ...]

    def holds(self, look: Look, direction: str) -> bool:
        """Tell whether a minute meets it."""
        return not set(self.values).isdisjoint(look.named.get(self.feature, ()))


@dataclass(frozen=True)
class Signature:
    """One class, and the conditions under which it is given."""

    class_name: str
    meaning: str
    technique: tuple[str, ...]
    all_of: tuple[Condition, ...]
    any_of: tuple[Condition, ...]
    none_of: tuple[Condition, ...]

    def fits(self, look: Look) -> bool:
        """Tell whether some direction meets all conditions."""
        return any(self._fits(look, direction) for direction in _TRY)

    def _fits(self, look: Look, direction: str) -> bool:
        def hold(conditions: tuple[Condition, ...]) -> list[bool]:
            return [condition.holds(look, direction) for condition in conditions]

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
    >>> name(Look(signs={place: "high"}, sizes={place: 812}), rules)
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


def name(look: Look, signatures: list[Signature]) -> tuple[str, tuple[str, ...]]:
    """Give the class of a minute and its ATT&CK techniques."""
    for signature in signatures:
        if signature.fits(look):
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
    word, _, values = rest.partition(" ")
    if place in NAMED and word in COUNTS and not values:
        return HasCount(place, word)
    if place in NAMED and word == "is" and values.split():
        return HasValue(place, tuple(values.split()))
    feature, dot, direction = place.partition(".")
    known = feature in FEATURES and (not dot or direction in DIRECTIONS)
    entropy = known and FEATURES[feature].kind == "distribution"
    number = float(values) if values.isascii() and values.isdigit() else None
    if known and word == "over" and not entropy and number is not None:
        return HasSize(feature, direction or None, number)
    if (
        not known
        or (word in _ENTROPY_SIGNS) != entropy
        or word not in get_args(Sign)
        or (values and (number is None or (entropy and number)))
    ):
        raise ConfigError(
            f"{where}: expected 'feature[.direction] sign' (for sizes: and a number, "
            f"or 'over NUMBER'), 'feature {'|'.join(COUNTS)}' or 'feature is VALUE' "
            f"with a feature of {', '.join(FEATURES)}, found {text!r}"
        )
    return HasSign(feature, direction or None, word, number or 0.0)
