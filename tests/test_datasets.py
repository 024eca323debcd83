"""Labelled sets of the literature: every row in its place, or bad with a reason."""

import csv
import gzip
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entropy_ids.collector import find_logs
from entropy_ids.collector.datasets import (
    COLUMNS,
    FORMATS,
    begins_us,
    labelled,
    read,
)
from entropy_ids.collector.datasets import iscx as iscx_reader
from entropy_ids.collector.datasets import tables as tables_reader
from entropy_ids.collector.datasets import zeek as zeek_reader
from entropy_ids.collector.datasets.unsw import COLUMNS as UNSW
from entropy_ids.collector.schema import end_us
from entropy_ids.collector.segments import blocks
from entropy_ids.config import Config
from entropy_ids.errors import ConfigError, InputError
from entropy_ids.features.assembler import Assembler
from entropy_ids.reading import Reading, read_series

NAMES = [each.name for each in FORMATS]
EVERY = pytest.mark.parametrize("name", NAMES)
SORTED = pytest.mark.parametrize("name", [n for n in NAMES if n != "zeek-labelled"])
"""All but logs, which are read as they were written."""

# CICFlowMeter's header as published: leading spaces, one name twice (shortened here)
CICIDS = (
    "Flow ID, Source IP, Source Port, Destination IP, Destination Port, Protocol, "
    "Timestamp, Flow Duration, Total Fwd Packets, Total Backward Packets,"
    "Total Length of Fwd Packets, Total Length of Bwd Packets,Flow Bytes/s, "
    "Flow Packets/s, Fwd Header Length, Fwd Header Length, Label"
)
CTU13 = (
    "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,"
    "TotBytes,SrcBytes,Label"
)
ZEEK = (
    "ts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\t"
    "orig_bytes\tresp_bytes\tconn_state\tlocal_orig\tlocal_resp\tmissed_bytes\thistory"
    "\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\ttunnel_parents"
)
ZEEK_HEAD = "#separator \\x09\n#unset_field\t-\n#path\tconn\n#fields\t"
DATAROOT = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<dataroot xmlns:od="urn:schemas-'
    'microsoft-com:officedata" generated="2011-08-10T14:01:05">\n'
)


def cicids(**cells: str) -> str:
    row = {
        "id": "192.168.10.5-8.254.250.126-49188-80-6",
        "src": "8.254.250.126",
        "sport": "80",
        "dst": "192.168.10.5",
        "dport": "49188",
        "proto": "6",
        "ts": "03/07/2017 08:55:58",
        "dur": "1500000",
        "fwd": "2",
        "bwd": "3",
        "fwd_bytes": "12",
        "bwd_bytes": "30.0",
        "per_s": "12000000",
        "pkts_s": "2000000",
        "header": "40",
        "header_again": "40",
        "label": "BENIGN",
    }
    return ",".join((row | cells).values())


def ctu13(**cells: str) -> str:
    row = {
        "ts": "2011/08/10 09:46:53.047277",
        "dur": "3550.182373",
        "proto": "udp",
        "src": "212.50.71.179",
        "sport": "39678",
        "dir": "  <->",
        "dst": "147.32.84.229",
        "dport": "13363",
        "state": "CON",
        "stos": "0",
        "dtos": "0",
        "pkts": "12",
        "bytes": "875",
        "src_bytes": "413",
        "label": "flow=Background-UDP-Established",
    }
    return ",".join((row | cells).values())


def unsw(**cells: str) -> str:
    row = dict.fromkeys(UNSW, "0") | {
        "srcip": "59.166.0.0",
        "sport": "1390",
        "dstip": "149.171.126.6",
        "dsport": "53",
        "proto": "udp",
        "state": "CON",
        "dur": "0.001055",
        "sbytes": "132",
        "dbytes": "164",
        "service": "dns",
        "Spkts": "2",
        "Dpkts": "2",
        "Stime": "1421927414",
        "Ltime": "1421927414",
        "ct_ftp_cmd": " ",
        "attack_cat": "",
    }
    return ",".join((row | cells).values())


def iscx(day: str = "TestbedTueJun15-1Flows", **fields: str | None) -> str:
    row = {
        "appName": "SSH",
        "totalSourceBytes": "358",
        "totalDestinationBytes": "257",
        "totalDestinationPackets": "3",
        "sensorInterfaceId": "1",
        "totalSourcePackets": "5",
        "sourcePayloadAsBase64": "U1NIL&amp;",
        "direction": "R2L",
        "sourceTCPFlagsDescription": "F,S,P,A",
        "destinationTCPFlagsDescription": "F,S,A",
        "source": "212.77.187.249",
        "protocolName": "tcp_ip",
        "sourcePort": "22373",
        "destination": "192.168.5.122",
        "destinationPort": "22",
        "startDateTime": "2010-06-15T02:58:25",
        "stopDateTime": "2010-06-15T02:58:28",
        "Tag": "Attack",
    } | fields
    inside = [f"<{k}>{v}</{k}>" for k, v in row.items() if v is not None]
    return "\n".join([f"<{day}>", *inside, f"</{day}>"])


