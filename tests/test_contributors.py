"""Who made a minute strange: against a slow twin that counts with Counter."""

import ipaddress
from collections import Counter
from math import sqrt

import make
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import batch, cut, traffic

from entropy_ids.alarms.contributors import (
    MOST_SETTERS,
    MOST_UIDS,
    MOST_VALUES,
    Heaviest,
    Seen,
    Usual,
    contributors,
    excess,
    label,
    leading,
    matching,
)
from entropy_ids.features.assembler import Assembler
from entropy_ids.features.catalog import NAMED
from entropy_ids.types import Contributor

NOTHING = pd.DataFrame({"feature": [], "value": [], "share": []})


def usual_of(shares: dict[tuple[str, str], float]) -> pd.DataFrame:
    rows = [(feature, value, share) for (feature, value), share in shares.items()]
    return pd.DataFrame(rows, columns=["feature", "value", "share"])


def named(rows: list, usual: pd.DataFrame = NOTHING) -> list:
    found = contributors(make.minutes(rows).tables, usual)
    return [(c.feature, c.value, c.flows) for c in found]


def values(found: list, feature: str) -> list[str]:
    return [value for name, value, _ in found if name == feature]


def counted(*parts: list) -> pd.DataFrame:
    """Give the usual shares of minutes that hold these connections."""
    usual = Usual()
    for number, rows in enumerate(parts):
        usual.add(make.minutes(rows, make.T0 + 60 * number))
    return usual.table()


# ---------------------------------------------------------------------- slow twin


def naive_value(row: dict, feature: str) -> str:
    bits = 32 if ":" in row["id.orig_h"] else 16
    network = ipaddress.ip_network((row["id.orig_h"], bits), strict=False)
    return {
        "orig_h": row["id.orig_h"],
        "orig_net": str(network),
        "resp_h": row["id.resp_h"],
        "resp_p": f"{row['id.resp_p']}/{row['proto']}",
        "service": row["service"] or "-",
        "conn_state": row["conn_state"] or "-",
        "orig_h_bytes": row["id.orig_h"],
        "resp_h_bytes": row["id.resp_h"],
        "resp_bytes": naive_range(row["resp_bytes"]),
    }[feature]


def naive_range(size: int | None) -> str:
    if not size:
        return "-" if size is None else "0"
    low = 2 ** (size.bit_length() - 1)
    return f"{low}-{2 * low - 1}"


def naive_bytes(row: dict) -> int:
    return (row["orig_bytes"] or 0) + (row["resp_bytes"] or 0)


def naive_one(rows: list, feature: str, usual: dict) -> list[Contributor]:
    by_bytes = feature.endswith("_h_bytes")
    flows, weights = Counter(), Counter()
    for row in rows:
        value = naive_value(row, feature)
        flows[value] += 1
        weights[value] += naive_bytes(row) if by_bytes else 1
    total = max(sum(weights.values()), 1)
    found = []
    for value, weight in weights.items():
        share, expected = weight / total, usual.get((feature, value), 0.0)
        limit = expected * total + 3 * sqrt(expected * total) + 2
        more = {"resp_bytes": 0.4}.get(feature, 0.25 if by_bytes else None)
        if share > expected + more if more else weight > limit:
            one = Contributor(feature, "all", value, flows[value], share, expected)
            found.append((expected - share, value, one))
    found.sort()
    most, left = [], sum(-less for less, _, _ in found) / 2
    while found and len(most) < 5 and (not most or left > 0):
        less, _, one = found.pop(0)
        most.append(one)
        left += less
    return most


def naive_contributors(rows: list, usual: dict) -> list[Contributor]:
    found = {feature: naive_one(rows, feature, usual) for feature in NAMED}
    telling = {feature: sum(map(excess, some)) for feature, some in found.items()}
    for feature, flows in telling.items():
        if not feature.endswith("_h_bytes") and flows < max(telling.values()) / 10:
            found[feature] = []
    if found["orig_h"]:
        found["orig_net"] = []
    return [one for feature in NAMED for one in found[feature]]


