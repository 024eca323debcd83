"""Write logs as a live Zeek and its archivers do, one file operation at a time.

What Zeek does is told from its source and from runs of Zeek 4.2.2. Time is simulated:
nothing moves the clock but the caller, and files get its time as their mtime.
"""

import gzip
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from zeek import Row, header, json_rows, tsv_rows

Timed = tuple[int, bytes]
"""When a line is written, microseconds since 1970, and the line with its newline."""
SECOND_US = 1_000_000
_DATE = "%Y-%m-%d-%H-%M-%S"


@dataclass
class Archiving:
    """One rotated file on its way to the archive, in the steps that others can see.

    ``by_way_of`` is where the copy grows; zeekctl lets it grow in its place.
    """

    source: Path
    target: Path
    by_way_of: Path
    keep: bool
    touch: Callable[[Path], None]
    packed: bytes = b""

    def steps(self) -> list[Callable[[], None]]:
        return [self.begin, self.go_on, self.end, *([] if self.keep else [self.remove])]

    def begin(self) -> None:
        data = self.source.read_bytes()
        self.packed = gzip.compress(data) if self.target.suffix == ".gz" else data
        self.by_way_of.parent.mkdir(parents=True, exist_ok=True)
        assert not self.target.exists(), f"let a second pass, {self.target} is there"
        self._grow(b"")

    def go_on(self) -> None:
        self._grow(self.packed[: len(self.packed) // 2])

    def end(self) -> None:
        self._grow(self.packed)
        self.by_way_of.rename(self.target)

    def remove(self) -> None:
        self.source.unlink()

    def _grow(self, data: bytes) -> None:
        """Append what is missing; the file keeps its inode."""
        with self.by_way_of.open("ab") as file:
            file.write(data[file.tell() :])
        self.touch(self.by_way_of)


class FakeZeek:
    """The writer of one conn log, with its archiver.

    Parameters
    ----------
    logger
        Suffix of archived names, as zeekctl gives it when there are several loggers.
    gzip_archive
        False copies the plain file, as zeekctl does with ``compresslogs = 0``.
    postprocessor
        ``plain`` leaves rotated files in ``log_dir``; ``zeekctl`` archives them from
        there, ``zeek-archiver`` from ``log-queue`` below it, both in `pending` steps.
    leftover_rotation
        Rotate what the last run left behind, instead of truncating it.
    interval_s
        Rotation interval, from local midnight; 0 is never.
    flush_rows
        Rows in one write(2); 0 writes a whole batch at once.

    Attributes
    ----------
    written
        Rows that were handed to the file system whole, in order, each with the number
        of its generation (one life of conn.log).
    lost
        Rows of these that no archive can ever hold: truncated, or left without header.
    pending
        The archiver's next steps.
    """

    def __init__(
        self,
        log_dir: Path,
        archive_dir: Path,
        *,
        start_us: int,
        logger: str = "",
        as_json: bool = False,
        gzip_archive: bool = True,
        postprocessor: str = "zeekctl",
        leftover_rotation: bool = False,
        interval_s: int = 3600,
        flush_rows: int = 1,
        zone: str = "UTC",
    ) -> None:
        self.log_dir, self.archive_dir = log_dir, archive_dir
        self.logger, self.as_json, self.gzip_archive = logger, as_json, gzip_archive
        self.postprocessor = postprocessor
        self.leftover_rotation = leftover_rotation
        self.interval_us = interval_s * SECOND_US
        self.flush_rows = flush_rows
        self.zone = ZoneInfo(zone)
        self.written: list[tuple[int, bytes]] = []
        self.lost: list[bytes] = []
        self.pending: deque[Callable[[], None]] = deque()
        self.now_us = start_us
        self._archivings: list[Archiving] = []
        self._fd: int | None = None
        self._buffer: list[bytes] = []
        self._half: tuple[bytes, bytes] | None = None
        self._here: list[bytes] = []
        self._headless = False
        self._generation = -1
        self._opened_us = self._started_us = start_us
        self._begun_us: int | None = None
        log_dir.mkdir(parents=True, exist_ok=True)

    @property
    def live(self) -> Path:
        return self.log_dir / "conn.log"

    @property
    def running(self) -> bool:
        return self._fd is not None

    def now(self) -> float:
        """Give the simulated time in seconds, for a reader that asks for a clock."""
        return self.now_us / SECOND_US

    # writing

    def log(self, *rows: Row | bytes) -> None:
        """Take rows into Zeek's buffer; `flush` writes them."""
        if self._begun_us is None:
            self._begun_us = self.now_us
        self._buffer += [self._line(row) for row in rows]

    def flush(self, rows: int | None = None) -> None:
        """Write the first ``rows`` rows of the buffer, or all of them."""
        batch = self._buffer[:rows]
        self._buffer = self._buffer[len(batch) :]
        if self._half:
            self._put(self._half[1])
            self._count([self._half[0]])
            self._half = None
        if not batch:
            return
        self._open()
        size = self.flush_rows or len(batch)
        for start in range(0, len(batch), size):
            self._put(b"".join(batch[start : start + size]))
        self._count(batch)

    def half_line(self, row: Row | bytes, share: float = 0.5) -> None:
        """Write the buffer and a part of one more row; the next operation goes on."""
        self.flush()
        self.log(row)
        line = self._buffer.pop()
        cut = int(share * (len(line) - 1))
        self._open()
        self._put(line[:cut])
        self._half = line, line[cut:]

    def play(self, rows: deque[Timed], until_us: int) -> None:
        """Take what is written before ``until_us`` from ``rows`` and write it.

        A second's rows are written at its end, and rotation is at its times; archiving
        is left to the caller (`pending`).
        """
        while rows and rows[0][0] < until_us:
            self._pass(rows[0][0])
            self.log(rows.popleft()[1])
        self._pass(until_us)

    def _pass(self, until_us: int) -> None:
        while (boundary := self._boundary()) <= until_us:
            self._end_second(boundary)
            self.now_us = boundary
            self.rotate()
        self._end_second(until_us)
        self.now_us = max(self.now_us, until_us)

    def _end_second(self, until_us: int) -> None:
        end_us = (self.now_us // SECOND_US + 1) * SECOND_US
        if self._buffer and end_us <= until_us:
            self.now_us = end_us
            self.flush()

    def _boundary(self) -> int:
        """Give the next time of rotation."""
        if not self.interval_us:
            return 1 << 62
        midnight = self._local(self.now_us).replace(hour=0, minute=0, second=0)
        since = self.now_us - int(midnight.timestamp()) * SECOND_US
        return self.now_us + self.interval_us - since % self.interval_us

    def _line(self, row: Row | bytes) -> bytes:
        if isinstance(row, bytes):
            return row
        return json_rows([row]) if self.as_json else tsv_rows([row])

    def _open(self) -> None:
        """Open conn.log at its first row; what stood in it is truncated in place."""
        if self._fd is not None:
            return
        if self.live.exists():
            self.lost += self._here
        self._here, self._headless = [], False
        self._fd = os.open(self.live, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self._generation += 1
        self._opened_us = self.now_us
        if not self.as_json:
            before, _, after = header().partition(b"2024-04-21-06-59-58")
            for line in (before + self._date().encode() + after).splitlines(True):
                self._put(line[:1])
                self._put(line[1:])

    def _put(self, data: bytes) -> None:
        assert self._fd is not None
        while data:
            data = data[os.write(self._fd, data) :]
        os.utime(self._fd, ns=(self.now_us * 1000,) * 2)

    def _count(self, rows: list[bytes]) -> None:
        self.written += [(self._generation, row) for row in rows]
        (self.lost if self._headless else self._here).extend(rows)

    # rotation and archive

    def rotate(self) -> None:
        """Write what is held, close, rename, and queue the archiver's steps."""
        self.flush()
        if self._begun_us is None:
            return
        if self._fd is not None:
            self._close()
            self._move_away(self._begun_us, self.now_us)
        self._begun_us = self.now_us

    def steps(self) -> Iterator[None]:
        """Run the archiver's steps one by one."""
        while self.pending:
            self.pending.popleft()()
            yield

    def archive(self) -> None:
        """Run all steps of the archiver that are left."""
        deque(self.steps(), maxlen=0)

    def _close(self) -> None:
        assert self._fd is not None
        if not self.as_json:
            self._put(f"#close\t{self._date()}\n".encode())
        os.close(self._fd)
        self._fd = None

    def _move_away(self, opened_us: int, closed_us: int) -> None:
        date = self._date(opened_us)
        rotated = self.log_dir / f"conn.{date}.log"
        if self.postprocessor == "zeek-archiver":
            meta = f"log_suffix={self.logger}__" if self.logger else ""
            name = f"conn__{date}__{self._date(closed_us)}__{meta}.log"
            rotated = self.log_dir / "log-queue" / name
            rotated.parent.mkdir(exist_ok=True)
        assert not rotated.exists(), f"let a second pass, {rotated} is there"
        self.live.rename(rotated)
        self._here = []
        if self.postprocessor != "plain":
            self._archive(rotated, opened_us, closed_us)

    def _archive(
        self, source: Path, opened_us: int, closed_us: int, *, keep: bool = False
    ) -> None:
        opened, closed = self._local(opened_us), self._local(closed_us)
        suffix = f"-{self.logger}" if self.logger else ""
        packed = ".gz" if self.gzip_archive else ""
        name = f"conn.{opened:%H:%M:%S}-{closed:%H:%M:%S}{suffix}.log{packed}"
        target = self.archive_dir / f"{opened:%Y-%m-%d}" / name
        hidden = target.with_name(f".tmp.{name}")
        by_way_of = hidden if self.postprocessor == "zeek-archiver" else target
        job = Archiving(source, target, by_way_of, keep, self._touch)
        self._archivings.append(job)
        self.pending += job.steps()

    # stops, starts and accidents

    def stop(self, *still_open: Row | bytes) -> None:
        """Stop as after SIGTERM; connections ``still_open`` get their rows now."""
        if self.interval_us:
            self.rotate()
        self.log(*still_open)
        self.flush()
        if self._fd is not None:
            self._close()

    def kill(self, half: Row | bytes | None = None) -> None:
        """Stop as after SIGKILL; ``half`` is a row of which the first half stays."""
        self._buffer = []
        if half is not None:
            self.half_line(half)
        self._half = None
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def restart(self) -> None:
        """Start again in the same directory; call `stop` or `kill` before."""
        assert self._fd is None, "stop or kill comes first"
        if self.leftover_rotation and self.live.exists():
            self._move_away(self._opened_us, self.live.stat().st_mtime_ns // 1000)
        self._begun_us, self._started_us = None, self.now_us

    def crash_spool_move(self) -> Path:
        """Crash under zeekctl: the directory is moved, its conn.log archived later.

        What lay in it stays where it was moved to, which is returned.
        """
        assert self.postprocessor == "zeekctl", "only zeekctl moves the spool"
        self.kill()
        here = self.log_dir.resolve()
        name = f"post-terminate-standalone-{self._date()}-4711-crash"
        away = here.parent / "tmp" / name
        away.parent.mkdir(exist_ok=True)
        here.rename(away)
        here.mkdir()
        for job in self._archivings:
            if job.source.parent == self.log_dir:
                job.source = away / job.source.name
        if (away / "conn.log").exists():
            opened_us = self._begun_us or self._started_us
            self._archive(away / "conn.log", opened_us, self.now_us, keep=True)
        self._here = []
        self.restart()
        return away

    def copytruncate(self) -> None:
        """Let a log rotator copy conn.log and empty it, as Zeek forbids.

        Zeek writes on at its old offset, after a hole of NULs and without a header.
        """
        self.flush()
        shutil.copyfile(self.live, self.log_dir / "conn.log.1")
        os.truncate(self.live, 0)
        self._touch(self.live)
        self.lost += self._here
        self._here, self._headless = [], self._headless or not self.as_json

    # clock

    def _touch(self, path: Path) -> None:
        os.utime(path, ns=(self.now_us * 1000,) * 2)

    def _local(self, time_us: int) -> datetime:
        moment = datetime.fromtimestamp(time_us // SECOND_US, UTC)
        return moment.astimezone(self.zone)

    def _date(self, time_us: int | None = None) -> str:
        return f"{self._local(self.now_us if time_us is None else time_us):{_DATE}}"
