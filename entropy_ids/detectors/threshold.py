"""From training scores to the score above which a minute is an alarm."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd

from entropy_ids.errors import InputError


def top_percent(scores: pd.Series[float], percent: float) -> float:
    """Give the threshold that the highest ``percent`` of scores lie above.

    Parameters
    ----------
    scores
        Training scores; NaN are left out.
    percent
        Share of minutes, in percent (the paper's top X %). By construction 14.4 X
        minutes a day of normal traffic like the training's are above it.

    Raises
    ------
    InputError
        When no minute was scored.

    Examples
    --------
    >>> top_percent(pd.Series([3.0, 1.0, 2.0, float("nan"), 4.0]), 25)
    3.0
    """
    known = np.sort(scores.dropna().to_numpy())
    if not len(known):
        raise InputError(
            "expected scored minutes to set a threshold by, found none; "
            "train on more consecutive minutes"
        )
    above = int(len(known) * Fraction(str(percent)) / 100)  # 0.57 % means 57/10,000
    return float(known[len(known) - 1 - min(above, len(known) - 1)])
