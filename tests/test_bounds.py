"""Bounds of the slots, what lies outside them, and the one sign of each feature."""

import make
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_ids.calendar import SLOTS, Calendar
from entropy_ids.errors import InputError
from entropy_ids.features.catalog import Column
from entropy_ids.profile.bounds import (
    MARGINS,
    Bounds,
    bound_setters,
    learn,
    setter_key,
    signs,
    sizes,
)

ENTROPY, SIZE = "orig_h.all.renyi.1", "flows.all.log2"
NAMES = [Calendar.name(slot) for slot in range(SLOTS)]
WEEKDAY, WEEKEND = 0, 24


def table_of(values: list, slots: list[int], slot_minutes: int = 1) -> pd.DataFrame:
    """Learn bounds of one column (or several, as rows) over consecutive minutes."""
    rows = np.array(values, float).reshape(len(slots), -1)
    columns = [ENTROPY, SIZE, "resp_h.all.rarefied.0"][: rows.shape[1]]
    frame = pd.DataFrame(rows, index=make.stamps(len(slots)), columns=columns)
    return learn(frame, np.array(slots), np.arange(len(slots)), slot_minutes)


def bounds_of(
    low: float, high: float, k: float, name: str = ENTROPY, margin: str = "span"
) -> Bounds:
    columns = {"slot": range(SLOTS), "column": name, "low": low, "high": high}
    return Bounds(pd.DataFrame(columns), k, margin)


def sign_at(bounds: Bounds, value: float) -> str:
    """Give the sign of a value, or ``inside``."""
    found = bounds.deviations(np.array([value]), 0)
    return found[0].sign if found else "inside"


def at(table: pd.DataFrame, slot: int, column: str = ENTROPY) -> pd.Series:
    return table[(table["slot"] == slot) & (table["column"] == column)].iloc[0]


# ----------------------------------------------------------------------- learning


def naive_rows(slots: list[int], slot: int, wanted: int) -> list[int]:
    """The slot's minutes, then those of hours further away, then of both day types."""
    day_type, hour = divmod(slot, 24)
    for types in ([day_type], [0, 1]):
        for reach in range(13):
            hours = [(hour + step) % 24 for step in range(-reach, reach + 1)]
            rows = [
                row
                for row, found in enumerate(slots)
                if found // 24 in types and found % 24 in hours
            ]
            if len(rows) >= wanted:
                return rows
    return list(range(len(slots)))


def naive_bounds(values: list, rows: list[int], place: int) -> list:
    known = [row for row in rows if values[row][place] == values[row][place]]
    if not known:
        return [None, None, 0]
    low = min(known, key=lambda row: (values[row][place], row))
    high = min(known, key=lambda row: (-values[row][place], row))
    return [low, high, len(known)]


VALUE = st.one_of(st.just(float("nan")), st.integers(-3, 3).map(float), st.floats(0, 9))
MINUTES = st.lists(
    st.tuples(st.integers(0, SLOTS - 1), st.tuples(VALUE, VALUE)),
    min_size=1,
    max_size=40,
)


@settings(deadline=None, max_examples=25)
@given(MINUTES, st.integers(1, 12))
def test_bounds_are_those_of_the_slow_twin(minutes, slot_minutes):
    slots, values = zip(*minutes, strict=True)
    table = table_of(list(values), list(slots), slot_minutes)
    stamps = make.stamps(len(slots))
    for row in table.itertuples():
        rows = naive_rows(list(slots), row.slot, slot_minutes)
        place = [ENTROPY, SIZE].index(row.column)
        low, high, n = naive_bounds(list(values), rows, place)
        assert row.n == n
        assert row.borrowed == sum(slots[r] != row.slot for r in rows)
        if n:
            assert (row.low, row.high) == (values[low][place], values[high][place])
            assert (row.low_minute, row.high_minute) == (stamps[low], stamps[high])
        else:
            assert np.isnan([row.low, row.high]).all()


def test_every_slot_has_one_row_for_every_column():
    table = table_of([[1, 2], [3, 4]], [0, 30])
    assert len(table) == SLOTS * 2
    assert not table.duplicated(["slot", "column"]).any()


