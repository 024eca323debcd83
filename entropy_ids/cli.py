"""The command line: a thin skin that asks, calls and shows.

Modules that need the network library are imported by the commands that need them.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path

import click

from entropy_ids import __version__, console, show
from entropy_ids.config import Config, utc_minute
from entropy_ids.errors import (
    ConfigError,
    EntropyIdsError,
    InputError,
)
from entropy_ids.settings import SETTINGS


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its documented code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.exit(
            cli.main(arguments, prog_name="entropy-ids", standalone_mode=False) or 0
        )
    except click.ClickException as problem:
        problem.show()
        sys.exit(ConfigError.exit_code)
    except click.Abort:
        sys.exit(130)
    except EntropyIdsError as problem:
        if "--debug" in arguments:
            raise
        click.echo(f"entropy-ids: {show.safe(str(problem))}", err=True)
        sys.exit(problem.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as problem:
        if "--debug" in arguments:
            raise
        where = show.safe(str(problem.filename or "a file"))
        click.echo(f"entropy-ids: {where}: {problem.strerror or problem}", err=True)
        sys.exit(InputError.exit_code)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="entropy-ids")
@click.option("--debug", is_flag=True, help="Show the traceback of an error, and log.")
def cli(debug: bool) -> None:
    """Find anomalies in Zeek conn logs by the entropies of their minutes.

    \b
    Exit codes: 0 done, 2 bad usage or configuration, 3 input missing or
    unreadable, 4 state or profile damaged.

    \b
    Examples:
      entropy-ids demo
      entropy-ids train /opt/zeek/logs/2026-11-* --profile profiles/office
      entropy-ids replay /opt/zeek/logs/2026-11-22 --profile profiles/office --out out
    """
    if debug:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)


def _settings(command: Callable[..., None]) -> Callable[..., None]:
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


def _reads_logs(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what to read; it takes ``request``."""

    @click.argument("logs", nargs=-1, required=True)
    @_settings
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


@cli.command()
@_reads_logs
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="FILE.parquet or FILE.csv.",
)
def features(request: console.Request, output: Path) -> None:
    """Write minutes × entropy columns of conn logs as a table.

    \b
    Examples:
      entropy-ids features conn.log -o minutes.csv
      entropy-ids features /opt/zeek/logs/2026-11-22 -o minutes.parquet
    """
    if output.suffix not in (".parquet", ".csv"):
        raise ConfigError(
            f"-o {output}: expected a name that ends in .parquet or .csv, found "
            f"{output.suffix or 'none'!r}"
        )
    console.features(request, output)


@cli.command()
@_reads_logs
@click.option(
    "--profile",
    "directory",
    required=True,
    type=click.Path(path_type=Path),
    help="Directory to write; a profile there is replaced.",
)
@click.option(
    "--detector", default="lstm-autoencoder", show_default=True, help="What learns."
)
def train(request: console.Request, directory: Path, detector: str) -> None:
    """Learn what is usual from conn logs, and write a profile.

    Give whole days, best some weeks with weekends; what is attacked in them becomes
    usual, so leave such days out with --from and --to.

    \b
    Examples:
      entropy-ids train /opt/zeek/logs/2026-11-* --profile profiles/office
      entropy-ids train logs --from 2026-11-01 --to 2026-11-15 --profile p \\
          --set training.seed=7
    """
    console.train(request, directory, detector)


@cli.command()
@_reads_logs
@click.option(
    "--profile",
    "directory",
    required=True,
    type=click.Path(path_type=Path),
    help="Directory that train wrote.",
)
@click.option(
    "--out",
    "out_directory",
    required=True,
    type=click.Path(path_type=Path),
    help="Directory for alarms.jsonl and the other files.",
)
def replay(request: console.Request, directory: Path, out_directory: Path) -> None:
    """Judge archived conn logs by a profile; write and show the alarms.

    Writes alarms.jsonl, entropy_alarm.log (Zeek TSV), minutes.parquet, quality.jsonl
    and quarantine.jsonl.

    \b
    Examples:
      entropy-ids replay /opt/zeek/logs/2026-11-22 --profile profiles/office --out out
      entropy-ids replay logs --from 2026-11-22T08:00 --profile p --out out
    """
    console.replay(request, directory, out_directory)


