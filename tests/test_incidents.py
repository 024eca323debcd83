"""Incidents: random histories against the rules as the design words them."""

import subprocess
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import make
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from make import T0

from entropy_ids.alarms.incidents import (
    BASE_SEVERITY,
    SEVERITIES,
    Incident,
    Incidents,
    confidence,
    iso,
    severity,
)
from entropy_ids.daemon import checkpoint
from entropy_ids.profile.signatures import CLASSES, UNNAMED
from entropy_ids.types import Alarm, Verdict

PROFILE = {"name": "office", "hash": "0123456789abcdef"}
Step = tuple[int, Verdict | None]


def incidents(quiet: int = 5, sensor: str = "office") -> Incidents:
    return Incidents(sensor, "lstm-autoencoder", PROFILE, quiet)


def run(history: list[Step], quiet: int = 5) -> list[Alarm]:
    running = incidents(quiet)
    return [alarm for minute, v in history for alarm in running.step(minute, v)]


def minutes(*verdicts: Verdict | None) -> list[Step]:
    """Put verdicts (made for any minute) into consecutive minutes."""
    steps: list[Step] = []
    for number, one in enumerate(verdicts):
        minute = T0 + 60 * number
        steps.append((minute, one and at(one, minute)))
    return steps


def at(one: Verdict, minute: int) -> Verdict:
    return Verdict(**(vars(one) | {"minute": minute}))


def who(*values: str, feature: str = "orig_h") -> dict:
    return {"contributors": tuple(make.contributor(v, feature=feature) for v in values)}


# ---------------------------------------------------------------------- slow twin


@dataclass
class Running:
    """An incident, as the list of its verdicts and of what it said."""

    verdicts: list[Verdict]
    said: list[tuple] = field(default_factory=list)

    @property
    def strongest(self) -> Verdict:
        return max(self.verdicts, key=lambda v: v.score)  # the first of equals

    @property
    def class_name(self) -> str:
        """That of the strongest; an unnamed minute never takes a name away."""
        name, top = UNNAMED, None
        for v in self.verdicts:
            stronger = top is None or v.score > top
            top = v.score if stronger else top
            if v.class_name != UNNAMED and (stronger or name == UNNAMED):
                name = v.class_name
        return name

    def key(self) -> tuple:
        """What an update is written for."""
        first = {}
        for c in self.strongest.contributors:
            first.setdefault(c.feature, c.value)
        ratio = self.strongest.score / self.strongest.threshold
        step = (ratio >= 2) + (ratio >= 5)
        rank = min(BASE_SEVERITY[self.class_name] + step, 3)
        return self.class_name, SEVERITIES[rank], tuple(first.items())

    def tell(self, state: str) -> tuple:
        end = self.verdicts[-1].minute + 60
        flows = sum(v.flows for v in self.verdicts)
        uids = tuple(uid for v in self.verdicts for uid in v.uids)[:100]
        start = self.verdicts[0].minute
        self.said.append((*self.key(), start, end, flows, uids, state))
        return self.said[-1]


def opening(v: Verdict) -> tuple[str, str] | None:
    top = max(
        v.contributors, key=lambda c: c.flows * (1 - c.usual_share / c.share), default=0
    )
    return (top.feature, top.value) if top else None


def same_event(incident: Running, v: Verdict) -> bool:
    """Only another key *and* another class make another event."""
    key = opening(incident.verdicts[0])
    return v.class_name == incident.class_name or key in [
        (c.feature, c.value) for c in v.contributors
    ]


def naive(history: list[Step], quiet: int) -> list[tuple[int, tuple]]:
    """Give what is said, with the minute of the incident's beginning as its id."""
    running: list[Running] = []
    told = []
    for minute, v in history:
        home = next((i for i in running if v and same_event(i, v)), None)
        if v and home is None:
            home = Running([v])
            running.append(home)
        elif v and home:
            home.verdicts.append(v)
        if home and not home.said:
            told.append((minute, home.tell("open")))
        elif home and home.key() != home.said[-1][:3]:
            told.append((minute, home.tell("update")))
        for i in list(running):
            if (minute - i.verdicts[-1].minute) // 60 >= quiet:
                told.append((minute, i.tell("closed")))
                running.remove(i)
    return told


