"""Reading other logs than conn: their columns, their types, and what is no row."""

import json
from pathlib import Path
from typing import Any

import pytest

from entropy_ids.collector import Parsed, parse, segments
from entropy_ids.collector.schema import SCHEMAS, end_us, kept, required
from entropy_ids.errors import InputError

HEAD = {"uid": "C1", "id.orig_h": "10.0.0.1", "id.orig_p": 4, "id.resp_h": "::1"}
ROW: dict[str, Any] = {"ts": 1_700_000_000.5, **HEAD, "id.resp_p": 53}
OTHERS = sorted(set(SCHEMAS) - {"conn"})


def read(path: Path, data: bytes, log: str) -> Parsed:
    path.write_bytes(data)
    (segment,) = segments(path, log=log)
    return parse(segment)


def tsv(log: str, *rows: dict[str, Any], path: str | None = None) -> bytes:
    names = list(kept(log))
    lines = [f"#separator \\x09\n#path\t{path or log}", "\t".join(["#fields", *names])]
    lines += ["\t".join(str(row.get(name, "-")) for name in names) for row in rows]
    return ("\n".join(lines) + "\n").encode()


def as_json(*rows: dict[str, Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.mark.parametrize("log", OTHERS)
def test_tsv_and_json_of_a_log_are_read_alike(tmp_path, log):
    a, b = (
        read(tmp_path / f"{log}.log", data, log).flows.frame
        for data in (tsv(log, ROW, ROW), as_json(ROW, ROW))
    )
    assert a.drop("line").equals(b.drop("line")) and a.height == 2
    assert a.drop("line").schema == kept(log)


@pytest.mark.parametrize("log", OTHERS)
def test_a_log_needs_its_time_and_both_ends(log):
    assert set(required(log)) == {"ts", *(name for name in ROW if name[:3] == "id.")}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"id.orig_h": "home"}, "address"),
        ({"id.resp_h": "-"}, "missing"),
        ({"rtt": -1.0}, "range"),
        ({"rtt": "nan"}, "range"),
        ({"id.resp_p": 70_000}, "unparsable"),
    ],
)
def test_a_row_that_cannot_be_true_is_put_aside(tmp_path, row, reason):
    data = tsv("dns", ROW, ROW | row, ROW)
    parsed = read(tmp_path / "dns.log", data, "dns")
    assert len(parsed.flows) == 2
    assert [(bad.reason, bad.line) for bad in parsed.bad] == [(reason, 5)]


def test_rows_of_other_logs_in_one_stream_are_put_aside(tmp_path):
    data = as_json({**ROW, "_path": "dns"}, {**ROW, "_path": "conn"}, ROW)
    parsed = read(tmp_path / "dns.log", data, "dns")
    (bad,) = parsed.bad
    assert (bad.reason, bad.line, len(parsed.flows)) == ("other-log", 2, 2)
    assert bad.detail == "expected a row of the dns log, found one of another log"


def test_an_answer_ends_a_query(tmp_path):
    rows = [ROW, ROW | {"rtt": 1.25}]
    parsed = read(tmp_path / "dns.log", tsv("dns", *rows), "dns")
    begun = round(ROW["ts"] * 1e6)
    assert end_us(parsed.flows.frame).to_list() == [begun, begun + 1_250_000]


def test_lists_of_a_json_log_are_passed_over(tmp_path):
    row = {**ROW, "answers": ["1.2.3.4"], "query": "a.example", "TTLs": [1.0]}
    parsed = read(tmp_path / "dns.log", as_json(row), "dns")
    assert parsed.flows.frame["query"].to_list() == ["a.example"]


def test_a_log_that_names_itself_otherwise_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected #path ssh, found #path dns"):
        read(tmp_path / "ssh.log", tsv("ssh", ROW, path="dns"), "ssh")


def test_a_log_without_a_column_that_it_must_have_is_refused(tmp_path):
    data = tsv("ftp", ROW).replace(b"id.resp_h", b"id.nobody")
    with pytest.raises(InputError, match=r"columns of a ftp log, found no id\.resp_h"):
        read(tmp_path / "ftp.log", data, "ftp")
