"""Site time: slots of the week, through both daylight-saving days and holidays."""

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_ids.calendar import DAYS, SLOTS, Calendar
from entropy_ids.errors import ConfigError

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",  # +05:45
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "America/Sao_Paulo",
)
MINUTE = st.integers(1_577_836_800 // 60, 1_893_456_000 // 60).map(lambda m: 60 * m)


def slots_of(calendar: Calendar, *times: str) -> list[str]:
    index = pd.DatetimeIndex(pd.to_datetime(list(times), utc=True))
    return [Calendar.name(slot) for slot in calendar.slots(index)]


def naive_slot(calendar: Calendar, minute: int) -> int:
    local = dt.datetime.fromtimestamp(minute, ZoneInfo(calendar.timezone))
    off = DAYS[local.weekday()] in calendar.weekend
    off = off or local.date().isoformat() in calendar.holidays
    return local.hour + 24 * off


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(ZONES),
    st.sets(st.sampled_from(DAYS)),
    st.lists(MINUTE, min_size=1, max_size=20),
)
def test_slots_are_those_of_the_slow_twin(zone, weekend, minutes):
    dates = (
        dt.datetime.fromtimestamp(minutes[0], dt.UTC).date(),
        dt.date(2026, 12, 25),
    )
    holidays = tuple(date.isoformat() for date in dates)
    calendar = Calendar(zone, tuple(weekend), holidays)
    index = pd.DatetimeIndex(pd.to_datetime(minutes, unit="s", utc=True))
    expected = [naive_slot(calendar, minute) for minute in minutes]
    assert calendar.slots(index).tolist() == expected


def test_the_hour_that_summer_time_skips_has_no_minute():
    minutes = pd.date_range("2026-03-28T23:00Z", "2026-03-29T22:00Z", freq="min")
    found, numbers = np.unique(Calendar("Europe/Berlin").slots(minutes[:-1]), True)[:2]
    assert len(minutes[:-1]) == 23 * 60
    assert found.tolist() == [24 + hour for hour in range(24) if hour != 2]
    assert len(numbers) == 23


def test_the_hour_that_winter_time_repeats_has_its_minutes_twice():
    minutes = pd.date_range("2026-10-24T22:00Z", "2026-10-25T23:00Z", freq="min")
    slots = Calendar("Europe/Berlin").slots(minutes[:-1])
    numbers = np.bincount(slots, minlength=SLOTS)[24:]
    assert numbers.tolist() == [60, 60, 120, *[60] * 21]


def test_summer_and_winter_time_keep_the_hour_of_the_wall_clock():
    berlin = Calendar("Europe/Berlin")
    before, after = slots_of(berlin, "2026-03-27T07:00Z", "2026-03-30T06:00Z")
    assert before == after == "weekday 08"


def test_weekend_begins_at_local_midnight():
    sydney = Calendar("Australia/Sydney")
    found = slots_of(sydney, "2026-07-03T13:59Z", "2026-07-03T14:00Z")
    assert found == ["weekday 23", "weekend 00"]


def test_weekend_is_the_sites_own():
    cairo = Calendar("Africa/Cairo", weekend=("Fri", "Sat"))
    friday, sunday = "2026-01-02T10:00Z", "2026-01-04T10:00Z"
    assert slots_of(cairo, friday, sunday) == ["weekend 12", "weekday 12"]


def test_a_site_may_have_no_weekend():
    assert slots_of(Calendar(weekend=()), "2026-01-04T10:00Z") == ["weekday 10"]


def test_a_holiday_is_a_weekend_day_from_local_midnight_to_local_midnight():
    berlin = Calendar("Europe/Berlin", holidays=("2026-12-25",))
    times = "2026-12-24T22:59Z", "2026-12-24T23:00Z", "2026-12-25T22:59Z"
    found = slots_of(berlin, *times, "2026-12-28T09:00Z")
    assert found == ["weekday 23", "weekend 00", "weekend 23", "weekday 10"]


@pytest.mark.parametrize("text", ["20261225", "2026-W52-5"])
def test_every_spelling_of_a_holiday_that_is_accepted_counts(text):
    try:
        calendar = Calendar(holidays=(text,))
    except ConfigError:
        return
    assert slots_of(calendar, "2026-12-25T10:00Z") == ["weekend 10"]


def test_no_minutes_have_no_slots():
    calendar = Calendar(holidays=("2026-12-25",))
    assert calendar.slots(pd.DatetimeIndex([], tz="UTC")).tolist() == []


def test_slots_are_named_by_day_type_and_hour():
    names = [Calendar.name(slot) for slot in range(SLOTS)]
    assert len(set(names)) == SLOTS
    assert (names[0], names[23], names[24], names[47]) == (
        "weekday 00",
        "weekday 23",
        "weekend 00",
        "weekend 23",
    )


@pytest.mark.parametrize(
    "zone", ["Europe/Atlantis", "", "Europe", "../etc/passwd", "a\0b", "tzlocal()"]
)
def test_an_unknown_time_zone_is_refused_by_name(zone):
    with pytest.raises(ConfigError, match=r"site\.timezone: expected .* found") as told:
        Calendar(zone)
    assert repr(zone) in str(told.value)


@pytest.mark.parametrize("day", ["Saturday", "sat", "", "Sa"])
def test_an_unknown_day_is_refused_by_name(day):
    with pytest.raises(ConfigError, match=rf"site\.weekend: .* found '{day}'"):
        Calendar(weekend=("Sun", day))


@pytest.mark.parametrize("date", ["25.12.2026", "2026-02-30", "Christmas", ""])
def test_an_impossible_date_is_refused_by_name(date):
    with pytest.raises(ConfigError, match=rf"site\.holidays: .* found '{date}'"):
        Calendar(holidays=("2026-01-01", date))
