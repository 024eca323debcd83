"""A generated office: its hosts, its week, and the flows of any one day.

What the flows look like is said in ``services``; nothing here is an attack.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entropy_ids.simulate.flows import INTERNET_HOSTS, complete, internet, workstation
from entropy_ids.simulate.services import HABITS, SHAPES, Ending, Habit, Size

DAY_S: Final = 86_400
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: Activity of people over the hours (UTC) of a day: 0 as at night, 1 as at the peak.
WEEKDAY: Final = {
    0: 0.02, 5.5: 0.0, 7: 0.1, 8: 0.5, 9: 0.92, 10.5: 1.0, 11.75: 0.95, 12.5: 0.7,
    13.5: 0.93, 15: 1.0, 16.5: 0.9, 18: 0.4, 20: 0.12, 22: 0.05, 24: 0.02,
}  # fmt: skip
WEEKEND: Final = {0: 0.02, 5.5: 0.0, 9: 0.04, 11: 0.12, 16: 0.12, 20: 0.05, 24: 0.02}

# A habit's count of mean m has a variance of about m + m^2 (1/BURST + 1/CROWD); CROWD
# is shared by all that people do. Minutes at the peak then vary by some 19 %.
BURST: Final = 10.0
CROWD: Final = 60.0
DAY_SIGMA: Final = 0.06  # of the logarithm of one habit's volume from day to day
PRESENT: Final = {False: 0.93, True: 0.12}  # share of people at work, by weekend
LONGEST_S: Final = 4 * 3600.0  # a log-normal has no end, an office day has


@dataclass(frozen=True)
class Hosts:
    """A population: addresses, and how often each is drawn (weights sum to 1)."""

    addresses: pl.Series
    weights: FloatArray

    def draw(self, rng: np.random.Generator, n: int) -> pl.Series:
        """Draw ``n`` addresses with replacement."""
        return self.addresses.gather(rng.choice(len(self.weights), n, p=self.weights))


class Site:
    """An office that is the same for the same seed, and any day of which stands alone.

    Parameters
    ----------
    seed
        Decides the hosts, their popularity, and with the date each day's flows.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.hosts = _populations(np.random.default_rng(np.random.SeedSequence(seed)))

    def day(self, date: dt.date) -> pl.DataFrame:
        """Generate the flows that begin on one UTC day.

        Returns
        -------
        pl.DataFrame
            Rows in order of ``ts``, columns as :func:`flows.complete` gives them.
        """
        seeds = np.random.SeedSequence([self.seed, date.toordinal()])
        rng = np.random.default_rng(seeds)
        weekend = date.weekday() >= 5
        hosts = self.hosts | {
            "workstations": _at_work(self.hosts["workstations"], PRESENT[weekend], rng)
        }
        counts = rng.poisson(_rates(weekend, rng))
        tables = [_flows(h, hosts, n, rng) for h, n in zip(HABITS, counts, strict=True)]
        flows = pl.concat(tables).sort("ts", maintain_order=True)
        return complete(flows.with_columns(pl.col("ts") + midnight(date)), rng)


def midnight(date: dt.date) -> int:
    """Return the epoch second at which a UTC day begins."""
    return (date - dt.date(1970, 1, 1)).days * DAY_S


def _zipf(n: int, exponent: float = 0.9) -> FloatArray:
    weights: FloatArray = np.arange(1, n + 1, dtype=np.float64) ** -exponent
    weights /= weights.sum()
    return weights


