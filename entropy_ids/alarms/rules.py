"""The file of suppression rules: read, checked, and added to without touching a line.

What a rule means is the business of `entropy_ids.alarms.suppression`.
"""

from __future__ import annotations

import datetime as dt
import difflib
import ipaddress
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from entropy_ids.alarms import files
from entropy_ids.alarms.sinks import sanitize
from entropy_ids.alarms.suppression import (
    DAY_MIN,
    Network,
    Rule,
    Suppression,
    named,
)
from entropy_ids.calendar import DAYS, Calendar
from entropy_ids.config import Config
from entropy_ids.errors import ConfigError
from entropy_ids.profile.signatures import CLASSES
from entropy_ids.types import Alarm

NEVER = "never"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_ALWAYS = ("name", "owner", "reason", "expires")
_NARROW = ("sensor", "class", "source", "target", "address", "port")


def suppression(config: Config, site: Config | Mapping[str, Any]) -> Suppression:
    """Give the rules of the file that ``alarms.suppress`` names, if it names one.

    Parameters
    ----------
    site
        The settings that tell the site's time: those of the profile on duty.
    """
    path, calendar = config["alarms.suppress"], Calendar.of(site)
    return read(Path(path), calendar) if path else Suppression((), calendar)


def read(path: Path, calendar: Calendar) -> Suppression:
    """Read a file of rules.

    Raises
    ------
    ConfigError
        When there is no such file, it is no TOML, or a rule is not whole; the sentence
        says which and what it should be.
    """
    if not path.is_file():
        raise ConfigError(
            f"{path}: expected a file of suppression rules, found none; entropy-ids "
            "suppress add begins one"
        )
    return of(files.read(path), str(path), calendar)


def of(data: bytes, where: str, calendar: Calendar) -> Suppression:
    """Read rules from a file's bytes, or what a journal keeps of them."""
    return Suppression(parse(data, where), calendar, data.decode())


def parse(data: bytes, where: str) -> tuple[Rule, ...]:
    """Read rules from a file's bytes; ``where`` stands in sentences about them."""
    try:
        tables = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as err:
        raise ConfigError(f"{where}: expected TOML, found: {err}") from err
    rows = tables.pop("rule", [])
    if (
        tables
        or not isinstance(rows, list)
        or not all(isinstance(r, dict) for r in rows)
    ):
        raise ConfigError(
            f"{where}: expected nothing but tables headed [[rule]], found "
            f"{sanitize(', '.join(tables) or 'rule as something else')}"
        )
    rules = tuple(_rule(row, f"{where}: rule[{n}]") for n, row in enumerate(rows))
    for place, rule in enumerate(rules):
        if rule.name in {other.name for other in rules[:place]}:
            raise ConfigError(
                f"{where}: rule[{place}].name: expected names to differ, found "
                f"{rule.name} twice; rename one"
            )
    return rules


def _rule(row: Mapping[str, Any], where: str) -> Rule:
    for key in sorted(row.keys() - _KEYS.keys()):
        near = difflib.get_close_matches(key, _KEYS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(_KEYS)}"
        raise ConfigError(f"{where}.{sanitize(key)}: expected a known key, {hint}")
    for key in _ALWAYS:
        if key not in row:
            raise ConfigError(
                f"{where}.{key}: expected {_KEYS[key][2]}, found nothing; every rule "
                f"says {', '.join(_ALWAYS)}"
            )
    given = {_KEYS[k][0]: _value(k, value, f"{where}.{k}") for k, value in row.items()}
    rule = Rule(**given)
    if not row.keys() & {*_NARROW} and None in (rule.since, rule.until):
        raise ConfigError(
            f"{where}: expected one of {', '.join(_NARROW)}, or both from and until, "
            "found none: it would hide everything"
        )
    if rule.since is not None and rule.until is not None and rule.until <= rule.since:
        raise ConfigError(
            f"{where}.until: expected a time after from, found {row['until']} after "
            f"{row['from']}; change them round"
        )
    return rule


def _value(key: str, value: Any, where: str) -> Any:
    _, take, wanted = _KEYS[key]
    try:
        return take(value)
    except (ValueError, TypeError, OverflowError) as err:
        raise ConfigError(
            f"{where}: expected {wanted}, found {sanitize(repr(value))}"
        ) from err


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError
    return value


