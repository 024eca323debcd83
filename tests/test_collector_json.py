"""JSON logs: one object per line is a row, and anything else is one bad row a line."""

import json
import subprocess
import sys

import pytest
from polars.testing import assert_frame_equal
from zeek import conn, json_rows, tsv, write

from entropy_ids.collector.segments import LINE_BYTES
from entropy_ids.errors import InputError

ROWS = [
    conn(1),
    conn(2, service=None, duration=None, orig_bytes=None, resp_bytes=None),
    conn(3, proto="icmp", orig_p=8, resp_p=0, history=None, duration=8e-06),
    conn(4, duration=0.21148395538330079, local_orig=None, local_resp=None),
]
READ_ALL = """
import sys
from pathlib import Path
from entropy_ids.collector import parse, segments
parsed = [parse(segment) for segment in segments(Path(sys.argv[1]))]
sys.stdout.write(str([row.line for part in parsed for row in part.bad]))
"""


def line(**values):
    """One JSON line; a value of bytes is put in as it is."""
    raw = {name: value for name, value in values.items() if isinstance(value, bytes)}
    marks = {name: f"<{name}>" for name in raw}
    data = json_rows([conn(2, **(values | marks))])
    for name, value in raw.items():
        data = data.replace(f'"<{name}>"'.encode(), value)
    return data


def between(data):
    """Lines between two good rows."""
    return json_rows([conn(1)]) + data + json_rows([conn(9)])


def outcome(parsed):
    """The good rows, and the lines of the bad ones."""
    return parsed.flows.frame["uid"].to_list(), [row.line for row in parsed.bad]


def test_json_gives_the_flows_that_tsv_gives(read):
    same, flows = read(json_rows(ROWS)), read(tsv(ROWS)).flows.frame
    assert not same.bad
    assert_frame_equal(same.flows.frame.drop("line"), flows.drop("line"))
    assert same.flows.frame["line"].to_list() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"id.orig_", b"id_orig_").replace(b"id.r", b"id_r"),
        lambda data: data.replace(b'{"ts"', b'{"_path":"conn","ts"'),
        lambda data: data.replace(b'{"ts"', b'{"@stream":"conn","@proc":"zeek","ts"'),
        lambda data: data.replace(b'{"ts"', b'{"x":[{"ts":1}],"y":{"uid":2},"ts"'),
        lambda data: data.replace(b'{"ts"', b'{"x":null,"vlan":7,"ts"'),
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b"\n", b"\n\n"),
        lambda data: data.replace(b"\n", b" \n "),
        lambda data: data.replace(b",", b" , ").replace(b":", b": ", 1),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: b"\n \n" + data,
        lambda data: data[:-1],
    ],
    ids="names _path @stream nested extra CRLF blank spaces loose BOM top end".split(),
)
def test_the_dialects_of_shippers_change_no_flow(read, change):
    parsed, flows = read(change(json_rows(ROWS))), read(json_rows(ROWS)).flows.frame
    assert not parsed.bad
    assert_frame_equal(parsed.flows.frame.drop("line"), flows.drop("line"))


def test_null_is_the_same_as_absent(read):
    nulls = "".join(json.dumps(dict(row)) + "\n" for row in ROWS).encode()
    assert b"null" in nulls
    parsed = read(nulls)
    assert_frame_equal(parsed.flows.frame, read(json_rows(ROWS)).flows.frame)


def test_absent_is_null_and_not_zero(read):
    names = ["service", "duration", "orig_bytes", "resp_bytes"]
    frame = read(json_rows(ROWS[1:2])).flows.frame
    assert frame.select(names).rows() == [(None,) * 4]


@pytest.mark.parametrize("key", ["_path", "@stream"])
def test_rows_of_other_logs_are_counted_apart(read, key):
    parsed = read(between(json_rows([conn(2, **{key: "dns"})])))
    assert outcome(parsed) == (["C1", "C9"], [2])
    assert parsed.bad[0].reason == "other-log"


@pytest.mark.parametrize("name", ["ts", "id.orig_h", "id.resp_p", "proto"])
def test_a_row_without_what_every_connection_has_is_bad(read, name):
    parsed = read(between(json_rows([conn(2, **{name: None})])))
    assert [(row.line, row.reason) for row in parsed.bad] == [(2, "missing")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ts", b"NaN"),
        ("ts", b"Infinity"),
        ("ts", b"1e400"),
        ("ts", b'"1713682798.5"'),
        ("ts", b"true"),
        ("ts", b"[1713682798.5]"),
        ("duration", b"NaN"),
        ("duration", b"-Infinity"),
        ("duration", b"-0.5"),
        ("duration", b'"0.5"'),
        ("orig_p", b"70000"),
        ("orig_p", b"-1"),
        ("orig_p", b'"443"'),
        ("resp_p", b"80.5"),
        ("orig_bytes", b"-1"),
        ("orig_bytes", b"1.5"),
        ("orig_bytes", b"99999999999999999999"),
        ("local_orig", b'"T"'),
        ("local_orig", b"1"),
        ("uid", b"7"),
        ("uid", b'{"a":1}'),
        ("orig_h", b"167772161"),
        ("service", b'["dns","http"]'),
        ("service", b'"\\ud800"'),
        ("service", b'"a\nb"'),
    ],
)
def test_a_value_of_another_kind_costs_its_row(read, name, value):
    good, bad_lines = outcome(read(between(line(**{name: value}))))
    assert good == ["C1", "C9"]
    assert bad_lines == [2, 3][: 1 + value.count(b"\n")]


