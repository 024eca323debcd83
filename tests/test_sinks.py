"""Alarm files: hostile text stays on its line; all readers get the same values."""

import json
import re
import unicodedata
from datetime import datetime
from pathlib import Path
from typing import Any

import make
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make import HOSTILE
from zat.zeek_log_reader import ZeekLogReader

from entropy_ids.alarms.history import as_alarm
from entropy_ids.alarms.sinks import (
    MOST_CHARS,
    ZEEK_FIELDS,
    AlarmFiles,
    alarm_line,
    as_dict,
    sanitize,
    write_remarks,
)
from entropy_ids.types import Alarm, BadRow, Quality, Removal, Removed

OPENED = "2024-04-21-07-00-00"
CORPUS = pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def removal(text: str) -> Removal:
    return Removal("service", (Removed(text, 3, 0.5, 0.1),), None)


def hostile(text: str) -> Alarm:
    """Give an alarm that has a text wherever one may come from outside."""
    found = make.contributor(text, feature="service")
    return make.alarm(
        sensor=text,
        contributors=(found, make.contributor()),
        uids=(f"C{text}", text, "C2"),
        deviations=(make.deviation(removal=removal(text)),),
        profile={"name": text, "hash": "0123456789abcdef"},
        technique=(f"T{text}",),
        summary=f"{text} and more",
        suppressed_by=text,
    )


def written(directory: Path, *alarms: Alarm) -> tuple[list[str], list[str]]:
    """Write alarms; give the lines of both files as bytes are split, not as text is."""
    files = AlarmFiles(directory)
    files.write(make.T0, alarms)
    files.close()
    names = ("alarms.jsonl", "entropy_alarm.log")
    texts = [(directory / name).read_bytes().decode("utf-8") for name in names]
    jsonl, zeek = (text.split("\n") for text in texts)
    assert jsonl.pop() == zeek.pop() == ""
    return jsonl, zeek


def controls(text: str) -> list[str]:
    """Give the characters that a terminal or a line reader would act on."""
    return [char for char in text if unicodedata.category(char) in UNSAFE]


# ------------------------------------------------- a small reader of Zeek's format


def unescape(text: str) -> str:
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), text)


def zeek_value(text: str, kind: str, header: dict[str, str]) -> Any:
    if text == header["unset_field"]:
        return None
    if kind.startswith("vector"):
        if text == header["empty_field"]:
            return []
        inner = kind.removeprefix("vector[").removesuffix("]")
        parts = text.split(header["set_separator"])
        return [zeek_value(part, inner, header) for part in parts]
    if kind in ("count", "double", "time"):
        return int(text) if kind == "count" else float(text)
    return "" if text == header["empty_field"] else unescape(text)


def read_zeek(lines: list[str]) -> list[dict[str, Any]]:
    """Read rows by what the header says, and nothing else."""
    separator = unescape(lines[0].removeprefix("#separator "))
    head = [line[1:].partition(separator) for line in lines[1:] if line[:1] == "#"]
    header = {key: value for key, _, value in head}
    names, types = (header[key].split(separator) for key in ("fields", "types"))
    rows = [line.split(separator) for line in lines if line[:1] != "#"]
    return [
        {
            name: zeek_value(cell, kind, header)
            for name, kind, cell in zip(names, types, cells, strict=True)
        }
        for cells in rows
    ]


def as_zeek(row: dict[str, Any]) -> dict[str, Any]:
    """Give a row of alarms.jsonl as it should stand in entropy_alarm.log."""
    start, end = (datetime.fromisoformat(row[k]).timestamp() for k in ("start", "end"))
    profile = {f"profile_{key}": value for key, value in row["profile"].items()}
    row = row | profile | {"ts": start, "start": start, "end": end}
    return {name: row[name] for name in ZEEK_FIELDS}


def parsed(row: dict[str, Any]) -> dict[str, Any]:
    """Read the JSON inside a Zeek row's elements."""
    inside = ("deviations", "contributors")
    return row | {name: [json.loads(text) for text in row[name]] for name in inside}


def sanitized(value: Any) -> Any:
    if isinstance(value, str):
        return sanitize(value)
    if isinstance(value, tuple | list):
        return [sanitized(item) for item in value]
    return value


# ------------------------------------------------------------------- the sanitiser


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=60))
def test_nothing_harmful_comes_through_and_nothing_else_is_changed(text):
    safe = sanitize(text)
    assert controls(safe) == []
    harmless = "".join(char for char in text if not controls(char))
    assert re.sub(r"\\u\{[0-9a-f]+\}", "", safe) == re.sub(
        r"\\u\{[0-9a-f]+\}", "", harmless
    )


@CORPUS
def test_hostile_text_is_harmless_once_sanitized(text):
    safe = sanitize(text)
    assert controls(safe) == []
    assert len(safe) <= MOST_CHARS * len("\\u{10ffff}") + len("...")
    safe.encode("utf-8")


