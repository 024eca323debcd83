"""What people say of alarms: true, false or benign; kept beside them, and counted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from entropy_ids.alarms import files
from entropy_ids.alarms.history import newest, parsed, read_alarms
from entropy_ids.alarms.incidents import iso
from entropy_ids.alarms.sinks import sanitize
from entropy_ids.alarms.suppression import named, network
from entropy_ids.errors import InputError
from entropy_ids.types import Alarm

FEEDBACK = "feedback.jsonl"
TRUE, FALSE, BENIGN = WORDS = ("true", "false", "benign")
"""An attack; nothing at all; something unusual that is nevertheless allowed."""
NORMAL = "normal"
LABELS = ("start", "end", "class", "attackers", "victims", "name")
"""Columns of the rows that `labels` gives."""


@dataclass(frozen=True)
class Word:
    """One line of ``feedback.jsonl``: what somebody said of an incident, and when."""

    id: str
    word: str
    time: str
    note: str = ""
    by: str = ""


def say(
    directory: Path,
    alarm: Alarm,
    word: str,
    now: datetime,
    note: str = "",
    by: str = "",
) -> Word:
    """Append a word about an incident; it counts in place of earlier ones.

    Parameters
    ----------
    word
        One of `WORDS`.
    now
        The wall clock.
    """
    time = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = Word(alarm.id, word, time, sanitize(note), sanitize(by))
    path = directory / FEEDBACK
    torn = files.read(path)[-1:] not in (b"", b"\n")
    files.append(path, b"\n" * torn + (json.dumps(asdict(said)) + "\n").encode())
    files.sync(path)
    return said


def words(directory: Path) -> dict[str, Word]:
    """Give the newest word about each incident; half a line that a kill left is none.

    Raises
    ------
    InputError
        When a line is no word.
    """
    path, found = directory / FEEDBACK, {}
    for number, line in enumerate(files.lines(files.read(path)), 1):
        where = f"{path}:{number}"
        if line.endswith(b"}\n"):
            word = _word(parsed(line, where), where)
            found[word.id] = word
    return found


def _word(row: Mapping[str, object], where: str) -> Word:
    try:
        word = msgspec.convert(row, Word)
    except msgspec.ValidationError as err:
        raise InputError(
            f"{where}: expected id, word and time, found {sanitize(str(err))}; remove "
            "the line"
        ) from err
    if word.word not in WORDS:
        raise InputError(
            f"{where}: expected a word of {', '.join(WORDS)}, found "
            f"{sanitize(word.word)!r}; remove the line"
        )
    return word


def labels(directory: Path) -> list[dict[str, str]]:
    """Give what was said as rows of ``labels.csv``, by the incidents' first minutes.

    A true alarm becomes a label of its class, with the addresses that it names; false
    and benign ones become ``normal``. The name is the alarm's id.
    """
    said = words(directory)
    incidents = newest(read_alarms(directory))
    return [_label(a, said[a.id].word) for a in incidents if a.id in said]


def _label(alarm: Alarm, word: str) -> dict[str, str]:
    who = {"attackers": "source", "victims": "target"}
    told = {"start": iso(alarm.start), "end": iso(alarm.end), "name": alarm.id}
    for column, side in who.items():
        values = [v for v in named(alarm, side) if network(v)]
        told[column] = " ".join(values) if word == TRUE else ""
    return told | {"class": alarm.class_name if word == TRUE else NORMAL}


@dataclass(frozen=True)
class Tally:
    """Alarms of one class that somebody said a word of.

    Attributes
    ----------
    least
        The lowest score of a true one, as a multiple of its threshold: one raised so
        far would have kept them all. None without a true one.
    spared
        False and benign ones with a lower score, which it would have left out.
    """

    class_name: str
    true: int
    false: int
    benign: int
    least: float | None
    spared: int


def back_test(incidents: Iterable[Alarm], said: Mapping[str, Word]) -> list[Tally]:
    """Count words by class, and over all classes, which stands last as ``all``.

    Parameters
    ----------
    incidents
        The newest revision of each.
    """
    known = [(alarm, said[alarm.id].word) for alarm in incidents if alarm.id in said]
    return list(_tallies(known)) if known else []


def _tallies(known: list[tuple[Alarm, str]]) -> Iterator[Tally]:
    for name in sorted({alarm.class_name for alarm, _ in known}):
        yield _tally(name, [one for one in known if one[0].class_name == name])
    yield _tally("all", known)


def _tally(name: str, known: list[tuple[Alarm, str]]) -> Tally:
    count = {word: sum(said == word for _, said in known) for word in WORDS}
    true = [_ratio(alarm) for alarm, said in known if said == TRUE]
    least = min(true, default=None)
    rest = [_ratio(alarm) for alarm, said in known if said != TRUE]
    spared = 0 if least is None else sum(ratio < least for ratio in rest)
    return Tally(name, count[TRUE], count[FALSE], count[BENIGN], least, spared)


def _ratio(alarm: Alarm) -> float:
    return alarm.score / max(alarm.threshold, 1e-300)