def _populations(rng: np.random.Generator) -> dict[str, Hosts]:
    """Lay out the office and its Internet; all popularity is Zipf-like."""
    staff = [workstation(i) for i in rng.permutation(rng.integers(120, 161)).tolist()]
    outside = [internet(i) for i in rng.permutation(INTERNET_HOSTS)[:12_000].tolist()]
    plan = {
        "workstations": (staff, 0.4),
        "admins": (staff[:3], 0.5),
        "resolvers": (["10.20.0.53", "10.20.0.54"], 1.0),
        "mail": (["10.20.0.25"], 1.0),
        "files": (["10.20.0.45", "10.20.0.46"], 1.0),
        "proxy": (["10.20.0.80"], 1.0),
        "timeserver": (["10.20.0.123"], 1.0),
        "monitor": (["10.20.0.161"], 1.0),
        "servers": ([f"10.20.0.{i}" for i in (25, 45, 46, 53, 54, 80, 123)], 0.3),
        "everybody": (["10.20.255.255"], 1.0),
        "website": (["203.0.113.10", "203.0.113.11"], 1.0),
        "exchanger": (["203.0.113.25"], 1.0),
        "public": ([f"203.0.113.{i}" for i in (10, 11, 25)], 0.2),
        "internet": (outside[:3000], 1.0),
        "nameservers": (outside[3000:3400], 0.9),
        "scanners": (outside[3400:4000], 0.8),
        "visitors": (outside[4000:], 0.5),
    }
    return {
        name: Hosts(pl.Series(addresses), _zipf(len(addresses), exponent))
        for name, (addresses, exponent) in plan.items()
    }


def _at_work(staff: Hosts, present: float, rng: np.random.Generator) -> Hosts:
    """Leave the machines of absent people on, a twentieth as busy."""
    here = rng.random(len(staff.weights)) < present
    weights = staff.weights * np.where(here, 1.0, 0.05)
    return Hosts(staff.addresses, weights / weights.sum())


def _rates(weekend: bool, rng: np.random.Generator) -> FloatArray:
    """Draw the expected flows of each habit in each minute: (habits, 1440)."""
    curve = WEEKEND if weekend else WEEKDAY
    hours = np.arange(1440) / 60 + rng.normal(0.0, 0.15)
    activity = np.interp(hours, list(curve), list(curve.values()))
    activity *= rng.gamma(CROWD, 1 / CROWD, 1440)
    night = np.array([[h.night] for h in HABITS])
    peak = np.array([[h.peak] for h in HABITS])
    habit = rng.lognormal(0.0, DAY_SIGMA, night.shape)
    burst = rng.gamma(BURST, 1 / BURST, (len(HABITS), 1440))
    rates: FloatArray = (night + (peak - night) * activity) * habit * burst
    return rates


def _flows(
    habit: Habit, hosts: dict[str, Hosts], counts: IntArray, rng: np.random.Generator
) -> pl.DataFrame:
    """Draw one habit's flows of a day, ``counts`` of them in each of 1440 minutes."""
    shape, n = SHAPES[habit.shape], int(counts.sum())
    shares = [ending.share for ending in shape.endings]
    endings = pl.DataFrame(shape.endings, schema=Ending._fields, orient="row")[
        rng.choice(len(shares), n, p=shares)
    ]
    tries, duration = _persistence(shape.duration, endings, rng)
    return pl.DataFrame(
        {
            "ts": 60.0 * (np.repeat(np.arange(1440), counts) + rng.random(n)),
            "id.orig_h": hosts[habit.clients].draw(rng, n),
            "id.orig_p": rng.integers(*shape.orig_p, n),
            "id.resp_h": hosts[habit.servers].draw(rng, n),
            "id.resp_p": rng.choice(habit.ports, n, p=_zipf(len(habit.ports))),
            "proto": shape.proto,
            "service": pl.repeat(shape.service, n, dtype=pl.String, eager=True),
            "duration": duration,
            "orig_bytes": _sizes(shape.orig_bytes, rng, n).astype(np.int64),
            "resp_bytes": _sizes(shape.resp_bytes, rng, n).astype(np.int64),
            "conn_state": endings["conn_state"],
            "history": endings["history"],
            "tries": tries,
        }
    )


def _persistence(
    size: Size, endings: pl.DataFrame, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """Draw how often an originator tries (1 to 3 if unanswered), and durations in s."""
    n = len(endings)
    silent = ~endings["history"].str.contains("[a-z]").to_numpy()
    tries = np.where(silent, rng.choice([1, 2, 3], n, p=[0.5, 0.2, 0.3]), 1)
    session = _sizes(size, rng, n) * endings["pace"].to_numpy()
    backoff = (2.0 ** (tries - 1) - 1.0) * rng.normal(1.0, 0.01, n)
    return tries, np.where(silent, backoff, np.minimum(session, LONGEST_S))


def _sizes(size: Size, rng: np.random.Generator, n: int) -> FloatArray:
    median, sigma = size
    return median * rng.lognormal(0.0, sigma, n)