def zeek(gap: str = "   ", **cells: str) -> str:
    row = {
        "ts": "1525879831.015811",
        "uid": "CUmrqr4svHuSXJy5z7",
        "src": "192.168.100.103",
        "sport": "51524",
        "dst": "65.127.233.163",
        "dport": "23",
        "proto": "tcp",
        "service": "-",
        "dur": "2.999051",
        "orig_bytes": "0",
        "resp_bytes": "0",
        "state": "S0",
        "local": "-\t-\t0\tS",
        "counts": "3\t180\t0\t0",
        "tunnel": "(empty)",
        "label": "Malicious",
        "detail": "PartOfAHorizontalPortScan",
    } | cells
    values = list(row.values())
    return "\t".join(values[:-3]) + "\t" + gap.join(values[-3:])


def iot23(*rows: str) -> str:
    head = f"{ZEEK_HEAD}{ZEEK}   label   detailed-label\n#types\ttime\n"
    return head + "\n".join(rows) + "\n#close\t2018-05-21-09-00-12\n"


def iscx_file(*rows: str) -> str:
    return DATAROOT + "\n".join(rows) + "\n</dataroot>\n"


def table(head: str, *rows: str) -> str:
    return head + "\n".join(rows) + "\n"


FILE = {
    "iscx-2012": (iscx_file, iscx),
    "cicids-2017": (partial(table, CICIDS + "\n"), cicids),
    "ctu-13": (partial(table, CTU13 + "\n"), ctu13),
    "unsw-nb15": (partial(table, ""), unsw),
    "zeek-labelled": (iot23, zeek),
}


def bad(name: str) -> str:
    """Give a row whose port is no number."""
    cells = {"sourcePort" if name == "iscx-2012" else "sport": "http"}
    return FILE[name][1](**cells)


def drawn_iscx(rng: random.Random, start: int, length: int, attack: bool) -> str:
    first = datetime(2010, 6, 15, tzinfo=UTC) + timedelta(seconds=start)
    last = first + timedelta(seconds=length)
    return iscx(
        source=address(rng),
        destination=address(rng),
        startDateTime=f"{first:%Y-%m-%dT%H:%M:%S}",
        stopDateTime=f"{last:%Y-%m-%dT%H:%M:%S}",
        Tag="Attack" if attack else "Normal",
    )


def drawn_cicids(rng: random.Random, start: int, length: int, attack: bool) -> str:
    hour = rng.choice([8, 9, 10, 11, 12, 1, 2, 3, 4, 5])
    ts = f"{rng.randint(3, 7)}/7/2017 {hour}:{start % 60:02}{rng.choice(['', ':07'])}"
    label = "DoS Hulk" if attack else "BENIGN"
    return cicids(ts=ts, dur=str(length * 977), label=label, **between(rng))


def drawn_ctu13(rng: random.Random, start: int, length: int, attack: bool) -> str:
    moment = datetime(2011, 8, 10, 9, tzinfo=UTC) + timedelta(seconds=start)
    ts = f"{moment:%Y/%m/%d %H:%M:%S}.{length:06}"
    label = "flow=From-Botnet-V42-TCP" if attack else "flow=To-Normal-V42-UDP"
    return ctu13(ts=ts, dur=f"{length / 7:.6f}", label=label, **between(rng))


def drawn_unsw(rng: random.Random, start: int, length: int, attack: bool) -> str:
    return unsw(
        srcip=address(rng),
        dstip=address(rng),
        sport=hex(rng.randrange(65536)),
        Stime=str(1421927414 + start),
        dur=f"{length / 7:.6f}",
        attack_cat=" Fuzzers " if attack else "",
        Label=str(int(attack)),
    )


def drawn_zeek(rng: random.Random, start: int, length: int, attack: bool) -> str:
    kind = {} if attack else {"label": "Benign", "detail": "-"}
    dur = rng.choice(["-", f"{length / 7:.6f}"])
    ts = f"{1525879831 + start}.{length:06}"
    return zeek(ts=ts, dur=dur, **between(rng), **kind)


