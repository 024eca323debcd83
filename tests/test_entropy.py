"""Entropies against their definitions, on random, adversarial and real counts."""

import itertools
import math
import random
from pathlib import Path

import naive
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zeek import read_conn

from entropy_ids.features.entropy import Spectrum, rarefied, renyi, tsallis

GRID = [step / 4 for step in range(-12, 13)]
NEAR_ONE = [0.999999, 1.000001, 1 + 1e-9]
ALPHAS = [-math.inf, *sorted([*GRID, *NEAR_ONE]), math.inf]
REAL = [alpha for alpha in ALPHAS if math.isfinite(alpha)]
ADVERSARIAL = {
    "one value, once": [1],
    "one value, often": [10**12],
    "all singletons": [1] * 3_000,
    "one huge and many singletons": [10**12] + [1] * 500,
    "one huge and one singleton": [10**12, 1],
    "every size": [10**k for k in range(13)],
    "nearly uniform": [10**12, 10**12 - 1, 10**12 + 1],
    "uniform": [7] * 64,
}
COUNTS = st.lists(
    st.one_of(st.integers(1, 9), st.integers(1, 10**12)), min_size=1, max_size=40
)


def near(value: float) -> object:
    return pytest.approx(value, rel=1e-9, abs=1e-9)


def segments_of(many: list[list[int]]) -> pl.DataFrame:
    """Give one segment per list: two directions in every minute."""
    rows = [(60 * (i // 2), i % 2, c) for i, counts in enumerate(many) for c in counts]
    types = {"minute": pl.Int64, "direction": pl.Int8, "c": pl.Int64}
    return pl.DataFrame(rows, schema=types, orient="row")


def zipf(seed: int, values: int, flows: int) -> list[int]:
    drawn = np.random.default_rng(seed).zipf(1.3, flows) % values
    return [int(count) for count in np.bincount(drawn) if count]


def every_measure(spectrum: Spectrum) -> list[np.ndarray]:
    raw = [measure(spectrum, a) for measure in (renyi, tsallis) for a in REAL]
    return [*raw, renyi(spectrum, math.inf), *rarefied(spectrum, 20).values()]


# ---------------------------------------------------------------- the definitions


@settings(deadline=None)
@given(COUNTS, st.sampled_from(ALPHAS))
def test_renyi_of_random_counts_is_its_definition(counts, alpha):
    assert renyi(Spectrum.single(counts), alpha)[0] == near(naive.renyi(counts, alpha))


@settings(deadline=None)
@given(COUNTS, st.sampled_from(REAL))
def test_tsallis_of_random_counts_is_its_definition(counts, alpha):
    found = tsallis(Spectrum.single(counts), alpha)[0]
    assert found == near(naive.tsallis(counts, alpha))


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("counts", ADVERSARIAL.values(), ids=ADVERSARIAL)
def test_renyi_of_adversarial_counts_is_its_definition(counts, alpha):
    assert renyi(Spectrum.single(counts), alpha)[0] == near(naive.renyi(counts, alpha))


@pytest.mark.parametrize("alpha", REAL)
@pytest.mark.parametrize("counts", ADVERSARIAL.values(), ids=ADVERSARIAL)
def test_tsallis_of_adversarial_counts_is_its_definition(counts, alpha):
    found = tsallis(Spectrum.single(counts), alpha)[0]
    assert found == near(naive.tsallis(counts, alpha))


@pytest.mark.parametrize("counts", [[5], [3, 2, 1]], ids=["one value", "three values"])
@pytest.mark.parametrize("alpha", [math.inf, -math.inf])
def test_tsallis_at_infinite_orders_is_its_limit(counts, alpha):
    found = tsallis(Spectrum.single(counts), alpha)[0]
    assert found == naive.tsallis(counts, alpha)


@pytest.mark.shared
@pytest.mark.parametrize("feature", naive.FEATURES)
def test_entropies_of_real_minutes_are_their_definitions(real_minutes, feature):
    for rows in real_minutes.values():
        counts = naive.weights(rows, feature)
        if not counts:
            continue  # no login in this minute
        spectrum = Spectrum.single(counts)
        for alpha in REAL:
            assert renyi(spectrum, alpha)[0] == near(naive.renyi(counts, alpha))
            assert tsallis(spectrum, alpha)[0] == near(naive.tsallis(counts, alpha))
        for order, value in rarefied(spectrum, 20).items():
            assert value[0] == pytest.approx(
                naive.rarefied(counts, 20)[order], rel=1e-9, abs=1e-9, nan_ok=True
            )


@pytest.fixture(scope="module")
def real_minutes(shared_data: Path) -> dict[int, list[naive.Row]]:
    """A burst of four minutes and four others, by the slow clock."""
    hour = shared_data / "rita-72h/2024-04-21/conn.07:00:00-08:00:00.log.gz"
    minutes = naive.minutes(naive.rows_of(read_conn(hour).flows.frame))
    wanted = (15, 18, 24, 25, 26, 27, 28, 45)
    return {minute: minutes[naive.T0 + 60 * minute] for minute in wanted}


# ---------------------------------------------------------------- laws


@settings(deadline=None)
@given(COUNTS)
def test_renyi_is_never_negative_and_falls_as_alpha_rises(counts):
    spectrum = Spectrum.single(counts)
    values = [renyi(spectrum, alpha)[0] for alpha in ALPHAS]
    assert min(values) >= 0
    assert all(low >= high - 1e-9 for low, high in itertools.pairwise(values))


@settings(deadline=None)
@given(COUNTS, st.sampled_from(REAL))
def test_tsallis_is_never_negative(counts, alpha):
    assert tsallis(Spectrum.single(counts), alpha)[0] >= 0


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("times", [1, 5, 10**9])
def test_uniform_law_has_the_same_renyi_entropy_at_every_order(alpha, times):
    assert renyi(Spectrum.single([times] * 16), alpha)[0] == pytest.approx(4, rel=1e-12)


@pytest.mark.parametrize(("alpha", "value"), [(-2, 1365), (0, 15), (2, 0.9375)])
def test_uniform_law_has_the_published_tsallis_entropies(alpha, value):
    assert tsallis(Spectrum.single([3] * 16), alpha)[0] == pytest.approx(value)


@settings(deadline=None)
@given(st.lists(COUNTS, min_size=2, max_size=6), st.sampled_from(REAL))
def test_tsallis_rises_strictly_with_renyi(many, alpha):
    spectrum = Spectrum.of(segments_of(many))
    pairs = sorted(zip(renyi(spectrum, alpha), tsallis(spectrum, alpha), strict=True))
    for (low_r, low_s), (high_r, high_s) in itertools.pairwise(pairs):
        assert low_s < high_s or high_r - low_r < 1e-9


@pytest.mark.parametrize("counts", ADVERSARIAL.values(), ids=ADVERSARIAL)
@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("measure", [renyi, tsallis])
def test_limits_at_zero_and_one_are_continuous(measure, at, counts):
    spectrum = Spectrum.single(counts)
    exact = measure(spectrum, at)[0]
    for step in (-1e-11, 1e-11):
        assert measure(spectrum, at + step)[0] == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize("counts", ADVERSARIAL.values(), ids=ADVERSARIAL)
def test_limits_at_infinite_orders_are_continuous(counts):
    spectrum = Spectrum.single(counts)
    for sign in (-1, 1):
        exact = renyi(spectrum, sign * math.inf)[0]
        assert renyi(spectrum, sign * 1e9)[0] == pytest.approx(
            exact, rel=1e-7, abs=1e-7
        )


@pytest.mark.parametrize("alpha", [-1, -0.5, -3])
def test_below_zero_the_uniform_law_is_the_minimum(alpha):
    assert renyi(Spectrum.single([5, 5, 6]), alpha)[0] > math.log2(3)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_one_value_has_no_entropy_and_no_minus_sign(alpha):
    value = renyi(Spectrum.single([12]), alpha)[0]
    assert (value, math.copysign(1, value)) == (0, 1)


# ---------------------------------------------------------------- bits


@settings(deadline=None)
@given(COUNTS, st.randoms(use_true_random=False))
def test_bits_do_not_depend_on_the_order_of_counts(counts, rng):
    shuffled = rng.sample(counts, len(counts))
    one, other = (every_measure(Spectrum.single(c)) for c in (counts, shuffled))
    assert [a.tobytes() for a in one] == [b.tobytes() for b in other]


@settings(deadline=None, max_examples=30)
@given(st.lists(COUNTS, min_size=1, max_size=12))
def test_many_segments_at_once_give_the_bits_of_one_at_a_time(many):
    together = np.array(every_measure(Spectrum.of(segments_of(many))))
    alone = np.hstack([every_measure(Spectrum.single(counts)) for counts in many])
    assert together.tobytes() == alone.tobytes()


def test_bits_of_long_segments_do_not_depend_on_where_they_lie():
    rng = random.Random(3)
    many = [
        [rng.randrange(1, 10**6) for _ in range(rng.randrange(900))] for _ in "x" * 9
    ]
    many = [counts or [1] for counts in many]
    together = np.array(every_measure(Spectrum.of(segments_of(many))))
    alone = np.hstack([every_measure(Spectrum.single(counts)) for counts in many])
    assert together.tobytes() == alone.tobytes()


# ---------------------------------------------------------------- the spectrum


def test_spectrum_tells_how_often_each_count_occurs():
    spectrum = Spectrum.single([5, 1, 5, 2, 1, 5])
    assert spectrum.c.tolist() == [1, 2, 5]
    assert spectrum.m.tolist() == [2, 1, 3]
    assert spectrum.total.tolist() == [19]


def test_counts_of_zero_are_not_in_the_support():
    assert renyi(Spectrum.single([0, 4, 4, 0]), 0)[0] == 1


def test_segments_are_told_apart_by_minute_and_direction():
    counts = segments_of([[3], [3], [3], [4, 4]])
    spectrum = Spectrum.of(counts.sample(fraction=1, shuffle=True, seed=1))
    assert spectrum.keys.rows() == [(0, 0), (0, 1), (60, 0), (60, 1)]
    assert renyi(spectrum, 0).tolist() == [0, 0, 0, 1]


def test_empty_spectrum_has_no_values():
    spectrum = Spectrum.of(segments_of([]))
    values = every_measure(spectrum)
    assert [value.shape for value in values] == [(0,)] * len(values)


# ---------------------------------------------------------------- rarefied


@settings(deadline=None, max_examples=50)
@given(COUNTS, st.integers(2, 20))
def test_rarefied_random_counts_are_their_definitions(counts, sample):
    found = rarefied(Spectrum.single(counts), sample)
    for order, value in naive.rarefied(counts, sample).items():
        assert found[order][0] == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("counts", ADVERSARIAL.values(), ids=ADVERSARIAL)
def test_rarefied_adversarial_counts_are_their_definitions(counts):
    found = rarefied(Spectrum.single(counts), 50)
    for order, value in naive.rarefied(counts, 50).items():
        assert found[order][0] == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True)


def test_richness_is_one_and_the_sum_of_chances_of_a_new_value():
    counts, sample = [9, 4, 4, 2, 1, 1, 1], 8
    chances = sum(naive.new_after(counts, k) for k in range(sample))
    richness = 2 ** rarefied(Spectrum.single(counts), sample)[0.0][0]
    assert richness == pytest.approx(float(chances))


def test_segments_too_small_to_rarefy_are_unknown_beside_others():
    spectrum = Spectrum.of(segments_of([[10, 9], [10, 10], [1], [30]]))
    for value in rarefied(spectrum, 20).values():
        assert np.isnan(value).tolist() == [True, False, True, False]


def test_sample_of_everything_is_everything():
    values = rarefied(Spectrum.single([3, 2, 1]), 6)
    assert values[0.0][0] == pytest.approx(math.log2(3))
    assert values[2.0][0] == pytest.approx(naive.renyi([3, 2, 1], 2))


def test_rarefied_values_of_half_the_flows_agree_on_average():
    """Within four standard errors of 400 draws without replacement, under 1 %."""
    counts, sample = zipf(1, 300, 2_000), 200
    draws = np.random.default_rng(2).multivariate_hypergeometric(counts, 1_000, 400)
    halves = rarefied(Spectrum.of(segments_of(draws.tolist())), sample)
    whole = rarefied(Spectrum.single(counts), sample)
    unbiased = {0.0: np.exp2, 1.0: np.asarray, 2.0: lambda bits: np.exp2(-bits)}
    for order, scale in unbiased.items():
        found, expected = scale(halves[order]), scale(whole[order])[0]
        bound = 4 * found.std() / math.sqrt(len(found))
        assert bound < 0.01 * expected
        assert abs(found.mean() - expected) < bound


def test_doubling_the_traffic_moves_raw_entropy_but_not_rarefied():
    usual, doubled = (
        Spectrum.of(segments_of([zipf(seed, 2_000, flows) for seed in range(60)]))
        for flows in (1_000, 2_000)
    )
    for order in (0.0, 1.0, 2.0):
        shift = np.mean(rarefied(doubled, 500)[order]) - np.mean(
            rarefied(usual, 500)[order]
        )
        assert abs(shift) < 0.05
    assert np.mean(renyi(doubled, 0)) - np.mean(renyi(usual, 0)) > 0.3
