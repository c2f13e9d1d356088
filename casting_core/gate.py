"""The gate: may a challenger take the champion's place?

The rule, for each of escapes (of the defective) and false rejects (of the ok), on the golden set, both models through
the serving path:

    1. enough castings: n >= ln(1 - confidence) / ln(1 - margin). With fewer, a challenger that is worse by the margin
       would show no error more with a probability above 1 - confidence, so that seeing none proves nothing.
    2. not worse: the upper end of the one-sided interval of (challenger - champion), by bootstrap over castings, is at
       most the margin. This is a test of non-inferiority (Piaggio et al. 2012, JAMA 308, 2594-2604): "no difference was
       shown" promotes nobody; an interval that is too wide is no evidence.

Where there is no champion, the rates themselves take the place of the differences and absolute limits that of the
margins. Beside that stand sanity checks: no casting on both sides, both classes on both sides, the artifact reproduces
what training measured, review is not the way out, and calibration is not broken.

With the default margins a golden set needs 149 defective castings (2 %) and 59 ok ones (5 %).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from casting_core.comparison import Comparison, Difference
    from casting_core.evaluation import Evaluation, Rate
    from casting_core.held_out import HeldOut


Share = Annotated[float, Field(gt=0, lt=1)]
# More than a plant labels in years: to name such a number would be a joke.
_MOST_CASTINGS = 10_000


class GateLimits(BaseModel):
    """What the gate lets pass; all are shares between 0 and 1.

    5 % and 10 % are the upper ends of what quality engineers accept of an inspector (AIAG, Measurement Systems
    Analysis, 4th edition, attribute study).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    escape_margin: Share = Field(default=0.02, description="How much oftener it may let a defective image pass.")
    false_reject_margin: Share = Field(default=0.05, description="How much oftener it may reject an ok image.")
    review_margin: Share = Field(default=0.10, description="How much oftener it may leave an image to people.")
    first_escapes: Share = Field(default=0.05, description="Most escapes of a first model, without a champion.")
    first_false_rejects: Share = Field(default=0.10, description="Most false rejects of a first model.")
    first_review: Share = Field(default=0.20, description="Most images that a first model may leave to people.")
    calibration_error: Share = Field(default=0.15, description="Highest expected calibration error.")
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="One-sided confidence of the upper limits.")

    @property
    def two_sided(self) -> float:
        """The confidence of the two-sided interval whose upper end is the one-sided limit."""
        return 2 * self.confidence - 1


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that the gate looked at. `castings_needed` is how many would settle it, where more would."""

    name: str
    passed: bool
    detail: str
    castings_needed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the gate says, and all that it looked at."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether the challenger may be promoted: every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def why(self) -> str:
        """The grounds in one sentence each: of what failed, or, where nothing did, of the comparison."""
        shown = [check for check in self.checks if not check.passed] or self.checks
        return " ".join(f"{check.name}: {check.detail}" for check in shown)

    def to_json(self) -> dict[str, Any]:
        """The decision as plain JSON values."""
        return {"passed": self.passed, "checks": [asdict(check) for check in self.checks]}


def castings_needed(margin: float, *, confidence: float) -> int:
    """How many castings without an error show, at a one-sided confidence, that the rate is below the margin.

    >>> castings_needed(0.05, confidence=0.95)
    59
    """
    return math.ceil(math.log(1 - confidence) / math.log(1 - margin))


def check_comparison(golden: HeldOut, comparison: Comparison, limits: GateLimits) -> list[Check]:
    """Is the challenger not worse than the champion? `comparison` was made at the confidence `limits.two_sided`.

    `golden` are either model's predictions on the golden set; rates are by image, intervals by casting.
    """
    defective, ok = _castings_of_each_class(golden)
    differences = comparison.by_image
    return [
        _not_worse("escapes", differences.escapes, defective, limits.escape_margin, limits),
        _not_worse("false rejects", differences.false_rejects, ok, limits.false_reject_margin, limits),
    ]


def check_first(golden: HeldOut, evaluation: Evaluation, limits: GateLimits) -> list[Check]:
    """Is the first model good enough by itself? `evaluation` was made at the confidence `limits.two_sided`."""
    defective, ok = _castings_of_each_class(golden)
    scores = evaluation.by_image
    return [
        _below_limit("escapes", scores.escapes, defective, limits.first_escapes, limits),
        _below_limit("false rejects", scores.false_rejects, ok, limits.first_false_rejects, limits),
    ]


def check_review(challenger: Rate, champion: Rate | None, limits: GateLimits) -> Check:
    """Does the challenger not leave the work to people? A model that sends everything to review never errs."""
    share = challenger.rate or 0.0
    most = limits.first_review if champion is None else (champion.rate or 0.0) + limits.review_margin
    against = "" if champion is None else f", the champion {_percent(champion.rate or 0.0)}"
    return Check(
        name="review",
        passed=share <= most,
        detail=f"the challenger leaves {_percent(share)} of the images to people{against}; "
        f"at most {_percent(most)} are allowed.",
    )


def check_sides(training: Collection[int], golden: Collection[int]) -> Check:
    """Is no casting on both sides? Both are numbers of castings from one grouping of all images."""
    both = set(training) & set(golden)
    return Check(
        name="split",
        passed=not both,
        detail=f"{len(both)} castings are on both sides."
        if both
        else f"none of the {len(set(golden))} golden castings is among the {len(set(training))} trained on.",
    )


def check_classes(training: Sequence[int], golden: Sequence[int]) -> Check:
    """Are both classes (0 ok, 1 defective) on both sides?"""
    lacking = [
        f"{side} lacks {name}"
        for side, labels in (("training", training), ("the golden set", golden))
        for label, name in enumerate(("ok", "defective"))
        if label not in set(labels)
    ]
    return Check(name="classes", passed=not lacking, detail=f"{', '.join(lacking) or 'both are on both sides'}.")


def check_calibration(evaluation: Evaluation, limits: GateLimits) -> Check:
    """Do the challenger's probabilities mean something?

    Two measures on the golden set: the expected calibration error stays below its limit, and the Brier score is below
    that of somebody who always says the set's share of defective images.
    """
    scores, measured = evaluation.by_image, evaluation.calibration
    share = scores.defective / scores.n
    blind = share * (1 - share)
    return Check(
        name="calibration",
        passed=measured.expected_error <= limits.calibration_error and measured.brier < blind,
        detail=f"expected calibration error {measured.expected_error:.3f} (at most {limits.calibration_error:g}), "
        f"Brier score {measured.brier:.3f} (a blind guess has {blind:.3f}).",
    )


def check_reproduction(trained: HeldOut, served: Mapping[str, float], *, tolerance: float = 0.02) -> Check:
    """Does the stored artifact, loaded as the hourly job loads it, say what training measured of the same images?

    `served` is p_defective by name. The tolerance is twice what the choice of a serving precision may move.
    """
    refused = sum(name not in served for name in trained.names)
    if refused:
        detail = f"the served artifact refused {refused} of {len(trained)} images that training had judged."
        return Check(name="serving", passed=False, detail=detail)
    again = np.array([served[name] for name in trained.names])
    moved = float(np.abs(again - trained.p_defective).max())
    return Check(
        name="serving",
        passed=moved <= tolerance,
        detail=f"the stored artifact reproduces p_defective of {len(trained)} images to {moved:.4f} "
        f"(at most {tolerance:g}).",
    )


def _castings_of_each_class(golden: HeldOut) -> tuple[int, int]:
    """Count the castings with a defective image, and those with an ok one."""
    return (
        len(np.unique(golden.castings[golden.defective])),
        len(np.unique(golden.castings[~golden.defective])),
    )


def _not_worse(name: str, difference: Difference, castings: int, margin: float, limits: GateLimits) -> Check:
    least = castings_needed(margin, confidence=limits.confidence)
    if castings == 0 or difference.difference is None:
        detail = "the golden set has no such castings, so nothing was compared."
        return Check(name=name, passed=False, detail=detail, castings_needed=least)
    found, upper = difference.difference, difference.interval.high
    measured = (
        f"champion {_percent(difference.champion)}, challenger {_percent(difference.challenger)}, difference at most "
        f"{_points(upper)} ({_percent(limits.confidence)} one-sided, {castings} castings; "
        f"worse on {difference.worse}, better on {difference.better})"
    )
    return _settled(name, measured, found=found, upper=upper, castings=castings, least=least, allowed=(margin, _points))


def _below_limit(name: str, rate: Rate, castings: int, most: float, limits: GateLimits) -> Check:
    least = castings_needed(most, confidence=limits.confidence)
    if castings == 0 or rate.rate is None:
        detail = "the golden set has no such castings, so nothing was measured."
        return Check(name=name, passed=False, detail=detail, castings_needed=least)
    upper = rate.over_castings.high
    measured = (
        f"{_percent(rate.rate)}, at most {_percent(upper)} ({_percent(limits.confidence)} one-sided, "
        f"{castings} castings); there is no champion to compare with"
    )
    # Without an error the exact limit says the same as the number of castings.
    upper = upper if rate.count else 0.0
    return _settled(
        name, measured, found=rate.rate, upper=upper, castings=castings, least=least, allowed=(most, _percent)
    )


def _settled(
    name: str,
    measured: str,
    *,
    found: float,
    upper: float,
    castings: int,
    least: int,
    allowed: tuple[float, Callable[[float], str]],
) -> Check:
    """Judge an estimate and its upper limit against the most that is allowed, and how people write that."""
    most, written = allowed[0], allowed[1](allowed[0])
    if found > most:
        return Check(name=name, passed=False, detail=f"{measured}; {written} is allowed.")
    if castings >= least and upper <= most:
        return Check(name=name, passed=True, detail=f"{measured}; {written} is allowed.")
    needed = max(least, castings + 1)
    if upper > most:
        # An interval narrows with the root of the castings; next to the limit, no number that people label settles it.
        needed = max(needed, math.ceil(castings * ((upper - found) / (most - found)) ** 2)) if found < most else 0
        needed = needed if needed <= _MOST_CASTINGS else 0
    more = (
        f"about {needed} castings would be needed"
        if needed
        else "the estimate is too near the limit for more castings to settle that"
    )
    detail = f"{measured}; {castings} castings are too few to show that it is within {written}: {more}."
    return Check(name=name, passed=False, detail=detail, castings_needed=needed or None)


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.3g} %"


def _points(difference: float) -> str:
    return f"{100 * difference:.3g} points"
