"""An evaluation as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE
from rich.table import Table

from entropy_ids.alarms.incidents import iso
from entropy_ids.alarms.sinks import sanitize
from entropy_ids.evaluate.compare import Compared
from entropy_ids.evaluate.deployed import Outcome, Tally, tally
from entropy_ids.evaluate.judged_flows import areas_of
from entropy_ids.evaluate.labels import Label
from entropy_ids.evaluate.measures import Estimate
from entropy_ids.evaluate.results import (
    Evaluated,
    Evaluation,
    by_scale,
    scales,
    tallies,
)

_LISTED = "* listed only: neither to be found nor false"
_LEGEND = "delay in minutes; unseen: no row of it was counted"


def tables(evaluation: Evaluation) -> Iterator[Table]:
    """Show each profile as it stands, its confusions, and all methods beside it."""
    for one in evaluation.profiles:
        yield _as_it_stands(one)
        yield _confusion(one)
    for name, flows in evaluation.flows.items():
        yield from flows.tables(name)
    if evaluation.flows:
        yield areas_of(evaluation.flows)
    if evaluation.asked.rivals and evaluation.profiles:
        yield _methods(evaluation)
    if len(evaluation.profiles) > 1:
        yield _detectors(evaluation)


def each(one: Evaluated) -> Table:
    """Show every label and what became of it."""
    table = _table("what was injected, and what was found of it")
    _add_columns(table, "begins (UTC)", ("class", "found", "as", "delay", "who"))
    for outcome in sorted(one.deployed.outcomes, key=lambda o: o.label.start):
        label, found = outcome.label, outcome.found
        table.add_row(
            iso(int(label.start)).replace("T", " ")[:16],
            sanitize(label.name or label.class_name),
            "yes" if found else "no",
            sanitize(outcome.alarm_class or "-"),
            "-" if outcome.delay_min is None else f"{outcome.delay_min} min",
            {True: "yes", False: "no", None: "-"}[
                outcome.attributed if found else None
            ],
        )
    return table


def _as_it_stands(one: Evaluated) -> Table:
    """Show what a profile's own alarms found, class by class."""
    deployed = one.deployed
    rate = deployed.false_per_day
    table = _table(
        f"{sanitize(one.name)}: {deployed.false_incidents} false incidents in "
        f"{deployed.days:.1f} normal days: {rate.value:.2f} a day (95 %: "
        f"{rate.low:.2f} to {rate.high:.2f})",
        "\n".join([_LEGEND] + [_LISTED] * bool(one.listed)),
    )
    parts = _scales([o.label for o in deployed.outcomes])
    heads = ("found", *_times(parts), "delay", "named", "who", "unseen")
    _add_columns(table, "class", heads)
    for outcomes, mark in ((one.attacks, ""), (one.listed, " *")):
        for kind in sorted({o.label.class_name for o in outcomes}):
            own = [o for o in outcomes if o.label.class_name == kind]
            table.add_row(sanitize(kind) + mark, *_cells(own, parts))
    table.add_section()
    table.add_row("all", *_cells(one.attacks, parts))
    return table


def _cells(outcomes: Sequence[Outcome], parts: Sequence[str]) -> list[str]:
    whole, by = tally(outcomes), tallies(outcomes, by_scale)
    return [
        _share(whole),
        *[_share(by.get(part)) for part in parts],
        "-" if whole.delay_min is None else f"{whole.delay_min:g}",
        f"{whole.named}/{whole.found}",
        f"{whole.attributed}/{whole.addressed}",
        str(whole.unseen or "-"),
    ]


def _share(part: Tally | None) -> str:
    return f"{part.found}/{part.attacks}" if part else "-"


def _confusion(one: Evaluated) -> Table:
    """Show which classes alarms gave to what was there."""
    table = _table(f"{sanitize(one.name)}: what alarms called it")
    table.add_column("label")
    table.add_column("strongest alarm, how often", ratio=1)
    for label, alarms in one.deployed.confusion.items():
        ranked = sorted(alarms.items(), key=lambda item: (-item[1], item[0]))
        table.add_row(sanitize(label), ", ".join(f"{a} {n}" for a, n in ranked))
    return table


def _methods(evaluation: Evaluation) -> Table:
    """Show all methods at equal false alarms."""
    asked = evaluation.asked
    left_out = [
        f"{sanitize(one.name)}: {name} left out: {why}"
        for one in evaluation.profiles
        for name, why in one.left_out.items()
    ]
    table = _table(
        f"found at {asked.false_per_day:g} false incidents a day at most; areas over "
        "minutes, with 95 % intervals",
        "\n".join(left_out) or None,
    )
    parts = _scales([a.label for p in evaluation.profiles for a in p.truth.attacks])
    heads = ("found", *_times(parts), "false", "ROC AUC", "avg. precision")
    _add_columns(table, "method", heads)
    for one in evaluation.profiles:
        if len(evaluation.profiles) > 1:
            table.add_section()
            table.add_row(sanitize(one.name), style="bold")
        for row in one.compared:
            table.add_row(row.method, *_figures(one, row, parts))
    return table


def _detectors(evaluation: Evaluation) -> Table:
    """Show the detectors side by side: at equal false alarms, and as they stand."""
    asked = evaluation.asked
    table = _table(
        f"detectors at {asked.false_per_day:g} false incidents a day at most",
        "own: found by its own threshold, with so many false incidents a day and after "
        "so many minutes; s: seconds of training; KiB: weights",
    )
    heads = ("found", "ROC AUC", "avg. prec.", "own", "false", "delay")
    _add_columns(table, "profile", (*heads, "s", "KiB"))
    for one in evaluation.profiles:
        own, whole = one.compared[0], tally(one.attacks)
        table.add_row(
            f"{sanitize(one.name)}\n{one.detector}",
            f"{sum(own.found)}/{len(own.found)}",
            _area(own.roc_auc),
            _area(own.average_precision),
            _share(whole),
            f"{one.deployed.false_per_day.value:.2f}",
            "-" if whole.delay_min is None else f"{whole.delay_min:g}",
            "-" if one.took_s is None else f"{one.took_s:.0f}",
            f"{one.size_bytes / 1024:.0f}",
        )
    return table


def _figures(one: Evaluated, row: Compared, parts: Sequence[str]) -> list[str]:
    recall = one.recall(row, by_scale)
    return [
        f"{sum(row.found)}/{len(row.found)}",
        *("{}/{}".format(*recall[part]) for part in parts),
        str(row.false_incidents),
        _area(row.roc_auc),
        _area(row.average_precision),
    ]


def _scales(labels: Sequence[Label]) -> list[str]:
    """Give the scales to tell apart: none where there is but one."""
    found = scales(labels)
    return found if len(found) > 1 else []


def _times(parts: Sequence[str]) -> list[str]:
    return [f"× {part}" for part in parts]


def _add_columns(table: Table, first: str, heads: Sequence[str]) -> None:
    table.add_column(first, no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right")


def _area(figure: Estimate | None) -> str:
    """Write an area with its interval below."""
    if figure is None:
        return "-"
    low, high = (f"{x:.3f}".removeprefix("0") for x in (figure.low, figure.high))
    return f"{figure.value:.3f}\n{low}–{high}"


def _table(title: str, caption: str | None = None) -> Table:
    """Make a table that fits a narrow terminal."""
    return Table(
        title=title,
        title_justify="left",
        caption=caption,
        caption_justify="left",
        box=SIMPLE,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
