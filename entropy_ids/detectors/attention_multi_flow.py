"""The classifier of flows by the flows before them, with attention (AMF-LSTM).

What the paper says: statistical features of a flow and of the n - 1 flows before it
enter an LSTM together, so that the network sees how flows relate; attention weighs what
each of them says; a softmax names the class. n = 10 (20 is no better), 256 hidden
units, learning rate 1e-4; labelled flows of CICIDS2017.

What we do: the same on the columns of conn.log. The flows before are those of the same
context (`entropy_ids.detectors.flow_features.CONTEXTS`), the same source by default; a
short context is padded with zeros in front, which attention leaves out. A flow's score
is the probability that it is not normal. `PlainLstm` is the network without attention.

Notes
-----
The paper does not say which flows count as "before", nor the form of attention: ours is
additive [2]_, asked by the state after the flow itself. Its statistical features are a
flow meter's; ours are what Zeek keeps, see `flow_features.NUMBERS` and ``KINDS``.
The learning rate is ten times the paper's: on 26 captures of a lab, each parted by
time, four passes of 6,000 flows give an accuracy of .71 at 1e-4 and of .96 at 1e-3. Of
contexts the source does best there (macro F1 .91; pair .87, link .88); n = 20 is no
better, n = 2 worse (.84). Attacks of another speed than those learned are told badly
(.3 to .5), by an MLP better (.53). How it learns, with weighted classes, is told in
`entropy_ids.detectors.flow_learning`. It names what it was taught and nothing else.

References
----------
.. [1] Zhu, Ye, Wang, Xu: A Deep Learning Approach for Network Anomaly Detection Based
   on AMF-LSTM, NPC 2018, doi 10.1007/978-3-030-05677-3_13.
.. [2] Bahdanau, Cho, Bengio 2015, arXiv 1409.0473.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import nn

from entropy_ids.detectors.flow_features import (
    CONTEXTS,
    Encoding,
    Floats,
    Followed,
    Ints,
    encoded,
    follow,
    remember,
)
from entropy_ids.detectors.flow_learning import learn
from entropy_ids.detectors.flows import (
    LABEL,
    NORMAL,
    Facts,
    FlowModel,
    Memory,
    Weights,
)
from entropy_ids.detectors.training import (
    BLOCK,
    Progress,
    Training,
    cpu_threads,
    seeded,
)
from entropy_ids.errors import ConfigError, InputError, ProfileError


class Network(nn.Module):
    """LSTM over the flows, attention over its states, classes.

    Parameters
    ----------
    width
        D, the numbers of a flow's vector.
    hidden
        H, the units of the LSTM.
    classes
        K, the classes.
    attends
        False: the state after the flow itself stands for all.
    """

    def __init__(self, width: int, hidden: int, classes: int, attends: bool) -> None:
        super().__init__()
        self.attends = attends
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        if attends:
            self.said = nn.Linear(hidden, hidden, bias=False)
            self.asked = nn.Linear(hidden, hidden)
            self.energy = nn.Linear(hidden, 1, bias=False)
        self.head = nn.Linear(hidden, classes)

    def forward(self, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the classes' logits (B, K) and the flows' weights (B, n).

        A vector of zeros is padding: a flow's own has its slots of `KINDS` marked.
        """
        states, _ = self.lstm(vectors)  # (B, n, H)
        weights = self._weights(states, (vectors != 0).any(-1))
        logits: torch.Tensor = self.head((weights[..., None] * states).sum(1))
        return logits, weights

    def _weights(self, states: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        own = states[:, -1:]  # (B, 1, H)
        if not self.attends:
            last = torch.zeros_like(states[..., 0])
            last[:, -1] = 1
            return last
        energy = self.energy(torch.tanh(self.said(states) + self.asked(own)))
        masked = energy[..., 0].masked_fill(~real, -1e9)
        weights: torch.Tensor = torch.softmax(masked, 1) * real
        return weights


@dataclass(frozen=True)
class Judged:
    """What is said of flows.

    Attributes
    ----------
    probabilities
        float64, flows × classes.
    attention
        float64, flows × n: what each flow weighed, the flow itself last, those before
        it in file order; 0 at padding.
    before
        flows × n: which flows these are, by their row among those given; -1 at padding
        and for flows of an earlier call.
    """

    probabilities: NDArray[np.float64]
    attention: NDArray[np.float64]
    before: Ints


class AttentionMultiFlow(FlowModel):
    """Names the class of a flow from it and the flows before it.

    Parameters
    ----------
    training
        As for every flow model.
    context
        Whose flows count as before: ``source``, ``pair`` or ``link``.
    length
        n, the flows that are seen together, at least 2.
    hidden
        Units of the LSTM.

    Attributes
    ----------
    classes
        The classes that were learned, ``normal`` first.

    Raises
    ------
    ConfigError
        When the context is unknown or ``length`` too small.
    """

    name = "attention-multi-flow"
    supervised = True
    own = ("context", "length")
    gates = False
    attends: ClassVar[bool] = True

    def __init__(
        self,
        training: Training | None = None,
        context: str = "source",
        length: int = 10,
        hidden: int = 256,
    ) -> None:
        super().__init__(training)
        if context not in CONTEXTS or length < 2:
            raise ConfigError(
                f"expected a context of {', '.join(CONTEXTS)} and a length of at least "
                f"2 flows, found {context} and {length}; give others to {self.name}"
            )
        self.context = context
        self.length = length
        self.hidden = hidden
        self.classes: list[str] = []
        self._encoding: Encoding | None = None
        self._network: nn.Module | None = None

    def fit(self, flows: pl.DataFrame, progress: Progress | None = None) -> None:
        """Learn from labelled flows; those with a null label are seen as context alone.

        Raises
        ------
        InputError
            When there are no labels, or not normal flows and another class.
        """
        self.classes = classes_of(flows)
        self._encoding, followed = encoded(flows, self.context, self.length)
        self._network = seeded(self._make, self.training.seed)

        vectors = partial(self._vectors, followed)
        targets = targets_of(flows, self.classes)
        learn(self._network, vectors, targets, self.training, progress)

    def score(self, flows: pl.DataFrame, memory: Memory) -> NDArray[np.float64]:
        """Give 1 - P(normal) of each flow.

        Parameters
        ----------
        flows
            In file order, the columns `FLOW_COLUMNS`.
        memory
            Of the flows before them; changed in place.
        """
        attacks = self.probabilities(flows, memory)[:, 1:]
        strange: NDArray[np.float64] = attacks.sum(1)  # 1 - p would lose tiny ones
        return strange

    def probabilities(self, flows: pl.DataFrame, memory: Memory) -> NDArray[np.float64]:
        """Give flows × `classes`; parameters as for `score`."""
        return self.judge(flows, memory).probabilities

    def attention(self, flows: pl.DataFrame, memory: Memory) -> NDArray[np.float64]:
        """Give flows × n, see `Judged`; parameters as for `score`."""
        return self.judge(flows, memory).attention

    def judge(self, flows: pl.DataFrame, memory: Memory) -> Judged:
        """Give probabilities and attention at once; parameters as for `score`.

        Raises
        ------
        ProfileError
            When nothing was learned.
        """
        if self._network is None or self._encoding is None:
            raise ProfileError("expected a fitted model, found a new one; call fit")
        codes = self._encoding.codes(flows)
        followed = follow(flows, codes, memory, self.context, self.length)
        logits, attention = self._in_blocks(followed)
        remember(memory, followed)
        odds = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
        earlier = len(followed.records) - len(flows)
        before = np.maximum(followed.index - earlier, -1)
        return Judged(odds / odds.sum(1, keepdims=True), attention, before)

    def _in_blocks(
        self, followed: Followed
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Run the network on flows, each in the place of its running number.

        Blocks are of `BLOCK` flows exactly, so that what is said of a flow never
        depends on what else is scored.
        """
        assert self._network is not None
        place = followed.rows["place"].to_numpy()
        logits = np.empty((len(place), len(self.classes)))
        weights = np.empty((len(place), self.length))
        parted = np.flatnonzero(np.diff(place // BLOCK)) + 1
        with cpu_threads(1), torch.no_grad():
            for rows in np.split(np.arange(len(place)), parted):
                vectors = self._vectors(followed, rows)
                block = np.zeros((BLOCK, *vectors.shape[1:]), np.float32)
                block[place[rows] % BLOCK] = vectors
                said, weighed = self._network(torch.from_numpy(block))
                logits[rows] = said.numpy()[place[rows] % BLOCK]
                weights[rows] = weighed.numpy()[place[rows] % BLOCK]
        return logits, weights

    def _vectors(self, followed: Followed, rows: Ints) -> Floats:
        """Give flows × n × D, zeros where there was no flow before."""
        assert self._encoding is not None
        index = followed.index[rows]
        vectors = self._encoding.encode(followed.records[index])
        vectors[index < 0] = 0
        return vectors

    def _make(self) -> nn.Module:
        assert self._encoding is not None
        width, classes = self._encoding.width, len(self.classes)
        return Network(width, self.hidden, classes, self.attends)

    def tensors(self) -> tuple[Facts, Weights]:
        """Give what a profile keeps."""
        assert self._encoding is not None
        assert self._network is not None
        facts = {
            "classes": self.classes,
            "context": self.context,
            "length": self.length,
            "hidden": self.hidden,
            "features": self._encoding.facts(),
        }
        state = self._network.state_dict()
        return facts, {k: v.numpy().copy() for k, v in state.items()}

    def restore(self, facts: Facts, weights: Weights) -> None:
        """Take what `tensors` gave; context, length and width are those of the profile.

        Raises
        ------
        ProfileError
            When the features are others, or something is missing or of another shape.
        """
        try:
            self._encoding = Encoding.of(facts["features"])
            self.classes = list(facts["classes"])
            self.context = facts["context"]
            self.length = facts["length"]
            self.hidden = facts["hidden"]
            network = self._make()
            network.load_state_dict(
                {k: torch.from_numpy(v) for k, v in weights.items()}
            )
        except (KeyError, RuntimeError) as err:
            raise ProfileError(
                f"expected the facts and weights of {self.name} with {self.hidden} "
                "units, found others; the profile is damaged, train anew"
            ) from err
        self._network = network.eval()


class PlainLstm(AttentionMultiFlow):
    """The same network without attention: a rival, as in the paper's Fig. 2.

    Parameters
    ----------
    training, context, length, hidden
        As for `AttentionMultiFlow`.
    """

    name = "plain-lstm"
    attends = False


def classes_of(flows: pl.DataFrame) -> list[str]:
    """Give the classes of labelled flows, ``normal`` first, the others by name.

    Raises
    ------
    InputError
        When there are no labels, or not normal flows and another class.

    Examples
    --------
    >>> classes_of(pl.DataFrame({"label": ["dos", "normal", None, "bot"]}))
    ['normal', 'bot', 'dos']
    """
    if LABEL not in flows.columns:
        raise InputError(
            f"expected a column {LABEL} to learn classes from, found none; read "
            "labelled logs"
        )
    found = flows[LABEL].drop_nulls().unique().sort().to_list()
    if NORMAL not in found or len(found) < 2:
        raise InputError(
            f"expected flows labelled {NORMAL} and of at least one other class, found "
            f"{', '.join(found) or 'no label at all'} in {len(flows)} flows; read logs "
            "with both"
        )
    return [NORMAL, *(name for name in found if name != NORMAL)]


def targets_of(flows: pl.DataFrame, classes: list[str]) -> Ints:
    """Give each flow the place of its label in ``classes``, -1 where it has none."""
    places = {name: place for place, name in enumerate(classes)}
    found = flows[LABEL].replace_strict(places, default=-1, return_dtype=pl.Int64)
    return found.to_numpy()
