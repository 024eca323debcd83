"""Alarms for others: each format is read back by a reader written from its rules."""

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import make
import pytest
import rfc5424
from make import HOSTILE

from entropy_ids.alarms import formats
from entropy_ids.alarms.history import as_alarm
from entropy_ids.alarms.sinks import ZEEK_FIELDS, as_dict, sanitize
from entropy_ids.settings import SETTINGS
from entropy_ids.types import Alarm

MORE = {
    "pipe": "a|b\\|c",
    "equals": "a=b src=6.6.6.6 \\=",
    "bracket": 'a"] evil="1',
    "formula": '=cmd|"/c calc"!A1',
    "braces": '{"a": "\\u0000"}',
}
TEXTS = HOSTILE | MORE
CORPUS = pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
ZEEK = Path(__file__).parents[1] / "examples" / "entropy-alarm.zeek"


def hostile(text: str) -> Alarm:
    """Give an alarm that has a text wherever one may come from outside."""
    values = [
        make.contributor(text, feature=f) for f in ("orig_h", "resp_p", "service")
    ]
    return make.alarm(
        sensor=text,
        contributors=(*values, make.contributor("192.0.2.1", feature="resp_h")),
        uids=(text, "C2"),
        profile={"name": text, "hash": "0123456789abcdef"},
        summary=f"{text} and more",
        suppressed_by=text,
    )


def controls(text: str) -> list[str]:
    unsafe = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    return [char for char in text if unicodedata.category(char) in unsafe]


def ascii_only(text: str) -> str:
    """Give a text as formats of ASCII show it."""
    return "".join(c if c.isascii() else f"\\u{{{ord(c):x}}}" for c in sanitize(text))


def read_cef(text: str) -> tuple[list[str], dict[str, str]]:
    """Read CEF by its rules: seven fields that end with a bar, then ``key=value``."""
    parts = re.match(r"((?:(?:[^|\\]|\\.)*\|){7})(.*)$", text)
    assert parts is not None
    fields = re.findall(r"((?:[^|\\]|\\.)*)\|", parts[1])
    head = [re.sub(r"\\([\\|])", r"\1", field) for field in fields]
    keys = list(re.finditer(r"(?:^| )([A-Za-z0-9]+)=", parts[2]))
    ends = [key.start() for key in keys[1:]] + [len(parts[2])]
    found = {}
    for key, end in zip(keys, ends, strict=True):
        assert key[1] not in found
        found[key[1]] = re.sub(r"\\([\\=])", r"\1", parts[2][key.end() : end])
    return head, found


# ------------------------------------------------------------------------ hostile text


@CORPUS
@pytest.mark.parametrize("name", sorted(formats.PAYLOADS))
def test_every_payload_is_one_harmless_line_of_ascii(text, name):
    written = formats.PAYLOADS[name](as_dict(hostile(text)))
    assert written.isascii()
    assert controls(written) == []


@CORPUS
@pytest.mark.parametrize("name", ["json", "ecs", "notice"])
def test_json_reads_back_as_sanitised(text, name):
    row = as_dict(hostile(text))
    told = json.loads(formats.PAYLOADS[name](row))
    if name == "json":
        assert told == row
    else:
        sensor = told["observer"]["name"] if name == "ecs" else told["peer_descr"]
        assert sensor == sanitize(text)
        assert (told["message"] if name == "ecs" else told["msg"]) == row["summary"]


@CORPUS
def test_structured_data_reads_back_as_sanitised(text):
    row = as_dict(hostile(text))
    found = rfc5424.read(formats.syslog(row, "host", formats.plain(row)).encode())
    assert found.params["sensor"] == found.params["suppressed_by"] == sanitize(text)
    assert set(found.params) <= {*formats._SD, "source", "target", "technique"}
    assert found.text.endswith(ascii_only(row["summary"]))


