"""The daemon's files: whatever happens in between, they end as if nothing had."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import make
import numpy as np
import pandas as pd
import pytest
from zat.zeek_log_reader import ZeekLogReader

from entropy_ids.alarms import journal
from entropy_ids.alarms.journal import Journal
from entropy_ids.alarms.outputs import (
    DAY_S,
    Outputs,
    OutputsState,
    heartbeat,
    retire,
)
from entropy_ids.alarms.sinks import alarm_line
from entropy_ids.errors import ConfigError, InputError
from entropy_ids.types import Alarm, Quality

D0 = 1_772_582_400
"""2026-03-04, midnight."""
COLUMNS = ("orig_h.all.renyi.1", "flows.all.log2")
LIVE = ["alarms.jsonl", "entropy_alarm.log", "minutes.parquet", "quality.jsonl"]
FIRST_DAY = [
    "alarms.2026-03-04.jsonl",
    "entropy_alarm.2026-03-04-00-00-00.log",
    "minutes.2026-03-04.parquet",
    "quality.2026-03-04.jsonl",
]


@dataclass(frozen=True)
class Step:
    """A closed minute: what is written for it, and whether a checkpoint follows."""

    minute: int
    alarms: tuple[Alarm, ...] = ()
    remark: str = ""
    checkpoint: bool = False


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the disk: no test can see whether it was waited for."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


def row(minute: int) -> pd.DataFrame:
    head = {"minute": pd.to_datetime([minute], unit="s", utc=True), "score": [0.5]}
    head |= {"threshold": [1.0], "coverage": ["complete"], "flows": [minute % 997]}
    return pd.DataFrame(head | {name: [minute / 7] for name in COLUMNS})


def opened(directory: Path, state: OutputsState | None = None) -> Outputs:
    return Outputs(directory, "office", COLUMNS, state)


def step(outputs: Outputs, one: Step) -> None:
    outputs.write(one.minute, one.alarms, row(one.minute))
    if one.remark:
        outputs.remark(Quality("gap", one.minute, one.remark))


def steps(
    seed: int, number: int = 25, days: float = 4, back: float = 0.1
) -> list[Step]:
    """Give minutes over some days, a share of them behind the one before."""
    rng = np.random.default_rng(seed)
    revision, minute, made = count(1), D0 + 60 * int(rng.integers(1440)), []
    for _ in range(number):
        alarms = [make.alarm(revision=next(revision)) for _ in range(rng.integers(3))]
        remark = rng.choice(["", "", f"{rng.integers(5)} rows"])
        made.append(Step(minute, tuple(alarms), str(remark), rng.random() < 0.25))
        ahead = 60 * int(1 + rng.exponential(days * 1440 / number))
        minute += -7200 if rng.random() < back else ahead
    return made


def undisturbed(directory: Path, history: list[Step]) -> dict[str, bytes]:
    outputs = opened(directory)
    for one in history:
        step(outputs, one)
    outputs.sync()
    return contents(directory)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def texts(directory: Path) -> dict[str, bytes]:
    found = contents(directory).items()
    return {name: data for name, data in found if not name.endswith(".parquet")}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def kinds(directory: Path) -> list[str]:
    return [remark["class"] for remark in rows(directory / "quality.jsonl")]


A, B, C = (make.alarm(revision=revision) for revision in (1, 2, 3))


# ------------------------------------------------------------------ days and names


def test_the_files_of_a_day_get_its_date_with_the_first_minute_of_a_later_day(tmp_path):
    outputs = opened(tmp_path)
    step(outputs, Step(D0 + DAY_S - 60, (A,), "gap"))
    outputs.sync()
    assert sorted(contents(tmp_path)) == LIVE
    step(outputs, Step(D0 + DAY_S, (B,)))
    outputs.sync()
    assert sorted(contents(tmp_path)) == sorted(LIVE + FIRST_DAY)
    for name, revision in (("alarms.2026-03-04.jsonl", 1), ("alarms.jsonl", 2)):
        assert [line["revision"] for line in rows(tmp_path / name)] == [revision]


def test_a_day_without_alarms_ends_too(tmp_path):
    outputs = opened(tmp_path)
    outputs.advance(D0)
    outputs.advance(D0 + 3 * DAY_S)
    outputs.sync()
    assert (tmp_path / "alarms.2026-03-04.jsonl").read_bytes() == b""
    assert not list(tmp_path.glob("alarms.2026-03-05*"))


def test_a_zeek_log_is_opened_and_closed_by_the_log_clock(tmp_path):
    outputs = opened(tmp_path)
    step(outputs, Step(D0 + 3600, (A,)))
    step(outputs, Step(D0 + DAY_S + 120, (B,)))
    lines = (tmp_path / FIRST_DAY[1]).read_text().splitlines()
    assert "#open\t2026-03-04-01-00-00" in lines
    assert lines[-1] == "#close\t2026-03-05-00-02-00"
    text = (tmp_path / "entropy_alarm.log").read_text()
    assert "#open\t2026-03-05-00-02-00" in text
    assert "#close" not in text


def test_zat_reads_the_logs_of_both_days(tmp_path):
    outputs = opened(tmp_path)
    step(outputs, Step(D0, (A, B)))
    step(outputs, Step(D0 + DAY_S, (C,)))
    for name, found in ((FIRST_DAY[1], [1, 2]), ("entropy_alarm.log", [3])):
        read = ZeekLogReader(str(tmp_path / name), strict=True).readrows()
        assert [line["revision"] for line in read] == found


def test_a_clock_that_is_set_back_stays_in_the_files_of_its_latest_day(tmp_path):
    outputs = opened(tmp_path)
    for minute, alarm in ((D0 + DAY_S, A), (D0, B), (D0 + DAY_S + 60, C)):
        step(outputs, Step(minute, (alarm,)))
    assert [line["revision"] for line in rows(tmp_path / "alarms.jsonl")] == [1, 2, 3]
    assert not (tmp_path / "alarms.2026-03-04.jsonl").exists()


def test_the_minutes_of_a_day_are_its_table(tmp_path):
    history = [Step(D0 + 60 * minute) for minute in (0, 1, 1440, 1442, 1500)]
    undisturbed(tmp_path, history)
    for name, minutes in (
        (FIRST_DAY[2], [0, 1]),
        ("minutes.parquet", [1440, 1442, 1500]),
    ):
        table = pd.read_parquet(tmp_path / name)
        stamps = table["minute"].dt.as_unit("s").astype("int64")
        assert list(stamps) == [D0 + 60 * minute for minute in minutes]
        assert list(table.columns[5:]) == list(COLUMNS)


def test_a_table_that_was_taken_away_is_whole_again_when_its_day_ends(tmp_path):
    outputs = opened(tmp_path)
    step(outputs, Step(D0))
    outputs.sync()
    (tmp_path / "minutes.parquet").unlink()
    outputs.advance(D0 + DAY_S)
    assert len(pd.read_parquet(tmp_path / FIRST_DAY[2])) == 1


def test_lines_that_a_disk_takes_by_pieces_are_whole(tmp_path, monkeypatch):
    wanted, write = undisturbed(tmp_path / "wanted", SHORT), os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:99]))
    assert undisturbed(tmp_path / "pieces", SHORT) == wanted


def test_minutes_of_a_profile_with_other_columns_join_the_table_of_the_day(tmp_path):
    outputs = opened(tmp_path)
    step(outputs, Step(D0))
    outputs.sync()
    other = Outputs(tmp_path, "office", ("resp_p.all.renyi.0",), outputs.state())
    other.write(D0 + 60, (), row(D0 + 60).assign(**{"resp_p.all.renyi.0": 2.0}))
    other.sync()
    table = pd.read_parquet(tmp_path / "minutes.parquet")
    assert list(table.columns[5:]) == [*COLUMNS, "resp_p.all.renyi.0"]
    assert table["resp_p.all.renyi.0"].tolist()[1] == 2.0
    assert table[COLUMNS[0]].isna().tolist() == [False, True]


def test_files_are_not_for_everybody_to_read(tmp_path):
    old = os.umask(0)
    try:
        undisturbed(tmp_path / "new" / "alarms", [Step(D0, (A,))])
    finally:
        os.umask(old)
    paths = list((tmp_path / "new" / "alarms").iterdir())
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o640}


# -------------------------------------------------------------------- after a kill


def sizes(directory: Path) -> dict[int, int]:
    """Give the bytes of the files of lines; a file that is renamed stays the same."""
    paths = [path for path in directory.iterdir() if path.suffix != ".parquet"]
    return {path.stat().st_ino: path.stat().st_size for path in paths}


def cut(directory: Path, synced: dict[int, int], rng: np.random.Generator) -> None:
    """Take bytes off the ends of some files, none that were there at a checkpoint."""
    for path in directory.iterdir():
        least, most = synced.get(path.stat().st_ino, 0), path.stat().st_size
        if path.suffix != ".parquet" and most > least and rng.random() < 0.5:
            os.truncate(path, int(rng.integers(least, most)))


def killed_at_times(directory: Path, history: list[Step], seed: int) -> int:
    """Write a history with kills in between; give their number."""
    rng, kills, place = np.random.default_rng(seed), 0, 0
    outputs = opened(directory)
    outputs.sync()
    state, since, synced = outputs.state(), 0, sizes(directory)
    while place < len(history):
        step(outputs, history[place])
        place += 1
        if history[place - 1].checkpoint:
            outputs.sync()
            state, since, synced = outputs.state(), place, sizes(directory)
        if rng.random() < 0.2:
            if rng.random() < 0.5:  # after the files are on disk, before its state is
                outputs.sync()
            cut(directory, synced, rng)
            outputs, place, kills = opened(directory, state), since, kills + 1
    outputs.sync()
    return kills


@pytest.mark.parametrize("seed", range(20))
def test_kills_leave_no_trace_in_any_file(tmp_path, seed):
    history = steps(seed, days=float(1 + seed % 9))
    wanted = undisturbed(tmp_path / "a", history)
    assert killed_at_times(tmp_path / "b", history, seed) > 0
    assert contents(tmp_path / "b") == wanted


@pytest.mark.parametrize("seed", range(6))
def test_a_kill_before_the_first_checkpoint_leaves_no_trace(tmp_path, seed):
    history = steps(seed, number=12, days=seed / 2)
    wanted = undisturbed(tmp_path / "a", history)
    rng = np.random.default_rng(seed)
    for stop in rng.integers(1, len(history), 3):
        outputs = opened(tmp_path / "b")
        for one in history[:stop]:
            step(outputs, one)
        cut(tmp_path / "b", {}, rng)
    undisturbed(tmp_path / "b", history)
    assert contents(tmp_path / "b") == wanted


class Killed(BaseException):
    """The process is gone."""


def fail(how: str) -> None:
    raise Killed if how == "kill" else OSError(getattr(errno, how), how)


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, number: int, how: str) -> Iterator[None]:
    """Let the n-th call that changes a file fail; a write gets half-way."""
    calls, write = count(1), os.write

    def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
        def maybe(*args: Any, **named: Any) -> Any:
            if next(calls) == number:
                if call is write:
                    write(args[0], args[1][: len(args[1]) // 2])
                fail(how)
            return call(*args, **named)

        return maybe

    with monkeypatch.context() as patch:
        for name in ("open", "write", "fsync", "rename", "replace", "unlink"):
            patch.setattr(os, name, wrapped(getattr(os, name)))
        yield


class Run:
    """A daemon's part: it writes a history from its last checkpoint, over and over."""

    def __init__(self, directory: Path, history: list[Step]) -> None:
        self.directory, self.history = directory, history
        self.state: OutputsState | None = None
        self.since = 0

    def go_on(self) -> None:
        outputs = opened(self.directory, self.state)
        for place in range(self.since, len(self.history)):
            step(outputs, self.history[place])
            if self.history[place].checkpoint or place + 1 == len(self.history):
                outputs.sync()
                self.state, self.since = outputs.state(), place + 1


