"""What is open of one stream: its clock, and rows of minutes that are not closed.

Which minutes close, and when, is the business of `entropy_ids.features.assembler`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from entropy_ids.collector.archive import log_of_stream
from entropy_ids.features.clock import LogClock
from entropy_ids.features.counting import add

FAR = 1 << 40
"""The minute to lift a stream to that nobody is to wait for."""
ROWS_KEPT = 200_000
"""So many rows of each stream and minute are kept to name connections by: all of them
up to 3,300 rows/s. 500,000 take 60 MB more."""
CONN = "conn"
"""The log that closes minutes; others are counted beside it."""
MOST_FRAMES = 64
"""Waiting rows of more pushes than this are put together: a frame costs some 20 kB."""
ROW_COLUMNS = (
    "minute",
    "ts",
    "uid",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
    "service",
    "conn_state",
    "duration",
    "orig_bytes",
    "resp_bytes",
    "orig_pkts",
    "resp_pkts",
)
"""What is kept of a row, to name connections by and for flow models to score."""
LABEL_COLUMNS = ("label", "detail")
"""Rows of labelled data sets have these besides."""


@dataclass(frozen=True)
class Part:
    """Counted rows of one stream."""

    tables: dict[str, pl.DataFrame]
    sizes: pl.DataFrame

    @property
    def height(self) -> int:
        """The rows of all tables: what adding it costs."""
        return sum(table.height for table in self.tables.values())

    @staticmethod
    def join(parts: Sequence[Part]) -> Part:
        """Add parts."""
        if len(parts) == 1:
            return parts[0]
        sizes = pl.concat(part.sizes for part in parts).group_by("minute").sum()
        return Part(add([part.tables for part in parts]), sizes)

    def where(self, keep: pl.Expr) -> list[Part]:
        """Give the minutes that are wanted; nothing when there are none."""
        sizes = self.sizes.filter(keep)
        if sizes.height == self.sizes.height:
            return [self]
        tables = {name: table.filter(keep) for name, table in self.tables.items()}
        return [Part(tables, sizes)] if sizes.height else []


@dataclass
class Stream:
    """What is open of one stream; plain data, to be kept from one run to the next.

    Attributes
    ----------
    name
        Tells its log, too (`entropy_ids.collector.LogFile.stream`).
    good
        Rows pushed so far.
    floor
        Its rows count in this minute or later.
    dropped, released
        Nobody waits for it: for now, or because its end was read.
    waiting
        Rows with minutes, ascending, that are not counted yet.
    parts
        Counted rows: one large part, and what is still small beside it.
    kept
        The columns by which counted rows are named; of conn alone.
    """

    name: str = ""
    clock: LogClock = field(default_factory=LogClock)
    epoch: int = -1
    good: int = 0
    floor: int = -FAR
    dropped: bool = False
    released: bool = False
    waiting: list[pl.DataFrame] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    kept: list[pl.DataFrame] = field(default_factory=list)

    @property
    def log(self) -> str:
        """The log that its rows are of."""
        return log_of_stream(self.name)

    @property
    def minute(self) -> int | None:
        """The first minute that it may add to; None before its clock has settled."""
        if self.clock.minute is not None:
            return max(self.clock.minute, self.floor)
        return self.floor if self.floor > -FAR else None

    def last_before(self, limit: int) -> int | None:
        """Give the last minute before ``limit`` that it has open rows of."""
        waiting, _ = cut(self.waiting, limit)
        minutes = [int(frame["minute"][-1]) for frame in waiting[-1:]]
        minutes += [minute for part in self.parts for minute in part.sizes["minute"]]
        return max((minute for minute in minutes if minute < limit), default=None)

    @property
    def stands_us(self) -> int:
        """Where its clock stands for those who wait for it, microseconds."""
        minute = FAR if self.dropped else self.floor
        return max(self.clock.clock_us or 0, minute * 1_000_000)

    def lift(self, minute: int) -> None:
        """Drop it, when lifted to `FAR`, or take its rows from that minute on."""
        self.dropped = minute >= FAR
        if not self.dropped:
            self.floor = max(self.floor, minute)

    def add(self, frame: pl.DataFrame) -> None:
        """Take stamped rows; minutes of another log than conn never go back."""
        if self.log != CONN and frame.height:
            self.floor = int(frame["minute"][-1])
        self.waiting.append(frame)
        if len(self.waiting) > MOST_FRAMES:
            self.waiting = [pl.concat(self.waiting, rechunk=True)]

    def fold(self, part: Part, frame: pl.DataFrame) -> None:
        """Take the counts of rows; the first of each minute are kept to be named by.

        All is added when the later parts outgrow the first: each row twice or so.
        """
        self.parts.append(part)
        if sum(later.height for later in self.parts[1:]) >= self.parts[0].height:
            self.parts = [Part.join(self.parts)]
        self.kept = self.named(self.kept, frame)

    def named(
        self, rows: list[pl.DataFrame], frame: pl.DataFrame
    ) -> list[pl.DataFrame]:
        """Put what is kept of more rows to what is kept already."""
        if self.log != CONN or _is_full(rows, frame):
            return rows
        return [first_rows([*rows, kept(frame)])]


def _is_full(rows: Sequence[pl.DataFrame], frame: pl.DataFrame) -> bool:
    """Tell whether of a frame's only minute as many rows are kept as may be."""
    minute = frame["minute"][-1]
    if not rows or frame["minute"][0] != minute:
        return False
    known = rows[-1]["minute"]
    return len(known) - int(known.search_sorted(minute)) >= ROWS_KEPT


def cut(
    frames: list[pl.DataFrame], limit: int
) -> tuple[list[pl.DataFrame], list[pl.DataFrame]]:
    """Give the rows before ``limit`` and the others; minutes ascend."""
    before: list[pl.DataFrame] = []
    after: list[pl.DataFrame] = []
    for frame in frames:
        at = int(frame["minute"].search_sorted(limit))
        before += [frame[:at]] if at else []
        after += [frame[at:]] if at < frame.height else []
    return before, after


def kept(frame: pl.DataFrame) -> pl.DataFrame:
    """Give the columns of rows that are kept."""
    labels = [name for name in LABEL_COLUMNS if name in frame.columns]
    return frame.select(*ROW_COLUMNS, *labels)


def first_rows(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Give the first rows of every minute."""
    rows = pl.concat(frames, how="diagonal")
    if rows.height <= ROWS_KEPT:
        return rows
    return rows.filter(pl.int_range(pl.len()).over("minute") < ROWS_KEPT)
