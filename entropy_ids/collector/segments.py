"""Cut a log file into stretches of whole lines under one header, decompressed.

Streams: only one block is held at a time. What the lines mean is left to
`entropy_ids.collector.parse`, so that stretches can be parsed side by side.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
from isal import igzip, isal_zlib

from entropy_ids.collector.schema import Layout, with_fields
from entropy_ids.errors import InputError

BLOCK_BYTES = 4 << 20
"""4 MiB: parsing is as fast as with the whole file, and memory stays small."""
LINE_BYTES = 64 << 10
"""64 KiB: conn rows are some 150 B; a longer line is not a row."""

_DAMAGED = (EOFError, OSError, cast("type[Exception]", isal_zlib.IsalError))


@dataclass(frozen=True)
class Segment:
    """Whole lines of one file under one header, without any header line."""

    path: str
    first_line: int
    layout: Layout
    data: bytes


def open_log(path: Path) -> IO[bytes]:
    """Open a plain, gzip or zstd file for reading, told apart by its first bytes."""
    try:
        with path.open("rb") as raw:
            magic = raw.read(4)
        if magic[:2] == b"\x1f\x8b":
            return cast("IO[bytes]", igzip.GzipFile(path))  # type: ignore[no-untyped-call]
        if magic == b"\x28\xb5\x2f\xfd":  # Arrow notices a frame that was cut short
            return cast("IO[bytes]", pa.input_stream(str(path), compression="zstd"))
        return path.open("rb")
    except OSError as err:
        raise InputError(
            f"{path}: expected a readable log file, found: {err.strerror}"
        ) from err


def blocks(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield the decompressed file in pieces that end with a line; the last one may not.

    Raises
    ------
    InputError
        When the file cannot be read to its end; archives cut short are named so.
    """
    carry = b""
    with closing(open_log(path)) as stream:
        while True:
            try:
                block = stream.read(block_bytes)
            except _DAMAGED as err:
                if getattr(err, "errno", None):  # damage has none
                    raise InputError(
                        f"{path}: expected a readable log file, found: {err}"
                    ) from err
                raise InputError(
                    f"{path}: expected a complete compressed file, found it damaged or "
                    f"cut short ({err}); restore it from the sensor or leave it out"
                ) from err
            if not block:
                break
            cut = block.rfind(b"\n") + 1
            if cut:
                yield carry + block[:cut]
                carry = block[cut:]
            else:  # an endless line is kept only as far as it shows that it is too long
                carry = (carry + block)[: LINE_BYTES + 1]
    if carry:
        yield carry


def segments(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[Segment]:
    """Yield a conn log's rows in stretches that one `Layout` describes.

    Raises
    ------
    InputError
        When the content is neither Zeek TSV nor one JSON object per line, when it is
        another log than conn, or when it cannot be read.
    """
    layout: Layout | None = None
    line = 1
    for block in blocks(path, block_bytes):
        if layout is None:
            block = _clean_start(block, path) if line == 1 else block
            blank = len(block) - len(block.lstrip())
            used = block.rfind(b"\n", 0, blank) + 1
            line += block[:used].count(b"\n")
            block = block[used:]
            if not block.strip():
                continue
            layout, used = _first_layout(block, path)
            line += block[:used].count(b"\n")
            block = block[used:]
        for is_header, data in _split_headers(block, layout):
            if is_header:
                layout = _header_line(layout, data, f"{path}:{line}")
            elif data.strip():
                _check_is_conn(layout, f"{path}:{line}")
                if layout.ts_style is None:
                    layout = layout.pinned(BytesIO(data))
                yield Segment(str(path), line, layout, data)
            line += data.count(b"\n")


def _clean_start(block: bytes, path: Path) -> bytes:
    if block.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(
            f"{path}: expected UTF-8, found UTF-16; convert it with iconv first"
        )
    block = block.removeprefix(b"\xef\xbb\xbf")
    stripped = block.lstrip(b" \t")
    return stripped if stripped.startswith(b"#") else block


def _first_layout(block: bytes, path: Path) -> tuple[Layout, int]:
    """Tell the format by the first line; give the bytes that it took as a header."""
    start = block.lstrip()[:1]
    if start == b"#":
        return Layout("tsv"), 0
    if start == b"{":
        return Layout("json"), 0
    if start == b"[":
        raise InputError(
            f"{path}: expected one JSON object per line, found a JSON array; "
            "convert it with: jq -c '.[]'"
        )
    first, _, _ = block.partition(b"\n")
    names = tuple(first.decode("utf-8", "replace").strip("\r").split("\t"))
    if "ts" in names and "id.orig_h" in names:  # LogAscii::tsv=T writes a bare header
        layout = with_fields(Layout("tsv"), names, f"{path}:1")
        return layout, min(len(first) + 1, len(block))
    raise InputError(
        f"{path}: expected a Zeek log (a #fields header, or one JSON object per line), "
        f"found neither in the first line; the columns are unknown, so leave it out"
    )


def _split_headers(block: bytes, layout: Layout) -> Iterator[tuple[bool, bytes]]:
    """Separate lines that begin with ``#``; JSON has none."""
    start = 0
    while start < len(block):
        if layout.format == "json":
            yield False, block[start:]
            return
        if block.startswith(b"#", start):
            end = block.find(b"\n", start) + 1 or len(block)
            yield True, block[start:end]
        else:
            end = block.find(b"\n#", start) + 1 or len(block)
            yield False, block[start:end]
        start = end


def _header_line(layout: Layout, line: bytes, where: str) -> Layout:
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    if text.startswith("#separator "):
        return replace(layout, separator=_separator(text, where))
    key, _, value = text.partition(layout.separator.decode())
    if key == "#fields":
        fields = tuple(value.split(layout.separator.decode()))
        if layout.path not in (None, "conn"):
            return replace(layout, fields=fields)
        return replace(with_fields(layout, fields, where), ts_style=None)
    if key == "#unset_field":
        return replace(layout, unset=value)
    if key == "#path":
        return replace(layout, path=value)
    return layout


def _separator(text: str, where: str) -> bytes:
    code = text.removeprefix("#separator ").strip()
    found = re.fullmatch(r"\\x([0-7][0-9a-fA-F])|([!-~])", code)
    if not found or found[1] in ("00", "0a", "0A", "0d", "0D"):
        raise InputError(
            f"{where}: expected #separator with one byte such as \\x09, found {code!r}"
        )
    return bytes.fromhex(found[1]) if found[1] else found[2].encode()


def _check_is_conn(layout: Layout, where: str) -> None:
    if layout.path not in (None, "conn"):
        raise InputError(
            f"{where}: expected #path conn, found #path {layout.path}; "
            "give conn logs only, the others are joined from them"
        )
    if layout.format == "tsv" and not layout.fields:
        raise InputError(
            f"{where}: expected a #fields line before the first row, found none; "
            "the columns are unknown, so leave the file out"
        )
    if layout.format == "tsv":
        with_fields(layout, layout.fields, where)
