import json
from pathlib import Path

import numpy as np
import pytest
from zeek import Row, conn, write_conn

from entropy_ids.cli import main
from entropy_ids.evaluate.methods import METHODS

T0 = 1_772_793_000
"""2026-03-06 10:30 UTC."""
MINUTES, SCAN = 300, 240
SMALL = [
    *("--set", "training.epochs=1"),
    *("--set", "detector.hidden=8"),
    *("--set", "detector.latent=4"),
    *("--set", "detector.window_min=5"),
]
LABELS = (
    "start,end,class,attackers,victims\n"
    f"{T0 + 60 * SCAN},{T0 + 60 * SCAN + 110},port-scan,198.19.0.9,10.0.0.0/24\n"
)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def usual() -> list[Row]:
    """Give twenty connections a minute between hosts of uneven busyness."""
    draws = np.random.default_rng(1).geometric((0.1, 0.2, 0.5), (20 * MINUTES, 3))
    return [
        conn(
            number,
            ts=float(T0 + 3 * number),
            duration=0.5,
            orig_h=f"10.0.0.{min(host, 60)}",
            resp_h=f"93.184.216.{min(server, 40)}",
            resp_p=(443, 80, 53, 25)[min(service, 4) - 1],
        )
        for number, (host, server, service) in enumerate(draws.tolist())
    ]


def scan(port: int) -> Row:
    ts = T0 + 60 * SCAN + port * 0.25
    hosts = {"orig_h": "198.19.0.9", "resp_h": "10.0.0.5", "conn_state": "REJ"}
    return conn(port, ts=ts, uid=f"S{port}", duration=0.01, resp_p=port, **hosts)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five hours of logs, the last of them with a scan; a profile of the first four."""
    folder = tmp_path_factory.mktemp("evaluate")
    rows = usual() + [scan(port) for port in range(1, 440)]
    rows.sort(key=lambda row: row["ts"])
    write_conn(folder / "conn.log", rows)
    (folder / "labels.csv").write_text(LABELS)
    log, end = folder / "conn.log", T0 + 60 * 200
    assert run("train", log, "--to", end, "--profile", folder / "p", *SMALL) == 0
    return folder


def asked(site: Path, *more: object, labels: str = "labels.csv") -> list[object]:
    given = ["evaluate", site / "conn.log", "--from", T0 + 60 * 200]
    return [*given, "--labels", site / labels, "--profile", site / "p", *more]


def test_a_port_scan_is_found_by_all_and_written_down(site, tmp_path, capsys):
    out = ("--json", tmp_path / "figures.json", "--plots", tmp_path / "pictures")
    assert run(*asked(site, *out)) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    (office,) = figures["profiles"].values()
    (label,) = office["labels"]
    assert (label["found"], label["minutes"], label["delay_min"]) == (True, 2, 0)
    assert label["attributed"]
    assert office["methods"]["detector"]["found"] == 1
    assert set(METHODS) - set(office["methods"]) == {"mahalanobis"}  # the detector's
    assert office["methods"]["pca"]["roc_auc"]["value"] > 0.99
    assert len(list((tmp_path / "pictures").iterdir())) == 4
    said = capsys.readouterr().out
    assert "port-scan" in said
    assert "isolation-forest" in said


def test_a_curve_of_learning_needs_two_days(site, capsys):
    said = refused(capsys, 3, *asked(site, "--learning", "--no-rivals"))
    assert "--learning: expected a profile of two days at least" in said


def test_the_same_seed_writes_the_same_bytes(site, tmp_path):
    for name in ("one.json", "two.json"):
        assert run(*asked(site, "--json", tmp_path / name, "--seed", 5)) == 0
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_two_profiles_stand_side_by_side(site, tmp_path, capsys):
    (tmp_path / "q").mkdir()
    for path in (site / "p").iterdir():
        (tmp_path / "q" / path.name).write_bytes(path.read_bytes())
    out = tmp_path / "figures.json"
    assert run(*asked(site, "--profile", tmp_path / "q", "--json", out)) == 0
    one, other = json.loads(out.read_text())["profiles"].values()
    assert one == other


def test_labels_outside_the_range_that_is_read_are_left_out(site, capsys):
    early = site / "early.csv"
    early.write_text(LABELS + f"{T0},{T0 + 60},dos,198.19.0.1,\n")
    assert run(*asked(site, labels="early.csv")) == 0
    assert "1 of 2 labels in the range" in capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> str:
    assert run(*arguments) == code
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_a_label_outside_the_logs_is_named_with_their_range(site, capsys):
    late = site / "late.csv"
    late.write_text(LABELS + "2026-04-01T00:00Z,2026-04-01T01:00Z,worm\n")
    said = refused(capsys, 3, *asked(site, labels="late.csv"))
    assert "label worm from 2026-04-01T00:00:00Z" in said
    assert "which go from 2026-03-06T13:50:00Z to 2026-03-06T15:29:00Z" in said


def test_labels_that_are_not_there_are_refused_before_work(site, capsys):
    said = refused(capsys, 3, *asked(site, labels="nowhere.csv"))
    assert "nowhere.csv: expected a readable file of labels" in said


def test_a_profile_that_is_not_there_is_refused(site, capsys):
    said = refused(capsys, 4, *asked(site, "--profile", site / "nowhere"))
    assert "expected a file of a profile" in said


def test_a_range_without_rows_is_refused(site, capsys):
    more = ("--from", "2026-03-20", "--to", "2026-03-21")
    assert "found none that could be counted" in refused(capsys, 3, *asked(site, *more))


def test_settings_that_the_profile_was_not_trained_with_are_refused(site, capsys):
    said = refused(capsys, 4, *asked(site, "--set", "entropy.rarefy_to=8"))
    assert "entropy.rarefy_to: expected 16" in said


def test_labels_and_profiles_must_be_given(site, capsys):
    assert "--labels" in refused(capsys, 2, "evaluate", site / "conn.log")


def test_help_has_examples(capsys):
    assert run("evaluate", "--help") == 0
    assert "Examples:" in capsys.readouterr().out
