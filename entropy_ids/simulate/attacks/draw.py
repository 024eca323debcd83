"""What all generated attacks draw from: times, hosts, and the rows of their flows.

An attack says who talks to whom, when, and with which history; the rest of a row
follows here and in `entropy_ids.simulate.flows`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entropy_ids.simulate.flows import attacker, complete, workstation
from entropy_ids.simulate.labels import Label

FloatArray = NDArray[np.float64]

WEB_SERVERS: Final = ("203.0.113.10", "203.0.113.11")
RESOLVER: Final = "10.20.0.53"
OFFICE: Final = "10.20.0.0/16"
PUBLIC: Final = "203.0.113.0/24"
#: Where attackers come from that are too many to be listed; single ones come from the
#: other half of 198.19/16.
CROWD: Final = "198.19.0.0/17"
CROWD_HOSTS: Final = 2**15

#: Connections that run their course, by who ends them first.
SESSIONS: Final = ("ShADadFf", "ShADadfF")
STATES: Final = dict.fromkeys([*SESSIONS, "ShADadTfF", "ShAdDaFf", "Dd"], "SF") | {
    "S": "S0",
    "D": "S0",
    "Sr": "REJ",
    "ShR": "RSTO",
    "^d": "SHR",
}
COLUMNS: Final = {
    "ts": pl.Float64,
    "id.orig_h": pl.String,
    "id.orig_p": pl.Int64,
    "id.resp_h": pl.String,
    "id.resp_p": pl.Int64,
    "proto": pl.String,
    "service": pl.String,
    "duration": pl.Float64,
    "orig_bytes": pl.Int64,
    "resp_bytes": pl.Int64,
    "history": pl.String,
    "tries": pl.Int64,
    "name": pl.String,
    "failed": pl.Boolean,
}
DEFAULTS: Final = {
    "proto": "tcp",
    "service": None,
    "duration": 0.0,
    "orig_bytes": 0,
    "resp_bytes": 0,
    "tries": 1,
    "name": None,
    "failed": None,
}


class Attack(Protocol):
    """Generates one attack, the same for the same arguments.

    Flows begin at ``start`` (epoch s) or later and before ``start + duration_s``, on
    average ``flows_per_minute`` of them but at least one, with the columns of
    :func:`flows.complete`.
    """

    def __call__(  # noqa: D102
        self, start: float, *, duration_s: float, flows_per_minute: float, seed: int
    ) -> tuple[pl.DataFrame, Label]: ...


@dataclass(frozen=True)
class Span:
    """When an attack happens, how many flows it has, and where its draws come from."""

    start: float
    duration_s: float
    n: int
    rng: np.random.Generator

    def paced(self, n: int | None = None, jitter: float = 1.0) -> FloatArray:
        """Draw ``n`` times, one in each of as many equal slots.

        ``jitter`` is the share of a slot, around its middle, in which the time may lie.
        """
        n = self.n if n is None else n
        within = 0.5 + jitter * (self.rng.random(n) - 0.5)
        return self.start + (np.arange(n) + within) * self.duration_s / n

    def scattered(self) -> FloatArray:
        """Draw times that know nothing of each other, in order."""
        return self.start + np.sort(self.rng.random(self.n)) * self.duration_s

    def sizes(self, median: float, sigma: float, n: int | None = None) -> FloatArray:
        """Draw log-normal quantities; ``sigma`` is that of their logarithm."""
        return median * self.rng.lognormal(0.0, sigma, self.n if n is None else n)

    def ports(self, n: int | None = None) -> NDArray[np.int64]:
        """Draw ephemeral source ports."""
        return self.rng.integers(32_768, 61_000, self.n if n is None else n)

    def sessions(self) -> NDArray[np.str_]:
        """Draw histories of connections that run their course."""
        return self.rng.choice(SESSIONS, self.n, p=[0.3, 0.7])

    def insider(self) -> str:
        """Draw a workstation that the site's own traffic never comes from."""
        return workstation(int(self.rng.integers(500, 750)))

    def outsider(self) -> str:
        """Draw an Internet host that stands in no crowd."""
        return attacker(int(self.rng.integers(CROWD_HOSTS, 2 * CROWD_HOSTS)))

    def crowd(self, hosts: int, n: int | None = None) -> list[str]:
        """Draw ``n`` hosts, with replacement, from ``hosts`` of ``CROWD``."""
        chosen = self.rng.choice(CROWD_HOSTS, hosts, replace=False)
        n = self.n if n is None else n
        return [attacker(i) for i in self.rng.choice(chosen, n).tolist()]

    def web_server(self) -> str:
        """Draw one of the site's public servers."""
        return str(self.rng.choice(WEB_SERVERS))


class Drawn(NamedTuple):
    """An attack's flows, from :func:`table`, and the two sides of its label."""

    flows: pl.DataFrame
    attackers: tuple[str, ...]
    victims: tuple[str, ...]


def attack(attack_class: str) -> Callable[[Callable[[Span], Drawn]], Attack]:
    """Make an :class:`Attack` of a function that draws the flows of a span."""

    def decorate(draw: Callable[[Span], Drawn]) -> Attack:
        @wraps(draw)
        def generate(
            start: float, *, duration_s: float, flows_per_minute: float, seed: int
        ) -> tuple[pl.DataFrame, Label]:
            rng = np.random.default_rng(np.random.SeedSequence(seed))
            n = max(1, round(duration_s * flows_per_minute / 60))
            flows, attackers, victims = draw(Span(start, duration_s, n, rng))
            end = start + duration_s
            label = Label(start, end, attack_class, attackers, victims)
            return complete(flows, rng), label

        return generate

    return decorate


def table(ts: FloatArray, **columns: Any) -> pl.DataFrame:
    """Lay out flows; ``orig_h`` and the like are the columns ``id.*``.

    Values are arrays as long as ``ts`` or single ones; what is not given takes its
    value of ``DEFAULTS``, and ``conn_state`` follows from the history.
    """
    ids = {f"id.{name}": columns.pop(name) for name in list(columns) if name in _IDS}
    flows = pl.DataFrame({"ts": ts} | DEFAULTS | ids | columns, strict=False)
    state = pl.col("history").replace_strict(STATES)
    icmp = pl.col("proto") == "icmp"
    return flows.select(
        *(pl.col(name).cast(kind) for name, kind in COLUMNS.items()),
        conn_state=pl.when(icmp).then(pl.lit("OTH")).otherwise(state),
    )


_IDS: Final = ("orig_h", "orig_p", "resp_h", "resp_p")