@CORPUS
def test_cef_reads_back_as_sanitised(text):
    row = as_dict(hostile(text)) | {"class": sanitize(text)}
    head, found = read_cef(formats.cef(row))
    assert head[:3] == ["CEF:0", "entropy-ids", "entropy-ids"]
    assert head[4] == ascii_only(text)
    assert found.get("dvchost", "") == ascii_only(text)
    assert found["msg"] == ascii_only(row["summary"])
    assert "src" not in found
    assert found["dst"] == "192.0.2.1"


@CORPUS
def test_a_host_or_class_of_any_name_leaves_the_header_whole(text):
    row = as_dict(make.alarm()) | {"class": sanitize(text)}
    found = rfc5424.read(formats.syslog(row, text, "m").encode())
    assert (found.app, found.text) == ("entropy-ids", "m")
    assert found.params["class"] == sanitize(text)


# ------------------------------------------------------------------- what they hold


def told(name: str, **values: Any) -> Any:
    return json.loads(formats.PAYLOADS[name](as_dict(make.alarm(**values))))


def found(*pairs: tuple[str, str]) -> tuple[Any, ...]:
    return tuple(make.contributor(value, feature=feature) for feature, value in pairs)


SCAN = found(
    ("orig_h", "2001:db8::1"),
    ("orig_h", "10.0.0.1"),
    ("resp_h", "192.0.2.1"),
    ("resp_p", "443/tcp"),
    ("orig_h_bytes", "10.9.9.9"),
)


def test_ecs_has_the_fields_that_a_rule_of_a_siem_asks_for():
    row = told("ecs", contributors=SCAN, technique=("T1071.004", "T1572"))
    assert row["@timestamp"] == row["event"]["end"] == "2024-04-21T07:01:00Z"
    assert row["event"]["kind"] == "alert"
    assert row["event"]["severity"] == 47
    assert row["rule"]["name"] == "port-scan"
    assert row["source"]["ip"] == ["2001:db8::1", "10.0.0.1"]
    assert row["destination"] == {"ip": ["192.0.2.1"], "port": 443}
    assert row["network"]["transport"] == "tcp"
    assert row["related"]["ip"] == ["2001:db8::1", "10.0.0.1", "192.0.2.1"]
    assert row["threat"]["technique"] == {
        "id": ["T1071", "T1572"],
        "subtechnique": {"id": ["T1071.004"]},
    }
    assert row["zeek"]["session_id"] == ["C1", "C2"]
    assert row["entropy_ids"]["contributors"][0]["value"] == "2001:db8::1"


def test_ecs_has_the_community_ids_that_are_known():
    row = told("ecs", community_ids=("1:a", "", "1:b"), contributors=SCAN)
    assert row["network"] == {"community_id": ["1:a", "1:b"], "transport": "tcp"}


@pytest.mark.parametrize("payload", formats.PAYLOADS)
def test_a_line_of_a_version_without_community_ids_is_still_sent(payload):
    row = as_dict(make.alarm())
    del row["community_ids"]
    assert formats.fitted(row, formats.PAYLOADS[payload], 4_000)
    assert formats.fitted(row, formats.PAYLOADS[payload], 40)


def test_ecs_leaves_out_what_an_alarm_does_not_say():
    row = told("ecs", contributors=(), technique=())
    assert {"source", "destination", "network", "threat", "tags"} & set(row) == set()
    marked = told("ecs", suppressed_by="known-scanner")
    assert marked["tags"] == ["suppressed"]
    assert marked["entropy_ids"]["suppressed_by"] == "known-scanner"


def test_cef_has_own_keys_for_addresses_of_version_6():
    _, six = read_cef(formats.cef(as_dict(make.alarm(contributors=SCAN))))
    assert (six["c6a2"], six["dst"], six["dpt"]) == ("2001:db8::1", "192.0.2.1", "443")
    assert "src" not in six
    assert (six["start"], six["end"]) == ("1713682800000", "1713682860000")
    four = make.alarm(contributors=found(("orig_h", "10.0.0.1")))
    assert read_cef(formats.cef(as_dict(four)))[1]["src"] == "10.0.0.1"


