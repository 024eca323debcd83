"""Drive the pipeline over an archive to its end, and write what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from entropy_ids.alarms import evidence
from entropy_ids.alarms.sinks import AlarmFiles, minutes_schema, write_remarks
from entropy_ids.alarms.suppression import Suppression
from entropy_ids.collector import LogFile
from entropy_ids.duty import Decided, Duty
from entropy_ids.errors import ConfigError
from entropy_ids.features.assembler import Assembler
from entropy_ids.pipeline import Watch
from entropy_ids.profile.store import Profile
from entropy_ids.reading import (
    FileDone,
    Reading,
    minutes_of,
    set_of,
    streams_of,
    with_siblings,
)
from entropy_ids.types import Account, Alarm, BadRow, Quality

REPORT = "report.html"
_OURS = {
    "alarms.jsonl",
    "entropy_alarm.log",
    "quality.jsonl",
    "quarantine.jsonl",
    "minutes.parquet",
}
_KEPT = {"feedback.jsonl"}
"""Of people, about incidents that another replay finds again by the same ids."""


@dataclass(frozen=True)
class Replayed:
    """What a replay found.

    Attributes
    ----------
    alarms
        Every revision, in the order in which they were written.
    minutes
        Minutes replayed, and how many of them were scored.
    """

    alarms: list[Alarm]
    account: Account
    quality: list[Quality]
    bad: list[BadRow]
    minutes: int
    scored: int

    @property
    def incidents(self) -> list[Alarm]:
        """The newest revision of each incident, in the order of their first minutes."""
        newest = {alarm.id: alarm for alarm in self.alarms}
        return sorted(newest.values(), key=lambda alarm: (alarm.start, alarm.id))


def replay(
    logs: Sequence[LogFile],
    profile: Profile,
    out: Path,
    *,
    sensor: str,
    quiet_minutes: int,
    reading: Reading,
    file_done: FileDone | None = None,
    decided: Decided | None = None,
    suppression: Suppression | None = None,
    evidence_rows: int = 0,
) -> Replayed:
    """Replay conn logs against a profile and write the alarm files.

    Parameters
    ----------
    logs
        In the order of their rows, all of one sensor; other logs that a profile's
        features are of are looked for beside them.
    out
        A directory; files of an earlier replay are written anew.
    decided
        What a daemon decided meanwhile, to be done again at the same minutes.
    suppression
        Marks alarms that are expected; by default none.
    evidence_rows
        Rows of each log to keep for an incident in ``evidence/ID.json``; 0 for none.

    Raises
    ------
    ConfigError
        When ``out`` holds anything else, or cannot be written to.
    """
    decided = decided or Decided(profile)
    measure = Watch(profile, sensor, quiet_minutes).measure
    duty = Duty(
        sensor, measure, decided.first, quiet_minutes, decided.changes, suppression
    )
    networks = profile.manifest["settings"]["site.local_networks"]
    sets = [set_of(one.manifest["settings"]) for one in decided.profiles]
    every = with_siblings(logs, sets)
    assembler = Assembler(streams_of(every), tuple(networks), lifts=decided.lifts)
    _prepare(out)
    files = AlarmFiles(out)
    columns = [name for one in decided.profiles for name in one.manifest["columns"]]
    table = _TableFile(out / "minutes.parquet", list(dict.fromkeys(columns)))
    alarms: list[Alarm] = []
    try:
        for minutes in minutes_of(every, assembler, reading, file_done):
            for judged in duty.push(minutes):
                table.write(judged.table)
                files.write(judged.minute, judged.alarms)
                files.advance(judged.last)
                alarms += judged.alarms
    finally:
        files.close()
        table.close()
        write_remarks(out, sensor, assembler.quality, assembler.bad)
    replayed = Replayed(
        alarms,
        assembler.account,
        assembler.quality,
        assembler.bad,
        table.rows,
        table.scored,
    )
    if evidence_rows > 0:
        evidence.write(out, replayed.incidents, logs, evidence_rows)
    return replayed


def _prepare(out: Path) -> None:
    """Make the directory, with all files empty: nothing old stands beside the new."""
    others: list[str] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        known = _OURS | _KEPT | {evidence.EVIDENCE, REPORT}
        others = sorted({path.name for path in out.iterdir()} - known)
        if not others:
            evidence.clear(out)
            (out / REPORT).unlink(missing_ok=True)
        for name in () if others else sorted(_OURS):
            (out / name).write_bytes(b"")
    except OSError as err:
        raise ConfigError(
            f"{err.filename or out}: expected a place to write to, found: "
            f"{err.strerror}; give another --out"
        ) from err
    if others:
        raise ConfigError(
            f"{out}: expected an empty directory or an earlier replay's, found "
            f"{others[0]}; give another --out"
        )


class _TableFile:
    """``minutes.parquet``, written as minutes close; a table even without any."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._schema = minutes_schema(columns)
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self.rows = 0
        self.scored = 0

    def write(self, rows: pd.DataFrame) -> None:
        """Append minutes."""
        rows = rows.reindex(columns=self._schema.names)
        table = pa.Table.from_pandas(rows, self._schema, preserve_index=False)
        self._writer.write_table(table)
        self.rows += len(rows)
        self.scored += int(rows["score"].notna().sum())

    def close(self) -> None:
        """End the file."""
        self._writer.close()
