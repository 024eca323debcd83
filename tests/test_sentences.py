"""Words, dyads, hours and windows, each beside its naive twin."""

import json

import numpy as np
import polars as pl
import pytest

from entropy_ids.detectors.flows import LABEL, NORMAL
from entropy_ids.detectors.sentences import (
    WINDOW,
    WORDS,
    check_words,
    dyad_hours,
    dyads,
    hours,
    windows,
)
from entropy_ids.errors import ConfigError

HOUR_S = 3600
HOSTS = [f"10.0.0.{n}" for n in (1, 2, 10)]


def flows_of(*rows: tuple) -> pl.DataFrame:
    """Make flows of (second, originator, responder[, duration in seconds])."""
    spans = [row[3] if len(row) > 3 else None for row in rows]
    return pl.DataFrame(
        {
            "ts": pl.Series([int(row[0] * 1e6) for row in rows], dtype=pl.Int64),
            "duration": pl.Series([s and int(s * 1e6) for s in spans], dtype=pl.Int64),
            "id.orig_h": [row[1] for row in rows],
            "id.resp_h": [row[2] for row in rows],
        }
    ).with_columns(
        pl.col("ts").cast(pl.Datetime("us", "UTC")),
        pl.col("duration").cast(pl.Duration("us")),
    )


def drawn(rows: int, seed: int) -> pl.DataFrame:
    """Draw flows of three hosts over five hours, beginnings out of order."""
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.uniform(0, 5 * HOUR_S, rows)) - rng.exponential(30, rows)
    spans = np.where(rng.random(rows) < 0.2, np.nan, rng.exponential(900, rows))
    begins = ends - np.nan_to_num(spans) + 100 * HOUR_S
    hosts = rng.choice(HOSTS, (rows, 2))
    rounded = [None if np.isnan(span) else span for span in spans]
    return flows_of(*zip(begins, hosts[:, 0], hosts[:, 1], rounded, strict=True))


def naive_windows(flows: pl.DataFrame, codes: list[int], most: int) -> list[list[int]]:
    clock, said, found = 0.0, {}, []
    for code, row in zip(codes, flows.iter_rows(named=True), strict=True):
        span = row["duration"].total_seconds() if row["duration"] else 0
        hour = int(max(clock, row["ts"].timestamp() + span) // HOUR_S)
        if hour > clock // HOUR_S:
            said = {}
        clock = max(clock, row["ts"].timestamp() + span)
        pair = frozenset([row["id.orig_h"], row["id.resp_h"]])
        if pair not in said and len(said) == most:
            found.append([0] * WINDOW)
            continue
        words = said.setdefault(pair, [])
        found.append(([0] * WINDOW + words)[-WINDOW:])
        words.append(code)
    return found


def codes_of(flows: pl.DataFrame) -> np.ndarray:
    return np.random.default_rng(len(flows)).integers(1, 30, len(flows), np.int32)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("most", [100, 2])
def test_windows_are_those_of_the_naive_twin(seed, most):
    flows = drawn(400, seed)
    codes = codes_of(flows)
    found = windows(flows, codes, {}, most)
    assert found.tolist() == naive_windows(flows, codes.tolist(), most)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("most", [100, 2])
def test_flows_cut_anywhere_have_the_same_windows_and_leave_the_same_memory(seed, most):
    flows = drawn(400, seed)
    codes = codes_of(flows)
    whole: dict = {}
    expected = windows(flows, codes, whole, most)
    cuts = np.random.default_rng(seed).integers(0, 400, 12).tolist()
    memory, found = {}, []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 400], strict=True):
        part = windows(flows[start:stop], codes[start:stop], memory, most)
        found.append(part)
        memory = json.loads(json.dumps(memory))
    assert np.concatenate(found).tolist() == expected.tolist()
    assert memory == whole


def test_flows_in_either_direction_are_of_one_sentence():
    flows = flows_of((0, "10.0.0.2", "10.0.0.10"), (1, "10.0.0.10", "10.0.0.2"))
    assert windows(flows, np.array([4, 5], np.int32), {})[1, -1] == 4


def test_a_sentence_ends_with_the_hour_and_past_hours_are_forgotten():
    flows = flows_of((3599, "a", "b"), (3600, "a", "c"), (3601, "a", "b"))
    memory: dict = {}
    assert not windows(flows, np.array([1, 2, 3], np.int32), memory).any()
    assert memory == {"hour": 1, "dyads": {"a c": "2", "a b": "3"}}


