"""What all jobs share: what was asked, progress bars, and where text goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from entropy_ids.config import Config

if TYPE_CHECKING:
    from entropy_ids.collector import LogFile
    from entropy_ids.reading import Reading

out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False)


@dataclass(frozen=True)
class Request:
    """What a command was asked to read.

    ``since`` is the first minute wanted, ``until`` the first not wanted; None is open.
    """

    logs: tuple[str, ...]
    config: Config
    sensor: str | None = None
    since: int | None = None
    until: int | None = None
    workers: int = 2

    @cached_property
    def files(self) -> list[LogFile]:
        """The conn logs, found when first asked for."""
        from entropy_ids.collector import find_logs

        return find_logs(self.logs)

    @property
    def reading(self) -> Reading:
        """How they are read."""
        from entropy_ids.reading import Reading

        block_bytes = self.config["reading.block_kib"] << 10
        return Reading(self.workers, block_bytes, self.since, self.until)


@contextmanager
def bar(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal, nothing in a pipe."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def file_bar(files: list[LogFile]) -> Iterator[Callable[[LogFile], None]]:
    """Show how many files are read."""
    done = 0
    with bar("reading logs", len(files)) as update:

        def file_done(_: LogFile) -> None:
            nonlocal done
            done += 1
            update(done)

        yield file_done


def warn_of(settings: Config | Mapping[str, Any]) -> None:
    """Warn of the published margin, wherever it is used."""
    if settings["judging.margin"] == "published":
        err.print(
            "warning: judging.margin = published tightens the lower bound as k grows, "
            f"against its purpose: at k = {settings['judging.k']:g} most normal "
            "minutes may be flagged (see entropy-ids profile show); span widens both",
            style="bold red",
        )
