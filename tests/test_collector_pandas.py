"""Flows go to pandas and come from it, zat's tables included, without a change."""

import pandas as pd
import pytest
from polars.testing import assert_frame_equal
from zeek import T0, conn, tsv, write_conn

from entropy_ids.collector import from_pandas
from entropy_ids.collector.schema import KEPT, REQUIRED
from entropy_ids.errors import InputError

FULL = [conn(1), conn(2, local_orig=False, duration=8e-06), conn(3, proto="udp")]
OPTIONAL = dict.fromkeys(name for name in KEPT if name not in REQUIRED)
UNSET = conn(4, **OPTIONAL)
SMALL = {
    "ts": [T0 + 0.25],
    "id.orig_h": ["10.0.0.1"],
    "id.orig_p": [40_001],
    "id.resp_h": ["192.0.2.80"],
    "id.resp_p": [443],
    "proto": ["tcp"],
}


def assert_same(batch, other):
    assert_frame_equal(batch.frame.drop("line"), other.frame.drop("line"))


@pytest.mark.parametrize(
    "rows",
    [FULL, [*FULL, UNSET], [UNSET], [*FULL, conn(5, orig_bytes=2**53 + 1)], []],
    ids=["full", "some unset", "all unset", "large", "empty"],
)
def test_a_batch_comes_back_from_pandas_as_it_went(read, rows):
    batch = read(tsv(rows)).flows
    assert_same(from_pandas(batch.to_pandas()), batch)


def test_rows_from_pandas_are_numbered_from_one(read):
    batch = from_pandas(read(tsv(FULL)).flows.to_pandas(), "table")
    assert (batch.frame["line"].to_list(), batch.path) == ([1, 2, 3], "table")


def test_to_pandas_keeps_microseconds_and_utc(read):
    table = read(tsv([conn(1, ts=f"{T0}.290123", duration=0.000008)])).flows.to_pandas()
    assert table["ts"][0] == pd.Timestamp("2024-04-21 06:59:58.290123", tz="UTC")
    assert table["duration"][0] == pd.Timedelta(microseconds=8)


@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.set_index")
@pytest.mark.parametrize("rows", [FULL, [*FULL, UNSET]], ids=["full", "some unset"])
def test_a_table_of_zat_s_gives_the_flows_that_our_parser_gives(read, tmp_path, rows):
    from zat.log_to_dataframe import LogToDataFrame  # slow

    path = write_conn(tmp_path / "zat.log", rows)
    table = LogToDataFrame().create_dataframe(str(path))
    assert_same(from_pandas(table), read(tsv(rows)).flows)


@pytest.mark.parametrize(
    "times",
    [
        [T0 + 0.25],
        pd.to_datetime(["2024-04-21 06:59:58.25"]),
        pd.to_datetime(["2024-04-21 06:59:58.25"]).tz_localize("UTC"),
        pd.to_datetime(["2024-04-21 08:59:58.25"]).tz_localize("Europe/Berlin"),
        ["2024-04-21T06:59:58.250000Z"],
    ],
    ids=["epoch", "naive", "UTC", "Berlin", "text"],
)
def test_times_of_every_kind_are_taken_as_utc(times):
    batch = from_pandas(pd.DataFrame(SMALL | {"ts": times}))
    assert batch.frame["ts"].to_physical().to_list() == [T0 * 10**6 + 250_000]


@pytest.mark.parametrize("duration", [[0.5], pd.to_timedelta(["0.5s"])])
def test_durations_are_seconds_or_timedeltas(duration):
    batch = from_pandas(pd.DataFrame(SMALL | {"duration": duration}))
    assert batch.frame["duration"].to_physical().to_list() == [500_000]


@pytest.mark.parametrize(
    ("flag", "kept"), [("T", True), ("F", False), (True, True), ("-", None)]
)
def test_flags_are_bool_or_zeek_s_letters(flag, kept):
    batch = from_pandas(pd.DataFrame(SMALL | {"local_orig": [flag]}))
    assert batch.frame["local_orig"].to_list() == [kept]


def test_columns_that_are_absent_are_unset_and_others_ignored():
    batch = from_pandas(pd.DataFrame(SMALL | {"label": ["Benign"]}))
    assert "label" not in batch.frame.columns
    assert batch.frame.select(list(OPTIONAL)).rows() == [(None,) * len(OPTIONAL)]


@pytest.mark.parametrize("name", SMALL)
def test_a_table_without_a_column_that_every_log_has_is_refused(name):
    with pytest.raises(InputError, match=f"found no {name}"):
        from_pandas(pd.DataFrame(SMALL).drop(columns=name))


def test_the_table_that_was_given_is_not_changed():
    table = pd.DataFrame(SMALL).set_index("ts")
    before = table.copy()
    from_pandas(table)
    pd.testing.assert_frame_equal(table, before)
