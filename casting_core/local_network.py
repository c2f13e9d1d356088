"""A network that rates every place of a picture, and calls the picture as bad as its worst places.

Defects are small and lie anywhere, and a casting is defective by one of them alone: the mean over the picture that
classifiers usually end in dilutes them. Learning from labels of whole pictures by their worst places is multiple
instance learning (Dietterich et al. 1997, Artificial Intelligence 89, 31-71).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from casting_core.errors import UnknownArchitecture

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LocalHead", "LocalNetwork", "cut_body"]

# Pixels of the picture to a place: finer ones have seen too little, coarser ones blur what is small.
_STRIDE = 16
_PROBE = 4 * _STRIDE
_HIDDEN = 32
_WORST = 5
_DROPOUT = 0.3
_NOISE = 0.1


class LocalHead(nn.Module):
    """Rates places by features [B, C, h, w]: logits [B, 2], those of "ok" being 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Its statistics are those of the training pictures, set once.
        self.scale = nn.BatchNorm2d(channels, affine=False)
        self.rate = nn.Sequential(
            nn.Dropout2d(_DROPOUT),
            nn.Conv2d(channels, _HIDDEN, 3, padding=1),
            nn.ReLU(),
            nn.Dropout2d(_DROPOUT),
            nn.Conv2d(_HIDDEN, 1, 1),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Give logits [B, 2]: the mean rating of the worst places against 0."""
        scaled = self.scale(features)
        if self.training:
            scaled = scaled + _NOISE * torch.randn_like(scaled)
        margin = self.rate(scaled).flatten(1).topk(_WORST, dim=1).values.mean(dim=1)
        return torch.stack([torch.zeros_like(margin), margin], dim=1)

    def train(self, mode: bool = True) -> LocalHead:
        """Switch to training; the statistics stay as they are."""
        super().train(mode)
        self.scale.eval()
        return self


class LocalNetwork(nn.Module):
    """The first layers of a classifier, and a local head on them."""

    def __init__(self, body: nn.Module, channels: int) -> None:
        super().__init__()
        self.body = body
        self.head = LocalHead(channels)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Give logits [B, 2] of normalised inputs [B, 3, S, S]."""
        logits: torch.Tensor = self.head(self.body(inputs))
        return logits


def cut_body(classifier: nn.Module, *, name: str) -> tuple[nn.Sequential, int]:
    """Give the layers of a classifier up to the last with one value for 16 pixels, and how many channels that has.

    Raises UnknownArchitecture for a network that is no row of such layers.
    """
    layers, cut, channels = [], 0, 0
    picture = torch.zeros(1, 3, _PROBE, _PROBE)
    classifier.eval()
    with torch.inference_mode():
        for layer in _layers(classifier):
            try:
                picture = layer(picture)
            except (RuntimeError, TypeError, ValueError):
                break
            # Layers without padding lose a row or two on the way.
            if picture.ndim != 4 or picture.shape[-1] <= _PROBE // (2 * _STRIDE):  # noqa: PLR2004 - a batch of maps
                break
            layers.append(layer)
            if picture.shape[-1] <= _PROBE // _STRIDE:
                cut, channels = len(layers), picture.shape[1]
    if not cut:
        raise UnknownArchitecture(
            f"{name} has no layer with one value for {_STRIDE} pixels, so no local head fits on it; take mobilenet_v2 "
            "or a resnet (--backbone)."
        )
    return nn.Sequential(*layers[:cut]), channels


def _layers(classifier: nn.Module) -> Iterator[nn.Module]:
    features = getattr(classifier, "features", None)
    yield from (features if isinstance(features, nn.Sequential) else classifier).children()
