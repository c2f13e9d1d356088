"""The report of a trained model: pictures as files, and one HTML page that needs no network and holds them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from casting_core.evaluation import evaluate
from casting_core.evaluation_charts import (
    confusion_matrices,
    reliability_diagram,
    roc_and_precision_recall,
    trade_off,
    training_chart,
)
from casting_core.evaluation_evidence import EvaluationEvidence
from casting_core.evaluation_pictures import (
    heat_map_sheets,
    look_at,
    predictions_sheet,
    samples_sheet,
    seen_picture,
    spread,
    thumbnail,
    troubled,
    worst,
)
from casting_core.evaluation_wording import LEAKS, goal_rows, trust_answer, untested, what_was_seen
from casting_core.heat_maps import draw_heat_map
from casting_core.report_page import data_address, render_page
from casting_core.wording import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from casting_core.card import ModelCard
    from casting_core.evaluation import Evaluation
    from casting_core.evaluation_evidence import HeatMap, TrainingSample
    from casting_core.evaluation_pictures import Looked

__all__ = ["REPORT", "EvaluationEvidence", "build_report"]

# The page's name in an artifact's folder.
REPORT = "report.html"

_SMALL, _LARGE = 132, 240
# More would make a page that no phone opens; the worst come first.
_MOST_EXPLAINED = 150


def build_report(evidence: EvaluationEvidence, *, seed: int = 0) -> dict[str, bytes]:
    """Draw the pictures and the page of a trained model, as files by name: PNG files and `report.html`.

    The first lines of the page say whether a person could trust the model, and it embeds every picture. Of the images
    that were missed or left to review it shows the worst 150, and says so where there are more. Raises what
    `evidence.read` and `evidence.explain` raise.
    """
    evaluation = evaluate(evidence.held_out, evidence.card.thresholds, seed=seed)
    charts = _charts(evidence, evaluation)
    looked = look_at(evidence.held_out, evidence.card.thresholds)
    missed = troubled(looked)
    explained = _explained(evidence, missed[:_MOST_EXPLAINED])
    samples = spread(evidence.training_samples)
    sheets = {"validation_predictions.png": predictions_sheet(worst(looked), evidence.read)}
    if samples:
        sheets["training_samples.png"] = samples_sheet(samples, evidence.read)
    sheets |= heat_map_sheets([(looked, heat_map) for looked, _, heat_map in explained if heat_map])
    page = render_page(
        "evaluation.html",
        card=evidence.card,
        charts={name: data_address(content, "png") for name, content in charts.items()},
        troubled=[_shown(*each) for each in explained],
        troubled_count=_shown_words(len(explained), len(missed)),
        predictions=[_shown(each, evidence.read(each.name)) for each in worst(looked)],
        samples=[_sample(sample, evidence.read(sample.name)) for sample in samples],
        **_words(evidence, evaluation),
    )
    return charts | sheets | {REPORT: page.encode()}


def _charts(evidence: EvaluationEvidence, evaluation: Evaluation) -> dict[str, bytes]:
    held_out = evidence.held_out
    charts = {
        "trade_off.png": trade_off(held_out, evaluation.thresholds, evidence.goals),
        "confusion_matrix.png": confusion_matrices(held_out, evaluation),
        "roc_and_precision_recall.png": roc_and_precision_recall(held_out, evaluation),
        "reliability.png": reliability_diagram(held_out, evaluation.calibration),
    }
    return charts | ({"training_chart.png": training_chart(evidence.history)} if evidence.history else {})


def _explained(evidence: EvaluationEvidence, missed: Sequence[Looked]) -> list[tuple[Looked, bytes, HeatMap | None]]:
    contents = [evidence.read(each.name) for each in missed]
    heat_maps: Sequence[HeatMap | None] = [None] * len(missed)
    if evidence.explain and contents:
        heat_maps = evidence.explain(contents)
    return list(zip(missed, contents, heat_maps, strict=True))


def _shown(looked: Looked, content: bytes, heat_map: HeatMap | None = None) -> dict[str, Any]:
    """A held-out image as the page shows it; with a heat map, as the network saw it."""
    side = _LARGE if heat_map else _SMALL
    return {
        "looked": looked,
        "picture": data_address(thumbnail(seen_picture(heat_map) if heat_map else content, side=side), "jpeg"),
        "heat_map": data_address(thumbnail(draw_heat_map(heat_map), side=side), "jpeg") if heat_map else None,
    }


def _sample(sample: TrainingSample, content: bytes) -> dict[str, str]:
    return {"label": sample.label, "picture": data_address(thumbnail(content, side=_SMALL), "jpeg")}


def _shown_words(shown: int, all_: int) -> str:
    return counted(all_, "image") if shown == all_ else f"The worst {shown} of {all_} images"


def _words(evidence: EvaluationEvidence, evaluation: Evaluation) -> dict[str, Any]:
    rows = goal_rows(evaluation, evidence.goals)
    return {
        "answer": trust_answer(evidence, evaluation),
        "trusted": evidence.split == "group" and all(row.met for row in rows),
        "leaks": LEAKS if evidence.split == "random" else "",
        "seen": list(what_was_seen(evidence, evaluation)),
        "untested": list(untested(evidence, evaluation)),
        "goals": rows,
        "confidence": percent(evaluation.confidence),
        "facts": list(_facts(evidence.card, evaluation)),
    }


def _facts(card: ModelCard, evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    yield "version", card.version
    yield "trained at", f"{card.trained_at:%Y-%m-%d %H:%M} UTC"
    yield "network", f"{card.architecture}, {card.preprocessing.side} pixels, {card.decoding.color}"
    yield "served with", f"{card.serving.engine}, {card.serving.precision}"
    yield from ((f"why not {precision}", why) for precision, why in card.serving.others.items())
    yield "temperature", f"{card.temperature:.3g}"
    yield "expected calibration error", percent(evaluation.calibration.expected_error)
    yield "Brier score", f"{evaluation.calibration.brier:.4f}"
    for heading, values in (("data", card.data), ("training", card.training)):
        yield from ((f"{heading}: {name.replace('_', ' ')}", str(value)) for name, value in values.items())
