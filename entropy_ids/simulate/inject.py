"""Lays attacks over conn logs that exist, real or generated.

Each file is copied, its lines as they are and in their order, with the rows of attacks
woven in where Zeek would have written them. Sibling logs (dns, http ...) are neither
copied nor made.
"""

import gzip
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from entropy_ids.collector import LogFile, parse, segments
from entropy_ids.collector.schema import Layout
from entropy_ids.collector.segments import blocks
from entropy_ids.errors import InputError
from entropy_ids.simulate.flows import FIELDS, schema, written
from entropy_ids.simulate.labels import Label, write_labels
from entropy_ids.simulate.placed import Placed, check_target, check_times, lost

MEDIAN_ROWS: Final = 33  # outliers in up to 16 neighbouring rows do no harm
GZIP_LEVEL: Final = 6
FLAGS: Final = ("local_orig", "local_resp")

Added = dict[int, list[bytes]]
"""Lines to add, by the number of the line that they stand before."""


@dataclass(frozen=True)
class Injection:
    """What was done: rows added and taken away, files in order, and the attacks."""

    added: int
    lost: int
    files: list[Path]
    labels: list[Label]


@dataclass(frozen=True)
class _File:
    """The rows of a conn log, and how its lines look.

    ``rows`` has ``line`` (number), ``ts`` and ``written`` (epoch s; the latter is an
    estimate), and ``layout``, a position in ``layouts``.
    """

    log: LogFile
    rows: pl.DataFrame
    layouts: list[Layout]
    flat: bool  # JSON keys such as id_orig_h
    flagged: bool  # local_orig or local_resp is known of some rows


