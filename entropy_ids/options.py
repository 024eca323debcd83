"""Options that several commands share: where settings come from, and what to read."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path

import click

from entropy_ids import console
from entropy_ids.config import Config, utc_minute


def settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that settings come from; it takes ``config``."""

    @click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        help="TOML file with settings; see: entropy-ids config show.",
    )
    @click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="Change one setting; wins over environment and file.",
    )
    @wraps(command)
    def run(
        *, config_file: Path | None, overrides: tuple[str, ...], **own: object
    ) -> None:
        command(config=Config.load(config_file, overrides), **own)

    return run


def reads_logs(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what to read; it takes ``request``."""

    @click.argument("logs", nargs=-1, required=True)
    @settings
    @click.option(
        "--sensor", help="Name of the sensor [default: the profile's, or site.name]."
    )
    @click.option("--from", "since", help="First minute wanted (log clock, UTC).")
    @click.option("--to", "until", help="First minute not wanted (log clock, UTC).")
    @click.option(
        "--workers",
        type=click.IntRange(1, 64),
        default=2,
        show_default=True,
        help="Threads that parse; the result is the same.",
    )
    @wraps(command)
    def run(
        *,
        logs: tuple[str, ...],
        config: Config,
        sensor: str | None,
        since: str | None,
        until: str | None,
        workers: int,
        **own: object,
    ) -> None:
        first = None if since is None else utc_minute(since)
        end = None if until is None else utc_minute(until)
        request = console.Request(logs, config, sensor, first, end, workers)
        command(request=request, **own)

    return run
