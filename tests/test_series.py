"""Measuring: every column against naive counts and definitions, and what is unknown."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import naive
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import T0
from zeek import read_conn

from entropy_ids.errors import ConfigError
from entropy_ids.features import entropy_series
from entropy_ids.features.assembler import Assembler
from entropy_ids.features.catalog import FEATURES, Column, default_columns
from entropy_ids.features.counting import TABLES
from entropy_ids.features.series import Measure
from entropy_ids.types import DIRECTIONS, EntropySeries, FlowBatch, Minutes

OF_CONN = {name: one for name, one in FEATURES.items() if one.table in TABLES}
DEFAULT = tuple(default_columns())
TSALLIS = tuple(default_columns("tsallis", (-2, -0.5, 0, 1, 1.5, 3)))
EVERY_FEATURE = tuple(
    Column(name, direction, *how)
    for name, feature in OF_CONN.items()
    for direction in DIRECTIONS
    for how in (
        [("renyi", -1.5), ("tsallis", 2.0), ("rarefied", 1.0)]
        if feature.kind == "distribution"
        else [("log2",)]
    )
)
SAMPLE = 20
FLOWS = (1, 7, 19, 20, 60, 200)
"""Flows of the random minutes: fewer than, exactly, and more than are rarefied to."""


def close(batch: FlowBatch, **how: object) -> list[Minutes]:
    assembler = Assembler(**how)
    return assembler.push("", batch) + assembler.finish()


def measure(
    chunks: list[Minutes], columns: Sequence[Column] = DEFAULT
) -> EntropySeries:
    measured = Measure(tuple(columns), SAMPLE)
    return EntropySeries.concat([measured(chunk) for chunk in chunks])


def series_of(rows: Iterable[naive.Row], columns: Sequence[Column]) -> EntropySeries:
    return measure(close(naive.batch(rows)), columns)


def some_traffic() -> list[naive.Row]:
    minutes = enumerate(FLOWS)
    return [r for m, flows in minutes for r in naive.traffic(m, T0 + 60 * m, flows)]


def agree(series: EntropySeries, minutes: dict[int, list[naive.Row]]) -> None:
    """Every column of these minutes has the value of its definition."""
    for minute, rows in minutes.items():
        measured = series.values.loc[pd.Timestamp(minute, unit="s", tz="UTC")]
        expected = [naive.measure(rows, name, SAMPLE) for name in series.values]
        np.testing.assert_allclose(
            measured.to_numpy(float), expected, rtol=1e-9, atol=1e-9
        )


def pause(minutes: int) -> EntropySeries:
    """Measure six minutes of flows, that many without any, and two with."""
    at = [*range(6), *range(6 + minutes, 8 + minutes)]
    return series_of(
        (r for m in at for r in naive.traffic(m, T0 + 60 * m, 30)), DEFAULT
    )


def shuffle(table: pl.DataFrame) -> pl.DataFrame:
    return table.sample(fraction=1, shuffle=True, seed=4)


# ---------------------------------------------------------------- the definitions


@pytest.mark.parametrize(
    "columns",
    [DEFAULT, TSALLIS, EVERY_FEATURE],
    ids=["default", "tsallis", "every feature"],
)
def test_every_column_of_random_flows_is_its_definition(columns):
    rows = some_traffic()
    agree(series_of(rows, columns), naive.minutes(rows))


def test_directions_by_networks_measure_the_same_as_by_flags():
    rows = some_traffic()
    by_flags = measure(close(naive.batch(rows)))
    unset = {"local_orig": None, "local_resp": None}
    bare = naive.batch(row | unset for row in rows)
    by_networks = measure(close(bare, local_networks=["10.0.0.0/8"]))
    pd.testing.assert_frame_equal(by_networks.values, by_flags.values, check_exact=True)


@pytest.mark.shared
@pytest.mark.parametrize("columns", [DEFAULT, TSALLIS], ids=["renyi", "tsallis"])
def test_every_column_of_real_minutes_is_its_definition(shared_data: Path, columns):
    hour = shared_data / "rita-72h/2024-04-21/conn.07:00:00-08:00:00.log.gz"
    batch = read_conn(hour).flows
    minutes = naive.minutes(naive.rows_of(batch.frame))
    wanted = [T0 + 60 * minute for minute in (5, 15, 24, 25, 26, 27, 28, 45)]
    series = measure(close(batch), columns)
    agree(series, {minute: minutes[minute] for minute in wanted})


def test_tables_in_any_order_measure_to_the_same_bits():
    chunks = close(naive.batch(some_traffic()))
    shuffled = [
        Minutes(
            chunk.index, {n: shuffle(t) for n, t in chunk.tables.items()}, chunk.rows
        )
        for chunk in chunks
    ]
    one, other = (measure(each).values.to_numpy() for each in (chunks, shuffled))
    assert one.tobytes() == other.tobytes()


def test_minutes_measured_chunk_by_chunk_have_the_same_bits():
    whole = naive.batch(some_traffic())
    assembler = Assembler()
    pieces = naive.cut(whole, range(0, len(whole), 9))
    chunks = [chunk for piece in pieces for chunk in assembler.push("", piece)]
    chunks += assembler.finish()
    assert len(chunks) > 2
    together, apart = measure(close(whole)), measure(chunks)
    assert together.values.to_numpy().tobytes() == apart.values.to_numpy().tobytes()


# ---------------------------------------------------------------- what is unknown


def test_minutes_without_flows_have_no_entropies_and_sizes_of_zero():
    empty = pause(3).values.iloc[6:9]
    sizes = [column.name for column in DEFAULT if column.statistic == "log2"]
    assert (empty[sizes] == 0).all(axis=None)
    assert empty.drop(columns=sizes).isna().all(axis=None)


def test_silent_minutes_are_nan_everywhere():
    series = pause(11)
    assert series.values[series.coverage == "silent"].isna().all(axis=None)
    assert series.values[series.coverage != "silent"]["flows.all.log2"].notna().all()


def test_direction_that_nothing_went_has_no_entropies_and_sizes_of_zero():
    names = ("orig_h.inbound.rarefied.1", "flows.inbound.log2", "fan_out.inbound.log2")
    rows = [naive.row(T0, local_orig=True, local_resp=False)] * 30
    series = series_of(rows, [Column.named(name) for name in names])
    assert np.isnan(series.values.iloc[0, 0])
    assert series.values.iloc[0, 1:].tolist() == [0, 0]


def test_flows_without_bytes_have_bytes_of_zero_but_no_entropy_of_bytes():
    names = ("bytes.all.log2", "max_bytes.all.log2", "orig_h_bytes.all.renyi.1")
    series = series_of([naive.row(T0)], [Column.named(name) for name in names])
    values = series.values.iloc[0].tolist()
    assert values[:2] == [0, 0]
    assert math.isnan(values[2])


def test_minutes_too_small_to_rarefy_are_nan_there_only():
    rows = naive.traffic(1, T0, SAMPLE - 1)
    columns = [Column("resp_h", "all", how, 1.0) for how in ("rarefied", "renyi")]
    values = series_of(rows, columns).values.iloc[0].tolist()
    assert math.isnan(values[0])
    assert values[1] > 0


def test_sizes_are_log2_of_one_more():
    rows = [naive.row(T0, orig_bytes=7, resp_bytes=8)] * 7
    columns = [Column(f, "all", "log2") for f in ("flows", "bytes", "fan_out")]
    assert series_of(rows, columns).values.iloc[0].tolist() == [3, math.log2(106), 1]


# ---------------------------------------------------------------- the series


def test_index_is_utc_minutes():
    index = pause(3).values.index
    assert isinstance(index, pd.DatetimeIndex)
    assert (index.name, str(index.tz)) == ("minute", "UTC")
    assert index[0] == pd.Timestamp("2024-04-21T07:00:00Z")
    assert (index[1:] - index[:-1] == pd.Timedelta(minutes=1)).all()


def test_series_carries_coverage_flows_and_epoch_on_the_same_index():
    series = pause(11)
    for column in (series.coverage, series.flows, series.epoch):
        assert column.index.equals(series.values.index)
    assert series.flows.tolist() == [30] * 6 + [0] * 11 + [30] * 2
    assert set(series.epoch) == {0}
    assert series.coverage.tolist()[-3:] == ["silent", "complete", "partial"]


def test_columns_keep_their_order_and_are_float():
    columns = DEFAULT[::-1]
    values = series_of(naive.traffic(1, T0, 30), columns).values
    assert list(values.columns) == [column.name for column in columns]
    assert set(values.dtypes) == {np.dtype("float64")}


# ---------------------------------------------------------------- the catalog


def test_twin_knows_every_feature_of_conn():
    assert set(naive.FEATURES) == set(OF_CONN)


@pytest.mark.parametrize("kind", ["renyi", "tsallis"])
def test_default_columns_are_at_most_100_and_each_once(kind):
    names = [column.name for column in default_columns(kind)]
    assert len(names) == len(set(names)) <= 100


@pytest.mark.parametrize("column", [*DEFAULT, *TSALLIS], ids=lambda c: c.name)
def test_name_of_a_default_column_gives_the_column(column):
    assert Column.named(column.name) == column


@given(st.floats(-9, 9) | st.floats(allow_nan=False))
def test_name_gives_the_column_at_any_real_order(alpha):
    column = Column("orig_h", "all", "renyi", alpha)
    assert Column.named(column.name) == column


@pytest.mark.parametrize(
    "name",
    [
        "",
        "flows",
        "orig_h.all",
        "orig_h.all.renyi",
        "orig_h.all.renyi.",
        "orig_h.all.renyi.two",
        "orig_h.all.renyi.nan",
        "orig_h.all.log2",
        "orig_h.all.log2.1",
        "orig_h.all.shannon.1",
        "orig_h.sideways.renyi.1",
        "orig_g.all.renyi.1",
        "flows.all.renyi.1",
        "flows.all.log2.1",
        "fan_out.all.rarefied.1",
        "orig_h.all.rarefied.3",
        "orig_h.all.rarefied.0.5",
        " orig_h.all.renyi.1",
        "orig_h.all.renyi.1\n",
    ],
)
def test_bad_column_name_is_refused(name):
    with pytest.raises(ConfigError, match="column"):
        Column.named(name)


def test_every_column_carries_its_unit():
    flows = naive.batch(naive.traffic(1, 28_000_000, 40))
    series = entropy_series(flows)
    assert series.values.attrs["units"] == {
        column.name: column.unit for column in default_columns()
    }
