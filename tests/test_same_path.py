"""The spine: however the same bytes are read, the alarms are the same bytes."""

import datetime as dt
import json
from pathlib import Path

import pandas as pd
import pytest
from office import HOURS, make_profile

from entropy_ids.collector import find_logs
from entropy_ids.profile.store import Profile
from entropy_ids.reading import Reading
from entropy_ids.replay import Replayed, replay


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
