"""Generated attacks: flows like the site's own, and the label that says what they are.

One function and one line in ``ATTACKS`` make a class; names are those of alarms.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import polars as pl

from entropy_ids.simulate.flows import INTERNET_HOSTS, complete, internet, workstation

VICTIMS: Final = ("203.0.113.10", "203.0.113.11")
OPEN_PORTS: Final = (22, 80, 443)
FILTERED: Final = 0.1  # share of a victim's ports where a firewall drops SYNs
LISTED: Final = 20  # attackers named in a label; a flood's spoofed sources are legion
STATES: Final = {"S": "S0", "Sr": "REJ", "ShR": "RSTO"}  # of a bare SYN, by history


@dataclass(frozen=True)
class Label:
    """What a detector should find: class, epoch seconds, and who took part."""

    start: float
    end: float
    attack_class: str
    attackers: tuple[str, ...]
    victims: tuple[str, ...]


class Attack(Protocol):
    """Generates one attack, the same for the same arguments.

    Flows begin at ``start`` (epoch s) or later and before ``start + duration_s``, on
    average ``flows_per_minute`` of them, with the columns of :func:`flows.complete`.
    """

    def __call__(  # noqa: D102
        self, start: float, *, duration_s: float, flows_per_minute: float, seed: int
    ) -> tuple[pl.DataFrame, Label]: ...


def port_scan(
    start: float, *, duration_s: float, flows_per_minute: float, seed: int
) -> tuple[pl.DataFrame, Label]:
    """One host, inside or outside, tries many TCP ports of one server, as nmap -sS.

    Evenly paced, from one source port; most ports are closed (REJ), some filtered
    (S0), a few open (nmap resets them: RSTO).
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    n = round(duration_s * flows_per_minute / 60)
    inside, outside = rng.integers([120, INTERNET_HOSTS]).tolist()
    attacker = str(rng.choice([workstation(inside), internet(outside)]))
    victim = str(rng.choice(VICTIMS))
    ports = np.resize(rng.permutation(np.clip(n, 1024, 65_535)) + 1, n)
    answers = np.where(rng.random(n) < FILTERED, "S", "Sr")
    flows = _bare_syns(
        {
            "ts": start + (np.arange(n) + rng.random(n)) * duration_s / max(n, 1),
            "id.orig_h": attacker,
            "id.orig_p": rng.integers(32_768, 61_000),
            "id.resp_h": victim,
            "id.resp_p": ports,
            "history": np.where(np.isin(ports, OPEN_PORTS), "ShR", answers),
        },
        rng,
    )
    return flows, Label(start, start + duration_s, "port-scan", (attacker,), (victim,))


def ddos(
    start: float, *, duration_s: float, flows_per_minute: float, seed: int
) -> tuple[pl.DataFrame, Label]:
    """Many spoofed sources flood one web port of a public server with SYNs, all S0.

    Notes
    -----
    A server that still answers makes S1 rows, which Zeek writes five minutes later;
    here it is overwhelmed from the start.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    n = round(duration_s * flows_per_minute / 60)
    victim = str(rng.choice(VICTIMS))
    sources = [internet(i) for i in rng.integers(0, INTERNET_HOSTS, n)]
    flows = _bare_syns(
        {
            "ts": np.sort(start + rng.random(n) * duration_s),
            "id.orig_h": sources,
            "id.orig_p": rng.integers(1024, 65_536, n),
            "id.resp_h": victim,
            "id.resp_p": rng.choice([80, 443]),
            "history": np.full(n, "S"),
        },
        rng,
    )
    attackers = tuple(dict.fromkeys(sources))[:LISTED]
    return flows, Label(start, start + duration_s, "ddos", attackers, (victim,))


ATTACKS: Final[dict[str, Attack]] = {"port-scan": port_scan, "ddos": ddos}


def _bare_syns(columns: dict[str, object], rng: np.random.Generator) -> pl.DataFrame:
    """Complete flows of single SYNs, whose fate is told by their history."""
    flows = pl.DataFrame(columns)
    reply = rng.lognormal(np.log(5e-5), 0.5, len(flows))
    flows = flows.with_columns(
        proto=pl.lit("tcp"),
        service=pl.lit(None, pl.String),
        duration=pl.Series(reply),
        orig_bytes=pl.lit(0),
        resp_bytes=pl.lit(0),
        conn_state=pl.col("history").replace_strict(STATES),
        tries=pl.lit(1),
    )
    return complete(flows, rng)
