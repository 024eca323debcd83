"""CICIDS2017, its flows with addresses: ``GeneratedLabelledFlows``.

A week of a small office with attacks from outside, as CICFlowMeter saw it.

Notes
-----
* Names of columns have leading spaces, one occurs twice, the labels of web attacks hold
  a byte of Windows' code page, and Thursday morning's file ends with some 288,000 rows
  of commas alone: these are bad rows, ``missing``.
* Hours are of a 12-hour clock without AM or PM, in New Brunswick's summer time. The
  capture ran from 9 to 17 h, so that 1 to 5 are afternoon. Days come first. A time that
  is then outside 8 to 18 h of 3 to 7 July 2017 was written in another form, and is
  refused rather than guessed. All files but Monday's give minutes, no seconds.
* Bytes are payload, as Zeek counts them. A protocol number other than TCP, UDP and ICMP
  is Zeek's ``unknown_transport``. The set says nothing of service and state.

References
----------
Sharafaldin, Lashkari, Ghorbani: Toward generating a new intrusion detection dataset and
intrusion traffic characterization, ICISSP 2018, doi:10.5220/0006639801080116. What is
wrong in it: Engelen, Rimmer, Joosen, SPW 2021, doi:10.1109/SPW53761.2021.00009.
"""

from __future__ import annotations

import polars as pl

from entropy_ids.collector.datasets.rows import class_of, moment_us, number
from entropy_ids.collector.datasets.tables import Table, named

UTC_OFFSET_H = -3
"""Hours: Atlantic daylight time, all through the capture."""
_FIRST_US = 1_499_050_800_000_000  # 2017-07-03 00:00 of that clock
_HOUR_US = 3_600_000_000
_DAYS = 5
_AFTERNOON = (1, 5)
_OPEN = (8, 17)
_PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmp"}


def stamp_us(text: pl.Expr) -> pl.Expr:
    """Read a time of the set, microseconds since 1970, UTC; null where it is none.

    Examples
    --------
    >>> times = pl.DataFrame({"ts": ["7/7/2017 3:30", "03/07/2017 08:55:58"]})
    >>> times.select(stamp_us(pl.col("ts")).cast(pl.Datetime("us"))).rows()[0][0]
    datetime.datetime(2017, 7, 7, 18, 30)
    """
    seconds = text.str.replace(r"^(\S+ \d+:\d+)$", "$1:00")
    local = moment_us(seconds, "%d/%m/%Y %H:%M:%S", UTC_OFFSET_H) - _FIRST_US
    day, hour = local // (24 * _HOUR_US), local // _HOUR_US % 24
    later = pl.when(hour.is_between(*_AFTERNOON)).then(12).otherwise(0)
    inside = day.is_between(0, _DAYS - 1) & (hour + later).is_between(*_OPEN)
    return pl.when(inside).then(local + _FIRST_US + later * _HOUR_US)


def _protocol(text: pl.Expr) -> pl.Expr:
    whole = text.str.strip_chars().str.strip_suffix(".0")
    named = whole.replace_strict(_PROTOCOLS, default="unknown_transport")
    return pl.when(whole != "").then(named)


CICIDS2017 = Table(
    name="CICIDS2017",
    header=named("Flow ID", "Source IP", "Destination IP", "Timestamp"),
    texts={
        "ts": pl.col("Timestamp"),
        "id.orig_h": pl.col("Source IP"),
        "id.orig_p": pl.col("Source Port"),
        "id.resp_h": pl.col("Destination IP"),
        "id.resp_p": pl.col("Destination Port"),
        "proto": _protocol(pl.col("Protocol")),
        "duration": pl.col("Flow Duration"),
        "orig_bytes": pl.col("Total Length of Fwd Packets"),
        "resp_bytes": pl.col("Total Length of Bwd Packets"),
        "orig_pkts": pl.col("Total Fwd Packets"),
        "resp_pkts": pl.col("Total Backward Packets"),
        "label": class_of(pl.col("Label")),
        "detail": pl.col("Label"),
    },
    stamp=stamp_us(pl.col("ts")),
    length=number(pl.col("duration")),
)
