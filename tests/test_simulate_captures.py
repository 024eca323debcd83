"""Captured attacks: read, moved, thinned and renamed without losing what they are."""

import json
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path

import polars as pl
import pytest
from zeek import COLUMNS, conn, header, tsv, tsv_rows

from entropy_ids.errors import ConfigError, InputError
from entropy_ids.simulate import every_capture, renamed
from entropy_ids.simulate.captures import PLAN, Capture, place, read_captures
from entropy_ids.simulate.flows import FIELDS, HINTS
from entropy_ids.simulate.logs import LOGS

START = 1_772_791_200.0
ATTACKER, RESOLVER, CLIENT = "10.99.1.70", "10.99.0.53", "10.99.1.12"
TOLD = {"name": "spam", "class": "spam_run", "attackers": [ATTACKER]}
TOLD |= {"victims": ["10.98.160.0-161.255 (mail servers)"]}
DNS = ("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "query", "new")


def mail(number: int) -> dict:
    return dict(
        conn(
            number,
            orig_h=ATTACKER,
            resp_h=f"10.98.160.{number}",
            resp_p=25,
            ts=100.0 + number,
        )
    )


def rows(mails: int = 40) -> list[dict]:
    """Give some mails, a look-up and a bystander's row."""
    lookup = conn(
        900, orig_h=ATTACKER, resp_h=RESOLVER, ts=99.5, resp_p=53, proto="udp"
    )
    return [
        dict(lookup),
        dict(conn(901, orig_h=CLIENT)),
        *map(mail, range(1, mails + 1)),
    ]


def write(folder: Path, told: dict, rows: list[dict]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "label.json").write_text(json.dumps(told))
    (folder / "conn.log").write_bytes(tsv(rows))
    asked = [row | {"query": f"{row['uid']}.example", "new": 1} for row in rows]
    (folder / "dns.log").write_bytes(header(DNS) + tsv_rows(asked, DNS))
    return folder


@pytest.fixture
def captured(tmp_path: Path) -> Callable[..., Capture]:
    """Write a capture, changed in what a test is about, and read it."""

    def make(mails: int = 40, **told: object) -> Capture:
        (capture,) = read_captures(write(tmp_path / "spam", TOLD | told, rows(mails)))
        return capture

    return make


def test_only_rows_of_attackers_are_read(captured):
    logs = captured().logs
    assert set(logs["conn"]["id.orig_h"]) == {ATTACKER}
    assert len(logs["conn"]) == 41


def test_the_label_spans_the_rows_and_names_whom_label_json_forgets(captured):
    label = captured().label
    assert (label.start, label.end) == (99.5, 141.5)
    assert label.attack_class == "point-to-multipoint"
    assert label.attackers == (ATTACKER,)
    assert label.victims == ("10.98.160.0/23", RESOLVER)


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("10.98.20.1", {"10.98.20.1"}),
        ("10.98.0.0/17 (spoofed)", {"10.98.0.0/17"}),
        ("10.98.20.4-9", {"10.98.20.4/30", "10.98.20.8/31"}),
        ("10.98.160.0-163.255", {"10.98.160.0/22"}),
        ("2001:db8::/32", {"2001:db8::/32"}),
    ],
)
def test_hosts_of_label_json_become_networks(captured, text, networks):
    label = captured(victims=[text]).label
    assert networks <= set(label.victims)


def test_a_capture_begins_at_its_new_time_with_its_own_pace(captured):
    capture = captured()
    placed = place(capture, START, seed=1)
    assert placed.label.start == START == placed.logs["conn"]["ts"].min()
    assert placed.label.end == START + 42.0
    before, after = (x.logs["conn"]["ts"].diff() for x in (capture, placed))
    assert (before - after).abs().max() < 1e-5


def test_rows_are_written_by_the_timers_of_zeek(captured):
    rows = place(captured(), START, seed=1).logs["conn"]
    after = rows["written"] - rows["ts"] - rows["duration"]
    tcp = rows["proto"] == "tcp"
    assert after.filter(tcp).is_between(5.0, 6.0).all()
    assert after.filter(~tcp).is_between(59.5, 60.5).all()


