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
from collections.abc import Callable
from contextlib import ExitStack

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from entropy_ids import __version__
from entropy_ids.alarms import journal as journals
from entropy_ids.alarms.journal import Journal
from entropy_ids.alarms.outputs import heartbeat, retire
from entropy_ids.config import Config, SensorConfig
from entropy_ids.daemon import status as statuses
from entropy_ids.daemon import store, systemd
from entropy_ids.daemon.lock import exclusive
from entropy_ids.daemon.metrics import serve
from entropy_ids.daemon.report import sensor_status
from entropy_ids.daemon.sensor import Sensor
from entropy_ids.daemon.status import SensorStatus, Status, moment
from entropy_ids.daemon.training import Trainer
from entropy_ids.decisions import CONFIG, Decisions
from entropy_ids.duty import Change
from entropy_ids.errors import ConfigError, EntropyIdsError

log = logging.getLogger(__name__)

WORK_S = 5.0
"""A poll that finds more and more to read ends after this long, to show progress."""
RETRY_S = 10.0
"""A sensor whose disk was full is tried again this often."""
UTC = "UTC"


def run(config: Config) -> None:
    """Watch the sensors of a configuration until SIGTERM or SIGINT.

    Raises
    ------
    ConfigError, ProfileError
        Before anything is read or written.
    """
    systemd.log_to_stderr()
    with exclusive(store.state(config)), ExitStack() as stack:
        daemon = Daemon(config)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: daemon.stop.set())
        signal.signal(signal.SIGHUP, lambda *_: daemon.reload.set())
        if config["daemon.listen"]:
            server = serve(config["daemon.listen"], lambda: daemon.status)
            stack.callback(server.close)
        daemon.run()


