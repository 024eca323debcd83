import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from make import T0, alarm
from zeek import conn, write, write_conn

from entropy_ids import learning
from entropy_ids.alarms.contributors import Seen
from entropy_ids.collector import LogFile, find_logs
from entropy_ids.config import Config
from entropy_ids.errors import ConfigError, InputError
from entropy_ids.profile.store import Profile
from entropy_ids.reading import Reading, read_series
from entropy_ids.replay import Replayed, replay
from entropy_ids.types import Account

OVERRIDES = (
    "training.epochs=1",
    "detector.hidden=8",
    "detector.latent=4",
    "detector.window_min=5",
    "threshold.top_percent=20",
)
HEAD = ["minute", "score", "threshold", "coverage", "flows"]
FILES = [
    "alarms.jsonl",
    "entropy_alarm.log",
    "minutes.parquet",
    "quality.jsonl",
    "quarantine.jsonl",
]
BLOCK = 32 << 10
LATER = Reading(1, BLOCK, since=T0 + 86_400)
"""A range in which nothing lies."""


def traffic(first: int, stop: int, seed: int = 0, each: int = 30) -> list[dict]:
    rng = np.random.default_rng([seed, first])
    return [
        conn(
            each * minute + k,
            ts=T0 + 60 * minute + 60 * k / each,
            duration=0.25,
            orig_h=f"10.0.0.{rng.integers(20)}",
            resp_h=f"192.0.2.{rng.integers(20)}",
            resp_p=int(rng.choice([443, 80, 53])),
        )
        for minute in range(first, stop)
        for k in range(each)
    ]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[LogFile]:
    """Forty-eight minutes in four packed files."""
    folder = tmp_path_factory.mktemp("logs")
    for n in range(4):
        name = f"conn.0{n}:00:00-0{n + 1}:00:00.log.gz"
        write_conn(folder / name, traffic(12 * n, 12 * n + 12))
    return find_logs([folder])


@pytest.fixture(scope="module")
def profile(logs: list[LogFile]) -> Profile:
    config, seen = Config.load(overrides=OVERRIDES, environment={}), Seen()
    series, _ = read_series(logs, config, Reading(), seen=seen)
    made = learning.train(series, seen, config, "office", "lstm-autoencoder")
    return made.profile


def play(
    logs: list[LogFile], profile: Profile, out: Path, reading: Reading | None = None
) -> Replayed:
    how = reading or Reading(1, BLOCK)
    return replay(logs, profile, out, sensor="office", quiet_minutes=5, reading=how)


@pytest.fixture(scope="module")
def played(
    logs: list[LogFile], profile: Profile, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Replayed, Path]:
    """A replay and its directory; not to be written to."""
    out = tmp_path_factory.mktemp("played") / "new" / "out"
    return play(logs, profile, out), out


@pytest.fixture
def earlier(played: tuple[Replayed, Path], tmp_path: Path) -> Path:
    """A directory that holds an earlier replay."""
    return Path(shutil.copytree(played[1], tmp_path / "earlier"))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# ---------------------------------------------------------------- what is written


def test_the_alarms_that_are_written_are_those_that_are_given_back(played):
    replayed, out = played
    assert replayed.alarms
    written = lines(out / "alarms.jsonl")
    said = [(alarm["id"], alarm["revision"]) for alarm in written]
    assert said == [(alarm.id, alarm.revision) for alarm in replayed.alarms]
    assert sorted(path.name for path in out.iterdir()) == FILES


def test_the_minutes_are_written_with_the_columns_of_the_profile(played, profile):
    replayed, out = played
    table = pd.read_parquet(out / "minutes.parquet")
    assert list(table.columns) == HEAD + profile.manifest["columns"]
    assert len(table) == replayed.minutes == 48
    assert table["score"].notna().sum() == replayed.scored > 30
    assert table["flows"].sum() == replayed.account.counted == 48 * 30
    assert str(table["minute"].dtype).endswith("UTC]")


def types(path: Path) -> dict[str, str]:
    return {name: str(kind) for name, kind in pd.read_parquet(path).dtypes.items()}


def test_minutes_of_which_none_could_be_scored_are_written_alike(
    played, profile, tmp_path
):
    short = write_conn(tmp_path / "conn.log", traffic(0, 3))
    replayed = play(find_logs([short]), profile, tmp_path / "short")
    assert (replayed.minutes, replayed.scored, replayed.alarms) == (3, 0, [])
    wanted = types(played[1] / "minutes.parquet")
    assert types(tmp_path / "short" / "minutes.parquet") == wanted


def test_a_replay_of_no_minute_writes_an_empty_table_of_minutes(
    played, logs, profile, tmp_path
):
    replayed = play(logs, profile, tmp_path / "out", LATER)
    assert (replayed.minutes, replayed.scored) == (0, 0)
    assert len(pd.read_parquet(tmp_path / "out" / "minutes.parquet")) == 0
    wanted = types(played[1] / "minutes.parquet")
    assert types(tmp_path / "out" / "minutes.parquet") == wanted


def test_a_replay_writes_over_an_earlier_ones_files(earlier, logs, profile):
    before = {path.name: path.read_bytes() for path in earlier.iterdir()}
    play(logs, profile, earlier)
    after = {path.name: path.read_bytes() for path in earlier.iterdir()}
    assert sorted(after) == FILES
    assert after == before


def test_the_zeek_log_is_opened_and_closed_at_the_first_and_the_last_minute(played):
    stamps = pd.read_parquet(played[1] / "minutes.parquet")["minute"]
    first, last = (stamps.iloc[at].strftime("%Y-%m-%d-%H-%M-%S") for at in (0, -1))
    log = (played[1] / "entropy_alarm.log").read_text()
    assert f"\n#open\t{first}\n" in log
    assert log.endswith(f"\n#close\t{last}\n")


