"""Who made a minute strange: against a slow twin that counts with Counter."""

import ipaddress
from collections import Counter

import make
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_ids.alarms.contributors import (
    MOST_UIDS,
    MOST_VALUES,
    Usual,
    contributors,
    excess,
    label,
    leading,
    matching_uids,
)
from entropy_ids.types import Contributor

NOTHING = pd.DataFrame({"feature": [], "value": [], "share": []})


def usual_of(shares: dict[tuple[str, str], float]) -> pd.DataFrame:
    rows = [(feature, value, share) for (feature, value), share in shares.items()]
    return pd.DataFrame(rows, columns=["feature", "value", "share"])


def named(rows: list, usual: pd.DataFrame = NOTHING, deviating: tuple = ()) -> list:
    found = contributors(make.minutes(rows).tables, deviating, usual)
    return [(c.feature, c.value, c.flows) for c in found]


def values(found: list, feature: str) -> list[str]:
    return [value for name, value, _ in found if name == feature]


# ---------------------------------------------------------------------- slow twin


def naive_values(row: dict) -> dict[str, str]:
    bits = 32 if ":" in row["id.orig_h"] else 16
    network = ipaddress.ip_network((row["id.orig_h"], bits), strict=False)
    return {
        "orig_h": row["id.orig_h"],
        "orig_net": str(network),
        "resp_h": row["id.resp_h"],
        "resp_p": f"{row['id.resp_p']}/{row['proto']}",
        "service": row["service"] or "-",
        "conn_state": row["conn_state"] or "-",
    }


def naive_one(rows: list, feature: str, usual: dict) -> list[Contributor]:
    counts = Counter(naive_values(row)[feature] for row in rows)
    candidates = []
    for value, flows in counts.items():
        share = flows / len(rows)
        more = flows * (1 - usual.get((feature, value), 0.0) / share)
        if more > 0:
            candidates.append((more, value, flows, share))
    candidates.sort(key=lambda candidate: (-candidate[0], candidate[1]))
    left, found = 0.5 * sum(c[0] for c in candidates), []
    for more, value, flows, share in candidates[:5]:
        expected = usual.get((feature, value), 0.0)
        found.append(Contributor(feature, "all", value, flows, share, expected))
        left -= more
        if left <= 0:
            break
    return found


def explained(rows: list, found: list[Contributor], usual: dict) -> bool:
    """Tell whether the named sources make up half of what is too much."""
    counts = Counter(row["id.orig_h"] for row in rows)
    total = sum(
        max(0.0, flows - usual.get(("orig_h", value), 0.0) * len(rows))
        for value, flows in counts.items()
    )
    return sum(map(excess, found)) >= total / 2 - 1e-9


def naive_contributors(rows: list, deviating: set, usual: dict) -> list[Contributor]:
    sources = naive_one(rows, "orig_h", usual)
    found = list(sources)
    if not explained(rows, sources, usual):
        found += naive_one(rows, "orig_net", usual)
    found += naive_one(rows, "resp_h", usual) + naive_one(rows, "resp_p", usual)
    for feature in ("service", "conn_state"):
        found += naive_one(rows, feature, usual) if feature in deviating else []
    return found


ADDRESS = st.sampled_from(
    [f"10.{n % 3}.0.{n}" for n in range(12)] + ["2001:db8::1", "2001:db9:1::5"]
)
ROWS = st.lists(
    st.builds(
        make.row,
        ADDRESS,
        resp_h=ADDRESS,
        resp_p=st.sampled_from([53, 80, 443]),
        proto=st.sampled_from(["tcp", "udp"]),
        service=st.sampled_from([None, "dns", "ssl"]),
        conn_state=st.sampled_from([None, "SF", "S0"]),
    ),
    min_size=1,
    max_size=40,
)


@settings(deadline=None, max_examples=80)
@given(ROWS, ROWS, st.sets(st.sampled_from(["service", "conn_state", "duration"])))
def test_contributors_are_those_of_the_slow_twin(rows, training, deviating):
    counted = Usual()
    counted.add(make.minutes(training))
    usual = counted.table()
    shares = {(f, v): s for f, v, s in usual.itertuples(index=False)}
    found = contributors(make.minutes(rows).tables, deviating, usual)
    assert list(found) == naive_contributors(rows, deviating, shares)


# ------------------------------------------------------------------------- naming


def test_values_at_their_usual_share_are_never_named():
    rows = [make.row("10.0.0.1"), make.row("10.0.0.2"), make.row("10.0.0.3")] * 7
    counted = Usual()
    counted.add(make.minutes(rows * 5))
    assert named(rows, counted.table(), ("service", "conn_state")) == []


def test_a_value_below_its_usual_share_is_not_named():
    rows = [make.row("10.0.0.1")] + [make.row("10.0.0.2")] * 9
    usual = usual_of({("orig_h", "10.0.0.1"): 0.5, ("orig_h", "10.0.0.2"): 0.5})
    assert values(named(rows, usual), "orig_h") == ["10.0.0.2"]


