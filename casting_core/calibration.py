"""Whether a probability means what it says: of the images given 0.8, are 80 % defective?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from casting_core.held_out import HeldOut

_BINS = 10


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Images with a p_defective from `low` up to `high`: how many, what they were given, what they turned out to be."""

    low: float
    high: float
    images: int
    mean_p_defective: float
    defective_share: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How far the probabilities are from the truth.

    `expected_error` is the mean distance between the probability and the share of defective images, over ten bins of
    equal width weighted by their images (Naeini et al. 2015, AAAI, 2901-2907). `brier` is the mean squared distance
    between p_defective and the label (Brier 1950, Monthly Weather Review 78, 1-3). `bins` are those with images.
    """

    expected_error: float
    brier: float
    bins: tuple[ReliabilityBin, ...]

    def to_json(self) -> dict[str, Any]:
        """The measures as plain JSON values."""
        return asdict(self) | {"bins": [asdict(each) for each in self.bins]}


def measure_calibration(held_out: HeldOut) -> Calibration:
    """Compare the held-out probabilities with the labels, every image weighing the same."""
    p_defective, labels = held_out.p_defective, held_out.labels
    places = np.minimum((p_defective * _BINS).astype(np.int64), _BINS - 1)
    bins = tuple(_bin(int(place), p_defective[places == place], labels[places == place]) for place in np.unique(places))
    distance = sum(each.images * abs(each.mean_p_defective - each.defective_share) for each in bins)
    return Calibration(
        expected_error=float(distance / len(held_out)),
        brier=float(np.square(p_defective - labels).mean()),
        bins=bins,
    )


def _bin(place: int, p_defective: NDArray[np.float64], labels: NDArray[np.int64]) -> ReliabilityBin:
    return ReliabilityBin(
        low=place / _BINS,
        high=(place + 1) / _BINS,
        images=len(labels),
        mean_p_defective=float(p_defective.mean()),
        defective_share=float(labels.mean()),
    )
