"""The gate promotes what was shown not to be worse, and says of everything else what was missing."""

import numpy as np
import pytest
from pydantic import ValidationError

from casting_core import gate
from casting_core.card import Thresholds
from casting_core.comparison import paired_difference
from casting_core.evaluation import evaluate
from casting_core.gate import Check, Decision, GateLimits
from casting_core.held_out import HeldOut

LIMITS = GateLimits(escape_margin=0.05, false_reject_margin=0.10)
THRESHOLDS = Thresholds(ok_below=0.3, defective_from=0.7)


def golden(*, defective=100, ok=100, escapes=0, false_rejects=0, review=0, images=1, shift=0):
    """Predictions on so many castings of each class, `images` pictures of each, so many of them judged wrongly.

    `shift` lets the errors fall on other castings.
    """
    labels = np.repeat([1] * defective + [0] * ok, images)
    p_defective = np.where(labels == 1, 0.97, 0.03)
    p_defective[shift : shift + escapes * images] = 0.05
    start = defective * images + shift
    p_defective[start : start + false_rejects * images] = 0.95
    p_defective[len(labels) - review :] = 0.5
    return HeldOut(
        names=tuple(f"{place}.jpg" for place in range(len(labels))),
        labels=labels,
        castings=np.repeat(np.arange(defective + ok), images),
        p_defective=p_defective,
        folds=np.zeros(len(labels), np.int64),
    )


def compared(champion, challenger, limits=LIMITS):
    comparison = paired_difference(champion, challenger, THRESHOLDS, THRESHOLDS, confidence=limits.two_sided)
    return gate.check_comparison(challenger, comparison, limits)


def first(held_out, limits=LIMITS):
    return gate.check_first(held_out, evaluate(held_out, THRESHOLDS, confidence=limits.two_sided), limits)


@pytest.mark.parametrize(("margin", "castings"), [(0.02, 149), (0.05, 59), (0.10, 29)])
def test_so_many_castings_without_an_error_show_a_rate_below_the_margin(margin, castings):
    assert gate.castings_needed(margin, confidence=0.95) == castings
    assert (1 - margin) ** castings <= 0.05 < (1 - margin) ** (castings - 1)


def test_a_challenger_as_good_as_the_champion_passes():
    escapes, false_rejects = compared(golden(escapes=2, false_rejects=3), golden(escapes=2, false_rejects=3))
    assert (escapes.passed, false_rejects.passed) == (True, True)
    assert "champion 2 %, challenger 2 %" in escapes.detail


def test_a_challenger_that_is_worse_is_refused_and_no_number_of_castings_is_asked_for():
    escapes, false_rejects = compared(golden(), golden(escapes=12))
    assert not escapes.passed
    assert "challenger 12 %" in escapes.detail
    assert "worse on 12" in escapes.detail
    assert escapes.castings_needed is None
    assert false_rejects.passed


@pytest.mark.parametrize("castings", [3, 58])
def test_too_few_castings_are_no_evidence_even_without_a_single_error(castings):
    escapes, false_rejects = compared(golden(defective=castings), golden(defective=castings))
    assert not escapes.passed
    assert escapes.castings_needed == 59
    assert f"{castings} castings are too few" in escapes.detail
    assert "about 59 castings would be needed" in escapes.detail
    assert false_rejects.passed


def test_an_estimate_next_to_the_limit_asks_for_no_number_of_castings():
    escapes, _ = compared(golden(defective=1020), golden(defective=1020, escapes=50))
    assert not escapes.passed
    assert escapes.castings_needed is None
    assert escapes.detail.endswith("the estimate is too near the limit for more castings to settle that.")


def test_just_enough_castings_are_evidence():
    escapes, _ = compared(golden(defective=59), golden(defective=59))
    assert escapes.passed


def test_an_interval_that_is_too_wide_is_no_evidence_and_says_what_would_be():
    # Three castings worse and three others better: no difference, but it might as well be one.
    escapes, _ = compared(golden(defective=60, escapes=3, shift=3), golden(defective=60, escapes=3))
    assert not escapes.passed
    assert "worse on 3, better on 3" in escapes.detail
    assert 60 < escapes.castings_needed < 400
    enough = escapes.castings_needed
    many = round(enough * 3 / 60)
    again, _ = compared(golden(defective=enough, escapes=many, shift=many), golden(defective=enough, escapes=many))
    assert again.passed, "so many castings were said to settle it"


