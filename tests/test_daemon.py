"""The daemon's sensors: beside a Zeek that rotates, archives, stops and restarts."""

import random
from collections import deque
from pathlib import Path

import pandas as pd
import pytest
from fake_zeek import SECOND_US, Timed
from live import config_of, lines_of, read_all, sensor_of, zeek_of
from office import HOURS
from zeek import conn, tsv_rows

from entropy_ids.alarms import journal as journals
from entropy_ids.collector import find_logs
from entropy_ids.daemon import store
from entropy_ids.daemon.sensor import Sensor
from entropy_ids.decisions import Decisions
from entropy_ids.profile.store import Profile
from entropy_ids.reading import Reading
from entropy_ids.replay import replay

MINUTE_US = 60 * SECOND_US


@pytest.fixture(scope="module")
def rows(office: Path) -> list[Timed]:
    return list(lines_of(sorted(office.glob(HOURS))))


def replayed(root: Path, sensor: Sensor, profile: Profile) -> Path:
    """Replay what the archive and the spool now hold, with the journal."""
    out = root / "replayed"
    logs = find_logs([root / "archive", *root.glob("spool/*/conn.log")])
    path = store.state(sensor.config) / store.JOURNAL
    replay(
        logs,
        profile,
        out,
        sensor="s",
        quiet_minutes=5,
        reading=Reading(until=sensor.assembler.next_open),
        decided=Decisions.of(journals.read(path), "s").decided(lambda _: profile),
    )
    return out


def assert_same(live: Path, again: Path) -> None:
    assert (live / "alarms.jsonl").read_bytes() == (again / "alarms.jsonl").read_bytes()
    tables = [pd.read_parquet(out / "minutes.parquet") for out in (live, again)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def live_history(
    root: Path, profile_dir: Path, rows: list[Timed], seed: int, **how: object
) -> Sensor:
    """Let a Zeek write all rows, and a sensor read them, killed now and then."""
    draw = random.Random(seed)
    config = config_of(root, profile_dir)
    waiting = deque(rows)
    zeek = zeek_of(root, waiting[0][0], flush_rows=0, **how)
    sensor = sensor_of(config, zeek.now)
    while waiting:
        zeek.play(waiting, zeek.now_us + draw.choice((1, 60, 60, 1800)) * SECOND_US)
        for _ in range(min(len(zeek.pending), draw.randint(0, 3))):
            zeek.pending.popleft()()
        if draw.random() < 0.15:
            sensor = sensor_of(config, zeek.now)
        sensor.poll()
    zeek.archive()
    read_all(sensor)
    sensor.save()
    return sensor


@pytest.mark.parametrize("seed", [1, 2])
def test_same_path_of_the_daemon_through_rotations_and_kills(
    tmp_path: Path,
    profile: Profile,
    profile_dir: Path,
    rows: list[Timed],
    seed: int,
) -> None:
    sensor = live_history(tmp_path, profile_dir, rows, seed)
    assert sensor.tally.incidents >= 2
    assert_same(tmp_path / "alarms", replayed(tmp_path, sensor, profile))


@pytest.mark.parametrize("rotations", [1, 3, 30])
def test_a_pause_over_rotations_that_are_packed_meanwhile_loses_nothing(
    tmp_path: Path, rotations: int
) -> None:
    config = config_of(tmp_path, None)
    start_us = 1_772_582_400 * SECOND_US
    zeek = zeek_of(tmp_path, start_us)
    waiting = deque(
        (start_us + n * 20 * SECOND_US, line(start_us, n))
        for n in range((rotations + 2) * 180)
    )
    written = len(waiting)
    zeek.play(waiting, start_us + 1800 * SECOND_US)
    sensor = sensor_of(config, zeek.now)
    read_all(sensor)
    zeek.play(waiting, start_us + (rotations * 3600 + 1800) * SECOND_US)
    zeek.archive()
    sensor = sensor_of(config, zeek.now)
    read_all(sensor)
    zeek.play(waiting, start_us + 10**6 * SECOND_US)
    read_all(sensor)
    assert sensor.assembler.account.rows == written
    assert sensor.assembler.account.balanced
    table = minutes_of(tmp_path)
    assert (table["flows"].iloc[1:] == 3).all()
    assert table["minute"].diff().iloc[1:].eq(pd.Timedelta("1min")).all()


def line(start_us: int, number: int) -> bytes:
    ts = start_us / SECOND_US + number * 20 + 0.5
    return tsv_rows([conn(number, ts=ts, duration=1.0)])


def minutes_of(root: Path) -> pd.DataFrame:
    """Give all days' tables of minutes, as one."""
    paths = sorted(
        (root / "alarms").glob("minutes*.parquet"), key=lambda p: len(p.name)
    )
    days = [pd.read_parquet(path) for path in paths]
    return pd.concat(days).sort_values("minute").reset_index(drop=True)
