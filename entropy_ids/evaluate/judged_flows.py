"""What flow models say of single flows, held against the flows' own labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from rich.box import SIMPLE
from rich.table import Table

from entropy_ids.alarms.incidents import iso
from entropy_ids.alarms.sinks import sanitize
from entropy_ids.detectors.attention_multi_flow import AttentionMultiFlow
from entropy_ids.detectors.flows import LABEL, NORMAL, FlowModel
from entropy_ids.detectors.sentences import dyad_hours
from entropy_ids.errors import InputError
from entropy_ids.evaluate.baselines import BASELINES
from entropy_ids.evaluate.flow_table import (
    FlowFigures,
    figures,
    methods,
    published,
    table_of,
)
from entropy_ids.evaluate.measures import Bools, Floats, Ranking
from entropy_ids.profile.store import Profile


@dataclass(frozen=True)
class Areas:
    """How well scores set attacks apart from what is normal.

    Attributes
    ----------
    of
        Units that were scored (flows, or dyads and hours), and how many are attacks.
    """

    of: int
    attacks: int
    roc_auc: float
    average_precision: float


@dataclass(frozen=True)
class JudgedFlows:
    """A flow model held against labelled flows.

    Attributes
    ----------
    per_flow
        Each flow by its score; None without both kinds of flows.
    per_dyad_hour
        Each address pair and hour by its highest score, as Radford et al. have it.
    classes
        Of a classifier: the class it gave, held against the label.
    baselines
        Other classifiers on the same flows, and their seconds of training.
    """

    per_flow: Areas | None
    per_dyad_hour: Areas | None
    classes: FlowFigures | None = None
    baselines: dict[str, tuple[FlowFigures, float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        told = {name: found.as_dict() for name, (found, _) in self.baselines.items()}
        return {
            "per_flow": self.per_flow,
            "per_dyad_hour": self.per_dyad_hour,
            "classes": self.classes and self.classes.as_dict(),
            "baselines": told,
            "baselines_training_s": {n: s for n, (_, s) in self.baselines.items()},
        }

    def tables(self, name: str) -> Iterator[Table]:
        """Show the classes that a profile of that name gave, and other classifiers."""
        if self.classes:
            yield table_of(self.classes, name)
            yield published()
        if self.classes and self.baselines:
            yield methods({name: (self.classes, np.nan), **self.baselines})


def by_minute(minutes: pl.Series, scores: Floats, flows: pl.DataFrame) -> JudgedFlows:
    """Let each flow have the score of its minute.

    Parameters
    ----------
    minutes
        Epoch seconds.
    flows
        With ``minute`` and `LABEL`.
    """
    table = pl.DataFrame({"minute": minutes.cast(pl.Int64), "score": scores})
    told = table.unique("minute", keep="last", maintain_order=True)
    joined = flows.select("minute").join(
        told, on="minute", how="left", maintain_order="left"
    )
    return _judged(flows, joined["score"].fill_null(np.nan).to_numpy())


def judged(
    model: FlowModel, profile: Profile, flows: pl.DataFrame, seed: int, baselines: bool
) -> JudgedFlows:
    """Let a flow model judge labelled flows.

    Parameters
    ----------
    flows
        In their order, with ``minute`` and `LABEL`. Those of the minutes that the
        profile was trained on are left out of the figures; baselines learn from them.
    seed
        Of the baselines.

    Raises
    ------
    InputError
        When baselines are asked for, and there are no flows of the training.
    """
    last = datetime.fromisoformat(profile.manifest["range"]["last"]).timestamp()
    trained, test = (flows.filter(part) for part in _parts(last))
    labels = test[LABEL]
    if not isinstance(model, AttentionMultiFlow):
        return _judged(test, model.score(test, {}))
    probabilities = model.probabilities(test, {})
    scores = probabilities[:, 1:].sum(axis=1)
    given = np.array(model.classes, object)[probabilities.argmax(axis=1)].tolist()
    told = figures(labels, given, model.classes, scores)
    others: dict[str, tuple[FlowFigures, float]] = {}
    for name, method in BASELINES.items() if baselines else ():
        _check(trained, last)
        found = method(trained, test, seed)
        others[name] = found.held_against(labels), found.training_s
    areas = _judged(test, scores)
    return JudgedFlows(areas.per_flow, areas.per_dyad_hour, told, others)


def _parts(last: float) -> tuple[pl.Expr, pl.Expr]:
    return pl.col("minute") <= last, pl.col("minute") > last


def _check(trained: pl.DataFrame, last: float) -> None:
    if trained.is_empty():
        raise InputError(
            "--baselines: expected the flows of the training among the logs, to learn "
            f"from, found none up to {iso(int(last))}; give "
            "those logs too, and leave --from out"
        )


def _judged(flows: pl.DataFrame, scores: Floats) -> JudgedFlows:
    hours = dyad_hours(flows, scores).drop_nulls("score")
    return JudgedFlows(
        _areas((flows[LABEL] != NORMAL).to_numpy(), scores),
        _areas(hours["attack"].to_numpy(), hours["score"].to_numpy()),
    )


def _areas(attack: Bools, scores: Floats) -> Areas | None:
    known = ~np.isnan(scores)
    attack, scores = attack[known], scores[known]
    if not attack.any() or attack.all():
        return None
    ranking = Ranking(attack, scores)
    return Areas(
        len(attack), int(attack.sum()), ranking.roc_auc(), ranking.average_precision()
    )


def areas_of(profiles: Mapping[str, JudgedFlows]) -> Table:
    """Show how well profiles set attacks apart, flow by flow and pair by pair."""
    table = Table(
        title="single flows, and pairs of addresses by the hour (their highest score)",
        title_justify="left",
        caption="a series detector says of a flow what it says of its minute",
        caption_justify="left",
        box=SIMPLE,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("profile", no_wrap=True)
    table.add_column("scored")
    for head in ("number", "attacks", "ROC AUC", "avg. prec."):
        table.add_column(head, justify="right")
    for name, one in profiles.items():
        table.add_row(sanitize(name), "flows", *_cells(one.per_flow))
        table.add_row("", "pairs × hours", *_cells(one.per_dyad_hour))
    return table


def _cells(areas: Areas | None) -> tuple[str, ...]:
    if areas is None:
        return ("-",) * 4
    shares = (f"{x:.3f}" for x in (areas.roc_auc, areas.average_precision))
    return f"{areas.of:,}", f"{areas.attacks:,}", *shares