def test_a_slot_with_enough_minutes_borrows_none():
    slots = [9] * 5 + [10] * 5
    table = table_of([1, 2, 3, 4, 5, 50, 60, 70, 80, 90], slots, 5)
    nine, ten = at(table, 9), at(table, 10)
    assert (nine["low"], nine["high"], nine["n"], nine["borrowed"]) == (1, 5, 5, 0)
    assert (ten["low"], ten["high"], ten["n"], ten["borrowed"]) == (50, 90, 5, 0)


def test_a_small_slot_borrows_from_the_hours_on_both_sides_and_says_so():
    table = table_of([1, 2, 3, 90], [8, 9, 10, 12], 3)
    nine = at(table, 9)
    assert (nine["low"], nine["high"], nine["n"], nine["borrowed"]) == (1, 3, 3, 2)


def test_a_small_slot_borrows_only_as_far_as_it_must():
    table = table_of([1, 2, 3, 4], [9, 9, 11, 14], 3)
    nine = at(table, 9)
    assert (nine["high"], nine["n"], nine["borrowed"]) == (3, 3, 1)


def test_borrowing_goes_around_midnight():
    table = table_of([1, 2, 9], [23, 1, 5], 2)
    midnight = at(table, 0)
    assert (midnight["low"], midnight["high"], midnight["borrowed"]) == (1, 2, 2)


def test_borrowing_prefers_distant_hours_of_its_day_type_to_the_other_day_type():
    slots = [WEEKEND + 20] * 3 + [WEEKDAY + 9] * 50
    table = table_of([1, 2, 3] + [9] * 50, slots, 3)
    sunday = at(table, WEEKEND + 9)
    assert (sunday["high"], sunday["n"], sunday["borrowed"]) == (3, 3, 3)


def test_a_day_type_without_enough_minutes_borrows_from_the_other():
    slots = [WEEKEND + 9] + [WEEKDAY + 9] * 5 + [WEEKDAY + 15] * 5
    table = table_of([1] + [2] * 5 + [9] * 5, slots, 6)
    sunday = at(table, WEEKEND + 9)
    assert (sunday["low"], sunday["high"]) == (1, 2)
    assert (sunday["n"], sunday["borrowed"]) == (6, 5)


def test_too_few_minutes_in_all_are_all_taken():
    table = table_of([1, 2, 3], [0, 12, 40], 100)
    assert table["n"].eq(3).all()
    assert table["low"].eq(1).all()


def test_unknown_values_set_no_bound_and_are_not_counted():
    table = table_of([np.nan, 2, 3, np.nan], [9] * 4, 4)
    assert (at(table, 9)["low"], at(table, 9)["n"]) == (2, 2)


def test_the_dates_that_bounds_rest_on_are_counted():
    values = pd.DataFrame({ENTROPY: np.arange(6.0)}, make.stamps(6))
    slots, dates = np.array([9, 9, 9, 9, 10, 12]), np.array([1, 1, 2, 5, 7, 9])
    table = learn(values, slots, dates, 4)
    assert [at(table, slot)["days"] for slot in (9, 10, 12)] == [3, 4, 5]


def test_a_column_never_known_in_a_slot_has_no_bound_and_no_minute_that_set_it():
    table = table_of([[1, np.nan], [2, np.nan]], [9, 9], 2)
    row = at(table, 9, SIZE)
    assert row["n"] == 0
    assert row[["low", "high", "low_minute", "high_minute"]].isna().all()


def test_without_minutes_there_is_nothing_to_learn():
    with pytest.raises(InputError, match="found none"):
        learn(pd.DataFrame(columns=[ENTROPY]), np.zeros(0, int), np.zeros(0, int), 1)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_at_k_1_no_minute_that_was_learned_from_lies_outside(values):
    table = table_of(values, [9] * len(values), 1)
    bounds = Bounds(table, 1.0)
    assert not any(bounds.deviations(np.array([value]), 9) for value in values)


# ------------------------------------------------------------------------ judging

GRID = st.integers(-400, 400).map(lambda steps: steps / 16)
SPAN = st.integers(2, 200).map(lambda n: n / 16)


@settings(deadline=None, max_examples=50)
@given(GRID, SPAN, GRID)
@pytest.mark.parametrize("k", [1.0, 1.25, 2.0])
def test_the_margin_is_k_less_one_times_the_span_on_both_sides(k, low, span, value):
    found = bounds_of(low, low + span, k).deviations(np.array([value]), 0)
    margin = (k - 1) * span
    if value < low - margin:
        assert [d.sign for d in found] == ["concentrated"]
    elif value > low + span + margin:
        assert [d.sign for d in found] == ["dispersed"]
    else:
        assert found == []