SHORT = [
    Step(D0, (A,), "two rows"),
    Step(D0 + 60, checkpoint=True),
    Step(D0 + DAY_S, (B,), "three rows"),
    Step(D0 + 3 * DAY_S, (C,)),
]


@pytest.mark.parametrize("how", ["ENOSPC", "kill"])
def test_a_failure_of_any_call_leaves_no_trace(tmp_path, monkeypatch, how):
    wanted = undisturbed(tmp_path / "wanted", SHORT)
    for number in count(1):
        run = Run(tmp_path / str(number), SHORT)
        failed = True
        with failing(monkeypatch, number, how), suppress(OSError, Killed):
            run.go_on()
            failed = False
        run.go_on()
        assert contents(run.directory) == wanted, number
        if not failed:
            break
    assert number > 50


@pytest.mark.parametrize("seed", range(20))
def test_failures_one_after_another_leave_no_trace(tmp_path, monkeypatch, seed):
    history = steps(seed, number=8, days=3)
    wanted = undisturbed(tmp_path / "wanted", history)
    run, rng = Run(tmp_path / "run", history), np.random.default_rng(seed)
    for number in rng.integers(1, 60, 6):
        how = str(rng.choice(["ENOSPC", "EIO", "EROFS", "EDQUOT", "kill"]))
        with failing(monkeypatch, int(number), how), suppress(OSError, Killed):
            run.go_on()
    run.go_on()
    assert contents(run.directory) == wanted