@cli.command()
@click.argument("directory", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--days", type=int, default=8, show_default=True, help="Days to generate."
)
@click.option(
    "--start", default="2026-03-02", show_default=True, help="First day, UTC."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of all draws.")
@click.option("--attacks", is_flag=True, help="Two attacks on the last day.")
def simulate(directory: Path, days: int, start: str, seed: int, attacks: bool) -> None:
    """Generate an office's conn logs in Zeek's archive layout, and labels.csv.

    \b
    Examples:
      entropy-ids simulate /tmp/office --days 8 --attacks
    """
    made = console.simulate(directory, days, start, seed, attacks)
    console.out.print(made)


@cli.command()
@click.option(
    "--out",
    "directory",
    default="demo-out",
    show_default=True,
    type=click.Path(path_type=Path),
    help="New directory for logs, profile and alarms.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of all draws.")
@_settings
def demo(directory: Path, seed: int, config: Config) -> None:
    """Run the whole job on a generated office: seven days to train, one to replay.

    \b
    Examples:
      entropy-ids demo --out /tmp/demo
    """
    logs, profile = directory / "logs", directory / "profile"
    last_day = utc_minute("2026-03-09")
    console.out.rule("1. generate eight days of an office, two attacks on the last")
    console.out.print(console.simulate(logs, 8, "2026-03-02", seed, True))
    request = console.Request((str(logs),), config, "office", until=last_day)
    console.out.rule("2. learn what is usual from the first seven")
    console.train(request, profile, "lstm-autoencoder")
    console.out.rule("3. replay the last")
    request = replace(request, since=last_day, until=None)
    console.replay(request, profile, directory / "alarms")
    console.out.rule("4. what was injected")
    console.out.print((logs / "labels.csv").read_text().strip(), soft_wrap=True)


@cli.group("profile")
def profile_group() -> None:
    """Look at profiles, and correct them."""


_profile = click.argument(
    "directory", metavar="PROFILE", type=click.Path(path_type=Path)
)


@profile_group.command("show")
@_profile
@click.option("--slot", help="Show the bounds of one slot, e.g. 'weekday 08'.")
def profile_show(directory: Path, slot: str | None) -> None:
    """Show what a profile was trained on, and its slots or one slot's bounds.

    \b
    Examples:
      entropy-ids profile show profiles/office
      entropy-ids profile show profiles/office --slot 'weekday 08'
    """
    console.profile_show(directory, slot)


@profile_group.command("retract")
@_profile
@click.argument("minutes", metavar="MINUTE...", nargs=-1, required=True)
def profile_retract(directory: Path, minutes: tuple[str, ...]) -> None:
    """Take minutes (UTC) out of a profile's bounds, as if never seen.

    For minutes that turn out to have been attacked. The network and the threshold stay
    as they are: train anew to change those.

    \b
    Examples:
      entropy-ids profile retract profiles/office 2026-11-03T14:07 2026-11-03T14:08
    """
    console.profile_retract(directory, [utc_minute(minute) for minute in minutes])


@profile_group.command("diff")
@click.argument("one", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
def profile_diff(one: Path, other: Path) -> None:
    """Show how two profiles differ: settings, range, threshold, bounds.

    \b
    Examples:
      entropy-ids profile diff profiles/october profiles/november
    """
    console.profile_diff(one, other)


@cli.group("config")
def config_group() -> None:
    """Look at settings."""


@config_group.command("show")
@_settings
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def config_show(config: Config, as_json: bool) -> None:
    """Show every setting: value, unit, reason.

    \b
    Examples:
      entropy-ids config show
      entropy-ids config show --config site.toml --set judging.k=1.5
    """
    if as_json:
        click.echo(json.dumps({s.key: config[s.key] for s in SETTINGS}, indent=1))
    else:
        console.out.print(show.settings(config))