@settings(deadline=None, max_examples=50)
@given(GRID, SPAN, GRID)
@pytest.mark.parametrize("margin", MARGINS)
def test_at_k_1_every_rule_is_the_papers(margin, low, span, value):
    r = (value - 1 * low) / (1 * span)
    paper = "concentrated" if r < 0 else "dispersed" if r > 1 else "inside"
    assert sign_at(bounds_of(low, low + span, 1.0, margin=margin), value) == paper


@settings(deadline=None, max_examples=50)
@given(GRID.map(abs), SPAN, GRID.map(abs))
@pytest.mark.parametrize("k", [1.25, 2.0])
def test_the_published_margin_is_the_papers_rule(k, low, span, value):
    r = (value - k * low) / (k * span)
    paper = "concentrated" if r < 0 else "dispersed" if r > 1 else "inside"
    assert sign_at(bounds_of(low, low + span, k, margin="published"), value) == paper


@settings(deadline=None, max_examples=50)
@given(GRID.map(abs), SPAN, GRID.map(abs))
def test_the_ratio_margin_is_the_factor_k_on_both_sides(low, span, value):
    side = "concentrated" if value * 2 < low else "inside"
    side = "dispersed" if value > 2 * (low + span) else side
    assert sign_at(bounds_of(low, low + span, 2.0, margin="ratio"), value) == side


@pytest.mark.parametrize(
    ("margin", "lowest", "highest"),
    [("span", 3.5, 6.5), ("ratio", 3.2, 7.5), ("published", 5.0, 7.5)],
)
def test_the_margins_of_4_to_6_are_those_reckoned_by_hand(margin, lowest, highest):
    bounds = bounds_of(4.0, 6.0, 1.25, margin=margin)
    assert sign_at(bounds, lowest - 0.01) == "concentrated"
    assert sign_at(bounds, lowest + 0.01) == "inside"
    assert sign_at(bounds, highest - 0.01) == "inside"
    assert sign_at(bounds, highest + 0.01) == "dispersed"


@pytest.mark.parametrize("value", [4.0, 5.0, 6.0, 6.5, 7.9])
def test_published_calls_low_whatever_is_below_k_times_the_minimum(value):
    [found] = bounds_of(4.0, 6.0, 2.0, margin="published").deviations(
        np.array([value]), 0
    )
    assert (found.sign, found.r) == ("concentrated", (value - 4) / 2)


@pytest.mark.parametrize("value", [0.0, 3.9, 4.1, 1e9])
def test_a_column_that_never_changed_is_not_divided_by_zero(value):
    for found in bounds_of(4.0, 4.0, 1.25).deviations(np.array([value]), 0):
        assert np.isfinite(found.r)


@pytest.mark.parametrize("name", [ENTROPY, SIZE, "orig_h.all.tsallis.1"])
@pytest.mark.parametrize("k", [1.0, 1.25, 2.0])
def test_a_column_that_never_changed_has_the_same_margin_on_both_sides(name, k):
    bounds = bounds_of(4.0, 4.0, k, name)
    steps = Column.named(name).resolution * np.array([0.01, 0.2, 0.45, 0.6, 0.9, 1.7])
    below = [bool(bounds.deviations(np.array([4.0 - step]), 0)) for step in steps]
    above = [bool(bounds.deviations(np.array([4.0 + step]), 0)) for step in steps]
    assert below == above


def test_an_unknown_value_or_an_unknown_bound_is_no_deviation():
    assert bounds_of(1, 2, 1.0).deviations(np.array([np.nan]), 0) == []
    assert bounds_of(np.nan, np.nan, 1.0).deviations(np.array([5.0]), 0) == []


def test_a_deviation_says_what_was_found_and_what_is_usual():
    [found] = bounds_of(2.0, 4.0, 1.25).deviations(np.array([1.0]), 0)
    assert found == make.deviation(ENTROPY, value=1.0, low=2.0, high=4.0, r=-0.5)


