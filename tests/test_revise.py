"""Profiles that are changed without training, and how two of them differ."""

from dataclasses import replace
from typing import Any

import make
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_ids.calendar import Calendar
from entropy_ids.config import Config
from entropy_ids.errors import InputError
from entropy_ids.features.catalog import Column
from entropy_ids.profile.revise import bounds_of, diff, moved_share, normal, retract
from entropy_ids.profile.store import Profile

A, B = "orig_h.all.renyi.1", "flows.all.log2"
HOUR = 7
"""The first minutes are of Sunday, 07:00 UTC."""
SETTINGS = Config({"judging.slot_minutes": (10, "the test")}).trained()


def learned(series: pd.DataFrame, **settings: Any) -> Profile:
    """Give the profile of training minutes, as training would."""
    manifest = {
        "sensor": "office",
        "range": {"first": "a", "last": "b", "minutes": len(series)},
        "columns": [name for name in (A, B) if name in series],
        "detector": "lstm-autoencoder",
        "settings": SETTINGS | settings,
        "threshold": 1.0,
    }
    bounds = bounds_of(series, manifest["columns"], Calendar(), manifest)
    setters = {"minute": series["minute"], "key": "pair", "value": "a/b"}
    return Profile(
        manifest,
        {"weight": np.ones((2, 2), np.float32)},
        {"mean": np.zeros(2)},
        bounds,
        pd.DataFrame(setters).assign(uids=[["C1"]] * len(series)),
        series,
        pd.DataFrame({"feature": ["orig_h"], "value": ["10.0.0.1"], "share": [0.25]}),
        "# none\n",
    )


def minutes(**columns: Any) -> pd.DataFrame:
    """Give 120 training minutes, all normal."""
    rng = np.random.default_rng(3)
    usual = {
        "minute": make.stamps(120),
        "score": rng.uniform(0, 1, 120),
        "coverage": "complete",
        "flows": 9,
        A: rng.normal(4, 0.3, 120).astype(np.float32),
        B: rng.normal(6, 0.3, 120).astype(np.float32),
    }
    return pd.DataFrame(usual | columns)


@pytest.fixture
def profile() -> Profile:
    return learned(minutes())


def at(bounds: pd.DataFrame, column: str = A, slot: int = 24 + HOUR) -> pd.Series:
    return bounds[(bounds["slot"] == slot) & (bounds["column"] == column)].iloc[0]


def stamp(minute: pd.Timestamp) -> int:
    return int(minute.timestamp())


# --------------------------------------------------------------------------- retract


def test_whole_minutes_up_to_the_threshold_are_normal():
    coverage = ["complete", "complete", "complete", "partial", "retracted"]
    score = [1.0, 1.1, np.nan, 0.5, 0.5]
    series = pd.DataFrame({"coverage": coverage, "score": score})
    assert normal(series, 1.0).tolist() == [True, False, False, False, False]


@pytest.mark.parametrize("side", ["low", "high"])
def test_retracting_who_set_a_bound_moves_it_to_the_next_minute(profile, side):
    setter = at(profile.bounds)[f"{side}_minute"]
    after = at(retract(profile, [stamp(setter)]).bounds)
    first = profile.series.head(60).set_index("minute")[A].drop(setter)
    assert after[side] == (first.min() if side == "low" else first.max())
    assert after[f"{side}_minute"] == (
        first.idxmin() if side == "low" else first.idxmax()
    )
    assert after["n"] == at(profile.bounds)["n"] - 1


def test_retracting_leaves_the_bounds_that_others_set(profile):
    setter = at(profile.bounds)["high_minute"]
    after = retract(profile, [stamp(setter)])
    same = ["low", "high", "low_minute", "high_minute"]
    assert setter not in at(profile.bounds, B)[same].tolist()
    pd.testing.assert_series_equal(
        at(after.bounds, B)[same], at(profile.bounds, B)[same]
    )


