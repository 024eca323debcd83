"""A generated site in Zeek's archive layout, for the demo, for tests and for trials.

Everything follows from a seed. No generated traffic was ever on a wire, and results on
it say nothing about a real network; captured attacks are real, what they are laid over
is not.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from entropy_ids.calendar import Calendar
from entropy_ids.errors import ConfigError
from entropy_ids.simulate.archive import write_day
from entropy_ids.simulate.attacks import ATTACKS
from entropy_ids.simulate.captures import every_capture
from entropy_ids.simulate.flows import Logs
from entropy_ids.simulate.inject import Injection, inject, span
from entropy_ids.simulate.labels import Label, write_labels
from entropy_ids.simulate.placed import (
    Placed,
    Plan,
    check_target,
    check_times,
    every_class,
    lost,
    schedule,
    usual,
)
from entropy_ids.simulate.rename import renamed
from entropy_ids.simulate.siblings import siblings as siblings_of
from entropy_ids.simulate.site import DAY_S, UTC, Site, midnight
from entropy_ids.simulate.trial import Trial

__all__ = [
    "ATTACKS",
    "DAY_S",
    "Injection",
    "Label",
    "Placed",
    "Plan",
    "Simulation",
    "Trial",
    "every_capture",
    "every_class",
    "inject",
    "midnight",
    "renamed",
    "schedule",
    "simulate",
    "span",
    "usual",
]


@dataclass(frozen=True)
class Simulation:
    """What was written: conn rows, files of all logs in order, and the attacks."""

    rows: int
    files: list[Path]
    labels: list[Label]


def simulate(
    out: Path,
    *,
    days: int,
    start: dt.date,
    seed: int,
    calendar: Calendar = UTC,
    attacks: Sequence[Placed] = (),
    siblings: bool = True,
    as_json: bool = False,
    volume: float = 1.0,
    backup_h: float = 1.5,
    progress: Callable[[int, int], None] | None = None,
) -> Simulation:
    """Write an archive of a generated office, and ``labels.csv`` beside it.

    Parameters
    ----------
    out
        A new or empty directory.
    days
        How many UTC days, at least 1.
    start
        The first of them.
    seed
        Same seed, same bytes; any day alone has the bytes it has in a longer run.
    calendar
        The site's clocks and days off.
    attacks
        What befalls the site, from :func:`schedule`.
    siblings
        Write dns, http, ssl, ssh and smtp logs beside conn.
    as_json
        Write JSON lines instead of TSV.
    volume
        Factor on the site's traffic.
    backup_h
        Local hour of the nightly backup.
    progress
        Called after each day with the number of days done, and ``days``.

    Raises
    ------
    ConfigError
        If a number is out of range, ``out`` is not an empty directory, or an attack
        lies outside the days or over another.

    Notes
    -----
    As in a real archive a file holds what Zeek *wrote* in its hour: the first day
    begins with rows of connections from the evening before, and those of the last
    evening that Zeek writes after midnight are missing.

    Examples
    --------
    >>> import datetime, pathlib, tempfile
    >>> day = datetime.date(2026, 3, 2)
    >>> plans = [usual("port-scan"), usual("ddos")]
    >>> placed = schedule(plans, midnight(day), midnight(day) + DAY_S, seed=7)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     out = pathlib.Path(folder)
    ...     made = simulate(
    ...         out, days=1, start=day, seed=7, attacks=placed, siblings=False
    ...     )
    >>> len(made.files), made.files[9].relative_to(out).as_posix()
    (24, '2026-03-02/conn.09:00:00-10:00:00.log.gz')
    >>> sorted(label.attack_class for label in made.labels)
    ['ddos', 'port-scan']
    """
    _refuse(days, seed)
    check_target(out)
    dates = [start + dt.timedelta(days=i) for i in range(days)]
    check_times(attacks, midnight(start), midnight(start) + days * DAY_S)
    site, rows, files = Site(seed, calendar, volume=volume, backup_h=backup_h), 0, []
    _, late = _parted(
        _day(site, start - dt.timedelta(days=1), (), siblings), midnight(start)
    )
    own = _joined([p.logs if siblings else {"conn": p.logs["conn"]} for p in attacks])
    for done, date in enumerate(dates, 1):
        begin, end = midnight(date), midnight(date) + DAY_S
        logs = _joined([late, _day(site, date, attacks, siblings)])
        today, late = _parted(logs, end)
        befallen, _ = _parted(_parted(own, begin)[1], end)
        today = _joined([today, befallen])
        files += write_day(out, today, as_json=as_json)
        rows += len(today["conn"])
        if progress:
            progress(done, days)
    labels = [placed.label for placed in attacks]
    write_labels(out, labels)
    return Simulation(rows, files, labels)


def _day(site: Site, date: dt.date, attacks: Sequence[Placed], siblings: bool) -> Logs:
    """Generate one day, less what is lost of it; each has its own draws."""
    flows = site.day(date)
    fate, rest = np.random.SeedSequence([site.seed, date.toordinal(), 1]).spawn(2)
    flows = flows.filter(~lost(flows["ts"], attacks, np.random.default_rng(fate)))
    return (
        siblings_of(flows, np.random.default_rng(rest)) if siblings else {"conn": flows}
    )


def _joined(parts: Sequence[Logs]) -> Logs:
    """Put the rows of each log together; columns that one lacks are unset there."""
    names = dict.fromkeys(name for logs in parts for name in logs)
    return {
        name: pl.concat([logs[name] for logs in parts if name in logs], how="diagonal")
        for name in names
    }


def _parted(logs: Logs, moment: float) -> tuple[Logs, Logs]:
    """Return what Zeek writes before a moment (epoch s), and from then on."""
    before = {
        name: rows.filter(pl.col("written") < moment) for name, rows in logs.items()
    }
    after = {
        name: rows.filter(pl.col("written") >= moment) for name, rows in logs.items()
    }
    return before, after


def _refuse(days: int, seed: int) -> None:
    for name, value, least in (("days", days, 1), ("seed", seed, 0)):
        if value < least:
            raise ConfigError(
                f"expected {name} of at least {least}, found {value}: give a larger one"
            )
