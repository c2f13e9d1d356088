"""Training as a share of the bare forward and backward pass, and evaluation as a share of the forward pass."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from casting_core.artifact import encode_weights, library_versions
from casting_core.card import ModelCard, Serving, Thresholds, version_name
from casting_core.images import Decoding, ImageGate
from casting_core.model import build_network
from casting_core.pictures import Example, prepare_pictures
from casting_core.preprocess import Preprocessing, normalise, stack
from casting_core.scoring import choose_hardware, network_scorer
from casting_core.training import Recipe, train
from casting_core.types import Rejection
from flows.benchmark import rate_of
from tests.benchmarks import plant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from casting_core.labelled import LabelledPictures
    from casting_core.scoring import Hardware

_NETWORK = "mobilenet_v2"
_SIDE = 224
_PICTURES = 128
_ROUNDS = 3
_BARE_SECONDS = 3.0
_DECODING, _PREPROCESSING = Decoding(color="grey", side=_SIDE), Preprocessing(side=_SIDE)


def run(folder: Path, *, images: int) -> dict[str, Any]:
    """Train epochs between bare passes over the same batches; then judge `images` files, at most 1,000."""
    contents = plant.pictures()
    hardware = choose_hardware("auto", half=True)
    pictures = _prepare(contents, folder)
    ratios, rates = [], []
    for _ in range(_ROUNDS):
        before = _bare_rate(pictures, hardware)
        rate = _training_rate(pictures, hardware)
        after = _bare_rate(pictures, hardware)
        # The clock of a shared machine drifts: what surrounds a run is what it is compared with.
        ratios.append(rate / (2 / (1 / before + 1 / after)))
        rates.append(rate)
    return {
        "network": f"{_NETWORK} at {_SIDE}, {hardware.precision}",
        "training, images/s": median(rates),
        "training / bare forward and backward, median": median(ratios),
        "training / bare forward and backward, lowest": min(ratios),
        **_evaluation(contents, hardware, images=min(images, 1000)),
    }


def _prepare(contents: Sequence[bytes], folder: Path) -> LabelledPictures:
    examples = [
        Example(
            name=str(number),
            label="defective" if number % 2 else "ok",
            casting=number,
            read=partial(bytes, contents[number % len(contents)]),
        )
        for number in range(_PICTURES)
    ]
    hashes = [str(number) for number in range(_PICTURES)]
    return prepare_pictures(examples, hashes, decoding=_DECODING, preprocessing=_PREPROCESSING, cache=folder).pictures


def _training_rate(pictures: LabelledPictures, hardware: Hardware) -> float:
    """Images a second of the second and third of three epochs: the first warms up."""
    at: list[float] = []
    train(
        build_network(_NETWORK),
        pictures,
        Recipe(epochs=3),
        _PREPROCESSING,
        device=hardware.device,
        half=hardware.precision == torch.bfloat16,
        on_step=lambda _step: at.append(time.perf_counter()),
    )
    epoch = len(at) // 3
    return 2 * len(pictures) / (at[-1] - at[epoch - 1])


def _bare_rate(pictures: LabelledPictures, hardware: Hardware) -> float:
    network = build_network(_NETWORK).to(hardware.device).to(memory_format=torch.channels_last).train()
    half = hardware.precision == torch.bfloat16
    batches = [
        (normalise(pixels.to(hardware.device), _PREPROCESSING), labels.to(hardware.device))
        for pixels, labels in zip(torch.split(pictures.pixels, 32), torch.split(pictures.labels, 32), strict=True)
    ]

    def epoch() -> None:
        for inputs, labels in batches:
            with torch.autocast(hardware.device.type, dtype=torch.bfloat16, enabled=half):
                logits = network(inputs)
            loss = torch.nn.functional.cross_entropy(logits.float(), labels)
            network.zero_grad(set_to_none=True)
            loss.backward()
            loss.item()

    epoch()
    return len(pictures) / _seconds(epoch)


def _evaluation(contents: Sequence[bytes], hardware: Hardware, *, images: int) -> dict[str, Any]:
    network = build_network(_NETWORK)
    weights = encode_weights(network.state_dict())
    sha256 = hashlib.sha256(weights).hexdigest()
    at = datetime.now(tz=UTC)
    card = ModelCard(
        version=version_name(at, _NETWORK, sha256),
        trained_at=at,
        architecture=_NETWORK,
        decoding=_DECODING,
        preprocessing=_PREPROCESSING,
        gate=ImageGate(),
        temperature=1.0,
        thresholds=Thresholds(),
        serving=Serving(),
        weights_sha256=sha256,
        libraries=library_versions(),
        data={},
        training={},
        metrics={},
    )
    scorer = network_scorer(network, card, hardware, batch_size=32)
    files = {number: contents[number % len(contents)] for number in range(images)}
    squares = [square for square in map(scorer.prepare, contents[:32]) if not isinstance(square, Rejection)]
    batch = stack(squares).to(hardware.device)
    ratios, rates = [], []
    for _ in range(_ROUNDS):
        before = rate_of(lambda: scorer.forward_many([batch]), len(batch), seconds=_BARE_SECONDS)
        rates.append(images / _seconds(lambda: scorer.judge(files)))
        after = rate_of(lambda: scorer.forward_many([batch]), len(batch), seconds=_BARE_SECONDS)
        ratios.append(rates[-1] / (2 / (1 / before + 1 / after)))
    return {
        "files judged": images,
        "evaluation through the serving path, images/s": median(rates),
        "evaluation / bare forward, median": median(ratios),
        "evaluation / bare forward, lowest": min(ratios),
    }


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
