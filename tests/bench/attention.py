"""How long `attention-multi-flow` takes to learn 200,000 flows, and to score them."""

import sys
import time

import numpy as np
import polars as pl

from entropy_ids.collector.schema import KEPT
from entropy_ids.detectors.attention_multi_flow import AttentionMultiFlow
from entropy_ids.detectors.flows import FLOW_COLUMNS, LABEL
from entropy_ids.detectors.training import Training

FLOWS = 200_000
SCORED = 50_000
PASSES = 2
PROMISES = (
    ("attention", "training_s", 900.0, "at most"),
    ("attention", "scored_flows_per_s", 2_000.0, "at least"),
)


def traffic(flows: int, seed: int) -> pl.DataFrame:
    """Draw labelled flows of 500 sources in four classes; their sizes say little."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(4, flows, p=(0.85, 0.1, 0.04, 0.01))
    source = rng.integers(0, 500, flows)
    begins = 1_772_400_000_000_000 + np.sort(rng.integers(0, 86_400_000_000, flows))
    sizes = rng.lognormal(6, 2, (4, flows)).astype(np.int64)
    columns = {
        "ts": begins,
        "uid": [f"C{n}" for n in range(flows)],
        "id.orig_h": [f"10.0.{n // 250}.{n % 250}" for n in source.tolist()],
        "id.orig_p": rng.integers(1024, 65_536, flows),
        "id.resp_h": [f"192.0.2.{n}" for n in rng.integers(1, 250, flows).tolist()],
        "id.resp_p": np.where(kind == 1, rng.integers(1, 9_000, flows), 443),
        "proto": np.where(kind == 2, "udp", "tcp"),
        "service": np.where(kind == 0, "ssl", "-"),
        "conn_state": np.where(kind == 3, "REJ", "SF"),
        "duration": sizes[0] * 1_000,
        "orig_bytes": sizes[1],
        "resp_bytes": sizes[2],
        "orig_pkts": sizes[1] // 1_000 + 1,
        "resp_pkts": sizes[3] // 1_000,
    }
    frame = pl.DataFrame(columns).cast({name: KEPT[name] for name in FLOW_COLUMNS})
    labels = np.array(["normal", "port-scan", "ddos", "brute-force"])[kind]
    return frame.with_columns(pl.Series(LABEL, labels.tolist()))


def rows() -> dict[str, float]:
    """Time passes of training, and scoring; training is reckoned to its last pass."""
    flows = traffic(FLOWS, seed=1)
    model = AttentionMultiFlow(Training(epochs=PASSES))
    ends: list[float] = []
    begun = time.perf_counter()
    model.fit(flows, lambda *_: ends.append(time.perf_counter()))
    pass_s = (ends[-1] - ends[0]) / (PASSES - 1)
    before_s = ends[0] - begun - pass_s
    begun = time.perf_counter()
    model.score(flows[:SCORED], {})
    scored_s = time.perf_counter() - begun
    return {
        "pass_s": pass_s,
        "training_s": before_s + pass_s * Training().epochs,
        "scored_flows_per_s": SCORED / scored_s,
    }


def main() -> None:
    """Measure and print."""
    for name, value in rows().items():
        sys.stdout.write(f"{name} {value:.3g}\n")


if __name__ == "__main__":
    main()
