"""How models are trained: the recipes that have names."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from casting_core.errors import InvalidInput
from casting_core.model import LOCAL
from casting_core.training import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from casting_core.folds import Split

__all__ = ["PRESETS", "Preset", "preset_named"]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Everything about a model that is decided before it sees a picture, but for its weights and seeds.

    `side` is the network's input in pixels. `rectify` makes the ellipse of a round part a circle of fixed size first.
    """

    backbone: str
    side: int
    split: Split
    recipe: Recipe
    rectify: bool = False

    @property
    def architecture(self) -> str:
        """The network's name: a recipe that freezes the body trains a local head on it."""
        return self.backbone + LOCAL if self.recipe.frozen_body else self.backbone


# The model card that this project grew from, to the letter.
_SEED = Preset(
    backbone="resnet50",
    side=224,
    split="random",
    recipe=Recipe(
        epochs=5,
        batch_size=32,
        learning_rate=0.001,
        weight_decay=0.0,
        gradient_clip=0.0,
        warm_up=0.0,
        symmetry=False,
        weighting="images",
    ),
)
# Each of its parts is measured in casting_core/TRAINING.md.
_ROBUST = Preset(
    backbone="mobilenet_v2",
    side=448,
    rectify=True,
    split="group",
    recipe=Recipe(
        epochs=8,
        batch_size=32,
        learning_rate=0.003,
        weight_decay=0.05,
        warm_up=0.3,
        weighting="castings",
        label_smoothing=0.04,
        frozen_body=True,
    ),
)

PRESETS: Mapping[str, Preset] = MappingProxyType({"seed": _SEED, "robust": _ROBUST})


def preset_named(name: str) -> Preset:
    """Look a preset up. Raises InvalidInput for a name that there is not."""
    if name not in PRESETS:
        raise InvalidInput(f"There is no preset {name!r}; take {' or '.join(PRESETS)}.")
    return PRESETS[name]
