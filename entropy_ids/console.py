"""The jobs that the command line offers, with their progress bars and reports.

Bars are shown on a terminal and left out in a pipe. The network library is imported by
the jobs that need it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
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
from entropy_ids.config import Config, utc_minute
from entropy_ids.errors import ConfigError, ProfileError

if TYPE_CHECKING:
    from entropy_ids.collector import LogFile
    from entropy_ids.duty import Decided
    from entropy_ids.evaluate import Asked
    from entropy_ids.profile.store import Profile
    from entropy_ids.reading import Reading
    from entropy_ids.simulate import Trial

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
    if assembler.quality:
        out.print(show.quality(assembler.quality))
    out.print(show.trained(trained.profile.manifest, trained.left_out))
    out.print(f"profile {profile_hash}: {directory}")


@contextmanager
def _whole(*directories: Path) -> Iterator[None]:
    """Refuse profiles whose manifest lacks something that training writes."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as problem:
        raise ProfileError(
            f"{', '.join(map(str, directories))}: expected in manifest.json what "
            f"training writes, found {problem} missing or damaged; train anew"
        ) from problem


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
    with _whole(directory):
        series = profile.series[normal(profile.series, manifest["threshold"])]
        slots, dates = slots_of(series, Calendar.of(manifest["settings"]))
        effect = effect_of_k(series[list(manifest["columns"])], slots, dates)
        trained = show.trained(manifest, [])
    out.print(trained)
    out.print(show.slots(profile.bounds))
    out.print(show.effect_of_k(effect))
    out.print(f"profile {profile.hash}: {directory}")


def profile_retract(directory: Path, minutes: list[int]) -> None:
    """Take minutes out of a profile's bounds, and write it."""
    from entropy_ids.profile.revise import diff, retract
    from entropy_ids.profile.store import Profile

    before = Profile.read(directory)
    with _whole(directory):
        after = retract(before, minutes)
        found = diff(before, after)
    out.print(show.difference(found))
    out.print(f"profile {before.hash} became {after.write(directory)}: {directory}")


def profile_diff(one: Path, other: Path) -> None:
    """Show how two profiles differ."""
    from entropy_ids.profile.revise import diff
    from entropy_ids.profile.store import Profile

    with _whole(one, other):
        found = diff(Profile.read(one), Profile.read(other))
    out.print(show.difference(found))


def _warn(settings: Config | Mapping[str, Any]) -> None:
    """Warn of the published margin, wherever it is used."""
    if settings["judging.margin"] == "published":
        err.print(
            "warning: judging.margin = published tightens the lower bound as k grows, "
            f"against its purpose: at k = {settings['judging.k']:g} most normal "
            "minutes may be flagged (see entropy-ids profile show); span widens both",
            style="bold red",
        )


def replay(
    request: Request, directory: Path, out_directory: Path, journal: Path | None = None
) -> None:
    """Replay logs against a profile, and show the incidents."""
    from entropy_ids import pipeline
    from entropy_ids import replay as driver
    from entropy_ids.alarms.rules import suppression
    from entropy_ids.profile.store import Profile
    from entropy_ids.report import found, page

    profile = Profile.read(directory)
    pipeline.check_settings(profile, request.config)
    _warn(profile.manifest["settings"])
    sensor = request.sensor or str(profile.manifest.get("sensor"))
    decided = _decided(journal, sensor, directory, profile) if journal else None
    expected = suppression(request.config, profile.manifest["settings"])
    with file_bar(request.files) as file_done:
        replayed = driver.replay(
            request.files,
            profile,
            out_directory,
            sensor=sensor,
            decided=decided,
            suppression=expected,
            quiet_minutes=request.config["incidents.quiet_minutes"],
            reading=request.reading,
            evidence_rows=request.config["alarms.evidence_rows"],
            file_done=file_done,
        )
    out.print(show.alarms(replayed.incidents))
    out.print(show.account(replayed.account, replayed.bad))
    if replayed.quality:
        out.print(show.quality(replayed.quality))
    page.write(found.read(out_directory), out_directory / page.REPORT)
    out.print(
        f"{replayed.minutes} minutes, {replayed.scored} scored, "
        f"{len(replayed.incidents)} incidents: {out_directory / page.REPORT}"
    )


def _decided(journal: Path, sensor: str, directory: Path, profile: Profile) -> Decided:
    """Read what a daemon decided; its profiles lie beside the journal or the given."""
    from entropy_ids.alarms import journal as journals
    from entropy_ids.decisions import Decisions
    from entropy_ids.profile.store import Profile

    def find(profile_hash: str) -> Profile:
        if profile.hash.startswith(profile_hash):
            return profile
        kept = journal.parent / "sensors" / sensor / "profiles"
        places = [kept / profile_hash, directory.parent / profile_hash]
        return Profile.read(next((p for p in places if p.exists()), places[0]))

    return Decisions.of(journals.read(journal), sensor).decided(find)


