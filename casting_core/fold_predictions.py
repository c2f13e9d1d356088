"""What the network of each fold says of the castings that it was not trained on."""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from casting_core.scoring import choose_hardware, integer_scorer, network_scorer
from casting_core.serving import quantise_network

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from casting_core.card import ModelCard
    from casting_core.labelled import LabelledPictures
    from casting_core.scoring import DeviceName, Hardware, Scorer

    # From a fold's network and its number to what judges with it.
    Scorers = Callable[[torch.nn.Module, int], Scorer]

__all__ = ["predict_folds", "scorers_as_served", "torch_scorers", "training_pictures"]

_BATCH = 32


def predict_folds(
    networks: Sequence[torch.nn.Module], pictures: LabelledPictures, folds: NDArray[np.int64], scorer_of: Scorers
) -> NDArray[np.float64]:
    """p_defective [N] of each picture by the network of its fold; NaN of what is in no fold."""
    p_defective = np.full(len(pictures), np.nan)
    for fold, network in enumerate(networks):
        places = np.flatnonzero(folds == fold)
        p_defective[places] = scorer_of(network, fold).predict(list(pictures.pixels[places].numpy()))
    return p_defective


def torch_scorers(card: ModelCard, hardware: Hardware) -> Scorers:
    """Judge with torch, in the precision of the hardware given."""
    return partial(_torch_scorer, card=card, hardware=hardware)


def scorers_as_served(
    card: ModelCard, pictures: LabelledPictures, folds: NDArray[np.int64], device: DeviceName
) -> Scorers:
    """Judge in the form that the card serves in."""
    if card.serving.precision == "int8":
        return partial(_integer_scorer, card=card, pictures=pictures, folds=folds)
    return torch_scorers(card, choose_hardware(device, half=card.serving.precision == "bfloat16"))


def training_pictures(pictures: LabelledPictures, folds: NDArray[np.int64], fold: int) -> list[NDArray[np.uint8]]:
    """The pictures [C, S, S] that a fold's network was trained on."""
    return list(pictures.pixels[torch.from_numpy(folds != fold)].numpy())


def _torch_scorer(network: torch.nn.Module, _fold: int, *, card: ModelCard, hardware: Hardware) -> Scorer:
    return network_scorer(copy.deepcopy(network), card, hardware, batch_size=_BATCH)


def _integer_scorer(
    network: torch.nn.Module, fold: int, *, card: ModelCard, pictures: LabelledPictures, folds: NDArray[np.int64]
) -> Scorer:
    """A fold's network as the published one is served, its ranges set by the pictures that it was trained on."""
    model = quantise_network(network, card, training_pictures(pictures, folds, fold))
    return integer_scorer(model, card, batch_size=_BATCH)
