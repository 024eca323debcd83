"""The table of flows that the simulator's parts hand on, and what Zeek derives from it.

Generators say who talked to whom, when, how much and with which history; packets,
flags, uids and the moment of writing follow here, by one set of rules for all.
"""

from typing import Final

import numpy as np
import polars as pl

#: The 21 columns of Zeek's standard conn.log and their Zeek types, in its order.
FIELDS: Final = {
    "ts": "time",
    "uid": "string",
    "id.orig_h": "addr",
    "id.orig_p": "port",
    "id.resp_h": "addr",
    "id.resp_p": "port",
    "proto": "enum",
    "service": "string",
    "duration": "interval",
    "orig_bytes": "count",
    "resp_bytes": "count",
    "conn_state": "string",
    "local_orig": "bool",
    "local_resp": "bool",
    "missed_bytes": "count",
    "history": "string",
    "orig_pkts": "count",
    "orig_ip_bytes": "count",
    "resp_pkts": "count",
    "resp_ip_bytes": "count",
    "tunnel_parents": "set[string]",
}

Logs = dict[str, pl.DataFrame]
"""Rows by log name, ``conn`` among them: Zeek's columns typed as :func:`schema` says,
and ``written``, the epoch second at which Zeek writes the row."""

NUMBERS: Final = {
    "time": pl.Float64(),
    "interval": pl.Float64(),
    "double": pl.Float64(),
    "count": pl.Int64(),
    "port": pl.Int64(),
}

HINTS: Final = {"name": pl.String, "failed": pl.Boolean}
"""What sibling logs tell of a flow besides: the name that was asked for (DNS query,
host, server name), and whether a login failed. Null where there is nothing to tell."""

# The address plan. No address here has an owner: RFC 1918 for the office, RFC 5737 for
# its public servers, RFC 2544 for the Internet, so that a demo accuses nobody. The
# site's own traffic stays in 198.18/16; 198.19/16 is left to attackers.
LOCAL_NETWORKS: Final = r"^(10\.20|203\.0\.113)\."
INTERNET_HOSTS: Final = 2**16

SEGMENT: Final = 1000  # payload bytes of a usual data packet: few are full ones
BASE62: Final = np.frombuffer(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", dtype=np.uint8
)


def schema(fields: dict[str, str]) -> dict[str, pl.DataType]:
    """Give the column types of a log: its numbers, and all else as TSV spells it.

    Booleans are ``T`` and ``F``, sets and vectors are joined by commas, unset is null.

    Examples
    --------
    >>> schema({"rtt": "interval", "AA": "bool", "answers": "vector[string]"})
    {'rtt': Float64, 'AA': String, 'answers': String}
    """
    return {name: NUMBERS.get(kind, pl.String()) for name, kind in fields.items()}


def workstation(number: int) -> str:
    """Return the address of the office's workstation ``number``, 0 to 749."""
    return f"10.20.{1 + number // 250}.{1 + number % 250}"


def internet(number: int) -> str:
    """Return the address of an Internet host, ``number`` below ``INTERNET_HOSTS``."""
    return f"198.18.{number >> 8 & 255}.{number & 255}"


def attacker(number: int) -> str:
    """Return an Internet address that the site itself never talks to."""
    return f"198.19.{number >> 8 & 255}.{number & 255}"


