import time
from pathlib import Path

import pytest
from zeek import COLUMNS, T0, conn, write_conn

from entropy_ids.errors import InputError
from entropy_ids.evaluate.labels import Label, read_labels

HEADER = "start,end,class,attackers,victims,name,scale\n"
NOON = 1_772_793_000
"""2026-03-06 10:30 UTC."""


def read(tmp_path: Path, text: str) -> list[Label]:
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode())
    return read_labels(path)


def test_all_columns_are_read_by_their_names(tmp_path):
    row = "scan-1,2026-03-06T10:30:00Z,2026-03-06T10:31:00Z,dos,a b,0.3,10.0.0.1,x\n"
    row = row.replace("a b", "198.19.0.1 198.19.4.0/24")
    head = "name,start,end,class,attackers,scale,victims,comment\n"
    found = read(tmp_path, head + row)
    attackers = ("198.19.0.1", "198.19.4.0/24")
    assert found == [
        Label(NOON, NOON + 60, "dos", attackers, ("10.0.0.1",), "scan-1", 0.3)
    ]


@pytest.mark.parametrize(
    "start",
    [
        "2026-03-06T10:30:00Z",
        "2026-03-06T10:30",
        "2026-03-06 11:30:00+01:00",
        "1772793000",
        "1772793000.0",
    ],
)
def test_times_are_utc_unless_they_say_otherwise_or_epoch_seconds(tmp_path, start):
    (label,) = read(tmp_path, f"start,end,class\n{start},1772793060,dos\n")
    assert label == Label(NOON, NOON + 60, "dos")


def test_times_are_not_those_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        (label,) = read(tmp_path, "start,end,class\n2026-03-06T10:30,1772793060,dos\n")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert label.start == NOON


def test_a_mark_of_bytes_and_dos_lines_and_blank_lines_do_no_harm(tmp_path):
    text = "\ufeffstart, end ,class\r\n\r\n1,2, dos \r\n\r\n"
    assert read(tmp_path, text) == [Label(1, 2, "dos")]


def test_addresses_have_one_spelling(tmp_path):
    row = "1,2,dos,2001:DB8:0::1 10.0.0.7/32,10.1.2.3/8,,\n"
    (label,) = read(tmp_path, HEADER + row)
    assert label.attackers == ("2001:db8::1", "10.0.0.7")
    assert label.victims == ("10.0.0.0/8",)


def test_a_header_alone_is_a_table_without_labels(tmp_path):
    assert read(tmp_path, HEADER) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "labels.csv:1: expected a header that names start, end, class, found ''"),
        ("1,2,dos\n", "labels.csv:1: expected a header .* found '1,2,dos'"),
        ("start,end\n1,2\n", "labels.csv:1: expected a header"),
        ("start,end,class\n1,2,dos\n5,4,dos\n", ":3: expected an end after the start"),
        ("start,end,class\n1,2,\n", ":2: expected a class"),
        ("start,end,class\n1\n", ":2: end: expected a UTC time"),
        ("start,end,class\nsoon,2,dos\n", ":2: start: expected .* found 'soon'"),
        ("start,end,class\nnan,2,dos\n", ":2: start: expected a UTC time"),
        (HEADER + "1,2,dos,10.0.0.300,,,\n", ":2: attackers: .* '10.0.0.300'"),
        (HEADER + "1,2,dos,,,,much\n", ":2: scale: expected a number above 0"),
        (HEADER + "1,2,dos,,,,0\n", ":2: scale: expected a number above 0"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        read(tmp_path, text)


def test_a_file_that_is_no_text_or_not_there_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_bytes(b"\xff\xfe\x00\x81")
    for name in ("labels.csv", "nowhere.csv"):
        with pytest.raises(InputError, match=f"{name}: expected a"):
            read_labels(tmp_path / name)


def labelled(*marks: tuple[float, str, str]) -> list[dict]:
    """Give connections that begin at some second and carry a label."""
    return [
        {**conn(n, ts=float(T0 + at), duration=2.0), "label": label, "detailed": kind}
        for n, (at, label, kind) in enumerate(marks)
    ]


def test_stretches_of_malicious_rows_of_a_labelled_log_become_labels(tmp_path):
    rows = labelled(
        (0, "Malicious", "PortScan"),
        (200, "malicious", "PortScan"),
        (210, "Benign", "-"),
        (600, "Malicious", "PortScan"),
        (601, "Malicious", "DDoS"),
    )
    names = (*COLUMNS, "label", "detailed")
    path = write_conn(tmp_path / "conn.log.labeled", rows, columns=names)
    path.write_text(path.read_text().replace("\tdetailed\n", "\tdetailed-label\n"))
    assert read_labels(path) == [
        Label(T0 + 2, T0 + 202, "PortScan"),
        Label(T0 + 602, T0 + 602, "PortScan"),
        Label(T0 + 603, T0 + 603, "DDoS"),
    ]


def test_labels_glued_to_the_last_column_by_blanks_are_told_apart(tmp_path):
    rows = [{**conn(0, ts=float(T0)), "tunnel_parents": "-   Malicious   Okiru"}]
    path = write_conn(tmp_path / "conn.log.labeled", rows)
    glued = "\ttunnel_parents   label   detailed-label\n"
    path.write_text(path.read_text().replace("\ttunnel_parents\n", glued))
    assert [label.class_name for label in read_labels(path)] == ["Okiru"]


def test_a_conn_log_without_labels_is_refused(tmp_path):
    with pytest.raises(
        InputError, match="without the columns label and detailed-label"
    ):
        read_labels(write_conn(tmp_path / "conn.log", [conn()]))


@pytest.mark.shared
def test_a_real_labelled_log_is_read(shared_data):
    path = shared_data / "labelled" / "stratosphere-008" / "conn.log.labeled"
    found = read_labels(path)
    assert {label.class_name for label in found} == {"External-Attack-to-Device"}
