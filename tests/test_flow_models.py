"""The contract of every flow model."""

import inspect
import json
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import T0, batch, row
from safetensors.numpy import load, save
from test_detectors import documented_parameters

from entropy_ids.detectors import FLOW_MODELS
from entropy_ids.detectors.flows import LABEL, NORMAL, FlowModel
from entropy_ids.detectors.training import Training
from entropy_ids.errors import ProfileError
from entropy_ids.settings import SETTINGS

KINDS = pytest.mark.parametrize("kind", FLOW_MODELS)
STRANGER = "198.51.100.66"
SMALL = Training(epochs=6, batch=32, learning_rate=3e-3)


def flows(minutes: int, strange: tuple[int, ...] = ()) -> pl.DataFrame:
    """Give the flows of an office: in some minutes a stranger tries many ports."""
    found, labels = [], []
    for minute in range(minutes):
        for n in range(6):
            usual = {"id__orig_h": f"10.0.0.{n % 3}", "id__resp_p": (53, 443)[n % 2]}
            sizes = {"orig_bytes": 80 * (1 + n), "resp_bytes": 900, "orig_pkts": 4}
            found.append(row(T0 + 60 * minute + 5 * n, **usual, **sizes))
            labels.append(NORMAL)
        for n in range(20 * (minute in strange)):
            tried = {"id__orig_h": STRANGER, "id__resp_p": 1000 + n}
            state = {"conn_state": "S0", "orig_bytes": 0, "orig_pkts": 1}
            found.append(row(T0 + 60 * minute + 31 + n, **tried, **state))
            labels.append("port-scan")
    return batch(found).frame.with_columns(pl.Series(LABEL, labels))


TRAINED_ON, NEW = flows(60, (5, 20, 33, 47)), flows(20, (8,))


def model(kind: str, seed: int = 1) -> FlowModel:
    """Teach a model; one that learns from no labels sees normal flows alone."""
    made = FLOW_MODELS[kind](Training(**(vars(SMALL) | {"seed": seed})))
    shown = TRAINED_ON
    made.fit(shown if made.supervised else shown.filter(pl.col(LABEL) == NORMAL))
    return made


@pytest.fixture(scope="module", params=FLOW_MODELS)
def fitted(request: pytest.FixtureRequest) -> FlowModel:
    return model(request.param)


def same_bits(one: Any, other: Any) -> bool:
    return np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_every_flow_has_a_score_or_none_that_is_known(fitted):
    scores = fitted.score(NEW, {})
    assert scores.shape == (len(NEW),)
    assert scores.dtype == np.float64
    assert not np.isinf(scores).any()
    assert np.isfinite(scores).mean() > 0.9


def test_the_same_seed_gives_the_same_scores_and_another_others(fitted):
    mine = fitted.score(NEW, {})
    assert same_bits(model(fitted.name).score(NEW, {}), mine)
    assert not same_bits(model(fitted.name, seed=2).score(NEW, {}), mine)


def test_a_saved_and_loaded_model_scores_the_same_bits(fitted):
    facts, weights = fitted.tensors()
    loaded = FLOW_MODELS[fitted.name]()
    kept = json.loads(json.dumps(facts, sort_keys=True))  # as a manifest keeps them
    loaded.restore(kept, load(save(weights)))
    assert same_bits(loaded.score(NEW, {}), fitted.score(NEW, {}))


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(1, len(NEW)), max_size=6))
def test_any_cutting_into_chunks_gives_the_same_bits(fitted, cuts):
    memory: dict[str, Any] = {}
    parts = []
    for start, stop in pairwise([0, *sorted(cuts), len(NEW)]):
        parts.append(fitted.score(NEW[start:stop], memory))
        memory = json.loads(json.dumps(memory))  # as a checkpoint keeps it
    assert same_bits(np.concatenate(parts), fitted.score(NEW, {}))


def test_the_attack_scores_above_what_is_usual(fitted):
    attack = (NEW[LABEL] != NORMAL).to_numpy()
    scores = fitted.score(NEW, {})
    assert np.nanmedian(scores[attack]) > np.nanmax(scores[~attack])


def test_scoring_leaves_the_flows_alone(fitted):
    kept = NEW.clone()
    fitted.score(NEW, {})
    assert NEW.equals(kept)


@KINDS
def test_a_model_that_learned_nothing_refuses_to_score(kind):
    with pytest.raises(ProfileError, match="fit"):
        FLOW_MODELS[kind]().score(NEW, {})


def test_what_another_model_knows_is_refused(fitted):
    _, weights = fitted.tensors()
    with pytest.raises(ProfileError):
        FLOW_MODELS[fitted.name]().restore({}, weights)


@KINDS
def test_every_argument_is_documented(kind):
    text = inspect.cleandoc(FLOW_MODELS[kind].__doc__ or "")
    given = set(inspect.signature(FLOW_MODELS[kind]).parameters)
    assert given <= documented_parameters(text)


@KINDS
def test_what_a_model_calls_its_own_are_arguments_and_settings(kind):
    made = FLOW_MODELS[kind]
    defaults = {setting.key: setting.default for setting in SETTINGS}
    parameters = inspect.signature(made).parameters
    for name in made.own:
        assert parameters[name].default == defaults[f"detector.{name}"]


@KINDS
def test_the_module_says_what_the_paper_says_and_where_it_is_left(kind):
    text = inspect.getmodule(FLOW_MODELS[kind]).__doc__ or ""
    for told in ("What the paper says", "What we do", "Notes", "References"):
        assert told in text
