"""Feature sets: logs beside conn are found, counted into its minutes, and measured."""

import gzip
import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import hypothesis
import naive
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import T0

from entropy_ids.cli import main
from entropy_ids.collector import LogFile, find_logs
from entropy_ids.config import Config
from entropy_ids.errors import ConfigError, InputError, ProfileError
from entropy_ids.features.assembler import Assembler
from entropy_ids.features.catalog import Column, default_columns
from entropy_ids.features.sets import SETS
from entropy_ids.reading import (
    Reading,
    minutes_of,
    read_series,
    set_of,
    streams_of,
    with_siblings,
)
from entropy_ids.replay import replay
from entropy_ids.types import EntropySeries, FlowBatch, Minutes

HOUR = "10:00:00-11:00:00"
DNS = "dns-exfiltration"


def row(at_s: float, **values: Any) -> dict[str, Any]:
    """Give a row, seconds after `T0`; names with a dot are spelled with ``__``."""
    usual = {"ts": T0 + at_s, "uid": "C1", "id.orig_h": "10.0.0.1", "id.orig_p": 4}
    usual |= {"id.resp_h": "10.0.0.9", "id.resp_p": 53, "proto": "udp"}
    return usual | {name.replace("__", "."): value for name, value in values.items()}


def query(at_s: float, name: str = "www.example.com", **values: Any) -> dict[str, Any]:
    usual = {"query": name, "qtype_name": "A", "rcode_name": "NOERROR"}
    return row(at_s, **usual | values)


