"""What the terminal shows: tables of alarms, accounts, profiles and settings.

Text from the wire passes the one sanitiser, and never counts as markup.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Group
from rich.table import Table
from rich.text import Text

from entropy_ids.alarms.incidents import iso
from entropy_ids.alarms.sinks import sanitize
from entropy_ids.alarms.summary import percent
from entropy_ids.calendar import SLOTS, Calendar
from entropy_ids.config import Config
from entropy_ids.errors import ConfigError
from entropy_ids.features.catalog import Column
from entropy_ids.profile.bounds import setter_key
from entropy_ids.profile.outlook import false_flags
from entropy_ids.profile.revise import Difference
from entropy_ids.settings import SETTINGS
from entropy_ids.types import Account, Alarm, BadRow, Contributor, Quality

if TYPE_CHECKING:
    from entropy_ids.daemon.status import SensorStatus, Status

MOST_LINES = 5
MOST_MOVED = 20
_COLOURS = {"low": "dim", "medium": "yellow", "high": "red", "critical": "bold red"}


def safe(text: str) -> str:
    """Make text harmless to print."""
    return sanitize(text)


def alarms(incidents: Sequence[Alarm]) -> Table | Text:
    """Show incidents, one row each."""
    if not incidents:
        return Text("no incident")
    table = Table(title="incidents", title_justify="left")
    for heading in ("start (UTC)", "min", "× thr.", "flows"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what, how severe, by whom", ratio=1)
    for alarm in incidents:
        what = Text(f"{alarm.class_name}, {alarm.severity}\n")
        what.stylize(_COLOURS[alarm.severity])
        if alarm.suppressed_by:
            what.append(f"suppressed by {safe(alarm.suppressed_by)}\n", style="dim")
        table.add_row(
            iso(alarm.start)[:16].replace("T", " "),
            str((alarm.end - alarm.start) // 60),
            f"{alarm.score / max(alarm.threshold, 1e-300):.1f}",
            str(alarm.flows),
            what.append(_who(alarm.contributors), style="none"),
        )
    return table


def _who(contributors: tuple[Contributor, ...]) -> str:
    values: dict[str, list[str]] = {}
    for c in contributors:
        values.setdefault(c.feature, []).append(f"{safe(c.value)} {percent(c.share)}")
    return "\n".join(f"{name}: {', '.join(some[:3])}" for name, some in values.items())


def account(rows: Account, bad: Sequence[BadRow]) -> Text:
    """Show what became of every row, and the first rows that were not counted."""
    quarantined = sum(rows.quarantined.values())
    reasons = ", ".join(f"{n} {why}" for why, n in sorted(rows.quarantined.items()))
    lines = [
        f"rows read {rows.rows} = counted {rows.counted}"
        + f" + quarantined {quarantined}"
        + (f" ({reasons})" if reasons else "")
        + (f" + outside the range {rows.outside}" if rows.outside else "")
    ]
    lines += [
        safe(f"  {row.file}:{row.line}: {row.detail}; row skipped")
        for row in bad[:MOST_LINES]
    ]
    if len(bad) > MOST_LINES:
        more = max(quarantined, len(bad)) - MOST_LINES  # ``bad`` holds the first only
        lines.append(f"  ... and {more} more")
    return Text("\n".join(lines))


def quality(remarks: Sequence[Quality]) -> Text:
    """Show remarks about the data, the first of each kind."""
    lines = []
    for kind, number in Counter(remark.kind for remark in remarks).items():
        first = next(remark for remark in remarks if remark.kind == kind)
        lines.append(
            f"data: {number} × {kind}, first {iso(first.minute)}: {first.detail}"
        )
    return Text(safe_lines(lines))


def safe_lines(lines: Sequence[str]) -> str:
    """Join lines, each made harmless."""
    return "\n".join(safe(line) for line in lines)


def trained(manifest: Mapping[str, Any], left_out: Sequence[str]) -> Text:
    """Show what a profile was trained on."""
    span = manifest["range"]
    lines = [
        f"sensor {manifest['sensor']}, detector {manifest['detector']}, trained on "
        f"{span['first']} to {span['last']}",
        f"{span['whole']} whole minutes of {span['minutes']}, {span['normal']} of them "
        f"below the threshold {manifest['threshold']:.3g}",
        f"{len(manifest['columns'])} columns",
    ]
    lines += _expected(manifest)
    if left_out:
        lines.append(
            f"{len(left_out)} columns left out, too rarely measurable here: "
            + ", ".join(left_out)
        )
    return Text(safe_lines(lines))


def _expected(manifest: Mapping[str, Any]) -> list[str]:
    """Say how many alarms to expect, and what the training lacked."""
    lines = []
    if budget := manifest["budget"]:
        low, high = budget["interval"]
        lines.append(
            f"expect {budget['incidents'] / budget['days']:.2g} alarms a day from "
            f"normal traffic (95 % interval {low:.2g} to {high:.2g}): "
            f"{budget['incidents']} in {budget['days']:.1f} days held out, budget "
            f"{budget['alarms_per_day']:g} a day"
        )
    return lines + [f"remark: {remark}" for remark in manifest["remarks"]]


def slots(bounds: pd.DataFrame) -> Table:
    """Show how mature each slot of the week is."""
    table = Table(title="slots", title_justify="left")
    for heading in ("slot", "minutes", "of days", "borrowed", "false flags per column"):
        table.add_column(heading)
    for slot, rows in bounds.groupby("slot"):
        n = int(rows["n"].max())
        table.add_row(
            Calendar.name(int(str(slot))),
            str(n),
            str(int(rows["days"].iloc[0])),
            str(int(rows["borrowed"].iloc[0])),
            f"{false_flags(n):.2%}",
        )
    return table


def effect_of_k(effect: pd.DataFrame) -> Table:
    """Show what each margin would flag of normal minutes, by its width."""
    title = "signals of normal minutes outside the bounds of the other days"
    table = Table(title=title, title_justify="left")
    table.add_column("margin")
    wide = effect.pivot(index="margin", columns="k", values="outside")
    for k in wide.columns:
        table.add_column(f"k = {k:g}")
    for margin, row in wide.iterrows():
        shares = ("-" if pd.isna(share) else f"{share:.2%}" for share in row)
        table.add_row(str(margin), *shares)
    return table


def bounds(table: pd.DataFrame, slot: str, setters: pd.DataFrame) -> Table:
    """Show the bounds of one slot, and the minutes and connections that set them."""
    names = [Calendar.name(number) for number in range(SLOTS)]
    if slot not in names:
        raise ConfigError(
            f"--slot: expected a slot from {names[0]!r} to {names[-1]!r}, found "
            f"{slot!r}"
        )
    who = setters.set_index(["minute", "key"])[["value", "uids"]].T.to_dict("list")
    shown = Table(title=slot, title_justify="left")
    for heading in ("column", "n", "low", "set at, by", "high", "set at, by"):
        shown.add_column(heading)
    for row in table[table["slot"] == names.index(slot)].itertuples():
        key = setter_key(Column.named(str(row.column)))
        by = [
            _setter(minute, who.get((minute, key)))
            for minute in (row.low_minute, row.high_minute)
        ]
        low, high = f"{row.low:.3f}", f"{row.high:.3f}"
        shown.add_row(str(row.column), str(row.n), low, by[0], high, by[1])
    return shown


def _setter(minute: Any, who: Sequence[Any] | None) -> Text:
    """Say when a bound was set, by the heaviest value of that minute, with uids."""
    stamp = "-" if pd.isna(minute) else f"{minute:%Y-%m-%d %H:%M}"
    return Text(safe(f"{stamp} {who[0]} {' '.join(who[1])}" if who else stamp))


def difference(found: Difference) -> Group:
    """Show how two profiles differ."""
    settings = Table("of the profile", "one", "other")
    for key, (one, other) in found.manifest.items():
        settings.add_row(key, Text(safe(str(one))), Text(safe(str(other))))
    moved = Table("column", "slots moved", "furthest, in spans of the one")
    for row in found.bounds.head(MOST_MOVED).itertuples():
        moved.add_row(str(row.column), str(row.slots), f"{row.moved:.2f}")
    more = max(0, len(found.bounds) - MOST_MOVED)
    only = f"columns of one only: {', '.join(found.columns) or 'none'}"
    return Group(settings, Text(only), moved, Text(f"and {more} columns more"))


def learning(curves: Mapping[str, pd.DataFrame]) -> Table:
    """Show the error of held-back minutes by the minutes trained on."""
    table = Table("profile", "minutes", "mean square error")
    for name, curve in curves.items():
        for row in curve.itertuples():
            table.add_row(safe(name), str(row.minutes), f"{row.error:.3f}")
    return table


def settings(config: Config) -> Table:
    """Show every setting; an asterisk marks what was given."""
    table = Table()
    for heading in ("setting", "value", "unit", "reason"):
        table.add_column(heading)
    for setting in SETTINGS:
        given = " *" if setting.key in config.given else ""
        value = Text(str(config[setting.key]) + given)
        table.add_row(setting.key, value, setting.unit, Text(setting.reason))
    return table


def status(found: Status) -> Group:
    """Show how the daemon is, one table per sensor, and its problems."""
    head = f"version {found.version}, process {found.pid}, since {_when(found.started)}"
    lines = [head, *(f"problem: {problem}" for problem in found.problems)]
    return Group(Text(safe_lines(lines)), *(_sensor(one) for one in found.sensors))


def _sensor(sensor: SensorStatus) -> Table:
    quarantined = ", ".join(f"{n} {why}" for why, n in sensor.quarantined.items())
    alarms = ", ".join(f"{n} {name}" for name, n in sensor.alarms.items())
    lag = "-" if sensor.lag_s is None else f"{sensor.lag_s:.0f} s"
    rows = {
        "state": sensor.state,
        "log clock": f"{_when(sensor.minute)}, {lag} behind the wall clock",
        "unread": f"{sensor.behind_bytes} bytes",
        "rows": f"{sensor.rows}, {sensor.rows_per_s:.1f} a second",
        "quarantined": quarantined or "none",
        "minutes": f"{sensor.minutes}, {sensor.scored} of them scored",
        "score": f"{_figure(sensor.score)} of {_figure(sensor.threshold)}",
        "incidents": f"{sensor.incidents}, {sensor.incidents_open} of them open",
        "classes": alarms,
        "last alarm": sensor.last_alarm,
        "profile": _judged_by(sensor),
        "maturity": sensor.maturity,
        "candidates": ", ".join(sensor.candidates),
    }
    table = Table(
        title=f"sensor {sensor.name}", title_justify="left", show_header=False
    )
    for name, text in rows.items():
        if text:
            table.add_row(name, Text(safe(text)))
    for stream in sensor.streams:
        where = f"{stream.path} at {stream.offset}, log clock {_when(stream.clock)}"
        table.add_row(f"stream {stream.name}".strip(), Text(safe(where)))
    for problem in sensor.problems:
        table.add_row("problem", Text(safe(problem), style="red"))
    return table


def _judged_by(sensor: SensorStatus) -> str:
    profile = sensor.profile
    if profile is None:
        return "none yet"
    trained_on = f"trained on {_when(profile.first)} to {_when(profile.last)}"
    return f"{profile.name}, {profile.hash}, {trained_on}"


def _when(time: datetime | None) -> str:
    return "-" if time is None else f"{time:%Y-%m-%d %H:%M} UTC"


def _figure(number: float | None) -> str:
    return "-" if number is None else f"{number:.3g}"
