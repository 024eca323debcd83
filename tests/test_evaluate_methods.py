from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import make
import numpy as np
import pandas as pd
import pytest

from entropy_ids.calendar import Calendar
from entropy_ids.config import Config
from entropy_ids.detectors.threshold import held_out
from entropy_ids.errors import InputError
from entropy_ids.evaluate.methods import METHODS, Bench, series_of
from entropy_ids.evaluate.variants import VARIANTS
from entropy_ids.features.catalog import Column
from entropy_ids.models import detector_of
from entropy_ids.pipeline import minutes_table
from entropy_ids.types import EntropySeries

WINDOW, STRANGE = 5, 100
SETTINGS = {"training.epochs": 1, "detector.hidden": 8, "detector.latent": 4}
SETTINGS |= {"detector.window_min": WINDOW}
CONFIG = Config({key: (value, "the test") for key, value in SETTINGS.items()})
KIND = "lstm-autoencoder"
EVENING = make.T0 + 15 * 3600
"""Sunday 22:00 UTC: two hours of weekend and two of a weekday."""
WEEK_S = 7 * 86_400


def bench(
    train: EntropySeries, test: EntropySeries, seed: int = 1, **manifest: Any
) -> Bench:
    """Give what methods get, of a profile that holds what they may rely on."""
    detector = detector_of(CONFIG, KIND)
    usual = detector.fit(train).score
    profile = SimpleNamespace(
        series=minutes_table(train, usual, 1.0),
        manifest={"settings": CONFIG.trained(), "detector": KIND, **manifest},
        weights=detector.tensors()[0],
        residual=detector.tensors()[1],
    )
    watched = minutes_table(test, detector.score(test).score, 1.0)
    return Bench(profile, detector, watched, seed)


def usual(seed: int, **how: Any) -> EntropySeries:
    return make.series(240, seed, **({"start": EVENING} | how))


TRAIN = usual(1)
TEST = usual(2, start=EVENING + WEEK_S)
COVERED = {0: "partial", 60: "flush", 239: "partial"}
EVERY = pytest.mark.parametrize("name", METHODS)


@pytest.fixture(scope="module")
def plain() -> Bench:
    return bench(make.covered(TRAIN, COVERED), make.covered(TEST, COVERED))


@pytest.fixture(scope="module")
def strange() -> Bench:
    """One minute of the logs is like no other."""
    values, flows = TEST.values.copy(), TEST.flows.copy()
    values.iloc[STRANGE] += 30 * values.std()
    flows.iloc[STRANGE] = 100_000
    return bench(TRAIN, replace(TEST, values=values, flows=flows))


@pytest.fixture(scope="module")
def unknown() -> Bench:
    """A fifth of all values is not known."""
    return bench(usual(1, unknown=0.2), usual(2, unknown=0.2))


@pytest.fixture(scope="module")
def spoiled() -> Bench:
    """Training minutes that are not whole hold nonsense."""
    values, flows = TRAIN.values.copy(), TRAIN.flows.copy()
    values.iloc[list(COVERED)] = 1e3
    flows.iloc[list(COVERED)] = 10**6
    train = make.covered(replace(TRAIN, values=values, flows=flows), COVERED)
    return bench(train, make.covered(TEST, COVERED))


@pytest.fixture(scope="module")
def second_half() -> Bench:
    """The logs begin in their middle."""
    return bench(make.covered(TRAIN, COVERED), TEST.slice(120, 239))


# ------------------------------------------------- what holds for every method


@EVERY
def test_every_minute_that_the_detector_scores_gets_a_finite_score(name, plain):
    scores = METHODS[name](plain)
    assert scores.dtype == np.float64
    assert len(scores) == len(plain.scored) == 240 - 3 - (WINDOW - 2)
    assert np.isfinite(scores).all()


@EVERY
def test_unknown_values_leave_scores_finite(name, unknown):
    assert np.isfinite(METHODS[name](unknown)).all()


@EVERY
def test_the_same_seed_gives_the_same_scores(name, plain):
    again = Bench(plain.profile, plain.detector, plain.watched, plain.seed)
    assert (METHODS[name](again) == METHODS[name](plain)).all()


@EVERY
def test_a_strange_minute_scores_highest(name, strange):
    scores = METHODS[name](strange)
    assert strange.scored[scores.argmax()] == STRANGE


@EVERY
def test_a_minute_scores_the_same_whatever_others_are_scored(name, plain, second_half):
    whole, part = (
        pd.Series(METHODS[name](one), one.watched["minute"][one.scored])
        for one in (plain, second_half)
    )
    assert len(part) == 119 - (WINDOW - 1)
    assert np.allclose(part, whole[part.index], rtol=1e-12, atol=0)


@EVERY
def test_training_minutes_that_are_not_whole_teach_nothing(name, plain, spoiled):
    assert (METHODS[name](spoiled) == METHODS[name](plain)).all()


# -------------------------------------------------------- what each is about


def test_the_detector_itself_is_what_it_said_when_it_watched(plain):
    expected = plain.watched["score"].dropna().to_numpy()
    assert (METHODS["detector"](plain) == expected).all()
    assert (METHODS["mahalanobis"](plain) == expected).all()


