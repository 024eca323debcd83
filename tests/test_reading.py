import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from make import T0, series, stamps
from zeek import conn, header, tsv, write, write_conn

from entropy_ids import reading as module
from entropy_ids.collector import LogFile, find_logs, segments
from entropy_ids.collector.schema import end_us
from entropy_ids.config import Config
from entropy_ids.errors import InputError
from entropy_ids.features.assembler import FAR, Assembler, Lift
from entropy_ids.reading import (
    Reading,
    assembler_of,
    minutes_of,
    read_series,
    streams_of,
    write_series,
)
from entropy_ids.types import EntropySeries, Minutes

MINUTES, EACH = 20, 40
BLOCK = 24 << 10  # some 160 rows
CONFIG = Config.load(environment={})


def rows(first: int = 0, stop: int = MINUTES) -> list[dict]:
    """Give rows whose ends rise, `EACH` a minute; uids tell them apart."""
    return [
        conn(
            EACH * minute + k,
            ts=T0 + 60 * minute + 60 * k / EACH,
            duration=0.25,
            orig_h=f"10.0.0.{(7 * minute + k) % 23}",
            resp_h=f"192.0.2.{(3 * minute + k * k) % 17}",
            resp_p=(443, 80, 53)[k % 3],
        )
        for minute in range(first, stop)
        for k in range(EACH)
    ]


def read(
    logs: Sequence[LogFile], how: Reading | None = None
) -> tuple[list[Minutes], Assembler]:
    assembler = assembler_of(CONFIG, logs)
    return list(minutes_of(logs, assembler, how or Reading(1, BLOCK))), assembler


def index_of(chunks: Iterable[Minutes]) -> pl.DataFrame:
    return pl.concat([chunk.index for chunk in chunks])


def counts(chunks: Sequence[Minutes]) -> dict[str, list[tuple]]:
    """Give every table as sorted rows."""
    tables = {
        name: pl.concat([chunk.tables[name] for chunk in chunks])
        for name in chunks[0].tables
    }
    return {name: table.sort(table.columns).rows() for name, table in tables.items()}


def log(path: Path, stream: str = "") -> LogFile:
    return LogFile(path, stream, None)


def hours(folder: Path, ending: str = "") -> list[Path]:
    """Write the rows as four files of five minutes."""
    return [
        write_conn(folder / f"conn.0{n}:00:00-0{n + 1}:00:00.log{ending}", part)
        for n, part in enumerate(rows(5 * n, 5 * n + 5) for n in range(4))
    ]


@pytest.fixture
def whole(tmp_path: Path) -> list[LogFile]:
    return find_logs([write_conn(tmp_path / "conn.log", rows())])


@pytest.fixture
def loggers(tmp_path: Path) -> list[LogFile]:
    """Two loggers' logs; the second wrote every fourth row."""
    shares = [r for k, r in enumerate(rows()) if k % 4], rows()[::4]
    paths = [
        write_conn(tmp_path / f"conn.00:00:00-01:00:00-logger-{n}.log", share)
        for n, share in enumerate(shares, 1)
    ]
    return find_logs(paths)


