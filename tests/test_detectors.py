"""The contract of every series detector; then scaling, joining, threshold, training."""

import copy
import inspect
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import make
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from scipy import linalg

from entropy_ids.calendar import SLOTS, Calendar
from entropy_ids.detectors import DETECTORS, SeriesDetector, top_percent
from entropy_ids.detectors.residual import JOINS, Joint, Scaler
from entropy_ids.detectors.training import (
    BLOCK,
    Training,
    cpu_threads,
    last_minutes,
    seeded,
    train,
)
from entropy_ids.errors import InputError, ProfileError
from entropy_ids.models import detector_of
from entropy_ids.settings import SETTINGS
from entropy_ids.types import EntropySeries, Scores

WINDOW = 6
SMALL = {"channels": 8, "hidden": 8, "latent": 4}
KINDS = pytest.mark.parametrize("kind", DETECTORS)


def detector(kind: str, seed: int = 1, **how: Any) -> SeriesDetector:
    """Make a detector so small that it learns in a second."""
    made = DETECTORS[kind]
    own = {name: SMALL[name] for name in made.own if name in SMALL}
    usual = {"window": WINDOW, "training": Training(epochs=2, batch=64, seed=seed)}
    return made(Calendar("Europe/Berlin"), **(usual | own | how))


def same_bits(one: Any, other: Any) -> bool:
    return np.asarray(one).tobytes() == np.asarray(other).tobytes()


def same_scores(one: Scores, other: Scores) -> bool:
    return same_bits(one.score, other.score) and same_bits(one.shares, other.shares)


@dataclass(frozen=True)
class Fitted:
    detector: SeriesDetector
    scores: Scores


TRAINED_ON = make.series(300, seed=1, unknown=0.02)


@pytest.fixture(scope="module", params=DETECTORS)
def fitted(request) -> Fitted:
    made = detector(request.param)
    return Fitted(made, made.fit(TRAINED_ON))


@pytest.fixture(scope="module")
def mixed() -> EntropySeries:
    """Unknown values, minutes that are not whole, and a clock that was set back."""
    before = make.series(90, seed=2, unknown=0.05)
    marks = {0: "partial", 20: "silent", 21: "silent", 50: "flush", 89: "partial"}
    after = make.series(110, seed=3, start=make.T0 + 30 * 60, unknown=0.05)
    first = make.covered(before, marks)
    return make.epochs(first, make.covered(after, {0: "partial", 109: "partial"}))


# ----------------------------------------------------------------------- contract


def test_scores_have_the_shape_and_index_of_the_series(fitted, mixed):
    scores = fitted.detector.score(mixed)
    assert scores.score.index.equals(mixed.values.index)
    assert scores.shares.index.equals(mixed.values.index)
    assert list(scores.shares.columns) == list(mixed.values.columns)
    assert scores.score.dtype == np.float64


def test_every_minute_is_scored_unless_it_is_not_whole_or_warms_up(fitted, mixed):
    scores = fitted.detector.score(mixed)
    place = np.concatenate([np.arange(90), np.arange(110)])
    expected = (place >= WINDOW - 1) & (mixed.coverage == "complete").to_numpy()
    assert np.array_equal(scores.score.notna(), expected)
    assert np.array_equal(scores.shares.notna().all(axis=1), expected)
    assert np.isfinite(scores.score[expected]).all()


def test_fit_scores_the_minutes_that_score_scores_as_if_they_were_new(fitted):
    told, again = fitted.scores.score, fitted.detector.score(TRAINED_ON).score
    assert told.isna().equals(again.isna())
    assert told.corr(again) > 0.9
    assert told.mean() > again.mean()


def test_scoring_twice_gives_the_same_and_leaves_the_input_alone(fitted, mixed):
    kept = make.copied(mixed)
    first = fitted.detector.score(mixed)
    assert same_scores(first, fitted.detector.score(mixed))
    for name in ("values", "coverage", "flows", "epoch"):
        assert getattr(mixed, name).equals(getattr(kept, name)), name


