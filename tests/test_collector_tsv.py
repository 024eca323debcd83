"""Zeek's TSV: columns by name, headers anywhere, and values that only look special."""

import pytest
from polars.testing import assert_frame_equal
from zeek import (
    COLUMNS,
    HEADER_LINES,
    VINTAGES,
    conn,
    header,
    json_rows,
    tsv,
    tsv_rows,
)

from entropy_ids.collector.segments import LINE_BYTES
from entropy_ids.errors import InputError

ROWS = [conn(1), conn(2, service=None, duration=None), conn(3, proto="udp")]
FIRST = HEADER_LINES + 1


def uids(parsed):
    return parsed.flows.frame["uid"].to_list()


def bad(parsed):
    return [(row.line, row.reason) for row in parsed.bad]


def assert_same_flows(parsed, other):
    assert not parsed.bad
    assert_frame_equal(parsed.flows.frame.drop("line"), other.flows.frame.drop("line"))


@pytest.mark.parametrize("vintage", VINTAGES)
def test_every_vintage_gives_the_same_flows(read, vintage):
    columns = VINTAGES[vintage]
    known = [{name: row.get(name) for name in columns} for row in ROWS]
    assert_same_flows(read(tsv(known, columns)), read(json_rows(known)))


@pytest.mark.parametrize(
    "columns", [COLUMNS[::-1], sorted(COLUMNS), COLUMNS[7:] + COLUMNS[:7]]
)
def test_columns_may_stand_in_any_order(read, columns):
    assert_same_flows(read(tsv(ROWS, columns)), read(tsv(ROWS)))


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        ((*COLUMNS, "label", "detailedlabel"), {"label": "Benign"}),
        (
            (*COLUMNS[:-1], "tunnel_parents   label   detailed-label"),
            {"tunnel_parents   label   detailed-label": "-   Malicious   C&C"},
        ),
        ((*COLUMNS, "note", "note"), {"note": "the same name twice"}),
    ],
    ids=["tab", "glued by three spaces", "twice"],
)
def test_columns_that_conn_logs_have_not_are_ignored(read, columns, label):
    labelled = [dict(row) | label for row in ROWS]
    assert_same_flows(read(tsv(labelled, columns)), read(tsv(ROWS)))


def test_columns_that_are_missing_are_unset(read):
    frame = read(tsv(ROWS, VINTAGES["2.0"])).flows.frame
    assert frame["local_resp"].null_count() == len(ROWS)


@pytest.mark.parametrize("separator", [",", "|", ";", " ", "\x01", '"'])
def test_the_separator_is_the_header_s(read, separator):
    assert_same_flows(read(tsv(ROWS, separator=separator)), read(tsv(ROWS)))


@pytest.mark.parametrize(
    "code", [b"\\x89", b"\\x00", b"\\x0a", b"\\x0d", b"\\x09\\x09", "é".encode(), b""]
)
def test_a_separator_that_is_no_single_ascii_byte_is_refused(read, code):
    with pytest.raises(InputError, match=r"conn\.log:1: .*#separator"):
        read(tsv(ROWS).replace(b"\\x09", code, 1))


def test_unset_is_what_the_header_says(read):
    rows = [conn(1, service="-", duration=None)]
    frame = read(tsv(rows, unset="(unset)")).flows.frame
    assert frame.select("service", "duration").rows() == [("-", None)]


@pytest.mark.parametrize(
    "name", ["uid", "service", "duration", "orig_bytes", "conn_state", "local_orig"]
)
def test_unset_is_null_and_not_zero(read, name):
    frame = read(tsv([conn(1, **{name: None})])).flows.frame
    assert frame[name].to_list() == [None]


