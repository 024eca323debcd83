"""Find conn logs: files, globs, and directories in Zeek's archive layouts.

Names only tell which log a file holds and which logger wrote it; the order comes from
the rows, because names carry local times that repeat when clocks go back.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from entropy_ids.collector import datasets
from entropy_ids.collector.parse import parse
from entropy_ids.collector.schema import end_us
from entropy_ids.collector.segments import Segment, segments
from entropy_ids.errors import InputError

PACKED = (".gz", ".zst")
_DATE = r"\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d"
_SHORT_DATE = r"\d\d-\d\d-\d\d_\d\d\.\d\d\.\d\d"
_LOG = re.compile(
    rf"""(?P<log>[a-z0-9_]+)(
        \.{_DATE}                                          # Zeek's own rotation
      | -{_SHORT_DATE}                                       # the same, no interval
      | \.{_SHORT_DATE}-{_SHORT_DATE}                        # custom post-processor
      | \.\d\d[:.]\d\d[:.]\d\d-\d\d[:.]\d\d[:.]\d\d(-(?P<suffix>[\w.-]+?))?    # zeekctl
      | __{_DATE}__{_DATE}__(\[?(?P<meta>[^\]]*?)(__)?\]?)?      # zeek-archiver
    )?\.log(\.labeled)?(\.gz|\.zst)?""",
    re.VERBOSE,
)
LIVE = "conn.log"
_LEFT_US = 3600 * 10**6
"""What a stopping Zeek leaves as conn.log are connections that were still open, some
without a packet for an hour; all of it was written after the last rotated file."""
PROBE_ROWS = 64
PROBE_BYTES = 64 << 10
"""64 KiB: holds the first rows of any conn log, some 150 B (JSON 500 B) each."""


@dataclass(frozen=True)
class LogFile:
    """A log file, the logger that wrote it, and the time by which it is put in order.

    Attributes
    ----------
    stream
        The logger's name; empty where there is only one. Streams of other logs than
        conn are named ``dns/logger-1``.
    around_us
        Median end of the first rows (in other logs than conn: their ``ts``),
        microseconds since 1970; None without rows.
    is_labelled
        True for a labelled set (`entropy_ids.collector.datasets`).
    """

    path: Path
    stream: str
    around_us: int | None
    is_labelled: bool = False

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return self.path.stat().st_size

    @property
    def log(self) -> str:
        """The log that it holds."""
        return log_of_stream(self.stream)


def log_of_stream(stream: str) -> str:
    """Tell which log a stream is of, by its name.

    Examples
    --------
    >>> log_of_stream("logger-1"), log_of_stream("dns/logger-1"), log_of_stream("")
    ('conn', 'dns', 'conn')
    """
    return stream.rpartition("/")[0] or "conn"


def is_conn_name(name: str) -> bool:
    """Tell whether a directory entry is a conn log, by Zeek's ways to name one.

    Examples
    --------
    >>> is_conn_name("conn.07:00:00-08:00:00.log.gz"), is_conn_name("conn-summary.log")
    (True, False)
    """
    return log_of(name) == "conn"


def log_of(name: str) -> str | None:
    """Tell which log a file holds, by Zeek's ways to name one; None where it is none.

    Examples
    --------
    >>> log_of("http.2026-11-22-10-00-00.log.zst"), log_of("conn-summary.log")
    ('http', None)
    """
    found = _LOG.fullmatch(name)
    return found["log"] if found else None


def stream_of(name: str) -> str:
    """Name the logger that wrote a file; empty when the name tells none.

    Examples
    --------
    >>> stream_of("conn.07:00:00-08:00:00-logger-1.log.gz")
    'logger-1'
    """
    found = _LOG.fullmatch(name)
    if not found:
        return ""
    meta = re.search(r"log_suffix=([\w.-]+)", found["meta"] or "")
    return meta[1] if meta else (found["suffix"] or "")


def find_logs(sources: Iterable[str | Path]) -> list[LogFile]:
    """Find the conn logs that ``sources`` name, each once, in the order of their rows.

    Files of labelled sets are taken for conn logs.

    Parameters
    ----------
    sources
        Files (taken whatever their name), globs, or directories (searched for names of
        conn logs; dot files and summaries are passed over).

    Raises
    ------
    InputError
        When a source names nothing, or no conn log.
    """
    paths = each_once(path for source in sources for path in _expand(str(source)))
    return sorted(map(_probe, paths), key=by_time)


def each_once(paths: Iterable[Path]) -> list[Path]:
    """Leave out what is named twice; of a file and its packed copy the plain one wins.

    Examples
    --------
    >>> [path.name for path in each_once([Path("dns.log.gz"), Path("dns.log")])]
    ['dns.log']
    """
    found: dict[tuple[Path, str], Path] = {}
    for path in paths:
        real = path.resolve()
        key = (real.parent, _unpacked(real.name))
        known = found.get(key)
        if known is None or known.suffix in PACKED:
            found[key] = path
    return list(found.values())


def by_time(log: LogFile) -> tuple[bool, int, str]:
    """Give what files are put in order by; those without rows come last."""
    left_us = _LEFT_US if log.path.name == LIVE else 0
    return log.around_us is None, (log.around_us or 0) + left_us, str(log.path)


def _expand(source: str) -> list[Path]:
    paths = [Path(source)]
    try:
        there = paths[0].exists()
    except OSError as err:
        raise InputError(
            f"{source}: expected a readable path, found: {err.strerror}"
        ) from err
    if not there:
        paths = [Path(name) for name in sorted(glob.glob(source, recursive=True))]
        paths = [path for path in paths if path.is_dir() or is_conn_name(path.name)]
    if not paths:
        raise InputError(
            f"{source}: expected a conn log, a directory or a glob that names some, "
            "found nothing; check the path"
        )
    files: list[Path] = []
    for path in paths:
        files += _conn_files(path) if path.is_dir() else [path]
    return files


def _conn_files(directory: Path) -> list[Path]:
    def refuse(err: OSError) -> None:
        raise err

    try:
        paths = [
            Path(folder, name)
            for folder, _, names in os.walk(directory, onerror=refuse)
            for name in names
            if is_conn_name(name)
        ]
        found = sorted(path for path in paths if path.is_file())
    except OSError as err:
        raise InputError(
            f"{err.filename}: expected a readable directory, found: {err.strerror}"
        ) from err
    if not found:
        raise InputError(
            f"{directory}: expected conn logs below it (conn.log, conn.*.log.gz ...), "
            "found none; give the directory that Zeek writes or archives to"
        )
    return found


def _unpacked(name: str) -> str:
    for suffix in PACKED:
        name = name.removesuffix(suffix)
    return name


def _probe(path: Path) -> LogFile:
    """Read the first rows; a file that is no conn log is refused here, before work."""
    if not path.is_file():
        raise InputError(f"{path}: expected a regular file, found something else")
    if datasets.labelled(path):
        return LogFile(path, "", datasets.begins_us(path), is_labelled=True)
    return LogFile(path, stream_of(path.name), around_us(segments(path, PROBE_BYTES)))


def around_us(rows: Iterable[Segment]) -> int | None:
    """Give the median end of the first rows, microseconds since 1970, if there are any.

    By it logs are put in order: the ends of single rows may lie an hour back.
    """
    ends: list[int] = []
    for segment in rows:
        ends += end_us(parse(segment).flows.frame).to_list()
        if len(ends) >= PROBE_ROWS:
            break
    ends = sorted(ends[:PROBE_ROWS])
    return ends[(len(ends) - 1) // 2] if ends else None