def evaluate(
    request: Request,
    labels: Path,
    directories: Sequence[Path],
    asked: Asked,
    json_file: Path | None = None,
    plots: Path | None = None,
) -> None:
    """Hold profiles and their rivals against labelled logs, and show what they find."""
    from entropy_ids import evaluate as evaluation
    from entropy_ids import pipeline
    from entropy_ids.evaluate.plots import draw
    from entropy_ids.evaluate.table import each, tables
    from entropy_ids.profile.store import Profile

    known = evaluation.read_labels(labels)
    watched = {}
    for directory in directories:
        profile = Profile.read(directory)
        pipeline.check_settings(profile, request.config)
        sensor = request.sensor or str(profile.manifest.get("sensor"))
        watched[str(directory)] = evaluation.Watched(
            profile, sensor, asked.quiet_minutes
        )
    with file_bar(request.files) as file_done:
        sightings, assembler = evaluation.watch(
            request.files, known, watched, request.reading, file_done
        )
    steps, total = count(1), sum(len(one.methods(asked)) for one in watched.values())
    with bar("comparing methods", total) as update:
        result = evaluation.evaluate(
            watched, sightings, asked, lambda: update(next(steps))
        )
    out.print(show.account(assembler.account, assembler.bad))
    out.print(f"{len(sightings)} of {len(known)} labels in the range: {labels}")
    for one in () if asked.rivals else result.profiles:
        out.print(each(one), "")
    for table in tables(result):
        out.print(table, "")
    if json_file:
        json_file.write_text(json.dumps(result.as_dict(), indent=1) + "\n")
    for path in draw(result, plots) if plots else ():
        out.print(str(path))


def demo(directory: Path, seed: int, config: Config) -> None:
    """Run the whole job on a generated office, and tell what was found."""
    from entropy_ids.evaluate import Asked
    from entropy_ids.simulate import Trial

    logs, profile = directory / "logs", directory / "profile"
    third_week = utc_minute("2026-03-16")
    out.rule("1. generate three weeks of an office, every attack in the third")
    trial = Trial(seed, classes=True, last_days=7)
    out.print(simulate(logs, config, trial, days=21, start="2026-03-02"))
    request = Request((str(logs),), config, "office", until=third_week)
    out.rule("2. learn what is usual from the first two")
    train(request, profile, "lstm-autoencoder")
    out.rule("3. replay the third")
    request = replace(request, since=third_week, until=None)
    replay(request, profile, directory / "alarms")
    out.rule("4. hold the alarms against what was injected")
    asked = Asked(quiet_minutes=config["incidents.quiet_minutes"], rivals=False)
    evaluate(request, logs / "labels.csv", [profile], asked)


def simulate(
    directory: Path,
    config: Config,
    trial: Trial,
    *,
    days: int,
    start: str,
    as_json: bool = False,
) -> str:
    """Generate logs, and lay attacks over them; say how many rows there are."""
    from entropy_ids import simulate as generator
    from entropy_ids.calendar import Calendar

    try:
        first = dt.date.fromisoformat(start)
    except ValueError as problem:
        raise ConfigError(
            f"--start: expected a date such as 2026-03-02, found {start!r}"
        ) from problem
    begin = generator.midnight(first)
    with bar("generating days", days) as update:
        made = generator.simulate(
            directory,
            days=days,
            start=first,
            seed=trial.seed,
            calendar=Calendar.of(config),
            attacks=trial.place(begin, begin + days * generator.DAY_S),
            as_json=as_json,
            progress=lambda done, _: update(done),
        )
    return (
        f"{made.rows} connections and {len(made.labels)} attacks in "
        f"{len(made.files)} files: {directory}"
    )


def inject(directory: Path, over: tuple[str, ...], trial: Trial) -> str:
    """Lay attacks over a copy of conn logs; say how many rows there are."""
    from entropy_ids import simulate as generator
    from entropy_ids.collector import find_logs

    logs = find_logs(over)
    placed = trial.place(*generator.span(logs))
    with bar("writing logs", len(logs)) as update:
        made = generator.inject(
            logs,
            placed,
            directory,
            seed=trial.seed,
            progress=lambda done, _: update(done),
        )
    return (
        f"{made.added} connections of {len(made.labels)} attacks added, {made.lost} "
        f"taken away, in {len(made.files)} files: {directory}"
    )