@pytest.mark.parametrize(
    "value",
    [b'"a\xffb"', b'"\xc3"', b'"\xed\xa0\x80"'],
    ids=["FF", "half", "surrogate"],
)
def test_a_value_that_is_no_utf_8_costs_its_row(read, value):
    assert outcome(read(between(line(service=value)))) == (["C1", "C9"], [2])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b'"caf\\u00e9"', "café"),
        ('"café\u2028"'.encode(), "café\u2028"),
        (b'"a\\nb\\t\\"c"', 'a\nb\t"c'),
        (b'"-"', "-"),
        (b'"null"', "null"),
        (b'""', ""),
        (b'"a#b"', "a#b"),
    ],
)
def test_text_is_decoded_as_json_says(read, value, text):
    assert read(line(service=value)).flows.frame["service"].to_list() == [text]


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b"[]",
        b"[1]",
        b"5",
        b'"x"',
        b"true",
        b"#close",
        b"{",
        b"}",
        b"],[",
        b"nonsense",
        json_rows([conn(2)])[:-1] + b",",
        json_rows([conn(2)])[:40],
        b"[" + json_rows([conn(2)])[:-1] + b"]",
        json_rows([conn(2), conn(3)]).replace(b"\n", b""),
        json_rows([conn(2)])[:-1] + b"\0" + json_rows([conn(3)])[:-1],
        b"\0\0\0" + json_rows([conn(2)])[:-1],
        json_rows([conn(2)])[:-2] + b',"uid":"C3"}',
        str(dict(conn(2))).encode(),
    ],
)
def test_a_line_that_is_no_single_object_is_one_bad_row(read, text):
    assert outcome(read(between(text + b"\n"))) == (["C1", "C9"], [2])


def test_every_line_of_an_object_over_two_lines_is_bad(read):
    spread = json_rows([conn(2)]).replace(b',"proto"', b'\n,"proto"')
    assert outcome(read(between(spread))) == (["C1", "C9"], [2, 3])


@pytest.mark.parametrize(
    "other", [b"\n", json_rows([conn(4)]).replace(b',"proto"', b'\n,"proto"')]
)
def test_two_objects_in_a_line_are_bad_beside_lines_without_any_too(read, other):
    pair = json_rows([conn(2), conn(3)]).replace(b"\n", b"") + b"\n"
    good, bad_lines = outcome(read(between(pair + other)))
    assert good == ["C1", "C9"]
    assert bad_lines == [2] if other == b"\n" else [2, 3, 4]


@pytest.mark.parametrize("before", [b"5\n", b"[1]\n", b"\n", b"nonsense\n"])
def test_a_null_in_place_of_an_object_does_not_end_the_process(tmp_path, before):
    data = between(before + b"null\n")
    path = write(tmp_path / "conn.log", data)
    run = subprocess.run(
        [sys.executable, "-c", READ_ALL, path], capture_output=True, text=True
    )
    expected = "[3]" if before == b"\n" else "[2, 3]"
    assert (run.returncode, run.stdout) == (0, expected)


@pytest.mark.parametrize("depth", [100, 30_000, 1_000_000])
def test_deep_nesting_is_one_row_good_or_bad(read, depth):
    nest = b"[" * depth + b"]" * depth
    good, bad_lines = outcome(read(between(line(x=nest))))
    assert len(good) + len(bad_lines) == 3
    assert ("C2" in good) == (2 not in bad_lines)


def test_a_line_over_the_cap_is_too_long(read):
    parsed = read(between(line(x=b'"' + b"x" * LINE_BYTES + b'"')))
    assert [(row.line, row.reason) for row in parsed.bad] == [(2, "too-long")]


def test_half_a_last_line_is_bad(read):
    assert outcome(read(json_rows(ROWS)[:-30])) == (["C1", "C2", "C3"], [4])


def test_an_array_of_rows_is_refused_with_the_way_out(read):
    with pytest.raises(InputError, match=r"conn\.log: .*JSON array.*jq -c"):
        read(json.dumps([dict(row) for row in ROWS], indent=2).encode())
