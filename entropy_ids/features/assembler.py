"""Put the streams of one sensor together into closed minutes.

A minute closes when every stream's clock has passed it; it is never opened again.
Minutes are those of conn: it tells which there are, what is known of them, and their
flows. Streams of other logs add tables of their own, each by its own clock.
Rows get their minutes at once, and are counted when a minute closes or many wait:
memory holds the counts of the open minutes, and a bounded number of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise

import polars as pl

from entropy_ids.errors import StateError
from entropy_ids.features.clock import Stamped
from entropy_ids.features.counting import TABLES, count, count_log, with_direction
from entropy_ids.features.coverage import index_of, sizes_of
from entropy_ids.features.stream import CONN, Part, Stream, cut
from entropy_ids.features.stream import FAR as FAR
from entropy_ids.types import (
    MINUTE_S,
    Account,
    BadRow,
    FlowBatch,
    Minutes,
    Quality,
)

MOST_BAD = 10_000
"""Bad rows that are kept with file and line; the account counts all."""
COUNT_ROWS = 65_536
"""So many rows of a stream may wait to be counted (some 15 MB). Counting costs some
10 ms and 1 us a row: at 1,000 rows/s it is done once a minute."""


@dataclass(frozen=True)
class Lift:
    """When so many good rows of a stream were pushed, it is lifted to a minute.

    This is how what a daemon decided by wall time is repeated; `FAR` drops the stream.
    Of several lifts at one row the last one counts: what closed in between without the
    stream lies before the minute at which it came back.
    """

    stream: str
    rows: int
    minute: int


@dataclass
class State:
    """All that an `Assembler` knows between two pushes; see `Assembler.state`."""

    streams: dict[str, Stream]
    partial: list[tuple[int, int]]
    next_open: int | None
    epoch: int
    was_lossy: bool
    account: Account


@dataclass
class Assembler:
    """Count the rows of a sensor's streams and close its minutes.

    Parameters
    ----------
    streams
        The names of all streams; a minute waits for each of them until `release`.
        Their logs are told by them (`entropy_ids.collector.LogFile.stream`).
    local_networks
        The site's networks, for directions.
    tables
        The count tables wanted of conn.
    lifts
        What was decided before, in the order of decision.

    Attributes
    ----------
    next_open
        The first minute that is not closed; None before any is.
    """

    streams: Sequence[str] = ("",)
    local_networks: Sequence[str] = ()
    tables: Sequence[str] = tuple(TABLES)
    lifts: Sequence[Lift] = ()
    account: Account = field(default_factory=Account)
    quality: list[Quality] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    next_open: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._streams = {name: Stream(name=name) for name in self.streams}
        self._partial: list[tuple[int, int]] = []
        self._epoch = 0
        self._was_lossy = False
        self._lift_decided(*self.streams)

    @property
    def waited(self) -> list[str]:
        """The streams that minutes wait for."""
        return [
            name
            for name, one in self._streams.items()
            if not (one.released or one.dropped)
        ]

    def behind(self, among: Iterable[str] | None = None) -> str:
        """Name the stream to read next: the one whose clock stands lowest.

        Parameters
        ----------
        among
            Streams; usually all that are not released.
        """
        if among is None:
            among = [n for n, one in self._streams.items() if not one.released]
        return min(among, key=lambda name: (self._streams[name].stands_us, name))

    def clock_s(self, stream: str) -> float | None:
        """Give a stream's log clock, seconds; None before it has settled."""
        clock_us = self._streams[stream].clock.clock_us
        return None if clock_us is None else clock_us / 1e6

    def rows_of(self, stream: str) -> int:
        """Count the good rows of a stream that were pushed so far."""
        return self._streams[stream].good

    def push(
        self, stream: str, batch: FlowBatch, bad: Sequence[BadRow] = ()
    ) -> list[Minutes]:
        """Take parsed rows of one stream; give the minutes that they close.

        Each chunk of minutes is ascending and of one epoch.
        """
        self.account.rows += len(batch) + len(bad)
        for row in bad:
            self._quarantine(row)
        one, closed = self._streams[stream], []
        for piece in self._pieces(stream, batch):
            one.good += len(piece)
            closed += self._take(one, one.clock.push(piece))
            if len(piece):
                self._lift_decided(stream)
        return closed + self._close(self._limit())

    def lift(self, stream: str, minute: int) -> list[Minutes]:
        """Count a stream's rows from now on in ``minute`` or later.

        Closing waits for it no longer below that minute. `FAR` drops it: nobody waits
        for it, and its rows go into the first open minute, until it is lifted to one
        (`next_open`).
        """
        self._streams[stream].lift(minute)
        return self._close(self._limit())

    def release(self, stream: str) -> list[Minutes]:
        """Take a stream's held rows and wait for it no longer: its files are read."""
        one = self._streams[stream]
        closed = self._take(one, one.clock.finish())
        one.released = True
        return closed + self._close(self._limit())

    def finish(self) -> list[Minutes]:
        """Close what is open, as at the end of a replay; the last minute is partial."""
        closed = [
            chunk for name in sorted(self.streams) for chunk in self.release(name)
        ]
        closed += self._close_all()
        for one in self._ordered(ours=False):
            self._leave_out(self._before(one, FAR)[0])
        return closed

    def state(self) -> State:
        """Give a copy of all that the next push depends on.

        ``quality`` and ``bad`` are left out: they are the caller's to take.
        """
        for one in self._streams.values():
            one.waiting = [_joined(one.waiting)] if one.waiting else []
        return deepcopy(
            State(
                self._streams,
                self._partial,
                self.next_open,
                self._epoch,
                self._was_lossy,
                self.account,
            )
        )

    def restore(self, state: State) -> None:
        """Go on from where `state` was taken; streams that it does not know are new.

        Raises
        ------
        StateError
            When it has a stream that this sensor has not.
        """
        unknown = sorted(set(state.streams) - set(self.streams))
        if unknown:
            raise StateError(
                f"expected the streams {sorted(self.streams)}, found the state of "
                f"{unknown[0]!r}; give the sensor its log_dirs back, or begin anew"
            )
        state = deepcopy(state)
        self._streams |= state.streams
        self._partial = state.partial
        self.next_open = state.next_open
        self._epoch = state.epoch
        self._was_lossy = state.was_lossy
        self.account = state.account
        self._lift_decided(*self.streams)

    def _pieces(self, stream: str, batch: FlowBatch) -> Iterator[FlowBatch]:
        """Cut a batch where a lift was decided upon."""
        good = self._streams[stream].good
        places = {lift.rows - good for lift in self.lifts if lift.stream == stream}
        inside = sorted(place for place in places if 0 < place < len(batch))
        for start, stop in pairwise([0, *inside, len(batch)]):
            yield FlowBatch(batch.frame[start:stop], batch.path)

    def _lift_decided(self, *names: str) -> None:
        """Lift streams that have just come to where a lift was decided upon."""
        for name in names:
            one = self._streams[name]
            due = [x for x in self.lifts if (x.stream, x.rows) == (name, one.good)]
            for lift in due[-1:]:
                one.lift(lift.minute)

    def _take(self, one: Stream, batches: list[Stamped]) -> list[Minutes]:
        closed: list[Minutes] = []
        for stamped in batches:
            if stamped.epoch != one.epoch:
                closed += self._begin(one, stamped)
            frame = stamped.frame
            first = max(one.floor, self._open_from())
            if frame["minute"][0] < first:  # of a stream that fell behind
                frame = self._late(one, frame, first)
            one.add(frame)
            self.account.counted += frame.height
        self._collect(one)
        closed += self._close(self._limit())
        if sum(frame.height for frame in one.waiting) > COUNT_ROWS:
            frame = _joined(one.waiting)
            one.fold(self._count(one, frame), frame)
            one.waiting = []
        return closed

    def _late(self, one: Stream, frame: pl.DataFrame, first: int) -> pl.DataFrame:
        """Take rows of conn in the first open minute; those of other logs are stale.

        Minutes of another log never go back, so that they do not depend on how far conn
        was read.
        """
        if one.log == CONN:
            return frame.with_columns(pl.col("minute").clip(first))
        rows = frame.filter(pl.col("minute") >= first)
        self.account.refuse("stale", frame.height - rows.height)
        return rows

    def _begin(self, one: Stream, stamped: Stamped) -> list[Minutes]:
        """Begin an epoch: close all that is open when the clock was anchored anew."""
        closed: list[Minutes] = []
        if one.log != CONN:  # conn alone tells that the sensor's clock was set
            one.epoch = stamped.epoch
            return closed
        if one.epoch >= 0:
            closed = self._close_all()
            self.next_open, self._was_lossy, one.floor = None, False, -FAR
            self._epoch += 1
        one.epoch = stamped.epoch
        first = max(int(stamped.frame["minute"][0]), one.floor)
        self._partial.append((first, stamped.settled))
        return closed

    def _count(self, one: Stream, frame: pl.DataFrame) -> Part:
        if one.log != CONN:
            rows = frame.group_by("minute").agg(flows=pl.len().cast(pl.Int64))
            return Part(count_log(one.log, frame), rows)
        frame = with_direction(frame, self.local_networks)
        return Part(count(frame, self.tables), sizes_of(frame))

    def _quarantine(self, row: BadRow) -> None:
        """Count a row that cannot be taken; the first ones are kept to be shown."""
        self.account.refuse(row.reason)
        if len(self.bad) < MOST_BAD:
            self.bad.append(row)

    def _collect(self, one: Stream) -> None:
        clock = one.clock
        for row, minute in clock.quarantined:
            self._quarantine(row)
            if row.reason == "future":
                detail = f"{row.file}:{row.line}: {row.detail}"
                self.quality.append(Quality("future-rows", minute, detail))
        self.quality += clock.quality if one.log == CONN else []
        clock.quarantined.clear()
        clock.quality.clear()

    def _open_from(self) -> int:
        return -FAR if self.next_open is None else self.next_open

    def _limit(self) -> int | None:
        """Give the first minute that some stream may still add to.

        Where another log is behind conn, minutes close up to the last row of conn
        before it: a gap in conn is judged whole.
        """
        waited = [self._streams[name] for name in self.waited]
        known = [(one.minute, one.log) for one in waited if one.minute is not None]
        ours = [minute for minute, log in known if log == CONN]
        if not ours or len(known) < len(waited):
            return None
        limit, _ = min(known)
        return limit if limit == min(ours) else self._after(limit)

    def _after(self, limit: int = FAR) -> int | None:
        """Give the minute after the last open row of conn before a minute."""
        lasts = [one.last_before(limit) for one in self._ordered(ours=True)]
        last = max((minute for minute in lasts if minute is not None), default=None)
        return None if last is None else last + MINUTE_S

    def _close_all(self) -> list[Minutes]:
        limit = self._after()
        if limit is None:
            return []
        self._partial.append((limit - MINUTE_S, limit))
        return self._close(limit)

    def _close(self, limit: int | None) -> list[Minutes]:
        """Close the minutes before ``limit``."""
        if limit is None or limit <= self._open_from():
            return []
        done = [self._before(one, limit) for one in self._ordered(ours=True)]
        parts = [part for some, _ in done for part in some]
        if not parts:
            return []
        whole = Part.join(parts)
        index = self._index(whole.sizes.sort("minute"), limit)
        self.next_open = limit
        self._partial = [span for span in self._partial if span[1] > limit]
        rows = _joined([frame for _, some in done for frame in some])
        beside = self._tables_beside(int(index["minute"][0]), limit)
        return [Minutes(index, whole.tables | beside, rows)]

    def _ordered(self, *, ours: bool) -> list[Stream]:
        """Give the streams of conn, or those of the other logs, by name."""
        every = [self._streams[name] for name in sorted(self._streams)]
        return [one for one in every if (one.log == CONN) == ours]

    def _tables_beside(self, first: int, limit: int) -> dict[str, pl.DataFrame]:
        """Take the tables of other logs; rows before conn's first minute are none's."""
        beside = self._ordered(ours=False)
        parts = [part for one in beside for part in self._before(one, limit)[0]]
        early = pl.col("minute") < first
        self._leave_out([piece for part in parts for piece in part.where(early)])
        parts = [piece for part in parts for piece in part.where(~early)]
        return Part.join(parts).tables if parts else {}

    def _leave_out(self, parts: Sequence[Part]) -> None:
        """Account for rows that lie before the first minute of conn, or after it."""
        rows = sum(int(part.sizes["flows"].sum()) for part in parts)
        self.account.counted -= rows
        self.account.outside += rows

    def _before(self, one: Stream, limit: int) -> tuple[list[Part], list[pl.DataFrame]]:
        """Take a stream's minutes before a limit: parts, and rows to name."""
        before = pl.col("minute") < limit
        parts = [piece for part in one.parts for piece in part.where(before)]
        one.parts = [piece for part in one.parts for piece in part.where(~before)]
        rows, one.kept = cut(one.kept, limit)
        fresh, one.waiting = cut(one.waiting, limit)
        if fresh:
            frame = _joined(fresh)
            parts.append(self._count(one, frame))
            rows = one.named(rows, frame)
        return parts, rows

    def _index(self, sizes: pl.DataFrame, limit: int) -> pl.DataFrame:
        """Give every minute up to ``limit`` a coverage, and take the remarks."""
        first = int(sizes["minute"][0]) if self.next_open is None else self.next_open
        index, remarks = index_of(
            sizes, first, limit, self._partial, was_lossy=self._was_lossy
        )
        self._was_lossy = index["coverage"][-1] == "lossy"
        self.quality += remarks
        return index.with_columns(epoch=pl.lit(self._epoch, pl.Int64))


def _joined(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Put rows together; those without labels have null there."""
    return pl.concat(frames, how="diagonal")
