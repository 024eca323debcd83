"""Training with flow models and with labels; how a flow model gates minutes."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import T0, S, batch, row

from entropy_ids import models
from entropy_ids.config import Config
from entropy_ids.detectors import flows as contract
from entropy_ids.errors import ConfigError, InputError
from entropy_ids.evaluate.flows import Lessons, with_labels, without
from entropy_ids.evaluate.labels import Label
from entropy_ids.features.assembler import Assembler
from entropy_ids.gates import FlowGate, gate_of, highest
from entropy_ids.learning import Trained, Witness, _lesson, train
from entropy_ids.pipeline import Watch, WatchState, check_gates
from entropy_ids.profile.store import Profile
from entropy_ids.reading import measure_of
from entropy_ids.types import EntropySeries, Minutes

MINUTES = 40
"""Of which the first 13 pass before the clock has settled."""
ATTACK = "198.51.100.66"


class Rarity(contract.FlowModel):
    """A toy: how rarely the pair was seen so far, more so if training knew it not."""

    name = "rarity"

    def __init__(self, training: Any = None) -> None:
        super().__init__(training)
        self.usual: list[str] = []

    def fit(self, flows: pl.DataFrame, progress: Any = None) -> None:
        self.usual = sorted(set(flows["id.orig_h"]))

    def score(self, flows: pl.DataFrame, memory: contract.Memory) -> np.ndarray:
        found = []
        for source in flows["id.orig_h"]:
            memory[source] = memory.get(source, 0) + 1
            found.append(1 / memory[source] + 10 * (source not in self.usual))
        return np.array(found)

    def tensors(self) -> tuple[contract.Facts, contract.Weights]:
        return {"usual": self.usual}, {"none": np.zeros(1, np.float32)}

    def restore(self, facts: contract.Facts, weights: contract.Weights) -> None:
        self.usual = facts["usual"]


class Classes(Rarity):
    """A toy that learns which sources were labelled."""

    name, supervised, gates = "classes", True, False

    def fit(self, flows: pl.DataFrame, progress: Any = None) -> None:
        self.shown = flows
        normal = flows.filter(pl.col(contract.LABEL) == contract.NORMAL)
        super().fit(normal)


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    for toy in (Rarity, Classes):
        monkeypatch.setitem(models.FLOW_MODELS, toy.name, toy)


def rows(minutes: int, strange: tuple[int, ...] = ()) -> list[dict]:
    """Give five flows a minute of two sources, and one of a third in some minutes."""
    found = []
    for minute in range(minutes):
        for n in range(5):
            end = T0 + 60 * minute + 10 * n
            found.append(row(end, id__orig_h=f"10.0.0.{1 + n % 2}", uid=f"C{end}"))
        if minute in strange:
            end = T0 + 60 * minute + 50
            found.append(row(end, id__orig_h=ATTACK, uid=f"C{end}"))
    return found


def assembled(of: list[dict]) -> list[Minutes]:
    assembler = Assembler()
    return assembler.push("", batch(of)) + assembler.finish()


def config(**more: Any) -> Config:
    given = {"threshold.top_percent": 5.0, "threshold.alarms_per_day": 0.0}
    given |= {key.replace("__", "."): value for key, value in more.items()}
    return Config({key: (value, "the test") for key, value in given.items()})


def trained(of: list[dict], kind: str = "rarity", **how: Any) -> tuple[Trained, Any]:
    witness = Witness(flows=True, **how)
    measure = measure_of(config())
    parts = []
    for minutes in assembled(of):
        witness.add(minutes)
        parts.append(measure(minutes))
    series = EntropySeries.concat(parts)
    return train(series, witness, config(), "office", kind), witness


@pytest.fixture
def profile(tmp_path) -> Profile:
    trained(rows(MINUTES))[0].profile.write(tmp_path / "p")
    return Profile.read(tmp_path / "p")


# ----------------------------------------------------------------------- gate


def test_a_minute_is_scored_by_its_strangest_flow(profile):
    watch = Watch(profile, "office", 5)
    tables = [watch.push(part)[0] for part in assembled(rows(30, strange=(24,)))]
    scores = pd.concat(tables).set_index("minute")["score"].dropna()
    strange = pd.Timestamp(T0 + 24 * 60, unit="s", tz="UTC")
    assert scores.pop(strange) == pytest.approx(11.0)
    assert len(scores) > 10
    assert scores.max() < 1


def test_minutes_that_may_not_be_scored_have_no_score(profile):
    watch = Watch(profile, "office", 5)
    table = watch.push(assembled(rows(10))[0])[0]
    assert table["score"].isna().tolist()[0]  # the first minute is partial


def test_a_strange_flow_raises_an_alarm_that_names_its_profile(profile):
    watch = Watch(profile, "office", 5)
    alarms = [a for part in assembled(rows(30, (24,))) for a in watch.push(part)[1]]
    strongest = max(alarms, key=lambda alarm: alarm.score)
    assert strongest.start == T0 + 24 * 60
    assert strongest.detector == "rarity"
    assert strongest.profile["hash"] == profile.hash


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(1, 150), max_size=8), st.integers(0, 8))
def test_any_cutting_gives_the_same_scores(cuts, keep):
    of = rows(30, strange=(16, 22))
    model = Rarity()
    model.usual = ["10.0.0.1"]
    whole = _scores(FlowGate(model), [of], restored_after=None)
    pieces = [of[a:b] for a, b in pairwise([0, *sorted(cuts), len(of)])]
    assert _scores(FlowGate(model), pieces, restored_after=keep) == whole


def _scores(gate: FlowGate, pieces: list, restored_after: int | None) -> list[float]:
    """Score what closes with each piece; go on with a new gate after some of them."""
    assembler, measure, found = Assembler(), measure_of(config()), []
    closed = [*(assembler.push("", batch(p)) for p in pieces), assembler.finish()]
    for number, chunk in enumerate(closed):
        if number == restored_after:
            state, gate = gate.state(), FlowGate(gate.model)
            gate.restore(state)
        for minutes in chunk:
            found += gate.score(measure(minutes), minutes).fillna(-1).tolist()
    return found


def test_flows_of_two_loggers_are_scored_minute_by_minute():
    at_once, one_by_one = (_two_loggers(step) for step in (100, 1))
    assert at_once == one_by_one


def _two_loggers(step: int) -> list[float]:
    """Score two streams' minutes, closing many or one at a time."""
    model, measure = Rarity(), measure_of(config())
    gate, assembler, found = FlowGate(model), Assembler(("a", "b")), []
    of = rows(30)
    for start in range(0, len(of), 5 * step):
        piece = batch(of[start : start + 5 * step])
        closed = assembler.push("a", piece) + assembler.push("b", piece)
        for minutes in closed:
            found += gate.score(measure(minutes), minutes).fillna(-1).tolist()
    return found


