"""What was decided of a sensor, as the journal tells: by wall time, or by a person.

A daemon writes these lines before it acts; it reads them after a kill, and a replay
reads them to do the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from entropy_ids.alarms import rules
from entropy_ids.alarms.suppression import Suppression
from entropy_ids.calendar import Calendar
from entropy_ids.duty import Change, Decided
from entropy_ids.errors import InputError
from entropy_ids.features.assembler import FAR, Lift
from entropy_ids.profile.store import Profile

START, DROP, RETURN = "start", "drop-stream", "return-stream"
PROFILE, CONFIG, RULES = "profile", "config", "rules"


@dataclass
class Decisions:
    """Decisions of one sensor, in their order.

    Attributes
    ----------
    first
        Hash of the profile on duty at the last start from nothing; empty for none.
    lifts
        From which row on a stream's rows count in which minute, or it is dropped.
    changes
        Minute, and the profile's hash, the quiet minutes or the rules of suppression
        from there on.
    """

    first: str = ""
    lifts: list[Lift] = field(default_factory=list)
    changes: list[tuple[int, str | None, int | None, Suppression | None]] = field(
        default_factory=list
    )

    @staticmethod
    def of(rows: Iterable[Mapping[str, Any]], sensor: str) -> Decisions:
        """Read a journal's lines.

        Raises
        ------
        InputError
            When a line lacks what its action needs.
        """
        made = Decisions()
        for number, row in enumerate(rows, 1):
            if row.get("sensor") == sensor:
                try:
                    made._take(row)
                except (KeyError, TypeError, ValueError) as err:
                    raise InputError(
                        f"journal, line {number}: expected a whole {row['action']} "
                        f"line, found {err} missing or odd"
                    ) from err
        return made

    @property
    def last(self) -> str:
        """The hash of the profile that was decided on last; empty for none."""
        names = [name for _, name, *_ in self.changes if name is not None]
        return names[-1] if names else self.first

    def _take(self, row: Mapping[str, Any]) -> None:
        action = row["action"]
        if action == START:  # rows are counted from here on
            self.first = str(row["profile"])
            self.lifts, self.changes = [], []
        elif action in (DROP, RETURN):
            minute = FAR if action == DROP else int(row["minute"])
            self.lifts.append(Lift(str(row["stream"]), int(row["rows"]), minute))
        elif action == PROFILE:
            self.changes.append((int(row["minute"]), str(row["hash"]), None, None))
        elif action == CONFIG:
            quiet = int(row["quiet_minutes"])
            self.changes.append((int(row["minute"]), None, quiet, None))
        elif action == RULES:
            calendar = Calendar(row["timezone"])
            found = rules.of(str(row["rules"]).encode(), "rules", calendar)
            self.changes.append((int(row["minute"]), None, None, found))

    def decided(self, find: Callable[[str], Profile], since: int = 0) -> Decided:
        """Give what is to be done from a minute on, with the profiles found."""
        changes = [
            Change(minute, None if name is None else find(name), quiet, expected)
            for minute, name, quiet, expected in self.changes
            if minute >= since
        ]
        return Decided(find(self.first) if self.first else None, changes, self.lifts)
