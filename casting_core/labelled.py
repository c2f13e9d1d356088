"""What a network is trained on: pictures, or what a frozen body has made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["LabelledFeatures", "LabelledPictures"]


@dataclass(frozen=True, kw_only=True)
class LabelledPictures:
    """Prepared pictures, decoded once: `pixels` uint8 [N, 1 or 3, S, S], `labels` int64 [N] with 1 for defective.

    Pictures of one casting carry the same number in `castings`, int64 [N]. `marks` float32 [N, 2] says where people
    marked a defect, as (x, y) in 0..1 of the picture; NaN where nobody did.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    castings: torch.Tensor
    marks: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, chosen: torch.Tensor) -> LabelledPictures:
        """Give the pictures for which a mask [N] is true."""
        return LabelledPictures(
            pixels=self.pixels[chosen],
            labels=self.labels[chosen],
            castings=self.castings[chosen],
            marks=self.marks[chosen],
        )


@dataclass(frozen=True, kw_only=True)
class LabelledFeatures:
    """What a frozen body makes of pictures and of turned and mirrored copies: `maps` float16 [K, N, C, h, w].

    The first of the K copies is the picture as it is. `labels` and `castings` are as for pictures.
    """

    maps: torch.Tensor
    labels: torch.Tensor
    castings: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, chosen: torch.Tensor) -> LabelledFeatures:
        """Give the pictures for which a mask [N] is true."""
        return LabelledFeatures(maps=self.maps[:, chosen], labels=self.labels[chosen], castings=self.castings[chosen])
