"""Classes of flows, held against their labels: figures per class, as in Zhu et al.

Flows without a label are counted and left out. Flows of a class that the model never
saw are listed apart: they cannot be named rightly, but may be told from normal ones.
They count in the precision of what they were taken for and, as wrong, in the accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.table import Table

from entropy_ids.alarms.sinks import sanitize
from entropy_ids.detectors.flows import NORMAL
from entropy_ids.evaluate.measures import Ranking


@dataclass(frozen=True)
class ClassFigures:
    """How well one class was told, or a mean over classes.

    Attributes
    ----------
    precision
        Of the flows given this class, the share that has it; 0 when none was given.
    recall
        Of the flows that have it, the share that was given it.
    f1
        Harmonic mean of both, 0 when both are 0.
    flows
        Flows that have it.
    """

    name: str
    precision: float
    recall: float
    f1: float
    flows: int


PUBLISHED = (
    ClassFigures("Normal", 0.98, 0.91, 0.94, 348_631),
    ClassFigures("DDoS", 0.83, 0.98, 0.90, 25_606),
    ClassFigures("PortScan", 0.82, 0.99, 0.90, 31_786),
    ClassFigures("Bot", 0.05, 0.75, 0.10, 394),
    ClassFigures("Infiltration", 0.00, 0.75, 0.01, 8),
    ClassFigures("Web attack", 0.04, 0.81, 0.07, 436),
    ClassFigures("Patator", 0.38, 0.53, 0.44, 2_767),
    ClassFigures("DoS", 0.87, 0.88, 0.87, 50_532),
)
"""Table 1 of Zhu et al. 2018 (doi 10.1007/978-3-030-05677-3_13), on CICIDS2017: the
paper's own figures, measured by its authors."""


@dataclass(frozen=True)
class Unseen:
    """Flows of a class that the model was not taught.

    Attributes
    ----------
    attacks
        How many were given any class but normal.
    taken_for
        Flows by the class that they were given, the most frequent first.
    """

    name: str
    flows: int
    attacks: int
    taken_for: dict[str, int]


