"""Changes of the registry that a person orders: register, promote, roll back, choose thresholds again."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from casting_core.artifact import WEIGHTS, publish_artifact, read_artifact, read_extras, read_file
from casting_core.card import version_name
from casting_core.evaluation import evaluate
from casting_core.model import load_network
from casting_core.predictions import PREDICTIONS, read_predictions
from casting_core.thresholds import choose_thresholds
from db import models
from flows.errors import AlreadyRegistered

if TYPE_CHECKING:
    from casting_core.card import ModelCard
    from casting_core.thresholds import Costs
    from casting_core.types import RegisteredModel
    from flows.resources import Resources


def register_artifact(resources: Resources, url: str, *, who: str, why: str) -> RegisteredModel:
    """Publish an artifact that was trained elsewhere among the plant's models, and register it as a candidate.

    It is loaded first, and keeps its version. Raises ModelError, StorageError, and AlreadyRegistered.
    """
    settings = resources.settings
    options = settings.storage_options(url)
    artifact = read_artifact(url, options=options)
    load_network(artifact)
    with resources.engine.connect() as connection:
        if any(entry.model.version == artifact.card.version for entry in models.list_models(connection)):
            raise AlreadyRegistered(f"{artifact.card.version} is registered already; see: casting models list")
    return _publish(
        resources,
        artifact.card,
        read_file(url, WEIGHTS, options=options),
        read_extras(url, options=options),
        who=who,
        why=why,
    )


def promote(resources: Resources, version: str, *, who: str, why: str) -> RegisteredModel:
    """Make a version the champion, once its artifact has been loaded: one that cannot would stop the hourly job.

    Raises UnknownModel, ModelError and StorageError.
    """
    with resources.engine.connect() as connection:
        model = models.find_model(connection, version)
    _check_artifact(resources, model)
    with resources.engine.begin() as connection:
        return models.promote_model(connection, version, who=who, why=why)


def roll_back(resources: Resources, *, who: str, why: str) -> RegisteredModel:
    """Bring back the champion before the present one; the next hourly run judges with it.

    All of it is one transaction, in which the artifact is loaded before anything stands. Raises NoChampion,
    NothingToRollBack, ModelError and StorageError.
    """
    with resources.engine.begin() as connection:
        model = models.roll_back(connection, who=who, why=why)
        _check_artifact(resources, model)
    return model


def choose_thresholds_again(resources: Resources, version: str, costs: Costs, *, who: str, why: str) -> RegisteredModel:
    """Publish a version's weights once more, with thresholds chosen by other costs, and register that as a candidate.

    Nothing is trained: the choice rests on the predictions that the artifact keeps of castings it had not seen. Raises
    UnknownModel, ModelError, StorageError, and InvalidInput for costs or predictions that cannot be used.
    """
    settings = resources.settings
    with resources.engine.connect() as connection:
        model = models.find_model(connection, version)
    options = settings.storage_options(model.artifact_url)
    artifact = read_artifact(model.artifact_url, expected_sha256=model.sha256, options=options)
    where = f"{model.artifact_url}/{PREDICTIONS}"
    predictions = read_file(model.artifact_url, PREDICTIONS, options=options)
    held_out = read_predictions(predictions, where=where)
    thresholds = choose_thresholds(held_out, costs)
    now = datetime.now(tz=UTC)
    # The weights alone would name two choices of one second alike.
    said = hashlib.sha256(f"{artifact.card.weights_sha256} {thresholds} {vars(costs)}".encode())
    card = artifact.card.model_copy(
        update={
            "version": version_name(now, artifact.card.architecture, said.hexdigest()),
            "thresholds": thresholds,
            "metrics": evaluate(held_out, thresholds).to_json(),
            "training": artifact.card.training | {"thresholds_from": version, "costs": vars(costs)},
        }
    )
    weights = read_file(model.artifact_url, WEIGHTS, options=options)
    files = {**artifact.engine_files, PREDICTIONS: predictions}
    return _publish(resources, card, weights, files, who=who, why=why or f"thresholds of {version} chosen again")


def _publish(
    resources: Resources, card: ModelCard, weights: bytes, files: dict[str, bytes], *, who: str, why: str
) -> RegisteredModel:
    root = resources.settings.models_root
    options = resources.settings.storage_options(root)
    url, sha256 = publish_artifact(root, card=card, weights=weights, files=files, options=options)
    with resources.engine.begin() as connection:
        return models.register_model(
            connection,
            version=card.version,
            artifact_url=url,
            sha256=sha256,
            card=card.model_dump(mode="json"),
            who=who,
            why=why,
            metrics=card.metrics,
        )


def _check_artifact(resources: Resources, model: RegisteredModel) -> None:
    options = resources.settings.storage_options(model.artifact_url)
    load_network(read_artifact(model.artifact_url, expected_sha256=model.sha256, options=options))
