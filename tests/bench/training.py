"""Benchmarks of training: every series detector on 28 days of minutes made directly.

`python -m tests.bench.training` runs these alone.
"""

import json
import sys
import time

import numpy as np
import pandas as pd

from entropy_ids import learning
from entropy_ids.alarms.contributors import Seen
from entropy_ids.calendar import Calendar
from entropy_ids.config import Config
from entropy_ids.detectors import DETECTORS
from entropy_ids.detectors.training import Training
from entropy_ids.features.catalog import default_columns
from entropy_ids.types import EntropySeries

DAYS = 28
STEPS = 4_000
"""Sequences of the shortest training whose time is compared."""
FORECASTER = "lstm-forecaster"
MOST_S = dict.fromkeys(DETECTORS, 300.0) | {"lstm-autoencoder": 240.0}
PROMISES = (
    *((f"training {k}", "training_s", most, "at most") for k, most in MOST_S.items()),
    ("training steps", "four_times", 4.8, "at most"),
)


def minutes(days: int = DAYS) -> EntropySeries:
    """Give a daily rhythm, twelve hidden causes and noise, seen through all columns."""
    rng = np.random.default_rng(1)
    names = [column.name for column in default_columns()]
    index = pd.date_range(
        "2026-03-02", periods=days * 1440, freq="min", tz="UTC", name="minute"
    )
    rhythm = np.sin(np.arange(len(index)) * 2 * np.pi / 1440)[:, None]
    mixing = rng.normal(size=(12, len(names)))
    hidden = rng.normal(size=(len(index), 12)).cumsum(axis=0) * 0.02
    noise = rng.normal(size=(len(index), len(names)))
    values = 4 + rhythm + np.tanh(hidden) @ mixing * 0.3 + noise * 0.3
    return EntropySeries(
        pd.DataFrame(values, index=index, columns=names),
        pd.Series("complete", index=index),
        pd.Series(100, index=index),
        pd.Series(0, index=index),
    )


def whole(kind: str, series: EntropySeries) -> dict[str, float]:
    """Time the making of a profile with default settings."""
    passed: list[float] = []
    before, used = time.perf_counter(), time.process_time()
    learning.train(
        series,
        Seen(),
        Config({}),
        "bench",
        kind,
        lambda *_: passed.append(time.process_time()),
    )
    return {
        "training_s": time.perf_counter() - before,
        "cpu_s": time.process_time() - used,
        "passes": len(passed),
        "cpu_s_per_pass": float(np.diff(passed).mean()) if len(passed) > 1 else 0.0,
    }


def steps(series: EntropySeries) -> dict[str, float]:
    """Compare the forecaster's passes over n, 2 n and 4 n sequences: processor time."""
    once, twice, four_times = (_pass_s(series, times * STEPS) for times in (1, 2, 4))
    return {"n_s": once, "twice": twice / once, "four_times": four_times / once}


def _pass_s(series: EntropySeries, sequences: int) -> float:
    passed: list[float] = []
    training = Training(epochs=3, patience=3)
    made = DETECTORS[FORECASTER](Calendar("UTC"), training=training)
    part = series.slice(0, sequences + made.window - 1)
    made.fit(part, lambda *_: passed.append(time.process_time()))
    return float(np.diff(passed).min())


def all_of() -> dict[str, dict[str, float]]:
    """Train every series detector; then the forecaster on ever more sequences."""
    series = minutes()
    found = {f"training {kind}": whole(kind, series) for kind in DETECTORS}
    return found | {"training steps": steps(series)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(all_of(), indent=1) + "\n")
