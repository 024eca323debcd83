"""The flow language model, on pairs with habits of their own and on real labels."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score

from entropy_ids.collector import parse, segments
from entropy_ids.detectors.flow_language_model import (
    HIGHEST,
    LEAST_SEEN,
    FlowLanguageModel,
)
from entropy_ids.detectors.sentences import WINDOW, dyad_hours, windows
from entropy_ids.detectors.training import BLOCK, Training
from entropy_ids.errors import InputError, ProfileError

QUICK = Training(epochs=6, batch=32, learning_rate=5e-3)
ROWS = 1500
HABITS = ([7, 12, 7, 9], [3, 3, 15])
"""Powers of two of the bytes of a pair's flows, over and over."""


def flows_of(pairs: list[int], powers: list[int], protos: list[str]) -> pl.DataFrame:
    rows = len(pairs)
    seconds = pl.Series(np.arange(rows) * 2_000_000)
    return pl.DataFrame(
        {
            "ts": seconds.cast(pl.Datetime("us", "UTC")),
            "duration": pl.Series([None] * rows, dtype=pl.Duration("us")),
            "id.orig_h": [f"10.0.0.{pair}" for pair in pairs],
            "id.resp_h": "192.0.2.1",
            "id.orig_p": [40_000 + row % 9 for row in range(rows)],
            "id.resp_p": [80 + power for power in powers],
            "proto": protos,
            "orig_bytes": 0,
            "resp_bytes": [2**power for power in powers],
        }
    )


def habitual(rows: int, seed: int, hosts: int = 12) -> pl.DataFrame:
    """Draw flows of hosts that keep to one of `HABITS` nine times of ten."""
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, hosts, rows).tolist()
    said, powers = dict.fromkeys(pairs, 0), []
    for pair, strays in zip(pairs, rng.random(rows) < 0.1, strict=True):
        habit = HABITS[pair % 2]
        usual = habit[said[pair] % len(habit)]
        powers.append(int(rng.integers(0, 20)) if strays else usual)
        said[pair] += 1
    protos = ["udp" if pair % 2 else "tcp" for pair in pairs]
    return flows_of(pairs, powers, protos)


def trained(flows: pl.DataFrame, **how: object) -> FlowLanguageModel:
    model = FlowLanguageModel(QUICK, **how)
    model.fit(flows)
    return model


@pytest.fixture(scope="module")
def model() -> FlowLanguageModel:
    return trained(habitual(ROWS, seed=1))


@pytest.fixture(scope="module")
def fresh() -> pl.DataFrame:
    return habitual(1000, seed=2)


@pytest.mark.parametrize("sizes", [[1], [7, 64, 500], [999]])
def test_flows_cut_anywhere_have_the_same_bits(sizes, model, fresh):
    fresh = fresh[:150] if sizes == [1] else fresh
    expected = model.score(fresh, {})
    memory, found, start = {}, [], 0
    while start < len(fresh):
        part = fresh[start : start + sizes[len(found) % len(sizes)]]
        found.append(model.score(part, memory))
        memory = json.loads(json.dumps(memory))
        start += len(part)
    assert np.concatenate(found).tobytes() == expected.tobytes()


def test_the_bits_of_a_score_depend_on_neither_place_nor_company(model):
    rng = np.random.default_rng(3)
    rows = rng.integers(1, len(model.vocabulary) + 2, (BLOCK, WINDOW), np.int32)
    for length in (1, 4, WINDOW):
        rows[:, : WINDOW - length] = 0
        expected = model._log_p(rows)
        for _ in range(10):
            some = rng.permutation(BLOCK)[: rng.integers(1, BLOCK + 1)]
            assert model._log_p(rows[some]).tobytes() == expected[some].tobytes()


def test_a_score_is_the_negative_logarithm_of_the_next_words_probability(model, fresh):
    scores = model.score(fresh, {})
    codes = model._codes(model_words(fresh))
    before = windows(fresh, codes, {})
    for row in range(0, len(fresh), 41):
        known = torch.tensor(before[row : row + 1][before[row : row + 1] > 0][None])
        with torch.no_grad():
            p = torch.softmax(model._network(known.long()), dim=1)[0]
        expected = -np.log(float(p[codes[row] - 1]))
        assert scores[row] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def model_words(flows: pl.DataFrame) -> pl.Series:
    powers = [(int(size) + 1).bit_length() - 1 for size in flows["resp_bytes"]]
    return pl.Series([f"{p}{n}" for p, n in zip(flows["proto"], powers, strict=True)])


def test_what_breaks_a_habit_scores_above_what_keeps_it(model):
    usual = flows_of([2] * 60, [*HABITS[0]] * 15, ["tcp"] * 60)
    powers = [*HABITS[0]] * 15
    powers[41] = 15
    broken = flows_of([2] * 60, powers, ["tcp"] * 60)
    assert model.score(usual, {})[12:].max() < 1.5
    assert model.score(broken, {}).argmax() == 41


def test_the_order_of_flows_is_what_is_learned(model):
    kept = flows_of([2] * 40, [*HABITS[0]] * 10, ["tcp"] * 40)
    mixed = flows_of([2] * 40, sorted([*HABITS[0]] * 10), ["tcp"] * 40)
    assert model.score(mixed, {}).mean() > 2 * model.score(kept, {}).mean()