def write(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    data = "".join(json.dumps(one) + "\n" for one in rows).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def steady(first_min: int, last_min: int, every_s: int = 3) -> list[dict[str, Any]]:
    """Give conn rows all along these minutes."""
    return [row(s) for s in range(60 * first_min, 60 * last_min, every_s)]


def settings(name: str, *others: str) -> Config:
    return Config.load(None, [f"features.set={name}", *others], {})


def series_of(name: str, *sources: Path, **how: int) -> EntropySeries:
    logs = find_logs(sources)
    return read_series(logs, settings(name), Reading(**how))[0]


def closed(logs: Sequence[LogFile]) -> tuple[list[Minutes], Assembler]:
    assembler = Assembler(streams_of(logs))
    return list(minutes_of(logs, assembler, Reading())), assembler


def sizes(series: EntropySeries, feature: str) -> list[int]:
    """Give what a size column counted, by minute."""
    values = series.values[f"{feature}.all.log2"]
    return np.round(2 ** values.fillna(0) - 1).astype(int).to_list()


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Ten minutes of conn; dns asks 2 names in minute 3, 70 in minute 6."""
    write(tmp_path / "conn.log", steady(0, 10))
    few = [query(180 + n, f"h{n}.example.com") for n in range(2)]
    many = [query(360 + n / 2, f"q{n}.tun.example") for n in range(70)]
    write(tmp_path / "dns.log", few + many)
    return tmp_path


# ---------------------------------------------------------------- the table


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_chosen_by_its_name(name):
    assert settings(name)["features.set"] == name


def test_a_set_of_no_name_is_refused():
    with pytest.raises(ConfigError, match="dns-exfiltration"):
        settings("dns")


@pytest.mark.parametrize("name", sorted(set(SETS) - {"conn", "everything"}))
@pytest.mark.parametrize("kind", ["renyi", "tsallis"])
def test_own_columns_of_a_set_are_at_most_60_and_each_once(name, kind):
    columns = SETS[name].columns(kind, (1, 2))
    assert len(columns) == len(set(columns)) <= 60


@pytest.mark.parametrize("name", SETS)
def test_name_of_a_column_of_a_set_gives_the_column(name):
    columns = SETS[name].columns("renyi", (-2, 0.5))
    assert [Column.named(column.name) for column in columns] == columns


def test_the_set_conn_has_the_default_columns():
    assert SETS["conn"].columns("tsallis", (-1, 3)) == default_columns(
        "tsallis", (-1, 3)
    )


def test_the_set_of_everything_begins_with_the_default_columns():
    columns = SETS["everything"].columns("renyi", (0, 1))
    assert columns[: len(default_columns(alphas=(0, 1)))] == default_columns(
        alphas=(0, 1)
    )
    assert set(SETS[DNS].columns("renyi", ())) <= set(columns)


def test_profiles_from_before_there_were_sets_are_of_conn():
    assert set_of({"entropy.kind": "renyi"}) == "conn"


def test_a_profile_of_a_set_of_another_version_is_refused():
    with pytest.raises(ProfileError, match="'smb'"):
        set_of({"features.set": "smb"})


# ---------------------------------------------------------------- finding


def test_the_other_logs_lie_in_the_folders_of_the_conn_logs(logs):
    write(logs / "http.log", [row(1)])
    found = with_siblings(find_logs([logs / "conn.log"]), [DNS])
    assert [(log.path.name, log.log) for log in found] == [
        ("conn.log", "conn"),
        ("dns.log", "dns"),
    ]


def test_packed_logs_of_many_hours_are_read_in_their_order(tmp_path):
    for hour in (1, 0):
        stamp = f"1{hour}:00:00-1{hour + 1}:00:00"
        rows = steady(60 * hour, 60 * hour + 60, 30)
        write(tmp_path / f"conn.{stamp}.log.gz", rows)
        asked = [query(3600 * hour + 60 * n) for n in range(60)]
        write(tmp_path / f"dns.{stamp}.log.gz", asked)
    assert sizes(series_of(DNS, tmp_path), "queries") == [1] * 120


def test_loggers_of_one_sensor_add(tmp_path):
    for logger in ("logger-1", "logger-2"):
        write(tmp_path / f"conn.{HOUR}-{logger}.log", steady(0, 5))
        asked = [query(60 * n + 9) for n in range(5)]
        write(tmp_path / f"dns.{HOUR}-{logger}.log", asked)
    assert sizes(series_of(DNS, tmp_path), "queries") == [2] * 5


def test_a_set_without_any_of_its_logs_is_refused(tmp_path):
    write(tmp_path / "conn.log", steady(0, 3))
    with pytest.raises(InputError, match="expected dns logs beside the conn logs"):
        series_of(DNS, tmp_path)


def test_one_log_of_a_set_is_enough(tmp_path):
    write(tmp_path / "conn.log", steady(0, 3))
    write(tmp_path / "ssh.log", [row(70, auth_success=False)] * 5)
    assert sizes(series_of("failed-logins", tmp_path), "failures") == [0, 5, 0]


def test_logins_of_several_logs_add(tmp_path):
    write(tmp_path / "conn.log", steady(0, 3))
    write(tmp_path / "ssh.log", [row(70, auth_success=False)] * 5)
    write(tmp_path / "http.log", [row(71, status_code=401)] * 3)
    series = series_of("failed-logins", tmp_path)
    assert sizes(series, "failures") == [0, 8, 0]
    assert sizes(series, "max_failed_account") == [0, 5, 0]


def test_another_log_that_is_named_dns_is_refused(logs):
    text = "#separator \\x09\n#path\tssl\n#fields\tts\tid.orig_h\n1.0\t10.0.0.1\n"
    (logs / "dns.log").write_text(text)
    with pytest.raises(InputError, match=r"expected #path dns, found #path ssl"):
        series_of(DNS, logs)


# ---------------------------------------------------------------- minutes


def test_rows_of_a_sparse_log_count_in_their_minutes(logs):
    series = series_of(DNS, logs)
    assert sizes(series, "queries") == [0, 0, 0, 2, 0, 0, 70, 0, 0, 0]
    assert sizes(series, "max_names") == [0, 0, 0, 2, 0, 0, 70, 0, 0, 0]


def test_a_query_counts_when_its_answer_comes(tmp_path):
    write(tmp_path / "conn.log", steady(0, 4))
    write(tmp_path / "dns.log", [query(59), query(59, rtt=2.0)])
    assert sizes(series_of(DNS, tmp_path), "queries") == [1, 1, 0, 0]


@pytest.mark.parametrize("block_bytes", [200, 3000, 1 << 20])
@pytest.mark.parametrize("workers", [1, 2])
def test_minutes_do_not_depend_on_how_logs_are_read(logs, block_bytes, workers):
    cut = series_of(DNS, logs, block_bytes=block_bytes, workers=workers)
    pd.testing.assert_frame_equal(cut.values, series_of(DNS, logs).values)


def test_other_logs_change_nothing_of_what_conn_tells(logs):
    alone, beside = (series_of(name, logs) for name in ("conn", "everything"))
    pd.testing.assert_frame_equal(
        beside.values[alone.values.columns], alone.values, check_exact=True
    )
    assert beside.coverage.equals(alone.coverage) and beside.flows.equals(alone.flows)


def test_rows_of_minutes_that_conn_has_not_are_outside(tmp_path):
    write(tmp_path / "conn.log", steady(5, 8))
    write(tmp_path / "dns.log", [query(60 * n + 1) for n in range(20)])
    chunks, assembler = closed(with_siblings(find_logs([tmp_path]), [DNS]))
    minutes = {m for chunk in chunks for m in chunk.tables["names"]["minute"]}
    assert sorted((m - T0) // 60 for m in minutes) == [5, 6, 7]
    assert assembler.account.outside == 17 and assembler.account.balanced


@pytest.mark.parametrize("block_bytes", [200, 1 << 20])
def test_a_silent_stretch_of_conn_stays_silent_though_names_are_asked(
    tmp_path, block_bytes
):
    write(tmp_path / "conn.log", [*steady(0, 8), *steady(25, 30)])
    write(tmp_path / "dns.log", [query(10 * n) for n in range(180)])
    coverage = series_of(DNS, tmp_path, block_bytes=block_bytes).coverage.to_list()
    assert coverage[8:25] == ["silent"] * 17


def test_rows_of_a_log_whose_clock_is_set_back_are_stale(tmp_path):
    write(tmp_path / "conn.log", steady(0, 180, 20))
    asked = [query(60 * n + 1) for n in range(150)]
    again = [query(60 * n + 1) for n in range(80)]
    write(tmp_path / "dns.log", asked + again)
    series, assembler = read_series(find_logs([tmp_path]), settings(DNS), Reading())
    assert max(sizes(series, "queries")) == 1
    assert assembler.account.quarantined == {"stale": 80}
    assert assembler.account.balanced


def test_a_sparse_log_makes_no_minute_partial(tmp_path):
    write(tmp_path / "conn.log", steady(0, 100, 1))
    write(tmp_path / "dns.log", [query(600 * n + 1) for n in range(9)])
    coverage = Counter(series_of(DNS, tmp_path).coverage)
    assert coverage == {"complete": 97, "partial": 3}  # the first two, and the last


def batch_of(steps_s: Iterable[int], start_s: int) -> FlowBatch:
    """Give rows of dns that end step by step after `T0`; conn rows have more."""
    ends = naive.stream([(T0 + start_s + s) * naive.S for s in accumulate(steps_s)])
    query, kind = pl.lit("a.b.example"), pl.lit("A")
    columns = {"query": query, "qtype_name": kind, "rcode_name": kind}
    return FlowBatch(ends.frame.with_columns(**columns))


def driven(pieces: dict[str, list[FlowBatch]]) -> tuple[pl.DataFrame, set[tuple], dict]:
    """Read streams, the one that is behind first; give all that is told of minutes."""
    assembler, left = Assembler(tuple(pieces)), {n: [*p] for n, p in pieces.items()}
    chunks = []
    while left:
        stream = assembler.behind()
        if left[stream]:
            chunks += assembler.push(stream, left[stream].pop(0))
        else:
            del left[stream]
            chunks += assembler.release(stream)
    chunks += assembler.finish()
    names = [chunk.tables["names"] for chunk in chunks if "names" in chunk.tables]
    counted = {row for table in names for row in table.rows()}
    index = pl.concat([chunk.index for chunk in chunks])
    return index, counted, assembler.account.as_dict()


CUTS = st.lists(st.integers(0, 300), max_size=12)
STEPS = st.integers(0, 1_000_000).map(
    lambda seed: random.Random(seed).choices(
        [0, 1, 5, 40, 90, 700, 1500], [9, 9, 9, 9, 9, 1, 2], k=60 + seed % 250
    )
)
"""Seconds from row to row; a clock settles on 64 rows."""


@hypothesis.settings(deadline=None, max_examples=60)
@given(STEPS, STEPS, st.integers(-4000, 4000), CUTS, CUTS)
def test_minutes_do_not_depend_on_how_streams_are_cut(ours, others, shift, cuts, more):
    conn, dns = batch_of(ours, 0), batch_of(others, shift)
    whole = driven({"": [conn], "dns/": [dns]})
    parts = driven({"": naive.cut(conn, cuts), "dns/": naive.cut(dns, more)})
    assert parts[0].equals(whole[0])
    assert parts[1:] == whole[1:]


def test_rows_of_other_logs_name_no_connection(logs):
    chunks, _ = closed(with_siblings(find_logs([logs]), [DNS]))
    assert sum(chunk.rows.height for chunk in chunks) == len(steady(0, 10))


def test_no_names_asked_are_zero_and_have_no_entropy(logs):
    values = series_of(DNS, logs).values.iloc[4]
    assert values["queries.all.log2"] == 0
    assert np.isnan(values["domain.all.renyi.1"])


# ---------------------------------------------------------------- end to end


def test_features_of_a_set_are_written_as_a_table(logs):
    out = logs / "x.csv"
    chosen = f"features.set={DNS}"
    with pytest.raises(SystemExit) as ended:
        main(["features", str(logs), "--set", chosen, "-o", str(out)])
    assert ended.value.code == 0
    table = pd.read_csv(out)
    assert len(table) == 10 and table["max_names.all.log2"].idxmax() == 6


def test_a_replay_reads_the_logs_of_its_profile(office, profile, tmp_path):
    (hour,) = office.glob("2026-03-04/conn.11*")
    conn = tmp_path / "logs" / hour.name
    conn.parent.mkdir()
    conn.write_bytes(hour.read_bytes())
    ends = find_logs([conn])[0].around_us or 0
    write(conn.with_name("dns.log"), [query(ends / 1e6 - T0)] * 9)
    rows = []
    for name in ("conn", DNS):
        manifest = {**profile.manifest}
        manifest["settings"] = {**manifest["settings"], "features.set": name}
        told = replay(
            find_logs([conn]),
            replace(profile, manifest=manifest),
            tmp_path / name,
            sensor="s",
            quiet_minutes=5,
            reading=Reading(),
        )
        rows.append(told.account.counted)
    assert rows[1] == rows[0] + 9


M57 = "m57/2020-09-23/wed-2009-11-18"


def plain_rows(path: Path) -> list[dict[str, str]]:
    """Read a TSV log by splitting its lines."""
    lines = path.read_text().splitlines()
    (names,) = (line.split("\t")[1:] for line in lines if line.startswith("#fields"))
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return [dict(zip(names, cells, strict=True)) for cells in rows]


@pytest.mark.shared
def test_queries_of_an_office_are_those_of_its_log(shared_data):
    series = series_of(DNS, shared_data / M57 / "conn.log")
    rows = plain_rows(shared_data / M57 / "dns.log")
    assert sum(sizes(series, "queries")) == len(rows) == 7774
    missing = sum(one["rcode_name"] == "NXDOMAIN" for one in rows)
    assert sum(sizes(series, "nxdomain")) == missing
    names = [one["query"].removesuffix(".") for one in rows if one["query"] != "-"]
    size = sum(len(name) for name in names)
    assert sum(sizes(series, "query_bytes")) == size


@pytest.mark.shared
def test_refused_web_logins_of_an_attack_are_those_of_its_log(shared_data):
    folder = shared_data / "attacks" / "httplogin-hydra-basic"
    series = series_of("failed-logins", folder / "conn.log")
    codes = Counter(one["status_code"] for one in plain_rows(folder / "http.log"))
    assert sum(sizes(series, "failures")) == codes["401"] > 1000


@pytest.mark.shared
@pytest.mark.parametrize(
    "name",
    ["dnstunnel-random-mid", "dnstunnel-iodine-idle", "httplogin-slow"],
)
def test_tsv_and_json_measure_alike(shared_data, name):
    folder = shared_data / "attacks" / name
    tsv, as_json = (
        series_of("everything", one / "conn.log") for one in (folder, folder / "json")
    )
    pd.testing.assert_frame_equal(tsv.values, as_json.values)