def _each(take: Callable[[str], Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Give what reads a text, or a list of texts that is not empty."""

    def read_all(value: Any) -> tuple[Any, ...]:
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not texts:
            raise ValueError
        return tuple(take(_text(text)) for text in texts)

    return read_all


def _class(text: str) -> str:
    if text not in CLASSES:
        raise ValueError
    return text


def _network(text: str) -> Network:
    return ipaddress.ip_network(text)


def _port(text: str) -> str:
    found = re.fullmatch(r"([0-9]{1,5})/(tcp|udp|icmp|sctp)", text)
    if found is None or int(found[1]) > 65_535:
        raise ValueError
    return text


def _day(text: str) -> str:
    if text not in DAYS:
        raise ValueError
    return text


def _hours(value: Any) -> tuple[int, int]:
    found = re.fullmatch(r"(\d\d):(\d\d)-(\d\d):(\d\d)", value, re.ASCII)
    if found is None:
        raise ValueError
    first, end = (
        60 * int(hour) + int(minute)
        for hour, minute in (found.groups()[:2], found.groups()[2:])
    )
    if first == end or first >= DAY_MIN or end > DAY_MIN:
        raise ValueError
    if int(found[2]) > 59 or int(found[4]) > 59:
        raise ValueError
    return first, end


def _time(value: Any) -> int:
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value)
    if not isinstance(value, dt.datetime):
        raise TypeError
    return int(value.replace(tzinfo=value.tzinfo or dt.UTC).timestamp())


def _expires(value: Any) -> dt.date | None:
    if value == NEVER:
        return None
    if isinstance(value, str):
        value = dt.date.fromisoformat(value)
    if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
        raise TypeError
    return value


_CLASSES = "one or a list of " + ", ".join(CLASSES)
_NETWORKS = (
    "an address or network such as 10.0.0.0/8 (no bit set behind its length), or a "
    "list of them"
)
_TIME = "a time such as 2026-03-07T22:00:00Z, UTC unless it says otherwise"
_KEYS: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "name": ("name", _name, "a name of letters, digits, '.', '_' and '-'"),
    "owner": ("owner", _text, "who answers for it"),
    "reason": ("reason", _text, "why it is"),
    "expires": ("expires", _expires, "its last day such as 2027-01-31, or 'never'"),
    "sensor": ("sensors", _each(str), "a sensor's name, or a list of them"),
    "class": ("classes", _each(_class), _CLASSES),
    "source": ("sources", _each(_network), _NETWORKS),
    "target": ("targets", _each(_network), _NETWORKS),
    "address": ("addresses", _each(_network), _NETWORKS),
    "port": ("ports", _each(_port), "a port such as 22/tcp, or a list of them"),
    "hours": ("hours", _hours, "site time such as '22:00-06:00'"),
    "days": ("days", _each(_day), f"one or a list of {', '.join(DAYS)}"),
    "from": ("since", _time, _TIME),
    "until": ("until", _time, _TIME),
}


def rule_of(alarm: Alarm, name: str, owner: str, reason: str, expires: str) -> str:
    """Write a rule that marks what is like an alarm, and little else.

    It asks for the same sensor and class, and for no other address or port than the
    alarm names.

    Raises
    ------
    ConfigError
        When the alarm names neither an address nor a port.
    """
    ports = [c.value for c in alarm.contributors if c.feature == "resp_p"]
    who = {side: list(named(alarm, side)) for side in ("source", "target")}
    who["port"] = ports
    if not any(who.values()):
        raise ConfigError(
            f"alarm {alarm.id}: expected addresses or ports to make a rule of, found "
            "none; write the rule by hand"
        )
    values = {"name": name, "owner": owner, "reason": reason, "expires": expires}
    values |= {"sensor": alarm.sensor, "class": alarm.class_name}
    lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
    lines += [
        f"{key} = [{', '.join(map(_toml, some))}]" for key, some in who.items() if some
    ]
    return "\n".join(["[[rule]]", *lines]) + "\n"


def _toml(text: str) -> str:
    """Write a text; what is sanitised needs no more escapes than JSON has."""
    return json.dumps(sanitize(text), ensure_ascii=False)


def add(path: Path, rule: str) -> Rule:
    """Append a rule to a file, which is made when there is none; give it as it reads.

    All that stands there already, comments too, stays as it is.

    Raises
    ------
    ConfigError
        When the file with the rule would not be one of rules; it is left alone.
    """
    before = files.read(path)
    gap = "" if not before else "\n" if before.endswith(b"\n") else "\n\n"
    added = parse(before + (gap + rule).encode(), str(path))[-1]
    files.append(path, (gap + rule).encode())
    return added
