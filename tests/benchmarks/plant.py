"""A plant to measure on: embedded Postgres, a bucket on disk, a published champion with random weights."""

from __future__ import annotations

import hashlib
import io
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import torch
from PIL import Image

from casting_core.artifact import encode_weights, library_versions, publish_artifact
from casting_core.card import ModelCard, Serving, Thresholds, version_name
from casting_core.images import Decoding, ImageGate
from casting_core.model import build_network
from casting_core.preprocess import Preprocessing
from casting_core.synthetic import make_casting, render
from db import models
from flows.resources import Resources, open_resources
from flows.settings import load_settings

UNTIL = datetime(2026, 11, 23, 8, tzinfo=UTC)
SIDE = 224


def pictures(count: int = 64) -> list[bytes]:
    """File contents to copy under new keys: real castings where they are at hand, else rendered ones of that size."""
    real = Path(__file__).parents[3] / "shared" / "data" / "casting"
    if real.is_dir():
        return [path.read_bytes() for path in sorted(real.rglob("*.jpeg"))[:: max(1, 940 // count)]]
    files = []
    for seed in range(count):
        target = io.BytesIO()
        pixels = render(make_casting(seed, defective=seed % 2 == 1), size=512)
        Image.fromarray(pixels).convert("RGB").save(target, format="JPEG", quality=90)
        files.append(target.getvalue())
    return files


def open_plant(folder: Path, *, architecture: str = "resnet50") -> Resources:
    """Start a plant in `folder` and make a model of random weights its champion."""
    os.environ["CASTING_HOME"] = str(folder)
    os.environ["CASTING_SETTLE_SECONDS"] = "0"
    resources = open_resources(load_settings())
    torch.manual_seed(0)
    weights = encode_weights(build_network(architecture).state_dict())
    sha256 = hashlib.sha256(weights).hexdigest()
    card = ModelCard(
        version=version_name(UNTIL, architecture, sha256),
        trained_at=UNTIL,
        architecture=architecture,
        decoding=Decoding(color="grey", side=SIDE),
        preprocessing=Preprocessing(side=SIDE),
        gate=ImageGate(),
        temperature=1.0,
        thresholds=Thresholds(),
        serving=Serving(precision="bfloat16"),
        weights_sha256=sha256,
        libraries=library_versions(),
        data={},
        training={},
        metrics={},
    )
    url, artifact_sha256 = publish_artifact(load_settings().models_root, card=card, weights=weights)
    with resources.engine.begin() as connection:
        models.register_model(
            connection,
            version=card.version,
            artifact_url=url,
            sha256=artifact_sha256,
            card=card.model_dump(mode="json"),
        )
        models.promote_model(connection, card.version)
    return resources


def fill_bucket(resources: Resources, count: int, contents: list[bytes], *, hours: int = 2, first: int = 0) -> None:
    """Put `count` pictures of two lines into the last hours before UNTIL."""
    bucket = resources.settings.home / "bucket"
    for number in range(first, first + count):
        moment = UNTIL - timedelta(hours=1 + number % hours)
        folder = bucket / f"line-{number % 2}" / moment.strftime("%Y/%m/%d/%H")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"P{number:07d}.jpg").write_bytes(contents[number % len(contents)])
