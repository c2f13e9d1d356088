"""A plant to measure on: embedded Postgres, a bucket on disk, a published champion with random weights."""

from __future__ import annotations

import os
from pathlib import Path

from flows.benchmark import load_pictures, publish_random_model
from flows.resources import Resources, open_resources
from flows.settings import load_settings

SIDE = 224
REAL_IMAGES = Path(__file__).parents[3] / "shared" / "data" / "casting"


def pictures() -> list[bytes]:
    """File contents to copy under new keys: real castings where they are at hand, else rendered ones of that size."""
    return load_pictures(REAL_IMAGES if REAL_IMAGES.is_dir() else None)


def open_plant(folder: Path, *, architecture: str = "resnet50") -> Resources:
    """Start a plant in `folder` and make a model of random weights its champion."""
    os.environ["CASTING_HOME"] = str(folder)
    os.environ["CASTING_SETTLE_SECONDS"] = "0"
    resources = open_resources(load_settings())
    publish_random_model(resources, pictures(), backbone=architecture)
    return resources
