"""Jobs that measure logs and learn from them; and profiles, looked at and changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from entropy_ids import show
from entropy_ids.console.asked import Request, bar, file_bar, out, warn_of
from entropy_ids.errors import ConfigError, ProfileError

if TYPE_CHECKING:
    from entropy_ids.evaluate.flows import Lessons
    from entropy_ids.learning import Witness


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


def train(
    request: Request,
    directory: Path,
    detector: str,
    labels: Path | None = None,
    leave_out: Sequence[str] = (),
) -> None:
    """Train on logs, write the profile, and say what was learned."""
    from entropy_ids import learning, models
    from entropy_ids.profile.store import check_target
    from entropy_ids.reading import read_series

    check_target(directory)
    config = request.config
    warn_of(config)
    models.check(config, detector)
    lessons = _lessons(labels, leave_out)
    seen = _witness(detector, lessons, labelled=labels is not None)
    with file_bar(request.files) as file_done:
        series, assembler = read_series(
            request.files, config, request.reading, file_done, seen
        )
    lessons.check()
    begun = perf_counter()
    with bar("training", config["training.epochs"]) as update:
        trained = learning.train(
            series,
            seen,
            config,
            request.sensor or config["site.name"],
            detector,
            lambda done, _most, _loss: update(done),
        )
    profile = replace(trained.profile, took_s=perf_counter() - begun)
    profile_hash = profile.write(directory)
    out.print(show.account(assembler.account, assembler.bad))
    if assembler.quality:
        out.print(show.quality(assembler.quality))
    if labels:
        met, minutes = len(lessons.met), len(seen.left_out)
        out.print(f"{met} labels met in the logs, {minutes} minutes left out: {labels}")
    out.print(show.trained(profile.manifest, trained.left_out))
    out.print(f"profile {profile_hash}: {directory}")


def _lessons(labels: Path | None, leave_out: Sequence[str]) -> Lessons:
    """Read what happened in the logs."""
    from entropy_ids.evaluate.flows import Lessons
    from entropy_ids.evaluate.labels import read_labels

    if leave_out and not labels:
        raise ConfigError(
            "--leave-out: expected --labels with it, to know which minutes, found none"
        )
    return Lessons(read_labels(labels) if labels else [], leave_out)


def _witness(detector: str, lessons: Lessons, *, labelled: bool) -> Witness:
    """Make what looks at training minutes; labels name flows, or leave minutes out."""
    from entropy_ids.detectors import FLOW_MODELS
    from entropy_ids.learning import witness_of

    if detector not in FLOW_MODELS:
        return witness_of(detector, shaded=lessons.shaded)
    supervised = FLOW_MODELS[detector].supervised
    if not (labelled or supervised):
        return witness_of(detector)
    label = partial(lessons.labelled, supervised=supervised)
    return witness_of(detector, labelled=label)


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
