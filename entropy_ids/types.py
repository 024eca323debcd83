"""The nouns that pass between stages; what is done with them is the stages' business.

All times are UTC. A *minute* is its first second as epoch seconds, a multiple of 60.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd
import polars as pl

MINUTE_S = 60
DAY_MINUTES = 1440
DIRECTIONS = ("all", "inbound", "outbound", "internal")
"""Whole site first; then as seen from the site's local networks."""

Coverage = Literal["complete", "lossy", "flush", "partial", "silent"]
"""What is known of a minute: all of it; all but many bytes that Zeek missed; a stop of
Zeek; a part; nothing. The first two are scored, the first alone is trained on."""
Sign = Literal["concentrated", "dispersed", "low", "high"]
"""Entropies are concentrated or dispersed; sizes (flows, fan-out ...) low or high."""


@dataclass(frozen=True)
class FlowBatch:
    """Connections of one log file, in file order.

    Attributes
    ----------
    frame
        One row per connection, columns named and typed as in
        `entropy_ids.collector.schema.CONN` (null is Zeek's unset), and ``line``, the
        line in the file.
    path
        The file that the rows were read from.
    """

    frame: pl.DataFrame
    path: str = ""

    def __len__(self) -> int:
        return self.frame.height

    def to_pandas(self) -> pd.DataFrame:
        """Give the rows as a pandas table; times keep their microseconds."""
        return self.frame.to_pandas()


@dataclass(frozen=True)
class BadRow:
    """A row that was not counted, and why."""

    file: str
    line: int
    reason: str
    detail: str


@dataclass(frozen=True)
class Quality:
    """A remark about the data itself, kept apart from attacks."""

    kind: str
    minute: int
    detail: str


@dataclass(frozen=True)
class Minutes:
    """Closed minutes of one sensor, as integer counts.

    Attributes
    ----------
    index
        Columns ``minute``, ``coverage``, ``flows`` and ``epoch`` (grows when the clock
        is anchored anew), one row per minute in closing order.
    tables
        Count tables by name (`entropy_ids.features.counting.TABLES`).
    rows
        ``minute`` and the columns that flow models may look at, by stream and in file
        order: of each stream and minute the first 200,000, to be named by. Rows of
        labelled data sets have ``label`` and ``detail`` besides.
    """

    index: pl.DataFrame
    tables: Mapping[str, pl.DataFrame]
    rows: pl.DataFrame


@dataclass(frozen=True)
class EntropySeries:
    """Minutes × columns: what the detectors learn and score.

    Attributes
    ----------
    values
        float64, indexed by ``minute`` (UTC); NaN is unknown, 0 is measured zero. The
        units of the columns are in ``values.attrs["units"]``.
    coverage
        A `Coverage`, on the same index.
    flows
        Connections counted in the minute, on the same index.
    epoch
        Grows by one where the log clock was anchored anew; sequences never cross it.
    """

    values: pd.DataFrame
    coverage: pd.Series[str]
    flows: pd.Series[int]
    epoch: pd.Series[int]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def complete(self) -> pd.Series[bool]:
        """True where a minute may be trained on."""
        return self.coverage == "complete"

    @property
    def scorable(self) -> pd.Series[bool]:
        """True where a minute may be scored: an attack may be why packets were lost."""
        return self.coverage.isin(["complete", "lossy"])

    def tail(self, minutes: int) -> EntropySeries:
        """Give the last ``minutes`` minutes."""
        start = max(0, len(self) - minutes)
        return self.slice(start, len(self))

    def slice(self, start: int, stop: int) -> EntropySeries:
        """Give the minutes ``start`` to ``stop - 1`` by position."""
        return EntropySeries(
            self.values.iloc[start:stop],
            self.coverage.iloc[start:stop],
            self.flows.iloc[start:stop],
            self.epoch.iloc[start:stop],
        )

    def frame(self) -> pl.DataFrame:
        """Give ``minute``, ``coverage``, ``flows``, ``epoch`` and the columns."""
        minutes = pd.DatetimeIndex(self.values.index).as_unit("s").asi8
        head = {"coverage": self.coverage, "flows": self.flows, "epoch": self.epoch}
        columns = pd.concat([pd.DataFrame(head), self.values], axis=1)
        return pl.DataFrame(
            {"minute": minutes} | {str(n): c.to_numpy() for n, c in columns.items()}
        )

    @staticmethod
    def concat(parts: list[EntropySeries]) -> EntropySeries:
        """Join series that follow one another."""
        if len(parts) == 1:
            return parts[0]
        return EntropySeries(
            pd.concat([part.values for part in parts]),
            pd.concat([part.coverage for part in parts]),
            pd.concat([part.flows for part in parts]),
            pd.concat([part.epoch for part in parts]),
        )


