"""The command line's ``report`` and ``explain``: alarms told to a person."""

from __future__ import annotations

from pathlib import Path

import click

from entropy_ids import console, show
from entropy_ids.config import utc_minute

_out = click.argument("directory", metavar="OUT", type=click.Path(path_type=Path))


@click.command()
@_out
@click.option("--from", "since", help="First minute wanted (UTC).")
@click.option("--to", "until", help="First minute not wanted (UTC).")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="FILE.html [default: OUT/report.html].",
)
def report(
    directory: Path, since: str | None, until: str | None, output: Path | None
) -> None:
    """Make one HTML page of what a replay or the daemon wrote to OUT.

    The page needs no network and no other file: the network's state, the score over
    time, and for each incident what it is, what to do, and what shows it.

    \b
    Examples:
      entropy-ids report out
      entropy-ids report /var/lib/entropy-ids/alarms --from 2026-11-22 -o today.html
    """
    from entropy_ids.report import found, page, words

    first = None if since is None else utc_minute(since)
    end = None if until is None else utc_minute(until)
    told = found.read(directory, first, end)
    path = output or directory / page.REPORT
    size = page.write(told, path)
    number = words.plural(len(told.incidents), "incident")
    console.out.print(show.safe(f"{number}: {path}, {size:,} bytes"))


@click.command()
@_out
@click.argument("alarm_id", metavar="ALARM_ID")
@click.option(
    "--classifier",
    type=click.Path(path_type=Path),
    help="Profile of attention-multi-flow: what it calls the connections.",
)
def explain(directory: Path, alarm_id: str, classifier: Path | None) -> None:
    """Tell what an incident is, what to do about it, and what shows it.

    The beginning of the alarm's id suffices.

    \b
    Examples:
      entropy-ids explain out ad20a5a0afc0122e
      entropy-ids explain out ad20 --classifier profiles/classes
    """
    from entropy_ids.alarms.history import find
    from entropy_ids.report import found, terminal

    told = found.read(directory)
    alarm = find(told.incidents, alarm_id)
    console.out.print(terminal.explain(told, alarm))
    if classifier:
        from entropy_ids.report import classified

        model = classified.classifier(classifier)
        console.out.print(classified.classified(told.evidence(alarm), model))
