"""The flow language model: how unlikely a flow is after the flows before it.

What the paper says: each flow is a word, the flows of two addresses within an hour are
a sentence, and a recurrent network learns which word follows the ten before. Where the
network gives the next word little probability, the pair is anomalous. Words are the
protocol with the magnitude of its bytes, or the service port; a dyad-hour is scored by
its least probable flow.

What we do: the same, with the network of the authors' code: embedding 100, two
bidirectional LSTMs of 50 with dropout 0.2, a dense layer of 50, softmax, Nesterov Adam,
cross entropy. The score of a flow is -ln p. Words and sentences are the business of
`entropy_ids.detectors.sentences`.

Notes
-----
Meant by the paper and done here, where the authors' code does otherwise: address pairs
are undirected in both languages (its ports are directed); the lower of two ports is the
lower number (it compares strings: "443" < "80"); all training flows train (a list
joined where "or" was meant drops one of its two days); the embedding has a row for each
word and for the padding (its is one short); protocols are written out (icmp, igmp and
ip share their first letter); p has a floor in both languages; a flow is read once, and
equal flows stay apart (its reader repeats them and then drops true repetitions).

Departures. The cells of both LSTMs are the usual ones (tanh; the second of the authors'
has ReLU, which is unbounded over time). Padding is masked by never being read: windows
of one length are run together, without what pads them; the first flow of a sentence is
scored by the network's biases alone, and so by how usual its word is as a first one
(on two labelled hosts such flows alone tell attacks with an AUC of 0.98, by ports).
Words seen less than three times in training, and words never seen, are one word to the
network; its probability is shared out evenly among as many words as training had of
them, and is at most three in the number of training flows. (Measured with ports learned
from the same hosts under attack: sharing lifts the AUC of dyad-hours from 0.71 to 0.98
and from 0.53 to 0.79.) The hour is that of the log clock, not of `ts`. Sizes that Zeek
leaves unset are not 0. Passes, batch and early stopping are settings; a pass may draw a
part of the flows.

A flood of equal flows is probable from the second flow on: that is what this model
cannot see, and why the entropies stay the default. (Measured on a cloud host: a web
flood's dyad-hours lie below most others in both languages.)

References
----------
.. [1] Radford, Apolonio, Trias, Simpson 2018: Network traffic anomaly detection using
   recurrent neural networks, arXiv 1803.10769.
.. [2] Dozat 2016: Incorporating Nesterov momentum into Adam, ICLR workshop.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import nn

from entropy_ids.detectors.flows import Facts, FlowModel, Memory, Weights
from entropy_ids.detectors.sentences import (
    PADDING,
    WINDOW,
    WORDS,
    Codes,
    check_words,
    windows,
)
from entropy_ids.detectors.training import (
    BLOCK,
    Best,
    Progress,
    Training,
    cpu_threads,
    drawing_from,
    seeded,
)
from entropy_ids.errors import InputError, ProfileError

EMBEDDING = 100
HIDDEN = 50
DROPOUT = 0.2
LEAST_SEEN = 3
"""Words seen less often in training are learnt as the unknown word."""
LEAST_FLOWS = 100
HIGHEST = 10 * float(np.log(10))
"""The score of p = 1e-10 and below: 23, the floor of the paper's ports."""
_HELD_OUT = 0.1


class Network(nn.Module):
    """The paper's network: a window of codes becomes a logit for each word.

    Parameters
    ----------
    words
        Words, the unknown one included.
    """

    def __init__(self, words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words + 1, EMBEDDING, padding_idx=PADDING)
        both = {"bidirectional": True, "batch_first": True}
        self.first = nn.LSTM(EMBEDDING, HIDDEN, **both)
        self.second = nn.LSTM(2 * HIDDEN, HIDDEN, **both)
        self.dense = nn.Linear(2 * HIDDEN, HIDDEN)
        self.head = nn.Linear(HIDDEN, words)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, before: torch.Tensor) -> torch.Tensor:
        """Read windows of one length, 0 to `WINDOW`, without padding: (B, L)."""
        read = torch.zeros(len(before), 2 * HIDDEN)
        if before.shape[1]:
            words, _ = self.first(self.embedding(before))  # (B, L, 2H)
            _, (ends, _) = self.second(self.dropout(words))  # (2, B, H)
            read = torch.cat([ends[0], ends[1]], dim=1)
        said = self.dense(self.dropout(read))
        logits: torch.Tensor = self.head(self.dropout(said))
        return logits