def test_nothing_of_an_earlier_replay_is_left_when_no_minute_is_wanted(
    earlier, logs, profile
):
    play(logs, profile, earlier, LATER)
    assert (earlier / "alarms.jsonl").read_bytes() == b""
    assert len(pd.read_parquet(earlier / "minutes.parquet")) == 0


def test_quarantined_rows_are_written_with_file_and_line(logs, profile, tmp_path):
    path = tmp_path / "conn.log"
    write_conn(path, traffic(0, 8))
    path.write_bytes(path.read_bytes() + b"not\ta\trow\n")
    replayed = play(find_logs([path]), profile, tmp_path / "out")
    (bad,) = lines(tmp_path / "out" / "quarantine.jsonl")
    assert (bad["file"], bad["line"]) == (str(path), 8 + 240 + 1)
    assert replayed.account.quarantined == {"fields": 1}
    assert replayed.account.balanced


def test_a_remark_about_the_data_is_written_with_the_sensor(profile, tmp_path):
    path = tmp_path / "conn.log"
    write_conn(path, [*traffic(0, 8), *traffic(40, 48)])
    play(find_logs([path]), profile, tmp_path / "out")
    (remark,) = lines(tmp_path / "out" / "quality.jsonl")
    assert (remark["sensor"], remark["class"]) == ("office", "gap")
    assert remark["start"] == "2024-04-21T07:08:00Z"


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("other", ["notes.txt", "others/", ".hidden"])
def test_a_directory_with_anything_else_in_it_is_left_as_it_is(
    logs, profile, tmp_path, other
):
    path = tmp_path / other
    path.mkdir() if other.endswith("/") else path.write_text("mine")
    with pytest.raises(ConfigError, match=f"found {path.name}"):
        play(logs, profile, tmp_path)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_an_out_that_can_be_no_directory_is_refused(logs, profile, tmp_path, out):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match=f"{out}: expected"):
        play(logs, profile, tmp_path / out)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", FILES)
def test_an_out_whose_files_cannot_be_written_is_refused(logs, profile, tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match=f"{name}: expected"):
        play(logs, profile, tmp_path)


# ---------------------------------------------------------------- a broken file


@pytest.fixture
def broken(logs: list[LogFile], tmp_path: Path) -> list[LogFile]:
    """The logs with a bad row in the first file, and the last cut short."""
    copies = []
    for number, log in enumerate(logs):
        path = tmp_path / "broken" / log.path.name
        write_conn(path, traffic(12 * number, 12 * number + 12))
        copies.append(LogFile(path, "", log.around_us))
    bad = traffic(0, 12)
    bad[100] = bad[100] | {"orig_bytes": -1}
    write_conn(copies[0].path, bad)
    copies[3].path.write_bytes(copies[3].path.read_bytes()[:-100])
    return copies


def test_a_replay_that_fails_midway_leaves_files_of_what_was_read(
    broken, profile, tmp_path
):
    with pytest.raises(InputError, match=broken[3].path.name):
        play(broken, profile, tmp_path / "out")
    table = pd.read_parquet(tmp_path / "out" / "minutes.parquet")
    assert len(table) > 20
    assert table["minute"].is_unique
    (bad,) = lines(tmp_path / "out" / "quarantine.jsonl")
    assert bad["reason"] == "range"
    assert lines(tmp_path / "out" / "alarms.jsonl")
    last = (tmp_path / "out" / "entropy_alarm.log").read_text().splitlines()[-1]
    assert last.startswith("#close\t")


def test_what_a_failed_replay_leaves_does_not_depend_on_workers(
    broken, profile, tmp_path
):
    for workers in (1, 4):
        with pytest.raises(InputError):
            play(broken, profile, tmp_path / str(workers), Reading(workers, BLOCK))
    one, four = (tmp_path / str(workers) for workers in (1, 4))
    assert lines(four / "alarms.jsonl") == lines(one / "alarms.jsonl")
    pd.testing.assert_frame_equal(
        pd.read_parquet(four / "minutes.parquet"),
        pd.read_parquet(one / "minutes.parquet"),
        check_exact=True,
    )


def test_a_replay_that_fails_at_once_leaves_no_minutes_of_an_earlier_one(
    earlier, profile, tmp_path
):
    text = write(tmp_path / "conn.log", b"no conn log\n")
    with pytest.raises(InputError):
        play([LogFile(text, "", None)], profile, earlier)
    assert (earlier / "alarms.jsonl").read_bytes() == b""
    assert len(pd.read_parquet(earlier / "minutes.parquet")) == 0


# ---------------------------------------------------------------- what it found


def test_incidents_are_the_newest_revisions_in_the_order_of_their_first_minutes():
    late, early = {"id": "a", "start": T0 + 60, "end": T0 + 120}, {"id": "b"}
    alarms = [
        alarm(**late),
        alarm(**early),
        alarm(**late, revision=2, state="update"),
        alarm(**early, revision=2, state="closed"),
        alarm(**late, revision=3, state="closed"),
    ]
    found = Replayed(alarms, Account(), [], [], 0, 0).incidents
    assert [(one.id, one.revision) for one in found] == [("b", 2), ("a", 3)]


def test_incidents_of_one_minute_are_in_the_order_of_their_ids():
    alarms = [alarm(id=name) for name in "cab"]
    found = Replayed(alarms, Account(), [], [], 0, 0).incidents
    assert [one.id for one in found] == ["a", "b", "c"]
