"""A generated office: the flows of any one day.

What the flows look like is said in ``services``, who there is in ``hosts``, when
things happen in ``rhythm``; nothing here is an attack.
"""

import datetime as dt
from typing import Final

import numpy as np
import polars as pl

from entropy_ids.calendar import Calendar
from entropy_ids.errors import ConfigError
from entropy_ids.simulate.flows import complete
from entropy_ids.simulate.hosts import FloatArray, Hosts, IntArray, populations, zipf
from entropy_ids.simulate.rhythm import Clock, activity, drift, running
from entropy_ids.simulate.services import (
    DAY_MIN,
    HABITS,
    SHAPES,
    Ending,
    Habit,
    Size,
    jobs,
)

DAY_S: Final = 86_400

# A habit's count of mean m has a variance of about m + m^2 (1/BURST + CROWD^2), and
# more for its visits; CROWD is shared by all that people do, and lasts some minutes
# (of real traffic neighbouring minutes correlate by 0.1 to 0.5, here by 0.2).
BURST: Final = 10.0
CROWD: Final = 0.13
CROWD_MIN: Final = 10
DAY_SIGMA: Final = 0.06  # of the logarithm of one habit's volume from day to day
FASHION: Final = 0.3  # the waves in which what is popular changes: see `rhythm.drift`
FADING: Final = ("internet", "visitors")  # populations whose popularity changes
PRESENT: Final = {False: 0.93, True: 0.12}  # share of people at work, by day off
IDLE: Final = 0.05  # an absent person's machine is left on, and so much as busy

VISIT: Final = 8  # flows of a visit, at most
SERVERS: Final = 3  # servers of a visit, at most
GAP_S: Final = 0.6  # mean pause between the flows of a visit
LOOKUP_S: Final = (0.02, 0.5)  # so long before a flow its name is looked up
LONGEST_S: Final = 4 * 3600.0  # a log-normal has no end, an office day has
NAMED: Final = ("dns", "http", "ssl", "smtp")  # services whose logs hold a name
LOOKUP: Final = Habit("lookup", "", "resolvers", "dns", (53,), 0, 0)
UTC: Final = Calendar()


class Site:
    """An office that is the same for the same seed, and any day of which stands alone.

    Parameters
    ----------
    seed
        Decides the hosts, their popularity, and with the date each day's flows.
    calendar
        Whose clocks and days off the office keeps.
    volume
        Factor on all rates: 1 gives about 25 flows a minute at night, 170 at the peak.
    backup_h
        Local hour of the nightly backup, from 0 to below 24.

    Raises
    ------
    ConfigError
        If ``volume`` or ``backup_h`` is out of range.

    Examples
    --------
    >>> flows = Site(7, Calendar("Europe/Berlin"), volume=0.1).day(dt.date(2026, 3, 2))
    >>> flows.columns[:4], flows.columns[-3:]
    (['ts', 'uid', 'id.orig_h', 'id.orig_p'], ['name', 'failed', 'written'])
    """

    def __init__(
        self,
        seed: int,
        calendar: Calendar = UTC,
        *,
        volume: float = 1.0,
        backup_h: float = 1.5,
    ) -> None:
        if not 0 < volume < np.inf:
            raise ConfigError(
                f"expected a finite volume above 0, found {volume}: 1 is an office's"
            )
        if not 0 <= backup_h < 24:
            raise ConfigError(
                f"expected a backup hour from 0 to below 24, found {backup_h}: "
                "give an hour of the local day"
            )
        self.seed, self.calendar, self.volume = seed, calendar, volume
        self.jobs = jobs(backup_h)
        self.habits = (*HABITS, *(job.habit for job in self.jobs))
        rng = _rng(seed)
        self.hosts = populations(rng)
        self.phases = {
            name: rng.uniform(0.0, 2 * np.pi, (2, len(self.hosts[name].weights)))
            for name in FADING
        }
        self.swings = rng.uniform(0.0, 2 * np.pi, (2, len(self.habits)))

    def day(self, date: dt.date) -> pl.DataFrame:
        """Generate the flows that begin on one UTC day.

        Returns
        -------
        pl.DataFrame
            Rows in order of ``ts``, columns as :func:`flows.complete` gives them.
        """
        rng = _rng(self.seed, date.toordinal())
        clock = Clock.of(self.calendar, date - dt.timedelta(days=1), 2)
        due = np.array([running(job, clock) for job in self.jobs], dtype=np.float64)
        clock = Clock(clock.wall[DAY_MIN:], clock.off[DAY_MIN:])
        flows = pl.concat(
            self._flows(local, clock, due, rng)
            for local in np.unique(clock.dates).tolist()
        )
        today = pl.col("ts").is_between(0, DAY_S, closed="left")
        flows = flows.filter(today).sort("ts", maintain_order=True)
        return complete(flows.with_columns(pl.col("ts") + midnight(date)), rng)

    def _flows(
        self, local: int, clock: Clock, due: FloatArray, rng: np.random.Generator
    ) -> pl.DataFrame:
        """Draw the flows of those minutes that have one local date, an ordinal.

        What holds for the whole of that date is drawn from it alone, as it may be part
        of two UTC days.
        """
        minutes = clock.dates == local
        mood = _rng(self.seed, local, 2)
        active = activity(clock, mood.normal(0.0, 0.15))
        volumes = drift(local, self.swings) * mood.lognormal(
            0.0, DAY_SIGMA, len(self.habits)
        )
        hosts = self._hosts(local, bool(clock.off[minutes][0]), mood)
        rates = self._rates(active, due, rng) * volumes[:, None] * minutes
        return pl.concat(
            table
            for habit, rate in zip(self.habits, rates, strict=True)
            for table in _tables(habit, hosts, rng.poisson(rate / habit.visit), rng)
        )

    def _hosts(
        self, local: int, off: bool, mood: np.random.Generator
    ) -> dict[str, Hosts]:
        """Give who is there on a local date, and what is popular."""
        staff = self.hosts["workstations"]
        here = mood.random(len(staff.weights)) < PRESENT[off]
        fading = {
            name: self.hosts[name].weighted(drift(local, phases, FASHION))
            for name, phases in self.phases.items()
        }
        at_work = staff.weighted(np.where(here, 1.0, IDLE))
        return self.hosts | fading | {"workstations": at_work}

    def _rates(
        self, active: FloatArray, due: FloatArray, rng: np.random.Generator
    ) -> FloatArray:
        """Draw the expected flows of each habit in each minute: (habits, 1440)."""
        whims = rng.normal(0.0, CROWD / CROWD_MIN**0.5, DAY_MIN + CROWD_MIN - 1)
        crowd = active * np.exp(np.convolve(whims, np.ones(CROWD_MIN), "valid"))
        share = np.vstack([np.tile(crowd, (len(HABITS), 1)), due])
        night = np.array([[habit.night] for habit in self.habits])
        peak = np.array([[habit.peak] for habit in self.habits])
        burst = rng.gamma(BURST, 1 / BURST, share.shape)
        rates: FloatArray = (night + (peak - night) * share) * burst * self.volume
        return rates


