import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from make import T0, alarm, contributor
from zeek import conn, tsv_rows, write, write_conn

from entropy_ids.alarms import evidence
from entropy_ids.cli import main
from entropy_ids.collector import find_logs
from entropy_ids.collector.siblings import find, folders_around, rows, spanning
from entropy_ids.errors import ConfigError

ENDS = {"id.orig_h": "10.0.0.1", "id.resp_h": "192.0.2.80"}
TYPES = {"ts": "time", "status_code": "count", "resp_fuids": "vector[string]"} | {
    "conn_uids": "set[string]",
    "tx_hosts": "set[addr]",
}


def sibling(path: Path, *some: dict, types: bool = True) -> Path:
    """Write rows of one log as its name says: JSON, or TSV packed or plain."""
    if path.name.endswith(".json.log"):
        path = path.with_name(path.name.replace(".json", ""))
        return write(path, "".join(json.dumps(row) + "\n" for row in some).encode())
    names = list(dict.fromkeys(name for row in some for name in row))
    kinds = "\t".join(TYPES.get(name, "string") for name in names)
    head = "#separator \\x09\n#set_separator\t,\n#fields\t" + "\t".join(names) + "\n"
    head += f"#types\t{kinds}\n" if types else ""
    return write(path, head.encode() + tsv_rows(some, names))


def at(seconds: float, uid: str | None = "C1", **values: object) -> dict:
    return {"ts": T0 + seconds, "uid": uid, **ENDS, **values}


def gathered(folder: Path, *alarms, most_rows: int = 50) -> dict:
    """Gather the evidence of incidents; a single one's document."""
    if not list(folder.glob("**/conn*")):
        write_conn(folder / "conn.log", [conn(n, ts=T0 + n) for n in (1, 2, 3)])
    some = alarms or (alarm(),)
    found = list(evidence.gather(some, find_logs([folder]), most_rows))
    return found[0] if len(some) == 1 else {one["id"]: one for one in found}


def counts(document: dict) -> dict:
    return {n: document[n]["count"] for n in evidence.SHOWN if document[n]["count"]}


def test_the_connections_of_an_alarm_are_shown_with_all_their_columns(tmp_path):
    document = gathered(tmp_path)
    shown = document["conn"]["rows"]
    assert [row["uid"] for row in shown] == ["C1", "C2"]
    assert shown[0]["history"] == "ShADadFf"
    assert shown[0]["id.resp_p"] == 443
    assert document["uids"] == {"count": 2, "rows": ["C1", "C2"]}
    assert document["problems"] == []


NAMES = [
    "{}.log",
    "{}.json.log",
    "{}.2024-04-21-06-00-00.log.gz",
    "{}.06:00:00-07:00:00-logger-1.log.zst",
]


@pytest.mark.parametrize("log", ["dns", "http", "smtp", "ssl", "ssh", "notice"])
@pytest.mark.parametrize("name", NAMES)
def test_rows_of_the_same_uid_are_joined_wherever_they_are(log, name, tmp_path):
    other = at(1, "C9", **{"id.orig_h": "10.0.0.9"})
    sibling(tmp_path / name.format(log), at(0.5), other, at(1.5), at(2, "C2"))
    document = gathered(tmp_path)
    assert counts(document) == {"conn": 2, log: 3}
    assert [row["uid"] for row in document[log]["rows"]] == ["C1", "C1", "C2"]


def test_files_are_joined_by_the_connections_that_carried_them(tmp_path):
    carried = {"ts": T0 + 1.0, "fuid": "F1", "conn_uids": "C8,C2"}
    newer = {"ts": T0 + 1.0, "fuid": "F2", "uid": "C1"}
    sibling(tmp_path / "files.log", carried, newer, newer | {"uid": "C8"})
    shown = gathered(tmp_path)["files"]
    assert [row["fuid"] for row in shown["rows"]] == ["F1", "F2"]
    assert shown["rows"][0]["conn_uids"] == ["C8", "C2"]


