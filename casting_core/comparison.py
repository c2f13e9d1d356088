"""Two models on the same held-out images: how much oftener does the one err than the other?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from casting_core.errors import InvalidInput
from casting_core.outcomes import casting_outcomes, image_outcomes
from casting_core.rates import Interval
from casting_core.resampling import draw_castings, percentile_interval, resampled_rates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from casting_core.card import Thresholds
    from casting_core.held_out import HeldOut
    from casting_core.outcomes import Outcomes


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A rate of both models, and challenger minus champion: above 0 the challenger errs oftener.

    `worse` and `better` count the castings on which the challenger errs more or less than the champion. The interval
    is the bootstrap's over castings. It knows only the castings that were compared: where none is worse it ends at or
    below 0, however few they are, so whoever relies on it also asks for enough castings. Rates are None of none, and
    the interval then is [-1, 1].
    """

    champion: float | None
    challenger: float | None
    difference: float | None
    interval: Interval
    worse: int
    better: int


@dataclass(frozen=True, kw_only=True)
class Differences:
    """The differences in escape rate (of the defective) and false-reject rate (of the ok)."""

    escapes: Difference
    false_rejects: Difference


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Champion and challenger on the same images, by image and by casting."""

    images: int
    castings: int
    by_image: Differences
    by_casting: Differences

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain JSON values."""
        return asdict(self)


def paired_difference(
    champion: HeldOut,
    challenger: HeldOut,
    champion_thresholds: Thresholds,
    challenger_thresholds: Thresholds,
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two models on the same held-out images, joined by name, each at its own thresholds.

    Castings are resampled within each class, and both models are scored on the same draw: what is hard for both leaves
    the difference. By casting, verdicts follow from the mean of a casting's logits, as in `evaluate`.

    Raises `InvalidInput` where the sets of images differ, or their labels, or which of them show one casting.
    """
    challenger = _joined(champion, challenger)
    castings = champion.by_casting()
    drawn = draw_castings(castings.defective, seed=seed)
    return Comparison(
        images=len(champion),
        castings=len(castings),
        by_image=_differences(
            image_outcomes(champion, champion_thresholds),
            image_outcomes(challenger, challenger_thresholds),
            drawn,
            confidence,
        ),
        by_casting=_differences(
            casting_outcomes(champion, champion_thresholds),
            casting_outcomes(challenger, challenger_thresholds),
            drawn,
            confidence,
        ),
    )


def _joined(champion: HeldOut, challenger: HeldOut) -> HeldOut:
    """Bring the challenger's predictions into the champion's order and numbers of castings."""
    place = {name: index for index, name in enumerate(challenger.names)}
    apart = sorted(set(champion.names) ^ set(place))
    if apart:
        raise InvalidInput(
            f"Champion and challenger saw different images: {len(apart)} were shown to one of them alone, "
            f"the first is {apart[0]}. Score both on the golden set."
        )
    joined = challenger.subset(np.array([place[name] for name in champion.names]))
    if not np.array_equal(champion.labels, joined.labels):
        first = int(np.argmax(champion.labels != joined.labels))
        raise InvalidInput(
            f"Champion and challenger were tested with different labels, the first is that of {champion.names[first]}. "
            "Score both with the golden set's labels of today."
        )
    numbers = set(zip(champion.castings.tolist(), joined.castings.tolist(), strict=True))
    if not len(numbers) == len(np.unique(champion.castings)) == len(np.unique(joined.castings)):
        raise InvalidInput(
            "Champion and challenger were tested with different castings behind the same images. Score both with the "
            "golden set's grouping of today."
        )
    return joined


def _differences(
    champion: Outcomes, challenger: Outcomes, drawn: NDArray[np.float64], confidence: float
) -> Differences:
    defective = champion.per_casting(champion.defective)
    ok = champion.per_casting(~champion.defective)
    return Differences(
        escapes=_difference(
            champion.per_casting(champion.escaped),
            challenger.per_casting(challenger.escaped),
            defective,
            drawn,
            confidence,
        ),
        false_rejects=_difference(
            champion.per_casting(champion.false_rejected),
            challenger.per_casting(challenger.false_rejected),
            ok,
            drawn,
            confidence,
        ),
    )


def _difference(
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    units: NDArray[np.int64],
    drawn: NDArray[np.float64],
    confidence: float,
) -> Difference:
    """Compare the errors of two models on each casting [C], which has so many `units` that the error can befall."""
    total = int(units.sum())
    if not total:
        nothing = Interval(low=-1.0, high=1.0)
        return Difference(champion=None, challenger=None, difference=None, interval=nothing, worse=0, better=0)
    changes = resampled_rates(drawn, after - before, units)
    return Difference(
        champion=float(before.sum() / total),
        challenger=float(after.sum() / total),
        difference=float((after - before).sum() / total),
        interval=percentile_interval(changes, confidence=confidence),
        worse=int((after > before).sum()),
        better=int((after < before).sum()),
    )
