"""ISCX IDS 2012: a week of a generated office, its flows as XML (Testbed...Flows.xml).

An export of a database: an element per flow, an element per column within. It is read
while it is parsed. A document type is refused, so that no entity can be declared and
none expands.

Notes
-----
* The set names a flow Normal or Attack, no more; ``Attack`` is the only class.
* Times are whole seconds of the testbed's clock, taken as New Brunswick's summer time.
* Applications are given Zeek's names where it has one, unknown ones are unset, and the
  rest keep the set's name in small letters. ``L2R`` and the like give ``local_orig``
  and ``local_resp``.
* The TCP flags of both sides make three states certain (see
  `entropy_ids.collector.datasets.rows.tcp_state`); the others stay unknown.

References
----------
Shiravi, Shiravi, Tavallaee, Ghorbani: Toward developing a systematic approach to
generate benchmark datasets for intrusion detection, Computers & Security 31, 2012,
doi:10.1016/j.cose.2011.12.012.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

import polars as pl

from entropy_ids.collector.datasets.rows import class_of, moment_us, tcp_state, typed
from entropy_ids.collector.parse import Parsed
from entropy_ids.collector.segments import blocks
from entropy_ids.errors import InputError

UTC_OFFSET_H = -3
"""Hours: Atlantic daylight time, all through June 2010."""
_FLOW = re.compile(rb"<Testbed[\w.-]*Flows[\s>]")
_ROWS = 20_000
"""Flows that are typed at once; some 20 MB of Python texts."""
_FORM = "%Y-%m-%dT%H:%M:%S"
_PROTOCOLS = {"ipv6icmp": "icmp", "icmpv6": "icmp", "ipv6-icmp": "icmp"}
_SERVICES = {
    "httpweb": "http",
    "httpimagetransfer": "http",
    "secureweb": "ssl",
    "pop": "pop3",
}
_PLAIN = {
    "ts": "startDateTime",
    "id.orig_h": "source",
    "id.orig_p": "sourcePort",
    "id.resp_h": "destination",
    "id.resp_p": "destinationPort",
    "orig_bytes": "totalSourceBytes",
    "resp_bytes": "totalDestinationBytes",
    "orig_pkts": "totalSourcePackets",
    "resp_pkts": "totalDestinationPackets",
}
_STOP = "stopDateTime"
_TAG = "Tag"
_WANTED = {
    *_PLAIN.values(),
    _STOP,
    _TAG,
    "appName",
    "protocolName",
    "direction",
    "sourceTCPFlagsDescription",
    "destinationTCPFlagsDescription",
}
_SCHEMA = {"line": pl.Int64()} | dict.fromkeys(sorted(_WANTED), pl.String())


def recognises(head: bytes) -> bool:
    """Tell by the first lines of a file whether it holds flows of the testbed."""
    return head.lstrip().startswith(b"<") and _FLOW.search(head) is not None


def read(path: Path) -> Iterator[Parsed]:
    """Yield the rows in file order; a flow's line is where its element begins.

    Raises
    ------
    InputError
        When the file cannot be read, is no XML or declares a document type, or when no
        flow has a label.
    """
    flows = _Flows(path)
    tagged = False
    for rows in flows.read():
        tagged = tagged or any(_TAG in row for row in rows)
        yield _parsed(pl.DataFrame(rows, schema=_SCHEMA, orient="row"), str(path))
    if not tagged:
        raise InputError(
            f"{path}: expected flows with an element {_TAG}, found none; give the "
            "labelled flows"
        )


class _Flows:
    """Collects the elements of flows while a file is parsed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, str | int]] = []
        self.row: dict[str, str | int] | None = None
        self.texts: list[str] = []
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._refuse

    def read(self) -> Iterator[list[dict[str, str | int]]]:
        try:
            for block in blocks(self.path):
                self.parser.Parse(block, False)
                if len(self.rows) >= _ROWS:
                    yield self._taken()
            self.parser.Parse(b"", True)
        except expat.ExpatError as err:
            raise InputError(
                f"{self.path}: expected XML to its end, found: {err}; fetch it anew"
            ) from err
        yield self._taken()

    def _taken(self) -> list[dict[str, str | int]]:
        rows, self.rows = self.rows, []
        return rows

    def _start(self, name: str, _: Mapping[str, str]) -> None:
        if name in _WANTED:
            self.texts = []
            self.parser.CharacterDataHandler = self.texts.append
        elif name.startswith("Testbed"):
            self.row = {"line": self.parser.CurrentLineNumber}

    def _end(self, name: str) -> None:
        if name in _WANTED and self.row is not None:
            self.row[name] = "".join(self.texts)
        elif name.startswith("Testbed") and self.row is not None:
            self.rows.append(self.row)
            self.row = None
        self.parser.CharacterDataHandler = None

    def _refuse(self, *_: object) -> NoReturn:
        raise InputError(
            f"{self.path}:{self.parser.CurrentLineNumber}: expected XML without a "
            "document type, found one; the set has none, so fetch it anew"
        )


def _parsed(rows: pl.DataFrame, path: str) -> Parsed:
    texts = rows.select(
        "line",
        *(pl.col(theirs).alias(ours) for ours, theirs in _PLAIN.items()),
        duration=_stop(),
        proto=_lower("protocolName").str.strip_suffix("_ip").replace(_PROTOCOLS),
        service=_service(),
        conn_state=tcp_state(_flags("source"), _flags("destination")),
        local_orig=_is_local("L2"),
        local_resp=_is_local("2L"),
        label=class_of(pl.col(_TAG)),
        detail=pl.col(_TAG),
    )
    start, stop = (
        moment_us(pl.col(name), _FORM, UTC_OFFSET_H) for name in ("ts", "duration")
    )
    return typed(texts, start, stop - start, path)


def _stop() -> pl.Expr:
    """Give the end that makes a duration; a flow without a start has none."""
    start = pl.col(_PLAIN["ts"]).str.strip_chars()
    return pl.when(start != "").then(_STOP)


def _lower(name: str) -> pl.Expr:
    return pl.col(name).str.strip_chars().str.to_lowercase()


def _service() -> pl.Expr:
    name = _lower("appName")
    return pl.when(~name.str.starts_with("unknown")).then(name.replace(_SERVICES))


def _flags(side: str) -> pl.Expr:
    """Give the letters of the flags that a side sent; null where there are none."""
    text = pl.col(f"{side}TCPFlagsDescription").str.strip_chars()
    letters = text.str.replace("N/A", "", literal=True).str.replace_all(",", "")
    return pl.when(_lower("protocolName") == "tcp_ip").then(letters)


def _is_local(mark: str) -> pl.Expr:
    """Tell by ``L2R`` and the like whether a side is local; null where untold."""
    way = pl.col("direction").str.strip_chars()
    local = way.str.contains(mark, literal=True)
    return (
        pl.when(way.str.contains("^[LR]2[LR]$"))
        .then(pl.when(local).then(pl.lit("T")).otherwise(pl.lit("F")))
        .otherwise(None)
    )