ADDRESS = st.sampled_from(
    [f"10.{n % 2}.0.{n}" for n in range(8)] + ["2001:db8::1", "2001:db9:1::5"]
)
ROW = st.builds(
    make.row,
    ADDRESS,
    resp_h=ADDRESS,
    resp_p=st.sampled_from([53, 80, 443]),
    proto=st.sampled_from(["tcp", "udp"]),
    service=st.sampled_from([None, "dns", "ssl"]),
    conn_state=st.sampled_from([None, "SF", "S0"]),
    orig_bytes=st.sampled_from([None, 0, 100, 5_000]),
    resp_bytes=st.sampled_from([None, 0, 1, 127, 128]),
)
ROWS = st.lists(st.tuples(ROW, st.integers(1, 9)), min_size=1, max_size=12).map(
    lambda some: [row for row, times in some for _ in range(times)]
)


@settings(deadline=None, max_examples=80)
@given(ROWS, ROWS)
def test_contributors_are_those_of_the_slow_twin(rows, training):
    usual = counted(training)
    shares = {(f, v): s for f, v, s in usual.itertuples(index=False)}
    found = contributors(make.minutes(rows).tables, usual)
    assert list(found) == naive_contributors(rows, shares)


# ------------------------------------------------------------------------- naming


def test_values_at_their_usual_share_are_never_named():
    rows = [make.row("10.0.0.1"), make.row("10.0.0.2"), make.row("10.0.0.3")] * 7
    assert named(rows, counted(rows * 5)) == []


def test_a_value_below_its_usual_share_is_not_named():
    rows = [make.row("10.0.0.1")] + [make.row("10.0.0.2")] * 9
    usual = usual_of({("orig_h", "10.0.0.1"): 0.5, ("orig_h", "10.0.0.2"): 0.1})
    assert values(named(rows, usual), "orig_h") == ["10.0.0.2"]


@pytest.mark.parametrize(("flows", "are"), [(2, False), (3, True)])
def test_a_value_never_seen_before_is_named_from_three_flows_on(flows, are):
    usual = counted([make.row("10.0.0.1")])
    rows = [make.row("10.0.0.1")] * 50 + [make.row("10.0.0.2")] * flows
    assert values(named(rows, usual), "orig_h") == ["10.0.0.2"] * are


@pytest.mark.parametrize(("flows", "are"), [(30, False), (31, True)])
def test_flows_must_pass_the_usual_number_by_three_sigmas_and_two(flows, are):
    usual = counted([make.row("10.0.0.1")] * 3 + [make.row("10.0.0.2")])
    rows = [make.row("10.0.0.2")] * flows + [make.row("10.0.0.1")] * (64 - flows)
    assert values(named(rows, usual), "orig_h") == ["10.0.0.2"] * are


@pytest.mark.parametrize(("flows", "are"), [(3, False), (4, True)])
def test_values_must_make_up_a_tenth_of_what_the_most_telling_feature_has(flows, are):
    usual = counted([make.row("10.0.0.1")])
    flood = [make.row("10.0.0.1", resp_h="192.0.2.9")] * (40 - flows)
    flood += [make.row("10.0.0.2", resp_h="192.0.2.9")] * flows
    found = named(flood + [make.row("10.0.0.1")] * 60, usual)
    assert values(found, "resp_h") == ["192.0.2.9"]
    assert values(found, "orig_h") == ["10.0.0.2"] * are


@pytest.mark.parametrize(("sent", "are"), [(50, False), (51, True)])
def test_bytes_must_pass_the_usual_share_by_a_quarter(sent, are):
    shares = {("orig_h_bytes", "10.0.0.1"): 0.25, ("orig_h_bytes", "10.0.0.2"): 0.75}
    one = make.row("10.0.0.1", orig_bytes=sent)
    other = make.row("10.0.0.2", orig_bytes=100 - sent)
    found = named([one, other], usual_of(shares))
    assert values(found, "orig_h_bytes") == ["10.0.0.1"] * are


