"""What a detector should find, and when: labels, and the file that lists them."""

import csv
import datetime as dt
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Label:
    """One attack, and which rows are its own.

    Attributes
    ----------
    start, end
        Epoch seconds: no row of the attack begins before or after.
    attack_class
        As alarms spell it, or ``beacon`` or ``backscatter``.
    attackers, victims
        Addresses, or networks in CIDR notation. The rows of the attack are those
        between an attacker and a victim, either way round: amplification and
        backscatter are logged the other way.
    name
        Which generator or capture it came from.
    scale
        Its strength against the usual: share of a capture's connections that were
        kept, or factor on a generated attack's rate.
    """

    start: float
    end: float
    attack_class: str
    attackers: tuple[str, ...]
    victims: tuple[str, ...]
    name: str = ""
    scale: float = 1.0


def write_labels(out: Path, labels: Iterable[Label]) -> None:
    """Write ``out/labels.csv``, in order of start.

    Times are ISO 8601 UTC in whole seconds, outward of the attack; hosts are separated
    by spaces.

    Examples
    --------
    >>> import tempfile
    >>> label = Label(1772793000.5, 1772793060.5, "dos", ("198.19.0.1",), ("10.0.0.1",))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_labels(Path(folder), [label])
    ...     print((Path(folder) / "labels.csv").read_text(), end="")
    start,end,class,attackers,victims,name,scale
    2026-03-06T10:30:00Z,2026-03-06T10:31:01Z,dos,198.19.0.1,10.0.0.1,,1
    """
    with (out / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow("start end class attackers victims name scale".split())
        for label in sorted(labels, key=lambda label: label.start):
            table.writerow(
                [
                    _utc(math.floor(label.start)),
                    _utc(math.ceil(label.end)),
                    label.attack_class,
                    " ".join(label.attackers),
                    " ".join(label.victims),
                    label.name,
                    f"{label.scale:g}",
                ]
            )


def _utc(epoch_s: int) -> str:
    return f"{dt.datetime.fromtimestamp(epoch_s, dt.UTC):%FT%TZ}"
