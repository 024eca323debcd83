"""Methods at equal false alarms: each at the threshold that costs the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from entropy_ids.errors import InputError
from entropy_ids.evaluate.measures import Estimate, Floats, threshold_for
from entropy_ids.evaluate.truth import Truth

Shown = TypeVar("Shown")


@dataclass(frozen=True)
class Asked:
    """How to evaluate.

    Parameters
    ----------
    false_per_day
        False incidents a day at which methods are compared.
    seed
        Of the bootstrap, and of methods that draw.
    quiet_minutes
        Minutes without an anomaly that part two incidents.
    rivals
        Compare the profile with other methods.
    variants
        Also train the detector anew on less, minutes each.
    baselines
        Compare a classifier of flows with simpler ones.
    learning
        Also train anew on ever more of the training, minutes each.
    """

    false_per_day: float = 1.0
    seed: int = 1
    quiet_minutes: int = 5
    rivals: bool = True
    variants: bool = False
    baselines: bool = False
    learning: bool = False


@dataclass(frozen=True)
class Compared:
    """What a method finds at the budget of false incidents.

    Attributes
    ----------
    threshold, false_incidents
        The lowest threshold within the budget, and what it costs.
    found
        For each attack of the truth, whether its minutes reach above it.
    roc_auc, average_precision
        Over minutes, whatever the threshold; None without attacks.
    """

    method: str
    scores: Floats
    threshold: float
    false_incidents: int
    found: tuple[bool, ...]
    roc_auc: Estimate | None
    average_precision: Estimate | None


def compare(
    bench: Shown,
    truth: Truth,
    methods: Mapping[str, Callable[[Shown], Floats]],
    asked: Asked,
    done: Callable[[], None],
) -> tuple[list[Compared], dict[str, str]]:
    """Let methods score the same minutes, and hold them against the labels.

    Parameters
    ----------
    bench
        What each method is given.

    Returns
    -------
    tuple
        A row for each method; and those that could not be tried, with the reason.
    """
    most = int(asked.false_per_day * truth.days)
    rows, left_out = [], {}
    for name, method in methods.items():
        try:
            scores = method(bench)
        except InputError as problem:
            left_out[name] = str(problem)
        else:
            rows.append(compared(name, scores, truth, most, asked.quiet_minutes))
        done()
    return rows, left_out


def compared(
    name: str, scores: Floats, truth: Truth, most: int, quiet_minutes: int
) -> Compared:
    """Hold one method's scores against the labels."""
    threshold, false = threshold_for(
        truth.minutes[truth.normal], scores[truth.normal], most, quiet_minutes
    )
    found = tuple((truth.highest(scores) > threshold).tolist())
    areas = truth.areas(scores) or (None, None)
    return Compared(name, scores, threshold, false, found, *areas)
