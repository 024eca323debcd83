import itertools
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make import COLUMNS, T0, covered, series, stamps
from naive import batch, end_of, traffic

from entropy_ids.alarms.contributors import Seen
from entropy_ids.alarms.incidents import iso
from entropy_ids.config import Config
from entropy_ids.daemon import checkpoint
from entropy_ids.detectors import DETECTORS
from entropy_ids.detectors.threshold import Budget, runs, top_percent
from entropy_ids.errors import ConfigError, InputError, ProfileError, StateError
from entropy_ids.features.assembler import Assembler
from entropy_ids.learning import Trained, train
from entropy_ids.models import detector_of
from entropy_ids.pipeline import Watch, WatchState, check_settings
from entropy_ids.profile.revise import retract
from entropy_ids.profile.store import Profile
from entropy_ids.reading import measure_of
from entropy_ids.settings import SETTINGS
from entropy_ids.types import Alarm, EntropySeries, Minutes

SMALL = {
    "training.epochs": 1,
    "training.threads": 1,  # two are slower in so small a network
    "detector.hidden": 8,
    "detector.latent": 4,
}
WINDOW, PERCENT = 5, 2.5
KIND = "lstm-autoencoder"


def config(**more: Any) -> Config:
    """Give settings for a tiny network; dots are spelled with ``__``."""
    given = SMALL | {"detector.window_min": WINDOW, "threshold.top_percent": PERCENT}
    given |= {key.replace("__", "."): value for key, value in more.items()}
    return Config({key: (value, "the test") for key, value in given.items()})


def made(of: EntropySeries, **more: Any) -> Trained:
    return train(of, Seen(), config(**more), "office", KIND)


@pytest.fixture(scope="module")
def year() -> EntropySeries:
    """Four hours whose first and last minute are not whole."""
    return covered(series(240), {0: "partial", 100: "flush", 239: "partial"})


@pytest.fixture(scope="module")
def trained(year: EntropySeries) -> Trained:
    return made(year)


# ---------------------------------------------------------------- train


@pytest.mark.parametrize("percent", [0.001, 0.57, 2.5, 10.0])
def test_exactly_the_share_of_scored_minutes_exceeds_the_threshold(year, percent):
    profile = made(year, threshold__top_percent=percent).profile
    scores = profile.series["score"].dropna()
    assert len(scores) == 240 - 3 - (WINDOW - 2)
    above = (scores > profile.manifest["threshold"]).sum()
    assert above == int(len(scores) * percent / 100 + 1e-9)


def test_bounds_are_set_by_minutes_at_or_below_the_threshold_alone(trained):
    profile = trained.profile
    table = profile.series.set_index("minute")
    normal = table[table["score"] <= profile.manifest["threshold"]]
    for row in profile.bounds.itertuples():
        assert row.low_minute in normal.index
        assert row.low == normal.loc[row.low_minute, row.column]
        assert row.high == normal.loc[row.high_minute, row.column]
        assert row.n <= len(normal)
    assert profile.manifest["range"]["normal"] == len(normal)


def test_a_strange_training_minute_does_not_widen_the_bounds(year):
    values = year.values.copy()
    values.iloc[50, 0] = 1_000.0
    profile = made(replace(year, values=values)).profile
    assert profile.series["score"].idxmax() == 50
    assert profile.bounds["high"][profile.bounds["column"] == COLUMNS[0]].max() < 100


def test_minutes_that_are_not_whole_set_no_bounds(year):
    values = year.values.copy()
    values.iloc[100, 0] = 1_000.0  # a flush
    profile = made(replace(year, values=values)).profile
    assert profile.bounds["high"][profile.bounds["column"] == COLUMNS[0]].max() < 100


@pytest.mark.parametrize(("known", "kept"), [(11, False), (12, True)])
def test_a_column_too_rarely_measurable_is_left_out_and_named(year, known, kept):
    values = year.values.copy()
    values.iloc[:, 2] = np.nan
    values.iloc[np.arange(1, 1 + 5 * known, 5), 2] = 1.0  # of 237 whole minutes
    result = made(replace(year, values=values))
    left = [] if kept else [COLUMNS[2]]
    assert result.left_out == left
    columns = [name for name in COLUMNS if name not in left]
    assert result.profile.manifest["columns"] == columns
    assert list(dict.fromkeys(result.profile.bounds["column"])) == columns


