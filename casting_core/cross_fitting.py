"""What thresholds come to on images that they were not chosen on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from casting_core.errors import InvalidInput
from casting_core.thresholds import choose_thresholds

if TYPE_CHECKING:
    from casting_core.held_out import HeldOut
    from casting_core.thresholds import Costs

__all__ = ["cross_fit_thresholds"]


def cross_fit_thresholds(held_out: HeldOut, costs: Costs) -> dict[str, int] | None:
    """Choose thresholds for each fold on the others and count its errors by image.

    None where there is one fold only, or where the other folds lack a class. The thresholds of the card are chosen on
    all predictions, so what they come to on these flatters; this does not.
    """
    counts = {"escapes": 0, "false_rejects": 0, "review": 0}
    if len(np.unique(held_out.folds)) == 1:
        return None
    for fold in np.unique(held_out.folds):
        try:
            thresholds = choose_thresholds(held_out.subset(held_out.folds != fold), costs)
        except InvalidInput:
            return None
        judged = held_out.subset(held_out.folds == fold)
        passed = judged.p_defective < thresholds.ok_below
        rejected = judged.p_defective >= thresholds.defective_from
        counts["escapes"] += int((passed & judged.defective).sum())
        counts["false_rejects"] += int((rejected & ~judged.defective).sum())
        counts["review"] += int((~passed & ~rejected).sum())
    return counts
