"""The daemon as an operator meets it: settings, signals, and what it tells."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from days import START, changed, closed, grow, kinds, page, rows, settle, two_of
from live import config_of
from zeek import tsv_rows

from entropy_ids.alarms import journal as journals
from entropy_ids.alarms.outputs import HEARTBEAT
from entropy_ids.cli import main
from entropy_ids.daemon import run as running
from entropy_ids.daemon import status, store
from entropy_ids.daemon.lock import exclusive
from entropy_ids.daemon.run import Daemon
from entropy_ids.errors import ConfigError


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave pytest its log and its signals."""
    monkeypatch.setattr(running.systemd, "log_to_stderr", lambda: None)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


# settings


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_setting_that_cannot_be_used_is_named_before_anything_is_touched(
    tmp_path, capsys
):
    file = str(config_of(tmp_path, None).file)
    assert exit_code("run", "--config", file, "--set", "daemon.poll_s=0") == 2
    assert "daemon.poll_s" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["site.toml"]


def test_a_profile_that_does_not_fit_is_refused_before_anything_is_touched(
    tmp_path, profile_dir, capsys
):
    file = str(config_of(tmp_path, profile_dir).file)
    assert exit_code("run", "--config", file, "--set", "judging.k=1.75") == 4
    assert "judging.k" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["site.toml"]


def test_a_second_daemon_on_the_same_state_ends_within_a_second(tmp_path):
    config = config_of(tmp_path, None)
    begun = time.monotonic()
    with (
        exclusive(store.state(config)),
        pytest.raises(ConfigError, match="found another"),
    ):
        running.run(config)
    assert time.monotonic() - begun < 1


def test_quiet_minutes_changed_over_a_restart_are_journalled(tmp_path):
    grow(tmp_path, 0, 10)
    settle(Daemon(config_of(tmp_path, None)))
    settle(Daemon(config_of(tmp_path, None, "incidents.quiet_minutes=9")))
    settle(Daemon(config_of(tmp_path, None, "incidents.quiet_minutes=9")))
    rows = journals.read(tmp_path / "state" / store.JOURNAL)
    told = [(row["minute"], row["quiet_minutes"]) for row in rows[1:]]
    assert told == [(START + 9 * 60, 9)]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("poll_s = 0.05", "poll_s = 'x'", "daemon.poll_s"),
        ("poll_s = 0.05", "poll_s = 2", "daemon.poll_s: expected 0.05"),
        ("/state", "/elsewhere", "state.dir: expected"),
        ("[[sensor]]", "[[sensor]]\nprofile = '/nowhere'", "/nowhere"),
        ("spool/current", "spool/one', 'spool/two", "log_dirs"),
    ],
)
def test_a_configuration_that_cannot_be_used_changes_nothing(tmp_path, old, new, found):
    config = config_of(tmp_path, None)
    grow(tmp_path, 0, 10)
    daemon = Daemon(config)
    settle(daemon)
    changed(config, old, new)
    grow(tmp_path, 10, 20)
    daemon.reload.set()
    settle(daemon)
    assert found in daemon.status.problems[0]
    assert closed(tmp_path) == list(range(19))
    assert kinds(tmp_path / "alarms") == []
    changed(config, new, old)
    daemon.reload.set()
    settle(daemon)
    assert daemon.status.problems == ()


def test_a_good_configuration_takes_over_without_losing_a_row(tmp_path):
    config = config_of(tmp_path, None)
    grow(tmp_path, 0, 10)
    daemon = Daemon(config)
    settle(daemon)
    grow(tmp_path, 10, 20)
    changed(config, "[daemon]", "[incidents]\nquiet_minutes = 9\n[daemon]")
    daemon.reload.set()
    assert settle(daemon).rows == 1200
    assert closed(tmp_path) == list(range(19))
    assert daemon.sensors["s"].duty.quiet_minutes == 9


def test_sensors_come_and_go_with_the_configuration(tmp_path):
    config = two_of(tmp_path)
    daemon = Daemon(config)
    settle(daemon)
    changed(config, 'name = "two"', 'name = "three"')
    grow(tmp_path, 5, 10, "one")
    daemon.reload.set()
    settle(daemon)
    found = {sensor.name: sensor.rows for sensor in daemon.status.sensors}
    assert found == {"one": 600, "three": 300}


def test_a_request_that_came_meanwhile_is_not_taken_away(tmp_path):
    config = config_of(tmp_path, None)
    store.ask(config, "s", "newer")
    store.answered(config, "s", "older")
    assert store.asked(config, "s") == "newer"


