"""Folds: castings whole, both classes on each side, and clear words where that cannot be."""

import numpy as np
import pytest

from casting_core.errors import InvalidDataset
from casting_core.folds import casting_weights, split_folds

LABELS = np.repeat([0, 1], 40)
CASTINGS = np.arange(80) // 4


def split(labels=LABELS, castings=CASTINGS, *, folds=5, split="group", seed=0):
    return split_folds(labels, castings, folds=folds, split=split, seed=seed)


def test_every_image_is_held_out_once_and_castings_stay_whole():
    folds = split()
    assert set(folds) == set(range(5))
    assert all(len(set(folds[casting == CASTINGS])) == 1 for casting in set(CASTINGS))
    assert all(set(LABELS[folds == fold]) == {0, 1} for fold in range(5))
    assert np.array_equal(folds, split())
    assert not np.array_equal(folds, split(seed=1))


def test_one_fold_holds_out_a_fifth_of_the_castings():
    folds = split(folds=1)
    assert set(folds) == {-1, 0}
    assert (folds == 0).sum() == 16
    assert not set(CASTINGS[folds == 0]) & set(CASTINGS[folds == -1])


def test_a_random_split_puts_castings_on_both_sides():
    folds = split(split="random")
    assert any(len(set(folds[casting == CASTINGS])) > 1 for casting in set(CASTINGS))


def test_fewer_castings_than_folds_are_refused():
    with pytest.raises(InvalidDataset, match="There are 10 castings labelled 'ok', but 11 folds need at least 11"):
        split(folds=11)


def test_a_single_casting_of_a_class_is_refused_even_for_one_fold():
    castings = np.where(LABELS == 1, 99, CASTINGS)
    with pytest.raises(InvalidDataset, match="There are 1 castings labelled 'defective'"):
        split(castings=castings, folds=1)


def test_one_class_only_is_refused():
    with pytest.raises(InvalidDataset, match="All 80 training pictures are labelled 'ok'"):
        split(labels=np.zeros(80, np.int64))


def test_no_folds_are_refused():
    with pytest.raises(InvalidDataset, match="0 folds are none"):
        split(folds=0)


def test_two_castings_of_a_class_are_enough_for_one_fold():
    labels, castings = np.array([0, 0, 1, 1]), np.array([0, 1, 2, 3])
    folds = split(labels, castings, folds=1)
    assert sorted(labels[folds == 0]) == sorted(labels[folds == -1]) == [0, 1]


def test_castings_weigh_the_same_within_a_class_and_classes_among_each_other():
    labels, castings = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 2, 3])
    assert casting_weights(labels, castings) == pytest.approx([1 / 8, 1 / 8, 1 / 4, 1 / 4, 1 / 4])