def test_an_unseen_word_is_at_least_as_strange_as_the_rarest_known_ones(model, fresh):
    third = pl.int_range(pl.len()) % 3 == 0
    odd = fresh.with_columns(
        proto=pl.when(third).then(pl.lit("icmp")).otherwise("proto")
    )
    unseen = model.score(odd, {})[::3]
    assert unseen.min() >= np.log(ROWS / LEAST_SEEN)
    assert unseen.max() <= HIGHEST


def test_rare_words_of_the_training_are_learned_as_the_unknown_one():
    flows = habitual(400, seed=4)
    rare = pl.int_range(pl.len()) < LEAST_SEEN - 1
    odd = flows.with_columns(proto=pl.when(rare).then(pl.lit("gre")).otherwise("proto"))
    model = FlowLanguageModel(Training(epochs=1))
    model.fit(odd)
    assert not any(word.startswith("gre") for word in model.vocabulary)
    assert model.vocabulary == sorted(model.vocabulary)
    seen = set(model_words(odd))
    assert model.unknown == len(seen - set(model.vocabulary))


def test_the_first_flow_of_every_sentence_is_scored_by_its_word_alone(model):
    flows = flows_of([2, 4, 6], [7, 7, 9], ["tcp"] * 3)
    first, second, other = model.score(flows, {})
    assert first == second != other


def after_one_pass(fresh: pl.DataFrame, model_seed: int, torch_seed: int) -> bytes:
    torch.manual_seed(torch_seed)
    model = FlowLanguageModel(Training(epochs=1, seed=model_seed))
    before = torch.get_rng_state()
    model.fit(habitual(400, seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    return model.score(fresh, {}).tobytes()


def test_scores_depend_on_the_seed_and_on_no_other_draws(fresh):
    assert after_one_pass(fresh, 1, 5) == after_one_pass(fresh, 1, 6)
    assert after_one_pass(fresh, 1, 5) != after_one_pass(fresh, 2, 5)


def test_saved_and_loaded_scores_are_equal(model, fresh):
    facts, weights = model.tensors()
    loaded = FlowLanguageModel(QUICK)
    loaded.restore(json.loads(json.dumps(facts)), weights)
    assert loaded.score(fresh, {}).tobytes() == model.score(fresh, {}).tobytes()


def test_flows_are_left_as_they_were(model, fresh):
    before = fresh.clone()
    model.score(fresh, {})
    assert fresh.equals(before)


def test_the_ports_language_finds_a_strange_port(fresh):
    model = trained(habitual(1000, seed=5), words="ports")
    strange = fresh.with_columns(
        pl.when(pl.int_range(pl.len()) == 900)
        .then(6667)
        .otherwise("id.resp_p")
        .alias("id.resp_p")
    )
    assert model.score(strange, {})[900] > np.quantile(model.score(fresh, {}), 0.99)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("words", "ports", "expected words = 'proto-bytes', found 'ports'"),
        ("window", 9, "expected window = 10, found 9"),
        ("hidden", None, "expected hidden = 50, found None"),
        ("vocabulary", "tcp", "expected a list of distinct words"),
        ("vocabulary", ["tcp1", "tcp1"], "expected a list of distinct words"),
        ("vocabulary", ["tcp1"], "with 1 words, found others"),
        ("flows", "9", "expected a number from 1 on as flows, found '9'"),
        ("unknown", 0, "expected a number from 1 on as unknown, found 0"),
    ],
)
def test_a_profile_of_another_model_is_refused(name, value, told, model):
    facts, weights = model.tensors()
    with pytest.raises(ProfileError, match=told):
        FlowLanguageModel().restore(facts | {name: value}, weights)


def test_a_missing_weight_is_refused(model):
    facts, weights = model.tensors()
    del weights["head.bias"]
    with pytest.raises(ProfileError, match="found others; the profile is damaged"):
        FlowLanguageModel().restore(facts, weights)


def test_too_few_flows_are_refused():
    with pytest.raises(InputError, match="expected at least 100 flows"):
        FlowLanguageModel().fit(habitual(99, seed=1))


def test_a_new_model_scores_nothing(fresh):
    with pytest.raises(ProfileError, match="found a new one; call fit"):
        FlowLanguageModel().score(fresh, {})


def test_training_stops_when_nothing_gets_better():
    told: list[tuple[int, int, float]] = []
    model = FlowLanguageModel(Training(epochs=9, patience=2, learning_rate=1e-9))
    model.fit(habitual(300, seed=1), lambda *passed: told.append(passed))
    assert [passed[:2] for passed in told] == [(1, 9), (2, 9), (3, 9)]


def test_no_flows_have_no_scores(model, fresh):
    assert model.score(fresh[:0], {}).shape == (0,)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["stratosphere-008", "stratosphere-010"])
def test_attacks_on_a_real_host_are_strange_ports(name: str, shared_data: Path):
    path = shared_data / "labelled" / name / "conn.log.labeled"
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    bad = [line[1] for line in lines if line[-2:-1] == ["Malicious"]]
    flows = pl.concat(parse(part).flows.frame for part in segments(path, 1 << 20))
    flows = flows.with_columns(
        label=pl.when(pl.col("uid").is_in(bad))
        .then(pl.lit("attack"))
        .otherwise(pl.lit("normal"))
    )
    half = len(flows) // 2
    model = FlowLanguageModel(words="ports")
    model.fit(flows[:half].filter(pl.col("label") == "normal"))
    scores = model.score(flows[half:], {})
    pairs = dyad_hours(flows[half:], scores)
    assert roc_auc_score(flows[half:]["label"] == "attack", scores) > 0.95
    assert roc_auc_score(pairs["attack"], pairs["score"]) > 0.95
