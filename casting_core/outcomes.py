"""What became of held-out images and castings at given thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from casting_core.card import Thresholds
    from casting_core.held_out import HeldOut


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Verdicts on units [U], images or castings; `casting` is a unit's place among the `castings` castings.

    A unit is `escaped` if it is defective and passed as ok, `false_rejected` if it is ok and called defective, and
    `reviewed` if it is left to a person.
    """

    castings: int
    casting: NDArray[np.intp]
    defective: NDArray[np.bool_]
    p_defective: NDArray[np.float64]
    escaped: NDArray[np.bool_]
    false_rejected: NDArray[np.bool_]
    reviewed: NDArray[np.bool_]

    def per_casting(self, units: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Count, for each casting [C], those of its units for which a mask [U] is true."""
        return np.bincount(self.casting, units, minlength=self.castings).astype(np.int64)


def image_outcomes(held_out: HeldOut, thresholds: Thresholds) -> Outcomes:
    """What became of each image, in the order of `held_out`."""
    castings = held_out.by_casting()
    return _outcomes(len(castings), castings.of_image, held_out.defective, held_out.p_defective, thresholds)


def casting_outcomes(held_out: HeldOut, thresholds: Thresholds) -> Outcomes:
    """What became of each casting, in the order of `held_out.by_casting()` and judged by the mean of its logits."""
    castings = held_out.by_casting()
    places = np.arange(len(castings))
    return _outcomes(len(castings), places, castings.defective, castings.p_defective, thresholds)


def _outcomes(
    castings: int,
    casting: NDArray[np.intp],
    defective: NDArray[np.bool_],
    p_defective: NDArray[np.float64],
    thresholds: Thresholds,
) -> Outcomes:
    passed, rejected = p_defective < thresholds.ok_below, p_defective >= thresholds.defective_from
    return Outcomes(
        castings=castings,
        casting=casting,
        defective=defective,
        p_defective=p_defective,
        escaped=defective & passed,
        false_rejected=~defective & rejected,
        reviewed=~passed & ~rejected,
    )