def test_what_minutes_that_are_not_whole_measured_keeps_no_column(year):
    broken = covered(year, dict.fromkeys(range(120, 200), "flush"))
    values = broken.values.copy()
    values.loc[broken.complete, COLUMNS[1]] = np.nan
    assert made(replace(broken, values=values)).left_out == [COLUMNS[1]]


def test_the_manifest_tells_the_range_it_was_trained_on(trained):
    span = dict(trained.profile.manifest["range"])
    normal = span.pop("normal")
    first, last = iso(T0), iso(T0 + 60 * 239)
    assert span == {"first": first, "last": last, "minutes": 240, "whole": 237}
    assert normal == 234 - int(234 * PERCENT / 100)


def test_the_manifest_is_json_without_a_path_or_a_wall_time(year, trained):
    manifest = trained.profile.manifest
    text = json.dumps(manifest)
    assert json.loads(text) == manifest
    assert "/" not in text
    assert json.dumps(made(year).profile.manifest) == text
    keys = "sensor range columns detector settings threshold budget remarks".split()
    assert list(manifest) == keys
    assert set(manifest["settings"]) == {s.key for s in SETTINGS if s.trained}


def test_a_profile_is_written_read_and_watched_with(trained, tmp_path):
    digest = trained.profile.write(tmp_path / "profile")
    stored = Profile.read(tmp_path / "profile")
    assert stored.hash == digest
    assert Watch(stored, "s", 5).threshold == trained.profile.manifest["threshold"]


@pytest.mark.parametrize("coverage", ["partial", "flush", "silent"])
def test_a_sensor_without_a_whole_minute_cannot_be_trained(coverage):
    none = covered(series(40), dict.fromkeys(range(40), coverage))
    with pytest.raises(InputError, match="whole minutes to train on, found none in 40"):
        made(none)


def test_too_few_whole_minutes_for_a_sequence_cannot_be_trained():
    with pytest.raises(InputError, match=f"at least {WINDOW} consecutive minutes"):
        made(series(WINDOW))


def test_a_detector_that_does_not_exist_is_named_with_those_that_do(year):
    with pytest.raises(ConfigError, match=r"lstm-autoencoder.*'oracle'"):
        train(year, Seen(), config(), "office", "oracle")
    for kind in DETECTORS:
        assert detector_of(config(), kind).window == WINDOW


# ---------------------------------------------------------------- budgets

BUDGET = {"threshold__alarms_per_day": 100.0}
HELD = [*range(60, 90), *range(180, 210)]
"""A fourth of four hours, in two blocks."""


@pytest.fixture(scope="module")
def budgeted(year: EntropySeries) -> Trained:
    return made(year, **BUDGET)


def incidents_held_out(profile: Profile) -> int:
    """Count, of the held-out minutes, the runs above the threshold."""
    held = profile.series.iloc[HELD]
    above = held["minute"][held["score"] > profile.manifest["threshold"]]
    return runs(pd.DatetimeIndex(above).as_unit("s").asi8, 5)


@pytest.mark.parametrize("per_day", [60.0, 100.0, 300.0])
def test_held_out_minutes_give_at_most_the_budget(year, per_day):
    profile = made(year, threshold__alarms_per_day=per_day).profile
    scored = profile.series["score"].iloc[HELD].notna().sum()
    assert incidents_held_out(profile) <= per_day * scored / 1440
    assert scored == len(HELD)


def test_the_manifest_tells_how_the_budget_was_met(budgeted):
    manifest = budgeted.profile.manifest
    assert json.loads(json.dumps(manifest)) == manifest
    budget = Budget(100.0, 60 / 1440, incidents_held_out(budgeted.profile), 0.0)
    assert manifest["budget"] == {
        "alarms_per_day": 100.0,
        "days": budget.days,
        "incidents": budget.incidents,
        "threshold": manifest["threshold"],
        "interval": list(budget.interval),
    }
    assert not any("budget" in remark for remark in manifest["remarks"])


