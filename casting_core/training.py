"""Training: pictures in memory, a network that starts from given weights, AdamW with a cosine schedule."""

from __future__ import annotations

import json
import math
import random
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import nn

from casting_core.batch_norm import unfold_batch_norm
from casting_core.errors import InvalidDataset
from casting_core.evaluation_evidence import Epoch
from casting_core.folds import casting_weights
from casting_core.labelled import LabelledFeatures, LabelledPictures
from casting_core.preprocess import Preprocessing, normalise, symmetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from casting_core.checkpoint import Checkpoint


Weighting = Literal["images", "classes", "castings"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train.

    Five epochs of AdamW at 0.001 with no weight decay, in batches of 32, is the plain recipe; the learning rate rises
    over the first `warm_up` of the steps and falls as a cosine over the others. A `gradient_clip` of 0 clips nothing.
    `symmetry` adds turns and mirror images, since a casting lies on the belt as it falls.

    `weighting` says what weighs the same: images; the classes, by weights in the loss; or within each class every
    casting, by drawing the pictures of an epoch so.

    With `frozen_body` only a local head is trained, on what the body makes of each picture and its turned copies.

    `crop_epochs` come first, on crops around marked defects and as many crops of sound parts: a network without
    pretrained weights would need thousands of steps to find out where to look.
    """

    epochs: int = 5
    crop_epochs: int = 0
    batch_size: int = 32
    learning_rate: float = 0.001
    weight_decay: float = 0.0
    gradient_clip: float = 0.0
    warm_up: float = 0.1
    symmetry: bool = True
    weighting: Weighting = "classes"
    label_smoothing: float = 0.0
    frozen_body: bool = False
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Step:
    """Where a training run stands: optimiser steps done and to do, epoch (from 1), loss of this step."""

    done: int
    total: int
    epoch: int
    loss: float


def check_trainable(pictures: LabelledPictures | LabelledFeatures) -> None:
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
    pictures: LabelledPictures | LabelledFeatures,
    recipe: Recipe,
    preprocessing: Preprocessing,
    *,
    device: torch.device,
    half: bool = False,
    checkpoint: Checkpoint | None = None,
    validate: Callable[[nn.Module, Epoch], Epoch] = lambda _network, epoch: epoch,
    on_step: Callable[[Step], None] = lambda _step: None,
) -> tuple[Epoch, ...]:
    """Train a network in place until it is ready to predict, and tell what each epoch came to.

    The same seed gives the same network on one machine, also when the run was killed and goes on from its
    `checkpoint`, which is written after every epoch. With `half` the forward pass runs in bfloat16. `validate` gets the
    network in evaluation mode and what is known of the epoch, and gives what it adds to that.

    Raises InvalidDataset when a class is missing.
    """
    check_trainable(pictures)
    run = _Run(network, pictures, recipe, preprocessing, device=device, half=half, on_step=on_step)
    saved = checkpoint.load() if checkpoint else None
    if saved is None:
        run.begin()
    else:
        run.restore(saved)
    while run.epoch < run.epochs:
        loss = run.train_epoch()
        network.eval()
        run.history.append(validate(network, Epoch(epoch=run.epoch, training_loss=loss)))
        if checkpoint:
            checkpoint.save(run.state())
    network.eval()
    return tuple(run.history)


class _Run:
    """A training run between two epochs: everything that the next one depends on."""

    def __init__(
        self,
        network: nn.Module,
        pictures: LabelledPictures | LabelledFeatures,
        recipe: Recipe,
        preprocessing: Preprocessing,
        *,
        device: torch.device,
        half: bool,
        on_step: Callable[[Step], None],
    ) -> None:
        random.seed(recipe.seed)
        torch.manual_seed(recipe.seed)
        self.epoch = 0
        self.history: list[Epoch] = []
        self._generator = np.random.default_rng(recipe.seed)
        self._network = network.to(device).to(memory_format=torch.channels_last)
        self._pictures, self._recipe, self._preprocessing = pictures, recipe, preprocessing
        self._device, self._half, self._on_step = device, half, on_step
        self._crop_epochs = recipe.crop_epochs if _has_marks(pictures) else 0
        self._steps = math.ceil(len(pictures) / recipe.batch_size)
        self._shares = (
            casting_weights(pictures.labels.numpy(), pictures.castings.numpy())
            if recipe.weighting == "castings"
            else None
        )
        # The rarer class weighs more, so that a line with few defects does not teach "always ok".
        weight = class_weights(pictures.labels).to(device) if recipe.weighting == "classes" else None
        self._loss_of = nn.CrossEntropyLoss(weight=weight, label_smoothing=recipe.label_smoothing)
        self._optimiser = self._new_optimiser()

    @property
    def epochs(self) -> int:
        """How many epochs there are in all."""
        return self._crop_epochs + self._recipe.epochs

    def begin(self) -> None:
        """Make the network trainable."""
        if isinstance(self._pictures, LabelledFeatures):
            return  # a frozen body is not trained
        sample = torch.split(self._pictures.pixels[:128], self._recipe.batch_size)
        unfold_batch_norm(self._network, (normalise(batch.to(self._device), self._preprocessing) for batch in sample))

    def train_epoch(self) -> float:
        """Train one more epoch and give its mean loss."""
        if self.epoch == self._crop_epochs:
            # Whole pictures are another task than crops; the moments of the gradients would mislead.
            self._optimiser = self._new_optimiser()
        in_crops = self.epoch < self._crop_epochs
        first = self._steps * self.epoch
        phase_first = 0 if in_crops else self._steps * self._crop_epochs
        phase_steps = self._steps * (self._crop_epochs if in_crops else self._recipe.epochs)
        # Once crops have taught it what to look for, larger steps would undo it.
        rate = self._recipe.learning_rate / (1 if in_crops or not self._crop_epochs else 2)
        self.epoch += 1
        self._network.train()
        losses = []
        for done, indices in enumerate(self._batches(), start=first):
            share = rate_share(done - phase_first, phase_steps, warm_up=self._recipe.warm_up)
            self._optimiser.param_groups[0]["lr"] = rate * share
            inputs = self._inputs(indices, in_crops=in_crops)
            losses.append(self._step(inputs, self._pictures.labels[indices].to(self._device)))
            total = self._steps * self.epochs
            self._on_step(Step(done=done + 1, total=total, epoch=self.epoch, loss=losses[-1]))
        return float(np.mean(losses))

    def _inputs(self, indices: torch.Tensor, *, in_crops: bool) -> torch.Tensor:
        if isinstance(self._pictures, LabelledFeatures):
            copies = torch.from_numpy(self._generator.integers(len(self._pictures.maps), size=len(indices)))
            return self._pictures.maps[copies, indices].to(self._device).float()
        batch = (_crop_batch if in_crops else _whole_batch)(self._pictures, indices, self._generator)
        if self._recipe.symmetry:
            batch = turn_and_mirror(batch, self._generator)
        return normalise(batch.to(self._device), self._preprocessing)

    def _step(self, inputs: torch.Tensor, labels: torch.Tensor) -> float:
        # bfloat16 trains as well as float32 here and twice as fast, on cards and on processors that have it.
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._half):
            logits = self._network(inputs)
        loss = self._loss_of(logits.float(), labels)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self._recipe.gradient_clip > 0:
            nn.utils.clip_grad_norm_(self._network.parameters(), self._recipe.gradient_clip)
        self._optimiser.step()
        return float(loss.item())

    def _batches(self) -> Iterator[torch.Tensor]:
        count = len(self._pictures)
        if self._shares is None:
            order = self._generator.permutation(count)
        else:
            order = self._generator.choice(count, size=count, p=self._shares)
        # Equal parts, since a batch norm has no statistics of a single picture left over.
        yield from torch.tensor_split(torch.from_numpy(order), self._steps)

    def _new_optimiser(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self._network.parameters(),
            lr=self._recipe.learning_rate,
            weight_decay=self._recipe.weight_decay,
            fused=True,
        )

    def state(self) -> dict[str, Any]:
        """Give everything that the next epoch depends on, as tensors and plain values."""
        on_card = self._device.type == "cuda"
        return {
            "epoch": self.epoch,
            "network": self._network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "generator": json.dumps(self._generator.bit_generator.state),
            "torch": torch.get_rng_state(),
            "card": torch.cuda.get_rng_state(self._device) if on_card else None,
            "history": [asdict(epoch) for epoch in self.history],
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from a state."""
        self.epoch = saved["epoch"]
        self._network.load_state_dict(saved["network"])
        self._optimiser.load_state_dict(saved["optimiser"])
        self._generator.bit_generator.state = json.loads(saved["generator"])
        torch.set_rng_state(saved["torch"])
        if saved["card"] is not None:
            torch.cuda.set_rng_state(saved["card"], self._device)
        self.history = [Epoch(**epoch) for epoch in saved["history"]]


def rate_share(step: int, steps: int, *, warm_up: float) -> float:
    """The share of the learning rate at a step (from 0): up over the first `warm_up` of all, then down as a cosine.

    >>> [round(rate_share(step, 10, warm_up=0.2), 2) for step in range(10)]
    [0.5, 1.0, 1.0, 0.96, 0.85, 0.69, 0.5, 0.31, 0.15, 0.04]
    """
    rising = int(steps * warm_up)
    if step < rising:
        return (step + 1) / rising
    return (1 + math.cos(math.pi * (step - rising) / (steps - rising))) / 2


def class_weights(labels: torch.Tensor) -> torch.Tensor:
    """Weights, float32 [2], by which both classes count the same; their mean over the pictures is 1."""
    counts = torch.bincount(labels, minlength=2).clamp(min=1)
    return len(labels) / (2.0 * counts)


def turn_and_mirror(batch: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
    """One of the eight symmetries of the square for each picture of a batch [B, C, S, S]."""
    turned = torch.empty_like(batch)
    for index, which in enumerate(generator.integers(8, size=len(batch))):
        turned[index] = symmetry(batch[index], int(which))
    return turned


def _has_marks(pictures: LabelledPictures | LabelledFeatures) -> bool:
    return isinstance(pictures, LabelledPictures) and not bool(torch.isnan(pictures.marks).any(dim=1).all())


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
