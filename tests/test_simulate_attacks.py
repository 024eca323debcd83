"""Generated attacks: what all keep to, how each looks, and when they come."""

import csv
import datetime as dt
from functools import cache
from ipaddress import ip_address, ip_network
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from zeek import read_conn

from entropy_ids.errors import ConfigError
from entropy_ids.simulate import (
    ATTACKS,
    DAY_S,
    Simulation,
    Trial,
    every_class,
    midnight,
    schedule,
    simulate,
    usual,
)
from entropy_ids.simulate.attacks import USUAL
from entropy_ids.simulate.captures import read_captures
from entropy_ids.simulate.flows import FIELDS, HINTS
from entropy_ids.simulate.labels import Label, write_labels

DAY = dt.date(2026, 3, 6)
START = midnight(DAY) + 36_000.0
CLASSES = {
    "port-scan", "network-scan", "dos", "ddos", "worm", "brute-force", "dns-tunnel",
    "exfiltration", "point-to-multipoint", "flash-crowd", "outage", "beacon",
}  # fmt: skip
EVERY = pytest.mark.parametrize("name", [name for name in ATTACKS if name != "outage"])

#: The capture that a generated attack should look like.
LIKE = {
    "port-scan": "vscan-slow60",
    "port-scan-udp": "udpscan-default",
    "network-scan": "hscan-445-fast",
    "network-scan-ping": "pingsweep-fast",
    "dos": "synflood-one-300",
    "dos-http": "httpflood-low",
    "ddos": "synflood-many-500",
    "ddos-http": "httpflood-botnet",
    "ddos-amplification": "udpamp-dns-500",
    "worm": "worm-mid",
    "brute-force": "sshbrute-hydra16",
    "brute-force-http": "httplogin-slow",
    "dns-tunnel": "dnstunnel-random-mid",
    "exfiltration": "exfil-https",
    "point-to-multipoint": "spam-mid",
    "flash-crowd": "flashcrowd-mid",
    "beacon": "beacon-30-jitter",
}


@cache
def made(
    name: str, seed: int = 1, intensity: float = 1.0
) -> tuple[pl.DataFrame, Label]:
    duration_s, rate = USUAL[name]
    return ATTACKS[name](
        START, duration_s=duration_s, flows_per_minute=rate * intensity, seed=seed
    )


def inside(host: str, networks: tuple[str, ...]) -> bool:
    return any(ip_address(host) in ip_network(network) for network in networks)


def between(rows: pl.DataFrame, label: Label) -> list[bool]:
    """Tell which rows lie between the label's two sides, either way round."""
    return [
        any(inside(a, label.attackers) and inside(b, label.victims) for a, b in ways)
        for x, y in rows.select("id.orig_h", "id.resp_h").iter_rows()
        for ways in [((x, y), (y, x))]
    ]


def few_or_many(rows: pl.DataFrame) -> list[bool]:
    """Tell of both hosts and both ports whether more than five values occur."""
    columns = ("id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p")
    return [rows[column].n_unique() > 5 for column in columns]


def endings(rows: pl.DataFrame) -> list[tuple]:
    """Give protocol, state and history of rows, the most common first."""
    found = rows.group_by("proto", "conn_state", "history").len()
    return [row[:3] for row in found.sort("len", descending=True).iter_rows()]


@EVERY
def test_flows_begin_within_the_label(name):
    flows, label = made(name)
    assert (label.start, label.end) == (START, START + USUAL[name][0])
    assert flows["ts"].is_between(label.start, label.end, closed="left").all()
    assert flows["ts"].max() - flows["ts"].min() > 0.8 * USUAL[name][0]


@EVERY
def test_every_row_lies_between_attackers_and_victims(name):
    assert all(between(*made(name)))


@EVERY
def test_whoever_the_site_does_not_talk_to_is_labelled(name):
    flows, label = made(name)
    hosts = set(flows["id.orig_h"]) | set(flows["id.resp_h"])
    strangers = {host for host in hosts if host.startswith(("198.19.", "10.20.3."))}
    assert strangers
    assert not any(host.startswith("198.18.") for host in hosts)
    assert all(inside(host, label.attackers + label.victims) for host in strangers)


