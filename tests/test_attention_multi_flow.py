"""The classifier of flows by the flows before them: features, contexts, network."""

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelled import anything, frame, row, site, tried

from entropy_ids.detectors import flow_features
from entropy_ids.detectors.attention_multi_flow import (
    AttentionMultiFlow,
    PlainLstm,
    targets_of,
)
from entropy_ids.detectors.flow_features import (
    CONTEXTS,
    FORGOTTEN_S,
    KINDS,
    NUMBERS,
    Encoding,
    encoded,
    follow,
    remember,
)
from entropy_ids.detectors.flow_learning import MOST_WEIGHT, Lesson, quotas
from entropy_ids.detectors.flows import LABEL, NORMAL
from entropy_ids.detectors.training import BLOCK, Training
from entropy_ids.errors import ConfigError, InputError, ProfileError

N = 5
QUICK = Training(epochs=8, batch=32, learning_rate=5e-3)


def small(kind: type[AttentionMultiFlow] = AttentionMultiFlow) -> AttentionMultiFlow:
    return kind(QUICK, length=N, hidden=16)


@pytest.fixture(scope="module")
def model() -> AttentionMultiFlow:
    made = small()
    made.fit(site(600, seed=1))
    return made


# ------------------------------------------------------------- which flows come before


def naive_windows(flows: pl.DataFrame, context: str, n: int) -> list[list[str]]:
    """Give the uids that each flow is seen with, itself last."""
    seen: dict[tuple, tuple[float, int, list[str]]] = {}
    clock, windows = -math.inf, []
    for number, flow in enumerate(flows.iter_rows(named=True)):
        clock = max(clock, flow["ts"].timestamp())
        key = tuple(flow[name] for name in CONTEXTS[context])
        when, place, uids = seen.get(key, (clock, number, []))
        ended = clock - when > FORGOTTEN_S
        if ended or number - place > flow_features.REACH_FLOWS:
            uids = []
        uids = [*uids, flow["uid"]][-n:]
        seen[key] = (clock, number, uids)
        windows.append(uids)
    return windows


@pytest.mark.parametrize("reach", [10, 100_000])
@pytest.mark.parametrize("context", CONTEXTS)
def test_the_flows_before_are_those_of_a_loop(context, reach, monkeypatch):
    monkeypatch.setattr(flow_features, "REACH_FLOWS", reach)
    flows = anything(400, seed=3)
    codes = np.zeros((len(flows), len(KINDS)), np.float32)
    index = follow(flows, codes, {}, context, N).index
    uids = flows["uid"].to_list()
    found = [[uids[at] for at in window if at >= 0] for window in index.tolist()]
    assert found == naive_windows(flows, context, N)


def test_padding_stands_before_the_flows():
    codes = np.zeros((3, len(KINDS)), np.float32)
    flows = frame([row(0), row(1), row(2)])
    index = follow(flows, codes, {}, "source", 3).index
    assert index.tolist() == [[-1, -1, 0], [-1, 0, 1], [0, 1, 2]]


def one_by_one(flows: pl.DataFrame, name: str) -> list[float]:
    """Give a number of flows that are read in one context."""
    codes = np.zeros((len(flows), len(KINDS)), np.float32)
    records = follow(flows, codes, {}, "link", 2).records
    return records[:, NUMBERS.index(name)].tolist()


def test_the_gap_is_the_time_between_two_beginnings():
    gaps = one_by_one(frame([row(0), row(2), row(1.5)]), "log_gap_ms")
    assert math.isnan(gaps[0])
    assert gaps[1:] == pytest.approx([math.log1p(2000), 0])


def test_an_endpoint_is_other_when_it_is_not_that_of_the_flow_before():
    flows = frame([row(0), row(1, id__resp_p=80), row(2, id__resp_p=80)])
    assert one_by_one(flows, "other_resp_p")[1:] == [1, 0]
    assert one_by_one(flows, "other_resp_h")[1:] == [0, 0]


def test_numbers_are_those_of_a_loop():
    flow = row(0, orig_bytes=30, resp_bytes=90, orig_pkts=3, resp_pkts=0)
    codes = np.zeros((1, len(KINDS)), np.float32)
    record = follow(frame([flow]), codes, {}, "link", 2).records[0]
    wanted = [math.log1p(x) for x in (1500, 30, 90, 3, 0)]
    wanted += [0.25, 1.0, math.log1p(10), math.nan]
    wanted += [math.log1p(40_000), math.log1p(443), *[math.nan] * 4]
    assert record[: len(NUMBERS)] == pytest.approx(wanted, rel=1e-6, nan_ok=True)