def test_too_short_a_range_is_remarked_and_takes_the_highest_percent(trained):
    manifest = trained.profile.manifest
    assert manifest["budget"] is None
    scores = trained.profile.series["score"]
    assert manifest["threshold"] == top_percent(scores, PERCENT)
    remark = manifest["remarks"][-1]
    assert remark.startswith("the budget of 1 a day (threshold.alarms_per_day) cannot ")
    assert "train on 8 days or more" in remark
    assert f"{PERCENT:g} % of training minutes" in remark


def test_without_a_budget_there_is_no_remark_about_one(year, trained):
    manifest = made(year, threshold__alarms_per_day=0.0).profile.manifest
    assert manifest["budget"] is None
    assert manifest["threshold"] == trained.profile.manifest["threshold"]
    assert manifest["remarks"] == trained.profile.manifest["remarks"][:-1]


def test_a_range_as_long_as_the_remark_asks_for_meets_the_budget(year):
    short = made(year, threshold__alarms_per_day=8.0).profile.manifest
    assert "train on 1 day" in short["remarks"][-1]
    day = covered(series(1440), {0: "partial", 1439: "partial"})
    assert made(day, threshold__alarms_per_day=8.0).profile.manifest["budget"]


def strange(year: EntropySeries, place: int) -> EntropySeries:
    values = year.values.copy()
    values.iloc[place, 0] = 1_000.0
    return replace(year, values=values)


def tensors_of(profile: Profile) -> list[tuple[str, bytes]]:
    both = {**profile.weights, **profile.residual}
    return [(name, value.tobytes()) for name, value in both.items()]


def test_a_strange_held_out_minute_leaves_what_was_learned_unchanged(year, budgeted):
    other = made(strange(year, 70), **BUDGET).profile
    assert tensors_of(other) == tensors_of(budgeted.profile)
    scores = [p.series["score"] for p in (budgeted.profile, other)]
    before = slice(None, 70)
    assert scores[0][before].equals(scores[1][before])
    assert scores[1][70] > 2 * scores[0].max()


def test_a_strange_minute_that_is_not_held_out_changes_what_is_learned(year, budgeted):
    other = made(strange(year, 110), **BUDGET).profile
    assert tensors_of(other) != tensors_of(budgeted.profile)


def test_held_out_minutes_with_a_low_error_set_bounds_too(budgeted):
    setters = set(budgeted.profile.bounds["low_minute"])
    assert not setters.isdisjoint(budgeted.profile.series["minute"].iloc[HELD])


# ---------------------------------------------------------------- watch


LENGTH, SCAN, EMPTY, STEP = 45, 25, 18, 36


def scan(minute: int) -> list[dict]:
    """Give connections of one stranger to many ports of one host."""
    start = (minute + 30) * 1_000_000
    return [
        one
        | {"ts": start + k, "duration": 0, "uid": f"S{k}", "conn_state": "S0"}
        | {"id.orig_h": "203.0.113.9", "id.resp_h": "192.0.2.1", "id.resp_p": k}
        | {"proto": "tcp", "service": None, "local_orig": False, "local_resp": True}
        for k, one in enumerate(traffic(0, minute, 300))
    ]


def site(minutes: int, seed: int, strange: Iterable[int] = ()) -> Minutes:
    """Give the minutes of a small site; those in ``strange`` hold a scan besides."""
    rows = []
    for n in range(minutes):
        more = scan(T0 + 60 * n) if n in strange else []
        rows += sorted([*traffic(seed + n, T0 + 60 * n, 40), *more], key=end_of)
    for n, row in enumerate(rows):
        row["uid"] = row["uid"] if row["uid"][0] == "S" else f"C{n}"
    assembler = Assembler()
    closed = [*assembler.push("", batch(rows)), *assembler.finish()]
    return joined(closed)


