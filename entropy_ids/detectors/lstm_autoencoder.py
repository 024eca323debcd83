"""The LSTM autoencoder over sequences of entropy minutes.

What the paper says: an LSTM autoencoder learns sequences of one-minute entropies of
normal traffic; minutes with a high reconstruction error are anomalous; weekday and
weekend are separate profiles.

What we do: one encoder LSTM reads the sequence, a linear bottleneck keeps what it has
to say, a decoder LSTM writes the sequence back. A minute is scored by the residual of
the *last* minute of its sequence, so that live scoring needs no future.

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

from typing import ClassVar

import torch
from torch import nn

from entropy_ids.calendar import Calendar
from entropy_ids.detectors.base import SeriesDetector
from entropy_ids.detectors.training import Training


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

    def forward(self, minutes: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
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
    own: ClassVar[tuple[str, ...]] = ("hidden", "latent")

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

    def _make(self) -> nn.Module:
        return Network(len(self.columns), self.hidden, self.latent)