def address(rng: random.Random) -> str:
    return f"10.0.{rng.randrange(3)}.{rng.randrange(256)}"


def between(rng: random.Random) -> dict[str, str]:
    ends = {"src": address(rng), "dst": address(rng)}
    return ends | {"sport": str(rng.randrange(65536))}


DRAWN = {
    "iscx-2012": drawn_iscx,
    "cicids-2017": drawn_cicids,
    "ctu-13": drawn_ctu13,
    "unsw-nb15": drawn_unsw,
    "zeek-labelled": drawn_zeek,
}


@pytest.fixture
def put(tmp_path):
    """Write a file in a set's form; its name tells nothing."""

    def write(name: str, *rows: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / "set"
        path.write_bytes(FILE[name][0](*rows).encode(encoding))
        return path

    return write


@pytest.fixture
def random_file(put):
    """Write 60 rows out of order, a bad one and a blank line between them."""

    def write(name: str) -> Path:
        rng = random.Random(name)
        rows = [
            DRAWN[name](rng, rng.randrange(40_000), rng.randrange(3_000), i % 2 == 0)
            for i in range(60)
        ]
        rows[20:20] = [bad(name), "", rows[3]]
        return put(name, *rows)

    return write


def all_of(path: Path, **how: int) -> pl.DataFrame:
    return pl.concat([part.flows.frame for part in read(path, **how)])


def bad_of(path: Path) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for part in read(path) for row in part.bad]


def only(path: Path) -> dict:
    """Give the one row of a file."""
    assert bad_of(path) == []
    [row] = all_of(path).rows(named=True)
    return row


# what every set must do


@EVERY
def test_a_set_is_told_from_its_content(name, random_file):
    assert labelled(random_file(name)) == name


@EVERY
def test_every_row_is_in_a_batch_or_bad_and_blank_lines_are_neither(name, random_file):
    path = random_file(name)
    assert all_of(path).height == 61
    assert [reason for _, reason in bad_of(path)] == ["unparsable"]


@EVERY
def test_a_bad_row_names_its_line(name, put):
    good = FILE[name][1]()
    path = put(name, good, bad(name), good)
    lines = path.read_text(encoding="utf-8").splitlines()
    begins = [i for i, line in enumerate(lines, 1) if line.startswith(good[:9])]
    assert [line for line, _ in bad_of(path)] == begins[1:2]


@EVERY
def test_frames_have_the_columns_and_types_of_conn_logs_and_labels(name, random_file):
    for part in read(random_file(name), rows_per_batch=7):
        assert dict(part.flows.frame.schema) == COLUMNS


@SORTED
def test_rows_come_by_end_and_ties_by_line(name, random_file):
    frame = all_of(random_file(name), rows_per_batch=7)
    order = list(zip(end_us(frame), frame["line"], strict=True))
    assert order == sorted(order)
    assert order != sorted(order, key=lambda pair: pair[1])


def test_a_labelled_log_is_read_as_it_was_written(random_file):
    frame = all_of(random_file("zeek-labelled"))
    assert frame["line"].is_sorted()
    assert not end_us(frame).is_sorted()


@EVERY
def test_a_file_tells_when_it_begins(name, random_file):
    path = random_file(name)
    assert begins_us(path) == end_us(all_of(path)).min()


def test_what_is_no_set_tells_no_beginning(tmp_path):
    (tmp_path / "a").write_text("nothing\n")
    assert begins_us(tmp_path / "a") is None


@EVERY
def test_a_set_is_found_and_read_where_conn_logs_are_asked_for(name, random_file):
    (log,) = find_logs([random_file(name)])
    config = Config.load(environment={})
    series, assembler = read_series([log], config, Reading())
    assert log.is_labelled
    assert assembler.account.rows == 62
    assert assembler.account.balanced
    assert len(series)


