"""A profile as it stands: its own threshold, its own alarms, label by label."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from entropy_ids.evaluate.labels import Label
from entropy_ids.evaluate.measures import Bools, Estimate, rate
from entropy_ids.evaluate.sightings import AFTER_S, Sighting
from entropy_ids.evaluate.truth import Truth
from entropy_ids.types import MINUTE_S, Alarm

ACCEPTED = {"worm": {"network-scan"}}
"""Alarm classes besides its own that name a label: hosts that scan one port, if few."""
_FLOODS = {"dos", "ddos"}
_ADDRESSED = (
    "orig_h",
    "resp_h",
    "orig_net",
    "orig_h_bytes",
    "resp_h_bytes",
    "dns_orig_h",
    "login_orig_h",
)
MISSED, NORMAL = "missed", "(normal)"


@dataclass(frozen=True)
class Outcome:
    """What became of one label.

    Attributes
    ----------
    minutes
        Minutes that count its rows; 0 is an attack that the logs do not show.
    first
        The first of them, epoch seconds.
    delay_min
        From there to the first minute above the threshold.
    alarm_class
        Of the strongest incident over it.
    named
        That class is one that is accepted for the label.
    attributed
        That incident names one who took part; None when the label names none.
    """

    label: Label
    minutes: int
    first: int | None
    found: bool
    delay_min: int | None
    alarm_class: str | None
    named: bool
    attributed: bool | None


@dataclass(frozen=True)
class Tally:
    """Outcomes of one kind, added up.

    Attributes
    ----------
    unseen
        Labels that no row of the logs was counted for; not in ``attacks``.
    addressed
        Found, and the label says who took part.
    """

    attacks: int
    unseen: int
    found: int
    delay_min: float | None
    named: int
    attributed: int
    addressed: int


@dataclass(frozen=True)
class Deployed:
    """A profile's own alarms, held against the labels."""

    threshold: float
    outcomes: tuple[Outcome, ...]
    days: float
    false_incidents: int
    false_per_day: Estimate
    confusion: dict[str, dict[str, int]]


def judge(
    truth: Truth, above: Bools, alarms: Sequence[Alarm], threshold: float
) -> Deployed:
    """Hold a profile's alarms against the labels.

    Parameters
    ----------
    above
        Which scored minutes lie above the threshold.
    alarms
        The newest revision of every incident.
    """
    outcomes = tuple(_outcome(s, truth, above, alarms) for s in truth.sightings)
    false = [a for a in alarms if not any(_after(s, a) for s in truth.sightings)]
    pairs = [
        (o.label.class_name, o.alarm_class or MISSED) for o in outcomes if o.minutes
    ]
    pairs += [(NORMAL, alarm.class_name) for alarm in false]
    confusion: dict[str, dict[str, int]] = {}
    for (label, alarm), number in sorted(Counter(pairs).items()):
        confusion.setdefault(label, {})[alarm] = number
    false_per_day = rate(len(false), truth.days)
    return Deployed(
        threshold, outcomes, truth.days, len(false), false_per_day, confusion
    )


def tally(outcomes: Sequence[Outcome]) -> Tally:
    """Add outcomes up."""
    seen = [o for o in outcomes if o.minutes]
    found = [o for o in seen if o.found]
    delays = [o.delay_min for o in found if o.delay_min is not None]
    return Tally(
        attacks=len(seen),
        unseen=len(outcomes) - len(seen),
        found=len(found),
        delay_min=float(np.median(delays)) if delays else None,
        named=sum(o.named for o in found),
        attributed=sum(bool(o.attributed) for o in found),
        addressed=sum(o.attributed is not None for o in found),
    )


def accepted(label: Label) -> set[str]:
    """Give the alarm classes that name a label.

    Examples
    --------
    >>> sorted(accepted(Label(0, 0, "dos", name="httpflood-low")))
    ['ddos', 'dos']
    """
    also = ACCEPTED.get(label.class_name, set())
    if label.class_name in _FLOODS and "http" in label.name:  # sources: few, or many
        also = _FLOODS
    return {label.class_name} | also


def _outcome(
    sighting: Sighting, truth: Truth, above: Bools, alarms: Sequence[Alarm]
) -> Outcome:
    label = sighting.label
    hits = truth.minutes[above & np.isin(truth.minutes, sighting.finding)]
    over = [alarm for alarm in alarms if len(hits) and _over(sighting, alarm)]
    strongest = max(over, key=lambda alarm: alarm.score, default=None)
    class_name = strongest.class_name if strongest else None
    first = int(sighting.minutes[0]) if len(sighting.minutes) else None
    return Outcome(
        label=label,
        minutes=len(sighting.minutes),
        first=first,
        found=len(hits) > 0,
        delay_min=(int(hits.min()) - (first or 0)) // MINUTE_S if len(hits) else None,
        alarm_class=class_name,
        named=class_name in accepted(label),
        attributed=names(strongest, label) if label.networks else None,
    )


def _over(sighting: Sighting, alarm: Alarm) -> bool:
    """Tell whether an incident lies over the minutes that find a label."""
    first, last = sighting.span
    return alarm.start <= last + MINUTE_S and alarm.end > first


def _after(sighting: Sighting, alarm: Alarm) -> bool:
    """Tell whether an incident touches a label or the minutes after it."""
    first, last = sighting.span
    return alarm.start <= last + AFTER_S and alarm.end > first


def names(alarm: Alarm | None, label: Label) -> bool:
    """Tell whether an alarm's contributors name one who took part."""
    found = alarm.contributors if alarm else ()
    values = [_network(c.value) for c in found if c.feature in _ADDRESSED]
    return any(
        value.overlaps(taking_part)
        for value in values
        if value
        for taking_part in label.networks
    )


def _network(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:  # text that is no address: names nobody
        return None
