"""Floods of a public server, a crowd that only looks like one, and an outage."""

from typing import Final

import numpy as np
import polars as pl

from entropy_ids.simulate.attacks.draw import (
    CROWD,
    CROWD_HOSTS,
    Drawn,
    Span,
    attack,
    table,
)
from entropy_ids.simulate.hosts import ADDRESSES

BOTS: Final = 200
REFLECTORS: Final = 700


@attack("dos")
def syn_flood(span: Span) -> Drawn:
    """One outside host floods a web port with SYNs that nobody answers."""
    host, victim = span.outsider(), span.web_server()
    return Drawn(_syns(span, host, victim), (host,), (victim,))


@attack("dos")
def http_flood(span: Span) -> Drawn:
    """One outside host asks for the same page again and again."""
    host, victim = span.outsider(), span.web_server()
    return Drawn(_requests(span, host, victim), (host,), (victim,))


@attack("ddos")
def spoofed_flood(span: Span) -> Drawn:
    """Many spoofed sources flood one web port of a public server with SYNs, all S0.

    Notes
    -----
    A server that still answers makes S1 rows, which Zeek writes five minutes later;
    here it is overwhelmed from the start.
    """
    victim = span.web_server()
    return Drawn(_syns(span, span.crowd(CROWD_HOSTS), victim), (CROWD,), (victim,))


@attack("ddos")
def botnet_flood(span: Span) -> Drawn:
    """Two hundred bots ask for the same page."""
    victim = span.web_server()
    return Drawn(_requests(span, span.crowd(BOTS), victim), (CROWD,), (victim,))


@attack("ddos")
def amplification(span: Span) -> Drawn:
    """Open resolvers answer questions that were asked in the victim's name.

    Zeek sees answers only and turns them round: the victim seems to talk to many
    resolvers (SHR, history ^d, no byte of its own).
    """
    victim = span.web_server()
    flows = table(
        span.scattered(),
        orig_h=victim,
        orig_p=80,
        resp_h=span.crowd(REFLECTORS),
        resp_p=53,
        proto="udp",
        service="dns",
        duration=span.sizes(3.0, 0.8),
        resp_bytes=1329 * span.rng.integers(2, 12, span.n),  # answers, as captured
        history="^d",
    )
    return Drawn(flows, (CROWD,), (victim,))


@attack("flash-crowd")
def flash_crowd(span: Span) -> Drawn:
    """Real visitors, more and more and then fewer, with one to three connections each.

    Benign: connections run their course, and sizes are as ever.
    """
    victim, secure = span.web_server(), span.rng.random(span.n) < 0.7
    when = span.rng.triangular(0.0, 0.5, 1.0, span.n)
    flows = table(
        span.start + span.duration_s * np.sort(when),
        orig_h=span.crowd(max(1, span.n // 2)),
        orig_p=span.ports(),
        resp_h=victim,
        resp_p=np.where(secure, 443, 80),
        service=np.where(secure, "ssl", "http"),
        duration=span.sizes(0.8, 1.5),
        orig_bytes=span.sizes(700, 0.8),
        resp_bytes=span.sizes(5e3, 1.6),
        history=span.sessions(),
        name=ADDRESSES[victim],
    )
    return Drawn(flows, (CROWD,), (victim,))


@attack("outage")
def outage(span: Span) -> Drawn:
    """No rows at all: what is lost is up to who lays it over other traffic."""
    return Drawn(_syns(span, "", "").clear(), (), ())


def _syns(span: Span, sources: str | list[str], victim: str) -> pl.DataFrame:
    """Draw bare SYNs from random ports."""
    return table(
        span.scattered(),
        orig_h=sources,
        orig_p=span.rng.integers(1024, 65_536, span.n),
        resp_h=victim,
        resp_p=span.rng.choice([80, 443]),
        history="S",
    )


def _requests(span: Span, sources: str | list[str], victim: str) -> pl.DataFrame:
    """Draw requests for one page, each on a connection of its own."""
    return table(
        span.paced(),
        orig_h=sources,
        orig_p=span.ports(),
        resp_h=victim,
        resp_p=80,
        service="http",
        duration=span.sizes(0.05, 1.0),
        orig_bytes=span.rng.integers(86, 140),
        resp_bytes=4100,
        history=span.sessions(),
        name=ADDRESSES[victim],
    )