@EVERY
def test_no_column_that_a_conn_log_must_have_is_unset(name, random_file):
    frame = all_of(random_file(name))
    needed = ["ts", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto"]
    assert frame.select(*needed, "label", "detail").null_count().row(0) == (0,) * 8


@EVERY
def test_half_of_the_rows_are_attacks_of_one_class(name, random_file):
    classes = set(all_of(random_file(name))["label"])
    assert len(classes) == 2
    assert "normal" in classes


@SORTED
@pytest.mark.parametrize("rows", [1, 60, 1000])
def test_batches_of_any_size_hold_the_same_rows(name, rows, random_file):
    path = random_file(name)
    parts = list(read(path, rows_per_batch=rows))
    assert max(len(part.flows) for part in parts) == min(rows, 61)
    assert pl.concat([p.flows.frame for p in parts]).equals(all_of(path))


@SORTED
def test_minutes_are_counted_from_a_set_as_from_a_log(name, random_file):
    assembler = Assembler()
    for part in read(random_file(name), rows_per_batch=7):
        assembler.push("", part.flows, part.bad)
    assembler.finish()
    account = assembler.account
    assert (account.rows, account.counted) == (62, 61)
    assert account.quarantined == {"unparsable": 1}


@EVERY
def test_a_packed_file_gives_the_same_rows(name, random_file, tmp_path):
    path = random_file(name)
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert labelled(packed) == name
    assert all_of(packed).equals(all_of(path))


@EVERY
def test_it_does_not_matter_how_a_file_is_cut(name, random_file, monkeypatch):
    path = random_file(name)
    expected, bad = all_of(path), bad_of(path)
    for reader in (tables_reader, zeek_reader, iscx_reader):
        monkeypatch.setattr(reader, "blocks", partial(blocks, block_bytes=700))
    monkeypatch.setattr(iscx_reader, "_ROWS", 7)
    assert all_of(path).equals(expected)
    assert bad_of(path) == bad


@EVERY
def test_line_ends_of_windows_change_nothing(name, random_file, tmp_path):
    path = random_file(name)
    other = tmp_path / "windows"
    other.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert all_of(other).equals(all_of(path))


@EVERY
def test_a_file_without_good_rows_gives_one_empty_batch(name, put):
    [part] = read(put(name, bad(name)))
    assert (len(part.flows), len(part.bad)) == (0, 1)
    assert dict(part.flows.frame.schema) == COLUMNS


@EVERY
def test_a_packed_file_that_was_cut_short_is_refused(name, random_file, tmp_path):
    packed = tmp_path / "packed"
    data = gzip.compress(random_file(name).read_bytes())
    packed.write_bytes(data[: len(data) - 9])
    with pytest.raises(InputError, match="cut short"):
        all_of(packed)


ODD = st.sampled_from(
    ["", "-", "0", "1e999", "-1", "nan", "0x", "0xfffffffffffffffffff", "1_0", "+5"]
) | st.text(st.characters(exclude_characters="\n,", exclude_categories=["Cs"]))


@pytest.mark.parametrize("name", ["cicids-2017", "ctu-13", "unsw-nb15"])
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_text_in_a_cell_is_lost_or_stops_the_reading(name, put, data):
    cells = FILE[name][1]().split(",")
    for _ in range(3):
        cells[data.draw(st.integers(0, len(cells) - 1))] = data.draw(ODD)
    path = put(name, FILE[name][1](), ",".join(cells))
    assert all_of(path).height + len(bad_of(path)) == 2


# a slow twin per set


def seconds_of(text: str, form: str, offset_h: int) -> float:
    moment = datetime.strptime(text, form).replace(tzinfo=UTC)
    return (moment - timedelta(hours=offset_h)).timestamp()


def naive_cicids(path: Path):
    for line, cells in numbered(path, skip=1):
        date, time = cells[6].split(" ")
        hour, *rest = (int(part) for part in time.split(":"))
        hour += 12 if 1 <= hour <= 5 else 0
        minute, second = (*rest, 0)[:2]
        text = f"{date} {hour}:{minute}:{second}"
        ts = seconds_of(text, "%d/%m/%Y %H:%M:%S", -3)
        label = "normal" if cells[16] == "BENIGN" else cells[16]
        yield line, ts, int(cells[7]) / 1e6, cells[1], cells[2], cells[3], label


def naive_ctu13(path: Path):
    for line, cells in numbered(path, skip=1):
        ts = seconds_of(cells[0], "%Y/%m/%d %H:%M:%S.%f", 2)
        label = "Botnet" if "Botnet" in cells[14] else "normal"
        yield line, ts, float(cells[1]), cells[3], cells[4], cells[6], label


def naive_unsw(path: Path):
    for line, cells in numbered(path, skip=0):
        label = cells[47].strip() if cells[48] == "1" else "normal"
        port = str(int(cells[1], 0)) if cells[1] != "http" else "http"
        yield line, float(cells[28]), float(cells[6]), cells[0], port, cells[2], label


def naive_zeek(path: Path):
    text = path.read_text(encoding="utf-8").replace("   ", "\t")
    for line, row in enumerate(text.splitlines(), 1):
        if row and not row.startswith("#"):
            c = row.split("\t")
            length = 0.0 if c[8] == "-" else float(c[8])
            label = "normal" if c[-2] == "Benign" else c[-1]
            yield line, float(c[0]), length, c[2], c[3], c[4], label


def naive_iscx(path: Path):
    text = path.read_text(encoding="utf-8")
    begins = [i for i, row in enumerate(text.splitlines(), 1) if "<Testbed" in row]
    for line, flow in zip(begins, ElementTree.fromstring(text), strict=True):
        f = {child.tag: child.text for child in flow}
        form = "%Y-%m-%dT%H:%M:%S"
        start, stop = (
            seconds_of(f[k], form, -3) for k in ("startDateTime", "stopDateTime")
        )
        label = "normal" if f["Tag"] == "Normal" else f["Tag"]
        where = f["source"], f["sourcePort"], f["destination"]
        yield line, start, stop - start, *where, label


def numbered(path: Path, skip: int):
    with path.open(encoding="utf-8", newline="") as file:
        for line, cells in enumerate(csv.reader(file), 1):
            if cells and line > skip:
                yield line, cells


NAIVE = {
    "iscx-2012": naive_iscx,
    "cicids-2017": naive_cicids,
    "ctu-13": naive_ctu13,
    "unsw-nb15": naive_unsw,
    "zeek-labelled": naive_zeek,
}


@EVERY
def test_rows_are_those_that_a_simple_reader_gives(name, random_file):
    path = random_file(name)
    rows = [row for row in NAIVE[name](path) if row[4] != "http"]
    expected = sorted(
        (round((ts + length) * 1e6), line, round(ts * 1e6), src, int(port), dst, label)
        for line, ts, length, src, port, dst, label in rows
    )
    frame = all_of(path)
    columns = ["line", "ts", "id.orig_h", "id.orig_p", "id.resp_h", "label"]
    found = frame.select(
        end_us(frame), pl.col("ts").cast(pl.Int64), *columns[:1], *columns[2:]
    ).select("end_us", *columns)
    assert sorted(found.rows()) == expected


# what is odd in each set


def test_afternoons_of_cicids_have_no_pm_and_its_clock_is_behind_utc(put):
    row = only(put("cicids-2017", cicids(ts="7/7/2017 3:30")))
    assert row["ts"] == datetime(2017, 7, 7, 18, 30, tzinfo=UTC)


def test_noon_and_morning_of_cicids_are_as_written(put):
    path = put("cicids-2017", cicids(ts="5/7/2017 12:01"), cicids(ts="4/7/2017 8:56"))
    assert [ts.hour for ts in all_of(path)["ts"]] == [11, 15]


@pytest.mark.parametrize(
    "ts",
    [
        "7/3/2017 9:00",  # a month first, or no day of the capture
        "2017-07-03 09:00:00",
        "3/7/2017 6:30",  # neither morning nor afternoon of the capture
        "31/2/2017 9:00",
        "3/7/2017 9:00 PM",
        "Timestamp",
    ],
)
def test_times_of_cicids_in_another_form_are_not_guessed(put, ts):
    assert bad_of(put("cicids-2017", cicids(ts=ts))) == [(2, "unparsable")]


def test_a_dash_of_windows_in_a_label_of_cicids_is_kept(put):
    rows = cicids(label="Web Attack – XSS"), cicids()
    path = put("cicids-2017", *rows, encoding="cp1252")
    assert b"\x96" in path.read_bytes()
    assert sorted(all_of(path)["label"]) == ["Web Attack – XSS", "normal"]


def test_rows_of_commas_alone_are_missing_and_blank_lines_are_not_rows(put):
    path = put("cicids-2017", cicids(), "," * 16, "", "  ", "," * 16)
    assert bad_of(path) == [(3, "missing"), (6, "missing")]


def test_infinite_rates_of_cicids_cost_nothing(put):
    row = only(put("cicids-2017", cicids(per_s="Infinity", pkts_s="NaN")))
    assert (row["orig_bytes"], row["resp_bytes"]) == (12, 30)


@pytest.mark.parametrize("cell", ["Infinity", "NaN", "-1", "-inf", "1e300"])
def test_a_duration_that_cannot_be_is_out_of_range(put, cell):
    assert bad_of(put("cicids-2017", cicids(dur=cell))) == [(2, "range")]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"dport": "65536"}, "range"),
        ({"dport": "80.5"}, "range"),
        ({"fwd": "-3"}, "range"),
        ({"ts": ""}, "missing"),
        ({"label": " "}, "missing"),
        ({"dport": ""}, "missing"),
        ({"src": "localhost"}, "address"),
        ({"fwd_bytes": "many"}, "unparsable"),
        ({"label": "DDoS,again"}, "fields"),
    ],
)
def test_a_row_is_bad_for_one_reason(put, cells, reason):
    assert bad_of(put("cicids-2017", cicids(**cells), cicids())) == [(2, reason)]