@pytest.mark.parametrize(
    "text",
    [
        *"NA null nan None (empty) # a#b #close '' \\ \\x09 é -ssl \u202egnp".split(),
        *['"', '"a', 'a"b', '""', '"a"', '"a, a"b', " a "],
        *["a\u2028b", "a\u2029b", "a\x85b", "a\x0bb", "a\x0cb", "a\x1cb", "a\x00b"],
    ],
)
def test_text_is_kept_as_it_is(read, text):
    parsed = read(tsv([conn(1), conn(2, service=text), conn(3)]))
    assert parsed.flows.frame["service"].to_list() == ["ssl", text, "ssl"]


def test_a_new_header_in_mid_file_moves_the_columns(read):
    swapped = list(COLUMNS)
    swapped[6], swapped[7] = swapped[7], swapped[6]
    data = tsv(ROWS) + b"#close\t2024-04-21-08-00-00\n" + tsv(ROWS, swapped)
    assert_same_flows(read(data), read(tsv(ROWS * 2)))


def test_a_new_header_in_mid_file_may_bring_another_separator(read):
    data = tsv(ROWS) + tsv(ROWS, separator="|", unset="?")
    assert_same_flows(read(data), read(tsv(ROWS * 2)))


def test_lines_are_counted_through_headers_in_mid_file(read):
    close = b"#close\t2024-04-21-08-00-00\n"
    parsed = read(tsv([conn(1)]) + close + tsv([conn(2)]) + close + b"half a row\n")
    lines = parsed.flows.frame["line"].to_list()
    assert (lines, bad(parsed)) == ([9, 19], [(21, "fields")])


def test_rows_after_close_are_read_as_those_before(read):
    data = tsv(ROWS) + b"#close\t2024-04-21-08-00-00\n" + tsv_rows(ROWS)
    assert_same_flows(read(data), read(tsv(ROWS * 2)))


def test_a_new_header_with_other_columns_is_refused_by_its_line(read):
    with pytest.raises(InputError, match=r"conn\.log:16: .*found no id\.resp_h"):
        columns = [name for name in COLUMNS if name != "id.resp_h"]
        read(tsv([conn(1)]) + header(columns))


@pytest.mark.parametrize("cells", [1, 20, 22, 42])
def test_a_row_with_another_count_is_quarantined_never_shifted(read, cells):
    odd = b"\t".join([b"1"] * cells) + b"\n"
    parsed = read(tsv([conn(1)]) + odd + tsv_rows([conn(3)]))
    assert (uids(parsed), bad(parsed)) == (["C1", "C3"], [(FIRST + 1, "fields")])
    assert parsed.bad[0].detail == f"expected 21 fields as in #fields, found {cells}"


def test_bad_rows_are_named_by_file_and_line(read, tmp_path):
    ports = {1: "x", 7: "x", 500: "x", 1000: "x"}
    parsed = read(tsv([conn(n, orig_p=ports.get(n, n)) for n in range(1, 1001)]))
    assert [row.line for row in parsed.bad] == [9, 15, 508, 1008]
    assert {row.file for row in parsed.bad} == {str(tmp_path / "conn.log")}
    assert parsed.rows == 1000


@pytest.mark.parametrize("newline", [b"\r\n", b"\n\n", b"\n \t\n", b"\r\n\r\n"])
def test_line_ends_of_other_systems_and_blank_lines_change_no_flow(read, newline):
    data = tsv(ROWS).replace(b"\n", newline)
    assert_same_flows(read(data), read(tsv(ROWS)))


def test_blank_lines_are_counted_as_lines_and_not_as_rows(read):
    parsed = read(b"\n\n" + tsv([conn(1)]) + b"\n\n" + tsv_rows([conn(2)]) + b"\nx\n")
    lines = parsed.flows.frame["line"].to_list()
    assert (lines, bad(parsed)) == ([11, 14], [(16, "fields")])


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b"\t", b"  ", b"\xef\xbb\xbf\t"])
def test_a_byte_order_mark_or_blanks_before_the_header_are_passed_over(read, start):
    assert_same_flows(read(start + tsv(ROWS)), read(tsv(ROWS)))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le"])
