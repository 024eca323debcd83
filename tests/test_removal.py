"""What a deviation goes away with: against a twin that counts the rows left."""

from collections import Counter, defaultdict
from itertools import combinations
from math import isclose, log, log2, nan
from time import process_time

import make
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_ids.alarms.contributors import contributors
from entropy_ids.alarms.remaining import (
    REMOVABLE,
    Candidates,
    Remaining,
    connections,
    seen,
)
from entropy_ids.alarms.removal import MOST_REMOVED, Judging, Limits, explained
from entropy_ids.features.catalog import FEATURES, Column, default_columns
from entropy_ids.features.counting import count
from entropy_ids.features.entropy import Spectrum, rarefied, renyi, tsallis
from entropy_ids.features.series import Measure
from entropy_ids.profile.bounds import MARGINS, Bounds
from entropy_ids.types import Deviation, Minutes

NOTHING = pd.DataFrame({"feature": [], "value": [], "share": []})
PLAIN = Judging(k=1.0, margin="span", rarefy_to=4)
COLUMNS = tuple(
    Column.named(name)
    for name in (
        *("orig_h.all.renyi.-2", "orig_h.all.renyi.0", "orig_h.all.renyi.1"),
        *("resp_p.all.renyi.2", "resp_p.all.tsallis.1", "resp_h.all.tsallis.2"),
        *("resp_h.all.rarefied.0", "orig_p.all.rarefied.1", "service.all.rarefied.2"),
        *("conn_state.all.renyi.1", "resp_bytes.all.renyi.1", "duration.all.renyi.0"),
        *("orig_h_bytes.all.renyi.1", "resp_h_bytes.all.renyi.2"),
        *("out_degree.all.renyi.1", "in_degree.all.tsallis.0", "fan_out.all.log2"),
        *("pair_ports.all.log2", "max_pair.all.log2", "max_bytes.all.log2"),
        *("max_sent.all.log2", "flows.all.log2", "logins.all.log2", "sent.all.log2"),
    )
)


# ---------------------------------------------------------------------- slow twin


def value_of(row: dict, feature: str) -> str:
    key = FEATURES[feature].key
    return "/".join(str("-" if row.get(name) is None else row[name]) for name in key)


def naive_counts(rows: list[dict], column: Column) -> list[int]:
    feature = FEATURES[column.feature]
    rows = [r for r in rows if not feature.ports or r["id.resp_p"] in feature.ports]
    sums, distinct = Counter(), defaultdict(set)
    for row in rows:
        sent = row.get("orig_bytes") or 0
        total = sent + (row.get("resp_bytes") or 0)
        bins = {n: naive_bin(row.get(n)) for n in ("resp_bytes", "duration")}
        value = tuple((row | bins).get(name) for name in feature.key)
        sums[value] += {"bytes": total, "sent": sent}.get(feature.weight, 1)
        port = (row["id.resp_p"], row["proto"]) if feature.weight == "ports" else ()
        distinct[value].add((row["id.orig_h"], row["id.resp_h"], port))
    if feature.weight in ("peers", "ports"):
        return [len(some) for some in distinct.values()]
    return [count for count in sums.values() if count]


def naive_bin(number: int | None) -> int | None:
    return None if number is None else number.bit_length() - 1


def naive_measure(rows: list[dict], column: Column) -> float:
    counts = naive_counts(rows, column)
    kind = FEATURES[column.feature].kind
    if kind != "distribution":
        return log2(1 + (max(counts, default=0) if kind == "largest" else sum(counts)))
    if not counts:
        return nan
    p = [count / sum(counts) for count in counts]
    if column.statistic == "rarefied":
        return float(rarefied(Spectrum.single(counts), 4)[column.alpha][0])
    if column.alpha == 1:
        return -sum(x * log(x) for x in p) / (
            1 if column.statistic == "tsallis" else log(2)
        )
    power = sum(x**column.alpha for x in p)
    if column.statistic == "tsallis":
        return (power - 1) / (1 - column.alpha)
    return log2(power) / (1 - column.alpha)


ROW = st.builds(
    make.row,
    st.sampled_from([f"10.0.0.{n}" for n in range(5)]),
    orig_p=st.integers(40_000, 40_003),
    resp_h=st.sampled_from([f"192.0.2.{n}" for n in range(4)]),
    resp_p=st.sampled_from([22, 53, 443]),
    proto=st.sampled_from(["tcp", "udp"]),
    service=st.sampled_from([None, "dns", "ssl"]),
    conn_state=st.sampled_from([None, "SF", "S0"]),
    orig_bytes=st.sampled_from([None, 0, 100, 5_000]),
    resp_bytes=st.sampled_from([None, 0, 1, 127, 10**9]),
)
ROWS = st.lists(st.tuples(ROW, st.integers(1, 5)), min_size=1, max_size=10).map(
    lambda some: [row for row, times in some for _ in range(times)]
)