def midnight(date: dt.date) -> int:
    """Return the epoch second at which a UTC day begins."""
    return (date - dt.date(1970, 1, 1)).days * DAY_S


def _rng(*seeds: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seeds))


def _tables(
    habit: Habit, hosts: dict[str, Hosts], counts: IntArray, rng: np.random.Generator
) -> list[pl.DataFrame]:
    """Draw a habit's flows, ``counts`` visits a minute, and the lookups before them."""
    ts, visit, server = _visits(habit.visit, counts, rng)
    clients, servers = hosts[habit.clients], hosts[habit.servers]
    drawn = servers.draw(rng, SERVERS * int(counts.sum()))[server]
    names = servers.names.gather(drawn)
    if habit.names:
        asked = hosts[habit.names]
        names = asked.names.gather(asked.draw(rng, len(ts)))
    contacts = pl.DataFrame(
        {
            "ts": ts,
            "id.orig_h": clients.draw_addresses(rng, int(counts.sum())).gather(visit),
            "id.resp_h": servers.addresses.gather(drawn),
            "name": names,
        }
    )
    _, first = np.unique(server, return_index=True)
    lookups = contacts[first[rng.random(len(first)) < habit.lookup]]
    return [
        _dressed(habit, contacts, rng),
        _dressed(LOOKUP, _before(lookups, hosts["resolvers"], rng), rng),
    ]


def _visits(
    size: float, counts: IntArray, rng: np.random.Generator
) -> tuple[FloatArray, IntArray, IntArray]:
    """Draw the flows of visits, ``counts`` of these in each of 1440 minutes.

    Returns
    -------
    tuple
        For each flow its second of the day, the number of its visit, and that of its
        server, of which each visit has ``SERVERS``.
    """
    n = int(counts.sum())
    begin = 60.0 * (np.repeat(np.arange(DAY_MIN), counts) + rng.random(n))
    sizes = 1 + rng.binomial(VISIT - 1, (size - 1) / (VISIT - 1), n)
    visit = np.repeat(np.arange(n), sizes)
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    later = np.arange(len(visit)) > first
    elapsed = np.cumsum(rng.exponential(GAP_S, len(visit)) * later)
    server = rng.integers(0, rng.integers(1, SERVERS + 1, n)[visit]) * later
    return begin[visit] + elapsed - elapsed[first], visit, SERVERS * visit + server


def _before(
    lookups: pl.DataFrame, resolvers: Hosts, rng: np.random.Generator
) -> pl.DataFrame:
    """Turn contacts into what precedes them: the client asks for the server's name."""
    n = len(lookups)
    return lookups.with_columns(
        pl.col("ts") - pl.Series(rng.uniform(*LOOKUP_S, n)),
        pl.Series("id.resp_h", resolvers.draw_addresses(rng, n)),
    )


def _dressed(
    habit: Habit, contacts: pl.DataFrame, rng: np.random.Generator
) -> pl.DataFrame:
    """Give contacts the looks of their habit's shape, ready for `flows.complete`."""
    shape, n = SHAPES[habit.shape], len(contacts)
    shares = [ending.share for ending in shape.endings]
    endings = pl.DataFrame(shape.endings, schema=Ending._fields, orient="row")[
        rng.choice(len(shares), n, p=shares)
    ]
    tries, duration = _persistence(shape.duration, endings, rng)
    return contacts.select(
        "ts",
        "id.orig_h",
        pl.Series("id.orig_p", rng.integers(*shape.orig_p, n)),
        "id.resp_h",
        pl.Series("id.resp_p", rng.choice(habit.ports, n, p=zipf(len(habit.ports)))),
        proto=pl.lit(shape.proto),
        service=pl.lit(shape.service, pl.String),
        duration=pl.Series(duration),
        orig_bytes=pl.Series(_sizes(shape.orig_bytes, rng, n).astype(np.int64)),
        resp_bytes=pl.Series(_sizes(shape.resp_bytes, rng, n).astype(np.int64)),
        conn_state=endings["conn_state"],
        history=endings["history"],
        tries=pl.Series(tries),
        name="name" if shape.service in NAMED else pl.lit(None, pl.String),
        failed=pl.lit(shape.failed, pl.Boolean),
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
