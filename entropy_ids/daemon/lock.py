"""One daemon per state directory: a lock that the kernel lets go of when it ends."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from entropy_ids.errors import ConfigError

NAME = "lock"
_TRIES = 10
_PAUSE_S = 0.05


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Make the state directory (mode 0750) and be alone in it.

    The lock file is never removed, and the PID in it is only for people: what counts
    is the kernel's lock, which no dead process holds.

    Raises
    ------
    ConfigError
        Within a second, when another process is there, or the lock is no plain file.
    """
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    path = directory / NAME
    descriptor = _opened(path, os.O_RDWR | os.O_CREAT)
    try:
        if not _tried(descriptor):
            raise ConfigError(
                f"state.dir {directory}: expected to be alone, found another "
                f"entropy-ids{_by(descriptor)}; stop it, or give each its own state.dir"
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(descriptor)


def is_locked(directory: Path) -> bool:
    """Tell whether a daemon runs on this state directory.

    Raises
    ------
    ConfigError
        When the lock is no plain file.
    """
    path = directory / NAME
    try:
        descriptor = _opened(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _opened(path: Path, flags: int) -> int:
    """Open a lock that is a file of its own: no link, no pipe."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o640)
    except OSError as err:
        if err.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise _not_plain(path) from err
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_plain(path)
    return descriptor


def _not_plain(path: Path) -> ConfigError:
    return ConfigError(
        f"{path}: expected a plain file to lock, found something else; see who made "
        f"it, and remove it"
    )


def _tried(descriptor: int) -> bool:
    """Try for half a second: `is_locked` of others holds it for an instant."""
    for _ in range(_TRIES):
        if _locked(descriptor, fcntl.LOCK_EX):
            return True
        time.sleep(_PAUSE_S)
    return False


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _by(descriptor: int) -> str:
    digits = os.pread(descriptor, 20, 0).strip()
    return f" (process {int(digits)})" if digits.isdigit() else ""
