"""Flows as vectors, and which flows come before each: what flow classifiers look at.

A *record* is what is kept of a flow: its `NUMBERS` (NaN where unset) and, per `KINDS`,
the place of its value in the training's vocabulary. An `Encoding` makes the network's
vector of it. A *context* is the flows that are seen together, in file order: all of one
source, of one pair, or of the link. What is learned of them is left to others.

Notes
-----
A context ends when none of its flows was read for an hour of the log (`FORGOTTEN_S`, on
the running maximum of ``ts``) or among `REACH_FLOWS` flows of whatever context. Both
are told by the rows alone, so that a log may be cut anywhere, and bound the memory:
under a flood of forged sources each flow is a context.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entropy_ids.detectors.flows import Facts, Memory
from entropy_ids.errors import ProfileError

CONTEXTS: dict[str, tuple[str, ...]] = {
    "source": ("id.orig_h",),
    "pair": ("id.orig_h", "id.resp_h"),
    "link": (),
}
"""The columns whose values flows of one context share."""
FORGOTTEN_S = 3_600
REACH_FLOWS = 100_000
_LIMIT = 10.0  # robust deviations: a wild value must not drown the others
_MOST_VALUES = 32
_LEAST_FLOWS = 10  # rarer values are "other", so that it too is learned
_IQR_TO_STD = 1.349
_US_PER_MS = 1_000

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def _per_packet(sent: str, packets: str) -> pl.Expr:
    mean = pl.col(sent) / pl.col(packets)
    return pl.when(pl.col(packets) > 0).then(mean.log1p())


def _share(one: str, other: str) -> pl.Expr:
    both = pl.col(one) + pl.col(other)
    return pl.when(both > 0).then(pl.col(one) / both)


_OWN: dict[str, pl.Expr] = {
    "log_duration_ms": (pl.col("duration").dt.total_microseconds() / _US_PER_MS)
    .clip(0)
    .log1p(),
    "log_orig_bytes": pl.col("orig_bytes").log1p(),
    "log_resp_bytes": pl.col("resp_bytes").log1p(),
    "log_orig_pkts": pl.col("orig_pkts").log1p(),
    "log_resp_pkts": pl.col("resp_pkts").log1p(),
    "orig_bytes_share": _share("orig_bytes", "resp_bytes"),
    "orig_pkts_share": _share("orig_pkts", "resp_pkts"),
    "log_orig_bytes_per_pkt": _per_packet("orig_bytes", "orig_pkts"),
    "log_resp_bytes_per_pkt": _per_packet("resp_bytes", "resp_pkts"),
    "log_orig_p": pl.col("id.orig_p").log1p(),
    "log_resp_p": pl.col("id.resp_p").log1p(),
}
_COMPARED = ("id.orig_h", "id.resp_h", "id.resp_p")
_RELATIONS = ("log_gap_ms", "other_orig_h", "other_resp_h", "other_resp_p")

NUMBERS = (*_OWN, *_RELATIONS)
"""Of the flow itself, natural logarithms of 1 + size; then against the flow before it
in its context: how long after it this began, and whether an endpoint is another one."""
KINDS = ("proto", "service", "conn_state", "id.resp_p")
"""Columns that enter by value: one slot each for the frequent ones, one for others."""


@dataclass(frozen=True)
class Encoding:
    """From records to vectors, as the training flows had it.

    Attributes
    ----------
    vocabularies
        For each of `KINDS` its frequent values, ``-`` for unset; the most frequent
        first.
    center, scale
        Median and robust deviation of `NUMBERS`.

    Notes
    -----
    A number enters as (x - center) / scale, cut at ±10, 0 when unset, with a mark for
    unset beside it. The scale is the interquartile range / 1.349, or the standard
    deviation where half of the flows share one value.
    """

    vocabularies: dict[str, list[str]]
    center: Floats
    scale: Floats

    @property
    def width(self) -> int:
        """D, the numbers of a vector."""
        return 2 * len(NUMBERS) + sum(len(v) + 1 for v in self.vocabularies.values())

    @property
    def names(self) -> list[str]:
        """Name the numbers of a vector."""
        values = [
            f"{kind}={value}"
            for kind in KINDS
            for value in ("(other)", *self.vocabularies[kind])
        ]
        return [*NUMBERS, *(f"{name}=(unset)" for name in NUMBERS), *values]

    def codes(self, flows: pl.DataFrame) -> Floats:
        """Give flows × `KINDS`: 1 + the value's place in its vocabulary, 0 for others.

        Examples
        --------
        >>> words = dict.fromkeys(KINDS, ["-", "tcp"])
        >>> none = np.zeros(len(NUMBERS), np.float32)
        >>> flows = pl.DataFrame({kind: ["tcp", "icmp", None] for kind in KINDS})
        >>> Encoding(words, none, none).codes(flows)[:, 0]
        array([2., 0., 1.], dtype=float32)
        """
        columns = []
        for kind in KINDS:
            words = self.vocabularies[kind]
            places = {word: place for place, word in enumerate(words, start=1)}
            codes = _text(flows, kind).replace_strict(
                places, default=0, return_dtype=pl.Float32
            )
            columns.append(codes.to_numpy())
        return np.column_stack(columns)

    def encode(self, records: Floats) -> Floats:
        """Give the vectors of records, over the last axis."""
        numbers, codes = np.split(records, [len(NUMBERS)], axis=-1)
        unset = np.isnan(numbers)
        scaled = np.clip((numbers - self.center) / self.scale, -_LIMIT, _LIMIT)
        parts = [np.where(unset, 0, scaled), unset]
        for at, kind in enumerate(KINDS):
            slots = np.arange(len(self.vocabularies[kind]) + 1)
            parts.append(codes[..., at, None] == slots)
        return np.concatenate(parts, axis=-1, dtype=np.float32)

    def facts(self) -> Facts:
        """Give plain values, with what they are about."""
        return {
            "numbers": list(NUMBERS),
            "vocabularies": self.vocabularies,
            "center": self.center.tolist(),
            "scale": self.scale.tolist(),
        }

    @staticmethod
    def of(facts: Facts) -> Encoding:
        """Take what `facts` gave.

        Raises
        ------
        ProfileError
            When they are about other features.
        """
        found = (facts.get("numbers"), sorted(facts.get("vocabularies", ())))
        if found != (list(NUMBERS), sorted(KINDS)):
            raise ProfileError(
                f"expected the flow features {', '.join((*NUMBERS, *KINDS))}, found "
                f"{found[0]} and {found[1]} in the profile; train anew"
            )
        center, scale = (np.array(facts[k], np.float32) for k in ("center", "scale"))
        if center.shape != (len(NUMBERS),) or scale.shape != (len(NUMBERS),):
            raise ProfileError(
                f"expected a median and a deviation of each of {len(NUMBERS)} flow "
                f"features, found {center.size} and {scale.size} in the profile; the "
                "profile is damaged, train anew"
            )
        vocabularies = {kind: facts["vocabularies"][kind] for kind in KINDS}
        return Encoding(vocabularies, center, scale)


def _text(flows: pl.DataFrame, kind: str) -> pl.Series:
    return flows[kind].cast(pl.String).fill_null("-")


def _frequent(values: pl.Series) -> list[str]:
    counts = values.rename("value").to_frame().group_by("value").len()
    enough = counts.filter(pl.col("len") >= _LEAST_FLOWS)
    ranked = enough.sort("len", "value", descending=[True, False])
    return ranked["value"].head(_MOST_VALUES).to_list()


def _center_scale(values: NDArray[np.float64]) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    scale = (high - low) / _IQR_TO_STD or values.std()
    return float(middle), float(scale) if scale > 0 else 1.0


@dataclass(frozen=True)
class Followed:
    """Flows, each with those before it in its context.

    Attributes
    ----------
    records
        Of remembered flows, then of these, rows × (`NUMBERS`, `KINDS`).
    index
        Flows × n: rows of ``records``, the flow itself last; -1 where there is none.
    rows
        Of these flows: ``context``, ``ts`` and ``clock`` (microseconds), ``place``
        (running number) and what is compared with the next flow.
    """

    records: Floats
    index: Ints
    rows: pl.DataFrame


def follow(
    flows: pl.DataFrame, codes: Floats, memory: Memory, context: str, length: int
) -> Followed:
    """Find the flows before each; ``memory`` is read alone, see `remember`.

    Parameters
    ----------
    flows
        In file order.
    codes
        What `Encoding.codes` gives of them.
    context
        A name of `CONTEXTS`.
    length
        n: the flow and at most n - 1 before it.
    """
    rows = _rows(flows, memory, context)
    known, before = _remembered(rows, memory)
    every = pl.concat([known, rows])
    group = every["context"].rank("dense").to_numpy()
    order = np.argsort(group, kind="stable")
    rank = _rank(group[order], every[order])
    numbers = [flows.select(**_OWN).cast(pl.Float32).to_numpy()]
    numbers.append(_related(every, order, rank)[len(known) :])
    records = np.vstack([before, np.hstack([*numbers, codes])])
    back = np.arange(length - 1, -1, -1)
    index = np.full((len(every), length), -1, np.int64)
    at = np.arange(len(every))[:, None] - back
    index[order] = np.where(rank[:, None] >= back, order[np.maximum(at, 0)], -1)
    return Followed(records, index[len(known) :], rows)


def _rows(flows: pl.DataFrame, memory: Memory, context: str) -> pl.DataFrame:
    """Give what is known of new flows before they are held against others."""
    ts = flows["ts"].dt.timestamp("us")
    start = memory.get("clock", -(2**62))
    keys = [flows[name] for name in CONTEXTS[context]]
    shared = pl.select(pl.concat_str(keys, separator=" ")).to_series() if keys else ""
    place = np.arange(len(flows)) + memory.get("flows", 0)
    return flows.select(
        context=pl.lit(shared, pl.String),
        ts=ts,
        clock=ts.cum_max().clip(start),
        place=place,
        **{name: pl.col(name) for name in _COMPARED},
    )


def _remembered(rows: pl.DataFrame, memory: Memory) -> tuple[pl.DataFrame, Floats]:
    """Give the remembered flows of the contexts at hand, as rows and as records.

    Only the last flow of a context is held against a new one: the others share its row.
    """
    contexts: dict[str, Any] = memory.get("contexts", {})
    names = rows["context"].unique(maintain_order=True)
    known = [(name, contexts[name]) for name in names if name in contexts]
    table = [(name, *one["last"]) for name, one in known for _ in one["records"]]
    records = [record for _, one in known for record in one["records"]]
    frame = pl.DataFrame(table, schema=rows.schema, orient="row")
    size = len(NUMBERS) + len(KINDS)
    return frame, np.array(records, np.float32).reshape(-1, size)


def _rank(group: NDArray[Any], rows: pl.DataFrame) -> Ints:
    """Count the flows of each context from 0, anew where it ended in between."""
    clock, place = rows["clock"].to_numpy(), rows["place"].to_numpy()
    begins = np.ones(len(rows), np.bool_)
    begins[1:] = group[1:] != group[:-1]
    begins[1:] |= np.diff(clock) > FORGOTTEN_S * 1_000_000
    begins[1:] |= np.diff(place) > REACH_FLOWS
    here = np.arange(len(rows))
    rank: Ints = here - np.maximum.accumulate(np.where(begins, here, 0))
    return rank


def _related(rows: pl.DataFrame, order: Ints, rank: Ints) -> Floats:
    """Hold each flow against the one before it in its context; NaN without one."""
    ordered = rows[order].select(
        (pl.col("ts").diff().clip(0) / _US_PER_MS).log1p(),
        *(pl.col(name) != pl.col(name).shift() for name in _COMPARED),
    )
    related = np.empty((len(rows), len(_RELATIONS)), np.float32)
    values = ordered.cast(pl.Float32).to_numpy()
    related[order] = np.where(rank[:, None] > 0, values, np.nan)
    return related


def encoded(
    flows: pl.DataFrame, context: str, length: int
) -> tuple[Encoding, Followed]:
    """Learn the encoding of training flows; give it, and the flows followed."""
    size = len(NUMBERS)
    plain = Encoding(
        {kind: _frequent(_text(flows, kind)) for kind in KINDS},
        np.zeros(size, np.float32),
        np.ones(size, np.float32),
    )
    followed = follow(flows, plain.codes(flows), {}, context, length)
    columns = followed.records[:, :size].astype(np.float64).T
    spread = np.array([_center_scale(x[~np.isnan(x)]) for x in columns])
    center, scale = spread.astype(np.float32).T
    return replace(plain, center=center, scale=scale), followed


def remember(memory: Memory, followed: Followed) -> None:
    """Keep the last flows of each context for those to come; forget ended contexts."""
    rows = followed.rows
    if rows.is_empty():
        return
    memory["flows"] = rows["place"][-1] + 1
    memory["clock"] = rows["clock"][-1]
    contexts = memory.setdefault("contexts", {})
    last = rows.with_row_index("row").group_by("context", maintain_order=True).last()
    for row, (name, *facts) in zip(
        last["row"], last.drop("row").iter_rows(), strict=True
    ):
        kept = followed.index[row, 1:]
        contexts[name] = {
            "last": facts,
            "records": _plain(followed.records[kept[kept >= 0]]),
        }
    for name in [n for n, one in contexts.items() if _ended(one["last"], memory)]:
        del contexts[name]


def _ended(last: list[Any], memory: Memory) -> bool:
    _, clock, place, *_ = last
    silent_us: int = memory["clock"] - clock
    flows_ago: int = memory["flows"] - place
    return silent_us > FORGOTTEN_S * 1_000_000 or flows_ago > REACH_FLOWS


def _plain(records: Floats) -> list[list[float | None]]:
    """Give records as values that JSON can hold: None is unset."""
    return [[None if x != x else x for x in row] for row in records.tolist()]
