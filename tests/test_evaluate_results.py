import io
import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from make import HOSTILE, T0
from rich.console import Console

from entropy_ids.evaluate.compare import Asked, compared
from entropy_ids.evaluate.deployed import judge
from entropy_ids.evaluate.labels import Label
from entropy_ids.evaluate.plots import draw
from entropy_ids.evaluate.results import Evaluated, Evaluation, by_class, by_scale
from entropy_ids.evaluate.sightings import Sighting
from entropy_ids.evaluate.table import tables
from entropy_ids.evaluate.truth import Truth

DAYS = T0 + 60 * np.arange(2000)
"""Sunday 07:00 to Monday 16:20 UTC."""


def sighting(
    minute: int, class_name: str, scale: float, shown: bool = True
) -> Sighting:
    start = T0 + 60 * minute
    label = Label(start, start + 60, class_name, scale=scale)
    return Sighting(label, np.array([start] * shown, np.int64))


LABELS = [
    sighting(100, "dos", 1),
    sighting(300, "dos", 0.1),
    sighting(500, "worm", 1),
    sighting(700, "worm", 0.1),
    sighting(900, "flash-crowd", 1),
    sighting(1100, "dos", 1, shown=False),
]


def evaluation(labels: Any = LABELS, name: str = "profiles/office") -> Evaluation:
    """Give what one profile and two methods make of labels: all but one are found."""
    truth, asked = Truth(DAYS, labels), Asked()
    scores = np.random.default_rng(1).random(2000)
    scores[[100, 300, 500, 900, 1300]] = 3.0, 2.0, 3.0, 3.0, 2.5
    deployed = judge(truth, scores > 1, [], 1.0)
    rows = [compared(n, scores, truth, 1, asked.quiet_minutes) for n in ("one", "two")]
    one = Evaluated(name, "abc", truth, deployed, rows, {"raw": "no columns"})
    return Evaluation(int(DAYS[0]), int(DAYS[-1]), asked, [one])


def shown(of: Evaluation, width: int = 100) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, markup=False, emoji=False)
    for table in tables(of):
        console.print(table)
    return out.getvalue()


def row(text: str, first: str) -> list[str]:
    """Give the cells of the first row that begins so."""
    lines = (re.split(r"\s{2,}", line.strip()) for line in text.splitlines())
    return next(cells for cells in lines if cells[0] == first)


# -------------------------------------------------------------------- figures


def test_figures_are_json_of_six_digits():
    figures = evaluation().as_dict()
    again = json.loads(json.dumps(figures, allow_nan=False))
    assert again == figures
    office = figures["profiles"]["profiles/office"]
    assert office["normal_days"] == 1.36806
    assert figures["logs"]["first"] == "2024-04-21T07:00:00Z"


def test_a_number_that_is_none_is_null():
    of = evaluation()
    endless = replace(of.profiles[0].compared[0], threshold=float("-inf"))
    one = replace(of.profiles[0], compared=[endless])
    figures = replace(of, profiles=[one]).as_dict()["profiles"][one.name]
    assert figures["methods"]["one"]["threshold"] is None


def test_figures_count_attacks_apart_from_what_is_listed():
    office = evaluation().as_dict()["profiles"]["profiles/office"]
    assert (office["all"]["found"], office["all"]["attacks"]) == (3, 4)
    assert office["by_class"]["dos"]["unseen"] == 1
    assert set(office["by_class"]) == {"dos", "worm"}
    assert office["listed"]["flash-crowd"]["found"] == 1
    assert len(office["labels"]) == 6


def test_recall_is_told_by_class_and_by_scale():
    one = evaluation().profiles[0]
    assert one.recall(one.compared[0], by_class) == {"dos": (2, 2), "worm": (1, 2)}
    assert one.recall(one.compared[0], by_scale) == {"1": (2, 2), "0.1": (1, 2)}


# --------------------------------------------------------------------- tables


def test_classes_are_shown_with_their_scales():
    text = shown(evaluation())
    assert row(text, "dos")[:4] == ["dos", "2/2", "1/1", "1/1"]
    assert row(text, "worm")[:4] == ["worm", "1/2", "1/1", "0/1"]
    assert row(text, "dos")[-1] == "1"
    assert row(text, "flash-crowd *")[1] == "1/1"
    assert row(text, "all")[1] == "3/4"
    assert "listed only" in text


def test_methods_are_shown_side_by_side_with_intervals():
    text = shown(evaluation())
    cells = row(text, "one")
    assert cells[:5] == ["one", "3/4", "2/2", "1/2", "1"]
    assert "raw left out: no columns" in text
    assert "found at 1 false incidents a day at most" in text
    assert max(map(len, shown(evaluation(), 80).splitlines())) <= 80


def test_confusions_show_what_was_called_what():
    assert row(shown(evaluation()), "worm")[1] == "1/2"
    assert "missed 2" in shown(evaluation())


def test_labels_that_know_one_scale_show_none():
    assert "×" not in shown(evaluation(LABELS[:1]))


def test_logs_without_attacks_still_tell_of_false_alarms():
    text = shown(evaluation([]))
    assert "false incidents a day" in text
    assert row(text, "one") == ["one", "0/0", "0", "-", "-"]


@pytest.mark.parametrize("text", [HOSTILE["ansi"], HOSTILE["bidi"], HOSTILE["markup"]])
def test_class_names_from_a_file_are_harmless(text):
    out = shown(evaluation([sighting(100, text, 1)]))
    assert not set(out) & {"\x1b", "\u202e", "\u2066"}
    assert ("[bold red]" in out) == ("[bold red]" in text)


# ---------------------------------------------------------------------- plots


def test_four_pictures_are_drawn_for_each_profile(tmp_path):
    made = draw(evaluation(), tmp_path / "new" / "pictures")
    assert [path.name for path in made] == [
        "profiles-office-recall.png",
        "profiles-office-roc.png",
        "profiles-office-precision.png",
        "profiles-office-timeline.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in made)


def test_without_attacks_only_the_scores_are_drawn(tmp_path):
    (made,) = draw(evaluation([], name="../.."), tmp_path)
    assert made == tmp_path / "profile-timeline.png"


def test_the_curves_of_several_profiles_are_drawn_into_one_picture(tmp_path):
    of = evaluation()
    two = replace(of, profiles=[of.profiles[0], evaluation(name="p/b").profiles[0]])
    names = [path.name for path in draw(two, tmp_path)]
    assert names[-3:] == [
        "detectors-recall.png",
        "detectors-roc.png",
        "detectors-precision.png",
    ]


def test_several_profiles_are_told_side_by_side():
    of = evaluation()
    told = {"detector": "lstm-forecaster", "took_s": 61.0, "size_bytes": 2048}
    other = replace(evaluation(name="p/b").profiles[0], **told)
    text = shown(replace(of, profiles=[of.profiles[0], other]), width=120)
    together = text[text.index("detectors at") :]
    assert row(together, "p/b")[-2:] == ["61", "2"]
    assert "lstm-forecaster" in text
    assert "detectors at" not in shown(of)
