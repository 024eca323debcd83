"""What Zeek tells of a flow in its other logs: dns, http, ssl, ssh and smtp.

Rows follow from conn rows; nothing here adds a flow. There is no files.log, so file
ids and MIME types stay unset, as do certificates.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import polars as pl

from entropy_ids.simulate.flows import Logs, schema
from entropy_ids.simulate.hosts import ZONES, IntArray, address_of
from entropy_ids.simulate.logs import LOGS

__all__ = ["LOGS", "siblings"]


#: What is drawn by lot: one row for each case, last in it the share.
Lot = tuple[tuple[Any, ...], ...]
QTYPES: Final[Lot] = (
    (1, "A", 0.64), (28, "AAAA", 0.25), (65, "HTTPS", 0.08), (15, "MX", 0.015),
    (16, "TXT", 0.015), (32, "NB", 0.0),
)  # fmt: skip
TXT, NB = 4, 5  # rows of QTYPES
RCODES: Final[Lot] = ((0, "NOERROR", 0.97), (3, "NXDOMAIN", 0.03))
METHODS: Final[Lot] = (("GET", 0.92), ("POST", 0.08))
STATUSES: Final[Lot] = (
    (200, "OK", 0.84), (304, "Not Modified", 0.07), (302, "Found", 0.045),
    (404, "Not Found", 0.035), (204, "No Content", 0.01), (401, "Unauthorized", 0.0),
)  # fmt: skip
UNAUTHORIZED = 5  # row of STATUSES
TLS: Final[Lot] = (
    ("TLSv13", "TLS_AES_256_GCM_SHA384", "F", 0.55),
    ("TLSv13", "TLS_AES_128_GCM_SHA256", "F", 0.3),
    ("TLSv12", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "T", 0.15),
)
AGENTS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/124.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:126.0) Firefox/126.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/17.4 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64) Chrome/123.0 Safari/537.36",
)
TUNNELLED: Final = 60  # characters: a longer name is no host's, and asks for TXT
REQUESTS: Final = 8  # at most so many in one connection
HEADER_BYTES: Final = 250  # of an HTTP request, and of a reply
HANDSHAKE_S: Final = 0.2  # at most, until a TLS session stands
LOGIN_S: Final = 2.5  # at most, until someone is logged in
BATCH_S: Final = 1.0  # Zeek hands its lines over once a second

Make = Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]


def siblings(conn: pl.DataFrame, rng: np.random.Generator) -> Logs:
    """Write the rows that the other logs have of flows.

    Parameters
    ----------
    conn
        Flows as :func:`flows.complete` gives them; their ``name`` and ``failed`` tell
        what conn.log does not hold.
    rng
        Draws what nothing else decides.

    Returns
    -------
    Logs
        ``conn`` as it was given, and a table for each other log of ``LOGS``: a row for
        each flow of that service, for http one a request. ``ts`` lies within the flow,
        ``written`` not after the flow's own.
    """
    logs = {"conn": conn}
    for log, make in MAKERS.items():
        rows = make(conn.filter(pl.col("service") == log), rng)
        types = schema(LOGS[log] | {"written": "time"})
        batch = pl.Series(rng.uniform(0.0, BATCH_S, len(rows)))
        unset = [pl.lit(None).alias(name) for name in types if name not in rows.columns]
        known = rows.with_columns(
            *unset,
            ts=pl.col("ts").round(6),
            written=pl.min_horizontal(pl.col("done") + batch, "written"),
        )
        logs[log] = known.select(types.keys()).cast(pl.Schema(types))
    return logs


def _dns(conn: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Log one query a flow, when its answer comes or Zeek gives up on it."""
    n = len(conn)
    kinds = _draw(QTYPES, rng, n)
    kinds[_where(conn, pl.col("name").str.len_chars() > TUNNELLED)] = TXT
    kinds[_where(conn, pl.col("id.resp_p") == 137)] = NB
    inside = pl.col("local_resp") == "T"  # resolvers recurse, name servers do not
    ttl = pl.Series(rng.choice(["60.000000", "300.000000", "3600.000000"], n))
    found = (pl.col("qtype_name") == "A") & (pl.col("rcode") == 0)
    return (
        conn.with_columns(
            *_named(QTYPES, kinds, "qtype", "qtype_name"),
            *_named(RCODES, _draw(RCODES, rng, n), "rcode", "rcode_name"),
            answered=(pl.col("resp_bytes") > 0).fill_null(value=False),
            trans_id=pl.Series(rng.integers(0, 65_536, n)),
        )
        .with_columns(
            pl.when("answered").then(pl.col("rcode", "rcode_name")),
            rtt=pl.when("answered").then("duration"),
        )
        .with_columns(
            done=pl.when("answered").then(pl.col("ts") + pl.col("rtt")),
            query="name",
            qclass=pl.lit(1),
            qclass_name=pl.lit("C_INTERNET"),
            AA=_flag("answered", ~inside),
            TC=pl.lit("F"),
            RD=_flag(inside),
            RA=_flag("answered", inside),
            Z=(pl.col("qtype_name") == "NB").cast(pl.Int64),
            answers=pl.when(found).then(address_of(pl.col("name"))),
            rejected=pl.lit("F"),
        )
        .with_columns(TTLs=pl.when(pl.col("answers").is_not_null()).then(ttl))
    )


