r"""Entropies of integer counts, for many minutes at once.

Everything is computed from a `Spectrum`: how often each count occurs in a segment (one
minute and direction). Sums run over ascending counts, so equal counts give equal bits
whatever the order in which they were made.

With :math:`p_i = c_i / N` over the values that occur:

* Rényi :math:`R_\alpha = \log_2(\sum p_i^\alpha) / (1 - \alpha)`, Shannon at 1.
* Tsallis :math:`S_\alpha = (\sum p_i^\alpha - 1) / (1 - \alpha)`, Shannon in nats at 1.
* Rarefied: what a sample of :math:`N_0` connections, drawn without replacement, shows
  on average. All three orders come from
  :math:`Z_k = \sum_i p_i \prod_{j<k} (N - c_i - j) / (N - 1 - j)`, the unbiased
  estimate of the chance that a connection's value is new after k others.

Notes
-----
Departure from Bhat & Neogi: the log base is a constant 2 (their scan prints the base as
alpha); raw entropies grow with volume, so rarefied ones stand beside them.

References
----------
.. [1] Berezinski, Jasiul, Szpyrka 2015, doi 10.3390/e17042367.
.. [2] Hurlbert 1971, doi 10.2307/1934145 (rarefaction).
.. [3] Chao, Wang, Jost 2013, doi 10.1111/2041-210X.12108 (Shannon from Z_k).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isinf, log

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_LN2 = log(2)
_NEAR_ONE = 0.25
"""Closer to alpha = 1 than this the form that stays exact near 1 is used."""


@dataclass(frozen=True)
class Spectrum:
    """How often each count occurs, per segment.

    Attributes
    ----------
    keys
        One row per segment: ``minute`` and ``direction``.
    starts
        Where each segment begins in ``c`` and ``m``; no segment is empty.
    c
        Counts, ascending within a segment, all positive.
    m
        How many values have that count.
    """

    keys: pl.DataFrame
    starts: NDArray[np.int64]
    c: Floats
    m: Floats

    @staticmethod
    def of(counts: pl.DataFrame) -> Spectrum:
        """Build from columns ``minute``, ``direction`` and ``c``, one row per value."""
        return Spectrum.read(Spectrum.plan(counts.lazy()).collect())

    @staticmethod
    def plan(counts: pl.LazyFrame) -> pl.LazyFrame:
        """Plan the table that `read` takes, so that many are made in one go."""
        return (
            counts.filter(pl.col("c") > 0)
            .group_by("minute", "direction", "c")
            .agg(pl.len().alias("m"))
            .sort("minute", "direction", "c")
        )

    @staticmethod
    def read(table: pl.DataFrame) -> Spectrum:
        """Build from a collected `plan`."""
        minute, direction, c, m = (
            table[name].to_numpy() for name in ("minute", "direction", "c", "m")
        )
        change = (np.diff(minute) != 0) | (np.diff(direction) != 0)
        first = np.ones(min(len(c), 1), bool)
        starts = np.flatnonzero(np.concatenate([first, change])).astype(np.int64)
        keys = table.select("minute", "direction")[starts]
        return Spectrum(keys, starts, c.astype(np.float64), m.astype(np.float64))

    @staticmethod
    def single(counts: list[int]) -> Spectrum:
        """Build one segment from the counts of its values."""
        c = pl.Series("c", counts, dtype=pl.Int64)
        zeros = pl.zeros(len(counts), dtype=pl.Int64, eager=True)
        return Spectrum.of(pl.DataFrame({"minute": zeros, "direction": zeros, "c": c}))

    def sum(self, values: Floats) -> Floats:
        """Add up ``values`` (one per row) by segment."""
        return np.add.reduceat(values, self.starts) if len(self.starts) else values[:0]

    def spread(self, values: Floats) -> Floats:
        """Repeat one value per segment for each of its rows."""
        return np.repeat(values, np.diff(np.append(self.starts, len(self.c))))

    @property
    def last(self) -> NDArray[np.int64]:
        """The position of each segment's largest count."""
        return np.append(self.starts, len(self.c))[1:] - 1

    @property
    def total(self) -> Floats:
        """N: the sum of all counts of the segment."""
        return self.sum(self.c * self.m)


