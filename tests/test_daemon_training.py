"""Candidates: when they are trained, how, and what lets one take over."""

import datetime as dt
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from live import config_of, sensor_of
from office import SMALL
from zeek import conn, write_conn

from entropy_ids.alarms import journal as journals
from entropy_ids.config import Config
from entropy_ids.daemon import run as running
from entropy_ids.daemon import store, training
from entropy_ids.daemon.run import Daemon
from entropy_ids.daemon.training import DRIFT_MINUTES, Trainer, drift, use
from entropy_ids.errors import ConfigError, InputError, ProfileError
from entropy_ids.profile.store import Profile
from entropy_ids.simulate import simulate

DAY_S = 86_400
MIDNIGHT = 1_713_657_600
"""2024-04-21 00:00 UTC."""
TINY = ("training.epochs=1", "detector.hidden=8", "detector.latent=4")
GUARDED = "daemon.takeover=guarded"


def later() -> float:
    """Give a time at which logs written just now are in the archive for long."""
    return time.time() + 3600


def archive(root: Path, *hours: int, a_minute: int = 4) -> None:
    """Write hours of logs since `MIDNIGHT` as zeekctl archives them."""
    for hour in hours:
        first = MIDNIGHT + hour * 3600
        rows = [
            conn(n, ts=first + n * 60 / a_minute, resp_p=n % 7, duration=0.5)
            for n in range(60 * a_minute)
        ]
        name = f"conn.{hour % 24:02}:00:00-{(hour + 1) % 24:02}:00:00.log.gz"
        write_conn(root / "archive" / f"2024-04-{21 + hour // 24}" / name, rows)


def journal(config: Config) -> list[dict]:
    return journals.read(store.state(config) / store.JOURNAL)


def actions(config: Config) -> list[str]:
    return [row["action"] for row in journal(config)]


def until(holds: Callable[[], object], most_s: float = 60) -> None:
    """Wait for something."""
    end = time.monotonic() + most_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


# ------------------------------------------------------------------------------- when


@pytest.mark.parametrize(
    ("hours", "ripe"), [((0, 23), False), ((0, 24), True), ((), 0)]
)
def test_a_sensor_is_ripe_with_days_enough_of_logs(tmp_path, hours, ripe):
    config = config_of(tmp_path, None, "daemon.learn_days=1")
    archive(tmp_path, *hours, a_minute=2)
    trainer = Trainer(config, lambda: False, later)
    assert bool(trainer.due(sensor_of(config))) == ripe


def test_logs_that_have_just_changed_may_be_half_packed_and_are_left_out(tmp_path):
    config = config_of(tmp_path, None, "daemon.learn_days=1")
    archive(tmp_path, 0, 24)
    sensor = sensor_of(config)
    assert Trainer(config, lambda: False, time.time).due(sensor) is None
    assert Trainer(config, lambda: False, later).due(sensor)


def test_training_is_due_at_most_once_a_day(tmp_path):
    config = config_of(tmp_path, None, "daemon.learn_days=1")
    archive(tmp_path, 0, 24)
    now = later()
    trainer, sensor = Trainer(config, lambda: False, lambda: now), sensor_of(config)
    assert trainer.due(sensor)
    now += DAY_S - 1
    assert trainer.due(sensor) is None
    now += 1
    assert trainer.due(sensor)


@pytest.mark.parametrize(("takeover", "due"), [("manual", False), ("guarded", True)])
def test_only_a_candidate_that_waits_for_a_person_keeps_others_away(
    tmp_path, example, takeover, due
):
    config = config_of(
        tmp_path, None, "daemon.learn_days=1", f"daemon.takeover={takeover}"
    )
    archive(tmp_path, 0, 24)
    keep(config, example)
    assert bool(Trainer(config, lambda: False, later).due(sensor_of(config))) == due


@pytest.fixture(scope="module")
def example() -> Profile:
    return Profile.read(Path(__file__).parents[1] / "profiles" / "example-office")


def keep(config: Config, profile: Profile) -> str:
    """Put a profile beside the sensor's others."""
    fresh = store.profiles(config, "s") / "fresh"
    digest = profile.write(fresh)
    fresh.rename(fresh.with_name(digest))
    return digest


def other(profile: Profile, **bounds: float) -> Profile:
    """Give a profile with another threshold, its bounds moved by so much."""
    manifest = {**profile.manifest, "threshold": 9.0}
    moved = profile.bounds.assign(
        **{k: profile.bounds[k] + v for k, v in bounds.items()}
    )
    return replace(profile, manifest=manifest, bounds=moved)


@pytest.mark.parametrize(
    ("level", "minutes", "drifts"),
    [(0.79, DRIFT_MINUTES, 0), (0.81, DRIFT_MINUTES, 1), (0.81, DRIFT_MINUTES - 1, 0)],
)
def test_drift_is_half_a_day_of_scores_above_most_of_the_trainings(
    tmp_path, example, level, minutes, drifts
):
    config = config_of(tmp_path, None)
    sensor = sensor_of(config)
    trained = example.series["score"].dropna()
    sensor.tally.recent = [float(np.quantile(trained, level))] * minutes
    assert bool(drift(sensor, example)) == drifts


