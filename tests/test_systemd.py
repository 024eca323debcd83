"""What systemd is told and what it runs: notifications, log lines, the unit file."""

import logging
import os
import random
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from entropy_ids.cli import cli
from entropy_ids.config import Config
from entropy_ids.daemon import systemd
from entropy_ids.daemon.systemd import (
    JournalFormatter,
    PlainFormatter,
    StderrHandler,
    log_to_stderr,
    notify,
    watchdog_s,
)
from entropy_ids.errors import ConfigError, ProfileError

UNIT = Path(__file__).parents[1] / "examples" / "entropy-ids.service"
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(not ANALYZE, reason="There is no systemd-analyze.")


@pytest.fixture(params=["file", "abstract"])
def manager(request, tmp_path, monkeypatch) -> Iterator[socket.socket]:
    """A service manager that listens."""
    path = str(tmp_path / "notify")
    name = f"@entropy-ids-{os.getpid()}" if request.param == "abstract" else path
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(name.replace("@", "\0"))
        one.settimeout(5)
        yield one


def test_the_manager_gets_the_lines_in_one_message(manager):
    notify("READY=1", "STATUS=3 s behind")
    assert manager.recv(1000) == b"READY=1\nSTATUS=3 s behind"


def test_no_line_can_hide_another(manager):
    notify("STATUS=odd\nREADY=1")
    assert manager.recv(1000) == b"STATUS=odd\\u{a}READY=1"