def test_fitting_leaves_its_input_and_torchs_random_numbers_alone(fitted):
    series = make.covered(make.series(80, unknown=0.05), {0: "partial"})
    torch.manual_seed(12_345)
    kept, state = make.copied(series), torch.get_rng_state()
    detector(fitted.detector.name).fit(series)
    assert series.values.equals(kept.values)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_same_seed_gives_the_same_weights_and_scores(fitted):
    again = detector(fitted.detector.name)
    assert same_scores(again.fit(TRAINED_ON), fitted.scores)
    for mine, other in zip(again.tensors(), fitted.detector.tensors(), strict=True):
        assert mine.keys() == other.keys()
        assert all(same_bits(mine[name], other[name]) for name in mine)


def test_another_seed_gives_other_weights_and_scores(fitted):
    other = detector(fitted.detector.name, seed=2)
    assert not same_scores(other.fit(TRAINED_ON), fitted.scores)
    weights, mine = other.tensors()[0], fitted.detector.tensors()[0]
    assert any(not same_bits(weights[name], mine[name]) for name in mine)


def saved(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Pass tensors through a file's bytes, as a profile does."""
    return load(save({k: np.ascontiguousarray(v) for k, v in tensors.items()}))


def test_a_saved_and_loaded_detector_scores_the_same_bits(fitted, mixed):
    weights, residual = map(saved, fitted.detector.tensors())
    loaded = detector(fitted.detector.name, seed=9)
    loaded.restore(list(mixed.values.columns), weights, residual)
    assert same_scores(loaded.score(mixed), fitted.detector.score(mixed))


def test_tensors_are_saved_as_they_are_even_without_a_copy(fitted):
    for tensors in fitted.detector.tensors():
        loaded = load(save(tensors))
        assert [k for k in tensors if not same_bits(loaded[k], tensors[k])] == []


def in_chunks(made: SeriesDetector, series: EntropySeries, cuts: set[int]) -> Scores:
    """Score piece by piece, each piece with the window before it."""
    score, shares = [], []
    for start, stop in pairwise(sorted({0, len(series), *cuts})):
        before = min(start, WINDOW - 1)
        part = made.score(series.slice(start - before, stop))
        score.append(part.score.iloc[before:])
        shares.append(part.shares.iloc[before:])
    return Scores(pd.concat(score), pd.concat(shares))


@settings(deadline=None, max_examples=25)
@given(cuts=st.sets(st.integers(1, 199), max_size=12))
@example(cuts={90})
@example(cuts={1, 2, 3, 64, 65})
def test_any_cutting_into_chunks_gives_the_same_bits(fitted, mixed, cuts):
    whole = fitted.detector.score(mixed)
    assert same_scores(in_chunks(fitted.detector, mixed, cuts), whole)


def test_every_minute_alone_gives_the_same_bits(fitted, mixed):
    whole = fitted.detector.score(mixed)
    alone = in_chunks(fitted.detector, mixed, set(range(1, 200)))
    assert same_scores(alone, whole)


def test_what_surrounds_a_minute_outside_its_window_changes_nothing(fitted):
    series = make.series(160, seed=5)
    other = make.copied(series)
    other.values.iloc[:70] = other.values.iloc[:70] * 3
    other.values.iloc[81:] = np.nan
    one, two = fitted.detector.score(series), fitted.detector.score(other)
    stretch = slice(70 + WINDOW - 1, 81)
    assert same_bits(one.score.iloc[stretch], two.score.iloc[stretch])


def test_values_of_a_minute_that_is_not_whole_change_nothing(fitted):
    marks = {30: "partial", 40: "flush", 41: "silent"}
    series = make.covered(make.series(80, seed=6), marks)
    other = make.copied(series)
    other.values.iloc[list(marks)] = 1e3
    assert same_scores(fitted.detector.score(series), fitted.detector.score(other))


def other_columns(series: EntropySeries) -> dict[str, pd.DataFrame]:
    values = series.values
    first = values.columns[0]
    return {
        f"without {first}": values.drop(columns=first),
        "with orig_h.all.renyi.2": values.assign(**{"orig_h.all.renyi.2": 1.0}),
        "in another order": values[values.columns[::-1]],
        "without orig_h.all.renyi.1": values.rename(
            columns={first: "orig_h.all.renyi.2"}
        ),
    }


@pytest.mark.parametrize("told", list(other_columns(TRAINED_ON)))
def test_other_columns_are_refused(fitted, told):
    series = replace(TRAINED_ON, values=other_columns(TRAINED_ON)[told])
    with pytest.raises(ProfileError, match=f"{told}; train anew"):
        fitted.detector.score(series)


def test_columns_that_were_bent_score_above_normal_minutes(fitted):
    series = make.series(240, seed=7)
    strange = slice(150, 170)
    spread = TRAINED_ON.values.std()
    for name in list(series.values)[:2]:
        series.values.loc[series.values.index[strange], name] += 4 * spread[name]
    score = fitted.detector.score(series).score.to_numpy()
    bent, normal = score[strange], np.delete(score, np.r_[150:175])[WINDOW:]
    assert np.mean(bent[:, None] > normal[None, :]) > 0.8


def test_unknown_columns_leave_the_score_finite_and_have_no_share(fitted):
    series = make.series(40, seed=8)
    series.values.iloc[20, [0, 3]] = np.nan
    scores = fitted.detector.score(series)
    assert np.isfinite(scores.score.iloc[20])
    assert scores.shares.iloc[20, [0, 3]].tolist() == [0.0, 0.0]
    assert scores.shares.iloc[20].sum() == pytest.approx(1)


def test_shares_of_a_scored_minute_add_to_one(fitted, mixed):
    scores = fitted.detector.score(mixed)
    known = scores.shares[scores.score.notna()]
    assert np.allclose(known.sum(axis=1), 1)
    assert (known >= 0).all(axis=None)


def test_a_minute_of_which_nothing_is_known_has_no_score(fitted):
    series = make.series(40, seed=8)
    series.values.iloc[20] = np.nan
    scores = fitted.detector.score(series)
    assert np.isnan(scores.score.iloc[20])
    assert scores.score.iloc[21:].notna().all()


@KINDS
def test_minutes_of_which_nothing_is_known_do_not_stop_the_training(kind):
    series = make.series(120, seed=8)
    series.values.iloc[[20, 21, 50]] = np.nan
    scores = detector(kind).fit(series)
    assert np.isfinite(scores.score.drop(scores.score.index[[20, 21, 50]])[5:]).all()


@KINDS
def test_a_column_that_was_never_known_does_not_stop_the_training(kind):
    series = make.series(120, seed=8)
    series.values.iloc[:, 2] = np.nan
    scores = detector(kind).fit(series)
    assert np.isfinite(scores.score[WINDOW - 1 :]).all()


@KINDS
@pytest.mark.parametrize("join", JOINS)
def test_every_way_to_join_is_scored_and_finite(kind, join):
    scores = detector(kind, join=join).fit(make.series(80))
    assert np.isfinite(scores.score[WINDOW - 1 :]).all()
    assert np.allclose(scores.shares[WINDOW - 1 :].sum(axis=1), 1)


@KINDS
@pytest.mark.parametrize(
    "series",
    [
        make.series(WINDOW - 1),
        make.epochs(make.series(WINDOW - 1), make.series(WINDOW - 1)),
        make.covered(make.series(30), dict.fromkeys(range(30), "partial")),
        make.series(0),
    ],
    ids=["short", "short epochs", "not whole", "none"],
)
def test_a_series_that_is_too_short_is_refused(kind, series):
    with pytest.raises(InputError, match=f"at least {WINDOW} consecutive minutes"):
        detector(kind).fit(series)


@KINDS
@pytest.mark.parametrize("sequences", [1, 2, 3])
def test_a_few_sequences_are_learned_from_in_silence_or_refused(kind, sequences):
    series = make.series(WINDOW - 1 + sequences)
    try:
        scores = detector(kind).fit(series)
    except InputError:
        return
    assert np.isfinite(scores.score[WINDOW - 1 :]).all()


@KINDS
def test_a_detector_that_learned_nothing_refuses_to_score(kind):
    with pytest.raises(ProfileError, match="call fit"):
        detector(kind).score(make.series(30))


def test_a_series_too_short_to_score_is_all_unknown(fitted):
    scores = fitted.detector.score(make.series(WINDOW - 1))
    assert len(scores.score) == WINDOW - 1
    assert scores.score.isna().all()


OTHERS = ["flows.all.log2", "bytes.all.log2", "logins.all.log2"]


def test_tensors_of_another_number_of_columns_are_refused(fitted):
    weights, residual = fitted.detector.tensors()
    with pytest.raises(ProfileError, match="train anew"):
        detector(fitted.detector.name).restore(OTHERS, weights, residual)


@pytest.mark.parametrize(
    "name",
    ["center", "scale", "slot_center", "quantiles", "mean", "covariance", "tails"],
)
def test_a_missing_or_misshapen_residual_tensor_is_refused(fitted, name):
    weights, residual = fitted.detector.tensors()
    without = {key: value for key, value in residual.items() if key != name}
    for wrong in (without, residual | {name: residual[name][:-1]}):
        with pytest.raises(ProfileError, match=r"residual\.safetensors.* train anew"):
            detector(fitted.detector.name).restore(
                list(TRAINED_ON.values), weights, wrong
            )


def test_missing_or_misshapen_weights_are_refused(fitted):
    weights, residual = fitted.detector.tensors()
    name = next(iter(weights))
    without = {key: value for key, value in weights.items() if key != name}
    more = {"other": weights[name]}
    for wrong in (without, weights | {name: weights[name][:-1]}, weights | more, {}):
        with pytest.raises(ProfileError, match=r"model\.safetensors.* train anew"):
            detector(fitted.detector.name).restore(
                list(TRAINED_ON.values), wrong, residual
            )


@KINDS
def test_no_default_argument_can_be_changed(kind):
    for parameter in inspect.signature(DETECTORS[kind]).parameters.values():
        hash(parameter.default)


@KINDS
def test_every_argument_is_documented(kind):
    documented = set()
    for one in DETECTORS[kind].__mro__:
        documented |= documented_parameters(inspect.cleandoc(one.__doc__ or ""))
    assert set(inspect.signature(DETECTORS[kind]).parameters) <= documented


def documented_parameters(text: str) -> set[str]:
    """Read the names in numpydoc's Parameters section."""
    _, _, section = text.partition("Parameters\n----------\n")
    names: list[str] = []
    lines = section.splitlines()
    for line, following in pairwise([*lines, ""]):
        if following.startswith("---"):
            break
        if line and not line.startswith(" "):
            names += line.partition(" :")[0].split(",")
    return {name.strip() for name in names}


@KINDS
def test_what_a_detector_calls_its_own_are_its_arguments_and_settings(kind):
    made = DETECTORS[kind]
    common = set(inspect.signature(SeriesDetector).parameters)
    assert set(made.own) == set(inspect.signature(made).parameters) - common
    settings = {setting.key: setting for setting in SETTINGS}
    for name in made.own:
        setting = settings[f"detector.{name}"]
        assert setting.trained
        assert inspect.signature(made).parameters[name].default == setting.default


@KINDS
def test_no_detector_asks_for_what_is_anothers_own(kind):
    wanted = {
        f"detector.{name}" for name in ("window_min", "join", *DETECTORS[kind].own)
    }
    others = {s.key for s in SETTINGS if s.key.startswith("detector.")} - wanted
    old = {s.key: s.default for s in SETTINGS if s.key not in others}
    assert detector_of(old, kind).name == kind


@KINDS
def test_the_table_names_each_detector_as_it_names_itself(kind):
    assert DETECTORS[kind].name == kind


# ------------------------------------------------------------------------- scaling


def scaler(values: pd.DataFrame, slots: np.ndarray | None = None) -> Scaler:
    return Scaler.fit(values, np.zeros(len(values), int) if slots is None else slots)


def test_columns_are_scaled_by_median_and_interquartile_range():
    rng = np.random.default_rng(1)
    values = pd.DataFrame({"orig_h.all.renyi.1": rng.normal(7, 2, 1001)})
    scaled, inputs = scaler(values).transform(values, np.zeros(1001, int))
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    expected = (values - middle) / ((high - low) / 1.349)
    assert np.allclose(scaled, expected)
    assert np.allclose(inputs, scaled)
    assert inputs.dtype == np.float32


def test_an_unknown_value_is_taken_for_the_median_of_its_slot():
    slots = np.repeat([3, 30], 50)
    values = pd.DataFrame({"orig_h.all.renyi.1": np.repeat([2.0, 6.0], 50)})
    values.iloc[[0, 99]] += 9
    fitted = scaler(values, slots)
    unknown = pd.DataFrame({"orig_h.all.renyi.1": [np.nan, np.nan]})
    scaled, inputs = fitted.transform(unknown, np.array([3, 30]))
    usual, _ = fitted.transform(values.iloc[[1, 98]], np.array([3, 30]))
    assert np.isnan(scaled).all()
    assert inputs.tolist() == usual.astype(np.float32).tolist()


def test_an_unknown_value_of_a_slot_never_seen_is_taken_for_the_overall_median():
    values = pd.DataFrame({"orig_h.all.renyi.1": [1.0, 2.0, 9.0]})
    unknown = pd.DataFrame({"orig_h.all.renyi.1": [np.nan]})
    _, inputs = scaler(values).transform(unknown, np.array([SLOTS - 1]))
    assert inputs.tolist() == [[0.0]]


def test_a_wild_value_is_clipped_for_the_network_but_not_in_the_residual():
    values = pd.DataFrame({"orig_h.all.renyi.1": np.linspace(0, 1, 101)})
    wild = pd.DataFrame({"orig_h.all.renyi.1": [1e6, -1e6]})
    scaled, inputs = scaler(values).transform(wild, np.zeros(2, int))
    assert np.abs(scaled).min() > 1e5
    assert inputs.tolist() == [[10.0], [-10.0]]


@pytest.mark.parametrize("name", ["orig_h.all.tsallis.0", "orig_h.all.tsallis.-2"])
def test_tsallis_columns_of_order_zero_and_below_are_scaled_by_their_logarithm(name):
    grown = 10.0 ** np.arange(13)
    tsallis = scaler(pd.DataFrame({name: grown}))
    logged = scaler(pd.DataFrame({"orig_h.all.renyi.1": np.log1p(grown)}))
    slots = np.zeros(13, int)
    found, _ = tsallis.transform(pd.DataFrame({name: grown}), slots)
    table = pd.DataFrame({"orig_h.all.renyi.1": np.log1p(grown)})
    assert np.allclose(found, logged.transform(table, slots)[0])


@pytest.mark.parametrize("name", ["orig_h.all.tsallis.1", "orig_h.all.renyi.-2"])
def test_other_columns_are_scaled_as_they_are(name):
    values = pd.DataFrame({name: np.arange(101.0)})
    scaled, _ = scaler(values).transform(values, np.zeros(101, int))
    assert np.allclose(np.diff(scaled[:, 0]), 1.349 / 50)


def test_a_column_that_never_changes_is_not_divided_by_zero():
    values = pd.DataFrame({"orig_h.all.renyi.1": [3.0] * 50, "flows.all.log2": 1.0})
    scaled, _ = scaler(values).transform(values + 1, np.zeros(50, int))
    assert scaled[0].tolist() == [10.0, 2.0]  # 1 / the least difference that tells


# ------------------------------------------------------------------------- joining


def joint(mean: np.ndarray, covariance: np.ndarray, join: str) -> Joint:
    """Give a joint with one aspect: all columns, in their own units."""
    return Joint(mean, covariance, np.ones(1), join, [np.arange(len(mean))])


def joint_of(columns: int = 5, join: str = "mahalanobis", seed: int = 0) -> Joint:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(columns, columns))
    return joint(rng.normal(size=columns), mix @ mix.T + np.eye(columns) / 9, join)


