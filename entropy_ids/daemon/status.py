"""How the daemon is: a file that it writes, and what to make of it.

The daemon fills these in; nothing here asks the daemon itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from entropy_ids.errors import StateError

NAME = "status.json"
OK, WARNING, CRITICAL, UNKNOWN = range(4)
CODES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
"""What Nagios calls its exit codes."""

BEHIND_S = 600.0
FAR_BEHIND_S = 3600.0
_STALE_S = 60.0
_STALE_POLLS = 10
Time = Annotated[datetime, msgspec.Meta(tz=True)]
State = Literal["watching", "catching-up", "learning", "silent", "blocked"]


@dataclass(frozen=True)
class StreamStatus:
    """Where the reading of one logger's conn log stands.

    ``offset`` counts bytes of ``path``, unpacked; ``clock`` is the stream's log clock.
    """

    name: str
    path: str = ""
    offset: int = 0
    clock: Time | None = None


@dataclass(frozen=True)
class ProfileStatus:
    """The profile that a sensor is judged by, and the minutes it was trained on."""

    name: str
    hash: str
    first: Time
    last: Time


@dataclass(frozen=True)
class SensorStatus:
    """How one sensor is. Counts go back to the start of its state, times are UTC.

    Attributes
    ----------
    state
        ``watching``; ``catching-up`` with what was written before; ``learning``, when
        there is no profile yet; ``silent``, without rows for ``daemon.silence_min``;
        ``blocked``, when it cannot go on without a person (``problems`` say why).
    minute
        The last closed minute of the log clock.
    lag_s
        Wall clock less log clock.
    behind_bytes
        Unread bytes, as far as they are known.
    rows, rows_per_s
        Rows read, quarantined ones too.
    quarantined
        Rows that were not counted, by reason.
    minutes, scored
        Closed minutes, and those of them that have a score.
    score, threshold
        Of the last scored minute.
    incidents, incidents_open
        Incidents, and those of them that still run.
    alarms
        Incidents by the class of their first revision.
    last_alarm
        One line about the newest incident.
    candidates
        Hashes of trained profiles that ``profile use`` can take.
    maturity
        In words, how much of the week the profile knows.
    loss_percent
        Of what was acknowledged, the share that Zeek missed (capture_loss.log).
    problems
        Sentences for the operator.
    """

    name: str
    state: State
    minute: Time | None = None
    lag_s: float | None = None
    behind_bytes: int = 0
    rows: int = 0
    rows_per_s: float = 0.0
    quarantined: Mapping[str, int] = field(default_factory=dict)
    minutes: int = 0
    scored: int = 0
    score: float | None = None
    threshold: float | None = None
    incidents: int = 0
    incidents_open: int = 0
    alarms: Mapping[str, int] = field(default_factory=dict)
    last_alarm: str = ""
    profile: ProfileStatus | None = None
    candidates: tuple[str, ...] = ()
    maturity: str = ""
    streams: tuple[StreamStatus, ...] = ()
    loss_percent: float | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Status:
    """How the daemon is.

    Attributes
    ----------
    started, time, last_poll
        When it started, when this was written, and when the logs were last looked at.
    poll_s, poll_took_s
        The pause between polls as set, and the duration of the last poll.
    checkpoint_age_s
        Seconds from the last checkpoint to ``time``; None before the first.
    problems
        Sentences for the operator about the daemon as a whole.
    """

    version: str
    pid: int
    started: Time
    time: Time
    poll_s: float
    last_poll: Time
    poll_took_s: float = 0.0
    checkpoint_age_s: float | None = None
    sensors: tuple[SensorStatus, ...] = ()
    problems: tuple[str, ...] = ()


def moment(stamp: float) -> datetime:
    """Give a time from epoch seconds.

    Examples
    --------
    >>> f"{moment(1_713_684_300):%H:%M %Z}"
    '07:25 UTC'
    """
    return datetime.fromtimestamp(stamp, UTC)


def write(directory: Path, status: Status) -> None:
    """Write the status into the state directory, all or nothing.

    It is made anew within seconds, so it is not forced to the disk.
    """
    path = directory / NAME
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(status))
    new.replace(path)


def read(directory: Path) -> Status | None:
    """Read the status from the state directory; None when it was never written.

    Raises
    ------
    StateError
        When the file is no status.
    """
    path = directory / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Status)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise StateError(
            f"{path}: expected the status that entropy-ids run writes, found: {err}; "
            f"is the daemon of the same version?"
        ) from err


def stale_s(status: Status, least_s: float = _STALE_S) -> float:
    """Give the seconds after which a status, or a poll, is too old to be believed."""
    return max(least_s, _STALE_POLLS * status.poll_s)


def behind_s(sensor: SensorStatus) -> float:
    """Give how far a sensor is behind; 0 while it learns or has nothing to read.

    A quiet network writes no rows, and only rows move the log clock.
    """
    reads = sensor.behind_bytes > 0 or sensor.rows_per_s > 0
    if sensor.lag_s is None or sensor.state == "learning" or not reads:
        return 0.0
    return sensor.lag_s


_RULES: tuple[tuple[int, str, Callable[[SensorStatus], bool]], ...] = (
    (CRITICAL, "is blocked", lambda s: s.state == "blocked"),
    (CRITICAL, "is over an hour behind", lambda s: behind_s(s) > FAR_BEHIND_S),
    (WARNING, "is over 10 minutes behind", lambda s: behind_s(s) > BEHIND_S),
    (WARNING, "is silent", lambda s: s.state == "silent"),
    (WARNING, "has problems", lambda s: bool(s.problems)),
    (OK, "is learning", lambda s: s.state == "learning"),
    (OK, "is catching up", lambda s: s.state == "catching-up"),
)


def judge(status: Status | None, now: datetime, locked: bool) -> tuple[int, str]:
    """Judge the daemon as Nagios does: a code, and one line with performance data.

    Parameters
    ----------
    status
        What the daemon wrote last; None when it never did.
    now
        The wall clock.
    locked
        Whether a daemon runs (`entropy_ids.daemon.lock.is_locked`).

    Notes
    -----
    The worst finding counts; of one sensor the first one is told.

    ======== =====================================================================
    UNKNOWN  no status was ever written
    CRITICAL no daemon runs; its status is older than a minute and ten polls; every
             sensor is silent; a sensor is blocked, or over an hour behind
    WARNING  a sensor is over ten minutes behind, is silent, or has problems; the
             daemon has problems
    OK       everything else; a sensor that learns or catches up is named
    ======== =====================================================================
    """
    if status is None:
        found = "a daemon is starting" if locked else "no daemon has run"
        return UNKNOWN, f"UNKNOWN: {found} on this state directory"
    code, words = _judged(status, now, locked)
    return code, f"{CODES[code]}: {words} | {_performance(status)}"


def _judged(status: Status, now: datetime, locked: bool) -> tuple[int, str]:
    age_s = abs((now - status.time).total_seconds())
    if not locked:
        return CRITICAL, f"no daemon runs; it was last heard of {_ago(age_s)}"
    if age_s > stale_s(status):
        return CRITICAL, f"the daemon runs, but was last heard of {_ago(age_s)}"
    found = [
        (code, f"{sensor.name} {words}")
        for sensor in status.sensors
        for code, words in [_finding(sensor)]
        if words
    ]
    if status.sensors and all(s.state == "silent" for s in status.sensors):
        found.append((CRITICAL, "no sensor sends rows"))
    if status.problems:
        found.append((WARNING, "the daemon has problems"))
    worst = max((code for code, _ in found), default=OK)
    told = [words for _, words in sorted(found, key=lambda one: -one[0])]
    return worst, ", ".join([*told, _summary(status)])


def _finding(sensor: SensorStatus) -> tuple[int, str]:
    found = ((code, words) for code, words, holds in _RULES if holds(sensor))
    return next(found, (OK, ""))


def _summary(status: Status) -> str:
    count = len(status.sensors)
    words = [f"{count} sensor{'' if count == 1 else 's'}"]
    if clocks := [s.minute for s in status.sensors if s.minute is not None]:
        words.append(f"log clock {min(clocks):%H:%M} UTC")
    if lags := [s.lag_s for s in status.sensors if s.lag_s is not None]:
        words.append(f"{max(lags):.0f} s behind")
    return ", ".join(words)


def _performance(status: Status) -> str:
    """Give the figures of all sensors together, the largest lag, in Nagios' form."""
    sensors = status.sensors
    figures = {
        "rows": f"{sum(s.rows for s in sensors)}c",
        "quarantined": f"{sum(sum(s.quarantined.values()) for s in sensors)}c",
        "behind_bytes": f"{sum(s.behind_bytes for s in sensors)}B",
        "incidents_open": f"{sum(s.incidents_open for s in sensors)}",
    }
    if lags := [s.lag_s for s in sensors if s.lag_s is not None]:
        figures = {"lag_s": f"{max(lags):.0f}"} | figures
    if status.checkpoint_age_s is not None:
        figures["checkpoint_age_s"] = f"{status.checkpoint_age_s:.0f}"
    return " ".join(f"{name}={figure}" for name, figure in figures.items())


def _ago(seconds: float) -> str:
    """Say how long ago, e.g. ``12 min ago``."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
