"""Zeek's names and types: which columns of which log are read, what a header says.

The only module that spells out the columns of conn.log; other modules use the names
given here. Rows are the business of `entropy_ids.collector.parse`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd
import polars as pl
import pyarrow as pa

from entropy_ids.errors import InputError
from entropy_ids.types import FlowBatch

TsStyle = Literal["epoch", "millis", "iso"]


@dataclass(frozen=True)
class Field:
    """A column of a log: how it is parsed and how it is kept."""

    arrow: pa.DataType
    kept: pl.DataType
    required: bool = False


_TEXT = pa.string()
_COUNT = pa.int64()
CONN: dict[str, Field] = {
    "ts": Field(pa.float64(), pl.Datetime("us", "UTC"), required=True),
    "uid": Field(_TEXT, pl.String()),
    "id.orig_h": Field(_TEXT, pl.String(), required=True),
    "id.orig_p": Field(pa.uint16(), pl.UInt16(), required=True),
    "id.resp_h": Field(_TEXT, pl.String(), required=True),
    "id.resp_p": Field(pa.uint16(), pl.UInt16(), required=True),
    "proto": Field(_TEXT, pl.String(), required=True),
    "service": Field(_TEXT, pl.String()),
    "duration": Field(pa.float64(), pl.Duration("us")),
    "orig_bytes": Field(_COUNT, pl.Int64()),
    "resp_bytes": Field(_COUNT, pl.Int64()),
    "conn_state": Field(_TEXT, pl.String()),
    "local_orig": Field(pa.bool_(), pl.Boolean()),
    "local_resp": Field(pa.bool_(), pl.Boolean()),
    "orig_pkts": Field(_COUNT, pl.Int64()),
    "resp_pkts": Field(_COUNT, pl.Int64()),
    "missed_bytes": Field(_COUNT, pl.Int64()),
}
_ROW = {name: CONN[name] for name in ("ts", "uid")} | {
    name: CONN[name] for name in CONN if name.startswith("id.")
}
_WORD, _NUMBER = Field(_TEXT, pl.String()), Field(_COUNT, pl.Int64())
_FLAG = Field(pa.bool_(), pl.Boolean())
SCHEMAS: dict[str, dict[str, Field]] = {
    "conn": CONN,
    "dns": _ROW
    | {
        "rtt": CONN["duration"],
        "query": _WORD,
        "qtype_name": _WORD,
        "rcode_name": _WORD,
    },
    "ssh": _ROW | {"auth_success": _FLAG, "auth_attempts": _NUMBER},
    "http": _ROW
    | {"method": _WORD, "uri": _WORD, "status_code": _NUMBER, "username": _WORD},
    "kerberos": _ROW
    | {"request_type": _WORD, "client": _WORD, "success": _FLAG, "error_msg": _WORD},
    "smtp": _ROW | {"last_reply": _WORD},
    "ftp": _ROW | {"user": _WORD, "command": _WORD, "reply_code": _NUMBER},
}
"""The logs that can be counted, and of each the columns that are."""


def required(log: str) -> tuple[str, ...]:
    """Name the columns that every row of a log has."""
    return tuple(name for name, column in SCHEMAS[log].items() if column.required)


def kept(log: str) -> dict[str, pl.DataType]:
    """Give the columns of a log's rows, as they are kept."""
    return {name: column.kept for name, column in SCHEMAS[log].items()}


REQUIRED = required("conn")
KEPT = kept("conn")
SPANS = ("duration", "rtt")
"""From a row's ``ts`` to its end; where a log has neither, the row ends at once."""

_EPOCH = re.compile(rb"-?\d+(\.\d*)?([eE][+-]?\d+)?")
_ISO = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?")
MILLIS_FROM = 10**11
"""A whole number of at least this many seconds would be after the year 5138."""


