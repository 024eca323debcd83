"""Slow, obvious twins of the feature stage: loops over plain rows, no arrays.

A *row* is a dict with conn.log's own names; ``ts`` and ``duration`` are whole
microseconds and None is Zeek's unset. `batch` turns rows into what the real code takes.
"""

import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import polars as pl
from hypothesis import strategies as st

from entropy_ids.collector.schema import KEPT
from entropy_ids.types import FlowBatch

Row = dict[str, Any]
S = 1_000_000
DAY_S = 86_400
T0 = 1_713_682_800
"""2024-04-21 07:00 UTC: a whole minute."""


# ---------------------------------------------------------------- rows and batches


def row(end_s: float, **values: Any) -> Row:
    """Give a row that ends at ``end_s``; names with a dot are spelled with ``__``."""
    usual: Row = dict.fromkeys(KEPT)
    usual |= {"ts": round(end_s * S), "uid": "C1", "proto": "tcp", "conn_state": "SF"}
    usual |= {"id.orig_h": "10.0.0.1", "id.orig_p": 40_000}
    usual |= {"id.resp_h": "192.0.2.1", "id.resp_p": 443}
    return usual | {name.replace("__", "."): value for name, value in values.items()}


def frame(rows: Iterable[Row]) -> pl.DataFrame:
    """Give the rows as a typed frame, with ``line`` counted from 1."""
    rows = list(rows)
    columns = [
        pl.Series(name, [row[name] for row in rows], dtype=_physical(kind)).cast(kind)
        for name, kind in KEPT.items()
    ]
    lines = pl.Series("line", range(1, len(rows) + 1), dtype=pl.Int64)
    return pl.DataFrame([*columns, lines])


def _physical(kind: pl.DataType) -> pl.DataType:
    return pl.Int64() if kind.is_temporal() else kind


def batch(rows: Iterable[Row], path: str = "conn.log") -> FlowBatch:
    """Give the rows as a batch of one file."""
    return FlowBatch(frame(rows), path)


def stream(ends: Iterable[int], path: str = "conn.log") -> FlowBatch:
    """Give rows that end at these microseconds, each with its own uid."""
    ends = list(ends)
    own = {"ts": pl.Series(ends, dtype=pl.Int64).cast(KEPT["ts"])}
    own["uid"] = pl.Series(
        [f"C{number}" for number in range(len(ends))], dtype=pl.String
    )
    return FlowBatch(frame([row(0)] * len(ends)).with_columns(**own), path)


def cut(whole: FlowBatch, at: Iterable[int]) -> list[FlowBatch]:
    """Cut a batch before the rows at these positions; pieces may be empty."""
    size = len(whole)
    bounds = [0, *sorted(min(place, size) for place in at), size]
    return [
        FlowBatch(whole.frame[start:stop], whole.path)
        for start, stop in itertools.pairwise(bounds)
    ]


def rows_of(table: pl.DataFrame) -> list[Row]:
    """Give a frame as plain rows."""
    return table.with_columns(pl.col("ts", "duration").cast(pl.Int64)).to_dicts()


def traffic(seed: int, minute: int, flows: int) -> list[Row]:
    """Draw rows whose ends rise within one minute; every column is sometimes unset."""
    rng = random.Random(seed)
    ends = sorted(rng.randrange(60 * S) for _ in range(flows))
    return [_any_row(rng, minute * S + end) for end in ends]


def _any_row(rng: random.Random, end: int) -> Row:
    duration = rng.choice([None, 0, 400, 1_000, rng.randrange(10**8)])
    orig, resp = (
        rng.choice([f"10.0.0.{rng.randrange(9)}", f"192.0.2.{rng.randrange(9)}"])
        for _ in range(2)
    )
    sizes = ("orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts")
    values = {name: rng.choice([None, 0, 1, rng.randrange(10**7)]) for name in sizes}
    values |= {"id.orig_h": orig, "id.resp_h": resp, "id.orig_p": rng.randrange(30)}
    values |= {"id.resp_p": rng.choice([22, 53, 443]), "duration": duration}
    values |= {"proto": rng.choice(["tcp", "udp"])}
    values |= {"service": rng.choice([None, "dns", "ssl"])}
    values |= {"conn_state": rng.choice([None, "SF", "S0"])}
    values |= {
        "local_orig": orig.startswith("10."),
        "local_resp": resp.startswith("10."),
    }
    return row(0) | values | {"ts": end - (duration or 0)}


