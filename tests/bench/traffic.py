"""Traffic for benchmarks: whole logs at once, or written live at so many rows a second.

`python -m tests.bench.traffic DIRECTORY ROWS_PER_S SECONDS [ROTATE_S [SCAN_MINUTES
[PAST_MINUTES]]]` writes as Zeek does, and tells in written.json how many rows each
minute got.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

import numpy as np
import polars as pl

FIELDS = (
    "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes "
    "resp_bytes conn_state local_orig local_resp missed_bytes history orig_pkts "
    "orig_ip_bytes resp_pkts resp_ip_bytes tunnel_parents"
).split()
TYPES = (
    "time string addr port addr port enum string interval count count string bool bool "
    "count string count count count count set[string]"
).split()
HEADER = "\n".join(
    [
        "#separator \\x09",
        "#set_separator\t,",
        "#empty_field\t(empty)",
        "#unset_field\t-",
        "#path\tconn",
        "#open\t2023-11-14-22-14-00",
        "\t".join(["#fields", *FIELDS]),
        "\t".join(["#types", *TYPES]),
        "",
    ]
).encode()
POOL = 200_000
"""Rows that are drawn once; then only times and uids change."""
TICK_S = 0.2
SCANNED_PORTS = 3000
SCAN_AT_S = 20


def table(rows: int, start_s: float, span_s: float, seed: int) -> pl.DataFrame:
    """Draw skewed synthetic traffic, about 130 B a row."""
    rng = np.random.default_rng(seed)

    def skewed(values: int, exponent: float) -> np.ndarray:
        weights = 1 / np.arange(1, values + 1) ** exponent
        return rng.choice(values, rows, p=weights / weights.sum())

    def pick(values: str, weights: list[float] | None = None) -> pl.Series:
        words = pl.Series(values.split())
        return words.gather(rng.choice(len(words), rows, p=weights))

    def address(net: int, host: np.ndarray) -> pl.Series:
        text = [
            f"{net}.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}" for i in range(200_000)
        ]
        return pl.Series(text).gather(host)

    usual = rng.choice([53, 443, 80, 22, 25], rows)
    source, target = skewed(20_000, 1.0), skewed(60_000, 0.9)
    flag = pl.Series(["T", "F"])
    return pl.DataFrame(
        [
            pl.Series(
                np.char.mod("%.6f", np.sort(start_s + span_s * rng.random(rows)))
            ),
            pl.Series([f"C{seed:05d}{i:012d}" for i in range(rows)]),
            address(10, source),
            pl.Series(rng.integers(1024, 65535, rows)),
            address(93, target),
            pl.Series(
                np.where(rng.random(rows) < 0.9, usual, rng.integers(1, 65535, rows))
            ),
            pick("tcp udp icmp", [0.6, 0.37, 0.03]),
            pick("- dns ssl http ssh smtp", [0.26, 0.3, 0.24, 0.1, 0.05, 0.05]),
            pl.Series(np.char.mod("%.6f", rng.exponential(0.5, rows))),
            pl.Series(rng.geometric(0.001, rows)),
            pl.Series(rng.geometric(0.0005, rows)),
            pick("SF S0 REJ RSTO S1 OTH", [0.7, 0.1, 0.08, 0.05, 0.04, 0.03]),
            flag.gather(source % 2),
            flag.gather(target % 2),
            pl.Series(np.zeros(rows, int)),
            pl.Series(["ShADadFf"] * rows),
            pl.Series(rng.geometric(0.1, rows)),
            pl.Series(rng.geometric(0.001, rows)),
            pl.Series(rng.geometric(0.1, rows)),
            pl.Series(rng.geometric(0.001, rows)),
            pl.Series(["-"] * rows),
        ]
    )


def write_log(path: Path, rows: int, start_s: float, span_s: float, seed: int) -> None:
    """Write a whole conn.log."""
    with path.open("wb") as out:
        out.write(HEADER)
        table(rows, start_s, span_s, seed).write_csv(
            out, separator="\t", include_header=False, quote_style="never"
        )


class Rows:
    """Lines of rows that end when they are asked to."""

    def __init__(self, seed: int = 1) -> None:
        text = table(POOL, 0, 1, seed).write_csv(
            separator="\t", include_header=False, quote_style="never"
        )
        cells = [line.split("\t") for line in text.splitlines()]
        self._pool = cycle(
            [
                (round(float(row[8]) * 1e6), "\t".join(row[2:]).encode() + b"\n")
                for row in cells
            ]
        )
        self.written = 0
        self.minutes: Counter[int] = Counter()

    def between(self, start_us: int, end_us: int, count: int) -> list[bytes]:
        """Give ``count`` rows that end evenly between two times, in order."""
        return [
            self._line(start_us + (end_us - start_us) * i // count, *next(self._pool))
            for i in range(count)
        ]

    def scan(self, end_us: int) -> list[bytes]:
        """Give a port scan: one host asks another at very many ports."""
        tail = (
            b"10.9.9.9\t40000\t93.9.9.9\t%d\ttcp\t-\t0.000100\t0\t0\tREJ\tT\tF\t0\tSr"
        )
        rest = b"\t1\t40\t1\t40\t-\n"
        return [
            self._line(end_us, 100, tail % port + rest)
            for port in range(1, SCANNED_PORTS + 1)
        ]

    def _line(self, end_us: int, duration_us: int, tail: bytes) -> bytes:
        self.written += 1
        self.minutes[end_us // 60_000_000 * 60] += 1
        ts = divmod(end_us - duration_us, 1_000_000)
        return b"%d.%06d\tC%015d\t%s" % (*ts, self.written, tail)


def past(rows: Rows, rate: int, until_s: int, minutes: int) -> Iterator[list[bytes]]:
    """Give what was written in the minutes before a time, each second's rows."""
    for second in range(until_s - 60 * minutes, until_s):
        yield rows.between(second * 1_000_000, (second + 1) * 1_000_000, rate)


