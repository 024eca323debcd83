"""The terminal: what is shown, and that text from the wire cannot steer it."""

import io
import unicodedata

import make
import numpy as np
import pandas as pd
import pytest
from make import HOSTILE
from rich.console import Console

from entropy_ids import show
from entropy_ids.calendar import SLOTS, Calendar
from entropy_ids.config import Config
from entropy_ids.errors import ConfigError
from entropy_ids.profile.bounds import learn
from entropy_ids.profile.outlook import effect_of_k
from entropy_ids.profile.revise import Difference
from entropy_ids.settings import SETTINGS
from entropy_ids.types import Account, BadRow, Quality

CORPUS = pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
MOVED = pd.DataFrame({"column": ["flows.all.log2"], "slots": [1], "moved": [0.5]})
UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def rendered(shown, width: int = 160) -> str:
    """Print to a wide, colourless terminal."""
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, highlight=False).print(shown)
    return out.getvalue()


def controls(text: str) -> list[str]:
    text = text.replace("\n", "")
    return [char for char in text if unicodedata.category(char) in UNSAFE]


# ------------------------------------------------------------------- hostile text


@CORPUS
def test_a_hostile_contributor_reaches_the_terminal_harmless(text):
    shown = rendered(show.alarms([make.alarm(contributors=(make.contributor(text),))]))
    assert controls(shown) == []


@CORPUS
def test_a_hostile_row_reaches_the_terminal_harmless(text):
    bad = [BadRow("conn.log", 7, "fields", text)]
    assert controls(rendered(show.account(Account(rows=1), bad))) == []


@CORPUS
def test_a_hostile_file_name_reaches_the_terminal_harmless(text):
    bad = [BadRow(f"logs/{text}.log", 7, "fields", "expected 21 fields")]
    assert controls(rendered(show.account(Account(rows=1), bad))) == []


@CORPUS
def test_a_hostile_remark_reaches_the_terminal_harmless(text):
    assert controls(rendered(show.quality([Quality("gap", make.T0, text)]))) == []


@CORPUS
def test_a_hostile_sensor_name_reaches_the_terminal_harmless(text):
    assert controls(rendered(show.trained(MANIFEST | {"sensor": text}, [text]))) == []


@CORPUS
def test_a_hostile_remark_of_training_reaches_the_terminal_harmless(text):
    assert controls(rendered(show.trained(MANIFEST | {"remarks": [text]}, []))) == []


@CORPUS
def test_a_hostile_value_that_set_a_bound_reaches_the_terminal_harmless(text, learned):
    setters = setters_of(learned, text, ["C1", text])
    assert controls(rendered(show.bounds(learned, "weekday 07", setters))) == []


@CORPUS
def test_a_hostile_difference_reaches_the_terminal_harmless(text):
    found = Difference({"sensor": ("office", text)}, [], MOVED)
    assert controls(rendered(show.difference(found))) == []


@CORPUS
def test_a_hostile_remark_takes_one_line(text):
    remarks = [Quality("gap", make.T0, text), Quality("flush", make.T0, "x")]
    assert show.quality(remarks).plain.count("\n") == 1


def test_text_from_the_wire_is_no_markup():
    alarm = make.alarm(contributors=(make.contributor("[bold]a[/bold]"),))
    assert "[bold]a[/bold]" in rendered(show.alarms([alarm]))


# ---------------------------------------------------------------------- incidents


def test_an_incident_is_shown_by_what_when_how_long_and_who():
    shown = rendered(show.alarms([make.alarm(end=make.T0 + 180)]))
    for text in ("2024-04-21 07:00", "3", "port-scan, medium", "× thr.", "2.5"):
        assert text in shown
    assert "orig_h: 10.0.0.1 50%" in shown
    assert "resp_p: 443/tcp 50%" in shown


def test_at_most_three_values_of_a_feature_are_shown():
    found = tuple(make.contributor(f"10.0.0.{n}") for n in range(5))
    shown = rendered(show.alarms([make.alarm(contributors=found)]))
    assert "10.0.0.2" in shown
    assert "10.0.0.3" not in shown


