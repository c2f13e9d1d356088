"""What a report of a trained model rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from casting_core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from casting_core.card import ModelCard
    from casting_core.dataset import Label
    from casting_core.held_out import HeldOut


@dataclass(frozen=True, kw_only=True)
class Goals:
    """The acceptance limits of an inspector.

    Highest shares of escapes (of the defective), of false rejects (of the ok) and of images left to review (of all),
    and the least AUROC.
    """

    escapes: float = 0.02
    false_rejects: float = 0.05
    review: float = 0.10
    auroc: float = 0.995


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch (from 1) of one fold came to; None where it was not measured."""

    epoch: int
    training_loss: float
    validation_loss: float | None = None
    validation_auroc: float | None = None
    fold: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainingSample:
    """A picture that the model was trained on, and its label."""

    name: str
    label: Label


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """What a network saw, uint8 [1 or 3, S, S], and what in it speaks for a defect: float [H, W] over the same square.

    `evidence` lies in -1..1: above 0 where a place speaks for a defect, below 0 where for a sound casting. Its scale is
    the picture's own, so that pictures are not to be compared by it.
    """

    seen: NDArray[np.uint8]
    evidence: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class EvaluationEvidence:
    """Everything that the report of one model shows.

    The card's thresholds are those that are reported. `read` gives the bytes of a picture by its name (its uri) and may
    raise what storage raises. `explain` says for pictures what in them spoke for a defect; it is missing where a
    network cannot be looked into. `untested` are sentences on what this evaluation left out, beside those that the
    report finds itself. `rejected` counts pictures that the image gate refused.

    Raises `InvalidInput` for a history that is not in order of folds and epochs.
    """

    held_out: HeldOut
    card: ModelCard
    split: Literal["group", "random"]
    read: Callable[[str], bytes]
    history: Sequence[Epoch] = ()
    training_samples: Sequence[TrainingSample] = ()
    explain: Callable[[Sequence[bytes]], Sequence[HeatMap]] | None = None
    goals: Goals = field(default_factory=Goals)
    untested: Sequence[str] = ()
    rejected: int = 0

    def __post_init__(self) -> None:
        places = [(record.fold, record.epoch) for record in self.history]
        if places != sorted(set(places)):
            raise InvalidInput("The history of the training is not one record for each fold and epoch, in that order.")
