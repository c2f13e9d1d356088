"""What a person decides about a training run, and what the preset decides for them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from casting_core.presets import preset_named
from casting_core.thresholds import Costs

if TYPE_CHECKING:
    from casting_core.folds import Split
    from casting_core.presets import Preset
    from casting_core.scoring import DeviceName

__all__ = ["TrainingPlan"]

# An inspector that leaves more than this to people is of little use to them.
_MOST_REVIEW = 0.10


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What a person decides about a training run. What is None is as the preset has it.

    `pretrained` is "imagenet", "none" or a file of weights. With 2 or more `folds` every casting is held out once; with
    1 a fifth of them is. A `split` of "random" goes by image and leaks. With `quantise` 8-bit integers are tried too;
    where they serve, the thresholds are chosen on what integers say of castings held out.
    """

    preset: str = "robust"
    backbone: str | None = None
    pretrained: str = "imagenet"
    folds: int = 5
    seed: int = 0
    split: Split | None = None
    device: DeviceName = "auto"
    costs: Costs = field(default_factory=lambda: Costs(most_review=_MOST_REVIEW))
    side: int | None = None
    epochs: int | None = None
    quantise: bool = True

    def chosen_preset(self) -> Preset:
        """The preset with what the plan changes of it. Raises InvalidInput for a name that there is not."""
        preset = preset_named(self.preset)
        recipe = replace(preset.recipe, seed=self.seed, epochs=self.epochs or preset.recipe.epochs)
        return replace(
            preset,
            recipe=recipe,
            backbone=self.backbone or preset.backbone,
            side=self.side or preset.side,
            split=self.split or preset.split,
        )
