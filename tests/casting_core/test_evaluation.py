import json

import numpy as np
import pytest
from hypothesis import given
from sklearn.metrics import brier_score_loss, roc_auc_score

from casting_core.card import Thresholds
from casting_core.errors import InvalidInput
from casting_core.evaluation import evaluate
from casting_core.rates import clopper_pearson
from tests.casting_core.held_out_sets import held_out_of, held_out_sets

USUAL = Thresholds(ok_below=0.3, defective_from=0.7)


def production(castings, images, *, seed, errors=0.1):
    """Castings [castings], half of them defective, of which a share goes wrong with all of its images."""
    generator = np.random.default_rng(seed)
    defective = np.arange(castings) % 2
    wrong = generator.random(castings) < errors
    p_defective = np.where(wrong, 1 - defective, defective) * 0.8 + 0.1
    return held_out_of(
        np.repeat(defective, images), np.repeat(p_defective, images), np.repeat(np.arange(castings), images)
    )


def test_each_kind_of_error_is_counted():
    held_out = held_out_of([1, 1, 1, 0, 0, 0], [0.1, 0.5, 0.9, 0.1, 0.5, 0.9])
    scores = evaluate(held_out, USUAL).by_image
    assert (scores.n, scores.defective, scores.ok) == (6, 3, 3)
    assert (scores.escapes.count, scores.false_rejects.count, scores.review.count) == (1, 1, 2)
    assert scores.detected == 1
    assert (scores.escapes.of, scores.false_rejects.of, scores.review.of) == (3, 3, 6)
    assert scores.auroc == 0.5
    assert scores.escapes.exact == clopper_pearson(1, 3)


@given(held_out_sets())
def test_counts_add_up_and_auroc_is_that_of_scikit_learn(held_out):
    evaluation = evaluate(held_out, USUAL)
    for scores in (evaluation.by_image, evaluation.by_casting):
        assert scores.defective + scores.ok == scores.n
        for rate in (scores.escapes, scores.false_rejects, scores.review):
            assert 0 <= rate.over_castings.low <= rate.over_castings.high <= 1
    assert evaluation.by_image.auroc == pytest.approx(roc_auc_score(held_out.labels, held_out.p_defective))
    castings = held_out.by_casting()
    if 0 < castings.defective.sum() < len(castings):
        assert evaluation.by_casting.auroc == pytest.approx(roc_auc_score(castings.defective, castings.p_defective))
    else:
        assert evaluation.by_casting.auroc is None
    assert evaluation.calibration.brier == pytest.approx(brier_score_loss(held_out.labels, held_out.p_defective))


def test_a_casting_is_judged_by_the_mean_of_its_logits():
    # Logits of 0.9, 0.9 and 0.01: 2.2, 2.2 and -4.6, in the mean -0.07; one image alone passes as ok.
    evaluation = evaluate(held_out_of([1, 1, 1, 0], [0.9, 0.9, 0.01, 0.2], [7, 7, 7, 3]), USUAL)
    assert (evaluation.by_casting.n, evaluation.by_casting.escapes.count, evaluation.by_casting.review.count) == (
        2,
        0,
        1,
    )
    assert evaluation.escaped_castings == 1


def test_a_casting_with_one_defective_image_is_defective():
    castings = held_out_of([0, 1, 0], [0.1, 0.9, 0.1], [0, 0, 1]).by_casting()
    assert castings.defective.tolist() == [True, False]
    assert castings.images.tolist() == [2, 1]


def test_one_saturated_image_does_not_outvote_its_casting():
    castings = held_out_of([1] * 8, [0.0, *[0.9] * 7], [0] * 8).by_casting()
    assert castings.p_defective[0] > 0.5


