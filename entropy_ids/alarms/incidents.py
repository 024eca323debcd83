"""Group verdicts of adjacent minutes into incidents; each change is a revision.

What an incident says depends on the log's minutes alone: no wall clock, no identity of
this process, so that a replay writes the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from entropy_ids.alarms.contributors import MOST_UIDS, leading
from entropy_ids.alarms.summary import summary
from entropy_ids.profile.signatures import UNNAMED
from entropy_ids.types import MINUTE_S, Alarm, Verdict

SEVERITIES = ("low", "medium", "high", "critical")
BASE_SEVERITY = {
    UNNAMED: 0,
    "flash-crowd": 0,
    "network-scan": 1,
    "port-scan": 1,
    "outage": 1,
    "point-to-multipoint": 1,
    "brute-force": 1,
    "dns-tunnel": 2,
    "dos": 2,
    "ddos": 2,
    "worm": 2,
    "exfiltration": 2,
}
STRONG, VERY_STRONG = 2.0, 5.0
"""Each of these multiples of the threshold that the score passes is one step up."""


def severity(class_name: str, ratio: float) -> str:
    """Rate an incident by its class and by score / threshold.

    Examples
    --------
    >>> severity("port-scan", 1.2), severity("port-scan", 3.0), severity("dos", 9.0)
    ('medium', 'high', 'critical')
    """
    step = (ratio >= STRONG) + (ratio >= VERY_STRONG)
    return SEVERITIES[min(BASE_SEVERITY[class_name] + step, len(SEVERITIES) - 1)]


def confidence(verdict: Verdict) -> float:
    """Say how sure a verdict is, from 0 to 1.

    0.3 for a score above the threshold, 0.3 for a class, 0.05 for each sign up to four,
    0.2 when the score is twice the threshold.
    """
    sure = 0.3 + 0.3 * (verdict.class_name != UNNAMED)
    sure += 0.05 * min(len(verdict.signs), 4)
    sure += 0.2 * (verdict.score >= STRONG * verdict.threshold)
    return round(sure, 2)


@dataclass
class Incident:
    """A running incident: its strongest verdict and what it has said last."""

    id: str
    start: int
    end: int
    strongest: Verdict
    class_name: str
    technique: tuple[str, ...]
    key: tuple[str, str]
    flows: int
    uids: tuple[str, ...]
    said: Alarm | None = None
    community_ids: tuple[str, ...] = ()

    def add(self, verdict: Verdict) -> None:
        """Take one more minute."""
        self.end = verdict.minute + MINUTE_S
        self.flows += verdict.flows
        self.uids = (self.uids + verdict.uids)[:MOST_UIDS]
        ids = self.community_ids + verdict.community_ids
        self.community_ids = ids[:MOST_UIDS]
        named = verdict.class_name != UNNAMED
        if verdict.score > self.strongest.score:
            self.strongest = verdict
        if named and (self.class_name == UNNAMED or self.strongest is verdict):
            self.class_name, self.technique = verdict.class_name, verdict.technique

    def takes(self, verdict: Verdict) -> bool:
        """Tell whether a minute belongs to this incident rather than to a new one."""
        values = {(c.feature, c.value) for c in verdict.contributors}
        return verdict.class_name == self.class_name or self.key in values


class Incidents:
    """The running incidents of one sensor.

    Parameters
    ----------
    sensor, detector, profile
        Named in every alarm.
    quiet_minutes
        Minutes of the log clock without an anomaly that close an incident.
    """

    def __init__(
        self, sensor: str, detector: str, profile: Mapping[str, str], quiet_minutes: int
    ) -> None:
        self.sensor = sensor
        self.detector = detector
        self.profile = profile
        self.quiet_minutes = quiet_minutes
        self._open: list[Incident] = []

    def state(self) -> list[Incident]:
        """Give a copy of what is running, in the order of beginning."""
        return [replace(incident) for incident in self._open]

    def restore(self, state: list[Incident]) -> None:
        """Go on from what was running when `state` was taken."""
        self._open = [replace(incident) for incident in state]

    def step(self, minute: int, verdict: Verdict | None) -> list[Alarm]:
        """Take a closed minute, anomalous or not; give the revisions that it makes."""
        alarms = self._close(minute - self.quiet_minutes * MINUTE_S, minute)
        if verdict is not None:
            alarms += self._take(verdict)
        return alarms + self._close(
            minute - (self.quiet_minutes - 1) * MINUTE_S, minute
        )

    def _take(self, verdict: Verdict) -> list[Alarm]:
        incident = next((i for i in self._open if i.takes(verdict)), None)
        if incident is None:
            incident = self._begin(verdict)
        else:
            incident.add(verdict)
        alarm = self._alarm(incident, "update" if incident.said else "open")
        if incident.said is None or _key(alarm) != _key(incident.said):
            return [self._say(incident, alarm)]
        return []

    def _close(self, limit: int, minute: int) -> list[Alarm]:
        """Close what ended by ``limit``, or lies ahead of a clock set back."""
        over = [i for i in self._open if i.end <= limit or i.start > minute]
        self._open = [incident for incident in self._open if incident not in over]
        return [self._say(i, self._alarm(i, "closed")) for i in over]

    def _begin(self, verdict: Verdict) -> Incident:
        top = leading(verdict.contributors)
        key = (top.feature, top.value) if top else ("", "")
        direction = top.direction if top else ""
        text = "\0".join([self.sensor, str(verdict.minute), direction, *key])
        incident = Incident(
            hashlib.sha256(text.encode()).hexdigest()[:16],
            verdict.minute,
            verdict.minute + MINUTE_S,
            verdict,
            verdict.class_name,
            verdict.technique,
            key,
            verdict.flows,
            verdict.uids,
            community_ids=verdict.community_ids,
        )
        self._open.append(incident)
        return incident

    def _alarm(
        self, incident: Incident, state: Literal["open", "update", "closed"]
    ) -> Alarm:
        strongest = incident.strongest
        ratio = strongest.score / max(strongest.threshold, 1e-300)
        alarm = Alarm(
            id=incident.id,
            revision=incident.said.revision + 1 if incident.said else 1,
            state=state,
            sensor=self.sensor,
            class_name=incident.class_name,
            severity=severity(incident.class_name, ratio),
            confidence=confidence(replace(strongest, class_name=incident.class_name)),
            start=incident.start,
            end=incident.end,
            detector=self.detector,
            score=strongest.score,
            threshold=strongest.threshold,
            deviations=strongest.deviations,
            contributors=strongest.contributors,
            uids=incident.uids,
            community_ids=incident.community_ids,
            flows=incident.flows,
            profile=self.profile,
            technique=incident.technique,
            summary="",
        )
        return replace(alarm, summary=summary(alarm))

    @staticmethod
    def _say(incident: Incident, alarm: Alarm) -> Alarm:
        incident.said = alarm
        return alarm


def _key(alarm: Alarm) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """Give what an update is written for: class, severity, first values."""
    first: dict[str, str] = {}
    for contributor in alarm.contributors:
        first.setdefault(contributor.feature, contributor.value)
    return alarm.class_name, alarm.severity, tuple(first.items())


def iso(minute: int) -> str:
    """Write a UTC time as ISO 8601.

    Examples
    --------
    >>> iso(1713684300)
    '2024-04-21T07:25:00Z'
    """
    return datetime.fromtimestamp(minute, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