@settings(deadline=None, max_examples=25)
@given(ROWS, st.randoms(use_true_random=False))
def test_columns_without_some_values_are_those_of_the_rows_that_are_left(rows, chance):
    here = seen(connections(make.minutes(rows)), "all")
    candidates = Candidates(here)
    keys = list(zip(candidates.features, candidates.values, strict=True))
    places = range(len(candidates))
    sets = [(), *((one,) for one in places)]
    for feature in REMOVABLE:
        same = [one for one in places if candidates.features[one] == feature]
        sets.append(tuple(sorted(chance.sample(same, chance.randint(1, len(same))))))
    gone = [{keys[one] for one in some} for some in sets]
    values_of = {id(r): {(f, value_of(r, f)) for f in REMOVABLE} for r in rows}
    for column in COLUMNS:
        remaining = Remaining(here, candidates, FEATURES[column.feature])
        found = remaining.values(sets, [column], 4)[column]
        left = [[r for r in rows if g.isdisjoint(values_of[id(r)])] for g in gone]
        expected = [naive_measure(some, column) for some in left]
        assert found == pytest.approx(expected, abs=1e-6, nan_ok=True), column.name


# ----------------------------------------------------------------- smallest sets


def outside(rows: list[dict], name: str, low: float, high: float) -> Deviation:
    """Give a column of these rows that lies outside these bounds."""
    column = Column.named(name)
    value = naive_measure(rows, column)
    kind = FEATURES[column.feature].kind
    below, above = (
        ("concentrated", "dispersed") if kind == "distribution" else ("low", "high")
    )
    sign = below if value < low else above
    r = (value - low) / (high - low)
    return make.deviation(name, sign, value=value, low=low, high=high, r=r)


def removed(rows: list[dict], deviation: Deviation, judging: Judging = PLAIN):
    minutes = make.minutes(rows)
    found = contributors(minutes.tables, NOTHING)
    [told], _ = explained(minutes, [deviation], found, NOTHING, judging)
    return told.removal


def naive_fewest(rows: list[dict], deviation: Deviation) -> int | None:
    """Try every set of one and of two values."""
    column = Column(
        deviation.feature, deviation.direction, deviation.entropy, deviation.alpha
    )
    for number in (1, 2):
        for feature in REMOVABLE:
            values = {value_of(row, feature) for row in rows}
            for some in combinations(sorted(values), number):
                left = [row for row in rows if value_of(row, feature) not in some]
                value = naive_measure(left, column)
                if deviation.low <= value <= deviation.high:
                    return number
    return None


@settings(deadline=None, max_examples=60)
@given(ROWS, st.sampled_from(COLUMNS), st.floats(0.3, 3), st.booleans())
def test_where_one_or_two_values_suffice_no_larger_set_is_given(rows, column, off, up):
    value = naive_measure(rows, column)
    if not isclose(value, value) or (
        up and FEATURES[column.feature].kind != "distribution"
    ):
        return
    low = value + off if up else value - off - 1
    deviation = outside(rows, column.name, low, low + 1)
    expected, found = naive_fewest(rows, deviation), removed(rows, deviation)
    if expected is not None:
        assert found is not None and len(found.values) <= expected
    elif found is not None and found.r is not None:
        assert len(found.values) > 2


@settings(deadline=None, max_examples=60)
@given(ROWS, st.sampled_from(COLUMNS), st.floats(0.3, 3))
def test_without_what_is_given_the_column_is_inside_and_r_is_there(rows, column, off):
    value = naive_measure(rows, column)
    if not isclose(value, value):
        return
    deviation = outside(rows, column.name, value - off - 1, value - off)
    found = removed(rows, deviation)
    if found:
        names = {removed.value for removed in found.values}
        left = [row for row in rows if value_of(row, found.feature) not in names]
        now = naive_measure(left, column)
        r = None if found.r is None else deviation.low + found.r
        assert (now != now and r is None) or now == pytest.approx(r, abs=1e-6)
        assert found.r is None or -1e-9 <= found.r <= 1 + 1e-9


def scan() -> list[dict]:
    """Give ten usual connections, and one source that tries forty ports of a host."""
    usual = [make.row(f"10.0.0.{n}", resp_h=f"192.0.2.{n % 5}") for n in range(10)]
    return usual + [
        make.row("10.0.3.7", resp_h="192.0.2.9", resp_p=n) for n in range(40)
    ]


def test_of_a_scan_that_disperses_ports_the_scanner_is_the_removal():
    found = removed(scan(), outside(scan(), "resp_p.all.renyi.1", 0.0, 1.0))
    assert found.feature == "orig_h"
    [one] = found.values
    assert (one.value, one.flows, one.share, one.usual_share) == (
        "10.0.3.7",
        40,
        0.8,
        0,
    )
    assert found.r == pytest.approx(0, abs=1e-12)