FULL = """
import os, sys
from pathlib import Path
import test_outputs as test

here = Path(sys.argv[1])
ballast = here / "ballast"
history = test.steps(3, number=30, days=3)
run, failures = test.Run(here / "alarms", history), 0
for size in range(200, 0, -8):
    ballast.write_bytes(b"")
    try:
        ballast.write_bytes(bytes(size << 10))
    except OSError:
        pass
    try:
        run.go_on()
    except OSError as err:
        assert err.errno == 28, err
        failures += 1
ballast.unlink()
run.go_on()
assert test.contents(here / "alarms") == test.undisturbed(Path(sys.argv[2]), history)
sys.exit(0 if failures > 1 else 1)
"""


def test_a_disk_that_is_full_for_a_while_leaves_no_trace(tmp_path):
    mounted, wanted = tmp_path / "mounted", tmp_path / "wanted"
    mounted.mkdir()
    mount = f"mount -t tmpfs -o size=256k none {mounted}"
    if subprocess.run(["unshare", "-Urm", "sh", "-c", mount], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    (tmp_path / "full.py").write_text(FULL)
    run = f"{mount} && exec {sys.executable} {tmp_path}/full.py {mounted} {wanted}"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    subprocess.run(
        ["unshare", "-Urm", "sh", "-c", run],
        check=True,
        env=os.environ | {"PYTHONPATH": path},
    )


# ------------------------------------------------- what is not as the checkpoint says


@pytest.fixture
def begun(tmp_path: Path) -> OutputsState:
    """The state of a directory with one alarm; another one was written after it."""
    outputs = opened(tmp_path)
    step(outputs, Step(D0, (A,)))
    outputs.sync()
    state = outputs.state()
    step(outputs, Step(D0 + 60, (B,)))
    return state


def revisions(directory: Path, name: str = "alarms.jsonl") -> list[int]:
    return [line["revision"] for line in rows(directory / name)]


def test_what_was_written_after_the_checkpoint_is_not_written_twice(tmp_path, begun):
    step(opened(tmp_path, begun), Step(D0 + 60, (B, C)))
    assert revisions(tmp_path) == [1, 2, 3]
    assert kinds(tmp_path) == []


def test_other_lines_than_before_the_kill_are_added_with_a_remark(tmp_path, begun):
    before = texts(tmp_path)
    step(opened(tmp_path, begun), Step(D0 + 60, (C,)))
    assert revisions(tmp_path) == [1, 2, 3]
    assert kinds(tmp_path) == ["regenerated-differs"] * 2
    for name, data in texts(tmp_path).items():
        assert data.startswith(before[name])


def test_half_a_line_that_does_not_go_on_stands_alone(tmp_path, begun):
    path = tmp_path / "alarms.jsonl"
    os.truncate(path, begun.sizes["alarms.jsonl"])
    with path.open("ab") as file:
        file.write(b'{"id": "other')
    step(opened(tmp_path, begun), Step(D0 + 60, (B,)))
    assert path.read_bytes().splitlines()[1] == b'{"id": "other'
    assert json.loads(path.read_bytes().splitlines()[2])["revision"] == 2
    assert kinds(tmp_path) == ["regenerated-differs"]


@pytest.mark.parametrize("name", LIVE)
@pytest.mark.parametrize("gone", [True, False])
def test_a_file_that_lost_lines_is_gone_on_with_and_remarked_upon(tmp_path, name, gone):
    outputs = opened(tmp_path)
    step(outputs, Step(D0, (A,), "two rows"))
    outputs.sync()
    (tmp_path / name).unlink() if gone else os.truncate(tmp_path / name, 7)
    again = opened(tmp_path, outputs.state())
    step(again, Step(D0 + 60, (B,)))
    again.sync()
    said = [line["summary"] for line in remarks_in(tmp_path)]
    assert said[-1].startswith(f"{name}: expected the file as it was left")
    assert (tmp_path / "alarms.jsonl").read_text().endswith(alarm_line(B))


def remarks_in(directory: Path) -> list[dict[str, Any]]:
    """Give the remarks, without what is left of one that was cut."""
    found = (directory / "quality.jsonl").read_text().splitlines()
    return [json.loads(line) for line in found if line.endswith("}")]


def test_a_file_that_somebody_empties_meanwhile_is_remarked_upon_once(tmp_path, begun):
    outputs = opened(tmp_path, begun)
    step(outputs, Step(D0 + 60, (B,)))
    os.truncate(tmp_path / "alarms.jsonl", 0)
    step(outputs, Step(D0 + 120, (C,)))
    step(outputs, Step(D0 + 180, (A,)))
    assert revisions(tmp_path) == [3, 1]
    assert kinds(tmp_path) == ["output-touched"]


def test_a_dated_file_that_was_taken_away_is_not_mistaken_for_todays(tmp_path, begun):
    outputs = opened(tmp_path, begun)
    step(outputs, Step(D0 + 60, (B,)))
    step(outputs, Step(D0 + DAY_S, (C,)))
    outputs.sync()
    for name in FIRST_DAY:
        (tmp_path / name).unlink()
    again = opened(tmp_path, begun)
    step(again, Step(D0 + 60, (B,)))
    step(again, Step(D0 + DAY_S, (C,)))
    assert revisions(tmp_path) == [3]
    assert revisions(tmp_path, FIRST_DAY[0]) == [2]


# -------------------------------------------------------------- without a checkpoint


def test_without_a_state_lines_that_are_there_are_not_written_again(tmp_path, begun):
    before = texts(tmp_path)
    outputs = opened(tmp_path)
    step(outputs, Step(D0 + 60, (B,)))
    assert texts(tmp_path) == before
    step(outputs, Step(D0 + 120, (C,)))
    assert revisions(tmp_path) == [1, 2, 3]
    assert kinds(tmp_path) == []
    assert (tmp_path / "entropy_alarm.log").read_text().count("#fields") == 1


def test_without_a_state_files_of_an_earlier_day_end_at_the_first_minute(
    tmp_path, begun
):
    step(opened(tmp_path), Step(D0 + 5 * DAY_S, (C,)))
    assert revisions(tmp_path, FIRST_DAY[0]) == [1, 2]
    assert revisions(tmp_path) == [3]
    log = (tmp_path / FIRST_DAY[1]).read_text()
    assert log.endswith("#close\t2026-03-09-00-00-00\n")


def test_without_a_state_rows_are_dropped_from_the_first_minute_that_comes(tmp_path):
    history = [Step(D0 + 60 * minute) for minute in range(6)]
    undisturbed(tmp_path, history)
    undisturbed(tmp_path, history[3:])
    table = pd.read_parquet(tmp_path / "minutes.parquet")
    assert list(table["flows"]) == [(D0 + 60 * minute) % 997 for minute in range(6)]


def test_without_a_state_a_day_that_was_ending_is_ended(tmp_path, monkeypatch):
    for number in count(1):
        here = tmp_path / str(number)
        outputs, ended = opened(here), False
        step(outputs, Step(D0, (A,), "x"))
        outputs.sync()
        with failing(monkeypatch, number, "kill"), suppress(Killed):
            outputs.advance(D0 + DAY_S)
            ended = True
        again = opened(here)
        step(again, Step(D0 + DAY_S + 60, (B,), "y"))
        again.sync()
        assert sorted(contents(here)) == sorted(LIVE + FIRST_DAY)
        for name, dated in zip(LIVE, FIRST_DAY, strict=True):
            assert amount(here / name) == amount(here / dated) == 1, (number, name)
        if ended:
            break
    assert number > 15


def amount(path: Path) -> int:
    """Count a file's minutes, alarms or remarks."""
    if path.suffix == ".parquet":
        return len(pd.read_parquet(path))
    return sum(not line.startswith("#") for line in path.read_text().splitlines())


# ------------------------------------------------------------------------ remarks


def test_the_same_remark_is_written_once_a_day(tmp_path):
    outputs = opened(tmp_path)
    for minute in (D0, D0 + 60, D0 + DAY_S):
        outputs.advance(minute)
        outputs.remark(Quality("gap", D0, "x"))
    assert kinds(tmp_path) == ["gap"]
    assert [line["class"] for line in rows(tmp_path / FIRST_DAY[3])] == ["gap"]


@pytest.mark.parametrize("minutes", [(), (D0,)])
def test_a_remark_is_not_written_again_after_a_restart(tmp_path, minutes):
    early, late = (Quality("gap", D0 + minute, "x") for minute in (0, 60))
    outputs = opened(tmp_path)
    for minute in minutes:
        outputs.advance(minute)
    state = outputs.state()
    outputs.remark(early)
    outputs.remark(late)
    again = opened(tmp_path, state)
    for quality in (Quality("sensor-silent", D0, "y"), late, early):
        again.remark(quality)
        again = opened(tmp_path, again.state())
    again.remark(late)
    assert kinds(tmp_path) == ["gap", "gap", "sensor-silent"]


def test_a_remark_is_a_line_as_a_replay_writes_it(tmp_path):
    opened(tmp_path).remark(Quality("gap", make.T0, "a\x1bb"))
    assert rows(tmp_path / "quality.jsonl") == [
        {
            "sensor": "office",
            "class": "gap",
            "start": "2024-04-21T07:00:00Z",
            "summary": "a\\u{1b}b",
        }
    ]


# ------------------------------------------------------------- places and what is there


@pytest.mark.parametrize("name", LIVE)
@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_only_regular_files_are_written_to(tmp_path, name, kind):
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    path = tmp_path / "alarms" / name
    path.parent.mkdir()
    makers = {"link": lambda: path.symlink_to(target), "directory": path.mkdir}
    makers.get(kind, lambda: os.mkfifo(path))()
    with pytest.raises(ConfigError, match=f"{name}: expected a regular file"):
        undisturbed(path.parent, [Step(D0, (A,), "x")])
    assert target.read_bytes() == b"mine"


def test_a_directory_that_can_be_none_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match=f"{path.name}: expected a directory"):
            opened(path)


