"""Writes logs as zeekctl archives them: hourly gzipped files in a folder per day.

Bytes are a function of the rows alone: names, headers and gzip hold no wall time.
"""

import datetime as dt
import gzip
import io
from pathlib import Path
from typing import Final

import polars as pl

from entropy_ids.simulate.flows import Logs
from entropy_ids.simulate.logs import LOGS

HOUR_S: Final = 3600
GZIP_LEVEL: Final = 6  # 9 takes twice as long for 2 % less (measured)
MICRO: Final = 10**6

HEADER: Final = (
    "#separator \\x09\n"
    "#set_separator\t,\n"
    "#empty_field\t(empty)\n"
    "#unset_field\t-\n"
    "#path\t{path}\n"
    "#open\t{opened:%Y-%m-%d-%H-%M-%S}\n"
    "#fields\t{fields}\n"
    "#types\t{types}\n"
)
CLOSE: Final = "#close\t{closed:%Y-%m-%d-%H-%M-%S}\n"


def write_day(out: Path, logs: Logs, *, as_json: bool = False) -> list[Path]:
    """Write the rows that Zeek writes on one UTC day, sorted, one file a log and hour.

    Parameters
    ----------
    out
        The archive; ``out/YYYY-MM-DD/conn.HH:00:00-HH:00:00.log.gz`` are made in it,
        and so for the other logs.
    logs
        Rows with ``written`` (epoch s) within one UTC day, in any order. Columns that
        are not Zeek's are left out.
    as_json
        Write lines of JSON, as with ``LogAscii::use_json``, instead of TSV.

    Returns
    -------
    list[Path]
        The files, by log and hour; an hour without rows leaves none.
    """
    return [
        _write_hour(out, log, rows, as_json)
        for log in logs
        for rows in _hours(logs[log])
    ]


def _hours(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Part rows by the hour of writing, in the order of writing."""
    hour = (pl.col("written") // HOUR_S * HOUR_S).cast(pl.Int64)
    return (
        rows.sort("written", "uid", maintain_order=True)
        .with_columns(hour=hour)
        .partition_by("hour", maintain_order=True)
    )


def _write_hour(out: Path, log: str, rows: pl.DataFrame, as_json: bool) -> Path:
    begin, end = (_utc(rows["hour"][0] + after) for after in (0, HOUR_S))
    path = out / f"{begin:%Y-%m-%d}" / f"{log}.{begin:%H:%M:%S}-{end:%H:%M:%S}.log.gz"
    data = _json(log, rows) if as_json else _tsv(log, rows, end)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data, GZIP_LEVEL, mtime=0))
    return path


def _tsv(log: str, rows: pl.DataFrame, closed: dt.datetime) -> bytes:
    """Write rows with a header; Zeek opens the file at the first of them."""
    header = HEADER.format(
        path=log,
        opened=_utc(rows["written"][0]),
        fields="\t".join(LOGS[log]),
        types="\t".join(LOGS[log].values()),
    )
    lines = _lines(rows.select(LOGS[log].keys()))
    return header.encode() + lines + CLOSE.format(closed=closed).encode()


def _json(log: str, rows: pl.DataFrame) -> bytes:
    """Write rows as objects, without what is unset."""
    members = pl.concat_str(
        [
            pl.format(f'"{name}":{{}}', _value(pl.col(name), kind))
            for name, kind in LOGS[log].items()
        ],
        separator=",",
        ignore_nulls=True,
    )
    return _lines(rows.select(pl.concat_str(pl.lit("{"), members, pl.lit("}"))))


def _value(column: pl.Expr, kind: str) -> pl.Expr:
    """Spell the values of a Zeek type in JSON."""
    if kind in ("time", "interval"):
        micros = (column * MICRO).round().cast(pl.Int64)
        rest = (micros % MICRO).cast(pl.String).str.zfill(6)
        return pl.format("{}.{}", micros // MICRO, rest)
    if kind in ("count", "port", "double"):
        return column.cast(pl.String)
    if kind == "bool":
        return column.replace_strict({"T": "true", "F": "false"})
    text = column.cast(pl.String)
    for special in ("\\", '"'):
        text = text.str.replace_all(special, f"\\{special}", literal=True)
    if "[" not in kind:
        return pl.format('"{}"', text)
    quote = "" if kind == "vector[interval]" else '"'
    inside = text.str.replace_all(",", f"{quote},{quote}", literal=True)
    full = pl.format(f"[{quote}{{}}{quote}]", inside)
    return pl.when(column == "(empty)").then(pl.lit("[]")).otherwise(full)


def _lines(table: pl.DataFrame) -> bytes:
    """Write a table without names: tabs between columns, ``-`` where unset."""
    log = io.BytesIO()
    table.write_csv(
        log,
        include_header=False,
        separator="\t",
        quote_style="never",
        null_value="-",
        float_precision=6,
    )
    return log.getvalue()


def _utc(epoch_s: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(epoch_s, dt.UTC)