def residuals(minutes: int = 30, columns: int = 5, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(minutes, columns))


def test_mahalanobis_is_the_textbooks_distance_over_the_number_of_columns():
    joint, rows = joint_of(), residuals()
    inverse = np.linalg.inv(joint.covariance)
    apart = rows - joint.mean
    textbook = [float(np.sqrt(row @ inverse @ row)) for row in apart]
    found, _ = joint.score(rows)
    assert np.allclose(found, np.array(textbook) / np.sqrt(5), rtol=1e-10)


def test_mean_square_is_the_mean_of_the_squared_residuals():
    rows = residuals()
    found, shares = joint_of(join="mean-square").score(rows)
    assert np.allclose(found, (rows**2).mean(axis=1))
    assert np.allclose(shares, rows**2 / (rows**2).sum(axis=1, keepdims=True))


def test_whitened_is_the_largest_whitened_component():
    joint, rows = joint_of(join="whitened"), residuals()
    root = linalg.fractional_matrix_power(joint.covariance, -0.5).real
    whitened = (rows - joint.mean) @ root
    found, shares = joint.score(rows)
    assert np.allclose(found, np.abs(whitened).max(axis=1), rtol=1e-8)
    assert np.array_equal(shares.argmax(axis=1), np.abs(whitened).argmax(axis=1))


