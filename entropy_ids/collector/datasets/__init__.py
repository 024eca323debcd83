"""Read labelled data sets of the literature as flows, so that papers can be repeated.

Each set is read in the form in which it was published. What the classes mean, and what
is done with them, is left to the detectors and to the evaluation.
"""

from entropy_ids.collector.datasets.formats import (
    FORMATS,
    Format,
    begins_us,
    labelled,
    read,
)
from entropy_ids.collector.datasets.rows import COLUMNS, NORMAL

__all__ = ["COLUMNS", "FORMATS", "NORMAL", "Format", "begins_us", "labelled", "read"]
