"""A feature: what of a count table a minute has a distribution (or a size) of.

The features themselves stand in tables: `entropy_ids.features.catalog` for conn,
`entropy_ids.features.queries` and `entropy_ids.features.logins` for the logs beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Weight = Literal["flows", "bytes", "sent", "peers", "ports", "tries", "distinct"]
Kind = Literal["distribution", "largest", "volume"]
Key = tuple[str, ...]


class View(NamedTuple):
    """Rows of a count table, summed to a key."""

    table: str
    key: Key
    ports: tuple[int, ...] = ()
    only: Key = ()
    of: Key = ()


@dataclass(frozen=True)
class Feature:
    """Something of connections that a minute has a distribution (or a size) of.

    Attributes
    ----------
    table
        The count table it is seen in.
    key
        The columns whose values are counted.
    weight
        What a value counts for: its flows (rows of its log), its bytes (both ways, or
        those that the originator sent), its distinct peers, its distinct responder
        ports, its tries (passwords), or the distinct values of ``of``.
    kind
        ``distribution`` has entropies; ``largest`` is the weight of the heaviest value;
        ``volume`` the sum of all weights.
    ports
        Only connections to these responder ports count; all when empty.
    only
        A column, and the values of it that count; all when empty.
    of
        The columns, the key's among them, whose distinct values a value counts for.
    """

    name: str
    table: str
    key: Key
    meaning: str
    weight: Weight = "flows"
    kind: Kind = "distribution"
    ports: tuple[int, ...] = ()
    only: Key = ()
    of: Key = ()

    @property
    def view(self) -> View:
        """Where its weights are read off."""
        return View(self.table, self.key, self.ports, self.only, self.of)
