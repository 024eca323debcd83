"""Put the streams of one sensor together into closed minutes.

A minute closes when every stream's clock has passed it; it is never opened again.
Counts are added as they come, so memory holds the open minutes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from entropy_ids.features.clock import LogClock, Stamped
from entropy_ids.features.counting import TABLES, Tables, add, count, with_direction
from entropy_ids.types import (
    MINUTE_S,
    Account,
    BadRow,
    Coverage,
    FlowBatch,
    Minutes,
    Quality,
)

MOST_BAD = 10_000
"""Bad rows that are kept with file and line; the account counts all."""
GAP_MINUTES = 10
"""Longer stretches without a row are silence (unknown), shorter ones zero flows."""
FLUSH_ROWS = 50
FLUSH_SHARE = 0.5
"""At least so many rows, and more than this share, ended long before: Zeek stopped."""
ROW_COLUMNS = (
    "minute",
    "ts",
    "direction",
    "uid",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
    "service",
    "conn_state",
)
_INDEX = {
    "minute": pl.Int64(),
    "coverage": pl.String(),
    "flows": pl.Int64(),
    "epoch": pl.Int64(),
}


@dataclass(frozen=True)
class _Part:
    """Counted rows of one stamped batch."""

    stream: str
    tables: Tables
    rows: pl.DataFrame
    sizes: pl.DataFrame  # minute, flows, old

    @property
    def last(self) -> int:
        """The last minute that it has rows of."""
        return int(self.sizes.select(pl.col("minute").max()).item())

    def split(self, limit: int) -> tuple[_Part | None, _Part | None]:
        """Give what lies before ``limit`` and what does not."""
        before = pl.col("minute") < limit
        if self.last < limit:
            return self, None
        return self._where(before), self._where(~before)

    def _where(self, keep: pl.Expr) -> _Part | None:
        sizes = self.sizes.filter(keep)
        if not sizes.height:
            return None
        tables = {name: table.filter(keep) for name, table in self.tables.items()}
        return _Part(self.stream, tables, self.rows.filter(keep), sizes)


@dataclass
class Assembler:
    """Count the rows of a sensor's streams and close its minutes.

    Parameters
    ----------
    streams
        The names of all streams; a minute waits for each of them until `release`.
    local_networks
        The site's networks, for directions.
    tables
        The count tables wanted.
    """

    streams: Sequence[str] = ("",)
    local_networks: Sequence[str] = ()
    tables: Sequence[str] = tuple(TABLES)
    account: Account = field(default_factory=Account)
    quality: list[Quality] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._clocks = {name: LogClock() for name in self.streams}
        self._epochs = dict.fromkeys(self.streams, -1)
        self._waiting = set(self.streams)
        self._parts: list[_Part] = []
        self._partial: list[tuple[int, int]] = []
        self._next: int | None = None  # the first minute that is not closed
        self._epoch = 0

    def behind(self) -> str:
        """Name the stream to read next: the one whose clock stands lowest."""
        return min(self._waiting, key=lambda name: self._clocks[name].clock_us or 0)

    def push(
        self, stream: str, batch: FlowBatch, bad: Sequence[BadRow] = ()
    ) -> list[Minutes]:
        """Take parsed rows of one stream; give the minutes that they close.

        Each chunk of minutes is ascending and of one epoch.
        """
        self.account.rows += len(batch) + len(bad)
        for row in bad:
            self._quarantine(row)
        return self._take(stream, self._clocks[stream].push(batch))

    def release(self, stream: str) -> list[Minutes]:
        """Take a stream's held rows and wait for it no longer: its files are read."""
        closed = self._take(stream, self._clocks[stream].finish())
        self._waiting.discard(stream)
        return closed + self._close(self._limit())

    def finish(self) -> list[Minutes]:
        """Close what is open, as at the end of a replay; the last minute is partial."""
        closed = [
            chunk for name in sorted(self.streams) for chunk in self.release(name)
        ]
        return closed + self._close_all()

    def _take(self, stream: str, batches: list[Stamped]) -> list[Minutes]:
        closed: list[Minutes] = []
        for stamped in batches:
            if stamped.epoch != self._epochs[stream]:
                closed += self._begin(stream, stamped)
            self._count(stream, stamped.frame)
        self._collect(stream)
        return closed + self._close(self._limit())

    def _begin(self, stream: str, stamped: Stamped) -> list[Minutes]:
        """Begin an epoch: close all that is open when the clock was anchored anew."""
        closed: list[Minutes] = []
        if self._epochs[stream] >= 0:
            closed = self._close_all()
            self._next = None
            self._epoch += 1
        self._epochs[stream] = stamped.epoch
        self._partial.append((int(stamped.frame["minute"][0]), stamped.settled))
        return closed

    def _count(self, stream: str, frame: pl.DataFrame) -> None:
        if self._next is not None and frame["minute"][0] < self._next:
            first = pl.max_horizontal("minute", pl.lit(self._next))
            frame = frame.with_columns(minute=first)  # of a stream that fell behind
        frame = with_direction(frame, self.local_networks)
        sizes = frame.group_by("minute").agg(flows=pl.len(), old=pl.col("old").sum())
        rows = frame.select(ROW_COLUMNS)
        tables = count(frame, self.tables)
        self._parts.append(_Part(stream, tables, rows, sizes))
        self.account.counted += frame.height

    def _quarantine(self, row: BadRow) -> None:
        """Count a row that cannot be taken; the first ones are kept to be shown."""
        self.account.refuse(row.reason)
        if len(self.bad) < MOST_BAD:
            self.bad.append(row)

    def _collect(self, stream: str) -> None:
        clock = self._clocks[stream]
        for row, minute in clock.quarantined:
            self._quarantine(row)
            if row.reason == "future":
                self.quality.append(
                    Quality(
                        "future-rows", minute, f"{row.file}:{row.line}: {row.detail}"
                    )
                )
        self.quality += clock.quality
        clock.quarantined.clear()
        clock.quality.clear()

    def _limit(self) -> int | None:
        """Give the first minute that some stream may still add to."""
        minutes = [self._clocks[name].minute for name in self._waiting]
        if not minutes or None in minutes:
            return None
        return min(minute for minute in minutes if minute is not None)

    def _close_all(self) -> list[Minutes]:
        if not self._parts:
            return []
        last = max(part.last for part in self._parts)
        self._partial.append((last, last + MINUTE_S))
        return self._close(last + MINUTE_S)

    def _close(self, limit: int | None) -> list[Minutes]:
        """Close the minutes before ``limit``."""
        if limit is None:
            return []
        split = [part.split(limit) for part in self._parts]
        done = [before for before, _ in split if before]
        if not done:
            return []
        self._parts = [after for _, after in split if after]
        sizes = pl.concat(part.sizes for part in done)
        sizes = (
            sizes.group_by("minute").agg(pl.col("flows", "old").sum()).sort("minute")
        )
        index = self._index(sizes, limit)
        self._next = limit
        self._partial = [span for span in self._partial if span[1] > limit]
        done.sort(key=lambda part: part.stream)  # not in the order of reading
        tables = add([part.tables for part in done])
        return [Minutes(index, tables, pl.concat(part.rows for part in done))]

    def _index(self, sizes: pl.DataFrame, limit: int) -> pl.DataFrame:
        """Give every minute up to ``limit`` a coverage; tell of gaps and flushes."""
        minutes = sizes["minute"].to_numpy()
        first = int(minutes[0]) if self._next is None else self._next
        everything = np.arange(first, limit, MINUTE_S)
        where = np.searchsorted(everything, minutes)
        flows = np.zeros(len(everything), np.int64)
        flows[where] = sizes["flows"].to_numpy()
        coverage: list[Coverage] = ["complete"] * len(everything)
        self._mark_gaps(everything, flows, coverage)
        for position, rows, old in zip(
            where, sizes["flows"], sizes["old"], strict=True
        ):
            if old >= FLUSH_ROWS and old > FLUSH_SHARE * rows:
                coverage[position] = "flush"
                detail = (
                    f"{old} of {rows} connections had ended long before: Zeek stopped"
                )
                self.quality.append(Quality("flush", int(everything[position]), detail))
        for start, stop in self._partial:
            low, high = np.searchsorted(everything, (start, stop))
            coverage[low:high] = [
                "silent" if mark == "silent" else "partial"
                for mark in coverage[low:high]
            ]
        epoch = np.full(len(everything), self._epoch)
        columns = [everything, coverage, flows, epoch]
        return pl.DataFrame(dict(zip(_INDEX, columns, strict=True)), schema=_INDEX)

    def _mark_gaps(
        self, minutes: np.ndarray, flows: np.ndarray, coverage: list[Coverage]
    ) -> None:
        """Mark stretches without rows as silent when they are longer than a pause."""
        empty = np.flatnonzero(np.diff(np.concatenate(([1], flows, [1])) == 0))
        for start, stop in empty.reshape(-1, 2):
            if stop - start > GAP_MINUTES:
                coverage[start:stop] = ["silent"] * int(stop - start)
                detail = f"no row for {stop - start} minutes of the log's clock"
                self.quality.append(Quality("gap", int(minutes[start]), detail))