def test_what_was_taken_out_can_be_told_from_what_is_left():
    assert sanitize("a\x1b[31m\u202eb") == "a\\u{1b}[31m\\u{202e}b"


@pytest.mark.parametrize("length", [0, 1, MOST_CHARS])
def test_text_of_usual_length_is_kept_whole(length):
    assert sanitize("x" * length) == "x" * length


def test_long_text_is_cut_and_says_so():
    assert sanitize("x" * (MOST_CHARS + 1)) == "x" * MOST_CHARS + "..."


# ----------------------------------------------------------------------- the files


@CORPUS
def test_an_alarm_is_one_line_without_control_characters(tmp_path, text):
    jsonl, zeek = written(tmp_path, hostile(text), make.alarm())
    assert len(jsonl) == 2
    assert len([line for line in zeek if not line.startswith("#")]) == 2
    for line in [*jsonl, *zeek]:
        assert controls(line.replace("\t", "")) == []
        assert len(line.splitlines()) == 1


@CORPUS
def test_alarms_jsonl_holds_the_sanitized_text(tmp_path, text):
    alarm = hostile(text)
    row = json.loads(written(tmp_path, alarm)[0][0])
    for name in ("sensor", "uids", "technique", "summary", "suppressed_by"):
        assert row[name] == sanitized(getattr(alarm, name)), name
    assert row["profile"]["name"] == sanitize(text)
    assert row["contributors"][0]["value"] == sanitize(text)


@CORPUS
def test_both_alarm_files_hold_the_same_values(tmp_path, text):
    alarms = [hostile(text), make.alarm(revision=2, state="closed")]
    jsonl, zeek = written(tmp_path, *alarms)
    rows = [parsed(row) for row in read_zeek(zeek)]
    assert rows == [as_zeek(json.loads(line)) for line in jsonl]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(max_size=12), max_size=4))
def test_a_list_of_texts_is_read_back_from_the_zeek_log(tmp_path_factory, texts):
    directory = tmp_path_factory.mktemp("out")
    _, zeek = written(directory, make.alarm(uids=tuple(texts)))
    [row] = read_zeek(zeek)
    if texts != [""]:  # Zeek itself writes an empty list and [""] alike
        assert row["uids"] == [sanitize(text) for text in texts]


def test_an_empty_list_and_the_marks_for_empty_and_unset_are_told_apart(tmp_path):
    alarms = [make.alarm(uids=uids) for uids in ((), ("-",), ("(empty)",), ("", ""))]
    rows = read_zeek(written(tmp_path, *alarms)[1])
    assert [row["uids"] for row in rows] == [[], ["-"], ["(empty)"], ["", ""]]


def test_the_zeek_log_has_the_header_and_footer_that_zeek_writes(tmp_path):
    _, lines = written(tmp_path, make.alarm())
    assert lines[:6] == [
        "#separator \\x09",
        "#set_separator\t,",
        "#empty_field\t(empty)",
        "#unset_field\t-",
        "#path\tentropy_alarm",
        f"#open\t{OPENED}",
    ]
    assert lines[6].split("\t")[:3] == ["#fields", "ts", "id"]
    assert len(lines[6].split("\t")) == len(lines[7].split("\t"))
    assert lines[-1] == f"#close\t{OPENED}"


def test_a_log_without_alarms_is_a_header_and_a_footer(tmp_path):
    jsonl, zeek = written(tmp_path)
    assert jsonl == []
    assert [line.partition("\t")[0] for line in zeek[5:]] == [
        "#open",
        "#fields",
        "#types",
        "#close",
    ]


def test_a_log_of_no_minute_has_no_time(tmp_path):
    AlarmFiles(tmp_path).close()
    lines = (tmp_path / "entropy_alarm.log").read_text().splitlines()
    assert (lines[5], lines[-1]) == ("#open\t-", "#close\t-")


def test_a_log_is_open_from_its_first_minute_to_its_last(tmp_path):
    files = AlarmFiles(tmp_path)
    files.advance(make.T0)
    files.write(make.T0 + 120, [make.alarm()])
    files.close()
    lines = (tmp_path / "entropy_alarm.log").read_text().splitlines()
    assert lines[5] == f"#open\t{OPENED}"
    assert lines[-1] == "#close\t2024-04-21-07-02-00"


def test_a_row_has_every_field_that_the_design_names():
    names = (
        "id revision state schema sensor class severity confidence start end detector "
        "score threshold deviations contributors uids community_ids flows "
        "suppressed_by profile technique summary"
    )
    row = as_dict(make.alarm())
    assert set(row) == set(names.split())
    assert row["start"] == "2024-04-21T07:00:00Z"
    assert row["schema"] == 1


