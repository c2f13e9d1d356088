"""A training run: from a labelled data set to a model card with weights, and to predictions on castings never seen.

Every fold trains a model without its castings and predicts them. With two or more folds the model that is published is
then trained on all castings by the same recipe, so the predictions tell how such models do; with one fold it is the
very model that predicted.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import expit, logit

from casting_core.artifact import encode_weights, library_versions
from casting_core.card import ModelCard, Serving, Thresholds, version_name
from casting_core.cross_fitting import cross_fit_thresholds
from casting_core.evaluation import HeldOut, choose_thresholds, evaluate
from casting_core.fold_predictions import predict_folds, scorers_as_served, torch_scorers, training_pictures
from casting_core.fold_training import FoldTraining
from casting_core.folds import split_folds
from casting_core.images import Decoding, ImageGate
from casting_core.pictures import Example, color_of, hash_files, measure_rings, prepare_pictures
from casting_core.predictions import PREDICTIONS, write_predictions
from casting_core.preprocess import Preprocessing
from casting_core.scoring import choose_hardware
from casting_core.serving import choose_serving
from casting_core.temperature import fit_temperature
from casting_core.training_plan import TrainingPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from casting_core.dataset import LabelledDataset
    from casting_core.evaluation_evidence import Epoch
    from casting_core.grouping import Grouping
    from casting_core.pictures import PreparedPictures
    from casting_core.presets import Preset
    from casting_core.training import Step
    from casting_core.types import Rejection

__all__ = ["MANIFEST", "TrainedModel", "TrainingPlan", "train_examples", "train_model"]

# The file's name in an artifact's folder.
MANIFEST = "manifest.csv"
# Pictures on which precisions are compared where the folds' predictions are made anyway.
_COMPARED = 64
# Beyond this a float64 cannot tell a probability from 1.
_CERTAIN = 1e-15


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A trained model, ready to be published.

    `engine_files` are what its engine reads instead of the weights. `as_served` are its own predictions on some
    pictures, in the form in which it serves: whoever loads the artifact must get the same. `manifest` is the frozen
    input, as the CSV file `uri,sha256,label,group,split`. `rejected` are training files that the image gate refused, by
    name. `history` is in order of folds and epochs.
    """

    card: ModelCard
    weights: bytes
    engine_files: dict[str, bytes]
    held_out: HeldOut
    as_served: HeldOut
    manifest: bytes
    rejected: dict[str, Rejection]
    history: tuple[Epoch, ...]

    def files(self) -> dict[str, bytes]:
        """What stands beside card and weights in the artifact's folder."""
        return {**self.engine_files, MANIFEST: self.manifest, PREDICTIONS: write_predictions(self.held_out)}


def train_model(
    dataset: LabelledDataset,
    grouping: Grouping,
    plan: TrainingPlan,
    *,
    workdir: Path,
    on_step: Callable[[Step], None] = lambda _step: None,
) -> TrainedModel:
    """Train, calibrate and evaluate a model on a data set whose castings are known.

    What is in `workdir` is used again: decoded pictures, and the epochs that a killed run of the same plan has done.
    Raises InvalidDataset when a class is missing, a class has fewer castings than folds or no file can be read,
    UnknownArchitecture, and InvalidInput for weights of another architecture or a preset that there is not.
    """
    dataset.require_both_classes()
    examples = [
        Example(name=image.uri, label=image.label, casting=casting, read=partial(dataset.read, image))
        for image, casting in zip(dataset.images, grouping.castings, strict=True)
    ]
    return train_examples(examples, plan.chosen_preset(), plan, workdir=workdir, on_step=on_step)


def train_examples(
    examples: Sequence[Example],
    preset: Preset,
    plan: TrainingPlan,
    *,
    workdir: Path,
    on_step: Callable[[Step], None] = lambda _step: None,
) -> TrainedModel:
    """Do what `train_model` does, on examples and by a preset that need not have a name."""
    decoding = Decoding(color=color_of(examples), side=preset.side)
    preprocessing = Preprocessing(
        side=preset.side,
        rectify=preset.rectify,
        typical_rings=measure_rings(examples, decoding) if preset.rectify else None,
    )
    prepared = prepare_pictures(
        examples, hash_files(examples), decoding=decoding, preprocessing=preprocessing, cache=workdir / "pictures"
    )
    labels, castings = prepared.pictures.labels.numpy(), prepared.pictures.castings.numpy()
    folds = split_folds(labels, castings, folds=plan.folds, split=preset.split, seed=plan.seed)
    manifest = write_manifest(prepared, folds)
    networks, network, history = FoldTraining(
        pictures=prepared.pictures,
        folds=folds,
        preset=preset,
        pretrained=plan.pretrained,
        hardware=choose_hardware(plan.device, half=True),
        preprocessing=preprocessing,
        workdir=workdir,
        key=_key(manifest, preset, plan),
        on_step=on_step,
    ).run()
    weights = encode_weights(network.state_dict())
    draft = _draft_card(
        prepared=prepared,
        preset=preset,
        plan=plan,
        decoding=decoding,
        preprocessing=preprocessing,
        weights=weights,
        manifest=manifest,
        folds=folds,
    )
    evaluated = _evaluate(network=network, networks=networks, draft=draft, prepared=prepared, folds=folds, plan=plan)
    return TrainedModel(
        card=evaluated.card,
        weights=weights,
        engine_files=evaluated.engine_files,
        held_out=evaluated.held_out,
        as_served=evaluated.as_served,
        manifest=manifest,
        rejected=prepared.rejected,
        history=history,
    )