def test_without_a_manager_nothing_is_told(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setattr(socket, "socket", None)
    notify("READY=1")


def test_a_manager_that_is_gone_costs_a_line_in_the_log(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("WATCHDOG=1")
    assert "NOTIFY_SOCKET: expected a manager that listens" in caplog.text


@pytest.mark.parametrize(
    ("usec", "of", "seconds"),
    [
        ("120000000", None, 120.0),
        pytest.param("500000", str(os.getpid()), 0.5, id="own process"),
        ("500000", "1", None),
        ("0", None, None),
        ("soon", None, None),
        ("", None, None),
    ],
)
def test_the_watchdog_is_asked_for_in_seconds_and_only_of_this_process(
    usec, of, seconds, monkeypatch
):
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if of is not None:
        monkeypatch.setenv("WATCHDOG_PID", of)
    assert watchdog_s() == seconds


class Clock:
    """Seconds that pass when told."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def written() -> Iterator[tuple[logging.Logger, StringIO, Clock, StderrHandler]]:
    """A logger, what it wrote, its clock and its handler."""
    clock, out = Clock(), StringIO()
    handler = StderrHandler(clock)
    handler.setFormatter(JournalFormatter())
    handler.setStream(out)
    logger = logging.Logger("sensor")
    logger.addHandler(handler)
    yield logger, out, clock, handler
    handler.close()


@pytest.mark.parametrize(
    ("level", "priority"),
    [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 2)],
)
def test_the_journal_gets_the_priority_before_each_line(level, priority, written):
    logger, out, *_ = written
    getattr(logger, level)("%d rows", 7)
    assert out.getvalue() == f"<{priority}>sensor: 7 rows\n"


def test_every_line_of_a_traceback_has_a_priority_and_is_harmless(written):
    logger, out, *_ = written
    try:
        raise ValueError("a\x1b[31m\n<0>forged")
    except ValueError:
        logger.exception("row\nrefused")
    lines = out.getvalue().splitlines()
    assert lines[0] == r"<3>sensor: row\u{a}refused"
    assert len(lines) > 3
    assert all(line.startswith("<3>") for line in lines)
    assert "\x1b" not in out.getvalue()


def test_people_get_the_time_in_utc_and_the_level():
    record = logging.makeLogRecord(
        {"name": "sensor", "levelname": "WARNING", "msg": "odd\x07", "created": 0.0}
    )
    wanted = r"1970-01-01T00:00:00Z WARNING sensor: odd\u{7}"
    assert PlainFormatter().format(record) == wanted


def test_an_equal_message_is_written_once_a_minute_with_a_count(written):
    logger, out, clock, _ = written
    for second in range(121):
        clock.now_s = 1000.0 + second
        logger.warning("disk is %s", "full")
    first = "<4>sensor: disk is full"
    again = f"{first} (59 times more)"
    assert out.getvalue().splitlines() == [first, again, again]


def test_messages_that_differ_in_text_or_level_are_all_written(written):
    logger, out, *_ = written
    logger.warning("minute %d", 1)
    logger.warning("minute %d", 2)
    logger.error("minute %d", 2)
    assert len(out.getvalue().splitlines()) == 3


@pytest.mark.parametrize("seed", range(5))
def test_of_any_history_every_message_is_written_or_counted(seed, written):
    logger, out, clock, handler = written
    rng = random.Random(seed)
    told: Counter[str] = Counter()
    for _ in range(400):
        clock.now_s += rng.choice([0, 1, 20, 59, 60, 61])
        text = rng.choice(["a", "b", "c"])
        told[text] += 1
        logger.info(text)
    counted: Counter[str] = Counter()
    for line in out.getvalue().splitlines():
        text, _, held = line.removeprefix("<6>sensor: ").partition(" (")
        counted[text] += 1 + int(held.partition(" ")[0] or 0)
    for (_, _, text), (_, held) in handler._seen.items():
        counted[text] += held
    assert counted == told


def test_what_is_remembered_of_messages_is_bounded(written):
    logger, _, _, handler = written
    for number in range(1000):
        logger.info("row %d", number)
    assert len(handler._seen) == systemd._MOST_KEPT


def test_a_message_that_cannot_be_put_together_raises_nothing(
    written, monkeypatch, capsys
):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    written[0].info("%d", "seven")
    assert written[1].getvalue() == ""


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back afterwards as it was."""
    one = logging.getLogger()
    handlers, level = one.handlers[:], one.level
    for handler in handlers:
        one.removeHandler(handler)
    yield one
    one.handlers[:] = handlers
    one.setLevel(level)


@pytest.mark.parametrize(
    ("stream", "start"), [("{0.st_dev}:{0.st_ino}", "<6>x: "), ("8:1", "20"), ("", "2")]
)
def test_priorities_are_for_the_journal_alone(
    stream, start, tmp_path, root, monkeypatch
):
    path = tmp_path / "stderr"
    with path.open("w") as err:
        monkeypatch.setattr("sys.stderr", err)
        monkeypatch.setenv("JOURNAL_STREAM", stream.format(path.stat()))
        log_to_stderr()
        logging.getLogger("x").info("up")
        logging.getLogger("x").debug("nothing for the journal")
    [line] = path.read_text().splitlines()
    assert line.startswith(start)
    assert line.endswith("x: up")


@needs_systemd
def test_the_unit_is_hardened():
    command = [str(ANALYZE), "security", "--offline=true", "--threshold=30", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True)
    if "nrecognized option" in done.stderr:
        pytest.skip("This systemd-analyze cannot look at a file.")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


@needs_systemd
def test_the_unit_is_understood_by_systemd(tmp_path):
    text = UNIT.read_text().replace("/opt/entropy-ids/bin/entropy-ids", "/bin/true")
    copy = tmp_path / UNIT.name
    copy.write_text(text)
    command = [str(ANALYZE), "verify", "--man=no", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and UNIT.name not in done.stderr:
        pytest.skip(f"systemd-analyze verify does not work here: {done.stderr[-200:]}")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_and_the_code_agree():
    pairs = (line.split("=", 1) for line in UNIT.read_text().splitlines())
    unit = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    config = Config.load(environment={})
    assert config["state.dir"] == f"/var/lib/{unit['StateDirectory']}"
    assert config["alarms.dir"] == f"/var/log/{unit['LogsDirectory']}"
    codes = [str(one.exit_code) for one in (ConfigError, ProfileError)]
    assert unit["RestartPreventExitStatus"].split() == codes
    _, command, *arguments = unit["ExecStart"].split()
    assert cli.commands[command].make_context(command, arguments)
