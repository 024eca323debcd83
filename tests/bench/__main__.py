"""Run the benchmarks and print a table; exit 1 when a promise does not hold."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch

from entropy_ids.features.catalog import default_columns
from tests.bench import attention, language, live, training
from tests.bench.traffic import write_log

ROUNDS = 3
ROWS = 300_000
FILE_ROWS = 150_000
START = 1_700_000_040

_QUIETLY = """
import atexit, os, re, sys
from entropy_ids.cli import main
sys.stdout = open(os.devnull, "w")
peak = lambda: re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
atexit.register(lambda: print(peak(), file=sys.stderr))
main()
"""


def run(*arguments: str) -> tuple[float, float]:
    """Run Python in a fresh process; give seconds and peak MB (0 if it told none)."""
    before = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], stderr=subprocess.PIPE, text=True, check=True
    )
    last = done.stderr.split()[-1:]
    peak_kb = int(last[0]) if last and last[0].isdigit() else 0
    return time.perf_counter() - before, peak_kb / 1024


def features(*logs: Path, out: Path) -> tuple[float, float]:
    """Run the features command on logs, its report thrown away."""
    return run("-c", _QUIETLY, "features", *map(str, logs), "-o", str(out))


def speed(work: Path) -> dict[str, float]:
    """Compare the way from log file to entropy matrix with the notebook's."""
    log = work / "conn.log"
    write_log(log, ROWS, START, 7200, seed=1)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(features(log, out=work / "ours.parquet")[0])
        theirs.append(
            run("-m", "tests.bench.rival", str(log), str(work / "theirs.csv"))[0]
        )
    _compare(work)
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    return {
        "ours_s": statistics.median(ours),
        "notebook_s": statistics.median(theirs),
        "ratio": statistics.median(ratios),
        "rows_per_s": ROWS / statistics.median(ours),
    }


def _compare(work: Path) -> None:
    """Check that both gave the same matrix: speed of a wrong answer says nothing."""
    ours = pd.read_parquet(work / "ours.parquet").set_index("minute")
    theirs = pd.read_csv(work / "theirs.csv", index_col=0, parse_dates=True)
    theirs.index = theirs.index.tz_localize("UTC")
    names = [column.name for column in default_columns()]
    pd.testing.assert_frame_equal(
        ours[names],
        theirs[names],
        check_names=False,
        check_freq=False,
        rtol=1e-7,
        atol=1e-7,
        check_index_type=False,
    )


def memory(work: Path) -> dict[str, float]:
    """Compare peak memory for 20 files with that for one."""
    files = [
        work / f"conn.{hour:02d}:00:00-{hour + 1:02d}:00:00.log" for hour in range(20)
    ]
    for hour, file in enumerate(files):
        write_log(file, FILE_ROWS, START + 3600 * hour, 3600, seed=hour)
    one = [features(files[0], out=work / "one.parquet")[1] for _ in range(ROUNDS)]
    many = [features(*files, out=work / "many.parquet")[1] for _ in range(ROUNDS)]
    one_mb, many_mb = statistics.median(one), statistics.median(many)
    return {
        "one_file_mb": one_mb,
        "twenty_files_mb": many_mb,
        "ratio": many_mb / one_mb,
    }


PROMISES = (
    ("speed", "ratio", 3.0, "at least"),
    ("memory", "ratio", 1.2, "at most"),
    *training.PROMISES,
    *language.PROMISES,
    *attention.PROMISES,
    *live.PROMISES,
)


def main() -> None:
    """Measure, print, compare with what is promised."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        found = {"speed": speed(work), "memory": memory(work)} | live.all_of(work)
    found |= training.all_of()
    found["language"] = language.language()
    found["attention"] = attention.rows()
    out = sys.stdout.write
    out(
        json.dumps(
            {"cpus": os.cpu_count(), "torch": torch.__version__, **found}, indent=1
        )
    )
    out("\n\n| benchmark | figure | promised | found |\n|---|---|---|---|\n")
    kept = True
    for name, figure, limit, side in PROMISES:
        value = found[name][figure]
        kept &= value >= limit if side == "at least" else value <= limit
        out(f"| {name} | {figure} | {side} {limit:g} | {value:.3g} |\n")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
