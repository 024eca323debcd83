"""Attacks that talk: logins, tunnels, theft, spam, and a beacon to the one who asks."""

from typing import Final

import numpy as np
import polars as pl

from entropy_ids.simulate.attacks.draw import (
    CROWD,
    RESOLVER,
    Drawn,
    Span,
    attack,
    table,
)
from entropy_ids.simulate.hosts import ADDRESSES

MAIL_SERVERS: Final = 400
BASE32: Final = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", dtype=np.uint8)


@attack("brute-force")
def ssh_guesses(span: Span) -> Drawn:
    """One outside host tries SSH passwords, a few on each connection, as hydra does."""
    host, victim = span.outsider(), span.web_server()
    tries = span.rng.integers(1, 7, span.n)  # OpenSSH hangs up after six
    flows = table(
        span.paced(),
        orig_h=host,
        orig_p=span.ports(),
        resp_h=victim,
        resp_p=22,
        service="ssh",
        duration=tries * span.sizes(2.0, 0.2),  # PAM waits about 2 s each
        orig_bytes=1100 + 90 * tries,
        resp_bytes=1750 + 60 * tries,
        history=span.rng.choice(["ShADadFf", "ShADadfF", "ShAdDaFf"], span.n),
        failed=True,
    )
    return Drawn(flows, (host,), (victim,))


@attack("brute-force")
def http_guesses(span: Span) -> Drawn:
    """One outside host tries passwords of a web page; it is told 401 each time."""
    host, victim = span.outsider(), span.web_server()
    flows = table(
        span.paced(),
        orig_h=host,
        orig_p=span.ports(),
        resp_h=victim,
        resp_p=80,
        service="http",
        duration=span.sizes(0.2, 0.2),
        orig_bytes=span.rng.integers(130, 146, span.n),
        resp_bytes=161,
        history=span.sessions(),
        name=ADDRESSES[victim],
        failed=True,
    )
    return Drawn(flows, (host,), (victim,))


@attack("dns-tunnel")
def dns_tunnel(span: Span) -> Drawn:
    """One inside host asks the resolver for long names under one domain.

    A socket for each query, so that conn.log has a row for each.
    """
    host = span.insider()
    flows = table(
        span.scattered(),
        orig_h=host,
        orig_p=span.ports(),
        resp_h=RESOLVER,
        resp_p=53,
        proto="udp",
        service="dns",
        duration=span.sizes(0.03, 0.5),
        orig_bytes=195,
        resp_bytes=span.rng.integers(195, 400, span.n),
        history="Dd",
        name=_payloads(span),
    )
    return Drawn(flows, (host,), (RESOLVER,))


@attack("exfiltration")
def exfiltration(span: Span) -> Drawn:
    """One inside host sends 20 to 60 MB on each of a few connections to one outside."""
    host, drop = span.insider(), span.outsider()
    volume = span.rng.uniform(20e6, 60e6, span.n)
    flows = table(
        span.paced(),
        orig_h=host,
        orig_p=span.ports(),
        resp_h=drop,
        resp_p=443,
        service="ssl",
        duration=volume / span.sizes(4e6, 0.3),  # about 4 MB/s upwards
        orig_bytes=volume,
        resp_bytes=span.sizes(4e3, 0.3),
        history=span.rng.choice(["ShADadFf", "ShADadfF", "ShADadTfF"], span.n),
        name="files.example.org",
    )
    return Drawn(flows, (host,), (drop,))


@attack("point-to-multipoint")
def spam_run(span: Span) -> Drawn:
    """One inside host mails to hundreds of servers, after a look-up each time."""
    host, n = span.insider(), (span.n + 1) // 2
    sent = span.paced(n)
    domains = [f"mail{i}.example.net" for i in span.rng.integers(0, MAIL_SERVERS, n)]
    lookups = table(
        np.maximum(span.start, sent - span.rng.uniform(0.02, 0.5, n)),
        orig_h=host,
        orig_p=span.ports(n),
        resp_h=RESOLVER,
        resp_p=53,
        proto="udp",
        service="dns",
        duration=span.sizes(0.02, 0.8, n),
        orig_bytes=44,
        resp_bytes=span.rng.integers(44, 160, n),
        history="Dd",
        name=domains,
    )
    mails = table(
        sent,
        orig_h=host,
        orig_p=span.ports(n),
        resp_h=span.crowd(MAIL_SERVERS, n),
        resp_p=25,
        service="smtp",
        duration=span.sizes(0.5, 0.8, n),
        orig_bytes=span.sizes(2e3, 0.4, n),
        resp_bytes=span.rng.integers(110, 200, n),
        history="ShAdDaFf",
        name=domains,
    )
    flows = pl.concat([lookups, mails]).sort("ts").head(span.n)
    return Drawn(flows, (host,), (CROWD, RESOLVER))


@attack("beacon")
def beacon(span: Span) -> Drawn:
    """One inside host calls home, evenly but for a jitter of a fifth to either side."""
    host, home = span.insider(), span.outsider()
    flows = table(
        span.paced(jitter=0.4),
        orig_h=host,
        orig_p=span.ports(),
        resp_h=home,
        resp_p=443,
        service="ssl",
        duration=span.sizes(0.2, 0.2),
        orig_bytes=951,
        resp_bytes=2326,
        history=span.sessions(),
        name="cdn.example.org",
    )
    return Drawn(flows, (host,), (home,))


def _payloads(span: Span) -> list[str]:
    """Draw names of 160 base-32 characters in labels under one domain."""
    letters = BASE32[span.rng.integers(0, 32, (span.n, 160))]
    rows = letters.tobytes().decode("ascii")
    texts = [rows[i : i + 160] for i in range(0, len(rows), 160)]
    return [f"{t[:60]}.{t[60:120]}.{t[120:]}.t.example.org" for t in texts]