def inject(
    logs: Sequence[LogFile],
    placed: Sequence[Placed],
    out: Path,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Injection:
    """Copy conn logs with attacks laid over them, and write ``labels.csv`` beside.

    Parameters
    ----------
    logs
        From :func:`find_logs`. With several loggers each writes its share of an attack.
    placed
        Attacks at times within the logs.
    out
        A new or empty directory; files keep their names and their places below the
        folder that they have in common. Packed files are packed with gzip.
    seed
        Decides which rows an outage takes away.
    progress
        Called after each file with the number of files written, and of all.

    Raises
    ------
    ConfigError
        If an attack lies outside the logs or over another, or ``out`` is in use.
    InputError
        If the logs hold no rows, or one cannot be read.

    Notes
    -----
    When an existing row was written is estimated: its end, plus Zeek's timer, as a
    median over neighbours that never goes back.

    Examples
    --------
    Lay a port scan over an archive:

    >>> from entropy_ids.simulate import schedule, usual
    >>> def scanned(logs, out):
    ...     placed = schedule([usual("port-scan")], *span(logs), seed=1)
    ...     return inject(logs, placed, out)
    """
    check_target(out)
    files = [_read(log) for log in logs]
    check_times(placed, *_span(files))
    conn = pl.concat([_NO_ROWS, *(p.logs["conn"] for p in placed)], how="diagonal")
    added = _added(files, conn.sort("written"))
    root = os.path.commonpath([log.path.absolute().parent for log in logs])
    paths, missing = list[Path](), 0
    for number, file in enumerate(files):
        rng = np.random.default_rng([seed, number])
        gone = file.rows["line"].filter(lost(file.rows["ts"], placed, rng))
        target = out / file.log.path.absolute().relative_to(root)
        paths.append(_write(file, target, added[number], set(gone)))
        missing += len(gone)
        if progress:
            progress(number + 1, len(files))
    labels = [attack.label for attack in placed]
    write_labels(out, labels)
    return Injection(len(conn), missing, paths, labels)


def span(logs: Sequence[LogFile]) -> tuple[float, float]:
    """Estimate when the first and the last row of logs were written, in epoch s.

    Raises
    ------
    InputError
        If the logs hold no rows.
    """
    holding = [log for log in logs if log.around_us is not None]
    return _span([_read(log) for log in holding[:1] + holding[-1:]])


def _span(files: Sequence[_File]) -> tuple[float, float]:
    times = pl.concat([_steady(file.rows["written"]) for file in files])
    if times.is_empty():
        raise InputError(
            "expected conn logs with rows to lay attacks over, found none; "
            "give logs that cover some hours"
        )
    ordered = times.to_numpy()
    return float(ordered.min()), float(ordered.max())


def _steady(times: pl.Series) -> pl.Series:
    """Make times of writing monotone, whatever a few rows say."""
    return times.rolling_median(MEDIAN_ROWS, min_samples=1, center=True).cum_max()


def _read(log: LogFile) -> _File:
    """Read what is needed to tell where a row belongs."""
    layouts, tables, flat, flagged = list[Layout](), [_EMPTY], False, False
    for segment in segments(log.path):
        rows = parse(segment).flows.frame
        if segment.layout not in layouts:
            layouts.append(segment.layout)
        flat |= b'"id_orig_h":' in segment.data
        flagged |= rows.select(pl.col(FLAGS).is_not_null().any()).row(0) != (False,) * 2
        tables.append(_timed(rows, layouts.index(segment.layout)))
    return _File(log, pl.concat(tables), layouts, flat, flagged)


_NO_ROWS: Final = pl.DataFrame(schema=schema(FIELDS) | {"written": pl.Float64()})
_EMPTY: Final = pl.DataFrame(
    schema={
        "line": pl.Int64,
        "ts": pl.Float64,
        "written": pl.Float64,
        "layout": pl.Int32,
    }
)


def _timed(rows: pl.DataFrame, layout: int) -> pl.DataFrame:
    """Estimate when rows were written."""
    rng = np.random.default_rng(0)
    return (
        rows.with_columns(
            ts=pl.col("ts").dt.epoch("us") / 1e6,
            duration=pl.col("duration").dt.total_microseconds() / 1e6,
        )
        .with_columns(written=written(rng, len(rows)), layout=pl.lit(layout, pl.Int32))
        .select(_EMPTY.columns)
    )


def _added(files: Sequence[_File], conn: pl.DataFrame) -> list[Added]:
    """Find the place of each attack row; give for each file what is added to it."""
    added = [Added() for _ in files]
    streams = defaultdict[str, list[pl.DataFrame]](list)
    for number, file in enumerate(files):
        rows = file.rows.with_columns(file=pl.lit(number))
        streams[file.log.stream] += [rows] if len(rows) else []
    for turn, tables in enumerate(streams.values()):
        share = conn[turn :: len(streams)]
        for key, rows in _settled(share, pl.concat(tables)):
            file = files[key[0]]
            texts = _lines(rows, file, file.layouts[key[1]])
            for line, text in zip(rows["before"], texts, strict=True):
                added[key[0]].setdefault(line, []).append(text)
    return added


def _settled(
    share: pl.DataFrame, rows: pl.DataFrame
) -> Iterator[tuple[tuple[int, int], pl.DataFrame]]:
    """Say for each attack row which line of which file it stands before.

    Yield them by file and layout.
    """
    rank = _steady(rows["written"]).search_sorted(share["written"], side="right")
    after = rows[(rank.cast(pl.Int64) - 1).clip(0)].select("file", "layout", "line")
    before = pl.col("line") + (rank > 0).cast(pl.Int64)  # none stands before the first
    placed = pl.concat([share, after.with_columns(before=before)], how="horizontal")
    groups = placed.partition_by("file", "layout", maintain_order=True, as_dict=True)
    for (file, layout), group in groups.items():
        yield (int(file), int(layout)), group


def _lines(rows: pl.DataFrame, file: _File, layout: Layout) -> list[bytes]:
    """Spell rows as a file does, with its columns, times and flags."""
    rows = rows.select(FIELDS.keys())
    if layout.ts_style == "millis":
        rows = rows.with_columns((pl.col("ts") * 1000).round().cast(pl.Int64))
    elif layout.ts_style == "iso":
        stamp = pl.from_epoch((pl.col("ts") * 1e6).round().cast(pl.Int64), "us")
        rows = rows.with_columns(stamp.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
    if not file.flagged:
        rows = rows.with_columns(pl.lit(None, pl.String).alias(name) for name in FLAGS)
    if layout.format == "json":
        return [_json_line(row, flat=file.flat) for row in rows.iter_rows(named=True)]
    columns = (
        pl.col(name) if name in FIELDS else pl.lit(None, pl.String).alias(name)
        for name in layout.fields
    )
    text = rows.select(columns).write_csv(
        include_header=False,
        separator=layout.separator.decode(),
        quote_style="never",
        null_value=layout.unset,
        float_precision=6,
    )
    return text.encode().split(b"\n")[:-1]


def _json_line(row: dict[str, object], *, flat: bool) -> bytes:
    known = {
        key.replace(".", "_") if flat else key: value == "T" if key in FLAGS else value
        for key, value in row.items()
        if value is not None
    }
    return json.dumps(known, separators=(",", ":")).encode()


def _write(file: _File, target: Path, added: Added, gone: set[int]) -> Path:
    """Write a file's copy; one that nothing happens to is the same to the byte."""
    source = file.log.path
    target.parent.mkdir(parents=True, exist_ok=True)
    if not added and not gone:
        shutil.copyfile(source, target)
        return target
    lines, packed = _edited(source, added, gone), source.suffix in (".gz", ".zst")
    target = target.with_suffix(".gz") if packed else target
    with target.open("wb") as raw:
        if packed:
            with gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as stream:
                stream.writelines(lines)
        else:
            raw.writelines(lines)
    return target


def _edited(source: Path, added: Added, gone: set[int]) -> Iterator[bytes]:
    """Yield a file's bytes with lines added and taken away."""
    first, whole = 1, True
    for block in blocks(source):
        lines = block.split(b"\n")
        whole = not lines[-1]
        if whole:
            lines.pop()
        kept = list[bytes]()
        for number, line in enumerate(lines, first):
            kept += added.pop(number, ())
            kept += () if number in gone else (line,)
        first += len(lines)
        yield b"\n".join(kept) + (b"\n" if whole and kept else b"")
    for rest in added.values():  # behind the last line
        yield b"".join([b"" if whole else b"\n", *(line + b"\n" for line in rest)])
