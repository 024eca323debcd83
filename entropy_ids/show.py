"""What the terminal shows: tables of alarms, accounts, profiles and settings.

Text from the wire passes the one sanitiser, and never counts as markup.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from entropy_ids.alarms.incidents import iso, percent
from entropy_ids.alarms.sinks import sanitize
from entropy_ids.calendar import SLOTS, Calendar
from entropy_ids.config import SETTINGS, Config
from entropy_ids.errors import ConfigError
from entropy_ids.types import Account, Alarm, BadRow, Contributor, Quality

MOST_LINES = 5
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
    if left_out:
        lines.append(
            f"{len(left_out)} columns left out, too rarely measurable here: "
            + ", ".join(left_out)
        )
    return Text(safe_lines(lines))


def slots(bounds: pd.DataFrame) -> Table:
    """Show how mature each slot of the week is."""
    table = Table(title="slots", title_justify="left")
    for heading in ("slot", "minutes", "borrowed", "false flags per column"):
        table.add_column(heading)
    for slot, rows in bounds.groupby("slot"):
        n = int(rows["n"].max())
        table.add_row(
            Calendar.name(int(str(slot))),
            str(n),
            str(int(rows["borrowed"].iloc[0])),
            f"{2 / (n + 1):.2%}",
        )
    return table


def bounds(table: pd.DataFrame, slot: str) -> Table:
    """Show the bounds of one slot, and the minutes that set them."""
    names = [Calendar.name(number) for number in range(SLOTS)]
    if slot not in names:
        raise ConfigError(
            f"--slot: expected a slot from {names[0]!r} to {names[-1]!r}, found "
            f"{slot!r}"
        )
    shown = Table(title=slot, title_justify="left")
    for heading in ("column", "n", "low", "set at", "high", "set at"):
        shown.add_column(heading)
    for row in table[table["slot"] == names.index(slot)].itertuples():
        shown.add_row(
            str(row.column),
            str(row.n),
            f"{row.low:.3f}",
            _stamp(row.low_minute),
            f"{row.high:.3f}",
            _stamp(row.high_minute),
        )
    return shown


def _stamp(minute: Any) -> str:
    return "-" if pd.isna(minute) else f"{minute:%Y-%m-%d %H:%M}"


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
