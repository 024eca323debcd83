from typing import Any

import numpy as np
import pytest
from make import T0, alarm, contributor

from entropy_ids.errors import InputError
from entropy_ids.evaluate.compare import Asked, Compared, compare, compared
from entropy_ids.evaluate.deployed import Deployed, accepted, judge, names, tally
from entropy_ids.evaluate.labels import LISTED, Label
from entropy_ids.evaluate.sightings import Sighting
from entropy_ids.evaluate.truth import Truth

DAY = T0 + 60 * np.arange(1440)
THRESHOLD = 1.0


def sighting(*minutes: int, class_name: str = "dos", **values: Any) -> Sighting:
    """Give a label that these minutes of the day count rows of."""
    sides = {"attackers": ("198.19.0.1",), "victims": ("10.0.0.0/24",)}
    first = T0 + 60 * min(minutes, default=0)
    label = Label(first, first + 60, class_name, **(sides | values))
    return Sighting(label, T0 + 60 * np.array(minutes, np.int64))


def peaks(*minutes: int, height: float = 2.0) -> np.ndarray:
    """Give the day's scores: low, but for some minutes."""
    scores = np.arange(1440) / 1e5
    scores[list(minutes)] = height
    return scores


# ----------------------------------------------------------------------- truth


def test_normal_is_what_lies_in_no_label_nor_in_five_minutes_after_one():
    labels = sighting(100, 103), sighting(200, class_name="flash-crowd"), sighting()
    truth = Truth(DAY, labels)
    away = {*range(100, 109), *range(200, 206)}
    assert set(np.flatnonzero(~truth.normal).tolist()) == away
    assert truth.days == (1440 - len(away)) / 1440


def test_attacks_are_what_counts_and_was_counted():
    labels = [sighting(n, class_name=c) for n, c in enumerate(sorted(LISTED))]
    labels += [sighting(), sighting(50)]
    assert Truth(DAY, labels).attacks == labels[-1:]


@pytest.mark.parametrize(("place", "height"), [(100, 9), (103, 9), (104, 9)])
def test_an_attack_reaches_as_high_as_its_minutes_and_the_next(place, height):
    truth = Truth(DAY, [sighting(100, 103)])
    assert truth.highest(peaks(place, height=9)).tolist() == [height]


@pytest.mark.parametrize("place", [99, 101, 105])
def test_what_lies_beside_its_minutes_does_not_find_an_attack(place):
    truth = Truth(DAY, [sighting(100, 103)])
    assert truth.highest(peaks(place)).tolist() == [0.00104]


def test_an_attack_that_no_scored_minute_shows_is_missed():
    truth = Truth(DAY[:50], [sighting(100)])
    assert truth.highest(peaks()[:50]).tolist() == [-np.inf]


def test_logs_without_a_normal_minute_are_refused():
    with pytest.raises(InputError, match="found none among 6 scored ones"):
        Truth(DAY[:6], [sighting(0)])


def test_areas_weigh_attacked_minutes_against_normal_ones_alone():
    truth = Truth(DAY, [sighting(100, 103), sighting(500, class_name="beacon")])
    scores = peaks(100, 103)
    scores[[101, 105, 500, 505]] = 3.0  # between, after, and listed only: not judged
    roc, precision = truth.areas(scores)
    assert (roc.value, roc.low, roc.high) == (1, 1, 1)
    assert precision.value == 1


def test_there_are_no_areas_without_attacks():
    assert Truth(DAY, [sighting(5, class_name="beacon")]).areas(peaks()) is None


def test_intervals_come_from_the_seed():
    labels = [sighting(n, n + 1) for n in range(0, 1400, 100)]
    scores = np.random.default_rng(5).normal(size=1440)
    one, again, other = (Truth(DAY, labels, seed).areas(scores) for seed in (1, 1, 2))
    assert one == again != other
    assert one[0].low < one[0].value < one[0].high


