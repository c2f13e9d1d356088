"""End-to-end scoring rate as a share of the bare forward rate, and what the rest goes to."""

from __future__ import annotations

import io
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from sqlalchemy import text
from torchvision.transforms import functional

from casting_core.artifact import read_artifact
from casting_core.images import read_image
from casting_core.model import load_network
from casting_core.preprocess import fit_square, stack
from db.models import champion
from flows.settings import configure_prefect
from tests.benchmarks import plant

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_NAIVE_IMAGES = 160
_ROUNDS = 3


def run(folder: Path, *, images: int) -> dict[str, Any]:
    """Score `images` pictures by the flow; around it, run the forward pass alone on batches of the same pictures."""
    resources = plant.open_plant(folder)
    configure_prefect(resources.settings)
    contents = plant.pictures()
    with resources.engine.connect() as connection:
        model = champion(connection)
    scorer = resources.scorer(model)
    squares = [
        fit_square(read_image(c, gate=scorer.card.gate, decoding=scorer.card.decoding), plant.SIDE) for c in contents
    ]
    batch = stack([squares[i % len(squares)] for i in range(scorer.batch_size)]).to(scorer.hardware.device)

    from flows.score import score

    empty = score(until=plant.UNTIL - plant.timedelta(days=30))
    forwards, rates, ratios = [], [], []
    for round_ in range(_ROUNDS):
        plant.fill_bucket(resources, images, contents, first=images * round_)
        before = _rate(lambda: scorer.forward(batch), scorer.batch_size)
        rate = score(until=plant.UNTIL).images_per_s
        after = _rate(lambda: scorer.forward(batch), scorer.batch_size)
        # The clock of a shared machine drifts: what surrounds a run is what it is compared with.
        forwards.append(2 / (1 / before + 1 / after))
        rates.append(rate)
        ratios.append(rate / forwards[-1])
    forward, end_to_end = median(forwards), median(rates)
    decode = _rate(
        lambda: [
            fit_square(read_image(c, gate=scorer.card.gate, decoding=scorer.card.decoding), plant.SIDE)
            for c in contents
        ],
        len(contents),
    )
    full = _rate(lambda: [Image.open(io.BytesIO(c)).convert("RGB").resize((224, 224)) for c in contents], len(contents))
    naive = _naive(resources, contents)
    ideal = 1 / (1 / forward + 1 / (decode * torch.get_num_threads()))
    return {
        "images a round": images,
        "rounds": _ROUNDS,
        "precision": str(scorer.hardware.precision),
        "bare forward, images/s": forward,
        "end to end, images/s": end_to_end,
        "end to end / bare forward, median": median(ratios),
        "end to end / bare forward, lowest": min(ratios),
        "end to end / bare forward, highest": max(ratios),
        "decoding alone, images/s a core": decode,
        "Pillow's full decode, images/s a core": full,
        "if decoding and forward shared the cores without loss": ideal / forward,
        "the loop everybody writes, images/s": naive,
        "end to end / the loop everybody writes": end_to_end / naive,
        "empty run, s": empty.seconds,
    }


def _rate(work: Callable[[], object], count: int, *, seconds: float = 8.0) -> float:
    work()
    started, rounds = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        work()
        rounds += 1
    return count * rounds / (time.perf_counter() - started)


def _naive(resources: Any, contents: list[bytes]) -> float:
    """Pillow, eager float32 one picture at a time, one INSERT a row."""
    with resources.engine.connect() as connection:
        artifact = read_artifact(champion(connection).artifact_url)
    network = load_network(artifact)
    started = time.perf_counter()
    with resources.engine.connect() as connection, torch.inference_mode():
        connection.execute(text("CREATE TEMP TABLE naive (name text, p double precision)"))
        for number in range(_NAIVE_IMAGES):
            picture = Image.open(io.BytesIO(contents[number % len(contents)])).convert("RGB").resize((224, 224))
            inputs = functional.normalize(
                functional.to_tensor(picture), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
            ).unsqueeze(0)
            p = float(torch.softmax(network(inputs), dim=1)[0, 1])
            connection.execute(text("INSERT INTO naive VALUES (:name, :p)"), {"name": str(number), "p": p})
            connection.commit()
    return _NAIVE_IMAGES / (time.perf_counter() - started)
