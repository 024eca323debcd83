"""The place up to which a stream was read, from which another process can go on."""

from __future__ import annotations

from dataclasses import dataclass, replace

from entropy_ids.collector.generations import Generation
from entropy_ids.collector.identity import mark_of
from entropy_ids.collector.schema import Layout

_REMEMBERED_US = 2 * 86_400 * 10**6
"""2 days: an archiver that lags behind by more is a matter for its operator."""
_SLACK_NS = 2 * 3600 * 10**9
"""2 h: first rows may end an hour before the file began, and clocks may differ."""


@dataclass(frozen=True)
class Cursor:
    """Where the reading of one stream stands: after the last row that was given.

    Attributes
    ----------
    identity
        Of the generation, as `entropy_ids.collector.identity.identity_of`.
    offset
        Decompressed bytes that were taken, whole lines.
    before
        Hash of the last 64 bytes before ``offset``.
    device, inode, path, mtime_ns
        The file as it was last; hints, since files move.
    line
        Number of the next line.
    layout
        How the last row was read.
    around_us
        Median end of the generation's first rows, by which generations are ordered.
    finished
        Generations read to their end, with their ``around_us``: those within two days
        of this one.
    """

    identity: str
    offset: int
    before: str
    device: int
    inode: int
    path: str
    line: int
    layout: Layout | None
    around_us: int
    mtime_ns: int
    finished: tuple[tuple[str, int], ...] = ()

    @property
    def is_finished(self) -> bool:
        """True when the next row is to be sought in a later generation."""
        return self.identity in dict(self.finished)

    @property
    def since_ns(self) -> int:
        """Before this time no later generation was written to last.

        A copy in the archive may have been made long after its last row, and rows may
        be older than any file; two days bound what has to be looked at.
        """
        earliest_ns = self.mtime_ns - _REMEMBERED_US * 1000
        return max(earliest_ns, min(self.mtime_ns, self.around_us * 1000)) - _SLACK_NS

    def finished_here(self) -> Cursor:
        """Give the same place, its generation being read to the end."""
        kept = [
            (identity, around_us)
            for identity, around_us in self.finished
            if abs(around_us - self.around_us) <= _REMEMBERED_US
        ]
        this = self.identity, self.around_us
        return replace(self, finished=(*kept, this))


def beginning_of(one: Generation, after: Cursor | None) -> Cursor:
    """Give the place before a generation's first byte, coming from another one."""
    return Cursor(
        identity=one.key,
        offset=0,
        before=mark_of(b""),
        device=0,
        inode=0,
        path=str(one.path),
        line=1,
        layout=after.layout if after else None,
        around_us=one.around_us,
        mtime_ns=one.mtime_ns,
        finished=after.finished if after else (),
    )
