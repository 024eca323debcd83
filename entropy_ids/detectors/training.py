"""The one training loop of all sequence networks, and the one way to run them."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

log = logging.getLogger(__name__)

BLOCK = 64
"""Windows are scored in blocks of exactly so many, each minute in its own place, so
that its score never depends on what is scored beside it."""
_HELD_OUT = 0.1
_BETTER = 1e-3  # a fall of the held-out loss by less than 0.1 % is none

Progress = Callable[[int, int, float], None]
"""Called after each pass with passes done, passes at most, and the held-out loss."""


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Parameters
    ----------
    epochs
        Passes over the training sequences, at most.
    patience
        Passes without a better held-out loss before it stops.
    batch
        Sequences per step.
    learning_rate
        Adam's step size.
    seed
        Of weights and order.
    threads
        CPU threads; part of the result, since sums are split by them.
    pass_sequences
        Sequences drawn for a pass, at most: neighbours overlap nearly wholly, so that
        a longer history needs no longer training.
    """

    epochs: int = 20
    patience: int = 3
    batch: int = 128
    learning_rate: float = 1e-3
    seed: int = 1
    threads: int = 1
    pass_sequences: int = 16_384


class Best:
    """Keeps a network's best weights by the held-out loss, and ends its training.

    Parameters
    ----------
    network
        As it is before the first pass.
    training
        How many passes at most, and how many without a better loss.
    progress
        Told of each pass.
    """

    def __init__(
        self, network: nn.Module, training: Training, progress: Progress | None
    ) -> None:
        self._network, self._training, self._progress = network, training, progress
        self._loss = float("inf")
        self._weights = copy.deepcopy(network.state_dict())
        self._passes = self._waited = 0

    @property
    def ended(self) -> bool:
        """True when there is to be no more pass."""
        most, patience = self._training.epochs, self._training.patience
        return self._passes >= most or self._waited >= patience

    def passed(self, held: float) -> None:
        """Take the held-out loss of one more pass."""
        self._passes += 1
        log.info("pass %d: held-out loss %.5f", self._passes, held)
        if self._progress:
            self._progress(self._passes, self._training.epochs, held)
        better = held < self._loss * (1 - _BETTER)
        self._waited = 0 if better else self._waited + 1
        if held < self._loss:
            self._loss = held
            self._weights = copy.deepcopy(self._network.state_dict())

    def restore(self) -> None:
        """Give the network its best weights, ready to be used."""
        self._network.load_state_dict(self._weights)
        self._network.to("cpu").eval()


@contextmanager
def cpu_threads(threads: int) -> Iterator[None]:
    """Run torch with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Let torch draw from ``seed`` alone, and put its random numbers back after."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Make a network whose first weights come from ``seed`` alone."""
    with drawing_from(seed):
        return make()


def train(
    network: nn.Module,
    inputs: NDArray[np.float32],
    known: NDArray[np.bool_],
    ends: NDArray[np.int64],
    window: int,
    training: Training,
    progress: Progress | None = None,
) -> None:
    """Train ``network`` in place to foretell the minutes of sequences.

    Parameters
    ----------
    network
        Takes minutes and what of them is known, both (B, T, C); gives the minutes that
        it expects, (B, T, C).
    inputs
        minutes × columns, scaled, no NaN.
    known
        minutes × columns; only known values count in the loss, their mean square.
    ends
        The last minute of each training sequence, by position, ascending.
    window
        Minutes in a sequence.

    Notes
    -----
    The last tenth of the sequences is held out for early stopping; the best weights by
    it are kept. What a network draws (dropout) comes from the seed too. A GPU is used
    when there is one.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cut = max(1, int(len(ends) * (1 - _HELD_OUT)))
    fit_ends, held_ends = ends[:cut], ends[cut:] if cut < len(ends) else ends
    x, seen = torch.from_numpy(inputs), torch.from_numpy(known)
    back = torch.arange(1 - window, 1)
    order = np.random.default_rng(training.seed)
    network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=training.learning_rate)
    best = Best(network, training, progress)

    def loss_of(batch: NDArray[np.int64]) -> torch.Tensor:
        rows = torch.from_numpy(batch)[:, None] + back  # (B, T)
        wanted, mask = x[rows].to(device), seen[rows].to(device)  # (B, T, C)
        error = (network(wanted, mask) - wanted) ** 2
        mean: torch.Tensor = (error * mask).sum() / mask.sum().clamp(min=1)
        return mean

    with cpu_threads(training.threads), drawing_from(training.seed):
        while not best.ended:
            shuffled = order.permutation(fit_ends)[: training.pass_sequences]
            for start in range(0, len(shuffled), training.batch):
                optimizer.zero_grad()
                loss_of(shuffled[start : start + training.batch]).backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
            best.passed(_held_out_loss(network, loss_of, held_ends, training.batch))
    best.restore()


def _held_out_loss(
    network: nn.Module,
    loss_of: Callable[[NDArray[np.int64]], torch.Tensor],
    ends: NDArray[np.int64],
    batch: int,
) -> float:
    network.eval()
    with torch.no_grad():
        parts = [ends[start : start + batch] for start in range(0, len(ends), batch)]
        total = sum(float(loss_of(part)) * len(part) for part in parts)
    network.train()
    return total / len(ends)


def last_minutes(
    network: nn.Module,
    inputs: NDArray[np.float32],
    known: NDArray[np.bool_],
    ends: NDArray[np.int64],
    places: NDArray[np.int64],
    window: int,
) -> NDArray[np.float32]:
    """Give what the network makes of the last minute of each sequence.

    Parameters
    ----------
    network, inputs, known
        As for `train`.
    ends
        The last minute of each sequence, by position.
    places
        The number of that minute (minutes since 1970): it decides the block and the
        place in it, whatever else is scored.

    Returns
    -------
    numpy.ndarray
        len(ends) × columns.
    """
    made = np.empty((len(ends), inputs.shape[1]), np.float32)
    back = np.arange(1 - window, 1)
    parted = (np.diff(places // BLOCK) != 0) | (np.diff(places) <= 0)
    blocks = np.split(np.arange(len(ends)), np.flatnonzero(parted) + 1)
    network.eval()
    with cpu_threads(1), torch.no_grad():
        for rows in blocks if len(ends) else []:
            at, seen = places[rows] % BLOCK, ends[rows][:, None] + back
            block = np.zeros((BLOCK, window, inputs.shape[1]), np.float32)
            mask = np.zeros(block.shape, np.bool_)
            block[at], mask[at] = inputs[seen], known[seen]
            out = network(torch.from_numpy(block), torch.from_numpy(mask)).numpy()
            made[rows] = out[at, -1]
    return made
