"""The daemon's sensors: beside a Zeek that rotates, archives, stops and restarts."""

import json
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fake_zeek import SECOND_US, Timed
from live import (
    LOSSES,
    Kills,
    Lives,
    assert_same,
    config_of,
    left_in,
    lines_in,
    lines_of,
    minutes_in,
    read_all,
    remarks_in,
    replayed,
    replayed_by_command,
    sensor_of,
    zeek_of,
)
from reenact import RUNS, reenact
from zeek import conn, tsv_rows

from entropy_ids.alarms import journal as journals
from entropy_ids.cli import main
from entropy_ids.collector import find_logs
from entropy_ids.config import Config
from entropy_ids.daemon import store
from entropy_ids.daemon.run import Daemon
from entropy_ids.daemon.sensor import Sensor
from entropy_ids.profile.store import Profile
from entropy_ids.reading import Reading, measure_of, read_series

MINUTE_US = 60 * SECOND_US


@pytest.fixture(scope="module")
def rows(office: Path) -> list[Timed]:
    return list(lines_of(sorted(office.glob("2026-03-04/conn.1[0-2]*"))))


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


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
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


SCENES = {
    "incident": (["2026-03-04/conn.10*"], "2026-03-04T10:36Z"),
    "midnight": (
        ["2026-03-03/conn.23*", "2026-03-04/conn.00*"],
        "2026-03-03T23:57Z",
    ),
}
"""Logs, and from when on kills are frequent."""
SCENE_MINUTES = 10


def play_scene(
    root: Path,
    profile_dir: Path,
    scene: tuple[list[Path], str],
    kills: Kills,
    lefts: Callable[[], Iterable[int]],
) -> Sensor:
    """Play an hour; in a part of it each minute is tried with kills after ``lefts``."""
    logs, begin = scene
    config, rows = config_of(root, profile_dir), lines_of(logs)
    zeek = zeek_of(root, rows[0][0], flush_rows=0)
    begin_us = int(pd.Timestamp(begin).timestamp()) * SECOND_US
    lives = Lives(kills, lambda: sensor_of(config, zeek.now), read_all)
    zeek.play(rows, zeek.now_us + SECOND_US)
    lives.go_on()
    for number in range(SCENE_MINUTES):
        zeek.play(rows, begin_us + number * MINUTE_US)
        zeek.archive()
        lives.go_on(lefts())
    return lives.one


def of(scene: str, office: Path) -> tuple[list[Path], str]:
    names, begin = SCENES[scene]
    return [path for name in names for path in office.glob(name)], begin


@pytest.mark.parametrize("scene", SCENES)
def test_kills_at_file_operations_change_no_byte(
    tmp_path: Path,
    profile: Profile,
    profile_dir: Path,
    office: Path,
    monkeypatch: pytest.MonkeyPatch,
    scene: str,
) -> None:
    draw = random.Random(5)
    kills = Kills(monkeypatch, draw)
    sensor = play_scene(
        tmp_path, profile_dir, of(scene, office), kills, lambda: [draw.randrange(12)]
    )
    assert kills.done >= SCENE_MINUTES / 2
    assert_same(tmp_path / "alarms", replayed(tmp_path, sensor, profile))
    assert not remarks_in(tmp_path / "alarms") & LOSSES


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
def test_a_kill_at_every_file_operation_changes_no_byte(
    tmp_path: Path,
    profile: Profile,
    profile_dir: Path,
    office: Path,
    monkeypatch: pytest.MonkeyPatch,
    scene: str,
) -> None:
    kills = Kills(monkeypatch, random.Random(6))
    sensor = play_scene(tmp_path, profile_dir, of(scene, office), kills, count)
    assert kills.done > 80
    assert_same(tmp_path / "alarms", replayed(tmp_path, sensor, profile))
    assert not remarks_in(tmp_path / "alarms") & LOSSES


class Watching:
    """A daemon in this process that watches the hour with the scan."""

    def __init__(self, root: Path, profile_dir: Path | None, office: Path) -> None:
        self.config = config_of(root, profile_dir)
        self._rows = lines_of(sorted(office.glob("2026-03-04/conn.10*")))
        self.zeek = zeek_of(root, self._rows[0][0], flush_rows=0)
        self.daemon = Daemon(self.config, self.zeek.now)

    def play(self, time: str) -> None:
        """Let Zeek write up to a time."""
        until_us = int(pd.Timestamp(f"2026-03-04T{time}Z").timestamp()) * SECOND_US
        self.zeek.play(self._rows, until_us)

    def lives(self, patch: pytest.MonkeyPatch) -> Lives:
        def live(daemon: Daemon) -> None:
            daemon.poll()
            daemon.beat()
            assert not daemon.blocked

        kills = Kills(patch, random.Random(9))
        return Lives(kills, lambda: Daemon(self.config, self.zeek.now), live)

    def offer(self, candidate: Profile, fresh: Path) -> str:
        """Put a profile beside the sensor's others, and give its hash."""
        candidate.write(fresh)
        return store.adopt(self.config, "s", fresh)


