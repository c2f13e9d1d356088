"""What a retraining may be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from casting_core.gate import GateLimits
from casting_core.training_plan import TrainingPlan

if TYPE_CHECKING:
    from flows.settings import Settings


class RetrainParameters(BaseModel):
    """Every choice of a retraining; the defaults are the schedule's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str | None = Field(
        default=None,
        description="Labelled images beside the database's: folder per class, zip or manifest. Else as set by "
        "CASTING_TRAINING_DATA.",
    )
    min_new_labels: int = Field(
        default=50, ge=0, description="With fewer labels that no retraining was given before, the run ends early."
    )
    golden_share: float = Field(
        default=0.2, gt=0, lt=1, description="Share of the castings never seen before that join the golden set."
    )
    auto_promote: bool | None = Field(
        default=None, description="Whether passing the gate is enough; else as set by CASTING_AUTO_PROMOTE."
    )
    preset: Literal["robust", "seed"] = Field(default="robust", description="The recipe.")
    backbone: str | None = Field(default=None, description="A classifier of torchvision; else the preset's.")
    pretrained: str | None = Field(
        default=None,
        description="Weights to start from: a file, 'imagenet' or 'none'. Else as set by CASTING_PRETRAINED.",
    )
    folds: int = Field(
        default=5,
        ge=1,
        description="K trains K + 1 times, and the thresholds are chosen on all castings. 1 trains once and chooses "
        "them on a fifth.",
    )
    epochs: int | None = Field(default=None, ge=1, description="Else the preset's.")
    side: int | None = Field(default=None, ge=32, description="Pixels of the network's input; else the preset's.")
    quantise: bool = Field(
        default=True,
        description="Serve 8-bit integers where there is no graphics card, they are faster and judge no worse. Takes "
        "the extra cpu.",
    )
    seed: int = Field(default=0, description="The same labels and seed give the same model on one machine.")
    gate: GateLimits = Field(default=GateLimits(), description="What the gate lets pass.")

    def plan(self, settings: Settings) -> TrainingPlan:
        """What training is told."""
        return TrainingPlan(
            preset=self.preset,
            backbone=self.backbone,
            pretrained=self.pretrained or settings.pretrained,
            folds=self.folds,
            split="group",
            seed=self.seed,
            device=settings.device,
            side=self.side,
            epochs=self.epochs,
            quantise=self.quantise,
        )
