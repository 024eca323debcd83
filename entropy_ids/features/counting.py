"""Count: rows with minutes become integer tables that add.

``count(a) + count(b) == count(a ∪ b)``: parallel files, several loggers and repeated
blocks are all put together by `add`. Only integers cross this seam; a faster kernel may
take the place of `count` without anything else noticing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import polars as pl

from entropy_ids.errors import ConfigError
from entropy_ids.features.logins import count_logins
from entropy_ids.features.queries import count_queries
from entropy_ids.types import DIRECTIONS

Tables = Mapping[str, pl.DataFrame]

_MS = 1_000
_BINNED = ("orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts")
TABLES: dict[str, tuple[str, ...]] = {
    "talk": ("id.orig_h", "id.resp_h", "id.resp_p", "proto"),
    "orig_p": ("id.orig_p",),
    "service": ("service",),
    "proto": ("proto",),
    "conn_state": ("conn_state",),
    "duration": ("duration",),
    **{name: (name,) for name in _BINNED},
}
"""Count tables of conn and the columns whose values they count, per minute and
direction.

``talk`` also sums ``bytes`` and ``sent`` (the originator's part of them); all give
``flows``. Null is Zeek's unset: a value of its own. Durations and sizes are log2 bins,
-1 for 0.
"""
SUMS = ("flows", "bytes", "sent", "tries")
ANCHOR = ("minute", "direction")


def log2_bin(value: pl.Expr) -> pl.Expr:
    """Give floor(log2(value)) for whole numbers; -1 for 0, null for null.

    Examples
    --------
    >>> pl.select(log2_bin(pl.lit(pl.Series([0, 1, 2, 3, 1024])))).to_series().to_list()
    [-1, 0, 1, 1, 10]
    """
    bits = pl.lit(64) - value.cast(pl.UInt64).bitwise_leading_zeros().cast(pl.Int16)
    return (bits - 1).cast(pl.Int8)


def count(
    frame: pl.DataFrame, names: Iterable[str] = TABLES
) -> dict[str, pl.DataFrame]:
    """Count the values of rows that carry ``minute`` and ``direction``.

    Parameters
    ----------
    frame
        Rows as in `FlowBatch`, with ``minute`` (Int64) and ``direction`` (Int8, the
        position in `DIRECTIONS`, 0 where unknown).
    names
        The tables wanted.

    Returns
    -------
    dict
        Table name → columns ``minute``, ``direction``, the key, ``flows`` (and
        ``bytes``, ``sent``), integers only.
    """
    sent = pl.col("orig_bytes").fill_null(0)
    total = sent + pl.col("resp_bytes").fill_null(0)
    milliseconds = pl.col("duration").cast(pl.Int64) // _MS
    binned = {name: log2_bin(pl.col(name)) for name in _BINNED}
    rows = frame.with_columns(
        bytes=total, sent=sent, duration=log2_bin(milliseconds), **binned
    )
    plans = {name: _count(rows.lazy(), name) for name in names}
    return dict(zip(plans, pl.collect_all(plans.values()), strict=True))


def _count(frame: pl.LazyFrame, name: str) -> pl.LazyFrame:
    sums = [pl.len().cast(pl.Int64).alias("flows")]
    if name == "talk":
        sums += [pl.col("bytes").sum(), pl.col("sent").sum()]
    return frame.group_by(*ANCHOR, *TABLES[name]).agg(sums)


def count_log(log: str, frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Count rows of another log than conn that carry ``minute``.

    They have no direction: the log's columns are seen for the whole site alone.
    """
    return count_queries(frame) if log == "dns" else count_logins(log, frame)


def key_of(table: pl.DataFrame) -> tuple[str, ...]:
    """Name the columns whose values a count table counts."""
    return tuple(name for name in table.columns if name not in ANCHOR + SUMS)


def add(parts: Sequence[Tables]) -> dict[str, pl.DataFrame]:
    """Add counts: the tables of the union of what was counted.

    Examples
    --------
    >>> one = {"proto": pl.DataFrame(
    ...     {"minute": [1], "direction": [0], "proto": ["tcp"], "flows": [2]})}
    >>> add([one, one])["proto"]["flows"].to_list()
    [4]
    """
    if len(parts) == 1:
        return dict(parts[0])
    names = dict.fromkeys(name for part in parts for name in part)
    plans = {n: _add([part[n] for part in parts if n in part]) for n in names}
    return dict(zip(plans, pl.collect_all(plans.values()), strict=True))


def _add(tables: list[pl.DataFrame]) -> pl.LazyFrame:
    both = pl.concat(tables)
    sums = [pl.col(column).sum() for column in SUMS if column in both.columns]
    return both.lazy().group_by(*ANCHOR, *key_of(both)).agg(sums)


def with_direction(
    frame: pl.DataFrame, local_networks: Sequence[str] = ()
) -> pl.DataFrame:
    """Add ``direction`` as seen from the site.

    Parameters
    ----------
    frame
        Rows as in `FlowBatch`.
    local_networks
        The site's networks in CIDR form. When empty, Zeek's ``local_orig`` and
        ``local_resp`` tell; where these are unset, or both ends are remote, the
        direction is 0 (only part of the whole site).
    """
    if local_networks:
        networks = tuple(local_networks)
        orig, resp = (
            _is_local(frame[name], networks) for name in ("id.orig_h", "id.resp_h")
        )
    else:
        orig, resp = frame["local_orig"], frame["local_resp"]
    orig_local, resp_local = pl.lit(orig), pl.lit(resp)
    direction = (
        pl.when(~orig_local & resp_local)
        .then(DIRECTIONS.index("inbound"))
        .when(orig_local & ~resp_local)
        .then(DIRECTIONS.index("outbound"))
        .when(orig_local & resp_local)
        .then(DIRECTIONS.index("internal"))
        .otherwise(0)
    )
    return frame.with_columns(direction=direction.cast(pl.Int8))


def _is_local(addresses: pl.Series, networks: tuple[str, ...]) -> pl.Series:
    unique = addresses.unique()
    local = [
        text for text in unique if text is not None and in_networks(text, networks)
    ]
    return addresses.is_in(local)


@lru_cache(maxsize=1 << 18)
def in_networks(address: str, networks: tuple[str, ...]) -> bool:
    """Tell whether an address lies in one of the networks.

    Examples
    --------
    >>> [in_networks(a, ("10.0.0.0/8",)) for a in ("10.1.2.3", "fe80::1")]
    [True, False]
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in _networks(networks))


@lru_cache(maxsize=16)
def _networks(
    texts: tuple[str, ...],
) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as err:
        raise ConfigError(
            f"site.local_networks: expected networks such as 10.0.0.0/8, found: {err}"
        ) from err