def test_a_flow_belongs_to_the_hour_in_which_it_ends():
    flows = flows_of((0, "a", "b", 2 * HOUR_S), (2 * HOUR_S + 1, "a", "b"))
    assert windows(flows, np.array([1, 2], np.int32), {})[1, -1] == 1


def test_a_row_written_late_goes_on_with_the_running_hour():
    flows = flows_of((3601, "a", "b"), (3590, "a", "b"), (3602, "a", "b"))
    assert hours(flows).tolist() == [1, 1, 1]


def test_the_memory_of_an_hour_is_bounded():
    flows = flows_of(*[(n, "a", f"b{n}") for n in range(50)])
    memory: dict = {}
    windows(flows, np.ones(50, np.int32), memory, most_dyads=7)
    assert list(memory["dyads"]) == [f"a b{n}" for n in range(7)]


def test_no_flows_leave_the_memory_as_it_was():
    memory: dict = {}
    assert windows(flows_of(), np.empty(0, np.int32), memory).shape == (0, WINDOW)
    assert memory == {}


def test_addresses_are_compared_as_text_and_keep_their_bounds():
    flows = flows_of((0, "1.1.1.11", "1.1.1.1"), (0, "1.1.1.1", "1.1.1.11"))
    assert set(dyads(flows)) == {"1.1.1.1 1.1.1.11"}


def test_the_size_is_the_floor_of_the_logarithm_near_every_power_of_two():
    total = [2**k + d for k in range(52) for d in (-1, 0, 1)]
    flows = pl.DataFrame(
        {"proto": ["tcp"] * len(total), "orig_bytes": total, "resp_bytes": 0}
    )
    words = WORDS["proto-bytes"](flows).to_list()
    assert words == [f"tcp{(size + 1).bit_length() - 1}" for size in total]


def test_bytes_count_both_ways_and_unset_is_not_zero():
    sizes = [(3, 4), (None, 7), (7, None), (0, 0), (None, None)]
    flows = pl.DataFrame(
        {"proto": "udp", "orig_bytes": [a for a, _ in sizes]}
        | {"resp_bytes": [b for _, b in sizes]}
    )
    expected = ["udp3", "udp3", "udp3", "udp0", "udp-"]
    assert WORDS["proto-bytes"](flows).to_list() == expected


def test_the_service_port_is_the_lower_number_not_the_lower_text():
    pairs = [(443, 80), (9_999, 50_000), (10_000, 60_000), (8, 0)]
    flows = pl.DataFrame(pairs, schema=["id.orig_p", "id.resp_p"], orient="row")
    assert WORDS["ports"](flows).to_list() == ["80", "9999", "10000", "0"]


def test_an_unknown_language_is_refused_by_name():
    with pytest.raises(ConfigError, match="expected one of proto-bytes, ports, found"):
        check_words("port")


def test_a_dyad_hour_has_the_highest_score_and_is_an_attack_if_any_flow_is():
    flows = flows_of((1, "a", "b"), (2, "b", "a"), (3, "a", "c"), (3601, "a", "b"))
    labels = [NORMAL, "dos", NORMAL, NORMAL]
    found = dyad_hours(
        flows.with_columns(pl.Series(LABEL, labels)), np.array([2.0, 5.0, 1.0, np.nan])
    )
    assert found.columns == ["dyad", "hour", "score", "flows", "attack"]
    assert found["hour"].dt.hour().to_list() == [0, 0, 1]
    assert found.drop("hour").rows() == [
        ("a b", 5.0, 2, True),
        ("a c", 1.0, 1, False),
        ("a b", None, 1, False),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_dyad_hours_are_those_of_the_naive_twin(seed):
    flows = drawn(300, seed)
    scores = np.random.default_rng(seed).random(300)
    expected: dict = {}
    keys = zip(dyads(flows).to_list(), hours(flows).tolist(), strict=True)
    for key, score in zip(keys, scores.tolist(), strict=True):
        best, count = expected.get(key, (0.0, 0))
        expected[key] = (max(best, score), count + 1)
    found = dyad_hours(flows, scores)
    stamps = (found["hour"].dt.epoch("s") // HOUR_S).to_list()
    keys = zip(found["dyad"], stamps, strict=True)
    values = zip(found["score"], found["flows"], strict=True)
    assert dict(zip(keys, values, strict=True)) == expected
