"""End-to-end scoring as a share of the bare forward pass, each stage alone, and what others would use instead."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from casting_core.artifact import read_artifact
from casting_core.model import load_network
from casting_core.scoring import choose_hardware, network_scorer
from db.models import champion
from flows.benchmark import measure_scoring, rate_of
from flows.settings import configure_prefect
from tests.benchmarks import peers, plant

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS = 6.0


def run(folder: Path, *, images: int) -> dict[str, Any]:
    """Score `images` pictures by the flow, and measure everything beside it in the same run."""
    resources = plant.open_plant(folder)
    configure_prefect(resources.settings)
    contents = plant.pictures()
    rates = measure_scoring(resources, contents, images=images, seconds=_SECONDS)
    with resources.engine.connect() as connection:
        artifact = read_artifact(champion(connection).artifact_url)
    network = load_network(artifact)
    half = network_scorer(load_network(artifact), artifact.card, choose_hardware("cpu", half=True), batch_size=32)
    pixels = torch.randint(0, 255, (32, 1, plant.SIDE, plant.SIDE), dtype=torch.uint8)
    others = peers.forward_rates(network, seconds=_SECONDS)
    others["torch bfloat16, channels last, batch norm folded"] = rate_of(
        lambda: half.forward(pixels), 32, seconds=_SECONDS
    )
    full = rate_of(
        lambda: [Image.open(io.BytesIO(c)).convert("RGB").resize((plant.SIDE, plant.SIDE)) for c in contents],
        len(contents),
        seconds=_SECONDS,
    )
    loader = peers.data_loader_rate(network, resources.engine, contents)
    stages, end_to_end = rates.stages, rates.end_to_end_images_per_s
    ideal = 1 / (1 / stages.forward + 1 / stages.decode)
    return {
        "images a round": images,
        "engine that serves": rates.engine,
        "bare forward (ceiling)": rates.ceiling_images_per_s,
        "end to end": end_to_end,
        "end to end / ceiling, median": rates.ratio,
        "end to end / ceiling, lowest": min(rates.ratios),
        "end to end / ceiling, highest": max(rates.ratios),
        "fetch alone": stages.fetch,
        "decode alone, all cores": stages.decode,
        "claim and write alone": stages.write,
        "decode and forward sharing the cores without loss / ceiling": ideal / stages.forward,
        "Pillow's full decode, one core": full,
        "the loop everybody writes": rates.naive_images_per_s,
        "end to end / the loop everybody writes": end_to_end / rates.naive_images_per_s,
        "DataLoader with 2 workers, autocast, commit a batch": loader,
        "end to end / DataLoader": end_to_end / loader,
        **{f"bare forward, {name}": rate for name, rate in others.items()},
    }
