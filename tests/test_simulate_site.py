"""The generated office: who talks when, by the site's own clocks, and how much."""

import datetime as dt
import os
import subprocess
import sys
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from entropy_ids.calendar import DAYS, Calendar
from entropy_ids.errors import ConfigError
from entropy_ids.simulate.hosts import address_of
from entropy_ids.simulate.rhythm import WEEKDAY, WEEKEND, Clock, activity, drift
from entropy_ids.simulate.site import Site

FRIDAY, SATURDAY = dt.date(2026, 3, 6), dt.date(2026, 3, 7)
TUESDAY = dt.date(2026, 3, 10)
SPRING, AUTUMN = dt.date(2026, 3, 29), dt.date(2026, 10, 25)
BERLIN = Calendar("Europe/Berlin")
EVERY_DAY_A_WORKING_DAY = Calendar("Europe/Berlin", weekend=())


@pytest.fixture(scope="module")
def friday() -> pl.DataFrame:
    return Site(5).day(FRIDAY)


def instants(date: dt.date) -> list[dt.datetime]:
    midnight = dt.datetime.combine(date, dt.time(), dt.UTC)
    return [midnight + dt.timedelta(minutes=i) for i in range(1440)]


def per_minute(flows: pl.DataFrame, date: dt.date) -> np.ndarray:
    midnight = instants(date)[0].timestamp()
    return np.histogram(flows["ts"], midnight + 60.0 * np.arange(1441))[0]


def to(flows: pl.DataFrame, address: str, port: int) -> pl.DataFrame:
    where = (pl.col("id.resp_h") == address) & (pl.col("id.resp_p") == port)
    return flows.filter(where)


def backup_minutes(site: Site, date: dt.date) -> list[str]:
    """The UTC minutes in which the backup server is at work."""
    flows = site.day(date).filter(pl.col("id.resp_p") == 9102)
    busy = np.flatnonzero(per_minute(flows, date))
    return [f"{instants(date)[i]:%H:%M}" for i in busy]


def test_a_day_holds_only_flows_that_begin_on_it(friday):
    midnight = instants(FRIDAY)[0].timestamp()
    assert midnight <= friday["ts"].min() < midnight + 60
    assert midnight + 86_340 < friday["ts"].max() < midnight + 86_400
    assert friday["ts"].is_sorted()


def test_a_day_does_not_depend_on_what_was_drawn_before(friday):
    site = Site(5)
    site.day(SATURDAY)
    assert site.day(FRIDAY).equals(friday)
    assert not Site(6).day(FRIDAY).equals(friday)


def test_a_day_does_not_depend_on_how_python_hashes():
    code = (
        "import datetime as dt, hashlib, sys;"
        "from entropy_ids.simulate.site import Site;"
        "flows = Site(5, volume=0.05).day(dt.date(2026, 3, 6)).write_csv();"
        "sys.stdout.write(hashlib.sha256(flows.encode()).hexdigest())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert len(runs[0]) == 64
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("zone", "date"),
    [
        ("Europe/Berlin", SPRING),
        ("Europe/Berlin", AUTUMN),
        ("America/New_York", dt.date(2026, 3, 8)),
        ("America/New_York", dt.date(2026, 11, 2)),
        ("Asia/Kolkata", FRIDAY),
        ("Pacific/Auckland", FRIDAY),
        ("Australia/Lord_Howe", dt.date(2026, 10, 3)),
    ],
)
def test_activity_is_read_off_the_sites_own_clocks(zone, date):
    expected = []
    for instant in instants(date):
        local = instant.astimezone(ZoneInfo(zone))
        curve = WEEKEND if local.weekday() >= 5 else WEEKDAY
        hour = local.hour + local.minute / 60
        expected.append(np.interp(hour, list(curve), list(curve.values())))
    found = activity(Clock.of(Calendar(zone), date, 1))
    np.testing.assert_allclose(found, expected)