def test_uids_are_new_and_the_same_in_all_logs(captured):
    capture = captured()
    placed = place(capture, START, scale=0.5, seed=1)
    uids = placed.logs["conn"]["uid"]
    assert not set(uids) & set(capture.logs["conn"]["uid"])
    assert set(placed.logs["dns"]["uid"]) == set(uids)
    again = place(capture, START, scale=0.5, seed=2)
    assert not set(uids) & set(again.logs["conn"]["uid"])


def test_sibling_rows_keep_their_content_and_come_before_the_connection_ends(captured):
    placed = place(captured(), START, seed=1)
    both = placed.logs["conn"].join(placed.logs["dns"], on="uid", suffix=".dns")
    assert len(both) == 41
    assert (both["written.dns"] <= both["written"]).all()
    assert (both["id.resp_h.dns"] == both["id.resp_h"]).all()
    ports = both["query"].str.extract(r"C(\d+)").cast(pl.Int64) + 40_000
    assert (ports == both["id.orig_p"]).all()


def test_columns_are_those_of_the_simulator(captured):
    logs = place(captured(), START, seed=1).logs
    assert logs["conn"].columns == [*FIELDS, *HINTS, "written"]
    assert logs["dns"].columns == [*LOGS["dns"], "written"]
    assert logs["dns"]["rcode"].null_count() == len(logs["dns"])


def test_each_connection_is_kept_with_the_probability_of_the_scale(captured):
    capture = captured(mails=200)
    kept = [
        len(place(capture, START, scale=0.3, seed=s).logs["conn"]) for s in range(30)
    ]
    assert 0.27 < sum(kept) / 30 / 201 < 0.33
    assert len(set(kept)) > 5
    assert place(capture, START, scale=0.3, seed=1).label.scale == 0.3


def test_same_seed_keeps_the_same_rows(captured):
    capture = captured()
    one, same, other = (
        place(capture, START, scale=0.5, seed=seed).logs["conn"] for seed in (1, 1, 2)
    )
    assert one.equals(same)
    assert not one["ts"].equals(other["ts"])


def test_at_least_one_row_is_kept(captured):
    capture = captured(mails=1)
    for seed in range(20):
        assert len(place(capture, START, scale=0.001, seed=seed).logs["conn"]) == 1


@pytest.mark.parametrize("scale", [0.0, -1.0, 1.5, float("nan")])
def test_a_scale_that_is_no_share_is_refused(captured, scale):
    with pytest.raises(ConfigError, match="expected scales above 0"):
        place(captured(), START, scale=scale, seed=1)


@pytest.mark.parametrize(
    ("lab", "site"),
    [
        ("10.99.0.10", "203.0.113.10"),
        ("10.99.0.53", "10.20.0.53"),
        ("10.99.0.80", "10.20.0.80"),
        ("10.99.1.40", "10.20.3.40"),
        ("10.99.3.200", "10.20.7.200"),
        ("10.98.66.6", "198.19.66.6"),
        ("172.16.0.1", "172.16.0.1"),
    ],
)
def test_addresses_of_the_lab_become_those_of_the_site(captured, lab, site):
    placed = place(captured(attackers=[ATTACKER], victims=[lab]), START, seed=1)
    assert placed.label.victims[0] == site
    assert placed.label.attackers == ("10.20.3.70",)
    assert set(placed.logs["conn"]["id.orig_h"]) == {"10.20.3.70"}


def test_of_several_rules_the_smallest_network_counts(captured):
    plan = {"10.0.0.0/8": "11.0.0.0/8", "10.99.1.64/28": "192.0.2.0/28"}
    placed = place(captured(), START, seed=1, rename=plan)
    assert set(placed.logs["conn"]["id.orig_h"]) == {"192.0.2.6"}
    assert placed.label.victims == ("11.98.160.0/23", "11.99.0.53")


def test_a_host_with_a_rule_of_its_own_stays_labelled(captured):
    placed = place(captured(), START, seed=1, rename={"10.98.160.3": "192.0.2.1"})
    assert "192.0.2.1" in set(placed.logs["conn"]["id.resp_h"])
    assert {"10.98.160.0/23", "192.0.2.1"} <= set(placed.label.victims)


def test_names_move_a_second_time(captured):
    placed = place(captured(), START, seed=1)
    moved = renamed(placed, {"10.20.3.70": "192.168.7.7"})
    assert moved.label.attackers == ("192.168.7.7",)
    assert set(moved.logs["dns"]["id.orig_h"]) == {"192.168.7.7"}


