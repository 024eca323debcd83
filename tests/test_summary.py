"""The sentence that tells an analyst what was seen."""

import make
import pytest

from entropy_ids.alarms.incidents import BASE_SEVERITY
from entropy_ids.alarms.summary import SAYINGS, summary
from entropy_ids.profile.signatures import UNNAMED
from entropy_ids.types import MINUTE_S

SCAN_SIZE = make.deviation("pair_ports.all.log2", "high", value=9.66, high=5.36, r=3.1)


def told(**values) -> str:
    return summary(make.alarm(**values))


def test_a_scan_says_who_tried_how_many_ports_of_whom():
    who = make.contributor("10.20.3.7"), make.contributor("10.20.0.9", feature="resp_h")
    ports = make.deviation("resp_p.all.renyi.1", "dispersed", r=3.1)
    text = told(contributors=who, deviations=(SCAN_SIZE, ports))
    assert text == (
        "port-scan: 10.20.3.7 tried 808 ports of 10.20.0.9 in one minute; usual at "
        "most 40; resp_p dispersed (r 3.1)"
    )


def test_an_incident_of_several_minutes_tells_its_worst():
    text = told(end=make.T0 + 3 * MINUTE_S, deviations=(SCAN_SIZE,))
    assert " in the worst of 3 minutes; " in text


def test_what_comes_less_than_usual_tells_the_least_usual():
    few = make.deviation("flows.all.log2", "low", value=3.81, low=6.33, r=-1.5)
    text = told(class_name="outage", deviations=(few,))
    assert "only 13 connections came" in text
    assert "usual at least 79" in text


def test_more_than_two_culprits_are_counted():
    many = tuple(make.contributor(f"10.0.0.{n}") for n in range(1, 6))
    text = told(class_name="worm", contributors=many)
    assert "10.0.0.1, 10.0.0.2 and 3 more" in text


def test_networks_stand_for_sources_where_no_source_stands_out():
    nets = (make.contributor("198.19.0.0/16", feature="orig_net"),)
    assert "(198.19.0.0/16)" in told(class_name="ddos", contributors=nets)


def test_a_tunnel_that_names_show_says_who_asked_for_how_many_below_what():
    who = (
        make.contributor("10.20.3.7", feature="dns_orig_h"),
        make.contributor("tun.example", feature="domain"),
    )
    names = make.deviation("max_names.all.log2", "high", value=5.83, high=2.0, r=3.1)
    text = told(class_name="dns-tunnel", contributors=who, deviations=(names,))
    assert "10.20.3.7 asked for 56 names below tun.example in one minute" in text
    assert "usual at most 3" in text


def test_failed_logins_are_said_before_connections_to_login_ports():
    who = (make.contributor("198.19.66.6", feature="login_orig_h"),)
    many = make.deviation("logins.all.log2", "high", value=9.0, high=5.0, r=2.0)
    failed = make.deviation("max_failures.all.log2", "high", value=5.09, high=1.0)
    both = told(class_name="brute-force", contributors=who, deviations=(many, failed))
    assert "198.19.66.6 failed to log in 33 times in one minute" in both
    alone = told(class_name="brute-force", deviations=(many,))
    assert "knocked 511 times" in alone


def test_a_size_inside_its_bounds_is_no_figure():
    assert "tried many ports" in told(deviations=())


def test_an_incident_without_a_class_tells_what_leads():
    values = {"feature": "resp_p", "share": 0.75, "usual_share": 0.002}
    odd = (make.contributor("8530/tcp", **values),)
    text = told(class_name=UNNAMED, contributors=odd, deviations=())
    assert text == (
        "unusual: resp_p 8530/tcp has 75% of flows in one minute; usual <1%; no single "
        "entropy outside"
    )


def test_an_incident_of_nothing_says_so():
    text = told(class_name=UNNAMED, contributors=(), deviations=())
    assert "no value stands out" in text
    assert "no single entropy outside" in text


@pytest.mark.parametrize("class_name", sorted(BASE_SEVERITY))
def test_every_class_has_words(class_name):
    assert class_name in {*SAYINGS, UNNAMED}
    assert told(class_name=class_name, contributors=()).count("{") == 0
