"""The jobs that the command line offers, with their progress bars and reports.

Bars are shown on a terminal and left out in a pipe. The network library is imported by
the jobs that need it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from entropy_ids import show
from entropy_ids.config import Config
from entropy_ids.errors import ConfigError, ProfileError

if TYPE_CHECKING:
    from entropy_ids.collector import LogFile
    from entropy_ids.reading import Reading

out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False)


@dataclass(frozen=True)
class Request:
    """What a command was asked to read.

    ``since`` is the first minute wanted, ``until`` the first not wanted; None is open.
    """

    logs: tuple[str, ...]
    config: Config
    sensor: str | None = None
    since: int | None = None
    until: int | None = None
    workers: int = 2

    @cached_property
    def files(self) -> list[LogFile]:
        """The conn logs, found when first asked for."""
        from entropy_ids.collector import find_logs

        return find_logs(self.logs)

    @property
    def reading(self) -> Reading:
        """How they are read."""
        from entropy_ids.reading import Reading

        block_bytes = self.config["reading.block_kib"] << 10
        return Reading(self.workers, block_bytes, self.since, self.until)


@contextmanager
def bar(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal, nothing in a pipe."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def file_bar(files: list[LogFile]) -> Iterator[Callable[[LogFile], None]]:
    """Show how many files are read."""
    done = 0
    with bar("reading logs", len(files)) as update:

        def file_done(_: LogFile) -> None:
            nonlocal done
            done += 1
            update(done)

        yield file_done


def features(request: Request, output: Path) -> None:
    """Measure logs, and write the table."""
    from entropy_ids.reading import read_series, write_series

    with file_bar(request.files) as file_done:
        series, assembler = read_series(
            request.files, request.config, request.reading, file_done
        )
    write_series(series, output)
    out.print(show.account(assembler.account, assembler.bad))
    out.print(f"{len(series)} minutes × {series.values.shape[1]} columns: {output}")


def train(request: Request, directory: Path, detector: str) -> None:
    """Train on logs, write the profile, and say what was learned."""
    from entropy_ids import pipeline
    from entropy_ids.alarms.contributors import Seen
    from entropy_ids.profile.store import check_target
    from entropy_ids.reading import read_series

    check_target(directory)
    config, seen = request.config, Seen()
    _warn(config)
    pipeline.detector_of(config, detector)  # what is refused is refused before work
    with file_bar(request.files) as file_done:
        series, assembler = read_series(
            request.files, config, request.reading, file_done, seen
        )
    with bar("training", config["training.epochs"]) as update:
        trained = pipeline.train(
            series,
            seen,
            config,
            request.sensor or config["site.name"],
            detector,
            lambda done, _most, _loss: update(done),
        )
    profile_hash = trained.profile.write(directory)
    out.print(show.account(assembler.account, assembler.bad))
    out.print(show.trained(trained.profile.manifest, trained.left_out))
    out.print(f"profile {profile_hash}: {directory}")


def profile_show(directory: Path, slot: str | None) -> None:
    """Show a profile, or the bounds of one of its slots."""
    from entropy_ids.calendar import Calendar
    from entropy_ids.profile.outlook import effect_of_k, slots_of
    from entropy_ids.profile.revise import normal
    from entropy_ids.profile.store import Profile

    profile = Profile.read(directory)
    if slot is not None:
        out.print(show.bounds(profile.bounds, slot, profile.setters))
        return
    manifest = profile.manifest
    try:
        series = profile.series[normal(profile.series, manifest["threshold"])]
        slots, dates = slots_of(series, Calendar.of(manifest["settings"]))
        effect = effect_of_k(series[list(manifest["columns"])], slots, dates)
        trained = show.trained(manifest, [])
    except (KeyError, TypeError, ValueError) as problem:
        raise ProfileError(
            f"{directory}: expected in manifest.json what training writes, found "
            f"{problem} missing or damaged; train anew"
        ) from problem
    out.print(trained)
    out.print(show.slots(profile.bounds))
    out.print(show.effect_of_k(effect))
    out.print(f"profile {profile.hash}: {directory}")


def profile_retract(directory: Path, minutes: list[int]) -> None:
    """Take minutes out of a profile's bounds, and write it."""
    from entropy_ids.profile.revise import diff, retract
    from entropy_ids.profile.store import Profile

    before = Profile.read(directory)
    after = retract(before, minutes)
    out.print(show.difference(diff(before, after)))
    out.print(f"profile {before.hash} became {after.write(directory)}: {directory}")


def profile_diff(one: Path, other: Path) -> None:
    """Show how two profiles differ."""
    from entropy_ids.profile.revise import diff
    from entropy_ids.profile.store import Profile

    out.print(show.difference(diff(Profile.read(one), Profile.read(other))))


def _warn(settings: Config | Mapping[str, Any]) -> None:
    """Warn of the published margin, wherever it is used."""
    if settings["judging.margin"] == "published":
        err.print(
            "warning: judging.margin = published tightens the lower bound as k grows, "
            f"against its purpose: at k = {settings['judging.k']:g} most normal "
            "minutes may be flagged (see entropy-ids profile show); span widens both",
            style="bold red",
        )


def replay(request: Request, directory: Path, out_directory: Path) -> None:
    """Replay logs against a profile, and show the incidents."""
    from entropy_ids import pipeline
    from entropy_ids import replay as driver
    from entropy_ids.profile.store import Profile

    profile = Profile.read(directory)
    pipeline.check_settings(profile, request.config)
    _warn(profile.manifest["settings"])
    with file_bar(request.files) as file_done:
        replayed = driver.replay(
            request.files,
            profile,
            out_directory,
            sensor=request.sensor or str(profile.manifest.get("sensor")),
            quiet_minutes=request.config["incidents.quiet_minutes"],
            reading=request.reading,
            file_done=file_done,
        )
    out.print(show.alarms(replayed.incidents))
    out.print(show.account(replayed.account, replayed.bad))
    if replayed.quality:
        out.print(show.quality(replayed.quality))
    out.print(
        f"{replayed.minutes} minutes, {replayed.scored} scored, "
        f"{len(replayed.incidents)} incidents: {out_directory}"
    )


def simulate(directory: Path, days: int, start: str, seed: int, attacks: bool) -> str:
    """Generate logs; say how many."""
    from entropy_ids import simulate as generator

    try:
        first = dt.date.fromisoformat(start)
    except ValueError as problem:
        raise ConfigError(
            f"--start: expected a date such as 2026-03-02, found {start!r}"
        ) from problem
    with bar("generating days", days) as update:
        made = generator.simulate(
            directory,
            days=days,
            start=first,
            seed=seed,
            attacks=attacks,
            progress=lambda done, _: update(done),
        )
    return f"{made.rows} rows in {len(made.files)} files: {directory}"
