"""The image gate: bytes become pixels that can be judged, or a rejection that says why not.

Nothing is decoded before the header was checked, so a decompression bomb costs a few kilobytes of reading.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field

from casting_core.types import Rejection

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMATS = ("JPEG", "PNG", "BMP", "TIFF")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\x00", b"MM\x00*")
# Averages over a picture this small hold no sensor noise, so what contrast is left is the scene's.
_CONTRAST_SIDE = 32
_ROWS_ACROSS_THE_MIDDLE = range(14, 18)
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageGate(BaseModel):
    """What an image must be to be judged. Sides and areas are in pixels, contrast in grey levels of 255."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_side: int = Field(default=64, gt=0)
    max_pixels: int = Field(default=50_000_000, gt=0)
    max_bytes: int = Field(default=200_000_000, gt=0)
    min_contrast: int = Field(default=8, ge=0)


class Decoding(BaseModel):
    """How bytes become pixels; training and serving must do it alike.

    `color` "grey" keeps the luminance alone. With `scaled`, a JPEG is decoded at the smallest of 1/1, 1/2, 1/4 and 1/8
    that still covers `side` pixels, which costs a fraction of a full decode.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    color: Literal["grey", "rgb"] = "rgb"
    scaled: bool = True
    side: int = Field(gt=0)

    @property
    def mode(self) -> Literal["L", "RGB"]:
        """Pillow's name of the pixel format."""
        return "L" if self.color == "grey" else "RGB"


def read_image(content: bytes, *, gate: ImageGate, decoding: Decoding) -> Image.Image | Rejection:
    """Decode a picture upright in the mode that `decoding` names, or say why it cannot be judged."""
    if not content:
        return Rejection(reason="truncated", detail="the object is empty (0 bytes)")
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        return _unidentified(content)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return Rejection(reason="too_large", detail=str(error))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders of hostile bytes raise anything
        return _undecodable(error)
    with image:
        return _check_size(image, gate) or _decode(image, gate, decoding)


def is_grey(image: Image.Image, *, tolerance: int = 2) -> bool:
    """Whether a picture holds no colour: its channels differ by at most `tolerance` levels in 99.9 % of its pixels."""
    if image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16"):
        return True
    channels = np.asarray(image.convert("RGB"), dtype=np.int16)
    spread = channels.max(axis=2) - channels.min(axis=2)
    return bool(np.mean(spread <= tolerance) >= 0.999)  # noqa: PLR2004 - stated in the docstring


def _unidentified(content: bytes) -> Rejection:
    if content.startswith(_SIGNATURES):
        return Rejection(reason="unreadable", detail="begins like a picture, but its header cannot be read")
    return Rejection(reason="not_an_image", detail=f"neither {', '.join(FORMATS[:-1])} nor {FORMATS[-1]}")


def _undecodable(error: Exception) -> Rejection:
    reason: Literal["truncated", "unreadable"] = "truncated" if "truncated" in str(error).lower() else "unreadable"
    return Rejection(reason=reason, detail=f"{type(error).__name__}: {error}")


def _check_size(image: Image.Image, gate: ImageGate) -> Rejection | None:
    width, height = image.size
    if width * height > gate.max_pixels:
        return Rejection(reason="too_large", detail=f"{width} x {height} pixels; at most {gate.max_pixels} are allowed")
    if min(width, height) < gate.min_side:
        return Rejection(reason="too_small", detail=f"{width} x {height} pixels; at least {gate.min_side} a side")
    return None


def _decode(image: Image.Image, gate: ImageGate, decoding: Decoding) -> Image.Image | Rejection:
    try:
        if decoding.scaled:
            # Only JPEG heeds this. Pillow never goes below the size asked for.
            image.draft(decoding.mode, (decoding.side, decoding.side))
        image.load()
        pixels = _flatten(_turn_upright(image), decoding.mode)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders of hostile bytes raise anything
        return _undecodable(error)
    return _check_contrast(pixels, gate) or pixels


def _check_contrast(pixels: Image.Image, gate: ImageGate) -> Rejection | None:
    # A part of the rows first: where they show enough, the others need not be averaged.
    for rows in (_ROWS_ACROSS_THE_MIDDLE, range(_CONTRAST_SIDE)):
        low, high = _grey_levels(pixels, rows)
        if high - low >= gate.min_contrast:
            return None
    return Rejection(reason="blank", detail=f"grey levels from {low} to {high} only; is the lens covered?")


def _grey_levels(pixels: Image.Image, rows: range) -> tuple[int, int]:
    """Lowest and highest grey level in some rows of a picture that is made 32 x 32."""
    row = pixels.height / _CONTRAST_SIDE
    strip = (0, row * rows.start, pixels.width, row * rows.stop)
    grey = pixels if pixels.mode == "L" else pixels.convert("L")
    small = grey.resize((_CONTRAST_SIDE, len(rows)), Image.Resampling.BOX, box=strip)
    extremes: tuple[int, int] = small.getextrema()  # type: ignore[assignment]
    return extremes


def _turn_upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose: that writes the EXIF anew, and fails where another part of it is damaged.
    turn = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def _flatten(image: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    """Bring any pixel format to 8 bits grey or RGB; what is transparent becomes black."""
    if image.mode.startswith("I;16") or image.mode == "I":
        # Pillow clips here instead of scaling, which turns most 16-bit pictures white.
        wide: NDArray[np.int64] = np.asarray(image).astype(np.int64)
        return Image.fromarray((wide.clip(0, 65535) // 257).astype(np.uint8)).convert(mode)
    if image.mode == "F":
        return Image.fromarray(np.nan_to_num(np.asarray(image)).clip(0, 255).astype(np.uint8)).convert(mode)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(opaque, image.convert("RGBA")).convert(mode)
    return image if image.mode == mode else image.convert(mode)
