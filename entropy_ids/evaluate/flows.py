"""Labels of flows: which class each connection of the logs belongs to."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import polars as pl

from entropy_ids.detectors.flows import LABEL, NORMAL
from entropy_ids.errors import InputError
from entropy_ids.evaluate.labels import Label
from entropy_ids.evaluate.sightings import SLACK_S, matches, minutes_of
from entropy_ids.types import Minutes

_BENIGN = frozenset({"flash-crowd", "backscatter"})


def with_labels(
    rows: pl.DataFrame, labels: Sequence[Label], matched: set[Label] | None = None
) -> pl.DataFrame:
    """Give rows their `LABEL`.

    Parameters
    ----------
    rows
        In any order; those of a data set keep the labels that they have.
    labels
        A row that began within a label, between its attackers and victims, is of its
        class; of several the last counts. Labels without addresses name no row. Flash
        crowds and backscatter are `NORMAL`, as is all else.
    matched
        Gets the labels that some row is of.
    """
    if LABEL not in rows.columns:
        rows = rows.with_columns(pl.lit(None, pl.String).alias(LABEL))
    found = rows[LABEL]
    began = rows["ts"].dt.epoch("ms") / 1e3
    for label in labels:
        within = began.is_between(label.start - SLACK_S, label.end + SLACK_S)
        if not (label.attackers + label.victims) or not within.any():
            continue
        here = within & matches(rows, label) & rows[LABEL].is_null()
        name = NORMAL if label.class_name in _BENIGN else label.class_name
        found = found.set(here, name)
        if matched is not None and here.any():
            matched.add(label)
    return rows.with_columns(found.fill_null(NORMAL))


def without(
    rows: pl.DataFrame, classes: Collection[str], *, supervised: bool
) -> pl.DataFrame:
    """Mark the labelled rows that a flow model is to learn.

    Parameters
    ----------
    classes
        To be left out; when empty, a supervised model learns all, any other none.
    supervised
        Rows to be left out have no label then: they are only seen beside others.
        For any other model the rows that are not to be left out are `NORMAL`.
    """
    if not classes:
        return rows
    here = pl.col(LABEL).is_in(list(classes))
    kept, other = (~here, None) if supervised else (here, NORMAL)
    label: pl.Expr = pl.when(kept).then(LABEL).otherwise(pl.lit(other, pl.String))
    return rows.with_columns(label.alias(LABEL))


class Lessons:
    """What labels say of the logs of a training, and which of them were met there.

    Parameters
    ----------
    labels
        What happened.
    classes
        Only labels of these classes leave minutes out; all when empty.

    Raises
    ------
    InputError
        When no label is of one of the classes.
    """

    def __init__(self, labels: Sequence[Label], classes: Sequence[str] = ()) -> None:
        known = {label.class_name for label in labels}
        for name in classes:
            if name not in known:
                raise InputError(
                    f"--leave-out: expected a class of the labels "
                    f"({', '.join(sorted(known)) or 'there are none'}), found {name!r}"
                )
        self._labels, self._classes = labels, classes
        self.met: set[Label] = set()

    def shaded(self, minutes: Minutes) -> set[int]:
        """Tell the minutes that count rows of what is to be left out."""
        found: set[int] = set()
        for label in self._labels:
            if not self._classes or label.class_name in self._classes:
                here = minutes_of(label, minutes)
                found.update(here)
                self.met |= {label} if here else set()
        return found

    def labelled(self, rows: pl.DataFrame, *, supervised: bool) -> pl.DataFrame:
        """Label the rows that a flow model is to learn; see `without`."""
        rows = with_labels(rows, self._labels, self.met)
        return without(rows, self._classes, supervised=supervised)

    def check(self) -> None:
        """Refuse labels of which nothing was met.

        Raises
        ------
        InputError
            When there are labels, and the logs have rows of none.
        """
        if self._labels and not self.met:
            raise InputError(
                f"--labels: expected rows of some of the {len(self._labels)} labels in "
                "these logs, found none; check their times (UTC) and addresses"
            )