def test_the_office_wakes_an_hour_earlier_on_the_day_clocks_go_forward():
    site = Site(5, EVERY_DAY_A_WORKING_DAY)
    before, after = SPRING - dt.timedelta(days=1), SPRING
    waking = [
        per_minute(site.day(day), day)[6 * 60 : 7 * 60] for day in (before, after)
    ]
    assert waking[1].mean() > 1.5 * waking[0].mean()


def test_the_office_wakes_an_hour_later_on_the_day_clocks_go_back():
    site = Site(5, EVERY_DAY_A_WORKING_DAY)
    before, after = AUTUMN - dt.timedelta(days=1), AUTUMN
    waking = [
        per_minute(site.day(day), day)[6 * 60 : 7 * 60] for day in (before, after)
    ]
    assert waking[1].mean() < waking[0].mean() / 1.5


def test_a_holiday_looks_like_a_weekend(friday):
    holiday = Site(5, Calendar(holidays=("2026-03-06",))).day(FRIDAY)
    saturday = Site(5).day(SATURDAY)
    assert 0.8 < len(holiday) / len(saturday) < 1.25
    assert len(friday) > 1.8 * len(holiday)


def test_a_weekend_begins_at_local_midnight():
    site = Site(5, Calendar("Asia/Tokyo", weekend=("Sat",)))
    counts = per_minute(site.day(SATURDAY), SATURDAY)
    saturday_noon, sunday_morning = counts[2 * 60 : 4 * 60], counts[-30:]
    assert DAYS[SATURDAY.weekday()] == "Sat"
    assert sunday_morning.mean() > 2 * saturday_noon.mean()


def test_a_weekday_is_some_hundred_thousand_flows_of_some_hundred_hosts(friday):
    staff = friday.filter(pl.col("id.orig_h").str.contains(r"^10\.20\.[12]\."))
    printers = friday.filter(pl.col("id.resp_h").str.starts_with("10.20.5."))
    assert 90_000 < len(friday) < 140_000
    assert 250 <= staff["id.orig_h"].n_unique() <= 350
    assert printers["id.resp_h"].n_unique() == 24


def test_backup_runs_forty_minutes_at_half_past_one_local_time():
    minutes = backup_minutes(Site(5, BERLIN), FRIDAY)
    assert minutes[0] == "00:30"
    assert minutes[-1] == "01:09"
    assert len(minutes) >= 35


def test_backup_moves_with_its_hour():
    minutes = backup_minutes(Site(5, BERLIN, backup_h=23.75), FRIDAY)
    assert minutes[0] == "22:45"
    assert minutes[-1] == "23:24"


def test_backup_is_a_few_connections_of_gigabytes(friday):
    saved = to(friday, "10.20.0.90", 9103)
    assert 2 <= len(saved) <= 30
    assert saved["orig_bytes"].sum() > 5e9


def test_backup_runs_once_in_the_hour_that_autumn_repeats():
    site = Site(5, Calendar("America/New_York"))
    minutes = backup_minutes(site, dt.date(2026, 11, 1))
    assert minutes[0] == "05:30"
    assert minutes[-1] == "06:09"


def test_updates_run_on_tuesday_night(friday):
    tuesday = to(Site(5, BERLIN).day(TUESDAY), "10.20.0.72", 8530)
    counts = per_minute(tuesday, TUESDAY)
    assert counts[2 * 60 : 3 * 60].sum() == len(tuesday) > 1000
    assert to(friday, "10.20.0.72", 8530).is_empty()


def test_the_inventory_runs_at_minute_zero_of_every_local_hour():
    polls = Site(5, Calendar("Asia/Kolkata")).day(FRIDAY)
    where = (pl.col("id.orig_h") == "10.20.0.161") & (pl.col("service") == "snmp")
    counts = per_minute(polls.filter(where), FRIDAY)
    assert np.flatnonzero(counts).tolist() == list(range(30, 1440, 60))