@pytest.mark.parametrize(
    ("log", "field"),
    [("http", "resp_fuids"), ("http", "orig_fuids"), ("smtp", "fuids"),
     ("ssl", "cert_chain_fuids")],
)  # fmt: skip
def test_files_that_only_another_row_names_are_joined_too(log, field, tmp_path):
    sibling(tmp_path / f"{log}.log", at(1, **{field: "F6,F7"}))
    nameless = {"ts": T0 + 1, "fuid": "F7", "mime_type": "text/html"}
    sibling(tmp_path / "files.log", nameless, nameless | {"fuid": "F8"})
    assert counts(gathered(tmp_path)) == {"conn": 2, log: 1, "files": 1}


def test_a_notice_about_a_file_is_joined_by_that_file(tmp_path):
    sibling(tmp_path / "files.log", {"ts": T0 + 1, "fuid": "F1", "conn_uids": "C1"})
    sibling(tmp_path / "notice.log", {"ts": T0 + 1, "uid": None, "fuid": "F1"})
    assert counts(gathered(tmp_path))["notice"] == 1


def test_a_notice_without_uid_is_joined_by_its_hosts_and_the_time(tmp_path):
    scan = {"ts": T0 + 30, "note": "Scan::Port_Scan", "src": "10.0.0.1", "dst": None}
    rows_ = [
        scan,
        scan | {"dst": "192.0.2.80"},
        scan | {"dst": "203.0.113.9"},  # is not of this incident
        scan | {"src": "10.0.0.11"},
        scan | {"ts": T0 - 900},
        scan | {"ts": T0 + 900},
        scan | {"src": None},
    ]
    sibling(tmp_path / "notice.log", *rows_)
    shown = gathered(tmp_path)["notice"]
    assert [row.get("dst") for row in shown["rows"]] == [None, "192.0.2.80"]


def test_a_notice_about_another_connection_of_these_hosts_is_not_joined(tmp_path):
    sibling(tmp_path / "notice.log", at(1, "C7", note="SSL::Invalid_Server_Cert"))
    assert gathered(tmp_path)["notice"] == {"count": 0, "rows": []}


def test_a_contributor_is_a_host_of_the_incident_without_any_uid(tmp_path):
    loud = alarm(uids=(), contributors=(contributor("10.0.0.77", feature="orig_h"),))
    sibling(tmp_path / "notice.log", {"ts": T0 + 5, "src": "10.0.0.77"})
    assert counts(gathered(tmp_path, loud)) == {"notice": 1}


def test_a_file_of_which_only_hosts_are_known_is_joined_by_both(tmp_path):
    one = {"ts": T0 + 1, "fuid": "F1", "tx_hosts": "192.0.2.80", "rx_hosts": "10.0.0.1"}
    sibling(tmp_path / "files.log", one, one | {"fuid": "F2", "rx_hosts": "10.0.0.12"})
    assert gathered(tmp_path)["files"]["count"] == 1


def test_rows_are_capped_at_the_earliest_and_all_are_counted(tmp_path):
    late_first = [at(300 - n) for n in range(300)]
    sibling(tmp_path / "http.log", *late_first)
    shown = gathered(tmp_path, most_rows=7)["http"]
    assert shown["count"] == 300
    assert [row["ts"] for row in shown["rows"]] == [T0 + n for n in range(1, 8)]


def test_a_log_that_is_not_there_is_told_from_one_without_rows(tmp_path):
    sibling(tmp_path / "dns.log", at(1, "C7"))
    document = gathered(tmp_path)
    assert document["dns"] == {"count": 0, "rows": []}
    assert document["ssh"] == {"count": 0, "rows": [], "missing": True}


def test_what_lies_before_a_damaged_place_is_shown_and_the_damage_told(tmp_path):
    many = [at(1 + n / 1e4, note=os.urandom(40).hex()) for n in range(30_000)]
    path = sibling(tmp_path / "http.log.gz", *many)
    path.write_bytes(path.read_bytes()[:-1000])
    document = gathered(tmp_path)
    (problem,) = document["problems"]
    assert "http.log.gz: expected a complete compressed file" in problem
    assert "http" in counts(document)


def test_lines_that_are_no_rows_are_counted_and_left_out(tmp_path):
    path = sibling(tmp_path / "dns.log", at(1), at(2, "C2"))
    path.write_bytes(path.read_bytes() + b"1\tC1\t\xff\n\n1\tC1")
    document = gathered(tmp_path)
    (problem,) = document["problems"]
    assert document["dns"]["count"] == 2
    assert "dns.log: expected rows, found 2 that are none" in problem


