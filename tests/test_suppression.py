"""Suppression: what a rule marks and what it must not, and the file of the rules."""

import datetime as dt
import json
import tomllib
from pathlib import Path
from typing import Any

import make
import pytest
from make import HOSTILE, T0
from office import HOURS

from entropy_ids.alarms import rules
from entropy_ids.alarms.suppression import Suppression, named, tried
from entropy_ids.calendar import Calendar
from entropy_ids.collector import find_logs
from entropy_ids.config import Config
from entropy_ids.errors import ConfigError
from entropy_ids.profile.store import Profile
from entropy_ids.reading import Reading
from entropy_ids.replay import replay
from entropy_ids.types import Alarm

HEAD = 'name = "r"\nowner = "ops"\nreason = "known"\n'
HOUR = 3600
Row = dict[str, Any]
BERLIN = Calendar("Europe/Berlin")


def of(text: str, expires: str = '"never"', zone: str = "UTC") -> Suppression:
    """Give one rule, without what every rule must say."""
    data = f"[[rule]]\n{HEAD}expires = {expires}\n{text}\n".encode()
    return Suppression(rules.parse(data, "rules.toml"), Calendar(zone))


def marked(suppression: Suppression, alarm: Alarm) -> bool:
    return suppression.mark([alarm])[0].suppressed_by == "r"


def by(**values: str | list[str]) -> Alarm:
    """Give an alarm that names values of features."""
    found = [
        make.contributor(value, feature=feature)
        for feature, some in values.items()
        for value in ([some] if isinstance(some, str) else some)
    ]
    return make.alarm(contributors=tuple(found))


# ---------------------------------------------------------------------- what it meets


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ('sensor = "office"', True),
        ('sensor = ["lab", "office"]', True),
        ('sensor = "lab"', False),
        ('class = "port-scan"', True),
        ('class = ["dos", "ddos"]', False),
        ('port = "443/tcp"', True),
        ('port = "443/udp"', False),
        ('source = "10.0.0.1"', True),
        ('source = "10.0.0.0/8"', True),
        ('source = ["192.0.2.0/24", "10.0.0.0/30"]', True),
        ('source = "10.0.0.2"', False),
        ('target = "10.0.0.1"', False),
        ('address = "10.0.0.1"', True),
        ('address = "fd00::/8"', False),
        ('sensor = "office"\nclass = "dos"', False),
        ('sensor = "office"\nclass = "port-scan"\nsource = "10.0.0.1"', True),
    ],
)
def test_a_rule_marks_what_meets_all_that_it_gives(text, met):
    assert marked(of(text), make.alarm()) == met


def test_a_mark_is_the_name_of_the_first_rule_and_the_alarm_stays_the_same():
    text = "".join(
        f'[[rule]]\nname = "{name}"\nowner = "o"\nreason = "r"\nexpires = "never"\n'
        f'class = "{kind}"\n'
        for name, kind in (("a", "dos"), ("b", "port-scan"), ("c", "port-scan"))
    )
    found = Suppression(rules.parse(text.encode(), "f")).mark([make.alarm()])
    assert found == [make.alarm(suppressed_by="b")]
    assert Suppression().mark([make.alarm()]) == [make.alarm()]


def test_one_stranger_among_the_sources_keeps_an_alarm_from_being_marked():
    scanner = of('source = "10.0.0.1"')
    assert marked(scanner, by(orig_h=["10.0.0.1"], resp_h="192.0.2.1"))
    assert not marked(scanner, by(orig_h=["10.0.0.1", "10.6.6.6"]))
    assert not marked(scanner, by(resp_h="192.0.2.1"))


def test_an_address_may_be_all_of_either_side():
    server = of('address = "192.0.2.0/24"')
    assert marked(server, by(orig_h=["10.0.0.1", "10.6.6.6"], resp_h="192.0.2.1"))
    assert marked(server, by(orig_h="192.0.2.9", resp_h="10.0.0.1"))
    assert not marked(server, by(orig_h="10.0.0.1", resp_h=["192.0.2.1", "10.0.0.2"]))


def test_one_more_port_keeps_an_alarm_from_being_marked():
    assert marked(of('port = ["22/tcp", "80/tcp"]'), by(resp_p="22/tcp"))
    assert not marked(of('port = "22/tcp"'), by(resp_p=["22/tcp", "23/tcp"]))
    assert not marked(of('port = "22/tcp"'), by(orig_h="10.0.0.1"))