def joined(parts: list[Minutes]) -> Minutes:
    tables = {
        name: pl.concat([part.tables[name] for part in parts])
        for name in parts[0].tables
    }
    index, rows = (pl.concat([getattr(p, n) for p in parts]) for n in ("index", "rows"))
    return Minutes(index, tables, rows)


def cut(minutes: Minutes, at: Iterable[int]) -> list[Minutes]:
    """Cut before the minutes at these positions."""
    bounds = sorted({0, minutes.index.height, *at})
    parts = []
    for start, stop in itertools.pairwise(bounds):
        index = minutes.index[start:stop]
        here = pl.col("minute").is_in(index["minute"].implode())
        tables = {name: table.filter(here) for name, table in minutes.tables.items()}
        parts.append(Minutes(index, tables, minutes.rows.filter(here)))
    return parts


@pytest.fixture(scope="module")
def profile() -> Profile:
    seen, quiet = Seen(), site(300, seed=1_000)
    seen.add(quiet)
    measured = measure_of(config())(quiet)
    return train(measured, seen, config(), "office", KIND).profile


@pytest.fixture(scope="module")
def day() -> Minutes:
    """A while with a scan, and a clock that is anchored anew later."""
    day = site(LENGTH, seed=9_000, strange=[SCAN])
    epoch = (pl.int_range(pl.len()) >= STEP).cast(pl.Int64)
    return replace(day, index=day.index.with_columns(epoch=epoch))


def test_who_set_a_bound_is_a_value_of_its_minute_with_its_uids(profile):
    rows = site(300, seed=1_000).rows
    setters = profile.setters[profile.setters["key"] == "orig_h"]
    assert len(setters)
    assert set(setters["minute"]) <= {
        *profile.bounds["low_minute"],
        *profile.bounds["high_minute"],
    }
    for one in setters.itertuples():
        minute = pl.col("minute") == int(one.minute.timestamp())
        here = rows.filter(minute, pl.col("id.orig_h") == one.value)
        assert here["uid"].head(3).to_list() == list(one.uids)


def watched(profile: Profile, parts: list[Minutes]) -> tuple[pd.DataFrame, list[Alarm]]:
    watch = Watch(profile, "office", 5)
    found = [watch.push(part) for part in parts]
    return pd.concat([t for t, _ in found]), [a for _, some in found for a in some]


@pytest.fixture(scope="module")
def at_once(profile: Profile, day: Minutes) -> tuple[pd.DataFrame, list[Alarm]]:
    return watched(profile, cut(day, [STEP]))


def with_manifest(profile: Profile, **parts: Any) -> Profile:
    return replace(profile, manifest={**profile.manifest, **parts})


def same(one: Any, other: Any) -> None:
    pd.testing.assert_frame_equal(
        one[0].reset_index(drop=True), other[0].reset_index(drop=True), check_exact=True
    )
    assert one[1] == other[1]


def test_minutes_pushed_one_at_a_time_give_the_same_bits(profile, day, at_once):
    same(watched(profile, cut(day, range(LENGTH))), at_once)


@settings(max_examples=6, deadline=None)
@given(at=st.sets(st.integers(1, LENGTH - 1), max_size=12))
def test_minutes_pushed_in_any_chunks_give_the_same_bits(profile, day, at_once, at):
    same(watched(profile, cut(day, at | {STEP})), at_once)


def test_the_scan_is_an_alarm_that_names_who_scanned(at_once):
    minute = T0 + 60 * SCAN
    alarms = [a for a in at_once[1] if a.start <= minute < a.end]
    assert alarms
    values = {(c.feature, c.value) for a in alarms for c in a.contributors}
    assert ("orig_h", "203.0.113.9") in values


def first_alarms(alarms: list[Alarm]) -> list[Alarm]:
    """Give the alarms that opened an incident: they tell of one minute."""
    return [alarm for alarm in alarms if alarm.state == "open"]