def test_a_heartbeat_is_put_in_place_whole(tmp_path):
    for lag_s in (1.5, 2.5):
        heartbeat(tmp_path, {"sensor": "office", "lag_s": lag_s})
        text = (tmp_path / "heartbeat.json").read_text()
        assert json.loads(text) == {"sensor": "office", "lag_s": lag_s}
    assert list(contents(tmp_path)) == ["heartbeat.json"]


def test_a_heartbeat_that_cannot_be_written_leaves_the_last_one(tmp_path, monkeypatch):
    heartbeat(tmp_path, {"lag_s": 1})
    before = contents(tmp_path)
    for number in range(1, 4):
        with failing(monkeypatch, number, "ENOSPC"), pytest.raises(OSError):
            heartbeat(tmp_path, {"lag_s": 2})
        assert contents(tmp_path) == before


# ----------------------------------------------------------------------- retention


def test_files_of_days_before_those_to_keep_are_removed(tmp_path):
    undisturbed(tmp_path, [Step(D0 + day * DAY_S, (A,)) for day in range(5)])
    assert retire(tmp_path, 3, D0 + 4 * DAY_S + 3600) == FIRST_DAY
    assert not set(FIRST_DAY) & set(contents(tmp_path))
    assert len(contents(tmp_path)) == 4 * 4
    assert retire(tmp_path, 3, D0 + 4 * DAY_S + 3600) == []


