"""Attacks laid over existing logs: old lines stay, new ones stand where Zeek would."""

import csv
import datetime as dt
import gzip
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from zeek import COLUMNS, T0, conn, json_rows, read_conn, tsv, write

from entropy_ids.cli import main
from entropy_ids.collector import find_logs
from entropy_ids.errors import ConfigError, InputError
from entropy_ids.simulate import (
    DAY_S,
    Injection,
    Placed,
    inject,
    midnight,
    schedule,
    simulate,
    span,
    usual,
)

DAY = dt.date(2026, 3, 6)
NAMES = ("port-scan", "ddos-amplification", "brute-force", "point-to-multipoint")


def lines(path: Path) -> list[bytes]:
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == ".gz" else data
    return data.split(b"\n")


def lie_in_order(some: list[bytes], all_lines: list[bytes]) -> bool:
    rest = iter(all_lines)
    return all(line in rest for line in some)


def frame_of(files: list[Path]) -> pl.DataFrame:
    parsed = [read_conn(file) for file in files]
    assert not [row for part in parsed for row in part.bad]
    return pl.concat([part.flows.frame for part in parsed])


def uids(files: list[Path]) -> list[str]:
    return frame_of(files)["uid"].to_list()


@pytest.fixture(scope="module")
def placed() -> list[Placed]:
    begin = midnight(DAY)
    plans = [usual(name, intensity=0.3) for name in NAMES]
    return schedule(plans, begin, begin + DAY_S, seed=3)


@pytest.fixture(scope="module")
def archives(tmp_path_factory, placed) -> dict[str, list[Path]]:
    """Generate the same day without attacks and with them, and lay them over it."""
    out = tmp_path_factory.mktemp("archives")
    how = {"days": 1, "start": DAY, "seed": 2, "volume": 0.3, "siblings": False}
    quiet = simulate(out / "quiet", **how)
    befallen = simulate(out / "befallen", attacks=placed, **how)
    laid = inject(find_logs([out / "quiet"]), placed, out / "laid")
    return {"quiet": quiet.files, "befallen": befallen.files, "laid": laid.files}


def test_files_keep_their_names_and_old_lines_their_bytes_and_order(archives):
    for old, new in zip(archives["quiet"], archives["laid"], strict=True):
        assert old.name == new.name
        assert lie_in_order(lines(old), lines(new))


def test_a_file_that_no_attack_falls_into_is_the_same_to_the_byte(archives):
    same = [
        old.read_bytes() == new.read_bytes()
        for old, new in zip(archives["quiet"], archives["laid"], strict=True)
    ]
    assert 8 < sum(same) < 24


def test_the_collector_reads_the_old_rows_and_the_attacks(archives, placed):
    attacks = [uid for attack in placed for uid in attack.logs["conn"]["uid"]]
    expected = sorted([*uids(archives["quiet"]), *attacks])
    assert sorted(uids(archives["laid"])) == expected


def test_laid_over_or_generated_with_it_lines_are_the_same(archives):
    laid, befallen = (
        sorted(line for file in archives[name] for line in lines(file))
        for name in ("laid", "befallen")
    )
    assert laid == befallen


def test_attack_rows_stand_within_seconds_of_where_zeek_writes_them(archives, placed):
    ends, laid = (
        frame_of(archives[name]).select(
            "uid",
            end=(pl.col("ts") + pl.col("duration").fill_null(pl.duration())).cum_max(),
        )
        for name in ("befallen", "laid")
    )
    attacks = pl.concat([attack.logs["conn"].select("uid") for attack in placed])
    both = attacks.join(ends, on="uid").join(laid, on="uid", suffix="_laid")
    apart = (both["end"] - both["end_laid"]).dt.total_microseconds().abs() / 1e6
    assert len(both) == len(attacks)
    assert apart.quantile(0.99) < 3.0
    assert apart.max() < 20.0


def test_labels_are_written_beside(tmp_path, archives, placed):
    laid = inject(find_logs(archives["quiet"]), placed, tmp_path)
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [p.label.name for p in placed]
    assert laid.added == sum(len(p.logs["conn"]) for p in placed)
    assert (laid.lost, len(laid.files)) == (0, 24)


def test_it_is_the_same_again(tmp_path, archives, placed):
    again = inject(find_logs(archives["quiet"]), placed, tmp_path)
    assert [f.read_bytes() for f in again.files] == [
        f.read_bytes() for f in archives["laid"]
    ]


def lay(
    tmp_path: Path, data: bytes, attacks: list[Placed], name: str = "conn.log"
) -> Injection:
    log = write(tmp_path / "in" / name, data)
    return inject(find_logs([log]), attacks, tmp_path / "out")


def hour(*values: dict) -> list[dict]:
    """Give an hour of rows, one each ten seconds, then others in their place."""
    rows = [dict(conn(n, ts=T0 + 10.0 * n)) for n in range(360)]
    for row in values:
        rows[row.pop("at")] |= row
    return rows


def guesses() -> Placed:
    """Give ten minutes of guessed logins, 100 of them, within the hour."""
    return usual("brute-force", intensity=1 / 6).place(T0 + 1200.25, 1)


