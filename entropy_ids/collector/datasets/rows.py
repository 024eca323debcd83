"""From the texts of a set's columns to typed rows under Zeek's names, and bad rows.

The readers of the sets say which text goes where and how times are written; what makes
a row bad is said here, once for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from entropy_ids.collector.parse import Parsed
from entropy_ids.collector.schema import KEPT, REQUIRED
from entropy_ids.types import BadRow, FlowBatch

NORMAL = "normal"
"""The class of rows that are no attack, background included."""
COLUMNS: dict[str, pl.DataType] = KEPT | {
    "line": pl.Int64(),
    "label": pl.String(),
    "detail": pl.String(),
}
"""The columns of a batch: those of a conn log, and what a row was labelled: `label` is
its class, `detail` the label as the set writes it."""
TCP_UDP = ("tcp", "udp")

_BENIGN = ("normal", "benign", "background", "-", "(empty)")
_PORTS = ("id.orig_p", "id.resp_p")
_COUNTS = ("orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts")
_LOCAL = ("local_orig", "local_resp")
_MOST_US = 1e17  # the year 5138, as for logs
_MOST = {"ts": _MOST_US, "duration": _MOST_US} | dict.fromkeys(_PORTS, 65535.0)
_MOST |= dict.fromkeys(_COUNTS, 2.0**53)
_WHOLE = (*_PORTS, *_COUNTS)
_TEXTS = [name for name in KEPT if name not in ("uid", "missed_bytes")]
_NEEDED = (*REQUIRED, "label")
# as in conn logs, less what is a hardware address: those rows are no IP connections
_ADDRESS = (
    r"^(\d{1,3}(\.\d{1,3}){3}"
    r"|[0-9A-Fa-f:.]{0,40}::[0-9A-Fa-f:.]{0,40}"
    r"|([0-9A-Fa-f]{1,4}:){6}[0-9A-Fa-f:.]{1,16})$"
)
_DETAILS = {
    "unparsable": "expected numbers and a time as in the set, found other text",
    "missing": f"expected values for {', '.join(_NEEDED)}, found one unset",
    "address": "expected IP addresses, found other text",
    "range": "expected whole counts, ports and a duration of at least 0, found others",
}


def class_of(label: pl.Expr) -> pl.Expr:
    """Give a label's class: `NORMAL`, or else the set's own text, trimmed.

    Examples
    --------
    >>> labels = pl.DataFrame({"label": ["BENIGN", " Fuzzers", "(empty)"]})
    >>> labels.select(class_of(pl.col("label"))).to_series().to_list()
    ['normal', 'Fuzzers', 'normal']
    """
    text = label.str.strip_chars()
    is_benign = text.str.to_lowercase().is_in(_BENIGN)
    return pl.when(is_benign).then(pl.lit(NORMAL)).otherwise(text)


def number(text: pl.Expr) -> pl.Expr:
    """Read a decimal number; null where there is none."""
    return text.cast(pl.Float64, strict=False)


def moment_us(text: pl.Expr, form: str, utc_offset_h: int) -> pl.Expr:
    """Read a local time as microseconds since 1970, UTC; null where it is none.

    Parameters
    ----------
    form
        As `polars.Expr.str.to_datetime` takes it.
    utc_offset_h
        Hours that the clock of the set is before UTC; behind it they are below 0.
    """
    local = text.str.to_datetime(form, time_unit="us", strict=False).cast(pl.Int64)
    return (local - utc_offset_h * 3_600_000_000).cast(pl.Float64)


def tcp_state(source: pl.Expr, destination: pl.Expr) -> pl.Expr:
    """Give Zeek's conn_state where the TCP flags of both sides leave no doubt.

    A SYN alone without an answer is ``S0``, one answered by a reset ``REJ``; SYN and
    FIN but no reset from both sides is ``SF``. All else is null.

    Parameters
    ----------
    source, destination
        The letters of the flags that each side sent, in any order.

    Examples
    --------
    >>> flags = pl.DataFrame({"s": ["S", "S", "FSPA", "SPA"],
    ...                       "d": ["", "RA", "FSA", "SA"]})
    >>> flags.select(tcp_state(pl.col("s"), pl.col("d"))).to_series().to_list()
    ['S0', 'REJ', 'SF', None]
    """
    both = [
        side.str.contains("S") & side.str.contains("F") & ~side.str.contains("R")
        for side in (source, destination)
    ]
    return (
        pl.when((source == "S") & (destination == ""))
        .then(pl.lit("S0"))
        .when((source == "S") & destination.is_in(["R", "RA", "AR"]))
        .then(pl.lit("REJ"))
        .when(pl.all_horizontal(both))
        .then(pl.lit("SF"))
    )


def typed(texts: pl.DataFrame, stamp: pl.Expr, length: pl.Expr, path: str) -> Parsed:
    """Type the texts of rows, and take out the rows whose values cannot be true.

    Ports of protocols that have none count as 0 where unset, as Zeek writes them.

    Parameters
    ----------
    texts
        In file order: ``line``, ``label`` (the class), ``detail`` and columns named as
        in a conn log, all texts as the set writes them; empty or ``-`` is unset.
    stamp, length
        Microseconds since 1970 (UTC) and of the duration, from the trimmed texts
        ``ts`` and ``duration``; null where they cannot be read.
    path
        Names the file.
    """
    trimmed = _trimmed(texts)
    values = trimmed.with_columns(
        *(expr.alias(_value(name)) for name, expr in _numbers(stamp, length).items())
    ).with_columns(reason=_reason())
    bad = [
        BadRow(path, line, reason, _DETAILS[reason])
        for line, reason in values.filter(pl.col("reason").is_not_null())
        .select("line", "reason")
        .iter_rows()
    ]
    good = values.filter(pl.col("reason").is_null()).select(_kept())
    return Parsed(FlowBatch(good, path), bad)


def _value(name: str) -> str:
    return f"{name} value"


def _trimmed(texts: pl.DataFrame) -> pl.DataFrame:
    """Trim all texts but the label as written; unset ones become null."""
    absent = [name for name in _TEXTS if name not in texts.columns]
    texts = texts.with_columns(
        *(pl.lit(None, dtype=pl.String).alias(name) for name in absent)
    ).with_columns(_unset(name) for name in (*_TEXTS, "label"))
    portless = ~pl.col("proto").is_in(TCP_UDP)
    return texts.with_columns(
        pl.when(pl.col(name).is_null() & portless)
        .then(pl.lit("0"))
        .otherwise(pl.col(name))
        .alias(name)
        for name in _PORTS
    )


def _unset(name: str) -> pl.Expr:
    text = pl.col(name).str.strip_chars()
    return pl.when(~text.is_in(["", "-"])).then(text).alias(name)


def _numbers(stamp: pl.Expr, length: pl.Expr) -> dict[str, pl.Expr]:
    counts = {name: number(pl.col(name)) for name in _COUNTS}
    ports = {name: _port(pl.col(name)) for name in _PORTS}
    return {"ts": stamp, "duration": length} | counts | ports


def _port(text: pl.Expr) -> pl.Expr:
    """Read a port, decimal or (as Argus writes ICMP's) hexadecimal."""
    hexadecimal = text.str.strip_prefix("0x").str.to_integer(
        base=16, dtype=pl.Int64, strict=False
    )
    is_hex = text.str.starts_with("0x")
    return pl.when(is_hex).then(hexadecimal.cast(pl.Float64)).otherwise(number(text))


def _reason() -> pl.Expr:
    unread = (
        pl.col(name).is_not_null() & pl.col(_value(name)).is_null() for name in _MOST
    )
    address = pl.all_horizontal(
        pl.col(name).str.contains(_ADDRESS) for name in ("id.orig_h", "id.resp_h")
    )
    return (
        pl.when(pl.any_horizontal(unread))
        .then(pl.lit("unparsable"))
        .when(pl.any_horizontal(pl.col(name).is_null() for name in _NEEDED))
        .then(pl.lit("missing"))
        .when(~address)
        .then(pl.lit("address"))
        .when(pl.any_horizontal(_out_of_range()).fill_null(value=False))
        .then(pl.lit("range"))
    )


def _out_of_range() -> Iterable[pl.Expr]:
    for name, most in _MOST.items():
        value = pl.col(_value(name))
        yield ~value.is_between(0, most)  # NaN and infinity are not
        if name in _WHOLE:
            yield value != value.round()


def _kept() -> list[pl.Expr]:
    """Select `COLUMNS`; times were read as floats, exact to a microsecond."""
    columns = {
        name: pl.col(name) if name in _TEXTS else pl.lit(None) for name in COLUMNS
    }
    columns |= {name: pl.col(name) for name in ("line", "label", "detail")}
    columns |= {name: pl.col(name) == "T" for name in _LOCAL}
    columns |= {name: pl.col(_value(name)).round().cast(pl.Int64) for name in _MOST}
    return [columns[name].cast(kind).alias(name) for name, kind in COLUMNS.items()]