def test_ties_are_named_in_the_order_of_their_values():
    rows = [make.row(f"10.0.0.{n}") for n in (7, 3, 9, 1, 5, 8)]
    assert values(named(rows), "orig_h") == ["10.0.0.1", "10.0.0.3", "10.0.0.5"]


def test_the_largest_excess_comes_first_not_the_largest_count():
    rows = [make.row("10.0.0.1")] * 60 + [make.row("10.0.0.2")] * 40
    usual = usual_of({("orig_h", "10.0.0.1"): 0.5, ("orig_h", "10.0.0.2"): 0.0})
    assert values(named(rows, usual), "orig_h") == ["10.0.0.2"]


def test_values_are_named_until_they_make_up_half_of_the_excess():
    numbers = {"10.0.0.1": 4, "10.0.0.2": 3, "10.0.0.3": 2, "10.0.0.4": 1}
    rows = [make.row(source) for source, n in numbers.items() for _ in range(n)]
    assert values(named(rows), "orig_h") == ["10.0.0.1", "10.0.0.2"]


def test_at_most_five_values_of_a_feature_are_named():
    rows = [make.row(f"10.{n}.0.1", resp_h=f"192.0.2.{n}") for n in range(50)]
    found = named(rows, deviating=("service", "conn_state"))
    counts = Counter(feature for feature, _, _ in found)
    assert max(counts.values()) == MOST_VALUES


def test_networks_are_named_when_no_few_addresses_explain_the_minute():
    rows = [make.row(f"198.51.{n}.7") for n in range(40)]
    assert values(named(rows), "orig_net") == ["198.51.0.0/16"]


def test_networks_are_not_named_when_an_address_explains_the_minute():
    rows = [make.row("198.51.100.7")] * 40 + [make.row(f"10.0.0.{n}") for n in range(9)]
    assert values(named(rows), "orig_net") == []


def test_networks_are_not_named_when_five_addresses_explain_the_minute():
    rows = [make.row(f"10.{n}.0.1") for n in range(10)]  # five of ten are half
    found = named(rows)
    assert len(values(found, "orig_h")) == MOST_VALUES
    assert values(found, "orig_net") == []


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


def test_service_and_state_are_named_only_when_they_deviate():
    rows = [make.row(conn_state="S0", service=None)] * 9
    assert values(named(rows), "conn_state") == []
    found = named(rows, deviating=("conn_state",))
    assert values(found, "conn_state") == ["S0"]
    assert values(found, "service") == []


def test_an_unset_value_is_named_by_a_dash():
    rows = [make.row(service=None)] * 9
    assert values(named(rows, deviating=("service",)), "service") == ["-"]


def test_a_port_is_named_with_its_protocol():
    rows = [make.row(resp_p=53, proto="udp")] * 9 + [make.row(resp_p=53)]
    assert values(named(rows), "resp_p") == ["53/udp"]


def test_a_contributor_tells_its_flows_and_both_shares():
    rows = [make.row("10.0.0.1")] * 3 + [make.row("10.0.0.2")]
    usual = usual_of({("orig_h", "10.0.0.1"): 0.25, ("orig_h", "10.0.0.2"): 0.75})
    first = contributors(make.minutes(rows).tables, (), usual)[0]
    assert first == Contributor("orig_h", "all", "10.0.0.1", 3, 0.75, 0.25)


def test_a_minute_without_connections_has_no_contributors():
    assert named([], deviating=("service", "conn_state")) == []


# -------------------------------------------------------------------- usual shares


def test_usual_shares_are_counted_over_all_minutes():
    counted = Usual()
    counted.add(make.minutes([make.row("10.0.0.1")] * 3))
    counted.add(make.minutes([make.row("10.0.0.2")], make.T0 + 60))
    table = counted.table()
    sources = table[table["feature"] == "orig_h"]
    assert sources["value"].tolist() == ["10.0.0.1", "10.0.0.2"]
    assert sources["share"].tolist() == [0.75, 0.25]


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
    counted = Usual()
    counted.add(make.minutes([make.row(f"10.0.0.{n}") for n in range(9)]))
    totals = counted.table().groupby("feature")["share"].sum()
    assert totals.tolist() == pytest.approx([1.0] * 6)


# ----------------------------------------------------------------- leading and uids


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
    found = matching_uids(rows, make.contributor("10.0.0.1"))
    assert found == ("C1", "C4", "C7")


def test_uids_are_capped():
    rows = numbered([make.row("10.0.0.1")] * (MOST_UIDS + 50))
    found = matching_uids(rows, make.contributor("10.0.0.1"))
    assert found == tuple(f"C{n}" for n in range(MOST_UIDS))


def test_unset_uids_are_left_out():
    rows = make.minutes([make.row(uid=None), make.row(uid="C7")]).rows
    assert matching_uids(rows, make.contributor("10.0.0.1")) == ("C7",)


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
    assert matching_uids(rows, contributor) == ("C1",)


def test_without_a_contributor_there_are_no_uids():
    assert matching_uids(numbered([make.row()]), None) == ()
