"""Flows as a language: a word for each flow, sentences of address pairs, windows.

A *dyad* is an undirected pair of addresses; a *sentence* is the words of its flows of
one hour, in file order; a *window* is the ten words before a flow in its sentence. What
comes next is the business of `entropy_ids.detectors.flow_language_model`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entropy_ids.collector.schema import end_us
from entropy_ids.detectors.flows import LABEL, NORMAL, Memory
from entropy_ids.errors import ConfigError

WINDOW = 10
"""Words before a flow, as in the paper."""
PADDING = 0
"""Stands before a sentence's first word; codes of words are larger."""
HIGH_PORT = 10_000
"""Ports from here on are one word, as in the paper."""
MOST_DYADS = 100_000
"""Dyads of one hour that are remembered, 6 MB as JSON; of later ones each flow is taken
for the first. A flood from made-up addresses would fill the memory otherwise."""
_HOUR_US = 3_600_000_000

Codes = NDArray[np.int32]


def proto_bytes(flows: pl.DataFrame) -> pl.Series:
    """Give protocol + floor(log2(bytes both ways + 1)); ``-`` where Zeek saw no size.

    Examples
    --------
    >>> flows = pl.DataFrame({
    ...     "proto": ["tcp", "udp", "tcp"],
    ...     "orig_bytes": [1000, 0, None],
    ...     "resp_bytes": [23, 0, None]})
    >>> proto_bytes(flows).to_list()
    ['tcp10', 'udp0', 'tcp-']
    """
    sizes = [pl.col(name) for name in ("orig_bytes", "resp_bytes")]
    table = flows.select(
        "proto",
        total=pl.sum_horizontal(sizes).clip(0),
        seen=pl.any_horizontal(size.is_not_null() for size in sizes),
    )
    # frexp is exact where log2 is not: log2(2**49 - 1) rounds up to 49
    power = np.frexp(table["total"].to_numpy().astype(np.float64) + 1)[1] - 1
    size = pl.when("seen").then(pl.Series("power", power).cast(pl.String))
    return table.select(word=pl.col("proto") + size.otherwise(pl.lit("-")))["word"]


def service_ports(flows: pl.DataFrame) -> pl.Series:
    """Give the numerically lower port, ``10000`` for all from there on.

    Examples
    --------
    >>> flows = pl.DataFrame({
    ...     "id.orig_p": [50000, 80, 40000], "id.resp_p": [443, 9999, 30003]})
    >>> service_ports(flows).to_list()
    ['443', '80', '10000']
    """
    low = pl.min_horizontal("id.orig_p", "id.resp_p").clip(upper_bound=HIGH_PORT)
    return flows.select(word=low.cast(pl.String))["word"]


WORDS: dict[str, Callable[[pl.DataFrame], pl.Series]] = {
    "proto-bytes": proto_bytes,
    "ports": service_ports,
}
"""The paper's two languages."""


def check_words(kind: str) -> str:
    """Give ``kind`` back.

    Raises
    ------
    ConfigError
        When it is none of `WORDS`.
    """
    if kind not in WORDS:
        raise ConfigError(
            f"words: expected one of {', '.join(WORDS)}, found {kind!r}; choose one"
        )
    return kind


def dyads(flows: pl.DataFrame) -> pl.Series:
    """Give the address pair of each flow, the same both ways.

    Examples
    --------
    >>> flows = pl.DataFrame({
    ...     "id.orig_h": ["10.0.0.9", "10.0.0.1"],
    ...     "id.resp_h": ["10.0.0.1", "10.0.0.9"]})
    >>> dyads(flows).to_list()
    ['10.0.0.1 10.0.0.9', '10.0.0.1 10.0.0.9']
    """
    ends = [pl.col("id.orig_h"), pl.col("id.resp_h")]
    low, high = pl.min_horizontal(ends), pl.max_horizontal(ends)
    return flows.select(dyad=pl.concat_str(low, high, separator=" "))["dyad"]


def hours(flows: pl.DataFrame, since: int = 0) -> NDArray[np.int64]:
    """Give the hour that each flow is written in: hours since 1970, never falling.

    Parameters
    ----------
    flows
        In file order.
    since
        The hour of the flow before them.

    Notes
    -----
    It is the hour of the log clock, the running maximum of the flows' ends. With the
    beginnings (`ts`, the paper's choice), which come in another order than the rows,
    a sentence could go on at any time, and none could ever be forgotten. Rows from the
    future are expected to be gone, as the log clock takes them out.
    """
    ends = end_us(flows).to_numpy() // _HOUR_US
    return np.maximum.accumulate(np.maximum(ends, since))


@dataclass(frozen=True)
class _Sentences:
    """Which sentence each flow belongs to.

    Attributes
    ----------
    dyad, hour
        Of each sentence, in the order of their first flows.
    of
        The sentence of each flow, by position.
    """

    dyad: list[str]
    hour: NDArray[np.int64]
    of: NDArray[np.int64]

    @staticmethod
    def find(flows: pl.DataFrame, since: int) -> _Sentences:
        table = pl.DataFrame({"dyad": dyads(flows), "hour": hours(flows, since)})
        first = table.unique(maintain_order=True).with_row_index("at")
        of = table.join(first, on=["dyad", "hour"], how="left", maintain_order="left")
        return _Sentences(
            first["dyad"].to_list(),
            first["hour"].to_numpy(),
            of["at"].to_numpy().astype(np.int64),
        )