@pytest.mark.parametrize("join", JOINS)
def test_an_unknown_column_is_left_out_as_if_it_did_not_exist(join):
    wide, rows = joint_of(join=join), residuals()
    keep = [0, 1, 3, 4]
    smaller = joint(wide.mean[keep], wide.covariance[np.ix_(keep, keep)], join)
    unknown = rows.copy()
    unknown[:, 2] = np.nan
    found, shares = wide.score(unknown)
    expected, expected_shares = smaller.score(rows[:, keep])
    assert np.allclose(found, expected)
    assert np.allclose(shares[:, keep], expected_shares)
    assert (shares[:, 2] == 0).all()


@pytest.mark.parametrize("join", ["mahalanobis", "mean-square"])
def test_minutes_with_few_known_columns_compare_with_full_ones(join):
    flat = joint(np.zeros(40), np.eye(40), join)
    full = residuals(400, 40)
    thin = full.copy()
    thin[:, 10:] = np.nan
    ratio = flat.score(thin)[0].mean() / flat.score(full)[0].mean()
    assert ratio == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("join", JOINS)
def test_the_score_of_a_row_is_the_same_alone_as_among_others(join):
    first, rows = joint_of(join=join), residuals(50)
    rows[np.random.default_rng(2).random(rows.shape) < 0.2] = np.nan
    whole = first.score(rows)[0]
    fresh = joint(first.mean, first.covariance, join)
    alone = [fresh.score(rows[at : at + 1])[0][0] for at in reversed(range(50))]
    assert same_bits(alone[::-1], whole)


