"""A detector's error by the minutes that it was trained on."""

from types import SimpleNamespace

import make
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from entropy_ids.calendar import Calendar
from entropy_ids.config import Config
from entropy_ids.detectors import LstmForecaster
from entropy_ids.detectors.residual import Scaler
from entropy_ids.detectors.training import Training
from entropy_ids.errors import InputError
from entropy_ids.evaluate.learning import curve_of, learning_curve
from entropy_ids.evaluate.plots import draw_learning
from entropy_ids.pipeline import minutes_table

WINDOW = 6
HELD = 100
SERIES = make.series(900, seed=4, unknown=0.02)


def forecaster() -> LstmForecaster:
    training = Training(epochs=4, batch=32, learning_rate=0.01)
    return LstmForecaster(Calendar("UTC"), WINDOW, training=training, hidden=12)


@pytest.fixture(scope="module")
def curve():
    return learning_curve(forecaster, SERIES, [40, 160, 640], HELD)


def test_more_minutes_make_smaller_errors(curve):
    assert curve["minutes"].tolist() == [40, 160, 640]
    assert curve["error"].is_monotonic_decreasing
    assert curve["error"].iloc[-1] < 0.8 * curve["error"].iloc[0]


def test_the_curve_comes_from_the_seed_alone(curve):
    again = learning_curve(forecaster, SERIES, [40], HELD)
    assert again["error"][0] == curve["error"][0]


def test_the_error_is_the_mean_square_over_the_end_in_the_units_of_all_before(curve):
    detector, cut = forecaster(), len(SERIES) - HELD
    detector.fit(SERIES.slice(cut - 160, cut))
    tensors = detector.tensors()[1]
    values = SERIES.values.iloc[:cut]
    unit = Scaler.fit(values, detector.calendar.slots(values.index)).scale
    residuals = detector.residuals(SERIES, np.arange(cut, len(SERIES)))
    cells = [
        min(abs(cell) * own / common, 10) ** 2
        for row in residuals
        for cell, own, common in zip(row, tensors["scale"], unit, strict=True)
        if not np.isnan(cell)
    ]
    assert curve["error"][1] == pytest.approx(sum(cells) / len(cells), rel=1e-5)


def test_minutes_held_back_are_never_trained_on(curve):
    other = make.copied(SERIES)
    other.values.iloc[-HELD:] = 1e30
    worse = learning_curve(forecaster, other, [40], HELD)["error"][0]
    assert worse == 100  # a scaler that had seen them would not cut all of them off


@pytest.mark.parametrize("sizes", [[40, 801], []])
def test_more_minutes_than_there_are_cannot_be_learned_from(sizes):
    with pytest.raises(InputError, match="at most 800 minutes"):
        learning_curve(forecaster, SERIES, sizes, HELD)


def test_curves_are_drawn_into_one_picture(curve, tmp_path):
    out = draw_learning({"lstm-forecaster": curve}, tmp_path / "new" / "learning.png")
    assert imread(out).shape[2] == 4
    assert imread(out)[..., :3].min() < 0.1


def profile(minutes: int, kind: str = "lstm-forecaster") -> SimpleNamespace:
    """Give what a curve needs of a profile, of a network that learns in a second."""
    small = {"training.epochs": 1, "detector.hidden": 4, "detector.window_min": WINDOW}
    config = Config({key: (value, "the test") for key, value in small.items()})
    of = make.series(minutes, seed=5)
    scores = pd.Series(np.nan, of.values.index)
    table = minutes_table(of, scores, 1.0)
    columns = list(of.values.columns)
    manifest = {"detector": kind, "settings": config.trained(), "columns": columns}
    return SimpleNamespace(manifest=manifest, series=table)


def test_a_profile_s_curve_halves_its_minutes_but_the_last_day():
    curve = curve_of(profile(2 * 1440))
    assert curve["minutes"].tolist() == [45, 90, 180, 360, 720, 1440]
    assert np.isfinite(curve["error"]).all()


def test_a_profile_of_less_than_two_days_has_no_curve():
    with pytest.raises(InputError, match="two days at least, found one of 2879"):
        curve_of(profile(2 * 1440 - 1))


def test_a_flow_model_has_no_curve():
    assert curve_of(profile(100, "flow-language-model")) is None