class Daemon:
    """Sensors, what is to be done with them on which clock, and how they are.

    Attributes
    ----------
    stop, reload
        Set by signals.
    status
        How it is, made anew after each poll.
    """

    def __init__(self, config: Config, now: Callable[[], float] = time.time) -> None:
        self.config, self._now = config, now
        self.stop, self.reload = threading.Event(), threading.Event()
        self._path = store.state(config) / store.JOURNAL
        self.journal = Journal(self._path)
        self.problems: dict[str, str] = {}
        self.broken: OSError | None = None
        self.sensors: dict[str, Sensor] = {}
        self._retry_s: dict[str, float] = {}
        self._started, self._took_s, self._ready = now(), 0.0, False
        self._rows: dict[str, tuple[float, int, float]] = {}
        for sensor in config.sensors:
            self.sensors[sensor.name] = self._open(sensor)
        self.trainer = Trainer(config, self.stop.is_set, now)
        self.status = self._status()

    def run(self) -> None:
        """Poll until `stop` is set; then write checkpoints, and return."""
        scheduler = BackgroundScheduler(
            executors={
                "default": ThreadPoolExecutor(1),
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
        if self.config["daemon.retrain"]:
            trigger = CronTrigger.from_crontab(
                self.config["daemon.retrain"], self.config["site.timezone"]
            )
            scheduler.add_job(self._train_all, trigger, executor="training")
        scheduler.add_job(self._train_due, "cron", minute="*/20", executor="training")
        scheduler.start()
        self.stop.wait()
        systemd.notify("STOPPING=1")
        scheduler.shutdown(wait=True)
        if self.broken is not None:
            raise self.broken
        self.close()

    def close(self) -> None:
        """Write the last checkpoints and the status."""
        for name, sensor in self.sensors.items():
            try:
                sensor.save()
            except OSError as err:
                log.error("%s: no checkpoint: %s", name, err)
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
        state = f"STATUS={self.status.sensors[0].state if self.sensors else 'idle'}"
        systemd.notify(*([] if self._ready else ["READY=1"]), "WATCHDOG=1", state)
        self._ready = True

    def beat(self) -> None:
        """Write every sensor's heartbeat, and take what was asked for."""
        for name, sensor in self.sensors.items():
            clock = sensor.tally.last_minute
            told = {
                "sensor": name,
                "time": f"{moment(self._now()):%Y-%m-%dT%H:%M:%SZ}",
                "log_clock": f"{moment(clock):%Y-%m-%dT%H:%M:%SZ}",
                "log_clock_s": clock,
                "minutes": sensor.tally.minutes,
                "version": __version__,
            }
            try:
                heartbeat(sensor.alarms, told)
            except OSError as err:
                log.error("%s: no heartbeat: %s", name, err)
            self._answer(name)

    def tidy(self) -> None:
        """Remove files of ours that are older than the settings keep them."""
        for name, sensor in self.sensors.items():
            day = min(sensor.tally.last_minute, int(self._now()))
            try:
                names = retire(sensor.alarms, self.config["alarms.keep_days"], day)
                if names:
                    self.journal.append("retire", sensor=name, files=names)
            except OSError as err:
                log.error("%s: old files stay: %s", name, err)

    def _open(self, sensor: SensorConfig) -> Sensor:
        rows = journals.read(self._path) if self._path.exists() else []
        decisions = Decisions.of(rows, sensor.name)
        return Sensor(sensor, self.config, self.journal, decisions, self._now)

    def _work(self, sensor: SensorConfig, until_s: float) -> None:
        """Poll a sensor; one whose disk fails is begun again at its checkpoint."""
        name = sensor.name
        if name in self.problems and self._now() < self._retry_s.get(name, 0.0):
            return
        try:
            if name in self.problems:
                self.sensors[name] = self._open(sensor)
            watched = self.sensors[name]
            while watched.poll(self.stop.is_set) and time.monotonic() < until_s:
                systemd.notify("WATCHDOG=1")
            if name in self.problems:
                problem = self.problems.pop(name)
                watched.remark_on_disk(problem)
        except (OSError, EntropyIdsError) as err:
            if isinstance(err, OSError) and err.errno == errno.EIO:
                self.broken = err  # what was not synced may be gone: begin anew
                self.stop.set()
            self.problems[name] = f"{err}; tried again every {RETRY_S:.0f} s"
            self._retry_s[name] = self._now() + RETRY_S
            log.error("%s: blocked: %s", name, err)

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
        store.answered(self.config, name)

    def _train_all(self) -> None:
        for sensor in self.config.sensors:
            self._train(sensor, "by the calendar")

    def _train_due(self) -> None:
        """Train what has no profile yet, or has drifted."""
        for sensor in self.config.sensors:
            why = self.trainer.due(self.sensors[sensor.name])
            if why:
                self._train(sensor, why)

    def _train(self, sensor: SensorConfig, why: str) -> None:
        current = self.sensors[sensor.name].duty.profile
        self.journal.append("train", sensor=sensor.name, why=why)
        try:
            found = self.trainer.train(sensor, current)
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
            fresh = self.config.reload()
            if not fresh.sensors or fresh["state.dir"] != self.config["state.dir"]:
                raise ConfigError("expected sensors, and the same state.dir as now")
        except EntropyIdsError as err:
            log.error("SIGHUP: the configuration stays as it was: %s", err)
            self.problems.setdefault("configuration", str(err))
            return
        self.problems.pop("configuration", None)
        for name, sensor in self.sensors.items():
            sensor.save()
            self._journal_config(name, sensor, fresh)
        self.config = self.trainer.config = fresh
        self.sensors = {one.name: self._open(one) for one in fresh.sensors}
        log.info("SIGHUP: the configuration was read again")

    def _journal_config(self, name: str, sensor: Sensor, fresh: Config) -> None:
        quiet = fresh["incidents.quiet_minutes"]
        minute = sensor.assembler.next_open or 0
        self.journal.append(CONFIG, sensor=name, minute=minute, quiet_minutes=quiet)
        sensor.duty.change(Change(minute, quiet_minutes=quiet))

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
            problems=tuple(
                text for name, text in self.problems.items() if name not in self.sensors
            ),
        )

    def _of(self, name: str, sensor: Sensor, now: float) -> SensorStatus:
        """Give a sensor's status, with its rate over the last ten seconds or more."""
        rows = sensor.assembler.account.rows
        since, before, rate = self._rows.get(name, (now, rows, 0.0))
        if now - since >= 10:
            rate = (rows - before) / (now - since)
            since, before = now, rows
        self._rows[name] = (since, before, rate)
        return sensor_status(sensor, now, rate, self.problems.get(name))