def test_contributors_and_uids_are_of_the_rows_of_their_minute(profile, day):
    restless = replace(profile, manifest={**profile.manifest, "threshold": 0.0})
    alarms = first_alarms(watched(restless, cut(day, range(0, LENGTH, 7)))[1])
    assert any(alarm.uids for alarm in alarms)
    for alarm in alarms:
        rows = day.rows.filter(pl.col("minute") == alarm.start)
        assert set(alarm.uids) <= set(rows["uid"])
        assert bool(alarm.uids) == bool(alarm.contributors)
        assert alarm.flows == rows.height
        for who in alarm.contributors:
            if who.feature in ("orig_h", "resp_h"):
                here = rows.filter(pl.col(f"id.{who.feature}") == who.value)
                assert (here.height, here.height / rows.height) == (
                    who.flows,
                    who.share,
                )


def test_the_uids_are_those_of_the_leading_contributor(at_once):
    (alarm,) = [a for a in first_alarms(at_once[1]) if a.start == T0 + 60 * SCAN]
    assert alarm.uids == tuple(f"S{k}" for k in range(100))


@pytest.mark.parametrize("coverage", ["partial", "flush", "silent"])
def test_a_minute_that_is_not_complete_is_never_an_alarm(profile, day, coverage):
    here = pl.col("minute") == T0 + 60 * SCAN
    marks = pl.when(here).then(pl.lit(coverage)).otherwise("coverage")
    index = day.index.with_columns(coverage=marks)
    table, alarms = watched(profile, cut(replace(day, index=index), [STEP]))
    assert np.isnan(table["score"].iloc[SCAN])
    assert T0 + 60 * SCAN not in {alarm.start for alarm in first_alarms(alarms)}


def test_minutes_that_warm_up_have_no_score_after_a_clock_step_too(at_once):
    warming = np.flatnonzero(at_once[0]["score"].isna())
    partial = np.flatnonzero(at_once[0]["coverage"] != "complete")
    first, later = range(WINDOW - 1), range(STEP, STEP + WINDOW - 1)
    assert set(warming) == {*first, *later, *partial}


def test_a_strange_minute_whose_signs_are_all_inside_is_an_unnamed_change(
    profile, day, at_once
):
    wide = profile.bounds.assign(low=-1e6, high=1e6)
    below = 0.99 * at_once[0]["score"].iloc[SCAN]
    by_sign = '[[signature]]\nclass = "port-scan"\nall = ["pair_ports high 5"]\n'
    deaf = replace(profile, bounds=wide, signatures_text=by_sign)
    deaf = with_manifest(deaf, threshold=below)
    (alarm,) = first_alarms(watched(deaf, cut(day, [STEP]))[1])
    assert alarm.start == T0 + 60 * SCAN
    assert alarm.class_name == "unnamed-change"
    assert alarm.deviations == ()
    assert alarm.contributors


def test_what_was_retracted_no_longer_widens_what_is_judged_by(profile, day, at_once):
    opened = {alarm.start: alarm for alarm in first_alarms(at_once[1])}
    kept = pd.DatetimeIndex(profile.series["minute"]).as_unit("s").asi8
    _, alarms = watched(retract(profile, kept[40:].tolist()), cut(day, [STEP]))
    narrow = first_alarms(alarms)
    assert [a.score for a in narrow] == [a.score for a in opened.values()]
    for alarm in narrow:
        assert len(alarm.deviations) >= len(opened[alarm.start].deviations)
    assert any(a.deviations != opened[a.start].deviations for a in narrow)


def test_a_minute_without_a_connection_can_be_judged(profile, day):
    kept = day.rows.filter(pl.col("minute") != T0 + 60 * EMPTY)["minute"].unique()
    here = pl.col("minute").is_in(kept.implode())
    flows = pl.when(here).then("flows").otherwise(0)
    tables = {name: table.filter(here) for name, table in day.tables.items()}
    index = day.index.with_columns(flows=flows)
    less = Minutes(index, tables, day.rows.filter(here))
    _, alarms = watched(profile, cut(less, [STEP]))
    (alarm,) = [a for a in first_alarms(alarms) if a.start == T0 + 60 * EMPTY]
    assert (alarm.flows, alarm.contributors, alarm.uids) == (0, (), ())


# ---------------------------------------------------------------- what is kept