@pytest.mark.parametrize(
    "data", [b"[1]\n", b"hello C1\n", b"\xff\xfeC1\n", b"\x1f\x8bC1"]
)
def test_a_file_that_is_no_log_is_named_and_harms_nothing(data, tmp_path):
    (tmp_path / "http.log").write_bytes(data)
    sibling(tmp_path / "dns.log", at(1))
    document = gathered(tmp_path)
    assert counts(document) == {"conn": 2, "dns": 1}
    assert "http.log" in document["problems"][0]


@pytest.mark.parametrize(
    "line", [b"null", b'"C1"', b"[" * 9000 + b"C1", b'{"uid":"C1"']
)
def test_json_lines_that_are_no_objects_are_left_out(line, tmp_path):
    good = json.dumps(at(1)).encode()
    write(tmp_path / "dns.log", good + b"\n" + line + b" C1\n" + good + b"\n")
    document = gathered(tmp_path)
    assert document["dns"]["count"] == 2
    assert "dns.log: expected rows, found 1 that are none" in document["problems"][0]


def test_a_log_that_begins_with_bare_names_or_says_no_types_is_read(tmp_path):
    sibling(tmp_path / "files.log", {"ts": T0, "conn_uids": "C7,C2"}, types=False)
    write(tmp_path / "dns.log", f"ts\tuid\tquery\n{T0}\tC1\tlan\n".encode())
    assert counts(gathered(tmp_path)) == {"conn": 2, "dns": 1, "files": 1}


ODD = [
    ("#separator |\n#set_separator|;\n#empty_field|NONE\n#unset_field|NIL\n#fields|ts|"
     "uid|answers|TTLs|query|AA\n#types|time|string|vector[string]|vector[interval]|"
     "string|bool\n1.5|C1|a;b|NONE|NONE|NIL\n"),
    ("#separator \\x7c\n#set_separator|;\n#empty_field|\n#fields|ts|uid|answers|TTLs|"
     "query|AA\n#types|time|string|vector[string]|vector[interval]|string|bool\n"
     "1.5|C1|a;b|||-\n"),
    ("\ufeff \n\t#separator \\x09\r\n#fields\tts\tuid\tanswers\tTTLs\tquery\tAA\r\n"
     "#types\ttime\tstring\tvector[string]\tvector[interval]\tstring\tbool\r\n"
     "1.5\tC1\ta,b\t(empty)\t(empty)\t-\r\n"),
    ('{"ts":1.5,"uid":"C1","answers":["a","b"],"TTLs":[],"query":"","AA":null}\r\n'),
]  # fmt: skip


@pytest.mark.parametrize("text", ODD, ids=["bar", "hex", "crlf", "json"])
def test_headers_say_how_values_are_written(text, tmp_path):
    path = write(tmp_path / "dns.log", text.encode())
    problems: list[str] = []
    (row,) = rows(path, ["C1"], problems)
    told = {"ts": 1.5, "uid": "C1", "answers": ["a", "b"], "TTLs": [], "query": ""}
    assert row == told
    assert problems == []


def test_times_in_iso_and_milliseconds_put_rows_in_order(tmp_path):
    stamps = ["2026-03-02T10:00:09.000000Z", 1772445605_000, 1772445601.5]
    some = [{"ts": ts, "uid": "C1"} for ts in stamps]
    sibling(tmp_path / "dns.json.log", *some)
    shown = gathered(tmp_path, alarm(start=1772445600, end=1772445660))["dns"]["rows"]
    assert [row["ts"] for row in shown] == stamps[::-1]


HOSTILE = {
    "control": "\x1b[31m\x00\x07",
    "bidi": "\u202egpj.exe",
    "separators": "a\u2028b\u2029c\x85d",
    "invisible": "a\u200bb",
    "formula": "=HYPERLINK(1)",
    "markup": "</script><img src=x>",
    "long": "A" * 1_000_000,
}


@pytest.mark.parametrize("log", ["http.json.log", "http.log"])
def test_hostile_text_is_harmless_or_unchanged(log, tmp_path):
    sibling(tmp_path / log, at(1, **HOSTILE), at(2))
    shown = gathered(tmp_path)["http"]
    row = shown["rows"][0]
    assert shown["count"] == 2
    assert row["formula"] == HOSTILE["formula"]
    assert row["markup"] == HOSTILE["markup"]
    assert row["bidi"] == "\\u{202e}gpj.exe"
    assert len(row["long"]) < 1_010
    assert all(text.isprintable() for text in row.values() if isinstance(text, str))


