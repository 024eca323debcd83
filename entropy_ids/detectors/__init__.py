"""Fit and score: an entropy series becomes scores. The only folder that imports torch.

Adding a series detector is one file and one line of `DETECTORS`.
"""

from entropy_ids.detectors.base import SeriesDetector
from entropy_ids.detectors.lstm_autoencoder import LstmAutoencoder
from entropy_ids.detectors.threshold import top_percent

DETECTORS: dict[str, type[SeriesDetector]] = {
    LstmAutoencoder.name: LstmAutoencoder,
}

__all__ = ["DETECTORS", "LstmAutoencoder", "SeriesDetector", "top_percent"]
