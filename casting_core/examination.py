"""Lets a stored model judge labelled pictures exactly as the hourly job judges a line's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from casting_core.card import CLASSES
from casting_core.held_out import HeldOut
from casting_core.types import Prediction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from casting_core.scoring import Scorer
    from casting_core.types import Label

# Undecoded pictures in memory at a time.
_AT_A_TIME = 256


@dataclass(frozen=True, kw_only=True)
class ExaminedPicture:
    """A labelled picture, named once; images of one casting carry the same number."""

    name: str
    label: Label
    casting: int


def examine(
    scorer: Scorer, pictures: Sequence[ExaminedPicture], read: Callable[[ExaminedPicture], bytes]
) -> dict[str, float]:
    """Return p_defective by name; a picture that the model's image gate refuses has none."""
    judged: dict[str, float] = {}
    for start in range(0, len(pictures), _AT_A_TIME):
        some = pictures[start : start + _AT_A_TIME]
        outcomes = scorer.judge({picture.name: read(picture) for picture in some})
        judged |= {name: each.p_defective for name, each in outcomes.items() if isinstance(each, Prediction)}
    return judged


def as_held_out(pictures: Sequence[ExaminedPicture], p_defective: dict[str, float]) -> HeldOut:
    """Put what `examine` gave beside the labels, for the pictures that have a p_defective.

    Raises InvalidInput where none has.
    """
    judged = [picture for picture in pictures if picture.name in p_defective]
    return HeldOut(
        names=tuple(picture.name for picture in judged),
        labels=np.array([CLASSES.index(picture.label) for picture in judged], dtype=np.int64),
        castings=np.array([picture.casting for picture in judged], dtype=np.int64),
        p_defective=np.array([p_defective[picture.name] for picture in judged], dtype=np.float64),
        folds=np.zeros(len(judged), dtype=np.int64),
    )
