"""The command line on alarms: say what they were, and suppress what is expected."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from entropy_ids import console, options, show
from entropy_ids.alarms import feedback as words
from entropy_ids.alarms import rules
from entropy_ids.alarms.history import find, newest, read_alarms
from entropy_ids.alarms.incidents import iso
from entropy_ids.alarms.suppression import Rule, Suppression, Tried, tried
from entropy_ids.calendar import Calendar
from entropy_ids.config import Config
from entropy_ids.errors import ConfigError
from entropy_ids.types import Alarm

_out = click.argument("directory", metavar="OUT", type=click.Path(path_type=Path))
_alarm_id = click.argument("alarm_id", metavar="ALARM_ID")


_rules = click.option(
    "--rules",
    "path",
    type=click.Path(path_type=Path),
    help="TOML file of rules [default: alarms.suppress].",
)


@click.command()
@_out
@click.argument("alarm_id", metavar="[ALARM_ID]", required=False)
@click.argument(
    "word",
    metavar="[true|false|benign]",
    required=False,
    type=click.Choice(words.WORDS),
)
@click.option("--note", default="", help="Why you think so.")
@click.option("--by", envvar="USER", default="", help="Who says so [default: $USER].")
@click.option(
    "--labels",
    "table",
    type=click.Path(path_type=Path),
    help="Write all words as labels.csv, for evaluate.",
)
def feedback(
    directory: Path,
    alarm_id: str | None,
    word: str | None,
    note: str,
    by: str,
    table: Path | None,
) -> None:
    """Say whether an alarm was true; without its id, show what was said of all.

    OUT is what replay --out or the daemon wrote; the word goes to OUT/feedback.jsonl,
    and the newest about an alarm counts. The first letters of its id are enough. true
    is an attack, benign unusual but allowed, false nothing at all.

    \b
    Examples:
      entropy-ids feedback out 3e486b24 false --note 'mail server, weekly report'
      entropy-ids feedback out
      entropy-ids feedback out --labels labels.csv
    """
    alarms = read_alarms(directory)
    if alarm_id is not None:
        if word is None:
            raise ConfigError(
                f"feedback {show.safe(alarm_id)}: expected a word, one of "
                f"{', '.join(words.WORDS)}, found none"
            )
        alarm = find(alarms, alarm_id)
        words.say(directory, alarm, word, datetime.now(UTC), note, by)
        console.out.print(f"{alarm.id}, {alarm.class_name}: {word}")
        return
    if table is not None:
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, words.LABELS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(words.labels(directory))
    said = words.words(directory)
    tallies = words.back_test(newest(alarms), said)
    console.out.print(_tallies(tallies) if tallies else "no word about any alarm")


def _tallies(tallies: Iterable[words.Tally]) -> Table:
    table = Table(title="what was said of alarms", title_justify="left")
    for heading in ("class", *words.WORDS, "all true ones kept up to", "which spares"):
        table.add_column(heading)
    for one in tallies:
        least = "-" if one.least is None else f"{one.least:.2f} × the threshold"
        spared = "-" if one.least is None else f"{one.spared} of the others"
        counts = (str(n) for n in (one.true, one.false, one.benign))
        table.add_row(Text(show.safe(one.class_name)), *counts, least, spared)
    return table


@click.group("suppress")
def suppress() -> None:
    """Rules for what is expected: such alarms are written, but marked."""


@suppress.command("add")
@_out
@_alarm_id
@_rules
@click.option("--owner", required=True, help="Who answers for the rule.")
@click.option("--reason", required=True, help="Why such alarms are expected.")
@click.option("--expires", required=True, help="Its last day, YYYY-MM-DD, or never.")
@click.option("--name", help="[default: the class and the alarm's id]")
@options.settings
def suppress_add(
    directory: Path,
    alarm_id: str,
    path: Path | None,
    owner: str,
    reason: str,
    expires: str,
    name: str | None,
    config: Config,
) -> None:
    """Append a rule that marks what is like an alarm, and little else.

    It asks for the same sensor and class, and for no other address or port than the
    alarm names; what stands in the file stays. Widen it by hand, and see with suppress
    test what it would have hidden.

    \b
    Examples:
      entropy-ids suppress add out 5456273f --rules suppress.toml --owner ops \\
          --reason 'nightly updates' --expires 2027-01-31
    """
    path = _path(path, config)
    alarm = find(read_alarms(directory), alarm_id)
    name = name or f"{alarm.class_name}-{alarm.id[:8]}"
    text = rules.rule_of(alarm, name, owner, reason, expires)
    added = rules.add(path, text)
    if added.expired(_today(config)):
        console.err.print(f"{name} has expired already: {added.expires}", style="bold")
    console.out.print(f"{path}:\n\n{text}")


@suppress.command("test")
@_out
@_rules
@click.option(
    "--labels", type=click.Path(path_type=Path), help="labels.csv: attacks known of."
)
@options.settings
def suppress_test(
    directory: Path, path: Path | None, labels: Path | None, config: Config
) -> None:
    """Show what each rule would have hidden, attacks included.

    Attacks are alarms that feedback calls true, and those over a label.

    \b
    Examples:
      entropy-ids suppress test out --rules suppress.toml
      entropy-ids suppress test out --rules suppress.toml --labels logs/labels.csv
    """
    found = _suppression(path, config)
    incidents = newest(read_alarms(directory))
    said = words.words(directory)
    true = {alarm_id for alarm_id, one in said.items() if one.word == words.TRUE}
    if labels is not None:
        true |= _over_labels(incidents, labels)
    results = tried(found, incidents, true)
    console.out.print(_results(results, len(incidents), said))
    for one in results:
        for alarm in one.attacks:
            console.out.print(_warning(one.rule, alarm))


@suppress.command("list")
@_out
@_rules
@options.settings
def suppress_list(directory: Path, path: Path | None, config: Config) -> None:
    """Show the rules, whether they hold, and how many incidents they marked.

    \b
    Examples:
      entropy-ids suppress list out --rules suppress.toml
    """
    found = _suppression(path, config)
    hits: dict[str, list[Alarm]] = {rule.name: [] for rule in found.rules}
    for alarm in newest(read_alarms(directory)):
        if alarm.suppressed_by is not None:
            hits.setdefault(alarm.suppressed_by, []).append(alarm)
    console.out.print(_listed(found, hits, _today(config)))


def _path(path: Path | None, config: Config) -> Path:
    path = path or Path(config["alarms.suppress"])
    if path == Path():
        raise ConfigError(
            "--rules: expected a file of suppression rules, found neither the option "
            "nor the setting alarms.suppress; give one"
        )
    return path


def _suppression(path: Path | None, config: Config) -> Suppression:
    return rules.read(_path(path, config), Calendar.of(config))


def _today(config: Config) -> date:
    now = int(datetime.now(UTC).timestamp())
    return Suppression((), Calendar.of(config)).local(now).date()


def _over_labels(incidents: Iterable[Alarm], path: Path) -> set[str]:
    """Give the incidents during which an attack is labelled."""
    from entropy_ids.evaluate import read_labels

    attacks = [label for label in read_labels(path) if label.counts]
    return {
        alarm.id
        for alarm in incidents
        for label in attacks
        if alarm.start <= label.end and alarm.end > label.start
    }


def _results(
    results: Sequence[Tried], incidents: int, said: Mapping[str, words.Word]
) -> Table:
    title = f"of {incidents} incidents each rule would have hidden"
    table = Table(title=title, title_justify="left")
    for heading in ("rule", "incidents", "called false or benign", "attacks", "which"):
        table.add_column(heading)
    for one in results:
        called = [said[alarm.id].word for alarm in one.hidden if alarm.id in said]
        attacks = Text(str(len(one.attacks)))
        attacks.stylize("bold red" if one.attacks else "none")
        table.add_row(
            one.rule.name,
            str(len(one.hidden)),
            str(sum(word != words.TRUE for word in called)),
            attacks,
            Text("\n".join(map(_told, one.hidden)) or "nothing"),
        )
    return table


def _told(alarm: Alarm) -> str:
    return show.safe(f"{iso(alarm.start)} {alarm.id[:8]} {alarm.class_name}")


def _warning(rule: Rule, alarm: Alarm) -> Text:
    return Text(f"{rule.name} WOULD HIDE AN ATTACK: {_told(alarm)}", style="bold red")


def _listed(
    found: Suppression, hits: Mapping[str, Sequence[Alarm]], today: date
) -> Table:
    table = Table(title="suppression rules", title_justify="left")
    for heading in ("rule", "expires", "incidents", "last", "owner", "reason"):
        table.add_column(heading)
    known = {rule.name: rule for rule in found.rules}
    for name, marked in hits.items():
        rule = known.get(name)
        table.add_row(
            Text(show.safe(name)),
            _expiry(rule, today),
            str(len(marked)),
            iso(marked[-1].start) if marked else "-",
            Text(show.safe(rule.owner if rule else "-")),
            Text(show.safe(rule.reason if rule else "no longer in the file")),
        )
    return table


def _expiry(rule: Rule | None, today: date) -> Text:
    if rule is None:
        return Text("-")
    if rule.expired(today):
        return Text(f"EXPIRED {rule.expires}", style="bold red")
    return Text(str(rule.expires or rules.NEVER))