@pytest.mark.parametrize(
    ("name", "below", "above"),
    [(ENTROPY, "concentrated", "dispersed"), (SIZE, "low", "high")],
)
def test_entropies_concentrate_or_disperse_and_sizes_are_low_or_high(
    name, below, above
):
    bounds = bounds_of(2.0, 4.0, 1.25, name)
    found = [bounds.deviations(np.array([value]), 0)[0].sign for value in (0.0, 9.0)]
    assert found == [below, above]


def test_a_minute_is_judged_by_its_own_slot():
    bounds = Bounds(table_of([1, 2, 8, 9], [3, 3, 30, 30], 2), 1.0)
    value = np.array([8.5])
    assert bounds.deviations(value, 30) == []
    assert [d.sign for d in bounds.deviations(value, 3)] == ["dispersed"]


def test_the_column_furthest_out_comes_first():
    names = ("orig_h.all.renyi.1", "resp_h.all.renyi.1", "orig_p.all.renyi.1")
    rows = [(slot, name, 0.0, 1.0) for slot in range(SLOTS) for name in names]
    bounds = Bounds(pd.DataFrame(rows, columns=["slot", "column", "low", "high"]), 1.0)
    found = bounds.deviations(np.array([1.5, 9.0, -0.8]), 0)
    assert [d.feature for d in found] == ["resp_h", "orig_p", "orig_h"]


def test_columns_keep_the_order_that_they_were_learned_in():
    table = table_of([[1, 2, 3]], [0])
    names = [column.name for column in Bounds(table, 1.0).columns]
    assert names == [ENTROPY, SIZE, "resp_h.all.rarefied.0"]


# ------------------------------------------------------------------------- setters


@pytest.mark.parametrize(
    ("column", "key"),
    [
        (ENTROPY, "orig_h"),
        ("fan_out.outbound.log2", "orig_h"),
        ("orig_h_bytes.all.renyi.2", "orig_h"),
        ("in_degree.inbound.rarefied.0", "resp_h"),
        ("resp_p.all.renyi.0", "resp_p"),
        ("orig_p.all.renyi.0", "orig_p"),
        ("pair_ports.all.log2", "pair"),
        (SIZE, "pair"),
        ("duration.all.renyi.1", "pair"),
    ],
)
def test_who_set_a_bound_is_told_by_the_key_of_its_column(column, key):
    assert setter_key(Column.named(column)) == key


def heaviest_of(minutes: pd.DatetimeIndex) -> pd.DataFrame:
    rows = [
        (minute, key, f"{key}-{n}", [f"C{n}"])
        for n, minute in enumerate(minutes)
        for key in ("orig_h", "resp_h", "pair")
    ]
    return pd.DataFrame(rows, columns=["minute", "key", "value", "uids"])


def test_of_the_heaviest_values_those_are_kept_that_set_a_bound():
    table = table_of([[1, 5], [9, 5.5], [3, 7], [2, 6]], [9] * 4, 4)
    found = bound_setters(table, heaviest_of(make.stamps(4)))
    assert list(found.columns) == ["minute", "key", "value", "uids"]
    assert set(found["value"]) == {"orig_h-0", "orig_h-1", "pair-0", "pair-2"}
    assert not found.duplicated(["minute", "key"]).any()


def test_a_bound_that_nobody_set_keeps_nobody():
    table = table_of([[1, np.nan], [2, np.nan]], [9] * 2, 2)
    found = bound_setters(table, heaviest_of(make.stamps(2)))
    assert set(found["key"]) == {"orig_h"}


# -------------------------------------------------------------------------- signs


def signs_of(given: dict[str, str | None]) -> dict[tuple[str, str], str]:
    """Give the signs of a minute of columns that are outside (or inside: None).

    ``?`` makes a column unknown.
    """
    columns = [Column.named(name) for name in given]
    values = np.array([np.nan if sign == "?" else 1.0 for sign in given.values()])
    outside = [
        make.deviation(name, sign) for name, sign in given.items() if sign not in "?in"
    ]
    return dict(signs(outside, columns, values))


RAW = [f"orig_h.all.renyi.{order}" for order in (-2, -1, 0, 1, 2)]
INVARIANT = [f"orig_h.all.rarefied.{order}" for order in (0, 1, 2)]
SIGNS = {"-": "concentrated", "+": "dispersed", ".": "in", "?": "?"}


