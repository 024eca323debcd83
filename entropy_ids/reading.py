"""From conn logs to closed minutes and their series: the left half of the pipeline.

Needs no network library, so that reading and measuring start at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl

from entropy_ids.alarms.contributors import Seen
from entropy_ids.collector import (
    LogFile,
    Parsed,
    datasets,
    parse,
    segments,
    siblings,
)
from entropy_ids.collector.archive import by_time
from entropy_ids.config import Config
from entropy_ids.errors import InputError, ProfileError
from entropy_ids.features.assembler import Assembler
from entropy_ids.features.series import Measure
from entropy_ids.features.sets import SETS
from entropy_ids.types import Account, EntropySeries, Minutes

FileDone = Callable[[LogFile], None]


@dataclass(frozen=True)
class Reading:
    """How logs are read.

    Parameters
    ----------
    workers
        Threads that parse; rows are always taken in file order.
    block_bytes
        Decompressed bytes read at once.
    since, until
        The first minute wanted and the first not wanted, log clock, UTC; None is open.
    """

    workers: int = 1
    block_bytes: int = 4 << 20
    since: int | None = None
    until: int | None = None


def minutes_of(
    logs: Sequence[LogFile],
    assembler: Assembler,
    reading: Reading,
    file_done: FileDone | None = None,
) -> Iterator[Minutes]:
    """Read logs to their end; yield the minutes of conn as they close.

    Parameters
    ----------
    logs
        In the order of their rows, all of one sensor; streams are told by their names.
    assembler
        Made for the streams of these logs; its account tells what became of the rows.
    file_done
        Called after each conn log.
    """
    with ThreadPoolExecutor(max(1, reading.workers)) as pool:
        streams = {
            stream: _parsed(
                [f for f in logs if f.stream == stream], reading, pool, file_done
            )
            for stream in assembler.streams
        }
        while streams:
            stream = assembler.behind()
            part = next(streams[stream], None)
            if part is None:
                del streams[stream]
                closed = assembler.release(stream)
            else:
                closed = assembler.push(stream, part.flows, part.bad)
            yield from _within(closed, reading, assembler.account)
    yield from _within(assembler.finish(), reading, assembler.account)


def set_of(settings: Mapping[str, Any]) -> str:
    """Name the feature set that a profile was trained on, by its settings.

    Raises
    ------
    ProfileError
        When this version has none of that name.
    """
    name = settings.get("features.set", "conn")  # profiles from before there were sets
    if name not in SETS:
        raise ProfileError(
            f"manifest.json: expected features.set to be one of {', '.join(SETS)}, "
            f"found {name!r}; train anew"
        )
    return str(name)


def with_siblings(logs: Sequence[LogFile], sets: Iterable[str]) -> list[LogFile]:
    """Put to conn logs the other logs of feature sets, from the same folders.

    Rows of theirs in minutes that the conn logs do not have are left aside.

    Raises
    ------
    InputError
        When a set reads other logs, and none of them is there.
    """
    folders = list(dict.fromkeys(log.path.parent for log in logs))
    found: dict[str, list[LogFile]] = {}
    for name in sets:
        wanted = SETS[name].logs[1:]
        found |= {log: _siblings(log, folders) for log in wanted if log not in found}
        if wanted and not any(found[log] for log in wanted):
            raise InputError(
                f"{folders[0]}: expected {' or '.join(wanted)} logs beside the conn "
                f"logs, as features.set {name} reads them, found none; have Zeek write "
                "them there, or choose another set"
            )
    return [*logs, *(file for files in found.values() for file in files)]


def _siblings(log: str, folders: Sequence[Path]) -> list[LogFile]:
    """Find one log's files, named as streams of theirs, in the order of their rows."""
    files = siblings.find(log, folders)
    named = [replace(file, stream=f"{log}/{file.stream}") for file in files]
    return sorted(named, key=by_time)


def streams_of(logs: Sequence[LogFile]) -> tuple[str, ...]:
    """Name the streams of a sensor's logs."""
    return tuple(sorted({log.stream for log in logs}))


