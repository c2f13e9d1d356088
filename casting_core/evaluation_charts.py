"""Charts of an evaluation, each a PNG file that a person can read by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from casting_core.charting import LETTERS, as_png, in_percent, label_axes, legend, panels
from casting_core.outcomes import casting_outcomes, image_outcomes
from casting_core.palette import INK, LINE, PAPER, QUIET, VERDICT_COLORS
from casting_core.wording import percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from casting_core.calibration import Calibration
    from casting_core.card import Thresholds
    from casting_core.evaluation import Evaluation
    from casting_core.evaluation_evidence import Epoch, Goals
    from casting_core.held_out import HeldOut
    from casting_core.outcomes import Outcomes

_OK, _REVIEW, _DEFECTIVE = (VERDICT_COLORS[name] for name in ("ok", "review", "defective"))
_VERDICTS = ("ok", "review", "defective")
# Probabilities are drawn as logits, where the differences that matter show; 0 and 1 lie beyond any axis.
_FURTHEST = 1e-4


def training_chart(history: Sequence[Epoch]) -> bytes:
    """Draw the losses and the validation AUROC over the epochs: each fold thin, their mean thick."""
    figure, (losses, aurocs) = panels(2, title="Training", height=0.6)
    label_axes(losses, title="Loss", x="epoch")
    label_axes(aurocs, title="AUROC on the validation images", x="epoch")
    _draw_curves(losses, [(each.fold, each.epoch, each.training_loss) for each in history], QUIET, "training")
    validation = [(each.fold, each.epoch, each.validation_loss) for each in history]
    _draw_curves(losses, validation, _DEFECTIVE, "validation")
    _draw_curves(aurocs, [(each.fold, each.epoch, each.validation_auroc) for each in history], _OK, "validation")
    losses.set_ylim(bottom=0)
    for axes in (losses, aurocs):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axes.has_data():
            legend(axes)
        else:
            axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", fontsize=LETTERS, color=QUIET)
    return as_png(figure)


def _draw_curves(axes: Axes, points: Iterable[tuple[int, int, float | None]], color: str, label: str) -> None:
    folds: dict[int, dict[int, float]] = {}
    for fold, epoch, value in points:
        if value is not None:
            folds.setdefault(fold, {})[epoch] = value
    if not folds:
        return
    if len(folds) > 1:
        for curve in folds.values():
            axes.plot(list(curve), list(curve.values()), color=color, linewidth=0.8, alpha=0.5)
        label = f"{label}, mean of {len(folds)} folds"
    epochs = sorted({epoch for curve in folds.values() for epoch in curve})
    means = [np.mean([curve[epoch] for curve in folds.values() if epoch in curve]) for epoch in epochs]
    axes.plot(epochs, means, color=color, linewidth=2.2, marker="o", markersize=5, label=label)


def roc_and_precision_recall(held_out: HeldOut, evaluation: Evaluation) -> bytes:
    """Draw both curves by image and by casting, with the chosen thresholds marked on them."""
    figure, (roc, precision) = panels(2, title="How well the probabilities sort defective from ok")
    label_axes(roc, title="ROC", x="ok ones called defective", y="defective ones found")
    label_axes(
        precision, title="Precision and recall", x="defective ones found", y="truly defective of those called so"
    )
    kinds = (
        ("by image", image_outcomes(held_out, evaluation.thresholds), evaluation.by_image.auroc, _OK, "-"),
        ("by casting", casting_outcomes(held_out, evaluation.thresholds), evaluation.by_casting.auroc, INK, "--"),
    )
    for name, outcomes, auroc, color, style in kinds:
        if auroc is None:
            continue
        false_alarms, found, cuts = roc_curve(outcomes.defective, outcomes.p_defective, drop_intermediate=False)
        roc.plot(false_alarms, found, color=color, linestyle=style, linewidth=2, label=f"{name}: AUROC {auroc:.3f}")
        for cut, marker in ((evaluation.thresholds.defective_from, "o"), (evaluation.thresholds.ok_below, "s")):
            place = int(np.flatnonzero(cuts >= cut)[-1])
            roc.plot(false_alarms[place], found[place], marker, color=color, markersize=8, markerfacecolor=PAPER)
        shares, recalls, _ = precision_recall_curve(outcomes.defective, outcomes.p_defective)
        area = average_precision_score(outcomes.defective, outcomes.p_defective)
        text = f"{name}: average precision {area:.3f}"
        precision.step(recalls, shares, where="post", color=color, linestyle=style, linewidth=2, label=text)
    roc.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=":")
    roc.plot([], [], "s", color=QUIET, markerfacecolor=PAPER, label="called defective or left to review")
    roc.plot([], [], "o", color=QUIET, markerfacecolor=PAPER, label="called defective")
    precision.set_ylim(0, 1.03)
    in_percent(roc, "x", "y")
    in_percent(precision, "x", "y")
    legend(roc, columns=1)
    legend(precision, columns=1)
    return as_png(figure)


def reliability_diagram(held_out: HeldOut, calibration: Calibration) -> bytes:
    """Draw what share was defective against the probability given, and how often each probability was given."""
    figure, (diagram, spread) = panels(2, title="Whether the probabilities mean what they say")
    label_axes(diagram, title=f"Reliability: off by {percent(calibration.expected_error)} on average")
    label_axes(diagram, title=diagram.get_title("left"), x="p_defective given", y="share that was defective")
    label_axes(spread, title="Probabilities given", x="p_defective", y="images")
    diagram.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=":", label="as it should be")
    means = [each.mean_p_defective for each in calibration.bins]
    shares = [each.defective_share for each in calibration.bins]
    diagram.plot(means, shares, color=_OK, linewidth=1.5)
    sizes = [30 + 500 * each.images / len(held_out) for each in calibration.bins]
    diagram.scatter(means, shares, s=sizes, color=_OK, alpha=0.8, zorder=3, label="ten bins; size: number of images")
    edges = np.linspace(0, 1, 21).tolist()
    groups = [held_out.p_defective[~held_out.defective], held_out.p_defective[held_out.defective]]
    spread.hist(groups, bins=edges, stacked=True, color=[_OK, _DEFECTIVE], label=["labelled ok", "labelled defective"])
    in_percent(diagram, "x", "y")
    legend(diagram)
    legend(spread)
    return as_png(figure)


def confusion_matrices(held_out: HeldOut, evaluation: Evaluation) -> bytes:
    """Draw what was said against what is, by image and by casting; the errors stand out."""
    figure, both = panels(2, title="What the model said, and what people say", height=0.62)
    kinds = (
        ("image", image_outcomes(held_out, evaluation.thresholds)),
        ("casting", casting_outcomes(held_out, evaluation.thresholds)),
    )
    for axes, (name, outcomes) in zip(both, kinds, strict=True):
        label_axes(axes, title=f"By {name} ({len(outcomes.defective)})", x="the model said", y="labelled")
        _draw_matrix(axes, _matrix(outcomes))
    return as_png(figure)


def _matrix(outcomes: Outcomes) -> NDArray[np.int64]:
    """Counts [2, 3]: labelled ok and defective, by the verdicts ok, review and defective."""
    wrong = np.stack([outcomes.false_rejected, outcomes.escaped])
    reviewed = np.stack([~outcomes.defective & outcomes.reviewed, outcomes.defective & outcomes.reviewed]).sum(axis=1)
    of = np.array([(~outcomes.defective).sum(), outcomes.defective.sum()])
    errors = wrong.sum(axis=1)
    right = of - errors - reviewed
    return np.array([[right[0], reviewed[0], errors[0]], [errors[1], reviewed[1], right[1]]], dtype=np.int64)


def _draw_matrix(axes: Axes, matrix: NDArray[np.int64]) -> None:
    colors = ((_OK, _REVIEW, _DEFECTIVE), (_DEFECTIVE, _REVIEW, _OK))
    axes.grid(visible=False)
    for row, counts in enumerate(matrix):
        for column, count in enumerate(counts):
            share = count / counts.sum() if counts.sum() else 0.0
            corner, shade = (column - 0.5, row - 0.5), 0.12 + 0.6 * share
            axes.add_patch(Rectangle(corner, 1, 1, color=colors[row][column], alpha=shade, linewidth=0))
            axes.text(column, row - 0.08, str(count), ha="center", fontsize=LETTERS + 8, color=INK)
            axes.text(column, row + 0.25, percent(share), ha="center", fontsize=LETTERS - 1, color=INK)
    axes.set(xlim=(-0.5, 2.5), ylim=(1.5, -0.5))
    axes.set_xticks(range(3), _VERDICTS)
    axes.set_yticks(range(2), ("ok", "defective"), rotation=90, va="center")


def trade_off(held_out: HeldOut, thresholds: Thresholds, goals: Goals) -> bytes:
    """Draw escapes and false rejects over every place for a threshold, with the chosen ones and the goals."""
    figure, both = panels(2, title="Where to cut: escapes against false rejects")
    castings = held_out.by_casting()
    kinds = (
        ("image", held_out.defective, held_out.p_defective),
        ("casting", castings.defective, castings.p_defective),
    )
    for axes, (name, defective, p_defective) in zip(both, kinds, strict=True):
        label_axes(axes, title=f"By {name}", x="threshold for p_defective", y="share that errs")
        _draw_trade_off(axes, defective, p_defective, thresholds)
        axes.axhline(goals.escapes, color=_DEFECTIVE, linewidth=1, linestyle=":")
        axes.axhline(goals.false_rejects, color=_OK, linewidth=1, linestyle=":")
        legend(axes, columns=1)
    return as_png(figure)


def _draw_trade_off(
    axes: Axes, defective: NDArray[np.bool_], p_defective: NDArray[np.float64], thresholds: Thresholds
) -> None:
    low, high = (float(_as_logit(np.array(place))) for place in (thresholds.ok_below, thresholds.defective_from))
    places = np.unique(np.concatenate([_as_logit(p_defective), [low, high], _as_logit(np.linspace(0, 1, 200))]))
    cuts = expit(places)
    bad, good = np.sort(p_defective[defective]), np.sort(p_defective[~defective])
    escapes = np.searchsorted(bad, cuts) / max(1, len(bad))
    rejects = 1 - np.searchsorted(good, cuts) / max(1, len(good))
    axes.axvspan(low, high, color=_REVIEW, alpha=0.22, linewidth=0, label="review")
    axes.plot(places, escapes, color=_DEFECTIVE, linewidth=2, label="defective ones below: escapes")
    axes.plot(places, rejects, color=_OK, linewidth=2, label="ok ones above: false rejects")
    escaped, rejected = np.interp(low, places, escapes), np.interp(high, places, rejects)
    for place, rate, color, side in ((low, escaped, _DEFECTIVE, -1), (high, rejected, _OK, 1)):
        axes.plot(place, rate, "o", color=color, markersize=9, zorder=4)
        axes.annotate(
            percent(float(rate)),
            (place, rate),
            xytext=(8 * side, 8),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            fontsize=LETTERS,
            color=color,
            bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 1},
            zorder=5,
        )
    ticks = np.array([0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999])
    axes.set_xticks(logit(ticks), [f"{tick:g}" for tick in ticks])
    axes.set_xlim(float(logit(_FURTHEST)), float(-logit(_FURTHEST)))
    axes.set_ylim(0, max(0.12, min(1.0, 4 * max(escaped, rejected))))
    axes.grid(visible=True, color=LINE)
    in_percent(axes, "y")


def _as_logit(p_defective: NDArray[np.float64]) -> NDArray[np.float64]:
    places: NDArray[np.float64] = logit(np.clip(p_defective, _FURTHEST, 1 - _FURTHEST))
    return places