@EVERY
def test_same_seed_gives_the_same_rows_and_another_gives_others(name):
    flows, _ = made(name)
    again, _ = made.__wrapped__(name)
    other, _ = made(name, seed=2)
    assert flows.equals(again)
    assert not set(flows["uid"]) & set(other["uid"])
    assert not flows["ts"].equals(other["ts"])


@EVERY
def test_the_rate_is_met_and_grows_with_the_intensity(name):
    duration_s, rate = USUAL[name]
    usually, twice = len(made(name)[0]), len(made(name, intensity=2.0)[0])
    assert usually == round(duration_s * rate / 60)
    assert twice == 2 * usually


@EVERY
def test_even_the_weakest_attack_has_a_flow(name):
    flows, _ = ATTACKS[name](START, duration_s=60, flows_per_minute=0.01, seed=1)
    assert len(flows) == 1


@EVERY
def test_rows_have_the_columns_of_flows_and_are_written_after_their_end(name):
    flows, _ = made(name)
    assert flows.columns == [*FIELDS, *HINTS, "written"]
    after = flows["written"] - flows["ts"] - flows["duration"].fill_null(0.0)
    assert after.is_between(5.0, 60.5).all()


@EVERY
def test_the_name_begins_with_the_class(name):
    _, label = made(name)
    assert name.startswith(label.attack_class)
    assert label.attack_class in CLASSES


@pytest.mark.shared
@pytest.mark.parametrize("name", LIKE)
def test_an_attack_looks_like_a_real_one(name, shared_data):
    (capture,) = read_captures(shared_data / "attacks" / LIKE[name])
    flows, label = made(name)
    real = capture.logs["conn"]
    assert capture.label.attack_class in (label.attack_class, "ddos")
    assert few_or_many(flows) == few_or_many(real)
    assert endings(flows)[0] in endings(real)


@pytest.mark.shared
def test_no_history_is_invented(shared_data):
    captures = read_captures(shared_data / "attacks")
    real = {ending for c in captures for ending in endings(c.logs["conn"])}
    assert {e for name in LIKE for e in endings(made(name)[0])} <= real


def test_a_port_scan_is_mostly_refused_and_finds_a_few_ports_open():
    flows, _ = made("port-scan")
    assert flows["id.resp_p"].n_unique() == len(flows)
    states = dict(flows["conn_state"].value_counts().iter_rows())
    assert states["REJ"] > states["S0"] > states["RSTO"] > 0


def test_a_udp_scan_is_answered_by_one_row_as_long_as_itself():
    flows, label = made("port-scan-udp")
    (answer,) = flows.filter(pl.col("proto") == "icmp").iter_rows(named=True)
    assert (answer["id.orig_h"],) == label.victims
    assert answer["duration"] > 0.95 * (label.end - label.start)


def test_a_ping_sweep_never_pings_a_host_twice_within_a_minute():
    flows, _ = made("network-scan-ping")
    waits = flows.group_by("id.resp_h").agg(pl.col("ts").diff().min())["ts"]
    assert waits.min() > 60


def test_amplification_is_logged_the_other_way_round():
    flows, label = made("ddos-amplification")
    assert set(flows["id.orig_h"]) == set(label.victims)
    assert set(flows["conn_state"]) == {"SHR"}
    assert flows["orig_pkts"].sum() == flows["orig_bytes"].sum() == 0
    assert flows["resp_bytes"].min() > 2000


def test_a_worm_grows():
    flows, label = made("worm")
    thirds = np.histogram(flows["ts"], 3, (label.start, label.end))[0]
    assert thirds[2] > 1.5 * thirds[1] > 1.5 * 1.5 * thirds[0]
    assert flows.head(50)["id.orig_h"].n_unique() == 2
    assert flows.tail(100)["id.orig_h"].n_unique() == 12


def test_guessed_logins_fail():
    assert made("brute-force")[0]["failed"].all()
    assert made("brute-force-http")[0]["failed"].all()
    assert made("flash-crowd")[0]["failed"].null_count() == len(made("flash-crowd")[0])


def test_a_tunnel_asks_for_long_names_under_one_domain_and_none_twice():
    names = made("dns-tunnel")[0]["name"]
    assert names.n_unique() == len(names)
    assert names.str.len_chars().min() > 160
    assert names.str.split(".").list.tail(3).list.join(".").n_unique() == 1


