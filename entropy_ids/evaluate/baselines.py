"""What `attention-multi-flow` must beat: one line of `BASELINES` each, as in Fig. 2.

All learn from the same labelled flows and are given the same features
(`entropy_ids.detectors.flow_features`), the context being the source. The plain LSTM
sees the flows before as well; the others see the flow's own vector, in which the step
from the flow before it already is. Adding one is one function and one line.

Notes
-----
The paper names its rivals and no settings. Ours are the library's defaults but for
these: classes are weighted where the method allows it (SVM); the SVM's radial kernel is
replaced by 200 of its components (Nyström) and learns from at most `SVM_FLOWS` flows,
drawn as for the networks; the MLP stops after 50 passes.

References
----------
.. [1] Zhu, Ye, Wang, Xu 2018, doi 10.1007/978-3-030-05677-3_13.
.. [2] Williams, Seeger 2001: Using the Nyström Method to Speed Up Kernel Machines.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import AdaBoostClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_approximation import Nystroem
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from entropy_ids.detectors.attention_multi_flow import (
    AttentionMultiFlow,
    PlainLstm,
    classes_of,
    targets_of,
)
from entropy_ids.detectors.flow_features import encoded, follow
from entropy_ids.detectors.flow_learning import draw
from entropy_ids.detectors.flows import LABEL
from entropy_ids.detectors.training import Training
from entropy_ids.evaluate.flow_table import FlowFigures, figures

SVM_FLOWS = 20_000
_CONTEXT = "source"
_COMPONENTS = 200


@dataclass(frozen=True)
class Predicted:
    """What a method says of the test flows.

    Attributes
    ----------
    classes
        Those that it learned, ``normal`` first.
    given
        The class it gives to each flow.
    scores
        Of each flow, higher is stranger; on the method's own scale.
    training_s
        Seconds of wall time that its training took, features included.
    """

    classes: list[str]
    given: list[str]
    scores: NDArray[np.float64]
    training_s: float

    def held_against(self, labels: pl.Series) -> FlowFigures:
        """Give the figures of this against the true classes."""
        return figures(labels, self.given, self.classes, self.scores)


Method = Callable[[pl.DataFrame, pl.DataFrame, int], Predicted]
"""Takes labelled training flows, test flows (each in file order) and a seed."""


def by_network(
    train: pl.DataFrame,
    test: pl.DataFrame,
    seed: int,
    kind: type[AttentionMultiFlow] = AttentionMultiFlow,
    training: Training | None = None,
    hidden: int = 256,
) -> Predicted:
    """Learn and judge by a network over the flows before each.

    Parameters
    ----------
    train, test
        Labelled flows, and flows to be judged, each in file order.
    seed
        Of weights and order, in place of the one in ``training``.
    kind
        `AttentionMultiFlow` or `PlainLstm`.
    training, hidden
        As for it.
    """
    model = kind(replace(training or Training(), seed=seed), _CONTEXT, hidden=hidden)
    begun = time.perf_counter()
    model.fit(train)
    training_s = time.perf_counter() - begun
    probabilities = model.probabilities(test, {})
    given = [model.classes[k] for k in probabilities.argmax(1)]
    return Predicted(model.classes, given, probabilities[:, 1:].sum(1), training_s)


def _naive_bayes(seed: int, flows: int) -> Any:
    return GaussianNB()


def _svm(seed: int, flows: int) -> Any:
    kernel = Nystroem(n_components=min(_COMPONENTS, flows), random_state=seed)
    return make_pipeline(kernel, LinearSVC(class_weight="balanced", random_state=seed))


def _adaboost(seed: int, flows: int) -> Any:
    return AdaBoostClassifier(random_state=seed)


def _mlp(seed: int, flows: int) -> Any:
    return MLPClassifier(max_iter=50, random_state=seed)


def _by_library(
    train: pl.DataFrame,
    test: pl.DataFrame,
    seed: int,
    make: Callable[[int, int], Any],
    most: int | None = None,
) -> Predicted:
    """Learn and judge the flow's own vector by a method of scikit-learn."""
    classes = classes_of(train)
    begun = time.perf_counter()
    encoding, followed = encoded(train, _CONTEXT, 2)
    targets = targets_of(train, classes)
    by_class = [np.flatnonzero(targets == k) for k in range(len(classes))]
    rows = draw(by_class, most or len(train), np.random.default_rng(seed))
    model = make(seed, len(rows))
    with threadpool_limits(1), warnings.catch_warnings():
        # a rival that wants more passes is judged as it is
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(encoding.encode(followed.records[rows]), targets[rows])
        training_s = time.perf_counter() - begun
        judged = follow(test, encoding.codes(test), {}, _CONTEXT, 2)
        vectors = encoding.encode(judged.records)
        given = [classes[k] for k in model.predict(vectors)]
        return Predicted(classes, given, _strangeness(model, vectors), training_s)


def _strangeness(model: Any, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Give how far the model takes each flow to be from normal, class 0."""
    if hasattr(model, "predict_proba"):
        return 1 - np.asarray(model.predict_proba(vectors)[:, 0], np.float64)
    margin = np.asarray(model.decision_function(vectors), np.float64)
    return margin if margin.ndim == 1 else -margin[:, 0]


BASELINES: dict[str, Method] = {
    "naive-bayes": partial(_by_library, make=_naive_bayes),
    "svm": partial(_by_library, make=_svm, most=SVM_FLOWS),
    "adaboost": partial(_by_library, make=_adaboost),
    "mlp": partial(_by_library, make=_mlp),
    PlainLstm.name: partial(by_network, kind=PlainLstm),
}


@dataclass(frozen=True)
class Studied:
    """One setting of the network, and what came of it."""

    learning_rate: float
    hidden: int
    found: FlowFigures
    training_s: float

    @property
    def name(self) -> str:
        """Say which setting it is."""
        return f"rate {self.learning_rate:g}, {self.hidden} units"


def study(
    train: pl.DataFrame,
    test: pl.DataFrame,
    rates: Sequence[float],
    widths: Sequence[int],
    seed: int = 1,
    training: Training | None = None,
) -> list[Studied]:
    """Try each learning rate with each number of hidden units, as the paper did.

    `entropy_ids.evaluate.flow_table.methods` shows what it gives, by name.

    Parameters
    ----------
    train, test
        Labelled flows, each in file order.
    rates
        Adam's step sizes.
    widths
        Units of the LSTM.
    seed
        Of weights and order, the same for all.
    training
        All other settings of the training.
    """
    rows = []
    for rate in rates:
        for hidden in widths:
            asked = replace(training or Training(), learning_rate=rate)
            said = by_network(train, test, seed, training=asked, hidden=hidden)
            found = said.held_against(test[LABEL])
            rows.append(Studied(rate, hidden, found, said.training_s))
    return rows
