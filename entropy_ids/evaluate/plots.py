"""An evaluation as pictures: PNG files, readable by the colour-blind and in print.

The only module that draws; the plotting library is loaded when it is asked to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from entropy_ids.evaluate.measures import Floats
from entropy_ids.evaluate.results import Evaluated, Evaluation
from entropy_ids.evaluate.truth import Truth
from entropy_ids.types import MINUTE_S

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Line = tuple[str, Truth, Floats]
"""A name, and scores of the minutes of a truth."""
_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_STROKES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
"""Colours after Okabe and Ito; no colour comes twice with the same stroke."""
_SHADES = {True: ("#0072B2", "found"), False: ("#D55E00", "missed")}
_LISTED = ("#999999", "listed only")
_MOST_FALSE = 10.0
_LEAST_RATE = 1e-4
_DAY_S, _HOUR_S = 86_400, 3_600


def draw(evaluation: Evaluation, directory: Path) -> list[Path]:
    """Draw each profile's pictures into a directory, made when it is missing.

    Returns
    -------
    list
        Per profile: recall by false incidents a day, ROC and precision of minutes,
        and the scores over time with the labels shaded; of several profiles the first
        three besides with a line for each.
    """
    directory.mkdir(parents=True, exist_ok=True)
    quiet, made = evaluation.asked.quiet_minutes, []
    for name, figures in [
        *((one.name, _figures(one, quiet)) for one in evaluation.profiles),
        ("detectors", _together(evaluation.profiles, quiet)),
    ]:
        plain = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "profile"
        for kind, figure in figures:
            made.append(directory / f"{plain}-{kind}.png")
            figure.savefig(made[-1], dpi=110)
    return made


def draw_learning(curves: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Draw errors by training size, a line for each detector, into one PNG file.

    Parameters
    ----------
    curves
        By detector, what `entropy_ids.evaluate.learning.learning_curve` gave.
    """
    figure, (axes,) = _new(1, 4)
    for (name, curve), style in zip(curves.items(), _styles(), strict=False):
        axes.plot(curve["minutes"], curve["error"], marker="o", label=name, **style)
    axes.set(title="what more minutes teach", xlabel="minutes trained on")
    axes.set(ylabel="mean square error", xscale="log", ylim=(0, None))
    axes.legend(fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def _figures(one: Evaluated, quiet_minutes: int) -> Iterator[tuple[str, Figure]]:
    if one.truth.attacks:
        yield from _curves(one.name, _lines(one), quiet_minutes)
    yield "timeline", _timeline(one)


def _together(
    profiles: Sequence[Evaluated], quiet_minutes: int
) -> Iterator[tuple[str, Figure]]:
    """Draw the scores of several profiles into the same pictures."""
    lines = [line for one in profiles for line in _own(one)]
    if len(lines) > 1:
        yield from _curves("detectors", lines, quiet_minutes)


def _own(one: Evaluated) -> list[Line]:
    """Give a profile's own line, by its name."""
    rows = one.compared[:1] if one.truth.attacks else []
    return [(one.name, one.truth, row.scores) for row in rows]


def _curves(
    name: str, lines: Sequence[Line], quiet_minutes: int
) -> Iterator[tuple[str, Figure]]:
    yield "recall", _recall(name, lines, quiet_minutes)
    yield "roc", _roc(name, lines)
    yield "precision", _precision(name, lines)


def _lines(one: Evaluated) -> list[Line]:
    return [(row.method, one.truth, row.scores) for row in one.compared]


def _recall(name: str, lines: Sequence[Line], quiet_minutes: int) -> Figure:
    figure, (axes,) = _new(1, 5.5)
    for (label, truth, scores), style in zip(lines, _styles(), strict=False):
        false, found = truth.recall(scores, quiet_minutes)
        axes.step(false, found, where="post", label=label, **style)
    axes.set(title=f"{name}: attacks found", xlabel="false incidents a day")
    axes.set(ylabel="share of attacks", xlim=(0, _MOST_FALSE), ylim=(0, 1.02))
    axes.legend(fontsize=9)
    return figure


def _roc(name: str, lines: Sequence[Line]) -> Figure:
    figure, (axes,) = _new(1, 5.5)
    for (label, truth, scores), style in zip(lines, _styles(), strict=False):
        true, false = truth.ranking(scores).curve()
        axes.step(false, true, where="post", label=label, **style)
    axes.set(title=f"{name}: minutes", xlabel="share of normal minutes above")
    axes.set(ylabel="share of attacks' minutes above", ylim=(0, 1.02))
    axes.set_xscale("log")
    axes.set_xlim(_LEAST_RATE, 1)
    axes.legend(fontsize=9)
    return figure


def _precision(name: str, lines: Sequence[Line]) -> Figure:
    figure, (axes,) = _new(1, 5.5)
    for (label, truth, scores), style in zip(lines, _styles(), strict=False):
        recall, precision = truth.ranking(scores).precision()
        axes.step(recall, precision, where="post", label=label, **style)
    axes.set(title=f"{name}: minutes", xlabel="share of attacks' minutes above")
    axes.set(ylabel="share of minutes above that are attacks'", ylim=(0, 1.02))
    axes.set_xlim(0, 1)
    axes.legend(fontsize=9)
    return figure


def _timeline(one: Evaluated) -> Figure:
    """Draw the profile's scores, a row for each day."""
    minutes, scores = one.truth.minutes, one.compared[0].scores
    threshold = max(one.deployed.threshold, 1e-300)
    days = np.unique(minutes // _DAY_S)
    figure, rows = _new(len(days), 1.1 * len(days) + 1)
    for day, axes in zip(days.tolist(), rows, strict=True):
        here = minutes // _DAY_S == day
        begin = day * _DAY_S
        hour = (minutes[here] - begin) / _HOUR_S
        axes.scatter(hour, scores[here] / threshold, s=1.5, color=_COLOURS[0])
        axes.axhline(1, color=_COLOURS[4], linewidth=1)
        axes.set(yscale="log", xlim=(0, 24), xticks=range(0, 25, 3))
        axes.set_ylabel(f"{datetime.fromtimestamp(begin, UTC):%a %d %b}", fontsize=9)
        _shade(axes, one, begin)
    rows[0].set_title(f"{one.name}: score / threshold of each minute, and labels")
    rows[-1].set_xlabel("hour, UTC")
    figure.legend(*_once(rows), loc="outside lower right", ncols=3, fontsize=9)
    return figure


def _shade(axes: Axes, one: Evaluated, begin: int) -> None:
    """Shade the labels of one day."""
    for sighting, outcome in zip(
        one.truth.sightings, one.deployed.outcomes, strict=True
    ):
        first, last = (at - begin for at in sighting.span)
        if outcome.minutes and first < _DAY_S and last >= 0:
            style = _SHADES[outcome.found] if outcome.label.counts else _LISTED
            span = (first / _HOUR_S, (last + MINUTE_S) / _HOUR_S)
            axes.axvspan(*span, color=style[0], label=style[1], alpha=0.3)


def _once(rows: list[Axes]) -> tuple[list[Any], list[str]]:
    """Give a legend in which each label stands once."""
    found: dict[str, Any] = {}
    for axes in rows:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(str(label), handle)
    return list(found.values()), list(found)


def _new(rows: int, height: float) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, height), layout="constrained")
    made = figure.subplots(rows, 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    return figure, list(made)


def _styles() -> Iterator[dict[str, Any]]:
    for colour, stroke in zip(cycle(_COLOURS), cycle(_STROKES), strict=False):
        yield {"color": colour, "linestyle": stroke, "linewidth": 1.6}