def test_a_column_that_was_never_seen_does_not_matter():
    rows = residuals(300, 4)
    wider = np.column_stack([rows, np.full(300, np.nan)])
    found, shares = Joint.fit(wider, "mahalanobis").score(wider)
    expected, _ = Joint.fit(rows, "mahalanobis").score(rows)
    assert np.allclose(found, expected)
    assert (shares[:, 4] == 0).all()


def test_a_rarely_known_column_keeps_its_own_variance():
    rows = residuals(4000, 3)
    rows[np.random.default_rng(3).random(4000) < 0.8, 2] = np.nan
    joint = Joint.fit(rows, "mahalanobis")
    assert np.allclose(np.diag(joint.covariance), 1, atol=0.15)
    assert np.allclose(joint.mean, 0, atol=0.15)


def test_a_few_wild_minutes_do_not_widen_what_is_normal():
    rows = residuals(1000, 4)
    clean = Joint.fit(rows, "mahalanobis").covariance
    rows[[100, 500, 900]] *= 200
    assert np.allclose(Joint.fit(rows, "mahalanobis").covariance, clean, atol=0.1)


def test_a_residual_that_breaks_the_correlation_scores_above_a_larger_one():
    rng = np.random.default_rng(4)
    cause = rng.normal(size=(500, 1))
    joint = Joint.fit(cause + rng.normal(scale=0.1, size=(500, 2)), "mahalanobis")
    broken, large = joint.score(np.array([[1.0, -1.0], [2.0, 2.0]]))[0]
    assert broken > 2 * large