def test_two_hosts_that_only_go_together_are_found():
    rows = [make.row(f"10.0.0.{n}") for n in range(9)]
    rows += [make.row(source) for source in ("10.0.1.1", "10.0.1.2")] * 20
    twins = [row | {"id.resp_h": f"192.0.2.{n}"} for n, row in enumerate(rows)]
    found = removed(twins, outside(twins, "max_orig_h.all.log2", 0.5, 1.0))
    assert [one.value for one in found.values] == ["10.0.1.1", "10.0.1.2"]


def test_more_than_two_are_taken_in_the_order_of_their_effect():
    flows = {"10.0.1.1": 50, "10.0.1.2": 40, "10.0.1.3": 30}
    rows = [
        make.row(f"10.0.0.{n}", resp_h=f"198.51.100.{n}", service=f"s{n}")
        for n in range(5)
    ]
    for source, number in flows.items():
        rows += [
            make.row(source, resp_h=f"192.0.2.{n}", resp_p=n, service=f"t{n}")
            for n in range(number)
        ]
    found = removed(rows, outside(rows, "flows.all.log2", 0.0, log2(7)))
    assert found.feature == "orig_h"
    assert [one.value for one in found.values] == list(flows)


def test_what_more_values_than_the_most_would_bring_inside_has_no_removal():
    rows = [
        make.row(f"10.0.{n}.1", resp_h=f"192.0.{n}.1", resp_p=n, service=f"s{n}")
        for n in range(3 * MOST_REMOVED)
    ]
    assert removed(rows, outside(rows, "orig_h.all.renyi.0", 0.0, 1.0)) is None


def test_a_size_below_its_bounds_has_no_removal():
    rows = [make.row("10.0.0.1"), make.row("10.0.0.2")]
    assert removed(rows, outside(rows, "flows.all.log2", 5.0, 6.0)) is None


def test_a_minute_whose_rows_were_not_all_kept_has_no_removals():
    minutes = make.minutes(scan())
    cut = type(minutes)(minutes.index, minutes.tables, minutes.rows.head(49))
    deviation = outside(scan(), "resp_p.all.renyi.1", 0.0, 1.0)
    [told], _ = explained(cut, [deviation], (), NOTHING, PLAIN)
    assert told == deviation


def test_too_little_left_to_measure_is_said_of_what_there_is_too_much_of():
    rows = [make.row("10.0.3.7", resp_h=f"192.0.2.{n}") for n in range(30)]
    rows += [make.row("10.0.0.1", resp_h="192.0.2.1", resp_p=80)]
    found = removed(rows, outside(rows, "resp_h.all.rarefied.0", 0.0, 1.0))
    assert ([one.value for one in found.values], found.r) == (["10.0.3.7"], None)


def directed(rows: list[dict]) -> Minutes:
    """Give a minute in which what 10.0.3.7 sends is inbound, all else internal."""
    minutes = make.minutes(rows)
    ways = pl.when(pl.col("id.orig_h") == "10.0.3.7").then(1).otherwise(3)
    frame = minutes.rows.with_columns(direction=ways.cast(pl.Int8))
    return Minutes(minutes.index, count(frame), frame.drop("direction"))


def test_a_column_of_a_direction_is_measured_without_its_connections_alone():
    rows = [make.row(f"10.0.0.{n}", resp_p=22, resp_h=f"192.0.2.{n}") for n in range(9)]
    rows += [row | {"id.resp_p": 80 + n % 2} for n, row in enumerate(scan()[10:])]
    for direction, name in (("inbound", "80/tcp"), ("internal", "22/tcp")):
        here = seen(connections(directed(rows)), direction)
        candidates = Candidates(here)
        remaining = Remaining(here, candidates, FEATURES["flows"])
        column = Column("flows", direction, "log2")
        place = candidates.values.index(name)
        found = remaining.values([(), (place,)], [column], 4)[column]
        left = [
            row
            for row in rows
            if (row["id.orig_h"] == "10.0.3.7") == (name == "80/tcp")
        ]
        without = [row for row in left if value_of(row, "resp_p") != name]
        assert found == pytest.approx([log2(1 + len(left)), log2(1 + len(without))])


def test_a_deviation_of_a_direction_has_a_removal():
    deviation = make.deviation(
        "resp_p.inbound.renyi.1", "dispersed", value=log2(40), low=0.0, high=5.0
    )
    [told], _ = explained(directed(scan()), [deviation], (), NOTHING, PLAIN)
    assert len(told.removal.values) == 8
    assert told.removal.feature == "resp_p"