def test_retracting_keeps_network_threshold_usual_shares_and_setters(profile):
    after = retract(profile, [make.T0])
    assert after.manifest == profile.manifest
    for name in ("weights", "residual", "usual", "setters", "signatures_text"):
        assert getattr(after, name) is getattr(profile, name)
    scores = after.series.drop(columns="coverage")
    pd.testing.assert_frame_equal(scores, profile.series.drop(columns="coverage"))


def test_retracting_leaves_the_profile_that_was_given_as_it_was(profile):
    series, bounds = profile.series.copy(), profile.bounds.copy()
    retract(profile, [make.T0])
    pd.testing.assert_frame_equal(profile.series, series)
    pd.testing.assert_frame_equal(profile.bounds, bounds)


@settings(deadline=None, max_examples=15)
@given(st.sets(st.integers(0, 119), max_size=119))
def test_the_bounds_are_as_if_the_minutes_had_never_been_there(places):
    whole = minutes(score=np.linspace(0, 1.2, 120))
    kept = whole.drop(index=list(places))
    if normal(kept, 1.0).any():
        after = retract(learned(whole), [make.T0 + 60 * n for n in places])
        pd.testing.assert_frame_equal(after.bounds, learned(kept).bounds)


def test_minutes_may_be_retracted_one_after_the_other(profile):
    first, second = make.T0, make.T0 + 300
    both = retract(profile, [first, second])
    for order in ([first, second], [second, first], [first, second, first]):
        after = profile
        for minute in order:
            after = retract(after, [minute])
        pd.testing.assert_frame_equal(after.bounds, both.bounds)
        pd.testing.assert_frame_equal(after.series, both.series)


def test_retracting_a_minute_above_the_threshold_moves_no_bound():
    profile = learned(minutes(score=[2.0] + [0.5] * 119))
    after = retract(profile, [make.T0])
    pd.testing.assert_frame_equal(after.bounds, profile.bounds)


@pytest.mark.parametrize("minute", [make.T0 - 60, make.T0 + 120 * 60, make.T0 + 1, 0])
def test_a_minute_that_was_not_trained_on_is_refused(profile, minute):
    found = rf"found {pd.Timestamp(minute, unit='s'):%Y-%m-%dT%H:%MZ}; "
    trained = "trained on 2024-04-21T07:00Z to 2024-04-21T08:59Z"
    with pytest.raises(InputError, match=f"{found}the profile was {trained}"):
        retract(profile, [make.T0, minute])


def test_not_all_minutes_can_be_retracted(profile):
    with pytest.raises(InputError, match="found none"):
        retract(profile, [make.T0 + 60 * n for n in range(120)])


def test_a_retracted_profile_reads_back_from_disk(profile, tmp_path):
    before = profile.write(tmp_path / "p")
    after = retract(Profile.read(tmp_path / "p"), [make.T0, make.T0 + 60])
    digest = after.write(tmp_path / "p")
    read = Profile.read(tmp_path / "p")
    assert (read.hash, read.hash != before) == (digest, True)
    pd.testing.assert_frame_equal(read.bounds, after.bounds)
    pd.testing.assert_frame_equal(read.series, after.series)
    assert read.series["coverage"].eq("retracted").sum() == 2
    again = retract(read, [make.T0 + 120])
    assert again.series["coverage"].eq("retracted").sum() == 3


# ------------------------------------------------------------------------ difference


def test_a_profile_does_not_differ_from_itself(profile, tmp_path):
    profile.write(tmp_path / "p")
    for other in (profile, learned(minutes()), Profile.read(tmp_path / "p")):
        found = diff(profile, other)
        assert (found.manifest, found.columns) == ({}, [])
        assert list(found.bounds.columns) == ["column", "slots", "moved"]
        assert found.bounds.empty


def changed(profile: Profile, **parts: Any) -> Profile:
    return replace(profile, manifest={**profile.manifest, **parts})


