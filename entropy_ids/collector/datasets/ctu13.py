"""CTU-13: thirteen captures of botnets in a university's traffic, as Argus saw them.

The bidirectional flows with labels, ``*.binetflow``. The class of flows from a botnet
is ``Botnet``; of what is neither that nor normal nor background, the label's own text.

Notes
-----
* Times are of Prague's summer clock.
* Argus gives the packets of both sides together, so that they stay unknown, and counts
  bytes with headers, where Zeek counts payload. Ports of ICMP are hexadecimal; ARP has
  none, and where it has hardware addresses its rows are bad, ``address``.
* Of a TCP flow Argus writes the flags of both sides, such as ``FSPA_FSPA``. From these
  three states are certain (see `entropy_ids.collector.datasets.rows.tcp_state`).
* Direction is taken as written, ``<-`` and ``<?>`` too: source is who the set says.

References
----------
García, Grill, Stiborek, Zunino: An empirical comparison of botnet detection methods,
Computers & Security 45, 2014, doi:10.1016/j.cose.2014.05.011.
"""

from __future__ import annotations

import polars as pl

from entropy_ids.collector.datasets.rows import (
    NORMAL,
    class_of,
    moment_us,
    number,
    tcp_state,
)
from entropy_ids.collector.datasets.tables import Table, named

UTC_OFFSET_H = 2
"""Hours: Central European summer time, all through August 2011."""
_FLAGS = r"^([FSRPAECU]*)_([FSRPAECU]*)$"
_QUIET = r"(?i)^(flow=)?((from|to)-)?(normal|background)"


def _class(label: pl.Expr) -> pl.Expr:
    text = label.str.strip_chars()
    return (
        pl.when(text.str.contains("(?i)botnet"))
        .then(pl.lit("Botnet"))
        .when(text.str.contains(_QUIET))
        .then(pl.lit(NORMAL))
        .otherwise(class_of(text.str.strip_prefix("flow=")))
    )


def _state() -> pl.Expr:
    flags = pl.col("State").str.strip_chars()
    sides = (flags.str.extract(_FLAGS, side) for side in (1, 2))
    is_tcp = pl.col("Proto").str.strip_chars().str.to_lowercase() == "tcp"
    return pl.when(is_tcp).then(tcp_state(*sides))


def _received() -> pl.Expr:
    """Bytes of the destination; a total that is no number is left as it is."""
    both, sent = (number(pl.col(n).str.strip_chars()) for n in ("TotBytes", "SrcBytes"))
    return (
        pl.when(both.is_null())
        .then(pl.col("TotBytes"))
        .otherwise((both - sent).cast(pl.String))
    )


_PROTOCOL = pl.col("Proto").str.strip_chars().str.to_lowercase()

CTU13 = Table(
    name="CTU-13",
    header=named("StartTime", "Dur", "SrcAddr", "DstAddr"),
    texts={
        "ts": pl.col("StartTime"),
        "id.orig_h": pl.col("SrcAddr"),
        "id.orig_p": pl.col("Sport"),
        "id.resp_h": pl.col("DstAddr"),
        "id.resp_p": pl.col("Dport"),
        "proto": _PROTOCOL.replace("ipv6-icmp", "icmp"),
        "duration": pl.col("Dur"),
        "orig_bytes": pl.col("SrcBytes"),
        "resp_bytes": _received(),
        "conn_state": _state(),
        "label": _class(pl.col("Label")),
        "detail": pl.col("Label"),
    },
    stamp=moment_us(pl.col("ts"), "%Y/%m/%d %H:%M:%S%.f", UTC_OFFSET_H),
    length=number(pl.col("duration")) * 1e6,
)