def complete(flows: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Derive all of Zeek's columns, and the time of writing, from what was generated.

    Parameters
    ----------
    flows
        One row per flow: ``ts`` (epoch s), ``id.*``, ``proto``, ``service``,
        ``duration`` (s), ``orig_bytes`` and ``resp_bytes`` (used where the history has
        a D or d), ``conn_state``, ``history`` (ICMP too: D or Dd), and ``tries``: how
        often the originator sent all it did, 1 unless nobody answered. The columns of
        ``HINTS`` may be there.
    rng
        Draws uids and the jitter of writing.

    Returns
    -------
    pl.DataFrame
        The same rows in the same order, with the columns of ``FIELDS``, of ``HINTS``,
        and ``written``: the epoch second at which Zeek writes the row.
    """
    hints = {
        name: pl.col(name) if name in flows.columns else pl.lit(None, kind)
        for name, kind in HINTS.items()
    }
    tcp = pl.col("proto") == "tcp"
    alone = (pl.col("orig_pkts") + pl.col("resp_pkts")) == 1
    return (
        flows.with_columns(
            pl.col("ts", "duration").round(6),
            **hints,
            orig_bytes=_sent("D") * pl.col("orig_bytes"),
            resp_bytes=_sent("d") * pl.col("resp_bytes"),
        )
        .with_columns(
            orig_pkts=_packets("orig", "[SAFR]", "A", "resp") * pl.col("tries"),
            resp_pkts=_packets("resp", "[hafr]", "a", "orig"),
            orig_bytes=pl.col("orig_bytes") * pl.col("tries"),
        )
        .with_columns(
            orig_ip_bytes=_ip_bytes("orig", _sent("S") * pl.col("tries")),
            resp_ip_bytes=_ip_bytes("resp", _sent("h")),
            local_orig=_is_local("id.orig_h"),
            local_resp=_is_local("id.resp_h"),
            written=written(rng, len(flows)),
        )
        .with_columns(
            uids(rng, len(flows)),
            # A single packet has no duration, and then Zeek unsets the bytes as well.
            pl.when(~alone).then(pl.col("duration", "orig_bytes", "resp_bytes")),
            # Zeek knows a TCP service, and what came of it, by its data, and keeps no
            # history of ICMP.
            pl.when(~tcp | (_sent("D") == 1)).then(pl.col("service", "failed")),
            history=pl.when(pl.col("proto") != "icmp").then("history"),
            missed_bytes=pl.lit(0),
            tunnel_parents=pl.lit(None, pl.String),
        )
        .select(*FIELDS, *HINTS, "written")
        .cast(pl.Schema(schema(FIELDS)))
    )


def uids(rng: np.random.Generator, n: int) -> pl.Series:
    """Draw ``n`` uids as Zeek writes them: C and 17 base-62 characters (101 bits)."""
    letters = BASE62[rng.integers(0, 62, (n, 18), dtype=np.uint8)]
    letters[:, 0] = ord("C")
    text = letters.tobytes().decode("ascii")
    return pl.Series("uid", [text[i : i + 18] for i in range(0, len(text), 18)])


def _sent(letter: str) -> pl.Expr:
    """Return 1 where the history has the letter, else 0."""
    return pl.col("history").str.contains(letter, literal=True).cast(pl.Int64)


def _packets(side: str, flags: str, ack: str, peer: str) -> pl.Expr:
    """Count a side's flags, data packets, and an ACK for every two of its peer's."""
    own, others = (
        (pl.col(f"{name}_bytes") + SEGMENT - 1) // SEGMENT for name in (side, peer)
    )
    flagged = pl.col("history").str.count_matches(flags).cast(pl.Int64)
    return flagged + own + _sent(ack) * (others // 2)


def _ip_bytes(side: str, syns: pl.Expr) -> pl.Expr:
    """Add headers; a bare SYN carries the MSS option only (44 bytes, as nmap's)."""
    tcp = pl.col("proto") == "tcp"
    options = pl.when(tcp).then(syns * (4 + 8 * _sent("D"))).otherwise(0)
    header = pl.when(tcp).then(40).otherwise(28)
    return pl.col(f"{side}_bytes") + header * pl.col(f"{side}_pkts") + options


def _is_local(host: str) -> pl.Expr:
    local = pl.col(host).str.contains(LOCAL_NETWORKS)
    return pl.when(local).then(pl.lit("T")).otherwise(pl.lit("F"))


def written(rng: np.random.Generator, n: int) -> pl.Expr:
    """Add Zeek's timers to the ends of ``n`` flows (as of Zeek 4.2.2, +/- 0.5 s)."""
    tcp = pl.col("proto") == "tcp"
    linger = (
        pl.when(tcp & pl.col("conn_state").is_in(["S1", "S2", "S3"]))
        .then(300.0)  # never closed: tcp_inactivity_timeout
        .when(tcp)
        .then(5.5)
        .when(pl.col("service") == "dns")
        .then(10.5)
        .otherwise(60.0)
    )
    jitter = pl.Series(rng.uniform(-0.5, 0.5, n))
    return pl.col("ts") + pl.col("duration").fill_null(0.0) + linger + jitter
