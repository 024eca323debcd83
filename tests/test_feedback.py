"""Feedback: the newest word about an incident counts, in labels and in figures."""

import csv
import datetime as dt
import json
from pathlib import Path

import make
import pytest
from make import HOSTILE, T0

from entropy_ids import console
from entropy_ids.alarms import feedback, history
from entropy_ids.alarms.feedback import Tally, Word, back_test, labels, say, words
from entropy_ids.alarms.sinks import alarm_line, as_dict, sanitize
from entropy_ids.cli import main
from entropy_ids.errors import InputError
from entropy_ids.evaluate.labels import read_labels
from entropy_ids.types import Alarm

NOW = dt.datetime(2026, 3, 4, 12, 30, 59, tzinfo=dt.UTC)


def alarms(directory: Path, *some: Alarm, name: str = "alarms.jsonl") -> Path:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text("".join(map(alarm_line, some)))
    return directory


def of(alarm_id: str, **values: object) -> Alarm:
    return make.alarm(id=alarm_id, **values)


def said(word: str) -> Word:
    return Word("", word, "2026-03-04T12:30:59Z")


# --------------------------------------------------------------------------- the words


def test_the_newest_word_about_an_incident_counts(tmp_path):
    for word in ("true", "benign", "false"):
        say(tmp_path, of("1"), word, NOW, note=word, by="me")
    say(tmp_path, of("2"), "true", NOW)
    found = words(tmp_path)
    assert found["1"] == Word("1", "false", "2026-03-04T12:30:59Z", "false", "me")
    assert {name: word.word for name, word in found.items()} == {
        "1": "false",
        "2": "true",
    }


def test_without_a_word_there_are_none(tmp_path):
    assert words(tmp_path) == {}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
def test_a_hostile_note_is_one_harmless_line(tmp_path, text):
    say(tmp_path, of("1"), "true", NOW, note=text, by=text)
    [line] = (tmp_path / "feedback.jsonl").read_bytes().splitlines()
    assert json.loads(line)["note"] == words(tmp_path)["1"].by == sanitize(text)


def test_a_word_after_half_a_line_stands_on_its_own(tmp_path):
    say(tmp_path, of("1"), "true", NOW)
    with (tmp_path / "feedback.jsonl").open("a") as file:
        file.write('{"id": "2", "wor')
    assert list(words(tmp_path)) == ["1"]
    say(tmp_path, of("3"), "true", NOW)
    assert list(words(tmp_path)) == ["1", "3"]