def as_naive(alarm: Alarm) -> tuple:
    first = {}
    for c in alarm.contributors:
        first.setdefault(c.feature, c.value)
    key = (alarm.class_name, alarm.severity, tuple(first.items()))
    return (*key, alarm.start, alarm.end, alarm.flows, alarm.uids, alarm.state)


CONTRIBUTOR = st.builds(
    lambda value, feature, flows: make.contributor(
        value, feature=feature, flows=flows, share=flows / 100, usual_share=0.01
    ),
    st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
    st.sampled_from(["orig_h", "resp_h"]),
    st.integers(2, 90),
)
VERDICT = st.builds(
    lambda name, score, flows, found, uids: make.verdict(
        0,
        name,
        score=score,
        flows=flows,
        contributors=tuple({(c.feature, c.value): c for c in found}.values()),
        uids=tuple(f"C{n}" for n in range(uids)),
    ),
    st.sampled_from([UNNAMED, "port-scan", "dos", "exfiltration"]),
    st.sampled_from([1.1, 1.5, 2.0, 3.0, 5.0, 9.0]),
    st.integers(1, 999),
    st.lists(CONTRIBUTOR, max_size=3),
    st.sampled_from([0, 1, 60]),
)
HISTORY = st.lists(st.one_of(st.none(), VERDICT), min_size=1, max_size=30).map(
    lambda verdicts: minutes(*verdicts)
)
SCAN, DOS = make.verdict(), make.verdict(0, "dos", **who("10.0.0.2"))


@settings(deadline=None, max_examples=300)
@given(HISTORY, st.integers(1, 5))
@example(minutes(SCAN, None, None, DOS, None, SCAN, None, None, None), 3)
def test_random_histories_are_told_as_by_the_slow_twin(history, quiet):
    running = incidents(quiet)
    found = []
    for minute, v in history:
        found += [(minute, as_naive(alarm)) for alarm in running.step(minute, v)]
    assert sorted(found, key=str) == sorted(naive(history, quiet), key=str)


@settings(deadline=None, max_examples=100)
@given(HISTORY, st.integers(1, 5))
def test_revisions_of_an_incident_are_numbered_from_one_and_end_when_it_closes(
    history, quiet
):
    by_id: dict[str, list[Alarm]] = {}
    for alarm in run(history, quiet):
        by_id.setdefault(alarm.id, []).append(alarm)
    for revisions in by_id.values():
        numbers = [alarm.revision for alarm in revisions]
        assert numbers == list(range(1, len(revisions) + 1))
        states = [alarm.state for alarm in revisions]
        assert states[0] == "open"
        assert set(states[1:-1]) <= {"update"}
        assert "open" not in states[1:]


@dataclass
class Kept:
    """A document that holds incidents."""

    incidents: list[Incident]


@settings(deadline=None, max_examples=40)
@given(HISTORY, st.sets(st.integers(0, 29), max_size=5))
def test_going_on_from_checkpoints_says_the_same(tmp_path_factory, history, cuts):
    path = tmp_path_factory.mktemp("state") / "checkpoint"
    running, found = incidents(), []
    for number, (minute, v) in enumerate(history):
        if number in cuts:
            checkpoint.write(path, Kept(running.state()))
            running = incidents()
            running.restore(checkpoint.read(path, Kept).document.incidents)
        found += running.step(minute, v)
    assert found == run(history)


