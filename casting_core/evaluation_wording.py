"""What an evaluation means in plain words: could a person trust the model, how far from the goals, what is untested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from casting_core.wording import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from casting_core.evaluation import Evaluation, Rate, Scores
    from casting_core.evaluation_evidence import EvaluationEvidence, Goals
    from casting_core.rates import Interval

LEAKS = (
    "The split is random, by image, and it leaks: pictures of one casting lie on both sides, so the model was tested "
    "on castings that it had learnt by heart. The figures flatter. They say nothing of castings that it has not seen. "
    "Train with a split by casting to know."
)


@dataclass(frozen=True, kw_only=True)
class GoalRow:
    """One goal against what was found, as it is written: each a main line, and lines that explain it.

    `by_image` is what the goal is held against.
    """

    name: str
    by_image: tuple[str, ...]
    by_casting: tuple[str, ...]
    goal: str
    verdict: str
    met: bool


def trust_answer(evidence: EvaluationEvidence, evaluation: Evaluation) -> str:
    """Answer whether a person could trust the model, in a sentence or two; the reasons follow in `what_was_seen`."""
    if evidence.split == "random":
        return "No. These figures cannot be trusted, because the split leaks."
    missed = [row for row in goal_rows(evaluation, evidence.goals) if not row.met]
    if missed:
        names = " and ".join(filter(None, (", ".join(row.name for row in missed[:-1]), missed[-1].name)))
        return f"Not yet without people behind it. It misses {counted(len(missed), 'goal')} of 4: {names}."
    unproven = list(_unproven(evaluation, evidence.goals))
    if unproven:
        return f"It meets its goals on these castings, but they are too few to promise it: {'; '.join(unproven)}."
    return "Yes, for castings and pictures like these. It meets its goals, and the intervals bear it out."


def what_was_seen(evidence: EvaluationEvidence, evaluation: Evaluation) -> Iterator[str]:
    """Say in sentences what the model was tested on and how it erred, with the intervals that respect the castings."""
    images, castings = evaluation.by_image, evaluation.by_casting
    seen = "was not trained on" if evidence.split == "group" else "partly knew from training"
    yield (
        f"Tested on {counted(castings.n, 'casting')} ({castings.defective} defective, {castings.ok} ok) in "
        f"{counted(images.n, 'image')} that it {seen}."
    )
    yield (
        f"Escapes: {_of(castings.escapes, 'defective castings')} and {_of(images.escapes, 'defective images')} passed "
        f"as ok; {_castings(evaluation.escaped_castings)} had at least one picture passed as ok."
    )
    yield (
        f"False rejects: {_of(castings.false_rejects, 'ok castings')} and {_of(images.false_rejects, 'ok images')} "
        "were called defective."
    )
    yield f"Review: {_of(castings.review, 'castings')} and {_of(images.review, 'images')} are left to a person."


def untested(evidence: EvaluationEvidence, evaluation: Evaluation) -> Iterator[str]:
    """Say what the figures do not speak of."""
    if evidence.split == "random":
        yield "Castings that the model has never seen: this split has none that can be relied on."
    yield (
        "Other castings than these for the thresholds and the temperature: they were chosen on the castings that are "
        "counted here, so on others expect somewhat more errors."
    )
    smaller = min((evaluation.by_casting.ok, "ok"), (evaluation.by_casting.defective, "defective"))
    yield (
        f"More than {counted(smaller[0], f'{smaller[1]} casting')}: however else {smaller[1]} ones may look, nobody "
        "has seen the model judge them."
    )
    yield (
        "Another line, camera, light or product than in these pictures, and kinds of defects that are not among them. "
        "Nor later days: a process drifts."
    )
    if evidence.rejected:
        yield f"{counted(evidence.rejected, 'file')} that could not be judged as pictures; they were left out."
    yield from evidence.untested


def goal_rows(evaluation: Evaluation, goals: Goals) -> list[GoalRow]:
    """Hold the evaluation against the goals, by image; where one is missed, say by how much."""
    images, castings = evaluation.by_image, evaluation.by_casting
    return [
        _rate_row("escapes", images.escapes, castings.escapes, goals.escapes),
        _rate_row("false rejects", images.false_rejects, castings.false_rejects, goals.false_rejects),
        _rate_row("review", images.review, castings.review, goals.review),
        _auroc_row(images, castings, goals.auroc),
    ]


def interval_words(interval: Interval) -> str:
    """An interval of a rate: `0.1 % to 5.3 %`."""
    return f"{percent(interval.low)} to {percent(interval.high)}"


def _rate_row(name: str, by_image: Rate, by_casting: Rate, goal: float) -> GoalRow:
    met = by_image.rate is not None and by_image.rate <= goal
    if by_image.rate is None:
        verdict = "not measured"
    elif not met:
        verdict = f"missed by {100 * (by_image.rate - goal):.2g} percentage points"
    else:
        verdict = "met" if by_casting.exact.high <= goal else "met here; too few castings to promise it"
    return GoalRow(
        name=name,
        by_image=_rate_lines(by_image),
        by_casting=_rate_lines(by_casting),
        goal=f"at most {percent(goal)}",
        verdict=verdict,
        met=met,
    )


def _auroc_row(images: Scores, castings: Scores, goal: float) -> GoalRow:
    met = images.auroc is not None and images.auroc >= goal
    missed_by = "not measured" if images.auroc is None else f"missed by {goal - images.auroc:.4f}"
    return GoalRow(
        name="AUROC",
        by_image=_auroc_lines(images),
        by_casting=_auroc_lines(castings),
        goal=f"at least {goal:.3f}",
        verdict="met" if met else missed_by,
        met=met,
    )


def _auroc_lines(scores: Scores) -> tuple[str, ...]:
    if scores.auroc is None:
        return ("one class alone",)
    if scores.auroc_over_castings is None:
        return (f"{scores.auroc:.4f}", "no interval can be given")
    interval = scores.auroc_over_castings
    return f"{scores.auroc:.4f}", f"over castings {interval.low:.3f} to {interval.high:.3f}"


def _rate_lines(rate: Rate) -> tuple[str, ...]:
    if rate.rate is None:
        return ("there were none",)
    return (
        f"{percent(rate.rate)} ({rate.count} of {rate.of})",
        f"exact {interval_words(rate.exact)}",
        f"over castings {interval_words(rate.over_castings)}",
    )


def _unproven(evaluation: Evaluation, goals: Goals) -> Iterator[str]:
    pairs = (
        ("escapes", evaluation.by_casting.escapes, goals.escapes),
        ("false rejects", evaluation.by_casting.false_rejects, goals.false_rejects),
    )
    for name, rate, goal in pairs:
        if rate.exact.high > goal:
            yield f"{name} may be as many as {percent(rate.exact.high)} of the castings"


def _of(rate: Rate, what: str) -> str:
    if not rate.of:
        return f"none of 0 {what}"
    share, interval = percent(rate.count / rate.of), interval_words(rate.over_castings)
    return f"{rate.count} of {rate.of} {what} ({share}, interval {interval})"


def _castings(count: int) -> str:
    return counted(count, "casting") if count else "no casting"
