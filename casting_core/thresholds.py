"""Chooses where p_defective becomes a verdict: by what each kind of error costs, under a cap on escapes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit

from casting_core.card import Thresholds
from casting_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from casting_core.held_out import HeldOut

_CERTAIN = 1e-9


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a verdict costs when it is wrong or left to a person, in units of one false reject.

    `most_escapes` is the highest share of defective castings, and of defective images, that may pass as ok, and
    `most_review` the highest share of all images that may be left to a person; 1 sets no limit.
    `defect_rate` is the share of defective castings at which costs are weighed. By default both classes weigh the same:
    a collected data set is no sample of a line, and a line's own rate would let the costs ignore its rare defects.
    """

    escape: float = 20.0
    false_reject: float = 1.0
    review: float = 0.3
    most_escapes: float = 0.02
    most_review: float = 1.0
    defect_rate: float = 0.5

    def __post_init__(self) -> None:
        for name in ("escape", "false_reject", "review"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InvalidInput(f"The cost of {name} is {getattr(self, name)!r}; it must be a number from 0 up.")
        for name in ("most_escapes", "most_review"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidInput(f"{name} is {getattr(self, name)!r}; it is a share, from 0 to 1.")
        if not 0 < self.defect_rate < 1:
            raise InvalidInput(f"defect_rate is {self.defect_rate!r}; it is a share, between 0 and 1.")


def choose_thresholds(held_out: HeldOut, costs: Costs) -> Thresholds:
    """Choose the thresholds of least expected cost among those that keep the escapes under the cap.

    The expected cost of an image is `escape` if it is defective and passes as ok, `false_reject` if it is ok and called
    defective, and `review` if it falls between the thresholds. Defective images weigh `defect_rate` together and ok
    ones the rest; within a class every casting weighs the same, and a casting's images share its weight. The cap holds
    on these data by image and by casting (a casting's p_defective is that of its images' mean logit), whatever it
    costs, and so does the one on reviews, by image. Of equal costs the fewest escapes count, then the fewest false
    rejects.

    Between two neighbouring images any place fits the data alike. There `ok_below` is put a third of the way up and
    `defective_from` two thirds, in logits, so that values which no image has taken go to a person. The same predictions
    and costs give the same thresholds.

    Raises `InvalidInput` unless both classes are held out.
    """
    castings = held_out.by_casting()
    if held_out.defective.all() or not held_out.defective.any():
        raise InvalidInput("Thresholds cannot be chosen from images of one class; hold out castings of both classes.")
    values, at = np.unique(held_out.p_defective, return_inverse=True)
    low, high = _cuts(values, 1 / 3), _cuts(values, 2 / 3)
    low[0] = 0.0  # where no image has been, nothing passes as ok
    escaped = np.searchsorted(np.sort(castings.p_defective[castings.defective]), low) / castings.defective.sum()
    escaped_images = _below(at, held_out.defective / held_out.defective.sum(), len(values))
    allowed = np.maximum(escaped, escaped_images) <= costs.most_escapes
    weights = _weights(held_out, costs.defect_rate)
    escapes = _below(at, np.where(held_out.defective, weights, 0), len(values))
    passed = _below(at, np.where(held_out.defective, 0, weights), len(values))
    left = costs.escape * escapes - costs.review * (escapes + passed)
    right = costs.false_reject * (passed[-1] - passed) + costs.review * (escapes + passed)
    # Above a p_defective of 1 there is no place for a cut.
    left[-1], right[-1] = (np.inf, np.inf) if values[-1] == 1 else (left[-1], right[-1])
    images = _below(at, np.ones(len(held_out)), len(values))
    furthest = np.searchsorted(images, images + costs.most_review * len(held_out), side="right") - 1
    best_from = _last_minimum_within(right, furthest) if costs.most_review < 1 else _last_minimum_from(right)
    ok_below = int(np.argmin(np.where(allowed, left, np.inf) + right[best_from]))
    return Thresholds(ok_below=float(low[ok_below]), defective_from=float(high[best_from[ok_below]]))


def _weights(held_out: HeldOut, defect_rate: float) -> NDArray[np.float64]:
    """Weigh the images [N] so that a class's castings weigh the same, and the classes as `defect_rate` says."""
    castings = held_out.by_casting()
    weights = np.empty(len(held_out))
    for mask, share in ((held_out.defective, defect_rate), (~held_out.defective, 1 - defect_rate)):
        images = castings.count(mask)
        weights[mask] = share / (images > 0).sum() / images[castings.of_image[mask]]
    return weights


def _below(at: NDArray[np.intp], weights: NDArray[np.float64], places: int) -> NDArray[np.float64]:
    """Sum the weights of the images below each cut: [places + 1], from below all values to above all."""
    return np.concatenate([[0.0], np.cumsum(np.bincount(at, weights, minlength=places))])


def _cuts(values: NDArray[np.float64], fraction: float) -> NDArray[np.float64]:
    """Give a place for each cut [V + 1] around distinct sorted values [V], above the value before, at most the next."""
    below, above = np.concatenate([[0.0], values]), np.concatenate([values, [1.0]])
    low, high = logit(np.clip(below, _CERTAIN, 1 - _CERTAIN)), logit(np.clip(above, _CERTAIN, 1 - _CERTAIN))
    cuts = above
    exact = expit(low + fraction * (high - low))
    for places in (exact, np.round(exact, 4)):  # rounded where that fits, for those who read a card
        cuts = np.where((below < places) & (places <= above), places, cuts)
    return cuts


def _last_minimum_from(costs: NDArray[np.float64]) -> NDArray[np.intp]:
    """Tell for each place where the costs from there on are least; of equal ones the last."""
    backwards = costs[::-1]
    before = np.concatenate([[np.inf], np.minimum.accumulate(backwards)[:-1]])
    best = np.maximum.accumulate(np.where(backwards < before, np.arange(len(costs)), 0))
    return len(costs) - 1 - best[::-1]


def _last_minimum_within(costs: NDArray[np.float64], furthest: NDArray[np.intp]) -> NDArray[np.intp]:
    """Tell for each place where the costs from there to its furthest place are least; of equal ones the last."""
    return np.array([last - int(np.argmin(costs[first : last + 1][::-1])) for first, last in enumerate(furthest)])
