"""Weeks of a generated office: what is unusual but no attack hardly costs an alarm.

One profile, of four weeks in winter, serves all days; about six minutes in all.
"""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from entropy_ids import learning
from entropy_ids.alarms.contributors import Seen
from entropy_ids.calendar import Calendar
from entropy_ids.collector import find_logs
from entropy_ids.config import Config
from entropy_ids.profile.bounds import Bounds, signs
from entropy_ids.profile.store import Profile
from entropy_ids.reading import Reading, read_series
from entropy_ids.replay import replay
from entropy_ids.simulate import midnight, schedule, simulate, usual
from entropy_ids.types import Alarm, EntropySeries

pytestmark = pytest.mark.slow

BERLIN = "Europe/Berlin"
GOOD_FRIDAY = dt.date(2026, 4, 3)
OFFICE = Calendar(BERLIN, holidays=(str(GOOD_FRIDAY),))
SETTINGS = (
    f"site.timezone={BERLIN}",
    f"site.holidays=['{GOOD_FRIDAY}']",
    "training.threads=1",
)
SEED = 5
DAY = dt.timedelta(days=1)
TRAINED, WATCHED = dt.date(2026, 2, 2), dt.date(2026, 3, 2)
WEEKS_DAYS = 28
THURSDAY = dt.date(2026, 3, 12)

Costs = Callable[..., list[Alarm]]


def office(out: Path, first: dt.date, days: int, **how: object) -> Path:
    simulate(
        out,
        days=days,
        start=first,
        seed=SEED,
        calendar=OFFICE,
        siblings=False,
        **how,  # type: ignore[arg-type]
    )
    return out


def midnight_in_berlin(day: dt.date) -> int:
    return int(dt.datetime.combine(day, dt.time(), ZoneInfo(BERLIN)).timestamp())


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    out = tmp_path_factory.mktemp("trained")
    logs = find_logs([office(out / "logs", TRAINED, WEEKS_DAYS)])
    config, seen = Config.load(overrides=SETTINGS, environment={}), Seen()
    series, _ = read_series(logs, config, Reading(), seen=seen)
    trained = learning.train(series, seen, config, "office", "lstm-autoencoder")
    trained.profile.write(out / "profile")
    return Profile.read(out / "profile")


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weeks after the training, as usual."""
    return office(tmp_path_factory.mktemp("weeks") / "logs", WATCHED, WEEKS_DAYS)


@pytest.fixture(scope="module")
def incidents_of(
    profile: Profile, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Path, Reading], list[Alarm]]:
    def play(logs: Path, reading: Reading) -> list[Alarm]:
        out = tmp_path_factory.mktemp("replayed") / "out"
        files = find_logs([logs])
        found = replay(
            files, profile, out, sensor="office", quiet_minutes=5, reading=reading
        )
        return found.incidents

    return play


@pytest.fixture(scope="module")
def costs(
    incidents_of: Callable[[Path, Reading], list[Alarm]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Costs:
    """Give the incidents of a day on the site's clocks, on which something is other.

    Half an hour before it counts too; the hour's first half is for the warm-up.
    """

    def of(day: dt.date, **how: object) -> list[Alarm]:
        logs = office(tmp_path_factory.mktemp("day") / "logs", day - DAY, 2, **how)
        since, until = midnight_in_berlin(day) - 3600, midnight_in_berlin(day + DAY)
        return incidents_of(logs, Reading(since=since, until=until))

    return of


@pytest.fixture(scope="module")
def as_usual(costs: Costs) -> list[Alarm]:
    return costs(THURSDAY)


# ------------------------------------------------------------ unusual, but no attack


@pytest.mark.parametrize("volume", [2.0, 0.5])
def test_another_volume_costs_at_most_one_incident_more_than_the_usual(
    costs: Costs, as_usual: list[Alarm], volume: float
) -> None:
    assert len(costs(THURSDAY, volume=volume)) <= len(as_usual) + 1


def test_a_holiday_that_the_calendar_knows_costs_at_most_one_incident(
    costs: Costs,
) -> None:
    assert len(costs(GOOD_FRIDAY)) <= 1


@pytest.mark.parametrize(
    "day",
    [
        pytest.param(dt.date(2026, 3, 29), id="spring"),
        pytest.param(dt.date(2026, 10, 25), id="autumn"),
    ],
)
def test_a_time_change_costs_at_most_one_incident(costs: Costs, day: dt.date) -> None:
    assert len(costs(day)) <= 1


def test_a_backup_moved_by_an_hour_costs_at_most_one_incident(costs: Costs) -> None:
    assert len(costs(THURSDAY, backup_h=2.5)) <= 1


def test_a_flash_crowd_is_not_called_a_ddos(costs: Costs) -> None:
    morning = midnight(THURSDAY) + 8 * 3600
    plans = [usual("flash-crowd")] * 3
    crowds = schedule(plans, morning, morning + 9 * 3600, seed=SEED)
    called = {
        alarm.class_name
        for alarm in costs(THURSDAY, attacks=crowds)
        for crowd in crowds
        if alarm.start < crowd.label.end and alarm.end > crowd.label.start
    }
    assert called <= {"flash-crowd", "unnamed-change"}


# ------------------------------------------------------------------------ the budget


def test_four_usual_weeks_cost_what_the_budget_says(
    profile: Profile,
    weeks: Path,
    incidents_of: Callable[[Path, Reading], list[Alarm]],
) -> None:
    low, high = profile.manifest["budget"]["interval"]
    assert low <= len(incidents_of(weeks, Reading())) / WEEKS_DAYS <= high


# ------------------------------------------------------------------------- the margin


@pytest.fixture(scope="module")
def usual_week(weeks: Path) -> EntropySeries:
    config = Config.load(overrides=SETTINGS, environment={})
    logs = find_logs([weeks / str(WATCHED + n * DAY) for n in range(7)])
    series, _ = read_series(logs, config, Reading())
    return series


def flagged(profile: Profile, series: EntropySeries, margin: str) -> float:
    """Give the share of minutes with a sign outside the bounds at k = 1.25."""
    bounds = Bounds(profile.bounds, 1.25, margin)
    rows = series.values[[column.name for column in bounds.columns]].to_numpy()
    slots = OFFICE.slots(pd.DatetimeIndex(series.values.index))
    found = [
        bool(signs(bounds.deviations(row, slot), bounds.columns, row))
        for row, slot in zip(rows, slots, strict=True)
    ]
    return sum(found) / len(found)


def test_the_published_margin_flags_most_usual_minutes(
    profile: Profile, usual_week: EntropySeries
) -> None:
    assert flagged(profile, usual_week, "published") > 0.5


def test_the_margin_by_span_flags_almost_no_usual_minutes(
    profile: Profile, usual_week: EntropySeries
) -> None:
    assert flagged(profile, usual_week, "span") < 0.01
