"""What a setting is, and what its value may be; the settings are its neighbours'."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Allowed = tuple[Callable[[Any], bool], str]
"""What a value must satisfy, and the words that say so."""


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes
    ----------
    trained
        True when a profile is made with it, so that only training can change it.
    allowed
        What its value may be, where not all of its type.
    """

    key: str
    default: Any
    unit: str
    reason: str
    trained: bool = False
    allowed: Allowed | None = None


def one_of(*names: str) -> Allowed:
    """Allow some words."""
    return lambda value: value in names, "one of " + ", ".join(names)


def between(low: float, high: float) -> Allowed:
    """Allow numbers from ``low`` to ``high``."""
    return lambda value: low <= value <= high, f"a number from {low:g} to {high:g}"


def _is_schedule(text: str) -> bool:
    """Tell a cron expression with names for its days, one that will come to pass."""
    from apscheduler.triggers.cron import CronTrigger

    if not re.fullmatch(r"(\S+ ){4}[a-z,*-]+", text, re.ASCII):
        return False
    try:
        trigger = CronTrigger.from_crontab(text, timezone=UTC)
    except ValueError:
        return False
    return bool(trigger.get_next_fire_time(None, datetime(2026, 1, 1, tzinfo=UTC)))


def _is_address(text: str) -> bool:
    found = re.fullmatch(r"([\w.-]+|\[[0-9a-fA-F:.]+\]):([0-9]{1,5})", text, re.ASCII)
    return found is not None and int(found[2]) < 1 << 16


def _is_collector(text: str) -> bool:
    kind, found, rest = text.partition("://")
    if kind == "unix":
        return rest.startswith("/") and "\0" not in rest
    return bool(found) and kind in ("udp", "tcp") and _is_address(rest)


SCHEDULE = (
    lambda text: text == "" or _is_schedule(text),
    "five cron fields, the last with names of days, such as '0 3 * * sun', or nothing",
)
ADDRESS = (
    lambda text: text == "" or _is_address(text),
    "an address such as 127.0.0.1:9474 or [::1]:9474, or nothing",
)
COLLECTOR = (
    lambda text: text == "" or _is_collector(text),
    "udp://host:port, tcp://host:port, unix:///path, or nothing",
)
FILE = (lambda text: "\0" not in text, "a file, or nothing")
DIRECTORY = (lambda text: text != "" and "\0" not in text, "a directory")
ALPHAS = (
    lambda value: len(value) > 0 and all(-20 <= order <= 20 for order in value),
    "numbers from -20 to 20",
)
