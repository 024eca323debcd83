"""The one training loop of flow classifiers: rare classes stay in, early stopping.

Classes are weighted by their inverse frequency, at most `MOST_WEIGHT` times the most
frequent one: a class of 8 flows among 460,000 would else decide alone. A long history
is learned in drawn passes, see `quotas`. The last tenth of each class, in file order,
is held out; the weights that were best on it are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from entropy_ids.detectors.training import Best, Progress, Training, cpu_threads

MOST_WEIGHT = 10.0
_HELD_EVERY = 10  # the last flow of so many of a class is held out

Ints = NDArray[np.int64]
Vectors = Callable[[Ints], NDArray[np.float32]]
"""Gives the network's input of flows by their position."""


def quotas(counts: Ints, most: int) -> Ints:
    """Share ``most`` places of a pass: half equally by class, the rest by frequency.

    Examples
    --------
    >>> quotas(np.array([9000, 900, 5]), most=100).tolist()
    [73, 21, 5]
    """
    if counts.sum() <= most:
        return counts
    taken = np.minimum(counts, max(1, most // (2 * len(counts))))
    left = counts - taken
    shared: Ints = taken + (most - taken.sum()) * left // left.sum()
    return shared


@dataclass(frozen=True)
class Lesson:
    """Flows to learn from, class by class, and flows to be held against.

    Attributes
    ----------
    by_class
        Positions of the flows of each class, in file order.
    held
        Positions of the flows held out.
    weights
        What a flow of each class counts in the loss.
    """

    by_class: list[Ints]
    held: Ints
    weights: NDArray[np.float32]

    @staticmethod
    def of(targets: Ints, most: int, rng: np.random.Generator) -> Lesson:
        """Part flows by class and time; both parts are drawn to at most ``most``."""
        every = [np.flatnonzero(targets == k) for k in range(targets.max() + 1)]
        cuts = [len(rows) - len(rows) // _HELD_EVERY for rows in every]
        first = [rows[:cut] for rows, cut in zip(every, cuts, strict=True)]
        last = [rows[cut:] for rows, cut in zip(every, cuts, strict=True)]
        held = draw(last if any(map(len, last)) else first, most, rng)
        shares = quotas(np.array([len(rows) for rows in first]), most)
        weights = np.minimum(shares.max() / shares, MOST_WEIGHT)
        return Lesson(first, held, weights.astype(np.float32))


def learn(
    network: nn.Module,
    vectors: Vectors,
    targets: Ints,
    training: Training,
    progress: Progress | None = None,
) -> None:
    """Train ``network`` in place to name the class of each flow.

    Parameters
    ----------
    network
        Gives logits of the classes, and something else.
    targets
        The class of each flow, from 0; -1 where it is unknown. No class is missing.

    Notes
    -----
    A GPU is used when there is one.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rng = np.random.default_rng(training.seed)
    lesson = Lesson.of(targets, training.pass_sequences, rng)
    network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=training.learning_rate)
    loss_of = _loss(network, vectors, targets, lesson.weights, device)
    best = Best(network, training, progress)
    with cpu_threads(training.threads):
        while not best.ended:
            drawn = draw(lesson.by_class, training.pass_sequences, rng)
            for rows in _batches(drawn, training.batch):
                optimizer.zero_grad()
                loss_of(rows).backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
            held = _held_out_loss(network, loss_of, lesson, targets, training.batch)
            best.passed(held)
    best.restore()


def _loss(
    network: nn.Module,
    vectors: Vectors,
    targets: Ints,
    weights: NDArray[np.float32],
    device: torch.device,
) -> Callable[[Ints], torch.Tensor]:
    """Give the weighted cross-entropy of flows, a mean over their weights."""
    measure = nn.CrossEntropyLoss(torch.from_numpy(weights)).to(device)

    def loss_of(rows: Ints) -> torch.Tensor:
        logits, _ = network(torch.from_numpy(vectors(rows)).to(device))
        loss: torch.Tensor = measure(logits, torch.from_numpy(targets[rows]).to(device))
        return loss

    return loss_of


def _held_out_loss(
    network: nn.Module,
    loss_of: Callable[[Ints], torch.Tensor],
    lesson: Lesson,
    targets: Ints,
    batch: int,
) -> float:
    network.eval()
    total = 0.0
    with torch.no_grad():
        for rows in _batches(lesson.held, batch):
            total += float(loss_of(rows)) * float(lesson.weights[targets[rows]].sum())
    network.train()
    return total / float(lesson.weights[targets[lesson.held]].sum())


def draw(by_class: list[Ints], most: int, rng: np.random.Generator) -> Ints:
    """Draw flows of every class, by their `quotas`, and mix them.

    Parameters
    ----------
    by_class
        Positions of the flows of each class.
    most
        Flows that are drawn, at most.
    """
    shares = quotas(np.array([len(rows) for rows in by_class]), most)
    drawn = [
        rng.permutation(rows)[:share]
        for rows, share in zip(by_class, shares.tolist(), strict=True)
    ]
    return rng.permutation(np.concatenate(drawn))


def _batches(rows: Ints, size: int) -> Iterator[Ints]:
    return (rows[start : start + size] for start in range(0, len(rows), size))
