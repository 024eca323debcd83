"""What an evaluation says, and its figures as plain values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from entropy_ids.alarms.incidents import iso
from entropy_ids.evaluate.compare import Asked, Compared
from entropy_ids.evaluate.deployed import Deployed, Outcome, Tally, tally
from entropy_ids.evaluate.judged_flows import JudgedFlows
from entropy_ids.evaluate.labels import Label
from entropy_ids.evaluate.truth import Truth

DIGITS = 6

Key = Callable[[Label], str]


def by_class(label: Label) -> str:
    """Give a label's class."""
    return label.class_name


def by_scale(label: Label) -> str:
    """Give a label's scale, as text."""
    return f"{label.scale:g}"


def scales(labels: Iterable[Label]) -> list[str]:
    """Give the scales of labels, the largest first."""
    return [f"{s:g}" for s in sorted({label.scale for label in labels}, reverse=True)]


@dataclass(frozen=True)
class Evaluated:
    """One profile on the logs.

    Attributes
    ----------
    compared
        Methods at equal false alarms, the profile itself first.
    left_out
        Methods that could not be tried, and why.
    detector
        What the profile scores minutes by.
    took_s
        Seconds that its training took; None where that is not known.
    size_bytes
        Of its weights.
    """

    name: str
    hash: str
    truth: Truth
    deployed: Deployed
    compared: list[Compared]
    left_out: dict[str, str]
    detector: str = ""
    took_s: float | None = None
    size_bytes: int = 0

    @property
    def attacks(self) -> list[Outcome]:
        """What became of what should be found."""
        return [o for o in self.deployed.outcomes if o.label.counts]

    @property
    def listed(self) -> list[Outcome]:
        """What became of labels that are neither to be found nor false."""
        return [o for o in self.deployed.outcomes if not o.label.counts]

    def recall(self, row: Compared, key: Key) -> dict[str, tuple[int, int]]:
        """Give the attacks found and in all that a method was shown, by kind."""
        kinds = [key(attack.label) for attack in self.truth.attacks]
        return {
            kind: (
                sum(f for k, f in zip(kinds, row.found, strict=True) if k == kind),
                kinds.count(kind),
            )
            for kind in sorted(set(kinds))
        }


@dataclass(frozen=True)
class Evaluation:
    """All profiles on the same logs and labels; ``first`` and ``last`` minute read.

    Attributes
    ----------
    profiles
        Held against the labels of minutes; empty where ``remark`` says why not.
    flows
        By profile, what is said of single flows.
    """

    first: int
    last: int
    asked: Asked
    profiles: list[Evaluated]
    flows: Mapping[str, JudgedFlows] = field(default_factory=dict)
    remark: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Give all figures as plain values, to six digits, for JSON."""
        figures = {
            "logs": {"first": iso(self.first), "last": iso(self.last)},
            "asked": dataclasses.asdict(self.asked),
            "profiles": {one.name: _figures(one) for one in self.profiles},
            "flows": {name: one.as_dict() for name, one in self.flows.items()},
            "remark": self.remark,
        }
        rounded: dict[str, Any] = _plain(figures)
        return rounded


def tallies(outcomes: Sequence[Outcome], key: Key) -> dict[str, Tally]:
    """Add outcomes up by kind."""
    kinds = sorted({key(o.label) for o in outcomes})
    return {k: tally([o for o in outcomes if key(o.label) == k]) for k in kinds}


def _figures(one: Evaluated) -> dict[str, Any]:
    deployed = one.deployed
    return {
        "hash": one.hash,
        "detector": one.detector,
        "training_s": one.took_s,
        "weights_bytes": one.size_bytes,
        "threshold": deployed.threshold,
        "normal_days": deployed.days,
        "false_incidents": deployed.false_incidents,
        "false_per_day": deployed.false_per_day,
        "all": tally(one.attacks),
        "by_class": tallies(one.attacks, by_class),
        "by_scale": tallies(one.attacks, by_scale),
        "listed": tallies(one.listed, by_class),
        "confusion": deployed.confusion,
        "methods": {row.method: _method(one, row) for row in one.compared},
        "left_out": one.left_out,
        "labels": [_label(outcome) for outcome in deployed.outcomes],
    }


def _method(one: Evaluated, row: Compared) -> dict[str, Any]:
    return {
        "threshold": row.threshold,
        "false_incidents": row.false_incidents,
        "found": sum(row.found),
        "attacks": len(row.found),
        "by_class": one.recall(row, by_class),
        "by_scale": one.recall(row, by_scale),
        "roc_auc": row.roc_auc,
        "average_precision": row.average_precision,
    }


def _label(outcome: Outcome) -> dict[str, Any]:
    told = {f.name: getattr(outcome, f.name) for f in dataclasses.fields(outcome)}
    label = told.pop("label")
    told["first"] = None if outcome.first is None else iso(outcome.first)
    about = {"class": label.class_name, "name": label.name, "scale": label.scale}
    return {"start": iso(int(label.start)), **about, **told}


def _plain(value: Any) -> Any:
    """Make plain and round; what is no number is null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