def test_a_state_of_incidents_does_not_change_with_what_follows():
    running = incidents()
    running.step(T0, at(SCAN, T0))
    state = running.state()
    before = repr(state)
    running.step(T0 + 60, at(DOS, T0 + 60))
    other = incidents()
    other.restore(state)
    other.step(T0 + 60, at(SCAN, T0 + 60))
    assert repr(state) == before


@settings(deadline=None, max_examples=100)
@given(HISTORY, st.integers(0, 30))
def test_what_was_said_does_not_depend_on_later_minutes(history, cut):
    whole, part = run(history), run(history[:cut])
    assert whole[: len(part)] == part


@settings(deadline=None, max_examples=100)
@given(HISTORY)
def test_updates_are_written_only_when_something_changed(history):
    said: dict[str, tuple] = {}
    for alarm in run(history):
        if alarm.state == "update":
            assert as_naive(alarm)[:3] != said[alarm.id]
        said[alarm.id] = as_naive(alarm)[:3]


# -------------------------------------------------------------------------- rules


def states(alarms: list[Alarm]) -> list[str]:
    return [alarm.state for alarm in alarms]


def test_the_first_line_is_written_when_the_first_anomalous_minute_closes():
    [alarm] = run(minutes(SCAN))
    assert (alarm.state, alarm.revision) == ("open", 1)
    assert (alarm.start, alarm.end) == (T0, T0 + 60)


def test_a_normal_minute_says_nothing():
    assert run(minutes(None, None, None)) == []


def test_the_same_again_says_nothing():
    assert states(run(minutes(SCAN, SCAN, SCAN))) == ["open"]


@pytest.mark.parametrize(
    "later",
    [
        make.verdict(0, "dos", score=1.6),
        make.verdict(score=3.0),
        make.verdict(score=1.6, **who("10.0.0.9")),
    ],
    ids=["class", "severity", "first contributor"],
)
def test_a_change_of_class_severity_or_first_contributor_is_an_update(later):
    assert states(run(minutes(SCAN, later))) == ["open", "update"]


@pytest.mark.parametrize(
    "later",
    [make.verdict(0, "dos"), make.verdict(score=1.4, **who("10.0.0.9"))],
    ids=["class", "first contributor"],
)
def test_a_minute_that_is_not_stronger_changes_nothing(later):
    assert states(run(minutes(SCAN, later))) == ["open"]


def test_a_change_of_the_second_contributor_is_no_update():
    one = make.verdict(**who("10.0.0.1", "10.0.0.2"))
    other = make.verdict(score=1.7, **who("10.0.0.1", "10.0.0.3"))
    assert states(run(minutes(one, other))) == ["open"]


@pytest.mark.parametrize("quiet", [1, 2, 5])
def test_an_incident_closes_with_so_many_normal_minutes(quiet):
    for normal in range(quiet + 2):
        alarms = run(minutes(SCAN, *[None] * normal), quiet)
        expected = ["open", "closed"] if normal >= quiet else ["open"]
        assert states(alarms) == expected


@pytest.mark.parametrize("quiet", [1, 2, 5])
def test_an_anomalous_minute_before_the_last_normal_one_goes_on_with_it(quiet):
    alarms = run(minutes(SCAN, *[None] * (quiet - 1), SCAN, *[None] * quiet), quiet)
    assert states(alarms) == ["open", "closed"]
    assert alarms[-1].end == T0 + 60 * (quiet + 1)
    assert alarms[-1].flows == 200


def test_the_same_event_after_a_closed_one_opens_its_own():
    alarms = run(minutes(SCAN, *[None] * 5, SCAN))
    assert states(alarms) == ["open", "closed", "open"]
    assert alarms[2].id != alarms[0].id


def test_the_last_line_ends_with_the_last_anomalous_minute():
    closed = run(minutes(SCAN, SCAN, *[None] * 5))[-1]
    assert (closed.state, closed.start, closed.end) == ("closed", T0, T0 + 120)


