"""What a classifier of flows says of an incident, in the terminal."""

import io
from dataclasses import replace

import pytest
from rich.console import Console
from test_flow_models import NEW, model
from test_learning import MINUTES, rows, trained

from entropy_ids.detectors import AttentionMultiFlow
from entropy_ids.detectors.flows import LABEL
from entropy_ids.errors import ConfigError
from entropy_ids.evaluate.flows import with_labels
from entropy_ids.report.classified import classified, classifier
from entropy_ids.report.found import Evidence, Rows


@pytest.fixture(scope="module")
def taught() -> AttentionMultiFlow:
    return model(AttentionMultiFlow.name)


def evidence(minute: int | None) -> Evidence:
    """Give the conn rows of one minute of new flows, as evidence keeps them."""
    first = NEW["ts"][0].timestamp()
    told = []
    for row in NEW.drop(LABEL, "line").iter_rows(named=True):
        ts = row["ts"].timestamp()
        if minute is not None and (ts - first) // 60 == minute:
            kept = {name: value for name, value in row.items() if value is not None}
            told.append(kept | {"ts": ts})
    return Evidence({"conn": Rows(told, len(told))})


def shown(of: Evidence, by: AttentionMultiFlow) -> str:
    out = io.StringIO()
    Console(file=out, width=120, markup=False).print(classified(of, by))
    return out.getvalue()


def test_a_scan_is_called_one_and_the_attention_behind_it_is_shown(taught):
    text = shown(evidence(8), taught)
    assert "port-scan │ 2" in text
    assert "attention behind the surest: connection" in text
    assert "198.51.100.66" in text


def test_usual_connections_are_called_normal(taught):
    text = shown(evidence(3), taught)
    assert "│ normal    │ 6 " in text
    assert "port-scan │ 0 " in text


def test_without_rows_there_is_nothing_to_classify(taught):
    assert "nothing to classify" in shown(evidence(None), taught)


def test_what_came_over_the_wire_is_harmless(taught):
    of = evidence(8)
    rows_ = [{**row, "proto": "\x1b[31mtcp"} for row in of.logs["conn"].rows]
    text = shown(replace(of, logs={"conn": Rows(rows_, len(rows_))}), taught)
    assert "\x1b" not in text


def test_a_profile_of_another_detector_is_refused(tmp_path):
    made, _ = trained(
        rows(MINUTES), "lstm-autoencoder", labelled=lambda r: with_labels(r, [])
    )
    made.profile.write(tmp_path / "p")
    with pytest.raises(ConfigError, match="attention-multi-flow, found one of lstm"):
        classifier(tmp_path / "p")