def train_log(path: Path, rate: int, minutes: int) -> None:
    """Write what a sensor saw up to the last whole hour."""
    until_s = int(time.time()) // 3600 * 3600
    with path.open("wb") as file:
        file.write(HEADER)
        for lines in past(Rows(), rate, until_s, minutes):
            file.writelines(lines)


class Zeek:
    """The writer of one live conn.log, with rotation and a compressing archiver."""

    def __init__(self, root: Path, rotate_s: int) -> None:
        self.spool, self.archive = root / "spool", root / "archive"
        self.spool.mkdir(parents=True, exist_ok=True)
        self._rotate_s = rotate_s
        self._packing: subprocess.Popen[bytes] | None = None
        self._begin(time.time())

    def write(self, lines: list[bytes]) -> None:
        """Append lines; rotate first when it is time."""
        now = time.time()
        if now // self._rotate_s != self._begun_s // self._rotate_s:
            self._rotate(now)
        self._file.writelines(lines)
        self._file.flush()

    def close(self) -> None:
        """End as Zeek does on SIGTERM without rotation, and await the archiver."""
        self._file.close()
        if self._packing:
            self._packing.wait()

    def _begin(self, now: float) -> None:
        self._begun_s = now
        self._file = (self.spool / "conn.log").open("wb", buffering=1 << 20)
        self._file.write(HEADER)
        self._file.flush()

    def _rotate(self, now: float) -> None:
        self._file.write(f"#close\t{_date(now):%Y-%m-%d-%H-%M-%S}\n".encode())
        self._file.close()
        begun = _date(self._begun_s)
        rotated = self.spool / f"conn.{begun:%Y-%m-%d-%H-%M-%S}.log"
        (self.spool / "conn.log").rename(rotated)
        day = self.archive / f"{begun:%Y-%m-%d}"
        day.mkdir(parents=True, exist_ok=True)
        target = day / f"conn.{begun:%H:%M:%S}-{_date(now):%H:%M:%S}.log.gz"
        if self._packing:
            self._packing.wait()
        order = 'gzip -1 -c "$1" > "$2" && rm "$1"'
        self._packing = subprocess.Popen(["sh", "-c", order, "sh", rotated, target])
        self._begin(now)


def ticks(seconds: float) -> Iterator[tuple[float, float]]:
    """Give spans of the present, each when it is over; none is left out."""
    now = time.time()
    end = now + seconds
    while now < end:
        before, now = now, now + TICK_S
        time.sleep(max(0.0, now - time.time()))
        yield before, now


def write_live(
    root: Path,
    rate: int,
    seconds: float,
    rotate_s: int = 600,
    scan_minutes: int = 0,
    past_minutes: int = 0,
) -> None:
    """Write rows with the present time, as many a second as asked for.

    Parameters
    ----------
    scan_minutes
        Every so many minutes one holds a port scan; 0 for none.
    past_minutes
        Rows of so many minutes are there at once.
    """
    rows, zeek, told = Rows(), Zeek(root, rotate_s), Told()
    for lines in past(rows, rate, int(time.time()), past_minutes):
        zeek.write(lines)
    for before, now in ticks(seconds):
        lines = rows.between(int(before * 1e6), int(now * 1e6), round(rate * TICK_S))
        minute = int(before // 60 * 60)
        wanted = scan_minutes and minute // 60 % scan_minutes == 0
        if wanted and minute not in told.scans and before - minute > SCAN_AT_S:
            told.scans.append(minute)
            lines += rows.scan(int(now * 1e6) - 1)
        zeek.write(lines)
        told.first_s.setdefault(int(now // 60 * 60), time.time())
        told.rows, told.minutes = rows.written, rows.minutes
        told.late_s = max(told.late_s, time.time() - now)
        told.write(root)
    zeek.close()


@dataclass
class Told:
    """What was written: rows in all and by minute, and when a minute's first row was.

    Attributes
    ----------
    late_s
        By how much the writer was late at most.
    """

    rows: int = 0
    minutes: Mapping[int, int] = field(default_factory=dict)
    first_s: dict[int, float] = field(default_factory=dict)
    scans: list[int] = field(default_factory=list)
    late_s: float = 0.0

    def write(self, root: Path) -> None:
        """Put it in place."""
        fresh = root / ".written.json"
        fresh.write_text(json.dumps(vars(self)))
        fresh.rename(root / "written.json")

    @classmethod
    def read(cls, root: Path) -> "Told":
        """Read what was told last."""
        told = json.loads((root / "written.json").read_text())
        for name in ("minutes", "first_s"):
            told[name] = {int(minute): value for minute, value in told[name].items()}
        return cls(**told)


def _date(time_s: float) -> datetime:
    return datetime.fromtimestamp(time_s, UTC)


if __name__ == "__main__":
    _root, *_numbers = sys.argv[1:]
    write_live(Path(_root), *map(int, _numbers))
