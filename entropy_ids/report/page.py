"""The report as one HTML file that needs nothing else, and asks the network nothing."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import polars as pl

from entropy_ids.alarms import files
from entropy_ids.report.charts import charts
from entropy_ids.report.found import Found
from entropy_ids.report.incident import article, link, named
from entropy_ids.report.markup import Html, data_block, join, table, tag
from entropy_ids.report.words import headline, plural, span, stamp, times
from entropy_ids.types import Alarm, Quality

REPORT = "report.html"
MOST_REMARKS = 200
_STYLES, _SCRIPTS = ("uplot.css", "page.css"), ("uplot.js", "page.js")


def write(found: Found, path: Path) -> int:
    """Put the report in place whole; give its size in bytes.

    Raises
    ------
    ConfigError
        When there is no regular file at ``path``.
    OSError
        When it cannot be written.
    """
    data = page(found).encode()
    files.replace(path, data, durable=False)
    return len(data)


def page(found: Found) -> Html:
    """Give the whole document."""
    styles, scripts = map(_texts, (_STYLES, _SCRIPTS))
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src {_hashes(styles)}; script-src {_hashes(scripts)}"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=Html(policy)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"entropy_ids: {_sensors(found)}"),
        *(tag("style", text) for text in styles),
    )
    body = tag(
        "body",
        tag("main", *_sections(found)),
        data_block("data", charts(found)),
        *(tag("script", text) for text in scripts),
    )
    return join(Html("<!doctype html>\n"), tag("html", head, body, lang="en"))


def _texts(names: Iterable[str]) -> list[Html]:
    folder = resources.files("entropy_ids.report")
    return [Html(folder.joinpath(name).read_text(encoding="utf-8")) for name in names]


def _hashes(texts: Iterable[Html]) -> str:
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(d).decode()}'" for d in digests)


def _sections(found: Found) -> list[Html]:
    return [
        _header(found),
        _timeline(found),
        _overview(found),
        *(article(found, alarm, place) for place, alarm in enumerate(found.incidents)),
        _quality(found),
        _footer(found),
    ]


def _sensors(found: Found) -> str:
    names = sorted({alarm.sensor for alarm in found.incidents})
    return ", ".join(names) or found.directory.resolve().name


def _header(found: Found) -> Html:
    minutes = found.minutes
    scored = minutes["score"].count()
    figures = {
        "range": span(minutes),
        "minutes": f"{len(minutes):,}, {scored:,} of them scored",
        "connections": f"{minutes['flows'].sum():,}",
        "remarks on the data": f"{len(found.remarks):,}",
        "incidents by class": _by_class(found.active) or "none",
    }
    suppressed = len(found.incidents) - len(found.active)
    if suppressed:
        figures["suppressed"] = plural(suppressed, "incident")
    return tag(
        "header",
        tag("p", _sensors(found), class_="sensor"),
        tag("h1", headline(found)),
        tag(
            "dl",
            *(
                tag("div", tag("dt", name), tag("dd", told))
                for name, told in figures.items()
            ),
            class_="figures",
        ),
    )


def _timeline(found: Found) -> Html:
    if found.minutes.is_empty():
        return tag("p", "There is no table of minutes to draw.", class_="muted")
    return tag(
        "section",
        tag("h2", "Score and threshold"),
        tag(
            "p",
            "Each minute's score in grey, the threshold dashed, incidents marked. Drag "
            "to zoom, double-click for the whole range. All times are UTC.",
            class_="muted screen",
        ),
        tag("div", class_="chart tall", id="score"),
        tag("p", "Connections a minute", class_="muted"),
        tag("div", class_="chart", id="flows"),
        tag("button", "whole range", type="button", data_zoom=""),
        tag("noscript", tag("p", "The curves need JavaScript; the rest does not.")),
        id="timeline",
    )


def _overview(found: Found) -> Html:
    if not found.incidents:
        return Html("")
    return tag(
        "section",
        tag("h2", "Incidents"),
        table(
            ("when (UTC)", "what", "severity", "named", "score"),
            [_row(alarm, place) for place, alarm in enumerate(found.incidents)],
            "overview",
        ),
    )


def _row(alarm: Alarm, place: int) -> list[object]:
    suppressed = (
        tag("span", "suppressed", class_="badge") if alarm.suppressed_by else ""
    )
    return [
        stamp(alarm.start),
        link(alarm, place),
        join(tag("span", alarm.severity, class_=f"badge {alarm.severity}"), suppressed),
        named(alarm),
        times(alarm),
    ]


def _by_class(alarms: Iterable[Alarm]) -> str:
    kinds = Counter(alarm.class_name for alarm in alarms)
    most_first = sorted(kinds, key=lambda name: (-kinds[name], name))
    return ", ".join(f"{kinds[name]} {name}" for name in most_first)


def _quality(found: Found) -> Html:
    return tag(
        "section",
        tag("h2", "The data itself"),
        _coverage(found.minutes),
        *_remarks(found.remarks),
        tag("p", f"{plural(found.odd, 'line')} of the files not understood, left out.")
        if found.odd
        else "",
    )


def _coverage(minutes: pl.DataFrame) -> Html:
    kinds = minutes["coverage"].drop_nulls().value_counts().sort("coverage").rows()
    told = ", ".join(f"{number:,} {kind}" for kind, number in kinds)
    return tag("p", f"Minutes by what is known of them: {told or 'none'}.")


def _remarks(remarks: list[Quality]) -> list[Html]:
    if not remarks:
        return [tag("p", "No remarks.")]
    kinds: dict[str, list[Quality]] = {}
    for remark in remarks:
        kinds.setdefault(remark.kind, []).append(remark)
    return [
        tag(
            "details",
            tag(
                "summary",
                f"{kind}: {plural(len(some), 'time')}, first {stamp(some[0].minute)}, "
                f"last {stamp(some[-1].minute)} UTC",
            ),
            table(
                ("when (UTC)", "what"),
                [(stamp(one.minute), one.detail) for one in some[:MOST_REMARKS]],
                "remarks",
            ),
            tag("p", f"The first {MOST_REMARKS} of {len(some):,}.", class_="muted")
            if len(some) > MOST_REMARKS
            else "",
        )
        for kind, some in sorted(kinds.items())
    ]


def _footer(found: Found) -> Html:
    judges = {
        f"{alarm.detector}, profile {alarm.profile.get('name', '?')} "
        f"({alarm.profile.get('hash', '?')})"
        for alarm in found.incidents
    }
    by = f" Judged by {'; '.join(sorted(judges))}." if judges else ""
    return tag(
        "footer",
        "The score of a minute tells how far it is from what was learned; above the "
        "threshold it becomes part of an incident. Usual ranges are those of the same "
        "hour of the week." + by,
    )
