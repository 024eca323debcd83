"""Know a log again, whatever its name, its place and its packing.

A *generation* is one life of a conn log, from the first row that Zeek writes to a new
file to the rename that ends it. Names repeat, inodes are used again, and a restart of
Zeek writes into the old file: only the first row tells generations apart. Where they
lie is left to `entropy_ids.collector.generations`.
"""

from __future__ import annotations

import errno
import gzip
import os
import stat
import zlib
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO, FileIO
from pathlib import Path
from typing import IO, cast

import pyarrow as pa

from entropy_ids.collector.archive import PROBE_BYTES, around_us
from entropy_ids.collector.schema import Layout
from entropy_ids.collector.segments import Segmenter, is_bare_header, packing
from entropy_ids.errors import InputError

HEAD_BYTES = 8 << 10
"""8 KiB: header and first row of a conn log take some 700 B."""
MARK_BYTES = 64
_PIECE_BYTES = 64 << 10


class Rewritten(Exception):
    """A file no longer holds what was read from it."""


def head_of(start: bytes) -> bytes | None:
    r"""Give the bytes by which a generation is known: up to its first whole row.

    Parameters
    ----------
    start
        The log from its beginning, at least 8 KiB of it where it has as many.

    Returns
    -------
    bytes or None
        At most 8 KiB; None while there is no whole row.

    Examples
    --------
    >>> head_of(b'{"ts":1.5}\n{"ts":2.5}\n{"ts":')
    b'{"ts":1.5}\n'
    >>> head_of(b"#path\tconn\n1.5\tC1") is None
    True
    """
    start = start[:HEAD_BYTES]
    end = 0
    for line in BytesIO(start):
        end += len(line)
        if line.endswith(b"\n") and _is_row(line):
            return start[:end]
    return start if len(start) == HEAD_BYTES else None


def identity_of(start: bytes) -> str | None:
    """Give the SHA-256 (hex) of `head_of`; None while there is no whole row."""
    head = head_of(start)
    return None if head is None else sha256(head).hexdigest()


def mark_of(passed: bytes) -> str:
    """Give the SHA-256 (hex) of the last 64 bytes that were read."""
    return sha256(passed[-MARK_BYTES:]).hexdigest()


def _is_row(line: bytes) -> bool:
    return bool(line.strip()) and not line.startswith(b"#") and not is_bare_header(line)


class OpenLog:
    """A log file held open and read in order, decompressed.

    It stays readable when the file is renamed or removed.

    Attributes
    ----------
    identity
        `identity_of` the file when it was opened.
    hole
        NUL bytes before the first line, left by a truncation under the writer; they
        belong to no generation.
    position
        Decompressed bytes read or passed over.
    passed
        The last 64 bytes before `position`.
    damage
        What stopped decompression before the end of the file.

    Raises
    ------
    OSError
        When it cannot be opened or is no regular file (a pipe does not hang).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.passed = b""
        self.damage: Exception | None = None
        self._raw = _open_regular(path)
        try:
            self.stat = os.fstat(self._raw.fileno())
            self._begin()
            self.hole, self._start = self._find_start()
            damage = self.damage
            self._begin()
        except OSError:
            self.close()
            raise
        self._head = head_of(self._start)
        self.identity = None if self._head is None else identity_of(self._head)
        if not self.identity:
            self.damage = damage

    def __del__(self) -> None:
        if hasattr(self, "_raw"):
            self.close()

    def close(self) -> None:
        """Let the file go."""
        self._raw.close()

    @property
    def packed(self) -> bool:
        """True for a compressed file."""
        return self._unpacked is not None

    @property
    def unread(self) -> int:
        """Bytes on disk that were not read yet."""
        at = self._raw.tell() if self.packed else self.position
        return max(0, self.stat.st_size - at)

    def around_us(self, layout: Layout | None = None) -> int:
        """Give the median end of the first rows, as far as they are there.

        Where no row tells, it is the time at which the file was last written.
        """
        start = self._start
        if not self.packed:
            start = os.pread(self._raw.fileno(), PROBE_BYTES, self.hole)
        rows = Segmenter(self.path, 1, layout if self.hole else None)
        try:
            around = around_us(rows.feed(start[: start.rfind(b"\n") + 1]))
        except InputError:
            around = None
        return self.stat.st_mtime_ns // 1000 if around is None else around

    def pass_over(self, offset: int) -> bool:
        """Go on to ``offset``; False when the file ends before."""
        if not self.packed:
            self.position = max(0, offset - MARK_BYTES)
        while self.position < offset:
            if not self.read(min(PROBE_BYTES, offset - self.position)):
                return False
        return True

    def read(self, most: int) -> bytes:
        """Read on; no bytes at the end of what is there, or at damage.

        Raises
        ------
        Rewritten
            When the file was truncated; whatever was read from it now is not given.
        """
        block = self._fetch(most)
        if not self.packed and not self._holds(len(block)):
            raise Rewritten
        self.position += len(block)
        recent = block[-MARK_BYTES:]
        self.passed = (self.passed + recent)[-MARK_BYTES:]
        return block

    def is_whole(self) -> bool:
        """Read to the end; True when there was no damage."""
        while self.read(PROBE_BYTES):
            pass
        return self.damage is None

    def _holds(self, more: int) -> bool:
        """Tell, after reading, whether this still is the file that was opened."""
        fd = self._raw.fileno()
        self.stat = os.fstat(fd)
        head = self._head or b""
        before = self.position - len(self.passed)
        return (
            self.stat.st_size >= self.position + more
            and os.pread(fd, len(head), self.hole) == head
            and os.pread(fd, len(self.passed), before) == self.passed
        )

    def _begin(self) -> None:
        self.position, self.passed, self.damage = 0, b"", None
        self._unpacked = _unpacked(self._raw)

    def _find_start(self) -> tuple[int, bytes]:
        """Give the number of leading NULs and the bytes after them."""
        hole, start = 0, b""
        while len(start) < PROBE_BYTES:
            piece = self._fetch(PROBE_BYTES)
            if not piece:
                break
            self.position += len(piece)
            if not start:
                hole += len(piece) - len(piece := piece.lstrip(b"\0"))
            start += piece
        return hole, start[:PROBE_BYTES]

    def _fetch(self, most: int) -> bytes:
        if self._unpacked is None:
            there = os.fstat(self._raw.fileno()).st_size - self.position
            most = min(most, max(0, there))
            return os.pread(self._raw.fileno(), most, self.position) if most else b""
        pieces = []
        try:
            while most > 0 and (piece := self._unpacked(min(most, _PIECE_BYTES))):
                pieces.append(piece)
                most -= len(piece)
        except (EOFError, OSError, zlib.error) as err:
            if getattr(err, "errno", None):  # damage has none
                raise
            self.damage = err
        return b"".join(pieces)


def _open_regular(path: Path) -> FileIO:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return FileIO(fd, "rb")
    os.close(fd)
    raise OSError(errno.EINVAL, "expected a regular file, found something else")


def _unpacked(raw: FileIO) -> Callable[[int], bytes] | None:
    """Give what reads a packed file from its beginning; None where it is plain."""
    how = packing(os.pread(raw.fileno(), 4, 0))
    raw.seek(0)
    if how == "gzip":  # zlib's, for isal's keeps the last bytes before damage
        return gzip.GzipFile(fileobj=raw).read1
    if how == "zstd":  # Arrow closes what it was given
        own = FileIO(os.dup(raw.fileno()), "rb")
        return cast("IO[bytes]", pa.input_stream(own, compression="zstd")).read
    return None