def test_intervals_over_castings_do_not_shrink_when_images_are_repeated():
    once, often = (evaluate(production(80, images, seed=1), USUAL).by_image for images in (1, 12))
    assert often.escapes.rate == once.escapes.rate
    assert often.escapes.over_castings == once.escapes.over_castings
    assert often.auroc_over_castings.low == pytest.approx(once.auroc_over_castings.low)
    exact = often.escapes.exact
    assert exact.high - exact.low < 0.4 * (once.escapes.exact.high - once.escapes.exact.low)


def test_intervals_over_castings_cover_the_truth_about_as_often_as_they_say():
    covered = []
    for seed in range(60):
        interval = evaluate(production(120, 5, seed=seed), USUAL).by_image.escapes.over_castings
        covered.append(interval.low <= 0.1 <= interval.high)
    assert np.mean(covered) >= 0.85


def test_no_error_among_few_castings_proves_little():
    labels, castings = np.repeat([0, 1], 50), np.repeat([0, 1, 2, 3], 25)
    escapes = evaluate(held_out_of(labels, labels * 0.9, castings), USUAL).by_image.escapes
    assert escapes.count == 0
    assert escapes.over_castings == clopper_pearson(0, 2)
    assert escapes.exact == clopper_pearson(0, 50)


def test_one_class_alone_has_no_auroc_and_no_rate_of_the_other_ones_errors():
    scores = evaluate(held_out_of([1, 1], [0.2, 0.8]), USUAL).by_image
    assert (scores.auroc, scores.auroc_over_castings, scores.false_rejects.rate) == (None, None, None)
    assert (scores.false_rejects.over_castings.low, scores.false_rejects.over_castings.high) == (0, 1)


def test_perfect_order_among_few_gets_no_interval():
    scores = evaluate(held_out_of([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]), USUAL).by_image
    assert (scores.auroc, scores.auroc_over_castings) == (1, None)


def test_the_same_seed_gives_the_same_intervals():
    held_out = production(40, 3, seed=5)
    assert evaluate(held_out, USUAL, seed=3) == evaluate(held_out, USUAL, seed=3)
    held_out = held_out_of(held_out.labels, held_out.p_defective, np.arange(120) // 7)
    assert evaluate(held_out, USUAL, seed=3) != evaluate(held_out, USUAL, seed=4)


def test_calibration_tells_a_true_probability_from_a_boastful_one():
    generator = np.random.default_rng(0)
    p_defective = generator.random(20_000)
    labels = (generator.random(20_000) < p_defective).astype(int)
    castings = np.arange(20_000) % 100
    honest = evaluate(held_out_of(labels, p_defective, castings), USUAL).calibration
    boastful = evaluate(held_out_of(labels, (p_defective > 0.5) * 0.98 + 0.01, castings), USUAL).calibration
    assert honest.expected_error < 0.02
    assert boastful.expected_error == pytest.approx(0.24, abs=0.02)
    assert sum(each.images for each in honest.bins) == 20_000
    assert all(each.low <= each.mean_p_defective <= each.high for each in honest.bins)


def test_the_evaluation_is_plain_json():
    metrics = json.loads(json.dumps(evaluate(production(20, 2, seed=0, errors=0.4), USUAL).to_json(), allow_nan=False))
    assert metrics["by_image"]["n"] == 40
    assert metrics["by_casting"]["n"] == 20
    for name in ("escape_rate", "false_reject_rate", "review_rate"):
        low, high = metrics["by_image"][name]["over_castings"]
        assert low <= metrics["by_image"][name]["rate"] <= high
    assert isinstance(metrics["by_image"]["escapes"], int)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"labels": [], "p_defective": []}, "at least one"),
        ({"labels": [0, 2], "p_defective": [0.1, 0.2]}, "neither 0"),
        ({"labels": [0, 1], "p_defective": [0.1, 1.2]}, "1.jpg is 1.2"),
        ({"labels": [0, 1], "p_defective": [np.nan, 0.2]}, "0.jpg is nan"),
        ({"labels": [0, 1], "p_defective": [0.1]}, "2 held-out images"),
    ],
)
def test_predictions_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(InvalidInput, match=message):
        held_out_of(**wrong)