def test_exfiltration_is_few_connections_with_tens_of_megabytes_out():
    flows, _ = made("exfiltration")
    assert len(flows) == 30
    assert flows["orig_bytes"].is_between(20e6, 60e6).all()
    assert flows["resp_bytes"].max() < 20_000


def test_spam_goes_to_hundreds_of_servers_after_a_look_up_each():
    flows, _ = made("point-to-multipoint")
    lookups = flows.filter(pl.col("service") == "dns")
    mails = flows.filter(pl.col("service") == "smtp")
    assert len(lookups) == len(mails)
    assert mails["id.resp_h"].n_unique() > 300
    ahead = mails.sort("ts").join_asof(
        lookups.sort("ts"), on="ts", by="name", check_sortedness=False
    )
    assert ahead["uid_right"].null_count() == 0


def test_a_crowd_comes_and_goes_with_a_few_connections_each():
    flows, label = made("flash-crowd")
    thirds = np.histogram(flows["ts"], 3, (label.start, label.end))[0]
    assert thirds[1] > 2 * thirds[0] < 3 * thirds[2]
    each = flows["id.orig_h"].value_counts()["count"]
    assert 1 < each.mean() < 3
    assert set(flows["conn_state"]) == {"SF"}


def test_a_beacon_calls_every_minute_within_a_fifth():
    flows, _ = made("beacon")
    waits = flows["ts"].diff().drop_nulls()
    assert waits.is_between(60 - 24, 60 + 24).all()
    assert waits.std() > 5


def test_an_outage_has_no_rows_and_takes_nine_tenths_of_the_others():
    placed = usual("outage").place(START, 1)
    assert len(placed.logs["conn"]) == 0
    assert (placed.lost, placed.label.attackers, placed.label.victims) == (0.9, (), ())


def test_sibling_rows_tell_of_the_attack():
    logs = usual("brute-force").place(START, 1).logs
    assert set(logs["ssh"]["uid"]) == set(logs["conn"]["uid"])
    assert set(logs["ssh"]["auth_success"]) == {"F"}


def test_an_unknown_attack_is_refused():
    with pytest.raises(ConfigError, match=r"expected one of port-scan, .* found 'x'"):
        usual("x")


def test_every_class_is_planned_once():
    plans = every_class(1)
    labels = [plan.place(START, 1).label for plan in plans]
    assert {label.attack_class for label in labels} == CLASSES
    assert len(labels) == len(CLASSES)
    assert {label.name for label in labels} <= set(ATTACKS)