# ----------------------------------------------------------------------- threshold


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 3_000), st.integers(1, 50_000), st.integers(0, 99))
@example(1_250, 4_560, 0)
@example(10_000, 570, 0)
def test_exactly_so_many_percent_of_the_scores_lie_above(number, thousandths, seed):
    scores = pd.Series(np.random.default_rng(seed).permutation(number) / 7.0)
    threshold = top_percent(scores, thousandths / 1000)
    share = Fraction(thousandths, 100_000)
    assert (scores > threshold).sum() == int(number * share)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 5), min_size=1), st.floats(0.001, 50))
def test_with_ties_no_more_than_the_share_lies_above(values, percent):
    scores = pd.Series([float(value) for value in values])
    threshold = top_percent(scores, percent)
    assert threshold in set(scores)
    assert (scores > threshold).sum() <= len(scores) * Fraction(str(percent)) / 100


@pytest.mark.parametrize("percent", [0.001, 0.2, 50.0, 100.0])
def test_of_a_single_score_none_lies_above(percent):
    assert top_percent(pd.Series([2.5]), percent) == 2.5


def test_unknown_scores_take_no_part_in_the_threshold():
    scores = pd.Series([np.nan, 4.0, np.nan, 1.0, 3.0, 2.0, np.nan])
    assert top_percent(scores, 25) == 3.0