def test_a_header_in_the_middle_is_a_bad_row(put):
    path = put("cicids-2017", cicids(), CICIDS, cicids())
    assert bad_of(path) == [(3, "unparsable")]
    assert all_of(path)["line"].to_list() == [2, 4]


def test_what_cicids_does_not_tell_stays_unset(put):
    row = only(put("cicids-2017", cicids()))
    unknown = ["uid", "service", "conn_state", "local_orig", "local_resp"]
    assert {row[name] for name in [*unknown, "missed_bytes"]} == {None}
    assert row["duration"] == timedelta(seconds=1.5)


@pytest.mark.parametrize(
    ("number", "proto"), [("17.0", "udp"), ("1", "icmp"), ("0", "unknown_transport")]
)
def test_protocol_numbers_get_zeeks_names(put, number, proto):
    assert only(put("cicids-2017", cicids(proto=number)))["proto"] == proto


def test_ports_of_icmp_in_ctu13_are_hexadecimal(put):
    row = only(put("ctu-13", ctu13(proto="icmp", sport="0x0303", dport="0x4fa8")))
    assert (row["id.orig_p"], row["id.resp_p"]) == (0x0303, 0x4FA8)


def test_protocols_without_ports_have_port_zero(put):
    row = only(put("ctu-13", ctu13(proto="arp", sport="", dport="")))
    assert (row["id.orig_p"], row["id.resp_p"]) == (0, 0)


