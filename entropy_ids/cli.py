"""The command line: a thin skin that asks, calls and shows.

Modules that need the network library are imported by the commands that need them.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from entropy_ids import (
    __version__,
    cli_alarms,
    cli_daemon,
    cli_evaluate,
    cli_report,
    console,
    options,
    show,
)
from entropy_ids.cli_profile import profile_group
from entropy_ids.config import Config
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


@cli.command()
@options.reads_logs
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
@options.reads_logs
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
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="What happened in the logs: attention-multi-flow learns the classes, every "
    "other detector leaves those minutes out.",
)
@click.option(
    "--leave-out",
    multiple=True,
    metavar="CLASS",
    help="Leave out only the labels of this class; may be given again.",
)
def train(
    request: console.Request,
    directory: Path,
    detector: str,
    labels: Path | None,
    leave_out: tuple[str, ...],
) -> None:
    """Learn what is usual from conn logs, and write a profile.

    Give whole days, best some weeks with weekends; what is attacked in them becomes
    usual, so leave such days out with --from and --to, or such minutes with --labels.

    \b
    Detectors:
      lstm-autoencoder, conv-bilstm-autoencoder, lstm-forecaster
                             score minutes by the entropies of their connections
      flow-language-model    scores minutes by their least likely connection
      attention-multi-flow   classifies connections (evaluate and explain only)

    \b
    Examples:
      entropy-ids train /opt/zeek/logs/2026-11-* --profile profiles/office
      entropy-ids train logs --from 2026-11-01 --to 2026-11-15 --profile p \\
          --set training.seed=7
      entropy-ids train logs --labels labels.csv --leave-out dos --leave-out ddos \\
          --profile no-dos
    """
    console.train(request, directory, detector, labels, leave_out)


@cli.command()
@options.reads_logs
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
@click.option(
    "--journal",
    type=click.Path(path_type=Path),
    help="A daemon's journal.jsonl: decide the same at the same minutes.",
)
def replay(
    request: console.Request,
    directory: Path,
    out_directory: Path,
    journal: Path | None,
) -> None:
    """Judge archived conn logs by a profile; write and show the alarms.

    Writes alarms.jsonl, entropy_alarm.log (Zeek TSV), minutes.parquet, quality.jsonl
    and quarantine.jsonl.

    \b
    Examples:
      entropy-ids replay /opt/zeek/logs/2026-11-22 --profile profiles/office --out out
      entropy-ids replay logs --from 2026-11-22T08:00 --profile p --out out
      entropy-ids replay logs --profile p --out out \\
          --journal /var/lib/entropy-ids/journal.jsonl
    """
    console.replay(request, directory, out_directory, journal)


@cli.command()
@click.argument("directory", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--days", type=int, default=8, show_default=True, help="Days to generate."
)
@click.option(
    "--start", default="2026-03-02", show_default=True, help="First day, UTC."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of all draws.")
@click.option(
    "--attacks",
    "classes",
    is_flag=True,
    help="Every class once, in the last third of the days.",
)
@click.option(
    "--captures",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Real attacks: directories with conn.log and label.json.",
)
@click.option(
    "--scale",
    "scales",
    type=float,
    multiple=True,
    default=(1.0,),
    help="Share of a capture's connections; give several for one of each.",
)
@click.option(
    "--over",
    multiple=True,
    metavar="LOGS",
    help="Lay attacks over a copy of these conn logs instead of a generated office.",
)
@click.option(
    "--rename",
    multiple=True,
    metavar="FROM=TO",
    help="Move attacks from an address or network of the office to another.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON lines instead of TSV.")
@options.settings
def simulate(
    directory: Path,
    days: int,
    start: str,
    over: tuple[str, ...],
    as_json: bool,
    config: Config,
    **how: Any,
) -> None:
    """Generate an office's logs in Zeek's archive layout, and labels.csv.

    With --over, copy existing conn logs and weave attacks into them. Attacks lie by
    day and by night, never within 70 minutes of each other.

    \b
    Addresses (--rename moves attacks to those of your site):
      203.0.113.10, .11, .25   public servers      10.20.0.53  resolver
      10.20.3.0/24             inside attackers    198.19.0.0/16  outside attackers

    \b
    Examples:
      entropy-ids simulate /tmp/office --days 8 --attacks
      entropy-ids simulate /tmp/trial --days 14 --captures labs --scale 1 --scale 0.1
      entropy-ids simulate /tmp/berlin --set site.timezone=Europe/Berlin --json
      entropy-ids simulate /tmp/mine --over /opt/zeek/logs/2026-11-22 --attacks \\
          --rename 203.0.113.10=192.0.2.80
    """
    from entropy_ids.simulate import Trial

    trial = Trial(**how)
    if over:
        made = console.inject(directory, over, trial)
    else:
        made = console.simulate(
            directory, config, trial, days=days, start=start, as_json=as_json
        )
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
@options.settings
def demo(directory: Path, seed: int, config: Config) -> None:
    """Run the whole job on a generated office: two weeks to train, one with attacks.

    \b
    Examples:
      entropy-ids demo --out /tmp/demo
    """
    console.demo(directory, seed, config)


@cli.group("config")
def config_group() -> None:
    """Look at settings."""


@config_group.command("show")
@options.settings
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


cli.add_command(cli_alarms.feedback)
cli.add_command(cli_alarms.suppress)
cli.add_command(cli_evaluate.evaluate)
cli.add_command(cli_daemon.run)
cli.add_command(cli_daemon.status)
cli.add_command(cli_report.report)
cli.add_command(cli_report.explain)
cli.add_command(profile_group)
