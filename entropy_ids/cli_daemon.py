"""The command line's daemon: run it, and ask how it is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from entropy_ids import console, options, show
from entropy_ids.config import Config
from entropy_ids.errors import ConfigError, EntropyIdsError

if TYPE_CHECKING:
    from entropy_ids.daemon.status import Status


@click.command()
@options.settings
def run(config: Config) -> None:
    """Watch live sensors until told to stop.

    Reads what the configuration's [[sensor]] tables name, judges each minute as soon
    as a row lies beyond it, and writes alarms. SIGTERM and SIGINT end it after a
    checkpoint, SIGHUP reads the configuration again. A second daemon on the same
    state.dir is refused.

    \b
    Examples:
      entropy-ids run --config /etc/entropy-ids.toml
      entropy-ids run --config examples/entropy-ids.toml --set state.dir=/tmp/state \\
          --set alarms.dir=/tmp/alarms
    """
    if config.file is None or not config.sensors:
        raise ConfigError(
            f"--config {config.file or '(not given)'}: expected a file with at least "
            f"one [[sensor]], found none; see examples/entropy-ids.toml"
        )
    from entropy_ids.daemon import run as daemon

    daemon.run(config)


@click.command()
@options.settings
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.pass_context
def status(context: click.Context, config: Config, as_json: bool) -> None:
    """Tell how the daemon is, and exit as a Nagios plugin does.

    Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (also when the status cannot
    be read). A configuration that cannot be used gives 2.

    \b
    Examples:
      entropy-ids status --config /etc/entropy-ids.toml
      entropy-ids status --config /etc/entropy-ids.toml --json
    """
    code, line, found = _asked(Path(config["state.dir"]))
    if as_json:
        click.echo(_as_json(code, line, found))
    else:
        click.echo(line)
        if found is not None:
            console.out.print(show.status(found))
    context.exit(code)


def _asked(directory: Path) -> tuple[int, str, Status | None]:
    """Read the status and judge it; what cannot be read is UNKNOWN."""
    from entropy_ids.daemon.lock import is_locked
    from entropy_ids.daemon.status import UNKNOWN, judge, read

    try:
        found = read(directory)
        return *judge(found, datetime.now(UTC), is_locked(directory)), found
    except (EntropyIdsError, OSError) as err:
        return UNKNOWN, f"UNKNOWN: {show.safe(str(err))}", None


def _as_json(code: int, line: str, found: Status | None) -> str:
    import msgspec

    whole = msgspec.json.encode({"code": code, "summary": line, "status": found})
    return msgspec.json.format(whole, indent=1).decode()