def test_a_network_is_held_by_a_wider_one_only():
    flood = by(orig_net="198.51.0.0/16", resp_h="192.0.2.1")
    assert marked(of('source = "198.50.0.0/15"'), flood)
    assert not marked(of('source = "198.51.100.0/24"'), flood)
    assert marked(of('source = "2001:db8::/32"'), by(orig_h="2001:db8::1"))


def test_who_moves_most_bytes_in_the_minute_of_a_scan_has_nothing_to_do_with_it():
    scan = by(orig_h="10.0.0.1", orig_h_bytes="10.0.0.9", resp_h_bytes="192.0.2.9")
    assert named(scan, "source") == ("10.0.0.1",)
    assert named(scan, "target") == ()
    assert not marked(of('address = ["10.0.0.9", "192.0.2.9"]'), scan)


def test_who_moves_most_bytes_is_named_where_it_is_about_bytes():
    found = by(orig_h="10.0.0.1", orig_h_bytes="10.0.0.9", resp_h_bytes="192.0.2.9")
    only = make.alarm(contributors=found.contributors, class_name="exfiltration")
    assert (named(only, "source"), named(only, "target")) == (
        ("10.0.0.9",),
        ("192.0.2.9",),
    )
    assert named(by(orig_h_bytes="10.0.0.9"), "source") == ("10.0.0.9",)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
def test_text_that_is_no_address_is_held_by_no_network(text):
    every = of('address = ["0.0.0.0/0", "::/0"]')
    assert not marked(every, by(orig_h=text, resp_h=["10.0.0.1", text]))


# --------------------------------------------------------------------------- and when


def at(minute: int, **values: object) -> Alarm:
    return make.alarm(start=minute, end=minute + 60, **values)


def epoch(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("start", "met"),
    [
        ("2024-04-21T21:59:00+02:00", False),
        ("2024-04-21T22:00:00+02:00", True),
        ("2024-04-22T05:59:00+02:00", True),
        ("2024-04-22T06:00:00+02:00", False),
        ("2024-01-21T22:00:00+01:00", True),  # winter
    ],
)
def test_hours_are_the_sites_own_and_may_pass_midnight(start, met):
    rule = of('class = "port-scan"\nhours = "22:00-06:00"', zone="Europe/Berlin")
    assert marked(rule, at(epoch(start))) == met


