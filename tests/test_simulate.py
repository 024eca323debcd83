"""The generated site: reproducible, written as Zeek writes, with an office's rhythm."""

import datetime as dt
import gzip
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from entropy_ids.errors import ConfigError
from entropy_ids.simulate import Simulation, midnight, schedule, simulate, usual
from entropy_ids.simulate.logs import LOGS

FRIDAY, SATURDAY = dt.date(2026, 3, 6), dt.date(2026, 3, 7)
COLUMNS = (
    "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes "
    "resp_bytes conn_state local_orig local_resp missed_bytes history orig_pkts "
    "orig_ip_bytes resp_pkts resp_ip_bytes tunnel_parents"
).split()

#: Every combination was seen in real logs (M57 2009, RITA 2024, lab attacks).
SEEN_IN_REAL_LOGS = {
    "udp SF": {"Dd"},
    "udp S0": {"D"},
    "icmp OTH": {None},
    "tcp SF": {"ShADadFf", "ShADadfF", "ShADadtFf", "ShAdDaFf", "ShAdDafF"},
    "tcp RSTO": {"ShADadR", "ShAdDaFR", "ShR"},
    "tcp RSTR": {"ShADadr"},
    "tcp S1": {"ShADad"},
    "tcp S0": {"S"},
    "tcp REJ": {"Sr", "SrR"},
}


def run(out: Path, start: dt.date = FRIDAY, days: int = 2, seed: int = 5) -> Simulation:
    """Two attacks befall the Saturday."""
    saturday = midnight(SATURDAY)
    plans = [usual("port-scan"), usual("ddos")]
    placed = schedule(plans, saturday, saturday + 86_400, seed=5)
    return simulate(out, days=days, start=start, seed=seed, attacks=placed)


def read(file: Path) -> pl.DataFrame:
    return pl.read_csv(
        gzip.decompress(file.read_bytes()),
        separator="\t",
        comment_prefix="#",
        quote_char=None,
        has_header=False,
        null_values="-",
        new_columns=COLUMNS,
        infer_schema_length=None,
        schema_overrides={"column_8": pl.String, "column_21": pl.String},
    )


def conn_files(made: Simulation) -> list[Path]:
    return sorted(file for file in made.files if file.name.startswith("conn."))