def test_what_is_remembered_is_forgotten_after_an_hour():
    memory: dict = {}
    for second in (0, FORGOTTEN_S, FORGOTTEN_S + 1):
        flows = frame([row(second, id__orig_h=f"10.0.0.{second}")])
        codes = np.zeros((1, len(KINDS)), np.float32)
        remember(memory, follow(flows, codes, memory, "source", 2))
    assert sorted(memory["contexts"]) == ["10.0.0.3600", "10.0.0.3601"]


def test_no_more_contexts_are_remembered_than_flows_are_reached(monkeypatch):
    monkeypatch.setattr(flow_features, "REACH_FLOWS", 50)
    forged = [row(0, id__orig_h=f"10.0.{n // 250}.{n % 250}") for n in range(1_000)]
    memory: dict = {}
    codes = np.zeros((len(forged), len(KINDS)), np.float32)
    remember(memory, follow(frame(forged), codes, memory, "source", 2))
    assert len(memory["contexts"]) == 50


# ------------------------------------------------------------------------ the encoding


def test_the_vocabulary_is_the_frequent_values_in_a_fixed_order():
    rows = [row(n, service=s) for s in ("dns", "ssl") for n in range(10)]
    rows += [row(n, service="rare") for n in range(9)]
    rows += [row(n, service=None) for n in range(11)]
    encoding, _ = encoded(frame(rows), "source", 2)
    assert encoding.vocabularies["service"] == ["-", "dns", "ssl"]


def vectors(flows: pl.DataFrame, encoding: Encoding) -> np.ndarray:
    return encoding.encode(
        follow(flows, encoding.codes(flows), {}, "source", 2).records
    )


def test_each_name_of_a_vector_stands_for_its_number():
    encoding, _ = encoded(site(300, seed=1), "source", 2)
    vector = vectors(frame([tried(0, service="new")]), encoding)[0]
    named = dict(zip(encoding.names, vector.tolist(), strict=True))
    assert len(vector) == encoding.width
    assert named["conn_state=S0"] == named["service=(other)"] == 1
    assert named["log_duration_ms=(unset)"] == 1
    assert sum(v for k, v in named.items() if k.startswith("service=")) == 1


def test_unset_is_not_zero():
    encoding, _ = encoded(site(300, seed=1), "source", 2)
    unset, zero = vectors(
        frame(
            [tried(0), tried(0, id__orig_h="10.1.1.1", orig_bytes=0, resp_bytes=0)],
        ),
        encoding,
    )
    assert (unset != zero).any()


def test_a_wild_value_is_cut_off():
    encoding, _ = encoded(site(300, seed=1), "source", 2)
    assert vectors(frame([row(0, orig_pkts=2**60)]), encoding).max() == 10


def test_a_column_without_a_value_is_scaled_by_one():
    rows = [row(n, duration=None) for n in range(20)]
    encoding, _ = encoded(frame(rows), "source", 2)
    at = NUMBERS.index("log_duration_ms")
    assert (encoding.center[at], encoding.scale[at]) == (0, 1)


# ------------------------------------------------------------------------ any chunking


def in_chunks(
    model: AttentionMultiFlow, flows: pl.DataFrame, cuts: list[int]
) -> tuple[np.ndarray, dict]:
    """Score flows chunk by chunk, the memory written as JSON in between."""
    memory: dict = {}
    scores = []
    for start, stop in itertools.pairwise([0, *cuts, len(flows)]):
        scores.append(model.score(flows[start:stop], memory))
        memory = json.loads(json.dumps(memory, allow_nan=False))
    return np.concatenate(scores), memory


@pytest.mark.parametrize("context", CONTEXTS)
def test_any_cutting_gives_the_same_bits(context, model, monkeypatch):
    monkeypatch.setattr(model, "context", context)
    monkeypatch.setattr(flow_features, "REACH_FLOWS", 40)
    flows = anything(300, seed=5)
    whole, memory = in_chunks(model, flows, [])
    rng = np.random.default_rng(7)
    for pieces in (1, 3, 30):
        cuts = sorted(rng.integers(0, len(flows), pieces).tolist())
        scores, kept = in_chunks(model, flows, cuts)
        assert scores.tobytes() == whole.tobytes()
        assert kept == memory


def test_flow_by_flow_gives_the_same_bits(model):
    flows = anything(BLOCK + 10, seed=6)
    whole, _ = in_chunks(model, flows, [])
    scores, _ = in_chunks(model, flows, list(range(1, len(flows))))
    assert scores.tobytes() == whole.tobytes()


def test_no_flows_have_no_scores(model):
    memory: dict = {}
    assert len(model.score(site(10, seed=1)[:0], memory)) == 0
    assert memory == {}


def test_scoring_leaves_the_flows_alone(model):
    flows = site(50, seed=8)
    before = flows.clone()
    model.score(flows, {})
    assert flows.equals(before)


# ------------------------------------------------------------------ learning and naming