def test_no_incident_is_said_so():
    assert rendered(show.alarms([])) == "no incident\n"


@pytest.mark.parametrize("severity", ["low", "medium", "high", "critical"])
def test_every_severity_can_be_shown(severity):
    assert severity in rendered(show.alarms([make.alarm(severity=severity)]))


# ------------------------------------------------------------- accounts and remarks


def test_an_account_shows_what_became_of_every_row():
    account = Account(rows=100, counted=90, outside=3)
    account.refuse("fields", 5)
    account.refuse("address", 2)
    assert account.balanced
    assert rendered(show.account(account, [])) == (
        "rows read 100 = counted 90 + quarantined 7 (2 address, 5 fields) "
        "+ outside the range 3\n"
    )


def test_the_first_bad_rows_are_shown_and_the_others_counted():
    bad = [BadRow("conn.log", n, "fields", f"detail {n}") for n in range(1, 10)]
    shown = rendered(show.account(Account(), bad))
    assert "conn.log:1: detail 1; row skipped" in shown
    assert "detail 5" in shown
    assert "detail 6" not in shown
    assert "and 4 more" in shown


def test_remarks_are_shown_once_a_kind_with_their_number():
    remarks = [Quality("gap", make.T0 + 60 * n, f"gap {n}") for n in range(3)]
    remarks.append(Quality("flush", make.T0, "Zeek stopped"))
    assert rendered(show.quality(remarks)).splitlines() == [
        "data: 3 × gap, first 2024-04-21T07:00:00Z: gap 0",
        "data: 1 × flush, first 2024-04-21T07:00:00Z: Zeek stopped",
    ]


# ---------------------------------------------------------------------- profiles

MANIFEST = {
    "sensor": "office",
    "detector": "lstm-autoencoder",
    "range": {"first": "a", "last": "b", "minutes": 100, "whole": 90, "normal": 80},
    "threshold": 1.2345,
    "budget": None,
    "remarks": ["no weekend minute was trained on"],
    "columns": ["flows.all.log2"],
}


def test_a_profile_shows_what_it_was_trained_on():
    shown = rendered(show.trained(MANIFEST, ["bytes.all.log2"]))
    assert "sensor office, detector lstm-autoencoder, trained on a to b" in shown
    assert "90 whole minutes of 100, 80 of them below the threshold 1.23" in shown
    assert "1 columns left out" in shown
    assert "bytes.all.log2" in shown


BUDGET = {"alarms_per_day": 1.0, "days": 7.0, "incidents": 7, "interval": [0.402, 2.06]}


def test_a_profile_shows_how_many_alarms_to_expect():
    shown = rendered(show.trained(MANIFEST | {"budget": BUDGET}, []), 240)
    assert (
        "expect 1 alarms a day from normal traffic (95 % interval 0.4 to 2.1): 7 in "
        "7.0 days held out, budget 1 a day\n"
    ) in shown


def test_a_profile_without_a_budget_expects_nothing_but_shows_its_remarks():
    shown = rendered(show.trained(MANIFEST, []))
    assert "expect " not in shown
    assert shown.endswith("remark: no weekend minute was trained on\n")


@pytest.fixture(scope="module")
def learned() -> pd.DataFrame:
    values = pd.DataFrame({"flows.all.log2": np.arange(60.0)}, make.stamps(60))
    return learn(values, np.full(60, 7), np.zeros(60, int), 60)


NOBODY = pd.DataFrame({"minute": [], "key": [], "value": [], "uids": []})


def setters_of(bounds: pd.DataFrame, value: str, uids: list[str]) -> pd.DataFrame:
    """Give who set the highest bound."""
    minute = bounds["high_minute"].iloc[0]
    row = {"minute": [minute], "key": ["pair"], "value": [value], "uids": [uids]}
    return pd.DataFrame(row, dtype=object)


