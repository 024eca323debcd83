"""Real logs, 1 to 105,918 rows: every line of each is accounted for."""

import json

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from zeek import read_conn

from entropy_ids.collector import Parsed, find_logs
from entropy_ids.config import Config
from entropy_ids.errors import InputError
from entropy_ids.reading import Reading, read_series
from entropy_ids.types import FlowBatch

pytestmark = pytest.mark.shared

FIVE = ["id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto"]


def read_all(source):
    parts = [read_conn(log.path) for log in find_logs([source])]
    frame = pl.concat(part.flows.frame for part in parts)
    return Parsed(FlowBatch(frame), [row for part in parts for row in part.bad])


@pytest.mark.parametrize(
    ("folder", "files", "rows"),
    [
        ("rita-72h", 72, 105_918),
        ("m57/2011-12-19", 1, 8_302),
        ("m57/2014-01-28", 1, 8_504),
        ("m57/2017-01-30", 1, 8_505),
        ("m57/2020-09-23/wed-2009-11-18", 1, 8_505),
        ("m57/2020-09-23/sat-2009-11-21", 1, 2_164),
        ("ipv6-2012", 1, 11_919),
        ("labelled/stratosphere-008", 1, 5_663),
        ("labelled/stratosphere-010", 1, 5_347),
        ("nmap-json", 1, 4_504),
        ("zeek-live/tsv-rotate10s", 6, 457),
        ("zeek-live/json-rotate10s", 6, 457),
        ("zeek-live/gzip-rotate10s", 3, 83),
        ("zeek-live/json-iso8601-scan-notice", 1, 5_033),
        ("zeek-live/killed-then-leftover-rotated", 4, 5_093),
        ("zeek-live/postprocessor-gzip", 4, 84),
        ("oddities/no-hash-header", 1, 1_238),
        ("oddities/open_conns/open", 1, 29),
        ("oddities/open_conns/closed", 1, 59),
        ("oddities/tab-before-separator", 1, 141),
        ("oddities/underscore-json", 1, 479),
    ],
)
def test_every_row_of_a_good_log_is_read(shared_data, folder, files, rows):
    parsed = read_all(shared_data / folder)
    assert len(find_logs([shared_data / folder])) == files
    assert (len(parsed.flows), parsed.bad) == (rows, [])


@pytest.mark.parametrize(
    ("file", "good", "bad"),
    [
        ("rows-after-close/conn.log", 0, range(12, 301)),
        ("truncated/conn.log", 58, [67]),
        ("truncated/conn_json.log", 2, [3, 4]),
    ],
)
def test_the_bad_lines_of_a_damaged_log_are_counted(shared_data, file, good, bad):
    parsed = read_conn(shared_data / "oddities" / file)
    assert len(parsed.flows) == good
    assert [row.line for row in parsed.bad] == list(bad)


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("json-array/conn.log", "jq -c"),
        ("text_file/conn.log", "found neither"),
        ("truncated/conn_top.log", "the columns are unknown"),
        ("open_conns/open/dns.log", "found #path dns"),
    ],
)
def test_what_is_no_conn_log_is_refused_by_name(shared_data, file, found):
    path = shared_data / "oddities" / file
    with pytest.raises(InputError, match=f"{path.name}.*{found}"):
        find_logs([path])


def test_hourly_logs_come_in_the_order_of_their_hours(shared_data):
    logs = find_logs([shared_data / "rita-72h"])
    hours = [f"{log.path.parent.name} {log.path.name}" for log in logs]
    assert hours == sorted(hours)


def test_blocks_of_any_size_give_the_same_flows_of_an_hour(shared_data):
    path = shared_data / "rita-72h/2024-04-21/conn.07:00:00-08:00:00.log.gz"
    whole = read_conn(path).flows.frame
    for block_bytes in (3_000, 100_000):
        assert_frame_equal(read_conn(path, block_bytes).flows.frame, whole)


