"""Community IDs: against the examples that the specification comes with."""

import make
import polars as pl
import pytest

from entropy_ids.alarms.community import community_ids

SIX = "fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea"
WEB = "128.232.110.120", 34855
BASELINE = [  # ends as in conn.log, then the ID without its version
    ("tcp", *WEB, "66.35.250.204", 80, "LQU9qZlK+B5F3KDmev6m5PMibrg="),
    ("tcp", "66.35.250.204", 80, *WEB, "LQU9qZlK+B5F3KDmev6m5PMibrg="),
    ("udp", "192.168.1.52", 54585, "8.8.8.8", 53, "d/FP5EW3wiY1vCndhwleRRKHowQ="),
    ("sctp", "192.168.170.8", 7, "192.168.170.56", 7, "MP2EtRCAUIZvTw6MxJHLV7N7JDs="),
    ("icmp", "192.168.0.89", 8, "192.168.0.1", 0, "X0snYXpgwiv9TZtqg64sgzUn6Dk="),
    ("icmp", "192.168.0.1", 0, "192.168.0.89", 8, "X0snYXpgwiv9TZtqg64sgzUn6Dk="),
    ("icmp", "10.0.0.1", 11, "10.0.0.2", 0, "YHxtAirCG//0OzkcVAukqKQN9xM="),
    ("icmp", SIX[0], 135, SIX[1], 136, "dGHyGvjMfljg6Bppwm3bg0LO8TY="),
    ("icmp", SIX[1], 136, SIX[0], 135, "dGHyGvjMfljg6Bppwm3bg0LO8TY="),
    ("icmp", SIX[1], 135, SIX[0], 136, "zavyT/cezQr1fmImYCwYnMXbgck="),
    ("icmp", SIX[1], 134, "ff02::1", 133, "pkvHqCL88/tg1k4cPigmZXUtL00="),
    (
        *("tcp", "2001:470:e5bf:dead:4957:2174:e82c:4887", 63943),
        *("2607:f8b0:400c:c03::1a", 25, "/qFaeAR+gFe1KYjMzVDsMv+wgU4="),
    ),
]  # fmt: skip
"""baseline_deflt.json of the specification; ports of ICMP are its type and code."""


def row(proto: str | None, orig_h, orig_p, resp_h, resp_p, **values) -> dict:
    ends = {"orig_h": orig_h, "orig_p": orig_p, "resp_h": resp_h, "resp_p": resp_p}
    return make.row(**(ends | {"proto": proto} | values))


@pytest.mark.parametrize("case", BASELINE, ids=lambda case: f"{case[0]}-{case[1]}")
def test_ids_are_those_of_the_specification(case):
    *ends, expected = case
    rows = make.minutes([row(*ends)]).rows
    assert community_ids(rows) == (f"1:{expected}",)


def test_there_is_one_id_for_each_connection_in_their_order():
    rows = make.minutes([row(*case[:5]) for case in BASELINE]).rows
    assert community_ids(rows) == tuple(f"1:{case[5]}" for case in BASELINE)


@pytest.mark.parametrize(
    "missing",
    [
        {"proto": "unknown_transport"},
        {"proto": None},
        {"orig_p": None},
        {"resp_h": None},
    ],
    ids=str,
)
def test_a_connection_without_protocol_or_end_has_an_empty_id(missing):
    rows = make.minutes([make.row(**missing), make.row()]).rows
    first, second = community_ids(rows)
    assert (first, second[:2]) == ("", "1:")


def test_of_no_connections_there_are_no_ids():
    assert community_ids(make.minutes([]).rows) == ()


def test_both_ways_of_a_connection_have_the_same_id():
    one = make.minutes([row("udp", "10.0.0.1", 5353, "10.0.0.2", 53)]).rows
    ways = {"id.orig_h": "id.resp_h", "id.orig_p": "id.resp_p"}
    turned = one.rename(ways | {to: name for name, to in ways.items()})
    assert community_ids(turned.select(pl.all())) == community_ids(one)
