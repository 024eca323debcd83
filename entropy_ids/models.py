"""From settings to untrained models: series detectors and flow models, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entropy_ids.calendar import Calendar
from entropy_ids.config import Config
from entropy_ids.detectors import DETECTORS, FLOW_MODELS, SeriesDetector
from entropy_ids.detectors.flows import FlowModel
from entropy_ids.detectors.training import Training
from entropy_ids.errors import ConfigError

Settings = Config | Mapping[str, Any]


def check_kind(kind: str) -> None:
    """Refuse a name that no detector has.

    Raises
    ------
    ConfigError
        Names those that there are.
    """
    if kind not in DETECTORS and kind not in FLOW_MODELS:
        raise ConfigError(
            f"--detector: expected one of {', '.join([*DETECTORS, *FLOW_MODELS])}, "
            f"found {kind!r}"
        )


def detector_of(settings: Settings, kind: str) -> SeriesDetector:
    """Make an untrained series detector.

    Raises
    ------
    ConfigError
        When there is none of that name.
    """
    check_kind(kind)
    made = DETECTORS[kind]
    return made(
        calendar=Calendar.of(settings),
        window=settings["detector.window_min"],
        join=settings["detector.join"],
        training=_training(settings),
        **_own(settings, made.own),
    )


def flow_model_of(settings: Settings, kind: str) -> FlowModel:
    """Make an untrained flow model.

    Raises
    ------
    ConfigError
        When there is none of that name.
    """
    check_kind(kind)
    made = FLOW_MODELS[kind]
    return made(training=_training(settings), **_own(settings, made.own))


def check(settings: Settings, kind: str) -> None:
    """Refuse, before any work, what could not be trained under these settings.

    Raises
    ------
    ConfigError
        Names the setting, or the detectors that there are.
    """
    check_kind(kind)
    Calendar.of(settings)
    if kind in DETECTORS:
        detector_of(settings, kind)
    else:
        flow_model_of(settings, kind)


def _own(settings: Settings, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: settings[f"detector.{name}"] for name in names}


def _training(settings: Settings) -> Training:
    return Training(
        epochs=settings["training.epochs"],
        patience=settings["training.patience"],
        batch=settings["training.batch"],
        learning_rate=settings["training.learning_rate"],
        seed=settings["training.seed"],
        threads=settings["training.threads"],
        pass_sequences=settings["training.pass_sequences"],
    )