def test_no_days_to_keep_is_to_keep_all(tmp_path):
    undisturbed(tmp_path, [Step(D0 + day * DAY_S) for day in range(3)])
    assert retire(tmp_path, 0, D0 + 9_999 * DAY_S) == []
    assert len(contents(tmp_path)) == 3 * 4


def test_only_files_that_we_named_are_removed(tmp_path):
    names = """alarms.2020-01-01.jsonl.gz alarms.2020-13-45.jsonl minutes.jsonl notes
    entropy_alarm.2020-01-01.log x.alarms.2020-01-01.jsonl heartbeat.json""".split()
    for name in [*names, *LIVE]:
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / "alarms.2020-01-02.jsonl").symlink_to(tmp_path / "notes")
    (tmp_path / "alarms.2020-01-03.jsonl").mkdir()
    before = sorted(path.name for path in tmp_path.iterdir())
    assert retire(tmp_path, 1, D0) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == before


# ------------------------------------------------------------------------- journal


def test_a_journal_gives_back_its_actions(tmp_path):
    path = tmp_path / "journal.jsonl"
    Journal(path).append("drop-stream", stream="worker-1\n", minute=D0)
    Journal(path).append("stop")
    first, second = journal.read(path)
    time = pd.Timestamp(first.pop("time"))
    assert abs(time - pd.Timestamp.now("UTC")) < pd.Timedelta(minutes=1)
    assert first == {"action": "drop-stream", "stream": "worker-1\n", "minute": D0}
    assert second["action"] == "stop"
    assert path.stat().st_mode & 0o777 == 0o640