@pytest.mark.parametrize(
    ("start", "met"),
    [
        ("2024-04-19T23:00:00Z", True),  # Friday night
        ("2024-04-20T03:00:00Z", True),
        ("2024-04-19T03:00:00Z", False),  # Thursday night
        ("2024-04-20T23:00:00Z", False),
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_begins(start, met):
    rule = of('class = "port-scan"\ndays = "Fri"\nhours = "22:00-06:00"')
    assert marked(rule, at(epoch(start))) == met


def test_days_without_hours_are_whole_days_of_site_time():
    sunday = of('class = "port-scan"\ndays = ["Sun"]', zone="Europe/Berlin")
    assert marked(sunday, at(epoch("2024-04-21T00:00:00+02:00")))
    assert marked(sunday, at(epoch("2024-04-21T23:59:00+02:00")))
    assert not marked(sunday, at(epoch("2024-04-22T00:00:00+02:00")))


def test_a_rule_holds_to_the_end_of_its_last_day_in_site_time():
    rule = of('class = "port-scan"', "2024-04-21", "Europe/Berlin")
    assert marked(rule, at(epoch("2024-04-21T23:59:00+02:00")))
    assert not marked(rule, at(epoch("2024-04-22T00:00:00+02:00")))


def test_maintenance_hides_everything_that_begins_in_its_window():
    rule = of("from = 2024-04-21T07:00:00Z\nuntil = '2024-04-21T10:00+02:00'")
    starts = (T0 - 60, T0, T0 + HOUR - 60, T0 + HOUR)
    assert [marked(rule, at(start)) for start in starts] == [False, True, True, False]


def test_an_incident_that_began_in_a_window_stays_marked_until_it_changes():
    rule = of('class = "port-scan"\naddress = "10.0.0.1"\nhours = "07:00-07:30"')
    later = {"start": T0, "end": T0 + 5 * HOUR, "revision": 2}
    assert marked(rule, make.alarm(**later))
    assert not marked(rule, make.alarm(**later, class_name="worm"))
    stranger = (make.contributor("10.6.6.6"),)
    assert not marked(rule, make.alarm(**later, contributors=stranger))


# ---------------------------------------------------------------------------- the file


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('clas = "dos"', "rule[0].clas: expected a known key, did you mean class?"),
        ('class = "port scan"', "rule[0].class: expected one or a list of port-scan"),
        ("class = []", "rule[0].class: expected one or a list"),
        ('source = "10.0.0.0/33"', "rule[0].source: expected an address or network"),
        ('source = "10.0.0.1/8"', "no bit set behind its length"),
        ("address = 10", "rule[0].address: expected an address or network"),
        ('port = "ssh"', "rule[0].port: expected a port such as 22/tcp"),
        ('port = "70000/tcp"', "found '70000/tcp'"),
        ('class = "dos"\nhours = "9-17"', "expected site time such as '22:00-06:00'"),
        ('class = "dos"\nhours = "09:00-09:60"', "found '09:00-09:60'"),
        ('class = "dos"\nhours = "09:00-09:00"', "found '09:00-09:00'"),
        ('class = "dos"\ndays = "Sonntag"', "one or a list of Mon, Tue"),
        ("from = 2024-04-21", "rule[0].from: expected a time such as"),
        ("from = 2024-04-21T07:00:00Z", "it would hide everything"),
        ('days = "Mon"\nhours = "00:00-24:00"', "it would hide everything"),
        (
            "from = 2024-04-21T07:00:00Z\nuntil = 2024-04-21T06:00:00Z",
            "expected a time after from",
        ),
    ],
)
def test_a_rule_that_cannot_be_is_refused_by_a_sentence(text, words):
    with pytest.raises(ConfigError) as problem:
        of(text)
    assert words in str(problem.value)
    assert str(problem.value).startswith("rules.toml: rule[0]")


@pytest.mark.parametrize("key", ["name", "owner", "reason", "expires"])
def test_every_rule_says_who_why_and_until_when(key):
    lines = [*HEAD.splitlines(), 'expires = "never"', 'class = "dos"']
    text = "\n".join(line for line in lines if not line.startswith(key))
    with pytest.raises(ConfigError, match=rf"rule\[0\].{key}: expected .* nothing"):
        rules.parse(f"[[rule]]\n{text}".encode(), "f")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"rule = 1", "tables headed"),
        (b"[rule]\nname = 'a'", "tables headed"),
        (b"[other]", "found other"),
        (b"[[rule]", "expected TOML"),
        (b"\xff", "expected TOML"),
        (b"[[rule]]\nname = 'a b'", "expected"),
        (b"a = " + b"[" * 5_000, "expected TOML"),
    ],
)
def test_a_file_that_holds_no_rules_is_refused_by_a_sentence(data, words):
    with pytest.raises(ConfigError, match=words):
        rules.parse(data, "f")


def test_two_rules_of_one_name_are_refused():
    rule = f'[[rule]]\n{HEAD}expires = "never"\nclass = "dos"\n'
    with pytest.raises(ConfigError, match=r"rule\[1\].name: .* r twice"):
        rules.parse((rule * 2).encode(), "f")


def test_without_a_file_nothing_is_marked_and_a_missing_one_is_an_error(tmp_path):
    config = Config.load(environment={})
    assert rules.suppression(config, config).rules == ()
    missing = Config.load(None, [f"alarms.suppress='{tmp_path / 'none'}'"], {})
    with pytest.raises(ConfigError, match="none: expected a file of suppression rules"):
        rules.suppression(missing, missing)


# ------------------------------------------------------------------ a rule of an alarm


def added(
    path: Path, alarm: Alarm, name: str = "r", reason: str = "known"
) -> Suppression:
    rule = rules.add(path, rules.rule_of(alarm, name, "ops", reason, "2030-01-31"))
    return Suppression((rule,))


