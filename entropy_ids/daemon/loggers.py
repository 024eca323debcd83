"""Which files in the archive are a sensor's, where several loggers share it."""

from __future__ import annotations

from pathlib import Path

from entropy_ids.collector.archive import is_conn_name, stream_of
from entropy_ids.config import SensorConfig

_FOLDERS = 7
"""Zeek makes a folder a day; loggers of longer ago may be gone."""


def suffixes_of(sensor: SensorConfig) -> dict[str, str]:
    """Give the name that each stream's archived files carry.

    A single stream takes all files, unless several loggers archive here: then those
    that are called as its directory, and those without a name.
    """
    if len(sensor.log_dirs) > 1:
        return {name: name for name in sensor.streams}
    several = len(_archived(sensor)) > 1
    return {"": sensor.log_dirs[0].resolve().name if several else ""}


def unread(sensor: SensorConfig) -> str | None:
    """Say which loggers' files are archived lately that no stream reads, if any."""
    read = set(suffixes_of(sensor).values())
    left = sorted(_archived(sensor) - read) if read != {""} else []
    if not left:
        return None
    return (
        f"archive_dir {sensor.archive_dir}: expected files of the loggers in log_dirs "
        f"alone, found some of {', '.join(left)}; their rows are not read: name the "
        "directories of all loggers in log_dirs"
    )


def _archived(sensor: SensorConfig) -> set[str]:
    """Give the loggers that files of the last days name."""
    if sensor.archive_dir is None:
        return set()
    try:
        days = [path for path in sensor.archive_dir.iterdir() if path.is_dir()]
        folders = [sensor.archive_dir, *sorted(days)[-_FOLDERS:]]
        return {name for folder in folders for name in _named(folder)}
    except OSError:  # the streams tell what cannot be read
        return set()


def _named(folder: Path) -> set[str]:
    names = [path.name for path in folder.iterdir() if is_conn_name(path.name)]
    return {stream_of(name) for name in names} - {""}
