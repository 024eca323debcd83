"""The command line's ``profile`` group: look at profiles, and correct them."""

from __future__ import annotations

from pathlib import Path

import click

from entropy_ids import console, options
from entropy_ids.config import Config, utc_minute


@click.group("profile")
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


@profile_group.command("use")
@click.argument("profile_hash", metavar="HASH")
@options.settings
@click.option("--sensor", help="Name of the sensor [default: the only one].")
def profile_use(profile_hash: str, config: Config, sensor: str | None) -> None:
    """Have the daemon take over a candidate profile, named by its hash.

    Leaves a request in the state directory; the daemon takes the profile at its next
    minute. The status command lists the candidates, profile diff compares them.

    \b
    Examples:
      entropy-ids profile use 3f0c9ad1 --config /etc/entropy-ids.toml
      entropy-ids profile use 3f0c9ad1 --config /etc/entropy-ids.toml --sensor dmz
    """
    from entropy_ids.daemon.training import use

    asked = use(config, sensor, profile_hash)
    click.echo(f"asked for {asked}; entropy-ids status tells what is in use")
