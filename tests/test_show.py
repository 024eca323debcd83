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
from entropy_ids.settings import SETTINGS
from entropy_ids.types import Account, BadRow, Quality

CORPUS = pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
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


@pytest.fixture(scope="module")
def learned() -> pd.DataFrame:
    values = pd.DataFrame({"flows.all.log2": np.arange(60.0)}, make.stamps(60))
    return learn(values, np.full(60, 7), np.zeros(60, int), 60)


NOBODY = pd.DataFrame({"minute": [], "key": [], "value": [], "uids": []})


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
    stamp = learned["high_minute"].iloc[0]
    who = {"minute": [stamp], "key": ["pair"], "value": ["a/b"], "uids": [["C1", "C2"]]}
    shown = rendered(show.bounds(learned, "weekday 07", pd.DataFrame(who)))
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


# ---------------------------------------------------------------------- settings


def test_every_setting_is_shown_and_what_was_given_is_marked():
    config = Config.load(overrides=["judging.k=1.5"], environment={})
    shown = rendered(show.settings(config), width=240)
    assert all(setting.key in shown for setting in SETTINGS)
    assert "1.5 *" in shown
    assert shown.count(" * ") == 1