class FlowLanguageModel(FlowModel):
    """Scores a flow by -ln p of its word after the words of its address pair.

    Parameters
    ----------
    training
        As for every flow model.
    words
        The language: a name of `entropy_ids.detectors.sentences.WORDS`.

    Attributes
    ----------
    vocabulary
        The known words, sorted; the first has code 1. All others have the next code.
    unknown
        Distinct words of the training that are not in the vocabulary, at least 1.
    flows
        Trained on.

    Raises
    ------
    ConfigError
        When there is no such language.
    """

    name = "flow-language-model"
    own: ClassVar[tuple[str, ...]] = ("words",)

    def __init__(
        self, training: Training | None = None, words: str = "proto-bytes"
    ) -> None:
        super().__init__(training)
        self.words = check_words(words)
        self.vocabulary: list[str] = []
        self.unknown = 1
        self.flows = 0
        self._network: nn.Module | None = None

    def fit(self, flows: pl.DataFrame, progress: Progress | None = None) -> None:
        """Learn the language of flows in file order; the last tenth is held out."""
        if len(flows) < LEAST_FLOWS:
            raise InputError(
                f"expected at least {LEAST_FLOWS} flows to train {self.name} on, "
                f"found {len(flows)}; read more logs"
            )
        words = WORDS[self.words](flows)
        seen = words.rename("word").value_counts()
        often = seen.filter(pl.col("count") >= LEAST_SEEN)
        self.vocabulary = often["word"].sort().to_list()
        self.unknown = max(1, len(seen) - len(often))
        self.flows = len(flows)
        codes = self._codes(words)
        self._network = seeded(self._make, self.training.seed)
        self._train(windows(flows, codes, {}), codes, progress)

    def score(self, flows: pl.DataFrame, memory: Memory) -> NDArray[np.float64]:
        """Give -ln p of each flow's word, at most `HIGHEST`; never NaN."""
        if self._network is None:
            raise ProfileError("expected a fitted model, found a new one; call fit")
        codes = self._codes(WORDS[self.words](flows))
        return self._surprise(windows(flows, codes, memory), codes)

    def _codes(self, words: pl.Series) -> Codes:
        """Give words their numbers from 1 on; all unknown words share the last one."""
        numbers = range(1, len(self.vocabulary) + 1)
        codes = words.replace_strict(
            pl.Series(self.vocabulary, dtype=pl.String),
            pl.Series(numbers, dtype=pl.Int32),
            default=len(self.vocabulary) + 1,
            return_dtype=pl.Int32,
        )
        return codes.to_numpy()

    def _make(self) -> nn.Module:
        return Network(len(self.vocabulary) + 1)

    def _train(self, before: Codes, codes: Codes, progress: Progress | None) -> None:
        assert self._network is not None
        network, training = self._network, self.training
        cut = int(len(codes) * (1 - _HELD_OUT))
        order = np.random.default_rng(training.seed)
        optimizer = torch.optim.NAdam(network.parameters(), lr=training.learning_rate)
        best = Best(network, training, progress)
        with cpu_threads(training.threads), drawing_from(training.seed):
            while not best.ended:
                drawn = order.permutation(cut)[: training.pass_sequences]
                network.train()
                for rows in _batches(before, drawn, training.batch, order):
                    optimizer.zero_grad()
                    loss = _loss(network, before[rows], codes[rows])
                    (loss / training.batch).backward()  # type: ignore[no-untyped-call]
                    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                    optimizer.step()
                best.passed(float(self._surprise(before[cut:], codes[cut:]).mean()))
        best.restore()

    def _surprise(self, before: Codes, codes: Codes) -> NDArray[np.float64]:
        """Give -ln p of each word after its window; equal windows are run once."""
        assert self._network is not None
        self._network.eval()
        distinct, of = _distinct(before)
        order = np.argsort(of, kind="stable")
        scores = np.empty(len(codes))
        for start, stop in _blocks(_lengths(distinct)):
            logs = self._log_p(distinct[start:stop])
            low, high = np.searchsorted(of, (start, stop), sorter=order)
            rows = order[low:high]
            scores[rows] = -logs[of[rows] - start, codes[rows] - 1]
        unknown = codes > len(self.vocabulary)
        shared = scores[unknown] + np.log(self.unknown)
        scores[unknown] = np.maximum(shared, np.log(self.flows / LEAST_SEEN))
        return np.minimum(scores, HIGHEST)

    def _log_p(self, before: Codes) -> NDArray[np.float32]:
        """Give ln p of every word after at most `BLOCK` windows of one length.

        Measured with AVX-512, AVX2 and SSE: in blocks of 64 the bits of a row depend
        neither on its place nor on its company; in blocks of 256 they do (AVX2).
        """
        assert self._network is not None
        length = int(_lengths(before[:1])[0])
        block = np.full((BLOCK, length), PADDING, np.int64)
        block[: len(before)] = before[:, WINDOW - length :]
        with cpu_threads(1), torch.no_grad():
            logits = self._network(torch.from_numpy(block))
            logs: NDArray[np.float32] = torch.log_softmax(logits, dim=1).numpy()
        return logs[: len(before)]

    def tensors(self) -> tuple[Facts, Weights]:
        """Give words, sizes and vocabulary, and the network's weights."""
        assert self._network is not None
        facts = self._sizes() | {
            "vocabulary": self.vocabulary,
            "unknown": self.unknown,
            "flows": self.flows,
        }
        weights = self._network.state_dict()
        return facts, {name: value.numpy().copy() for name, value in weights.items()}

    def _sizes(self) -> Facts:
        return {
            "words": self.words,
            "window": WINDOW,
            "embedding": EMBEDDING,
            "hidden": HIDDEN,
        }

    def restore(self, facts: Facts, weights: Weights) -> None:
        """Take what `tensors` gave.

        Raises
        ------
        ProfileError
            When words, sizes or shapes are others.
        """
        for name, wanted in self._sizes().items():
            if facts.get(name) != wanted:
                raise ProfileError(
                    f"{self.name}: expected {name} = {wanted!r}, found "
                    f"{facts.get(name)!r} in the profile; use the settings that it "
                    "was trained with, or train anew"
                )
        self.vocabulary = _vocabulary(facts.get("vocabulary"))
        self.unknown = _count(facts, "unknown")
        self.flows = _count(facts, "flows")
        self._network = self._make()
        tensors = {name: torch.tensor(value) for name, value in weights.items()}
        try:
            self._network.load_state_dict(tensors)
        except RuntimeError as err:
            raise ProfileError(
                f"model.safetensors: expected the weights of {self.name} with "
                f"{len(self.vocabulary)} words, found others; the profile is damaged, "
                "train anew"
            ) from err
        self._network.eval()


