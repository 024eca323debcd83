"""Every detector from the command line: trained, replayed, evaluated, explained."""

import json
from pathlib import Path

import pytest
from test_evaluate_cli import LABELS, SCAN, SMALL, T0, run, scan, usual
from zeek import COLUMNS, Row, write_conn

from entropy_ids.detectors import DETECTORS, FLOW_MODELS

UNTIL = ("--to", T0 + 60 * 200)
FROM = ("--from", T0 + 60 * 200)
FEW = ("--set", "training.pass_sequences=600", *SMALL)
EARLY = 60


def early(row: Row) -> Row:
    return {**row, "ts": row["ts"] - 60 * (SCAN - EARLY), "uid": f"E{row['uid']}"}


def labelled(row: Row) -> Row:
    bad = row["id.orig_h"] == "198.19.0.9"
    told = ("Malicious", "PortScan") if bad else ("Benign", "-")
    return {**row, "label": told[0], "detailed": told[1]}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five hours with a scan early and one late; with labels beside and within."""
    folder = tmp_path_factory.mktemp("detectors")
    scans = [scan(port) for port in range(1, 440)]
    rows = usual() + scans + [early(row) for row in scans]
    rows.sort(key=lambda row: row["ts"] + row["duration"])
    write_conn(folder / "conn.log", rows)
    first = T0 + 60 * EARLY
    more = f"{first},{first + 110},port-scan,198.19.0.9,10.0.0.0/24\n"
    (folder / "labels.csv").write_text(LABELS + more)
    names = (*COLUMNS, "label", "detailed")
    within = write_conn(folder / "conn.log.labeled", map(labelled, rows), columns=names)
    text = within.read_text().replace("\tdetailed\n", "\tdetailed-label\n")
    within.write_text(text)
    return folder


@pytest.fixture(scope="module", params=[*DETECTORS, *FLOW_MODELS])
def trained(request: pytest.FixtureRequest, site: Path) -> Path:
    """A profile of the first two hundred minutes, attacks left out or learned."""
    kind, out = request.param, site / request.param
    how = ("--detector", kind, "--labels", site / "labels.csv", *UNTIL)
    assert run("train", site / "conn.log", *how, "--profile", out, *FEW) == 0
    return out


def evaluated(site: Path, profile: Path, out: Path, *more: object) -> dict:
    how = (*FROM, "--labels", site / "labels.csv", "--json", out, "--no-rivals", *more)
    assert run("evaluate", site / "conn.log", *how, "--profile", profile) == 0
    return json.loads(out.read_text())


def test_every_detector_is_evaluated(site, trained, tmp_path, capsys):
    told = evaluated(site, trained, tmp_path / "out.json")
    (one,) = told["profiles"].values()
    assert one["detector"] == trained.name
    assert one["training_s"] > 0
    assert one["weights_bytes"] > 1000
    assert one["methods"]["detector"]["attacks"] == 1


def test_every_detector_but_the_classifier_raises_alarms(
    site, trained, tmp_path, capsys
):
    how = ("--profile", trained, *FROM, "--out", tmp_path / "out")
    classifies = trained.name == "attention-multi-flow"
    assert run("replay", site / "conn.log", *how) == (2 if classifies else 0)
    assert (tmp_path / "out" / "alarms.jsonl").exists() != classifies
    hint = "use it in entropy-ids evaluate and explain"
    assert (hint in capsys.readouterr().err) == classifies


def test_flows_of_a_flow_model_are_held_against_their_labels(site, trained, tmp_path):
    told = evaluated(site, trained, tmp_path / "out.json")
    (flows,) = told["flows"].values() or [None]
    assert (flows is None) == (trained.name in DETECTORS)
    if flows:
        assert flows["per_flow"]["attacks"] == 439
        assert flows["per_dyad_hour"]["attacks"] == 1
        classifies = trained.name == "attention-multi-flow"
        assert flows["per_flow"]["roc_auc"] > (0.9 if classifies else 0)


@pytest.fixture(scope="module")
def classes(site: Path) -> Path:
    out = site / "classes"
    how = ("--detector", "attention-multi-flow", "--profile", out, *UNTIL, *FEW)
    assert run("train", site / "conn.log.labeled", *how) == 0
    return out


def test_a_labelled_log_teaches_without_other_labels(site, classes, tmp_path, capsys):
    out, log = tmp_path / "out.json", site / "conn.log.labeled"
    how = ("--labels", log, "--json", out, "--no-rivals", *FROM)
    assert run("evaluate", log, *how, "--profile", classes) == 0
    (flows,) = json.loads(out.read_text())["flows"].values()
    assert [one["name"] for one in flows["classes"]["classes"]] == [
        "normal",
        "PortScan",
    ]
    assert flows["per_flow"]["attacks"] == 439
    assert "the paper's own figures" in capsys.readouterr().out


def test_baselines_learn_what_the_classifier_learned(site, classes, tmp_path):
    log, out = site / "conn.log.labeled", tmp_path / "out.json"
    how = ("--labels", log, "--no-rivals", "--baselines", "--json", out)
    assert run("evaluate", log, *how, "--profile", classes) == 0
    (flows,) = json.loads(out.read_text())["flows"].values()
    found = {name: one["accuracy"] for name, one in flows["baselines"].items()}
    assert set(found) == {"naive-bayes", "svm", "adaboost", "mlp", "plain-lstm"}
    assert found["mlp"] > 0.9


def test_baselines_without_the_training_are_refused(site, classes, capsys):
    log = site / "conn.log.labeled"
    how = ("--labels", log, "--no-rivals", "--baselines", *FROM)
    assert run("evaluate", log, *how, "--profile", classes) == 3
    assert "--baselines: expected the flows of the training" in capsys.readouterr().err


def test_an_alarm_is_explained_with_its_classes(site, classes, tmp_path, capsys):
    profile, out = tmp_path / "p", tmp_path / "out"
    log = site / "conn.log"
    clean = ("--labels", site / "labels.csv", *UNTIL)
    assert run("train", log, *clean, "--profile", profile, *FEW) == 0
    assert run("replay", log, *FROM, "--profile", profile, "--out", out) == 0
    lines = (out / "alarms.jsonl").read_text().splitlines()
    found = {alarm["class"]: alarm["id"] for alarm in map(json.loads, lines)}
    assert run("explain", out, found["port-scan"], "--classifier", classes) == 0
    said = capsys.readouterr().out
    assert "what attention-multi-flow calls them" in said
    assert "attention behind the surest" in said


@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        (("--leave-out", "dos"), 2, "--leave-out: expected --labels with it"),
        (("--detector", "attention-multi-flow"), 3, "expected"),
        (("--detector", "nothing"), 2, "flow-language-model"),
        (("--set", "features.set=dns-exfiltration"), 3, "expected dns logs"),
    ],
)
def test_what_cannot_be_learned_is_refused(site, tmp_path, capsys, more, code, told):
    how = ("--profile", tmp_path / "p", *UNTIL, *SMALL, *more)
    assert run("train", site / "conn.log", *how) == code
    assert told in capsys.readouterr().err


def test_labels_that_match_nothing_are_refused(site, tmp_path, capsys):
    wrong = tmp_path / "labels.csv"
    wrong.write_text(LABELS.replace("198.19.0.9", "203.0.113.77"))
    how = ("--profile", tmp_path / "p", "--labels", wrong, *SMALL)
    assert run("train", site / "conn.log", *how) == 3
    assert "--labels: expected rows of some of the 1 labels" in capsys.readouterr().err
