"""Conn logs as Zeeks of several years write them, and what the collector reads of them.

A row is a dictionary of Python values by Zeek's column names; None is unset.
"""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import zstandard

from entropy_ids.collector import Parsed, parse, segments
from entropy_ids.collector.schema import KEPT
from entropy_ids.collector.segments import BLOCK_BYTES
from entropy_ids.types import FlowBatch

Row = Mapping[str, Any]

T0 = 1_713_682_798
"""2024-04-21 06:59:58 UTC."""
COLUMNS = tuple(
    "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes "
    "resp_bytes conn_state local_orig local_resp missed_bytes history orig_pkts "
    "orig_ip_bytes resp_pkts resp_ip_bytes tunnel_parents".split()
)
TYPES = dict(
    zip(
        COLUMNS,
        "time string addr port addr port enum string interval count count string bool "
        "bool count string count count count count set[string]".split(),
        strict=True,
    )
)
VINTAGES = {
    "2.0": tuple(name for name in COLUMNS[:-1] if name != "local_resp"),
    "2.1": tuple(name for name in COLUMNS if name != "local_resp"),
    "2.4": COLUMNS,
    "2.5 policy": (*COLUMNS, "orig_l2_addr", "resp_l2_addr", "vlan", "inner_vlan"),
    "ext func": ("_node_name", *COLUMNS),
}
HEADER_LINES = 8
"""Row n of a log that `tsv` writes is in line HEADER_LINES + n."""
_SHORT = {name.replace("id.", ""): name for name in COLUMNS if name.startswith("id.")}


def conn(number: int = 1, **values: Any) -> Row:
    """Give connection ``number``, one a second; ``id.`` may be left out of names."""
    row = {
        "ts": T0 + number + 0.25,
        "uid": f"C{number}",
        "id.orig_h": "10.0.0.1",
        "id.orig_p": 40_000 + number % 20_000,
        "id.resp_h": "192.0.2.80",
        "id.resp_p": 443,
        "proto": "tcp",
        "service": "ssl",
        "duration": 1.5,
        "orig_bytes": 1200,
        "resp_bytes": 3400,
        "conn_state": "SF",
        "local_orig": True,
        "local_resp": False,
        "missed_bytes": 0,
        "history": "ShADadFf",
        "orig_pkts": 12,
        "orig_ip_bytes": 1700,
        "resp_pkts": 10,
        "resp_ip_bytes": 3900,
    }
    return row | {_SHORT.get(name, name): value for name, value in values.items()}


def header(
    columns: Sequence[str] = COLUMNS,
    *,
    separator: str = "\t",
    unset: str = "-",
    path: str = "conn",
) -> bytes:
    """Give the eight lines that begin a TSV log."""
    lines = [
        ("#set_separator", ","),
        ("#empty_field", "(empty)"),
        ("#unset_field", unset),
        ("#path", path),
        ("#open", "2024-04-21-06-59-58"),
        ("#fields", *columns),
        ("#types", *(TYPES.get(name, "string") for name in columns)),
    ]
    text = "".join(separator.join(line) + "\n" for line in lines)
    return f"#separator \\x{ord(separator):02x}\n{text}".encode()


def tsv_rows(
    rows: Iterable[Row],
    columns: Sequence[str] = COLUMNS,
    *,
    separator: str = "\t",
    unset: str = "-",
) -> bytes:
    """Give rows without a header."""
    cells = ([_cell(row.get(name), unset) for name in columns] for row in rows)
    return "".join(separator.join(line) + "\n" for line in cells).encode()


def tsv(rows: Iterable[Row], columns: Sequence[str] = COLUMNS, **form: str) -> bytes:
    """Give a TSV log without ``#close``; ``form`` is ``separator`` and ``unset``."""
    return header(columns, **form) + tsv_rows(rows, columns, **form)


def json_rows(rows: Iterable[Row]) -> bytes:
    """Give a JSON log; unset values are left out, as Zeek does."""
    lines = ({k: v for k, v in row.items() if v is not None} for row in rows)
    dumped = (json.dumps(line, separators=(",", ":")) for line in lines)
    return "".join(line + "\n" for line in dumped).encode()


def _cell(value: Any, unset: str) -> str:
    if value is None:
        return unset
    if isinstance(value, bool):
        return "T" if value else "F"
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def write(path: Path, data: bytes) -> Path:
    """Write ``data``, packed as the name says (.gz, .zst), making folders."""
    pack = {".gz": gzip.compress, ".zst": zstandard.compress}.get(path.suffix, bytes)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pack(data))
    return path


def write_conn(path: Path, rows: Iterable[Row], **form: Any) -> Path:
    """Write a TSV log of ``rows``; ``form`` as for `tsv`."""
    return write(path, tsv(rows, **form))


def read_conn(path: Path, block_bytes: int = BLOCK_BYTES) -> Parsed:
    """Read a whole file as the collector does, block by block."""
    parts = [parse(segment) for segment in segments(path, block_bytes)]
    empty = pl.DataFrame(schema=KEPT | {"line": pl.Int64})
    frame = pl.concat([empty, *(part.flows.frame for part in parts)])
    bad = [row for part in parts for row in part.bad]
    return Parsed(FlowBatch(frame, str(path)), bad)