@pytest.fixture(scope="module")
def busy() -> Minutes:
    """A while with two incidents."""
    return site(LENGTH, seed=9_000, strange=[12, 13, 30])


def stopped(watch: Watch, profile: Profile, path: Path) -> Watch:
    """Give another watch that goes on from a checkpoint of this one."""
    checkpoint.write(path, watch.state())
    other = Watch(profile, "office", 5)
    other.restore(checkpoint.read(path, WatchState).document)
    return other


def test_going_on_from_a_checkpoint_at_any_minute_says_the_same(
    profile, busy, tmp_path
):
    expected = watched(profile, cut(busy, []))
    assert len({alarm.id for alarm in expected[1]}) >= 2
    watch, found = Watch(profile, "office", 5), []
    for minute in cut(busy, range(LENGTH)):
        found.append(watch.push(minute))
        watch = stopped(watch, profile, tmp_path / "checkpoint")
    alarms = [alarm for _, some in found for alarm in some]
    same((pd.concat([table for table, _ in found]), alarms), expected)
    assert repr(alarms) == repr(expected[1])


def test_a_state_is_a_copy_that_later_minutes_do_not_change(profile, busy):
    watch = Watch(profile, "office", 5)
    first, *rest = cut(busy, [13, 31])
    watch.push(first)
    state = watch.state()
    before = repr(state)
    for minutes in rest:
        watch.push(minutes)
    assert repr(state) == before
    assert state.incidents


def test_a_state_of_other_columns_is_refused(profile, trained, busy):
    watch = Watch(profile, "office", 5)
    watch.push(busy)
    with pytest.raises(StateError, match=f"the profile's {len(COLUMNS)} columns"):
        Watch(trained.profile, "office", 5).restore(watch.state())


def test_a_watch_that_relieves_another_goes_on_with_its_incidents(profile, busy):
    first, rest = cut(busy, [13])
    before, after = (Watch(profile, "office", 5) for _ in range(2))
    _, opened = before.push(first)
    after.relieve(before)
    table, alarms = after.push(rest)
    expected = watched(profile, [first, rest])
    assert opened + alarms == expected[1]
    assert table["score"].notna().sum() == len(table) - 1  # the last is partial


def test_a_watch_of_other_columns_begins_without_the_last_minutes(
    profile, trained, busy
):
    before, after = Watch(profile, "office", 5), Watch(trained.profile, "office", 5)
    before.push(busy)
    after.relieve(before)
    assert after.state().tail is None
    assert after.state().incidents == before.state().incidents


def test_quiet_minutes_may_change_while_watching(profile):
    watch = Watch(profile, "office", 5)
    watch.quiet_minutes = 9
    assert watch.quiet_minutes == 9


# ---------------------------------------------------------------- lost packets


def test_a_lossy_minute_is_scored_and_judged_as_a_complete_one(profile, day, at_once):
    here = pl.col("minute") == T0 + 60 * SCAN
    marks = pl.when(here).then(pl.lit("lossy")).otherwise("coverage")
    index = day.index.with_columns(coverage=marks)
    table, alarms = watched(profile, cut(replace(day, index=index), [STEP]))
    assert table["coverage"].iloc[SCAN] == "lossy"
    same(
        (table.drop(columns="coverage"), alarms),
        (at_once[0].drop(columns="coverage"), at_once[1]),
    )


@pytest.mark.parametrize("budget", [{}, {"threshold__alarms_per_day": 100.0}])
def test_a_lossy_minute_is_not_trained_on_nor_part_of_bounds(year, budget):
    values = year.values.copy()
    values.iloc[[70, 100], 0] = 1_000.0  # 70 is held out when there is a budget
    odd = replace(year, values=values)
    lossy, partial = (
        made(covered(odd, {70: mark, 100: mark}), **budget).profile
        for mark in ("lossy", "partial")
    )
    assert tensors_of(lossy) == tensors_of(partial)
    assert lossy.manifest == partial.manifest
    pd.testing.assert_frame_equal(lossy.bounds, partial.bounds)


# ---------------------------------------------------------------- what is refused


