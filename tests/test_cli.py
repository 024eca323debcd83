import json
from pathlib import Path

import pandas as pd
import pytest
from zeek import conn, write_conn

from entropy_ids.cli import main
from entropy_ids.features.catalog import default_columns
from entropy_ids.settings import SETTINGS


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def busy_log(path: Path, minutes: int = 90, each: int = 20) -> Path:
    rows = [
        conn(
            minute * each + k,
            ts=1_700_000_040 + 60 * minute + 3 * k,
            duration=0.5,
            orig_h=f"10.0.0.{(7 * minute + k) % 23}",
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
    *("--set", "detector.hidden=8"),
    *("--set", "detector.latent=4"),
    *("--set", "detector.window_min=5"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("cli")
    log = busy_log(folder / "conn.log")
    assert run("train", log, "--profile", folder / "profile", *SMALL) == 0
    return log, folder / "profile"


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
        "minutes.parquet",
        "quality.jsonl",
        "quarantine.jsonl",
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


def test_a_profile_with_other_columns_is_refused(trained, tmp_path, capsys):
    log, profile = trained
    copy = tmp_path / "profile"
    copy.mkdir()
    for path in profile.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["columns"] = manifest["columns"][1:]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert run("replay", log, "--profile", copy, "--out", tmp_path / "out") == 4
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
        ["config", "show"],
    ],
)
def test_every_command_has_help_with_examples(command, capsys):
    assert run(*command, "--help") == 0
    assert "Examples:" in capsys.readouterr().out


def test_the_table_keeps_the_units_of_its_columns(tmp_path):
    log = busy_log(tmp_path / "conn.log", minutes=3)
    assert run("features", log, "-o", tmp_path / "minutes.parquet") == 0
    units = pd.read_parquet(tmp_path / "minutes.parquet").attrs["units"]
    assert units["resp_p.all.renyi.1"] == "bits"


def test_a_manifest_without_its_parts_is_no_profile(trained, tmp_path, capsys):
    copy = tmp_path / "profile"
    copy.mkdir()
    for path in trained[1].iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["range"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert run("profile", "show", copy) == 4
    assert "'range'" in capsys.readouterr().err


def test_an_unknown_detector_is_refused_before_any_work(tmp_path, capsys):
    log = busy_log(tmp_path / "conn.log", minutes=3)
    code = run("train", log, "--profile", tmp_path / "p", "--detector", "nonsense")
    assert code == 2
    assert "expected one of lstm-autoencoder" in capsys.readouterr().err


def test_names_of_files_are_never_markup(tmp_path, capsys):
    log = busy_log(tmp_path / "conn.log", minutes=3)
    assert run("features", log, "-o", tmp_path / "[bold]x.csv") == 0
    assert "[bold]x.csv" in capsys.readouterr().out.replace("\n", "")