def test_tcp_without_a_port_is_missing_one(put):
    assert bad_of(put("ctu-13", ctu13(proto="tcp", sport=""))) == [(2, "missing")]


@pytest.mark.parametrize("address", ["00:15:17:2c:e5:2d", "1.2.3", "::g", ""])
def test_hardware_addresses_are_no_ip_addresses(put, address):
    reason = "address" if address else "missing"
    assert bad_of(put("ctu-13", ctu13(src=address))) == [(2, reason)]


@pytest.mark.parametrize("address", ["fe80::1", "2001:718:1:2:3:4:5:6", "::"])
def test_ipv6_addresses_are_read(put, address):
    assert only(put("ctu-13", ctu13(src=address)))["id.orig_h"] == address


def test_bytes_of_the_destination_are_what_the_source_did_not_send(put):
    row = only(put("ctu-13", ctu13(bytes="875", src_bytes="413")))
    assert (row["orig_bytes"], row["resp_bytes"]) == (413, 462)
    assert (row["orig_pkts"], row["resp_pkts"]) == (None, None)


def test_more_bytes_from_the_source_than_in_all_are_out_of_range(put):
    assert bad_of(put("ctu-13", ctu13(bytes="412"))) == [(2, "range")]


def test_a_total_that_is_no_number_is_not_passed_over(put):
    assert bad_of(put("ctu-13", ctu13(bytes="many"))) == [(2, "unparsable")]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("flow=From-Botnet-V42-TCP-CC1-HTTP-Not-Encrypted", "Botnet"),
        ("flow=Background-Established-cmpgw-CVUT", "normal"),
        ("flow=To-Background-UDP-CVUT-DNS-Server", "normal"),
        ("flow=From-Normal-V42-Stribrek", "normal"),
        ("flow=Normal-V42-HTTP-windowsupdate", "normal"),
        ("flow=Something-Else", "Something-Else"),
    ],
)
def test_labels_of_ctu13_have_classes_and_keep_their_text(put, label, name):
    row = only(put("ctu-13", ctu13(label=label)))
    assert (row["label"], row["detail"]) == (name, label)


@pytest.mark.parametrize(
    ("proto", "state", "conn_state"),
    [
        ("tcp", "S_", "S0"),
        ("tcp", "S_RA", "REJ"),
        ("tcp", "FSPA_FSPA", "SF"),
        ("tcp", "FSRPA_FSPA", None),
        ("tcp", "FPA_FRPA", None),
        ("udp", "CON", None),
        ("udp", "S_", None),
    ],
)
def test_states_of_ctu13_are_given_where_the_flags_leave_no_doubt(
    put, proto, state, conn_state
):
    row = only(put("ctu-13", ctu13(proto=proto, state=state)))
    assert row["conn_state"] == conn_state


@pytest.mark.parametrize(
    ("family", "name"),
    [
        (" Fuzzers ", "Fuzzers"),
        ("Backdoors", "Backdoor"),
        ("Backdoor", "Backdoor"),
        ("", "attack"),
    ],
)
def test_families_of_unsw_are_trimmed_and_spelt_one_way(put, family, name):
    row = only(put("unsw-nb15", unsw(attack_cat=family, Label="1")))
    assert (row["label"], row["detail"]) == (name, family or "1")