def test_the_highest_known_score_of_each_minute_counts():
    minutes = pl.Series([0, 0, 60, 120], dtype=pl.Int64)
    scores = np.array([np.nan, 2.0, np.nan, 3.0])
    assert highest(minutes, scores) == {0: 2.0, 120: 3.0}


def test_the_memory_is_a_copy_that_later_minutes_leave_alone(profile):
    watch = Watch(profile, "office", 5)
    first, *_ = assembled(rows(10))
    watch.push(first)
    state = watch.state()
    kept = dict(state.memory)
    watch.push(first)
    assert state.memory == kept != watch.state().memory


def test_a_restored_watch_scores_like_one_that_went_on(profile):
    one, other = (Watch(profile, "office", 5) for _ in range(2))
    first, second = assembled(rows(10))[0], assembled(rows(30))[0]
    one.push(first)
    other.restore(WatchState(**vars(one.state())))
    assert one.push(second)[0].equals(other.push(second)[0])


# ------------------------------------------------------------------- training


def test_the_model_and_its_facts_come_back_from_the_profile(profile):
    gate = gate_of(profile, measure_of(config()))
    assert gate.model.usual == ["10.0.0.1", "10.0.0.2"]
    assert profile.manifest["model"] == {"usual": ["10.0.0.1", "10.0.0.2"]}


def test_minutes_left_out_are_not_learned_from():
    out = {T0 + 60 * 24}
    shown, witness = trained(rows(MINUTES, (24,)), shaded=lambda minutes: out)
    everything, _ = trained(rows(MINUTES, (24,)))
    assert witness.left_out == out
    assert ATTACK not in shown.profile.manifest["model"]["usual"]
    assert ATTACK in everything.profile.manifest["model"]["usual"]


def test_attacks_do_not_set_the_threshold_of_a_supervised_model():
    label = Label(T0 + 24 * 60, T0 + 26 * 60, "dos", (ATTACK,))
    of = rows(MINUTES, (24, 25, 26))
    shown, _ = trained(of, "classes", labelled=lambda r: with_labels(r, [label]))
    manifest = shown.profile.manifest
    assert manifest["model"]["usual"] == ["10.0.0.1", "10.0.0.2"]
    assert manifest["threshold"] < 1
    assert shown.profile.series["score"].max() > 10


def test_attacks_are_learned_in_minutes_whose_normal_flows_are_only_seen():
    labels = pl.Series(contract.LABEL, ["normal"] * 15 + ["dos"])
    stamps = pl.col("ts").dt.epoch("s") // 60 * 60
    of = frame(*rows(3, (2,))).with_columns(labels, minute=stamps)
    lesson = _lesson(of, np.array([T0]), Classes())
    assert lesson.height == of.height
    assert lesson[contract.LABEL].to_list() == ["normal"] * 5 + [None] * 10 + ["dos"]


def test_a_model_without_classes_learns_from_normal_flows_alone():
    label = Label(T0 + 24 * 60, T0 + 26 * 60, "dos", (ATTACK,))
    shown, _ = trained(rows(MINUTES, (24,)), labelled=lambda r: with_labels(r, [label]))
    assert ATTACK not in shown.profile.manifest["model"]["usual"]


