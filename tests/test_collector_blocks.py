"""How a file is cut or packed changes nothing; what is damaged is named."""

import gzip

import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from isal import igzip
from polars.testing import assert_frame_equal
from zeek import COLUMNS, conn, header, json_rows, read_conn, tsv, tsv_rows, write

from entropy_ids.collector import segments
from entropy_ids.collector.segments import LINE_BYTES
from entropy_ids.errors import InputError

WHOLE = 1 << 23
ROWS = [conn(n) for n in range(1, 10)]
SWAPPED = COLUMNS[::-1]
NASTY_TSV = b"".join(
    [
        b"\xef\xbb\xbf" + tsv([conn(1), conn(2, service='"a, a"b')]),
        b"\n",
        tsv_rows([conn(3)])[:-9] + b"\n",
        tsv_rows([conn(4, service="a#b"), conn(5, orig_p=70_000)]),
        tsv_rows([conn(6)])[:-1] + b"\r" + tsv_rows([conn(7)]),
        b"\r\n",
        b"\0\0\0" + tsv_rows([conn(8), conn(9, service="a\u2028b")]),
        b"#close\t2024-04-21-08-00-00\n",
        tsv([conn(10), conn(11, duration=-1.0)], SWAPPED).replace(b"\n", b"\r\n"),
        tsv_rows([conn(12)], SWAPPED).replace(b"C12", b"C\xff"),
        tsv([conn(13), conn(14)], separator="|", unset="?"),
        tsv_rows([conn(15)], separator="|")[:-25],
    ]
)
NASTY_JSON = b"".join(
    [
        json_rows([conn(1), conn(2, service='"a, a"b')]),
        json_rows([conn(3), conn(4)]).replace(b"\n", b"") + b"\n",
        b"\n[1]\n5\n{}\n\r\n",
        json_rows([conn(5)]).replace(b',"proto"', b'\n,"proto"'),
        json_rows([conn(6, _path="dns"), conn(7, duration=-1.0), conn(8)]),
        json_rows([conn(9, ts="2024-04-21T06:59:58Z"), conn(10, orig_p=70_000)]),
        b"\0\0" + json_rows([conn(11), conn(12)]),
        json_rows([conn(13)])[:-25],
    ]
)
fuzz = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
edits = st.lists(
    st.tuples(
        st.integers(0, 5000),
        st.sampled_from(["put", "insert", "delete"]),
        st.sampled_from(b'\n\r\t\0 #-.019Tx"{}[],:\\\xff\x89') | st.integers(0, 255),
    ),
    min_size=1,
    max_size=6,
)


def edited(data, changes):
    data = bytearray(data)
    for where, what, byte in changes:
        where %= len(data)
        data[where : where + (what != "insert")] = [byte] * (what != "delete")
    return bytes(data)


def assert_same(parsed, other):
    assert parsed.bad == other.bad
    assert_frame_equal(parsed.flows.frame, other.flows.frame)


def data_lines(data):
    """Lines that must become rows or bad rows."""
    is_json = data.lstrip().startswith(b"{")
    lines = [text for text in data.split(b"\n") if text.strip()]
    return len(lines) if is_json else sum(text[:1] != b"#" for text in lines)


def assert_accounted_for(read, data):
    try:
        whole = read(data)
    except InputError:
        with pytest.raises(InputError):
            read(data, block_bytes=1)
        return
    assert whole.rows == data_lines(data.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t"))
    piecewise = read(data, block_bytes=100)
    assert_frame_equal(piecewise.flows.frame, whole.flows.frame)
    assert [row.line for row in piecewise.bad] == [row.line for row in whole.bad]


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 10, 100, 333, 1000, 4096, 1 << 16])
@pytest.mark.parametrize("data", [NASTY_TSV, NASTY_JSON], ids=["tsv", "json"])
def test_the_size_of_blocks_changes_neither_rows_nor_bad_rows(read, data, block_bytes):
    assert_same(read(data, block_bytes=block_bytes), read(data, block_bytes=WHOLE))