def new_rows(out: Injection) -> pl.DataFrame:
    return frame_of(out.files).filter(pl.col("id.orig_h").str.starts_with("198.19."))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("conn.log", tsv(hour())),
        ("conn.log.gz", tsv(hour())),
        ("conn.log.zst", tsv(hour())),
        ("conn.log", json_rows(hour())),
        ("conn.log", json_rows(hour()).rstrip(b"\n")),
        ("conn.log", tsv(hour(), separator=",", unset="NA")),
        ("conn.log", tsv(hour(), ("_node_name", *COLUMNS[:19], "vlan"))),
    ],
)
def test_attacks_are_spelled_as_the_file_is(tmp_path, name, data):
    attack = guesses()
    out = lay(tmp_path, data, [attack], name)
    assert len(frame_of(out.files)) == 360 + 100
    got = new_rows(out).sort("ts")
    want = attack.logs["conn"].sort("ts")
    assert (got["ts"].dt.epoch("us") - (want["ts"] * 1e6).round()).abs().max() == 0
    for column in ("uid", "id.resp_p", "orig_bytes", "conn_state", "service"):
        assert got[column].to_list() == want[column].to_list()


def test_packed_files_stay_packed(tmp_path):
    out = lay(tmp_path, tsv(hour()), [guesses()], "conn.log.zst")
    assert out.files[0].name == "conn.log.gz"
    assert out.files[0].read_bytes()[:2] == b"\x1f\x8b"


@pytest.mark.parametrize("style", ["%Y-%m-%dT%H:%M:%S.%fZ", None])
def test_times_are_written_in_the_style_of_the_file(tmp_path, style):
    rows = hour()
    for row in rows:
        when = dt.datetime.fromtimestamp(row["ts"], dt.UTC)
        row["ts"] = when.strftime(style) if style else int(row["ts"] * 1000)
    out = lay(tmp_path, json_rows(rows), [guesses()])
    first = new_rows(out)["ts"].dt.epoch("ms").min()
    assert abs(first - guesses().logs["conn"]["ts"].min() * 1000) <= 1
    kinds = {type(json.loads(line)["ts"]) for line in lines(out.files[0])[:-1]}
    assert kinds == {str if style else int}


def test_flat_keys_stay_flat(tmp_path):
    rows = [{k.replace(".", "_"): v for k, v in row.items()} for row in hour()]
    out = lay(tmp_path, json_rows(rows), [guesses()])
    written = [json.loads(line) for line in lines(out.files[0])[:-1]]
    assert len(written) == 460
    assert all("id_orig_h" in row and "id.orig_h" not in row for row in written)


@pytest.mark.parametrize("known", [True, False])
def test_local_flags_are_set_only_where_the_file_sets_them(tmp_path, known):
    rows = hour()
    for row in rows if not known else []:
        row["local_orig"] = row["local_resp"] = None
    out = lay(tmp_path, tsv(rows), [guesses()])
    assert set(new_rows(out)["local_resp"]) == {True if known else None}


def test_rows_stand_before_the_closing_line_and_after_the_header(tmp_path):
    data = tsv(hour()) + b"#close\t2024-04-21-08-00-00\n"
    out = lay(tmp_path, data, [guesses()])
    written = lines(out.files[0])
    assert written[:8] == data.split(b"\n")[:8]
    assert written[-2:] == [b"#close\t2024-04-21-08-00-00", b""]


def test_one_row_from_the_future_moves_nothing(tmp_path):
    bogus = {"at": 60, "ts": T0 + 1e6}
    attack = guesses()
    rows = frame_of(lay(tmp_path, tsv(hour(bogus)), [attack]).files)
    theirs = rows["id.orig_h"].str.starts_with("198.19.").to_numpy()
    assert 118 <= np.flatnonzero(theirs)[0] <= 122


def test_a_header_in_the_middle_changes_the_columns_of_later_rows(tmp_path):
    other = COLUMNS[1:] + COLUMNS[:1]
    data = tsv(hour()[:150]) + tsv(hour()[150:], other)
    out = lay(tmp_path, data, [guesses()])
    assert len(frame_of(out.files)) == 460
    assert new_rows(out)["id.resp_p"].to_list() == [22] * 100


def test_each_logger_writes_its_share_of_an_attack(tmp_path):
    names = (
        "conn.07:00:00-08:00:00-logger-1.log",
        "conn.07:00:00-08:00:00-logger-2.log",
    )
    for turn, name in enumerate(names):
        write(tmp_path / "in" / name, tsv(hour()[turn::2]))
    out = inject(find_logs([tmp_path / "in"]), [guesses()], tmp_path / "out")
    assert [len(read_conn(file).flows) for file in out.files] == [230, 230]
    assert len(new_rows(out)) == 100


def test_an_outage_takes_rows_away_and_leaves_the_others_as_they_are(tmp_path):
    outage = usual("outage").place(T0 + 1200.0, 1)
    out = lay(tmp_path, tsv(hour()), [outage])
    old, new = tsv(hour()).split(b"\n"), lines(out.files[0])
    assert lie_in_order(new, old)
    assert len(old) - len(new) == out.lost
    assert 65 < out.lost <= 90
    ts = frame_of(out.files)["ts"].dt.epoch("s") - T0
    assert ts.is_between(0, 1199).sum() == 120
    assert ts.is_between(2100, 3600).sum() == 150


