"""Splits a data set into folds: castings stay whole, classes keep their shares, and castings weigh the same."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from casting_core.errors import InvalidDataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Split", "casting_weights", "split_folds"]

# "random" puts images of one casting on both sides: only to show how that flatters.
Split = Literal["group", "random"]

_SINGLE_SPLIT = 5  # one fold of five is held out where only one is asked for
_HELD_OUT, _TRAINED_ON = 0, -1


def split_folds(
    labels: NDArray[np.int64], castings: NDArray[np.int64], *, folds: int, split: Split, seed: int
) -> NDArray[np.int64]:
    """Give each image [N] the fold, from 0, in which it is held out.

    With 2 or more folds every image is held out once. With 1 a fifth is held out, and the others get -1: they are
    only trained on. Raises InvalidDataset when a class is missing, or has fewer castings than folds.
    """
    if folds < 1:
        raise InvalidDataset(f"{folds} folds are none; take 1 for a single split, or more to hold out every casting.")
    parts = folds if folds > 1 else min(_SINGLE_SPLIT, _fewest_castings(labels, castings))
    _check_castings(labels, castings, folds=max(folds, 2))
    place = np.empty(len(labels), np.int64)
    splitter = (
        StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
        if split == "group"
        else StratifiedKFold(parts, shuffle=True, random_state=seed)
    )
    with warnings.catch_warnings():
        # It warns of classes with fewer images than folds; such are refused above or below.
        warnings.simplefilter("ignore", UserWarning)
        for fold, (_, held_out) in enumerate(splitter.split(labels, labels, castings)):
            place[held_out] = fold
    if folds == 1:
        place = np.where(place == 0, _HELD_OUT, _TRAINED_ON)
    _check_folds(labels, place)
    return place


def casting_weights(labels: NDArray[np.int64], castings: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weigh images [N] so that both classes weigh the same, and within a class every casting; the sum is 1."""
    weights = np.zeros(len(labels))
    for label in np.unique(labels):
        chosen = labels == label
        _, of_image, images = np.unique(castings[chosen], return_inverse=True, return_counts=True)
        weights[chosen] = 1 / images[of_image] / len(images)
    return np.asarray(weights / weights.sum(), np.float64)


def _fewest_castings(labels: NDArray[np.int64], castings: NDArray[np.int64]) -> int:
    return max(2, min(len(np.unique(castings[labels == label])) for label in (0, 1)))


def _check_castings(labels: NDArray[np.int64], castings: NDArray[np.int64], *, folds: int) -> None:
    for label, name in enumerate(("ok", "defective")):
        count = len(np.unique(castings[labels == label]))
        if not count:
            raise InvalidDataset(
                f"All {len(labels)} training pictures are labelled {('ok', 'defective')[1 - label]!r}; a classifier "
                "needs both classes. Add labelled pictures of the other one."
            )
        if count < folds:
            raise InvalidDataset(
                f"There are {count} castings labelled {name!r}, but {folds} folds need at least {folds}: each is "
                "evaluated on castings that it was not trained on. Take fewer folds, or label more castings."
            )


def _check_folds(labels: NDArray[np.int64], place: NDArray[np.int64]) -> None:
    """Raise unless every fold has both classes on both sides: large castings can leave none for a fold."""
    for fold in range(place.max() + 1):
        for side in (place == fold, place != fold):
            if len(np.unique(labels[side])) < 2:  # noqa: PLR2004 - two classes
                raise InvalidDataset(
                    f"Fold {fold} would have one class alone on a side, since few castings hold most of the images. "
                    "Take fewer folds or another seed, or label more castings."
                )
