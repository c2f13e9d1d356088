"""A published and registered model with random weights, for tests and benchmarks of what surrounds it."""

import hashlib
from datetime import UTC, datetime

import torch

from casting_core.artifact import encode_weights, library_versions, publish_artifact
from casting_core.card import ModelCard, Serving, Thresholds, version_name
from casting_core.images import Decoding, ImageGate
from casting_core.model import build_network
from casting_core.preprocess import Preprocessing
from db import models

BY_TEST = {"who": "tests", "why": "for a test"}


def publish_model(
    engine,
    models_url,
    *,
    architecture,
    side,
    seed=0,
    precision="float32",
    promote=True,
    number=0,
    thresholds=None,
    options=None,
):
    """Publish and register a model, make it the champion if asked, and return its registered row.

    Models of one seed are told apart by their `number`.
    """
    torch.manual_seed(seed)
    weights = encode_weights(build_network(architecture).state_dict())
    sha256 = hashlib.sha256(weights).hexdigest()
    trained_at = datetime(2026, 11, 1, seed, number, tzinfo=UTC)
    card = ModelCard(
        version=version_name(trained_at, architecture, sha256),
        trained_at=trained_at,
        architecture=architecture,
        decoding=Decoding(color="grey", side=side),
        preprocessing=Preprocessing(side=side),
        gate=ImageGate(),
        temperature=1.0,
        thresholds=thresholds or Thresholds(),
        serving=Serving(precision=precision),
        weights_sha256=sha256,
        libraries=library_versions(),
        data={},
        training={},
        metrics={},
    )
    url, artifact_sha256 = publish_artifact(models_url, card=card, weights=weights, options=options)
    stored = card.model_dump(mode="json")
    with engine.begin() as connection:
        model = models.register_model(
            connection, version=card.version, artifact_url=url, sha256=artifact_sha256, card=stored, **BY_TEST
        )
        return models.promote_model(connection, card.version, **BY_TEST) if promote else model