@dataclass(frozen=True)
class Layout:
    """How the rows of a stretch of a file are to be read.

    Attributes
    ----------
    format
        ``tsv`` or ``json``, told from the content.
    fields
        The names of the TSV columns in their order; empty for JSON.
    ts_style
        Pinned by the first row that has one; None until then.
    path
        The log's own name as its ``#path`` line gives it; None when it has none.
    log
        The log that it has to be.
    """

    format: Literal["tsv", "json"]
    fields: tuple[str, ...] = ()
    separator: bytes = b"\t"
    unset: str = "-"
    ts_style: TsStyle | None = None
    path: str | None = None
    log: str = "conn"

    def pinned(self, lines: Iterable[bytes]) -> Layout:
        """Pin the style of timestamps by the first of ``lines`` that shows one."""
        for line in lines:
            if style := self._style_of(line):
                return replace(self, ts_style=style)
        return self

    def _style_of(self, line: bytes) -> TsStyle | None:
        text = self._ts_text(line)
        if text is None:
            return None
        if _EPOCH.fullmatch(text):
            return "millis" if text.isdigit() and int(text) >= MILLIS_FROM else "epoch"
        return "iso" if _ISO.fullmatch(text) else None

    def _ts_text(self, line: bytes) -> bytes | None:
        if self.format == "tsv":
            cells = line.rstrip(b"\r\n").split(self.separator)
            where = self.fields.index("ts")
            return cells[where] if where < len(cells) else None
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return None
        ts = row.get("ts") if isinstance(row, dict) else None
        return None if ts is None else str(ts).encode("utf-8", "replace")


def with_fields(layout: Layout, fields: tuple[str, ...], where: str) -> Layout:
    """Give ``layout`` other columns, checked to be those of its log."""
    missing = [name for name in required(layout.log) if name not in fields]
    if missing:
        raise InputError(
            f"{where}: expected the columns of a {layout.log} log, found no "
            f"{', '.join(missing)} in #fields; give {layout.log} logs only"
        )
    return replace(layout, fields=fields)


def end_us(frame: pl.DataFrame) -> pl.Series:
    """Give each row's end, microseconds since 1970; unset duration counts as 0."""
    end = pl.col("ts").cast(pl.Int64)
    for name in SPANS:
        if name in frame.columns:
            end = end + pl.col(name).cast(pl.Int64).fill_null(0)
    return frame.select(end.alias("end_us")).to_series()


def from_pandas(table: pd.DataFrame, path: str = "") -> FlowBatch:
    """Take a pandas table of conn rows, zat's ``LogToDataFrame`` output included.

    Parameters
    ----------
    table
        Zeek's column names; ``ts`` may be the index. Times are UTC (naive ones are
        taken as UTC, as zat gives them) or epoch seconds, ``duration`` a timedelta or
        seconds, flags bool or Zeek's ``T`` and ``F``. Other columns are ignored.

    Raises
    ------
    InputError
        When a column that every conn log has is missing.

    Examples
    --------
    >>> table = pd.DataFrame({
    ...     "ts": [1713682798.29], "id.orig_h": ["10.0.0.1"], "id.orig_p": [39416],
    ...     "id.resp_h": ["10.0.0.2"], "id.resp_p": [80], "proto": ["tcp"]})
    >>> batch = from_pandas(table)
    >>> len(batch), batch.frame["ts"][0].isoformat()
    (1, '2024-04-21T06:59:58.290000+00:00')
    """
    if table.index.name == "ts":
        table = table.reset_index()
    missing = [name for name in REQUIRED if name not in table.columns]
    if missing:
        raise InputError(
            f"expected a table with conn log columns, found no {', '.join(missing)}; "
            "use Zeek's own column names"
        )
    columns = {
        name: _column(table[name], name)
        if name in table.columns
        else pl.Series(name, [None] * len(table), dtype=kind)
        for name, kind in KEPT.items()
    }
    frame = pl.DataFrame(columns).with_columns(
        line=pl.int_range(1, len(table) + 1, dtype=pl.Int64)
    )
    return FlowBatch(frame, path)


def _column(values: pd.Series, name: str) -> pl.Series:
    kind = KEPT[name]
    if name == "ts":
        values = (
            _microseconds(values)
            if pd.api.types.is_numeric_dtype(values)
            else pd.to_datetime(values, utc=True).dt.as_unit("us").astype("int64")
        )
    elif name == "duration":
        if not pd.api.types.is_numeric_dtype(values):
            values = pd.to_timedelta(values).dt.total_seconds()
        values = _microseconds(values)
    elif kind == pl.Boolean:
        values = values.astype(object).map(
            {"T": True, "F": False, True: True, False: False}
        )
    elif kind.is_integer():
        values = values.astype("Int64")  # a column with gaps arrives as float
    elif kind == pl.String:
        values = values.astype(object).where(values.notna() & (values != "-"), None)
    data = [None if pd.isna(value) else value for value in values]
    physical = pl.Int64 if name in ("ts", "duration") else kind
    return pl.Series(name, data, dtype=physical).cast(kind)


def _microseconds(seconds: pd.Series) -> pd.Series:
    return (seconds.astype("float64") * 1e6).round().astype("Int64")
