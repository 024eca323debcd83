"""Say in one sentence what an incident is: who did what to whom, and how unusual it is.

Figures are those of the incident's strongest minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from entropy_ids.alarms.contributors import leading, weight
from entropy_ids.profile.signatures import UNNAMED
from entropy_ids.types import MINUTE_S, Alarm, Deviation

MOST_NAMED = 2
MOST_OUTSIDE = 3


@dataclass(frozen=True)
class Saying:
    """How a class is put into words.

    ``{n}`` is the size ``feature``; ``{who}``, ``{whom}`` and ``{port}`` are
    contributors, ``{sender}`` and ``{receiver}`` those by bytes; ``{asker}``,
    ``{domain}`` and ``{guesser}`` are of other logs.
    """

    text: str
    feature: str
    unit: str = ""


SAYINGS: dict[str, tuple[Saying, ...]] = {
    "port-scan": (Saying("{who} tried {n} of {whom}", "pair_ports", "ports"),),
    "network-scan": (Saying("{who} tried {n} on {port}", "fan_out", "hosts"),),
    "worm": (Saying("{who} tried up to {n} each on {port}", "fan_out", "hosts"),),
    "point-to-multipoint": (Saying("{who} sent to {n} on {port}", "fan_out", "hosts"),),
    "dos": (Saying("{who} came {n} to {whom} on {port}", "max_pair", "times"),),
    "ddos": (Saying("{n} ({who}) flooded {whom} on {port}", "fan_in", "sources"),),
    "flash-crowd": (Saying("{n} came to {whom} on {port}", "fan_in", "visitors"),),
    "brute-force": (
        Saying("{guesser} failed to log in {n}", "max_failures", "times"),
        Saying("{who} knocked {n} at {whom} on {port}", "logins", "times"),
    ),
    "dns-tunnel": (
        Saying("{asker} asked for {n} below {domain}", "max_names", "names"),
        Saying("{who} asked {whom} {n} on {port}", "max_pair", "times"),
    ),
    "exfiltration": (Saying("{sender} sent {n} to {receiver}", "max_sent", "bytes"),),
    "outage": (Saying("only {n} came", "flows", "connections"),),
}
"""The first whose size is unusual is said, else the last."""


def summary(alarm: Alarm) -> str:
    """Say in one sentence what was seen."""
    minutes = (alarm.end - alarm.start) // MINUTE_S
    when = f"the worst of {minutes} minutes" if minutes > 1 else "one minute"
    sayings = SAYINGS.get(alarm.class_name, ())
    what, usual = _said(alarm, sayings) if sayings else _unnamed(alarm)
    name = alarm.class_name if alarm.class_name != UNNAMED else "unusual"
    parts = [f"{name}: {what} in {when}", usual, _outside(alarm)]
    return "; ".join(part for part in parts if part)


def _said(alarm: Alarm, sayings: Sequence[Saying]) -> tuple[str, str]:
    """Put a class into words; and what is usual."""
    known = [(one, _size(alarm.deviations, one.feature)) for one in sayings]
    saying, size = next((pair for pair in known if pair[1]), known[-1])
    names = {
        "who": _named(alarm, "orig_h", "orig_net"),
        "whom": _named(alarm, "resp_h"),
        "port": _named(alarm, "resp_p"),
        "sender": _named(alarm, "orig_h_bytes"),
        "receiver": _named(alarm, "resp_h_bytes"),
        "asker": _named(alarm, "dns_orig_h", "orig_h"),
        "domain": _named(alarm, "domain"),
        "guesser": _named(alarm, "login_orig_h", "orig_h"),
    }
    if size is None:
        few = "few" if alarm.class_name == "outage" else "many"
        return saying.text.format(n=f"{few} {saying.unit}", **names), ""
    least = size.sign == "low"
    bound = f"at {'least' if least else 'most'}"
    usual = f"usual {bound} {_count(size.low if least else size.high)}"
    return saying.text.format(n=f"{_count(size.value)} {saying.unit}", **names), usual


def _unnamed(alarm: Alarm) -> tuple[str, str]:
    top = leading(alarm.contributors)
    if top is None:
        return "no value stands out", ""
    share = f"{percent(top.share)} of {weight(top.feature)}"
    return f"{top.feature} {top.value} has {share}", f"usual {percent(top.usual_share)}"


def _size(deviations: Iterable[Deviation], feature: str) -> Deviation | None:
    """Give the largest of a size's deviations, over all directions."""
    same = [d for d in deviations if d.feature == feature and d.entropy == "log2"]
    return max(same, key=lambda d: abs(d.r), default=None)


def _count(log2: float) -> str:
    """Write what log2(1 + x) was taken of.

    Examples
    --------
    >>> _count(9.66), _count(0.0)
    ('808', '0')
    """
    return f"{max(0, round(2**log2 - 1)):,}"


def _named(alarm: Alarm, *features: str) -> str:
    """Name the contributors of the first of these features that has any."""
    for feature in features:
        values = [c.value for c in alarm.contributors if c.feature == feature]
        if values:
            more = len(values) - MOST_NAMED
            text = ", ".join(values[:MOST_NAMED])
            return f"{text} and {more} more" if more > 0 else text
    return _NOBODY[features[0]]


_NOBODY = {
    "orig_h": "no single source",
    "resp_h": "the usual hosts",
    "resp_p": "the usual ports",
    "orig_h_bytes": "no single host",
    "resp_h_bytes": "the usual hosts",
    "dns_orig_h": "no single source",
    "domain": "the usual domains",
    "login_orig_h": "no single source",
}


def _outside(alarm: Alarm) -> str:
    """Name the entropies that are farthest outside their bounds."""
    found: dict[str, str] = {}
    for d in sorted(alarm.deviations, key=lambda d: (-abs(d.r), d.feature)):
        if d.entropy != "log2":
            found.setdefault(d.feature, f"{d.feature} {d.sign} (r {d.r:.1f})")
    return ", ".join(list(found.values())[:MOST_OUTSIDE]) or "no single entropy outside"


def percent(share: float) -> str:
    """Write a share for people.

    Examples
    --------
    >>> percent(0.271), percent(0.002), percent(0)
    ('27%', '<1%', '0%')
    """
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"