def bytes_by_name(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def zeek_writes_at(rows: pl.DataFrame) -> np.ndarray:
    """Zeek's own timers, row by row: the slow twin (to +/- 0.5 s)."""
    after = {"tcp": 5.5, "udp": 60.0, "icmp": 60.0}
    columns = rows.select("ts", "duration", "proto", "service", "conn_state")
    moments = []
    for ts, duration, proto, service, state in columns.iter_rows():
        linger = 10.5 if (proto, service) == ("udp", "dns") else after[proto]
        linger = 300.0 if (proto, state) == ("tcp", "S1") else linger
        moments.append(ts + (duration or 0.0) + linger)
    return np.array(moments)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def made(archive: Path) -> Simulation:
    """A Friday and a Saturday; the attacks lie on the Saturday."""
    return run(archive)


@pytest.fixture(scope="module")
def rows(made: Simulation) -> pl.DataFrame:
    return pl.concat([read(file) for file in conn_files(made)])


def per_minute(rows: pl.DataFrame, day: dt.date, first: int, last: int) -> np.ndarray:
    """Flows that begin in each minute of the hours ``first`` to ``last``."""
    midnight = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp()
    edges = midnight + 60.0 * np.arange(first * 60, last * 60 + 1)
    return np.histogram(rows["ts"], edges)[0]


def test_same_seed_gives_the_same_bytes(archive, made, tmp_path):
    run(tmp_path)
    assert bytes_by_name(tmp_path) == bytes_by_name(archive)


def test_another_seed_gives_other_hosts_and_flows(made, tmp_path):
    other = run(tmp_path, start=SATURDAY, days=1, seed=6)
    ours, theirs = (read(conn_files(each)[-24]) for each in (made, other))
    assert not set(ours["uid"]) & set(theirs["uid"])
    assert set(ours["id.resp_h"]) != set(theirs["id.resp_h"])


def test_a_day_alone_has_the_bytes_it_has_in_a_longer_run(archive, made, tmp_path):
    run(tmp_path, start=SATURDAY, days=1)
    longer = bytes_by_name(archive)
    assert len(bytes_by_name(tmp_path)) == 6 * 24 + 1
    assert all(longer[name] == data for name, data in bytes_by_name(tmp_path).items())


def test_archive_is_laid_out_as_zeekctl_does(archive, made):
    files = conn_files(made)
    names = [file.relative_to(archive).as_posix() for file in files]
    assert len(names) == 48
    assert names[0] == "2026-03-06/conn.00:00:00-01:00:00.log.gz"
    assert names[47] == "2026-03-07/conn.23:00:00-00:00:00.log.gz"
    assert {file.name.split(".")[0] for file in made.files} == set(LOGS)


def test_header_close_and_column_count_are_those_of_zeek(made):
    lines = gzip.decompress(conn_files(made)[9].read_bytes()).decode().split("\n")
    assert lines[:5] == [
        "#separator \\x09",
        "#set_separator\t,",
        "#empty_field\t(empty)",
        "#unset_field\t-",
        "#path\tconn",
    ]
    assert re.fullmatch(r"#open\t2026-03-06-09-00-0\d", lines[5])
    assert lines[6].split("\t") == ["#fields", *COLUMNS]
    assert lines[7].startswith("#types\ttime\tstring\taddr\tport\taddr\tport\tenum")
    assert lines[-2:] == ["#close\t2026-03-06-10-00-00", ""]
    assert {line.count("\t") for line in lines[6:-2]} == {20, 21}
    assert {line.count("\t") for line in lines[8:-2]} == {20}


def test_numbers_are_written_as_zeek_writes_them(made):
    lines = gzip.decompress(conn_files(made)[9].read_bytes()).decode().split("\n")[8:-2]
    fields = [line.split("\t") for line in lines]
    assert all(re.fullmatch(r"\d{10}\.\d{6}", f[0]) for f in fields)
    assert all(re.fullmatch(r"-|\d+\.\d{6}", f[8]) for f in fields)
    assert all(re.fullmatch(r"-|\d+", n) for f in fields for n in f[9:11] + f[16:20])


def test_each_file_holds_only_what_zeek_writes_in_its_hour(made):
    for file in conn_files(made):
        hour = dt.datetime.strptime(
            f"{file.parent.name} {file.name[5:7]} +0000", "%Y-%m-%d %H %z"
        ).timestamp()
        written = zeek_writes_at(read(file))
        assert written.min() >= hour - 0.51
        assert written.max() <= hour + 3600.51


def test_rows_stand_in_the_order_of_writing_not_of_beginning(rows):
    written = zeek_writes_at(rows)
    assert (np.maximum.accumulate(written) - written).max() <= 1.01
    end = rows["ts"] + rows["duration"].fill_null(0.0)
    behind = np.maximum.accumulate(end.to_numpy()) - rows["ts"].to_numpy()
    assert (np.diff(rows["ts"]) < 0).mean() > 0.1
    assert np.quantile(behind, 0.9) > 5.0
    assert behind.max() > 300.0


def test_rows_counted_are_rows_written_and_uids_are_unique(made, rows):
    assert made.rows == len(rows) == rows["uid"].n_unique()
    assert rows["uid"].str.contains("^C[0-9A-Za-z]{17}$").all()


def test_volume_follows_the_week_of_an_office(rows):
    night = per_minute(rows, FRIDAY, 0, 5)
    noon = per_minute(rows, FRIDAY, 10, 12)
    weekend = per_minute(rows, SATURDAY, 8, 10)
    assert 20 < night.mean() < 32
    assert 120 < noon.mean() < 180
    assert night.mean() < weekend.mean() < noon.mean() / 2


def test_counts_vary_more_than_poisson(rows):
    noon = per_minute(rows, FRIDAY, 10, 12)
    assert noon.var() > 2 * noon.mean()
    assert noon.std() < 0.4 * noon.mean()


def test_state_and_history_occur_together_in_real_logs(rows):
    for proto, state, history in (
        rows.select("proto", "conn_state", "history").unique().iter_rows()
    ):
        assert history in SEEN_IN_REAL_LOGS[f"{proto} {state}"]


def test_a_single_packet_leaves_duration_and_bytes_unset(rows):
    single = (pl.col("orig_pkts") + pl.col("resp_pkts")) == 1
    unset = pl.col("duration", "orig_bytes", "resp_bytes").is_null()
    assert rows.filter(single).select(unset.all()).row(0) == (True, True, True)
    assert rows.filter(~single).select(unset.any()).row(0) == (False, False, False)
    assert 0.01 < rows["duration"].null_count() / len(rows) < 0.2


def test_bytes_packets_and_service_agree_with_the_history(rows):
    payload = rows.filter(pl.col("orig_bytes") > 0)
    assert (payload["orig_ip_bytes"] > payload["orig_bytes"]).all()
    assert (payload["orig_pkts"] > 0).all()
    silent = rows.filter(pl.col("conn_state") == "S0")
    assert silent["resp_pkts"].sum() == silent["resp_ip_bytes"].sum() == 0
    without_data = rows.filter(pl.col("history").is_in(["S", "Sr", "SrR", "ShR"]))
    assert without_data["service"].null_count() == len(without_data)


def test_local_flags_follow_the_address_plan(rows):
    inside = rows["id.orig_h"].str.contains(r"^(?:10\.20|203\.0\.113)\.")
    assert (inside == (rows["local_orig"] == "T")).all()
    directions = set(rows.select("local_orig", "local_resp").unique().iter_rows())
    assert directions == {("T", "F"), ("F", "T"), ("T", "T")}


def test_labels_say_where_the_attacks_lie(archive, made, rows):
    labels = pl.read_csv(archive / "labels.csv", try_parse_dates=True)
    assert labels["class"].to_list() == [label.attack_class for label in made.labels]
    for label in labels.iter_rows(named=True):
        inside = pl.col("ts").is_between(
            label["start"].timestamp(), label["end"].timestamp()
        )
        hit = rows.filter(inside & (pl.col("id.resp_h") == label["victims"]))
        assert label["start"].date() == SATURDAY
        assert len(hit) > 1000


def test_without_attacks_labels_hold_only_the_header(tmp_path):
    steps = []
    simulate(
        tmp_path,
        days=1,
        start=SATURDAY,
        seed=5,
        siblings=False,
        progress=lambda done, days: steps.append((done, days)),
    )
    assert steps == [(1, 1)]
    labels = (tmp_path / "labels.csv").read_text()
    assert labels == "start,end,class,attackers,victims,name,scale\n"


@pytest.mark.parametrize(("name", "value"), [("days", 0), ("days", -3), ("seed", -1)])
def test_numbers_too_small_are_refused(tmp_path, name, value):
    with pytest.raises(ConfigError, match=f"expected {name} .* found {value}"):
        run(tmp_path, **{name: value})


def test_a_directory_in_use_is_refused_and_left_alone(tmp_path):
    kept = tmp_path / "kept.txt"
    kept.write_text("mine")
    for out in (tmp_path, kept):
        with pytest.raises(ConfigError, match="expected a new or empty directory"):
            run(out)
    assert bytes_by_name(tmp_path) == {"kept.txt": b"mine"}
