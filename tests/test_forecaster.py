"""The LSTM forecaster: what it sees, and what it learns."""

import make
import numpy as np
import pytest
import torch

from entropy_ids.calendar import Calendar
from entropy_ids.detectors import LstmForecaster
from entropy_ids.detectors.lstm_forecaster import Network
from entropy_ids.detectors.training import Training, seeded

WINDOW, COLUMNS, HIDDEN = 7, 3, 5


def network() -> Network:
    made = seeded(lambda: Network(COLUMNS, HIDDEN), 1)
    assert isinstance(made, Network)
    return made.eval()


def minutes(sequences: int = 4, seed: int = 1) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(sequences, WINDOW, COLUMNS))).float()


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def forecast(made: Network, before: np.ndarray) -> np.ndarray:
    """Read minutes one by one as the textbook's LSTM does; write the next."""
    weights = {k: v.numpy().astype(float) for k, v in made.state_dict().items()}
    state, cell = np.zeros(HIDDEN), np.zeros(HIDDEN)
    for minute in [np.zeros(COLUMNS), *before]:
        gates = weights["reader.weight_ih_l0"] @ minute + weights["reader.bias_ih_l0"]
        gates += weights["reader.weight_hh_l0"] @ state + weights["reader.bias_hh_l0"]
        let_in, keep, new, out = np.split(gates, 4)
        cell = sigmoid(keep) * cell + sigmoid(let_in) * np.tanh(new)
        state = sigmoid(out) * np.tanh(cell)
    return weights["head.weight"] @ state + weights["head.bias"]


def test_every_minute_is_written_by_a_textbook_lstm_from_those_before_it():
    made, shown = network(), minutes()
    with torch.no_grad():
        written = made(shown, torch.ones_like(shown, dtype=torch.bool)).numpy()
    for sequence, expected in zip(shown.numpy(), written, strict=True):
        for place in range(WINDOW):
            naive = forecast(made, sequence[:place])
            assert np.allclose(expected[place], naive, atol=1e-5)


@pytest.mark.parametrize("place", range(WINDOW))
def test_a_minute_bends_only_the_forecasts_of_later_ones(place):
    made, shown, known = network(), minutes(), torch.ones(4, WINDOW, COLUMNS).bool()
    bent = shown.clone()
    bent[:, place] += 3
    with torch.no_grad():
        same = (made(shown, known) == made(bent, known)).all(dim=2).all(dim=0)
    assert same.tolist() == [later <= place for later in range(WINDOW)]


def fitted(hidden: int = 12) -> LstmForecaster:
    training = Training(epochs=12, batch=32, learning_rate=0.01)
    return LstmForecaster(Calendar("UTC"), WINDOW, training=training, hidden=hidden)


def test_what_a_minute_itself_shows_goes_into_its_residual_whole():
    made, series = fitted(), make.series(400, seed=1)
    made.fit(series)
    other, last = make.copied(series), np.array([399])
    other.values.iloc[399, 0] += 1
    change = made.residuals(other, last) - made.residuals(series, last)
    scale = made.tensors()[1]["scale"]
    assert change[0] == pytest.approx([1 / scale[0], 0, 0, 0, 0, 0])


def test_a_rhythm_is_foretold_better_than_by_its_median():
    made, series = fitted(), make.series(900, seed=1)
    series.values[:] = np.sin(2 * np.pi * np.arange(900) / 60)[:, None] + 5
    made.fit(series.slice(0, 700))
    held = series.slice(700, 900)
    error = (made.residuals(held, made.ends(held)) ** 2).mean()
    assert error < 0.05  # foretelling the median errs by 3.2
