"""What a notebook does today: zat's table, value counts per minute, scipy's entropy.

The same columns and orders as ours, one minute, direction and feature at a time.
"""

import sys
import warnings

import numpy as np
import pandas as pd
from scipy.stats import entropy

from entropy_ids.features.catalog import FEATURES, default_columns
from entropy_ids.features.counting import TABLES
from entropy_ids.types import DIRECTIONS

SAMPLE = 16
_FLAGS = {"inbound": (False, True), "outbound": (True, False), "internal": (True, True)}
_BINNED = ("orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts")


def rival(path: str) -> pd.DataFrame:
    """Give minutes × default columns."""
    warnings.simplefilter("ignore")  # zat uses what pandas will drop
    from zat.log_to_dataframe import LogToDataFrame

    of_conn = [one for one in FEATURES.values() if one.table in TABLES]
    names = {key for feature in of_conn for key in feature.key}
    wanted = [*names, "duration", *_BINNED, "local_orig", "local_resp", "ts"]
    table = LogToDataFrame().create_dataframe(path, usecols=sorted(set(wanted)))
    category = table.select_dtypes("category").columns  # pairs of them would not fit
    return measure(table.astype(dict.fromkeys(category, object)).reset_index())


def measure(table: pd.DataFrame) -> pd.DataFrame:
    """Measure a zat table."""
    table["sent"] = table["orig_bytes"].fillna(0)
    table["bytes"] = table["sent"] + table["resp_bytes"].fillna(0)
    seconds = table["duration"].dt.total_seconds()
    for name, size in [("duration", seconds * 1000), *((n, table[n]) for n in _BINNED)]:
        table[name] = np.floor(np.log2(size.astype(float).clip(lower=0.5)))
    end = table["ts"] + pd.to_timedelta(seconds.fillna(0), unit="s")
    minute = end.cummax().dt.floor("min")
    flags = {
        name: table[name].astype(str).str[0] == "T"
        for name in ("local_orig", "local_resp")
    }
    rows = {}
    for at, rows_at in table.groupby(minute):
        found: dict[str, float] = {}
        for direction in DIRECTIONS:
            part = rows_at
            if direction != "all":
                orig, resp = _FLAGS[direction]
                index = rows_at.index
                part = rows_at[
                    (flags["local_orig"][index] == orig)
                    & (flags["local_resp"][index] == resp)
                ]
            _columns(part, direction, found)
        rows[at] = found
    return pd.DataFrame.from_dict(rows, orient="index")


def _columns(part: pd.DataFrame, direction: str, found: dict[str, float]) -> None:
    counts: dict[tuple, np.ndarray] = {}
    for column in default_columns():
        if column.direction != direction:
            continue
        feature = FEATURES[column.feature]
        key = (feature.key, feature.weight, feature.ports)
        if key not in counts:
            counts[key] = _counts(part, feature)
        found[column.name] = _value(counts[key], column, feature.kind)


def _counts(part: pd.DataFrame, feature) -> np.ndarray:
    keys = [k if k in part else k.removeprefix("id.") for k in feature.key]
    if feature.ports:
        part = part[part["id.resp_p"].isin(feature.ports)]
    if not keys:
        flows = feature.weight == "flows"
        return np.array([len(part) if flows else part[feature.weight].sum()])
    if feature.weight == "flows":
        return part[keys].value_counts(dropna=False).to_numpy()
    if feature.weight in ("bytes", "sent"):
        return part.groupby(keys, observed=True)[feature.weight].sum().to_numpy()
    others = (
        ["id.resp_p", "proto"]
        if feature.weight == "ports"
        else list({"id.orig_h", "id.resp_h"} - set(keys))
    )
    distinct = part[[*keys, *others]].drop_duplicates()
    return distinct.groupby(keys, observed=True).size().to_numpy()


def _value(counts: np.ndarray, column, kind: str) -> float:
    counts = counts[counts > 0].astype(float)
    if kind != "distribution":
        size = counts.max() if kind == "largest" else counts.sum()
        return float(np.log2(1 + size)) if len(counts) else 0.0
    if not len(counts):
        return float("nan")
    if column.statistic == "rarefied":
        return _rarefied(counts, column.alpha)
    if column.alpha == 1:
        return float(entropy(counts, base=2))
    p = counts / counts.sum()
    return float(np.log2((p**column.alpha).sum()) / (1 - column.alpha))


def _rarefied(counts: np.ndarray, order: float) -> float:
    n = counts.sum()
    if n < SAMPLE:
        return float("nan")
    chance, z = np.ones_like(counts), [1.0]
    for k in range(1, SAMPLE):
        chance = chance * np.maximum(n - counts - (k - 1), 0) / (n - k)
        z.append(float((counts * chance).sum() / n))
    if order == 0:
        return float(np.log2(sum(z)))
    if order == 1:
        return float(sum(term / k for k, term in enumerate(z) if k) / np.log(2))
    return float(-np.log2(1 / SAMPLE + (1 - 1 / SAMPLE) * (1 - z[1])))


if __name__ == "__main__":
    rival(sys.argv[1]).to_csv(sys.argv[2])