def _loss(network: nn.Module, before: Codes, codes: Codes) -> torch.Tensor:
    """Give the summed -ln p of words after windows of one length."""
    length = int(_lengths(before[:1])[0])
    logits = network(torch.from_numpy(before[:, WINDOW - length :]))
    wanted = torch.from_numpy(codes.astype(np.int64) - 1)
    return nn.functional.cross_entropy(logits, wanted, reduction="sum")


def _lengths(before: Codes) -> NDArray[np.int64]:
    """Count the words in each window."""
    lengths: NDArray[np.int64] = (before != PADDING).sum(axis=1)
    return lengths


def _batches(
    before: Codes, drawn: NDArray[np.int64], batch: int, order: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Part drawn flows into batches of windows of one length, in random order."""
    lengths = _lengths(before[drawn])
    parts = [
        own[start : start + batch]
        for own in (drawn[lengths == length] for length in range(WINDOW + 1))
        for start in range(0, len(own), batch)
    ]
    return [parts[at] for at in order.permutation(len(parts))]


def _distinct(before: Codes) -> tuple[Codes, NDArray[np.int64]]:
    """Give the distinct windows, shorter ones first, and which of them each row is."""
    rows = np.ascontiguousarray(before).view(f"V{before.itemsize * WINDOW}").ravel()
    # compared byte by byte, and padding is 0 and on the left: hence the order
    found, of = np.unique(rows, return_inverse=True)
    return found.view(before.dtype).reshape(-1, WINDOW), of


def _blocks(lengths: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Give the bounds of blocks: one length each, at most `BLOCK` windows."""
    bounds = np.searchsorted(lengths, np.arange(WINDOW + 2)).tolist()
    for low, high in itertools.pairwise(bounds):
        for start in range(low, high, BLOCK):
            yield start, min(start + BLOCK, high)


def _vocabulary(found: object) -> list[str]:
    """Give the vocabulary of a profile, checked to be distinct words."""
    if not isinstance(found, list) or len(set(map(str, found))) < len(found):
        raise ProfileError(
            f"expected a list of distinct words as vocabulary, found {found!r:.60}; "
            "the profile is damaged, train anew"
        )
    return [str(word) for word in found]


def _count(facts: Facts, name: str) -> int:
    """Give a number of a profile, checked to be one from 1 on."""
    found = facts.get(name)
    if not isinstance(found, int) or found < 1:
        raise ProfileError(
            f"expected a number from 1 on as {name}, found {found!r:.60}; the profile "
            "is damaged, train anew"
        )
    return found
