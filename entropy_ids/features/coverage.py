"""Coverage: what is known of each minute, from what its rows and its neighbours say.

Minutes that began or ended elsewhere, and when a minute closes, are the business of
`entropy_ids.features.assembler`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entropy_ids.types import MINUTE_S, Quality

GAP_MINUTES = 10
"""Longer stretches without a row are silence (unknown), shorter ones zero flows."""
FLUSH_ROWS = 50
FLUSH_SHARE = 0.5
"""At least so many rows, and more than this share, ended long before: Zeek stopped."""
LOSS_BYTES = 1_000_000
LOSS_SHARE = 0.1
"""More bytes missed than this, and than this share of all: packets were lost."""

Mask = NDArray[np.bool_]


def sizes_of(frame: pl.DataFrame) -> pl.DataFrame:
    """Sum stamped rows by minute: what coverage is told by.

    Returns
    -------
    DataFrame
        ``minute``, ``flows``, ``old`` (rows that ended long before), ``missed`` and
        ``seen`` (bytes).
    """
    sent, answered, missed = (
        pl.col(name).fill_null(0).sum()
        for name in ("orig_bytes", "resp_bytes", "missed_bytes")
    )
    return frame.group_by("minute").agg(
        flows=pl.len().cast(pl.Int64),
        old=pl.col("old").sum().cast(pl.Int64),
        missed=missed,
        seen=sent + answered,
    )


def index_of(
    sizes: pl.DataFrame,
    first: int,
    limit: int,
    partial: Iterable[tuple[int, int]],
    *,
    was_lossy: bool = False,
) -> tuple[pl.DataFrame, list[Quality]]:
    """Give every minute from ``first`` to before ``limit`` a coverage, and remarks.

    Parameters
    ----------
    sizes
        As `sizes_of`, each minute once; minutes without rows may be missing.
    partial
        Spans of minutes of which only a part was read.
    was_lossy
        Whether the minute before the first one was.

    Returns
    -------
    tuple
        ``minute``, ``coverage`` and ``flows``; remarks on flushes, gaps and lost
        packets.
    """
    every = pl.DataFrame({"minute": np.arange(first, limit, MINUTE_S)})
    every = every.join(sizes, on="minute", how="left", maintain_order="left")
    minutes, flows, old, missed, seen = (
        column.fill_null(0).to_numpy() for column in every.get_columns()
    )
    gaps = _gaps(flows)
    flush = (old >= FLUSH_ROWS) & (old > FLUSH_SHARE * flows)
    loss = (missed > LOSS_BYTES) & (missed > LOSS_SHARE * (missed + seen))
    marks = {"silent": _inside(gaps, len(minutes))}
    spans = [np.searchsorted(minutes, span).tolist() for span in partial]
    marks |= {"partial": _inside(spans, len(minutes)), "flush": flush, "lossy": loss}
    coverage = np.select(list(marks.values()), list(marks), "complete")
    lossy = np.concatenate(([was_lossy], coverage == "lossy"))
    remarks = [
        *(_gap(int(minutes[start]), stop - start) for start, stop in gaps),
        *(_flush(int(minutes[n]), old[n], flows[n]) for n in np.flatnonzero(flush)),
        *(
            _loss(int(minutes[n]), missed[n], missed[n] + seen[n])
            for n in np.flatnonzero(lossy[1:] & ~lossy[:-1])
        ),
    ]
    index = every.select(
        "minute", pl.Series("coverage", coverage), pl.col("flows").fill_null(0)
    )
    return index, sorted(remarks, key=lambda remark: remark.minute)


def _gaps(flows: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Give the stretches without rows that are longer than a pause, by position."""
    edges = np.flatnonzero(np.diff(np.concatenate(([1], flows, [1])) == 0)).tolist()
    stretches = zip(edges[::2], edges[1::2], strict=True)
    return [(low, high) for low, high in stretches if high - low > GAP_MINUTES]


def _inside(spans: Iterable[tuple[int, int]], size: int) -> Mask:
    """Tell the positions that lie in one of the spans."""
    mask = np.zeros(size, bool)
    for start, stop in spans:
        mask[start:stop] = True
    return mask


def _gap(minute: int, length: int) -> Quality:
    return Quality("gap", minute, f"no row for {length} minutes of the log's clock")


def _flush(minute: int, old: int, rows: int) -> Quality:
    detail = f"{old} of {rows} connections had ended long before: Zeek stopped"
    return Quality("flush", minute, detail)


def _loss(minute: int, missed: int, total: int) -> Quality:
    detail = f"Zeek missed {missed} of {total} bytes of this minute's connections"
    return Quality("packet-loss", minute, detail)
