"""Write TSV conn logs again as JSON lines, as Zeek's JSON writer would."""

import gzip
import json
from pathlib import Path

TYPES = {"T": True, "F": False}
NUMBERS = {
    "id.orig_p",
    "id.resp_p",
    "orig_bytes",
    "resp_bytes",
    "missed_bytes",
    "orig_pkts",
    "resp_pkts",
}
DOUBLES = {"ts", "duration"}


def as_json(sources: list[Path], target: Path) -> None:
    target.mkdir()
    for path in sources:
        with gzip.open(path, "rt") as lines, (target / path.stem).open("w") as out:
            out.writelines(_rows(lines))


def _rows(lines):
    for line in lines:
        if line.startswith("#fields"):
            names = line.rstrip("\n").split("\t")[1:]
        elif not line.startswith("#"):
            pairs = zip(names, line.rstrip("\n").split("\t"), strict=True)
            row = {name: _value(name, text) for name, text in pairs if text != "-"}
            yield json.dumps(row) + "\n"


def _value(name: str, text: str):
    if name in NUMBERS:
        return int(text)
    if name in DOUBLES:
        return float(text)
    return TYPES.get(text, text) if name.startswith("local_") else text
