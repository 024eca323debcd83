"""The daemon: sensors on a clock, until a signal ends it.

One thread polls, judges and writes; training runs in processes of its own.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from entropy_ids import __version__
from entropy_ids.alarms import evidence
from entropy_ids.alarms import journal as journals
from entropy_ids.alarms.journal import Journal
from entropy_ids.alarms.outputs import DAY_S, heartbeat, retire
from entropy_ids.config import Config, SensorConfig
from entropy_ids.daemon import status as statuses
from entropy_ids.daemon import store, systemd
from entropy_ids.daemon.forwarding import Forwarding
from entropy_ids.daemon.lock import exclusive
from entropy_ids.daemon.metrics import serve
from entropy_ids.daemon.report import sensor_status
from entropy_ids.daemon.sensor import Sensor
from entropy_ids.daemon.status import SensorStatus, Status, moment
from entropy_ids.daemon.training import Stopped, Trainer
from entropy_ids.decisions import Decisions
from entropy_ids.errors import ConfigError, EntropyIdsError

log = logging.getLogger(__name__)

WORK_S = 5.0
"""A poll that finds more and more to read ends after this long, to show progress."""
RETRY_S = 10.0
"""A sensor whose disk was full is tried again this often."""
EVIDENCE_S = 5.0
"""Incidents that said something are joined to other logs this often, on a thread of its
own: alarms never wait for it."""
WAKE_S = 0.1
"""A signal is answered within this."""
FULL = (errno.ENOSPC, errno.EDQUOT)
FIXED = ("state.dir", "daemon.poll_s", "daemon.listen", "daemon.retrain")
"""What is only read at a start."""
UTC = "UTC"


def run(config: Config) -> None:
    """Watch the sensors of a configuration until SIGTERM or SIGINT.

    Raises
    ------
    ConfigError, ProfileError
        Before anything is read or written.
    """
    systemd.log_to_stderr()
    store.check(config)
    with exclusive(store.state(config)), ExitStack() as stack:
        daemon = Daemon(config)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: daemon.stop.set())
        signal.signal(signal.SIGHUP, lambda *_: daemon.reload.set())
        if config["daemon.listen"]:
            server = serve(config["daemon.listen"], lambda: daemon.status)
            stack.callback(server.close)
        stack.callback(daemon.forwarding.close)
        daemon.run()


@dataclass(frozen=True)
class Blocked:
    """Why a sensor cannot go on, and when (monotonic) it is tried again."""

    kind: str
    problem: str
    retry_s: float


class Daemon:
    """Sensors, what is to be done with them on which clock, and how they are.

    Attributes
    ----------
    stop, reload
        Set by signals.
    status
        How it is, made anew after each poll.
    sensors, blocked
        By their names. A blocked one is not to be touched, since what it could not
        write is behind it: it is begun again at its checkpoint.
    problems
        Sentences for the operator, by what they are about.
    broken
        The error of a disk that may have lost what was written; the daemon ends.
    """

    def __init__(self, config: Config, now: Callable[[], float] = time.time) -> None:
        self.config, self._now = config, now
        self.stop, self.reload = threading.Event(), threading.Event()
        self._path = store.state(config) / store.JOURNAL
        self.journal = Journal(self._path)
        self.problems: dict[str, str] = {}
        self.broken: OSError | None = None
        self.blocked: dict[str, Blocked] = {}
        self._started, self._took_s, self._ready = now(), 0.0, False
        self._rows: dict[str, tuple[float, int, float]] = {}
        self.forwarding = Forwarding()
        self.sensors = {one.name: self._open(one, config) for one in config.sensors}
        self.trainer = Trainer(config, self.stop.is_set, now)
        self.status = self._status()

    def run(self) -> None:
        """Poll until `stop` is set; then write checkpoints, and return."""
        for name, sensor in self.sensors.items():
            by = sensor.duty.profile.hash if sensor.duty.profile else "no profile yet"
            where = ", ".join(map(str, sensor.sensor.log_dirs))
            log.info("%s: watching %s by %s", name, where, by)
        scheduler = BackgroundScheduler(
            executors={
                "default": ThreadPoolExecutor(1),
                "evidence": ThreadPoolExecutor(1),
                "training": ThreadPoolExecutor(1),
            },
            job_defaults={
                "coalesce": True,
                "max_instances": 1,
                "misfire_grace_time": None,
            },
            timezone=UTC,
        )
        poll_s = self.config["daemon.poll_s"]
        scheduler.add_job(self.poll, "interval", seconds=poll_s)
        scheduler.add_job(self.beat, "cron", second=0)
        scheduler.add_job(self.tidy, "cron", minute=7)
        scheduler.add_job(
            self.join_evidence, "interval", seconds=EVIDENCE_S, executor="evidence"
        )
        if self.config["daemon.retrain"]:
            trigger = CronTrigger.from_crontab(
                self.config["daemon.retrain"], self.config["site.timezone"]
            )
            scheduler.add_job(self._train_all, trigger, executor="training")
        scheduler.add_job(self._train_due, "cron", minute="*/20", executor="training")
        self._forward()
        scheduler.start()
        while not self.stop.is_set():  # no lock is held that a signal's handler wants
            time.sleep(WAKE_S)
        systemd.notify("STOPPING=1")
        scheduler.shutdown(wait=True)
        if self.broken is None:
            self.close()
        if self.broken is not None:
            raise self.broken

    def close(self) -> None:
        """Write the last checkpoints and the status."""
        self._save()
        self._tell()

    def poll(self) -> None:
        """Let every sensor read what is new; tell how it is."""
        begun = time.monotonic()
        if self.reload.is_set():
            self.reload.clear()
            self._reload()
        for sensor in self.config.sensors:
            self._work(sensor, begun + WORK_S)
        self._took_s = time.monotonic() - begun
        self._tell()
        if self.stop.is_set():
            return
        state = ", ".join(f"{one.name} {one.state}" for one in self.status.sensors)
        ready = [] if self._ready else ["READY=1"]
        systemd.notify(*ready, "WATCHDOG=1", f"STATUS={state}")
        self._ready = True

    def beat(self) -> None:
        """Write every sensor's heartbeat, and do what is done once a minute."""
        for name, sensor in self.sensors.items():
            clock = sensor.tally.last_minute or None
            told = {
                "sensor": name,
                "time": f"{moment(self._now()):%Y-%m-%dT%H:%M:%SZ}",
                "log_clock": f"{moment(clock):%Y-%m-%dT%H:%M:%SZ}" if clock else None,
                "log_clock_s": clock,
                "minutes": sensor.tally.minutes,
                "version": __version__,
            }
            try:
                heartbeat(sensor.alarms, told)
            except OSError as err:
                log.error("%s: no heartbeat: %s", name, err)
            if name not in self.blocked:
                with self._guarded(name):
                    sensor.notice_losses()
                    self._answer(name)

    def tidy(self) -> None:
        """Remove files of ours that are older than the settings keep them."""
        for name, sensor in self.sensors.items():
            day = min(sensor.tally.last_minute, int(self._now()))
            try:
                names = retire(sensor.alarms, self.config["alarms.keep_days"], day)
                if names:
                    self.journal.append("retire", sensor=name, files=names)
                if days := self.config["alarms.keep_days"]:
                    evidence.clear(sensor.alarms, self._now() - days * DAY_S)
            except (OSError, EntropyIdsError) as err:
                log.error("%s: old files stay: %s", name, err)

    def join_evidence(self) -> None:
        """Write what other logs say of incidents that said something new."""
        most_rows = self.config["alarms.evidence_rows"]
        for name, sensor in list(self.sensors.items()):
            alarms = sensor.told()
            if not alarms or most_rows < 1:
                continue
            where = sensor.sensor.log_dirs, sensor.sensor.archive_dir
            try:
                evidence.write_live(sensor.alarms, alarms, *where, most_rows)
            except (OSError, EntropyIdsError) as err:
                log.error("%s: no evidence: %s", name, err)

    def _open(self, sensor: SensorConfig, config: Config) -> Sensor:
        rows = journals.read(self._path) if self._path.exists() else []
        decisions = Decisions.of(rows, sensor.name)
        return Sensor(sensor, config, self.journal, decisions, self._now)

    def _work(self, sensor: SensorConfig, until_s: float) -> None:
        """Poll a sensor; one that was blocked is begun again at its checkpoint."""
        name = sensor.name
        blocked = self.blocked.get(name)
        if blocked and time.monotonic() < blocked.retry_s:
            return
        with self._guarded(name):
            if blocked:
                self.sensors[name] = self._open(sensor, self.config)
            watched = self.sensors[name]
            while watched.poll(self.stop.is_set) and not self.stop.is_set():
                if time.monotonic() >= until_s:
                    break
                systemd.notify("WATCHDOG=1")
            if blocked:
                watched.remark_unblocked(blocked.kind, blocked.problem)
                del self.blocked[name]

    @contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        """Block a sensor when something fails, so that the others go on."""
        try:
            yield
        except Exception as err:
            known = isinstance(err, OSError | EntropyIdsError)
            code = err.errno if isinstance(err, OSError) else None
            if isinstance(err, OSError) and code == errno.EIO:
                self.broken = err  # what was not synced may be gone: begin anew
                self.stop.set()
            kind = "disk-full" if code in FULL else "blocked"
            problem = f"{err if known else repr(err)}; tried again each {RETRY_S:.0f} s"
            self.blocked[name] = Blocked(kind, problem, time.monotonic() + RETRY_S)
            log.error("%s: blocked: %s", name, err, exc_info=not known)

    def _save(self) -> None:
        for name, sensor in self.sensors.items():
            if name not in self.blocked:
                with self._guarded(name):
                    sensor.save()

    def _answer(self, name: str) -> None:
        """Do what a person, or a training that may, has asked for."""
        asked = store.asked(self.config, name)
        if asked is None:
            return
        try:
            self.sensors[name].use(asked)
            self.sensors[name].save()
        except EntropyIdsError as err:
            log.error("%s: profile use: %s", name, err)
            self.journal.append("refused", sensor=name, hash=asked, detail=str(err))
        store.answered(self.config, name, asked)

    def _train_all(self) -> None:
        for watched in list(self.sensors.values()):
            self._train(watched.sensor, "by the calendar")

    def _train_due(self) -> None:
        """Train what has no profile yet, or has drifted."""
        for watched in list(self.sensors.values()):
            why = self.trainer.due(watched)
            if why:
                self._train(watched.sensor, why)

    def _train(self, sensor: SensorConfig, why: str) -> None:
        watched = self.sensors.get(sensor.name)
        if watched is None:  # it went with another configuration
            return
        current = watched.duty.profile
        self.journal.append("train", sensor=sensor.name, why=why)
        try:
            found = self.trainer.train(sensor, current)
        except Stopped as err:
            log.info("%s: training: %s", sensor.name, err)
            return
        except (OSError, EntropyIdsError) as err:
            log.error("%s: training: %s", sensor.name, err)
            self.journal.append("untrained", sensor=sensor.name, detail=str(err))
            return
        self.journal.append("candidate", sensor=sensor.name, **found.as_dict())
        log.info("%s: candidate %s: %s", sensor.name, found.hash, found.verdict)
        if found.taken:
            store.ask(self.config, sensor.name, found.hash)

    def _reload(self) -> None:
        """Take a new configuration, if it is a good one."""
        try:
            fresh = self._fresh()
            self._save()
            sensors = {one.name: self._open(one, fresh) for one in fresh.sensors}
        except (OSError, EntropyIdsError) as err:
            log.error("SIGHUP: the configuration stays as it was: %s", err)
            self.problems["configuration"] = f"it stays as it was: {err}"
            for sensor in self.config.sensors:  # new ones may have written beside them
                with self._guarded(sensor.name):
                    self.sensors[sensor.name] = self._open(sensor, self.config)
            return
        self.problems.pop("configuration", None)
        self.config = self.trainer.config = fresh
        self.sensors, self.blocked = sensors, {}
        self._forward()
        log.info("SIGHUP: the configuration was read again")

    def _forward(self) -> None:
        places = {n: (one.alarms, one.directory) for n, one in self.sensors.items()}
        self.forwarding.begin(self.config, places)

    def _fresh(self) -> Config:
        """Read the configuration anew, and see whether it can be had without a stop."""
        fresh = self.config.reload()
        if not fresh.sensors:
            raise ConfigError(f"{fresh.file}: expected a [[sensor]], found none")
        for key in FIXED:
            if fresh[key] != self.config[key]:
                raise ConfigError(
                    f"{key}: expected {self.config[key]!r} as at the start, found "
                    f"{fresh[key]!r}; start the daemon anew to change it"
                )
        store.check(fresh)
        return fresh

    def _tell(self) -> None:
        self.status = self._status()
        try:
            statuses.write(store.state(self.config), self.status)
        except OSError as err:
            log.error("no status: %s", err)

    def _status(self) -> Status:
        now = self._now()
        sensors = tuple(
            self._of(name, sensor, now) for name, sensor in self.sensors.items()
        )
        told = self.problems | self.forwarding.problems
        saved = [sensor.saved_s for sensor in self.sensors.values()]
        return Status(
            version=__version__,
            pid=os.getpid(),
            started=moment(self._started),
            time=moment(now),
            poll_s=self.config["daemon.poll_s"],
            last_poll=moment(now),
            poll_took_s=self._took_s,
            checkpoint_age_s=now - min(saved) if saved else None,
            sensors=sensors,
            problems=tuple(f"{what}: {text}" for what, text in told.items()),
        )

    def _of(self, name: str, sensor: Sensor, now: float) -> SensorStatus:
        """Give a sensor's status, with its rate over the last ten seconds or more."""
        rows = sensor.assembler.account.rows
        since, before, rate = self._rows.get(name, (now, rows, 0.0))
        if now - since >= 10:
            rate = max(0.0, rows - before) / (now - since)
            since, before = now, rows
        self._rows[name] = (since, before, rate)
        blocked = self.blocked.get(name)
        return sensor_status(sensor, now, rate, blocked.problem if blocked else None)
