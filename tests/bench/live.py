"""Benchmarks of the daemon: beside a writer of live logs, and over a simulated week.

Processor time is counted, not wall time, so that a busy machine changes little.
`python -m tests.bench.live hour DIRECTORY [ROWS_PER_S SECONDS]` watches a daemon for an
hour, accounts for every row and leaves a line of figures every half minute;
`flood`, `quiet` and `week` are those that `make bench` runs.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from tests.bench.traffic import HEADER, Rows, Told, past, train_log

PORT = 9477
CONFIG = """
[[sensor]]
name = "bench"
log_dirs = ["{root}/spool"]
archive_dir = "{root}/archive"
profile = "{profile}"
[state]
dir = "{root}/state"
[alarms]
dir = "{root}/alarms"
[incidents]
quiet_minutes = 1
[daemon]
listen = "127.0.0.1:{port}"
"""
UNIT = Path("examples/entropy-ids.service").read_text()
RATE, FLOOD_RATE = 1000, 50_000
TRAIN_MINUTES = 60
SAMPLE_S = 30
WARM_S = 20
"""A daemon has read its profile and some rows after this."""
LOOK_S = 0.01
WEEK_DAYS, WEEK_RATE, WEEK_STEP = 7, 1, 30
"""Simulated days, rows a second, and minutes between two polls."""
PROMISES = (
    ("quiet", "core_share", 0.05, "at most"),
    ("quiet", "lines", 2, "at least"),
    ("quiet", "alarm_max_s", 2.0, "at most"),
    ("flood", "most_behind_s", 10.0, "at most"),
    ("flood", "rows_missing", 0, "at most"),
    ("flood", "minutes_differ", 0, "at most"),
    ("flood", "peak_mb", 660, "at most"),
    ("week", "mb_per_day", 1.0, "at most"),
)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Sample:
    """How a daemon was at one time."""

    at_s: float
    cpu_s: float
    rss_mb: float
    peak_mb: float
    lag_s: float | None
    behind_bytes: int
    rows: int
    written: int
    minutes: int
    incidents: int
    status_code: int
    health: int
    metrics_rows: float
    heartbeat_age_s: float | None
    load: float


class Beside:
    """A daemon and a writer, each a process of its own.

    Parameters
    ----------
    root
        Of all their files; there must be a profile in it.
    numbers
        For the writer.
    cores
        True puts the daemon on the last core alone, and the writer on the first.
    """

    def __init__(self, root: Path, *numbers: int, cores: bool = False) -> None:
        self.root = root
        for name in ("spool", "archive", "state", "alarms"):
            (root / name).mkdir()
        self.config = root / "site.toml"
        self.config.write_text(
            CONFIG.format(root=root, profile=root / "profile", port=PORT)
        )
        where = sorted(os.sched_getaffinity(0))
        self.writer = _start(
            ["-m", "tests.bench.traffic", str(root), *map(str, numbers)],
            {where[0]} if cores else None,
        )
        self.daemon = _start(
            ["-m", "entropy_ids", "run", "--config", str(self.config)],
            {where[-1]} if cores else None,
            root / "daemon.log",
        )

    def sample(self) -> Sample:
        """Look at the daemon from outside, as its operators can."""
        code, status = self.status()
        metrics = _get("metrics")[1].splitlines()
        told = [line for line in metrics if line.startswith("entropy_ids_rows_")]
        beat = self.root / "alarms" / "heartbeat.json"
        age_s = time.time() - beat.stat().st_mtime if beat.exists() else None
        return Sample(
            at_s=time.time(),
            cpu_s=self.cpu_s(),
            rss_mb=self.memory("VmRSS"),
            peak_mb=self.memory("VmHWM"),
            lag_s=status.get("lag_s"),
            behind_bytes=status.get("behind_bytes", 0),
            rows=status.get("rows", 0),
            written=Told.read(self.root).rows,
            minutes=status.get("minutes", 0),
            incidents=status.get("incidents", 0),
            status_code=code,
            health=_get("healthz")[0],
            metrics_rows=float(told[0].split()[-1]) if told else 0.0,
            heartbeat_age_s=age_s,
            load=os.getloadavg()[0],
        )

    def status(self) -> tuple[int, dict]:
        """Ask the command; give its exit code and what it told of the sensor."""
        order = ["-m", "entropy_ids", "status", "--json", "--config", str(self.config)]
        asked = subprocess.run([sys.executable, *order], stdout=subprocess.PIPE)
        status = json.loads(asked.stdout)["status"]
        return asked.returncode, status["sensors"][0] if status else {}

    def rows(self) -> int:
        """Give the rows that the daemon has read, by its status file."""
        told = json.loads((self.root / "state" / "status.json").read_bytes())
        return int(told["sensors"][0]["rows"])

    def cpu_s(self) -> float:
        """Seconds of processor time that the daemon has used."""
        after = Path(f"/proc/{self.daemon.pid}/stat").read_text().rpartition(")")[2]
        return sum(map(int, after.split()[11:13])) / _TICKS

    def memory(self, key: str) -> float:
        """MB of the daemon, as /proc tells them."""
        return memory(key, self.daemon.pid)

    def ready(self) -> None:
        """Wait until both have begun."""
        for _ in range(600):
            told = (self.root / "written.json").exists()
            if told and (self.root / "state" / "status.json").exists():
                return
            time.sleep(0.1)
        raise RuntimeError((self.root / "daemon.log").read_text())

    def catch_up(self) -> None:
        """Wait until the daemon has read what was written, but for the last seconds."""
        while Told.read(self.root).rows - self.rows() > 3 * RATE:
            time.sleep(1)

    def close(self) -> None:
        """End both."""
        for process in (self.writer, self.daemon):
            process.terminate()
            process.wait()


@contextmanager
def beside(root: Path, *numbers: int, cores: bool = False) -> Iterator[Beside]:
    """Have a daemon and a writer at work."""
    both = Beside(root, *numbers, cores=cores)
    try:
        both.ready()
        yield both
    finally:
        both.close()


def _start(
    arguments: list[str], cores: set[int] | None, log: Path | None = None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=os.environ | dict(re.findall(r"^Environment=(\w+)=(.+)$", UNIT, re.M)),
        stderr=log.open("wb") if log else None,
        preexec_fn=lambda: os.sched_setaffinity(0, cores) if cores else None,
    )


def _get(what: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/{what}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as err:
        return err.code, ""


def memory(key: str, process: int | str = "self") -> float:
    """MB of a process, as /proc tells them."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(one.split()[1]) / 1024 for one in lines if one.startswith(key))