def test_utf_16_is_refused(read, encoding):
    mark = "" if encoding == "utf-16" else "\ufeff"
    with pytest.raises(InputError, match="UTF-16"):
        read((mark + tsv(ROWS).decode()).encode(encoding))


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"C2", b"\0\0\0"), (b"C2", b"C\xff2"), (b"ssl", b"s\rl"), (b"\t443", b"\t\r443")],
    ids=["NULs before", "invalid UTF-8", "CR in a value", "CR before a value"],
)
def test_damaged_bytes_cost_their_own_row_only(read, old, new):
    row = tsv_rows([conn(2)])
    damaged = new + row if old == b"C2" and new[:1] == b"\0" else row.replace(old, new)
    parsed = read(tsv([conn(1)]) + damaged + tsv_rows([conn(3)]))
    assert uids(parsed) == ["C1", "C3"]
    assert [row.line for row in parsed.bad] == [FIRST + 1]


def test_two_rows_joined_by_a_lone_cr_are_one_bad_row_beside_a_blank_line_too(read):
    joined = tsv_rows([conn(1)])[:-1] + b"\r" + tsv_rows([conn(2)])
    parsed = read(header() + joined + b"\n" + tsv_rows([conn(3)]))
    assert (uids(parsed), [row.line for row in parsed.bad]) == (["C3"], [FIRST])


def test_a_last_line_without_newline_is_a_row(read):
    assert_same_flows(read(tsv(ROWS)[:-1]), read(tsv(ROWS)))


def test_half_a_last_line_is_bad(read):
    parsed = read(tsv(ROWS)[:-30])
    assert (uids(parsed), bad(parsed)) == (["C1", "C2"], [(FIRST + 2, "fields")])


@pytest.mark.parametrize(("over", "reasons"), [(0, []), (1, ["too-long"])])
def test_a_line_is_a_row_up_to_the_cap(read, over, reasons):
    bare = len(tsv_rows([conn(2, tunnel_parents="")])) - 1
    long = conn(2, tunnel_parents="x" * (LINE_BYTES - bare + over))
    parsed = read(tsv([conn(1), long, conn(3)]))
    assert [row.reason for row in parsed.bad] == reasons
    assert parsed.rows == 3


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_a_bare_header_names_the_columns(read, newline):
    columns = VINTAGES["ext func"]
    data = "\t".join(columns).encode() + b"\n" + tsv_rows(ROWS, columns)
    parsed = read(data.replace(b"\n", newline))
    assert parsed.flows.frame["line"].to_list() == [2, 3, 4]
    assert_same_flows(parsed, read(tsv(ROWS)))


@pytest.mark.parametrize("data", [b"", b"\n\n", header(), header() + b"#close\tx\n"])
def test_a_log_without_rows_has_none(read, data):
    assert read(data).rows == 0


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (tsv_rows(ROWS), "found neither in the first line"),
        (b"Lorem ipsum\n", "found neither in the first line"),
        (b"ts\tuid\n1\tC1\n", "found neither in the first line"),
        (b"#separator \\x09\n#path\tconn\n" + tsv_rows(ROWS), "found none"),
        (b"# a note\n" + tsv_rows(ROWS), "found none"),
        (b"\n" + tsv_rows(ROWS), "found neither in the first line"),
        (header(path="dns") + tsv_rows(ROWS), "found #path dns"),
        (header(["name"], path="loaded_scripts") + b"a.zeek\n", "#path loaded_scripts"),
        (header(["ts", "uid"]) + b"1\tC1\n", "found no id.orig_h"),
        (header(["name"], path="x") + b"#path\tconn\nC1\n", "found no ts"),
    ],
)
def test_what_is_no_conn_log_is_refused_by_name(read, data, found):
    with pytest.raises(InputError, match=r"conn\.log.*" + found.replace(".", r"\.")):
        read(data)
