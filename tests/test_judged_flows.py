"""Flows held against their labels: by flow models, and by the minutes of the others."""

import io
import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from naive import T0
from rich.console import Console
from sklearn.metrics import average_precision_score, roc_auc_score
from test_flow_models import NEW, TRAINED_ON, model

from entropy_ids.alarms.incidents import iso
from entropy_ids.detectors import AttentionMultiFlow, FlowLanguageModel
from entropy_ids.detectors.flows import LABEL, NORMAL
from entropy_ids.errors import InputError
from entropy_ids.evaluate import judged_flows
from entropy_ids.evaluate.baselines import BASELINES
from entropy_ids.evaluate.judged_flows import areas_of, by_minute, judged

LATER_S = 3 * 3600


def minutes(of: pl.DataFrame) -> pl.DataFrame:
    stamps = of["ts"].dt.epoch("s") // 60 * 60
    return of.with_columns(minute=stamps)


def later(of: pl.DataFrame) -> pl.DataFrame:
    return of.with_columns(pl.col("ts") + pl.duration(seconds=LATER_S))


BOTH = minutes(pl.concat([TRAINED_ON, later(NEW)]))
PROFILE = SimpleNamespace(manifest={"range": {"last": iso(T0 + 7200)}})


@pytest.fixture(scope="module")
def classifier() -> AttentionMultiFlow:
    return model(AttentionMultiFlow.name)


def test_flows_of_the_training_are_not_judged(classifier):
    found = judged(classifier, PROFILE, BOTH, 1, baselines=False)
    assert found.per_flow.of == len(NEW)
    assert found.classes.classes[0].flows == int((NEW[LABEL] == NORMAL).sum())


def test_a_classifier_is_held_against_every_class(classifier):
    found = judged(classifier, PROFILE, BOTH, 1, baselines=False)
    assert [one.name for one in found.classes.classes] == ["normal", "port-scan"]
    assert found.classes.accuracy > 0.9
    assert found.per_flow.roc_auc > 0.95


def test_areas_are_those_of_scikit_learn(classifier):
    found = judged(classifier, PROFILE, BOTH, 1, baselines=False).per_flow
    scores, attack = classifier.score(later(NEW), {}), NEW[LABEL] != NORMAL
    assert found.roc_auc == pytest.approx(roc_auc_score(attack, scores))
    expected = average_precision_score(attack, scores)
    assert found.average_precision == pytest.approx(expected)
    assert found.attacks == attack.sum()


def test_a_language_model_has_areas_and_no_classes():
    found = judged(model(FlowLanguageModel.name), PROFILE, BOTH, 1, baselines=False)
    assert found.classes is None
    assert found.per_flow.roc_auc > 0.9
    assert found.per_dyad_hour.of < found.per_flow.of


def test_baselines_learn_from_the_flows_of_the_training(classifier, monkeypatch):
    few = {name: BASELINES[name] for name in ("naive-bayes", "mlp")}
    monkeypatch.setattr(judged_flows, "BASELINES", few)
    found = judged(classifier, PROFILE, BOTH, 1, baselines=True)
    assert set(found.baselines) == set(few)
    assert all(told.accuracy > 0.8 for told, _ in found.baselines.values())


def test_baselines_without_flows_to_learn_from_are_refused(classifier):
    with pytest.raises(InputError, match="flows of the training among the logs"):
        judged(classifier, PROFILE, minutes(later(NEW)), 1, baselines=True)


def test_a_series_detector_says_of_a_flow_what_it_says_of_its_minute():
    stamps = pl.Series(sorted(set(minutes(NEW)["minute"])))
    scores = np.where(stamps.to_numpy() == T0 + 8 * 60, 5.0, 1.0)
    found = by_minute(stamps, scores, minutes(NEW))
    attack = (NEW[LABEL] != NORMAL).to_numpy()
    told = np.where(minutes(NEW)["minute"].to_numpy() == T0 + 8 * 60, 5.0, 1.0)
    assert found.per_flow.roc_auc == pytest.approx(roc_auc_score(attack, told))


def test_flows_of_minutes_without_a_score_are_left_out():
    stamps = pl.Series(sorted(set(minutes(NEW)["minute"])))
    scores = np.where(stamps.to_numpy() < T0 + 5 * 60, np.nan, 1.0)
    found = by_minute(stamps, scores, minutes(NEW))
    assert found.per_flow.of == len(NEW) - 5 * 6


def test_flows_of_one_kind_have_no_areas(classifier):
    normal = BOTH.filter(pl.col(LABEL) == NORMAL)
    assert judged(classifier, PROFILE, normal, 1, baselines=False).per_flow is None


def test_figures_are_plain_values(classifier):
    found = judged(classifier, PROFILE, BOTH, 1, baselines=False)
    told = found.as_dict()
    assert told["classes"]["classes"][0]["name"] == "normal"
    assert json.dumps(told["classes"])


def test_the_table_names_each_profile_harmlessly(classifier):
    found = judged(classifier, PROFILE, BOTH, 1, baselines=False)
    out = io.StringIO()
    normal = judged(classifier, PROFILE, BOTH.head(0), 1, baselines=False)
    told = {"one": found, "\x1b[31mtwo": normal}
    Console(file=out, width=120, markup=False).print(areas_of(told))
    assert "one" in out.getvalue()
    assert "\x1b" not in out.getvalue()
