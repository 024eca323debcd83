"""A generated site in Zeek's archive layout, for the demo, for tests and for trials.

Everything follows from a seed; no traffic here was ever on a wire, and results on it
say nothing about a real network.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from entropy_ids.errors import ConfigError
from entropy_ids.simulate.archive import HOUR_S, write_day, write_labels
from entropy_ids.simulate.attacks import ATTACKS, Label
from entropy_ids.simulate.site import DAY_S, Site, midnight

__all__ = ["ATTACKS", "Label", "Simulation", "simulate"]

#: What befalls the last day: class, start (hour UTC), duration (s), flows a minute.
INJECTED: Final = (("port-scan", 10.25, 480, 240), ("ddos", 14.5, 360, 600))


@dataclass(frozen=True)
class Simulation:
    """What was written: rows in all, files in order of time, and the attacks."""

    rows: int
    files: list[Path]
    labels: list[Label]


def simulate(
    out: Path,
    *,
    days: int,
    start: dt.date,
    seed: int,
    attacks: bool,
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
    attacks
        Put a port scan and a SYN flood into the last day's working hours.
    progress
        Called after each day with the number of days done, and ``days``.

    Raises
    ------
    ConfigError
        If ``days`` or ``seed`` is too small, or ``out`` is not an empty directory.

    Notes
    -----
    As in a real archive a file holds what Zeek *wrote* in its hour: the first day
    begins with rows of connections from the evening before, and those of the last
    evening that Zeek writes after midnight are missing.

    Examples
    --------
    >>> import datetime, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     out = pathlib.Path(folder)
    ...     day = datetime.date(2026, 3, 2)
    ...     made = simulate(out, days=1, start=day, seed=7, attacks=True)
    >>> len(made.files), made.files[9].relative_to(out).as_posix()
    (24, '2026-03-02/conn.09:00:00-10:00:00.log.gz')
    >>> [label.attack_class for label in made.labels]
    ['port-scan', 'ddos']
    """
    _refuse(out, days, seed)
    dates = [start + dt.timedelta(days=i) for i in range(days)]
    injected = _inject(dates[-1], seed) if attacks else []
    site, rows, files = Site(seed), 0, list[Path]()
    late = site.day(start - dt.timedelta(days=1))
    for done, date in enumerate(dates, 1):
        extra = [flows for flows, _ in injected] if done == days else []
        today, late = _parted(pl.concat([late, site.day(date), *extra]), midnight(date))
        files += write_day(out, today)
        rows += len(today)
        if progress:
            progress(done, days)
    labels = [label for _, label in injected]
    write_labels(out, labels)
    return Simulation(rows, files, labels)


def _parted(flows: pl.DataFrame, start: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return what Zeek writes on the day that begins at ``start``, and after it."""
    written, end = pl.col("written"), start + DAY_S
    today = written.is_between(start, end, closed="left")
    return flows.filter(today), flows.filter(written >= end)


def _inject(date: dt.date, seed: int) -> list[tuple[pl.DataFrame, Label]]:
    """Generate the attacks of ``INJECTED``, each some minutes into its hour."""
    seeds = np.random.SeedSequence([seed, date.toordinal(), 1])
    return [
        ATTACKS[name](
            midnight(date) + hour * HOUR_S + int(state) % 45 * 60,
            duration_s=duration_s,
            flows_per_minute=rate,
            seed=int(state),
        )
        for (name, hour, duration_s, rate), state in zip(
            INJECTED, seeds.generate_state(len(INJECTED)), strict=True
        )
    ]


def _refuse(out: Path, days: int, seed: int) -> None:
    for name, value, least in (("days", days, 1), ("seed", seed, 0)):
        if value < least:
            raise ConfigError(
                f"expected {name} of at least {least}, found {value}: give a larger one"
            )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(
            f"expected a new or empty directory, found {out} in use: "
            "name another or remove it"
        )