def test_contributors_name_the_columns_that_they_explain():
    minutes = make.minutes(scan())
    deviations = [
        outside(scan(), "resp_p.all.renyi.1", 0.0, 1.0),
        outside(scan(), "pair_ports.all.log2", 0.0, 1.0),
    ]
    found = contributors(minutes.tables, NOTHING)
    _, told = explained(minutes, deviations, found, NOTHING, PLAIN)
    by_value = {one.value: one.explains for one in told}
    assert by_value["10.0.3.7"] == ("resp_p.all.renyi.1", "pair_ports.all.log2")
    assert by_value["tcp" if "tcp" in by_value else "ssl"] == ()


@pytest.mark.parametrize("order", [1, -1])
def test_removals_do_not_depend_on_the_order_of_the_rows(order):
    deviation = outside(scan(), "resp_p.all.renyi.1", 0.0, 1.0)
    assert removed(scan()[::order], deviation) == removed(scan(), deviation)


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize(("low", "high"), [(1.0, 3.0), (0.0, 0.0), (0.5, 0.51)])
def test_inside_is_what_a_minute_is_judged_by(margin, low, high):
    table = pd.DataFrame({"slot": [0], "column": ["orig_h.all.renyi.1"]})
    bounds = Bounds(table.assign(low=low, high=high), 1.3, margin)
    limits = Limits.of(make.deviation(low=low, high=high), Judging(1.3, margin, 4))
    for value in np.linspace(-1.003, 5.001, 241):
        judged = bounds.deviations(np.array([value]), 0)
        assert (limits.distance(np.array([value]))[0] > 0) == bool(judged)
        assert not judged or judged[0].r == pytest.approx(limits.r(value))


def test_a_hundred_million_times_fewer_bytes_are_measured_as_well():
    rows = [make.row("10.0.3.7", orig_bytes=10**12)]
    rows += [make.row(f"10.0.0.{n}", orig_bytes=n) for n in (1, 2, 3, 4)]
    here = seen(connections(make.minutes(rows)), "all")
    candidates = Candidates(here)
    heavy = candidates.values.index("10.0.3.7")
    for alpha in (0.5, 1.0, 2.0):
        column = Column("orig_h_bytes", "all", "renyi", alpha)
        remaining = Remaining(here, candidates, FEATURES["orig_h_bytes"])
        [found] = remaining.values([(heavy,)], [column], 4)[column]
        assert found == pytest.approx(naive_measure(rows[1:], column), rel=1e-9)


@pytest.mark.slow
def test_a_flood_of_a_hundred_thousand_connections_is_explained_in_seconds():
    flood = [
        make.row(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", orig_p=n % 60_000)
        for n in range(80_000)
    ]
    usual = [
        make.row(f"172.16.0.{n % 250}", resp_h=f"198.51.{n % 99}.{n % 7}")
        for n in range(20_000)
    ]
    minutes = make.minutes(usual + flood)
    series = Measure(tuple(default_columns()), 16)(minutes).values.iloc[0].dropna()
    few = Measure(tuple(default_columns()), 16)(make.minutes(usual)).values.iloc[0]
    deviations = [
        make.deviation(name, "dispersed", value=value, low=low, high=low + 0.1)
        for name, value in series.items()
        if value > (low := few[name] - 0.05) + 0.1
    ]
    begun = process_time()
    told, _ = explained(minutes, deviations, (), NOTHING, Judging(1.0, "span", 16))
    assert process_time() - begun < 4
    assert len(told) > 20
    assert {one.value for d in told for one in d.removal.values} == {"192.0.2.1"}


def test_the_columns_of_a_minute_are_measured_as_the_series_measures_them():
    rows = scan()
    series = Measure(COLUMNS, 4)(make.minutes(rows)).values.iloc[0]
    here = seen(connections(make.minutes(rows)), "all")
    candidates = Candidates(here)
    for column in COLUMNS:
        remaining = Remaining(here, candidates, FEATURES[column.feature])
        [value] = remaining.values([()], [column], 4)[column]
        assert value == pytest.approx(
            series[column.name], rel=1e-9, abs=1e-9, nan_ok=True
        )


def test_the_twin_knows_the_entropies_of_a_spectrum():
    counts = Spectrum.single([4, 2, 1, 1])
    rows = [
        make.row(f"10.0.0.{n}") for n, m in enumerate((4, 2, 1, 1)) for _ in range(m)
    ]
    for measure, name in ((renyi, "renyi"), (tsallis, "tsallis")):
        twin = naive_measure(rows, Column("orig_h", "all", name, 2.0))
        assert twin == pytest.approx(float(measure(counts, 2.0)[0]))
    assert np.isnan(naive_measure([], Column("orig_h", "all", "renyi", 2.0)))
