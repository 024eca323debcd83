"""What is normal among the minutes of the logs, and what an attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from entropy_ids.errors import InputError
from entropy_ids.evaluate.measures import (
    Bools,
    Estimate,
    Floats,
    Ints,
    Ranking,
    falls,
    hours,
    interval,
    resampled,
)
from entropy_ids.evaluate.sightings import Sighting
from entropy_ids.types import DAY_MINUTES


@dataclass(frozen=True)
class Truth:
    """The minutes that a profile scored, held against the labels.

    Attributes
    ----------
    minutes
        Scored minutes, epoch seconds, as they closed.
    sightings
        All labels.
    seed
        Of the bootstrap.

    Notes
    -----
    Normal is a scored minute that lies in no label, nor in the five minutes after one.
    Labels of `entropy_ids.evaluate.labels.LISTED` classes (benign, or too faint for
    entropies of minutes) take their minutes out, but are no attacks: what is found of
    them is neither false nor part of a recall.
    """

    minutes: Ints
    sightings: Sequence[Sighting]
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.normal.any():
            raise InputError(
                f"expected normal minutes to count false alarms in, found none among "
                f"{len(self.minutes)} scored ones: all lie in or just after a label; "
                "give more logs"
            )

    @cached_property
    def attacks(self) -> list[Sighting]:
        """What should be found."""
        return [s for s in self.sightings if s.label.counts and len(s.minutes)]

    @cached_property
    def normal(self) -> Bools:
        """Which scored minutes are normal."""
        normal = np.ones(len(self.minutes), np.bool_)
        for sighting in self.sightings:
            normal &= ~sighting.shades(self.minutes)
        return normal

    @property
    def days(self) -> float:
        """How long it was normal, in days."""
        return int(self.normal.sum()) / DAY_MINUTES

    def highest(self, scores: Floats) -> Floats:
        """Give each attack's highest score where an alarm would find it."""
        return np.array([scores[at].max(initial=-np.inf) for at in self._finding])

    def recall(self, scores: Floats, quiet_minutes: int) -> tuple[Floats, Floats]:
        """Give rising false incidents a day, and the share of attacks found at each."""
        thresholds, false = falls(
            self.minutes[self.normal], scores[self.normal], quiet_minutes
        )
        found = np.sort(self.highest(scores))
        above = len(found) - np.searchsorted(found, thresholds, side="right")
        return false / self.days, above / max(len(found), 1)

    def ranking(self, scores: Floats) -> Ranking:
        """Rank the normal minutes and those that count an attack's rows."""
        return Ranking(self._block[self._judged] >= 0, scores[self._judged])

    def areas(self, scores: Floats) -> tuple[Estimate, Estimate] | None:
        """Give ROC AUC and average precision over minutes; None without attacks."""
        ranking = self.ranking(scores)
        if not (self._block >= 0).any():
            return None
        return (
            interval(ranking.roc_auc, self._draws),
            interval(ranking.average_precision, self._draws),
        )

    @cached_property
    def _finding(self) -> list[Ints]:
        return [np.flatnonzero(np.isin(self.minutes, a.finding)) for a in self.attacks]

    @cached_property
    def _block(self) -> Ints:
        """Number the attack that each minute counts rows of; -1 for none."""
        block = np.full(len(self.minutes), -1)
        for number, attack in enumerate(self.attacks):
            block[np.isin(self.minutes, attack.minutes) & (block < 0)] = number
        block[block >= 0] = np.unique(block[block >= 0], return_inverse=True)[1]
        return block

    @cached_property
    def _judged(self) -> Bools:
        judged: Bools = self.normal | (self._block >= 0)
        return judged

    @cached_property
    def _draws(self) -> Floats:
        """How often each judged minute is drawn, attack by attack and hour by hour."""
        attack = self._block[self._judged]
        hour = np.where(attack < 0, hours(self.minutes[self._judged]), -1)
        hour[hour >= 0] = np.unique(hour[hour >= 0], return_inverse=True)[1]
        return resampled([attack, hour], self.seed)