def test_scores_by_the_profile_before_are_no_drift_of_the_new_one(tmp_path, example):
    config = config_of(tmp_path, None)
    made = keep(config, example)
    sensor = sensor_of(config)
    sensor.tally.recent = [1e9] * DRIFT_MINUTES
    sensor.use(made)
    assert drift(sensor, example) is None


def test_the_calendar_of_trainings_is_in_the_sites_own_time(tmp_path, monkeypatch):
    config = config_of(
        tmp_path, None, "daemon.retrain=0 3 * * sun", "site.timezone=Asia/Tokyo"
    )
    jobs = []

    class Scheduler(running.BackgroundScheduler):
        def add_job(self, what, *where, **how):
            jobs.append((what, where, how))
            return super().add_job(what, *where, **how)

    monkeypatch.setattr(running, "BackgroundScheduler", Scheduler)
    daemon = Daemon(config)
    daemon.stop.set()
    daemon.run()
    (trigger,) = (where[0] for what, where, _ in jobs if what == daemon._train_all)
    assert str(trigger.timezone) == "Asia/Tokyo"
    assert {how["executor"] for what, _, how in jobs if "train" in str(what)} == {
        "training"
    }


# -------------------------------------------------------------------- the real process


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Daemon, int]:
    """Give a daemon that has trained a candidate, and how often it polled meanwhile."""
    root = tmp_path_factory.mktemp("trained")
    config = config_of(root, None, *TINY)
    archive(root, 0, 1, 2)
    daemon, polls = Daemon(config, later), 0
    work = threading.Thread(target=daemon._train_all)
    work.start()
    while work.is_alive():
        daemon.poll()
        polls += 1
        time.sleep(0.05)
    return daemon, polls


def test_a_candidate_lies_with_the_sensors_profiles_and_reads_back(trained):
    daemon, _ = trained
    (made,) = store.known(daemon.config, "s")
    manifest = store.profile(daemon.config, "s", made).manifest
    assert manifest["sensor"] == "s"
    assert manifest["settings"]["detector.hidden"] == 8


def test_why_it_was_trained_and_what_came_of_it_are_journalled(trained):
    daemon, _ = trained
    (made,) = store.known(daemon.config, "s")
    train, candidate = journal(daemon.config)[-2:]
    assert (train["action"], train["why"]) == ("train", "by the calendar")
    assert (candidate["action"], candidate["hash"]) == ("candidate", made)
    assert candidate["verdict"] == f"waits for: entropy-ids profile use {made}"


def test_the_daemon_polls_while_training_runs(trained):
    assert trained[1] > 10


def test_nothing_but_the_candidate_is_left(trained):
    directory = store.directory(trained[0].config, "s")
    assert {p.name for p in directory.iterdir()} <= {"profiles", "checkpoint"}
    assert len(list((directory / "profiles").iterdir())) == 1


def test_the_end_of_the_daemon_ends_the_training_and_leaves_nothing(
    tmp_path, monkeypatch
):
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *order, **how):
            super().__init__(*order, **how)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    config = config_of(tmp_path, None)
    archive(tmp_path, *range(6))
    daemon = Daemon(config, later)
    work = threading.Thread(target=daemon._train_all)
    work.start()
    until(lambda: started and os.getpriority(os.PRIO_PROCESS, started[0].pid) == 10)
    daemon.stop.set()
    work.join(10)
    assert started[0].returncode == -signal.SIGTERM
    assert list(store.directory(config, "s").iterdir()) == []
    assert actions(config) == ["start", "train"]


def test_a_training_that_fails_is_journalled_with_what_it_said(tmp_path):
    config = config_of(tmp_path, None)
    archive(tmp_path, 0)
    daemon = Daemon(config, later)
    (tmp_path / "site.toml").write_text("[judging]\nkk = 1\n")
    daemon._train_all()
    *_, told = journal(config)
    assert told["action"] == "untrained"
    assert told["detail"].startswith("train: expected exit code 0, found 2: entropy-id")
    assert "expected a known setting, found judging.kk" in told["detail"]
    assert store.known(config, "s") == []


def test_without_rotated_logs_training_says_where_it_looked(tmp_path):
    config = config_of(tmp_path, None)
    trainer = Trainer(config, lambda: False, later)
    with pytest.raises(InputError, match="name the sensor's archive_dir"):
        trainer.train(config.sensors[0], None)


@pytest.mark.slow
@pytest.mark.parametrize("networks", ["[]", '["10.0.0.0/8", "203.0.113.0/24"]'])
def test_attacks_that_are_injected_into_the_last_day_are_found(tmp_path, networks):
    more = (*SMALL, "training.epochs=3", GUARDED, f"site.local_networks={networks}")
    config = config_of(tmp_path, None, *more)
    start = dt.date(2026, 3, 2)
    simulate(tmp_path / "archive", days=3, start=start, seed=4, siblings=False)
    found = Trainer(config, lambda: False, later).train(config.sensors[0], None)
    assert (found.injected, found.verdict) == (10, "takes over")


# ------------------------------------------------------------------------- the guards