def test_ties_are_named_in_the_order_of_their_values():
    rows = [make.row(f"10.0.0.{n}") for n in (7, 3, 9, 1, 5, 8)] * 3
    assert values(named(rows), "orig_h") == ["10.0.0.1", "10.0.0.3", "10.0.0.5"]


def test_the_largest_excess_comes_first_not_the_largest_count():
    rows = [make.row("10.0.0.1")] * 60 + [make.row("10.0.0.2")] * 40
    usual = usual_of({("orig_h", "10.0.0.1"): 0.3, ("orig_h", "10.0.0.2"): 0.0})
    assert values(named(rows, usual), "orig_h") == ["10.0.0.2"]


def test_values_are_named_until_they_make_up_half_of_the_excess():
    numbers = {"10.0.0.1": 40, "10.0.0.2": 30, "10.0.0.3": 20, "10.0.0.4": 10}
    rows = [make.row(source) for source, n in numbers.items() for _ in range(n)]
    assert values(named(rows), "orig_h") == ["10.0.0.1", "10.0.0.2"]


def test_at_most_five_values_of_a_feature_are_named():
    usual = counted([make.row("172.16.0.1", resp_h="172.16.0.2")])
    rows = [make.row(f"10.{n}.0.1", resp_h=f"192.0.2.{n}") for n in range(50)] * 3
    counts = Counter(feature for feature, _, _ in named(rows, usual))
    assert counts == {"orig_h": MOST_VALUES, "resp_h": MOST_VALUES}


def test_networks_are_named_when_no_address_stands_out():
    rows = [make.row(f"198.51.{n}.7") for n in range(40)]
    assert values(named(rows), "orig_h") == []
    assert values(named(rows), "orig_net") == ["198.51.0.0/16"]


def test_networks_are_not_named_when_an_address_stands_out():
    usual = counted([make.row(f"10.0.0.{n}") for n in range(90)])
    rows = [make.row("198.51.100.7")] * 3 + [make.row(f"10.0.0.{n}") for n in range(90)]
    assert values(named(rows, usual), "orig_h") == ["198.51.100.7"]
    assert values(named(rows, usual), "orig_net") == []


def test_of_a_floods_many_sources_those_drawn_thrice_are_no_culprits():
    sources = [f"198.51.{n}.7" for n in range(80)]
    found = named([make.row(source) for source in [*sources, *sources[:2] * 2]])
    assert values(found, "orig_h") == []
    assert values(found, "orig_net") == ["198.51.0.0/16"]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.1.0.0/16"),
        ("255.255.255.255", "255.255.0.0/16"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8::/32"),
        ("2001:db8::1", "2001:db8::/32"),
        ("fe80::1", "fe80::/32"),
        ("2001::5", "2001::/32"),
        ("::1", "::/32"),
    ],
)
def test_the_network_of_an_address_is_the_one_that_holds_it(address, network):
    frame = pl.DataFrame({"id.orig_h": [address]})
    assert frame.select(label("orig_net")).item() == network
    assert ipaddress.ip_address(address) in ipaddress.ip_network(network)


def test_an_unset_value_is_named_by_a_dash():
    rows = [make.row(service=None)] * 9
    assert values(named(rows), "service") == ["-"]


def test_a_port_is_named_with_its_protocol():
    rows = [make.row(resp_p=53, proto="udp")] * 9 + [make.row(resp_p=53)]
    assert values(named(rows), "resp_p") == ["53/udp"]


def test_a_contributor_tells_its_flows_and_both_shares():
    rows = [make.row("10.0.0.1")] * 75 + [make.row("10.0.0.2")] * 25
    usual = usual_of({("orig_h", "10.0.0.1"): 0.25, ("orig_h", "10.0.0.2"): 0.75})
    first = contributors(make.minutes(rows).tables, usual)[0]
    assert first == Contributor("orig_h", "all", "10.0.0.1", 75, 0.75, 0.25)


