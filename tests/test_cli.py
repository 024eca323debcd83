import json
import random
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from zeek import conn, write_conn

import entropy_ids.daemon
from entropy_ids import console
from entropy_ids.cli import main
from entropy_ids.features.catalog import default_columns
from entropy_ids.profile.store import Profile
from entropy_ids.settings import SETTINGS


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def busy_log(path: Path, minutes: int = 90, each: int = 20) -> Path:
    rng = random.Random(1)
    rows = [
        conn(
            minute * each + k,
            ts=1_700_000_040 + 60 * minute + 3 * k,
            duration=0.5,
            orig_h=f"10.0.0.{rng.randrange(23)}",
            resp_h=f"93.184.216.{(3 * minute + k * k) % 17}",
            resp_p=(443, 80, 53)[k % 3],
        )
        for minute in range(minutes)
        for k in range(each)
    ]
    write_conn(path, rows)
    return path


SMALL = [
    *("--set", "training.epochs=1"),
    *("--set", "training.threads=1"),
    *("--set", "detector.hidden=8"),
    *("--set", "detector.latent=4"),
    *("--set", "detector.window_min=5"),
]
SOURCES = "orig_h.all.renyi.1"
BUDGET = ("--set", "threshold.alarms_per_day=200")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("cli")
    log = busy_log(folder / "conn.log")
    assert run("train", log, "--profile", folder / "profile", *SMALL, *BUDGET) == 0
    return log, folder / "profile"