def test_new_flows_are_given_their_class(model):
    flows = site(400, seed=2)
    given = model.probabilities(flows, {}).argmax(1)
    assert (given == targets_of(flows, model.classes)).mean() > 0.97
    assert model.classes == [NORMAL, "dos", "port-scan"]


def test_the_score_is_the_probability_of_any_other_class_than_normal(model):
    flows = site(100, seed=2)
    probabilities = model.probabilities(flows, {})
    assert probabilities.sum(1) == pytest.approx(np.ones(100))
    assert model.score(flows, {}) == pytest.approx(1 - probabilities[:, 0])


def test_a_class_that_only_the_flows_before_tell_is_learned():
    kinds = np.random.default_rng(1).choice(["tcp", "udp"], 900).tolist()
    labels = ["normal"] * 3 + ["dos" if k == "udp" else "normal" for k in kinds]
    rows = [row(n, proto=k, label=labels[n]) for n, k in enumerate(kinds)]
    model = AttentionMultiFlow(replace(QUICK, epochs=15), length=N, hidden=16)
    model.fit(frame(rows[:700]))
    given = model.probabilities(frame(rows[700:]), {}).argmax(1)[3:]
    assert (given == targets_of(frame(rows[703:]), model.classes)).mean() > 0.97


def test_flows_without_a_label_are_seen_but_not_learned():
    flows = site(60, seed=3).with_columns(
        pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.col(LABEL)).alias(LABEL)
    )
    targets = targets_of(flows, [NORMAL, "dos", "port-scan"])
    lesson = Lesson.of(targets, 1_000, np.random.default_rng(1))
    learned = np.concatenate([*lesson.by_class, lesson.held])
    assert sorted(learned.tolist()) == list(range(0, 60, 2))


def test_the_same_seed_gives_the_same_model_and_another_another(model):
    flows = site(600, seed=1)
    same, other = small(), AttentionMultiFlow(replace(QUICK, seed=2), "source", N, 16)
    same.fit(flows)
    other.fit(flows)
    scores = model.score(flows, {})
    assert same.score(flows, {}).tobytes() == scores.tobytes()
    assert (other.score(flows, {}) != scores).any()


def test_progress_is_told_after_each_pass():
    told: list[tuple[int, int, float]] = []
    model = AttentionMultiFlow(replace(QUICK, epochs=3), length=N, hidden=8)
    model.fit(site(200, seed=1), lambda *pass_: told.append(pass_))
    assert [one[:2] for one in told] == [(1, 3), (2, 3), (3, 3)]
    assert told[-1][2] < told[0][2]


def test_a_value_never_seen_is_any_other_value(model):
    first = row(0, service="never-seen", conn_state="never-seen")
    second = row(0, service="nor-this", conn_state="nor-this")
    scores = [model.score(frame([one]), {}) for one in (first, second)]
    assert scores[0] == scores[1]


