"""An evaluation as pictures: PNG files, readable by the colour-blind and in print.

The only module that draws; the plotting library is loaded when it is asked to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from entropy_ids.evaluate.results import Evaluated, Evaluation
from entropy_ids.types import MINUTE_S

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
        Per profile: recall by false incidents a day, ROC of minutes, and the scores
        over time with the labels shaded.
    """
    directory.mkdir(parents=True, exist_ok=True)
    made = []
    for one in evaluation.profiles:
        name = re.sub(r"[^\w.-]+", "-", one.name).strip("-.") or "profile"
        for kind, figure in _figures(one, evaluation.asked.quiet_minutes):
            made.append(directory / f"{name}-{kind}.png")
            figure.savefig(made[-1], dpi=110)
    return made


def _figures(one: Evaluated, quiet_minutes: int) -> Iterator[tuple[str, Figure]]:
    if one.truth.attacks:
        yield "recall", _recall(one, quiet_minutes)
        yield "roc", _roc(one)
    yield "timeline", _timeline(one)


def _recall(one: Evaluated, quiet_minutes: int) -> Figure:
    figure, (axes,) = _new(1, 5.5)
    for row, style in zip(one.compared, _styles(), strict=False):
        false, found = one.truth.recall(row.scores, quiet_minutes)
        axes.step(false, found, where="post", label=row.method, **style)
    axes.set(title=f"{one.name}: attacks found", xlabel="false incidents a day")
    axes.set(ylabel="share of attacks", xlim=(0, _MOST_FALSE), ylim=(0, 1.02))
    axes.legend(fontsize=9)
    return figure


def _roc(one: Evaluated) -> Figure:
    figure, (axes,) = _new(1, 5.5)
    for row, style in zip(one.compared, _styles(), strict=False):
        true, false = one.truth.ranking(row.scores).curve()
        axes.step(false, true, where="post", label=row.method, **style)
    axes.set(title=f"{one.name}: minutes", xlabel="share of normal minutes above")
    axes.set(ylabel="share of attacks' minutes above", ylim=(0, 1.02))
    axes.set_xscale("log")
    axes.set_xlim(_LEAST_RATE, 1)
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