def test_a_list_without_end_is_cut(tmp_path):
    sibling(tmp_path / "dns.json.log", at(1, answers=["x\x1b"] * 5_000))
    (row,) = gathered(tmp_path)["dns"]["rows"]
    assert row["answers"] == ["x\\u{1b}"] * evidence.MOST_ELEMENTS


@pytest.mark.parametrize("number", ["9" * 400, "1_000", "nan", "1e999", "\u0661"])
def test_what_is_no_number_stays_text(number, tmp_path):
    row = at(1, status_code=number)
    sibling(tmp_path / "http.log", row, row | {"ts": number})
    document = gathered(tmp_path)
    assert document["http"]["rows"][0]["status_code"] == number
    assert document["http"]["count"] == 2
    json.dumps(document, allow_nan=False)


def test_many_incidents_share_one_pass_over_the_files(tmp_path, monkeypatch):
    read: list[str] = []
    real = evidence.rows
    monkeypatch.setattr(
        evidence, "rows", lambda p, *how: [read.append(p.name), *real(p, *how)][1:]
    )
    sibling(tmp_path / "dns.log", *(at(n, f"C{n}") for n in range(1, 4)))
    some = [alarm(id=f"{n:016x}", uids=(f"C{n}", "C3")) for n in (1, 2)]
    found = gathered(tmp_path, *some)
    assert sorted(read) == ["conn.log", "dns.log"]
    assert [counts(one) for one in found.values()] == [{"conn": 2, "dns": 2}] * 2


def archive(folder: Path) -> None:
    for hour in range(9):
        name = f"{{}}.{hour:02d}:00:00-{hour + 1:02d}:00:00.log.gz"
        begin = 3600 * hour - 1800
        write_conn(folder / name.format("conn"), [conn(hour, ts=T0 + begin)])
        sibling(folder / name.format("dns"), at(begin, "C1"))


def test_files_of_other_hours_are_not_opened(tmp_path, monkeypatch):
    archive(tmp_path)
    read: list[Path] = []
    monkeypatch.setattr(evidence, "rows", lambda path, *_: read.append(path) or [])
    gathered(tmp_path, alarm(start=T0 + 4 * 3600, end=T0 + 4 * 3600 + 60))
    hours = sorted({path.name.partition(".")[2][:2] for path in read})
    assert hours == ["03", "04", "05"]


def test_a_long_connection_is_followed_to_where_it_began(tmp_path):
    archive(tmp_path)
    long = [conn(1, ts=T0 - 1800, duration=8 * 3600.0)]
    write_conn(tmp_path / "conn.09:00:00-10:00:00.log", long)
    late = T0 + 8 * 3600 - 1800
    assert gathered(tmp_path, alarm(start=late, end=late + 60))["dns"]["count"] == 9


def test_every_stream_has_its_own_last_file(tmp_path):
    for n, stream in enumerate(["logger-1", "logger-2"]):
        name = f"dns.0{3 * n}:00:00-0{3 * n + 1}:00:00-{stream}.log"
        sibling(tmp_path / name, at(10_800 * n))
    late = T0 + 86_400
    assert len(list(spanning(find("dns", [tmp_path]), late, late + 60))) == 2


def test_a_plain_file_and_its_packed_copy_are_read_once(tmp_path):
    for name in ("dns.log", "dns.log.gz"):
        sibling(tmp_path / name, at(1))
    assert gathered(tmp_path)["dns"]["count"] == 1


def test_folders_and_pipes_with_names_of_logs_are_passed_over(tmp_path):
    (tmp_path / "dns.log").mkdir()
    os.mkfifo(tmp_path / "http.log")
    assert find("dns", [tmp_path, tmp_path / "gone"]) == []
    assert find("http", [tmp_path]) == []


def test_only_rows_that_hold_a_wanted_text_are_given(tmp_path):
    path = sibling(tmp_path / "dns.log", at(1, "C1"), at(2, "C2"), at(3, "C12"))
    assert [row["uid"] for row in rows(path, {"C2", ""}, [])] == ["C2"]
    assert list(rows(path, set(), [])) == []


