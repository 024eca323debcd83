"""The contract of flow models: they score connections, one by one, in file order.

What a flow is held against are flows before it. These are kept in a *memory* that is
handed from call to call, so that a log may be cut anywhere: the scores are the same.
The same seed gives the same scores, and so do a saved and loaded model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entropy_ids.detectors.training import Progress, Training
from entropy_ids.features.stream import ROW_COLUMNS

FLOW_COLUMNS = tuple(name for name in ROW_COLUMNS if name != "minute")
"""What a flow model may look at, typed as in `entropy_ids.collector.schema.CONN`."""
LABEL = "label"
"""The column of classes that a supervised model learns from."""
NORMAL = "normal"
"""The class of flows that are no attack."""

Memory = dict[str, Any]
"""What was seen: plain values that JSON can hold, `{}` at the start."""
Weights = dict[str, NDArray[np.float32]]
Facts = dict[str, Any]
"""What a model knows besides its weights (vocabulary, classes): plain values."""


class FlowModel(ABC):
    """A model that scores flows.

    Parameters
    ----------
    training
        How the network is trained.
    """

    name: ClassVar[str]
    supervised: ClassVar[bool] = False
    """True when it learns from labels."""
    own: ClassVar[tuple[str, ...]] = ()
    """Its own parameters, each a setting ``detector.NAME``."""
    gates: ClassVar[bool] = True
    """True when the largest score of a minute may raise an alarm in operation."""

    def __init__(self, training: Training | None = None) -> None:
        self.training = training or Training()

    @abstractmethod
    def fit(self, flows: pl.DataFrame, progress: Progress | None = None) -> None:
        """Learn from flows in file order; a supervised model from `LABEL` besides.

        Raises
        ------
        InputError
            When there is too little to learn from, or labels are missing.
        """

    @abstractmethod
    def score(self, flows: pl.DataFrame, memory: Memory) -> NDArray[np.float64]:
        """Score flows; higher is stranger, NaN where nothing can be said.

        Parameters
        ----------
        flows
            In file order, the columns `FLOW_COLUMNS`.
        memory
            Of the flows before them; changed in place.
        """

    @abstractmethod
    def tensors(self) -> tuple[Facts, Weights]:
        """Give what a profile keeps."""

    @abstractmethod
    def restore(self, facts: Facts, weights: Weights) -> None:
        """Take what `tensors` gave.

        Raises
        ------
        ProfileError
            When something is missing or of another shape.
        """