def test_another_class_with_another_key_opens_its_own():
    alarms = run(minutes(SCAN, DOS))
    assert [(alarm.state, alarm.class_name) for alarm in alarms] == [
        ("open", "port-scan"),
        ("open", "dos"),
    ]
    assert alarms[0].id != alarms[1].id


def test_another_key_with_the_same_class_belongs_to_what_runs():
    alarms = run(minutes(SCAN, make.verdict(**who("10.0.0.2"))))
    assert {alarm.id for alarm in alarms} == {alarms[0].id}


def test_another_class_with_the_same_key_belongs_to_what_runs():
    alarms = run(minutes(SCAN, make.verdict(0, "dos", score=3.0)))
    assert {alarm.id for alarm in alarms} == {alarms[0].id}
    assert alarms[-1].class_name == "dos"


def test_an_unnamed_minute_with_the_same_key_does_not_take_the_name():
    unnamed = make.verdict(0, UNNAMED, score=9.0, technique=())
    alarms = run(minutes(SCAN, unnamed))
    assert {alarm.id for alarm in alarms} == {alarms[0].id}
    assert (alarms[-1].class_name, alarms[-1].technique) == (
        "port-scan",
        ("T-port-scan",),
    )


def test_an_unnamed_minute_with_another_key_is_not_hidden_in_what_runs():
    unnamed = make.verdict(0, UNNAMED, technique=(), **who("10.9.9.9"))
    alarms = run(minutes(SCAN, unnamed))
    assert [alarm.class_name for alarm in alarms] == ["port-scan", UNNAMED]
    assert alarms[0].id != alarms[1].id


def test_an_unnamed_incident_takes_the_first_name_that_comes():
    unnamed = make.verdict(0, UNNAMED, score=9.0, technique=(), **who("10.0.0.2"))
    alarms = run(minutes(unnamed, DOS))
    assert [alarm.class_name for alarm in alarms] == [UNNAMED, "dos"]
    assert alarms[-1].technique == ("T-dos",)
    assert alarms[0].id == alarms[1].id


def test_two_events_run_and_close_beside_each_other():
    alarms = run(minutes(SCAN, DOS, DOS, *[None] * 5), 5)
    ends = {a.class_name: a.end for a in alarms if a.state == "closed"}
    assert ends == {"port-scan": T0 + 60, "dos": T0 + 180}


def test_an_event_goes_quiet_while_another_goes_on():
    alarms = run(minutes(SCAN, *[DOS] * 7), 3)
    assert [(a.class_name, a.state) for a in alarms] == [
        ("port-scan", "open"),
        ("dos", "open"),
        ("port-scan", "closed"),
    ]


def test_a_clock_set_back_closes_what_lies_ahead():
    running = incidents()
    running.step(T0, SCAN)
    [closed] = running.step(T0 - 7200, None)
    assert (closed.state, closed.start, closed.end) == ("closed", T0, T0 + 60)


def test_minutes_that_the_log_leaves_out_count_as_quiet():
    running = incidents()
    running.step(T0, SCAN)
    alarms = running.step(T0 + 3600, make.verdict(T0 + 3600))
    assert sorted(states(alarms)) == ["closed", "open"]


# ------------------------------------------------------------------------ contents


def test_the_strongest_minute_gives_score_deviations_and_contributors():
    strong = make.verdict(
        score=4.0, deviations=(make.deviation("flows.all.log2", "high"),)
    )
    alarm = run(minutes(SCAN, strong, make.verdict(score=1.2), *[None] * 5))[-1]
    assert (alarm.score, alarm.threshold) == (4.0, 1.0)
    assert alarm.deviations == strong.deviations
    assert alarm.contributors == strong.contributors


def test_flows_add_up_and_uids_are_kept_in_order_and_capped():
    many = make.verdict(uids=tuple(f"D{n}" for n in range(99)))
    closed = run(minutes(SCAN, many, SCAN, *[None] * 5))[-1]
    assert closed.flows == 300
    assert closed.uids == ("C1", "C2", *many.uids[:98])


