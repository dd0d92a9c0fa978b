"""Conformal prediction: promises that hold whatever the model, from studies that chose nothing."""

from __future__ import annotations

import numpy as np


def p_values(strangeness: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """How rarely a good input is as strange: `[N]`, of n good ones `[n]` -> `[N]` in [1/(n + 1), 1].

    (1 + the number of calibration values that are at least as large) / (n + 1). Calling what has p <= α
    strange is a false alarm with probability at most α for an input that is exchangeable with the calibration
    inputs, whatever the distribution (Vovk 2005; Bates 2023, arXiv 2104.08279). Raises ValueError on NaN and
    without calibration values.
    """
    strangeness, calibration = (np.asarray(values, dtype=float) for values in (strangeness, calibration))
    if strangeness.ndim != 1 or calibration.ndim != 1 or not len(calibration):
        raise ValueError(
            f"strangeness {strangeness.shape} and calibration {calibration.shape} need shapes [N] and [n > 0]"
        )
    if np.isnan(strangeness).any() or np.isnan(calibration).any():
        raise ValueError("strangeness or calibration values contain NaN")
    less = np.searchsorted(np.sort(calibration), strangeness, side="left")
    return (1 + len(calibration) - less) / (len(calibration) + 1)