def test_a_live_sensor_looks_into_the_days_around(tmp_path):
    live, kept = tmp_path / "current", tmp_path / "archive"
    for name in ("2024-04-19", "2024-04-20", "2024-04-21", "2024-04-23", "stats"):
        (kept / name).mkdir(parents=True)
    live.mkdir()
    found = folders_around([live], kept, 1_713_682_800, 1_713_682_860)
    assert [path.name for path in found] == [
        "current", "archive", "2024-04-20", "2024-04-21",
    ]  # fmt: skip
    assert folders_around([live, tmp_path / "gone"], None, 0, 60) == [live]


def test_live_evidence_comes_from_where_zeek_writes_and_from_the_archive(tmp_path):
    live, day = tmp_path / "current", tmp_path / "archive" / "2024-04-21"
    write_conn(live / "conn.log", [conn(2, ts=T0 + 40)])
    sibling(live / "dns.log", at(40, "C2"))
    write_conn(day / "conn.06:00:00-07:00:00.log.gz", [conn(1, ts=T0)])
    sibling(day / "dns.06:00:00-07:00:00.log.gz", at(0, "C1"))
    evidence.write_live(tmp_path, [alarm()], [live], tmp_path / "archive")
    document = json.loads((tmp_path / "evidence" / "0123456789abcdef.json").read_text())
    assert counts(document) == {"conn": 2, "dns": 2}


def test_each_incident_gets_a_file_and_old_ones_can_be_cleared(tmp_path):
    write_conn(tmp_path / "conn.log", [conn(1, ts=T0)])
    out = tmp_path / "out"
    out.mkdir()
    evidence.write(out, [alarm(), alarm(id="f" * 16)], find_logs([tmp_path]))
    place = out / "evidence"
    names = ["0123456789abcdef.json", f"{'f' * 16}.json"]
    assert sorted(path.name for path in place.iterdir()) == names
    assert json.loads((place / names[0]).read_text())["conn"]["count"] == 1
    os.utime(place / names[0], (0, 0))
    (place / "notes.json").touch()
    evidence.clear(out, before_s=1.0)
    assert sorted(p.name for p in place.iterdir()) == [names[1], "notes.json"]


@pytest.mark.parametrize("is_link", [True, False])
def test_evidence_that_is_a_link_or_a_file_is_refused_before_anything(
    is_link, tmp_path
):
    out, other = tmp_path / "out", tmp_path / "other"
    for folder in (out, other):
        folder.mkdir()
    kept = write(other / f"{'0' * 16}.json", b"{}")
    if is_link:
        (out / "evidence").symlink_to(other)
    else:
        (out / "evidence").touch()
    with pytest.raises(ConfigError, match="evidence: expected a directory"):
        evidence.clear(out)
    with pytest.raises(ConfigError, match="evidence: expected a directory"):
        evidence.write(out, [alarm()], [])
    assert kept.exists()


def replayed(logs: Path, out: Path, *settings: str) -> set[str]:
    """Replay against the example profile; give the ids of the incidents."""
    profile = Path(__file__).parents[1] / "profiles" / "example-office"
    arguments = ["replay", logs, "--profile", profile, "--out", out, *settings]
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert not stop.value.code
    lines = (out / "alarms.jsonl").read_text().splitlines()
    return {json.loads(line)["id"] for line in lines}


def test_a_replay_writes_the_evidence_of_its_incidents_unless_told_not_to(tmp_path):
    each, out = range(40 * 60), tmp_path / "out"
    write_conn(tmp_path / "conn.log", [conn(n, ts=T0 + n, duration=0.0) for n in each])
    sibling(tmp_path / "dns.log", *(at(n, f"C{n}") for n in each))
    ids = replayed(tmp_path, out)
    files = {path.stem: path for path in (out / "evidence").iterdir()}
    assert ids
    assert set(files) == ids
    for path in files.values():
        document = json.loads(path.read_text())
        uids = document["uids"]["count"]
        assert uids
        assert counts(document) == {"conn": uids, "dns": uids}
    assert replayed(tmp_path, out, "--set", "alarms.evidence_rows=0") == ids
    assert list((out / "evidence").iterdir()) == []