def test_every_capture_is_planned_at_every_scale_and_benign_ones_are_not(tmp_path):
    write(tmp_path / "a", TOLD, rows())
    write(tmp_path / "b", TOLD | {"class": "benign"}, rows())
    plans = every_capture(tmp_path, [1.0, 0.5])
    assert [plan.duration_s for plan in plans] == [42.0, 42.0]
    placed = [plan.place(START, 1) for plan in plans]
    assert [(p.label.name, p.label.scale) for p in placed] == [
        ("spam", 1),
        ("spam", 0.5),
    ]


def test_a_directory_without_captures_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected captures, .* found none"):
        read_captures(tmp_path)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("", "label.json: expected a JSON object that describes"),
        ("[]", "expected lists of attackers and victims"),
        (json.dumps(TOLD | {"class": "odd"}), "a class of vertical_scan"),
        (json.dumps(TOLD | {"victims": "10.98.0.1"}), "expected lists"),
        (json.dumps(TOLD | {"victims": ["somebody"]}), "found 'somebody'"),
        (json.dumps(TOLD | {"attackers": ["10.98.1.1"]}), "rows of the attackers"),
    ],
)
def test_a_label_that_does_not_describe_the_capture_is_refused(tmp_path, told, words):
    write(tmp_path / "spam", TOLD, rows())
    (tmp_path / "spam" / "label.json").write_text(told)
    with pytest.raises(InputError, match=words):
        read_captures(tmp_path)


def test_a_capture_without_label_or_log_is_refused(tmp_path):
    folder = write(tmp_path / "spam", TOLD, rows())
    (folder / "label.json").unlink()
    with pytest.raises(InputError, match=r"label.json: expected .* No such file"):
        read_captures(tmp_path)
    write(tmp_path / "spam", TOLD, rows())
    (folder / "conn.log").unlink()
    with pytest.raises(InputError, match=r"conn.log: expected a Zeek TSV log"):
        read_captures(folder)


@pytest.mark.parametrize("data", [b"", b"nonsense\n", tsv([], COLUMNS[2:])])
def test_a_conn_log_that_is_none_is_refused(tmp_path, data):
    folder = write(tmp_path / "spam", TOLD, rows())
    (folder / "conn.log").write_bytes(data)
    with pytest.raises(InputError, match=r"conn.log: expected a Zeek TSV log"):
        read_captures(folder)


@pytest.fixture(scope="module")
def lab(shared_data: Path) -> list[Capture]:
    return read_captures(shared_data / "attacks")


def inside(host: str, networks: tuple[str, ...]) -> bool:
    return any(ip_address(host) in ip_network(network) for network in networks)


@pytest.mark.shared
def test_all_real_captures_are_read_with_all_their_rows(lab, shared_data):
    assert len(lab) == 30
    for capture in lab:
        told = shared_data / "attacks" / capture.label.name / "label.json"
        label = json.loads(told.read_text())
        flows = len(capture.logs["conn"])
        assert flows == label["flows"] or told.parent.name.startswith("mixed-")
        assert abs(capture.label.end - label["end"]) < 330


@pytest.mark.shared
def test_every_real_row_lies_between_its_attackers_and_victims(lab):
    for capture in lab:
        placed = place(capture, START, scale=0.2, seed=1)
        label, rows = placed.label, placed.logs["conn"]
        for one, other in rows.select("id.orig_h", "id.resp_h").iter_rows():
            sides = [(one, other), (other, one)]
            assert any(
                inside(a, label.attackers) and inside(b, label.victims)
                for a, b in sides
            )


@pytest.mark.shared
def test_who_was_inside_the_lab_is_inside_the_site(lab):
    plan = r"^(10\.20|203\.0\.113)\."
    for capture in lab:
        rows = place(capture, START, seed=1).logs["conn"]
        for host, flag in (("id.orig_h", "local_orig"), ("id.resp_h", "local_resp")):
            assert (rows[host].str.contains(plan) == (rows[flag] == "T")).all()


@pytest.mark.shared
def test_real_sibling_rows_join(lab):
    for capture in lab:
        logs = place(capture, START, scale=0.5, seed=1).logs
        for log, rows in logs.items():
            assert set(rows["uid"]) <= set(logs["conn"]["uid"]), log
    joined = {log for capture in lab for log in capture.logs}
    assert joined == set(LOGS)
    assert PLAN["10.98.0.0/16"] == "198.19.0.0/16"