def test_labels_that_a_set_has_do_not_count_unless_they_are_asked_for():
    witness = Witness(flows=True)
    for minutes in assembled(rows(MINUTES)):
        marked = minutes.rows.with_columns(pl.lit("dos").alias(contract.LABEL))
        witness.add(replace(minutes, rows=marked))
    assert contract.LABEL not in witness.kept().columns


def test_classes_that_are_left_out_are_not_learned():
    of = frame(*[row(T0 + n) for n in range(3)])
    of = of.with_columns(pl.Series(contract.LABEL, ["dos", "worm", "normal"]))
    learned = [
        without(of, classes, supervised=supervised)[contract.LABEL].to_list()
        for classes in ((), ("dos",))
        for supervised in (True, False)
    ]
    assert learned == [
        ["dos", "worm", "normal"],
        ["dos", "worm", "normal"],
        [None, "worm", "normal"],
        ["dos", "normal", "normal"],
    ]


def test_only_the_newest_flows_are_kept(monkeypatch):
    monkeypatch.setattr("entropy_ids.learning.MOST_FLOWS", 10)
    witness = Witness(flows=True)
    for part in (rows(4), rows(8)[20:]):
        for minutes in assembled(part):
            witness.add(minutes)
    kept = witness.kept()
    assert kept.height < 40
    assert kept["minute"].max() == T0 + 7 * 60


def test_a_classifier_is_refused_where_alarms_are_raised(tmp_path):
    made, _ = trained(rows(MINUTES), "classes", labelled=lambda r: with_labels(r, []))
    with pytest.raises(ConfigError, match="classes, which classifies flows"):
        check_gates(made.profile)


# --------------------------------------------------------------------- labels


def frame(*flows: dict) -> pl.DataFrame:
    return batch(flows).frame


def labels_of(of: pl.DataFrame, *labels: Label) -> list[str]:
    return with_labels(of, labels)[contract.LABEL].to_list()


def test_a_flow_between_attacker_and_victim_in_time_has_the_label():
    dos = Label(T0, T0 + 60, "dos", (ATTACK,), ("192.0.2.1",))
    inside, back = row(T0 + 5, id__orig_h=ATTACK), row(T0 + 5, id__resp_h=ATTACK)
    back |= {"id.orig_h": "192.0.2.1"}
    other = row(T0 + 5, id__orig_h=ATTACK, id__resp_h="192.0.2.9")
    late = row(T0 + 200, id__orig_h=ATTACK)
    assert labels_of(frame(inside, back, other, late), dos) == [
        "dos",
        "dos",
        "normal",
        "normal",
    ]


def test_labels_that_a_row_has_already_stay():
    dos = Label(T0, T0 + 60, "dos", (ATTACK,))
    of = frame(*[row(T0 + 5, id__orig_h=ATTACK)] * 2)
    of = of.with_columns(pl.Series(contract.LABEL, ["worm", None]))
    assert labels_of(of, dos) == ["worm", "dos"]


def test_a_flash_crowd_is_normal():
    crowd = Label(T0, T0 + 60, "flash-crowd", (ATTACK,))
    assert labels_of(frame(row(T0 + 5, id__orig_h=ATTACK)), crowd) == ["normal"]


def test_a_label_without_addresses_names_no_flow():
    assert labels_of(frame(row(T0 + 5)), Label(T0, T0 + 60, "dos")) == ["normal"]


def test_the_minutes_of_the_classes_to_leave_out_are_told():
    dos = Label(T0 + 120, T0 + 180, "dos", (ATTACK,))
    worm = Label(T0 + 300, T0 + 300, "worm", (ATTACK,))
    minutes = assembled(rows(10, strange=(2, 5)))[0]
    both, one = Lessons([dos, worm]), Lessons([dos, worm], ["worm"])
    assert both.shaded(minutes) == {T0 + 120, T0 + 300}
    assert one.shaded(minutes) == {T0 + 300}
    assert (both.met, one.met) == ({dos, worm}, {worm})


def test_a_class_to_leave_out_that_no_label_has_is_refused():
    with pytest.raises(InputError, match=r"class of the labels \(dos\), found 'ddos'"):
        Lessons([Label(0, 1, "dos")], ["ddos"])


@pytest.mark.parametrize("address", [ATTACK, "203.0.113.99"])
def test_labels_that_match_no_flow_are_refused(address):
    lessons = Lessons([Label(T0, T0 + 60, "dos", (address,))])
    lessons.labelled(frame(row(T0 + 5, id__orig_h=ATTACK)), supervised=True)
    if address == ATTACK:
        lessons.check()
    else:
        with pytest.raises(InputError, match="rows of some of the 1 labels"):
            lessons.check()


def test_no_labels_match_nothing():
    Lessons([]).check()


def test_times_are_compared_in_seconds():
    early = row((T0 * S - 120 * S) / S)
    assert labels_of(frame(early), Label(T0, T0, "dos", ("10.0.0.1",))) == ["normal"]