def _parsed(
    files: Sequence[LogFile],
    reading: Reading,
    pool: ThreadPoolExecutor,
    file_done: FileDone | None,
) -> Iterator[Parsed]:
    """Parse a stream's files side by side, a bounded way ahead, in order.

    What lies before a damaged place is given first, so that what a reading that fails
    has counted depends on the files alone.
    """
    waiting: deque[Future[Parsed]] = deque()
    damage: InputError | None = None
    try:
        for file in files:
            for part in _parts(file, reading, pool):
                waiting.append(part)
                if len(waiting) > reading.workers:
                    yield waiting.popleft().result()
            if file_done and file.log == "conn":
                file_done(file)
    except InputError as err:
        damage = err
    while waiting:
        yield waiting.popleft().result()
    if damage:
        raise damage


def _parts(
    file: LogFile, reading: Reading, pool: ThreadPoolExecutor
) -> Iterator[Future[Parsed]]:
    """Have a file parsed part by part."""
    if file.is_labelled:
        for part in datasets.read(file.path):
            done: Future[Parsed] = Future()
            done.set_result(part)
            yield done
    else:
        for segment in segments(file.path, reading.block_bytes, file.log):
            yield pool.submit(parse, segment)


def _within(
    closed: Sequence[Minutes], reading: Reading, account: Account
) -> Iterator[Minutes]:
    """Pass on the minutes that are wanted; count the others' rows as outside."""
    low = reading.since if reading.since is not None else -(1 << 62)
    high = reading.until if reading.until is not None else 1 << 62
    wanted = pl.col("minute").is_between(low, high, closed="left")
    for chunk in closed:
        index = chunk.index.filter(wanted)
        if index.height == chunk.index.height:
            yield chunk
            continue
        outside = int(chunk.index["flows"].sum()) - int(index["flows"].sum())
        account.counted -= outside
        account.outside += outside
        if index.height:
            tables = {
                name: table.filter(wanted) for name, table in chunk.tables.items()
            }
            yield Minutes(index, tables, chunk.rows.filter(wanted))


def measure_of(config: Config) -> Measure:
    """Make the measure of the columns of the feature set under these settings."""
    chosen = SETS[config["features.set"]]
    columns = chosen.columns(config["entropy.kind"], config["entropy.alphas"])
    return Measure(tuple(columns), config["entropy.rarefy_to"])


def assembler_of(config: Config, logs: Sequence[LogFile]) -> Assembler:
    """Make the assembler for these logs under these settings."""
    return Assembler(streams_of(logs), tuple(config["site.local_networks"]))


def read_series(
    logs: Sequence[LogFile],
    config: Config,
    reading: Reading,
    file_done: FileDone | None = None,
    seen: Seen | None = None,
) -> tuple[EntropySeries, Assembler]:
    """Read logs into a series of all columns of the feature set.

    Parameters
    ----------
    logs
        Conn logs; others that the set reads are looked for beside them.
    seen
        When given, it looks at all minutes besides.

    Raises
    ------
    InputError
        When no row could be counted.
    """
    every = with_siblings(logs, [config["features.set"]])
    assembler = assembler_of(config, every)
    measure = measure_of(config)
    parts = []
    for minutes in minutes_of(every, assembler, reading, file_done):
        parts.append(measure(minutes))
        if seen is not None:
            seen.add(minutes)
    if not parts:
        account = assembler.account
        raise InputError(
            f"expected rows in {len(logs)} conn logs, found none that could be counted "
            f"({sum(account.quarantined.values())} quarantined, {account.outside} "
            "outside the range)"
        )
    return EntropySeries.concat(parts), assembler


def write_series(series: EntropySeries, path: Path) -> None:
    """Write a series as a table, by the name's ending: ``.parquet`` or ``.csv``.

    Raises
    ------
    InputError
        When it cannot be written there.
    """
    head = pd.DataFrame({"coverage": series.coverage, "flows": series.flows})
    table = pd.concat([head, series.values], axis=1).reset_index()
    table.attrs = dict(series.values.attrs)
    try:
        if path.suffix == ".csv":
            table.to_csv(path, index=False, date_format="%Y-%m-%dT%H:%M:%SZ")
        else:
            table.to_parquet(path, index=False)
    except OSError as err:
        raise InputError(
            f"{path}: expected a place to write to, found: {err.strerror or err}"
        ) from err