def test_four_vintages_of_one_day_tell_of_the_same_connections(shared_data):
    days = [
        set(read_all(folder / "wed-2009-11-18").flows.frame.select(FIVE).rows())
        for folder in sorted((shared_data / "m57").iterdir())
    ]
    assert len(days) == 4
    assert all(len(day & days[-1]) > 0.99 * len(day) for day in days)


def test_the_2011_vintage_has_no_local_resp(shared_data):
    frame = read_all(shared_data / "m57" / "2011-12-19").flows.frame
    assert frame["local_resp"].null_count() == len(frame)


def test_ipv6_addresses_are_kept(shared_data):
    frame = read_all(shared_data / "ipv6-2012").flows.frame
    assert frame["id.orig_h"].str.contains(":").sum() > len(frame) / 2


def test_twins_in_tsv_and_json_give_equal_flows(shared_data):
    twins = sorted((shared_data / "twins").iterdir())
    assert len(twins) == 47
    for twin in twins:
        flows = read_all(twin / "tsv").flows.frame
        assert flows["uid"].n_unique() == len(flows)
        same = read_all(twin / "json").flows.frame
        assert_frame_equal(same.drop("line"), flows.drop("line"))


def test_attacks_in_tsv_and_json_give_equal_flows(shared_data):
    twins = list(shared_data.glob("attacks/*/json/conn.log"))
    assert len(twins) == 30
    for path in twins:
        same = read_conn(path).flows.frame.drop("line")
        plain = read_conn(path.parent.parent / "conn.log").flows.frame.drop("line")
        assert_frame_equal(same, plain)


def test_two_live_zeeks_in_tsv_and_json_saw_the_same_connections(shared_data):
    live = shared_data / "zeek-live"
    plain = read_all(live / "tsv-rotate10s").flows.frame.sort(FIVE)
    same = read_all(live / "json-rotate10s").flows.frame.sort(FIVE)
    apart = (plain["ts"] - same["ts"]).abs().max()
    exact = [*FIVE, "service", "orig_bytes", "resp_bytes", "conn_state", "local_orig"]
    assert_frame_equal(plain.select(exact), same.select(exact))
    assert apart.total_seconds() < 0.001


def test_iso_times_are_the_epoch_times_of_the_same_traffic(shared_data):
    live = shared_data / "zeek-live"
    iso = read_all(live / "json-iso8601-scan-notice").flows.frame
    epoch = read_all(live / "killed-then-leftover-rotated").flows.frame
    both = iso.join(epoch, on=FIVE, suffix="_epoch")
    assert len(both) > 5_000
    assert (both["ts"] - both["ts_epoch"]).abs().max().total_seconds() < 0.001


def test_iso_microseconds_are_those_in_the_text(shared_data):
    path = shared_data / "zeek-live" / "json-iso8601-scan-notice" / "conn.log"
    text = [json.loads(line)["ts"] for line in path.read_text().splitlines()]
    frame = read_conn(path).flows.frame
    assert frame["ts"].dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_list() == text


SETS = {
    "rita-72h": 105_918,
    "m57/2011-12-19/wed-2009-11-18": 8_302,
    "m57/2014-01-28/wed-2009-11-18": 8_504,
    "m57/2017-01-30/wed-2009-11-18": 8_505,
    "m57/2020-09-23/wed-2009-11-18": 8_505,
    "m57/2020-09-23/sat-2009-11-21": 2_164,
    "ipv6-2012": 11_919,
    "nmap-json": 4_504,
    "labelled/stratosphere-008": 5_663,
    "labelled/stratosphere-010": 5_346,
}


@pytest.mark.shared
@pytest.mark.parametrize("name", SETS)
def test_every_row_of_a_real_set_is_counted_in_a_minute_or_quarantined(
    name, shared_data
):
    logs = find_logs([shared_data / name])
    series, assembler = read_series(logs, Config({}), Reading())
    account = assembler.account
    assert account.balanced
    assert account.rows == SETS[name] + sum(account.quarantined.values())
    assert account.counted == SETS[name] == series.flows.sum()
    assert len(assembler.bad) == sum(account.quarantined.values()) <= 1
