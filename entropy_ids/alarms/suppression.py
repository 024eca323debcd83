"""Expected behaviour: rules that mark alarms which nobody needs to look at.

A marked alarm is still written, with the rule's name. A rule looks at an alarm alone,
and at its incident's first minute: a replay of old logs gives the same marks, and an
incident that began in a window stays marked beyond it, until what it is changes.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from entropy_ids.calendar import DAYS, Calendar
from entropy_ids.types import Alarm

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_Features = dict[str, tuple[str, ...]]
_BY_FLOWS: _Features = {"source": ("orig_h", "orig_net"), "target": ("resp_h",)}
_BY_BYTES: _Features = {"source": ("orig_h_bytes",), "target": ("resp_h_bytes",)}
_ABOUT_BYTES = {"exfiltration"}
DAY_MIN = 24 * 60


@dataclass(frozen=True)
class Rule:
    """One ``[[rule]]``: an alarm is marked when it meets all that is given.

    Attributes
    ----------
    name
        Stands in ``suppressed_by``.
    owner, reason
        Who answers for it, and why it is.
    expires
        The last day (site time) on which it holds; None is never.
    sensors, classes
        Of which the alarm's is one; empty for any.
    sources, targets, addresses
        Networks that hold *every* source, every target, or all of either side that the
        alarm names: one stranger among them, and it is not marked.
    ports
        Such as ``22/tcp``, of which every port that the alarm names is one.
    hours
        First minute of the day and the first one after, in site time; the second is
        smaller when midnight lies between.
    days
        Names of weekdays; what begins before midnight belongs to its first day.
    since, until
        Epoch seconds, UTC.
    """

    name: str
    owner: str
    reason: str
    expires: dt.date | None
    sensors: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    sources: tuple[Network, ...] = ()
    targets: tuple[Network, ...] = ()
    addresses: tuple[Network, ...] = ()
    ports: tuple[str, ...] = ()
    hours: tuple[int, int] | None = None
    days: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None

    def marks(self, alarm: Alarm, local: pd.Timestamp) -> bool:
        """Tell whether it marks an alarm, whose start is also given in site time."""
        return self._at(alarm.start, local) and self._meets(alarm)

    def expired(self, day: dt.date) -> bool:
        """Tell whether it holds no more on a day."""
        return self.expires is not None and self.expires < day

    def _at(self, minute: int, local: pd.Timestamp) -> bool:
        if self.expired(local.date()):
            return False
        if self.since is not None and minute < self.since:
            return False
        if self.until is not None and minute >= self.until:
            return False
        of_day, day = local.hour * 60 + local.minute, local.day_of_week
        first, end = self.hours or (0, DAY_MIN)
        if first >= end:  # midnight lies between
            before = of_day < end
            inside, day = before or of_day >= first, (day - before) % len(DAYS)
        else:
            inside = first <= of_day < end
        return inside and (not self.days or DAYS[day] in self.days)

    def _meets(self, alarm: Alarm) -> bool:
        sources, targets = named(alarm, "source"), named(alarm, "target")
        ports = [c.value for c in alarm.contributors if c.feature == "resp_p"]
        held = self.addresses
        return (
            (not self.sensors or alarm.sensor in self.sensors)
            and (not self.classes or alarm.class_name in self.classes)
            and (not self.sources or _within(sources, self.sources))
            and (not self.targets or _within(targets, self.targets))
            and (not held or _within(sources, held) or _within(targets, held))
            and (not self.ports or (bool(ports) and set(ports) <= set(self.ports)))
        )


def named(alarm: Alarm, side: str) -> tuple[str, ...]:
    """Give the addresses or networks that an alarm names as ``source`` or ``target``.

    Those with too many connections. Those with too many bytes, when the class is about
    bytes or no address on either side has too many connections: who moves most bytes
    in the minute of a scan has nothing to do with it.
    """
    ways = [_BY_FLOWS, _BY_BYTES]
    if alarm.class_name in _ABOUT_BYTES:
        ways.reverse()
    told = {c.feature for c in alarm.contributors}
    way = next((way for way in ways if told & {*sum(way.values(), ())}), ways[0])
    values = (c.value for c in alarm.contributors if c.feature in way[side])
    return tuple(dict.fromkeys(values))


def network(text: str) -> Network | None:
    """Read an address or a network; None when it is neither.

    Examples
    --------
    >>> network("10.0.0.1"), network("10.0.0.0/8"), network("-")
    (IPv4Network('10.0.0.1/32'), IPv4Network('10.0.0.0/8'), None)
    """
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def _within(values: Iterable[str], networks: Sequence[Network]) -> bool:
    """Tell whether there are values, all of them in some network."""
    found = [network(value) for value in values]
    return bool(found) and all(
        one is not None and any(_holds(net, one) for net in networks) for one in found
    )


def _holds(outer: Network, inner: Network) -> bool:
    if isinstance(outer, ipaddress.IPv4Network):
        return isinstance(inner, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, ipaddress.IPv6Network) and inner.subnet_of(outer)


@dataclass(frozen=True)
class Suppression:
    """The rules of a site, in the order of their file, and its calendar.

    ``text`` is what they were read from, so that a journal can tell it.
    """

    rules: tuple[Rule, ...] = ()
    calendar: Calendar = field(default_factory=Calendar)
    text: str = ""

    def rule(self, alarm: Alarm) -> Rule | None:
        """Give the first rule that marks an alarm."""
        return next(iter(self.every(alarm)), None)

    def every(self, alarm: Alarm) -> list[Rule]:
        """Give all rules that would mark an alarm."""
        local = self.local(alarm.start)
        return [rule for rule in self.rules if rule.marks(alarm, local)]

    def mark(self, alarms: Iterable[Alarm]) -> list[Alarm]:
        """Give the alarms, those that a rule marks with its name."""
        return [
            replace(alarm, suppressed_by=rule.name)
            if (rule := self.rule(alarm))
            else alarm
            for alarm in alarms
        ]

    def local(self, minute: int) -> pd.Timestamp:
        """Give a minute in site time."""
        return pd.Timestamp(minute, unit="s", tz=self.calendar.timezone)


@dataclass(frozen=True)
class Tried:
    """What a rule would have done to alarms of the past.

    Attributes
    ----------
    hidden
        Newest revisions that it marks.
    attacks
        Those of them that are known to be true.
    """

    rule: Rule
    hidden: tuple[Alarm, ...]
    attacks: tuple[Alarm, ...]


def tried(
    suppression: Suppression, incidents: Iterable[Alarm], true: Iterable[str]
) -> list[Tried]:
    """Say what each rule by itself would have hidden.

    Parameters
    ----------
    incidents
        The newest revision of each.
    true
        Ids of those that are known to be attacks.
    """
    known = set(true)
    hidden: dict[str, list[Alarm]] = {rule.name: [] for rule in suppression.rules}
    for alarm in incidents:
        for rule in suppression.every(alarm):
            hidden[rule.name].append(alarm)
    return [
        Tried(rule, tuple(some), tuple(a for a in some if a.id in known))
        for rule in suppression.rules
        for some in [hidden[rule.name]]
    ]