@pytest.mark.parametrize(
    "kill_after", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in range(24))]
)
def test_a_profile_that_takes_over_and_goes_back_does_so_in_the_replay(
    tmp_path: Path,
    profile: Profile,
    profile_dir: Path,
    office: Path,
    monkeypatch: pytest.MonkeyPatch,
    kill_after: int,
) -> None:
    watching = Watching(tmp_path, profile_dir, office)
    lives = watching.lives(monkeypatch)
    candidate = replace(profile, manifest={**profile.manifest, "threshold": 5.0})
    other = watching.offer(candidate, tmp_path / "fresh")
    for time, wanted in (("10:39", other), ("10:42", profile.hash)):
        watching.play(time)
        lives.go_on()
        store.ask(watching.config, "s", wanted)
        lives.go_on([kill_after])
    watching.play("10:59")
    lives.go_on()
    minutes = decided(watching.config)
    assert minutes == {other: "10:38", profile.hash: "10:41"}
    sensor = lives.one.sensors["s"]
    again = replayed_by_command(tmp_path, profile_dir, sensor.assembler.next_open)
    assert_same(tmp_path / "alarms", again)
    assert {alarm["profile"]["hash"] for alarm in alarms_in(again)} == set(minutes)


def decided(config: Config) -> dict[str, str]:
    """Give the minutes at which profiles took over, by their hashes."""
    rows = journals.read(store.state(config) / store.JOURNAL)
    return {
        row["hash"]: f"{datetime.fromtimestamp(row['minute'], UTC):%H:%M}"
        for row in rows
        if row["action"] == "profile"
    }


def alarms_in(alarms: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines_in(alarms, "alarms.jsonl")]


def test_a_first_profile_ends_the_learning_and_does_so_in_the_replay(
    tmp_path: Path,
    profile: Profile,
    profile_dir: Path,
    office: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watching = Watching(tmp_path, None, office)
    lives = watching.lives(monkeypatch)
    watching.play("10:03")
    lives.go_on()
    assert lives.one.status.sensors[0].state == "learning"
    found = watching.offer(profile, tmp_path / "fresh")
    store.ask(watching.config, "s", found)
    lives.go_on([2])
    watching.play("10:59")
    lives.go_on()
    assert lives.one.status.sensors[0].alarms["port-scan"] == 1
    next_open = lives.one.sensors["s"].assembler.next_open
    again = replayed_by_command(tmp_path, profile_dir, next_open)
    assert_same(tmp_path / "alarms", again)


def test_without_a_profile_minutes_are_written_and_no_alarm_is_raised(
    tmp_path: Path, office: Path
) -> None:
    watching = Watching(tmp_path, None, office)
    watching.play("10:59")
    watching.daemon.poll()
    table = minutes_in(tmp_path / "alarms")
    assert len(table) >= 58
    assert table["score"].isna().all()
    assert not lines_in(tmp_path / "alarms", "alarms.jsonl")


@pytest.mark.parametrize(
    ("networks", "wanted", "said"),
    [
        ([], "ffff", "found ffff; see: entropy-ids status"),
        (["10.0.0.0/8"], "", "expected site.local_networks = [] as now"),
    ],
)
def test_profile_use_refuses_what_the_daemon_could_not_take(
    tmp_path: Path,
    profile: Profile,
    profile_dir: Path,
    office: Path,
    capsys: pytest.CaptureFixture[str],
    networks: list[str],
    wanted: str,
    said: str,
) -> None:
    watching = Watching(tmp_path, profile_dir, office)
    settings = {**profile.manifest["settings"], "site.local_networks": networks}
    candidate = replace(profile, manifest={**profile.manifest, "settings": settings})
    found = watching.offer(candidate, tmp_path / "fresh")
    config = str(watching.config.file)
    with pytest.raises(SystemExit) as ended:
        main(["profile", "use", wanted or found, "--config", config])
    assert ended.value.code
    assert said in " ".join(capsys.readouterr().err.split())
    assert store.asked(watching.config, "s") is None


@pytest.mark.shared
@pytest.mark.parametrize("every", [1.0, 0.2])
@pytest.mark.parametrize("run", RUNS)
def test_a_real_run_is_measured_as_its_files_are_afterwards(
    run: str, every: float, shared_data: Path, tmp_path: Path
) -> None:
    draw, folders = random.Random(4), (tmp_path / "spool/current", tmp_path / "archive")
    config = config_of(tmp_path, None)
    steps = reenact(shared_data / "zeek-live" / run, *folders)
    next(what for what in steps if "conn.log" in what and not what.startswith("open"))
    sensor = sensor_of(config)
    sensor.poll()
    for _ in steps:
        if draw.random() < every:
            sensor.poll()
        if draw.random() < 0.1:
            sensor = sensor_of(config)
    read_all(sensor)
    logs = find_logs(left_in(tmp_path))
    logs.sort(key=lambda log: (log.path.name == "conn.log", log.path.name))
    series, assembler = read_series(logs, config, Reading())
    measured = measured_by(sensor)
    assert sensor.assembler.account == assembler.account
    assert assembler.account.balanced
    pd.testing.assert_frame_equal(
        measured, series.values, check_exact=True, check_freq=False
    )


def measured_by(sensor: Sensor) -> pd.DataFrame:
    """Give the entropies of the minutes written, and of those that are open."""
    measure = measure_of(sensor.config)
    names = [column.name for column in measure.columns]
    done = [minutes_in(sensor.alarms)] if sensor.tally.minutes else []
    tables = [table.set_index("minute")[names] for table in done]
    rest = [measure(minutes).values for minutes in sensor.assembler.finish()]
    return pd.concat([*tables, *rest])


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
    table = minutes_in(tmp_path / "alarms")
    assert (table["flows"].iloc[1:] == 3).all()
    assert table["minute"].diff().iloc[1:].eq(pd.Timedelta("1min")).all()


def line(start_us: int, number: int) -> bytes:
    ts = start_us / SECOND_US + number * 20 + 0.5
    return tsv_rows([conn(number, ts=ts, duration=1.0)])
