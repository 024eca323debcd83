"""Jobs that generate logs, and the demo, which runs all others."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from entropy_ids.config import Config, utc_minute
from entropy_ids.console.asked import Request, bar, out
from entropy_ids.console.judging import evaluate, replay
from entropy_ids.console.learning import train
from entropy_ids.errors import ConfigError

if TYPE_CHECKING:
    from entropy_ids.simulate import Trial


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
