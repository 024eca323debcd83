"""Find the generations of a logger's conn log, wherever rotation and archiver put them.

Directories are listed and files opened again only when they changed, so that an archive
of years costs little to look through.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from entropy_ids.collector.archive import LIVE, PACKED, is_conn_name, stream_of
from entropy_ids.collector.identity import OpenLog

QUEUE = "log-queue"
"""Where Zeek's own archiver takes rotated logs from, below the log directory."""
SETTLED_S = 120.0
"""What nobody wrote to for so long is not being packed or copied any more."""
_FRESH_NS = 2 * 10**9
"""A directory changed so lately may change again and keep its time of change."""
NOTHING = "nothing is there"
_IN_FLIGHT = "it is packed while Zeek writes it, so its rows come when it is complete"

Place = Literal["live", "spool", "archive"]
Note = Callable[[Path, str | None], None]


@dataclass(frozen=True)
class Generation:
    """A file that holds a generation, or may come to hold one.

    Attributes
    ----------
    identity
        As `entropy_ids.collector.identity.identity_of`; None while no row is there.
    around_us
        By which generations are put in order: as
        `entropy_ids.collector.archive.around_us`, else when the file was written.
    packed
        True for a compressed file; it is complete only where it ends as it should.
    damaged
        True where a packed file holds nothing that can be read.
    """

    path: Path
    place: Place
    identity: str | None
    around_us: int
    mtime_ns: int
    packed: bool
    damaged: bool

    @property
    def key(self) -> str:
        """The identity, or the path of a file that has none."""
        return self.identity or str(self.path)

    @property
    def order(self) -> tuple[bool, int, str]:
        """What Zeek writes to comes last, the others in the order of their rows."""
        return self.place == "live", self.around_us, str(self.path)


@dataclass(frozen=True)
class _Folder:
    """A directory as it was listed: names, and when the files were written to last.

    ``changed_ns`` is None where it may change without showing it.
    """

    inode: tuple[int, int]
    changed_ns: int | None
    files: tuple[tuple[str, int], ...]
    folders: tuple[str, ...]


@dataclass(frozen=True)
class _Seen:
    """A file as it was opened; ``since_s`` is when it was first seen so."""

    key: tuple[int, ...]
    since_s: float
    generation: Generation | None


class Shelf:
    """The conn logs of one logger.

    Parameters
    ----------
    stream
        The logger's name as archived files carry it: ``logger-1`` for
        ``conn.*-logger-1.log.gz``. Files that name no logger belong to every stream,
        and to a stream without name belong all files.
    log_dir
        Where Zeek writes ``conn.log`` and may leave rotated files.
    archive_dir
        Where rotated files end up, in folders of any depth.
    note
        Told of each path what keeps it from being read, or None.
    now
        Gives the time in seconds since 1970.
    """

    def __init__(
        self,
        stream: str,
        log_dir: Path,
        archive_dir: Path | None,
        note: Note,
        now: Callable[[], float],
    ) -> None:
        self.stream = stream
        self.log_dir = log_dir
        self.archive_dir = archive_dir
        self.live = log_dir / LIVE
        self._spool = log_dir, log_dir / QUEUE
        self._note = note
        self._now = now
        self._folders: dict[Path, _Folder] = {}
        self._seen: dict[Path, _Seen] = {}

    def generations(self, since_ns: int, *, archive: bool = True) -> list[Generation]:
        """Give what was written to since a time, the best copies first.

        Parameters
        ----------
        since_ns
            Nanoseconds since 1970, compared with the time of a file's last change.
        archive
            False leaves the archive out.
        """
        paths = {self.live: None}
        for folder in self._spool:
            paths |= dict.fromkeys(self._files(folder, since_ns))
        if archive and self.archive_dir:
            paths |= dict.fromkeys(self._walk(self.archive_dir, since_ns))
        found = [self._look(path) for path in paths]
        self._seen = {path: seen for path, seen in self._seen.items() if path in paths}
        return sorted((one for one in found if one), key=lambda one: one.packed)

    def is_settled(self, path: Path) -> bool:
        """Tell whether nobody has written to a file for two minutes."""
        self._look(path)
        try:
            written_s = path.stat().st_mtime
        except OSError:
            return True
        seen = self._seen.get(path)
        quiet_since_s = min(written_s, seen.since_s) if seen else written_s
        return self._now() - quiet_since_s >= SETTLED_S

    def _walk(self, folder: Path, since_ns: int) -> Iterator[Path]:
        files = self._files(folder, since_ns)
        listing, spool = self._folders.get(folder), self._folders.get(self.log_dir)
        if listing is None or (spool and listing.inode == spool.inode):
            return  # the log directory may lie in the archive
        yield from files
        for name in listing.folders:
            yield from self._walk(folder / name, since_ns)

    def _files(self, folder: Path, since_ns: int) -> list[Path]:
        try:
            listing = self._list(folder)
        except FileNotFoundError:
            known = self._folders.pop(folder, None)
            if folder == self.log_dir or (folder == self.archive_dir and known):
                self._note(folder, NOTHING)
            return []
        except OSError as err:
            self._note(folder, err.strerror or str(err))
            return []
        self._note(folder, None)
        files = [
            folder / name for name, time_ns in listing.files if time_ns >= since_ns
        ]
        return [path for path in files if path != self.live]

    def _list(self, folder: Path) -> _Folder:
        at = folder.stat()
        inode, changed_ns = (at.st_dev, at.st_ino), at.st_mtime_ns
        known = self._folders.get(folder)
        if known and (known.inode, known.changed_ns) == (inode, changed_ns):
            return known
        files, folders = [], []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif self._is_ours(entry.name):
                    with suppress(OSError):  # removed since, or a link to nowhere
                        files.append((entry.name, entry.stat().st_mtime_ns))
        shows = time.time_ns() - changed_ns > _FRESH_NS
        self._folders[folder] = listing = _Folder(
            inode, changed_ns if shows else None, tuple(files), tuple(folders)
        )
        return listing

    def _is_ours(self, name: str) -> bool:
        if not is_conn_name(name):
            return False
        return not self.stream or stream_of(name) in (self.stream, "")

    def _look(self, path: Path) -> Generation | None:
        """Open a file if it changed since the last look; None where there is none."""
        try:
            at = path.stat()
            key = at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns
            seen = self._seen.get(path)
            same = seen is not None and seen.key == key
            if seen and same and seen.generation:
                return seen.generation
            since_s = seen.since_s if seen and same else self._now()
            grew = seen is not None and not same
            found = self._open(path, grew=grew)
        except FileNotFoundError:
            self._note(path, None)
            return None
        except OSError as err:
            self._note(path, err.strerror or str(err))
            return None
        self._note(path, None if found else _IN_FLIGHT)
        self._seen[path] = _Seen(key, since_s, found)
        return found

    def _place(self, path: Path) -> Place:
        if path == self.live:
            return "live"
        return "spool" if path.parent in self._spool else "archive"

    def _open(self, path: Path, *, grew: bool) -> Generation | None:
        packed = path.suffix in PACKED
        in_flight = packed and path.with_suffix("") == self.live
        if in_flight and grew:  # wait until Zeek is through with it
            return None
        log = OpenLog(path)
        try:
            if in_flight and not log.is_whole():
                return None
            packed = packed or log.packed
            damaged = packed and not log.identity and (log.damage or not log.packed)
            return Generation(
                path=path,
                place=self._place(path),
                identity=log.identity,
                around_us=log.around_us(),
                mtime_ns=log.stat.st_mtime_ns,
                packed=packed,
                damaged=bool(damaged),
            )
        finally:
            log.close()
