"""Jobs that judge logs by profiles: a replay, and an evaluation against labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from entropy_ids import show
from entropy_ids.console.asked import Request, bar, file_bar, out, warn_of

if TYPE_CHECKING:
    from entropy_ids.duty import Decided
    from entropy_ids.evaluate import Asked, Watched
    from entropy_ids.profile.store import Profile


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
    pipeline.check_gates(profile)
    warn_of(profile.manifest["settings"])
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
        read = evaluation.watch(
            request.files, known, watched, request.reading, file_done
        )
    steps, total = count(1), sum(len(one.methods(asked)) for one in watched.values())
    with bar("comparing methods", total) as update:
        result = evaluation.evaluate(watched, read, asked, lambda: update(next(steps)))
    out.print(show.account(read.assembler.account, read.assembler.bad))
    if result.remark:
        out.print(f"minutes are not compared: {result.remark}")
    out.print(f"{len(read.sightings)} of {len(known)} labels in the range: {labels}")
    alone = not asked.rivals and len(result.profiles) == 1
    for one in result.profiles if alone else ():
        out.print(each(one), "")
    for table in tables(result):
        out.print(table, "")
    if json_file:
        json_file.write_text(json.dumps(result.as_dict(), indent=1) + "\n")
    for path in draw(result, plots) if plots else ():
        out.print(str(path))
    if asked.learning:
        _learning(watched, plots)


def _learning(watched: Mapping[str, Watched], plots: Path | None) -> None:
    """Train on ever more of each profile's minutes; show and draw the errors."""
    from entropy_ids.evaluate.learning import curve_of
    from entropy_ids.evaluate.plots import draw_learning

    curves = {}
    with bar("training on more and more", len(watched)) as update:
        for done, (name, one) in enumerate(watched.items(), 1):
            curve = curve_of(one.profile)
            if curve is not None:
                curves[name] = curve
            update(done)
    if curves:
        out.print(show.learning(curves))
    if curves and plots:
        out.print(str(draw_learning(curves, plots / "learning.png")))
