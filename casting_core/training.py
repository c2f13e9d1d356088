"""Training: pictures in memory, a network that starts from given weights, AdamW with a cosine schedule."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from casting_core.errors import InvalidDataset
from casting_core.preprocess import Preprocessing, normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, kw_only=True)
class LabelledPictures:
    """Prepared pictures, decoded once: `pixels` uint8 [N, 1 or 3, S, S], `labels` int64 [N] with 1 for defective.

    `marks` float32 [N, 2] says where people marked a defect, as (x, y) in 0..1 of the picture; NaN where nobody did.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    marks: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train.

    Five epochs of AdamW at 0.001 with no weight decay, in batches of 32, is the plain recipe; the learning rate rises
    over the first `warm_up` of the steps and falls as a cosine over the others. `symmetry` adds turns and mirror
    images, since a casting lies on the belt as it falls. `crop_epochs` come first, on crops around marked defects and
    as many crops of sound parts: a network without pretrained weights would need thousands of steps to find out where
    to look.
    """

    epochs: int = 5
    crop_epochs: int = 0
    batch_size: int = 32
    learning_rate: float = 0.001
    weight_decay: float = 0.0
    warm_up: float = 0.1
    symmetry: bool = True
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Step:
    """Where a training run stands: optimiser steps done and to do, epoch (from 1), loss of this step."""

    done: int
    total: int
    epoch: int
    loss: float


def check_trainable(pictures: LabelledPictures) -> None:
    """Raise InvalidDataset unless both classes are there."""
    defective = int(pictures.labels.sum())
    if defective in (0, len(pictures)):
        only = "defective" if defective else "ok"
        raise InvalidDataset(
            f"All {len(pictures)} training pictures are labelled {only!r}; a classifier needs both classes. "
            "Add labelled pictures of the other one."
        )


def train(
    network: nn.Module,
    pictures: LabelledPictures,
    recipe: Recipe,
    preprocessing: Preprocessing,
    *,
    device: torch.device,
    half: bool = False,
    on_step: Callable[[Step], None] = lambda _step: None,
) -> nn.Module:
    """Train a network in place and return it, ready to predict. The same seed gives the same network on one machine.

    With `half` the forward pass runs in bfloat16.     Raises InvalidDataset when a class is missing.
    """
    check_trainable(pictures)
    random.seed(recipe.seed)
    torch.manual_seed(recipe.seed)
    generator = np.random.default_rng(recipe.seed)
    network = network.to(device).to(memory_format=torch.channels_last)
    sample = torch.split(pictures.pixels[:128], recipe.batch_size)
    unfold_batch_norm(network, (normalise(batch.to(device), preprocessing) for batch in sample))
    marked = ~torch.isnan(pictures.marks).any(dim=1)
    crop_epochs = recipe.crop_epochs if bool(marked.any()) else 0
    # Once crops have taught it what to look for, larger steps would undo it.
    rate = recipe.learning_rate / 2 if crop_epochs else recipe.learning_rate
    phases = [(_crop_batch, crop_epochs, recipe.learning_rate), (_whole_batch, recipe.epochs, rate)]
    steps = math.ceil(len(pictures) / recipe.batch_size)
    total, done = steps * (crop_epochs + recipe.epochs), 0
    # The rarer class weighs more, so that a line with few defects does not teach "always ok".
    loss_of = nn.CrossEntropyLoss(weight=class_weights(pictures.labels).to(device))
    network.train()
    for batch_of, epochs, rate in phases:
        if not epochs:
            continue
        optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=recipe.weight_decay, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=rate, total_steps=steps * epochs, pct_start=recipe.warm_up, cycle_momentum=False
        )
        for indices in _batches(len(pictures), recipe.batch_size, epochs, generator):
            batch = batch_of(pictures, indices, generator)
            if recipe.symmetry:
                batch = turn_and_mirror(batch, generator)
            # bfloat16 trains as well as float32 here and twice as fast, on cards and on processors that have it.
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
                logits = network(normalise(batch.to(device), preprocessing))
            loss = loss_of(logits.float(), pictures.labels[indices].to(device))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            done += 1
            on_step(Step(done=done, total=total, epoch=-(-done // steps), loss=loss.item()))
    return network.eval()


def class_weights(labels: torch.Tensor) -> torch.Tensor:
    """Weights, float32 [2], by which both classes count the same; their mean over the pictures is 1."""
    counts = torch.bincount(labels, minlength=2).clamp(min=1)
    return len(labels) / (2.0 * counts)


def turn_and_mirror(batch: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
    """One of the eight symmetries of the square for each picture of a batch [B, C, S, S]."""
    turned = torch.empty_like(batch)
    for index, symmetry in enumerate(generator.integers(8, size=len(batch))):
        picture = torch.rot90(batch[index], int(symmetry) % 4, (-2, -1))
        turned[index] = picture.flip(-1) if symmetry >= 4 else picture  # noqa: PLR2004 - four turns, then mirrored
    return turned


@torch.no_grad()
def unfold_batch_norm(network: nn.Module, batches: Iterator[torch.Tensor]) -> int:
    """Give batch norms that were folded into their convolutions statistics of their own again; return how many.

    Weights published with batch norm folded in carry mean 0 and variance 1. Training would first normalise the folded
    scale away and so destroy them. For activations with mean m and variance v, setting running mean m, running
    variance v, weight w * sqrt(v + eps) / sqrt(1 + eps) and bias b + w * m / sqrt(1 + eps) leaves the network's output
    the same to rounding, and lets it be trained. `batches` are normalised inputs [B, 3, S, S]; they are read only when
    something is folded.
    """
    folded = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d) and _is_folded(module)]
    if not folded:
        return 0
    sums: dict[nn.Module, torch.Tensor] = {
        module: torch.zeros(3, module.num_features, dtype=torch.float64) for module in folded
    }

    def add(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        values = inputs[0].double().transpose(0, 1).flatten(1)
        count = torch.full((values.shape[0],), float(values.shape[1]), dtype=torch.float64)
        sums[module] += torch.stack([count, values.sum(1).cpu(), values.square().sum(1).cpu()])

    handles = [module.register_forward_pre_hook(add) for module in folded]
    network.eval()
    for batch in batches:
        network(batch)
    for handle in handles:
        handle.remove()
    for module in folded:
        count, total, squares = sums[module].to(module.weight.device)
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=1e-10)
        scale = module.weight / math.sqrt(1 + module.eps)
        module.bias.add_((scale * mean).float())
        module.weight.copy_(scale * (variance + module.eps).sqrt())
        _statistics(module.running_mean).copy_(mean)
        _statistics(module.running_var).copy_(variance)
    return len(folded)


def measure_faster(run: dict[str, Callable[[], object]], *, rounds: int = 3) -> str:
    """Return the name of the callable with the least time over several rounds, each warmed up once."""
    best = dict.fromkeys(run, math.inf)
    for round_ in range(rounds + 1):
        for name, call in run.items():
            started = time.perf_counter()
            call()
            if round_:
                best[name] = min(best[name], time.perf_counter() - started)
    return min(best, key=lambda name: best[name])


def _batches(count: int, size: int, epochs: int, generator: np.random.Generator) -> Iterator[torch.Tensor]:
    for _ in range(epochs):
        order = torch.from_numpy(generator.permutation(count))
        # Equal parts, since a batch norm has no statistics of a single picture left over.
        yield from torch.tensor_split(order, math.ceil(count / size))


def _whole_batch(pictures: LabelledPictures, indices: torch.Tensor, _generator: np.random.Generator) -> torch.Tensor:
    return pictures.pixels[indices]


def _crop_batch(pictures: LabelledPictures, indices: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
    """Crop 3/8 of the side around marks.

    A picture without a mark is cropped where another one has its mark, so that the place alone tells nothing.
    """
    size = pictures.pixels.shape[-1]
    crop = max(32, size * 3 // 8)
    places = pictures.marks[~torch.isnan(pictures.marks).any(dim=1)]
    crops = []
    for index in indices.tolist():
        mark = pictures.marks[index]
        if bool(torch.isnan(mark).any()):
            mark = places[int(generator.integers(len(places)))]
        jitter = generator.integers(-crop // 4, crop // 4 + 1, 2)
        corner = (mark.numpy() * size + jitter - crop / 2).round().astype(int).clip(0, size - crop)
        x, y = (int(value) for value in corner)
        crops.append(pictures.pixels[index, :, y : y + crop, x : x + crop])
    return torch.stack(crops)


def _is_folded(module: nn.BatchNorm2d) -> bool:
    mean, variance = _statistics(module.running_mean), _statistics(module.running_var)
    trained = not bool((module.weight == 1).all() and (module.bias == 0).all())
    return trained and bool((mean == 0).all()) and bool((variance == 1).all())


def _statistics(tensor: torch.Tensor | None) -> torch.Tensor:
    if tensor is None:
        raise InvalidDataset("A batch norm without running statistics cannot be trained here; take another network.")
    return tensor
