"""The generated sibling logs: they join, agree with their flows, and parse."""

import datetime as dt
import gzip
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from zeek import read_conn

from entropy_ids.simulate.archive import write_day
from entropy_ids.simulate.flows import Logs, complete, schema
from entropy_ids.simulate.siblings import LOGS, siblings
from entropy_ids.simulate.site import Site

FRIDAY = dt.date(2026, 3, 6)
MIDNIGHT = int(dt.datetime(2026, 3, 6, tzinfo=dt.UTC).timestamp())
OTHERS = [log for log in LOGS if log != "conn"]
NUMERIC = (int, float)
JSON_TYPES = {"time": NUMERIC, "interval": NUMERIC, "count": int, "port": int}
JSON_TYPES |= {"string": str, "addr": str, "enum": str, "bool": bool}


@pytest.fixture(scope="module")
def logs() -> Logs:
    conn = Site(5, volume=0.3).day(FRIDAY)
    today = pl.col("written").is_between(MIDNIGHT, MIDNIGHT + 86_400, closed="left")
    return siblings(conn.filter(today), np.random.default_rng(5))


@pytest.fixture(scope="module")
def as_tsv(logs: Logs, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_day(tmp_path_factory.mktemp("tsv"), logs)


@pytest.fixture(scope="module")
def as_json(logs: Logs, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_day(tmp_path_factory.mktemp("json"), logs, as_json=True)


def joined(logs: Logs, log: str) -> pl.DataFrame:
    """Sibling rows beside the rows of their flows, as ``conn_`` columns."""
    flows = logs["conn"]
    renamed = flows.rename({c: f"conn_{c}" for c in flows.columns if c != "uid"})
    return logs[log].join(renamed, on="uid", how="left")


def text_of(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def tsv_rows(path: Path) -> list[dict[str, str]]:
    lines = text_of(path)
    fields = next(x for x in lines if x.startswith("#fields")).split("\t")[1:]
    return [
        dict(zip(fields, line.split("\t"), strict=True))
        for line in lines
        if not line.startswith("#")
    ]


def json_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in text_of(path)]


def flow(**values: object) -> pl.DataFrame:
    """One complete flow: an answered lookup unless ``values`` say otherwise."""
    row = {
        "ts": float(MIDNIGHT),
        "id.orig_h": "10.20.1.1",
        "id.orig_p": 40_000,
        "id.resp_h": "10.20.0.53",
        "id.resp_p": 53,
        "proto": "udp",
        "service": "dns",
        "duration": 0.01,
        "orig_bytes": 40,
        "resp_bytes": 90,
        "conn_state": "SF",
        "history": "Dd",
        "tries": 1,
    }
    return complete(pl.DataFrame([row | values]), np.random.default_rng(0))


def only_row(conn: pl.DataFrame, log: str) -> dict:
    (row,) = siblings(conn, np.random.default_rng(0))[log].to_dicts()
    return row


@pytest.mark.parametrize("log", OTHERS)
def test_every_flow_of_a_service_has_its_rows_and_no_other_flow(log, logs):
    expected = logs["conn"].filter(pl.col("service") == log)["uid"]
    assert len(expected) > 50
    assert set(logs[log]["uid"]) == set(expected)


@pytest.mark.parametrize("log", OTHERS)
def test_rows_name_the_endpoints_of_their_flow(log, logs):
    rows = joined(logs, log)
    for name in ("id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"):
        assert (rows[name] == rows[f"conn_{name}"]).all()


@pytest.mark.parametrize("log", OTHERS)
def test_rows_begin_within_their_flow_and_are_written_before_it(log, logs):
    rows = joined(logs, log)
    end = rows["conn_ts"] + rows["conn_duration"].fill_null(0.0)
    assert (rows["ts"] >= rows["conn_ts"]).all()
    assert (rows["ts"] <= end).all()
    assert (rows["written"] >= rows["ts"]).all()
    assert (rows["written"] <= rows["conn_written"]).all()


@pytest.mark.parametrize("log", LOGS)
def test_columns_have_the_names_and_types_of_zeek(log, logs):
    own = {k: v for k, v in logs[log].schema.items() if k in LOGS[log]}
    assert own == schema(LOGS[log])
    assert list(own) == list(LOGS[log])


@pytest.mark.shared
@pytest.mark.parametrize("log", LOGS)
def test_fields_are_those_of_a_real_zeek(log, shared_data):
    for path in (shared_data / "attacks").glob(f"*/{log}.log"):
        head = path.read_text().splitlines()[:8]
        fields, types = (line.split("\t")[1:] for line in head[6:8])
        assert dict(zip(fields, types, strict=True)) == LOGS[log]


def test_no_flows_make_empty_logs(logs):
    empty = siblings(logs["conn"].clear(), np.random.default_rng(0))
    assert {log: len(rows) for log, rows in empty.items()} == dict.fromkeys(LOGS, 0)
    assert empty["http"].schema == logs["http"].schema


def test_same_draws_give_the_same_rows(logs):
    again = siblings(logs["conn"], np.random.default_rng(5))
    assert all(again[log].equals(logs[log]) for log in LOGS)


def test_an_answered_query_is_written_at_once_and_others_with_their_flow(logs):
    rows = joined(logs, "dns")
    answered = rows.filter(pl.col("rcode").is_not_null())
    silent = rows.filter(pl.col("rcode").is_null())
    assert (answered["rtt"] == answered["conn_duration"]).all()
    assert (answered["written"] - answered["ts"] - answered["rtt"] <= 1.0).all()
    assert (silent["written"] == silent["conn_written"]).all()
    assert silent["answers"].null_count() == len(silent) > 0


def test_answers_are_the_addresses_that_are_then_visited(logs):
    answers = logs["dns"].filter(pl.col("answers").is_not_null())
    known = dict(answers.select("query", "answers").iter_rows())
    visits = logs["ssl"].filter(pl.col("server_name").is_in(list(known)))
    assert len(visits) > 1000
    found = visits["server_name"].replace_strict(known)
    assert (found == visits["id.resp_h"]).all()


@pytest.mark.parametrize(
    ("name", "port", "qtype"),
    [("x" * 61 + ".example", 53, "TXT"), ("OFFICE", 137, "NB")],
)
def test_a_name_tells_what_is_asked(name, port, qtype):
    conn = flow(**{"name": name, "id.resp_p": port})
    assert only_row(conn, "dns")["qtype_name"] == qtype


def test_requests_of_a_connection_are_numbered_and_fit_into_its_bytes(logs):
    rows = (
        joined(logs, "http")
        .group_by("uid")
        .agg(
            pl.col("trans_depth"),
            pl.col("request_body_len", "response_body_len").sum(),
            pl.col("conn_orig_bytes", "conn_resp_bytes").first(),
        )
    )
    assert all(d.to_list() == list(range(1, len(d) + 1)) for d in rows["trans_depth"])
    assert 1.3 < rows["trans_depth"].list.len().mean() < 3
    assert (rows["request_body_len"] <= rows["conn_orig_bytes"]).all()
    assert (rows["response_body_len"] <= rows["conn_resp_bytes"]).all()


def test_failed_logins_are_told_by_their_logs(logs):
    ssh, http = joined(logs, "ssh"), joined(logs, "http")
    assert ((ssh["auth_success"] == "F") == ssh["conn_failed"]).all()
    refused = http.filter(pl.col("conn_failed").fill_null(value=False))
    assert set(refused["status_code"]) == {401}
    assert len(refused) == len(http.filter(pl.col("status_code") == 401))


@pytest.mark.parametrize(
    ("client", "server", "direction"),
    [
        ("10.20.1.1", "10.20.0.45", None),
        ("10.20.1.1", "198.18.0.1", "OUTBOUND"),
        ("198.18.0.1", "203.0.113.10", "INBOUND"),
    ],
)
def test_ssh_knows_a_direction_between_inside_and_outside_only(
    client, server, direction
):
    session = {"proto": "tcp", "service": "ssh", "history": "ShAdDaFf"}
    conn = flow(**session, **{"id.orig_h": client, "id.resp_h": server})
    assert only_row(conn, "ssh")["direction"] == direction


def test_files_hold_all_rows_by_log_and_hour(logs, as_tsv):
    counts = dict.fromkeys(LOGS, 0)
    for path in as_tsv:
        log, hour = path.name.split(".")[0], int(path.name.split(".")[1][:2])
        rows = tsv_rows(path)
        counts[log] += len(rows)
        assert path.parent.name == "2026-03-06"
        assert min(float(row["ts"]) for row in rows) < MIDNIGHT + 3600 * (hour + 1)
    assert counts == {log: len(rows) for log, rows in logs.items()}


def test_headers_name_the_log_its_fields_and_types(as_tsv):
    for path in as_tsv:
        log = path.name.split(".")[0]
        lines = text_of(path)
        assert lines[4] == f"#path\t{log}"
        assert lines[6].split("\t") == ["#fields", *LOGS[log]]
        assert lines[7].split("\t") == ["#types", *LOGS[log].values()]
        assert lines[-1].startswith("#close\t2026-03-0")


def test_json_values_have_the_types_of_zeek(as_json):
    for path in as_json:
        kinds = LOGS[path.name.split(".")[0]]
        for row in json_rows(path):
            for name, value in row.items():
                assert isinstance(value, JSON_TYPES.get(kinds[name], list))
                assert isinstance(value, bool) == (kinds[name] == "bool")


def test_json_and_tsv_say_the_same(as_tsv, as_json):
    assert [p.name for p in as_json] == [p.name for p in as_tsv]
    for one, other in zip(as_tsv, as_json, strict=True):
        kinds = LOGS[one.name.split(".")[0]]
        for expected, row in zip(tsv_rows(one), json_rows(other), strict=True):
            found = {name: spelt(value, kinds[name]) for name, value in row.items()}
            assert found == {k: v for k, v in expected.items() if v != "-"}


def spelt(value: object, kind: str) -> str:
    """Spell a JSON value as TSV does."""
    if isinstance(value, bool):
        return "T" if value else "F"
    if kind in ("time", "interval"):
        return f"{value:.6f}"
    if isinstance(value, list):
        return ",".join(spelt(v, kind[7:-1]) for v in value) or "(empty)"
    return str(value)


def test_json_escapes_what_would_break_it(tmp_path, logs):
    rows = logs["http"].head(1).with_columns(uri=pl.lit('/a"b\\x09c'))
    (path,) = write_day(tmp_path, {"http": rows}, as_json=True)
    assert json_rows(path)[0]["uri"] == '/a"b\\x09c'


def test_the_collector_reads_the_same_flows_from_both_forms(as_tsv, as_json):
    for one, other in zip(as_tsv, as_json, strict=True):
        if one.name.startswith("conn."):
            parsed = [read_conn(path) for path in (one, other)]
            assert not parsed[0].bad
            assert not parsed[1].bad
            frames = [parts.flows.frame.drop("line") for parts in parsed]
            assert frames[0].equals(frames[1])


def test_bytes_depend_on_the_rows_alone_not_on_their_order(tmp_path, logs, as_tsv):
    shuffled = {
        log: rows.sample(fraction=1.0, shuffle=True, seed=1)
        for log, rows in logs.items()
        if log != "http"  # requests of one flow stay in their order
    }
    files = write_day(tmp_path, shuffled)
    expected = {p.name: p.read_bytes() for p in as_tsv}
    assert all(expected[p.name] == p.read_bytes() for p in files)
    assert len(files) == 5 * 24
