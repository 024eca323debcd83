from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from make import T0, minutes, row

from entropy_ids.errors import InputError
from entropy_ids.evaluate.labels import Label
from entropy_ids.evaluate.sightings import AFTER_S, LATE_S, Sighting, Sightings

OUT, IN = "198.19.0.1", "10.0.0.5"


def between(orig: str, resp: str, began: float = 0, **values: Any) -> dict:
    ts = datetime.fromtimestamp(T0 + began, UTC)
    return row(orig, resp_h=resp, ts=ts, **values)


def seen(label: Label, *rows_of: list[dict]) -> list[int]:
    """Give the minutes, counted from the first, that a label touches."""
    found = Sightings([label])
    for number, rows in enumerate(rows_of):
        found.add(minutes(rows, T0 + 60 * number))
    (sighting,) = found.all()
    return [(minute - T0) // 60 for minute in sighting.minutes.tolist()]


def label(attackers: str = OUT, victims: str = IN, **values: Any) -> Label:
    usual = {"start": T0 + 10, "end": T0 + 70, "class_name": "dos"}
    sides = tuple(attackers.split()), tuple(victims.split())
    return Label(attackers=sides[0], victims=sides[1], **(usual | values))


ORDINARY = [between("10.0.0.9", "192.0.2.1")]


def test_minutes_with_a_row_of_the_attack_are_counted_and_no_others():
    rows = [between(OUT, IN, 20)]
    assert seen(label(), ORDINARY, rows, ORDINARY, rows + ORDINARY) == [1, 3]


@pytest.mark.parametrize(
    ("orig", "resp", "counts"),
    [
        (OUT, IN, True),
        (IN, OUT, True),
        (OUT, "10.0.0.6", False),
        ("198.19.0.2", IN, False),
        (OUT, OUT, False),
    ],
)
def test_rows_between_both_sides_count_either_way_round(orig, resp, counts):
    assert seen(label(), [between(orig, resp, 20)]) == [0] * counts


@pytest.mark.parametrize("sides", [(OUT, ""), ("", OUT)])
def test_where_one_side_is_known_its_rows_count_at_either_end(sides):
    rows = [between(OUT, "10.0.0.6", 20)], [between("10.0.0.7", OUT, 20)], ORDINARY
    assert seen(label(*sides), *rows) == [0, 1]


def test_networks_take_in_their_addresses():
    broad = label("198.19.0.0/17 2001:db8::/32", "10.0.0.0/24")
    rows = [
        [between("198.19.127.1", IN, 20)],
        [between("198.19.128.1", IN, 20)],
        [between("2001:db8:1::7", IN, 20)],
        [between("198.19.3.4", "10.0.1.5", 20)],
    ]
    assert seen(broad, *rows) == [0, 2]


def test_a_row_that_is_written_late_counts_where_it_is_counted():
    found = Sightings([label()])
    found.add(minutes(ORDINARY))
    for late in (3_600, 7_200):
        found.add(minutes([between(OUT, IN, 20)], T0 + late))
    assert found.all()[0].minutes.tolist() == [T0 + 3_600]
    assert T0 + 70 + LATE_S < T0 + 7_200


def test_rows_that_began_at_another_time_are_ordinary():
    rows = [between(OUT, IN, began) for began in (-61, 180)]
    assert seen(label(), rows) == []
    assert seen(label(), [between(OUT, IN, 130)]) == [0]


@pytest.mark.parametrize(
    "one", [label("", ""), label("", "10.0.0.0/8", class_name="outage")]
)
def test_without_addresses_or_rows_the_time_counts_to_the_minute_after(one):
    assert seen(one, *[ORDINARY] * 5) == [0, 1, 2]


def test_an_attack_whose_rows_are_not_there_is_not_counted():
    assert seen(label(), ORDINARY, ORDINARY) == []


@pytest.mark.parametrize(("start", "end"), [(-600, -1), (60, 120)])
def test_a_label_outside_the_logs_is_refused_with_their_range(start, end):
    with pytest.raises(InputError) as refused:
        seen(label(start=T0 + start, end=T0 + end), ORDINARY)
    words = "from 2024-04-21T07:00:00Z to 2024-04-21T07:00:00Z"
    assert words in str(refused.value)
    assert "label dos" in str(refused.value)


FIFTEEN = T0 + 60 * np.arange(15)


def test_its_shade_goes_from_the_first_minute_to_five_after_the_last():
    sighting = Sighting(label(), FIFTEEN[[3, 6]])
    shade = [3 <= n <= 6 + AFTER_S // 60 for n in range(15)]
    assert sighting.shades(FIFTEEN).tolist() == shade
    assert ((sighting.finding - T0) // 60).tolist() == [3, 6, 7]


def test_a_label_without_minutes_casts_no_shade():
    nothing = Sighting(label(), FIFTEEN[:0])
    assert not nothing.shades(FIFTEEN).any()
    assert nothing.finding.tolist() == []
