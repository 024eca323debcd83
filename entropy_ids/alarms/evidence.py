"""Join: what Zeek's other logs say of the connections that an alarm names.

One pass over the files serves many incidents. Nothing here decides about alarms: it is
read again at any time, from logs that may have been removed since.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from entropy_ids.alarms import files
from entropy_ids.alarms.incidents import iso
from entropy_ids.alarms.sinks import sanitize
from entropy_ids.collector.archive import LogFile
from entropy_ids.collector.siblings import (
    Row,
    find,
    folders_around,
    rows,
    seconds,
    spanning,
)
from entropy_ids.errors import ConfigError
from entropy_ids.types import Alarm

EVIDENCE = "evidence"
"""The directory beside ``alarms.jsonl``; in it one file for each incident."""
_NAME = re.compile(r"[0-9a-f]{16}\.json")
MOST_ROWS = 50
MOST_ELEMENTS = 100
"""Of a list in a row, as Zeek itself cuts them since 8.1."""
_AT_ONCE = 50
"""Incidents in one pass: their rows are held in memory, often 1 MB for one."""
_BEFORE_S, _AFTER_S = 330.0, 60.0
"""Rows that name only hosts count so long before the first minute, since Zeek holds a
connection for up to 330 s before that minute counts it, and after the last."""


@dataclass(frozen=True)
class _Log:
    """How a log's rows are joined.

    Attributes
    ----------
    uids
        Fields that name connections.
    fuid
        The field that names a file of theirs, where rows are joined by it.
    teaches
        Fields that name further files.
    hosts
        Fields that name addresses, where rows may lack uids.
    """

    name: str
    uids: tuple[str, ...] = ("uid",)
    fuid: str = ""
    teaches: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


_ADDRESSES = (
    "orig_h",
    "resp_h",
    "orig_h_bytes",
    "resp_h_bytes",
    "dns_orig_h",
    "login_orig_h",
)
"""Contributors that are addresses."""
_ENDS = ("id.orig_h", "id.resp_h", "id_orig_h", "id_resp_h")
_CONN = _Log("conn")
_SIBLINGS = (
    _Log("dns"),
    _Log("http", teaches=("orig_fuids", "resp_fuids")),
    _Log("smtp", teaches=("fuids",)),
    _Log("ssl", teaches=("cert_chain_fuids", "client_cert_chain_fuids")),
    _Log("ssh"),
    _Log(
        "files",
        uids=("uid", "conn_uids"),
        fuid="fuid",
        teaches=("fuid",),
        hosts=("tx_hosts", "rx_hosts", *_ENDS),
    ),
    _Log("notice", fuid="fuid", hosts=("src", "dst", *_ENDS)),
)
"""Those that name files come before those that are joined by them."""
SHOWN = ("conn", "dns", "http", "files", "smtp", "ssl", "ssh", "notice")


def gather(
    alarms: Sequence[Alarm], conn: Sequence[LogFile], most_rows: int = MOST_ROWS
) -> Iterator[dict[str, Any]]:
    """Join each incident's connections to the rows of Zeek's logs.

    Parameters
    ----------
    alarms
        The newest revision of each incident.
    conn
        The sensor's conn logs; the others are looked for in the same folders.
    most_rows
        Rows kept of each log and incident, the first by time; all are counted.

    Yields
    ------
    dict
        What stands in ``evidence/ID.json``: ``id``, ``revision``, ``start``, ``end``,
        ``uids`` and the logs by name, each with ``count`` and ``rows``, and
        ``missing`` where no such log is there; ``problems`` says what could not be
        read. Values are harmless to print and as Zeek's JSON writer gives them.

    Notes
    -----
    Rows are joined by ``uid`` (files: ``conn_uids``), files and notices also by
    ``fuid``. Files and notices without either are joined when they fall into the
    incident's time and every address that they name is one of its own.
    """
    ordered = iter(sorted(alarms, key=lambda alarm: (alarm.start, alarm.id)))
    while some := [_Case(alarm, most_rows) for alarm in islice(ordered, _AT_ONCE)]:
        _join(some, conn)
        yield from (case.document() for case in some)


def write(
    directory: Path,
    alarms: Sequence[Alarm],
    conn: Sequence[LogFile],
    most_rows: int = MOST_ROWS,
) -> None:
    """Write ``evidence/ID.json`` in an alarm directory, for each of these incidents.

    Raises
    ------
    ConfigError
        When ``evidence`` is no directory.
    OSError
        When the disk is full or broken.
    """
    place = _place(directory)
    place.mkdir(mode=0o750, exist_ok=True)
    for document in gather(alarms, conn, most_rows):
        data = json.dumps(document, indent=1) + "\n"
        path = place / f"{document['id']}.json"
        files.replace(path, data.encode(), durable=False)


def write_live(
    directory: Path,
    alarms: Sequence[Alarm],
    log_dirs: Iterable[Path],
    archive_dir: Path | None,
    most_rows: int = MOST_ROWS,
) -> None:
    """Write the evidence of incidents of a live sensor, as `write` does.

    Parameters
    ----------
    log_dirs, archive_dir
        Where the sensor's loggers write, and where rotated files end up. Of folders
        named by dates, those of the incidents' days are looked into; what a
        connection of several days did on the first of them is not found.
    """
    if alarms:
        first, last = min(a.start for a in alarms), max(a.end for a in alarms)
        folders = folders_around(log_dirs, archive_dir, first, last)
        write(directory, alarms, find("conn", folders), most_rows)


def clear(directory: Path, before_s: float = float("inf")) -> None:
    """Remove the evidence in an alarm directory that was written before a time.

    Other files are left alone.

    Raises
    ------
    ConfigError
        When ``evidence`` is no directory.
    """
    for path in sorted(_place(directory).glob("*.json")):
        if _NAME.fullmatch(path.name) and path.lstat().st_mtime < before_s:
            path.unlink()


def _place(directory: Path) -> Path:
    place = directory / EVIDENCE
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise ConfigError(
            f"{place}: expected a directory, found a link or a file; move it away"
        )
    return place


class _Found:
    """The first rows of a log by time, and how many there are."""

    def __init__(self, most: int) -> None:
        self.count = 0
        self.is_missing = False
        self._most = most
        self._rows: list[tuple[float, int, Row]] = []
        self._latest = float("inf")

    def add(self, row: Row) -> None:
        stamp = seconds(row)
        order = float("inf") if stamp is None else stamp
        self.count += 1
        if order < self._latest or len(self._rows) < self._most:
            self._rows.append((order, self.count, _harmless(row)))
        if len(self._rows) >= 2 * self._most:
            self._cut()

    def _cut(self) -> None:
        self._rows = sorted(self._rows)[: self._most]
        self._latest = self._rows[-1][0] if self._rows else self._latest

    def document(self) -> dict[str, Any]:
        self._cut()
        shown = {"count": self.count, "rows": [row for _, _, row in self._rows]}
        return {**shown, "missing": True} if self.is_missing else shown


@dataclass(eq=False)
class _Case:
    """An incident, and what was found of it so far.

    Attributes
    ----------
    keys
        The uids and fuids by which rows are joined.
    hosts
        The addresses of its contributors and connections.
    first_s, last_s
        From the beginning of its first connection to its end: none ends later, since
        minutes are counted by when connections end.
    folders
        Where logs of that time lie.
    """

    alarm: Alarm
    most_rows: int
    keys: set[str] = field(init=False)
    hosts: set[str] = field(init=False)
    folders: set[Path] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        named = (c for c in self.alarm.contributors if c.feature in _ADDRESSES)
        self.keys = set(self.alarm.uids)
        self.hosts = {contributor.value for contributor in named}
        self.first_s, self.last_s = float(self.alarm.start), float(self.alarm.end)
        self.found = {name: _Found(self.most_rows) for name in SHOWN}

    def texts(self, log: _Log) -> set[str]:
        """Give what a row of this case must hold somewhere."""
        return self.keys | self.hosts if log.hosts else self.keys

    def joins(self, log: _Log, row: Row) -> bool:
        """Tell whether a row belongs to this case."""
        uids = _texts(row, log.uids)
        keys = uids | _texts(row, (log.fuid,)) if log.fuid else uids
        if not self.keys.isdisjoint(keys):
            return True
        if uids or not log.hosts:
            return False
        hosts, stamp = _texts(row, log.hosts), seconds(row)
        return bool(hosts) and hosts <= self.hosts and self._covers(stamp)

    def _covers(self, stamp: float | None) -> bool:
        first, last = self.alarm.start - _BEFORE_S, self.alarm.end + _AFTER_S
        return stamp is not None and first <= stamp <= last

    def take(self, log: _Log, row: Row) -> None:
        """Keep a row, and learn from it by what others are joined."""
        self.found[log.name].add(row)
        self.keys |= _texts(row, log.teaches)
        if log is _CONN:
            self.hosts |= _texts(row, _ENDS)
            begin = seconds(row)
            self.first_s = self.first_s if begin is None else min(self.first_s, begin)

    def document(self) -> dict[str, Any]:
        uids = [sanitize(uid) for uid in self.alarm.uids[: self.most_rows]]
        return {
            "id": self.alarm.id,
            "revision": self.alarm.revision,
            "start": iso(self.alarm.start),
            "end": iso(self.alarm.end),
            "uids": {"count": len(self.alarm.uids), "rows": uids},
            **{name: found.document() for name, found in self.found.items()},
            "problems": [sanitize(text) for text in dict.fromkeys(self.problems)],
        }


def _texts(row: Row, names: Iterable[str]) -> set[str]:
    """Give the values of fields as texts, the elements of sets one by one."""
    texts: set[str] = set()
    for name in names:
        value = row.get(name)
        if isinstance(value, str):
            texts.update(value.split(","))  # a set, where the header tells no types
        elif isinstance(value, list):
            texts.update(part for part in value if isinstance(part, str))
    return texts - {""}


def _join(cases: list[_Case], conn: Sequence[LogFile]) -> None:
    """Read conn first: it tells when, and so where, the other rows were written."""
    _read(_CONN, conn, cases)
    for case in cases:
        near = spanning(conn, case.first_s, case.last_s)
        case.folders = {file.path.parent for file in near}
    everywhere = sorted(set().union(*(case.folders for case in cases)))
    for log in _SIBLINGS:
        there = find(log.name, everywhere)
        folders = {file.path.parent for file in there}
        for case in cases:
            case.found[log.name].is_missing = case.folders.isdisjoint(folders)
        _read(log, there, cases)


def _read(log: _Log, there: Sequence[LogFile], cases: list[_Case]) -> None:
    """Read what may hold rows of some case, each file once."""
    owners: dict[Path, list[_Case]] = {}
    for case in cases:
        for file in spanning(there, case.first_s, case.last_s):
            owners.setdefault(file.path, []).append(case)
    for path in [file.path for file in there if file.path in owners]:
        problems: list[str] = []
        texts = set().union(*(case.texts(log) for case in owners[path]))
        for row in rows(path, texts, problems):
            for case in owners[path]:
                if case.joins(log, row):
                    case.take(log, row)
        for case in owners[path]:
            case.problems += problems


def _harmless(value: Any) -> Any:
    """Make every text harmless to print, and long lists short."""
    if isinstance(value, str):
        return sanitize(value)
    if isinstance(value, list):
        return [_harmless(item) for item in value[:MOST_ELEMENTS]]
    if isinstance(value, dict):
        return {sanitize(name): _harmless(item) for name, item in value.items()}
    return value