def test_another_seed_grows_another_forest(plain):
    other = Bench(plain.profile, plain.detector, plain.watched, seed=2)
    forest = METHODS["isolation-forest"]
    assert (forest(other) != forest(plain)).any()


def constant(value: float, flows: int, minutes: int = 240) -> EntropySeries:
    """Give minutes that differ by a thousandth from one to the next."""
    series = make.series(minutes, start=EVENING, columns=["orig_h.all.renyi.1"])
    series.values.iloc[:, 0] = value + np.arange(minutes) % 2 / 1000
    return replace(series, flows=series.flows * 0 + flows)


def test_flows_are_measured_in_robust_deviations_of_their_slot():
    there = bench(constant(5, 31), constant(5, 127))
    assert METHODS["flow-counts"](there).tolist() == pytest.approx([2 / 0.1] * 236)


def test_a_column_counts_for_how_far_it_is_outside_its_range_and_once_at_most():
    # the range is 5.000 to 5.001, at the column's resolution of 0.1 bits
    for value, expected in ((5.0, 0), (5.051, 0.5), (4.0, 1.0)):
        scores = METHODS["min-max"](bench(constant(5, 9), constant(value, 9)))
        assert scores[::2].tolist() == pytest.approx([expected] * 118)


def test_a_slot_that_training_never_saw_takes_what_all_minutes_give():
    train = constant(5, 31)
    test = replace(constant(4, 31), epoch=train.epoch)
    test.values.index = test.values.index + pd.Timedelta(hours=8)
    later = EntropySeries(
        test.values,
        *(
            s.set_axis(test.values.index)
            for s in (test.coverage, test.flows, test.epoch)
        ),
    )
    assert METHODS["min-max"](bench(train, later)).tolist() == [1.0] * 236


def test_a_step_in_time_begins_an_epoch():
    parts = make.series(3), make.series(2, start=make.T0 + 3600), make.series(2)
    table = pd.concat([minutes_table(p, p.flows * 0.0, 1.0) for p in parts])
    series = series_of(table, list(make.COLUMNS))
    assert series.epoch.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert series.values.index.name == "minute"


# ------------------------------------------------------------------- variants

KEPT = {
    "shannon-only": lambda c: c.statistic == "renyi" and c.alpha == 1,
    "raw": lambda c: c.statistic != "rarefied",
    "invariant": lambda c: c.statistic in ("rarefied", "log2"),
    "site-wide": lambda c: c.direction == "all",
}


def moved(series: EntropySeries, columns: list[str]) -> EntropySeries:
    values = series.values.copy()
    values[columns] = values[columns].sample(frac=1, random_state=5).to_numpy()
    return replace(series, values=values)


@pytest.mark.parametrize("name", KEPT)
def test_a_variant_looks_at_its_own_columns_alone(name):
    own = [c for c in make.COLUMNS if KEPT[name](Column.named(c))]
    others = [c for c in make.COLUMNS if c not in own]
    scores = VARIANTS[name](bench(TRAIN, TEST))
    without = VARIANTS[name](bench(moved(TRAIN, others), moved(TEST, others)))
    assert (without == scores).all()
    assert (VARIANTS[name](bench(TRAIN, moved(TEST, own))) != scores).any()


def test_two_models_are_taught_by_their_own_days_alone():
    scores = VARIANTS["two-models"](bench(TRAIN, TEST))
    weekend = np.arange(240)[WINDOW - 1 :] < 120
    values = TRAIN.values.copy()
    values.iloc[120:] = values.iloc[120:].sample(frac=1, random_state=5).to_numpy()
    other = VARIANTS["two-models"](bench(replace(TRAIN, values=values), TEST))
    assert np.isfinite(scores).all()
    assert (other[weekend] == scores[weekend]).all()
    assert (other[~weekend] != scores[~weekend]).any()


def test_two_models_are_put_on_one_scale_by_their_training():
    scores = VARIANTS["two-models"](bench(TRAIN, TRAIN))
    weekend = np.arange(240)[WINDOW - 1 :] < 120
    for part in (scores[weekend], scores[~weekend]):
        assert np.quantile(part, 0.998) == pytest.approx(1)


@pytest.mark.parametrize("name", ["raw", "two-models"])
def test_a_variant_that_has_nothing_to_learn_from_says_so(name):
    there = bench(make.series(60), make.series(60), seed=2)
    there.detector.columns = ["orig_h.all.renyi.1"]
    with pytest.raises(InputError, match="expected"):
        VARIANTS[name](there)


def test_what_the_profile_held_out_no_variant_learns_from():
    values = TRAIN.values.copy()
    held = held_out(pd.DatetimeIndex(values.index), Calendar())
    values[held] *= 2
    other = replace(TRAIN, values=values)
    for budget, same in ({"alarms_per_day": 1.0}, True), (None, False):
        one, two = (
            VARIANTS["shannon-only"](bench(train, TEST, budget=budget))
            for train in (TRAIN, other)
        )
        assert (one == two).all() == same
