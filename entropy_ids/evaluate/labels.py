"""Labels: what happened, when, and between whom; read from a file, never guessed.

Which minutes of the logs a label touches is left to `entropy_ids.evaluate.sightings`.
"""

from __future__ import annotations

import csv
import ipaddress
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from entropy_ids.collector.datasets import NORMAL, labelled, read
from entropy_ids.collector.schema import end_us
from entropy_ids.errors import InputError
from entropy_ids.types import MINUTE_S

LISTED = frozenset({"flash-crowd", "beacon", "c2_beacon", "backscatter"})
"""Benign, or too faint for a minute's entropies: listed, never counted."""
_REQUIRED = ("start", "end", "class")
_JOIN_S = 5 * MINUTE_S
"""Attacks of a labelled set that end no farther apart are one attack."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Label:
    """Something that happened, as `labels.csv` tells it.

    Attributes
    ----------
    start, end
        When, epoch seconds.
    class_name
        What, in the words of alarms.
    attackers, victims
        Addresses or networks (CIDR); empty where unknown.
    name
        Which attack of its class; may be empty.
    scale
        Share of its connections that were kept.
    """

    start: float
    end: float
    class_name: str
    attackers: tuple[str, ...] = ()
    victims: tuple[str, ...] = ()
    name: str = ""
    scale: float = 1.0

    @property
    def counts(self) -> bool:
        """True for an attack that a detector of minutes should find."""
        return self.class_name not in LISTED

    @property
    def networks(self) -> tuple[Network, ...]:
        """Everybody who took part."""
        return tuple(map(ipaddress.ip_network, self.attackers + self.victims))


def read_labels(path: Path) -> list[Label]:
    """Read ``labels.csv``, or a labelled set of flows.

    Parameters
    ----------
    path
        A table ``start,end,class`` and perhaps ``attackers,victims,name,scale``, other
        columns being ignored; times are ISO 8601 (UTC unless they say otherwise) or
        epoch seconds. Or a file of a labelled set (`entropy_ids.collector.datasets`):
        stretches of attacks become labels without addresses.

    Raises
    ------
    InputError
        When the file cannot be read as either; it names the line.
    """
    try:
        with path.open("rb") as file:
            begins = file.read(1)
        if labelled(path):
            return _from_set(path)
        if begins == b"#":
            raise InputError(
                f"{path}: expected labels.csv or a labelled log, found a log without "
                "the columns label and detailed-label; give a file that has labels"
            )
        return list(_from_csv(path))
    except OSError as err:
        raise InputError(
            f"{path}: expected a readable file of labels, found: {err.strerror}"
        ) from err
    except (csv.Error, UnicodeDecodeError, pl.exceptions.PolarsError) as err:
        raise InputError(
            f"{path}: expected a table of labels (start,end,class), found: {err}"
        ) from err


def _from_csv(path: Path) -> Iterator[Label]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        found = [str(name).strip() for name in rows.fieldnames or ()]
        if not set(_REQUIRED) <= set(found):
            raise InputError(
                f"{path}:{max(rows.line_num, 1)}: expected a header that names "
                f"{', '.join(_REQUIRED)}, found {','.join(found)!r}; add one"
            )
        rows.fieldnames = found
        for row in rows:
            label = _label(row, f"{path}:{rows.line_num}")
            if label.class_name != NORMAL:
                yield label


def _label(row: Mapping[str, str | None], where: str) -> Label:
    texts = {name: (row.get(name) or "").strip() for name in row if name}
    start, end = (_seconds(texts[name], f"{where}: {name}") for name in _REQUIRED[:2])
    if end < start:
        raise InputError(
            f"{where}: expected an end after the start, found {texts['end']} after "
            f"{texts['start']}; change them round"
        )
    if not texts["class"]:
        raise InputError(f"{where}: expected a class, found none; name one")
    return Label(
        start,
        end,
        texts["class"],
        _addresses(texts.get("attackers", ""), f"{where}: attackers"),
        _addresses(texts.get("victims", ""), f"{where}: victims"),
        texts.get("name", ""),
        _scale(texts.get("scale") or "1", f"{where}: scale"),
    )


def _seconds(text: str, where: str) -> float:
    """Read a time as epoch seconds."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
            seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
        except (ValueError, OverflowError):
            seconds = math.nan
    if not math.isfinite(seconds):
        raise InputError(
            f"{where}: expected a UTC time such as 2026-03-09T10:15:00Z or epoch "
            f"seconds, found {text!r}"
        )
    return seconds


def _scale(text: str, where: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not 0 < scale < math.inf:
        raise InputError(f"{where}: expected a number above 0, found {text!r}")
    return scale


def _addresses(text: str, where: str) -> tuple[str, ...]:
    """Read addresses and networks, each in its one spelling."""
    found = []
    for word in text.split():
        try:
            network = ipaddress.ip_network(word, strict=False)
        except ValueError as err:
            raise InputError(
                f"{where}: expected addresses or networks such as 10.0.0.0/8, "
                f"separated by spaces, found {word!r}"
            ) from err
        alone = network.prefixlen == network.max_prefixlen
        found.append(str(network.network_address if alone else network))
    return tuple(found)


def _from_set(path: Path) -> list[Label]:
    """Make labels of the stretches of attacks in a labelled set, class by class."""
    columns = ("label", "ts", "duration")
    rows = pl.concat(part.flows.frame.select(columns) for part in read(path))
    return _stretches(rows.filter(pl.col("label") != NORMAL))


def _stretches(rows: pl.DataFrame) -> list[Label]:
    ends = pl.DataFrame({"class": rows["label"], "end": end_us(rows) / 1e6})
    ends = ends.sort("class", "end")
    parted = (pl.col("end").diff() > _JOIN_S) | pl.col("class").ne_missing(
        pl.col("class").shift()
    )
    spans = ends.group_by("class", run=parted.cum_sum()).agg(
        start=pl.col("end").min(), stop=pl.col("end").max()
    )
    found = spans.sort("start", "stop", "class").select("start", "stop", "class")
    return [Label(*row) for row in found.rows()]