def test_a_nasty_file_costs_exactly_its_bad_lines(read):
    parsed = read(NASTY_TSV)
    assert parsed.flows.frame["uid"].to_list() == "C1 C2 C4 C9 C10 C13 C14".split()
    assert [row.line for row in parsed.bad] == [12, 14, 15, 17, 29, 30, 41]


@pytest.mark.parametrize("block_bytes", [1000, 1 << 15, LINE_BYTES, WHOLE])
@pytest.mark.parametrize("write_rows", [tsv, json_rows])
def test_an_endless_line_costs_one_row_in_any_block(read, write_rows, block_bytes):
    rows = [conn(1), conn(2, tunnel_parents="x" * 300_000), conn(3)]
    parsed = read(write_rows(rows), block_bytes=block_bytes)
    assert parsed.flows.frame["uid"].to_list() == ["C1", "C3"]
    assert [row.reason for row in parsed.bad] == ["too-long"]


def test_segments_hold_whole_lines_and_nothing_else(tmp_path):
    path = write(tmp_path / "conn.log", tsv(ROWS) + tsv(ROWS))
    cut = list(segments(path, 100))
    assert b"".join(segment.data for segment in cut) == tsv_rows(ROWS) * 2
    assert all(segment.data.endswith(b"\n") for segment in cut)


@fuzz
@given(edits)
@example([(12, "put", ord("8"))])
@example([(12, "put", ord("0")), (13, "put", ord("a"))])
def test_a_damaged_tsv_log_is_refused_or_accounted_for_line_by_line(read, changes):
    assert_accounted_for(read, edited(tsv(ROWS[:5]), changes))


@fuzz
@given(edits)
@example([(0, "insert", ord("\n"))])
@example([(40, "put", 0xFF)])
def test_a_damaged_json_log_is_refused_or_accounted_for_line_by_line(read, changes):
    assert_accounted_for(read, edited(json_rows(ROWS[:5]), changes))


@pytest.mark.parametrize("name", ["conn.log.gz", "conn.log.zst"])
@pytest.mark.parametrize("data", [tsv(ROWS), json_rows(ROWS)], ids=["tsv", "json"])
def test_a_packed_log_reads_as_the_plain_one(read, tmp_path, name, data):
    path = write(tmp_path / name, data)
    for block_bytes in (50, WHOLE):
        assert_same(read_conn(path, block_bytes), read(data))


@pytest.mark.parametrize("pack", [gzip.compress, igzip.compress, zstandard.compress])
def test_a_log_packed_in_several_pieces_is_read_to_its_end(read, pack):
    data = tsv(ROWS)
    pieces = [data[:700], data[700:], header() + tsv_rows(ROWS)]
    assert_same(read(b"".join(map(pack, pieces))), read(b"".join(pieces)))


@pytest.mark.parametrize("name", ["conn.log", "conn.log.gz", "conn.log.zst"])
def test_a_file_of_no_bytes_has_no_rows(tmp_path, name):
    path = tmp_path / name
    path.touch()
    assert read_conn(path).rows == 0


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_no_bytes_packed_have_no_rows(read, pack):
    assert read(pack(b"")).rows == 0


@pytest.mark.parametrize("name", ["conn.log.gz", "conn.log.zst"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_a_packed_log_that_was_cut_short_is_refused_by_name(tmp_path, name, keep):
    path = write(tmp_path / name, tsv([conn(n) for n in range(1, 3000)]))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(InputError, match=f"{name}: .*cut short"):
        read_conn(path)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_what_follows_a_packed_log_is_refused(read, pack):
    with pytest.raises(InputError, match=r"conn\.log: .*damaged"):
        read(pack(tsv(ROWS)) + b"not packed")


def test_zeros_after_a_gzip_log_are_padding(read):
    assert_same(read(gzip.compress(tsv(ROWS)) + bytes(512)), read(tsv(ROWS)))


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_damaged_packed_log_raises_nothing_but_input_errors(read, pack):
    packed = pack(tsv(ROWS))
    refused = 0
    for where in range(len(packed)):
        try:
            read(edited(packed, [(where, "put", packed[where] ^ 0x55)]))
        except InputError:
            refused += 1
    assert refused > len(packed) / 4