def test_a_rule_made_of_an_alarm_marks_it_and_nothing_else(tmp_path):
    alarm = by(orig_h="10.0.0.1", resp_h=["192.0.2.1", "192.0.2.2"], resp_p="22/tcp")
    found = added(tmp_path / "rules.toml", alarm)
    assert marked(found, alarm)
    for other in (
        make.alarm(contributors=alarm.contributors, sensor="lab"),
        make.alarm(contributors=alarm.contributors, class_name="dos"),
        by(orig_h="10.0.0.2", resp_h="192.0.2.1", resp_p="22/tcp"),
        by(orig_h="10.0.0.1", resp_h="192.0.2.3", resp_p="22/tcp"),
        by(orig_h="10.0.0.1", resp_h="192.0.2.1", resp_p="23/tcp"),
    ):
        assert not marked(found, other)


def test_adding_a_rule_keeps_every_byte_that_is_there(tmp_path):
    path = tmp_path / "rules.toml"
    before = b"# ours \xe2\x82\xac\n\n[[rule]] # first\n" + HEAD.encode()
    before += b'expires = 2030-01-31\nclass = "dos" # no newline at the end'
    path.write_bytes(before)
    added(path, make.alarm(), "second")
    assert path.read_bytes().startswith(before)
    assert [rule.name for rule in rules.read(path, Calendar()).rules] == ["r", "second"]


def test_what_would_spoil_the_file_is_not_added(tmp_path):
    path = tmp_path / "rules.toml"
    added(path, make.alarm())
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="r twice"):
        added(path, make.alarm())
    with pytest.raises(ConfigError, match=r"expires: expected its last day"):
        rules.add(path, rules.rule_of(make.alarm(), "s", "ops", "known", "soon"))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "text", [t for t in HOSTILE.values() if t.strip()], ids=lambda t: ascii(t[:9])
)
def test_hostile_text_in_a_rule_is_read_back_harmless(tmp_path, text):
    path = tmp_path / "rules.toml"
    found = make.contributor("443/tcp", feature="resp_p")
    alarm = make.alarm(sensor=text, contributors=(found,))
    rule = added(path, alarm, reason=f'{text}"""]').rules[0]
    table = tomllib.loads(path.read_bytes().decode())["rule"]
    assert [set(row) for row in table] == [
        {"name", "owner", "reason", "expires", "sensor", "class", "port"}
    ]
    assert rule.reason == table[0]["reason"]


def test_of_an_alarm_that_names_nobody_no_rule_is_made():
    with pytest.raises(ConfigError, match="write the rule by hand"):
        rules.rule_of(make.alarm(contributors=()), "r", "ops", "known", "never")


# ------------------------------------------------------------------------ the back-test


def test_trying_rules_tells_what_each_hides_by_itself_and_which_attacks():
    text = "".join(
        f'[[rule]]\nname = "{name}"\nowner = "o"\nreason = "r"\nexpires = "never"\n'
        f"{more}\n"
        for name, more in (("a", 'class = "port-scan"'), ("b", 'sensor = "office"'))
    )
    alarms = [make.alarm(id="1"), make.alarm(id="2", class_name="dos")]
    found = Suppression(rules.parse(text.encode(), "f"))
    results = tried(found, alarms, {"2"})
    assert [(one.rule.name, [a.id for a in one.hidden]) for one in results] == [
        ("a", ["1"]),
        ("b", ["1", "2"]),
    ]
    assert [[a.id for a in one.attacks] for one in results] == [[], ["2"]]


# ------------------------------------------------------------------------- in a replay


def play(office: Path, profile: Profile, out: Path, expected: Suppression) -> list[Row]:
    how = {"sensor": "s", "quiet_minutes": 5, "reading": Reading()}
    replay(find_logs([office / HOURS]), profile, out, suppression=expected, **how)
    return [
        json.loads(line) for line in (out / "alarms.jsonl").read_text().splitlines()
    ]


def test_a_replay_marks_alarms_and_changes_nothing_else(office, profile, tmp_path):
    plain = play(office, profile, tmp_path / "plain", Suppression())
    name = plain[0]["class"]
    (tmp_path / "marked").mkdir()
    (tmp_path / "marked" / "feedback.jsonl").write_text("kept\n")
    found = play(office, profile, tmp_path / "marked", of(f'class = "{name}"'))
    assert {row["suppressed_by"] for row in plain} == {None}
    assert [row["suppressed_by"] == "r" for row in found] == [
        row["class"] == name for row in plain
    ]
    assert [row | {"suppressed_by": None} for row in found] == plain
    assert (tmp_path / "marked" / "feedback.jsonl").read_text() == "kept\n"