def test_the_table_of_minutes_begins_with_what_is_not_a_column(profile, at_once):
    head = ["minute", "score", "threshold", "coverage", "flows"]
    assert list(at_once[0].columns) == head + profile.manifest["columns"]
    assert (at_once[0]["threshold"] == profile.manifest["threshold"]).all()
    assert (at_once[0]["minute"] == stamps(LENGTH)).all()


def test_a_profile_of_an_unknown_detector_is_refused(trained):
    with pytest.raises(ProfileError, match="'oracle'"):
        Watch(with_manifest(trained.profile, detector="oracle"), "s", 5)


@pytest.mark.parametrize(
    "key", ["sensor", "columns", "detector", "settings", "threshold"]
)
def test_a_profile_whose_manifest_lacks_a_key_is_refused(trained, key):
    manifest = {k: v for k, v in trained.profile.manifest.items() if k != key}
    with pytest.raises(ProfileError, match=key):
        Watch(replace(trained.profile, manifest=manifest), "s", 5)


@pytest.mark.parametrize(
    "key",
    ["entropy.rarefy_to", "judging.k", "detector.hidden", "site.local_networks"],
)
def test_a_profile_whose_settings_lack_a_key_is_refused(trained, key):
    kept = {k: v for k, v in trained.profile.manifest["settings"].items() if k != key}
    with pytest.raises(ProfileError, match=key):
        Watch(with_manifest(trained.profile, settings=kept), "s", 5)


@pytest.mark.parametrize(
    "parts",
    [
        {"threshold": "high"},
        {"threshold": None},
        {"columns": [1, 2]},
        {"columns": ["no.such.column"]},
        {"settings": []},
    ],
)
def test_a_profile_whose_manifest_holds_nonsense_is_refused(trained, parts):
    with pytest.raises(ProfileError):
        Watch(with_manifest(trained.profile, **parts), "s", 5)


def test_a_profile_with_bounds_of_other_columns_is_refused(trained):
    bounds = trained.profile.bounds
    for wrong in (
        bounds[bounds["column"] != COLUMNS[0]],
        bounds.iloc[::-1],
        bounds.replace(COLUMNS[0], "orig_h.all.renyi.2"),
        bounds.drop(columns="low"),
    ):
        with pytest.raises(ProfileError):
            Watch(replace(trained.profile, bounds=wrong), "s", 5)


OTHER = {
    "site.timezone": "Europe/Berlin",
    "site.weekend": ["Fri"],
    "site.holidays": ["2026-12-25"],
    "site.local_networks": ["10.0.0.0/8"],
    "entropy.kind": "tsallis",
    "entropy.alphas": [1, 2],
    "detector.join": "whitened",
    "training.learning_rate": 0.5,
    "threshold.top_percent": 1.0,
    "judging.k": 1.75,
}
NUMBERS = [s.key for s in SETTINGS if s.trained and isinstance(s.default, int)]


@pytest.mark.parametrize("key", [*OTHER, *NUMBERS])
def test_a_trained_setting_that_differs_is_refused_by_name(trained, key):
    given = Config({key: (OTHER.get(key, 50), "the test")})
    with pytest.raises(ProfileError, match=f"^{key}: expected"):
        check_settings(trained.profile, given)


@pytest.mark.parametrize("key", [s.key for s in SETTINGS if s.trained])
def test_a_trained_setting_given_as_it_was_is_taken(trained, key):
    value = trained.profile.manifest["settings"][key]
    check_settings(trained.profile, Config({key: (value, "the test")}))


def test_settings_that_are_not_trained_may_be_others(trained):
    given = ["site.name=x", "incidents.quiet_minutes=9", "reading.block_kib=1"]
    check_settings(trained.profile, Config.load(overrides=given, environment={}))
    check_settings(trained.profile, Config.load(environment={}))


def test_the_settings_of_a_damaged_manifest_are_refused(trained, tmp_path: Path):
    manifest = {"sensor": "office"}
    with pytest.raises(ProfileError):
        check_settings(replace(trained.profile, manifest=manifest), config())