def test_the_state_of_a_version_without_community_ids_and_removals_is_read():
    desk = incidents()
    desk.step(T0, make.verdict())
    [state] = msgspec.to_builtins(desk.state())
    for part in (state, state["strongest"], state["said"]):
        del part["community_ids"]
        for found in part.get("deviations", ()):
            del found["removal"]
        for who in part.get("contributors", ()):
            del who["explains"]
    assert [msgspec.convert(state, Incident)] == desk.state()


def test_each_uid_that_is_kept_keeps_its_community_id():
    ids = tuple(f"1:{n}" for n in range(99))
    first = make.verdict(community_ids=("1:a", ""))
    more = make.verdict(uids=tuple(f"D{n}" for n in range(99)), community_ids=ids)
    closed = run(minutes(first, more, *[None] * 5))[-1]
    assert closed.community_ids == ("1:a", "", *ids[:98])
    assert len(closed.community_ids) == len(closed.uids)


def test_an_alarm_names_sensor_detector_and_profile():
    [alarm] = incidents(sensor="annex").step(T0, make.verdict())
    assert (alarm.sensor, alarm.detector) == ("annex", "lstm-autoencoder")
    assert alarm.profile == PROFILE


# ------------------------------------------------------------------------------ id


def id_of(minute: int = T0, sensor: str = "office", **values) -> str:
    return incidents(sensor=sensor).step(minute, make.verdict(minute, **values))[0].id


def test_an_id_follows_from_sensor_first_minute_and_opening_key():
    usual = id_of()
    others = [id_of(T0 + 60), id_of(sensor="annex"), id_of(**who("10.0.0.2"))]
    others += [id_of(**who("10.0.0.1", feature="resp_h")), id_of(contributors=())]
    others += [id_of(contributors=(make.contributor(direction="inbound"),))]
    assert len({usual, *others}) == 7


def test_an_id_does_not_follow_from_anything_else():
    changed = {"class_name": "dos", "score": 9.0, "flows": 7, "uids": ()}
    second = make.contributor("10.0.0.9", flows=3, share=0.03, usual_share=0.0)
    more = {"contributors": (make.contributor(), second)}
    assert id_of(**changed, **more) == id_of()


def test_an_id_is_the_same_in_another_process():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import test_incidents; print(test_incidents.id_of())"
    )
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", code, here], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == id_of()


# ------------------------------------------------------- severity and confidence


@pytest.mark.parametrize("class_name", CLASSES)
def test_severity_never_falls_as_the_score_grows(class_name):
    ranks = [
        SEVERITIES.index(severity(class_name, ratio))
        for ratio in (1.0, 1.99, 2.0, 4.99, 5.0, 1e9)
    ]
    assert all(one <= other for one, other in pairwise(ranks))
    assert ranks[0] == ranks[1] == BASE_SEVERITY[class_name]
    assert ranks[-1] == min(BASE_SEVERITY[class_name] + 2, 3)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"class_name": UNNAMED, "signs": {}}, 0.3),
        ({"class_name": "dos", "signs": {}}, 0.6),
        ({"class_name": "dos", "signs": {("a", "all"): "high"}}, 0.65),
        ({"class_name": "dos", "signs": dict.fromkeys("abcdefgh", "high")}, 0.8),
        ({"class_name": "dos", "signs": {}, "score": 2.0}, 0.8),
        ({"class_name": "dos", "signs": dict.fromkeys("abcd"), "score": 9.0}, 1.0),
    ],
)
def test_confidence_adds_up_what_speaks_for_a_verdict(values, expected):
    assert confidence(make.verdict(**values)) == expected


def test_times_are_written_in_utc():
    assert [iso(0), iso(T0)] == ["1970-01-01T00:00:00Z", "2024-04-21T07:00:00Z"]
