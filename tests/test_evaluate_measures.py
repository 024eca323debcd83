import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
)

from entropy_ids.evaluate.measures import (
    Ranking,
    falls,
    hours,
    interval,
    rate,
    resampled,
    threshold_for,
)

QUIET = 5
SCORES = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=80)


# ------------------------------------------------------------------ intervals


@pytest.mark.parametrize("events", [0, 1, 7, 40])
def test_the_interval_of_a_rate_is_the_exact_poisson_one(events):
    figure = rate(events, 4.0)
    assert figure.value == events / 4
    assert poisson.cdf(events, figure.high * 4) == pytest.approx(0.025)
    if events:
        assert poisson.sf(events - 1, figure.low * 4) == pytest.approx(0.025)
    else:
        assert figure.low == 0


# ------------------------------------------------------ thresholds and incidents


def naive_incidents(minutes: list[int], quiet: int = QUIET) -> int:
    """Count runs, walking minute by minute."""
    number, last = 0, None
    for minute in sorted(minutes):
        if last is None or (minute - last) // 60 - 1 >= quiet:
            number += 1
        last = minute
    return number


def naive_threshold(minutes: np.ndarray, scores: np.ndarray, most: int) -> float:
    """Lower the threshold from score to score until it costs too much."""
    best = max(scores)
    for threshold in sorted(set(scores.tolist()), reverse=True):
        above = minutes[scores > threshold].tolist()
        if naive_incidents(above) > most or threshold < np.median(scores):
            break
        best = threshold
    return best


def at(scores: list[float], gaps: bool) -> tuple[np.ndarray, np.ndarray]:
    places = np.arange(len(scores)) * (3 if gaps else 1)
    return 60 * places, np.array(scores)


def test_minutes_are_joined_over_fewer_than_the_quiet_minutes():
    minutes, scores = at([2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 2], gaps=False)
    thresholds, counts = falls(minutes, scores, QUIET)
    assert thresholds.tolist() == [2, 0]
    assert counts.tolist() == [0, 2]


@given(SCORES, st.booleans())
def test_counts_going_down_are_those_of_a_walk_at_each_threshold(scores, gaps):
    minutes, scores = at(scores, gaps)
    thresholds, counts = falls(minutes, scores, QUIET)
    assert thresholds.tolist() == sorted(set(scores.tolist()), reverse=True)
    walked = [naive_incidents(minutes[scores > t].tolist()) for t in thresholds]
    assert counts.tolist() == np.maximum.accumulate(walked).tolist()


@given(SCORES, st.booleans(), st.integers(0, 4))
def test_the_threshold_is_the_lowest_that_keeps_the_budget(scores, gaps, most):
    minutes, scores = at(scores, gaps)
    threshold, false = threshold_for(minutes, scores, most, QUIET)
    assert threshold == naive_threshold(minutes, scores, most)
    assert false == naive_incidents(minutes[scores > threshold].tolist()) <= most


def test_the_order_of_minutes_does_not_matter():
    minutes, scores = at([3, 1, 4, 1, 5, 9, 2, 6], gaps=True)
    turned = threshold_for(minutes[::-1], scores[::-1], 1, QUIET)
    assert turned == threshold_for(minutes, scores, 1, QUIET)


def test_one_endless_incident_is_no_way_to_keep_a_budget():
    minutes, scores = at([0.0] * 50 + [1.0], gaps=False)
    assert threshold_for(minutes, scores, 1, QUIET) == (0.0, 1)


# ------------------------------------------------------------------ rankings


@pytest.fixture(params=[1, 2])
def ranked(request) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minutes with many equal scores, and how often each was drawn."""
    rng = np.random.default_rng(request.param)
    positive = rng.random(300) < 0.1
    scores = np.round(rng.normal(size=300) + positive, 1)
    return positive, scores, rng.integers(0, 4, 300).astype(float)


def test_areas_are_those_of_scikit_learn(ranked):
    positive, scores, _ = ranked
    ranking = Ranking(positive, scores)
    assert ranking.roc_auc() == pytest.approx(roc_auc_score(positive, scores))
    expected = average_precision_score(positive, scores)
    assert ranking.average_precision() == pytest.approx(expected)


def test_the_precision_curve_is_that_of_scikit_learn(ranked):
    positive, scores, _ = ranked
    recall, precision = Ranking(positive, scores).precision()
    expected = precision_recall_curve(positive, scores)
    assert precision == pytest.approx(expected[0][:-1][::-1])
    assert recall == pytest.approx(expected[1][:-1][::-1])


def test_a_minute_that_was_drawn_twice_weighs_twice(ranked):
    positive, scores, times = ranked
    often = np.repeat(np.arange(300), times.astype(int))
    ranking = Ranking(positive, scores)
    expected = roc_auc_score(positive[often], scores[often])
    assert ranking.roc_auc(times) == pytest.approx(expected)
    expected = average_precision_score(positive[often], scores[often])
    assert ranking.average_precision(times) == pytest.approx(expected)


def test_a_perfect_order_has_areas_of_one_and_a_turned_one_of_zero():
    positive = np.array([False, False, True, True])
    assert Ranking(positive, np.arange(4.0)).roc_auc() == 1
    assert Ranking(positive, np.arange(4.0)).average_precision() == 1
    assert Ranking(positive, -np.arange(4.0)).roc_auc() == 0


# ------------------------------------------------------------------ bootstrap

ATTACKS = np.array([-1, -1, -1, -1, 0, 0, 1, 1, 1])
HOURS = np.array([0, 0, 1, 2, -1, -1, -1, -1, -1])


def test_whole_blocks_are_drawn_as_many_as_there_are_of_each_kind():
    draws = resampled([ATTACKS, HOURS], seed=3)
    for kind in (ATTACKS, HOURS):
        firsts = [np.flatnonzero(kind == b)[0] for b in range(kind.max() + 1)]
        assert (draws[:, firsts].sum(axis=1) == len(firsts)).all()
        for block, first in enumerate(firsts):
            assert (draws[:, kind == block] == draws[:, [first]]).all()


def test_the_same_seed_draws_the_same_and_another_does_not():
    one, again, other = (resampled([ATTACKS, HOURS], seed) for seed in (3, 3, 4))
    assert (one == again).all()
    assert (one != other).any()


def test_an_interval_holds_the_middle_of_the_draws_and_the_value_of_all():
    draws = np.arange(200.0)[:, None] * np.ones(4)
    figure = interval(lambda w: 90.0 if w is None else float(w.mean()), draws)
    assert (figure.value, figure.low, figure.high) == pytest.approx(
        (90, 4.975, 194.025)
    )


def test_hours_are_numbered_from_zero_without_gaps():
    assert hours(np.array([3540, 3600, 7140, 36_000])).tolist() == [0, 1, 1, 2]
