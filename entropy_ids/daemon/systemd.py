"""What systemd is told: readiness, progress, and log lines with their priority."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from entropy_ids.alarms.sinks import sanitize

log = logging.getLogger(__name__)

REPEAT_S = 60.0
_MOST_KEPT = 256
_PATIENCE_S = 1.0
_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)


def notify(*lines: str) -> None:
    """Tell the service manager, if one listens, e.g. ``READY=1`` and ``STATUS=...``.

    Who listens is named by ``NOTIFY_SOCKET``; a manager that does not answer within a
    second is logged and left.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    message = "\n".join(sanitize(line) for line in lines).encode()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.settimeout(_PATIENCE_S)
            manager.sendto(message, address)
    except OSError as err:
        log.warning("NOTIFY_SOCKET: expected a manager that listens, found: %s", err)


def watchdog_s() -> float | None:
    """Give the seconds within which ``WATCHDOG=1`` is expected; None for no watchdog.

    Send it at least twice in that time, and only after real progress.
    """
    wanted = os.environ.get("WATCHDOG_USEC", "")
    of = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not wanted.isdecimal() or int(wanted) == 0 or of != str(os.getpid()):
        return None
    return int(wanted) / 1e6


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send all log lines from ``level`` on to stderr, and nowhere else.

    The journal gets a priority before each line, everyone else the time.
    """
    handler = StderrHandler()
    handler.setFormatter(JournalFormatter() if _is_journal() else PlainFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a poll may take long


def _is_journal(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether stderr is the stream that the journal reads.

    ``JOURNAL_STREAM`` names its device and inode, and is inherited by processes whose
    stderr is another one.
    """
    try:
        stream = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"


class PlainFormatter(logging.Formatter):
    """Time (UTC), level, logger and message, every line made harmless to print."""

    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ"
        )
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Keep a message on one line, with how often it was held back."""
        held = getattr(record, "held", 0)
        often = f" ({held} times more)" if held else ""
        return sanitize(super().formatMessage(record)) + often

    def formatException(self, ei: Any) -> str:
        """Make each line of a traceback harmless."""
        lines = super().formatException(ei).splitlines()
        return "\n".join(sanitize(line) for line in lines)


class JournalFormatter(PlainFormatter):
    """Priority, logger and message; the journal knows the time.

    Examples
    --------
    >>> record = logging.makeLogRecord({"name": "x", "levelno": 30, "msg": "odd"})
    >>> JournalFormatter().format(record)
    '<4>x: odd'
    """

    def __init__(self) -> None:
        super().__init__()
        self._style._fmt = "%(name)s: %(message)s"

    def format(self, record: logging.LogRecord) -> str:
        """Put the priority before every line, those of a traceback too."""
        found = (n for level, n in _PRIORITIES if record.levelno >= level)
        prefix = f"<{next(found, 7)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


class StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Write to stderr, equal messages at most once a minute.

    Parameters
    ----------
    now
        Seconds of a clock that never goes back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._seen: OrderedDict[tuple[str, int, str], tuple[float, int]] = OrderedDict()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or only count it; the next one written tells how many."""
        try:
            held = self._held(record)
        except Exception:
            self.handleError(record)
            return
        if held is not None:
            record.held = held
            super().emit(record)

    def _held(self, record: logging.LogRecord) -> int | None:
        """Give how many equal records were held back before; None to hold this too."""
        key = (record.name, record.levelno, record.getMessage())
        now = self._now()
        written, held = self._seen.pop(key, (now - REPEAT_S, 0))
        if now - written < REPEAT_S:
            self._seen[key] = (written, held + 1)
            return None
        self._seen[key] = (now, 0)
        if len(self._seen) > _MOST_KEPT:
            self._seen.popitem(last=False)
        return held
