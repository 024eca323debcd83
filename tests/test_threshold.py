"""Thresholds: which days are held out, and budgets against slow twins."""

import datetime as dt
import itertools
import math
from zoneinfo import ZoneInfo

import make
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_ids.alarms.incidents import Incidents
from entropy_ids.calendar import Calendar
from entropy_ids.detectors.threshold import (
    LEAST_DAYS,
    Budget,
    held_out,
    meet,
    poisson_interval,
    runs,
)
from entropy_ids.types import MINUTE_S

DAY = 1440
MONDAY = make.T0 + 17 * 3600
"""2024-04-22 00:00 UTC."""

# ------------------------------------------------------------------ held-out minutes


def hours(days: float, start: int = MONDAY) -> pd.DatetimeIndex:
    """Give one minute of every hour."""
    return pd.date_range(
        pd.Timestamp(start, unit="s", tz="UTC"), periods=int(24 * days), freq="h"
    )


def held_days(minutes: pd.DatetimeIndex, calendar: Calendar) -> list[str]:
    """Give the local dates of the minutes that are held out."""
    held = minutes[held_out(minutes, calendar)].tz_convert(calendar.timezone)
    return sorted({f"{moment:%Y-%m-%d %a}" for moment in held})


def naive_held(minutes: pd.DatetimeIndex, calendar: Calendar) -> list[bool]:
    """Hold the third of every four weekdays, the second of every three days off."""
    zone = ZoneInfo(calendar.timezone)
    dates = [moment.astimezone(zone).date() for moment in minutes.to_pydatetime()]
    days = sorted(set(dates))
    work = [day for day in days if day.weekday() < 5]
    free = [day for day in days if day.weekday() >= 5]
    held = {*work[2::4], *free[1::3]}
    return [date in held for date in dates]


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York"]),
    st.integers(LEAST_DAYS, 40),
    st.integers(0, 365 * 24),
)
def test_the_minutes_held_out_are_those_of_the_slow_twin(zone, days, first_hour):
    minutes, calendar = hours(days, MONDAY + 3600 * first_hour), Calendar(zone)
    assert held_out(minutes, calendar).tolist() == naive_held(minutes, calendar)


def test_over_the_weeks_every_weekday_is_held_out_and_both_days_of_the_weekend():
    held = held_days(hours(28), Calendar())
    assert {day[-3:] for day in held} == {*"Mon Tue Wed Thu Fri Sat Sun".split()}
    assert len(held) == 8


def test_a_holiday_is_held_out_among_the_days_off():
    calendar = Calendar(holidays=("2024-04-24",))
    assert "2024-04-24 Wed" in held_days(hours(14), Calendar())
    assert "2024-04-24 Wed" not in held_days(hours(14), calendar)


def test_whole_local_days_are_held_out_not_those_of_utc():
    minutes, auckland = hours(14), Calendar("Pacific/Auckland")
    held = held_out(minutes, auckland)
    local = minutes.tz_convert("Pacific/Auckland").date
    assert set(local[held]).isdisjoint(local[~held])
    assert not set(minutes.date[held]).isdisjoint(minutes.date[~held])


def test_the_day_that_summer_time_shortens_is_held_out_whole():
    start = int(dt.datetime(2026, 3, 18, 23, tzinfo=dt.UTC).timestamp())
    minutes, berlin = hours(14, start), Calendar("Europe/Berlin", weekend=())
    local = minutes.tz_convert("Europe/Berlin")[held_out(minutes, berlin)]
    assert (local.date == dt.date(2026, 3, 29)).sum() == 23


def test_of_fewer_than_eight_days_two_eighths_are_held_out():
    minutes = make.stamps(80, MONDAY)
    expected = [*range(20, 30), *range(60, 70)]
    assert np.flatnonzero(held_out(minutes, Calendar())).tolist() == expected


@pytest.mark.parametrize("days", [LEAST_DAYS - 1, LEAST_DAYS])
def test_days_are_held_out_from_eight_days_on(days):
    minutes = hours(days)
    held = held_out(minutes, Calendar())
    dates = minutes.date
    whole = set(dates[held]).isdisjoint(dates[~held])
    assert whole == (days >= LEAST_DAYS)


@pytest.mark.parametrize("minutes", [1, 2, 7, 9])
def test_a_handful_of_minutes_can_be_held_out_from(minutes):
    held = held_out(make.stamps(minutes), Calendar())
    assert (len(held), held.dtype) == (minutes, np.dtype(bool))


# ------------------------------------------------------------------------- incidents


def incidents_of(stamps: list[int], quiet_minutes: int, steps: list[int]) -> int:
    """Count what the real grouping opens, stepping through minutes."""
    incidents = Incidents("s", "d", {}, quiet_minutes)
    alarms = []
    for minute in steps:
        verdict = make.verdict(minute) if minute in stamps else None
        alarms += incidents.step(minute, verdict)
    return len({alarm.id for alarm in alarms})


PLACES = st.sets(st.integers(0, 60), max_size=25)


