"""Labelled pictures of castings that never existed, for tests, examples and benchmarks.

A casting is a pump impeller seen from the front: a machined shroud with turning marks, a raised collar, a dark cavity
with curved vanes, a hub and its bore. Its geometry follows from its seed alone, whether it is sound or not, so the only
thing that tells the classes apart is the defect. Bench, light, pose and sensor noise follow from seed and view.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from casting_core.errors import InvalidInput
from casting_core.synthetic_defects import (
    DEFECT_KINDS,
    Defect,
    DefectKind,
    draw_blemishes,
    draw_defects,
    paint_blemish,
    paint_defect,
)
from casting_core.synthetic_impeller import Canvas, Impeller, Scene, paint_impeller

__all__ = [
    "DEFECT_KINDS",
    "Defect",
    "DefectKind",
    "SyntheticCasting",
    "defect_mask",
    "make_casting",
    "render",
    "write_folder",
]

SMALLEST_SIZE, LARGEST_SIZE = 32, 4096
JPEG_QUALITY = 90

# Streams of random numbers that must not move when another one draws more.
_GEOMETRY, _SCENE, _NOISE, _DEFECTS, _BLEMISHES = range(5)


@dataclass(frozen=True, kw_only=True)
class SyntheticCasting:
    """One casting: `seed` gives its geometry and surface, `defects` what is wrong with it."""

    seed: int
    defects: tuple[Defect, ...]

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InvalidInput(f"seed of a casting is {self.seed}: give 0 or more")

    @property
    def label(self) -> Literal["ok", "defective"]:
        """The casting's true class."""
        return "defective" if self.defects else "ok"


def make_casting(seed: int, *, defective: bool) -> SyntheticCasting:
    """Draw a casting; the same seed gives the same geometry whether or not it is defective.

    Raises `InvalidInput` for a negative seed.
    """
    casting = SyntheticCasting(seed=seed, defects=())
    return replace(casting, defects=draw_defects(_stream(seed, _DEFECTS))) if defective else casting


def render(casting: SyntheticCasting, *, size: int = 300, view: int = 0) -> NDArray[np.uint8]:
    """Take picture number `view` of a casting: grey levels, uint8 [size,size]; the same arguments give the same bytes.

    Views of one casting differ in turn, shift, zoom, stretch, tilt, light and noise. Raises `InvalidInput` if `size`
    is outside 32..4096 pixels or `view` is negative.
    """
    _check_picture(size, view)
    canvas = _paint_casting(casting, size, view)
    return _expose(canvas, _stream(casting.seed, _NOISE, view))


def defect_mask(casting: SyntheticCasting, *, size: int = 300, view: int = 0) -> NDArray[np.bool_]:
    """Where the defects change the picture that `render` takes with the same arguments: bool [size,size].

    Everywhere else the picture equals, byte for byte, that of the same casting without defects. Raises `InvalidInput`
    as `render` does.
    """
    _check_picture(size, view)
    canvas = _paint_casting(casting, size, view)
    # The lens spreads a mark by one pixel.
    touched: NDArray[np.bool_] = ndimage.binary_dilation(canvas.touched, structure=np.ones((3, 3), bool))
    return touched


def write_folder(folder: Path, *, ok: int, defective: int, seed: int, size: int = 300, views: int = 1) -> list[Path]:
    """Write pictures as JPEG into `folder/ok_front` and `folder/def_front`, and return their paths in order.

    Files are `cast_{ok|def}_{casting:05d}[_v{view}].jpeg`; the number names one casting across both folders, and the
    view is named if there are several. Raises `InvalidInput` for negative counts, a negative seed, fewer than one view
    or a `size` outside 32..4096, and lets the `OSError` of a folder that cannot be written pass.
    """
    if ok < 0 or defective < 0:
        raise InvalidInput(f"asked for {ok} ok and {defective} defective castings: give 0 or more of each")
    if views < 1:
        raise InvalidInput(f"asked for {views} views of each casting: give 1 or more")
    if seed < 0:
        raise InvalidInput(f"seed of the folder is {seed}: give 0 or more")
    _check_picture(size, views - 1)
    targets = {kind: folder / f"{kind}_front" for kind in ("ok", "def")}
    for target in targets.values():
        target.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, casting_seed in enumerate(np.random.SeedSequence(seed).generate_state(ok + defective)):
        casting = make_casting(int(casting_seed), defective=number >= ok)
        kind = "ok" if number < ok else "def"
        for view in range(views):
            path = targets[kind] / (f"cast_{kind}_{number:05d}" + (f"_v{view}" if views > 1 else "") + ".jpeg")
            Image.fromarray(render(casting, size=size, view=view)).save(path, quality=JPEG_QUALITY)
            paths.append(path)
    return paths


def _check_picture(size: int, view: int) -> None:
    if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        raise InvalidInput(f"picture size is {size}: give {SMALLEST_SIZE} to {LARGEST_SIZE} pixels")
    if view < 0:
        raise InvalidInput(f"view is {view}: give 0 or more")


def _stream(seed: int, *purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, *purpose])


def _paint_casting(casting: SyntheticCasting, size: int, view: int) -> Canvas:
    """Paint what the lens sees; `touched` then holds the defects alone."""
    canvas = Canvas.blank(Scene.draw(_stream(casting.seed, _SCENE, view)), size)
    paint_impeller(canvas, Impeller.draw(_stream(casting.seed, _GEOMETRY)))
    for blemish in draw_blemishes(_stream(casting.seed, _BLEMISHES)):
        paint_blemish(canvas, blemish)
    canvas.touched[...] = False
    for defect in casting.defects:
        paint_defect(canvas, defect)
    return canvas


def _expose(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Let lens and sensor turn the canvas into a picture, uint8 [h,w]; the lens spreads a mark by one pixel."""
    scene = canvas.scene
    across = np.linspace(-1, 1, len(canvas.image), dtype=np.float32)
    light = canvas.image * (1 + scene.slope[0] * across + scene.slope[1] * across[:, None])
    kernel = [scene.blur, 1 - 2 * scene.blur, scene.blur]
    for axis in (0, 1):
        light = ndimage.correlate1d(light, kernel, axis=axis, mode="nearest")
    noise = rng.standard_normal(light.shape, dtype=np.float32)
    noise *= scene.noise
    light += noise
    return np.clip(light, 0, 255, out=light).astype(np.uint8)