def test_ports_of_unsw_are_hexadecimal_or_a_dash(put):
    row = only(put("unsw-nb15", unsw(proto="icmp", sport="0xc0a8", dsport="-")))
    assert (row["id.orig_p"], row["id.resp_p"]) == (0xC0A8, 0)


def test_a_service_that_unsw_does_not_know_is_unset(put):
    assert only(put("unsw-nb15", unsw(service="-")))["service"] is None


def test_a_mark_of_byte_order_is_no_part_of_the_first_row(put):
    path = put("unsw-nb15", unsw(), encoding="utf-8-sig")
    assert labelled(path) == "unsw-nb15"
    assert only(path)["id.orig_h"] == "59.166.0.0"


def test_a_copy_of_unsw_with_a_header_is_read_by_it(put):
    names = ",".join(reversed(UNSW))
    cells = ",".join(reversed(unsw(attack_cat="Worms", Label="1").split(",")))
    row = only(put("unsw-nb15", names, cells))
    assert (row["line"], row["label"], row["id.resp_p"]) == (2, "Worms", 53)


def test_the_list_of_columns_of_unsw_is_no_set(tmp_path):
    path = tmp_path / "NUSW-NB15_features.csv"
    path.write_bytes(
        b"No.,Name,Type ,Description\r\n1,srcip,nominal,The \x93src\x94\r\n"
    )
    assert labelled(path) is None


def test_flows_of_iscx_tell_the_side_that_is_local_and_the_service(put):
    row = only(put("iscx-2012", iscx(appName="HTTPImageTransfer", direction="L2R")))
    assert (row["local_orig"], row["local_resp"]) == (True, False)
    assert (row["service"], row["proto"], row["conn_state"]) == ("http", "tcp", "SF")


def test_the_clock_of_iscx_is_behind_utc(put):
    assert only(put("iscx-2012", iscx()))["ts"] == datetime(
        2010, 6, 15, 5, 58, 25, tzinfo=UTC
    )


def test_udp_of_iscx_has_no_flags_and_unknown_applications_no_service(put):
    none = {
        "sourceTCPFlagsDescription": "N/A",
        "destinationTCPFlagsDescription": "N/A",
    }
    row = only(
        put("iscx-2012", iscx(appName="Unknown_UDP", protocolName="udp_ip", **none))
    )
    assert (row["service"], row["proto"], row["conn_state"]) == (None, "udp", None)


def test_a_syn_of_iscx_without_an_answer_is_s0(put):
    flags = {
        "sourceTCPFlagsDescription": "S",
        "destinationTCPFlagsDescription": "N/A",
    }
    assert only(put("iscx-2012", iscx(**flags)))["conn_state"] == "S0"


@pytest.mark.parametrize(
    ("field", "text", "reason"),
    [
        ("startDateTime", None, "missing"),
        ("startDateTime", "soon", "unparsable"),
        ("stopDateTime", "2010-06-15T02:58:24", "range"),
        ("destination", "router", "address"),
        ("Tag", "", "missing"),
    ],
)
def test_a_flow_of_iscx_is_bad_for_one_reason(put, field, text, reason):
    path = put("iscx-2012", iscx(), iscx(**{field: text}))
    assert [found for _, found in bad_of(path)] == [reason]


def test_a_root_that_is_named_like_a_flow_is_none(tmp_path):
    path = tmp_path / "flows.xml"
    text = iscx_file(iscx(), iscx()).replace("dataroot", "TestbedTueJun15-1Flows")
    path.write_text(text, encoding="utf-8")
    assert all_of(path).height == 2


def test_a_document_type_is_refused_and_no_entity_expands(tmp_path):
    path = tmp_path / "flows.xml"
    bomb = '<!DOCTYPE dataroot [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>\n'
    text = iscx_file(iscx(appName="&b;")).replace("<dataroot", bomb + "<dataroot")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="document type"):
        all_of(path)


@pytest.mark.parametrize("text", [DATAROOT + iscx(), DATAROOT + iscx() + "</other>"])
def test_xml_that_ends_early_is_refused(tmp_path, text):
    path = tmp_path / "flows.xml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="expected XML to its end"):
        all_of(path)


