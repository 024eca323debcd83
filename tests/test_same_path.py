"""The spine: however the same bytes are read, the alarms are the same bytes."""

import datetime as dt
import json
import random
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest
from fake_zeek import SECOND_US
from live import (
    LOGGERS,
    Kills,
    Lives,
    Pair,
    assert_same,
    config_of,
    lines_of,
    read_all,
    replayed,
    sensor_of,
)
from office import HOURS, make_profile

from entropy_ids.alarms import journal as journals
from entropy_ids.collector import find_logs
from entropy_ids.daemon import store
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


@pytest.mark.parametrize(("block_kib", "workers"), [(112, 1), (160, 4), (8192, 4)])
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


@pytest.mark.slow
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


SCAN = "2026-03-04/conn.10*"
SCAN_US = int(dt.datetime(2026, 3, 4, 10, tzinfo=dt.UTC).timestamp()) * SECOND_US
MINUTE_US = 60 * SECOND_US


KINDS = ("lstm-autoencoder", "flow-language-model")


@pytest.mark.parametrize("kind", KINDS)
def test_same_path_of_two_loggers_that_are_never_level(
    office: Path, profile_dir: Path, tmp_path: Path, kind: str
) -> None:
    if kind != KINDS[0]:
        profile_dir = tmp_path / "p"
        often = (
            "threshold.alarms_per_day=0",
            "threshold.top_percent=30",
            "training.pass_sequences=1000",
        )
        make_profile(office / "2026-03-02", profile_dir, *often, kind=kind)
    profile = Profile.read(profile_dir)
    draw = random.Random(3)
    config = config_of(tmp_path, profile_dir, loggers=LOGGERS)
    pair = Pair(tmp_path, lines_of(sorted(office.glob(SCAN))), draw)
    sensor = sensor_of(config)
    while any(pair.hands):
        one = draw.randrange(2)
        far_us = draw.choice((1, 60, 600)) * SECOND_US
        pair.play(pair.zeeks[one].now_us + far_us, one)
        pending = pair.zeeks[one].pending
        for _ in range(min(len(pending), draw.randint(0, 3))):
            pending.popleft()()
        if draw.random() < 0.2:
            sensor = sensor_of(config)
        sensor.poll()
    pair.end()
    read_all(sensor)
    assert sensor.tally.incidents
    assert_same(tmp_path / "alarms", replayed(tmp_path, sensor, profile))


def fall_silent(
    pair: Pair, lives: Lives, wall: list[float], kills_after: list[int]
) -> None:
    """Let the second logger pause from 10:32 to 10:55, and the first go on."""

    def go_on(minute: int, *numbers: int, kills_after: Iterable[int] = ()) -> None:
        pair.play(SCAN_US + minute * MINUTE_US, *numbers)
        wall[0] = minute * 60.0
        lives.go_on(kills_after)

    for minute in (1, 32):
        go_on(minute, 0, 1)
    for minute in (33, 40, 41):  # it has been behind for over six minutes at 40
        go_on(minute, 0, kills_after=kills_after)
    for minute in (49, 55):  # or here, when the journal's line was cut short
        go_on(minute, 0)
    go_on(56, 1, kills_after=kills_after)
    go_on(58, 0, 1)
    pair.end()
    lives.go_on()


KILLED_AFTER = [[1], *(pytest.param([n], marks=pytest.mark.slow) for n in range(18))]


@pytest.mark.parametrize("kills_after", KILLED_AFTER)
def test_a_logger_that_is_dropped_and_returns_is_so_in_the_replay(
    office: Path,
    profile: Profile,
    profile_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kills_after: list[int],
) -> None:
    draw, wall = random.Random(8), [0.0]
    config = config_of(tmp_path, profile_dir, loggers=LOGGERS)
    pair = Pair(tmp_path, lines_of(sorted(office.glob(SCAN))), draw)
    kills = Kills(monkeypatch, draw)
    lives = Lives(kills, lambda: sensor_of(config, lambda: wall[0]), read_all)
    fall_silent(pair, lives, wall, kills_after)
    rows = journals.read(store.state(config) / store.JOURNAL)
    actions = [row["action"] for row in rows]
    assert actions == ["start", "drop-stream", "return-stream"]
    assert kills.done and lives.one.tally.incidents
    assert_same(tmp_path / "alarms", replayed(tmp_path, lives.one, profile))