def windows(
    flows: pl.DataFrame, codes: Codes, memory: Memory, most_dyads: int = MOST_DYADS
) -> Codes:
    """Give the words before each flow in its sentence, the last of them last.

    Parameters
    ----------
    flows
        In file order.
    codes
        The words of the flows, as numbers above `PADDING`.
    memory
        Of the flows before; changed in place. ``hour`` is the last flow's, ``dyads``
        holds the last words of the hour's sentences, their numbers as text. Past hours
        are forgotten.
    most_dyads
        Sentences of an hour that are remembered.

    Returns
    -------
    numpy.ndarray
        flows × `WINDOW`, left padded.

    Examples
    --------
    >>> flows = pl.DataFrame({
    ...     "ts": pl.Series([0, 1, 2], dtype=pl.Datetime("us", "UTC")),
    ...     "duration": pl.Series([None] * 3, dtype=pl.Duration("us")),
    ...     "id.orig_h": ["a", "b", "a"], "id.resp_h": ["b", "a", "c"]})
    >>> memory = {}
    >>> windows(flows, np.array([7, 8, 7], np.int32), memory)[:, -2:].tolist()
    [[0, 0], [0, 7], [0, 0]]
    >>> memory
    {'hour': 0, 'dyads': {'a b': '7 8', 'a c': '7'}}
    """
    if not len(codes):
        return np.zeros((0, WINDOW), np.int32)
    known = _known(memory)
    said = _Sentences.find(flows, int(memory.get("hour", 0)))
    before = [
        known.get(dyad, "").split() if hour == memory.get("hour") else []
        for dyad, hour in zip(said.dyad, said.hour.tolist(), strict=True)
    ]
    text, places, begins = _text(said.of, codes, before)
    back = places[:, None] - np.arange(WINDOW, 0, -1)
    found = np.where(
        back >= begins[said.of][:, None], text[np.maximum(back, 0)], PADDING
    )
    kept = _kept(said, before, len(known), memory.get("hour"), most_dyads)
    found[~kept[said.of]] = PADDING
    ends = np.append(begins[1:], len(text))
    _remember(memory, said, kept, text, ends, begins)
    return found


def _known(memory: Memory) -> dict[str, str]:
    known: dict[str, str] = memory.get("dyads", {})
    return known


def _text(
    of: NDArray[np.int64], codes: Codes, before: list[list[str]]
) -> tuple[Codes, NDArray[np.int64], NDArray[np.int64]]:
    """Lay out all sentences, each as its remembered words and then its new ones.

    Gives the words, the place of each flow's, and where each sentence begins.
    """
    old = np.array([len(words) for words in before], np.int64)
    new = np.bincount(of, minlength=len(before))
    begins = np.cumsum(old + new) - old - new
    order = np.argsort(of, kind="stable")
    nth = np.arange(len(of)) - (np.cumsum(new) - new)[of[order]]
    places = np.empty(len(of), np.int64)
    places[order] = (begins + old)[of[order]] + nth
    text = np.empty(int((old + new).sum()), np.int32)
    text[places] = codes
    remembered = np.ones(len(text), np.bool_)
    remembered[places] = False
    text[remembered] = [int(code) for words in before for code in words]
    return text, places, begins


def _kept(
    said: _Sentences,
    before: list[list[str]],
    known: int,
    since: int | None,
    most: int,
) -> NDArray[np.bool_]:
    """Tell which sentences are remembered: the first ``most`` of each hour."""
    new = np.array([not words for words in before], np.bool_)
    nth = np.zeros(len(new), np.int64)
    for hour in np.unique(said.hour):
        at = np.flatnonzero(new & (said.hour == hour))
        nth[at] = np.arange(len(at)) + (known if hour == since else 0)
    return ~new | (nth < most)


def _remember(
    memory: Memory,
    said: _Sentences,
    kept: NDArray[np.bool_],
    text: Codes,
    ends: NDArray[np.int64],
    begins: NDArray[np.int64],
) -> None:
    """Keep the last words of the last hour's sentences, and forget other hours."""
    last = int(said.hour[-1])
    if memory.get("hour") != last:
        memory.update(hour=last, dyads={})
    known = _known(memory)
    for at in np.flatnonzero(kept & (said.hour == last)).tolist():
        words = text[max(begins[at], ends[at] - WINDOW) : ends[at]]
        known[said.dyad[at]] = " ".join(map(str, words.tolist()))


def dyad_hours(flows: pl.DataFrame, scores: NDArray[np.float64]) -> pl.DataFrame:
    """Give the paper's unit of evaluation: the largest score of each dyad and hour.

    Parameters
    ----------
    flows
        In file order; with `entropy_ids.detectors.flows.LABEL` there is a column
        ``attack``, true where any of the flows is one.
    scores
        Of the flows.

    Returns
    -------
    polars.DataFrame
        ``dyad``, ``hour`` (its first second, UTC), ``score``, ``flows`` (how many), in
        the order of the first flows.
    """
    table = pl.DataFrame(
        {
            "dyad": dyads(flows),
            "hour": pl.Series(hours(flows) * _HOUR_US).cast(pl.Datetime("us", "UTC")),
            "score": pl.Series(scores, nan_to_null=True),
        }
    )
    found = [pl.col("score").max(), pl.len().alias("flows")]
    if LABEL in flows.columns:
        table = table.with_columns(attack=flows[LABEL] != NORMAL)
        found.append(pl.col("attack").any())
    return table.group_by("dyad", "hour", maintain_order=True).agg(found)
