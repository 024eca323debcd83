"""The log clock: which minute a row belongs to, from the bytes of the log alone.

``ts`` in conn.log is when a connection began, and its row is written up to an hour
later. So rows are binned by a clock that only rows move: the running maximum of their
ends, per stream, through all its files. Nothing is ever late, and live and replay
agree. Putting several streams together is left to `entropy_ids.features.assembler`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entropy_ids.collector.schema import end_us
from entropy_ids.types import MINUTE_S, BadRow, FlowBatch, Quality

_S = 1_000_000
MINUTE_US = MINUTE_S * _S

FUTURE_US = 120 * _S
"""A row that ends further beyond the clock than this needs support by later rows."""
SUPPORT_US = 60 * _S
SUPPORTERS = 2
FOLLOWERS = 8
"""Two of the next eight rows end no earlier than 60 s before the row: then it is true.
On five real sets (134,000 rows, 2,061 jumps) this quarantines one row."""
STALE_US = 24 * 3600 * _S
"""Rows that end further behind the clock than this are quarantined; Zeek's longest
timer is an hour."""
SET_BACK_US = 3_900 * _S
SET_BACK_ROWS = 64
"""So many rows in a row this far behind mean that the sensor's clock was set back:
3,600 s is Zeek's longest inactivity timer, 300 s its usual one."""
SETTLE_ROWS = 64
"""A clock that starts in the middle of a log settles on so many rows."""
NEW_START_US = 7 * 24 * 3600 * _S
"""After a week without a row the clock starts anew instead of counting silence."""


OLD_US = 330 * _S
"""Zeek holds an idle TCP connection for 300 s; older rows are seen when Zeek stops."""
_STRIDE_ROWS = 4_096


@dataclass(frozen=True)
class Stamped:
    """Rows with their minutes.

    Attributes
    ----------
    frame
        The rows of one batch that were taken, with ``minute`` (of the log clock) and
        ``old`` (ended over 330 s before that minute began).
    epoch
        Grows by one where the clock was anchored anew.
    settled
        The first minute of this epoch that can be whole.
    """

    frame: pl.DataFrame
    epoch: int
    settled: int


@dataclass
class LogClock:
    """The clock of one stream.

    `push` takes batches in file order and gives back the rows whose minute is certain;
    a few rows may be held until the next call. `finish` gives back the rest. It is
    plain data: a copy of it goes on from where it stands.
    """

    clock_us: int | None = None
    epoch: int = -1
    settled: int = 0
    quarantined: list[tuple[BadRow, int]] = field(default_factory=list)
    quality: list[Quality] = field(default_factory=list)
    held: list[tuple[pl.DataFrame, str]] = field(default_factory=list)

    def push(self, batch: FlowBatch) -> list[Stamped]:
        """Take rows; give back those whose minute is certain."""
        return self._run([*self.held, (batch.frame, batch.path)], final=False)

    def finish(self) -> list[Stamped]:
        """Take the held rows, as at the end of a replay."""
        return self._run(self.held, final=True)

    @property
    def minute(self) -> int | None:
        """The minute that the clock stands in."""
        return None if self.clock_us is None else _minute(self.clock_us)

    def _run(
        self, parts: list[tuple[pl.DataFrame, str]], *, final: bool
    ) -> list[Stamped]:
        parts = [part for part in parts if part[0].height]
        if not parts:
            return []
        ends = np.concatenate([end_us(frame).to_numpy() for frame, _ in parts])
        run = _Run(ends, self, final=final)
        run.go()
        self.held = _rest(parts, run.done)
        self._report(parts, run)
        return _stamp(parts, run)

    def _report(self, parts: list[tuple[pl.DataFrame, str]], run: _Run) -> None:
        starts = np.cumsum([0] + [frame.height for frame, _ in parts])
        for row, reason in run.refused:
            part = int(np.searchsorted(starts, row, side="right")) - 1
            frame, path = parts[part]
            line = int(frame["line"][int(row - starts[part])])
            behind_s = (run.clock_at[row] - run.ends[row]) / _S
            detail = (
                f"the row ends {abs(behind_s):.0f} s "
                f"{'behind' if behind_s > 0 else 'beyond'} the log's clock"
            )
            minute = _minute(int(run.clock_at[row]))
            self.quarantined.append((BadRow(path, line, reason, detail), minute))