def profile(root: Path, rate: int) -> None:
    """Train on traffic such as the writer's, of the hour before."""
    log = root / "conn.00:00:00-01:00:00.log"
    train_log(log, rate, TRAIN_MINUTES)
    order = ["train", str(log), "--profile", str(root / "profile"), "--workers", "1"]
    subprocess.run(
        [sys.executable, "-m", "entropy_ids", *order],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    log.unlink()


def uncounted(root: Path) -> dict[int, tuple[int, int]]:
    """Give the minutes whose rows written and rows counted differ; the first may."""
    files = (root / "alarms").glob("minutes*.parquet")
    table = pd.concat([pd.read_parquet(file) for file in files]).sort_values("minute")
    written = Told.read(root).minutes
    counted = [
        (int(m.timestamp()), int(n)) for m, n in table[["minute", "flows"]].values
    ]
    return {
        minute: (written.get(minute, 0), count)
        for minute, count in counted[1:]
        if written.get(minute, 0) != count
    }


def hour(root: Path, rate: int = RATE, seconds: int = 3600) -> None:
    """Watch a daemon at work, and account for every row."""
    root.mkdir(parents=True)
    profile(root, rate)
    with (
        beside(root, rate, seconds, 600, 10) as both,
        (root / "samples.jsonl").open("w", buffering=1) as out,
    ):
        while both.writer.poll() is None:
            out.write(json.dumps(asdict(both.sample())) + "\n")
            time.sleep(SAMPLE_S)
        time.sleep(SAMPLE_S)
        out.write(json.dumps(asdict(both.sample())) + "\n")
    (root / "uncounted.json").write_text(json.dumps(uncounted(root)))


def flood(root: Path, rate: int = FLOOD_RATE, seconds: int = 130) -> dict[str, float]:
    """Measure the daemon on one core beside very many rows a second."""
    behind = []
    with beside(root, rate, seconds, 60, cores=True) as both:
        time.sleep(WARM_S)
        at_s, cpu_s, rows = time.time(), both.cpu_s(), both.rows()
        while both.writer.poll() is None:
            behind.append(Told.read(root).rows - both.rows())
            time.sleep(1)
        cpu_s, took_s = both.cpu_s() - cpu_s, time.time() - at_s
        counted = both.rows() - rows
        time.sleep(WARM_S)
        missing = Told.read(root).rows - both.rows()
        peak_mb = both.memory("VmHWM")
    return {
        "rows_per_s": counted / took_s,
        "core_share": cpu_s / took_s,
        "us_per_row": 1e6 * cpu_s / counted,
        "most_behind_s": max(behind) / rate,
        "peak_mb": peak_mb,
        "rows_missing": missing,
        "minutes_differ": len(uncounted(root)),
    }


def quiet(root: Path, rate: int = RATE, minutes: int = 4) -> dict[str, float]:
    """Measure a daemon's usual work, and how soon alarms are on disk.

    Every other minute holds a scan, which the minute after ends: a line each minute.
    """
    seconds = WARM_S + 60 * (minutes + 1)
    grown: list[float] = []
    with beside(root, rate, seconds, 600, 2, 35) as both:
        time.sleep(WARM_S)
        both.catch_up()
        watch = threading.Thread(
            target=_watch, args=(root / "alarms" / "alarms.jsonl", both, grown)
        )
        watch.start()
        at_s, cpu_s = time.time(), both.cpu_s()
        both.writer.wait()
        share = (both.cpu_s() - cpu_s) / (time.time() - at_s)
        watch.join()
        peak_mb = both.memory("VmHWM")
    first_s = Told.read(root).first_s
    waits = [at - first_s[int(at // 60 * 60)] for at in grown]
    return {
        "core_share": share,
        "peak_mb": peak_mb,
        "lines": len(waits),
        "alarm_p50_s": statistics.median(waits) if waits else float("inf"),
        "alarm_max_s": max(waits, default=float("inf")),
    }


def _watch(path: Path, both: Beside, grown: list[float]) -> None:
    """Note when lines of alarms arrive, until the writer ends."""
    size = path.stat().st_size if path.exists() else 0
    while both.writer.poll() is None:
        now = path.stat().st_size if path.exists() else 0
        if now > size:
            grown.append(time.time())
        size = now
        time.sleep(LOOK_S)


def week(root: Path, step: int = WEEK_STEP) -> dict[str, float]:
    """Measure how a sensor's memory grows over a simulated week."""
    from entropy_ids.alarms.journal import Journal
    from entropy_ids.config import Config
    from entropy_ids.daemon.sensor import Sensor
    from entropy_ids.decisions import Decisions

    (root / "spool").mkdir(parents=True)
    (root / "site.toml").write_text(
        CONFIG.format(root=root, profile=root / "profile", port=PORT)
    )
    config = Config.load(root / "site.toml", environment={})
    start_s = int(datetime.fromisoformat("2026-03-02T00:00Z").timestamp())
    clock = [float(start_s)]
    (root / "state").mkdir()
    journal = Journal(root / "state" / "journal.jsonl")
    (watched,) = config.sensors
    sensor = Sensor(watched, config, journal, Decisions(), lambda: clock[0])
    rows, days = Rows(), []
    with (root / "spool" / "conn.log").open("wb", buffering=0) as log:
        log.write(HEADER)
        for _ in range(WEEK_DAYS):
            sizes = []
            for _ in range(24 * 60 // step):
                clock[0] += 60 * step
                lines = past(rows, WEEK_RATE, int(clock[0]), step)
                log.write(b"".join(line for second in lines for line in second))
                while sensor.poll():
                    pass
                sizes.append(memory("VmRSS"))
            days.append(statistics.median(sizes))
    growth = (days[-1] - days[1]) / (WEEK_DAYS - 2)
    return {"mb_per_day": growth, "rss_mb": days[-1], "minutes": sensor.tally.minutes}


def all_of(work: Path) -> dict[str, dict[str, float]]:
    """Run what `make bench` runs, each in a directory of its own."""
    found = {}
    for name, bench, rate in (
        ("quiet", quiet, RATE),
        ("flood", flood, RATE),
        ("week", week, WEEK_RATE),
    ):
        root = work / name
        root.mkdir()
        profile(root, rate)
        found[name] = bench(root)
        shutil.rmtree(root)
    return found


def main() -> None:
    """Run one benchmark by itself."""
    name, root, *numbers = sys.argv[1:]
    work = Path(root)
    if name == "hour":
        hour(work, *map(int, numbers))
        return
    work.mkdir(parents=True)
    profile(work, WEEK_RATE if name == "week" else RATE)
    bench = {"flood": flood, "quiet": quiet, "week": week}[name]
    sys.stdout.write(json.dumps(bench(work, *map(int, numbers)), indent=1) + "\n")


if __name__ == "__main__":
    main()
