"""Closing minutes: what each holds, when it closes, and what is known of it."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import naive
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import DAY_S, T0, S

from entropy_ids.daemon import checkpoint
from entropy_ids.errors import StateError
from entropy_ids.features.assembler import FAR, Assembler, Lift, State
from entropy_ids.features.counting import add, count, with_direction
from entropy_ids.types import BadRow, FlowBatch, Minutes

CUTS = st.lists(st.integers(0, 400), max_size=12)


def steady(minutes: Iterable[int], flows: int = 20) -> list[float]:
    """Give ends, in seconds after `T0`, spread evenly over these minutes."""
    return [60 * minute + i * 60 / flows for minute in minutes for i in range(flows)]


def stream(ends_s: Iterable[float]) -> FlowBatch:
    return naive.stream(round((T0 + end) * S) for end in ends_s)


def run(ends_s: Iterable[float]) -> tuple[Assembler, pl.DataFrame]:
    """Read one stream to its end; give the assembler and its index."""
    assembler = Assembler()
    return assembler, index(assembler.push("", stream(ends_s)) + assembler.finish())


def index(closed: list[Minutes]) -> pl.DataFrame:
    """Give all index rows, minutes counted from `T0` in minutes."""
    everything = pl.concat([chunk.index for chunk in closed])
    return everything.with_columns((pl.col("minute") - T0) // 60)


def closed_by(chunks: list[Minutes]) -> list[int]:
    return index(chunks)["minute"].to_list() if chunks else []


def by_minute(table: pl.DataFrame, column: str) -> dict[int, object]:
    return dict(table.select("minute", column).rows())


def remarks(assembler: Assembler, kind: str) -> list[int]:
    """Give the minutes that have a remark of that kind."""
    return [(q.minute - T0) // 60 for q in assembler.quality if q.kind == kind]


def told(assembler: Assembler, closed: list[Minutes]) -> dict[str, object]:
    """Give all that an assembler said, in no order where none is promised."""
    tables: dict[str, Counter] = {}
    for chunk in closed:
        epoch = chunk.index["epoch"][0]
        for name, table in chunk.tables.items():
            rows = table.with_columns(epoch=epoch).select(
                sorted([*table.columns, "epoch"])
            )
            tables.setdefault(name, Counter()).update(rows.rows())
    return {
        "index": index(closed).rows() if closed else [],
        "tables": tables,
        "rows": Counter(row for chunk in closed for row in chunk.rows.rows()),
        "quality": Counter(assembler.quality),
        "bad": Counter(assembler.bad),
        "account": assembler.account.as_dict(),
    }


def read(pieces: Iterable[tuple[str, FlowBatch]], **how: object) -> dict[str, object]:
    """Push pieces in this order, and finish."""
    assembler = Assembler(**how)
    closed = [chunk for name, piece in pieces for chunk in assembler.push(name, piece)]
    return told(assembler, closed + assembler.finish())


# ---------------------------------------------------------------- closing


def test_only_rows_close_minutes():
    assembler = Assembler()
    assert closed_by(assembler.push("", stream(steady(range(4))))) == [0, 1, 2]
    assert closed_by(assembler.push("", stream([]))) == []
    assert closed_by(assembler.push("", stream([239.9, 100]))) == []
    assert closed_by(assembler.push("", stream([240]))) == [3]


def test_first_row_beyond_a_minute_closes_it():
    assembler = Assembler()
    assembler.push("", stream(steady(range(4))))
    [chunk] = assembler.push("", stream([239, 240]))
    assert index([chunk]).select("minute", "flows").rows() == [(3, 21)]


def test_nothing_closes_before_the_clock_has_settled():
    assembler = Assembler()
    assert assembler.push("", stream(steady(range(6), flows=10))) == []
    assert closed_by(assembler.finish()) == list(range(6))


def test_first_and_last_minute_are_partial():
    _, table = run(steady(range(6)))
    coverage = table["coverage"].to_list()
    assert coverage[0] == coverage[-1] == "partial"
    assert coverage[4] == "complete"


def test_minutes_are_partial_until_the_clock_has_settled():
    """The first 64 of 20 rows a minute reach into minute 3."""
    _, table = run(steady(range(8)))
    assert table["coverage"].to_list() == [
        *["partial"] * 4,
        *["complete"] * 3,
        "partial",
    ]


def test_finish_of_nothing_closes_nothing():
    assert Assembler().finish() == []


def test_minutes_hold_the_counts_of_their_rows():
    rows = [row for m in range(5) for row in naive.traffic(m, T0 + 60 * m, 30)]
    assembler = Assembler(local_networks=["10.0.0.0/8"])
    batch = naive.batch(rows)
    found = told(assembler, assembler.push("", batch) + assembler.finish())
    minutes = pl.Series("minute", [naive.end_of(r) // S // 60 * 60 for r in rows])
    frame = with_direction(batch.frame.with_columns(minutes, epoch=0), ["10.0.0.0/8"])
    for name, table in count(frame).items():
        table = table.with_columns(epoch=pl.lit(0))
        assert found["tables"][name] == Counter(
            table.select(sorted(table.columns)).rows()
        )


def test_rows_name_every_connection_in_file_order():
    assembler = Assembler()
    batch = stream([*steady(range(5)), 100, 90, 301, 280])
    closed = assembler.push("", batch) + assembler.finish()
    rows = pl.concat([chunk.rows for chunk in closed])
    assert rows["uid"].to_list() == batch.frame["uid"].to_list()
    assert rows["minute"].to_list()[-4:] == [T0 + 240] * 2 + [T0 + 300] * 2
    assert {"id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto"} < set(
        rows.columns
    )


def test_only_the_tables_asked_for_are_counted():
    assembler = Assembler(tables=("proto",))
    [chunk] = assembler.push("", stream(steady(range(4))))
    assert set(chunk.tables) == {"proto"}


# ---------------------------------------------------------------- gaps


def test_pause_of_10_minutes_is_zero_flows():
    assembler, table = run(steady([*range(6), *range(16, 20)]))
    assert set(by_minute(table, "flows").values()) == {0, 20}
    pause = table.filter(pl.col("minute").is_between(6, 15))
    assert set(pause["coverage"]) == {"complete"}
    assert remarks(assembler, "gap") == []


def test_gap_of_11_minutes_is_silence_with_a_remark():
    assembler, table = run(steady([*range(6), *range(17, 20)]))
    coverage = by_minute(table, "coverage")
    silent = [minute for minute, mark in coverage.items() if mark == "silent"]
    assert silent == list(range(6, 17))
    assert (coverage[5], coverage[17]) == ("complete", "complete")
    assert remarks(assembler, "gap") == [6]


def test_every_minute_between_the_first_and_the_last_is_told_once():
    _, table = run(steady([*range(6), 9, *range(30, 33), *range(40, 45)]))
    assert table["minute"].to_list() == list(range(45))


# ---------------------------------------------------------------- a stop of Zeek


def stop(old: int, fresh: int, ended_s: float = 330.001) -> tuple[Assembler, object]:
    """Give the coverage of minute 10, of which ``old`` rows ended long before it."""
    ends = [*steady(range(10)), *[600.0] * fresh, *[600 - ended_s] * old]
    assembler, table = run([*ends, *steady(range(11, 13))])
    assert by_minute(table, "flows")[10] == old + fresh
    return assembler, by_minute(table, "coverage")[10]


def test_stop_of_zeek_is_a_flush_with_a_remark():
    assembler, coverage = stop(old=80, fresh=20)
    assert coverage == "flush"
    assert remarks(assembler, "flush") == [10]


@pytest.mark.parametrize(
    ("old", "fresh", "coverage"),
    [
        (50, 49, "flush"),
        (50, 50, "complete"),
        (49, 20, "complete"),
        (30, 20, "complete"),
        (49, 1, "complete"),
    ],
)
def test_flush_is_at_least_50_old_rows_and_more_than_half(old, fresh, coverage):
    assert stop(old, fresh)[1] == coverage


def test_rows_that_ended_330_s_before_the_minute_are_no_flush():
    assert stop(old=80, fresh=20, ended_s=330)[1] == "complete"


# ---------------------------------------------------------------- the clock steps


def test_clock_set_back_closes_what_is_open_and_begins_an_epoch():
    assembler = Assembler()
    assembler.push("", stream(steady(range(200, 206))))
    closed = assembler.push("", stream(steady(range(6))))
    table = index(closed)
    assert table["minute"].to_list() == [205, 0, 1, 2, 3, 4]
    assert table["epoch"].to_list() == [0, 1, 1, 1, 1, 1]
    assert remarks(assembler, "clock-stepped") == [205]


def test_minutes_at_both_sides_of_a_step_are_partial():
    _, table = run([*steady(range(200, 208)), *steady(range(8))])
    coverage = {(e, m): mark for m, mark, _, e in table.rows()}
    assert coverage[0, 206] == coverage[1, 4] == "complete"
    assert coverage[0, 207] == coverage[1, 0] == coverage[1, 7] == "partial"


def test_a_weeks_silence_begins_an_epoch_and_is_no_gap():
    later = 8 * 24 * 60
    assembler, table = run(steady([*range(6), *range(later, later + 6)]))
    assert table["minute"].to_list() == [*range(6), *range(later, later + 6)]
    assert table["epoch"].to_list() == [0] * 6 + [1] * 6
    assert remarks(assembler, "gap") == []


def test_chunks_are_ascending_and_of_one_epoch():
    assembler = Assembler()
    ends = [*steady(range(200, 208)), *steady(range(8))]
    for chunk in assembler.push("", stream(ends)) + assembler.finish():
        assert chunk.index["epoch"].n_unique() == 1
        assert chunk.index["minute"].is_sorted()


# ---------------------------------------------------------------- several loggers


def two(*pushes: tuple[str, Iterable[float]]) -> tuple[Assembler, list[list[int]]]:
    """Push to loggers a and b; give the minutes that each push closes."""
    assembler = Assembler(streams=("a", "b"))
    closed = [
        closed_by(assembler.push(name, stream(ends_s))) for name, ends_s in pushes
    ]
    return assembler, closed


def test_minutes_wait_for_both_loggers():
    a, b = steady(range(10)), steady(range(5))
    assert two(("a", a), ("b", b))[1] == [[], [0, 1, 2, 3]]


def test_minutes_of_two_loggers_hold_the_flows_of_both():
    assembler = Assembler(streams=("a", "b"))
    closed = assembler.push("a", stream(steady(range(10), flows=20)))
    closed += assembler.push("b", stream(steady(range(10), flows=30)))
    assert set(index(closed)["flows"]) == {50}
    assert sum(chunk.tables["talk"]["flows"].sum() for chunk in closed) == 9 * 50


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 9), st.integers(1, 60), st.lists(st.booleans(), min_size=9))
def test_two_loggers_count_what_one_would_have_counted(seed, flows, sides):
    rows = [r for m in range(6) for r in naive.traffic(seed + m, T0 + 60 * m, flows)]
    whole = naive.batch(rows)
    side = pl.Series((sides * len(rows))[: len(rows)], dtype=pl.Boolean)
    pieces = [
        ("a", FlowBatch(whole.frame.filter(side), whole.path)),
        ("b", FlowBatch(whole.frame.filter(~side), whole.path)),
    ]
    one, both = read([("", whole)]), read(pieces, streams=("a", "b"))
    assert both["tables"] == one["tables"]
    assert both["rows"] == one["rows"]
    assert [r[0::2] for r in both["index"]] == [r[0::2] for r in one["index"]]


@settings(deadline=None, max_examples=20)
@given(CUTS, CUTS, st.randoms(use_true_random=False))
def test_loggers_may_be_read_in_any_interleaving(cuts_a, cuts_b, rng):
    ends = steady(range(9)), [*steady(range(2, 5), 30), *steady(range(8, 20), 15)]
    a, b = (
        [(name, piece) for piece in naive.cut(stream(of), cuts)]
        for name, of, cuts in zip("ab", ends, (cuts_a, cuts_b), strict=True)
    )
    turns = rng.sample("a" * len(a) + "b" * len(b), len(a) + len(b))
    mixed = [{"a": a, "b": b}[turn].pop(0) for turn in turns]
    ordered = [("a", stream(ends[0])), ("b", stream(ends[1]))]
    assert read(mixed, streams=("a", "b")) == read(ordered, streams=("a", "b"))


def test_behind_names_the_logger_with_the_lowest_clock():
    assembler = two(("a", steady(range(5))), ("b", steady(range(9))))[0]
    assert assembler.behind() == "a"
    assembler.push("a", stream(steady(range(5, 10))))
    assert assembler.behind() == "b"


def test_behind_names_a_logger_that_was_not_read_yet():
    assert two(("a", steady(range(5))))[0].behind() == "b"


def test_behind_names_no_released_logger():
    assembler = two(("a", steady(range(5))), ("b", steady(range(9))))[0]
    assembler.release("a")
    assert assembler.behind() == "b"


def test_release_stops_the_waiting():
    assembler, closed = two(("a", steady(range(5))), ("b", steady(range(9))))
    assert closed == [[], [0, 1, 2, 3]]
    assert closed_by(assembler.release("a")) == [4, 5, 6, 7]


def test_later_rows_of_a_dropped_logger_go_into_the_first_open_minute():
    assembler, _ = two(("a", steady(range(5))), ("b", steady(range(9))))
    assembler.release("a")
    assert assembler.push("a", stream(steady(range(5, 7)))) == []
    table = index(assembler.push("b", stream(steady(range(9, 11)))))
    assert by_minute(table, "flows") == {8: 60, 9: 20}


def test_rows_that_a_dropped_logger_holds_are_taken_at_the_end():
    assembler, _ = two(("a", steady(range(5))), ("b", steady(range(9))))
    assembler.release("a")
    assembler.push("a", stream([1_000]))
    assembler.finish()
    assert assembler.account.counted == 5 * 20 + 9 * 20 + 1


# ---------------------------------------------------------------- the account


def test_row_from_the_future_is_quarantined_with_a_remark():
    assembler, table = run([*steady(range(5)), 5_000, *steady(range(5, 7))])
    assert assembler.account.quarantined == {"future": 1}
    assert [(bad.file, bad.line) for bad in assembler.bad] == [("conn.log", 101)]
    assert remarks(assembler, "future-rows") == [4]
    assert table["minute"].to_list() == list(range(7))


def test_stale_rows_are_quarantined():
    assembler, table = run([*steady(range(5)), -2 * DAY_S, *steady(range(5, 7))])
    assert assembler.account.quarantined == {"stale": 1}
    assert set(table["flows"]) == {20}


def test_bad_rows_enter_the_account_by_their_reasons():
    assembler = Assembler()
    bad = [BadRow("conn.log", line, "fields", "") for line in (3, 9)]
    assembler.push("", stream(steady(range(5))), bad)
    assembler.finish()
    account = assembler.account
    assert account.quarantined == {"fields": 2}
    assert (account.rows, account.counted, account.balanced) == (102, 100, True)
    assert assembler.bad == bad


@settings(deadline=None, max_examples=40)
@given(naive.histories(), CUTS)
def test_account_of_random_histories_balances(ends, cuts):
    pieces = [("", piece) for piece in naive.cut(naive.stream(ends), cuts)]
    account = read(pieces)["account"]
    assert account["rows"] == len(ends)
    assert account["counted"] + sum(account["quarantined"].values()) == len(ends)


# ---------------------------------------------------------------- histories


@settings(deadline=None, max_examples=60)
@given(naive.histories(), CUTS)
def test_any_chunking_gives_the_same_minutes(ends, cuts):
    whole = naive.stream(ends)
    pieces = [("", piece) for piece in naive.cut(whole, cuts)]
    assert read(pieces) == read([("", whole)])


@settings(deadline=None, max_examples=60)
@given(naive.histories())
def test_minutes_of_random_histories_are_those_of_the_slow_clock(ends):
    stamps = [stamp for stamp in naive.log_clock(ends)[0] if not stamp.refused]
    flows = Counter((stamp.epoch, (stamp.minute - T0) // 60) for stamp in stamps)
    expected = []
    for epoch in sorted({epoch for epoch, _ in flows}):
        seen = [minute for e, minute in flows if e == epoch]
        between = range(min(seen), max(seen) + 1)
        expected += [(minute, flows[epoch, minute]) for minute in between]
    assembler = Assembler()
    table = index(assembler.push("", naive.stream(ends)) + assembler.finish())
    assert table.select("minute", "flows").rows() == expected


def test_counts_of_closed_chunks_add_to_the_count_of_all():
    assembler = Assembler()
    closed = assembler.push("", stream(steady(range(9)))) + assembler.finish()
    tables = add([chunk.tables for chunk in closed])
    assert tables["talk"]["flows"].sum() == 9 * 20


def test_ever_so_many_bad_rows_are_counted_but_not_all_kept(monkeypatch):
    monkeypatch.setattr("entropy_ids.features.assembler.MOST_BAD", 3)
    assembler = Assembler()
    bad = [BadRow("conn.log", line, "fields", "") for line in range(1, 8)]
    assembler.push("", FlowBatch(naive.frame([])), bad)
    assert assembler.account.quarantined == {"fields": 7}
    assert [row.line for row in assembler.bad] == [1, 2, 3]


# ---------------------------------------------------------------- bytes that were lost


def with_loss(losses: Iterable[tuple[int, int]], flows: int = 20) -> list[naive.Row]:
    """Give steady minutes from 4 on whose rows missed and saw so many bytes."""
    rows = [naive.row(T0 + end) for end in steady(range(4))]
    for minute, (missed, seen) in enumerate(losses, 4):
        sizes = {"orig_bytes": seen // 4, "resp_bytes": seen - seen // 4}
        first = naive.row(T0 + 60 * minute, missed_bytes=missed, **sizes)
        rows += [first, *(naive.row(T0 + end) for end in steady([minute], flows))]
    return [*rows, naive.row(T0 + 60 * (minute + 1))]


def lost(losses: Iterable[tuple[int, int]]) -> tuple[Assembler, list[str]]:
    """Give the coverage of the minutes of `with_loss`."""
    assembler = Assembler()
    closed = [
        chunk
        for piece in naive.cut(naive.batch(with_loss(losses)), range(0, 500, 30))
        for chunk in assembler.push("", piece)
    ]
    return assembler, index(closed)["coverage"].to_list()[4:]


@pytest.mark.parametrize(
    ("missed", "seen", "coverage"),
    [
        (1_000_001, 0, "lossy"),
        (1_000_000, 0, "complete"),
        (2_000_000, 18_000_000, "complete"),
        (2_000_001, 18_000_000, "lossy"),
        (999_999, 10, "complete"),
        (None, 10**9, "complete"),
    ],
)
def test_a_minute_is_lossy_beyond_a_megabyte_and_a_tenth(missed, seen, coverage):
    assert lost([(missed, seen)])[1] == [coverage]


def test_the_first_minute_of_each_run_of_lossy_ones_is_remarked():
    bad, good = (5_000_000, 0), (0, 10)
    assembler, coverage = lost([bad, bad, good, bad, bad, bad, good])
    assert [mark == "lossy" for mark in coverage] == [
        True,
        True,
        False,
        *[True] * 3,
        False,
    ]
    assert remarks(assembler, "packet-loss") == [4, 7]
    assert "5000000 of 5000000 bytes" in assembler.quality[0].detail


def test_a_partial_minute_is_not_lossy_nor_remarked():
    rows = [naive.row(T0 + end, missed_bytes=10**7) for end in steady(range(3))]
    assembler = Assembler()
    closed = assembler.push("", naive.batch(rows)) + assembler.finish()
    assert set(index(closed)["coverage"]) == {"partial"}
    assert assembler.quality == []


# ---------------------------------------------------------------- rows that name


def test_rows_kept_are_the_first_of_each_stream_and_minute(monkeypatch):
    monkeypatch.setattr("entropy_ids.features.stream.ROWS_KEPT", 15)
    assembler = Assembler(streams=("a", "b"))
    closed = assembler.push("b", stream(steady(range(5), 30)))
    closed += assembler.push("a", stream(steady(range(5), 20)))
    rows = pl.concat([chunk.rows for chunk in closed])
    first = rows.filter(pl.col("minute") == T0 + 60)["uid"].to_list()
    assert first == [f"C{n}" for n in (*range(20, 35), *range(30, 45))]
    assert index(closed)["flows"].to_list() == [50] * 4


@settings(deadline=None, max_examples=30)
@given(naive.histories(), CUTS)
def test_rows_kept_and_counts_do_not_depend_on_chunks(ends, cuts):
    whole = naive.stream(ends)
    pieces = [("", piece) for piece in naive.cut(whole, cuts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("entropy_ids.features.stream.ROWS_KEPT", 3)
        patch.setattr("entropy_ids.features.assembler.COUNT_ROWS", 7)
        patch.setattr("entropy_ids.features.stream.MOST_FRAMES", 2)
        found = read(pieces)
        assert found == read([("", whole)])
    assert found["tables"] == read(pieces)["tables"]


def test_pushes_without_end_leave_few_frames(monkeypatch):
    monkeypatch.setattr("entropy_ids.features.assembler.COUNT_ROWS", 50)
    assembler = Assembler()
    assembler.push("", stream(steady(range(4))))
    for _ in range(500):
        assembler.push("", stream([200]))
    state = assembler.state().streams[""]
    assert len(state.parts) < 5
    assert len(state.kept) == len(state.waiting) == 1
    assert state.waiting[0].height <= 50


# ---------------------------------------------------------------- what is kept


def again(assembler: Assembler, path: Path) -> Assembler:
    """Give a new assembler that goes on from a checkpoint of this one."""
    checkpoint.write(path, assembler.state())
    made = replace(assembler, quality=[], bad=[])
    made.restore(checkpoint.read(path, State).document)
    return made


def in_order(closed: list[Minutes]) -> list[object]:
    """Give what each chunk holds: rows in their order, counts in none."""
    return [
        (
            chunk.index.rows(),
            chunk.rows.rows(),
            {n: Counter(t.rows()) for n, t in chunk.tables.items()},
        )
        for chunk in closed
    ]


@settings(deadline=None, max_examples=15)
@given(
    naive.histories(),
    naive.histories(),
    CUTS,
    st.randoms(use_true_random=False),
    st.sampled_from([7, 10**6]),
)
def test_going_on_from_checkpoints_is_as_never_stopping(
    tmp_path_factory, one, other, cuts, rng, count_rows
):
    path = tmp_path_factory.mktemp("state") / "checkpoint"
    pieces = [
        (name, piece)
        for name, ends in zip("ab", (one, other), strict=True)
        for piece in naive.cut(naive.stream(ends), cuts)
    ]
    rng.shuffle(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("entropy_ids.features.assembler.COUNT_ROWS", count_rows)
        steady, stopped = Assembler(("a", "b")), Assembler(("a", "b"))
        for name, piece in pieces:
            closed = steady.push(name, piece), stopped.push(name, piece)
            assert in_order(closed[0]) == in_order(closed[1])
            assert (steady.quality, steady.bad) == (stopped.quality, stopped.bad)
            steady.quality, steady.bad, stopped.quality, stopped.bad = [], [], [], []
            if rng.random() < 0.5:
                stopped = again(stopped, path)
        assert in_order(steady.finish()) == in_order(stopped.finish())
    assert steady.account == stopped.account


def test_a_copy_of_the_state_does_not_change_with_what_follows():
    assembler = Assembler()
    assembler.push("", stream([*steady(range(4)), 9_999]))
    state = assembler.state()
    before = repr(state)
    assembler.push("", stream(steady(range(4, 8))))
    assembler.finish()
    assert repr(state) == before


def test_a_state_can_be_gone_on_from_twice():
    assembler = Assembler()
    assembler.push("", stream(steady(range(4))))
    state = assembler.state()
    found = []
    for _ in range(2):
        one = Assembler()
        one.restore(state)
        found.append(in_order(one.push("", stream(steady(range(4, 6))))))
    assert found[0] == found[1] != []


def test_a_stream_that_the_state_does_not_know_is_new():
    assembler = Assembler(("a",))
    assembler.push("a", stream(steady(range(4))))
    more = Assembler(("a", "b"))
    more.restore(assembler.state())
    assert more.push("a", stream(steady(range(4, 6)))) == []
    assert closed_by(more.push("b", stream(steady(range(6))))) == [3, 4]


def test_a_state_of_a_stream_that_is_gone_is_refused():
    with pytest.raises(StateError, match=r"streams \['b'\], found the state of 'a'"):
        Assembler(("b",)).restore(Assembler(("a", "b")).state())


# ---------------------------------------------------------------- lifts


def test_closing_does_not_wait_for_a_lifted_stream_below_its_minute():
    assembler, _ = two(("a", steady(range(5))), ("b", steady(range(9))))
    assert closed_by(assembler.lift("a", T0 + 60 * 6)) == [4, 5]
    assert assembler.next_open == T0 + 60 * 6
    assert closed_by(assembler.push("b", stream([600]))) == []


def test_rows_of_a_lifted_stream_count_in_its_minute_or_later():
    assembler, _ = two(("a", steady(range(5))), ("b", steady(range(12))))
    assembler.lift("a", T0 + 60 * 6)
    table = index(assembler.push("a", stream(steady(range(5, 9)))))
    assert by_minute(table, "flows") == {6: 60, 7: 40}


def test_nobody_waits_for_a_dropped_stream():
    assembler, _ = two(("a", steady(range(5))), ("b", steady(range(9))))
    assert assembler.waited == ["a", "b"]
    assert closed_by(assembler.lift("a", FAR)) == [4, 5, 6, 7]
    assert closed_by(assembler.push("b", stream([600]))) == [8, 9]
    assert assembler.waited == ["b"]
    assert (assembler.behind(), assembler.behind(["a"])) == ("b", "a")


def test_a_stream_that_never_had_a_row_can_be_dropped():
    assembler, _ = two(("b", steady(range(9))))
    assert closed_by(assembler.lift("a", FAR)) == list(range(8))


def test_when_all_streams_are_dropped_nothing_closes():
    assembler, _ = two(("a", steady(range(5))), ("b", steady(range(5))))
    before = assembler.next_open
    assert assembler.lift("a", FAR) == assembler.lift("b", FAR) == []
    assert assembler.next_open == before


def test_a_stream_that_is_back_is_waited_for_again():
    assembler, _ = two(("a", steady(range(5))), ("b", steady(range(9))))
    assembler.lift("a", FAR)
    assert assembler.lift("a", assembler.next_open) == []
    assert assembler.push("b", stream(steady(range(9, 12)))) == []
    assert closed_by(assembler.push("a", stream(steady(range(5, 11))))) == [8, 9]


def test_a_clock_that_was_set_back_is_lifted_no_more():
    assembler = Assembler()
    assembler.push("", stream(steady(range(200, 206))))
    assembler.lift("", T0 + 60 * 210)
    closed = assembler.push("", stream(steady(range(6))))
    assert index(closed)["minute"].to_list()[-5:] == [0, 1, 2, 3, 4]


def test_a_decided_lift_happens_once():
    lifts = [Lift("a", 100, FAR)]
    assembler = Assembler(("a", "b"), lifts=lifts)
    assembler.push("a", stream(steady(range(5))))
    assert assembler.waited == ["b"]
    assembler.lift("a", T0)
    assembler.push("a", stream([]), [BadRow("conn.log", 1, "fields", "")])
    assembler.push("b", stream(steady(range(5))))
    assert assembler.waited == ["a", "b"]


def test_a_lift_decided_after_the_checkpoint_is_made_up_for():
    assembler, _ = two(("a", steady(range(5))), ("b", steady(range(9))))
    after = Assembler(("a", "b"), lifts=[Lift("a", 100, FAR), Lift("a", 180, T0)])
    after.restore(assembler.state())
    assert after.waited == ["b"]


def test_rows_of_a_stream_are_the_good_ones_that_were_pushed():
    assembler, _ = two(("a", steady(range(5))))
    assembler.push("a", stream([9_999]), [BadRow("conn.log", 1, "fields", "")])
    assert (assembler.rows_of("a"), assembler.rows_of("b")) == (101, 0)


FEW = ("talk", "proto")


class Life:
    """Loggers read in any order; b is dropped for a time, and all killed at times."""

    def __init__(self, pieces: dict[str, list[FlowBatch]], path: Path) -> None:
        self.left = {name: list(some) for name, some in pieces.items()}
        self.assembler = Assembler(("a", "b"), tables=FEW)
        self.path, self.quality = path, []
        self.closed: list[Minutes] = []
        self.lifts: list[Lift] = []

    def live(self, rng: random.Random) -> dict[str, object]:
        while self.left["a"] or self.left["b"]:
            if rng.random() < 0.15:
                self.lift(FAR)
            name = rng.choice([name for name in "ab" if self.left[name]])
            if name not in self.assembler.waited:
                self.lift(self.assembler.next_open or 0)
            self.closed += self.assembler.push(name, self.left[name].pop(0))
            if rng.random() < 0.1:
                self.quality += self.assembler.quality
                self.assembler = again(self.assembler, self.path)
        self.lift(self.assembler.next_open or 0)
        self.closed += self.assembler.finish()
        self.assembler.quality[:0] = self.quality
        return told(self.assembler, self.closed)

    def lift(self, minute: int) -> None:
        self.lifts.append(Lift("b", self.assembler.rows_of("b"), minute))
        self.closed += self.assembler.lift("b", minute)


FLOWS = st.lists(st.integers(0, 9), min_size=8, max_size=16)


@settings(deadline=None, max_examples=40)
@given(FLOWS, FLOWS, CUTS, st.randoms(use_true_random=False))
def test_reading_with_the_lifts_repeats_what_was_lived(
    tmp_path_factory, flows_a, flows_b, cuts, rng
):
    whole = {
        name: stream(
            [*(end for m, n in enumerate(flows) for end in steady([m], n)), *last]
        )
        for name, flows, last in (("a", flows_a, steady([20], 80)), ("b", flows_b, []))
    }
    pieces = {
        name: naive.cut(batch, range(0, 200, 15)) for name, batch in whole.items()
    }
    life = Life(pieces, tmp_path_factory.mktemp("state") / "checkpoint")
    said = life.live(rng)
    pieces = {name: naive.cut(batch, cuts) for name, batch in whole.items()}
    assert by_lowest_clock(pieces, life.lifts) == said


def by_lowest_clock(pieces: dict[str, list[FlowBatch]], lifts: list[Lift]):
    """Read loggers as a replay does."""
    assembler, closed = Assembler(("a", "b"), tables=FEW, lifts=lifts), []
    while True:
        name = assembler.behind()
        if pieces[name]:
            closed += assembler.push(name, pieces[name].pop(0))
            continue
        closed += assembler.release(name)
        if not assembler.waited:
            return told(assembler, closed + assembler.finish())
