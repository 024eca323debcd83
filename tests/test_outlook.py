"""What a training range lacked, and what margins would flag of it, by slow twins."""

import itertools
import math

import make
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_ids.calendar import Calendar
from entropy_ids.profile.bounds import MARGINS
from entropy_ids.profile.outlook import (
    KS,
    effect_of_k,
    false_flags,
    shortfalls,
    slots_of,
)

MONDAY = pd.Timestamp("2024-04-22", tz="UTC")

# ----------------------------------------------------------------------- false flags


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_false_flags_are_counted_over_all_orders_of_a_minute_and_n_others(n):
    orders = list(itertools.permutations(range(n + 1)))
    outside = sum(own < min(others) or own > max(others) for own, *others in orders)
    assert false_flags(n) == pytest.approx(outside / len(orders))


# ------------------------------------------------------------------------ shortfalls


def lacks(days: float, start: pd.Timestamp = MONDAY, without: tuple = ()) -> list[str]:
    """Give the shortfalls of whole minutes of days but some slots."""
    minutes = pd.date_range(start, periods=int(1440 * days), freq="min")
    slots = Calendar().slots(minutes)
    return shortfalls(slots[~np.isin(slots, without)])


def test_a_week_lacks_nothing():
    assert lacks(7) == []


def test_under_two_days_of_whole_minutes_are_said_to_be_few():
    [few, *_] = lacks(1.5)
    assert few.startswith("expected at least two days of whole minutes, found 1.5: ")
    assert not any("two days" in sentence for sentence in lacks(2))


def test_a_range_without_a_weekend_is_said_to_lack_it():
    assert lacks(5) == [
        "no weekend minute was trained on: its hours take the bounds of the other "
        "days; train on a range with a weekend"
    ]


def test_a_range_without_a_weekday_is_said_to_lack_it():
    [only] = lacks(2, MONDAY - pd.Timedelta(days=2))
    assert only.startswith("no weekday minute was trained on: ")


def test_hours_without_a_minute_are_listed_by_day_type():
    assert lacks(7, without=(3, 17, 24 + 5)) == [
        "no minute of weekday hours 03, 17 was trained on: they take the bounds of the "
        "hours around them; train on more days",
        "no minute of weekend hours 05 was trained on: they take the bounds of the "
        "hours around them; train on more days",
    ]


def test_a_single_minute_lacks_nearly_everything():
    assert len(lacks(1 / 1440)) == 3


# ---------------------------------------------------------------------- effect of k


def naive_rule(margin: str, low: float, high: float, k: float) -> tuple[float, float]:
    if margin == "span":
        return low - (k - 1) * (high - low), high + (k - 1) * (high - low)
    return (low / k if margin == "ratio" else low * k), high * k


def naive_effect(
    values: list, slots: list, dates: list, margin: str, k: float
) -> float:
    """Hold every value against those of its slot and column on all other days."""
    outside, known = 0, 0
    rows = list(zip(values, slots, dates, strict=True))
    for row, slot, date in rows:
        for place, value in enumerate(row):
            others = [r[place] for r, s, d in rows if s == slot and d != date]
            others = [other for other in others if other == other]
            if others and value == value:
                low, high = naive_rule(margin, min(others), max(others), k)
                known += 1
                outside += value < low or value > high
    return outside / known if known else math.nan


VALUE = st.one_of(st.just(math.nan), st.integers(0, 3).map(float), st.floats(0, 9))
MINUTES = st.lists(
    st.tuples(st.tuples(VALUE, VALUE), st.sampled_from([0, 9, 30]), st.integers(0, 3)),
    min_size=1,
    max_size=25,
)


@settings(deadline=None, max_examples=40)
@given(MINUTES)
def test_the_effect_of_k_is_that_of_the_slow_twin(minutes):
    values, slots, dates = (list(part) for part in zip(*minutes, strict=True))
    frame = pd.DataFrame(values, columns=["a", "b"])
    effect = effect_of_k(frame, np.array(slots), np.array(dates), (1.0, 1.25, 2.0))
    assert len(effect) == 3 * len(MARGINS)
    for one in effect.itertuples():
        expected = naive_effect(values, slots, dates, one.margin, one.k)
        assert one.outside == pytest.approx(expected, nan_ok=True)


@pytest.fixture(scope="module")
def normal() -> pd.DataFrame:
    """Two weeks of minutes like entropies, held day against days."""
    minutes = pd.date_range(MONDAY, periods=14 * 1440, freq="min")
    values = np.random.default_rng(5).normal(6, 0.3, (len(minutes), 3))
    series = pd.DataFrame(values, columns=list("abc")).assign(minute=minutes)
    slots, dates = slots_of(series, Calendar())
    effect = effect_of_k(series[list("abc")], slots, dates)
    return effect.pivot(index="k", columns="margin", values="outside")


def test_without_a_margin_all_rules_flag_what_the_chance_of_extremes_says(normal):
    expected = (10 * false_flags(9 * 60) + 4 * false_flags(3 * 60)) / 14
    assert normal.loc[1.0].nunique() == 1
    assert normal.loc[1.0, "span"] == pytest.approx(expected, rel=0.15)


def test_the_published_margin_flags_most_normal_minutes_and_span_next_to_none(normal):
    assert normal.loc[1.25, "published"] > 0.5
    assert normal.loc[1.25, "span"] < 1e-4


def test_a_wider_k_flags_less_by_span_and_ratio_but_more_as_published(normal):
    assert list(normal.index) == sorted(KS)
    assert normal["span"].is_monotonic_decreasing
    assert normal["ratio"].is_monotonic_decreasing
    assert normal["published"].is_monotonic_increasing


def test_of_one_day_nothing_can_be_told():
    effect = effect_of_k(pd.DataFrame({"a": [1.0, 2.0]}), np.array([9, 9]), np.zeros(2))
    assert effect["outside"].isna().all()


def test_slots_and_dates_of_a_series_are_local():
    series = pd.DataFrame({"minute": make.stamps(1, make.T0 + 15 * 3600 + 1800)})
    slots, dates = slots_of(series, Calendar("Europe/Berlin"))
    assert Calendar.name(slots[0]) == "weekday 00"
    assert pd.Timestamp(dates[0], unit="D") == MONDAY.tz_localize(None)