def test_a_contributor_by_bytes_tells_its_flows_and_its_share_of_bytes():
    rows = [make.row("10.0.0.1", orig_bytes=300, resp_bytes=600)] * 2
    rows += [make.row("10.0.0.2", orig_bytes=100)] * 2
    found = contributors(make.minutes(rows).tables, NOTHING)
    [one] = [c for c in found if c.feature == "orig_h_bytes"]
    assert one == Contributor("orig_h_bytes", "all", "10.0.0.1", 2, 0.9, 0.0)


def test_a_minute_without_bytes_names_nobody_by_bytes():
    rows = [make.row(orig_bytes=None, resp_bytes=0)] * 9
    assert {feature for feature, _, _ in named(rows)} == {
        *("orig_h", "resp_h", "resp_p", "service", "conn_state", "resp_bytes")
    }


def test_a_minute_without_connections_has_no_contributors():
    assert named([]) == []


# -------------------------------------------------------------------- usual shares


def test_usual_shares_are_counted_over_all_minutes():
    table = counted([make.row("10.0.0.1")] * 3, [make.row("10.0.0.2")])
    sources = table[table["feature"] == "orig_h"]
    assert sources["value"].tolist() == ["10.0.0.1", "10.0.0.2"]
    assert sources["share"].tolist() == [0.75, 0.25]


def test_usual_shares_of_addresses_by_bytes_are_of_bytes():
    rows = [make.row("10.0.0.1", orig_bytes=100)] * 3
    table = counted([*rows, make.row("10.0.0.2", orig_bytes=700)])
    sources = table[table["feature"] == "orig_h_bytes"]
    assert sources["value"].tolist() == ["10.0.0.2", "10.0.0.1"]
    assert sources["share"].tolist() == pytest.approx([0.7, 0.3])


def test_usual_shares_are_the_same_whatever_the_order_of_the_minutes():
    parts = [make.minutes([make.row(f"10.0.0.{n % 7}")] * n) for n in range(1, 20)]
    tables = []
    for order in (parts, parts[::-1]):
        counted = Usual()
        for part in order:
            counted.add(part)
        tables.append(counted.table())
    pd.testing.assert_frame_equal(*tables)


def test_usual_shares_of_a_feature_add_to_one():
    table = counted([make.row(f"10.0.0.{n}", orig_bytes=n) for n in range(9)])
    totals = table.groupby("feature")["share"].sum()
    assert totals.to_dict() == pytest.approx(dict.fromkeys(NAMED, 1.0))


# ------------------------------------------------------------------ heaviest values

KEYS = {
    "orig_h": ("id.orig_h",),
    "resp_h": ("id.resp_h",),
    "orig_p": ("id.orig_p",),
    "resp_p": ("id.resp_p", "proto"),
    "pair": ("id.orig_h", "id.resp_h"),
}


def closed(minutes: int, at: list[int]) -> list:
    """Close minutes whose rows are read in blocks that begin at these rows."""
    rows = [r for n in range(minutes) for r in traffic(n, make.T0 + 60 * n, 30)]
    whole = batch([row | {"uid": f"C{number}"} for number, row in enumerate(rows)])
    assembler = Assembler()
    parts = [part for one in cut(whole, at) for part in assembler.push("", one)]
    return [*parts, *assembler.finish()]


def heaviest(parts: list) -> pd.DataFrame:
    found = Heaviest()
    for part in parts:
        found.add(part)
    return found.table()


def naive_heaviest(rows: list[dict], key: tuple[str, ...]) -> tuple[str, list[str]]:
    """Give the most frequent value, the first seen of equals, and its first uids."""
    texts = ["/".join(str(row[name]) for name in key) for row in rows]
    [(value, _)] = Counter(texts).most_common(1)
    uids = [row["uid"] for row, text in zip(rows, texts, strict=True) if text == value]
    return value, uids[:MOST_SETTERS]


