"""What the frozen body of a network makes of pictures: computed once for all folds and epochs, and kept on disk."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.lib.format import open_memmap

from casting_core.labelled import LabelledFeatures
from casting_core.preprocess import Preprocessing, normalise, symmetry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from casting_core.labelled import LabelledPictures
    from casting_core.local_network import LocalNetwork
    from casting_core.scoring import Hardware

__all__ = ["COPIES", "extract_features", "fit_scale"]

# By the numbers of `symmetry`: as it is, turned by a half, and two mirror images. All eight cost twice the time.
COPIES = (0, 5, 2, 7)
_BATCH = 16


@torch.inference_mode()
def extract_features(
    network: LocalNetwork,
    pictures: LabelledPictures,
    preprocessing: Preprocessing,
    *,
    hardware: Hardware,
    cache: Path,
    on_batch: Callable[[int, int], None],
) -> LabelledFeatures:
    """Run the body over every picture in each of its copies, or take what an earlier run left in the folder `cache`.

    The cache holds for these very pictures and this body. `on_batch` gets the batches done and to do.
    """
    stored = cache / f"{_key(network, pictures, preprocessing)}.npy"
    if not stored.exists():
        _extract(network, pictures, preprocessing, hardware=hardware, stored=stored, on_batch=on_batch)
    # Copy on write: the pages stay on disk until they are used.
    maps = torch.from_numpy(np.load(stored, mmap_mode="c"))
    return LabelledFeatures(maps=maps, labels=pictures.labels, castings=pictures.castings)


@torch.no_grad()
def fit_scale(network: LocalNetwork, features: LabelledFeatures) -> None:
    """Set the head's statistics to those of the pictures that it will be trained on."""
    scale = network.head.scale
    sums = torch.zeros(2, scale.num_features, dtype=torch.float64)
    for maps in torch.split(features.maps[0], _BATCH):
        values = maps.double().transpose(0, 1).flatten(1)
        sums += torch.stack([values.sum(1), values.square().sum(1)])
    mean, square = sums / (features.maps[0].numel() / scale.num_features)
    for statistic, value in ((scale.running_mean, mean), (scale.running_var, square - mean.square())):
        if statistic is not None:
            statistic.copy_(value)


def _extract(
    network: LocalNetwork,
    pictures: LabelledPictures,
    preprocessing: Preprocessing,
    *,
    hardware: Hardware,
    stored: Path,
    on_batch: Callable[[int, int], None],
) -> None:
    stored.parent.mkdir(parents=True, exist_ok=True)
    partial = stored.with_suffix(".partial")
    body = network.body.eval().to(hardware.device).to(memory_format=torch.channels_last)
    half = hardware.precision == torch.bfloat16
    maps = None
    batches = torch.split(torch.arange(len(pictures)), _BATCH)
    for copy, which in enumerate(COPIES):
        for number, places in enumerate(batches):
            inputs = normalise(symmetry(pictures.pixels[places], which).to(hardware.device), preprocessing)
            with torch.autocast(hardware.device.type, dtype=torch.bfloat16, enabled=half):
                found = body(inputs).half().cpu().numpy()
            if maps is None:
                shape = (len(COPIES), len(pictures), *found.shape[1:])
                maps = open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
            maps[copy, places.numpy()] = found
            on_batch(copy * len(batches) + number + 1, len(COPIES) * len(batches))
    if maps is not None:
        maps.flush()
    partial.replace(stored)


def _key(network: LocalNetwork, pictures: LabelledPictures, preprocessing: Preprocessing) -> str:
    digest = hashlib.sha256(preprocessing.model_dump_json().encode())
    for value in network.body.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())
    for batch in torch.split(pictures.pixels, _BATCH):
        digest.update(batch.numpy().tobytes())
    return digest.hexdigest()[:24]