def test_what_differs_of_settings_range_and_threshold_is_found(profile):
    other = changed(
        profile,
        settings={**profile.manifest["settings"], "judging.k": 1.5},
        range={**profile.manifest["range"], "minutes": 7},
        threshold=2.0,
    )
    assert diff(profile, other).manifest == {
        "threshold": (1.0, 2.0),
        "range.minutes": (120, 7),
        "judging.k": (1.25, 1.5),
    }


def test_a_setting_that_one_of_them_lacks_differs(profile):
    less = {k: v for k, v in profile.manifest["settings"].items() if k != "judging.k"}
    other = changed(profile, settings=less)
    assert diff(profile, other).manifest == {"judging.k": (1.25, None)}
    assert diff(other, profile).manifest == {"judging.k": (None, 1.25)}


def test_columns_of_one_only_are_named_and_the_others_compared(profile):
    other = learned(minutes().drop(columns=A).assign(**{B: minutes()[B] + 1}))
    for found in (diff(profile, other), diff(other, profile)):
        assert found.columns == [A]
        assert found.bounds["column"].tolist() == [B]


def naive_moved(one: pd.DataFrame, other: pd.DataFrame, column: str) -> list[float]:
    """Give, of each slot, the largest move of a bound in spans of the one profile."""
    moves = []
    for slot in range(48):
        a, b = at(one, column, slot), at(other, column, slot)
        span = max(a["high"] - a["low"], Column.named(column).resolution)
        move = max(abs(a["low"] - b["low"]), abs(a["high"] - b["high"])) / span
        moves += [move] if move else []
    return moves


def test_moved_bounds_are_those_of_the_slow_twin_the_furthest_first():
    rng = np.random.default_rng(8)
    one = learned(minutes())
    first = np.arange(120) < 60
    other = learned(minutes(**{A: minutes()[A] + first, B: rng.normal(9, 2, 120)}))
    found = diff(one, other).bounds
    assert found["column"].tolist() == [B, A]
    for row in found.itertuples():
        moves = naive_moved(one.bounds, other.bounds, row.column)
        assert (row.slots, row.moved) == (len(moves), pytest.approx(max(moves)))


def test_a_bound_of_a_column_that_never_changed_moves_in_steps_of_its_resolution():
    one, other = (learned(minutes(**{B: value})) for value in (4.0, 5.0))
    [row] = diff(one, other).bounds.itertuples()
    assert row.moved == pytest.approx(1 / Column.named(B).resolution)


def test_what_retracting_moved_is_a_difference_of_bounds_alone(profile):
    setter = stamp(at(profile.bounds)["high_minute"])
    found = diff(profile, retract(profile, [setter]))
    assert found.manifest == {}
    assert A in found.bounds["column"].tolist()


# ----------------------------------------------------------------------- moved share


def test_the_share_that_moved_is_of_bounds_off_by_more_than_their_span(profile):
    one, moved = profile.bounds, profile.bounds.copy()
    span = one["high"] - one["low"]
    moved.loc[:23, "high"] += 1.01 * span
    moved.loc[24:47, "low"] -= 0.99 * span
    other = replace(profile, bounds=moved)
    assert moved_share(profile, other) == pytest.approx(24 / len(one))


def test_a_profile_has_not_moved_from_itself(profile):
    assert moved_share(profile, profile) == 0


def test_bounds_that_only_one_of_them_knows_do_not_thin_out_what_moved(profile):
    moved = profile.bounds.assign(high=profile.bounds["high"] + 100)
    moved.loc[moved["column"] == B, ["low", "high"]] = np.nan
    assert moved_share(profile, replace(profile, bounds=moved)) == 1


def test_of_profiles_with_nothing_in_common_everything_has_moved():
    one, other = (learned(minutes().drop(columns=name)) for name in (A, B))
    assert moved_share(one, other) == 1