def test_volume_doubles_the_flows(friday):
    double = Site(5, volume=2.0).day(FRIDAY)
    assert 1.9 < len(double) / len(friday) < 2.1


def test_drift_is_slow_and_stays_within_a_tenth():
    phases = np.random.default_rng(3).uniform(0, 2 * np.pi, (2, 50))
    factors = np.array([drift(day, phases) for day in range(739_000, 739_400)])
    assert 0.9 < factors.min() < 0.92
    assert 1.08 < factors.max() < 1.11
    assert np.abs(np.diff(factors, axis=0)).max() < 0.03


def test_what_is_popular_changes_within_weeks_not_days():
    site = Site(5)
    web = pl.col("name").str.contains(r"^w\d") & (pl.col("service") == "ssl")
    days = [site.day(FRIDAY + dt.timedelta(days=i)) for i in (0, 3, 28)]
    today, soon, later = (
        day.filter(web)["name"].value_counts(sort=True).head(400)["name"]
        for day in days
    )
    assert today.is_in(soon).sum() > today.is_in(later).sum()


def test_counts_vary_more_than_poisson(friday):
    noon = per_minute(friday, FRIDAY)[10 * 60 : 11 * 60]
    assert noon.var() > 1.5 * noon.mean()
    assert noon.std() < 0.4 * noon.mean()


def test_a_web_visit_is_a_burst_of_one_client(friday):
    web = friday.filter(
        (pl.col("id.resp_p") == 443) & pl.col("id.resp_h").str.starts_with("198.18.")
    )
    pause = web.select(pl.col("ts").diff().over("id.orig_h")).to_series()
    assert 0.4 < (pause < 2).mean() < 0.9


def test_most_servers_of_a_visit_are_looked_up_just_before(friday):
    web = pl.col("name").str.contains(r"^w\d") & (pl.col("service") == "ssl")
    lookups = friday.filter(pl.col("service") == "dns").select(
        "ts", "id.orig_h", "name"
    )
    asked = (
        friday.filter(web)
        .unique(["id.orig_h", "name"], keep="first", maintain_order=True)
        .join(lookups, on=["id.orig_h", "name"], suffix="_asked")
        .with_columns(ahead=pl.col("ts") - pl.col("ts_asked"))
        .filter(pl.col("ahead").is_between(0.0199, 0.5001))
    )
    first = friday.filter(web).select("id.orig_h", "name").n_unique()
    assert 0.5 < asked.select("id.orig_h", "name").n_unique() / first < 0.8


def test_every_name_belongs_to_nobody_and_to_one_address(friday):
    named = friday.filter(pl.col("name").is_not_null() & (pl.col("name") != "OFFICE"))
    assert named["name"].str.contains(r"\.example(\.(net|com|org))?$").all()
    direct = named.filter(pl.col("service").is_in(["ssl", "smtp"]))
    found = direct.select(address=address_of(pl.col("name")))["address"]
    assert (found == direct["id.resp_h"]).all()


def test_only_flows_whose_logs_hold_a_name_have_one(friday):
    with_name = friday.filter(pl.col("name").is_not_null())
    assert set(with_name["service"].drop_nulls()) == {"dns", "http", "ssl", "smtp"}


def test_some_logins_fail_outside_and_inside(friday):
    logins = friday.filter(pl.col("failed").is_not_null())
    assert set(logins["service"]) == {"ssh", "http"}
    ssh = friday.filter(pl.col("service") == "ssh")
    assert ssh["failed"].null_count() == 0
    inside = ssh.filter(pl.col("local_orig") == "T")["failed"].mean()
    assert 0.005 < inside < 0.15
    assert ssh.filter(pl.col("local_orig") == "F")["failed"].all()


@pytest.mark.parametrize(
    "setting", [{"volume": 0.0}, {"volume": float("nan")}, {"backup_h": 24.0}]
)
def test_a_setting_out_of_range_is_refused(setting):
    with pytest.raises(ConfigError, match=r"expected a .* found"):
        Site(5, **setting)
