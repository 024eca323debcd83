"""The daemon's status: kept in a file, judged as Nagios does, one daemon at a time."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_ids import console
from entropy_ids.cli import main
from entropy_ids.daemon import lock
from entropy_ids.daemon.lock import exclusive, is_locked
from entropy_ids.daemon.status import (
    CODES,
    CRITICAL,
    NAME,
    OK,
    UNKNOWN,
    WARNING,
    ProfileStatus,
    SensorStatus,
    Status,
    StreamStatus,
    judge,
    moment,
    read,
    write,
)
from entropy_ids.errors import ConfigError, StateError

NOW = moment(1_732_279_263)
EAST = SensorStatus("east", "watching", NOW, 3.0, rows=8, rows_per_s=2.0)
GOOD = Status("1.0", 7, NOW, NOW, 1.0, NOW, sensors=(EAST,))


def with_sensor(**parts: object) -> Status:
    return replace(GOOD, sensors=(replace(EAST, **parts),))


def code_of(status: Status | None, later_s: float = 0, locked: bool = True) -> int:
    return judge(status, NOW + timedelta(seconds=later_s), locked)[0]


def test_a_healthy_daemon_is_told_in_one_line_with_its_figures():
    code, line = judge(GOOD, NOW, locked=True)
    assert code == OK
    assert line == (
        "OK: 1 sensor, log clock 12:41 UTC, 3 s behind | lag_s=3 rows=8c "
        "quarantined=0c behind_bytes=0B incidents_open=0"
    )


@pytest.mark.parametrize(
    ("parts", "code", "words"),
    [
        ({"state": "blocked", "problems": ("no log_dirs",)}, CRITICAL, "is blocked"),
        ({"lag_s": 3601.0}, CRITICAL, "is over an hour behind"),
        ({"lag_s": 601.0}, WARNING, "is over 10 minutes behind"),
        ({"lag_s": 599.0}, OK, "599 s behind"),
        ({"lag_s": 9e5, "rows_per_s": 0.0}, OK, "1 sensor"),
        ({"lag_s": 9e5, "rows_per_s": 0.0, "behind_bytes": 1}, CRITICAL, "an hour"),
        ({"lag_s": 9e5, "state": "learning"}, OK, "east is learning"),
        ({"state": "catching-up"}, OK, "east is catching up"),
        ({"problems": ("odd",)}, WARNING, "east has problems"),
        ({"lag_s": None, "minute": None}, OK, "1 sensor |"),
    ],
)
def test_a_sensor_is_judged_by_the_table(parts, code, words):
    found, line = judge(with_sensor(**parts), NOW, locked=True)
    assert (found, line.partition(":")[0]) == (code, CODES[code])
    assert words in line


def test_one_silent_sensor_is_a_warning_and_silence_of_all_is_critical():
    silent = replace(EAST, name="west", state="silent")
    one = replace(GOOD, sensors=(EAST, silent))
    assert judge(one, NOW, locked=True)[1].startswith("WARNING: west is silent, ")
    assert code_of(replace(GOOD, sensors=(silent, silent))) == CRITICAL


def test_the_worst_finding_is_told_first():
    blocked = replace(EAST, name="west", state="blocked")
    odd = replace(EAST, problems=("odd",))
    _, line = judge(replace(GOOD, sensors=(odd, blocked)), NOW, locked=True)
    assert line.startswith("CRITICAL: west is blocked, east has problems, 2 sensors")


def test_a_status_that_was_never_written_is_unknown():
    assert code_of(None) == code_of(None, locked=False) == UNKNOWN


def test_a_daemon_that_does_not_run_is_critical_however_fresh_its_status():
    code, line = judge(GOOD, NOW, locked=False)
    assert code == CRITICAL
    assert "no daemon runs; it was last heard of 0 s ago" in line


def test_a_status_is_believed_for_a_minute_or_ten_polls():
    assert [code_of(GOOD, later) for later in (60, 61)] == [OK, CRITICAL]
    slow = replace(GOOD, poll_s=30.0)
    assert [code_of(slow, later) for later in (300, 301)] == [OK, CRITICAL]


def test_a_status_from_the_future_is_not_believed():
    assert code_of(GOOD, -120) == CRITICAL


def test_a_problem_of_the_daemon_is_a_warning():
    assert code_of(replace(GOOD, problems=("no space left",))) == WARNING


def full() -> Status:
    sensor = replace(
        EAST,
        quarantined={"fields": 2},
        alarms={"port-scan": 1},
        score=1.5,
        threshold=2.5,
        profile=ProfileStatus("office", "3f0c9ad1", NOW, NOW),
        candidates=("77aa",),
        last_alarm="12:40 port-scan, high",
        streams=(StreamStatus("logger-1", "/spool/logger-1/conn.log", 99, NOW),),
        problems=("nothing\x1b[31m to fear",),
    )
    return replace(GOOD, sensors=(sensor,), checkpoint_age_s=4.0, problems=("odd",))


def test_what_is_written_is_read_again(tmp_path):
    write(tmp_path, full())
    assert read(tmp_path) == full()
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_times_stand_in_the_file_as_iso_utc(tmp_path):
    write(tmp_path, GOOD)
    written = json.loads((tmp_path / NAME).read_text())
    assert written["sensors"][0]["minute"] == "2024-11-22T12:41:03Z"


def test_the_status_is_replaced_also_after_a_write_that_was_cut_short(tmp_path):
    (tmp_path / "status.new").write_text("{")
    write(tmp_path, GOOD)
    assert read(tmp_path) == GOOD


def test_a_link_in_place_of_the_new_status_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "status.new").symlink_to(tmp_path / "mine")
    write(tmp_path, GOOD)
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_status_that_was_never_written_is_read_as_none(tmp_path):
    assert read(tmp_path) is None


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_status_is_refused_or_still_a_status(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    write(folder, full())
    whole = bytearray((folder / NAME).read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    (folder / NAME).write_bytes(whole[: data.draw(st.integers(at, len(whole)))])
    try:
        found = read(folder)
        judge(found, NOW, locked=True)
    except StateError as err:
        assert NAME in str(err)


def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(f'[state]\ndir = "{tmp_path / "state"}"\n')
    return path


def status(tmp_path: Path, *more: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["status", "--config", str(config_file(tmp_path)), *more])
    return int(stop.value.code or 0)


def now() -> Status:
    stamp = moment(time.time())
    return replace(full(), time=stamp, last_poll=stamp)


def test_the_command_exits_with_the_code_and_tells_all(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(console.out, "width", 200)
    with exclusive(tmp_path / "state"):
        write(tmp_path / "state", now())
        assert status(tmp_path) == WARNING
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("WARNING: east has problems, the daemon has problems, 1 ")
    said = "\n".join(rest)
    assert "problem: odd" in said
    assert r"nothing\u{1b}[31m to fear" in said
    for words in ("2 fields", "1.5 of 2.5", "office, 3f0c9ad1", "77aa", "at 99, log"):
        assert words in said


def test_the_first_line_is_never_wrapped(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(console.out, "width", 20)
    write_into = tmp_path / "state"
    write_into.mkdir()
    write(write_into, now())
    assert status(tmp_path) == CRITICAL
    assert re.match(r"CRITICAL: .* \| .*checkpoint_age_s=4\n", capsys.readouterr().out)


def test_the_command_gives_code_summary_and_status_as_json(tmp_path, capsys):
    assert status(tmp_path, "--json") == UNKNOWN
    found = json.loads(capsys.readouterr().out)
    assert (found["code"], found["status"]) == (UNKNOWN, None)
    with exclusive(tmp_path / "state"):
        write(tmp_path / "state", now())
        assert status(tmp_path, "--json") == WARNING
    found = json.loads(capsys.readouterr().out)
    assert found["summary"].startswith("WARNING: ")
    assert found["status"]["sensors"][0]["streams"][0]["offset"] == 99


def test_a_status_that_cannot_be_read_is_unknown(tmp_path, capsys):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / NAME).write_text("[]")
    assert status(tmp_path) == UNKNOWN
    assert capsys.readouterr().out.startswith("UNKNOWN: ")


HOLD = "import sys, pathlib, time\nfrom entropy_ids.daemon.lock import exclusive\n" + (
    "with exclusive(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n"
    "    time.sleep(60)\n"
)


def test_a_second_daemon_is_refused_within_a_second_and_told_who_is_there(tmp_path):
    with exclusive(tmp_path):
        began = time.monotonic()
        with pytest.raises(ConfigError) as refusal, exclusive(tmp_path):
            pass
    assert time.monotonic() - began < 1
    assert f"found another entropy-ids (process {os.getpid()})" in str(refusal.value)
    assert refusal.value.exit_code == 2


def test_a_daemon_that_is_killed_leaves_no_lock_but_its_file(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"held\n"
        assert is_locked(tmp_path)
        daemon.kill()
    assert not is_locked(tmp_path)
    assert (tmp_path / lock.NAME).read_text() == f"{daemon.pid}\n"


def test_the_lock_tells_the_process_that_holds_it_and_no_other(tmp_path):
    (tmp_path / lock.NAME).write_text("99999999999999\n")
    with exclusive(tmp_path):
        assert (tmp_path / lock.NAME).read_text() == f"{os.getpid()}\n"


def test_who_asks_whether_it_is_locked_keeps_no_daemon_from_starting(tmp_path):
    with exclusive(tmp_path):
        pass
    held = lock._opened(tmp_path / lock.NAME, os.O_RDONLY)
    assert lock._locked(held, lock.fcntl.LOCK_SH)
    pauses = iter([None, os.close])

    def pause(_: float) -> None:
        if stop := next(pauses, None):
            stop(held)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lock.time, "sleep", pause)
        with exclusive(tmp_path):
            assert is_locked(tmp_path)


def test_a_directory_that_is_not_there_is_not_locked_and_not_made(tmp_path):
    assert not is_locked(tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


def test_the_state_directory_is_closed_to_others(tmp_path):
    with exclusive(tmp_path / "deep" / "state"):
        modes = [
            path.stat().st_mode & 0o777
            for path in (tmp_path / "deep/state", tmp_path / "deep/state/lock")
        ]
    assert [mode & 0o027 for mode in modes] == [0, 0]
    assert modes[0] & 0o700 == 0o700


def link(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize("make", [link, Path.mkdir, os.mkfifo])
def test_a_lock_that_is_no_plain_file_is_refused(tmp_path, make):
    make(tmp_path / lock.NAME)
    with pytest.raises(ConfigError, match="expected a plain file to lock"):
        exclusive(tmp_path).__enter__()
    with pytest.raises(ConfigError, match="expected a plain file to lock"):
        is_locked(tmp_path)
    assert not (tmp_path / "elsewhere").exists()