@pytest.mark.parametrize(
    "row",
    [
        {"id": "1", "word": "maybe", "time": ""},
        {"id": 1, "word": "true", "time": ""},
        {"word": "true", "time": ""},
    ],
)
def test_a_line_that_is_no_word_is_refused_by_its_number(tmp_path, row):
    say(tmp_path, of("1"), "true", NOW)
    with (tmp_path / "feedback.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=r"feedback.jsonl:2: expected"):
        words(tmp_path)


# -------------------------------------------------------------------------- the labels


def test_words_become_labels_that_evaluate_reads(tmp_path):
    who = (make.contributor(), make.contributor("192.0.2.1", feature="resp_h"))
    out = alarms(
        tmp_path,
        of("2", start=T0 + 600, end=T0 + 720, contributors=who),
        of("1", start=T0, end=T0 + 60, contributors=who),
        of("3", start=T0, end=T0 + 60),
    )
    say(out, of("2"), "true", NOW)
    say(out, of("1"), "benign", NOW)
    assert labels(out) == [
        {
            "start": "2024-04-21T07:00:00Z",
            "end": "2024-04-21T07:01:00Z",
            "class": "normal",
            "attackers": "",
            "victims": "",
            "name": "1",
        },
        {
            "start": "2024-04-21T07:10:00Z",
            "end": "2024-04-21T07:12:00Z",
            "class": "port-scan",
            "attackers": "10.0.0.1",
            "victims": "192.0.2.1",
            "name": "2",
        },
    ]


def test_labels_name_addresses_and_nothing_else(tmp_path):
    who = tuple(make.contributor(v) for v in ("10.0.0.1", "-", "a b", "198.51.0.0/16"))
    out = alarms(tmp_path, of("1", contributors=who))
    say(out, of("1"), "true", NOW)
    assert labels(out)[0]["attackers"] == "10.0.0.1 198.51.0.0/16"


# ------------------------------------------------------------------------ the back-test


def test_the_back_test_counts_words_and_gives_the_threshold_that_keeps_the_true():
    incidents = [
        of("1", score=3.0, threshold=1.0),
        of("2", score=4.0, threshold=2.0),
        of("3", score=1.5, threshold=1.0),
        of("4", score=9.0, threshold=1.0, class_name="exfiltration"),
        of("5", score=9.0, threshold=1.0),
    ]
    heard = {"1": "true", "2": "true", "3": "false", "4": "benign"}
    known = {alarm_id: said(word) for alarm_id, word in heard.items()}
    assert back_test(incidents, known) == [
        Tally("exfiltration", 0, 0, 1, None, 0),
        Tally("port-scan", 2, 1, 0, 2.0, 1),
        Tally("all", 2, 1, 1, 2.0, 1),
    ]
    assert back_test(incidents, {}) == []


# ---------------------------------------------------------------- what alarms are there


def test_alarms_of_all_days_are_read_in_order(tmp_path):
    alarms(tmp_path, of("3"))
    alarms(tmp_path, of("1"), of("2"), name="alarms.2026-03-04.jsonl")
    alarms(tmp_path, of("1", revision=2), name="alarms.2026-03-05.jsonl")
    found = history.read_alarms(tmp_path)
    assert [(a.id, a.revision) for a in found] == [
        ("1", 1),
        ("2", 1),
        ("1", 2),
        ("3", 1),
    ]
    assert [a.revision for a in history.newest(found) if a.id == "1"] == [2]


def test_an_alarm_read_back_writes_the_same_line(tmp_path):
    alarm = of("1", suppressed_by="r", technique=("T1", "T2"))
    alarms(tmp_path, alarm)
    [found] = history.read_alarms(tmp_path)
    assert as_dict(found) == as_dict(alarm)


@pytest.mark.parametrize(
    "line", [b"{}\n", b"[]\n", b"x\n", b"\xff\n", b'{"start": 1, "end": "x"}\n']
)
def test_a_line_that_is_no_alarm_is_refused_by_its_number(tmp_path, line):
    alarms(tmp_path, of("1"))
    with (tmp_path / "alarms.jsonl").open("ab") as file:
        file.write(line)
    with pytest.raises(InputError, match=r"alarms.jsonl:2: expected .* remove"):
        history.read_alarms(tmp_path)


def test_a_directory_without_alarms_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected a directory with alarms.jsonl"):
        history.read_alarms(tmp_path)


def test_the_first_letters_of_an_id_find_its_newest_revision():
    some = [of("abc"), of("abd"), of("abc", revision=2)]
    assert history.find(some, "abc").revision == 2
    for wrong in ("ab", "x", ""):
        with pytest.raises(InputError, match="expected the beginning of one alarm's"):
            history.find(some, wrong)


# -------------------------------------------------------------------- the command line


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two incidents, in a terminal on which no sentence is wrapped."""
    for one in (console.out, console.err):
        monkeypatch.setattr(one, "width", 300)
    monkeypatch.setenv("USER", "me")
    return alarms(
        tmp_path / "out", of("a1"), of("b1", class_name="dos", start=T0 + 600)
    )


def test_feedback_is_said_shown_and_written_as_labels(out, tmp_path, capsys):
    assert run("feedback", out) == 0
    assert "no word about any alarm" in capsys.readouterr().out
    assert run("feedback", out, "a", "true", "--note", "seen") == 0
    assert words(out)["a1"].by == "me"
    assert run("feedback", out, "--labels", tmp_path / "labels.csv") == 0
    shown = capsys.readouterr().out
    assert "a1, port-scan: true" in shown
    assert "2.50 × the threshold" in shown
    [label] = read_labels(tmp_path / "labels.csv")
    assert (label.class_name, label.attackers) == ("port-scan", ("10.0.0.1",))
    with (tmp_path / "labels.csv").open(newline="") as file:
        assert csv.DictReader(file).fieldnames == list(feedback.LABELS)


def test_feedback_without_a_word_or_with_another_is_bad_usage(out, capsys):
    assert run("feedback", out, "a") == 2
    assert "expected a word, one of true, false, benign" in capsys.readouterr().err
    assert run("feedback", out, "a", "perhaps") == 2
    assert run("feedback", out, "zz", "true") == 3
    assert not (out / "feedback.jsonl").exists()


ADD = ("--owner", "ops", "--reason", "known", "--expires")


def test_a_rule_is_added_tried_and_listed(out, tmp_path, capsys):
    rules = tmp_path / "rules.toml"
    assert run("suppress", "add", out, "a", "--rules", rules, *ADD, "never") == 0
    assert run("suppress", "test", out, "--rules", rules) == 0
    shown = capsys.readouterr().out
    assert "of 2 incidents" in shown
    assert "2024-04-21T07:00:00Z a1 port-scan" in shown
    assert "ATTACK:" not in shown
    assert run("suppress", "list", out, "--rules", rules) == 0
    assert "port-scan-a1 │ never   │ 0 " in capsys.readouterr().out


def test_hiding_an_attack_is_said_in_capitals(out, tmp_path, capsys):
    rules, known = tmp_path / "rules.toml", tmp_path / "labels.csv"
    run("suppress", "add", out, "a", "--rules", rules, *ADD, "never", "--name", "r")
    known.write_text(f"start,end,class\n{T0},{T0 + 30},port-scan\n")
    assert run("suppress", "test", out, "--rules", rules, "--labels", known) == 0
    warning = "r WOULD HIDE AN ATTACK: 2024-04-21T07:00:00Z a1 port-scan"
    assert warning in capsys.readouterr().out
    run("feedback", out, "a", "true")
    assert run("suppress", "test", out, "--rules", rules) == 0
    assert warning in capsys.readouterr().out


def test_marks_are_counted_and_expired_rules_are_listed_as_such(out, tmp_path, capsys):
    rules = tmp_path / "rules.toml"
    run("suppress", "add", out, "a", "--rules", rules, *ADD, "2020-01-31")
    assert "has expired already: 2020-01-31" in capsys.readouterr().err
    alarms(out, of("a1", suppressed_by="port-scan-a1"), of("b1", suppressed_by="old"))
    setting = ("--set", f"alarms.suppress='{rules}'")
    assert run("suppress", "list", out, *setting) == 0
    shown = capsys.readouterr().out
    assert "port-scan-a1 │ EXPIRED 2020-01-31 │ 1 " in shown
    assert "no longer in the file" in shown


def test_without_a_file_of_rules_the_commands_say_what_to_give(out, tmp_path, capsys):
    assert run("suppress", "test", out) == 2
    assert "nor the setting alarms.suppress" in capsys.readouterr().err
    assert run("suppress", "list", out, "--rules", tmp_path / "none") == 2
    assert "suppress add begins one" in capsys.readouterr().err