@given(
    st.lists(st.integers(1, 100_000), min_size=1, max_size=12),
    st.integers(24, 50_000),
)
def test_every_class_has_its_place_in_a_pass(counts, most):
    shares = quotas(np.array(counts), most)
    assert (shares <= counts).all()
    assert (shares >= np.minimum(counts, most // (2 * len(counts)))).all()
    assert shares.sum() <= max(most, 0)
    assert shares.sum() >= min(most, sum(counts)) - len(counts)


def test_a_rare_class_weighs_more_but_not_without_bound():
    targets = np.repeat([0, 1, 2], [1000, 200, 10])
    weights = Lesson.of(targets, 10_000, np.random.default_rng(1)).weights
    assert weights.tolist() == [1, 5, MOST_WEIGHT]


def test_the_last_tenth_of_each_class_is_held_out():
    targets = np.array([0] * 20 + [1] * 10 + [2] * 5)
    lesson = Lesson.of(targets, 10_000, np.random.default_rng(1))
    assert sorted(lesson.held.tolist()) == [18, 19, 29]


# --------------------------------------------------------------------------- attention


def test_attention_is_shared_by_the_flows_that_are_there(model):
    flows = frame([row(second) for second in range(N + 2)])
    attention = model.attention(flows, {})
    assert attention.sum(1) == pytest.approx(np.ones(N + 2))
    assert ((attention[:N] > 0) == np.fliplr(np.tri(N))).all()
    assert (attention[N:] > 0).all()


def test_the_flows_that_attention_is_paid_to_are_told(model):
    flows = frame([row(second) for second in range(4)])
    memory: dict = {}
    first = model.judge(flows[:1], memory).before
    assert first.tolist() == [[-1] * (N - 1) + [0]]
    later = model.judge(flows[1:], memory).before
    assert later[-1].tolist() == [-1, -1, 0, 1, 2]


def test_without_attention_the_flow_itself_stands_for_all():
    plain = small(PlainLstm)
    plain.fit(site(200, seed=1))
    attention = plain.attention(site(20, seed=2), {})
    assert (attention == np.eye(N)[-1]).all()


# ------------------------------------------------------------------------------ keeping


@pytest.mark.parametrize("kind", [AttentionMultiFlow, PlainLstm])
def test_a_saved_and_loaded_model_scores_the_same(kind):
    made = kind(QUICK, context="pair", length=N, hidden=8)
    made.fit(site(200, seed=1))
    facts, weights = made.tensors()
    loaded = kind()
    loaded.restore(json.loads(json.dumps(facts)), weights)
    flows = site(100, seed=4)
    assert loaded.score(flows, {}).tobytes() == made.score(flows, {}).tobytes()
    assert loaded.classes == made.classes


def renamed(facts: dict) -> None:
    facts["features"]["numbers"][0] = "another"


def shortened(facts: dict) -> None:
    facts["features"]["center"].pop()


def one_class_less(facts: dict) -> None:
    facts["classes"].pop()


def without_context(facts: dict) -> None:
    del facts["context"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (renamed, "expected the flow features"),
        (shortened, "expected a median and a deviation"),
        (one_class_less, "expected the facts and weights of attention-multi-flow"),
        (without_context, "expected the facts and weights of attention-multi-flow"),
    ],
)
def test_what_does_not_fit_is_refused(damage: Callable[[dict], None], said, model):
    facts, weights = model.tensors()
    facts = json.loads(json.dumps(facts))
    damage(facts)
    with pytest.raises(ProfileError, match=said):
        AttentionMultiFlow().restore(facts, weights)


def test_other_weights_are_refused(model):
    facts, weights = model.tensors()
    del weights["head.bias"]
    with pytest.raises(ProfileError, match="with 16 units, found others"):
        AttentionMultiFlow().restore(facts, weights)


def test_a_model_without_attention_is_not_taken_for_one_with(model):
    with pytest.raises(ProfileError, match="plain-lstm"):
        PlainLstm().restore(*model.tensors())


# ------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([None, None], "no label at all"),
        (["normal", "normal"], "found normal in 2 flows"),
        (["dos", "bot"], "found bot, dos in 2 flows"),
    ],
)
def test_labels_that_teach_nothing_are_refused(labels, said):
    flows = frame([row(n, label=label) for n, label in enumerate(labels)])
    with pytest.raises(InputError, match=said):
        small().fit(flows)


def test_flows_without_a_column_of_labels_are_refused():
    with pytest.raises(InputError, match="expected a column label"):
        small().fit(site(10, seed=1).drop(LABEL))


@pytest.mark.parametrize("wrong", [{"context": "host"}, {"length": 1}])
def test_a_setting_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ConfigError, match="expected a context of source, pair, link"):
        AttentionMultiFlow(**wrong)


def test_a_new_model_does_not_score():
    with pytest.raises(ProfileError, match="call fit"):
        AttentionMultiFlow().score(site(5, seed=1), {})


# --------------------------------------------------------------------------- real logs


def labelled(path: Path) -> pl.DataFrame:
    """Read a real log whose last columns are labels; Background has none."""
    lines = path.read_text().splitlines()
    fields = next(x for x in lines if x.startswith("#fields")).split("\t")[1:]
    cells = [line.split("\t") for line in lines if not line.startswith("#")]
    raw = pl.DataFrame(cells, schema=fields, orient="row")
    raw = raw.with_columns(pl.all().replace("-", None))
    times = {"ts": pl.Datetime("us", "UTC"), "duration": pl.Duration("us")}
    kept = frame([]).schema
    whole = [k for k in kept if k not in (*times, LABEL)]
    names = {"Malicious": "attack", "Benign": NORMAL}
    micros = {k: (pl.col(k).cast(pl.Float64) * 1e6).round() for k in times}
    return raw.select(
        *(micros[k].cast(pl.Int64).cast(times[k]).alias(k) for k in times),
        *(pl.col(k).cast(kept[k]) for k in whole),
        pl.col("label").replace_strict(names, default=None, return_dtype=pl.String),
    )


@pytest.mark.shared
def test_attacks_from_the_internet_are_told_from_a_host_s_own_traffic(shared_data):
    found = shared_data / "labelled" / "stratosphere-008" / "conn.log.labeled"
    flows = labelled(found)
    cut = len(flows) * 6 // 10
    model = AttentionMultiFlow(replace(QUICK, batch=128), hidden=32)
    model.fit(flows[:cut])
    late = flows[cut:]
    given = model.probabilities(late, {}).argmax(1)
    wanted = targets_of(late, model.classes)
    assert (given == wanted)[wanted >= 0].mean() > 0.98
