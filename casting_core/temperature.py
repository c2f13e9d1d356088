"""Calibration: the one number by which logits are divided so that probabilities mean what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fit_temperature"]


def fit_temperature(labels: NDArray[np.int64], p_defective: NDArray[np.float64]) -> float:
    """The temperature that makes uncalibrated probabilities most likely (Guo et al. 2017), within 0.5 to 10.

    `p_defective` [N] comes from temperature 1. The bounds keep a small, perfectly separated sample from claiming
    certainty.
    """
    clipped = np.clip(p_defective, 1e-9, 1 - 1e-9)
    logits = np.log(clipped) - np.log1p(-clipped)
    signs = np.where(labels == 1, 1.0, -1.0)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0.0, -signs * logits / np.exp(log_temperature)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.5), np.log(10.0)), method="bounded").x))
