"""Two stored models on the golden set, each loaded and fed as the hourly job does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from casting_core import gate
from casting_core.artifact import read_artifact
from casting_core.card import CLASSES
from casting_core.comparison import Comparison, paired_difference
from casting_core.evaluation import Evaluation, evaluate
from casting_core.examination import ExaminedPicture, as_held_out, examine
from casting_core.golden import read_golden_picture
from casting_core.scoring import load_scorer
from db.golden import golden_images
from flows.errors import NoGoldenSet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from casting_core.gate import GateLimits
    from casting_core.held_out import HeldOut
    from casting_core.scoring import Scorer
    from casting_core.training_run import TrainedModel
    from casting_core.types import RegisteredModel
    from flows.resources import Resources


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What a challenger did on the golden set, and what the champion `against` it did on the same pictures."""

    golden: HeldOut
    against: RegisteredModel | None
    evaluation: Evaluation
    champion: Evaluation | None
    comparison: Comparison | None

    def checks(self, limits: GateLimits) -> list[gate.Check]:
        """What the gate says of the figures: against the champion, or, without one, against absolute limits."""
        by_image = self.evaluation.by_image
        review = gate.check_review(by_image.review, self.champion.by_image.review if self.champion else None, limits)
        if self.comparison is None:
            return [review, *gate.check_first(self.golden, self.evaluation, limits)]
        return [review, *gate.check_comparison(self.golden, self.comparison, limits)]

    def to_json(self) -> dict[str, Any]:
        """The figures as plain JSON values."""
        return {
            "challenger": self.evaluation.to_json(),
            "champion": self.champion.to_json() if self.champion else None,
            "difference": self.comparison.to_json() if self.comparison else None,
        }


def load_stored(resources: Resources, url: str, sha256: str) -> Scorer:
    """Load an artifact as the hourly job does; every byte is checked. Raises ModelError and StorageError."""
    settings = resources.settings
    artifact = read_artifact(url, expected_sha256=sha256, options=settings.storage_options(url))
    return load_scorer(artifact, device=settings.device, batch_size=settings.batch_size)


def check_reproduction(trained: TrainedModel, stored: Scorer, read: Callable[[ExaminedPicture], bytes]) -> gate.Check:
    """Does the stored artifact say what training measured of the same model, as it serves?"""
    measured = trained.as_served
    pictures = [
        ExaminedPicture(name=name, label=CLASSES[label], casting=int(casting))
        for name, label, casting in zip(measured.names, measured.labels, measured.castings, strict=True)
    ]
    return gate.check_reproduction(measured, examine(stored, pictures, read))


def compare(
    resources: Resources,
    challenger: Scorer,
    champion: RegisteredModel | None,
    pictures: Sequence[ExaminedPicture],
    read: Callable[[ExaminedPicture], bytes],
    *,
    confidence: float,
) -> Compared:
    """Let both models judge the same pictures. Those that either one's image gate refuses count for neither."""
    said = examine(challenger, pictures, read)
    before = None
    if champion is not None:
        old = load_stored(resources, champion.artifact_url, champion.sha256)
        said_before = examine(old, pictures, read)
        before = as_held_out(pictures, {name: p for name, p in said_before.items() if name in said})
        said = {name: p for name, p in said.items() if name in said_before}
    golden = as_held_out(pictures, said)
    thresholds = challenger.card.thresholds
    return Compared(
        golden=golden,
        against=champion,
        evaluation=evaluate(golden, thresholds, confidence=confidence),
        champion=evaluate(before, old.card.thresholds, confidence=confidence) if before else None,
        comparison=paired_difference(before, golden, old.card.thresholds, thresholds, confidence=confidence)
        if before
        else None,
    )


def compare_registered(
    resources: Resources, challenger: RegisteredModel, champion: RegisteredModel, *, confidence: float
) -> Compared:
    """Compare two registered models on the golden set as it was frozen. Raises NoGoldenSet."""
    with resources.engine.connect() as connection:
        golden = golden_images(connection)
    if not golden:
        raise NoGoldenSet(
            "There is no golden set yet to compare models on; the first retraining freezes one: casting retrain"
        )
    settings = resources.settings
    options = settings.storage_options(settings.models_root)
    return compare(
        resources,
        load_stored(resources, challenger.artifact_url, challenger.sha256),
        champion,
        [ExaminedPicture(name=each.sha256, label=each.label, casting=each.casting) for each in golden],
        lambda picture: read_golden_picture(settings.models_root, picture.name, options=options),
        confidence=confidence,
    )


def metrics_table(compared: Compared, *, names: tuple[str, str] = ("champion", "challenger")) -> list[dict[str, Any]]:
    """The golden set's figures, one row a model and way of counting. `names` are the champion's and challenger's."""
    return [
        {"model": name, "by": by} | _figures(evaluation, by)
        for name, evaluation in zip(names, (compared.champion, compared.evaluation), strict=True)
        if evaluation is not None
        for by in ("image", "casting")
    ]


def _figures(evaluation: Evaluation, by: str) -> dict[str, Any]:
    scores = evaluation.by_image if by == "image" else evaluation.by_casting
    return {
        "n": scores.n,
        "escapes": f"{scores.escapes.count} of {scores.escapes.of}",
        "false rejects": f"{scores.false_rejects.count} of {scores.false_rejects.of}",
        "review": f"{scores.review.count} of {scores.review.of}",
        "AUROC": scores.auroc,
    }
