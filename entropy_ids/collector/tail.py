"""Follow the conn log of one logger while Zeek writes, rotates, archives and restarts.

What was read is told by a `Cursor`, from which another process goes on: nothing twice,
nothing left out, and what was lost is remarked. Where files lie is left to
`entropy_ids.collector.generations`, what a row means to `entropy_ids.collector.parse`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from entropy_ids.collector.archive import PROBE_BYTES
from entropy_ids.collector.cursor import Cursor, beginning_of
from entropy_ids.collector.generations import NOTHING, Generation, Shelf
from entropy_ids.collector.identity import MARK_BYTES, OpenLog, Rewritten, mark_of
from entropy_ids.collector.parse import Parsed, parse
from entropy_ids.collector.schema import Layout, end_us
from entropy_ids.collector.segments import BLOCK_BYTES, Lines, Segmenter
from entropy_ids.errors import InputError
from entropy_ids.types import MINUTE_S, Quality

__all__ = ["LOST_S", "Cursor", "Follower"]

LOST_S = 120.0
"""An archiver packs an hour's log in less; what is away for longer is lost."""
_CLOSE = b"\n#close\t"


class Follower:
    """Gives the rows of one logger as they come, through all its files.

    Parameters
    ----------
    stream
        The logger's name as archived files carry it: ``logger-1`` for
        ``conn.*-logger-1.log.gz``; empty where there is only one.
    log_dir
        Where Zeek writes conn.log, anew at each poll: it may be a link, or be replaced.
    archive_dir
        Where rotated files go to; None where they stay in ``log_dir``.
    cursor
        Where to go on. Without it reading begins at the oldest file in ``log_dir``.
    now
        Gives the time in seconds since 1970; only waiting depends on it.
    archive_from_us
        Without a cursor: begin with the generation, archived ones included, that was
        written at this time, microseconds since 1970.

    Attributes
    ----------
    cursor
        The place after the rows that were given; None until a file was found.
    behind
        True when more can be read at once.
    remarks
        What happened to the files, for the caller to take: ``gap`` (rows may be lost),
        ``fields-changed`` and ``unreadable``.
    """

    def __init__(
        self,
        stream: str,
        log_dir: Path,
        archive_dir: Path | None,
        cursor: Cursor | None = None,
        now: Callable[[], float] = time.time,
        *,
        archive_from_us: int | None = None,
    ) -> None:
        self.cursor = cursor
        self.behind = False
        self.remarks: list[Quality] = []
        self._archive_from_us = archive_from_us
        self._now = now
        self._shelf = Shelf(stream, log_dir, archive_dir, self._note, now)
        self._log: OpenLog | None = None
        self._is_live = False
        self._in_archive = False
        self._lost_since_s: float | None = None
        self._problems: dict[Path, str] = {}
        self._minute = _minute_of(cursor.around_us) if cursor else 0
        self._layout = cursor.layout if cursor else None
        self._in_hole = False

    @property
    def lag_bytes(self) -> int:
        """Bytes of the present file that were not read at the last poll."""
        return self._log.unread if self._log else 0

    @property
    def problems(self) -> dict[Path, str]:
        """What keeps paths from being read now."""
        return dict(self._problems)

    def close(self) -> None:
        """Let the file go that is being read; the cursor stays."""
        if self._log:
            self._log.close()
        self._log = None

    def poll(self, most_bytes: int = 8 << 20) -> list[Parsed]:
        """Give the rows that are new, in order; never raises for what files are like.

        Parameters
        ----------
        most_bytes
            About how much to read, decompressed; `behind` tells that there is more.
        """
        given: list[Parsed] = []
        left = most_bytes
        try:
            while left > 0 and (log := self._open()):
                may_grow = self._is_live and self._is_still_live(log)
                passed = log.passed
                try:
                    block = log.read(min(left, BLOCK_BYTES))
                except Rewritten:
                    self._leave_truncated(log)
                    continue
                self._note(log.path, None)
                left -= len(block)
                if block:
                    self._take(log, passed, block, given)
                elif may_grow or not self._leave(log, given):
                    break
        except OSError as err:
            path = self._log.path if self._log else self._shelf.live
            self._note(path, err.strerror or str(err))
            self.close()
        self.behind = left <= 0
        return given

    # what was read

    def _take(
        self, log: OpenLog, passed: bytes, block: bytes, given: list[Parsed]
    ) -> None:
        """Parse the lines that ``block`` completes, and move the cursor after them."""
        cut = max(block.rfind(b"\n"), block.rfind(b"\0")) + 1
        lines = self._lines.feed(self._without_holes(log, block))
        if not cut:
            return
        segments_before = len(given)
        is_conn = self._parse(lines, given)
        cursor = self._present
        if is_conn and not cursor.offset and len(given) == segments_before:
            return  # a header alone is read again, with its first row
        begun = log.position - len(block)
        if not log.packed and begun - log.hole < PROBE_BYTES:
            cursor = replace(cursor, around_us=log.around_us(cursor.layout))
        self.cursor = replace(
            cursor,
            offset=begun + cut,
            before=mark_of(passed + block[:cut] if cut < MARK_BYTES else block[:cut]),
            line=self._segmenter.line,
            layout=self._segmenter.layout,
            mtime_ns=log.stat.st_mtime_ns,
        )
        if not is_conn:
            self._finish()

    def _parse(self, lines: bytes, given: list[Parsed]) -> bool:
        """Parse lines; False when they are no rows of a conn log."""
        try:
            for segment in self._segmenter.feed(lines):
                self._compare(segment.layout, f"{segment.path}:{segment.first_line}")
                parsed = parse(segment)
                given.append(parsed)
                last = end_us(parsed.flows.frame.tail(1)).to_list()
                self._minute = _minute_of(last[0]) if last else self._minute
        except InputError as err:
            self._remark(
                "fields-changed", f"{err}; the rest of the file is passed over"
            )
            return False
        return True

    def _compare(self, layout: Layout, where: str) -> None:
        before, self._layout = self._layout, layout
        if before and _differ(before, layout):
            old, new = (" ".join(one.fields) or "JSON" for one in (before, layout))
            detail = f"{where}: expected the same columns as before, found others"
            self._remark("fields-changed", f"{detail}: {new} (before: {old})")

    def _without_holes(self, log: OpenLog, block: bytes) -> bytes:
        """Let NULs end a line: after truncation the writer goes on at its old place."""
        if b"\0" not in block:
            self._in_hole = False
            return block
        if not (self._in_hole and block.startswith(b"\0")):
            self._remark_hole(log)
        self._in_hole = block.endswith(b"\0")
        return re.sub(rb"\0+", b"\n", block)

    # the end of a file

    def _is_still_live(self, log: OpenLog) -> bool:
        """Tell whether Zeek may append; what tells nothing is no end."""
        folder = self._shelf.log_dir
        try:
            at = self._shelf.live.stat()
        except FileNotFoundError:
            gone = not folder.is_dir()
            self._note(folder, NOTHING if gone else None)
            self._is_live = gone
        except OSError as err:
            self._note(folder, err.strerror or str(err))
        else:
            self._note(folder, None)
            self._is_live = (at.st_dev, at.st_ino) == (log.stat.st_dev, log.stat.st_ino)
        return self._is_live

    def _leave(self, log: OpenLog, given: list[Parsed]) -> bool:
        """End a generation of which there is no more; False when there may be soon."""
        is_copied = self._in_archive and not log.packed and _CLOSE not in log.passed
        if (log.damage or is_copied) and not self._shelf.is_settled(log.path):
            if log.damage:
                self.close()
            return False
        if log.damage:
            detail = f"expected a complete compressed file, found {log.damage}"
            self._remark("gap", f"{log.path}: {detail}; the rows after it are lost")
        self._parse(self._lines.rest, given)
        self._finish()
        return True

    def _leave_truncated(self, log: OpenLog) -> None:
        """Go on in a copy, if one was made, or else with what is in the file now."""
        where = f"{log.path}: expected to read on at byte {log.position}"
        self._remark("gap", f"{where}, found it truncated; what was not read is lost")
        self.close()
        if not self._find():
            self._finish()

    def _finish(self) -> None:
        self.cursor = replace(self._present, layout=self._layout).finished_here()
        self.close()

    # the next file

    def _open(self) -> OpenLog | None:
        if self._log:
            return self._log
        while self.cursor is None or self.cursor.is_finished:
            if not self._choose():
                return None
        if not self._find() and self._is_lost():
            self._remark(
                "gap",
                f"{self._present.path}: expected to read on at byte "
                f"{self._present.offset}, found the file nowhere; its rows are lost",
            )
            self._finish()
            return self._open()
        return self._log

    def _is_lost(self) -> bool:
        now_s = self._now()
        if self._lost_since_s is None:
            self._lost_since_s = now_s
        return now_s - self._lost_since_s >= LOST_S

    def _choose(self) -> bool:
        """Put the cursor before the next generation; False while there is none."""
        old = self.cursor
        done = dict(old.finished) if old else {}
        found = [one for one in self._generations() if one.key not in done]
        first_us = min(done.values()) if done else self._first_us(found)
        if any(self._may_become(one) for one in found):
            return False
        later = [
            one
            for one in found
            if one.identity or one.damaged
            if one.place == "live" or first_us is None or one.around_us >= first_us
        ]
        if not later:
            return False
        self._begin(min(later, key=lambda one: one.order))
        return True

    def _first_us(self, found: list[Generation]) -> int | None:
        """Tell from where on generations are wanted; None is everywhere."""
        wanted = self._archive_from_us
        if wanted is None:
            return None
        begun = [one.around_us for one in found if one.identity]
        return max((begin for begin in begun if begin <= wanted), default=wanted)

    def _generations(self) -> list[Generation]:
        since_ns = (self._archive_from_us or 0) * 1000
        if self.cursor:
            since_ns = self.cursor.since_ns
        archive = self.cursor is not None or self._archive_from_us is not None
        return self._shelf.generations(since_ns, archive=archive)

    def _may_become(self, one: Generation) -> bool:
        """Tell whether a file is a generation of which nothing can be read yet."""
        is_copy = one.place == "archive" or (one.packed and one.place == "spool")
        return is_copy and not one.identity and not self._shelf.is_settled(one.path)

    def _begin(self, one: Generation) -> None:
        self.cursor = beginning_of(one, after=self.cursor)
        self._lost_since_s = None
        if one.damaged:
            detail = "expected a compressed log, found nothing that can be read"
            self._remark("gap", f"{one.path}: {detail}; its rows are lost")
            self._finish()

    def _find(self) -> bool:
        """Open the cursor's generation, wherever it lies now."""
        for one in self._generations():
            if one.identity == self._present.identity and self._hold(one):
                self._lost_since_s = None
                return True
        return False

    def _hold(self, one: Generation) -> bool:
        cursor = self._present
        try:
            log = OpenLog(one.path)
            offset = max(cursor.offset, log.hole)
            there = log.identity == cursor.identity and log.pass_over(offset)
        except (OSError, Rewritten):
            return False
        moved_on = offset > cursor.offset
        if not there or not (moved_on or mark_of(log.passed) == cursor.before):
            log.close()
            return False
        layout = cursor.layout if offset else None  # after a hole comes no header
        self._log, self._lines = log, Lines()
        self._segmenter = Segmenter(one.path, cursor.line, layout)
        self._is_live, self._in_archive = one.place == "live", one.place == "archive"
        self.cursor = replace(
            cursor,
            device=log.stat.st_dev,
            inode=log.stat.st_ino,
            path=str(one.path),
            mtime_ns=log.stat.st_mtime_ns,
        )
        if moved_on:
            self._remark_hole(log)
        return True

    @property
    def _present(self) -> Cursor:
        assert self.cursor is not None, "nothing is read without a cursor"
        return self.cursor

    # remarks

    def _note(self, path: Path, problem: str | None) -> None:
        """Remark when a path becomes unreadable, and when it is readable again."""
        if problem == self._problems.get(path):
            return
        if problem:
            self._problems[path] = problem
            detail = f"expected to read it, found: {problem}"
        else:
            del self._problems[path]
            detail = "it can be read again"
        self._remark("unreadable", f"{path}: {detail}")

    def _remark_hole(self, log: OpenLog) -> None:
        detail = "expected rows, found NUL bytes, as truncation under Zeek leaves them"
        self._remark("gap", f"{log.path}: {detail}; rows may be lost")

    def _remark(self, kind: str, detail: str) -> None:
        self.remarks.append(Quality(kind, self._minute, detail))


def _minute_of(time_us: int) -> int:
    return time_us // (MINUTE_S * 10**6) * MINUTE_S


def _differ(one: Layout, other: Layout) -> bool:
    styles = {one.ts_style, other.ts_style} - {None}
    shapes = {(layout.format, layout.fields) for layout in (one, other)}
    return len(styles) > 1 or len(shapes) > 1
