"""Find the logs that Zeek writes beside conn, and read their rows that name something.

Any log can be read, conn as well, with the columns that it has. What the rows have to
do with one another is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import chain, islice
from operator import attrgetter
from pathlib import Path
from statistics import median_low
from typing import Any

import msgspec
import polars as pl

from entropy_ids.collector.archive import (
    PROBE_BYTES,
    PROBE_ROWS,
    LogFile,
    each_once,
    log_of,
    stream_of,
)
from entropy_ids.collector.generations import QUEUE
from entropy_ids.collector.schema import MILLIS_FROM
from entropy_ids.collector.segments import blocks
from entropy_ids.errors import InputError

Row = dict[str, Any]
"""By Zeek's names, as its JSON writer gives values: what is unset is absent."""
SLACK_S = 3600.0
"""A file is taken to begin and end up to an hour beside its first rows: those of long
connections are written late."""
BLOCK_BYTES = 2 << 20
"""2 MiB: a line of an http log may be 1 MiB long; before damage so much may be lost."""
_COUNT = re.compile(r"-?\d{1,19}", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?([eE][+-]?\d{1,2})?", re.ASCII)


def find(log: str, folders: Iterable[Path]) -> list[LogFile]:
    """Find the files of one log in folders, each once; those below are left out.

    A file whose beginning cannot be read has no time. A folder that is not there, or
    cannot be listed, has no files.
    """
    paths: list[Path] = []
    for folder in folders:
        try:
            paths += sorted(p for p in folder.iterdir() if log_of(p.name) == log)
        except OSError:
            continue
    return [
        LogFile(path, stream_of(path.name), _around_us(path))
        for path in each_once(path for path in paths if path.is_file())
    ]


def folders_around(
    log_dirs: Iterable[Path], archive_dir: Path | None, first_s: float, last_s: float
) -> list[Path]:
    """Give the folders where a live sensor's logs of some time may lie.

    Parameters
    ----------
    log_dirs, archive_dir
        Where its loggers write, and where rotated files end up, in folders with dates.
    first_s, last_s
        Seconds since 1970; a day is allowed for on both sides, since folders are named
        by local time.
    """
    day = datetime.fromtimestamp(first_s, UTC).date() - timedelta(days=1)
    end = datetime.fromtimestamp(last_s, UTC).date() + timedelta(days=1)
    folders = [place for one in log_dirs for place in (one, one / QUEUE)]
    if archive_dir is not None:
        folders.append(archive_dir)
        folders += [archive_dir / str(one) for one in _days(day, end)]
    return list(dict.fromkeys(folder for folder in folders if folder.is_dir()))


def _days(first: date, last: date) -> Iterator[date]:
    yield from (first + timedelta(days=n) for n in range((last - first).days + 1))


def spanning(
    files: Iterable[LogFile], first_s: float, last_s: float
) -> Iterator[LogFile]:
    """Give the files that may have been written to between two times.

    Each is taken to end where the next of its stream begins; those without a time are
    always among them.
    """
    streams: dict[str, list[LogFile]] = {}
    for file in files:
        if file.around_us is None:
            yield file
        else:
            streams.setdefault(file.stream, []).append(file)
    for stream in streams.values():
        stream.sort(key=attrgetter("around_us"))
        begins = [(file.around_us or 0) / 1e6 - SLACK_S for file in stream]
        ends = [begin + 2 * SLACK_S for begin in begins[1:]] + [float("inf")]
        for file, begin, end in zip(stream, begins, ends, strict=True):
            if begin <= last_s and first_s <= end:
                yield file


def rows(path: Path, texts: Collection[str], problems: list[str]) -> Iterator[Row]:
    """Read the rows of a log that hold one of some texts anywhere, in file order.

    Parameters
    ----------
    texts
        Most rows hold none, and cost little.
    problems
        Gets a sentence where the file is damaged, and where a line is no row.
    """
    wanted = sorted(filter(None, texts))
    if not wanted:
        return
    broken: list[str] = []
    try:
        for layout, lines in _stretches(path, blocks(path, BLOCK_BYTES)):
            for line in _naming(lines, wanted):
                yield from layout.take(line, broken)
    except InputError as err:
        problems.append(str(err))
    if broken:
        problems.append(
            f"{path}: expected rows, found {len(broken)} that are none, the first "
            f"because of {broken[0]}; they are left out"
        )


def _naming(lines: pl.Series, texts: list[str]) -> list[str]:
    """Give the lines that hold one of the texts, and the lines of headers."""
    is_header = lines.str.starts_with("#")
    return lines.filter(lines.str.contains_any(texts) | is_header).to_list()


def _around_us(path: Path) -> int | None:
    """Give the median time of a log's first rows; None where it cannot be told."""
    try:
        stretches = _stretches(path, islice(blocks(path, PROBE_BYTES), 1))
        first = (row for layout, lines in stretches for row in layout.all(lines))
        stamps = [seconds(row) for row in islice(first, PROBE_ROWS)]
    except InputError:
        return None
    known = [stamp for stamp in stamps if stamp is not None]
    return round(median_low(known) * 1e6) if known else None


def seconds(row: Row) -> float | None:
    """Give a row's ``ts`` in seconds since 1970, however it is written; else None.

    Examples
    --------
    >>> seconds({"ts": 1713682798.25}), seconds({"ts": "2024-04-21T06:59:58.250000Z"})
    (1713682798.25, 1713682798.25)
    """
    stamp = row.get("ts")
    if isinstance(stamp, str):
        try:
            moment = datetime.fromisoformat(stamp)
            return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
        except (ValueError, OverflowError):
            return None
    if not isinstance(stamp, (int, float)):
        return None
    scale = 1e-3 if isinstance(stamp, int) and stamp >= MILLIS_FROM else 1
    return stamp * scale if abs(stamp) < MILLIS_FROM * 1000 else None


def _stretches(
    path: Path, data: Iterable[bytes]
) -> Iterator[tuple[_Layout, pl.Series]]:
    """Give the lines of a log block by block, with what its first line tells."""
    layout: _Layout | None = None
    for block in data:
        text = block.decode("utf-8", "replace")
        if layout is None:
            layout, text = _begin(path, text.lstrip("\ufeff \t\r\n"))
        yield layout, pl.Series([text]).str.split("\n").explode()


def _begin(path: Path, text: str) -> tuple[_Layout, str]:
    """Tell the format by the first line; give what is still to be read."""
    if text.startswith("{"):
        return _Layout(is_json=True), text
    if text.startswith("#") or not text:
        return _Layout(), text
    first, _, rest = text.partition("\n")
    names = first.rstrip("\r").split("\t")
    if "ts" in names:
        return _Layout(names=names), rest
    raise InputError(
        f"{path}: expected a Zeek log (a #fields header, or one JSON object per line), "
        "found neither in the first line; it is left out"
    )


@dataclass
class _Layout:
    """How the lines of a log are read; lines of headers change it."""

    is_json: bool = False
    names: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    separator: str = "\t"
    set_separator: str = ","
    empty: str = "(empty)"
    unset: str = "-"

    def take(self, line: str, broken: list[str]) -> Iterator[Row]:
        """Read a line: a header changes the layout, one that is no row is put aside."""
        line = line.removesuffix("\r")
        try:
            if line.startswith("#"):
                self._header(line)
            elif line:
                yield self._json(line) if self.is_json else self._tsv(line)
        except (ValueError, RecursionError) as err:
            broken.append(str(err))

    def all(self, lines: Iterable[str]) -> Iterator[Row]:
        """Read lines, and pass over those that are no rows."""
        return chain.from_iterable(self.take(line, []) for line in lines)

    def _header(self, line: str) -> None:
        if line.startswith("#separator "):
            code = line.removeprefix("#separator ").strip()
            is_hex = code.startswith("\\x")
            self.separator = chr(int(code[2:], 16)) if is_hex else code
            return
        key, *values = line.split(self.separator)
        value = values[0] if values else ""
        match key:
            case "#fields":
                self.names = values
            case "#types":
                self.types = values
            case "#set_separator":
                self.set_separator = value or self.set_separator
            case "#empty_field":
                self.empty = value
            case "#unset_field":
                self.unset = value

    def _tsv(self, line: str) -> Row:
        cells = line.split(self.separator)
        if len(cells) != len(self.names):
            raise ValueError(f"{len(cells)} fields where #fields has {len(self.names)}")
        if len(self.types) != len(cells):
            self.types = ["string"] * len(cells)
        return {
            name: self._value(kind, cell)
            for name, kind, cell in zip(self.names, self.types, cells, strict=True)
            if cell != self.unset
        }

    def _value(self, kind: str, cell: str) -> Any:
        if kind.startswith(("set[", "vector[")):
            inner = kind.partition("[")[2].removesuffix("]")
            parts = [] if cell == self.empty else cell.split(self.set_separator)
            return [_plain(inner, part) for part in parts]
        return "" if cell == self.empty else _plain(kind, cell)

    @staticmethod
    def _json(line: str) -> Row:
        found = msgspec.json.decode(line)
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
        return {name: value for name, value in found.items() if value is not None}


def _plain(kind: str, text: str) -> Any:
    """Give a value of Zeek's type; text that is none of that type stays as it is."""
    convert = _PLAIN.get(kind)
    return text if convert is None else convert(text)


def _count(text: str) -> int | str:
    return int(text) if _COUNT.fullmatch(text) else text


def _number(text: str) -> float | str:
    return float(text) if _NUMBER.fullmatch(text) else text


def _flag(text: str) -> bool | str:
    return {"T": True, "F": False}.get(text, text)


_PLAIN: dict[str, Callable[[str], Any]] = {
    "count": _count,
    "int": _count,
    "port": _count,
    "time": _number,
    "interval": _number,
    "double": _number,
    "bool": _flag,
}