def test_an_action_is_on_disk_before_it_may_be_acted_upon(tmp_path, monkeypatch):
    synced: list[bytes] = []
    path = tmp_path / "journal.jsonl"
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(path.read_bytes()))
    Journal(path).append("drop-stream")
    assert synced == [path.read_bytes()] * 2  # the file, and its name


def test_an_action_that_could_not_be_written_is_not_in_the_journal(
    tmp_path, monkeypatch
):
    path = tmp_path / "journal.jsonl"
    kept = Journal(path)
    kept.append("one")
    for number in (1, 2, 3, 4):
        with failing(monkeypatch, number, "ENOSPC"), pytest.raises(OSError):
            kept.append("two")
        assert [row["action"] for row in journal.read(path)] == ["one"]
    kept.append("three")
    assert [row["action"] for row in journal.read(path)] == ["one", "three"]


def test_half_an_action_at_the_end_never_was(tmp_path, caplog):
    path = tmp_path / "journal.jsonl"
    Journal(path).append("one")
    whole = path.read_bytes()
    for most in range(len(whole)):
        path.write_bytes(whole + whole[:most])
        assert [row["action"] for row in journal.read(path)] == ["one"]
        Journal(path).append("two")
        assert [row["action"] for row in journal.read(path)] == ["one", "two"]
    assert "took off half a line" in caplog.text


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"\x00" * 100, ":1"),
        (b"#separator \\x09\n#path\tconn\n", ":1"),
        (b'{"time": "t", "action": "a"}\n[1]\n', ":2"),
        (b'{"time": "t", "action": "a"}\n{"time": "t"}\n', ":2"),
        (b'{"time": "t"\n', ":1"),
    ],
)
def test_a_file_that_is_no_journal_is_refused(tmp_path, data, where):
    path = tmp_path / "some.jsonl"
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"some.jsonl{where}: expected a line of a"):
        journal.read(path)


def test_a_journal_that_is_not_there_is_refused(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match=f"{path.name}: expected"):
            journal.read(path)