def test_a_network_stands_in_no_field_for_an_address():
    row = as_dict(make.alarm(contributors=found(("orig_net", "198.51.0.0/16"))))
    assert "src" not in read_cef(formats.cef(row))[1]
    assert "source" not in json.loads(formats.ecs(row))
    assert "src" not in json.loads(formats.notice(row))


@pytest.mark.parametrize(
    ("severity", "level", "cef"),
    [("low", 5, "3"), ("medium", 4, "6"), ("high", 3, "8"), ("critical", 2, "10")],
)
def test_severities_are_said_in_the_words_of_each_format(severity, level, cef):
    row = as_dict(make.alarm(severity=severity))
    assert rfc5424.read(formats.syslog(row, "h", "m").encode()).pri == 13 * 8 + level
    assert read_cef(formats.cef(row))[0][6] == cef
    marked = row | {"suppressed_by": "r"}
    assert rfc5424.read(formats.syslog(marked, "h", "m").encode()).pri == 13 * 8 + 6
    assert read_cef(formats.cef(marked))[0][6] == "0"


def test_a_notice_has_the_fields_of_zeeks_log():
    row = told("notice", contributors=SCAN)
    assert row["note"] == formats.NOTE
    assert (row["src"], row["dst"]) == ("2001:db8::1", "192.0.2.1")
    assert (row["p"], row["proto"], row["n"]) == (443, "tcp", 100)
    assert (row["ts"], row["uid"]) == (1713682860.0, "C1")


def test_the_setting_for_the_payload_names_every_one():
    [setting] = [s for s in SETTINGS if s.key == "alarms.syslog_payload"]
    assert setting.allowed is not None
    assert setting.allowed[1] == "one of " + ", ".join(formats.PAYLOADS)
    assert setting.default in formats.PAYLOADS


# ------------------------------------------------------------------------------ length


def test_what_is_too_long_loses_its_lists_and_says_so():
    row = as_dict(make.alarm(uids=tuple(f"C{n:017}" for n in range(100))))
    assert formats.fitted(row, formats.line, 10_000) == formats.line(row).encode()
    short = json.loads(formats.fitted(row, formats.line, 2_000))
    assert short["cut"] is True
    assert short["uids"] == row["uids"][: len(short["uids"])]
    assert 0 < len(short["uids"]) < 100
    assert short["summary"] == row["summary"]


@CORPUS
def test_nothing_is_ever_longer_than_allowed(text):
    for write in formats.PAYLOADS.values():
        assert len(formats.fitted(as_dict(hostile(text)), write, 2_048)) <= 2_048


# ---------------------------------------------------------------------------- and back


@CORPUS
def test_a_line_reads_back_as_the_alarm_that_it_was(text):
    row = as_dict(hostile(text))
    assert as_dict(as_alarm(json.loads(json.dumps(row)), "here")) == row


# ------------------------------------------------------------------------ Zeek's script


def test_the_zeek_script_reads_the_columns_that_are_written():
    types = {"vector[string]": "vector of string"}
    body = re.search(r"type Line: record \{(.*?)\};", ZEEK.read_text(), re.DOTALL)
    assert body is not None
    told = re.findall(r"(?m)^\t\t(\w+): ([\w ]+?)( &optional)?;$", body[1])
    assert body[1].count(";") == len(told)
    expected = {name: types.get(kind, kind) for name, kind in ZEEK_FIELDS.items()}
    assert {name: kind for name, kind, _ in told} == expected
    assert [name for name, _, optional in told if optional] == ["suppressed_by"]


def test_the_zeek_script_names_its_notice_as_the_payload_does():
    text = ZEEK.read_text()
    module, note = formats.NOTE.split("::")
    assert f"module {module};" in text
    assert re.search(rf"redef enum Notice::Type \+= \{{[^}}]*\b{note},", text)
    assert f"$note={note}," in text