def test_attacks_lie_apart_by_day_and_by_night():
    first, last = midnight(DAY), midnight(DAY) + 4 * DAY_S
    plans = [usual("dos", intensity=0.01)] * 60
    placed = schedule(plans, first, last, seed=1)
    labels = [p.label for p in placed]
    assert all(b.start - a.end >= 70 * 60 for a, b in pairwise(labels))
    assert labels[0].start >= first + 3600
    assert labels[-1].end <= last - 3600
    hours = {int(label.start) // 3600 % 24 for label in labels}
    assert len(hours & {9, 10, 11, 12, 13, 14, 15, 16}) >= 6
    assert len(hours & {22, 23, 0, 1, 2, 3, 4, 5}) >= 6


def test_a_schedule_is_the_same_for_the_same_seed():
    first, last = midnight(DAY), midnight(DAY) + DAY_S
    one, same, other = (
        [p.label for p in schedule(every_class(1), first, last, seed=seed)]
        for seed in (1, 1, 2)
    )
    assert one == same != other


def test_too_little_time_for_all_attacks_is_refused():
    with pytest.raises(ConfigError, match=r"at least 39 hours .* 30 attacks .* 24"):
        schedule([usual("dos")] * 30, 0.0, 86_400.0, seed=1)


def test_classes_come_within_the_last_third_of_the_days():
    first, last = midnight(DAY), midnight(DAY) + 6 * DAY_S
    placed = Trial(classes=True).place(first, last)
    assert min(p.label.start for p in placed) >= last - 2 * DAY_S
    (only, *_) = Trial(classes=True, last_days=1).place(first, last)
    assert only.label.start >= last - DAY_S


@pytest.mark.parametrize("rule", ["10.20.0.0/16", "a=b", "10.0.0.1=10.0.0.0/8"])
def test_a_rule_that_renames_nothing_is_refused(rule):
    trial = Trial(classes=True, rename=(rule,))
    with pytest.raises(ConfigError, match=r"expected .* found '?" + rule):
        trial.place(0.0, 86_400.0)


def test_labels_are_read_back_as_written(tmp_path):
    late = Label(1e9 + 0.25, 1e9 + 60.25, "ddos", ("198.19.0.0/17",), ("a", "b"), "x,1")
    early = Label(9e8, 9e8, "outage", (), (), scale=0.1)
    write_labels(tmp_path, [late, early])
    with (tmp_path / "labels.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["class"], first["attackers"], first["scale"]) == ("outage", "", "0.1")
    assert second["start"] == "2001-09-09T01:46:40Z"
    assert second["end"] == "2001-09-09T01:47:41Z"
    assert second["victims"].split() == ["a", "b"]
    assert (second["name"], second["scale"]) == ("x,1", "1")


def site(out: Path, **how) -> Simulation:
    """Write one day of a small office, without sibling logs."""
    settings = {"days": 1, "start": DAY, "seed": 5, "volume": 0.1, "siblings": False}
    return simulate(out, **(settings | how))


@pytest.fixture(scope="module")
def befallen(tmp_path_factory) -> tuple[Simulation, pl.DataFrame, list]:
    """Hold a small office on which attacks and an outage fell, and its rows."""
    plans = [usual(name) for name in ("port-scan", "ddos", "worm", "outage")]
    placed = schedule(plans, START - 5000, START + 30_000, seed=1)
    made = site(tmp_path_factory.mktemp("office"), attacks=placed)
    rows = pl.concat([read_conn(file).flows.frame for file in made.files])
    return made, rows, placed


def test_an_archive_holds_the_rows_of_each_attack_and_labels_tell_them(befallen):
    _, rows, placed = befallen
    begin = rows["ts"].dt.epoch("us") / 1e6
    for attack in placed:
        span = (attack.label.start, attack.label.end)
        during = rows.filter(begin.is_between(*span, closed="left"))
        theirs = during.filter(pl.Series(between(during, attack.label), dtype=bool))
        assert set(theirs["uid"]) == set(attack.logs["conn"]["uid"])
        assert len(theirs) == len(attack.logs["conn"])


def test_an_outage_leaves_a_tenth_of_the_rows(befallen, tmp_path):
    _, rows, placed = befallen
    (label,) = (p.label for p in placed if p.lost)
    quiet = pl.concat(
        [read_conn(file).flows.frame for file in site(tmp_path / "quiet").files]
    )
    left, usually = (
        (t["ts"].dt.epoch("us") / 1e6).is_between(label.start, label.end).sum()
        for t in (rows, quiet)
    )
    assert usually > 50
    assert 0 < left < 0.25 * usually


def test_a_day_with_attacks_alone_is_the_same_as_in_a_longer_run(tmp_path):
    placed = schedule([usual("dos"), usual("outage")], START, START + 30_000, seed=1)
    alone = site(tmp_path / "alone", attacks=placed)
    eve = DAY - dt.timedelta(days=1)
    longer = site(tmp_path / "longer", attacks=placed, days=2, start=eve)
    todays = [file for file in longer.files if file.parent.name == str(DAY)]
    assert [file.read_bytes() for file in alone.files] == [
        file.read_bytes() for file in todays
    ]


def test_an_attack_that_ends_after_midnight_is_written_on_both_days(tmp_path):
    late = midnight(DAY) + DAY_S - 120.0
    placed = usual("dos").place(late, 1)
    made = site(tmp_path, days=2, attacks=[placed])
    days = {
        file.parent.name
        for file in made.files
        if set(read_conn(file).flows.frame["uid"]) & set(placed.logs["conn"]["uid"])
    }
    assert days == {str(DAY), str(DAY + dt.timedelta(days=1))}


def test_attacks_outside_the_days_or_over_each_other_are_refused(tmp_path):
    outside = usual("dos").place(midnight(DAY) - 60.0, 1)
    with pytest.raises(
        ConfigError, match=r"between 2026-03-06.* found dos from 2026-03-05"
    ):
        site(tmp_path, attacks=[outside])
    twice = [usual("dos").place(START + after, 1) for after in (60.0, 0.0)]
    with pytest.raises(ConfigError, match=r"one attack after another, found dos from"):
        site(tmp_path, attacks=twice)
