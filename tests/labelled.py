"""Labelled flows that the flow classifiers' tests share: small, made, in file order."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from entropy_ids.collector.schema import KEPT
from entropy_ids.detectors.flows import FLOW_COLUMNS, LABEL

T0 = datetime(2026, 3, 2, 8, tzinfo=UTC)
SCHEMA = {name: KEPT[name] for name in FLOW_COLUMNS} | {LABEL: pl.String()}


def row(second: float, **values: Any) -> dict[str, Any]:
    """Give a web flow that begins then; names with a dot are spelled with ``__``."""
    usual = dict.fromkeys(SCHEMA) | {"ts": T0 + timedelta(seconds=second), "uid": "C1"}
    usual |= {"id.orig_h": "10.0.0.1", "id.orig_p": 40_000, "label": "normal"}
    usual |= {"id.resp_h": "192.0.2.1", "id.resp_p": 443, "proto": "tcp"}
    usual |= {"conn_state": "SF", "service": "ssl"}
    usual |= {"duration": timedelta(seconds=1.5), "orig_bytes": 900}
    usual |= {"resp_bytes": 5_000, "orig_pkts": 8, "resp_pkts": 9}
    return usual | {name.replace("__", "."): value for name, value in values.items()}


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def tried(second: float, **values: Any) -> dict[str, Any]:
    """Give a flow that nobody answered."""
    nothing = dict.fromkeys(("duration", "service", "orig_bytes", "resp_bytes"))
    few: dict[str, Any] = {"conn_state": "S0", "orig_pkts": 1, "resp_pkts": 0}
    return row(second, **(nothing | few | values))


def site(flows: int, seed: int) -> pl.DataFrame:
    """Draw normal flows of eight hosts, one scanning ports, another flooding a host."""
    rng = np.random.default_rng(seed)
    rows = []
    for second in range(flows):
        kind = rng.choice(3, p=(0.6, 0.2, 0.2))
        port = int(rng.integers(1, 60_000))
        if kind == 0:
            host = f"10.0.0.{rng.integers(1, 9)}"
            size = int(rng.lognormal(8, 1))
            rows.append(row(second, id__orig_h=host, resp_bytes=size, id__orig_p=port))
        elif kind == 1:
            scan = {"id__orig_h": "10.9.9.9", "id__resp_p": port, "label": "port-scan"}
            rows.append(tried(second, **scan))
        else:
            flood = {"id__orig_h": "10.8.8.8", "id__resp_p": 80, "label": "dos"}
            rows.append(tried(second, **flood, id__orig_p=port))
    return frame(rows)


def anything(flows: int, seed: int) -> pl.DataFrame:
    """Draw flows in no order of time, with unset values and rare ones."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(flows):
        second = float(rng.integers(0, 40_000)) if rng.random() < 0.1 else number * 30
        unset = dict.fromkeys(("duration", "service", "orig_bytes", "resp_pkts"))
        chosen = {k: v for k, v in unset.items() if rng.random() < 0.3}
        sizes = {"orig_pkts": int(rng.integers(0, 3)), "uid": f"C{number}"}
        hosts = {"id__orig_h": f"10.0.0.{rng.integers(6)}", "id__resp_p": 53}
        hosts |= {"id__resp_h": f"192.0.2.{rng.integers(3)}"}
        if rng.random() < 0.5:
            hosts["id__resp_p"] = int(rng.integers(1, 9_000))
        rows.append(row(second, **(chosen | sizes | hosts)))
    return frame(rows)
