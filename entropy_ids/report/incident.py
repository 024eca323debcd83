"""One incident on the page: what it is, what to do, and what shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from entropy_ids.alarms.contributors import weight
from entropy_ids.alarms.summary import percent
from entropy_ids.report import words
from entropy_ids.report.advice import next_steps, technique
from entropy_ids.report.charts import drawn
from entropy_ids.report.found import Evidence, Found, Rows
from entropy_ids.report.markup import Html, join, table, tag
from entropy_ids.types import Alarm, Contributor, Deviation

MOST_ROWS = 25
FIRST_DEVIATIONS = 6
_NAMED = 3
_UNSET = ("-", "")


def link(alarm: Alarm, place: int) -> Html:
    """Give the way to an incident's place on the page; no text of it is in the way."""
    return tag("a", alarm.class_name, href=f"#incident-{place}")


def named(alarm: Alarm) -> str:
    """Name what stands out first, at most three values."""
    values = [c.value for c in alarm.contributors if c.value not in _UNSET]
    return ", ".join(list(dict.fromkeys(values))[:_NAMED]) or "nothing stands out"


def article(found: Found, alarm: Alarm, place: int) -> Html:
    """Tell all that is known of one incident."""
    return tag(
        "article",
        _heading(alarm),
        tag("p", alarm.summary, class_="summary"),
        _steps(alarm),
        _curves(found, alarm, place),
        _deviations(alarm.deviations),
        _contributors(alarm.contributors),
        *_evidence(found.evidence(alarm)),
        _ids(alarm.uids, "uid"),
        _ids(alarm.community_ids, "Community ID"),
        tag(
            "p",
            f"{alarm.id}, revision {alarm.revision}, {alarm.state}",
            class_="muted mono",
        ),
        id=f"incident-{place}",
        class_="suppressed" if alarm.suppressed_by else None,
    )


def _heading(alarm: Alarm) -> Html:
    told = [
        words.when(alarm.start, alarm.end),
        f"score {words.times(alarm)} the threshold",
        f"confidence {percent(alarm.confidence)}",
        words.plural(alarm.flows, "connection"),
    ]
    by = alarm.suppressed_by
    return tag(
        "header",
        tag(
            "h3",
            alarm.class_name,
            tag("span", alarm.severity, class_=f"badge {alarm.severity}"),
            tag("span", "open", class_="badge") if alarm.state != "closed" else "",
            tag("span", f"suppressed by {by}", class_="badge") if by else "",
        ),
        tag("p", " · ".join(told), class_="muted"),
        tag(
            "button",
            "show in the timeline",
            type="button",
            data_zoom=f"{alarm.start} {alarm.end}",
        ),
    )


def _steps(alarm: Alarm) -> Html:
    ids = [technique(number) for number in alarm.technique]
    return tag(
        "section",
        tag("h4", "What to do"),
        tag("ol", *(tag("li", step) for step in next_steps(alarm.class_name))),
        tag("p", "ATT&CK: ", "; ".join(ids), class_="muted") if ids else "",
        class_="steps",
    )


def _curves(found: Found, alarm: Alarm, place: int) -> Html:
    figures = [
        tag(
            "figure",
            tag("figcaption", words.place(deviation), _small(words.measure(deviation))),
            tag("div", class_="chart", data_curve=f"{place}-{number}"),
        )
        for number, deviation in enumerate(drawn(found, alarm))
    ]
    return tag("div", *figures, class_="curves") if figures else Html("")


def _small(text: str) -> Html:
    return tag("span", text, class_="muted")


def _deviations(deviations: Sequence[Deviation]) -> Html:
    if not deviations:
        return tag(
            "p",
            "No single column left its usual range: their combination is unusual.",
            class_="muted",
        )
    first = words.furthest(deviations, FIRST_DEVIATIONS)
    rest = [deviation for deviation in deviations if deviation not in first]
    return join(
        tag("h4", "Outside the usual"),
        _deviation_table(first),
        _folded(f"{words.plural(len(rest), 'column')} more", _deviation_table(rest))
        if rest
        else "",
    )


def _deviation_table(deviations: Iterable[Deviation]) -> Html:
    rows = [
        (
            join(words.place(d), _small(words.measure(d))),
            words.figure(d, d.value),
            words.usual(d),
            d.sign,
            tag("span", words.without(d), class_="mono"),
        )
        for d in deviations
    ]
    return table(("what", "found", "usual", "", "inside without"), rows, "deviations")


def _contributors(contributors: Sequence[Contributor]) -> Html:
    if not contributors:
        return Html("")
    rows = [
        (
            words.meaning(c.feature),
            tag("span", c.value, class_="mono"),
            f"{c.flows:,}",
            f"{percent(c.share)} of {weight(c.feature)}",
            percent(c.usual_share),
            words.explains(c),
        )
        for c in contributors
    ]
    headings = ("what", "value", "connections", "share", "usual share", "explains")
    return join(tag("h4", "Who and what"), table(headings, rows, "contributors"))


def _evidence(evidence: Evidence) -> list[Html]:
    if not evidence.logs:
        return []
    return [
        tag("h4", "Evidence"),
        *(_rows(log, found) for log, found in evidence.logs.items() if found.count),
        *(tag("p", line, class_="muted") for line in words.lacking(evidence)),
    ]


def _rows(log: str, found: Rows) -> Html:
    rows = found.rows[:MOST_ROWS]
    columns = words.columns_of(log, rows)
    shown = [[words.cell(name, row.get(name)) for name in columns] for row in rows]
    more = f", the first {len(rows)} of them here" if found.count > len(rows) else ""
    title = f"{log}.log: {words.plural(found.count, 'row')}{more}"
    return _folded(title, table(columns, shown, "evidence mono"))


def _ids(ids: Sequence[str], name: str) -> Html:
    known = list(filter(None, dict.fromkeys(ids)))
    if not known:
        return Html("")
    title = f"{words.plural(len(known), 'connection')} by {name}"
    return _folded(title, tag("p", " ".join(known), class_="mono"))


def _folded(title: str, inside: Html) -> Html:
    return tag("details", tag("summary", title), inside)
