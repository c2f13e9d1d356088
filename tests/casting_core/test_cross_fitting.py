"""Thresholds are measured where they were not chosen."""

import numpy as np

from casting_core.cross_fitting import cross_fit_thresholds
from casting_core.held_out import HeldOut
from casting_core.thresholds import Costs


def held_out(p_defective, labels, folds):
    count = len(labels)
    return HeldOut(
        names=tuple(map(str, range(count))),
        labels=np.array(labels),
        castings=np.arange(count),
        p_defective=np.array(p_defective, dtype=float),
        folds=np.array(folds),
    )


def test_an_image_that_only_its_own_fold_would_have_set_the_threshold_for_escapes():
    p_defective = [0.1, 0.9, 0.1, 0.9, 0.05, 0.02]
    found = cross_fit_thresholds(held_out(p_defective, [0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 2, 2]), Costs())
    # The other two folds are judged by thresholds that know of it, so their ok images go to review.
    assert found == {"escapes": 1, "false_rejects": 0, "review": 2}


def test_one_fold_has_no_others_to_choose_on():
    assert cross_fit_thresholds(held_out([0.1, 0.9], [0, 1], [0, 0]), Costs()) is None


def test_folds_that_leave_one_class_to_choose_on_tell_nothing():
    assert cross_fit_thresholds(held_out([0.1, 0.9], [0, 1], [0, 1]), Costs()) is None