def test_every_slot_is_shown_with_its_maturity(learned):
    lines = rendered(show.slots(learned)).splitlines()
    assert sum("week" in line for line in lines) == SLOTS
    [own] = [line for line in lines if "weekday 07" in line]
    [other] = [line for line in lines if "weekend 23" in line]
    assert [cell.strip() for cell in own.split("│")[2:6]] == ["60", "1", "0", "3.28%"]
    assert [cell.strip() for cell in other.split("│")[2:6]] == [
        "60",
        "1",
        "60",
        "3.28%",
    ]


def test_the_bounds_of_a_slot_are_shown_with_the_minutes_that_set_them(learned):
    setters = setters_of(learned, "a/b", ["C1", "C2"])
    shown = rendered(show.bounds(learned, "weekday 07", setters))
    [row] = [line for line in shown.splitlines() if "flows.all.log2" in line]
    cells = [cell.strip() for cell in row.split("│")[2:7]]
    by = "2024-04-21 07:59 a/b C1 C2"
    assert cells == ["60", "0.000", "2024-04-21 07:00", "59.000", by]


def test_the_bounds_of_a_column_never_known_can_be_shown():
    values = pd.DataFrame({"flows.all.log2": [np.nan, np.nan]}, make.stamps(2))
    table = learn(values, np.array([7, 7]), np.zeros(2, int), 1)
    shown = rendered(show.bounds(table, "weekday 07", NOBODY))
    assert "2024-04-21" not in shown


@pytest.mark.parametrize("slot", ["weekday 24", "Monday", "", "weekday 7"])
def test_an_unknown_slot_is_refused_by_name(learned, slot):
    with pytest.raises(ConfigError, match=f"found '{slot}'"):
        show.bounds(learned, slot, NOBODY)


@pytest.mark.parametrize("slot", [0, 23, 24, SLOTS - 1])
def test_every_named_slot_can_be_shown(learned, slot):
    assert Calendar.name(slot) in rendered(
        show.bounds(learned, Calendar.name(slot), NOBODY)
    )


def test_the_effect_of_k_is_shown_by_margin_and_width():
    values = pd.DataFrame({"flows.all.log2": np.arange(1.0, 5.0)})
    effect = effect_of_k(values, np.zeros(4, int), np.array([0, 0, 1, 1]), (1.0, 1.5))
    lines = rendered(show.effect_of_k(effect)).splitlines()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]
    assert ["span", "100.00%", "100.00%"] in cells
    assert ["ratio", "100.00%", "50.00%"] in cells
    assert ["published", "100.00%", "75.00%"] in cells
    assert any("k = 1 " in line and "k = 1.5 " in line for line in lines)


def test_an_effect_that_cannot_be_told_is_shown_as_a_dash():
    values = pd.DataFrame({"flows.all.log2": [1.0, 2.0]})
    shown = rendered(show.effect_of_k(effect_of_k(values, np.zeros(2), np.zeros(2))))
    assert "│ span      │ -" in shown
    assert "nan" not in shown


def test_a_difference_shows_both_values_the_columns_and_the_furthest_moves():
    moved = {"column": [f"c{n}" for n in range(22)], "slots": 3, "moved": 0.5}
    found = Difference({"judging.k": (1.25, 1.5)}, ["a", "b"], pd.DataFrame(moved))
    shown = rendered(show.difference(found))
    cells = [[cell.strip() for cell in x.split("│")[1:-1]] for x in shown.splitlines()]
    assert ["judging.k", "1.25", "1.5"] in cells
    assert "columns of one only: a, b" in shown
    assert ["c19", "3", "0.50"] in cells
    assert ["c20", "3", "0.50"] not in cells
    assert "and 2 columns more" in shown


def test_nothing_that_differs_is_shown_as_nothing():
    shown = rendered(show.difference(Difference({}, [], MOVED[:0])))
    assert "columns of one only: none" in shown


# ---------------------------------------------------------------------- settings


def test_every_setting_is_shown_and_what_was_given_is_marked():
    config = Config.load(overrides=["judging.k=1.5"], environment={})
    shown = rendered(show.settings(config), width=240)
    assert all(setting.key in shown for setting in SETTINGS)
    assert "1.5 *" in shown
    assert shown.count(" * ") == 1