class Spy(Assembler):
    """Remembers how far each stream has been read, and in which order."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.read_to = dict.fromkeys(self.streams, 0)
        self.chosen: list[tuple[str, dict[str, int]]] = []

    def push(self, stream, batch, bad=()):
        self.chosen.append((stream, dict(self.read_to)))
        self.read_to[stream] = int(end_us(batch.frame).max()) // 1_000_000
        return super().push(stream, batch, bad)

    def release(self, stream):
        self.read_to[stream] = 1 << 40
        return super().release(stream)


# ---------------------------------------------------------------- several loggers


def test_loggers_are_told_apart_by_the_names_of_their_files(loggers):
    assert streams_of(loggers) == ("logger-1", "logger-2")


def test_the_minutes_of_two_loggers_are_those_of_their_merged_traffic(loggers, whole):
    apart, assembler = read(loggers)
    merged, _ = read(whole)
    assert counts(apart) == counts(merged)
    columns = ["minute", "flows"]
    assert index_of(apart)[columns].equals(index_of(merged)[columns])
    assert assembler.account.counted == MINUTES * EACH


def test_the_rows_of_two_loggers_stand_in_one_order_whatever_is_read_at_once(loggers):
    def uids(block_bytes: int) -> list[str]:
        chunks, _ = read(loggers, Reading(block_bytes=block_bytes))
        rows = pl.concat(chunk.rows for chunk in chunks)
        return rows.sort("minute", maintain_order=True)["uid"].to_list()

    assert uids(700) == uids(3_000) == uids(4 << 20)


def test_a_minute_waits_until_both_loggers_have_passed_it(loggers):
    spy = Spy(streams_of(loggers))
    seen = 0
    for chunk in minutes_of(loggers, spy, Reading(1, BLOCK)):
        assert chunk.index["minute"].max() + 60 <= min(spy.read_to.values())
        seen += chunk.index.height
    assert seen == MINUTES


@pytest.mark.parametrize("block_bytes", [700, BLOCK, 4 << 20])
def test_a_logger_that_was_dropped_counts_where_it_came_back(loggers, block_bytes):
    """It has ten rows a minute; 70 were read when it was dropped."""
    back = Lift("logger-2", 70, FAR), Lift("logger-2", 70, T0 + 60 * 12)
    assembler = Assembler(streams_of(loggers), lifts=back)
    index = index_of(minutes_of(loggers, assembler, Reading(1, block_bytes)))
    flows = dict(zip((index["minute"] - T0) // 60, index["flows"], strict=True))
    before = {minute: 40 if minute < 7 else 30 for minute in range(12)}
    late = 12 * 10 - 70
    expected = before | {12: 40 + late} | dict.fromkeys(range(13, MINUTES), 40)
    assert flows == expected


def test_the_logger_with_the_lowest_clock_is_read_first(loggers):
    spy = Spy(streams_of(loggers))
    list(minutes_of(loggers, spy, Reading(1, BLOCK)))
    assert {stream for stream, _ in spy.chosen} == set(spy.streams)
    for stream, read_to in spy.chosen:
        assert read_to[stream] == min(read_to.values())


def test_a_logger_that_ends_early_holds_no_minute_back(tmp_path):
    early = write_conn(tmp_path / "conn.00:00:00-01:00:00-logger-1.log", rows(0, 5))
    late = write_conn(tmp_path / "conn.00:00:00-01:00:00-logger-2.log", rows())
    chunks, assembler = read(find_logs([early, late]))
    assert index_of(chunks)["flows"].to_list() == [2 * EACH] * 5 + [EACH] * 15
    assert assembler.account.balanced


def test_a_logger_without_a_row_holds_no_minute_back(tmp_path, whole):
    empty = write(tmp_path / "conn.00:00:00-01:00:00-logger-9.log", header())
    chunks, _ = read([*whole, *find_logs([empty])])
    assert counts(chunks) == counts(read(whole)[0])


# ---------------------------------------------------------------- ranges


RANGES = [(None, 12), (7, None), (7, 12), (0, MINUTES), (-50, 3), (19, 90), (12, 13)]


def ranged(since: int | None, until: int | None, block: int = 4 << 20) -> Reading:
    first, end = (None if n is None else T0 + 60 * n for n in (since, until))
    return Reading(1, block, first, end)


@pytest.mark.parametrize("block", [BLOCK, 4 << 20])
@pytest.mark.parametrize(("since", "until"), RANGES)
def test_only_wanted_minutes_come_out_and_they_are_whole(whole, since, until, block):
    chunks, _ = read(whole, ranged(since, until, block))
    low = max(0, since or 0)
    high = MINUTES if until is None else min(until, MINUTES)
    everything, _ = read(whole)
    assert index_of(chunks).equals(index_of(everything)[low:high])
    span = range(T0 + 60 * low, T0 + 60 * high)
    for name, table in counts(everything).items():
        assert counts(chunks)[name] == [row for row in table if row[0] in span]


@pytest.mark.parametrize("block", [BLOCK, 4 << 20])
@pytest.mark.parametrize(("since", "until"), RANGES)
def test_rows_outside_the_range_are_counted_as_outside(whole, since, until, block):
    chunks, assembler = read(whole, ranged(since, until, block))
    account = assembler.account
    assert account.counted == index_of(chunks)["flows"].sum()
    assert account.counted == sum(chunk.rows.height for chunk in chunks)
    assert account.outside == MINUTES * EACH - account.counted
    assert account.balanced


def test_the_ranges_above_cut_inside_a_chunk(whole):
    chunks, _ = read(whole, Reading(1, 4 << 20))
    assert max(chunk.index.height for chunk in chunks) >= MINUTES - 1


def test_a_range_in_which_nothing_lies_gives_no_minute(whole):
    chunks, assembler = read(whole, ranged(500, 600))
    assert chunks == []
    assert assembler.account.outside == assembler.account.rows == MINUTES * EACH


# ---------------------------------------------------------------- files and workers


def test_files_may_be_given_in_any_order(tmp_path, whole):
    paths = hours(tmp_path / "hours")
    shuffled = [paths[place] for place in (2, 0, 3, 1)]
    chunks, _ = read(find_logs(shuffled))
    assert index_of(chunks).equals(index_of(read(whole)[0]))
    assert counts(chunks) == counts(read(whole)[0])


def test_a_file_without_rows_changes_nothing(tmp_path, whole):
    empty = write(tmp_path / "conn.09:00:00-10:00:00.log", header())
    chunks, assembler = read(find_logs([empty, *(file.path for file in whole)]))
    assert counts(chunks) == counts(read(whole)[0])
    assert assembler.account.rows == MINUTES * EACH


def test_every_file_is_told_of_once_and_in_order(tmp_path):
    logs = find_logs(hours(tmp_path, ".gz"))
    told: list[LogFile] = []
    assembler = assembler_of(CONFIG, logs)
    list(minutes_of(logs, assembler, Reading(3, BLOCK), told.append))
    assert told == logs


def test_workers_do_not_change_the_minutes(tmp_path):
    logs = find_logs(hours(tmp_path, ".gz"))
    one, three = (read(logs, Reading(workers, BLOCK))[0] for workers in (1, 3))
    for alone, beside in zip(one, three, strict=True):
        assert alone.index.equals(beside.index)
        assert alone.rows.equals(beside.rows)
    assert counts(one) == counts(three)


# ---------------------------------------------------------------- what goes wrong


def cut_short(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-200])
    return path


@pytest.mark.parametrize("workers", [1, 3])
def test_a_file_cut_short_between_others_is_named_and_no_thread_is_left(
    tmp_path, workers
):
    paths = hours(tmp_path, ".gz")
    broken = cut_short(paths[2])
    before = threading.active_count()
    with pytest.raises(InputError, match=broken.name):
        read([log(path) for path in paths], Reading(workers, BLOCK))
    assert threading.active_count() == before


def test_an_error_in_a_worker_is_raised_where_the_minutes_are_taken(whole, monkeypatch):
    def refuse(segment):
        if segment.first_line > 400:
            raise InputError(f"{segment.path}: refused")
        return parse(segment)

    parse = module.parse
    monkeypatch.setattr(module, "parse", refuse)
    before = threading.active_count()
    with pytest.raises(InputError, match=r"conn\.log: refused"):
        read(whole, Reading(3, BLOCK))
    assert threading.active_count() == before


def test_reading_that_is_broken_off_leaves_no_thread(whole):
    before = threading.active_count()
    chunks = minutes_of(whole, assembler_of(CONFIG, whole), Reading(3, BLOCK))
    next(chunks)
    chunks.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("workers", [1, 4])
def test_all_rows_before_damage_are_taken_however_many_workers_read_ahead(
    tmp_path, workers
):
    paths = hours(tmp_path, ".gz")
    cut_short(paths[3])
    logs = [log(path) for path in paths]
    assembler = assembler_of(CONFIG, logs)
    with pytest.raises(InputError):
        list(minutes_of(logs, assembler, Reading(workers, 4 << 20)))
    assert assembler.account.rows >= 15 * EACH


def test_a_file_is_read_a_bounded_way_ahead(whole, monkeypatch):
    cut, ahead = [], []

    def watched(path, block_bytes, log):
        for segment in segments(path, block_bytes, log):
            cut.append(segment)
            yield segment

    class Slow(Assembler):
        def push(self, stream, batch, bad=()):
            ahead.append(len(cut) - len(ahead))
            return super().push(stream, batch, bad)

    monkeypatch.setattr(module, "segments", watched)
    list(minutes_of(whole, Slow(), Reading(2, 2 << 10)))
    assert len(ahead) > 20
    assert max(ahead) <= 3


# ---------------------------------------------------------------- the series


def test_the_series_of_logs_has_a_line_for_every_minute(whole):
    measured, assembler = read_series(whole, CONFIG, Reading(1, BLOCK))
    assert measured.values.index.equals(stamps(MINUTES))
    assert measured.flows.tolist() == [EACH] * MINUTES
    assert measured.coverage.iloc[-1] == "partial"
    assert assembler.account.balanced


def test_rows_that_are_all_bad_are_no_series_and_are_counted_in_the_message(tmp_path):
    lines = b"".join(b"not\ta\trow\n" for _ in range(7))
    path = write(tmp_path / "conn.log", header() + lines)
    with pytest.raises(InputError, match=r"\b7 quarantined"):
        read_series(find_logs([path]), CONFIG, Reading())


def test_logs_that_lie_outside_the_range_are_no_series_and_the_message_says_so(whole):
    with pytest.raises(InputError, match=f"{MINUTES * EACH} outside the range"):
        read_series(whole, CONFIG, ranged(500, 600))


def read_back(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, parse_dates=["minute"])


@pytest.mark.parametrize("name", ["minutes.parquet", "minutes.csv"])
def test_a_written_series_reads_back_equal(tmp_path, name):
    made = series(30, unknown=0.2)
    write_series(made, tmp_path / name)
    table = read_back(tmp_path / name).set_index("minute")
    assert list(table.columns) == ["coverage", "flows", *made.values.columns]
    assert (table.index == made.values.index).all()
    assert table["coverage"].tolist() == made.coverage.tolist()
    assert table["flows"].tolist() == made.flows.tolist()
    values = table[list(made.values.columns)].to_numpy()
    pd.testing.assert_frame_equal(
        pd.DataFrame(values), pd.DataFrame(made.values.to_numpy()), check_exact=True
    )


def test_minutes_that_a_clock_set_back_repeats_are_all_written(tmp_path):
    twice = EntropySeries.concat([series(5), series(5, seed=1)])
    write_series(twice, tmp_path / "minutes.parquet")
    table = read_back(tmp_path / "minutes.parquet")
    assert table["minute"].tolist() == [*stamps(5), *stamps(5)]
    assert table["flows"].tolist() == twice.flows.tolist()


@pytest.mark.parametrize("name", ["no/folder/x", "file/x", "folder"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_place_that_cannot_be_written_to_is_named(tmp_path, name, suffix):
    (tmp_path / "file").write_text("")
    (tmp_path / f"folder{suffix}").mkdir()
    path = tmp_path / f"{name}{suffix}"
    with pytest.raises(InputError, match=f"{path.name}: expected a place to write"):
        write_series(series(3), path)


def test_a_log_of_one_row_is_a_series_of_one_partial_minute(tmp_path):
    path = write(tmp_path / "conn.log", tsv(rows()[:1]))
    measured, _ = read_series(find_logs([path]), CONFIG, Reading())
    assert measured.coverage.tolist() == ["partial"]
    assert measured.flows.tolist() == [1]
