"""Counting: integers that add, unset as a value of its own, and directions."""

from collections import Counter

import naive
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_ids.errors import ConfigError
from entropy_ids.features.counting import (
    TABLES,
    Tables,
    add,
    count,
    log2_bin,
    with_direction,
)
from entropy_ids.types import DIRECTIONS

SIZES = ("orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts")
SITE = ("10.0.0.0/8", "2001:db8::/32")

size = st.sampled_from([None, 0, 1, 2, 5, 10**12])
ROWS = st.lists(
    st.builds(
        naive.row,
        st.sampled_from([naive.T0, naive.T0 + 60, naive.T0 + 120]),
        id__orig_h=st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:db8::1"]),
        id__resp_h=st.sampled_from(["10.0.0.2", "192.0.2.1"]),
        id__resp_p=st.sampled_from([53, 443]),
        service=st.sampled_from([None, "dns"]),
        duration=st.sampled_from([None, 0, 999, 1_000, 86_400_000_000]),
        orig_bytes=size,
        resp_bytes=size,
        orig_pkts=size,
    ),
    max_size=12,
)


def ready(rows: list[naive.Row]) -> pl.DataFrame:
    """Give rows what `count` needs: the minute of their end, and a direction."""
    minutes = pl.Series(
        "minute", [r["ts"] // naive.S // 60 * 60 for r in rows], pl.Int64
    )
    return with_direction(naive.frame(rows).with_columns(minutes), SITE)


def as_sets(tables: Tables) -> dict[str, Counter]:
    """Give the rows of each table, in no order."""
    return {
        name: Counter(table.select(sorted(table.columns)).rows())
        for name, table in tables.items()
    }


def flows(rows: list[naive.Row], name: str) -> dict[object, int]:
    """Give value → flows of a table with one key."""
    table = count(ready(rows), [name])[name]
    return dict(table.select(*TABLES[name], "flows").rows())


def seen(networks: tuple[str, ...] = (), **values: object) -> str:
    """Name the direction of one row."""
    table = with_direction(naive.frame([naive.row(naive.T0, **values)]), networks)
    return DIRECTIONS[table["direction"].item()]


# ---------------------------------------------------------------- integers that add


def test_counts_are_integers_and_so_are_their_sums():
    tables = count(ready(naive.traffic(1, naive.T0, 50)))
    for table in (*tables.values(), *add([tables, tables]).values()):
        assert table["flows"].dtype == pl.Int64
        assert not any(kind.is_float() for kind in table.dtypes)
    assert add([tables, tables])["talk"]["bytes"].dtype == pl.Int64


@settings(deadline=None, max_examples=50)
@given(ROWS, st.lists(st.booleans(), min_size=12, max_size=12))
def test_counts_of_parts_add_to_the_count_of_all(rows, sides):
    frame = ready(rows)
    side = pl.Series(sides[: len(rows)], dtype=pl.Boolean)
    parts = [count(frame.filter(side)), count(frame.filter(~side))]
    assert as_sets(add(parts)) == as_sets(count(frame))


@settings(deadline=None, max_examples=50)
@given(ROWS)
def test_counts_of_many_parts_add_to_the_count_of_all(rows):
    frame = ready(rows)
    parts = [count(frame[place : place + 1]) for place in range(len(rows) + 1)]
    assert as_sets(add(parts)) == as_sets(count(frame))


@settings(deadline=None, max_examples=50)
@given(ROWS, ROWS)
def test_adding_keeps_columns_and_types(rows, others):
    tables = [count(ready(each)) for each in (rows, others)]
    for name, table in add(tables).items():
        assert table.schema == tables[0][name].schema


@settings(deadline=None, max_examples=50)
@given(ROWS, st.randoms(use_true_random=False))
def test_counts_do_not_depend_on_the_order_of_rows(rows, rng):
    shuffled = rng.sample(rows, len(rows))
    assert as_sets(count(ready(rows))) == as_sets(count(ready(shuffled)))


def test_counts_of_no_rows_are_empty_tables():
    tables = count(ready([]))
    assert [table.height for table in tables.values()] == [0] * len(TABLES)


def test_only_the_tables_asked_for_are_counted():
    assert set(count(ready([]), ["proto", "talk"])) == {"proto", "talk"}


@pytest.mark.parametrize("name", TABLES)
def test_every_table_counts_every_flow_once(name):
    tables = count(ready(naive.traffic(2, naive.T0, 80)))
    assert tables[name]["flows"].sum() == 80


def test_talk_sums_the_bytes_of_both_ways():
    rows = [
        naive.row(naive.T0, orig_bytes=a, resp_bytes=b) for a, b in ((3, 4), (0, 5))
    ]
    assert count(ready(rows))["talk"].select("flows", "bytes").rows() == [(2, 12)]


# ---------------------------------------------------------------- unset


def test_unset_service_is_a_value_of_its_own():
    rows = [naive.row(naive.T0, service=s) for s in (None, None, "dns")]
    assert flows(rows, "service") == {None: 2, "dns": 1}


@pytest.mark.parametrize("name", SIZES)
def test_unset_size_is_neither_zero_nor_any_other_bin(name):
    rows = [naive.row(naive.T0, **{name: size}) for size in (None, None, 0, 1)]
    assert flows(rows, name) == {None: 2, -1: 1, 0: 1}


def test_unset_duration_is_neither_zero_nor_any_other_bin():
    rows = [naive.row(naive.T0, duration=us) for us in (None, None, 0, 1_000)]
    assert flows(rows, "duration") == {None: 2, -1: 1, 0: 1}


def test_duration_is_binned_in_milliseconds():
    microseconds = (1_999, 2_000, 4_096_000, 3_600_000_000)
    rows = [naive.row(naive.T0, duration=us) for us in microseconds]
    assert flows(rows, "duration") == {0: 1, 1: 1, 12: 1, 21: 1}


def test_bytes_known_one_way_only_weigh_as_much_as_is_known():
    rows = [naive.row(naive.T0, orig_bytes=7), naive.row(naive.T0)]
    assert count(ready(rows))["talk"]["bytes"].item() == 7


# ---------------------------------------------------------------- bins

BORDERS = [0, 1, 2, 3, 4, *(2**k + d for k in range(3, 63) for d in (-1, 0, 1))]


def test_log2_bin_is_exact_at_every_border():
    found = pl.select(log2_bin(pl.lit(pl.Series(BORDERS, dtype=pl.Int64)))).to_series()
    assert found.to_list() == [naive.log2_bin(value) for value in BORDERS]


def test_log2_bin_of_unset_is_unset():
    found = pl.select(
        log2_bin(pl.lit(pl.Series([None, 0], dtype=pl.Int64)))
    ).to_series()
    assert found.to_list() == [None, -1]


# ---------------------------------------------------------------- directions


@pytest.mark.parametrize(
    ("orig", "resp", "direction"),
    [
        (False, True, "inbound"),
        (True, False, "outbound"),
        (True, True, "internal"),
        (False, False, "all"),
        (None, None, "all"),
        (None, True, "all"),
        (True, None, "all"),
        (None, False, "all"),
        (False, None, "all"),
    ],
)
def test_local_flags_tell_the_direction_where_both_are_known(orig, resp, direction):
    assert seen(local_orig=orig, local_resp=resp) == direction


@pytest.mark.parametrize(
    ("orig", "resp", "direction"),
    [
        ("192.0.2.9", "10.255.0.1", "inbound"),
        ("10.0.0.1", "11.0.0.1", "outbound"),
        ("10.0.0.1", "10.0.0.2", "internal"),
        ("192.0.2.9", "198.51.100.1", "all"),
        ("2001:db9::1", "2001:db8:ffff::1", "inbound"),
        ("2001:db8::1", "fe80::1", "outbound"),
        ("2001:DB8::1", "10.0.0.2", "internal"),
    ],
)
def test_networks_tell_the_direction_of_both_ip_versions(orig, resp, direction):
    assert seen(SITE, id__orig_h=orig, id__resp_h=resp) == direction


def test_networks_win_over_the_flags():
    flags = {"local_orig": False, "local_resp": True}
    assert seen(("10.0.0.0/8",), id__orig_h="10.0.0.1", **flags) == "outbound"


def test_rows_of_unknown_direction_count_for_the_whole_site_only():
    table = count(with_direction(ready([naive.row(naive.T0)])))["talk"]
    assert table.select("direction", "flows").rows() == [(0, 1)]


def test_directions_of_no_rows_are_none():
    for networks in ((), SITE):
        assert with_direction(naive.frame([]), networks)["direction"].to_list() == []


@pytest.mark.parametrize(
    "network", ["10.0.0.1/8", "10.0.0.0/33", "office", "", "2001:db8::/129"]
)
def test_wrong_network_is_a_configuration_error(network):
    with pytest.raises(ConfigError, match=r"site\.local_networks"):
        seen((network,))
