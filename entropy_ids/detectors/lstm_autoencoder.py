"""The LSTM autoencoder over sequences of entropy minutes.

What the paper says: an LSTM autoencoder learns sequences of one-minute entropies of
normal traffic; minutes with a high reconstruction error are anomalous; weekday and
weekend are separate profiles.

What we do: one encoder LSTM reads the sequence, a linear bottleneck keeps what it has
to say, a decoder LSTM writes the sequence back. A minute is scored by the residual of
the
*last* minute of its sequence, so that live scoring needs no future.

Notes
-----
Departures: the residual vector is joined by its Mahalanobis distance by default (see
`entropy_ids.detectors.residual`), where the paper takes the mean square; one network
learns weekday and weekend; the paper gives no layer sizes, ours are settings; unknown
values enter as their slot's median and leave the loss and the residual.

References
----------
.. [1] Bhat, Neogi: parameterised entropies and LSTM autoencoders over Bro conn logs.
.. [2] Srivastava, Mansimov, Salakhutdinov 2015, arXiv 1502.04681.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from entropy_ids.calendar import Calendar
from entropy_ids.detectors.base import SeriesDetector
from entropy_ids.detectors.training import (
    Progress,
    Training,
    last_minutes,
    seeded,
    train,
)
from entropy_ids.errors import ProfileError


class Network(nn.Module):
    """Encoder, bottleneck, decoder.

    Parameters
    ----------
    columns
        C, the width of a minute.
    hidden
        Units of both LSTMs.
    latent
        Units of the bottleneck.
    """

    def __init__(self, columns: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.encoder = nn.LSTM(columns, hidden, batch_first=True)
        self.squeeze = nn.Linear(hidden, latent)
        self.decoder = nn.LSTM(latent, hidden, batch_first=True)
        self.head = nn.Linear(hidden, columns)

    def forward(self, minutes: torch.Tensor) -> torch.Tensor:
        """Write the sequence back; the last minute is decoded first."""
        _, (state, _) = self.encoder(minutes)  # (1, B, H)
        said = self.squeeze(state[-1])  # (B, L)
        repeated = said[:, None, :].expand(-1, minutes.shape[1], -1)  # (B, T, L)
        decoded, _ = self.decoder(repeated)  # (B, T, H)
        written: torch.Tensor = self.head(decoded)
        return written.flip(1)  # (B, T, C)


class LstmAutoencoder(SeriesDetector):
    """Scores a minute by what an autoencoder cannot write back of it.

    Parameters
    ----------
    calendar, window, join, training
        As for every series detector.
    hidden
        Units of the LSTMs.
    latent
        Units of the bottleneck.
    """

    name = "lstm-autoencoder"

    def __init__(
        self,
        calendar: Calendar,
        window: int = 30,
        join: str = "mahalanobis",
        training: Training | None = None,
        hidden: int = 64,
        latent: int = 32,
    ) -> None:
        super().__init__(calendar, window, join, training)
        self.hidden = hidden
        self.latent = latent
        self._network: nn.Module | None = None

    def _make(self) -> nn.Module:
        return Network(len(self.columns), self.hidden, self.latent)

    def _fit(
        self,
        inputs: NDArray[np.float32],
        known: NDArray[np.bool_],
        ends: NDArray[np.int64],
        progress: Progress | None,
    ) -> None:
        self._network = seeded(self._make, self.training.seed)
        train(self._network, inputs, known, ends, self.window, self.training, progress)

    def _expect(
        self,
        inputs: NDArray[np.float32],
        ends: NDArray[np.int64],
        places: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        assert self._network is not None
        return last_minutes(self._network, inputs, ends, places, self.window)

    def _weights(self) -> dict[str, NDArray[np.float32]]:
        assert self._network is not None
        return {k: v.numpy().copy() for k, v in self._network.state_dict().items()}

    def _load_weights(self, weights: dict[str, NDArray[np.float32]]) -> None:
        self._network = self._make()
        tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
        try:
            self._network.load_state_dict(tensors)
        except RuntimeError as err:
            raise ProfileError(
                f"model.safetensors: expected the weights of {self.name} with "
                f"{len(self.columns)} columns, found others; the profile is damaged, "
                "train anew"
            ) from err
        self._network.eval()
