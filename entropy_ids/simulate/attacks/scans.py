"""Scans and what spreads by scanning: many ports or many hosts, little in return."""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entropy_ids.simulate.attacks.draw import (
    CROWD,
    CROWD_HOSTS,
    OFFICE,
    PUBLIC,
    Drawn,
    Span,
    attack,
    table,
)
from entropy_ids.simulate.flows import workstation

OPEN_PORTS: Final = (22, 80, 443)
FILTERED: Final = 0.1  # share of a victim's ports where a firewall drops SYNs
SWEPT: Final = (22, 23, 80, 445, 3389, 5900)
REPLY_S: Final = 5e-5  # a refusal inside one building
RETRIES_S: Final = 3.05  # connect(): SYNs at 0, 1 and 3 s
INFECTED: Final = 12  # hosts at the end of a worm's span, two of them from its start


@attack("port-scan")
def port_scan(span: Span) -> Drawn:
    """One host, inside or outside, tries many TCP ports of one server, as nmap -sS.

    Evenly paced, from one source port; most ports are closed (REJ), some filtered
    (S0), a few open (nmap resets them: RSTO).
    """
    host = str(span.rng.choice([span.insider(), span.outsider()]))
    victim, ports = span.web_server(), _ports(span)
    answers = np.where(span.rng.random(span.n) < FILTERED, "S", "Sr")
    flows = table(
        span.paced(),
        orig_h=host,
        orig_p=span.ports(1)[0],
        resp_h=victim,
        resp_p=ports,
        duration=span.sizes(REPLY_S, 0.5),
        history=np.where(np.isin(ports, OPEN_PORTS), "ShR", answers),
    )
    return Drawn(flows, (host,), (victim,))


@attack("port-scan")
def udp_scan(span: Span) -> Drawn:
    """One outside host tries many UDP ports of one server, as nmap -sU.

    From a few source ports, one more for each retry. Nothing but S0, and one ICMP row
    for all of the server's refusals, as long as the scan and the other way round.
    """
    host, victim = span.outsider(), span.web_server()
    probes = table(
        span.paced(),
        orig_h=host,
        orig_p=span.ports(1)[0] + span.rng.integers(0, 12, span.n),
        resp_h=victim,
        resp_p=_ports(span),
        proto="udp",
        orig_bytes=span.rng.integers(1, 60, span.n),
        history="D",
    )
    refusals = table(
        probes["ts"].to_numpy()[:1] + REPLY_S,
        orig_h=victim,
        orig_p=3,
        resp_h=host,
        resp_p=3,
        proto="icmp",
        duration=probes["ts"].to_numpy()[-1:] - probes["ts"][0],
        orig_bytes=45 * span.n,  # an echo of each probe's headers
        history="D",
    )
    flows = pl.concat([probes.head(max(1, span.n - 1)), refusals]).head(span.n)
    return Drawn(flows, (host,), (victim,))


@attack("network-scan")
def network_scan(span: Span) -> Drawn:
    """One inside host tries one TCP port of many addresses of the office.

    Most addresses are silent (S0), the others refuse (REJ), a few are open (RSTO).
    """
    host = span.insider()
    flows = table(
        span.paced(),
        orig_h=host,
        orig_p=span.ports(1)[0],
        resp_h=_office(span),
        resp_p=span.rng.choice(SWEPT),
        duration=span.sizes(REPLY_S, 0.5),
        history=span.rng.choice(["S", "Sr", "ShR"], span.n, p=[0.65, 0.32, 0.03]),
    )
    return Drawn(flows, (host,), (OFFICE,))


@attack("network-scan")
def ping_sweep(span: Span) -> Drawn:
    """One outside host pings all of the public network, round after round."""
    host = span.outsider()
    targets = np.resize(span.rng.permutation(256), span.n)
    there = np.isin(targets, (10, 11, 25))
    flows = table(
        span.paced(),
        orig_h=host,
        orig_p=8,
        resp_h=[f"203.0.113.{i}" for i in targets],
        resp_p=0,
        proto="icmp",
        duration=np.where(there, span.sizes(0.03, 0.3), 0.0),
        orig_bytes=56,
        resp_bytes=56,
        history=np.where(there, "Dd", "D"),
    )
    return Drawn(flows, (host,), (PUBLIC,))


@attack("worm")
def worm(span: Span) -> Drawn:
    """Two inside hosts, and more and more, each try port 445 inside and outside."""
    hosts = [workstation(500 + i) for i in range(INFECTED)]
    since = np.maximum(np.arange(INFECTED) - 1.0, 0.0) / INFECTED
    who = span.rng.choice(INFECTED, span.n, p=(1 - since) / (1 - since).sum())
    when = since[who] + (1 - since[who]) * span.rng.random(span.n)
    silent = span.rng.random(span.n) < 0.3
    flows = table(
        span.start + span.duration_s * when,
        orig_h=[hosts[i] for i in who],
        orig_p=span.ports(),
        resp_h=np.where(
            span.rng.random(span.n) < 0.5, _office(span), span.crowd(CROWD_HOSTS)
        ),
        resp_p=445,
        duration=np.where(silent, RETRIES_S, span.sizes(REPLY_S, 0.5)),
        history=np.where(silent, "S", "Sr"),
        tries=np.where(silent, 3, 1),
    ).sort("ts")
    return Drawn(flows, tuple(hosts), (OFFICE, CROWD))


def _ports(span: Span) -> NDArray[np.int64]:
    """Draw an order of ports, the lower ones first if there is no time for all."""
    ports = span.rng.permutation(np.clip(span.n, 1024, 65_535)) + 1
    return np.resize(ports, span.n)


def _office(span: Span) -> list[str]:
    """Draw an order of the office's addresses."""
    order = np.resize(span.rng.permutation(2**16), span.n).tolist()
    return [f"10.20.{i >> 8}.{i & 255}" for i in order]