@dataclass(frozen=True)
class FlowFigures:
    """How well flows were told.

    Attributes
    ----------
    classes
        Of each class that the model knows and the labels have.
    macro, weighted
        Plain mean over ``classes``, and the mean weighted by flows.
    accuracy
        Share of labelled flows that were given their class.
    false_alarms
        Normal flows that were given another class.
    unseen
        Classes that the labels have and the model does not know.
    unlabelled
        Flows without a label, left out.
    roc_auc, average_precision
        Of the scores, attack against normal; None without scores or one of both.
    """

    classes: tuple[ClassFigures, ...]
    macro: ClassFigures
    weighted: ClassFigures
    accuracy: float
    false_alarms: int
    unseen: tuple[Unseen, ...]
    unlabelled: int
    roc_auc: float | None
    average_precision: float | None

    def as_dict(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        return asdict(self)


def figures(
    labels: pl.Series,
    given: Sequence[str],
    known: Sequence[str],
    scores: NDArray[np.float64] | None = None,
) -> FlowFigures:
    """Hold the classes given to flows against their labels.

    Parameters
    ----------
    labels
        The true class of each flow, null where there is none.
    given
        The class that the model gave to each.
    known
        The classes that the model knows.
    scores
        Of each flow, higher is stranger.

    Examples
    --------
    >>> labels = pl.Series(["normal", "normal", "dos", "bot", None])
    >>> given = ["normal", "dos", "dos", "dos", "dos"]
    >>> found = figures(labels, given, known=["normal", "dos"])
    >>> [(one.name, round(one.precision, 2), one.recall) for one in found.classes]
    [('normal', 1.0, 0.5), ('dos', 0.33, 1.0)]
    >>> found.accuracy, found.unseen[0].taken_for, found.unlabelled
    (0.5, {'dos': 1}, 1)
    """
    table = pl.DataFrame({"true": labels, "given": pl.Series(given, dtype=pl.String)})
    table = table.with_columns(pl.col("true").cast(pl.String)).drop_nulls("true")
    there = set(table["true"])
    classes = tuple(_of_class(table, name) for name in known if name in there)
    unseen = tuple(_unseen(table, name) for name in sorted(there - set(known)))
    normal = table.filter(pl.col("true") == NORMAL)
    areas = _areas(labels, scores)
    return FlowFigures(
        classes,
        *means(classes),
        table.filter(pl.col("true") == pl.col("given")).height / max(1, table.height),
        normal.filter(pl.col("given") != NORMAL).height,
        unseen,
        len(labels) - table.height,
        *areas,
    )


def _of_class(table: pl.DataFrame, name: str) -> ClassFigures:
    has, got = table["true"] == name, table["given"] == name
    flows, given, right = int(has.sum()), int(got.sum()), int((has & got).sum())
    precision, recall = right / max(1, given), right / max(1, flows)
    f1 = 2 * right / max(1, given + flows)
    return ClassFigures(name, precision, recall, f1, flows)


def _unseen(table: pl.DataFrame, name: str) -> Unseen:
    own = table.filter(pl.col("true") == name)
    counts = own.group_by("given").len().sort("len", "given", descending=[True, False])
    taken_for = dict(counts.iter_rows())
    return Unseen(name, own.height, own.height - taken_for.get(NORMAL, 0), taken_for)


def means(classes: Sequence[ClassFigures]) -> tuple[ClassFigures, ClassFigures]:
    """Give the plain mean over classes, and the mean weighted by flows."""
    flows = [one.flows for one in classes]
    return (
        _mean("macro mean", classes, [1] * len(classes)),
        _mean("weighted mean", classes, flows),
    )


def _mean(
    name: str, classes: Sequence[ClassFigures], weights: Sequence[int]
) -> ClassFigures:
    rows = [(one.precision, one.recall, one.f1) for one in classes]
    mean = np.average(rows, axis=0, weights=weights) if rows else np.zeros(3)
    precision, recall, f1 = mean.tolist()
    return ClassFigures(name, precision, recall, f1, sum(one.flows for one in classes))


def _areas(
    labels: pl.Series, scores: NDArray[np.float64] | None
) -> tuple[float | None, float | None]:
    """Give ROC AUC and average precision of attack against normal."""
    labelled = labels.is_not_null().to_numpy()
    attack = (labels.drop_nulls() != NORMAL).to_numpy()
    if scores is None or attack.all() or not attack.any():
        return None, None
    ranking = Ranking(attack, scores[labelled])
    return ranking.roc_auc(), ranking.average_precision()


def table_of(found: FlowFigures, name: str) -> Table:
    """Show the figures of one model, class by class.

    Parameters
    ----------
    name
        Of the model, for the title.
    """
    unseen = [
        f"{sanitize(one.name)}: never seen in training, {one.flows} flows, "
        f"{one.attacks} of them not taken for {NORMAL}"
        for one in found.unseen
    ]
    left = [f"{found.unlabelled} flows without a label left out"] * bool(
        found.unlabelled
    )
    table = _table(
        f"{sanitize(name)}: accuracy {found.accuracy:.3f}, {found.false_alarms} normal "
        f"flows given another class",
        ("precision", "recall", "F1", "flows"),
        "\n".join([*unseen, *left]) or None,
    )
    _add(table, found.classes)
    table.add_section()
    _add(table, (found.macro, found.weighted))
    return table


def published() -> Table:
    """Show the paper's own table, marked as such."""
    table = _table(
        "for comparison, the paper's own figures (not measured here)",
        ("precision", "recall", "F1", "flows"),
        "Zhu et al. 2018, Table 1: AMF-LSTM on CICIDS2017; the means follow from it",
    )
    _add(table, PUBLISHED)
    table.add_section()
    _add(table, means(PUBLISHED))
    return table


def methods(rows: Mapping[str, tuple[FlowFigures, float]]) -> Table:
    """Show several methods side by side.

    Parameters
    ----------
    rows
        For each method its figures and the seconds that its training took, NaN when
        they are not known.
    """
    heads = ("accuracy", "macro P", "R", "F1", "false", "ROC AUC", "avg. prec.", "s")
    table = _table("all methods on the same flows", heads, "s: seconds of training")
    for name, (found, training_s) in rows.items():
        mean = found.macro
        table.add_row(
            sanitize(name),
            *(f"{x:.3f}" for x in (found.accuracy, mean.precision, mean.recall)),
            f"{mean.f1:.3f}",
            str(found.false_alarms),
            _area(found.roc_auc),
            _area(found.average_precision),
            "-" if np.isnan(training_s) else f"{training_s:.1f}",
        )
    return table


def _area(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _add(table: Table, classes: Sequence[ClassFigures]) -> None:
    for one in classes:
        shares = (f"{x:.2f}" for x in (one.precision, one.recall, one.f1))
        table.add_row(sanitize(one.name), *shares, f"{one.flows:,}")


def _table(title: str, heads: Sequence[str], caption: str | None) -> Table:
    """Make a table that fits a narrow terminal."""
    table = Table(
        title=title,
        title_justify="left",
        caption=caption,
        caption_justify="left",
        box=SIMPLE,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("class" if "flows" in heads else "method", no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right")
    return table