class Commands:
    """Stands in for the commands: trains ``made``, finds so many attacks."""

    def __init__(self, patch, made: Profile, found: int = 10, injected: int = 10):
        self.made, self.asked = made, []
        self.told = f'{{"profiles": {{"p": {{"all": {{"found": {found}, '
        self.told += f'"attacks": {injected}}}}}}}}}'
        patch.setattr(Trainer, "_command", lambda _, *order: self.run(*order))

    def run(self, name: str, *arguments: str) -> None:
        self.asked.append(name)
        option = {"train": "--profile", "evaluate": "--json"}.get(name)
        if option is None:
            return
        path = Path(arguments[arguments.index(option) + 1])
        if name == "train":
            self.made.write(path)
        else:
            path.write_text(self.told)


def candidate(root: Path, current: Profile | None, *more: str) -> training.Candidate:
    config = config_of(root, None, *more)
    archive(root, 0)
    return Trainer(config, lambda: False, later).train(config.sensors[0], current)


def test_a_guarded_candidate_is_taken_when_little_moved_and_attacks_are_found(
    tmp_path, monkeypatch, example
):
    Commands(monkeypatch, other(example), found=8)
    found = candidate(tmp_path, example, GUARDED)
    assert (found.taken, found.verdict) == (True, "takes over")
    assert (found.moved, found.found, found.injected) == (0.0, 8, 10)


@pytest.mark.parametrize(
    ("bounds", "found", "injected", "why"),
    [
        (
            {"high": 1e6},
            10,
            10,
            "expected at most 20% of the bounds to move by their s",
        ),
        ({"low": -1e6}, 10, 10, "found 100%"),
        ({}, 7, 10, "found 7 of 10"),
        ({}, 0, 0, "found 0 of 0"),
    ],
)
def test_a_guarded_candidate_that_fails_a_guard_is_not_taken_and_says_why(
    tmp_path, monkeypatch, example, bounds, found, injected, why
):
    Commands(monkeypatch, other(example, **bounds), found, injected)
    judged = candidate(tmp_path, example, GUARDED)
    assert not judged.taken
    assert why in judged.verdict


def test_a_first_guarded_candidate_is_held_against_attacks_too(
    tmp_path, monkeypatch, example
):
    Commands(monkeypatch, example, found=0)
    found = candidate(tmp_path, None, GUARDED)
    assert (found.taken, found.moved) == (False, None)


def test_a_guarded_candidate_is_not_taken_when_attacks_cannot_be_injected(
    tmp_path, monkeypatch, example
):
    made = Commands(monkeypatch, other(example))

    def refuse(_, name, *arguments):
        if name == "simulate":
            raise InputError("expected room")
        made.run(name, *arguments)

    monkeypatch.setattr(Trainer, "_command", refuse)
    found = candidate(tmp_path, example, GUARDED)
    assert (found.taken, found.verdict) == (False, "self-test: expected room")


def test_by_default_a_candidate_waits_whatever_moved_and_nothing_is_injected(
    tmp_path, monkeypatch, example
):
    made = Commands(monkeypatch, other(example))
    found = candidate(tmp_path, example)
    assert not found.taken
    assert found.verdict == f"waits for: entropy-ids profile use {found.hash}"
    assert made.asked == ["train"]


def test_a_candidate_that_is_the_profile_in_use_takes_nothing_over(
    tmp_path, monkeypatch, example
):
    made = Commands(monkeypatch, example)
    found = candidate(tmp_path, example, GUARDED)
    assert (found.taken, found.verdict) == (False, "the same as the one in use")
    assert made.asked == ["train"]


def test_what_is_taken_is_on_duty_from_the_next_beat_on(tmp_path, monkeypatch, example):
    Commands(monkeypatch, example)
    config = config_of(tmp_path, None, GUARDED)
    archive(tmp_path, 0)
    daemon = Daemon(config, later)
    daemon._train_all()
    daemon.beat()
    assert actions(config) == ["start", "train", "candidate", "profile"]
    assert journal(config)[-1]["hash"] == example.hash
    assert store.asked(config, "s") is None


def test_what_is_refused_is_not_asked_for(tmp_path, monkeypatch, example):
    Commands(monkeypatch, example, found=3)
    config = config_of(tmp_path, None, GUARDED)
    archive(tmp_path, 0)
    daemon = Daemon(config, later)
    daemon._train_all()
    daemon.beat()
    assert actions(config) == ["start", "train", "candidate"]
    assert "found 3 of 10" in journal(config)[-1]["verdict"]


# ------------------------------------------------------------------------ profile use


def test_a_profile_is_asked_for_by_how_its_hash_begins(tmp_path, example):
    config = config_of(tmp_path, None)
    made = keep(config, example)
    assert use(config, None, made[:6]) == made == store.asked(config, "s")


def test_a_profile_that_is_not_known_or_not_clear_is_refused(tmp_path, example):
    config = config_of(tmp_path, None)
    with pytest.raises(ProfileError, match="no profile yet"):
        use(config, None, "ab")
    keep(config, example)
    keep(config, other(example))
    with pytest.raises(ConfigError, match="found 2 that begin with"):
        use(config, None, "")