@pytest.fixture
def copy(trained: tuple[Path, Path], tmp_path: Path) -> Path:
    """A profile that a test may change."""
    return shutil.copytree(trained[1], tmp_path / "profile")


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal on which no sentence is wrapped."""
    for one in (console.out, console.err):
        monkeypatch.setattr(one, "width", 500)


def edit_manifest(directory: Path, **parts: object) -> None:
    """Change the manifest by hand; None takes a part out."""
    manifest = json.loads((directory / "manifest.json").read_text()) | parts
    kept = {key: value for key, value in manifest.items() if value is not None}
    (directory / "manifest.json").write_text(json.dumps(kept))


def test_features_writes_every_default_column_per_minute(tmp_path, capsys):
    log = busy_log(tmp_path / "conn.log", minutes=10)
    assert run("features", log, "-o", tmp_path / "minutes.csv") == 0
    table = pd.read_csv(tmp_path / "minutes.csv")
    names = [column.name for column in default_columns()]
    assert list(table.columns) == ["minute", "coverage", "flows", *names]
    assert table["flows"].sum() == 200
    assert table["minute"].iloc[0] == "2023-11-14T22:14:00Z"
    assert "rows read 200 = counted 200 + quarantined 0" in capsys.readouterr().out


def test_a_broken_row_is_named_by_file_and_line_and_the_rest_counts(tmp_path, capsys):
    log = busy_log(tmp_path / "conn.log", minutes=10)
    lines = log.read_text().splitlines()
    lines[20] = lines[20].rpartition("\t")[0]
    log.write_text("\n".join(lines) + "\n")
    assert run("features", log, "-o", tmp_path / "minutes.parquet") == 0
    said = capsys.readouterr().out.replace("\n", "")
    assert "rows read 200 = counted 199 + quarantined 1 (1 fields)" in said
    assert "conn.log:21: expected" in said


def test_replay_writes_all_its_files_and_accounts_for_all_rows(
    trained, tmp_path, capsys
):
    log, profile = trained
    assert run("replay", log, "--profile", profile, "--out", tmp_path / "out") == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {
        "alarms.jsonl",
        "entropy_alarm.log",
        "evidence",
        "minutes.parquet",
        "quality.jsonl",
        "quarantine.jsonl",
        "report.html",
    }
    assert "rows read 1800 = counted 1800 + quarantined 0" in capsys.readouterr().out


def test_a_range_leaves_the_other_rows_outside_and_says_so(trained, tmp_path, capsys):
    log, profile = trained
    span = ("--from", "2023-11-14T22:20", "--to", "2023-11-14T22:50")
    code = run("replay", log, "--profile", profile, "--out", tmp_path / "o", *span)
    assert code == 0
    table = pd.read_parquet(tmp_path / "o" / "minutes.parquet")
    assert len(table) == 30
    said = capsys.readouterr().out
    assert "counted 600 + quarantined 0 + outside the range 1200" in said


def test_profile_show_tells_what_it_was_trained_on(trained, capsys):
    assert run("profile", "show", trained[1]) == 0
    assert "lstm-autoencoder" in capsys.readouterr().out
    assert run("profile", "show", trained[1], "--slot", "weekday 22") == 0
    assert "flows.all.log2" in capsys.readouterr().out


def test_profile_show_tells_what_to_expect_and_what_was_lacking(trained, wide, capsys):
    assert run("profile", "show", trained[1]) == 0
    said = capsys.readouterr().out
    assert re.search(r"expect \S+ alarms a day .*\(95 % interval \S+ to \S+\)", said)
    assert "held out, budget 200 a day" in said
    assert "remark: expected at least two days of whole minutes, found 0.1" in said
    assert "remark: no weekend minute was trained on" in said


def test_profile_show_tells_the_effect_of_k_on_each_margin(trained, wide, capsys):
    assert run("profile", "show", trained[1]) == 0
    said = capsys.readouterr().out
    assert "k = 1.25" in said
    assert {"span", "ratio", "published"} <= set(said.split())


def test_profile_show_of_a_slot_tells_the_uids_that_set_its_bounds(
    trained, wide, capsys
):
    assert run("profile", "show", trained[1], "--slot", "weekday 22") == 0
    [row] = [x for x in capsys.readouterr().out.splitlines() if f" {SOURCES} " in x]
    by = r"2023-11-14 2[23]:\d\d 10\.0\.0\.\d+ C\d+ "
    assert len(re.findall(by, row)) == 2


def test_an_unknown_slot_is_refused(trained, capsys):
    assert run("profile", "show", trained[1], "--slot", "Monday") == 2
    assert "found 'Monday'" in capsys.readouterr().err


def test_retract_takes_a_minute_out_and_names_the_new_profile(copy, wide, capsys):
    before = Profile.read(copy)
    assert run("profile", "retract", copy, "2023-11-14T22:20", "1700001300") == 0
    after = Profile.read(copy)
    out = pd.DatetimeIndex(after.series["minute"])[
        after.series["coverage"] == "retracted"
    ]
    assert [f"{minute:%H:%M}" for minute in out] == ["22:20", "22:35"]
    said = capsys.readouterr().out
    assert f"profile {before.hash} became {after.hash}: {copy}" in said
    assert "slots moved" in said


def test_a_retracted_profile_replays(trained, copy, tmp_path):
    assert run("profile", "retract", copy, "2023-11-14T22:20") == 0
    code = run("replay", trained[0], "--profile", copy, "--out", tmp_path / "out")
    assert code == 0


def test_a_minute_that_was_not_trained_on_changes_nothing(copy, capsys):
    before = Profile.read(copy).hash
    assert run("profile", "retract", copy, "2024-11-14T22:20") == 3
    assert "found 2024-11-14T22:20Z" in capsys.readouterr().err
    assert Profile.read(copy).hash == before


def test_diff_finds_the_setting_and_the_bounds_that_differ(trained, copy, wide, capsys):
    setters = Profile.read(copy).bounds.set_index("column")["low_minute"]
    setter = setters[SOURCES].iloc[0]
    assert run("profile", "retract", copy, f"{setter:%Y-%m-%dT%H:%M}") == 0
    settings = Profile.read(copy).manifest["settings"]
    edit_manifest(copy, settings=settings | {"judging.k": 1.5})
    capsys.readouterr()
    assert run("profile", "diff", trained[1], copy) == 0
    said = capsys.readouterr().out
    assert re.search(r"judging\.k +│ 1\.25 +│ 1\.5 ", said)
    assert re.search(rf"{re.escape(SOURCES)} +│ 48 ", said)


def test_diff_of_a_profile_and_itself_shows_nothing(trained, wide, capsys):
    assert run("profile", "diff", trained[1], trained[1]) == 0
    said = capsys.readouterr().out
    assert "columns of one only: none" in said
    assert not re.search(r"judging|threshold|renyi", said)


@pytest.mark.parametrize("part", ["range", "settings", "columns"])
@pytest.mark.parametrize("command", ["show", "diff", "retract"])
def test_a_profile_whose_manifest_lacks_a_part_is_damaged(command, part, copy, capsys):
    edit_manifest(copy, **{part: None})
    more = {"show": [], "diff": [copy], "retract": ["2023-11-14T22:20"]}
    assert run("profile", command, copy, *more[command]) == 4
    assert "train anew" in capsys.readouterr().err


def published(profile: Path) -> None:
    settings = Profile.read(profile).manifest["settings"]
    edit_manifest(profile, settings=settings | {"judging.margin": "published"})


WARNING = "warning: judging.margin = published tightens the lower bound as k grows"


def test_the_published_margin_warns_when_it_is_trained_with(tmp_path, wide, capsys):
    log = busy_log(tmp_path / "conn.log", minutes=30)
    margin = ("--set", "judging.margin=published")
    assert run("train", log, "--profile", tmp_path / "p", *SMALL, *margin) == 0
    assert WARNING in capsys.readouterr().err


def test_the_published_margin_warns_when_it_is_judged_by(
    trained, copy, tmp_path, wide, capsys
):
    published(copy)
    log, out = trained[0], tmp_path / "out"
    assert run("replay", log, "--profile", copy, "--out", out) == 0
    assert WARNING in capsys.readouterr().err


def test_other_margins_warn_of_nothing(trained, tmp_path, capsys):
    log, profile = trained
    assert run("replay", log, "--profile", profile, "--out", tmp_path / "out") == 0
    assert capsys.readouterr().err == ""


def test_config_show_lists_every_setting_with_its_reason(capsys):
    assert run("config", "show", "--json") == 0
    assert set(json.loads(capsys.readouterr().out)) == {s.key for s in SETTINGS}
    assert run("config", "show", "--set", "judging.k=1.5") == 0
    assert "1.5 *" in capsys.readouterr().out
    assert all(setting.reason for setting in SETTINGS)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["replay"], 2, "Missing argument"),
        (["nonsense"], 2, "No such command"),
        (["config", "show", "--set", "judging.kk=2"], 2, "did you mean judging.k?"),
        (["config", "show", "--set", "judging.k=9"], 2, "a number from 1 to 2"),
        (["config", "show", "--config", "no.toml"], 2, "no.toml: expected a readable"),
        (["features", "no.log", "-o", "x.csv"], 3, "no.log: expected a conn log"),
        (["features", "no.log", "-o", "x.txt"], 2, "ends in .parquet or .csv"),
        (["profile", "show", "nowhere"], 4, "expected a file of a profile"),
        (["profile", "diff", "nowhere", "nowhere"], 4, "expected a file of a profile"),
        (["profile", "retract", "nowhere"], 2, "Missing argument"),
        (["profile", "use"], 2, "Missing argument"),
        (["run"], 2, "expected a file with at least one [[sensor]]"),
        (["run", "--config", "no.toml"], 2, "no.toml: expected a readable"),
        (["status", "--set", "state.dir="], 2, "state.dir: expected a directory"),
        (["profile", "retract", "nowhere", "noon"], 2, "expected a UTC time"),
        (["simulate", "x", "--days", "0"], 2, "expected"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence_with_its_code(
    arguments, code, words, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == code
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_a_profile_of_other_settings_is_refused(trained, tmp_path, capsys):
    log, profile = trained
    other = ("--set", "entropy.rarefy_to=8")
    out = tmp_path / "out"
    assert run("replay", log, "--profile", profile, "--out", out, *other) == 4
    assert "entropy.rarefy_to: expected 16" in capsys.readouterr().err
    assert not out.exists()


def test_a_profile_with_other_columns_is_refused(trained, copy, tmp_path, capsys):
    edit_manifest(copy, columns=Profile.read(copy).manifest["columns"][1:])
    code = run("replay", trained[0], "--profile", copy, "--out", tmp_path / "out")
    assert code == 4
    assert "columns" in capsys.readouterr().err


def test_out_with_other_files_in_it_is_left_alone(trained, tmp_path, capsys):
    log, profile = trained
    (tmp_path / "thesis.txt").write_text("mine")
    assert run("replay", log, "--profile", profile, "--out", tmp_path) == 2
    assert "thesis.txt" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_too_little_to_train_on_is_said(tmp_path, capsys):
    log = busy_log(tmp_path / "conn.log", minutes=4)
    assert run("train", log, "--profile", tmp_path / "profile") == 3
    assert "expected" in capsys.readouterr().err
    assert not (tmp_path / "profile").exists()


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["demo"],
        ["simulate"],
        ["features"],
        ["train"],
        ["replay"],
        ["profile", "show"],
        ["profile", "retract"],
        ["profile", "diff"],
        ["profile", "use"],
        ["run"],
        ["status"],
        ["config", "show"],
    ],
)
def test_every_command_has_help_with_examples(command, capsys):
    assert run(*command, "--help") == 0
    assert "Examples:" in capsys.readouterr().out


@pytest.fixture
def sensors(tmp_path: Path) -> Path:
    """A configuration with one sensor."""
    path = tmp_path / "daemon.toml"
    path.write_text("[[sensor]]\nname = 'dmz'\nlog_dirs = ['current']\n")
    return path


def stand_in(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> list[object]:
    """Put a function into a module of the daemon; give what it is called with."""
    calls: list[object] = []
    fake = ModuleType(f"entropy_ids.daemon.{module}")
    setattr(fake, name, lambda *arguments: calls.append(arguments))
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    monkeypatch.setattr(entropy_ids.daemon, module, fake, raising=False)
    return calls


def test_run_hands_the_configuration_and_its_file_to_the_daemon(sensors, monkeypatch):
    calls = stand_in(monkeypatch, "run", "run")
    assert run("run", "--config", sensors, "--set", "daemon.poll_s=2") == 0
    [(config,)] = calls
    assert (config["daemon.poll_s"], config.file) == (2.0, sensors)
    assert [sensor.name for sensor in config.sensors] == ["dmz"]


def test_run_touches_nothing_when_the_file_names_no_sensor(sensors, monkeypatch):
    calls = stand_in(monkeypatch, "run", "run")
    sensors.write_text("[judging]\nk = 1.5\n")
    before = set(sensors.parent.iterdir())
    where = ("--set", f"state.dir={sensors.parent / 'state'}")
    assert run("run", "--config", sensors, *where) == 2
    assert calls == []
    assert set(sensors.parent.iterdir()) == before


@pytest.mark.parametrize("sensor", [None, "dmz"])
def test_profile_use_asks_the_daemon_for_a_candidate(sensor, sensors, monkeypatch):
    calls = stand_in(monkeypatch, "training", "use")
    more = () if sensor is None else ("--sensor", sensor)
    assert run("profile", "use", "3f0c9ad1", "--config", sensors, *more) == 0
    [(config, *named)] = calls
    assert config.file == sensors
    assert named == [sensor, "3f0c9ad1"]


def test_the_table_keeps_the_units_of_its_columns(tmp_path):
    log = busy_log(tmp_path / "conn.log", minutes=3)
    assert run("features", log, "-o", tmp_path / "minutes.parquet") == 0
    units = pd.read_parquet(tmp_path / "minutes.parquet").attrs["units"]
    assert units["resp_p.all.renyi.1"] == "bits"


@pytest.mark.parametrize("zone", ["Mars/Base", "", "../Europe/Berlin"])
def test_a_time_zone_that_does_not_exist_is_refused_before_any_work(
    zone, tmp_path, capsys
):
    log = busy_log(tmp_path / "conn.log", minutes=3)
    where = ("--set", f"site.timezone='{zone}'")
    assert run("train", log, "--profile", tmp_path / "p", *where) == 2
    said = capsys.readouterr()
    assert "site.timezone: expected an IANA time zone" in said.err
    assert repr(zone) in said.err
    assert said.out == ""


def test_an_unknown_detector_is_refused_before_any_work(tmp_path, capsys):
    log = busy_log(tmp_path / "conn.log", minutes=3)
    code = run("train", log, "--profile", tmp_path / "p", "--detector", "nonsense")
    assert code == 2
    assert "expected one of lstm-autoencoder" in capsys.readouterr().err


def test_names_of_files_are_never_markup(tmp_path, capsys):
    log = busy_log(tmp_path / "conn.log", minutes=3)
    assert run("features", log, "-o", tmp_path / "[bold]x.csv") == 0
    assert "[bold]x.csv" in capsys.readouterr().out.replace("\n", "")