def test_rows_between_two_files_follow_the_earlier(tmp_path):
    for part in (0, 1):
        rows = hour()[part * 180 : part * 180 + 180]
        write(
            tmp_path / "in" / f"conn.0{7 + part}:00:00-0{8 + part}:00:00.log", tsv(rows)
        )
    attack = usual("dos", intensity=0.01).place(T0 + 1700.0, 1)
    out = inject(find_logs([tmp_path / "in"]), [attack], tmp_path / "out")
    rows = frame_of(out.files)
    late = (rows["ts"].dt.epoch("s").cum_max() - rows["ts"].dt.epoch("s")).max()
    assert late <= 10
    assert len(new_rows(out)) == 36


def test_the_span_of_logs_is_that_of_writing(tmp_path):
    log = write(tmp_path / "conn.log", tsv(hour()))
    first, last = span(find_logs([log]))
    assert first == pytest.approx(T0 + 7, abs=180)
    assert last == pytest.approx(T0 + 3597, abs=180)


def test_an_attack_outside_the_logs_or_over_another_is_refused(tmp_path):
    late = usual("dos").place(T0 + 3600.0, 1)
    with pytest.raises(
        ConfigError, match=r"expected attacks between .* place it within"
    ):
        lay(tmp_path, tsv(hour()), [late])
    with pytest.raises(ConfigError, match="one attack after another"):
        lay(tmp_path, tsv(hour()), [guesses(), guesses()])
    assert not (tmp_path / "out").exists()


def test_logs_without_rows_are_refused(tmp_path):
    with pytest.raises(InputError, match="expected conn logs with rows"):
        lay(tmp_path, tsv([]), [guesses()])


def test_a_directory_in_use_is_refused(tmp_path):
    write(tmp_path / "out" / "mine.txt", b"mine")
    with pytest.raises(ConfigError, match="expected a new or empty directory"):
        lay(tmp_path, tsv(hour()), [guesses()])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def test_the_command_lays_captures_over_logs_and_renames_them(tmp_path, archives):
    lab = write(tmp_path / "lab" / "conn.log", tsv([conn(1, orig_h="10.98.66.6")]))
    told = {"class": "vertical_scan", "attackers": ["10.98.66.6"], "victims": []}
    (lab.parent / "label.json").write_text(json.dumps(told))
    code = run(
        "simulate", tmp_path / "out", "--over", archives["quiet"][0].parent,
        "--captures", lab.parent, "--scale", 1, "--scale", 0.1,
        "--rename", "198.19.66.6=192.0.2.9",
    )  # fmt: skip
    assert code == 0
    with (tmp_path / "out" / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["attackers"] for row in rows} == {"192.0.2.9"}
    assert {row["scale"] for row in rows} == {"1", "0.1"}


def test_the_command_places_every_class_and_writes_json(tmp_path, capsys):
    assert run("simulate", tmp_path / "out", "--days", 1, "--attacks", "--json") == 0
    assert "12 attacks" in capsys.readouterr().out
    first = next((tmp_path / "out").glob("*/conn.10*.log.gz"))
    assert json.loads(lines(first)[0])["uid"].startswith("C")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--captures", "nowhere"], 3, "expected captures"),
        (["--attacks", "--rename", "10.0.0.1"], 2, "expected FROM=TO"),
        (["--over", "nowhere"], 3, "expected a conn log"),
        (["--set", "site.timezone=Moon"], 2, "IANA time zone"),
        (["--start", "today"], 2, "expected a date"),
    ],
)
def test_what_cannot_be_laid_is_said_in_one_sentence(
    arguments, code, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert run("simulate", "out", "--days", 1, *arguments) == code
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_days_too_few_for_all_captures_are_refused(tmp_path, capsys):
    for number in range(25):
        lab = tmp_path / "lab" / str(number)
        write(lab / "conn.log", tsv([conn(1, orig_h="10.98.66.6")]))
        told = {"class": "worm", "attackers": ["10.98.66.6"], "victims": []}
        (lab / "label.json").write_text(json.dumps(told))
    asked = ("--days", 1, "--captures", tmp_path / "lab")
    assert run("simulate", tmp_path / "out", *asked) == 2
    assert "at least 30 hours to place 25 attacks" in capsys.readouterr().err


@pytest.mark.shared
def test_real_logs_keep_every_line(tmp_path, shared_data):
    logs = find_logs([shared_data / "rita-72h" / "2024-04-20"])
    attacks = schedule([usual("port-scan"), usual("worm")], *span(logs), seed=1)
    out = inject(logs, attacks, tmp_path / "out")
    for log, file in zip(logs, out.files, strict=True):
        assert lie_in_order(lines(log.path), lines(file))
    assert (
        len(frame_of(out.files))
        == len(frame_of([log.path for log in logs])) + out.added
    )
