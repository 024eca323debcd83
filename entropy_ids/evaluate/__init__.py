"""Evaluate: profiles, and the methods they must beat, held against labelled logs.

Stands beside the drivers: it reads logs as they do, through `entropy_ids.reading` and
`entropy_ids.pipeline`, and nothing that runs in operation imports it.
"""

from entropy_ids.evaluate.compare import Asked
from entropy_ids.evaluate.evaluation import Watched, evaluate, watch
from entropy_ids.evaluate.labels import Label, read_labels
from entropy_ids.evaluate.results import Evaluation

__all__ = [
    "Asked",
    "Evaluation",
    "Label",
    "Watched",
    "evaluate",
    "read_labels",
    "watch",
]