def renyi(spectrum: Spectrum, alpha: float) -> Floats:
    """Give the Rényi entropy of every segment, in bits.

    Parameters
    ----------
    alpha
        Any real order, or ±inf. Falls as alpha rises; at 0 it is log2 of the number of
        values; below 0 the rarest value rules.

    Examples
    --------
    >>> [round(float(renyi(Spectrum.single([8, 4, 2, 2]), a)[0]), 4) for a in (0, 1, 2)]
    [2.0, 1.75, 1.5406]
    """
    if not len(spectrum.starts):
        return np.zeros(0)
    return _renyi_nats(spectrum, alpha) / _LN2 + 0.0


def _renyi_nats(spectrum: Spectrum, alpha: float) -> Floats:
    c, m, total = spectrum.c, spectrum.m, spectrum.total
    if alpha == 0:
        return np.log(spectrum.sum(m))
    if alpha == inf:
        return np.log(total / c[spectrum.last])
    if alpha == -inf:
        return np.log(total / c[spectrum.starts])
    p = c / spectrum.spread(total)
    if alpha == 1:
        return np.abs(spectrum.sum(-m * p * np.log(p)))
    if abs(alpha - 1) < _NEAR_ONE:  # sum p^alpha = 1 + sum p (p^(alpha - 1) - 1)
        excess = spectrum.sum(m * p * np.expm1((alpha - 1) * np.log(p)))
        return np.abs(np.log1p(excess) / (1 - alpha))
    power = alpha * np.log(p) + np.log(m)
    top = np.maximum.reduceat(power, spectrum.starts)
    log_sum = top + np.log(spectrum.sum(np.exp(power - spectrum.spread(top))))
    return np.abs(log_sum / (1 - alpha))


def tsallis(spectrum: Spectrum, alpha: float) -> Floats:
    """Give the Tsallis entropy of every segment; Shannon in nats at alpha 1.

    Examples
    --------
    >>> [float(tsallis(Spectrum.single([1] * 16), a)[0].round(4)) for a in (-2, 0, 2)]
    [1365.0, 15.0, 0.9375]
    """
    if not len(spectrum.starts):
        return np.zeros(0)
    nats = _renyi_nats(spectrum, alpha)
    if alpha == 1:
        return nats
    if isinf(alpha):
        return np.where((nats > 0) & (alpha < 0), inf, 0.0)
    return np.asarray(np.expm1((1 - alpha) * nats) / (1 - alpha))


def rarefied(spectrum: Spectrum, sample: int) -> dict[float, Floats]:
    """Give volume-invariant entropies of orders 0, 1 and 2, in bits.

    Parameters
    ----------
    sample
        N0, the connections that are drawn; segments with fewer are NaN (unknown).

    Returns
    -------
    dict
        Order → one value per segment: log2 of the expected number of values in the
        sample; the first N0 - 1 terms of the unbiased Shannon entropy; the Rényi
        entropy of the sample's expected collision probability.

    Examples
    --------
    >>> usual, doubled = [500, 300, 200], [1000, 600, 400]
    >>> both = [rarefied(Spectrum.single(counts), 10) for counts in (usual, doubled)]
    >>> [float(values[2.0][0].round(2)) for values in both]
    [1.18, 1.18]
    """
    total = spectrum.total
    n = spectrum.spread(total)
    chance = np.ones_like(spectrum.c)
    weight = spectrum.m * spectrum.c
    richness, shannon, simpson = np.ones_like(total), 0 * total, 0 * total
    with np.errstate(invalid="ignore", divide="ignore"):
        for k in range(1, sample):
            chance = chance * np.maximum(n - spectrum.c - (k - 1), 0) / (n - k)
            z = spectrum.sum(weight * chance) / total
            richness = richness + z
            shannon = shannon + z / k
            simpson = z if k == 1 else simpson
    enough = total >= sample
    collision = 1 / sample + (1 - 1 / sample) * (1 - simpson)
    values = {0.0: np.log2(richness), 1.0: shannon / _LN2, 2.0: -np.log2(collision)}
    return {
        order: np.where(enough, value + 0.0, np.nan) for order, value in values.items()
    }