def test_recall_rises_with_false_incidents():
    labels = [sighting(100), sighting(300), sighting(500)]
    scores = peaks(100, height=5) + peaks(700, height=4) + peaks(300, height=3)
    false, found = Truth(DAY, labels).recall(scores, quiet_minutes=5)
    at = {round(f * 1422 / 1440): s for f, s in zip(false[:2], found[:2], strict=True)}
    assert at == {0: 1 / 3, 1: 2 / 3}
    assert (np.diff(false) >= 0).all()
    assert found[-1] == 1


def test_an_attack_no_higher_than_a_normal_minute_costs_that_minute():
    truth = Truth(DAY, [sighting(100)])
    false, found = truth.recall(peaks(100, 700), quiet_minutes=5)
    assert found[false == 0].tolist() == [0]


# -------------------------------------------------------------------- deployed


def incident(start: int, end: int, **values: Any) -> Any:
    """Give an alarm over some minutes of the day, the last one excluded."""
    span = {"start": T0 + 60 * start, "end": T0 + 60 * end, "class_name": "dos"}
    return alarm(**(span | {"contributors": (contributor("198.19.0.1"),)} | values))


def judged(*alarms: Any, labels: Any = (), scores: Any = None) -> Deployed:
    truth = Truth(DAY, labels or [sighting(100, 101, 103)])
    above = (peaks(102, 103) if scores is None else scores) > THRESHOLD
    return judge(truth, above, alarms, THRESHOLD)


def test_an_attack_is_found_named_and_attributed_after_a_delay():
    (outcome,) = judged(incident(102, 104)).outcomes
    assert outcome.found
    assert outcome.delay_min == 3
    assert outcome.alarm_class == "dos"
    assert outcome.named
    assert outcome.attributed
    assert (outcome.minutes, outcome.first) == (3, T0 + 6000)


def test_the_strongest_incident_over_an_attack_speaks_for_it():
    weak = incident(102, 104, score=2.0)
    strong = incident(103, 106, score=3.0, class_name="worm", contributors=())
    (outcome,) = judged(weak, strong).outcomes
    assert outcome.alarm_class == "worm"
    assert not outcome.named
    assert outcome.attributed is False


def test_an_incident_elsewhere_says_nothing_of_an_attack():
    deployed = judged(incident(20, 100), incident(105, 107), scores=peaks(104))
    (outcome,) = deployed.outcomes
    assert outcome.found
    assert outcome.alarm_class is None


def test_an_incident_in_the_minute_after_an_attack_is_its_own():
    (outcome,) = judged(incident(104, 105), scores=peaks(104)).outcomes
    assert outcome.alarm_class == "dos"
    assert outcome.delay_min == 4


def test_an_attack_below_the_threshold_is_missed():
    deployed = judged(scores=peaks())
    (outcome,) = deployed.outcomes
    assert not outcome.found
    assert outcome.delay_min is outcome.alarm_class is None
    assert deployed.confusion == {"dos": {"missed": 1}}


@pytest.mark.parametrize(
    ("start", "end", "false"),
    [(99, 100, 1), (99, 101, 0), (103, 120, 0), (108, 109, 0), (109, 110, 1)],
)
def test_false_is_an_incident_that_touches_no_label_nor_what_follows(start, end, false):
    deployed = judged(incident(start, end))
    assert deployed.false_incidents == false
    assert deployed.false_per_day.value == false / (1431 / 1440)
    assert deployed.confusion.get("(normal)") == ({"dos": 1} if false else None)


@pytest.mark.parametrize("class_name", sorted(LISTED))
def test_an_alarm_over_what_is_only_listed_is_not_false(class_name):
    labels = [sighting(300, class_name=class_name)]
    deployed = judged(incident(300, 302), labels=labels, scores=peaks(300))
    assert deployed.false_incidents == 0
    assert deployed.outcomes[0].found