def sign_of(raw: str, invariant: str = "") -> str | None:
    """Give one feature's sign: a character for each order."""
    given = dict(zip(RAW, (SIGNS[c] for c in raw), strict=True))
    if invariant:
        given |= dict(zip(INVARIANT, (SIGNS[c] for c in invariant), strict=True))
    return signs_of(given).get(("orig_h", "all"))


@pytest.mark.parametrize("raw", ["...--", "---..", "++---", "....-"])
def test_concentration_needs_orders_1_and_2(raw):
    expected = "concentrated" if raw[3:] == "--" else None
    assert sign_of(raw) == expected


@pytest.mark.parametrize("raw", ["..++.", "+++++", "++..-", "...++", "..+.+", "..++-"])
def test_dispersion_needs_orders_0_and_1(raw):
    expected = "dispersed" if raw[2:4] == "++" else None
    assert sign_of(raw) == expected


@pytest.mark.parametrize("raw", ["--...", "++...", "+-.+-", "..+-.", "..-+."])
def test_orders_below_zero_or_that_disagree_give_no_sign(raw):
    assert sign_of(raw) is None


@pytest.mark.parametrize(
    ("raw", "invariant", "sign"),
    [
        (".....", ".--", "concentrated"),
        (".....", "++.", "dispersed"),
        ("...--", "...", None),
        ("..++.", ".--", "concentrated"),
        ("...--", "++.", "dispersed"),
        ("..++.", "..-", None),
    ],
)
def test_the_volume_invariant_form_wins_where_it_is_known(raw, invariant, sign):
    assert sign_of(raw, invariant) == sign


@pytest.mark.parametrize("last", ["renyi", "rarefied"])
def test_the_volume_invariant_form_wins_wherever_its_columns_stand(last):
    given = dict.fromkeys(INVARIANT, "in") | dict.fromkeys(RAW[3:], "concentrated")
    ordered = sorted(given, key=lambda name: last in name)
    assert signs_of({name: given[name] for name in ordered}) == {}


def test_only_the_orders_of_the_volume_invariant_form_are_asked():
    given = {"service.all.rarefied.1": "concentrated", "service.all.renyi.2": "in"}
    assert signs_of(given) == {("service", "all"): "concentrated"}


def test_the_raw_form_decides_where_the_volume_invariant_one_is_unknown():
    assert sign_of("...--", "???") == "concentrated"
    assert sign_of("..++.", "???") == "dispersed"


def test_an_order_that_is_not_measured_is_not_asked():
    assert signs_of({"proto.all.rarefied.1": "dispersed"}) == {
        ("proto", "all"): "dispersed"
    }
    both = {"service.all.renyi.1": "concentrated", "service.all.renyi.2": "in"}
    assert signs_of(both) == {}


def test_orders_that_no_rule_asks_for_give_no_sign():
    assert signs_of({"orig_h.all.renyi.-2": "concentrated"}) == {}


def test_a_size_has_the_sign_of_its_only_column():
    given = {"flows.all.log2": "low", "fan_out.inbound.log2": "high"}
    assert signs_of(given) == {("flows", "all"): "low", ("fan_out", "inbound"): "high"}


def test_each_direction_has_its_own_sign():
    given = {
        "resp_p.inbound.rarefied.1": "dispersed",
        "resp_p.outbound.rarefied.1": "concentrated",
        "resp_p.internal.rarefied.1": "in",
    }
    expected = {
        ("resp_p", "inbound"): "dispersed",
        ("resp_p", "outbound"): "concentrated",
    }
    assert signs_of(given) == expected


def test_a_minute_inside_its_bounds_has_no_sign():
    assert signs_of(dict.fromkeys([*RAW, SIZE], "in")) == {}


def test_sizes_are_plain_numbers_of_the_columns_that_are_known():
    names = [SIZE, "fan_out.inbound.log2", "bytes.all.log2", ENTROPY]
    columns = [Column.named(name) for name in names]
    values = np.array([np.log2(1 + 812), 0.0, np.nan, 3.0])
    assert dict(sizes(columns, values)) == {
        ("flows", "all"): 812.0,
        ("fan_out", "inbound"): 0.0,
    }


@pytest.mark.parametrize("number", [10, 1_000, 1_000_000, 10_000_000_007])
def test_a_size_reaches_the_number_that_it_was_measured_from(number):
    found = sizes([Column.named(SIZE)], np.array([np.log2(1 + number)]))
    assert found["flows", "all"] >= number