class _Run:
    """One pass over rows: a clock and an epoch for each, or a reason to refuse it."""

    def __init__(
        self, ends: NDArray[np.int64], clock: LogClock, *, final: bool
    ) -> None:
        self.ends = ends
        self.state = clock
        self.final = final
        self.clock_at = np.zeros(len(ends), np.int64)
        self.taken = np.zeros(len(ends), bool)
        self.epochs: list[tuple[int, int, int]] = []  # first row, epoch, settled minute
        self.refused: list[tuple[int, str]] = []
        self.done = 0
        if clock.clock_us is not None:
            self.epochs.append((0, clock.epoch, clock.settled))

    def go(self) -> None:
        """Take rows until the end, or until a decision needs rows not yet read."""
        going = True
        while going and self.done < len(self.ends):
            going = self._settle() if self.state.clock_us is None else self._advance()

    def _settle(self) -> bool:
        """Start an epoch at the least end of the first rows, stray times left aside."""
        if len(self.ends) - self.done < SETTLE_ROWS and not self.final:
            return False
        first = np.sort(self.ends[self.done : self.done + SETTLE_ROWS])
        gaps = np.flatnonzero(np.diff(first) > NEW_START_US) + 1
        groups = np.split(first, gaps)
        first = max(groups, key=len)
        self.state.clock_us = int(first[0])
        reach = int(first[-min(len(first), 1 + SUPPORTERS)])
        for end in first[first > reach]:  # what needs no support may lead the clock
            reach = int(end) if end <= reach + FUTURE_US else reach
        self._begin(_minute(reach) + MINUTE_S)
        return True

    def _advance(self) -> bool:
        """Take rows up to the first that needs a decision, and decide on it."""
        clock = self._clock()
        ends = self.ends[self.done : self.done + _STRIDE_ROWS]
        running = np.maximum.accumulate(np.maximum(ends, clock))
        before = np.concatenate(([clock], running[:-1]))
        jump = _first(ends > before + FUTURE_US)
        behind = _first(ends < before - SET_BACK_US)
        stop = min(jump, behind)
        if stop:
            where = slice(self.done, self.done + stop)
            self.clock_at[where] = running[:stop]
            self.taken[where] = True
            self.state.clock_us = int(running[stop - 1])
            self.done += stop
        if stop == len(ends):
            return True
        return self._decide_future() if stop == jump else self._decide_behind()

    def _decide_future(self) -> bool:
        """Take a row from the future when the next rows support it, else refuse it."""
        row = self.done
        followers = self.ends[row + 1 : row + 1 + FOLLOWERS]
        support = int((followers >= self.ends[row] - SUPPORT_US).sum())
        true = support >= SUPPORTERS
        if not true and len(followers) < FOLLOWERS:
            if not self.final:
                return False
            true = support == len(followers)
        if not true:
            self._refuse(row, "future")
        else:
            if self.ends[row] - self._clock() > NEW_START_US:
                self._step(int(self.ends[row]))
                self._begin(_minute(int(self.ends[row])) + MINUTE_S)
            self.clock_at[row] = self.state.clock_us = int(self.ends[row])
            self.taken[row] = True
            self.done += 1
        return True

    def _decide_behind(self) -> bool:
        """Tell a clock that was set back from single late rows."""
        run = self.ends[self.done : self.done + SET_BACK_ROWS]
        late = _first(run >= self._clock() - SET_BACK_US)
        if late == SET_BACK_ROWS:
            self._step(int(np.median(run)))
            self.state.clock_us = None
        elif late < len(run) or self.final:
            self._take_late(late)
        else:
            return False
        return True

    def _take_late(self, rows: int) -> None:
        clock = self._clock()
        for row in range(self.done, self.done + rows):
            if self.ends[row] < clock - STALE_US:
                self._refuse(row, "stale")
            else:
                self.clock_at[row] = clock
                self.taken[row] = True
                self.done += 1

    def _refuse(self, row: int, reason: str) -> None:
        self.clock_at[row] = self._clock()
        self.refused.append((row, reason))
        self.done += 1

    def _begin(self, settled: int) -> None:
        self.state.epoch += 1
        self.state.settled = settled
        self.epochs.append((self.done, self.state.epoch, settled))

    def _step(self, to_us: int) -> None:
        step_s = int(to_us - self._clock()) // _S
        minute = _minute(self._clock())
        detail = (
            f"the log's clock went {'on' if step_s > 0 else 'back'} by {abs(step_s)} s"
        )
        self.state.quality.append(Quality("clock-stepped", minute, detail))

    def _clock(self) -> int:
        assert self.state.clock_us is not None
        return self.state.clock_us


def _minute(us: int) -> int:
    return us // MINUTE_US * MINUTE_S


def _first(mask: NDArray[np.bool_]) -> int:
    """Give the position of the first True, or the length."""
    where = int(mask.argmax()) if len(mask) else 0
    return where if len(mask) and mask[where] else len(mask)


def _rest(
    parts: list[tuple[pl.DataFrame, str]], done: int
) -> list[tuple[pl.DataFrame, str]]:
    rest = []
    for frame, path in parts:
        if done < frame.height:
            rest.append((frame.slice(max(0, done)), path))
        done -= frame.height
    return rest


def _stamp(parts: list[tuple[pl.DataFrame, str]], run: _Run) -> list[Stamped]:
    frame = pl.concat([frame for frame, _ in parts]) if len(parts) > 1 else parts[0][0]
    minutes = run.clock_at // MINUTE_US * MINUTE_S
    old = run.ends < minutes * _S - OLD_US
    frame = frame.with_columns(
        pl.Series("minute", minutes),
        pl.Series("old", old),
        pl.Series("take", run.taken),
    )
    bounds = [start for start, _, _ in run.epochs] + [run.done]
    stamped = []
    for (start, epoch, settled), stop in zip(run.epochs, bounds[1:], strict=True):
        rows = frame[start:stop]
        if not run.taken[start:stop].all():
            rows = rows.filter("take")
        if rows.height:
            stamped.append(Stamped(rows.drop("take"), epoch, settled))
    return stamped
