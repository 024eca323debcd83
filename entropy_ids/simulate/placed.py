"""Attacks at their time: when each is to come, and what it adds and takes away.

Generated attacks and captured ones become the same thing here, so that one injector
lays both over other traffic.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from entropy_ids.errors import ConfigError
from entropy_ids.simulate.attacks import ATTACKS, USUAL
from entropy_ids.simulate.flows import Logs
from entropy_ids.simulate.labels import Label
from entropy_ids.simulate.siblings import siblings

MARGIN_S: Final = 3600.0  # nothing in the first and the last hour
#: Between two attacks. Rows may be written 65 minutes after a connection began or
#: ended, and an evaluation looks so far for rows between the same hosts.
GAP_S: Final = 70 * 60.0
OUTAGE_LOST: Final = 0.9


@dataclass(frozen=True)
class Placed:
    """An attack that lies at its time.

    Attributes
    ----------
    logs
        Its rows; ``conn`` is always there.
    lost
        Share of all other rows that is lost of those that begin while it lasts.
    """

    logs: Logs
    label: Label
    lost: float = 0.0


class Plan(NamedTuple):
    """An attack that has no time yet: how long it is (s), and how to place it.

    ``place`` takes a start (epoch s) and a seed.
    """

    duration_s: float
    place: Callable[[float, int], Placed]


def usual(name: str, *, intensity: float = 1.0) -> Plan:
    """Plan a generated attack: its usual duration, and ``intensity`` × its usual rate.

    Parameters
    ----------
    name
        A key of ``ATTACKS``.

    Raises
    ------
    ConfigError
        If there is no such attack.
    """
    if name not in ATTACKS:
        raise ConfigError(f"expected one of {', '.join(ATTACKS)}, found {name!r}")
    duration_s, rate = USUAL[name]

    def place(start: float, seed: int) -> Placed:
        flows, label = ATTACKS[name](
            start,
            duration_s=duration_s,
            flows_per_minute=rate * intensity,
            seed=seed,
        )
        label = replace(label, name=name, scale=intensity)
        lost = min(OUTAGE_LOST * intensity, 1.0) if name == "outage" else 0.0
        return Placed(siblings(flows, np.random.default_rng([seed, 1])), label, lost)

    return Plan(duration_s, place)


def every_class(seed: int, *, intensity: float = 1.0) -> list[Plan]:
    """Plan one generated attack of each class, its variant drawn."""
    rng = np.random.default_rng([seed, 2])
    variants: dict[str, list[str]] = {}
    for name, attack in ATTACKS.items():
        _, label = attack(0.0, duration_s=1, flows_per_minute=1, seed=0)
        variants.setdefault(label.attack_class, []).append(name)
    chosen = [names[rng.integers(len(names))] for names in variants.values()]
    return [usual(name, intensity=intensity) for name in chosen]


def schedule(
    plans: Sequence[Plan], first: float, last: float, *, seed: int
) -> list[Placed]:
    """Spread attacks over all hours, by day and by night, in an order that is drawn.

    Parameters
    ----------
    plans
        What to place, each once.
    first, last
        Epoch s: the traffic's begin and end. None lies in its first or last hour, and
        70 minutes lie between any two.
    seed
        Decides order, times, and each attack's own draws.

    Raises
    ------
    ConfigError
        If there is no room for all of them.
    """
    if not plans:
        return []
    rng = np.random.default_rng([seed, 3])
    order = [plans[i] for i in rng.permutation(len(plans))]
    needs = np.array([plan.duration_s + GAP_S for plan in order])
    room = last - first - 2 * MARGIN_S - needs.sum() + GAP_S
    if room < 0:
        raise ConfigError(
            f"expected at least {(last - first - room) / 3600:.0f} hours to place "
            f"{len(plans)} attacks {GAP_S / 60:.0f} minutes apart, found "
            f"{(last - first) / 3600:.0f}: give more days or place fewer"
        )
    waits = np.sort(rng.uniform(0.0, room, len(order)))
    starts = np.floor(first + MARGIN_S + waits + np.cumsum(needs) - needs)
    seeds = rng.integers(0, 2**31, len(order))
    return [
        plan.place(start, own)
        for plan, start, own in zip(order, starts.tolist(), seeds.tolist(), strict=True)
    ]


def check_times(placed: Iterable[Placed], first: float, last: float) -> None:
    """Refuse attacks that lie outside the traffic (epoch s), or one over another.

    Raises
    ------
    ConfigError
        Names the first of them.
    """
    labels = sorted((p.label for p in placed), key=lambda label: label.start)
    for label in labels:
        if label.start < first or label.end > last:
            raise ConfigError(
                f"expected attacks between {_utc(first)} and {_utc(last)}, found "
                f"{_said(label)}: place it within the traffic"
            )
    for label, later in pairwise(labels):
        if later.start < label.end:
            raise ConfigError(
                f"expected one attack after another, found {_said(later)} before the "
                f"end of {_said(label)}: place them apart"
            )


def check_target(out: Path) -> None:
    """Refuse a directory in use.

    Raises
    ------
    ConfigError
        If ``out`` is a file, or a directory that holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(
            f"expected a new or empty directory, found {out} in use: "
            "name another or remove it"
        )


def lost(
    ts: pl.Series, placed: Iterable[Placed], rng: np.random.Generator
) -> pl.Series:
    """Tell which rows, by their ``ts`` in epoch s, an outage takes away."""
    gone = pl.repeat(False, len(ts), eager=True)
    for attack in placed:
        span = attack.label.start, attack.label.end
        if attack.lost and (during := ts.is_between(*span, closed="left")).any():
            gone |= during & pl.Series(rng.random(len(ts)) < attack.lost)
    return gone


def _said(label: Label) -> str:
    name = label.name or label.attack_class
    return f"{name} from {_utc(label.start)} to {_utc(label.end)}"


def _utc(epoch_s: float) -> str:
    return f"{dt.datetime.fromtimestamp(epoch_s, dt.UTC):%FT%TZ}"
