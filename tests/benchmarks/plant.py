"""A plant to measure on: embedded Postgres, a bucket on disk, a published champion with random weights."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from PIL import Image

from casting_core.synthetic import make_casting, render
from flows.resources import Resources, open_resources
from flows.settings import load_settings
from tests.published import publish_model

UNTIL = datetime(2026, 11, 23, 8, tzinfo=UTC)
SIDE = 224
REAL_IMAGES = Path(__file__).parents[3] / "shared" / "data" / "casting"


def pictures(count: int = 64) -> list[bytes]:
    """File contents to copy under new keys: real castings where they are at hand, else rendered ones of that size."""
    if REAL_IMAGES.is_dir():
        return [path.read_bytes() for path in sorted(REAL_IMAGES.rglob("*.jpeg"))[:: max(1, 940 // count)]]
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
    publish_model(
        resources.engine,
        resources.settings.models_root,
        architecture=architecture,
        side=SIDE,
        precision="bfloat16",
    )
    return resources


def fill_bucket(resources: Resources, count: int, contents: list[bytes], *, hours: int = 2, first: int = 0) -> None:
    """Put `count` pictures of two lines into the last hours before UNTIL."""
    bucket = resources.settings.home / "bucket"
    for number in range(first, first + count):
        moment = UNTIL - timedelta(hours=1 + number % hours)
        folder = bucket / f"line-{number % 2}" / moment.strftime("%Y/%m/%d/%H")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"P{number:07d}.jpg").write_bytes(contents[number % len(contents)])
