"""How well a model did on what it had not seen, by image and by casting, and how far that can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from casting_core.calibration import Calibration, measure_calibration
from casting_core.held_out import HeldOut
from casting_core.rates import Interval, clopper_pearson
from casting_core.resampling import draw_castings, percentile_interval
from casting_core.thresholds import Costs, choose_thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from casting_core.card import Thresholds

# Resamples held in memory together.
_AT_A_TIME = 100

__all__ = ["Costs", "Evaluation", "HeldOut", "Rate", "Scores", "choose_thresholds", "evaluate"]


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
    """What the verdicts came to. `auroc` is None where there is one class alone.

    Escapes are defective and passed as ok, out of the defective ones; false rejects are ok and called defective, out of
    the ok ones; review is left to a person, out of all.
    """

    n: int
    defective: int
    ok: int
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
    castings = held_out.by_casting()
    drawn = draw_castings(castings.defective, seed=seed)
    by_image = _Outcomes(
        casting=castings.of_image,
        defective=held_out.defective,
        p_defective=held_out.p_defective,
        thresholds=thresholds,
    )
    by_casting = _Outcomes(
        casting=np.arange(len(castings)),
        defective=castings.defective,
        p_defective=castings.p_defective,
        thresholds=thresholds,
    )
    return Evaluation(
        thresholds=thresholds,
        confidence=confidence,
        by_image=by_image.scores(drawn, confidence),
        by_casting=by_casting.scores(drawn, confidence),
        escaped_castings=int((castings.count(by_image.passed & by_image.defective) > 0).sum()),
        calibration=measure_calibration(held_out),
    )


@dataclass(frozen=True, kw_only=True)
class _Outcomes:
    """What became of units [U], images or castings, each belonging to a casting."""

    casting: NDArray[np.intp]
    defective: NDArray[np.bool_]
    p_defective: NDArray[np.float64]
    thresholds: Thresholds

    @property
    def passed(self) -> NDArray[np.bool_]:
        return self.p_defective < self.thresholds.ok_below

    @property
    def rejected(self) -> NDArray[np.bool_]:
        return self.p_defective >= self.thresholds.defective_from

    def scores(self, drawn: NDArray[np.float64], confidence: float) -> Scores:
        """Score them with the bootstrap's `drawn` [R, C]."""
        defective, ok = self.defective, ~self.defective
        both = bool(defective.any() and ok.any())
        aurocs = self._aurocs(drawn) if both else None
        return Scores(
            n=len(defective),
            defective=int(defective.sum()),
            ok=int(ok.sum()),
            escapes=self._rate(self.passed, defective, drawn, confidence),
            false_rejects=self._rate(self.rejected, ok, drawn, confidence),
            review=self._rate(~self.passed & ~self.rejected, defective | ok, drawn, confidence),
            auroc=float(self._aurocs(np.ones((1, drawn.shape[1])))[0]) if both else None,
            auroc_over_castings=None if aurocs is None else percentile_interval(aurocs, confidence=confidence),
        )

    def _rate(
        self, errors: NDArray[np.bool_], of: NDArray[np.bool_], drawn: NDArray[np.float64], confidence: float
    ) -> Rate:
        count, total = int((errors & of).sum()), int(of.sum())
        wrong = np.bincount(self.casting, errors & of, minlength=drawn.shape[1])
        all_ = np.bincount(self.casting, of, minlength=drawn.shape[1])
        if count in (0, total):
            castings = int((all_ > 0).sum())
            over_castings = clopper_pearson(castings if count else 0, castings, confidence=confidence)
        else:
            # A class can be missing from a resample only where it lives in castings that hold both.
            of_drawn = drawn @ all_
            rates = np.divide(drawn @ wrong, of_drawn, out=np.full(len(drawn), np.nan), where=of_drawn > 0)
            over_castings = percentile_interval(rates, confidence=confidence)
        return Rate(
            count=count,
            of=total,
            rate=count / total if total else None,
            exact=clopper_pearson(count, total, confidence=confidence),
            over_castings=over_castings,
        )

    def _aurocs(self, drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        """AUROC of each resample [R]: the share of pairs (defective, ok) in the right order; ties count half."""
        order = np.argsort(self.p_defective, kind="stable")
        p_defective, defective = self.p_defective[order], self.defective[order]
        first, last = (np.searchsorted(p_defective, p_defective[defective], side) for side in ("left", "right"))
        aurocs = []
        for some in np.array_split(drawn, -(-len(drawn) // _AT_A_TIME)):
            weights = some[:, self.casting[order]]
            ok_below = np.pad(np.cumsum(weights * ~defective, axis=1), ((0, 0), (1, 0)))
            beaten = (ok_below[:, first] + ok_below[:, last]) / 2
            pairs = weights[:, defective].sum(axis=1) * ok_below[:, -1]
            right = (weights[:, defective] * beaten).sum(axis=1)
            aurocs.append(np.divide(right, pairs, out=np.full(len(some), np.nan), where=pairs > 0))
        return np.concatenate(aurocs)


def _pair(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