def write_manifest(prepared: PreparedPictures, folds: NDArray[np.int64]) -> bytes:
    """Give the frozen input of a run: `uri,sha256,label,group,split`, split being `fold-0` and so on, or `training`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("uri", "sha256", "label", "group", "split"))
    for example, sha256, fold in zip(prepared.examples, prepared.sha256, folds.tolist(), strict=True):
        split = f"fold-{fold}" if fold >= 0 else "training"
        writer.writerow((example.name, sha256, example.label, example.casting, split))
    return text.getvalue().encode()


def _key(manifest: bytes, preset: Preset, plan: TrainingPlan) -> str:
    """Name everything that the weights depend on."""
    source = Path(plan.pretrained)
    start = hashlib.sha256(source.read_bytes()).hexdigest() if source.is_file() else plan.pretrained
    said = json.dumps([asdict(preset), start, library_versions(), hashlib.sha256(manifest).hexdigest()], default=str)
    return hashlib.sha256(said.encode()).hexdigest()


def _draft_card(
    *,
    prepared: PreparedPictures,
    preset: Preset,
    plan: TrainingPlan,
    decoding: Decoding,
    preprocessing: Preprocessing,
    weights: bytes,
    manifest: bytes,
    folds: NDArray[np.int64],
) -> ModelCard:
    weights_sha256 = hashlib.sha256(weights).hexdigest()
    trained_at = datetime.now(tz=UTC)
    castings = prepared.pictures.castings.numpy()
    return ModelCard(
        version=version_name(trained_at, preset.architecture, weights_sha256),
        trained_at=trained_at,
        architecture=preset.architecture,
        decoding=decoding,
        preprocessing=preprocessing,
        gate=ImageGate(),
        temperature=1.0,
        thresholds=Thresholds(),
        serving=Serving(),
        weights_sha256=weights_sha256,
        libraries=library_versions(),
        data={
            "images": len(prepared.examples),
            "castings": len(np.unique(castings)),
            "validation_castings": len(np.unique(castings[folds >= 0])),
            "rejected": len(prepared.rejected),
            "manifest_sha256": hashlib.sha256(manifest).hexdigest(),
        },
        training={
            "preset": plan.preset,
            "pretrained": Path(plan.pretrained).name,
            "split": preset.split,
            "folds": plan.folds,
            **asdict(preset.recipe),
        },
        metrics={},
    )


@dataclass(frozen=True, kw_only=True)
class _Evaluated:
    card: ModelCard
    engine_files: dict[str, bytes]
    held_out: HeldOut
    as_served: HeldOut


def _evaluate(
    *,
    network: torch.nn.Module,
    networks: Sequence[torch.nn.Module],
    draft: ModelCard,
    prepared: PreparedPictures,
    folds: NDArray[np.int64],
    plan: TrainingPlan,
) -> _Evaluated:
    """Predict what each fold's network did not see; choose temperature, thresholds and how `network` is served."""
    pictures = prepared.pictures
    labels, chosen = pictures.labels.numpy(), np.flatnonzero(folds >= 0)
    hardware = choose_hardware(plan.device, half=True)
    measured_in = "bfloat16" if hardware.precision == torch.bfloat16 else "float32"
    raw = predict_folds(networks, pictures, folds, torch_scorers(draft, hardware))[chosen]
    card = draft.model_copy(update={"temperature": fit_temperature(labels[chosen], raw)})
    validation = torch.from_numpy(folds == 0)
    if len(networks) > 1:
        # These only tell how far a precision moves the probabilities; the folds' own predictions are counted.
        validation = validation & (validation.cumsum(0) <= _COMPARED)
    served = choose_serving(
        network,
        card,
        validation=pictures.part(validation),
        calibration=training_pictures(pictures, folds, 0) if plan.quantise else (),
        device=plan.device,
    )
    as_served = _held_out(prepared, folds, np.flatnonzero(validation.numpy()), served.p_defective)
    held_out = as_served
    if len(networks) > 1:
        if served.card.serving.precision == measured_in:
            p_defective = expit(logit(np.clip(raw, _CERTAIN, 1 - _CERTAIN)) / card.temperature)
        else:
            again = scorers_as_served(served.card, pictures, folds, plan.device)
            p_defective = predict_folds(networks, pictures, folds, again)[chosen]
        held_out = _held_out(prepared, folds, chosen, p_defective)
    thresholds = choose_thresholds(held_out, plan.costs)
    apart = {"thresholds_from_other_folds": cross_fit_thresholds(held_out, plan.costs)}
    metrics = evaluate(held_out, thresholds).to_json() | apart
    final = served.card.model_copy(update={"thresholds": thresholds, "metrics": metrics})
    return _Evaluated(card=final, engine_files=served.files, held_out=held_out, as_served=as_served)


def _held_out(
    prepared: PreparedPictures, folds: NDArray[np.int64], places: NDArray[np.int64], p_defective: NDArray[np.float64]
) -> HeldOut:
    return HeldOut(
        names=tuple(prepared.examples[place].name for place in places),
        labels=prepared.pictures.labels.numpy()[places],
        castings=prepared.pictures.castings.numpy()[places],
        p_defective=p_defective,
        folds=folds[places],
    )
