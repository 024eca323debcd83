"""Parse a segment into typed rows; every line becomes a row or a bad row with a reason.

Whole segments go through Arrow's readers, which refuse the segment when any line is
bad. A refused segment is halved until the bad lines stand alone, so that what counts as
bad never depends on how the file was cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json

from entropy_ids.collector.schema import SCHEMAS, SPANS, Layout, kept, required
from entropy_ids.collector.segments import LINE_BYTES, Segment
from entropy_ids.types import BadRow, FlowBatch

DETAIL_CHARS = 160
_TS_LIMIT_S = 1e11  # the year 5138; keeps microseconds well inside 64 bits
_ADDRESS = r"^[0-9A-Fa-f:.]{2,45}$"
_JSON_STREAM_KEYS = ("_path", "@stream")


@dataclass(frozen=True)
class Parsed:
    """The rows of a segment, and the lines that are not rows."""

    flows: FlowBatch
    bad: list[BadRow]

    @property
    def rows(self) -> int:
        """Lines read, good and bad."""
        return len(self.flows) + len(self.bad)


def parse(segment: Segment) -> Parsed:
    """Parse a segment.

    Returns
    -------
    Parsed
        Rows in file order, and bad rows in file order. Blank lines are neither.
    """
    bad: list[BadRow] = []
    good: list[pl.DataFrame] = []
    for piece in _parse_lines(segment, segment.data, segment.first_line, bad):
        good.append(_check(piece, segment, bad))
    empty = kept(segment.layout.log) | {"line": pl.Int64}
    frame = pl.concat(good) if good else pl.DataFrame(schema=empty)
    bad.sort(key=lambda row: row.line)
    return Parsed(FlowBatch(frame, segment.path), bad)


def _parse_lines(
    segment: Segment, data: bytes, first_line: int, bad: list[BadRow]
) -> Iterator[pl.DataFrame]:
    """Yield tables of consecutive lines; append the lines that cannot be parsed."""
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    try:
        frame = _READERS[segment.layout.format](data, segment.layout)
        if frame.height == lines and not _has_long_line(data):
            numbers = pl.int_range(first_line, first_line + lines, dtype=pl.Int64)
            yield frame.with_columns(line=numbers)
            return
        problem = "a line that is no single row"
    except (pa.ArrowInvalid, UnicodeDecodeError) as err:
        problem = str(err)
    if lines == 1:
        if data.strip():
            reason, detail = _explain(data, segment.layout, problem)
            bad.append(BadRow(segment.path, first_line, reason, detail))
        return
    middle = data.find(b"\n", len(data) // 2 - 1) + 1
    if not 0 < middle < len(data):
        middle = data.rfind(b"\n", 0, len(data) - 1) + 1
    head, rest = data[:middle], data[middle:]
    yield from _parse_lines(segment, head, first_line, bad)
    yield from _parse_lines(segment, rest, first_line + head.count(b"\n"), bad)


def _has_long_line(data: bytes) -> bool:
    start = 0
    while start + LINE_BYTES < len(data):
        end = data.rfind(b"\n", start, start + LINE_BYTES + 1) + 1
        if end == 0:
            return True
        start = end
    return False


def _explain(line: bytes, layout: Layout, problem: str) -> tuple[str, str]:
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    if len(line) > LINE_BYTES:
        return "too-long", f"expected at most {LINE_BYTES} bytes, found more"
    if layout.format == "tsv":
        found = text.count(layout.separator.decode()) + 1
        if found != len(layout.fields):
            expected = f"expected {len(layout.fields)} fields as in #fields"
            return "fields", f"{expected}, found {found}"
    return "unparsable", " ".join(problem.split())[:DETAIL_CHARS]


def _read_tsv(data: bytes, layout: Layout) -> pl.DataFrame:
    schema = SCHEMAS[layout.log]
    types = {
        name: schema[name].arrow if name in schema else pa.string()
        for name in layout.fields
    }
    if layout.ts_style in ("iso", None):
        types["ts"] = pa.string()
    if data.count(b"\r") != data.count(b"\r\n"):  # Arrow would end a row there
        raise pa.ArrowInvalid("a carriage return inside a line")
    table = pa_csv.read_csv(
        pa.BufferReader(data),
        read_options=pa_csv.ReadOptions(column_names=list(layout.fields)),
        parse_options=pa_csv.ParseOptions(
            delimiter=layout.separator.decode(), quote_char=False, escape_char=False
        ),
        convert_options=pa_csv.ConvertOptions(
            column_types=types,
            include_columns=[name for name in schema if name in layout.fields],
            null_values=[layout.unset],
            true_values=["T"],
            false_values=["F"],
            strings_can_be_null=True,
        ),
    )
    return _typed(pl.DataFrame(table), layout)


def _read_json(data: bytes, layout: Layout) -> pl.DataFrame:
    columns = {name: column.arrow for name, column in SCHEMAS[layout.log].items()}
    if layout.ts_style in ("iso", None):
        columns["ts"] = pa.string()
    data = _objects(data)
    renamed = {name.replace(".", "_"): name for name in columns if "." in name}
    schema = pa.schema(
        columns
        | {flat: columns[name] for flat, name in renamed.items()}
        | dict.fromkeys(_JSON_STREAM_KEYS, pa.string())
    )
    table = pa_json.read_json(
        pa.BufferReader(data),
        read_options=pa_json.ReadOptions(block_size=max(len(data) + 1, 1 << 16)),
        parse_options=pa_json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="ignore"
        ),
    )
    frame = pl.DataFrame(table).with_columns(
        pl.coalesce(name, flat).alias(name) for flat, name in renamed.items()
    )
    stream = pl.coalesce(*_JSON_STREAM_KEYS).fill_null(layout.log)
    return _typed(frame.with_columns(stream=stream), layout)


def _objects(data: bytes) -> bytes:
    """Refuse what Arrow would read otherwise than line by line, or crash on.

    It follows objects over line ends, stops at NUL, passes on bytes that are no UTF-8
    and breaks down at a leading ``null``.
    """
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    data = data.strip() if lines == 1 else data
    first = data.startswith(b"{") + data.count(b"\n{")
    last = data.count(b"}\n") + data.count(b"}\r\n") + data.endswith(b"}")
    if not first == last == lines or b"\0" in data:
        raise pa.ArrowInvalid("expected one object on the line, found other text")
    if not data.isascii():
        data.decode()
    return data


_READERS = {"tsv": _read_tsv, "json": _read_json}


def _typed(frame: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """Give every column in its kept type; times become whole microseconds."""
    stamp = pl.col("ts")
    if layout.ts_style == "iso":
        microseconds = _iso_microseconds(stamp)
    elif layout.ts_style is None:
        microseconds = pl.lit(None, dtype=pl.Int64)
    else:
        scale = 1e3 if layout.ts_style == "millis" else 1e6
        microseconds = _whole(stamp * scale, _TS_LIMIT_S * 1e6)
    kinds = kept(layout.log)
    columns = {
        name: pl.col(name) if name in frame.columns else pl.lit(None, dtype=kind)
        for name, kind in kinds.items()
    }
    columns["ts"] = microseconds.cast(kinds["ts"])
    bad_duration = pl.lit(value=False)
    for name in [s for s in SPANS if s in kinds and s in frame.columns]:
        span = _whole(columns[name] * 1e6, _TS_LIMIT_S * 1e6).cast(kinds[name])
        bad_duration = pl.col(name).is_not_null() & span.is_null()
        columns[name] = span
    extra = {"stream": pl.col("stream")} if "stream" in frame.columns else {}
    return frame.select(**columns, **extra, bad_duration=bad_duration)


def _whole(value: pl.Expr, limit: float) -> pl.Expr:
    """Round to a whole number; null where it is not finite or beyond ``limit``."""
    inside = value.is_finite() & (value.abs() < limit)
    return pl.when(inside).then(value).round().cast(pl.Int64)


def _iso_microseconds(text: pl.Expr) -> pl.Expr:
    """Read ISO 8601; Zeek prints a fraction that rounds up as ``.1000000``: +1 s."""
    seconds = text.str.head(19).str.to_datetime(
        "%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False
    )
    digits = text.str.extract(r"\.(\d{1,9})Z?$").fill_null("0")
    fraction = (
        pl.when(digits == "1000000")
        .then(1_000_000)
        .otherwise(digits.str.pad_end(9, "0").cast(pl.Int64) // 1000)
    )
    whole = text.str.contains(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z?$")
    return pl.when(whole).then(seconds.cast(pl.Int64) + fraction)


def _check(frame: pl.DataFrame, segment: Segment, bad: list[BadRow]) -> pl.DataFrame:
    """Take out the rows whose values cannot be true."""
    log = segment.layout.log
    kinds = kept(log)
    missing = pl.any_horizontal(pl.col(name).is_null() for name in required(log))
    address = ~(
        pl.col("id.orig_h").str.contains(_ADDRESS)
        & pl.col("id.resp_h").str.contains(_ADDRESS)
    )
    counts = [name for name, kind in kinds.items() if kind == pl.Int64]
    spans = [name for name in SPANS if name in kinds]
    negative = pl.any_horizontal(
        pl.col("bad_duration"),
        *(pl.col(name) < 0 for name in counts),
        *(pl.col(name) < pl.duration() for name in spans),
    )
    reason = (
        pl.when(pl.col("stream") != log if "stream" in frame.columns else pl.lit(False))
        .then(pl.lit("other-log"))
        .when(missing)
        .then(pl.lit("missing"))
        .when(address)
        .then(pl.lit("address"))
        .when(negative.fill_null(value=False))
        .then(pl.lit("range"))
    )
    frame = frame.with_columns(reason=reason)
    rows = frame.select(*kinds, "line")
    if frame["reason"].null_count() == frame.height:
        return rows
    details = _details(log)
    is_good = frame["reason"].is_null()
    for row in frame.filter(~is_good).iter_rows(named=True):
        reason = row["reason"]
        bad.append(BadRow(segment.path, row["line"], reason, details[reason]))
    return rows.filter(is_good)


def _details(log: str) -> dict[str, str]:
    """Say why a row of a log was taken out, by reason."""
    names = ", ".join(required(log))
    return {
        "other-log": f"expected a row of the {log} log, found one of another log",
        "missing": f"expected values for {names}, found one unset",
        "address": "expected IP addresses in id.orig_h and id.resp_h, found other text",
        "range": "expected counts and a duration of at least 0, found less or no "
        "number",
    }