def test_the_heaviest_values_of_every_minute_are_those_of_the_slow_twin():
    parts = closed(7, [])
    rows = pl.concat(part.rows for part in parts).sort("minute", maintain_order=True)
    table = heaviest(parts)
    assert len(table) == 7 * len(KEYS)
    for one in table.itertuples():
        here = rows.filter(pl.col("minute") == int(one.minute.timestamp()))
        expected = naive_heaviest(here.to_dicts(), KEYS[one.key])
        assert (one.value, list(one.uids)) == expected


@pytest.mark.parametrize("at", [range(0, 210, 7), [1, 100, 101], range(0, 210, 3)])
def test_the_heaviest_values_do_not_depend_on_the_blocks_that_are_read(at):
    pd.testing.assert_frame_equal(heaviest(closed(7, at)), heaviest(closed(7, [])))


def test_of_equally_heavy_values_the_first_seen_is_kept():
    rows = [make.row(f"10.0.0.{n}", uid=f"C{n}") for n in (7, 3, 9, 3, 7)]
    table = heaviest([make.minutes(rows)]).set_index("key")
    assert table.loc["orig_h", "value"] == "10.0.0.7"
    assert list(table.loc["orig_h", "uids"]) == ["C7", "C7"]


def test_the_heaviest_values_of_nothing_are_an_empty_table():
    table = heaviest([make.minutes([])])
    assert list(table.columns) == ["minute", "key", "value", "uids"]
    assert table.empty


def test_training_sees_usual_shares_and_heaviest_values():
    seen, minutes = Seen(), make.minutes([make.row("10.0.0.1")] * 3)
    seen.add(minutes)
    assert set(seen.usual.table()["feature"]) == set(NAMED)
    assert set(seen.heaviest.table()["key"]) == set(KEYS)


# ----------------------------------------------------------------- leading and uids


def test_sizes_do_not_lead():
    size = make.contributor("0", feature="resp_bytes", flows=90, share=0.9)
    host = make.contributor("10.0.0.1", flows=50, share=0.5)
    assert leading((size, host)) is host
    assert leading((size,)) is None


def test_the_largest_excess_of_all_features_leads():
    few = make.contributor("10.0.0.1", flows=50, share=0.5, usual_share=0.4)
    many = make.contributor("22/tcp", feature="resp_p", flows=40, share=0.4)
    assert leading((few, many)) is many
    assert leading(()) is None


def numbered(rows: list[dict]) -> pl.DataFrame:
    rows = [row | {"uid": f"C{n}"} for n, row in enumerate(rows)]
    return make.minutes(rows).rows


def test_uids_of_a_value_stand_in_file_order():
    rows = numbered([make.row(f"10.0.0.{n % 3}") for n in range(9)])
    found = matching(rows, make.contributor("10.0.0.1"))["uid"]
    assert found.to_list() == ["C1", "C4", "C7"]


def test_uids_are_capped():
    rows = numbered([make.row("10.0.0.1")] * (MOST_UIDS + 50))
    found = matching(rows, make.contributor("10.0.0.1"))["uid"]
    assert found.to_list() == [f"C{n}" for n in range(MOST_UIDS)]


def test_unset_uids_are_left_out():
    rows = make.minutes([make.row(uid=None), make.row(uid="C7")]).rows
    found = matching(rows, make.contributor("10.0.0.1"))["uid"]
    assert found.to_list() == ["C7"]


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        ("orig_net", "10.0.0.0/16"),
        ("resp_h", "192.0.2.1"),
        ("resp_p", "443/tcp"),
        ("service", "-"),
        ("conn_state", "SF"),
    ],
)
def test_uids_are_found_by_every_feature(feature, value):
    other = make.row("172.16.0.1", resp_h="x", resp_p=1, conn_state="S0")
    rows = numbered([other, make.row(service=None)])
    contributor = make.contributor(value, feature=feature)
    assert matching(rows, contributor)["uid"].to_list() == ["C1"]


def test_without_a_contributor_there_are_no_uids():
    assert matching(numbered([make.row()]), None).is_empty()
