"""Values that can be true are kept exactly; rows with others are quarantined."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zeek import HEADER_LINES, T0, conn, json_rows, tsv

from entropy_ids.collector.schema import end_us

DAY_END = 1_713_743_999  # 2024-04-21 23:59:59 UTC
SECOND = HEADER_LINES + 2


def one(read, row, name):
    """The one value of the one row, as it is kept."""
    parsed = read(tsv([row]))
    assert not parsed.bad
    return parsed.flows.frame[name].to_physical().item()


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1713682798.290123", T0 * 10**6 + 290_123),
        ("1713682798", T0 * 10**6),
        ("2.385642e+09", 2_385_642_000 * 10**6),
        ("1.71368e+09", 1_713_680_000 * 10**6),
        ("-1.500000", -1_500_000),
        ("0.000000", 0),
        ("0.000001", 1),
        ("1713682798290", T0 * 10**6 + 290_000),
        ("2024-04-21T06:59:58.290123Z", T0 * 10**6 + 290_123),
        ("2024-04-21T06:59:58.5Z", T0 * 10**6 + 500_000),
        ("2024-04-21T06:59:58.999999Z", T0 * 10**6 + 999_999),
        ("2024-04-21T06:59:58Z", T0 * 10**6),
        ("2024-04-21T06:59:58", T0 * 10**6),
        ("2024-04-21T06:59:58.1000000Z", (T0 + 1) * 10**6),
        ("2024-04-21T23:59:59.1000000Z", (DAY_END + 1) * 10**6),
        ("1969-12-31T23:59:58.500000Z", -1_500_000),
    ],
)
def test_every_style_of_time_becomes_whole_microseconds(read, text, microseconds):
    assert one(read, conn(ts=text), "ts") == microseconds


@pytest.mark.parametrize(
    ("ts", "microseconds"),
    [
        (1713682798.290123, T0 * 10**6 + 290_123),
        (1713682798, T0 * 10**6),
        (1713682798290, T0 * 10**6 + 290_000),
        (0, 0),
        (-1.5, -1_500_000),
        (8e-06, 8),
        ("2024-04-21T06:59:58.1000000Z", (T0 + 1) * 10**6),
    ],
)
def test_every_style_of_time_is_read_from_json(read, ts, microseconds):
    frame = read(json_rows([conn(ts=ts)])).flows.frame
    assert frame["ts"].to_physical().to_list() == [microseconds]


@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.integers(0, 4_102_444_800 * 10**6), min_size=1))
def test_microseconds_come_back_as_they_were_written(read, times):
    rows = [conn(ts=f"{t // 10**6}.{t % 10**6:06d}") for t in times]
    assert read(tsv(rows)).flows.frame["ts"].to_physical().to_list() == times


@pytest.mark.parametrize("write", [tsv, json_rows])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (T0 + 0.5, "2024-04-21T06:59:58Z"),
        ("2024-04-21T06:59:58Z", T0 + 0.5),
        (T0 * 1000, "2024-04-21T06:59:58Z"),
    ],
)
def test_the_first_row_pins_the_style_of_time(read, write, first, second):
    parsed = read(write([conn(1, ts=first), conn(2, ts=second), conn(3, ts=first)]))
    assert parsed.flows.frame["uid"].to_list() == ["C1", "C3"]
    assert len(parsed.bad) == 1


@pytest.mark.parametrize("write", [tsv, json_rows])
def test_small_times_in_a_file_of_milliseconds_are_milliseconds(read, write):
    parsed = read(write([conn(1, ts=T0 * 1000), conn(2, ts=5)]))
    assert parsed.flows.frame["ts"].to_physical().to_list() == [T0 * 10**6, 5000]


def test_rows_before_the_first_time_do_not_pin_its_style(read):
    rows = [conn(1, ts=None), conn(2, ts="?"), conn(3, ts="2024-04-21T06:59:58Z")]
    parsed = read(tsv(rows))
    assert parsed.flows.frame["ts"].to_physical().to_list() == [T0 * 10**6]
    assert [row.line for row in parsed.bad] == [9, 10]


@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
def test_a_time_in_no_style_of_zeek_s_is_bad_in_any_block(read, block_bytes):
    rows = [conn(1, ts=".5"), conn(2, ts="2024-04-21T06:59:58Z")]
    parsed = read(tsv(rows), block_bytes=block_bytes)
    assert [row.line for row in parsed.bad] == [9]


@pytest.mark.parametrize(
    "text",
    [None, "", "nan", "inf", "-inf", "1e300", "XXXXXXXXXX.XXXXXX", "1713682798,2", "T"],
)
def test_a_time_that_is_no_number_is_bad(read, text):
    parsed = read(tsv([conn(1), conn(2, ts=text), conn(3)]))
    assert [row.line for row in parsed.bad] == [SECOND]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "2024-02-30T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-04-21 06:59:58",
        "2024-04-21T06:59:58+02:00",
        "2024-04-21T06:59:58.Z",
        "2024-04-21",
    ],
)
def test_a_time_that_is_no_date_is_bad(read, text):
    iso = "2024-04-21T06:59:58Z"
    parsed = read(tsv([conn(1, ts=iso), conn(2, ts=text), conn(3, ts=iso)]))
    assert [(row.line, row.reason) for row in parsed.bad] == [(SECOND, "missing")]


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("id.orig_p", 0, 0),
        ("id.resp_p", 65_535, 65_535),
        ("orig_bytes", 0, 0),
        ("orig_bytes", 3_000_000_000, 3_000_000_000),
        ("resp_bytes", 2**53 + 1, 2**53 + 1),
        ("resp_pkts", 2**63 - 1, 2**63 - 1),
        ("duration", "0.000000", 0),
        ("duration", "0.0", 0),
        ("duration", "8e-06", 8),
        ("duration", "0.21148395538330079", 211_484),
        ("duration", "90061.000001", 90_061_000_001),
        ("id.orig_h", "2001:db8::1", "2001:db8::1"),
        ("id.resp_h", "::", "::"),
        ("id.resp_h", "::ffff:192.0.2.80", "::ffff:192.0.2.80"),
        ("local_orig", True, True),
        ("local_resp", False, False),
        ("service", "dns,http", "dns,http"),
    ],
)
def test_values_that_can_be_true_are_kept(read, name, value, kept):
    assert one(read, conn(**{name: value}), name) == kept


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("id.orig_p", "-1", "unparsable"),
        ("id.orig_p", "65536", "unparsable"),
        ("id.resp_p", "80.5", "unparsable"),
        ("id.resp_p", "http", "unparsable"),
        ("orig_bytes", "12.5", "unparsable"),
        ("orig_bytes", "18446744073709551615", "unparsable"),
        ("orig_bytes", "-1", "range"),
        ("resp_bytes", "-1", "range"),
        ("orig_pkts", "-7", "range"),
        ("resp_pkts", "-7", "range"),
        ("duration", "-0.000001", "range"),
        ("duration", "inf", "range"),
        ("duration", "-inf", "range"),
        ("duration", "nan", "range"),
        ("duration", "1e300", "range"),
        ("duration", "long", "unparsable"),
        ("local_orig", "yes", "unparsable"),
        ("id.orig_h", "localhost", "address"),
        ("id.orig_h", "", "address"),
        ("id.resp_h", "192.0.2.80/24", "address"),
        ("id.orig_h", None, "missing"),
        ("id.resp_h", None, "missing"),
        ("id.orig_p", None, "missing"),
        ("id.resp_p", None, "missing"),
        ("proto", None, "missing"),
    ],
)
def test_values_that_cannot_be_true_cost_their_row(read, name, value, reason):
    parsed = read(tsv([conn(1), conn(2, **{name: value}), conn(3)]))
    assert [(row.line, row.reason) for row in parsed.bad] == [(SECOND, reason)]
    assert parsed.flows.frame["uid"].to_list() == ["C1", "C3"]


def test_icmp_type_and_code_stand_for_ports(read):
    icmp = conn(proto="icmp", orig_p=8, resp_p=0, history=None, service=None)
    frame = read(tsv([icmp])).flows.frame
    assert frame.select("id.orig_p", "id.resp_p").rows() == [(8, 0)]


def test_a_connection_without_duration_ends_when_it_starts(read):
    rows = [conn(1, duration=None), conn(2, duration=2.5)]
    frame = read(tsv(rows)).flows.frame
    ends = [(T0 + 1) * 10**6 + 250_000, (T0 + 4) * 10**6 + 750_000]
    assert end_us(frame).to_list() == ends


def test_a_row_of_many_that_is_bad_does_not_cost_its_neighbours(read):
    rows = [conn(n, duration=-1.0 if n % 7 == 0 else 1.0) for n in range(1, 701)]
    parsed = read(tsv(rows))
    assert (len(parsed.flows), len(parsed.bad)) == (600, 100)
    assert all((row.line - HEADER_LINES) % 7 == 0 for row in parsed.bad)
