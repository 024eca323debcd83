"""One live sensor: read what is new, close minutes, write alarms, then a checkpoint.

The order makes every stop harmless: alarms are on disk before the checkpoint that
leaves them behind, and whatever is read again after a kill writes the same bytes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from entropy_ids.alarms import rules
from entropy_ids.alarms.incidents import iso
from entropy_ids.alarms.journal import Journal
from entropy_ids.alarms.outputs import Outputs, OutputsState
from entropy_ids.collector.parse import Parsed
from entropy_ids.collector.tail import Cursor, Follower
from entropy_ids.config import Config, SensorConfig
from entropy_ids.daemon import checkpoint, expected, loggers, store
from entropy_ids.daemon.losses import Losses
from entropy_ids.daemon.tally import Tally
from entropy_ids.decisions import CONFIG, DROP, PROFILE, RETURN, START, Decisions
from entropy_ids.duty import Change, Duty
from entropy_ids.features import assembler as streams
from entropy_ids.features.assembler import FAR, Assembler
from entropy_ids.pipeline import WatchState
from entropy_ids.profile.store import Profile
from entropy_ids.reading import measure_of
from entropy_ids.types import MINUTE_S, Alarm, Minutes, Quality

log = logging.getLogger(__name__)

BLOCK_BYTES = 2 << 20
"""Read at once: some 14,000 rows, and little memory beside what is open."""
CHECKPOINT_S = 20.0
"""So much is read again after a kill. A checkpoint holds the rows of the open minute:
at 1,000 rows/s it costs 30 ms and some 2 MB, 150 GB a day if one came each second."""
QUARANTINE_SHARE, QUARANTINE_ROWS = 0.01, 10
"""A day with a larger share, and more rows, that were not counted is remarked upon."""


@dataclass(frozen=True)
class Checkpoint:
    """All that a sensor goes on from after a stop.

    ``begin_us`` is where streams without a cursor begin, after a rebuild.
    """

    sensor: str
    profile: str
    configured: str
    cursors: dict[str, Cursor]
    assembler: streams.State
    watch: WatchState | None
    outputs: OutputsState
    tally: Tally
    quiet_minutes: int
    begin_us: int | None
    rules: expected.Told = expected.NONE


class Sensor:
    """Watches one sensor; call `poll` until it says that there is nothing more.

    Parameters
    ----------
    sensor, config
        What to watch, and the settings.
    journal
        Where decisions are written before they are acted upon.
    decisions
        What the journal holds of this sensor.
    now
        The wall clock.

    Attributes
    ----------
    fresh
        Alarms as they come, for `told`.

    Raises
    ------
    ConfigError, ProfileError
        When directories or profiles cannot be used.
    OSError
        From any method, when a disk is full or broken. Nothing is lost: make another
        one, which goes on from the last checkpoint.
    """

    def __init__(
        self,
        sensor: SensorConfig,
        config: Config,
        journal: Journal,
        decisions: Decisions,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.sensor, self.config, self.journal, self._now = sensor, config, journal, now
        self.directory = store.directory(config, sensor.name)
        self.alarms = store.alarms_directory(config, sensor.name)
        kept = self._read()
        self.configured = store.keep(config, sensor)
        if kept is None:
            first, decisions = decisions.last or self.configured, Decisions()
        else:
            first = kept.profile
        profile = self._profile(first) if first else None
        measure = measure_of(config)
        quiet = kept.quiet_minutes if kept else config["incidents.quiet_minutes"]
        known = expected.of(kept.rules if kept else expected.NONE)
        self.duty = Duty(sensor.name, measure, profile, quiet, suppression=known)
        networks = profile.manifest["settings"] if profile else config
        self.assembler = Assembler(
            tuple(sensor.streams),
            tuple(networks["site.local_networks"]),
            lifts=decisions.lifts,
        )
        columns = [column.name for column in measure.columns]
        if kept:
            self.assembler.restore(kept.assembler)
            self.duty.restore(kept.watch)
        else:
            journal.append(START, sensor=sensor.name, profile=first)
        since = self.assembler.next_open or 0
        for change in decisions.decided(self._profile, since).changes:
            self.duty.change(change)
            quiet = change.quiet_minutes or quiet
            known = change.suppression or known
        self.outputs = Outputs(
            self.alarms, sensor.name, columns, kept.outputs if kept else None
        )
        suffixes = loggers.suffixes_of(sensor)
        self.followers = {
            name: Follower(
                suffixes[name],
                log_dir,
                sensor.archive_dir,
                kept.cursors.get(name) if kept else None,
                now,
                archive_from_us=self._begin_us,
            )
            for name, log_dir in sensor.streams.items()
        }
        self.tally = kept.tally if kept else Tally()
        self._started = now()
        self._progress = dict.fromkeys(sensor.streams, self._started)
        self._saved_s, self._unsaved, self._told = self._started, False, False
        self._silent = False
        self.fresh: SimpleQueue[Alarm] = SimpleQueue()
        self.losses = Losses(sensor.log_dirs)
        self.unread = loggers.unread(sensor)
        if self.unread:
            self._remarks.append(Quality("logger-unread", 0, self.unread))
        for remark in self._remarks:
            self._remark(remark)
        if kept is None and self._begin_us is not None:
            self.save()  # a kill from here on must not begin at the end of the logs
        self._settle_quiet(quiet)
        now_known = rules.suppression(config, networks)
        minute = self.assembler.next_open or 0
        expected.settle(self.duty, journal, sensor.name, minute, known, now_known)
        if kept and kept.configured != self.configured and self.configured:
            self.use(self.configured)

    def poll(self, stop: Callable[[], bool] = lambda: False) -> bool:
        """Read at most a block of each stream; tell whether more can be read at once.

        The stream with the lowest clock is read first; one that was dropped is only
        read when the others are at their ends, so that after a kill it does not come
        back at an earlier minute than before.
        """
        waited = self.assembler.waited
        behind = any(self.followers[name].behind for name in waited)
        todo = set(waited if behind else self.followers)
        while todo and not stop():
            name = self.assembler.behind(todo)
            todo.discard(name)
            for part in self.followers[name].poll(BLOCK_BYTES):
                self._take(name, part)
            self._tell(self.followers[name].remarks)
        self._drop_who_stays_behind()
        self._notice_silence()
        more = any(follower.behind for follower in self.followers.values())
        if (self._told and not more) or (self._unsaved and self._is_long_ago()):
            self.save()
        return more

    def save(self) -> None:
        """Write a checkpoint; all alarms so far are on disk before."""
        self.outputs.sync()
        document = Checkpoint(
            self.sensor.name,
            self.duty.profile.hash if self.duty.profile else "",
            self.configured,
            {
                name: follower.cursor
                for name, follower in self.followers.items()
                if follower.cursor is not None
            },
            self.assembler.state(),
            self.duty.watch.state() if self.duty.watch else None,
            self.outputs.state(),
            self.tally,
            self.duty.quiet_minutes,
            self._begin_us,
            expected.told(self.duty.suppression),
        )
        checkpoint.write(self.directory / "checkpoint", document)
        self._saved_s, self._unsaved, self._told = self._now(), False, False

    def told(self) -> list[Alarm]:
        """Give what incidents said last since the last call; for one other thread."""
        newest: dict[str, Alarm] = {}
        while not self.fresh.empty():
            alarm = self.fresh.get()
            newest[alarm.id] = alarm
        return list(newest.values())

    def use(self, profile_hash: str) -> None:
        """Have another profile on duty from the first minute that is not closed.

        Raises
        ------
        ProfileError
            When there is no such profile, or it counts in another way.
        """
        profile = self._profile(profile_hash)
        store.check_fits(profile, self.duty.profile)
        minute = self.assembler.next_open or 0
        self.journal.append(
            PROFILE, sensor=self.sensor.name, minute=minute, hash=profile.hash
        )
        self.duty.change(Change(minute, profile))
        self.tally.recent = []
        log.info(
            "%s: profile %s from %s on", self.sensor.name, profile.hash, iso(minute)
        )

    def remark_unblocked(self, kind: str, problem: str) -> None:
        """Remark that it could not go on for a while, and does again."""
        self._remark(Quality(kind, 0, f"goes on; before: {problem}"))
        self.save()

    def notice_losses(self) -> None:
        """Remark on packets that Zeek missed; to be called about once a minute."""
        self._tell(self.losses.look())

    @property
    def is_silent(self) -> bool:
        """True when no row came for the time that the settings allow."""
        return self._silent

    @property
    def saved_s(self) -> float:
        """Wall clock of the last checkpoint."""
        return self._saved_s

    def _profile(self, profile_hash: str) -> Profile:
        return store.profile(self.config, self.sensor.name, profile_hash)

    def _read(self) -> Checkpoint | None:
        """Read the checkpoint; when no copy is whole, begin again in the archive."""
        self._remarks: list[Quality] = []
        self._begin_us: int | None = None
        path = self.directory / "checkpoint"
        try:
            found = checkpoint.read(path, Checkpoint)
        except checkpoint.NoWholeCopy as err:
            self._rebuild(path, str(err))
            return None
        if found is None:
            return None
        self._begin_us = found.document.begin_us
        if found.remark:
            log.warning("%s: %s", self.sensor.name, found.remark)
            minute = found.document.tally.last_minute
            self._remarks.append(Quality("state-damaged", minute, found.remark))
        return found.document

    def _rebuild(self, path: Path, problem: str) -> None:
        self._begin_us = begin_us = store.rebuild_from_us(self.alarms)
        begin = "the oldest log in log_dirs"
        if begin_us is not None:
            begin = iso(begin_us // 1_000_000)
        detail = f"{problem}; read again from {begin} on"
        log.error("%s: %s", self.sensor.name, detail)
        self.journal.append("rebuild", sensor=self.sensor.name, detail=detail)
        store.set_aside(path)
        self._remarks.append(Quality("state-damaged", 0, detail))

    def _settle_quiet(self, before: int) -> None:
        """Have the setting count from the first minute that is not closed."""
        quiet = self.config["incidents.quiet_minutes"]
        if quiet != before:
            minute = self.assembler.next_open or 0
            name = self.sensor.name
            self.journal.append(CONFIG, sensor=name, minute=minute, quiet_minutes=quiet)
            self.duty.change(Change(minute, quiet_minutes=quiet))

    def _is_long_ago(self) -> bool:
        return self._now() - self._saved_s >= CHECKPOINT_S

    def _take(self, name: str, part: Parsed) -> None:
        self._come_back(name)
        if not self.assembler.rows_of(name):
            self._told = True  # without a first cursor archived files are not found
        self._judge(self.assembler.push(name, part.flows, part.bad))
        self._progress[name] = self._now()
        self._unsaved = True
        for row in self.assembler.bad:
            log.warning("%s: %s:%s: %s", row.reason, row.file, row.line, row.detail)
        self.assembler.bad.clear()
        self._tell(self.assembler.quality)

    def _tell(self, remarks: list[Quality]) -> None:
        """Take remarks, and empty the list."""
        while remarks:
            self._remark(remarks.pop(0))

    def _judge(self, closed: list[Minutes]) -> None:
        for minutes in closed:
            for judged in self.duty.push(minutes):
                self.outputs.write(judged.minute, judged.alarms, judged.table)
                self.tally.take(judged)
                for alarm in judged.alarms:
                    level = logging.INFO if alarm.suppressed_by else logging.WARNING
                    log.log(level, "%s: %s", alarm.state, alarm.summary)
                    self.fresh.put(alarm)
                if self.duty.profile:
                    self._tell(self.tally.immature(judged, self.duty.profile))
        if closed:
            self._told = True
            self._notice_quarantine()

    def _remark(self, remark: Quality) -> None:
        minute = remark.minute or self.tally.last_minute
        self.outputs.remark(Quality(remark.kind, minute, remark.detail))
        log.warning("%s: %s: %s", self.sensor.name, remark.kind, remark.detail)
        self._unsaved = self._told = True

    def _drop_who_stays_behind(self) -> None:
        """Wait no longer for a stream that the others have been ahead of for long."""
        waited = self.assembler.waited
        limit = self._now() - self.config["daemon.stream_behind_s"]
        for name in waited if len(waited) > 1 else ():
            others = [self._progress[other] for other in waited if other != name]
            behind = self.assembler.behind(waited) == name
            if behind and self._progress[name] < limit < max(others):
                rows = self.assembler.rows_of(name)
                self.journal.append(
                    DROP, sensor=self.sensor.name, stream=name, rows=rows
                )
                self._judge(self.assembler.lift(name, FAR))
                detail = f"{name} sent nothing for long; it is waited for no more"
                self._remark(Quality("stream-dropped", 0, detail))
                self.save()

    def _come_back(self, name: str) -> None:
        """Wait again for a dropped stream that has rows."""
        if name in self.assembler.waited:
            return
        minute = self.assembler.next_open or 0
        rows = self.assembler.rows_of(name)
        self.journal.append(
            RETURN, sensor=self.sensor.name, stream=name, rows=rows, minute=minute
        )
        self._judge(self.assembler.lift(name, minute))
        detail = f"{name} is back; its rows count from {iso(minute)} on"
        self._remark(Quality("stream-returned", minute, detail))

    def _notice_silence(self) -> None:
        silent_s = self._now() - max(self._progress.values())
        silent = silent_s >= self.config["daemon.silence_min"] * MINUTE_S
        if silent and not self._silent:
            detail = f"no row for {silent_s / MINUTE_S:.0f} minutes of the wall clock"
            self._remark(Quality("sensor-silent", 0, detail))
        self._silent = silent

    def _notice_quarantine(self) -> None:
        """Remark once a day of the log clock on many rows that were not counted."""
        account, day = self.assembler.account, self.tally.last_minute // 86_400
        bad = sum(account.quarantined.values())
        if day != self.tally.remarked_day and bad > max(
            QUARANTINE_ROWS, QUARANTINE_SHARE * account.rows
        ):
            self.tally.remarked_day = day
            reasons = ", ".join(f"{n} {why}" for why, n in account.quarantined.items())
            detail = f"{bad} of {account.rows} rows were not counted: {reasons}"
            self._remark(Quality("quarantine-share", 0, detail))
