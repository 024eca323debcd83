"""Files that others follow: appended to, or put in place whole, never rewritten.

What stands in them is the business of `entropy_ids.alarms.outputs`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from entropy_ids.errors import ConfigError

MODE = 0o640
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""No symbolic link is followed, and no pipe can keep us waiting."""


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    try:
        fd = os.open(path, flags | _SAFELY, MODE)
    except OSError as err:
        if err.errno not in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise
        raise _not_regular(path) from err
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _not_regular(path)
        yield fd
    finally:
        os.close(fd)


def _not_regular(path: Path) -> ConfigError:
    return ConfigError(
        f"{path}: expected a regular file, found a link, a directory or a device; "
        "move it away"
    )


def read(path: Path, most_bytes: int | None = None) -> bytes:
    """Give a file's bytes from its beginning; none when there is no file.

    Raises
    ------
    ConfigError
        When it is no regular file.
    """
    try:
        with (
            _opened(path, os.O_RDONLY) as fd,
            os.fdopen(fd, "rb", closefd=False) as file,
        ):
            return file.read(-1 if most_bytes is None else most_bytes)
    except FileNotFoundError:
        return b""


def append(path: Path, data: bytes) -> int:
    """Append to a file, which is made when there is none; give its size before.

    Raises
    ------
    ConfigError
        When it is no regular file.
    """
    with _opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as fd:
        before = os.fstat(fd).st_size
        _write(fd, data)
        return before


def sync(path: Path) -> None:
    """Wait until all of a file is on disk."""
    with _opened(path, os.O_WRONLY | os.O_CREAT) as fd:
        os.fsync(fd)


def sync_directory(directory: Path) -> None:
    """Wait until the names in a directory are on disk."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Put a whole file in place at once: a reader sees the old one or the new one."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        with _opened(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as fd:
            _write(fd, data)
            if durable:
                os.fsync(fd)
        part.replace(path)
    except OSError:
        with suppress(OSError):  # the space is wanted
            part.unlink(missing_ok=True)
        raise


def _write(fd: int, data: bytes) -> None:
    """Write all; a disk that gets full takes a part first."""
    while data:
        data = data[os.write(fd, data) :]


class LineFile:
    """A file of lines, appended to; lines that are there already are not repeated.

    Parameters
    ----------
    path
        The file; it need not be there.
    size
        Bytes of it that a checkpoint knows of. What lies beyond was written before a
        kill, and is expected to be written again.
    settled
        True when nothing is expected: then no line is ever written twice.

    Attributes
    ----------
    size
        Bytes up to which it holds what was written through this object or before.
    touched
        True when it is not the file that a checkpoint knows of.
    """

    def __init__(self, path: Path, size: int, *, settled: bool) -> None:
        data = read(path)
        self.path = path
        self.touched = len(data) < size
        self.size = len(data) if settled or self.touched else size
        self._end = len(data)
        self._torn = data[data.rfind(b"\n") + 1 :]
        self._settled = settled
        self._known = set(lines(data if settled else data[self.size :]))
        self._dirty = True

    def holds(self, line: bytes) -> bool:
        """Tell whether a line is there already."""
        return line in self._known

    def write(self, line: bytes) -> str | None:
        """Append a line unless it is there; say what is odd about the file, if any."""
        if self.holds(line):
            self.size = min(self.size + len(line), self._end)
            return None
        ahead, torn = self._end - self.size, self._torn
        goes_on = line.startswith(torn)
        data = line[len(torn) :] if goes_on else b"\n" + line
        before = append(self.path, data)
        odd = self._odd(before, ahead > 0 and not (goes_on and ahead == len(torn)))
        self.size = self._end = before + len(data)
        self._torn, self._dirty = b"", True
        if self._settled:
            self._known.add(line)
        return odd

    def _odd(self, before: int, differs: bool) -> str | None:
        if before != self._end:
            return "output-touched"
        return "regenerated-differs" if differs else None

    def sync(self) -> None:
        """Wait until it is on disk; an empty file is made when there is none."""
        if self._dirty:
            sync(self.path)
        self._dirty = False


def lines(data: bytes) -> list[bytes]:
    """Split into whole lines with their ends; half a line at the end is left out."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]