def test_many_pictures_of_few_castings_are_few_castings():
    escapes, _ = compared(golden(defective=10, images=20), golden(defective=10, images=20))
    assert not escapes.passed
    assert "10 castings are too few" in escapes.detail


def test_a_golden_set_without_a_class_settles_nothing():
    escapes, false_rejects = compared(golden(defective=0), golden(defective=0))
    assert not escapes.passed
    assert "no such castings" in escapes.detail
    assert escapes.castings_needed == 59
    assert false_rejects.passed


def test_a_first_model_is_held_to_absolute_limits():
    escapes, false_rejects = first(golden())
    assert (escapes.passed, false_rejects.passed) == (True, True)
    assert "there is no champion to compare with" in escapes.detail
    worse, _ = first(golden(escapes=8))
    assert not worse.passed
    few, _ = first(golden(defective=20))
    assert few.castings_needed == 59


def test_a_model_that_leaves_the_work_to_people_is_refused():
    def review(held_out):
        return evaluate(held_out, THRESHOLDS).by_image.review

    timid, bold = review(golden(review=60)), review(golden(review=10))
    assert not gate.check_review(timid, bold, LIMITS).passed
    assert gate.check_review(bold, bold, LIMITS).passed
    assert not gate.check_review(timid, None, LIMITS).passed
    assert gate.check_review(bold, None, LIMITS).passed


def test_a_casting_on_both_sides_is_found():
    assert gate.check_sides({1, 2}, {3}).passed
    both = gate.check_sides({1, 2}, {2, 3})
    assert not both.passed
    assert "1 castings are on both sides" in both.detail


def test_a_class_that_is_missing_is_named_with_its_side():
    assert gate.check_classes([0, 1], [1, 0]).passed
    assert "training lacks defective, the golden set lacks ok" in gate.check_classes([0, 0], [1]).detail


@pytest.mark.parametrize(
    ("p_defective", "passes"),
    [
        (lambda defective: np.where(defective, 0.95, 0.05), True),
        (lambda defective: np.where(defective, 0.05, 0.95), False),
        (lambda defective: np.full(len(defective), 0.5), False),
        (lambda defective: np.where(defective, 0.6, 0.4), False),
    ],
    ids=["means what it says", "the wrong way round", "a blind guess", "too timid by far"],
)
def test_probabilities_must_mean_something(p_defective, passes):
    held_out = golden()
    said = HeldOut(**(vars(held_out) | {"p_defective": p_defective(held_out.defective)}))
    assert gate.check_calibration(evaluate(said, THRESHOLDS), LIMITS).passed == passes


def test_the_served_artifact_must_say_what_training_measured():
    trained = golden(defective=2, ok=2)
    same = dict(zip(trained.names, trained.p_defective, strict=True))
    assert gate.check_reproduction(trained, same).passed
    moved = gate.check_reproduction(trained, same | {"1.jpg": 0.9})
    assert not moved.passed
    assert "0.0700" in moved.detail
    refused = gate.check_reproduction(trained, {name: p for name, p in same.items() if name != "2.jpg"})
    assert not refused.passed
    assert "refused 1 of 4" in refused.detail


def test_one_failed_check_refuses_and_only_it_is_named_as_the_reason():
    good, bad = Check(name="escapes", passed=True, detail="fine."), Check(name="review", passed=False, detail="60 %.")
    assert Decision(checks=(good,)).passed
    assert Decision(checks=(good,)).why == "escapes: fine."
    assert not Decision(checks=(good, bad)).passed
    assert Decision(checks=(good, bad)).why == "review: 60 %."
    assert Decision(checks=(good, bad)).to_json()["checks"][1]["name"] == "review"


@pytest.mark.parametrize("wrong", [{"escape_margin": 0}, {"confidence": 1}, {"first_review": 1.5}, {"margin": 0.1}])
def test_limits_that_let_everything_or_nothing_pass_are_refused(wrong):
    with pytest.raises(ValidationError):
        GateLimits(**wrong)
