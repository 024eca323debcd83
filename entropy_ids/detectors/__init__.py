"""Fit and score: an entropy series becomes scores. The only folder that imports torch.

Adding one is one file and one line of `DETECTORS` or of `FLOW_MODELS`.
"""

from entropy_ids.detectors.attention_multi_flow import AttentionMultiFlow
from entropy_ids.detectors.base import SeriesDetector
from entropy_ids.detectors.conv_bilstm_autoencoder import ConvBilstmAutoencoder
from entropy_ids.detectors.flow_language_model import FlowLanguageModel
from entropy_ids.detectors.flows import FlowModel
from entropy_ids.detectors.lstm_autoencoder import LstmAutoencoder
from entropy_ids.detectors.lstm_forecaster import LstmForecaster
from entropy_ids.detectors.threshold import top_percent

DETECTORS: dict[str, type[SeriesDetector]] = {
    LstmAutoencoder.name: LstmAutoencoder,
    ConvBilstmAutoencoder.name: ConvBilstmAutoencoder,
    LstmForecaster.name: LstmForecaster,
}
"""Series detectors score minutes by their columns."""

FLOW_MODELS: dict[str, type[FlowModel]] = {
    FlowLanguageModel.name: FlowLanguageModel,
    AttentionMultiFlow.name: AttentionMultiFlow,
}
"""Flow models score flows, and a minute by its strangest."""

__all__ = [
    "DETECTORS",
    "FLOW_MODELS",
    "ConvBilstmAutoencoder",
    "FlowModel",
    "LstmAutoencoder",
    "LstmForecaster",
    "SeriesDetector",
    "top_percent",
]