@pytest.mark.parametrize(
    ("label", "detail", "name", "text"),
    [
        ("Malicious", "C&C-HeartBeat", "C&C-HeartBeat", "Malicious C&C-HeartBeat"),
        ("Malicious", "-", "Malicious", "Malicious"),
        ("Benign", "-", "normal", "Benign"),
        ("benign", "(empty)", "normal", "benign"),
        ("Background", "Microsoft", "normal", "Background Microsoft"),
        ("-", "-", "normal", "-"),
        ("(empty)", "(empty)", "normal", "(empty)"),
    ],
)
@pytest.mark.parametrize("gap", ["   ", "\t"])
def test_labels_of_zeek_logs_by_spaces_or_tabs(
    tmp_path, gap, label, detail, name, text
):
    path = tmp_path / "conn.log.labeled"
    head = f"{ZEEK_HEAD}{ZEEK}{gap}label{gap}detailed-label\n"
    row = zeek(gap, label=label, detail=detail)
    path.write_text(f"{head}{row}\n", encoding="utf-8")
    found = only(path)
    assert (found["label"], found["detail"]) == (name, text)


def test_a_zeek_log_with_one_column_of_labels_is_read(tmp_path):
    path = tmp_path / "conn.log.labeled"
    row = zeek("\t").rpartition("\t")[0]
    path.write_text(f"{ZEEK_HEAD}{ZEEK}\tlabel\n{row}\n", encoding="utf-8")
    assert only(path)["label"] == "Malicious"


def test_a_row_of_iot23_that_was_cut_short_is_bad(put):
    path = put("zeek-labelled", zeek(), zeek().rpartition("   ")[0])
    assert [reason for _, reason in bad_of(path)] == ["fields"]


# what is no labelled set


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "start,end,class\n1,2,dos\n",
        f"{ZEEK_HEAD}{ZEEK}\n",
        '{"ts":1.5,"id.orig_h":"10.0.0.1"}\n',
        "<html></html>\n",
        "#fields\tts\tuid\tid.orig_h\tlabel\n",
    ],
)
def test_other_files_are_no_labelled_sets(tmp_path, text):
    path = tmp_path / "file"
    path.write_text(text, encoding="utf-8")
    assert labelled(path) is None
    with pytest.raises(InputError, match="expected a labelled set"):
        read(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ctu-13", table(CTU13.removesuffix(",Label") + "\n", ctu13()[:-32])),
        ("cicids-2017", table(CICIDS.removesuffix(", Label") + "\n", cicids()[:-7])),
        ("iscx-2012", iscx_file(iscx(Tag=None))),
    ],
)
def test_a_set_without_a_column_of_labels_is_refused(tmp_path, name, text):
    path = tmp_path / "set"
    path.write_text(text, encoding="utf-8")
    assert labelled(path) == name
    with pytest.raises(InputError, match=r"Label|Tag"):
        all_of(path)


def test_a_header_within_a_zeek_log_that_drops_the_labels_is_refused(tmp_path):
    path = tmp_path / "conn.log.labeled"
    plain = f"#fields\t{ZEEK}\n{zeek(chr(9)).rsplit(chr(9), 2)[0]}\n"
    path.write_text(iot23(zeek()) + plain, encoding="utf-8")
    with pytest.raises(InputError, match="column label"):
        all_of(path)


def test_a_file_that_is_not_there_is_an_input_error(tmp_path):
    for ask in (labelled, read):
        with pytest.raises(InputError, match="readable"):
            ask(tmp_path / "nothing")


def test_batches_without_rows_are_refused(random_file):
    with pytest.raises(ConfigError, match="rows_per_batch"):
        read(random_file("ctu-13"), rows_per_batch=0)


# real labelled logs


@pytest.mark.shared
@pytest.mark.parametrize("name", ["stratosphere-008", "stratosphere-010"])
def test_labels_of_real_logs_are_counted_as_by_a_plain_reader(shared_data, name):
    path = shared_data / "labelled" / name / "conn.log.labeled"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    pairs = Counter((r[-2], r[-1]) for r in rows if not r[0].startswith("#"))
    expected = Counter()
    for (label, detail), count in pairs.items():
        expected[detail if label == "Malicious" else "normal"] += count
    assert labelled(path) == "zeek-labelled"
    assert Counter(all_of(path)["label"].to_list()) == expected


@pytest.mark.shared
def test_real_logs_of_other_kinds_are_no_labelled_sets(shared_data):
    folder = shared_data / "labelled" / "stratosphere-008"
    others = [folder / "http.log.labeled", folder / "ssl.log.labeled"]
    plain = shared_data / "m57" / "2020-09-23" / "sat-2009-11-21" / "conn.log"
    assert {labelled(path) for path in [*others, plain]} == {None}
