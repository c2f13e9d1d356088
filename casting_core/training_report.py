"""The report of a training run, from what the run knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import safetensors.torch

from casting_core.artifact import Artifact
from casting_core.evaluation_evidence import EvaluationEvidence, TrainingSample
from casting_core.evaluation_report import build_report
from casting_core.heat_maps import explain_with
from casting_core.images import read_image
from casting_core.model import load_network
from casting_core.preprocess import prepare
from casting_core.types import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from casting_core.card import ModelCard
    from casting_core.dataset import LabelledDataset
    from casting_core.training_run import TrainedModel

__all__ = ["report_files"]


def report_files(dataset: LabelledDataset, trained: TrainedModel) -> dict[str, bytes]:
    """Give the pictures and the page that stand in the artifact's folder, by name.

    Raises what reading a picture of the data set raises.
    """
    images = {image.uri: image for image in dataset.images}
    card = trained.card
    artifact = Artifact(
        url=card.version,
        card=card,
        weights=safetensors.torch.load(trained.weights),
        engine_files=trained.engine_files,
        sha256=card.weights_sha256,
    )
    return build_report(
        EvaluationEvidence(
            held_out=trained.held_out,
            card=card,
            split=card.training["split"],
            read=lambda name: dataset.read(images[name]),
            history=trained.history,
            training_samples=[
                TrainingSample(name=name, label=image.label)
                for name, image in images.items()
                if name not in trained.rejected
            ],
            explain=explain_with(load_network(artifact), card, lambda content: _prepare(content, card)),
            untested=list(_untested(card)),
            rejected=len(trained.rejected),
        )
    )


def _prepare(content: bytes, card: ModelCard) -> NDArray[np.uint8] | Rejection:
    image = read_image(content, gate=card.gate, decoding=card.decoding)
    return image if isinstance(image, Rejection) else prepare(image, card.preprocessing)


def _untested(card: ModelCard) -> Iterator[str]:
    apart = card.metrics["thresholds_from_other_folds"]
    if card.training["folds"] > 1:
        yield (
            f"The model that is published was trained on all castings. The figures are of {card.training['folds']} "
            "models, each trained by the same recipe without the castings that it was asked about."
        )
        yield "The heat maps are of the published model, which has been trained on these castings."
    if apart is not None:
        yield (
            f"Thresholds chosen for each fold on the other folds alone let {apart['escapes']} images escape, falsely "
            f"reject {apart['false_rejects']} and send {apart['review']} to review: expect that of other castings."
        )
