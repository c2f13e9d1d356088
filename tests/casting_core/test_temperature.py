"""Calibration: how overconfident a model was is found again."""

import numpy as np
import pytest

from casting_core.temperature import fit_temperature


def test_temperature_recovers_how_overconfident_the_probabilities_were():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, 20_000)
    labels = (generator.random(20_000) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    overconfident = 1 / (1 + np.exp(-3 * logits))
    assert fit_temperature(labels, overconfident) == pytest.approx(3, rel=0.05)
    separated = np.where(labels == 1, 0.999, 0.001)
    assert fit_temperature(labels, separated) == pytest.approx(0.5, rel=0.01)
