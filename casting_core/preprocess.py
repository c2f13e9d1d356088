"""From decoded pictures to the batches that a network takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from casting_core.disc import RINGS, find_disc, fit_size, typical_profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from casting_core.disc import Frame

_Rgb = tuple[float, float, float]
_PositiveRgb = tuple[
    Annotated[float, Field(gt=0)],
    Annotated[float, Field(gt=0)],
    Annotated[float, Field(gt=0)],
]


# The circle's share of the square, so that burrs on the rim are seen; and the side at which discs are found best.
_DISC_SHARE = 0.93
_DISC_SIDE = 256
# Rings of one kind of part correlate at 0.65 or more in 99 of 100 pictures, those of other round things below 0.58.
_LEAST_MATCH = 0.6


class Preprocessing(BaseModel):
    """How a picture fills the network's input.

    The whole picture is scaled to fit a square of `side` pixels (bilinear, anti-aliased) and the rest is black: a crop
    would cut the rim, where castings chip. With `rectify` the outline of a round part becomes a circle of 93 % of the
    side in the middle, whatever the camera's angle and distance; a picture without one is fitted as a whole.

    A shadow or a rim with two edges can pass for the outline, and the part then comes out too small or too large.
    `typical_rings` sets that right: how strong the rings of such parts usually are at each radius, as `write_rings`
    puts it. A disc's size is chosen so that its own rings lie where these do, unless they are too different to be the
    same kind of part.

    `mean` and `std` are per RGB channel, of values in 0..1; the defaults are ImageNet's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: int = Field(default=224, ge=32, le=4096)
    mean: _Rgb = (0.485, 0.456, 0.406)
    std: _PositiveRgb = (0.229, 0.224, 0.225)
    rectify: bool = False
    typical_rings: Annotated[str, Field(pattern=rf"^-?\d+( -?\d+){{{RINGS - 1}}}$")] | None = None


def fit_square(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """Scale a picture of mode L or RGB into a square: uint8 [C, side, side] with C = 1 or 3."""
    if image.size != (side, side):
        scale = side / max(image.size)
        width, height = (max(1, round(length * scale)) for length in image.size)
        scaled = image.resize((width, height), Image.Resampling.BILINEAR)
        if scaled.size == (side, side):
            image = scaled
        else:
            image = Image.new(image.mode, (side, side))
            image.paste(scaled, ((side - width) // 2, (side - height) // 2))
    return _channels_first(image)


def _channels_first(image: Image.Image) -> NDArray[np.uint8]:
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))  # noqa: PLR2004


def prepare(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Bring a decoded picture of mode L or RGB to what the network takes: uint8 [C, side, side] with C = 1 or 3."""
    disc = find_round_part(image) if preprocessing.rectify else None
    if disc is not None and preprocessing.typical_rings is not None:
        typical = np.array(preprocessing.typical_rings.split(), np.float64)
        disc = fit_size(disc, typical, least_match=_LEAST_MATCH)
    return fit_square(image, preprocessing.side) if disc is None else rectify(image, disc, preprocessing.side)


def write_rings(discs: Sequence[Frame]) -> str | None:
    """Give what is typical of the discs of a data set as `Preprocessing.typical_rings` takes it; None of none."""
    if not discs:
        return None
    profile = typical_profile(discs)
    return " ".join(str(round(1000 * value)) for value in profile / np.linalg.norm(profile))


def rectify(image: Image.Image, disc: Frame, side: int) -> NDArray[np.uint8]:
    """Map a disc to a circle in the middle of a square, bicubic and without turning it: uint8 [C, side, side]."""
    directions, lengths, _ = np.linalg.svd(disc.axes)
    # Of all maps from the circle to this ellipse the symmetric one does not turn.
    axes = (directions * lengths) @ directions.T * image.width
    linear = axes * (2 / (side * _DISC_SHARE))
    offset = disc.center * image.width - linear @ np.full(2, side / 2)
    # Pillow takes the map from the square back to the picture, row by row.
    matrix = np.column_stack([linear, offset]).ravel()
    return _channels_first(
        image.transform((side, side), Image.Transform.AFFINE, tuple(matrix.tolist()), Image.Resampling.BICUBIC)
    )


def find_round_part(image: Image.Image) -> Frame | None:
    """Find the round part in a picture of any size; None where there is none."""
    small = image.convert("L")
    small.thumbnail((_DISC_SIDE, _DISC_SIDE), Image.Resampling.BILINEAR)
    return find_disc(np.asarray(small))


def symmetry(batch: torch.Tensor, index: int) -> torch.Tensor:
    """One of the eight symmetries of the square, by a number from 0 (none), of pictures [..., S, S]."""
    turned = torch.rot90(batch, index % 4, (-2, -1))
    return turned.flip(-1) if index >= 4 else turned  # noqa: PLR2004 - four turns, then mirrored


def stack(pictures: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """Stack equal squares [C, S, S] into one uint8 batch [B, C, S, S]."""
    return torch.from_numpy(np.stack(pictures))


def normalise(batch: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """Turn a uint8 batch [B, 1 or 3, S, S], on any device, into float32 [B, 3, S, S], channels last.

    Grey is spread over three channels here, so that one byte a pixel is all that travels to the device.
    """
    mean = torch.tensor(preprocessing.mean, device=batch.device).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std, device=batch.device).view(1, 3, 1, 1)
    scaled = (batch.float() / 255.0 - mean) / std
    return scaled.to(memory_format=torch.channels_last)
