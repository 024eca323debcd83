"""The journal: what was decided beside the logs, so that a replay can decide it again.

What its actions mean is the business of those who write and read them.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from entropy_ids.alarms import files
from entropy_ids.alarms.sinks import sanitize
from entropy_ids.errors import InputError

log = logging.getLogger(__name__)
_BEGINS = b'{"time": '
_SHOWN = 60


class Journal:
    """``journal.jsonl``: an action a line, on disk before it is acted upon.

    A last line that a kill cut short was never acted upon: it is taken off, which is
    logged.

    Parameters
    ----------
    path
        The file; its directory is there.

    Raises
    ------
    ConfigError
        When it is no regular file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._alone = threading.Lock()  # trainings are journalled beside the polls
        data = files.read(path)
        self._size = data.rfind(b"\n") + 1
        if self._size < len(data):
            log.warning("%s: took off half a line at its end", path)
            os.truncate(path, self._size)

    def append(self, action: str, /, **fields: Any) -> None:
        """Write an action; it is on disk when this returns.

        Raises
        ------
        OSError
            When it could not be written; then it must not be acted upon.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        row = {"time": now.replace("+00:00", "Z"), "action": action} | fields
        line = (json.dumps(row) + "\n").encode()
        with self._alone:
            self._append(line)

    def _append(self, line: bytes) -> None:
        try:
            files.append(self._path, line)
            files.sync(self._path)
            if not self._size:
                files.sync_directory(self._path.parent)
        except OSError:
            with suppress(OSError):
                os.truncate(self._path, self._size)
            raise
        self._size += len(line)


def read(path: Path) -> list[dict[str, Any]]:
    """Give the actions of a journal in their order; half a line at the end is none.

    Raises
    ------
    InputError
        When there is no such file, or it is no journal.
    """
    try:
        data = path.read_bytes()
    except OSError as err:
        raise _no_journal(str(path), str(err.strerror)) from err
    if not data.startswith(_BEGINS[: len(data)]):
        raise _no_journal(f"{path}:1", _shown(data))
    held = files.lines(data)
    return [_action(line, f"{path}:{place}") for place, line in enumerate(held, 1)]


def _action(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if isinstance(row, dict) and {"time", "action"} <= row.keys():
        return row
    raise _no_journal(where, _shown(line))


def _shown(data: bytes) -> str:
    return sanitize(data[:_SHOWN].decode(errors="replace"))


def _no_journal(where: str, found: str) -> InputError:
    return InputError(
        f"{where}: expected a line of a journal, with time and action, found: {found}; "
        "give the journal.jsonl of a daemon's state directory"
    )
