"""Packets that Zeek did not see, as its capture_loss.log beside conn.log tells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from entropy_ids.types import MINUTE_S, Quality

NAME = "capture_loss.log"
MOST_PERCENT = 1.0
"""A network without loss shows some tenths of a percent, for acknowledgements whose
packets took another way; Zeek itself notices from 10 % on, when counts are wrong."""
LEAST_ACKS = 100
"""Among fewer acknowledgements a single gap would be over that."""
_HEAD_BYTES, _TAIL_BYTES = 4 << 10, 256 << 10
"""The header, and the rows of some days of 20 workers, where nothing rotates."""


@dataclass(frozen=True)
class _Loss:
    time_s: float
    peer: str
    acks: int
    percent: float


class Losses:
    """Looks for new rows of the capture_loss.log in some directories.

    Attributes
    ----------
    percent
        The largest share of the last measurement; None before any.
    """

    def __init__(self, log_dirs: Iterable[Path]) -> None:
        self.percent: float | None = None
        self._since_s = {directory / NAME: 0.0 for directory in log_dirs}

    def look(self) -> list[Quality]:
        """Read what is new; give a remark for each log that tells of much loss."""
        found = [rows for path in self._since_s if (rows := self._fresh(path))]
        if found:
            self.percent = max(map(_newest_percent, found))
        worst = [max(rows, key=lambda row: (row.percent, row.time_s)) for rows in found]
        return [_remark(row) for row in worst if row.percent > MOST_PERCENT]

    def _fresh(self, path: Path) -> list[_Loss]:
        rows = [row for row in _losses(path) if row.time_s > self._since_s[path]]
        if rows:
            self._since_s[path] = max(row.time_s for row in rows)
        return [row for row in rows if row.acks >= LEAST_ACKS]


def _newest_percent(rows: list[_Loss]) -> float:
    """Give the worst of the last measurement; peers write theirs within seconds."""
    since_s = max(row.time_s for row in rows) - MINUTE_S
    return max(row.percent for row in rows if row.time_s > since_s)


def _remark(worst: _Loss) -> Quality:
    detail = (
        f"{NAME}: expected at most {MOST_PERCENT:g} % of what was acknowledged to be "
        f"missed, found {worst.percent:.3g} % at {worst.peer}; counts are too low"
    )
    minute = int(worst.time_s // MINUTE_S) * MINUTE_S
    return Quality("packet-loss", minute, detail)


def _losses(path: Path) -> Iterator[_Loss]:
    """Give the rows that are whole and make sense."""
    fields: list[str] = []
    for line in _text(path).splitlines():
        if line.startswith("#"):
            fields = line.split("\t")[1:] if line.startswith("#fields") else fields
            continue
        try:
            yield _loss(_row(line, fields))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue


def _row(line: str, fields: list[str]) -> Mapping[str, object]:
    if line.startswith("{"):
        return dict(json.loads(line))
    return dict(zip(fields, line.split("\t"), strict=True))


def _loss(row: Mapping[str, object]) -> _Loss:
    percent = float(str(row["percent_lost"]))
    if not 0 <= percent <= 100:
        raise ValueError
    acks = int(str(row["acks"]))
    return _Loss(_seconds(str(row["ts"])), str(row["peer"]), acks, percent)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text).timestamp()


def _text(path: Path) -> str:
    """Give the beginning and the end of a file, whole lines; nothing without a file."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            gap = path.stat().st_size - _TAIL_BYTES > len(head)
            if gap:  # half a line on either side of it is no row
                file.seek(-_TAIL_BYTES, 2)
            data = head + b"\n" * gap + file.read()
    except OSError:
        return ""
    return data[: data.rfind(b"\n") + 1].decode(errors="replace")
