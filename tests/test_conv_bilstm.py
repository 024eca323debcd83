"""The convolutional, bidirectional autoencoder: mask, dropout, both ways, threshold."""

import make
import numpy as np
import pytest
import torch
from torch import nn

from entropy_ids.alarms.contributors import Seen
from entropy_ids.calendar import Calendar
from entropy_ids.config import Config
from entropy_ids.detectors import ConvBilstmAutoencoder
from entropy_ids.detectors.conv_bilstm_autoencoder import Network
from entropy_ids.detectors.training import Training, seeded
from entropy_ids.learning import train

WINDOW, COLUMNS = 7, 3
SMALL = {"channels": 8, "hidden": 8, "latent": 4}


def network(dropout: float = 0.5, hidden: int = 6) -> nn.Module:
    return seeded(lambda: Network(COLUMNS, 4, hidden, 2, dropout), 1).eval()


def sequences(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Give minutes and what of them is known."""
    rng = np.random.default_rng(seed)
    minutes = torch.from_numpy(rng.normal(size=(4, WINDOW, COLUMNS))).float()
    return minutes, torch.from_numpy(rng.random(minutes.shape) < 0.7)


def written(made: nn.Module, minutes: torch.Tensor, known: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(made(minutes, known))


def test_what_an_unknown_value_was_taken_for_does_not_matter():
    made, (minutes, known) = network(), sequences()
    other = torch.where(known, minutes, minutes + 9)
    assert np.array_equal(written(made, minutes, known), written(made, other, known))


def test_an_unknown_value_is_told_from_a_measured_zero():
    made, (minutes, known) = network(), sequences()
    measured, every = minutes * known, torch.ones_like(known)
    differs = written(made, measured, every) != written(made, minutes, known)
    assert differs.any(axis=2).all()


def test_a_convolution_sees_a_minute_with_its_neighbours_and_zeros_beyond_the_ends():
    made, (minutes, known) = network(), sequences()
    assert isinstance(made, Network)
    mask = known.numpy().astype(float)
    shown = np.concatenate([minutes.numpy() * mask, mask], axis=2)
    around = np.pad(shown, ((0, 0), (1, 1), (0, 0)))
    weights = made.convolution.weight.detach().numpy()  # (K, 2C, 3)
    naive = made.convolution.bias.detach().numpy() + sum(
        around[:, back : back + WINDOW] @ weights[:, :, back].T for back in range(3)
    )
    with torch.no_grad():
        found = made.convolution(torch.from_numpy(shown).float().mT).mT.numpy()
    assert np.allclose(found, naive, atol=1e-5)


@pytest.mark.parametrize("place", range(WINDOW))
def test_every_minute_of_a_window_bends_what_is_written_of_the_last(place):
    made, (minutes, known) = network(), sequences()
    bent, every = minutes.clone(), torch.ones_like(known)
    bent[:, place] += 3
    change = written(made, bent, every) - written(made, minutes, every)
    assert (change[:, -1] != 0).all()


def test_the_last_minute_is_decoded_first():
    made, decoded = network(), []
    assert isinstance(made, Network)
    made.decoder.register_forward_hook(lambda *told: decoded.append(told[2][0]))
    found = written(made, *sequences())
    with torch.no_grad():
        first = made.head(decoded[0][:, 0]).numpy()
    assert np.allclose(found[:, -1], first, atol=1e-6)
    assert not np.allclose(found[:, 0], first, atol=1e-3)


@pytest.mark.parametrize("hidden", [1, 2, 7])
def test_half_of_the_encoder_reads_backward_rounded_up(hidden):
    made, (minutes, known) = network(hidden=hidden), sequences()
    assert isinstance(made, Network)
    assert made.encoder.bidirectional
    assert made.encoder.hidden_size == -(-hidden // 2)
    assert written(made, minutes, known).shape == minutes.shape


def test_dropout_is_drawn_in_training_and_off_in_scoring():
    made, (minutes, known) = network(), sequences()
    assert np.array_equal(written(made, minutes, known), written(made, minutes, known))
    made.train()
    assert not np.array_equal(
        written(made, minutes, known), written(made, minutes, known)
    )


def fitted(dropout: float) -> ConvBilstmAutoencoder:
    how = Training(epochs=2, batch=32)
    made = ConvBilstmAutoencoder(
        Calendar("UTC"), WINDOW, training=how, dropout=dropout, **SMALL
    )
    made.fit(make.series(120))
    return made


def test_dropout_takes_part_in_training_and_comes_from_the_seed():
    first, again, other = (fitted(share).tensors()[0] for share in (0.5, 0.5, 0.0))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_five_percent_of_the_training_minutes_lie_above_the_papers_threshold():
    settings = {
        **{f"detector.{name}": size for name, size in SMALL.items()},
        "detector.window_min": WINDOW,
        "training.epochs": 1,
        "threshold.alarms_per_day": 0.0,
        "threshold.top_percent": 5.0,
    }
    series, kind = make.series(400), ConvBilstmAutoencoder.name
    config = Config({key: (value, "here") for key, value in settings.items()})
    profile = train(series, Seen(), config, "office", kind).profile
    scores, scored = profile.series["score"].dropna(), len(series) - WINDOW + 1
    assert len(scores) == scored
    assert (scores > profile.manifest["threshold"]).sum() == scored * 5 // 100
