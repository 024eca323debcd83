"""The log clock: every rule of the design by name, and random histories by its twin."""

import itertools
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import naive
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import DAY_S, T0, S
from zeek import read_conn

from entropy_ids.daemon import checkpoint
from entropy_ids.features.clock import LogClock, Stamped
from entropy_ids.types import BadRow, FlowBatch, Quality


@dataclass
class Told:
    """Everything that a clock said: by line of the file, counted from 0."""

    minutes: dict[int, int] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    old: set[int] = field(default_factory=set)
    settled: dict[int, int] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    bad: list[tuple[BadRow, int]] = field(default_factory=list)
    quality: list[Quality] = field(default_factory=list)

    def take(self, stamped: Iterable[Stamped]) -> list[int]:
        """Note stamped rows; give their lines."""
        lines = []
        for part in stamped:
            for line, minute, old in part.frame["line", "minute", "old"].iter_rows():
                assert line - 1 not in self.minutes
                self.minutes[line - 1] = (minute - T0) // 60
                self.epochs[line - 1] = part.epoch
                self.old |= {line - 1} if old else set()
                lines.append(line - 1)
            self.settled.setdefault(part.epoch, (part.settled - T0) // 60)
            assert self.settled[part.epoch] == (part.settled - T0) // 60
        return lines

    def close(self, clock: LogClock) -> None:
        """Note what the clock refused and remarked."""
        self.bad, self.quality = clock.quarantined, clock.quality
        self.refused = {bad.line - 1: bad.reason for bad, _ in self.bad}


def stream(ends_s: Iterable[float]) -> FlowBatch:
    """Give rows that end so many seconds after `T0`."""
    return naive.stream(round((T0 + end) * S) for end in ends_s)


def read(whole: FlowBatch, cuts: Iterable[int] = ()) -> Told:
    """Run a stream through a clock in pieces, to its end."""
    clock, told = LogClock(), Told()
    for piece in naive.cut(whole, cuts):
        told.take(clock.push(piece))
    told.take(clock.finish())
    told.close(clock)
    return told


def run(ends_s: Iterable[float]) -> Told:
    """Run rows that end so many seconds after `T0` through a clock."""
    return read(stream(ends_s))


def steady(rows: int, start_s: float = 0, step_s: float = 1) -> list[float]:
    return [start_s + i * step_s for i in range(rows)]


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail instead of waiting for ever."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"still busy after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---------------------------------------------------------------- the running maximum


def test_minute_is_that_of_the_running_maximum_of_ends():
    told = run([10, 70, 30, 125, 65, 119, 180])
    assert list(told.minutes.values()) == [0, 1, 1, 2, 2, 2, 3]


def test_running_maximum_goes_on_over_batch_borders():
    told = read(stream([*steady(64), 70, 30, 20, 125, 65]), cuts=[65, 66, 68])
    assert [told.minutes[row] for row in range(64, 69)] == [1, 1, 1, 2, 2]


def test_clock_is_of_the_end_not_of_the_beginning():
    rows = [naive.row(T0), naive.row(T0 - 3_000, duration=3_070 * S), naive.row(T0 + 9)]
    told = read(naive.batch(rows))
    assert list(told.minutes.values()) == [0, 1, 1]


def test_unset_duration_counts_as_zero():
    rows = [naive.row(T0, duration=60 * S), naive.row(T0 + 60, duration=None)]
    assert list(read(naive.batch(rows)).minutes.values()) == [1, 1]


def test_a_minute_begins_on_its_first_microsecond():
    assert list(run([59.999999, 60]).minutes.values()) == [0, 1]


def test_rows_keep_their_file_order():
    clock, told = LogClock(), Told()
    lines = told.take(clock.push(stream([*steady(100), 400, 420, 300, 430])))
    assert lines + told.take(clock.finish()) == list(range(104))


def test_nothing_is_said_of_no_rows():
    told = run([])
    assert not (told.minutes or told.refused or told.quality)


# ---------------------------------------------------------------- rows from the future


def test_row_120_s_beyond_the_clock_needs_no_support():
    assert not run([*steady(70), 69 + 120, *steady(8, 70)]).refused


def test_row_over_120_s_beyond_the_clock_is_quarantined_alone():
    told = run([*steady(70), 69 + 120.000001, *steady(70, 70)])
    assert told.refused == {70: "future"}
    assert [told.minutes[row] for row in (69, 71, 72)] == [1, 1, 1]


def test_jump_that_two_of_the_next_eight_rows_support_is_taken():
    told = run([*steady(70), 700, *[70] * 6, 640, 640, *steady(8, 70)])
    assert not told.refused
    assert [told.minutes[row] for row in (69, 70, 71, 77)] == [1, 11, 11, 11]


def test_one_supporter_is_not_enough():
    assert run([*steady(70), 700, *[70] * 7, 640, 640]).refused == {70: "future"}


def test_row_over_60_s_before_the_jump_does_not_support_it():
    told = run([*steady(70), 700, 639.999999, 640, *steady(40, 70)])
    assert told.refused.keys() == {70, 71, 72}


def test_only_the_next_eight_rows_support_a_jump():
    told = run([*steady(70), 700, *[70] * 8, 700, 700, *[70] * 8])
    assert told.refused.keys() == {70, 79, 80}


def test_strays_that_do_not_agree_are_refused_one_by_one():
    told = run([*steady(70), 14_000, 9_000, 5_000, *steady(20, 70)])
    assert told.refused == {70: "future", 71: "future", 72: "future"}


def test_jump_holds_back_all_later_rows_until_it_is_decided():
    whole = stream([*steady(70), 700, *[70] * 6, 690, 690])
    first, second, third = naive.cut(whole, [76, 78])
    clock, told = LogClock(), Told()
    assert told.take(clock.push(first)) == list(range(70))
    assert told.take(clock.push(second)) == []
    assert told.take(clock.push(third)) == list(range(70, 79))


def test_held_rows_at_the_end_are_taken():
    told = run([*steady(70), 700, 690])
    assert (told.refused, told.minutes[70]) == ({}, 11)


def test_lone_row_from_the_future_at_the_end_is_taken():
    told = run([*steady(70), 700])
    assert (told.refused, told.minutes[70]) == ({}, 11)


def test_held_row_at_the_end_is_quarantined_when_a_later_row_contradicts():
    told = run([*steady(70), 700, 71])
    assert told.refused == {70: "future"}
    assert told.minutes[71] == 1


# ---------------------------------------------------------------- stale and late rows


def test_rows_over_a_day_behind_are_quarantined_as_stale():
    told = run([*steady(70), 69 - DAY_S, 68.999999 - DAY_S, 70])
    assert told.refused == {71: "stale"}
    assert told.minutes[70] == 1


def test_late_rows_are_counted_where_the_clock_stands():
    told = run([*steady(70), -3_000, -80_000, 70])
    assert [told.minutes[row] for row in (69, 70, 71, 72)] == [1] * 4


def test_rows_that_ended_330_s_before_their_minute_are_old():
    told = run([*steady(70), 60 - 330, 59.999999 - 330, 70])
    assert told.old == {71}


def test_stray_time_of_zero_at_the_start_is_quarantined():
    told = run([-T0, *steady(70)])
    assert told.refused == {0: "stale"}
    assert told.minutes[1] == 0


def test_stray_from_far_in_the_future_at_the_start_is_quarantined():
    told = run([900 * DAY_S, *steady(70)])
    assert told.refused == {0: "future"}
    assert told.minutes[1] == 0


def test_quarantined_row_is_named_with_its_file_line_and_minute():
    whole = stream([*steady(70), 700, *steady(10, 70)])
    told = read(whole, cuts=[71, 75])
    [(bad, minute)] = told.bad
    assert (bad.file, bad.line, minute) == ("conn.log", 71, T0 + 60)
    assert bad.detail == "the row ends 631 s beyond the log's clock"


# ---------------------------------------------------------------- starting midway


def test_clock_waits_for_64_rows_before_it_starts():
    clock, told = LogClock(), Told()
    first, last = naive.cut(stream(steady(64)), [63])
    assert told.take(clock.push(first)) == []
    assert clock.minute is None
    assert told.take(clock.push(last)) == list(range(64))


def test_minutes_count_from_the_next_whole_one():
    told = run(steady(200, 30))
    assert told.settled == {0: 2}


def test_first_minute_is_never_whole_even_when_its_first_row_leads():
    """All rows stand in minute 1, of which the log may hold the second half only."""
    told = run([65, *steady(63, -20), *steady(30, 66)])
    assert told.minutes[0] == 1
    assert told.settled[0] > 1


def test_minute_that_a_late_row_did_not_begin_is_whole():
    told = run([-3_000, *steady(200)])
    assert told.settled == {0: 2}


@pytest.mark.parametrize("start", [1, 17, 50, 99, 140, 333])
def test_slice_gives_the_minutes_of_the_whole_from_the_next_whole_one(start):
    ends = naive.history([("flow", 300, 5), ("late", 2, 900), ("flow", 300, 5)])
    whole = naive.stream(ends)
    piece = FlowBatch(whole.frame[start:])
    of_whole, of_slice = read(whole).minutes, read(piece)
    settled = of_slice.settled[0]
    found = {row: m for row, m in of_slice.minutes.items() if m >= settled}
    assert found == {row: m for row, m in of_whole.items() if m >= settled}


@pytest.mark.shared
@pytest.mark.parametrize("start", [40, 1_000, 1_700])
def test_slice_of_a_real_log_gives_the_minutes_of_the_whole(shared_data: Path, start):
    whole = read_conn(shared_data / "m57/2020-09-23/wed-2009-11-18/conn.log").flows
    of_slice = read(FlowBatch(whole.frame[start:]))
    settled = of_slice.settled[0]
    found = {row: m for row, m in of_slice.minutes.items() if m >= settled}
    of_whole = read(whole).minutes
    assert found == {row: m for row, m in of_whole.items() if m >= settled}


# ---------------------------------------------------------------- anchored anew


def test_64_rows_over_3900_s_behind_anchor_the_clock_anew():
    told = run([*steady(70, 8_000), *steady(64, 60)])
    assert [told.epochs[row] for row in (0, 69, 70, 133)] == [0, 0, 1, 1]
    assert [told.minutes[row] for row in (69, 70, 133)] == [134, 1, 2]
    assert told.settled[1] == 3


def test_clock_set_back_is_remarked():
    told = run([*steady(70, 8_000), *steady(64, 60)])
    [remark] = told.quality
    assert (remark.kind, remark.minute) == ("clock-stepped", T0 + 134 * 60)
    assert "back" in remark.detail


def test_63_rows_over_3900_s_behind_do_not():
    told = run([*steady(70, 8_000), *steady(63, 60), *steady(70, 8_070)])
    assert not told.quality
    assert set(told.epochs.values()) == {0}
    assert [told.minutes[row] for row in (70, 132, 133)] == [134, 134, 134]


def test_63_rows_behind_at_the_end_do_not():
    told = run([*steady(70, 8_000), *steady(63, 60)])
    assert (told.quality, told.minutes[132]) == ([], 134)


def test_64_rows_behind_that_are_not_in_a_row_do_not():
    told = run([*steady(70, 8_000), *steady(63, 60), 8_070, *steady(63, 123), 8_071])
    assert set(told.epochs.values()) == {0}


@pytest.mark.parametrize(("behind_s", "epochs"), [(3_900, {0}), (3_900.000001, {0, 1})])
def test_rows_exactly_3900_s_behind_do_not(behind_s, epochs):
    told = run([*steady(70, step_s=0), *[-behind_s] * 64])
    assert set(told.epochs.values()) == epochs


def test_set_back_by_days_is_no_heap_of_stale_rows():
    told = run([*steady(70), *steady(64, -3 * DAY_S)])
    assert (told.refused, told.epochs[70]) == ({}, 1)


def test_a_weeks_silence_starts_anew():
    told = run([*steady(70), *steady(70, 7 * DAY_S + 100)])
    assert [told.epochs[row] for row in (0, 69, 70, 139)] == [0, 0, 1, 1]
    assert told.minutes[70] == (7 * DAY_S + 100) // 60
    assert [remark.kind for remark in told.quality] == ["clock-stepped"]


def test_silence_of_less_than_a_week_does_not():
    told = run([*steady(70), *steady(70, 7 * DAY_S)])
    assert (told.quality, set(told.epochs.values())) == ([], {0})


def test_few_rows_from_far_in_the_future_do_not_stop_the_clock_for_ever():
    """Three rows support one another, most of the 64 around them do not."""
    ends = [*steady(100), *steady(3, 30 * DAY_S), *steady(200, 100)]
    with within(2):
        told = run(ends)
    assert len(told.minutes) + len(told.refused) == len(ends)
    assert told.minutes[302] == 4


def test_log_that_begins_far_in_the_future_does_not_stop_the_clock_for_ever():
    ends = [*steady(3, 30 * DAY_S), *steady(200)]
    with within(2):
        told = run(ends)
    assert len(told.minutes) + len(told.refused) == len(ends)
    assert told.minutes[202] == 3


# ---------------------------------------------------------------- histories

CUTS = st.lists(st.integers(0, 400), max_size=12)


@settings(deadline=None, max_examples=150)
@given(naive.histories())
def test_random_histories_are_stamped_as_by_the_slow_clock(ends):
    with within(30):
        told = read(naive.stream(ends))
    stamps, steps = naive.log_clock(ends)
    assert told.refused == {i: s.refused for i, s in enumerate(stamps) if s.refused}
    taken = {i: s for i, s in enumerate(stamps) if not s.refused}
    assert told.minutes == {i: (s.minute - T0) // 60 for i, s in taken.items()}
    assert told.epochs == {i: s.epoch for i, s in taken.items()}
    assert [remark.kind for remark in told.quality] == ["clock-stepped"] * steps


@settings(deadline=None, max_examples=150)
@given(naive.histories(), CUTS)
def test_any_cutting_of_a_history_gives_the_same(ends, cuts):
    whole = naive.stream(ends)
    with within(30):
        assert read(whole, cuts) == read(whole)


@settings(deadline=None, max_examples=20)
@given(naive.histories(), CUTS)
def test_going_on_from_checkpoints_is_as_never_stopping(tmp_path_factory, ends, cuts):
    path = tmp_path_factory.mktemp("state") / "checkpoint"
    whole = naive.stream(ends)
    clock, told = LogClock(), Told()
    for piece in naive.cut(whole, cuts):
        told.take(clock.push(piece))
        checkpoint.write(path, clock)
        clock = checkpoint.read(path, LogClock).document
    told.take(clock.finish())
    told.close(clock)
    assert told == read(whole)


@settings(deadline=None, max_examples=50)
@given(naive.histories(), CUTS)
def test_every_row_is_either_taken_or_quarantined(ends, cuts):
    with within(30):
        told = read(naive.stream(ends), cuts)
    assert len(told.bad) == len(told.refused)
    assert sorted([*told.minutes, *told.refused]) == list(range(len(ends)))


@settings(deadline=None, max_examples=50)
@given(naive.histories())
def test_minutes_never_fall_within_an_epoch(ends):
    with within(30):
        told = read(naive.stream(ends))
    rows = sorted(told.minutes)
    for row, following in itertools.pairwise(rows):
        if told.epochs[row] == told.epochs[following]:
            assert told.minutes[row] <= told.minutes[following]


def test_long_histories_are_stamped_as_by_the_slow_clock():
    """More rows than the clock looks at in one stride."""
    flow, late = ("flow", 5_000, 1), ("late", 3, 4_000)
    ends = naive.history([flow, late, ("step", 900), flow, ("late", 64, 9_000), flow])
    stamps, steps = naive.log_clock(ends)
    told = read(naive.stream(ends), cuts=[4_096, 9_999])
    assert told.minutes == {i: (s.minute - T0) // 60 for i, s in enumerate(stamps)}
    assert (len(told.quality), steps) == (1, 1)


@pytest.mark.shared
@pytest.mark.parametrize("log", ["m57/2020-09-23/wed-2009-11-18", "ipv6-2012"])
def test_real_logs_are_stamped_as_by_the_slow_clock(shared_data: Path, log):
    rows = read_conn(shared_data / log / "conn.log").flows
    stamps, _ = naive.log_clock([naive.end_of(r) for r in naive.rows_of(rows.frame)])
    clock = LogClock()
    taken = pl.concat(part.frame for part in clock.push(rows) + clock.finish())
    expected = [stamp.minute for stamp in stamps if not stamp.refused]
    assert taken["minute"].to_list() == expected
    assert len(clock.quarantined) == len(stamps) - len(expected)


def test_pieces_of_one_row_give_the_same_as_the_whole():
    flow = ("flow", 70, 2)
    ends = naive.history([flow, ("late", 64, 5_000), ("stray", 900), flow, flow])
    whole = naive.stream(ends)
    assert read(whole, range(len(ends))) == read(whole)
