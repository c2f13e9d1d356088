import numpy as np
import pytest

from casting_core.card import Thresholds
from casting_core.evaluation import evaluate
from casting_core.evaluation_evidence import EvaluationEvidence
from casting_core.evaluation_wording import goal_rows, trust_answer, untested, what_was_seen
from tests.casting_core.held_out_sets import held_out_of

THRESHOLDS = Thresholds(ok_below=0.3, defective_from=0.7)


def said(make_card, *, castings=40, images=4, escaped=0, rejected=0, split="group", **changes):
    """The words on castings, every other one defective, of which the first ones of either class go wrong."""
    labels = np.arange(castings) % 2
    p_defective = labels * 0.8 + 0.1
    p_defective[np.flatnonzero(labels == 1)[:escaped]] = 0.05
    p_defective[np.flatnonzero(labels == 0)[:rejected]] = 0.95
    held_out = held_out_of(*(np.repeat(each, images) for each in (labels, p_defective, np.arange(castings))))
    card = make_card(thresholds=THRESHOLDS)
    evidence = EvaluationEvidence(held_out=held_out, card=card, split=split, read=lambda _name: b"", **changes)
    evaluation = evaluate(held_out, THRESHOLDS)
    words = trust_answer(evidence, evaluation)
    return words, [*what_was_seen(evidence, evaluation)], [*untested(evidence, evaluation)], evaluation, evidence


def test_a_missed_goal_is_named_with_how_far_it_was_missed(make_card):
    words, seen, _, evaluation, evidence = said(make_card, escaped=2)
    assert words == "Not yet without people behind it. It misses 2 goals of 4: escapes and AUROC."
    escapes, false_rejects, review, auroc = goal_rows(evaluation, evidence.goals)
    assert (escapes.verdict, escapes.met) == ("missed by 8 percentage points", False)
    assert false_rejects.verdict == "met here; too few castings to promise it"
    assert (false_rejects.met, review.verdict) == (True, "met")
    assert auroc.verdict == f"missed by {0.995 - evaluation.by_image.auroc:.4f}"
    assert any("2 of 20 defective castings (10\N{NO-BREAK SPACE}%" in sentence for sentence in seen)


def test_goals_met_on_few_castings_are_not_called_proven(make_card):
    words, seen, *_ = said(make_card)
    assert words.startswith("It meets its goals on these castings, but they are too few to promise it: escapes may be")
    assert "17\N{NO-BREAK SPACE}% of the castings" in words
    assert seen[0] == "Tested on 40 castings (20 defective, 20 ok) in 160 images that it was not trained on."


def test_goals_met_on_many_castings_are_trusted(make_card):
    assert said(make_card, castings=800, images=1)[0].startswith("Yes, for castings and pictures like these.")


def test_a_random_split_is_said_to_leak_whatever_the_figures(make_card):
    words, seen, left_out, *_ = said(make_card, castings=800, images=1, split="random")
    assert words == "No. These figures cannot be trusted, because the split leaks."
    assert "partly knew from training" in seen[0]
    assert left_out[0].startswith("Castings that the model has never seen")


def test_what_was_not_tested_is_always_said(make_card):
    *_, left_out, _, _ = said(make_card, untested=["Pictures by night."], rejected=0)
    assert any("chosen on the castings that are counted here" in sentence for sentence in left_out)
    assert any("More than 20 defective castings" in sentence for sentence in left_out)
    assert left_out[-1] == "Pictures by night."


def test_files_that_were_left_out_are_counted(make_card):
    held_out = held_out_of([0, 1], [0.1, 0.9])
    evidence = EvaluationEvidence(
        held_out=held_out, card=make_card(thresholds=THRESHOLDS), split="group", read=lambda _name: b"", rejected=1
    )
    assert any(each.startswith("1 file that could not") for each in untested(evidence, evaluate(held_out, THRESHOLDS)))


@pytest.mark.parametrize("labels", [[0, 0], [1, 1]])
def test_one_class_alone_meets_nothing_that_was_not_measured(make_card, labels):
    evaluation = evaluate(held_out_of(labels, [0.2, 0.2]), THRESHOLDS)
    evidence = EvaluationEvidence(
        held_out=held_out_of(labels, [0.2, 0.2]), card=make_card(), split="group", read=lambda _name: b""
    )
    rows = {row.name: row for row in goal_rows(evaluation, evidence.goals)}
    assert (rows["AUROC"].verdict, rows["AUROC"].met) == ("not measured", False)
    assert rows["false rejects" if labels[0] else "escapes"].verdict == "not measured"
    assert "of 4:" in trust_answer(evidence, evaluation)
    assert all(isinstance(sentence, str) for sentence in what_was_seen(evidence, evaluation))