# ---------------------------------------------------------------- the log clock


@dataclass(frozen=True)
class Stamp:
    """What became of a row: its minute and epoch, or the reason to refuse it."""

    epoch: int
    minute: int | None = None
    refused: str | None = None


def end_of(row: Row) -> int:
    """Give the row's end in microseconds; unset duration counts as 0."""
    return row["ts"] + (row["duration"] or 0)


def log_clock(ends: list[int]) -> tuple[list[Stamp], int]:
    """Stamp every row of one stream; give the stamps and how often the clock stepped.

    Design, section 2: the running maximum of ends; a row over 120 s beyond it needs two
    of the next eight rows to end no earlier than 60 s before it (at the end of the log:
    none that contradicts); over 24 h behind is stale; 64 rows in a row over 3,900 s
    behind, or a week without a row, anchor the clock anew.
    """
    stamps: list[Stamp] = []
    clock, epoch, steps = None, -1, 0
    while len(stamps) < len(ends):
        here = len(stamps)
        end = ends[here]
        if clock is None:
            clock, epoch = _settle(ends[here : here + 64]), epoch + 1
        refused = None
        if end > clock + 120 * S:
            refused = None if _supported(end, ends[here + 1 : here + 9]) else "future"
            if not refused and end > clock + 7 * DAY_S * S:
                epoch, steps = epoch + 1, steps + 1
        elif end < clock - 3_900 * S:
            behind = [other < clock - 3_900 * S for other in ends[here : here + 64]]
            if len(behind) == 64 and all(behind):
                clock, steps = None, steps + 1
                continue
            refused = "stale" if end < clock - DAY_S * S else None
        if refused:
            stamps.append(Stamp(epoch, refused=refused))
        else:
            clock = max(clock, end)
            stamps.append(Stamp(epoch, clock // S // 60 * 60))
    return stamps, steps


def minutes(rows: list[Row]) -> dict[int, list[Row]]:
    """Give the rows of each minute of a stream without epochs."""
    stamps, _ = log_clock([end_of(row) for row in rows])
    found = defaultdict(list)
    for row, stamp in zip(rows, stamps, strict=True):
        if not stamp.refused:
            found[stamp.minute].append(row)
    return dict(found)


def _supported(end: int, followers: list[int]) -> bool:
    support = sum(other >= end - 60 * S for other in followers)
    return support >= 2 or (len(followers) < 8 and support == len(followers))


def _settle(first: list[int]) -> int:
    """Give the least end of the first rows, those more than a week apart left aside."""
    groups: list[list[int]] = []
    for end in sorted(first):
        if groups and end - groups[-1][-1] <= 7 * DAY_S * S:
            groups[-1].append(end)
        else:
            groups.append([end])
    return max(groups, key=len)[0]


# ---------------------------------------------------------------- counting

Counted = Callable[[list[Row]], Counter[Hashable]]


def log2_bin(value: int | None) -> int | None:
    """Give floor(log2(value)); -1 for 0, None for None."""
    if value is None:
        return None
    return value.bit_length() - 1


def _pair(row: Row) -> Hashable:
    return row["id.orig_h"], row["id.resp_h"]


def _port(row: Row) -> Hashable:
    return row["id.resp_p"], row["proto"]


def _bytes(row: Row) -> int:
    return (row["orig_bytes"] or 0) + (row["resp_bytes"] or 0)


def _sent(row: Row) -> int:
    return row["orig_bytes"] or 0


def _logins(rows: list[Row]) -> Counter[Hashable]:
    ports = (21, 22, 23, 2222, 1433, 3306, 3389, 5432, 5900)
    return Counter(() for row in rows if row["id.resp_p"] in ports)


def _milliseconds(row: Row) -> int | None:
    return None if row["duration"] is None else row["duration"] // 1_000


def _get(name: str) -> Callable[[Row], Hashable]:
    return lambda row: row[name]


def _flows(key: Callable[[Row], Hashable]) -> Counted:
    return lambda rows: Counter(key(row) for row in rows)


def _binned(value: Callable[[Row], Any]) -> Counted:
    return lambda rows: Counter(log2_bin(value(row)) for row in rows)


def _weighed(
    key: Callable[[Row], Hashable], weight: Callable[[Row], int] = _bytes
) -> Counted:
    def count(rows: list[Row]) -> Counter[Hashable]:
        counts: Counter[Hashable] = Counter()
        for row in rows:
            counts[key(row)] += weight(row)
        return counts

    return count


def _distinct(
    key: Callable[[Row], Hashable], what: Callable[[Row], Hashable]
) -> Counted:
    def count(rows: list[Row]) -> Counter[Hashable]:
        seen = defaultdict(set)
        for row in rows:
            seen[key(row)].add(what(row))
        return Counter({value: len(others) for value, others in seen.items()})

    return count


_src, _dst = _get("id.orig_h"), _get("id.resp_h")
FEATURES: dict[str, Counted] = {
    "orig_h": _flows(_src),
    "resp_h": _flows(_dst),
    "resp_p": _flows(_port),
    "orig_p": _flows(_get("id.orig_p")),
    "service": _flows(_get("service")),
    "proto": _flows(_get("proto")),
    "conn_state": _flows(_get("conn_state")),
    "duration": _binned(_milliseconds),
    "orig_bytes": _binned(_get("orig_bytes")),
    "resp_bytes": _binned(_get("resp_bytes")),
    "orig_pkts": _binned(_get("orig_pkts")),
    "resp_pkts": _binned(_get("resp_pkts")),
    "orig_h_bytes": _weighed(_src),
    "resp_h_bytes": _weighed(_dst),
    "out_degree": _distinct(_src, _dst),
    "in_degree": _distinct(_dst, _src),
    "max_orig_h": _flows(_src),
    "max_resp_h": _flows(_dst),
    "max_pair": _flows(_pair),
    "max_bytes": _weighed(_pair),
    "fan_out": _distinct(_src, _dst),
    "fan_in": _distinct(_dst, _src),
    "pair_ports": _distinct(_pair, _port),
    "max_sent": _weighed(_pair, _sent),
    "flows": _flows(lambda row: ()),
    "logins": _logins,
    "bytes": _weighed(lambda row: ()),
    "sent": _weighed(lambda row: (), _sent),
}


def direction(row: Row) -> str:
    """Tell the direction by Zeek's flags; ``all`` where they tell none."""
    ends = row["local_orig"], row["local_resp"]
    known = {
        (False, True): "inbound",
        (True, False): "outbound",
        (True, True): "internal",
    }
    return known.get(ends, "all")


def weights(rows: list[Row], feature: str, seen: str = "all") -> list[int]:
    """Give the weights of a feature's values over one minute's rows, zeros left out."""
    rows = rows if seen == "all" else [r for r in rows if direction(r) == seen]
    return [weight for weight in FEATURES[feature](rows).values() if weight]


def measure(rows: list[Row], column: str, sample: int) -> float:
    """Give a column's value over one minute's rows; NaN where nothing was seen."""
    feature, seen, statistic, *order = column.split(".", 3)
    counts = weights(rows, feature, seen)
    if statistic == "log2":
        size = sum if feature in ("flows", "logins", "bytes", "sent") else max
        return math.log2(1 + (size(counts) if counts else 0))
    if not counts:
        return math.nan
    if statistic == "rarefied":
        return rarefied(counts, sample)[float(order[0])]
    return {"renyi": renyi, "tsallis": tsallis}[statistic](counts, float(order[0]))


# ---------------------------------------------------------------- entropies


def renyi(counts: list[int], alpha: float) -> float:
    """Give the Rényi entropy in bits."""
    total = sum(counts)
    if alpha == math.inf:
        return -math.log2(max(counts) / total)
    if alpha == -math.inf:
        return -math.log2(min(counts) / total)
    if alpha == 1:
        return math.fsum(-c / total * math.log2(c / total) for c in counts)
    if abs(alpha - 1) < 0.01:
        return _precise(counts, alpha)[0]
    return math.log2(_power_sum(counts, alpha)) / (1 - alpha)


def tsallis(counts: list[int], alpha: float) -> float:
    """Give the Tsallis entropy; Shannon in nats at 1, limits at ±inf."""
    if math.isinf(alpha):
        return math.inf if alpha < 0 and len(counts) > 1 else 0.0
    if alpha == 1:
        return renyi(counts, 1) * math.log(2)
    if abs(alpha - 1) < 0.01:
        return _precise(counts, alpha)[1]
    return (_power_sum(counts, alpha) - 1) / (1 - alpha)


def _power_sum(counts: list[int], alpha: float) -> float:
    total = sum(counts)
    return math.fsum((c / total) ** alpha for c in counts)


def _precise(counts: list[int], alpha: float) -> tuple[float, float]:
    """Give both by their definitions, in 50 digits: so near 1 these cancel."""
    with localcontext(prec=50):
        total, order = sum(counts), Decimal(alpha)
        powers = sum(
            many * (Decimal(c) / total) ** order for c, many in Counter(counts).items()
        )
        renyi_bits = powers.ln() / (1 - order) / Decimal(2).ln()
        return float(renyi_bits), float((powers - 1) / (1 - order))


def new_after(counts: list[int], k: int) -> Fraction:
    """Give Z_k: the chance that a connection's value is new after k others."""
    total, chance = sum(counts), Fraction(0)
    for c, many in Counter(counts).items():
        product = Fraction(c, total)
        for j in range(k):
            product *= Fraction(max(total - c - j, 0), total - 1 - j)
        chance += many * product
    return chance


def rarefied(counts: list[int], sample: int) -> dict[float, float]:
    """Give the volume-invariant entropies by definition; NaN below the sample."""
    total = sum(counts)
    if total < sample:
        return dict.fromkeys((0.0, 1.0, 2.0), math.nan)
    drawn = math.comb(total, sample)
    richness = sum(1 - Fraction(math.comb(total - c, sample), drawn) for c in counts)
    shannon = sum(new_after(counts, k) / k for k in range(1, sample))
    same = Fraction(sum(c * (c - 1) for c in counts), total * max(total - 1, 1))
    collision = Fraction(1, sample) + (1 - Fraction(1, sample)) * same
    return {
        0.0: math.log2(richness),
        1.0: float(shannon) / math.log(2),
        2.0: -math.log2(collision),
    }


# ---------------------------------------------------------------- histories

Action = tuple[Any, ...]
"""What happens to a stream, as `history` acts it out."""


def history(actions: Iterable[Action]) -> list[int]:
    """Act out what happens to one stream; give the ends of its rows in file order.

    Usual rows end up to 50 s before now, as Zeek writes them some time after.
    """
    ends: list[int] = []
    now = T0 * S
    for kind, *how in actions:
        if kind == "flow":
            rows, step_s = how
            ends += [now + (i * step_s - i * 7 % 50) * S for i in range(rows)]
            now += rows * step_s * S
        elif kind == "late":
            rows, behind_s = how
            ends += [now - behind_s * S - i for i in range(rows)]
        elif kind == "stray":
            ends.append(now + how[0] * S)
        elif kind == "epoch zero":
            ends.append(0)
        else:
            assert kind == "step"
            now += how[0] * S
    return ends


FLOW = ("flow", 40, 3)


def histories() -> st.SearchStrategy[list[int]]:
    """Draw streams with jumps, late rows, strays, clocks set back and long silence."""
    days = 6 * DAY_S
    flow = st.tuples(st.just("flow"), st.integers(1, 70), st.integers(0, 40))
    late = st.tuples(st.just("late"), st.integers(1, 4), st.integers(0, days))
    behind = st.integers(3_900, 2 * DAY_S)
    set_back = st.tuples(st.just("late"), st.integers(62, 66), behind)
    stray = st.tuples(st.just("stray"), st.integers(100, days))
    zero = st.just(("epoch zero",))
    jump = st.tuples(st.just("step"), st.integers(-7_200, days))
    week = st.integers(8 * DAY_S, 30 * DAY_S).map(lambda s: ("step", s))
    silence = st.tuples(week, st.just(("flow", 70, 3)))
    one = st.one_of(flow, late, set_back, stray, zero, jump)
    some = st.one_of(one.map(lambda action: (action,)), one.map(lambda a: (a, FLOW)))
    starts = st.lists(st.one_of(zero, stray), max_size=2)
    then = st.lists(st.one_of(some, some, some, silence), max_size=8)
    return st.builds(
        lambda start, parts: history(
            [*start, FLOW, *(action for part in parts for action in part)]
        ),
        starts,
        then,
    )
