"""How well a model did on what it had not seen, by image and by casting, and how far that can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_auc_score

from casting_core.calibration import Calibration, measure_calibration
from casting_core.comparison import Comparison, paired_difference
from casting_core.held_out import HeldOut
from casting_core.outcomes import casting_outcomes, image_outcomes
from casting_core.rates import Interval, clopper_pearson
from casting_core.resampling import draw_castings, percentile_interval, resampled_rates
from casting_core.thresholds import Costs, choose_thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from casting_core.card import Thresholds
    from casting_core.outcomes import Outcomes

# Resamples held in memory together.
_AT_A_TIME = 100

__all__ = [
    "Comparison",
    "Costs",
    "Evaluation",
    "HeldOut",
    "Rate",
    "Scores",
    "choose_thresholds",
    "evaluate",
    "paired_difference",
]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """`count` errors out of `of` images or castings, and what that says of others.

    `exact` (Clopper-Pearson) takes each one as independent, which images of one casting are not. `over_castings` is
    from the bootstrap over castings. Where no casting shows the error, or every image of every casting does, that can
    say nothing, and the exact interval over castings stands in its place. `rate` is None of none.
    """

    count: int
    of: int
    rate: float | None
    exact: Interval
    over_castings: Interval


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What the verdicts came to.

    `auroc` is None where there is one class alone, and its interval also where every pair of a defective and an ok one
    is in order (or none is): then the bootstrap would promise that for all others.

    `detected` are defective and called so. Escapes are defective and passed as ok, out of the defective ones; false
    rejects are ok and called defective, out of the ok ones; review is left to a person, out of all.
    """

    n: int
    defective: int
    ok: int
    detected: int
    escapes: Rate
    false_rejects: Rate
    review: Rate
    auroc: float | None
    auroc_over_castings: Interval | None

    def to_json(self) -> dict[str, Any]:
        """Counts and AUROC under their names, and each rate with both intervals under `escape_rate` and so on."""
        rates = {"escape_rate": self.escapes, "false_reject_rate": self.false_rejects, "review_rate": self.review}
        return {
            "n": self.n,
            "defective": self.defective,
            "ok": self.ok,
            "detected": self.detected,
            "escapes": self.escapes.count,
            "false_rejects": self.false_rejects.count,
            "review": self.review.count,
            "auroc": self.auroc,
            "auroc_over_castings": _pair(self.auroc_over_castings),
        } | {
            name: {"rate": rate.rate, "exact": _pair(rate.exact), "over_castings": _pair(rate.over_castings)}
            for name, rate in rates.items()
        }


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The scores at given thresholds. `escaped_castings` are defective ones of which any image passes as ok."""

    thresholds: Thresholds
    confidence: float
    by_image: Scores
    by_casting: Scores
    escaped_castings: int
    calibration: Calibration

    def to_json(self) -> dict[str, Any]:
        """The evaluation as plain JSON values; this is what a card holds as `metrics`."""
        return {
            "by_image": self.by_image.to_json(),
            "by_casting": self.by_casting.to_json() | {"with_any_escaped_image": self.escaped_castings},
            "calibration": self.calibration.to_json(),
            "confidence": self.confidence,
        }


def evaluate(held_out: HeldOut, thresholds: Thresholds, *, confidence: float = 0.95, seed: int = 0) -> Evaluation:
    """Score held-out predictions by image and by casting.

    By image each one counts, whatever casting it shows. By casting each casting counts once: it is defective if any of
    its images is labelled so, its p_defective is that of its images' mean logit, and its verdict follows from the same
    thresholds. Intervals hold at `confidence`; the bootstrap draws castings within each class, from `seed`.

    Raises `InvalidInput` for a confidence outside (0, 1).
    """
    images, castings = image_outcomes(held_out, thresholds), casting_outcomes(held_out, thresholds)
    drawn = draw_castings(castings.defective, seed=seed)
    return Evaluation(
        thresholds=thresholds,
        confidence=confidence,
        by_image=_scores(images, drawn, confidence),
        by_casting=_scores(castings, drawn, confidence),
        escaped_castings=int((images.per_casting(images.escaped) > 0).sum()),
        calibration=measure_calibration(held_out),
    )


def _scores(outcomes: Outcomes, drawn: NDArray[np.float64], confidence: float) -> Scores:
    """Score units with the bootstrap's draws [R, C] of castings."""
    defective, ok = outcomes.defective, ~outcomes.defective
    both = bool(defective.any() and ok.any())
    auroc = float(roc_auc_score(defective, outcomes.p_defective)) if both else None
    known = auroc is not None and 0 < auroc < 1
    return Scores(
        n=len(defective),
        defective=int(defective.sum()),
        ok=int(ok.sum()),
        detected=int((defective & ~outcomes.escaped & ~outcomes.reviewed).sum()),
        escapes=_rate(outcomes, outcomes.escaped, defective, drawn, confidence),
        false_rejects=_rate(outcomes, outcomes.false_rejected, ok, drawn, confidence),
        review=_rate(outcomes, outcomes.reviewed, defective | ok, drawn, confidence),
        auroc=auroc,
        auroc_over_castings=percentile_interval(_aurocs(outcomes, drawn), confidence=confidence) if known else None,
    )


def _rate(
    outcomes: Outcomes,
    errors: NDArray[np.bool_],
    of: NDArray[np.bool_],
    drawn: NDArray[np.float64],
    confidence: float,
) -> Rate:
    count, total = int(errors.sum()), int(of.sum())
    units = outcomes.per_casting(of)
    if count in (0, total):
        castings = int((units > 0).sum())
        over_castings = clopper_pearson(castings if count else 0, castings, confidence=confidence)
    else:
        rates = resampled_rates(drawn, outcomes.per_casting(errors), units)
        over_castings = percentile_interval(rates, confidence=confidence)
    return Rate(
        count=count,
        of=total,
        rate=count / total if total else None,
        exact=clopper_pearson(count, total, confidence=confidence),
        over_castings=over_castings,
    )


def _aurocs(outcomes: Outcomes, drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """AUROC of each resample [R]: the share of pairs (defective, ok) in the right order; ties count half."""
    order = np.argsort(outcomes.p_defective, kind="stable")
    p_defective, defective = outcomes.p_defective[order], outcomes.defective[order]
    first, last = (np.searchsorted(p_defective, p_defective[defective], side) for side in ("left", "right"))
    aurocs = []
    for some in np.array_split(drawn, -(-len(drawn) // _AT_A_TIME)):
        weights = some[:, outcomes.casting[order]]
        ok_below = np.pad(np.cumsum(weights * ~defective, axis=1), ((0, 0), (1, 0)))
        beaten = (ok_below[:, first] + ok_below[:, last]) / 2
        pairs = weights[:, defective].sum(axis=1) * ok_below[:, -1]
        in_order = (weights[:, defective] * beaten).sum(axis=1)
        aurocs.append(np.divide(in_order, pairs, out=np.full(len(some), np.nan), where=pairs > 0))
    return np.concatenate(aurocs)


def _pair(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
