"""Benchmark of the flow language model: training on a million flows, and scoring.

Processor time is counted, not wall time, so that a busy machine changes little.
"""

import json
import resource
import time

import numpy as np
import polars as pl

from entropy_ids.detectors.flow_language_model import FlowLanguageModel
from entropy_ids.detectors.flows import Memory
from entropy_ids.detectors.training import Training

TRAINED, SCORED, BATCH = 1_000_000, 200_000, 5_000
FLOWS_PER_S = 50
PAIRS, HABITS = 40_000, 12
START = 1_700_000_000
PROMISES = (
    ("language", "training_s", 900.0, "at most"),
    ("language", "flows_per_s", 20_000.0, "at least"),
)


def flows(rows: int, start_s: int, seed: int) -> pl.DataFrame:
    """Draw flows of skewed address pairs that repeat their few habits.

    A pair has one habit (a port, a protocol, a size) for nine flows of ten, and any
    other for the tenth; sizes scatter by a power of two or so.
    """
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, PAIRS + 1) ** 0.9
    pair = rng.choice(PAIRS, rows, p=weights / weights.sum())
    other = rng.integers(0, HABITS, rows)
    habit = np.where(rng.random(rows) < 0.9, pair % HABITS, other)
    size = np.exp2(habit + 3 + rng.normal(0, 0.5, rows)).astype(np.int64)
    ends_us = (start_s * FLOWS_PER_S + np.arange(rows)) * (1_000_000 // FLOWS_PER_S)
    return pl.DataFrame(
        {
            "ts": pl.Series(ends_us).cast(pl.Datetime("us", "UTC")),
            "duration": pl.Series([None] * rows, dtype=pl.Duration("us")),
            "id.orig_h": pl.Series([f"10.0.{n // 250}.{n % 250}" for n in pair // 16]),
            "id.resp_h": pl.Series([f"93.0.{n // 250}.{n % 250}" for n in pair]),
            "id.orig_p": rng.integers(20_000, 60_000, rows),
            "id.resp_p": np.array([53, 80, 123, 443, 22, 25])[habit % 6],
            "proto": pl.Series(["udp", "tcp", "tcp"]).gather(habit % 3),
            "orig_bytes": size // 10,
            "resp_bytes": size,
        }
    )


def language(
    words: str = "proto-bytes", pass_sequences: int = Training.pass_sequences
) -> dict[str, float]:
    """Time training with the default settings, and scoring in small batches."""
    model = FlowLanguageModel(Training(pass_sequences=pass_sequences), words)
    past = flows(TRAINED, START, seed=1)
    passes: list[int] = []
    before = time.process_time()
    model.fit(past, lambda done, most, loss: passes.append(done))
    trained = time.process_time()
    fresh = flows(SCORED, START + TRAINED // FLOWS_PER_S, seed=2)
    memory: Memory = {}
    begun = time.process_time()
    for start in range(0, SCORED, BATCH):
        model.score(fresh[start : start + BATCH], memory)
    scored = time.process_time()
    return {
        "training_s": trained - before,
        "passes": passes[-1],
        "flows_per_s": SCORED / (scored - begun),
        "memory_mb": len(json.dumps(memory)) / 1e6,
        "dyads": len(memory["dyads"]),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
