"""The table of labelled sets: how each is told from its content, and who reads it.

Rows are put into the order of a collector here, by their end; what a row means is left
to the reader of its set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from entropy_ids.collector.datasets import iscx, zeek
from entropy_ids.collector.datasets.cicids import CICIDS2017
from entropy_ids.collector.datasets.ctu13 import CTU13
from entropy_ids.collector.datasets.rows import COLUMNS
from entropy_ids.collector.datasets.unsw import UNSW_NB15
from entropy_ids.collector.parse import Parsed
from entropy_ids.collector.schema import end_us
from entropy_ids.collector.segments import blocks
from entropy_ids.errors import ConfigError, InputError
from entropy_ids.types import BadRow, FlowBatch

ROWS_PER_BATCH = 100_000
"""Rows: some 20 MB, little beside the file that was sorted."""
_HEAD_BYTES = 64 << 10
"""64 KiB: holds the header of any of these sets."""


@dataclass(frozen=True)
class Format:
    """A labelled set.

    Attributes
    ----------
    name
        What it is called here.
    recognises
        Tells by a file's first bytes, unpacked and in whole lines, whether it is one.
    read
        Yields its rows in file order.
    as_written
        True for logs: their order is that of a collector already.
    """

    name: str
    recognises: Callable[[bytes], bool]
    read: Callable[[Path], Iterator[Parsed]]
    as_written: bool = False


FORMATS = (
    Format("iscx-2012", iscx.recognises, iscx.read),
    Format("cicids-2017", CICIDS2017.recognises, CICIDS2017.read),
    Format("ctu-13", CTU13.recognises, CTU13.read),
    Format("unsw-nb15", UNSW_NB15.recognises, UNSW_NB15.read),
    Format("zeek-labelled", zeek.recognises, zeek.read, as_written=True),
)


def labelled(path: str | Path) -> str | None:
    """Name the format of a labelled set; None for all else, plain Zeek logs included.

    Parameters
    ----------
    path
        A plain, gzip or zstd file; its name takes no part.

    Raises
    ------
    InputError
        When the file cannot be read.
    """
    found = _format_of(Path(path))
    return found.name if found else None


def read(path: str | Path, rows_per_batch: int = ROWS_PER_BATCH) -> Iterator[Parsed]:
    """Read a labelled set in the order of a collector: logs as they were written.

    Other sets are put in the order of their rows' ends, ties by line.

    Parameters
    ----------
    path
        A plain, gzip or zstd file of one of `FORMATS`.
    rows_per_batch
        Rows of a batch where the file is sorted; the last may have fewer.

    Returns
    -------
    Iterator of Parsed
        Frames have the columns `COLUMNS`. Of a file that is sorted there is at least
        one, and all bad rows are in the first.
        Every row of the file is in a frame or is bad; blank lines are neither.

    Raises
    ------
    InputError
        When the file is none of these sets, has no labels, or cannot be read.
    ConfigError
        When a batch would have no rows.

    Notes
    -----
    A file that is sorted is held in memory: some 400 bytes a row at most (UNSW-NB15_1,
    700,000 rows: 250 MB).
    """
    path = Path(path)
    if rows_per_batch < 1:
        raise ConfigError(
            f"rows_per_batch: expected at least 1, found {rows_per_batch}; leave it out"
        )
    found = _format_of(path)
    if found is None:
        names = ", ".join(each.name for each in FORMATS)
        raise InputError(
            f"{path}: expected a labelled set ({names}), found none of them; give a "
            "file as it was published"
        )
    parts = found.read(path)
    return parts if found.as_written else _in_order(parts, str(path), rows_per_batch)


def begins_us(path: Path) -> int | None:
    """Give the earliest end among the first rows of a set; None without rows.

    By it several files of a set are put in order.
    """
    found = _format_of(path)
    parts = found.read(path) if found else iter(())
    first = next((part for part in parts if len(part.flows)), None)
    return None if first is None else int(end_us(first.flows.frame).to_numpy().min())


def _format_of(path: Path) -> Format | None:
    head = next(blocks(path, _HEAD_BYTES), b"").removeprefix(b"\xef\xbb\xbf")
    return next((each for each in FORMATS if each.recognises(head)), None)


def _in_order(parts: Iterator[Parsed], path: str, rows: int) -> Iterator[Parsed]:
    frames = [pl.DataFrame(schema=COLUMNS)]
    bad: list[BadRow] = []
    for part in parts:
        frames.append(part.flows.frame)
        bad += part.bad
    frame = pl.concat(frames)
    by_end = pl.arg_sort_by(end_us(frame), "line", maintain_order=True)
    order = frame.select(by_end).to_series()
    for start in range(0, max(1, frame.height), rows):
        taken = frame[order.slice(start, rows)]
        yield Parsed(FlowBatch(taken, path), bad if start == 0 else [])
