"""The spine: however the same bytes are read, the alarms are the same bytes."""

import datetime as dt
import json
from pathlib import Path

import pandas as pd
import pytest

from entropy_ids import pipeline
from entropy_ids.alarms.contributors import Seen
from entropy_ids.collector import find_logs
from entropy_ids.config import Config
from entropy_ids.profile.store import Profile
from entropy_ids.reading import Reading, read_series
from entropy_ids.replay import Replayed, replay
from entropy_ids.simulate import schedule, simulate, usual

SMALL = ("training.epochs=2", "detector.hidden=16", "detector.latent=8")
HOURS = "2026-03-04/conn.1[0-5]*"  # the two attacks, and a working day around them
LAST_DAY = int(dt.datetime(2026, 3, 4, tzinfo=dt.UTC).timestamp())


def make_profile(logs: Path, out: Path, *overrides: str, workers: int = 1) -> Profile:
    config = Config.load(overrides=[*SMALL, *overrides], environment={})
    reading = Reading(workers, config["reading.block_kib"] << 10, until=LAST_DAY)
    seen = Seen()
    series, _ = read_series(find_logs([logs]), config, reading, seen=seen)
    trained = pipeline.train(series, seen, config, "office", "lstm-autoencoder")
    trained.profile.write(out)
    return Profile.read(out)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    logs = tmp_path_factory.mktemp("office") / "logs"
    start = dt.date(2026, 3, 2)
    nine = LAST_DAY + 9 * 3600
    plans = [usual("port-scan"), usual("ddos")]
    attacks = schedule(plans, nine, nine + 8 * 3600, seed=4)
    simulate(logs, days=3, start=start, seed=4, attacks=attacks, siblings=False)
    return logs


@pytest.fixture(scope="module")
def profile(office: Path, tmp_path_factory: pytest.TempPathFactory) -> Profile:
    return make_profile(office, tmp_path_factory.mktemp("made") / "profile")


def play(office: Path, profile: Profile, out: Path, reading: Reading) -> Replayed:
    files = find_logs([office / HOURS])
    return replay(files, profile, out, sensor="s", quiet_minutes=5, reading=reading)


@pytest.fixture(scope="module")
def reference(
    office: Path, profile: Profile, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("reference") / "out"
    play(office, profile, out, Reading())
    return out


def zeek_rows(out: Path) -> list[str]:
    lines = (out / "entropy_alarm.log").read_text().splitlines()
    return [line for line in lines if not line.startswith(("#open", "#close"))]


@pytest.mark.parametrize(("block_kib", "workers"), [(48, 1), (64, 4), (8192, 4)])
def test_same_path(
    office: Path,
    profile: Profile,
    reference: Path,
    tmp_path: Path,
    block_kib: int,
    workers: int,
) -> None:
    play(office, profile, tmp_path / "out", Reading(workers, block_kib << 10))
    same = (tmp_path / "out" / "alarms.jsonl").read_bytes()
    assert same == (reference / "alarms.jsonl").read_bytes()
    assert zeek_rows(tmp_path / "out") == zeek_rows(reference)
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "out" / "minutes.parquet"),
        pd.read_parquet(reference / "minutes.parquet"),
        check_exact=True,
    )


def test_the_reference_says_something_worth_comparing(
    office: Path, reference: Path
) -> None:
    alarms = [
        json.loads(line)
        for line in (reference / "alarms.jsonl").read_text().splitlines()
    ]
    labels = pd.read_csv(office / "labels.csv")
    assert len(labels) == 2
    for label in labels.itertuples():
        during = [
            a for a in alarms if a["start"] < label.end and a["end"] > label.start
        ]
        assert {label._3} <= {a["class"] for a in during}
        named = {c["value"] for a in during for c in a["contributors"]}
        assert named & {*label.attackers.split(), *label.victims.split()}
        assert all(a["uids"] for a in during)


def test_a_day_as_plain_json_says_what_it_says_as_packed_tsv(
    office: Path, profile: Profile, reference: Path, tmp_path: Path
) -> None:
    from as_json import as_json

    as_json(sorted(office.glob(HOURS)), tmp_path / "json")
    files = find_logs([tmp_path / "json"])
    replay(
        files, profile, tmp_path / "out", sensor="s", quiet_minutes=5, reading=Reading()
    )
    same = (tmp_path / "out" / "alarms.jsonl").read_bytes()
    assert same == (reference / "alarms.jsonl").read_bytes()


def test_training_twice_with_one_seed_makes_one_hash(
    office: Path, profile: Profile, tmp_path: Path
) -> None:
    again = make_profile(office, tmp_path / "again", "reading.block_kib=512", workers=4)
    assert again.hash == profile.hash


def test_another_seed_makes_another_hash(
    office: Path, profile: Profile, tmp_path: Path
) -> None:
    other = make_profile(office, tmp_path / "other", "training.seed=2")
    assert other.hash != profile.hash


def test_an_alarm_does_not_depend_on_what_comes_after_it(
    office: Path, profile: Profile, reference: Path, tmp_path: Path
) -> None:
    noon = int(dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC).timestamp())
    play(office, profile, tmp_path / "out", Reading(until=noon))
    half = (tmp_path / "out" / "alarms.jsonl").read_bytes()
    assert half
    assert (reference / "alarms.jsonl").read_bytes().startswith(half)
