"""Rules of suppression in the daemon: another file counts from a minute on."""

from __future__ import annotations

from entropy_ids.alarms import rules
from entropy_ids.alarms.journal import Journal
from entropy_ids.alarms.suppression import Suppression
from entropy_ids.calendar import Calendar
from entropy_ids.decisions import RULES
from entropy_ids.duty import Change, Duty

Told = tuple[str, str]
"""The text of a file of rules, and the time zone that they are read in."""
NONE: Told = ("", "UTC")


def told(suppression: Suppression) -> Told:
    """Give what a checkpoint keeps of rules."""
    return suppression.text, suppression.calendar.timezone


def of(kept: Told) -> Suppression:
    """Read what a checkpoint kept."""
    text, timezone = kept
    return rules.of(text.encode(), "rules", Calendar(timezone))


def settle(
    duty: Duty,
    journal: Journal,
    sensor: str,
    minute: int,
    before: Suppression,
    now: Suppression,
) -> None:
    """Have the rules as they are now count from a minute on, if they are others.

    Parameters
    ----------
    minute
        The first one that is not closed.
    before
        What counts, or was decided to.
    """
    text, timezone = told(now)
    if told(before) != (text, timezone):
        row = {"minute": minute, "rules": text, "timezone": timezone}
        journal.append(RULES, sensor=sensor, **row)
        duty.change(Change(minute, suppression=now))
