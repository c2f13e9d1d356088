import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casting_core.card import Thresholds
from casting_core.errors import InvalidInput
from casting_core.evaluation import evaluate
from casting_core.thresholds import Costs, choose_thresholds
from tests.casting_core.held_out_sets import held_out_of, held_out_sets

costs_of_any_kind = st.builds(
    Costs,
    escape=st.integers(0, 50).map(float),
    false_reject=st.integers(0, 10).map(float),
    review=st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0]),
    most_escapes=st.sampled_from([0.0, 0.02, 0.2, 0.5, 1.0]),
    most_review=st.sampled_from([0.0, 0.1, 0.4, 1.0]),
    defect_rate=st.sampled_from([0.02, 0.5, 0.75]),
)


def shares(held_out, thresholds):
    """The weighted shares of escapes, false rejects and images in review, counted one image at a time."""
    of_casting = {}
    for label, casting in zip(held_out.labels, held_out.castings, strict=True):
        of_casting.setdefault((label, casting), 0)
        of_casting[label, casting] += 1
    castings_of = {label: sum(key[0] == label for key in of_casting) for label in (0, 1)}
    found = {"escape": 0.0, "false_reject": 0.0, "review": [0.0, 0.0]}
    for label, casting, p in zip(held_out.labels, held_out.castings, held_out.p_defective, strict=True):
        weight = 1 / castings_of[label] / of_casting[label, casting]
        verdict = thresholds.verdict(p)
        if verdict == "review":
            found["review"][label] += weight
        elif verdict == "ok" and label == 1:
            found["escape"] += weight
        elif verdict == "defective" and label == 0:
            found["false_reject"] += weight
    return found


def expected_cost(held_out, thresholds, costs):
    found = shares(held_out, thresholds)
    rate = costs.defect_rate
    review = rate * found["review"][1] + (1 - rate) * found["review"][0]
    return (
        rate * costs.escape * found["escape"]
        + (1 - rate) * costs.false_reject * found["false_reject"]
        + costs.review * review
    )


def most_escapes(held_out, thresholds):
    castings = held_out.by_casting()
    images, averages = held_out.p_defective[held_out.defective], castings.p_defective[castings.defective]
    return max(np.mean(images < thresholds.ok_below), np.mean(averages < thresholds.ok_below))


def in_review(held_out, thresholds):
    return np.mean((thresholds.ok_below <= held_out.p_defective) & (held_out.p_defective < thresholds.defective_from))


@given(held_out_sets(), costs_of_any_kind)
def test_no_other_pair_of_cuts_under_the_cap_costs_less(held_out, costs):
    chosen = choose_thresholds(held_out, costs)
    assert chosen.ok_below <= chosen.defective_from
    assert most_escapes(held_out, chosen) <= costs.most_escapes
    assert in_review(held_out, chosen) <= costs.most_review
    # At an image's own value, since between two values a lower cut can keep a casting's mean from passing.
    places = sorted({0.0, *held_out.p_defective.tolist(), 1.0})
    pairs = itertools.combinations_with_replacement(places, 2)
    others = [Thresholds(ok_below=low, defective_from=high) for low, high in pairs]
    allowed = [
        each
        for each in others
        if most_escapes(held_out, each) <= costs.most_escapes and in_review(held_out, each) <= costs.most_review
    ]
    assert (
        expected_cost(held_out, chosen, costs) <= min(expected_cost(held_out, each, costs) for each in allowed) + 1e-9
    )


@given(held_out_sets(), costs_of_any_kind)
def test_the_evaluation_shows_the_escapes_under_the_cap(held_out, costs):
    evaluation = evaluate(held_out, choose_thresholds(held_out, costs))
    assert evaluation.by_image.escapes.rate <= costs.most_escapes
    assert evaluation.by_casting.escapes.rate <= costs.most_escapes


@given(held_out_sets(), costs_of_any_kind, st.sampled_from(["escape", "false_reject", "review"]), st.integers(1, 30))
def test_an_error_that_costs_more_is_not_made_more_often(held_out, costs, name, more):
    dearer = replace(costs, **{name: getattr(costs, name) + more})
    rarely, often = (shares(held_out, choose_thresholds(held_out, each))[name] for each in (dearer, costs))
    if name == "review":
        rate = costs.defect_rate
        rarely, often = (rate * each[1] + (1 - rate) * each[0] for each in (rarely, often))
    assert rarely <= often + 1e-9


@given(held_out_sets(), costs_of_any_kind, st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(held_out, costs, random):
    order = list(range(len(held_out)))
    random.shuffle(order)
    assert choose_thresholds(held_out.subset(np.array(order)), costs) == choose_thresholds(held_out, costs)


def test_separated_classes_leave_the_gap_between_them_to_a_person():
    chosen = choose_thresholds(held_out_of([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]), Costs())
    assert 0.2 < chosen.ok_below < chosen.defective_from < 0.8
    evaluation = evaluate(held_out_of([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]), chosen)
    assert (evaluation.by_image.escapes.count, evaluation.by_image.review.count) == (0, 0)


def test_equal_probabilities_pass_nothing():
    chosen = choose_thresholds(held_out_of([0, 0, 0, 1], [0.5] * 4), Costs(most_escapes=0.5))
    assert chosen.verdict(0.5) == "review"
    assert chosen.ok_below == 0


def test_one_casting_of_each_class_is_enough():
    chosen = choose_thresholds(held_out_of([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], [0, 0, 1, 1]), Costs())
    assert [chosen.verdict(p) for p in (0.1, 0.4, 0.6, 0.9)] == ["ok", "review", "review", "defective"]


def test_a_casting_that_was_photographed_often_weighs_no_more_than_another():
    # The casting with ten images at 0.5 is one of two: its reviews cost as much as the other's single one.
    held_out = held_out_of([0, *[0] * 10, 1], [0.55, *[0.5] * 10, 0.6], [0, *[1] * 10, 2])
    once = held_out_of([0, 0, 1], [0.55, 0.5, 0.6])
    assert choose_thresholds(held_out, Costs()) == choose_thresholds(once, Costs())


def test_the_cap_holds_where_escapes_would_be_cheap():
    labels, p_defective = [1] * 100 + [0] * 100, [*np.linspace(0.1, 0.9, 100), *np.linspace(0.05, 0.85, 100)]
    held_out = held_out_of(labels, p_defective)
    costs = Costs(escape=0.01, false_reject=1.0, review=5.0)
    assert evaluate(held_out, choose_thresholds(held_out, costs)).by_image.escapes.count == 2
    lax = choose_thresholds(held_out, replace(costs, most_escapes=0.5))
    assert evaluate(held_out, lax).by_image.escapes.count == 49


def test_thresholds_are_written_shortly():
    held_out = held_out_of([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    assert choose_thresholds(held_out, Costs()) == Thresholds(ok_below=0.3865, defective_from=0.6135)


@pytest.mark.parametrize("labels", [[0, 0], [1, 1]])
def test_one_class_alone_gives_no_thresholds(labels):
    with pytest.raises(InvalidInput, match="one class"):
        choose_thresholds(held_out_of(labels, [0.2, 0.8]), Costs())


@pytest.mark.parametrize(
    "wrong", [{"escape": -1}, {"review": float("nan")}, {"most_escapes": 1.1}, {"defect_rate": 0.0}]
)
def test_costs_that_are_none_are_refused(wrong):
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        Costs(**wrong)
