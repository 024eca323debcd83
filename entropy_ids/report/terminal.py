"""One incident in the terminal: the same words as on the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from entropy_ids.alarms.contributors import weight
from entropy_ids.alarms.sinks import sanitize
from entropy_ids.alarms.summary import percent
from entropy_ids.report import words
from entropy_ids.report.advice import next_steps, technique
from entropy_ids.report.found import Evidence, Found
from entropy_ids.types import Alarm

MOST_LINES = 8
MOST_ROWS = 5
MOST_CELL = 60
_COLOURS = {"low": "dim", "medium": "yellow", "high": "red", "critical": "bold red"}


def explain(found: Found, alarm: Alarm) -> Group:
    """Tell what an incident is, what to do about it, and what shows it."""
    evidence = found.evidence(alarm)
    return Group(
        _title(alarm),
        _text(alarm.summary),
        *_steps(alarm),
        *_deviations(alarm),
        *_contributors(alarm),
        *_evidence(evidence),
        *_lacking(evidence),
        *_ids(alarm.uids, "uid"),
        *_ids(alarm.community_ids, "Community ID"),
    )


def _title(alarm: Alarm) -> Text:
    title = _text(f"{alarm.class_name}, {alarm.severity}", _COLOURS[alarm.severity])
    if alarm.suppressed_by is not None:
        title.append(sanitize(f" (suppressed by {alarm.suppressed_by})"), style="none")
    figures = (
        f"{words.when(alarm.start, alarm.end)}; score {words.times(alarm)} the "
        f"threshold; confidence {percent(alarm.confidence)}; "
        f"{words.plural(alarm.flows, 'connection')}"
    )
    whose = f"sensor {alarm.sensor}, {alarm.id}, {alarm.state}"
    for line in (figures, whose):
        title.append(f"\n{sanitize(line)}", style="dim")
    return title.append("\n")


def _steps(alarm: Alarm) -> Iterator[RenderableType]:
    yield _heading("what to do")
    table = Table.grid(padding=(0, 1))
    for number, step in enumerate(next_steps(alarm.class_name), 1):
        table.add_row(f"{number}.", _text(step))
    yield table
    for name in alarm.technique:
        yield _text(technique(name), "dim")


def _deviations(alarm: Alarm) -> Iterator[RenderableType]:
    yield _heading("outside the usual")
    first = words.furthest(alarm.deviations, MOST_LINES)
    if not first:
        yield _text("no single column: their combination is unusual")
        return
    yield _table(
        ("what", "measured by", "found", "usual", "", "inside without"),
        (
            (
                words.place(d),
                words.measure(d),
                words.figure(d, d.value),
                words.usual(d),
                d.sign,
                words.without(d),
            )
            for d in first
        ),
    )
    if more := len(alarm.deviations) - len(first):
        yield _text(f"and {words.plural(more, 'column')} more", "dim")


def _contributors(alarm: Alarm) -> Iterator[RenderableType]:
    if alarm.contributors:
        yield _heading("who and what")
        yield _table(
            ("what", "value", "connections", "share", "usual", "explains"),
            (
                (
                    words.meaning(c.feature),
                    c.value,
                    f"{c.flows:,}",
                    f"{percent(c.share)} of {weight(c.feature)}",
                    percent(c.usual_share),
                    words.explains(c),
                )
                for c in alarm.contributors
            ),
        )


def _evidence(evidence: Evidence) -> Iterator[RenderableType]:
    for log, found in evidence.logs.items():
        if not found.count:
            continue
        rows = found.rows[:MOST_ROWS]
        columns = words.columns_of(log, rows)
        yield _heading(f"{log}.log: {words.plural(found.count, 'row')}")
        yield _text("  ".join(columns), "dim")
        for row in rows:
            values = (words.cell(name, row.get(name), MOST_CELL) for name in columns)
            yield _text("  ".join(values))


def _lacking(evidence: Evidence) -> Iterator[RenderableType]:
    for line in words.lacking(evidence):
        yield _text(line, "dim")


def _ids(ids: Sequence[str], name: str) -> Iterator[RenderableType]:
    if known := list(filter(None, dict.fromkeys(ids))):
        yield _heading(f"{words.plural(len(known), 'connection')} by {name}")
        more = " ..." if len(known) > MOST_LINES else ""
        yield _text(" ".join(known[:MOST_LINES]) + more)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(_text, row))
    return table


def _heading(text: str) -> Text:
    return Text(f"\n{sanitize(text)}", style="bold")


def _text(text: str, style: str = "") -> Text:
    return Text(sanitize(text), style=style)
