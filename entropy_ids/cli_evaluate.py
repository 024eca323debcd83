"""The command that holds profiles against labelled logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from entropy_ids import console, options


@click.command()
@options.reads_logs
@click.option(
    "--labels",
    required=True,
    type=click.Path(path_type=Path),
    help="labels.csv (start,end,class ...), or a labelled conn log.",
)
@click.option(
    "--profile",
    "directories",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="Directory that train wrote; may be given again.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="FILE.")
@click.option("--plots", type=click.Path(path_type=Path), help="Directory for PNGs.")
@click.option(
    "--rivals/--no-rivals",
    default=True,
    show_default=True,
    help="Compare with simpler methods at equal false alarms.",
)
@click.option("--variants", is_flag=True, help="Also train on less, minutes each.")
@click.option(
    "--baselines",
    is_flag=True,
    help="Compare attention-multi-flow with simpler classifiers of flows.",
)
@click.option(
    "--learning",
    is_flag=True,
    help="Also train on ever more of the training minutes: error by training size.",
)
@click.option(
    "--false-per-day",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="False incidents a day at which methods are compared.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=1,
    show_default=True,
    help="Of the intervals, and of methods that draw.",
)
def evaluate(
    request: console.Request,
    labels: Path,
    directories: tuple[Path, ...],
    json_file: Path | None,
    plots: Path | None,
    **how: Any,
) -> None:
    """Say what profiles find in labelled logs, and what simpler methods would.

    \b
    Examples:
      entropy-ids evaluate logs --labels logs/labels.csv --no-rivals --plots pictures \\
          --profile profiles/lstm --profile profiles/forecaster
      entropy-ids evaluate logs --from 2026-03-16 --labels logs/labels.csv \\
          --profile profiles/office --json figures.json --plots pictures
    """
    from entropy_ids.evaluate import Asked

    asked = Asked(quiet_minutes=request.config["incidents.quiet_minutes"], **how)
    console.evaluate(request, labels, directories, asked, json_file, plots)