def plain_rows(folder: Path, log: str) -> Iterator[dict[str, str]]:
    """Read TSV logs in the most obvious way."""
    for path in sorted(folder.glob(f"{log}.*")):
        packed = path.suffix == ".gz"
        data = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
        for line in data.decode().split("\n"):
            if line.startswith("#fields"):
                names = line.split("\t")[1:]
            elif line and not line.startswith("#"):
                yield dict(zip(names, line.split("\t"), strict=True))


def naive_count(folder: Path, log: str, uids: set[str]) -> int:
    named = [
        {row.get("uid", "-"), *row.get("conn_uids", "-").split(",")}
        for row in plain_rows(folder, log)
    ]
    return sum(not uids.isdisjoint(some) for some in named)


def span(folder: Path) -> dict:
    ends = [float(row["ts"]) for row in plain_rows(folder, "conn")]
    return {"start": int(min(ends)), "end": int(max(ends))}


@pytest.mark.shared
@pytest.mark.parametrize(
    ("day", "expected"),
    [
        # the index counts 4,794 pairs of a file and a connection: 4,738 files
        ("wed-2009-11-18", "conn 8505 dns 7774 http 4897 files 4738 smtp 21 ssl 139 "
         "ssh 0 notice 788"),
        ("sat-2009-11-21", "conn 2164 dns 2892 http 482 files 613 smtp 0 ssl 7 "
         "ssh 0 notice 28"),
    ],
)  # fmt: skip
def test_every_uid_of_a_real_day_joins_to_its_rows(day, expected, shared_data):
    folder = shared_data / "m57" / "2020-09-23" / day
    uids = {row["uid"] for row in plain_rows(folder, "conn")}
    document = gathered(folder, alarm(uids=tuple(uids), **span(folder)))
    shown = {name: document[name]["count"] for name in evidence.SHOWN}
    assert shown == {n: naive_count(folder, n, uids) for n in evidence.SHOWN}
    assert " ".join(f"{name} {count}" for name, count in shown.items()) == expected
    assert document["problems"] == []


@pytest.mark.shared
def test_incidents_of_a_real_archive_join_as_by_reading_all_of_it(shared_data):
    folder = shared_data / "rita-72h" / "2024-04-21"
    uids = [row["uid"] for row in plain_rows(folder, "conn")]
    stamps = [float(row["ts"]) for row in plain_rows(folder, "conn")]
    some = [
        alarm(id=f"{n:016x}", uids=tuple(uids[n : n + 100]), start=at_, end=at_ + 60)
        for n in range(0, len(uids) - 100, 9_001)
        for at_ in [int(max(stamps[n : n + 100]))]
    ]
    for document in gathered(folder, *some).values():
        mine = set(uids[int(document["id"], 16) :][:100])
        logs = [name for name in evidence.SHOWN if name != "notice"]
        expected = {name: naive_count(folder, name, mine) for name in logs}
        assert {name: document[name]["count"] for name in logs} == expected


@pytest.mark.shared
def test_a_real_scan_notice_is_joined_by_its_hosts(shared_data):
    folder = shared_data / "zeek-live" / "json-iso8601-scan-notice"
    lines = (folder / "conn.log").read_text().splitlines()
    uids = tuple(json.loads(line)["uid"] for line in lines)
    begin = 1795320660  # 2026-11-22 04:11:00 UTC
    found = gathered(folder, alarm(uids=uids, start=begin, end=begin + 60))
    assert found["conn"]["count"] == len(uids)
    assert found["notice"]["rows"][0]["note"] == "Scan::Port_Scan"


def flat(row: dict) -> list:
    lists = [value if isinstance(value, list) else [value] for value in row.values()]
    return [*row] + [item for some in lists for item in some]


@pytest.mark.shared
@pytest.mark.parametrize("log", ["conn", "dns", "http", "files"])
def test_tsv_and_json_of_one_capture_give_the_same_rows(log, shared_data):
    compared = 0
    for capture in (shared_data / "twins").iterdir():
        one, other = (
            [r for f in find(log, [capture / form]) for r in rows(f.path, ["."], [])]
            for form in ("tsv", "json")
        )
        for row, same in zip(one, other, strict=True):
            assert flat(row) == pytest.approx(flat(same), abs=2e-6)
        compared += len(one)
    assert compared > 10