def test_a_deviation_and_a_contributor_have_the_fields_that_the_design_names():
    row = as_dict(make.alarm())
    told = "feature direction entropy alpha value low high r sign removal"
    assert set(row["deviations"][0]) == set(told.split())
    told = "feature flows share usual_share value direction explains"
    assert set(row["contributors"][0]) == set(told.split())


def test_what_removes_a_deviation_stands_in_its_line_and_is_read_back():
    scanner = Removal("orig_h", (Removed("10.0.3.7", 40, 0.8, 0.0),), 0.25)
    alarm = make.alarm(
        deviations=(make.deviation(removal=scanner), make.deviation()),
        contributors=(make.contributor(explains=("orig_h.all.renyi.1",)),),
        community_ids=("1:a", ""),
    )
    row = as_dict(alarm)
    assert row["deviations"][1]["removal"] is None
    [value] = row["deviations"][0]["removal"]["values"]
    assert value == {"value": "10.0.3.7", "flows": 40, "share": 0.8, "usual_share": 0}
    assert as_alarm(json.loads(alarm_line(alarm)), "line") == alarm


def test_numbers_are_written_with_six_digits(tmp_path):
    values = {"score": 1.23456789, "threshold": 1.23456789e-9}
    deviation = make.deviation(value=2 / 3, r=-123456.789)
    jsonl, zeek = written(tmp_path, make.alarm(**values, deviations=(deviation,)))
    for row in (json.loads(jsonl[0]), parsed(read_zeek(zeek)[0])):
        assert (row["score"], row["threshold"]) == (1.23457, 1.23457e-09)
        assert row["deviations"][0]["value"] == 0.666667
        assert row["deviations"][0]["r"] == -123457.0


def test_revisions_are_appended_in_the_order_in_which_they_come(tmp_path):
    files = AlarmFiles(tmp_path)
    for revision in (1, 2, 3):
        files.write(make.T0, [make.alarm(revision=revision)])
    files.close()
    lines = (tmp_path / "alarms.jsonl").read_text().splitlines()
    assert [json.loads(line)["revision"] for line in lines] == [1, 2, 3]


def test_the_same_alarms_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert written(tmp_path / "a", make.alarm()) == written(
        tmp_path / "b", make.alarm()
    )


# ---------------------------------------------------------------------- zat's reader


ZAT_FIELDS = ("id", "revision", "state", "class", "severity", "flows", "score")


@CORPUS
def test_zat_reads_every_column_in_its_place(tmp_path, text):
    _, zeek = written(tmp_path, hostile(text), make.alarm(revision=2))
    reader = ZeekLogReader(str(tmp_path / "entropy_alarm.log"), strict=True)
    rows = list(reader.readrows())
    assert [list(row) for row in rows] == [list(ZEEK_FIELDS)] * 2
    for row, expected in zip(rows, read_zeek(zeek), strict=True):
        assert {k: row[k] for k in ZAT_FIELDS} == {k: expected[k] for k in ZAT_FIELDS}
        assert unescape(row["sensor"]) == (expected["sensor"] or "(empty)")
        assert row["start"].timestamp() == expected["start"]


# ------------------------------------------------------------- quality, quarantine


def remarks(directory: Path, text: str) -> dict[str, list[str]]:
    quality = [Quality("gap", make.T0, text), Quality("flush", make.T0 + 60, "x")]
    bad = [BadRow(f"logs/{text}.log", 7, "fields", text)]
    write_remarks(directory, text, quality, bad)
    names = ("quality.jsonl", "quarantine.jsonl")
    texts = {name: (directory / name).read_bytes().decode("utf-8") for name in names}
    assert all(content.endswith("\n") for content in texts.values())
    return {name: content[:-1].split("\n") for name, content in texts.items()}


@CORPUS
def test_a_remark_is_one_line_of_sanitized_text(tmp_path, text):
    lines = remarks(tmp_path, text)["quality.jsonl"]
    assert [json.loads(line) for line in lines] == [
        {
            "sensor": sanitize(text),
            "class": kind,
            "start": f"2024-04-21T07:0{minute}:00Z",
            "summary": sanitize(detail),
        }
        for kind, minute, detail in (("gap", 0, text), ("flush", 1, "x"))
    ]
    assert all(controls(line) == [] for line in lines)


@CORPUS
def test_a_quarantined_row_is_one_line_of_sanitized_text(tmp_path, text):
    [line] = remarks(tmp_path, text)["quarantine.jsonl"]
    assert json.loads(line) == {
        "file": sanitize(f"logs/{text}.log"),
        "line": 7,
        "reason": "fields",
        "detail": sanitize(text),
    }
    assert controls(line) == []


def test_without_remarks_both_files_are_there_and_empty(tmp_path):
    write_remarks(tmp_path, "office", [], [])
    for name in ("quality.jsonl", "quarantine.jsonl"):
        assert (tmp_path / name).read_bytes() == b""