@pytest.mark.parametrize("scores", [[], [np.nan, np.nan]])
def test_without_scores_there_is_no_threshold(scores):
    with pytest.raises(InputError, match="found none"):
        top_percent(pd.Series(scores, dtype=float), 1)


# ------------------------------------------------------------------------ training


class Constant(torch.nn.Module):
    """Foretells the same minute whatever it sees."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.level = torch.nn.Parameter(torch.zeros(columns))

    def forward(self, minutes: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        return self.level.expand(minutes.shape)


def learned(inputs: np.ndarray, known: np.ndarray, **how: Any) -> Constant:
    network, how = Constant(inputs.shape[1]), {"learning_rate": 0.05} | how
    ends = np.arange(WINDOW - 1, len(inputs))
    train(network, inputs, known, ends, WINDOW, Training(**how))
    return network


def test_only_known_values_count_in_the_loss():
    inputs = np.full((200, 2), 1.0, np.float32)
    known = np.ones((200, 2), bool)
    known[::2, 1] = False
    inputs[::2, 1] = 50.0
    network = learned(inputs, known, epochs=60, patience=60)
    assert network.level.tolist() == pytest.approx([1.0, 1.0], abs=0.05)


def test_training_stops_when_the_held_out_loss_no_longer_falls():
    passes: list[float] = []
    inputs, ends = np.ones((100, 2), np.float32), np.arange(WINDOW - 1, 100)
    training = Training(epochs=50, patience=3, learning_rate=1e-12)
    known = np.ones(inputs.shape, bool)
    network = Constant(2)
    train(
        network,
        inputs,
        known,
        ends,
        WINDOW,
        training,
        lambda *told: passes.append(told[2]),
    )
    assert len(passes) == 1 + 3


def test_the_weights_with_the_least_held_out_loss_are_kept():
    told: list[tuple[int, int, float]] = []
    inputs = np.ones((100, 1), np.float32)
    known, ends = np.ones(inputs.shape, bool), np.arange(WINDOW - 1, 100)
    training = Training(epochs=9, patience=9, learning_rate=0.7, batch=1000)
    network = Constant(1)
    train(network, inputs, known, ends, WINDOW, training, lambda *x: told.append(x))
    losses = [loss for *_, loss in told]
    assert [(done, most) for done, most, _ in told] == [(n, 9) for n in range(1, 10)]
    assert min(losses) < losses[-1]
    assert (network.level.item() - 1) ** 2 == pytest.approx(min(losses), rel=1e-5)


def test_training_leaves_the_network_ready_to_score():
    network = learned(np.ones((50, 1), np.float32), np.ones((50, 1), bool), epochs=1)
    assert not network.training


def test_a_single_sequence_can_be_trained_on():
    network = learned(np.ones((WINDOW, 1), np.float32), np.ones((WINDOW, 1), bool))
    assert 0 < network.level.item() < 1.5


def test_first_weights_come_from_the_seed_alone():
    torch.manual_seed(5)
    first = seeded(lambda: torch.nn.Linear(3, 3), 1).weight
    torch.manual_seed(6)
    again = seeded(lambda: torch.nn.Linear(3, 3), 1).weight
    other = seeded(lambda: torch.nn.Linear(3, 3), 2).weight
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


class Drawing(torch.nn.Module):
    """Foretells what it draws, and remembers it."""

    def __init__(self) -> None:
        super().__init__()
        self.level = torch.nn.Parameter(torch.zeros(1))
        self.drawn: list[float] = []

    def forward(self, minutes: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        self.drawn.append(float(torch.rand(1)))
        return self.level + torch.full(minutes.shape, self.drawn[-1])


def drawn(seed: int) -> list[float]:
    network, inputs = Drawing(), np.ones((40, 1), np.float32)
    known, ends = np.ones(inputs.shape, bool), np.arange(WINDOW - 1, 40)
    train(network, inputs, known, ends, WINDOW, Training(epochs=2, seed=seed))
    return network.drawn


def test_what_a_network_draws_in_training_comes_from_the_seed_alone():
    torch.manual_seed(5)
    first, state = drawn(1), torch.get_rng_state()
    torch.manual_seed(6)
    assert drawn(1) == first
    assert drawn(2) != first
    torch.manual_seed(5)
    assert torch.equal(torch.get_rng_state(), state)


def test_threads_are_put_back_even_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before


class Probe(torch.nn.Module):
    """Gives its input back, and remembers what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []
        self.known: list[np.ndarray] = []

    def forward(self, minutes: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(minutes.shape))
        self.known.append(known.numpy().copy())
        return copy.deepcopy(minutes)


