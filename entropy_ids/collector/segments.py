"""Cut a log file into stretches of whole lines under one header, decompressed.

Streams: only one block is held at a time, and a log may still be growing. What lines
mean is left to `entropy_ids.collector.parse`, so that stretches can be parsed side by
side.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import IO, Literal, cast

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


class Lines:
    """Cut bytes that arrive in pieces of any size into blocks of whole lines.

    Attributes
    ----------
    rest
        The line that has begun. An endless one is kept only as far as it shows that it
        is too long.
    """

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, block: bytes) -> bytes:
        """Take the next bytes; give the lines that they complete."""
        cut = block.rfind(b"\n") + 1
        if not cut:
            self.rest = (self.rest + block)[: LINE_BYTES + 1]
            return b""
        whole = self.rest + block[:cut]
        self.rest = block[cut:]
        return whole


def packing(magic: bytes) -> Literal["gzip", "zstd"] | None:
    """Tell by a file's first four bytes how it is packed; None where it is plain."""
    if magic[:2] == b"\x1f\x8b":
        return "gzip"
    return "zstd" if magic == b"\x28\xb5\x2f\xfd" else None


def open_log(path: Path) -> IO[bytes]:
    """Open a plain, gzip or zstd file for reading, told apart by its first bytes."""
    try:
        with path.open("rb") as raw:
            packed = packing(raw.read(4))
        if packed == "gzip":
            return cast("IO[bytes]", igzip.GzipFile(path))  # type: ignore[no-untyped-call]
        if packed == "zstd":  # Arrow notices a frame that was cut short
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
    lines = Lines()
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
            if whole := lines.feed(block):
                yield whole
    if lines.rest:
        yield lines.rest


class Segmenter:
    r"""Cut a log into segments while it arrives.

    Where one stopped another can go on, made from its `path`, `line` and `layout`.

    Parameters
    ----------
    path
        Names the file in segments and errors.
    line
        Number of the next line, from 1.
    layout
        How rows are to be read; None until the first line told.
    log
        The log that it has to be.

    Examples
    --------
    >>> segmenter = Segmenter("conn.log")
    >>> [segment.data for segment in segmenter.feed(b'{"ts":1.5}\n')]
    [b'{"ts":1.5}\n']
    >>> segmenter.line, segmenter.layout.format
    (2, 'json')
    """

    def __init__(
        self,
        path: str | Path,
        line: int = 1,
        layout: Layout | None = None,
        log: str = "conn",
    ) -> None:
        self.path = str(path)
        self.line = line
        self.layout = layout
        self.log = log

    def feed(self, block: bytes) -> Iterator[Segment]:
        """Yield the rows of whole lines, in stretches that one `Layout` describes.

        A block ends with a line; only the last of a log may not.

        Raises
        ------
        InputError
            When the content is neither Zeek TSV nor one JSON object per line, or is
            another log.
        """
        if self.layout is None:
            block = self._begin(block)
        if self.layout is None:
            return
        for is_header, data in _split_headers(block, self.layout):
            where = f"{self.path}:{self.line}"
            line, self.line = self.line, self.line + data.count(b"\n")
            if is_header:
                self.layout = _header_line(self.layout, data, where)
            elif data.strip():
                _check_is_log(self.layout, where)
                if self.layout.ts_style is None:
                    self.layout = self.layout.pinned(BytesIO(data))
                yield Segment(self.path, line, self.layout, data)

    def _begin(self, block: bytes) -> bytes:
        """Learn the layout from the first line; give what comes after it."""
        block = _clean_start(block, self.path) if self.line == 1 else block
        blank = len(block) - len(block.lstrip())
        block = self._pass(block, block.rfind(b"\n", 0, blank) + 1)
        if not block.strip():
            return b""
        self.layout, used = _first_layout(block, self.path, self.log)
        return self._pass(block, used)

    def _pass(self, block: bytes, used: int) -> bytes:
        self.line += block.count(b"\n", 0, used)
        return block[used:]


def segments(
    path: Path, block_bytes: int = BLOCK_BYTES, log: str = "conn"
) -> Iterator[Segment]:
    """Yield a log's rows in stretches that one `Layout` describes.

    Raises
    ------
    InputError
        When the content is neither Zeek TSV nor one JSON object per line, when it is
        another log, or when it cannot be read.
    """
    segmenter = Segmenter(path, log=log)
    for block in blocks(path, block_bytes):
        yield from segmenter.feed(block)


def _clean_start(block: bytes, path: str) -> bytes:
    if block.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(
            f"{path}: expected UTF-8, found UTF-16; convert it with iconv first"
        )
    block = block.removeprefix(b"\xef\xbb\xbf")
    stripped = block.lstrip(b" \t")
    return stripped if stripped.startswith(b"#") else block


def _first_layout(block: bytes, path: str, log: str) -> tuple[Layout, int]:
    """Tell the format by the first line; give the bytes that it took as a header."""
    start = block.lstrip()[:1]
    if start == b"#":
        return Layout("tsv", log=log), 0
    if start == b"{":
        return Layout("json", log=log), 0
    if start == b"[":
        raise InputError(
            f"{path}: expected one JSON object per line, found a JSON array; "
            "convert it with: jq -c '.[]'"
        )
    first, _, _ = block.partition(b"\n")
    names = tuple(first.decode("utf-8", "replace").strip("\r").split("\t"))
    if is_bare_header(first):
        layout = with_fields(Layout("tsv", log=log), names, f"{path}:1")
        return layout, min(len(first) + 1, len(block))
    raise InputError(
        f"{path}: expected a Zeek log (a #fields header, or one JSON object per line), "
        f"found neither in the first line; the columns are unknown, so leave it out"
    )


def is_bare_header(line: bytes) -> bool:
    """Tell whether a line holds nothing but names, as ``LogAscii::tsv=T`` begins."""
    names = line.rstrip(b"\r\n").split(b"\t")
    return b"ts" in names and b"id.orig_h" in names


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
        if layout.path not in (None, layout.log):
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


def _check_is_log(layout: Layout, where: str) -> None:
    if layout.path not in (None, layout.log):
        is_conn = layout.log == "conn"
        advice = "give conn logs only, the others are joined from them"
        raise InputError(
            f"{where}: expected #path {layout.log}, found #path {layout.path}; "
            f"{advice if is_conn else 'name the file as its log is named'}"
        )
    if layout.format == "tsv" and not layout.fields:
        raise InputError(
            f"{where}: expected a #fields line before the first row, found none; "
            "the columns are unknown, so leave the file out"
        )
    if layout.format == "tsv":
        with_fields(layout, layout.fields, where)