@settings(deadline=None, max_examples=150)
@given(PLACES, PLACES, st.integers(1, 9))
def test_runs_are_the_incidents_that_the_alarms_would_make(strange, absent, quiet):
    stamps = [make.T0 + MINUTE_S * place for place in sorted(strange)]
    seen = (set(range(61)) - absent) | strange
    steps = [make.T0 + MINUTE_S * place for place in sorted(seen)]
    assert runs(np.array(stamps, np.int64), quiet) == incidents_of(stamps, quiet, steps)


def test_nothing_strange_is_no_run():
    assert runs(np.array([], np.int64), 5) == 0


# --------------------------------------------------------------------------- budgets


def scores_of(values: list[float], places: list[int] | None = None) -> pd.Series:
    index = make.stamps(max(places or [len(values)]) + 1)
    return pd.Series(values, index=index[places or range(len(values))])


def naive_meet(scores: pd.Series, per_day: float, quiet: int) -> tuple[float, int]:
    """Try every score, the highest first, as long as what lies above is in budget.

    Of those the lowest that makes the most incidents: below it they only merge.
    """
    known = scores[scores == scores]
    stamps = [int(moment.timestamp()) for moment in known.index]

    def incidents(threshold: float) -> int:
        above = [s for s, score in zip(stamps, known, strict=True) if score > threshold]
        return incidents_of(above, quiet, above)

    tried = [(score, incidents(score)) for score in sorted(set(known), reverse=True)]
    allowed = per_day * len(known) / DAY
    within = itertools.takewhile(lambda one: one[1] <= allowed, tried)
    return max(within, key=lambda one: (one[1], -one[0]))


SCORE = st.one_of(st.integers(0, 9).map(float), st.just(math.nan), st.floats(0, 9))


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(st.integers(0, 50), SCORE, min_size=1, max_size=40),
    st.sampled_from([0.0, 36.0, 100.0, 400.0, 1440.0]),
    st.integers(1, 6),
)
def test_the_threshold_that_meets_a_budget_is_that_of_the_slow_twin(
    placed, per_day, quiet
):
    placed[51] = 0.5
    places = sorted(placed)
    scores = scores_of([placed[place] for place in places], places)
    found = meet(scores, per_day, quiet)
    assert (found.threshold, found.incidents) == naive_meet(scores, per_day, quiet)


def test_a_budget_is_met_by_the_lowest_threshold_that_keeps_it():
    values = [1.0] * DAY
    for place, score in [(100, 9.0), (101, 8.0), (300, 7.0), (500, 6.0), (700, 5.0)]:
        values[place] = score
    found = meet(scores_of(values), 2.0, 5)
    assert found == Budget(2.0, 1.0, incidents=2, threshold=6.0)


def test_minutes_of_one_incident_cost_the_budget_once():
    values = [1.0] * DAY
    values[100:160:5] = [9.0 - place / 10 for place in range(12)]
    assert meet(scores_of(values), 1.0, 5).incidents == 1
    assert meet(scores_of(values), 1.0, 5).threshold == 1.0
    assert meet(scores_of(values), 1.0, 4).threshold == 8.9


def test_a_budget_that_no_threshold_spends_does_not_make_every_minute_strange():
    values = np.random.default_rng(2).normal(size=DAY).tolist()
    found = meet(scores_of(values), 1440.0, 5)
    assert found.incidents > 80
    assert np.mean(np.array(values) > found.threshold) < 0.25


def test_a_budget_of_none_lets_nothing_pass():
    found = meet(scores_of([1.0, 3.0, 2.0, 3.0]), 0.0, 1)
    assert (found.threshold, found.incidents) == (3.0, 0)


def test_minutes_without_a_score_are_no_time_in_which_alarms_may_happen():
    values = [float(n % 7) for n in range(DAY)] + [math.nan] * DAY
    assert meet(scores_of(values), 3.0, 5) == meet(scores_of(values[:DAY]), 3.0, 5)


def test_what_a_budget_lets_expect_is_the_interval_of_a_poisson_rate():
    assert Budget(1.0, 7.0, 7, 1.0).interval == poisson_interval(7, 7.0)


GARWOOD = {0: (0.0, 3.6889), 1: (0.0253, 5.5716), 7: (2.8144, 14.4227)}
GARWOOD |= {10: (4.7954, 18.3904), 100: (81.3640, 121.6268)}


@pytest.mark.parametrize("events", GARWOOD)
@pytest.mark.parametrize("days", [0.25, 1.0, 28.0])
def test_the_interval_of_a_rate_is_garwoods(events, days):
    low, high = poisson_interval(events, days)
    assert (low * days, high * days) == pytest.approx(GARWOOD[events], abs=1e-4)


@pytest.mark.parametrize("events", [1, 3, 12])
def test_so_many_events_are_unlikely_beyond_either_end_of_the_interval(events):
    def at_most(number: int, mean: float) -> float:
        return sum(
            math.exp(-mean) * mean**n / math.factorial(n) for n in range(number + 1)
        )

    low, high = poisson_interval(events, 1.0)
    assert 1 - at_most(events - 1, low) == pytest.approx(0.025)
    assert at_most(events, high) == pytest.approx(0.025)
