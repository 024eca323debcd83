"""The jobs that the command line offers, with their progress bars and reports.

Bars are shown on a terminal and left out in a pipe. The network library is imported by
the jobs that need it.
"""

from entropy_ids.console.asked import Request, bar, err, file_bar, out
from entropy_ids.console.generating import demo, inject, simulate
from entropy_ids.console.judging import evaluate, replay
from entropy_ids.console.learning import (
    features,
    profile_diff,
    profile_retract,
    profile_show,
    train,
)

__all__ = [
    "Request",
    "bar",
    "demo",
    "err",
    "evaluate",
    "features",
    "file_bar",
    "inject",
    "out",
    "profile_diff",
    "profile_retract",
    "profile_show",
    "replay",
    "simulate",
    "train",
]
