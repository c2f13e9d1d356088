"""What a model said of images that it had not been trained on, by image and by casting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit

from casting_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

# One saturated image would outweigh all others of its casting in a mean of logits; 1e-6 is a logit of 13.8.
_CERTAIN = 1e-6


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Predictions on images that the model which made them had not been trained on, as served (after temperature).

    `names` [N] are the images' uris, each once; `labels` int64 [N] is 1 for defective; `castings` int64 [N] is the same
    number for images of one casting; `p_defective` float64 [N]; `folds` int64 [N] says which fold's model predicted
    the image, 0 throughout for one split.

    Raises `InvalidInput` without images, for arrays of other lengths, a name given twice, or values out of range.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    castings: NDArray[np.int64]
    p_defective: NDArray[np.float64]
    folds: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not self.names:
            raise InvalidInput("There is no held-out image; an evaluation needs at least one.")
        for name in ("labels", "castings", "p_defective", "folds"):
            if getattr(self, name).shape != (len(self),):
                raise InvalidInput(
                    f"{name} has shape {getattr(self, name).shape}; there are {len(self)} held-out images."
                )
        if len(set(self.names)) < len(self):
            twice = next(name for index, name in enumerate(self.names) if name in self.names[:index])
            raise InvalidInput(f"{twice} stands twice among the held-out images; keep one prediction of it.")
        if not np.isin(self.labels, (0, 1)).all():
            raise InvalidInput("A held-out label is neither 0 (ok) nor 1 (defective).")
        wrong = ~((self.p_defective >= 0) & (self.p_defective <= 1))
        if wrong.any():
            first = int(wrong.argmax())
            raise InvalidInput(f"p_defective of {self.names[first]} is {self.p_defective[first]}, not within 0 to 1.")

    def __len__(self) -> int:
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HeldOut):
            return NotImplemented
        return self.names == other.names and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("labels", "castings", "p_defective", "folds")
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    @property
    def defective(self) -> NDArray[np.bool_]:
        """Which images are labelled defective, bool [N]."""
        return np.equal(self.labels, 1)

    def by_casting(self) -> Castings:
        """Sum the images up by casting."""
        return Castings(held_out=self)

    def subset(self, chosen: NDArray[Any]) -> HeldOut:
        """Give the predictions at places (integers) or where a mask [N] is true."""
        places = np.arange(len(self))[chosen]
        return HeldOut(
            names=tuple(self.names[place] for place in places),
            labels=self.labels[places],
            castings=self.castings[places],
            p_defective=self.p_defective[places],
            folds=self.folds[places],
        )


@dataclass(frozen=True, kw_only=True)
class Castings:
    """The held-out castings [C], in the order of their numbers.

    A casting is defective if any of its images is labelled so, and its p_defective is that of the mean of its images'
    logits (each cut to +-13.8): every image has one voice. `of_image` [N] is each image's place among the castings.
    """

    held_out: HeldOut
    numbers: NDArray[np.int64] = field(init=False)
    of_image: NDArray[np.int64] = field(init=False)
    images: NDArray[np.int64] = field(init=False)
    defective: NDArray[np.bool_] = field(init=False)
    p_defective: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        numbers, of_image, images = np.unique(self.held_out.castings, return_inverse=True, return_counts=True)
        logits = logit(np.clip(self.held_out.p_defective, _CERTAIN, 1 - _CERTAIN))
        found = {
            "numbers": numbers,
            "of_image": of_image,
            "images": images,
            "defective": np.bincount(of_image, self.held_out.labels) > 0,
            "p_defective": expit(np.bincount(of_image, logits) / images),
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.numbers)

    def count(self, images: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Count, for each casting, those of its images for which a mask [N] is true."""
        return np.bincount(self.of_image, images, minlength=len(self)).astype(np.int64)
