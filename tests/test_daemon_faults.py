"""The daemon through faults: logs, disks and checkpoints that fail, and come back."""

import errno
import json
import os
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest
from days import START, Full, closed, grow, kinds, page, rows, settle, two_of
from fake_zeek import SECOND_US
from live import config_of, minutes_in, zeek_of
from zeek import header, tsv_rows, write

from entropy_ids.alarms import journal as journals
from entropy_ids.daemon import run as running
from entropy_ids.daemon import store
from entropy_ids.daemon.run import Daemon
from entropy_ids.errors import StateError


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try at once what was blocked."""
    monkeypatch.setattr(running, "RETRY_S", 0)


# logs


def test_a_log_directory_that_vanishes_is_told_of_once_and_nothing_is_lost(tmp_path):
    config = config_of(tmp_path, None)
    grow(tmp_path, 0, 10)
    daemon = Daemon(config)
    assert settle(daemon).problems == ()
    spool = tmp_path / "spool"
    spool.rename(tmp_path / "away")
    (problem,) = settle(daemon).problems
    assert str(spool / "current") in problem
    assert kinds(tmp_path / "alarms") == ["unreadable"]
    (tmp_path / "away").rename(spool)
    grow(tmp_path, 10, 20)
    assert settle(daemon).problems == ()
    assert closed(tmp_path) == list(range(19))


def test_a_directory_that_cannot_be_read_is_counted_in_metrics(tmp_path):
    config = config_of(tmp_path, None)
    link = tmp_path / "spool/current"
    link.parent.mkdir()
    link.symlink_to("current")
    daemon = Daemon(config)
    assert "symbolic links" in settle(daemon).problems[0]
    assert 'entropy_ids_problems{sensor="s"} ' in page(daemon)
    link.unlink()
    grow(tmp_path, 0, 5)
    assert settle(daemon).rows == 300


def test_a_pipe_in_the_place_of_the_log_does_not_hang(tmp_path):
    config = config_of(tmp_path, None)
    (tmp_path / "spool/current").mkdir(parents=True)
    os.mkfifo(tmp_path / "spool/current/conn.log")
    daemon = Daemon(config)
    assert "conn.log" in settle(daemon).problems[0]
    (tmp_path / "spool/current/conn.log").unlink()
    grow(tmp_path, 0, 5)
    assert settle(daemon).rows == 300


def test_a_file_that_is_no_conn_log_is_remarked_and_the_next_one_read(tmp_path):
    config = config_of(tmp_path, None)
    live = tmp_path / "spool/current/conn.log"
    write(live, b"#fields\tts\tuid\n1.5\tC1\n" * 9)
    daemon = Daemon(config)
    settle(daemon)
    assert set(kinds(tmp_path / "alarms")) == {"fields-changed"}
    live.unlink()
    grow(tmp_path, 0, 5)
    assert settle(daemon).rows == 300


def test_files_of_loggers_that_nobody_reads_are_a_problem(tmp_path):
    config = config_of(tmp_path, None, loggers=("logger-1",))
    for name in ("logger-1", "logger-2"):
        log = f"archive/2026-03-04/conn.00:00:00-01:00:00-{name}.log"
        write(tmp_path / log, header() + tsv_rows(rows(0, 60)))
    grow(tmp_path, 60, 70, "logger-1")
    daemon = Daemon(config)
    found = settle(daemon)
    assert "found some of logger-2;" in found.problems[0]
    assert kinds(tmp_path / "alarms") == ["logger-unread"]


def test_lost_packets_are_remarked_upon_and_shown(tmp_path):
    config = config_of(tmp_path, None)
    folder = grow(tmp_path, 0, 5).parent
    loss = {"ts": START + 60, "peer": "zeek", "acks": 900, "percent_lost": 4.5}
    write(folder / "capture_loss.log", json.dumps(loss).encode() + b"\n")
    daemon = Daemon(config)
    daemon.beat()
    assert settle(daemon).loss_percent == 4.5
    assert kinds(tmp_path / "alarms") == ["packet-loss"]


# disks


@pytest.mark.parametrize("places", [("state",), ("alarms",), ("state", "alarms")])
def test_a_full_disk_blocks_and_nothing_is_lost_when_there_is_space_again(
    tmp_path, monkeypatch, places
):
    config = config_of(tmp_path, None)
    grow(tmp_path, 0, 10)
    daemon = Daemon(config)
    settle(daemon)
    checkpoint = tmp_path / "state/sensors/s/checkpoint"
    before = checkpoint.read_bytes()
    full = Full(monkeypatch)
    full.roots = tuple(tmp_path / place for place in places)
    grow(tmp_path, 10, 20)
    found = settle(daemon)
    daemon.close()
    assert (found.state, checkpoint.read_bytes()) == ("blocked", before)
    assert "No space left" in found.problems[0]
    full.roots = ()
    assert settle(daemon).state == "learning"
    assert closed(tmp_path) == list(range(19))
    assert kinds(tmp_path / "alarms") == ["disk-full"]


def test_what_one_sensor_cannot_write_does_not_stop_another(tmp_path, monkeypatch):
    config = two_of(tmp_path)
    full = Full(monkeypatch)
    daemon = Daemon(config)
    full.roots = (tmp_path / "alarms/one",)
    settle(daemon)
    states = {sensor.name: sensor.state for sensor in daemon.status.sensors}
    assert states == {"one": "blocked", "two": "learning"}
    assert len(minutes_in(tmp_path / "alarms/two")) == 4


def test_an_error_that_nobody_thought_of_stops_its_sensor_alone(tmp_path, monkeypatch):
    daemon = Daemon(two_of(tmp_path))
    broken = daemon.sensors["one"].followers[""]
    monkeypatch.setattr(broken, "poll", lambda most: 1 / 0)
    monkeypatch.setattr(running, "RETRY_S", 60)
    settle(daemon)
    one, two = daemon.status.sensors
    assert (one.state, two.state) == ("blocked", "learning")
    assert "ZeroDivisionError" in one.problems[0]


def test_a_disk_that_lost_what_was_written_ends_the_daemon(tmp_path, monkeypatch):
    config = config_of(tmp_path, None)
    grow(tmp_path, 0, 10)
    daemon = Daemon(config)
    Full(monkeypatch, errno.EIO).roots = (tmp_path / "alarms",)
    with pytest.raises(OSError, match="Input/output error"):
        daemon.run()
    assert not (tmp_path / "state/sensors/s/checkpoint").exists()


# checkpoints


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_of_a_damaged_checkpoint_the_copy_before_is_taken_and_remarked(tmp_path):
    config = config_of(tmp_path, None)
    for last in (5, 10):
        grow(tmp_path, last - 5, last)
        settle(Daemon(config))
    damage(tmp_path / "state/sensors/s/checkpoint")
    grow(tmp_path, 10, 15)
    settle(Daemon(config))
    assert kinds(tmp_path / "alarms") == ["state-damaged"]
    assert closed(tmp_path) == list(range(14))


def test_when_no_copy_is_whole_the_archive_is_read_again(tmp_path):
    config = config_of(tmp_path, None)
    zeek = zeek_of(tmp_path, START * SECOND_US)
    waiting = deque(
        (int(row["ts"] + 1) * SECOND_US, tsv_rows([row])) for row in rows(0, 600)
    )
    daemon = Daemon(config)
    for hour in range(10):
        zeek.play(waiting, (START + 3600 * hour + 300) * SECOND_US)
        zeek.archive()
        settle(daemon)
    daemon.beat()
    before = closed(tmp_path)
    for copy in (tmp_path / "state/sensors/s").glob("checkpoint*"):
        damage(copy)
    Daemon(config)  # killed before it read anything
    zeek.play(waiting, (START + 36_000) * SECOND_US)
    daemon = Daemon(config)
    daemon.beat()
    assert settle(daemon).rows == 3600 * 4  # three hours, to the file's beginning
    assert before == list(range(before[-1] + 1))
    assert closed(tmp_path) == list(range(599))
    assert kinds(tmp_path / "alarms") == ["state-damaged"]
    journal = journals.read(tmp_path / "state" / store.JOURNAL)
    assert [row["action"] for row in journal] == ["start", "rebuild", "start"]


def test_without_a_heartbeat_the_logs_are_read_from_their_oldest_on(tmp_path):
    config = config_of(tmp_path, None)
    grow(tmp_path, 0, 10)
    settle(Daemon(config))
    for copy in (tmp_path / "state/sensors/s").glob("checkpoint*"):
        damage(copy)
    assert settle(Daemon(config)).rows == 600
    assert closed(tmp_path) == list(range(9))


def test_a_checkpoint_of_a_newer_version_is_refused_and_stays(tmp_path, monkeypatch):
    config = config_of(tmp_path, None)
    grow(tmp_path, 0, 10)
    with monkeypatch.context() as newer:
        newer.setattr("entropy_ids.daemon.checkpoint.FORMAT", 99)
        settle(Daemon(config))
    before = (tmp_path / "state/sensors/s/checkpoint").read_bytes()
    with pytest.raises(StateError, match="a newer version wrote it"):
        Daemon(config)
    assert (tmp_path / "state/sensors/s/checkpoint").read_bytes() == before


@pytest.mark.slow
def test_a_disk_that_is_really_full_blocks_until_there_is_space(tmp_path):
    command = ["unshare", "-Urm", sys.executable, "-c", FULL, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=120)
    if b"unshare failed" in ended.stderr:
        pytest.skip("Namespaces are not allowed here.")
    assert ended.returncode == 0, ended.stderr.decode()


FULL = f"""
import subprocess, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_daemon_faults as own
from entropy_ids.daemon import run as running
root = Path(sys.argv[1])
running.RETRY_S = 0
mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(root)]
subprocess.run(mount, check=True)
config = own.config_of(root, None)
own.grow(root, 0, 10)
daemon = own.Daemon(config)
own.settle(daemon)
checkpoint = root / "state/sensors/s/checkpoint"
before = checkpoint.read_bytes()
own.grow(root, 10, 20)
filler = root / "filler"
with filler.open("wb", buffering=0) as file:
    try:
        while file.write(b"x" * 4096):
            pass
    except OSError:
        pass
found = own.settle(daemon)
assert found.state == "blocked", found
assert checkpoint.read_bytes() == before
filler.unlink()
assert own.settle(daemon).state == "learning"
assert own.closed(root) == list(range(19))
assert own.kinds(root / "alarms") == ["disk-full"]
"""