@dataclass(frozen=True)
class Scores:
    """What a series detector says of minutes; higher is stranger.

    Attributes
    ----------
    score
        float64 by minute; NaN while warming up and where the minute may not be scored.
    shares
        Minutes × columns: the part of the score that each column carries, adding up to
        1 in a scored minute.
    """

    score: pd.Series[float]
    shares: pd.DataFrame


@dataclass(frozen=True)
class Removed:
    """A value whose connections are left out, with its shares of the whole minute."""

    value: str
    flows: int
    share: float
    usual_share: float


@dataclass(frozen=True)
class Removal:
    """The fewest values without which a column would lie inside its bounds.

    Attributes
    ----------
    feature
        What they are values of: ``orig_h``, ``resp_h``, ``resp_p`` or ``service``.
    values
        In the order in which they were taken.
    r
        Where the column would lie without their connections; None when too few would
        be left to measure it.
    """

    feature: str
    values: tuple[Removed, ...]
    r: float | None


@dataclass(frozen=True)
class Deviation:
    """One column of one minute outside its bounds.

    ``removal`` is None where no few values bring it back.
    """

    feature: str
    direction: str
    entropy: str
    alpha: float | None
    value: float
    low: float
    high: float
    r: float
    sign: Sign
    removal: Removal | None = None


@dataclass(frozen=True)
class Contributor:
    """A value (address, port, service ...) that a minute has more of than usual.

    ``explains`` names the columns that its removal, perhaps with others', brings back
    inside their bounds.
    """

    feature: str
    direction: str
    value: str
    flows: int
    share: float
    usual_share: float
    explains: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """A minute above the threshold, judged.

    ``signs`` maps (feature, direction) to its one sign; ``community_ids`` has one for
    each of ``uids``.
    """

    minute: int
    score: float
    threshold: float
    flows: int
    deviations: tuple[Deviation, ...]
    signs: Mapping[tuple[str, str], Sign]
    class_name: str
    technique: tuple[str, ...]
    contributors: tuple[Contributor, ...] = ()
    uids: tuple[str, ...] = ()
    community_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Alarm:
    """One revision of an incident: one line of ``alarms.jsonl``."""

    id: str
    revision: int
    state: Literal["open", "update", "closed"]
    sensor: str
    class_name: str
    severity: str
    confidence: float
    start: int
    end: int
    detector: str
    score: float
    threshold: float
    deviations: tuple[Deviation, ...]
    contributors: tuple[Contributor, ...]
    uids: tuple[str, ...]
    flows: int
    profile: Mapping[str, str]
    technique: tuple[str, ...]
    summary: str
    schema: int = 1
    suppressed_by: str | None = None
    community_ids: tuple[str, ...] = ()


@dataclass
class Account:
    """Rows read, and what became of them; nothing is lost silently."""

    rows: int = 0
    counted: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    outside: int = 0

    def refuse(self, reason: str, rows: int = 1) -> None:
        """Count rows that were quarantined for one reason."""
        self.quarantined[reason] = self.quarantined.get(reason, 0) + rows

    @property
    def balanced(self) -> bool:
        """True when every row read was counted, outside the range or quarantined."""
        return self.rows == self.counted + self.outside + sum(self.quarantined.values())

    def as_dict(self) -> dict[str, Any]:
        """Give the figures as plain values."""
        return {
            "rows": self.rows,
            "counted": self.counted,
            "outside_range": self.outside,
            "quarantined": dict(sorted(self.quarantined.items())),
        }
