"""Rivals of the flow classifier, and the tables that hold all against the labels."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl
import pytest
from labelled import site
from rich.console import Console
from rich.table import Table
from sklearn.metrics import (
    average_precision_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

from entropy_ids.detectors.attention_multi_flow import PlainLstm
from entropy_ids.detectors.flows import LABEL, NORMAL
from entropy_ids.detectors.training import Training
from entropy_ids.errors import InputError
from entropy_ids.evaluate import baselines
from entropy_ids.evaluate.baselines import BASELINES, by_network, study
from entropy_ids.evaluate.flow_table import (
    PUBLISHED,
    FlowFigures,
    figures,
    means,
    methods,
    published,
    table_of,
)

QUICK = Training(epochs=4, batch=32, learning_rate=5e-3)
KNOWN = [NORMAL, "bot", "dos"]


# -------------------------------------------------------------------------- the rivals


@pytest.fixture
def rivals(monkeypatch):
    """The rivals, the network among them small."""
    tiny = partial(by_network, kind=PlainLstm, training=QUICK, hidden=16)
    monkeypatch.setitem(BASELINES, PlainLstm.name, tiny)
    return BASELINES


@pytest.mark.parametrize("name", BASELINES)
def test_a_rival_names_new_flows(name, rivals):
    test = site(200, seed=2)
    said = rivals[name](site(500, seed=1), test, 1)
    assert said.held_against(test[LABEL]).accuracy > 0.9
    assert said.held_against(test[LABEL]).roc_auc > 0.95
    assert said.classes == [NORMAL, "dos", "port-scan"]
    assert said.training_s > 0


@pytest.mark.parametrize("name", BASELINES)
def test_a_rival_says_the_same_with_the_same_seed(name, rivals):
    train, test = site(300, seed=1), site(60, seed=2)
    one, two = (rivals[name](train, test, 3) for _ in range(2))
    assert one.scores.tobytes() == two.scores.tobytes()
    assert one.given == two.given


@pytest.mark.parametrize("name", BASELINES)
def test_two_classes_are_scored_as_well_as_many(name, rivals):
    train = site(400, seed=1).filter(pl.col(LABEL) != "dos")
    test = site(200, seed=2).filter(pl.col(LABEL) != "dos")
    said = rivals[name](train, test, 1)
    assert said.held_against(test[LABEL]).roc_auc > 0.95


@pytest.mark.parametrize("name", BASELINES)
def test_a_rival_needs_two_classes(name, rivals):
    flows = site(50, seed=1).with_columns(pl.lit(NORMAL).alias(LABEL))
    with pytest.raises(InputError, match="at least one other class"):
        rivals[name](flows, flows, 1)


@pytest.mark.parametrize("name", ["naive-bayes", "svm"])
def test_flows_without_a_label_are_not_learned(name, rivals):
    train = site(300, seed=1)
    hidden = pl.when(pl.int_range(pl.len()) % 3 > 0).then(pl.col(LABEL))
    test = site(60, seed=2)
    said = rivals[name](train.with_columns(hidden.alias(LABEL)), test, 1)
    assert said.classes == [NORMAL, "dos", "port-scan"]
    assert said.held_against(test[LABEL]).accuracy > 0.9


def test_the_svm_learns_from_a_draw_that_keeps_rare_classes(monkeypatch):
    svm = BASELINES["svm"]
    drawn: list[int] = []

    def draw(by_class, most, rng):
        rows = baselines_draw(by_class, most, rng)
        drawn.append(len(rows))
        return rows

    baselines_draw = baselines.draw
    monkeypatch.setattr(baselines, "draw", draw)
    said = partial(svm.func, make=svm.keywords["make"], most=60)(
        site(300, seed=1), site(100, seed=2), 1
    )
    assert 50 <= drawn[0] <= 60
    assert set(said.given) == {NORMAL, "dos", "port-scan"}


def test_a_study_tries_every_rate_with_every_width():
    train, test = site(200, seed=1), site(60, seed=2)
    rows = study(train, test, (1e-2, 1e-3), (4, 8), training=replace(QUICK, epochs=1))
    names = ["rate 0.01, 4 units", "rate 0.01, 8 units"]
    names += ["rate 0.001, 4 units", "rate 0.001, 8 units"]
    assert [one.name for one in rows] == names
    assert len({one.found.accuracy for one in rows}) > 1


# ------------------------------------------------------------------------- the figures


def drawn(seed: int, flows: int = 300) -> tuple[pl.Series, list[str]]:
    """Draw true and given classes that agree somewhat."""
    rng = np.random.default_rng(seed)
    true = rng.choice(KNOWN, flows, p=(0.7, 0.05, 0.25))
    given = np.where(rng.random(flows) < 0.6, true, rng.choice(KNOWN, flows))
    return pl.Series(true.tolist()), given.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_the_figures_of_classes_are_those_of_scikit_learn(seed):
    labels, given = drawn(seed)
    found = figures(labels, given, KNOWN)
    wanted = precision_recall_fscore_support(labels.to_list(), given, labels=KNOWN)
    rows = [(c.precision, c.recall, c.f1, c.flows) for c in found.classes]
    assert np.array(rows).T == pytest.approx(np.array(wanted))


@pytest.mark.parametrize("kind", ["macro", "weighted"])
def test_the_means_are_those_of_scikit_learn(kind):
    labels, given = drawn(4)
    mean = getattr(figures(labels, given, KNOWN), kind)
    wanted = precision_recall_fscore_support(labels.to_list(), given, average=kind)
    assert (mean.precision, mean.recall, mean.f1) == pytest.approx(wanted[:3])
    assert mean.flows == 300


def test_the_areas_are_those_of_scikit_learn():
    labels, given = drawn(5)
    scores = np.random.default_rng(5).integers(0, 20, 300) / 20
    scores += 0.3 * (labels != NORMAL).to_numpy()
    found = figures(labels, given, KNOWN, scores)
    attack = (labels != NORMAL).to_numpy()
    assert found.roc_auc == pytest.approx(roc_auc_score(attack, scores))
    assert found.average_precision == pytest.approx(
        average_precision_score(attack, scores)
    )


def test_a_class_that_was_never_given_has_no_precision():
    found = figures(pl.Series([NORMAL, "dos"]), [NORMAL, NORMAL], [NORMAL, "dos"])
    dos = found.classes[1]
    assert (dos.precision, dos.recall, dos.f1, dos.flows) == (0, 0, 0, 1)


def test_a_known_class_without_flows_is_in_no_mean():
    found = figures(pl.Series([NORMAL, "dos"]), [NORMAL, "dos"], KNOWN)
    assert [one.name for one in found.classes] == [NORMAL, "dos"]
    assert found.macro.f1 == 1


def mixed() -> FlowFigures:
    """Give the figures of seven flows: two of an unknown class, one without a label."""
    labels = pl.Series([NORMAL, NORMAL, "dos", "dos", "worm", "worm", None])
    given = [NORMAL, "dos", "dos", "dos", NORMAL, "dos", "dos"]
    return figures(labels, given, [NORMAL, "dos"], np.arange(7.0))


def test_a_class_that_was_never_learned_is_listed_apart():
    (worm,) = mixed().unseen
    assert (worm.name, worm.flows, worm.attacks) == ("worm", 2, 1)
    assert worm.taken_for == {"dos": 1, NORMAL: 1}


def test_a_class_that_was_never_learned_counts_as_wrong():
    found = mixed()
    assert found.accuracy == 3 / 6
    assert found.classes[1].precision == 2 / 4
    assert [one.name for one in found.classes] == [NORMAL, "dos"]


def test_flows_without_a_label_are_counted_and_left_out():
    assert mixed().unlabelled == 1
    assert mixed().roc_auc == 1


def test_normal_flows_given_a_class_are_false_alarms():
    assert mixed().false_alarms == 1


def test_flows_of_one_kind_have_no_areas():
    found = figures(pl.Series([NORMAL]), [NORMAL], KNOWN, np.zeros(1))
    assert (found.roc_auc, found.average_precision) == (None, None)


def test_the_paper_s_figures_have_the_means_that_follow_from_them():
    macro, weighted = means(PUBLISHED)
    assert (macro.precision, macro.recall, macro.f1) == pytest.approx(
        (0.496, 0.825, 0.529), abs=6e-4
    )
    assert weighted.recall == pytest.approx(0.914, abs=6e-4)
    assert sum(one.flows for one in PUBLISHED) == 460_160


# -------------------------------------------------------------------------- the tables


def shown(table: Table) -> str:
    console = Console(width=100, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_the_table_shows_each_class_and_what_was_never_learned():
    text = shown(table_of(mixed(), "amf"))
    assert "amf: accuracy 0.500, 1 normal" in " ".join(text.split())
    assert "worm: never seen in training, 2 flows" in " ".join(text.split())
    assert "1 flows without a label left out" in text
    (line,) = (x for x in text.splitlines() if x.startswith("dos "))
    assert line.split() == ["dos", "0.50", "1.00", "0.67", "2"]


def test_the_paper_s_table_is_marked_as_the_paper_s():
    text = " ".join(shown(published()).split())
    assert "the paper's own figures (not measured here)" in text
    assert "Infiltration 0.00 0.75 0.01 8" in text


def test_methods_stand_side_by_side():
    text = shown(methods({"one": (mixed(), 1.25), "two": (mixed(), 3.0)}))
    rows = [line.split() for line in text.splitlines()]
    (one,) = (cells for cells in rows if cells[:1] == ["one"])
    assert one == [
        *("one", "0.500", "0.500", "0.750", "0.583", "1", "1.000", "1.000", "1.2")
    ]


def test_a_training_that_was_not_timed_has_no_seconds():
    text = shown(methods({"one": (mixed(), float("nan"))}))
    assert text.splitlines()[3].split()[-1] == "-"


def test_a_hostile_name_of_a_class_does_not_reach_the_terminal():
    evil = "dos\x1b[2J"
    found = figures(pl.Series([NORMAL, evil, evil]), [NORMAL] * 3, [NORMAL])
    assert "\x1b[2J" not in shown(table_of(found, evil))


def test_the_figures_are_plain_values():
    kept = json.loads(json.dumps(mixed().as_dict(), allow_nan=False))
    assert kept["classes"][1]["name"] == "dos"
    assert kept["unseen"][0]["taken_for"] == {"dos": 1, NORMAL: 1}
