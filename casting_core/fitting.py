"""From labelled files to a model card with weights: prepare, split by casting, train, calibrate, evaluate as served."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image
from scipy.optimize import minimize_scalar
from sklearn.metrics import roc_auc_score

from casting_core.artifact import encode_weights, library_versions
from casting_core.card import ModelCard, Serving, Thresholds, version_name
from casting_core.errors import InvalidDataset
from casting_core.images import Decoding, ImageGate, is_grey, read_image
from casting_core.model import pretrained_network
from casting_core.preprocess import Preprocessing, fit_square, stack
from casting_core.scoring import choose_hardware, network_scorer
from casting_core.serving import choose_serving
from casting_core.training import LabelledPictures, Recipe, check_trainable, train
from casting_core.types import Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from casting_core.dataset import LabelledFile
    from casting_core.scoring import DeviceName
    from casting_core.training import Step

_GREY_SAMPLE = 50


@dataclass(frozen=True, kw_only=True)
class FittedModel:
    """A trained model, ready to be published.

    `engine_files` are what its engine reads instead of the weights, `rejected` the training files that the image gate
    refused, by name.
    """

    card: ModelCard
    weights: bytes
    engine_files: dict[str, bytes]
    rejected: dict[str, Rejection]


def fit_model(
    files: Sequence[LabelledFile],
    *,
    architecture: str,
    pretrained: str | Path,
    side: int,
    recipe: Recipe,
    device: DeviceName = "auto",
    validation_share: float = 0.2,
    quantise: bool = False,
    on_step: Callable[[Step], None] = lambda _step: None,
) -> FittedModel:
    """Train on most castings, calibrate and evaluate on the others, in the engine and precision that will serve.

    With `quantise` 8-bit integers are tried as well, which takes longer than it saves where few pictures are judged.
    Raises InvalidDataset when a class is missing on either side, UnknownArchitecture, or InvalidInput for weights of
    another architecture.
    """
    decoding = Decoding(color=_color_of(files), side=side)
    preprocessing = Preprocessing(side=side)
    kept, pictures, rejected = _prepare(files, decoding, preprocessing)
    held_out = held_out_groups(kept, share=validation_share, seed=recipe.seed)
    is_held_out = torch.tensor([file.group in held_out for file in kept])
    training, validation = _part(pictures, ~is_held_out), _part(pictures, is_held_out)
    check_trainable(validation)
    network = pretrained_network(architecture, pretrained)
    hardware = choose_hardware(device, half=True)
    network = train(
        network,
        training,
        recipe,
        preprocessing,
        device=hardware.device,
        half=hardware.precision == torch.bfloat16,
        on_step=on_step,
    ).cpu()
    weights = encode_weights(network.state_dict())
    weights_sha256 = hashlib.sha256(weights).hexdigest()
    trained_at = datetime.now(tz=UTC)
    draft = ModelCard(
        version=version_name(trained_at, architecture, weights_sha256),
        trained_at=trained_at,
        architecture=architecture,
        decoding=decoding,
        preprocessing=preprocessing,
        gate=ImageGate(),
        temperature=1.0,
        thresholds=Thresholds(),
        serving=Serving(),
        weights_sha256=weights_sha256,
        libraries=library_versions(),
        data={
            "images": len(kept),
            "castings": len({file.group for file in kept}),
            "validation_castings": len(held_out),
            "rejected": len(rejected),
            "files_sha256": _files_hash(kept),
        },
        training={"pretrained": str(pretrained), **vars(recipe)},
        metrics={},
    )
    card, engine_files = _calibrate(network, draft, training, validation, device, quantise=quantise)
    return FittedModel(card=card, weights=weights, engine_files=engine_files, rejected=rejected)


def held_out_groups(files: Sequence[LabelledFile], *, share: float, seed: int) -> frozenset[int]:
    """Choose castings of both classes that training does not see: about `share` of each, at least one.

    Raises InvalidDataset when a class has fewer than two castings, since one would be left on one side only.
    """
    generator = np.random.default_rng(seed)
    chosen: set[int] = set()
    for label in ("ok", "defective"):
        groups = sorted({file.group for file in files if file.label == label})
        if len(groups) < 2:  # noqa: PLR2004 - one to train on, one to evaluate on
            raise InvalidDataset(
                f"There are {len(groups)} castings labelled {label!r}; at least 2 are needed, to train on some and to "
                "evaluate on others."
            )
        count = min(max(1, round(share * len(groups))), len(groups) - 1)
        # A casting with pictures of both classes may have been chosen for the other one already.
        free = [group for group in groups if group not in chosen]
        missing = count - (len(groups) - len(free))
        if missing > 0:
            chosen |= {int(group) for group in generator.choice(free, size=missing, replace=False)}
    return frozenset(chosen)


def classification_metrics(
    labels: NDArray[np.int64], p_defective: NDArray[np.float64], thresholds: Thresholds
) -> dict[str, Any]:
    """Counts at the thresholds and AUROC: labels [N] with 1 for defective, p_defective [N]."""
    defective = labels == 1
    ok_said, defective_said = p_defective < thresholds.ok_below, p_defective >= thresholds.defective_from
    both = 0 < defective.sum() < len(labels)
    return {
        "n": len(labels),
        "defective": int(defective.sum()),
        "escapes": int((defective & ok_said).sum()),
        "false_rejects": int((~defective & defective_said).sum()),
        "review": int((~ok_said & ~defective_said).sum()),
        "auroc": round(float(roc_auc_score(defective, p_defective)), 4) if both else None,
    }


def fit_temperature(labels: NDArray[np.int64], p_defective: NDArray[np.float64]) -> float:
    """The temperature that makes uncalibrated probabilities most likely (Guo et al. 2017), within 0.5 to 10.

    `p_defective` [N] comes from temperature 1. The bounds keep a small, perfectly separated sample from claiming
    certainty.
    """
    clipped = np.clip(p_defective, 1e-9, 1 - 1e-9)
    logits = np.log(clipped) - np.log1p(-clipped)
    signs = np.where(labels == 1, 1.0, -1.0)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0.0, -signs * logits / np.exp(log_temperature)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.5), np.log(10.0)), method="bounded").x))


def _calibrate(
    network: torch.nn.Module,
    draft: ModelCard,
    training: LabelledPictures,
    validation: LabelledPictures,
    device: DeviceName,
    *,
    quantise: bool,
) -> tuple[ModelCard, dict[str, bytes]]:
    pictures = list(validation.pixels.numpy())
    labels = validation.labels.numpy()
    exact = network_scorer(network, draft, choose_hardware(device, half=False), batch_size=32)
    raw = np.array(exact.predict(pictures))
    calibrated = draft.model_copy(update={"temperature": fit_temperature(labels, raw)})
    served = choose_serving(
        network,
        calibrated,
        validation=validation,
        calibration=list(training.pixels.numpy()) if quantise else (),
        device=device,
    )
    metrics = {"by_image": classification_metrics(labels, served.p_defective, served.card.thresholds)}
    return served.card.model_copy(update={"metrics": metrics}), served.files


def _prepare(
    files: Sequence[LabelledFile], decoding: Decoding, preprocessing: Preprocessing
) -> tuple[list[LabelledFile], LabelledPictures, dict[str, Rejection]]:
    kept, squares, rejected = [], [], {}
    for file in files:
        image = read_image(file.content, gate=ImageGate(), decoding=decoding)
        if isinstance(image, Rejection):
            rejected[file.name] = image
        else:
            kept.append(file)
            squares.append(fit_square(image, preprocessing.side))
    if not kept:
        raise InvalidDataset(f"None of the {len(files)} training files is a picture that can be read.")
    labels = torch.tensor([int(file.label == "defective") for file in kept])
    marks = torch.tensor([file.mark or (torch.nan, torch.nan) for file in kept])
    return kept, LabelledPictures(pixels=stack(squares), labels=labels, marks=marks), rejected


def _part(pictures: LabelledPictures, mask: torch.Tensor) -> LabelledPictures:
    return LabelledPictures(pixels=pictures.pixels[mask], labels=pictures.labels[mask], marks=pictures.marks[mask])


def _color_of(files: Sequence[LabelledFile]) -> Literal["grey", "rgb"]:
    """Grey when every picture of a sample holds no colour: checked, since files without colour are often stored RGB."""
    step = max(1, len(files) // _GREY_SAMPLE)
    for file in files[::step]:
        try:
            with Image.open(io.BytesIO(file.content)) as image:
                if not is_grey(image):
                    return "rgb"
        except (OSError, SyntaxError, ValueError):
            continue
    return "grey"


def _files_hash(files: Sequence[LabelledFile]) -> str:
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
        digest.update(f"{file.name}\t{file.label}\t{file.group}\t".encode() + hashlib.sha256(file.content).digest())
    return digest.hexdigest()