def _http(conn: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Log the requests of each flow, which share its time and bytes evenly."""
    conn, total, depth = _requests(conn, rng)
    n = len(conn)
    statuses = _draw(STATUSES, rng, n)
    statuses[_where(conn, pl.col("failed"))] = UNAUTHORIZED
    replied = pl.col("resp_bytes") > 0
    body = (pl.col("resp_bytes") // total - HEADER_BYTES).clip(0)
    posted = (pl.col("orig_bytes") // total - HEADER_BYTES).clip(0)
    page = pl.Series(rng.zipf(1.3, n) % 10_000)
    return (
        conn.with_columns(
            *_named(STATUSES, statuses, "status_code", "status_msg"),
            *_named(METHODS, _draw(METHODS, rng, n), "method"),
            ts=pl.col("ts") + pl.col("duration") * (depth - 0.9) / total,
            done=pl.col("ts") + pl.col("duration") * depth / total,
        )
        .with_columns(
            pl.when(replied).then(pl.col("status_code", "status_msg")),
            empty=pl.col("status_code").is_in([204, 304]),
        )
        .with_columns(
            trans_depth=depth,
            host=pl.coalesce("name", "id.resp_h"),
            uri=pl.when("failed")
            .then(pl.lit("/login"))
            .otherwise(pl.format("/p/{}", page)),
            version=pl.lit("1.1"),
            user_agent=_agent(),
            request_body_len=pl.when(pl.col("method") == "POST")
            .then(posted)
            .otherwise(0),
            response_body_len=pl.when("empty").then(0).otherwise(body),
            tags=pl.lit("(empty)"),
        )
    )


def _requests(
    conn: pl.DataFrame, rng: np.random.Generator
) -> tuple[pl.DataFrame, pl.Series, pl.Series]:
    """Repeat each flow for its requests; give their number, and which one it is."""
    most = conn["orig_bytes"].fill_null(0).to_numpy() // HEADER_BYTES
    drawn = rng.geometric(0.4, len(conn))
    count = np.minimum(drawn, most.clip(1, REQUESTS))
    first = np.repeat(np.cumsum(count) - count, count)
    depth = np.arange(len(first)) - first + 1
    requests = conn[np.repeat(np.arange(len(conn)), count)]
    return requests, pl.Series(np.repeat(count, count)), pl.Series(depth)


def _ssl(conn: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Log one handshake a flow."""
    n = len(conn)
    shaken = pl.min_horizontal("duration", pl.Series(rng.uniform(0, HANDSHAKE_S, n)))
    modern = pl.col("version") == "TLSv13"
    return conn.with_columns(
        *_named(TLS, _draw(TLS, rng, n), "version", "cipher", "resumed"),
        ts=pl.col("ts") + 0.2 * shaken,
        done=pl.col("ts") + shaken,
        curve=pl.lit("x25519"),
        server_name="name",
        established=_flag(pl.col("resp_bytes") > 0),
    ).with_columns(
        next_protocol=pl.when(~modern).then(pl.lit("h2")),  # encrypted since 1.3
        ssl_history=pl.when(modern).then(pl.lit("CsiI")).otherwise(pl.lit("CsiIi")),
    )


def _ssh(conn: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Log one session a flow: a login when it succeeds, a failure when Zeek is sure."""
    n = len(conn)
    failed = pl.col("failed").fill_null(value=False)
    entered = pl.min_horizontal("duration", pl.Series(rng.uniform(0.2, LOGIN_S, n)))
    inbound = pl.col("local_resp") == "T"
    return conn.with_columns(
        done=pl.when(~failed).then(pl.col("ts") + entered),
        version=pl.lit(2),
        auth_success=_flag(~failed),
        auth_attempts=pl.when(failed)
        .then(pl.Series(rng.integers(2, 6, n)))
        .otherwise(1),
        direction=pl.when(pl.col("local_orig") != pl.col("local_resp")).then(
            pl.when(inbound).then(pl.lit("INBOUND")).otherwise(pl.lit("OUTBOUND"))
        ),
        client=pl.when(failed & (pl.col("local_orig") == "F"))
        .then(pl.lit("SSH-2.0-libssh_0.10.6"))
        .otherwise(pl.lit("SSH-2.0-OpenSSH_9.2p1")),
        server=pl.lit("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3"),
        cipher_alg=pl.lit("chacha20-poly1305@openssh.com"),
        mac_alg=pl.lit("umac-64-etm@openssh.com"),
        compression_alg=pl.lit("none"),
        kex_alg=pl.lit("sntrup761x25519-sha512@openssh.com"),
        host_key_alg=pl.lit("ssh-ed25519"),
    )


def _smtp(conn: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Log one message a flow, from or to a user of the office."""
    n = len(conn)
    user, peer, number = (
        pl.Series(rng.integers(0, top, n)) for top in (300, 5000, 10**9)
    )
    own = pl.format("user{}@office.example", user)
    foreign = pl.format("u{}@{}", peer, pl.Series(rng.choice(ZONES, n)))
    outbound = pl.col("local_orig") == "T"
    return conn.with_columns(
        ts=pl.col("ts") + 0.1 * pl.col("duration"),
        done=pl.col("ts") + pl.col("duration"),
        trans_depth=pl.lit(1),
        helo=pl.format(
            "host-{}", pl.col("id.orig_h").str.replace_all(".", "-", literal=True)
        ),
        mailfrom=pl.when(outbound).then(own).otherwise(foreign),
        rcptto=pl.when(outbound).then(foreign).otherwise(own),
        date=pl.from_epoch(pl.col("ts").cast(pl.Int64)).dt.strftime(
            "%a, %d %b %Y %H:%M:%S +0000"
        ),
        msg_id=pl.format("<{}@mail.example>", number),
        subject=pl.format("note {}", number % 1000),
        last_reply=pl.lit("250 2.0.0 queued"),
        path=pl.format("{},{}", "id.resp_h", "id.orig_h"),
        tls=pl.lit("F"),
        is_webmail=pl.lit("F"),
    ).with_columns(to="rcptto", **{"from": pl.col("mailfrom")})


MAKERS: Final[dict[str, Make]] = {
    "dns": _dns,
    "http": _http,
    "ssl": _ssl,
    "ssh": _ssh,
    "smtp": _smtp,
}


def _draw(lot: Lot, rng: np.random.Generator, n: int) -> IntArray:
    """Draw ``n`` rows of a lot by their shares."""
    return rng.choice(len(lot), n, p=[row[-1] for row in lot])


def _named(lot: Lot, rows: IntArray, *names: str) -> list[pl.Series]:
    """Give the drawn rows' columns."""
    columns = zip(names, zip(*lot, strict=True), strict=False)
    return [pl.Series(name, values).gather(rows) for name, values in columns]


def _where(conn: pl.DataFrame, condition: pl.Expr) -> np.ndarray:
    return conn.select(condition.fill_null(value=False)).to_series().to_numpy()


def _flag(*conditions: pl.Expr | str) -> pl.Expr:
    """Spell a truth as TSV does; unknown is false."""
    return (
        pl.when(pl.all_horizontal(conditions)).then(pl.lit("T")).otherwise(pl.lit("F"))
    )


def _agent() -> pl.Expr:
    """Choose each client's browser by its address."""
    number = pl.col("id.orig_h").str.extract(r"(\d+)$").cast(pl.Int64)
    return (number % len(AGENTS)).replace_strict(dict(enumerate(AGENTS)))