def test_windows_are_run_in_blocks_of_one_size_each_minute_in_its_place():
    probe, inputs = Probe(), np.arange(300, dtype=np.float32)[:, None]
    ends, known = np.array([9, 40, 41, 200]), np.ones(inputs.shape, bool)
    found = last_minutes(probe, inputs, known, ends, ends + 1000, WINDOW)
    assert found[:, 0].tolist() == [9, 40, 41, 200]
    assert probe.shapes == [(BLOCK, WINDOW, 1)] * 3  # minutes 1009 | 1040, 1041 | 1200


def test_a_minute_number_that_comes_again_goes_into_a_block_of_its_own():
    probe, inputs = Probe(), np.arange(300, dtype=np.float32)[:, None]
    ends, places = np.array([10, 11, 12, 13]), np.array([70, 71, 70, 71])
    known = np.ones(inputs.shape, bool)
    found = last_minutes(probe, inputs, known, ends, places, WINDOW)
    assert found[:, 0].tolist() == [10, 11, 12, 13]
    assert len(probe.shapes) == 2


def test_a_network_is_told_what_is_known_and_nothing_of_empty_places():
    probe, rng = Probe(), np.random.default_rng(1)
    inputs, known = np.zeros((90, 3), np.float32), rng.random((90, 3)) < 0.5
    ends = np.array([20, 22])
    last_minutes(probe, inputs, known, ends, ends + BLOCK, WINDOW)
    (told,) = probe.known
    assert np.array_equal(told[20], known[21 - WINDOW : 21])
    assert np.array_equal(told[22], known[23 - WINDOW : 23])
    assert not np.delete(told, [20, 22], axis=0).any()


def test_no_windows_make_no_minutes():
    none, inputs = np.zeros(0, np.int64), np.zeros((9, 2), np.float32)
    found = last_minutes(Probe(), inputs, inputs > 0, none, none, WINDOW)
    assert found.shape == (0, 2)
