"""What a sensor counts since its state was begun, for status and metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from entropy_ids.alarms.sinks import sanitize
from entropy_ids.calendar import Calendar
from entropy_ids.duty import Judged
from entropy_ids.profile.store import Profile
from entropy_ids.types import DAY_MINUTES, Quality


@dataclass
class Tally:
    """Counts since the state was begun; a part of the checkpoint."""

    minutes: int = 0
    scored: int = 0
    incidents: int = 0
    alarms: dict[str, int] = field(default_factory=dict)
    open: int = 0
    last_alarm: str = ""
    last_minute: int = 0
    score: float | None = None
    recent: list[float] = field(default_factory=list)  # scores of about a day
    remarked_day: int = 0
    remarked_slots: dict[str, list[int]] = field(default_factory=dict)  # by profile

    def take(self, judged: Judged) -> None:
        """Count judged minutes."""
        scores = judged.table["score"].dropna()
        self.minutes += len(judged.table)
        self.scored += len(scores)
        self.last_minute = judged.last
        self.recent = [*self.recent, *map(float, scores)][-DAY_MINUTES:]
        self.score = float(scores.iloc[-1]) if len(scores) else self.score
        for alarm in judged.alarms:
            if alarm.state == "open":
                self.incidents += 1
                self.open += 1
                known = self.alarms.get(alarm.class_name, 0)
                self.alarms[alarm.class_name] = known + 1
            elif alarm.state == "closed":
                self.open -= 1
            self.last_alarm = sanitize(alarm.summary)

    def immature(self, judged: Judged, profile: Profile) -> list[Quality]:
        """Remark, once for each slot, that a minute was judged by borrowed bounds."""
        table = judged.table
        minutes = table.loc[table["score"] > table["threshold"], "minute"]
        if not len(minutes):
            return []
        settings = profile.manifest["settings"]
        known = self.remarked_slots.get(profile.hash, [])
        lent = profile.bounds.groupby("slot")["borrowed"].max()
        slots = Calendar.of(settings).slots(pd.DatetimeIndex(minutes))
        fresh = {int(slot) for slot in slots if lent[slot] > 0} - set(known)
        if fresh:
            self.remarked_slots = {profile.hash: sorted(fresh | set(known))}
        wanted = settings["judging.slot_minutes"]
        return [
            Quality(
                "immature-slot",
                judged.minute,
                f"{Calendar.name(slot)}: expected {wanted} minutes or more to judge "
                f"by, found fewer; its bounds borrow {lent[slot]} of other hours",
            )
            for slot in sorted(fresh)
        ]