def test_an_attack_without_rows_is_not_counted_and_forgives_nothing():
    deployed = judged(incident(0, 2), labels=[sighting()])
    (outcome,) = deployed.outcomes
    assert (outcome.minutes, outcome.first, outcome.found) == (0, None, False)
    assert deployed.false_incidents == 1
    assert "dos" not in deployed.confusion


@pytest.mark.parametrize(
    ("class_name", "name", "also"),
    [
        ("worm", "", {"network-scan"}),
        ("dos", "httpflood-low", {"ddos"}),
        ("ddos", "http", {"dos"}),
        ("dos", "syn", set()),
        ("port-scan", "http", set()),
        ("wormhole", "", set()),
    ],
)
def test_which_classes_name_a_label(class_name, name, also):
    assert accepted(Label(0, 1, class_name, name=name)) == {class_name} | also


@pytest.mark.parametrize(
    ("value", "feature", "expected"),
    [
        ("198.19.0.1", "orig_h", True),
        ("10.0.0.77", "resp_h", True),
        ("10.0.0.0/16", "orig_net", True),
        ("198.19.0.2", "orig_h", False),
        ("198.19.0.1", "service", False),
        ("::", "orig_h", False),
        ("fe80::%eth0/", "orig_h", False),
        ("443/tcp", "resp_p", False),
    ],
)
def test_who_took_part_is_named_by_address_or_by_network(value, feature, expected):
    named = alarm(contributors=(contributor(value, feature=feature),))
    assert names(named, sighting().label) == expected


def test_what_names_nobody_cannot_be_attributed():
    (outcome,) = judged(
        incident(103, 104), labels=[sighting(103, attackers=(), victims=())]
    ).outcomes
    assert outcome.attributed is None
    assert tally([outcome]).addressed == 0


def test_a_tally_adds_up_what_was_counted():
    labels = [sighting(100), sighting(300), sighting(500), sighting()]
    scores = peaks(100, 301)
    deployed = judged(incident(100, 101), labels=labels, scores=scores)
    total = tally(deployed.outcomes)
    assert (total.attacks, total.unseen, total.found) == (3, 1, 2)
    assert (total.named, total.attributed, total.addressed) == (1, 1, 2)
    assert total.delay_min == 0.5


# --------------------------------------------------------- equal false alarms

LABELS = [sighting(100), sighting(300), sighting(500)]
SCORES = peaks(100, height=5) + peaks(300, height=3) + peaks(700, height=4)


@pytest.mark.parametrize(("most", "found"), [(0, 1), (1, 2)])
def test_a_method_is_given_the_lowest_threshold_within_the_budget(most, found):
    row = compared("one", SCORES, Truth(DAY, LABELS), most, quiet_minutes=5)
    assert sum(row.found) == found
    assert row.false_incidents == most
    assert row.roc_auc.low <= row.roc_auc.value <= row.roc_auc.high


def test_the_budget_goes_by_the_days_that_were_normal():
    truth, asked = Truth(DAY, LABELS), Asked(false_per_day=1.02)
    methods = {"one": lambda bench: bench}
    (row,), _ = compare(SCORES, truth, methods, asked, lambda: None)
    assert row.false_incidents == int(1.02 * truth.days) == 1
    (row,), _ = compare(SCORES, truth, methods, Asked(), lambda: None)
    assert row.false_incidents == int(truth.days) == 0


def test_a_method_that_cannot_be_tried_is_left_out_with_its_reason():
    def fails(_: Any) -> Any:
        raise InputError("expected a weekend, found none")

    steps: list[Compared | None] = []
    methods = {"two-models": fails, "one": lambda bench: bench}
    truth = Truth(DAY, LABELS)
    rows, left_out = compare(
        SCORES, truth, methods, Asked(), lambda: steps.append(None)
    )
    assert [row.method for row in rows] == ["one"]
    assert left_out == {"two-models": "expected a weekend, found none"}
    assert len(steps) == 2
