import json
from dataclasses import replace

import numpy as np
import pytest

from casting_core.card import Thresholds
from casting_core.comparison import paired_difference
from casting_core.errors import InvalidInput
from tests.casting_core.held_out_sets import held_out_of

USUAL = Thresholds(ok_below=0.3, defective_from=0.7)
LABELS, CASTINGS = np.repeat(np.arange(60) % 2, 4), np.repeat(np.arange(60), 4)


def predictions(wrong_castings=()):
    p_defective = np.where(np.isin(CASTINGS, list(wrong_castings)), 1 - LABELS, LABELS) * 0.8 + 0.1
    return held_out_of(LABELS, p_defective, CASTINGS)


def test_equal_models_do_not_differ():
    found = paired_difference(predictions([1, 2]), predictions([1, 2]), USUAL, USUAL)
    for each in (found.by_image.escapes, found.by_image.false_rejects, found.by_casting.escapes):
        assert (each.difference, each.interval.low, each.interval.high, each.worse, each.better) == (0, 0, 0, 0, 0)


def test_a_worse_challenger_shows_in_the_interval_and_what_both_miss_does_not():
    shared, more = [1, 3, 5, 2], [7, 9, 11, 13, 15, 17]
    found = paired_difference(predictions(shared), predictions(shared + more), USUAL, USUAL).by_image
    assert found.escapes.champion == pytest.approx(3 / 30)
    assert found.escapes.challenger == pytest.approx(9 / 30)
    assert found.escapes.difference == pytest.approx(6 / 30)
    assert 0.05 < found.escapes.interval.low < 0.2 < found.escapes.interval.high < 0.4
    assert (found.escapes.worse, found.escapes.better) == (6, 0)
    assert (found.false_rejects.difference, found.false_rejects.interval.high) == (0, 0)


def test_changing_sides_makes_no_difference_but_a_wide_interval():
    found = paired_difference(predictions([1, 3, 5]), predictions([7, 9, 11]), USUAL, USUAL).by_casting.escapes
    assert (found.difference, found.worse, found.better) == (0, 3, 3)
    assert found.interval.low < -0.1 < 0.1 < found.interval.high


def test_images_are_joined_by_name():
    challenger = predictions([1, 8])
    shuffled = challenger.subset(np.random.default_rng(0).permutation(len(challenger)))
    renumbered = replace(shuffled, castings=1_000 - shuffled.castings)
    champion = predictions([3])
    assert paired_difference(champion, renumbered, USUAL, USUAL) == paired_difference(
        champion, challenger, USUAL, USUAL
    )


def test_each_model_is_judged_at_its_own_thresholds():
    lax = Thresholds(ok_below=0.95, defective_from=0.95)
    found = paired_difference(predictions(), predictions(), USUAL, lax).by_casting
    assert (found.escapes.champion, found.escapes.challenger) == (0, 1)


def test_the_interval_over_castings_does_not_shrink_when_images_are_repeated():
    once = np.arange(0, len(CASTINGS), 4)
    champion, challenger = predictions([1, 3]), predictions([1, 5, 7, 9])
    few = paired_difference(champion.subset(once), challenger.subset(once), USUAL, USUAL)
    assert few.by_image == paired_difference(champion, challenger, USUAL, USUAL).by_image


def test_a_golden_set_of_one_class_says_nothing_of_the_other_ones_errors():
    ok = LABELS == 0
    found = paired_difference(predictions().subset(ok), predictions().subset(ok), USUAL, USUAL)
    assert found.by_image.escapes.difference is None
    assert (found.by_image.escapes.interval.low, found.by_image.escapes.interval.high) == (-1, 1)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["castings"] == 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held_out: held_out.subset(np.arange(1, 240)), "1 were shown to one of them alone.*0.jpg"),
        (lambda held_out: replace(held_out, labels=1 - held_out.labels), "different labels"),
        (lambda held_out: replace(held_out, castings=held_out.castings // 2), "different castings"),
        (lambda held_out: replace(held_out, castings=np.arange(240)), "different castings"),
    ],
)
def test_other_images_labels_or_castings_are_refused(change, message):
    with pytest.raises(InvalidInput, match=message):
        paired_difference(predictions(), change(predictions()), USUAL, USUAL)