# what it tells


@pytest.fixture
def manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], list[str]]]:
    """Give what a service manager was told since it was last asked."""
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(path)
        one.setblocking(False)

        def told() -> list[str]:
            lines: list[str] = []
            while True:
                try:
                    lines += one.recv(1000).decode().split("\n")
                except BlockingIOError:
                    return lines

        yield told


def test_the_manager_is_told_of_readiness_once_and_then_of_progress(tmp_path, manager):
    grow(tmp_path, 0, 5)
    daemon = Daemon(config_of(tmp_path, None))
    assert manager() == []
    daemon.poll()
    assert manager() == ["READY=1", "WATCHDOG=1", "STATUS=s learning"]
    daemon.poll()
    assert manager() == ["WATCHDOG=1", "STATUS=s learning"]


def test_a_poll_that_does_not_end_tells_of_no_progress(tmp_path, manager, monkeypatch):
    daemon = Daemon(config_of(tmp_path, None))
    go_on = threading.Event()
    monkeypatch.setattr(daemon.sensors["s"], "poll", lambda stop: go_on.wait(30) and 0)
    ending = threading.Timer(0.5, daemon.stop.set)
    ending.start()
    threading.Timer(0.7, go_on.set).start()
    daemon.run()
    assert manager() == ["STOPPING=1"]


def test_before_any_minute_closed_its_time_is_unknown(tmp_path):
    daemon = Daemon(config_of(tmp_path, None))
    daemon.beat()
    told = json.loads((tmp_path / "alarms" / HEARTBEAT).read_text())
    assert (told["log_clock"], told["log_clock_s"]) == (None, None)
    assert settle(daemon).minute is None


def test_status_heartbeat_and_metrics_agree_on_what_was_read(tmp_path):
    grow(tmp_path, 0, 10)
    daemon = Daemon(config_of(tmp_path, None))
    settle(daemon)
    daemon.beat()
    told = json.loads((tmp_path / "alarms" / HEARTBEAT).read_text())
    found = status.read(tmp_path / "state")
    assert found and found.sensors == daemon.status.sensors
    assert (told["log_clock"], told["minutes"]) == ("2026-03-04T00:08:00Z", 9)
    assert 'entropy_ids_rows_total{sensor="s"} 600.0' in page(daemon)
    assert 'entropy_ids_minutes_total{sensor="s"} 9.0' in page(daemon)


# signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_long_catch_up_after_a_checkpoint(
    tmp_path, monkeypatch, number
):
    monkeypatch.setattr(running, "WORK_S", 600)
    live = grow(tmp_path, 0, 60)
    with live.open("ab") as file:  # to be read for long
        file.write(tsv_rows(rows(60, 120)) * 150)
    config = config_of(tmp_path, None)
    ended: list[float] = []

    def end() -> None:
        os.kill(os.getpid(), number)
        ended.append(time.monotonic())

    threading.Timer(0.6, end).start()
    running.run(config)
    assert time.monotonic() - ended[0] < 5
    daemon = Daemon(config)
    assert 0 < daemon.sensors["s"].assembler.account.rows < 3600 * 151


def test_a_hangup_has_the_configuration_read_again(tmp_path):
    grow(tmp_path, 0, 5)
    config = config_of(tmp_path, None)
    changed(config, "[daemon]", "[daemon]\nnonsense = 1")
    for after_s, number in ((0.5, signal.SIGHUP), (1.2, signal.SIGTERM)):
        threading.Timer(after_s, os.kill, (os.getpid(), number)).start()
    running.run(config)
    found = status.read(tmp_path / "state")
    assert found and "daemon.nonsense" in found.problems[0]
    assert kinds(tmp_path / "alarms") == []


@pytest.mark.slow
def test_the_process_ends_with_zero_within_five_seconds_of_sigterm(tmp_path, manager):
    for hour in range(24):
        grow(tmp_path, 60 * hour, 60 * hour + 60)
    file = config_of(tmp_path, None).file
    command = [sys.executable, "-m", "entropy_ids", "run", "--config", str(file)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while "READY=1" not in manager():
            assert process.poll() is None
            time.sleep(0.05)
        again = subprocess.run(command, capture_output=True, check=False, timeout=60)
        process.terminate()
        assert process.wait(5) == 0
    assert again.returncode == 2
    assert b"found another entropy-ids (process" in again.stderr
