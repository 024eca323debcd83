"""Labelled conn logs: IoT-23, and what netflowlabeler wrote.

Conn logs in Zeek's TSV with the columns ``label`` and ``detailed-label`` at the end.
The class of a malicious row is its detailed label, or ``Malicious`` where it has none.

Notes
-----
* IoT-23 separates its last three columns by three spaces, in the header too; they are
  made tabs before the log is read like any other.
* The label as written is both columns with a space between, the second one when set.
* A row without a label counts as normal, as the tools that wrote these logs mean it.

References
----------
Garcia, Parmisano, Erquiaga: IoT-23: a labeled dataset with malicious and benign IoT
network traffic, 2020, doi:10.5281/zenodo.4743746.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from entropy_ids.collector.datasets.rows import COLUMNS, NORMAL, class_of
from entropy_ids.collector.parse import Parsed, parse
from entropy_ids.collector.schema import REQUIRED
from entropy_ids.collector.segments import Segment, Segmenter, blocks
from entropy_ids.errors import InputError
from entropy_ids.types import FlowBatch

_NEEDED = {*REQUIRED, "duration", "label"}
_DETAILED = ("detailed-label", "detailedlabel", "detailed_label")
_FIELDS = re.compile(rb"(?m)^#fields\s(.*)$")
_SPACES = b"   "
_UNSET = ("", "-", "(empty)")


def recognises(head: bytes) -> bool:
    """Tell by the first lines of a file whether it is a labelled conn log."""
    found = _FIELDS.search(head)
    return found is not None and set(found[1].decode("latin-1").split()) >= _NEEDED


def read(path: Path) -> Iterator[Parsed]:
    """Yield the rows in file order.

    Raises
    ------
    InputError
        When the file cannot be read, or a header in it has no labels.
    """
    segmenter = Segmenter(path)
    spaced = False
    for block in blocks(path):
        spaced = spaced or bool(re.search(rb"(?m)^#fields.*   label", block))
        data = block.replace(_SPACES, b"\t") if spaced else block
        for segment in segmenter.feed(data):
            parsed = parse(segment)
            frame = parsed.flows.frame.join(
                _labels(segment), on="line", how="left", maintain_order="left"
            )
            flows = FlowBatch(frame.select(list(COLUMNS)), str(path))
            yield Parsed(flows, parsed.bad)


def _labels(segment: Segment) -> pl.DataFrame:
    """Give class and label of each line of a segment."""
    fields = segment.layout.fields
    if "label" not in fields:
        raise InputError(
            f"{segment.path}:{segment.first_line}: expected a column label in #fields, "
            "found none; give a log whose rows are labelled"
        )
    separator = segment.layout.separator.decode()
    lines = pl.DataFrame(
        {"text": segment.data.decode("utf-8", "replace").split("\n")}
    ).with_row_index("line", segment.first_line)
    cells = pl.col("text").str.strip_chars_end("\r").str.split(separator)
    detailed = next((name for name in _DETAILED if name in fields), None)
    told = lines.select(
        pl.col("line").cast(pl.Int64),
        cells.list.get(fields.index("label"), null_on_oob=True).alias("label"),
        (
            cells.list.get(fields.index(detailed), null_on_oob=True)
            if detailed
            else pl.lit(None, dtype=pl.String)
        ).alias("detail"),
    )
    return told.select("line", _class().alias("label"), _detail().alias("detail"))


def _more() -> pl.Expr:
    """Give the detailed label; null where it is unset."""
    text = pl.col("detail").str.strip_chars()
    return pl.when(~text.is_in(_UNSET)).then(text)


def _class() -> pl.Expr:
    coarse = class_of(pl.col("label"))
    return (
        pl.when(coarse.is_in([NORMAL, ""]))
        .then(pl.lit(NORMAL))
        .otherwise(pl.coalesce(_more(), coarse))
    )


def _detail() -> pl.Expr:
    return pl.concat_str("label", _more(), separator=" ", ignore_nulls=True)
