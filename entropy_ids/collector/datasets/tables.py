"""Sets that are tables: a line is a row, and commas separate its cells.

Which column is what is said by the modules of the sets. No dialect of CSV: none of the
sets quotes a cell, and a quote that opens must not swallow the lines after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from entropy_ids.collector.datasets.rows import typed
from entropy_ids.collector.parse import Parsed
from entropy_ids.collector.segments import blocks
from entropy_ids.errors import InputError
from entropy_ids.types import BadRow

_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
_LEGACY = "cp1252"
"""The code page of the sets' Windows machines: an en dash in a label is one byte."""


@dataclass(frozen=True)
class Header:
    """The columns of a table.

    Attributes
    ----------
    names
        In the order of the cells, trimmed. Of equal names the first counts.
    lines
        Lines that the header takes: 0 where the set has none.
    """

    names: tuple[str, ...]
    lines: int = 1


def named(*marks: str) -> Callable[[str], Header | None]:
    """Make a test that takes a first line as the header if it has these names."""

    def header(line: str) -> Header | None:
        names = tuple(name.strip() for name in line.split(","))
        return Header(names) if set(marks) <= set(names) else None

    return header


@dataclass(frozen=True)
class Table:
    """How a set's cells become the texts of a conn log.

    Attributes
    ----------
    name
        Of the set, for errors.
    header
        Tells the columns by the first line; None where the file is another set's.
    texts
        Zeek's column, ``label`` or ``detail``: its text, from the set's columns.
    stamp, length
        As `entropy_ids.collector.datasets.rows.typed` takes them.
    """

    name: str
    header: Callable[[str], Header | None]
    texts: Mapping[str, pl.Expr]
    stamp: pl.Expr
    length: pl.Expr

    @property
    def columns(self) -> list[str]:
        """The set's columns that are read."""
        roots = (expr.meta.root_names() for expr in self.texts.values())
        return sorted({name for names in roots for name in names})

    def recognises(self, head: bytes) -> bool:
        """Tell by the first lines of a file whether it is of this set."""
        return self.header(_first_line(_text(head))) is not None

    def read(self, path: Path) -> Iterator[Parsed]:
        """Yield the rows in file order.

        Raises
        ------
        InputError
            When the file cannot be read, or a column that is needed is missing.
        """
        header: Header | None = None
        line = 1
        for block in blocks(path):
            text = _text(block)
            header = header or self._checked_header(text, path)
            yield self._parsed(text, line, header, str(path))
            line += text.count("\n")

    def _checked_header(self, text: str, path: Path) -> Header:
        header = self.header(_first_line(text))
        found = header.names if header else ()
        missing = [name for name in self.columns if name not in found]
        if header is None or missing:
            raise InputError(
                f"{path}: expected the columns of {self.name}, found no "
                f"{', '.join(missing)}; give the flows with their labels"
            )
        return header

    def _parsed(self, text: str, first_line: int, header: Header, path: str) -> Parsed:
        rows = _cells(text, first_line).slice(header.lines if first_line == 1 else 0)
        fits = pl.col("cells").list.len() == len(header.names)
        bad = [
            BadRow(path, line, "fields", _fields_detail(len(header.names), found))
            for line, found in rows.filter(~fits)
            .select("line", pl.col("cells").list.len())
            .iter_rows()
        ]
        cells = rows.filter(fits).select(
            "line",
            *(
                pl.col("cells").list.get(header.names.index(name)).alias(name)
                for name in self.columns
            ),
        )
        texts = cells.select(
            "line", *(expr.alias(name) for name, expr in self.texts.items())
        )
        parsed = typed(texts, self.stamp, self.length, path)
        return Parsed(parsed.flows, sorted(bad + parsed.bad, key=lambda row: row.line))


def _fields_detail(expected: int, found: int) -> str:
    return f"expected {expected} fields as in the header, found {found}"


def _first_line(text: str) -> str:
    return text.removeprefix(_BOM).lstrip().partition("\n")[0]


def _text(block: bytes) -> str:
    """Decode lines, each by itself, so that it does not matter how a file was cut."""
    try:
        return block.decode()
    except UnicodeDecodeError:
        return "\n".join(map(_decoded, block.split(b"\n")))


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode(_LEGACY, "replace")


def _cells(text: str, first_line: int) -> pl.DataFrame:
    """Cut lines into cells; blank lines are left out, but are numbered."""
    text = text.removeprefix(_BOM) if first_line == 1 else text
    lines = pl.DataFrame({"text": text.split("\n")}).with_row_index("line", first_line)
    written = lines.filter(pl.col("text").str.strip_chars() != "")
    cells = pl.col("text").str.strip_chars_end("\r").str.split(",")
    return written.select(pl.col("line").cast(pl.Int64), cells=cells)
