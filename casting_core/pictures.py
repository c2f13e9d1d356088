"""The pictures of a training run: read once, decoded once as they will be served, and kept on disk for a restart."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.lib.format import open_memmap
from PIL import Image

from casting_core.errors import InvalidDataset
from casting_core.images import Decoding, ImageGate, is_grey, read_image
from casting_core.labelled import LabelledPictures
from casting_core.preprocess import find_round_part, prepare, write_rings
from casting_core.survey import parallel
from casting_core.types import Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from casting_core.dataset import Label
    from casting_core.disc import Frame
    from casting_core.preprocess import Preprocessing

__all__ = ["Example", "PreparedPictures", "color_of", "hash_files", "measure_rings", "prepare_pictures"]

_GREY_SAMPLE = 50
_RINGS_SAMPLE = 48


@dataclass(frozen=True, kw_only=True)
class Example:
    """One labelled picture to learn from. Those of one casting carry the same number.

    `read` gives the file's bytes; whatever it raises ends the training. `mark` is where a defect was marked, as (x, y)
    in 0..1 of the picture, where anybody did.
    """

    name: str
    label: Label
    casting: int
    read: Callable[[], bytes] = field(repr=False)
    mark: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class PreparedPictures:
    """The examples that can be judged, in order, with their pictures; and why the others cannot, by name."""

    examples: tuple[Example, ...]
    sha256: tuple[str, ...]
    pictures: LabelledPictures
    rejected: dict[str, Rejection]


def hash_files(examples: Sequence[Example]) -> tuple[str, ...]:
    """Read every file once and give its sha256."""
    with parallel() as pool:
        return tuple(pool.map(lambda example: hashlib.sha256(example.read()).hexdigest(), examples))


def color_of(examples: Sequence[Example]) -> Literal["grey", "rgb"]:
    """Grey when every picture of a sample holds no colour: checked, since files without colour are often stored RGB."""
    for example in examples[:: max(1, len(examples) // _GREY_SAMPLE)]:
        try:
            with Image.open(io.BytesIO(example.read())) as image:
                if not is_grey(image):
                    return "rgb"
        except (OSError, SyntaxError, ValueError):
            continue
    return "grey"


def measure_rings(examples: Sequence[Example], decoding: Decoding) -> str | None:
    """Measure on a sample, whatever its labels, where parts of this kind have their rings; None without a disc."""

    def find(example: Example) -> Frame | None:
        image = read_image(example.read(), gate=ImageGate(), decoding=decoding)
        return None if isinstance(image, Rejection) else find_round_part(image)

    with parallel() as pool:
        discs = list(pool.map(find, examples[:: max(1, len(examples) // _RINGS_SAMPLE)]))
    return write_rings([disc for disc in discs if disc is not None])


def prepare_pictures(
    examples: Sequence[Example],
    sha256: Sequence[str],
    *,
    decoding: Decoding,
    preprocessing: Preprocessing,
    cache: Path,
) -> PreparedPictures:
    """Decode the examples as a scorer would, or take what an earlier run left in the folder `cache`.

    The cache holds for these very bytes and this preprocessing. Raises InvalidDataset when no picture can be read.
    """
    key = _key(sha256, decoding, preprocessing)
    stored = cache / f"{key}.npy"
    rejections = _read_rejections(stored)
    if rejections is None:
        rejections = _decode(examples, decoding, preprocessing, stored)
    kept = [index for index in range(len(examples)) if index not in rejections]
    if not kept:
        raise InvalidDataset(f"None of the {len(examples)} training files is a picture that can be read.")
    # Copy on write: the pages stay on disk until they are used.
    pixels = torch.from_numpy(np.load(stored, mmap_mode="c")[: len(kept)])
    some = [examples[index] for index in kept]
    return PreparedPictures(
        examples=tuple(some),
        sha256=tuple(sha256[index] for index in kept),
        pictures=LabelledPictures(
            pixels=pixels,
            labels=torch.tensor([int(example.label == "defective") for example in some]),
            castings=torch.tensor([example.casting for example in some]),
            marks=torch.tensor([example.mark or (torch.nan, torch.nan) for example in some]),
        ),
        rejected={examples[index].name: rejection for index, rejection in rejections.items()},
    )


def _decode(
    examples: Sequence[Example], decoding: Decoding, preprocessing: Preprocessing, stored: Path
) -> dict[int, Rejection]:
    """Write the pictures that can be judged, one after the other, and give why the others cannot, by place."""
    stored.parent.mkdir(parents=True, exist_ok=True)
    partial = stored.with_suffix(".partial")
    shape = (len(examples), 1 if decoding.color == "grey" else 3, preprocessing.side, preprocessing.side)
    pixels = open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
    rejections: dict[int, Rejection] = {}

    def decode(example: Example) -> NDArray[np.uint8] | Rejection:
        image = read_image(example.read(), gate=ImageGate(), decoding=decoding)
        return image if isinstance(image, Rejection) else prepare(image, preprocessing)

    with parallel() as pool:
        for index, picture in enumerate(pool.map(decode, examples)):
            if isinstance(picture, Rejection):
                rejections[index] = picture
            else:
                pixels[index - len(rejections)] = picture
    pixels.flush()
    described = [{"index": index, **asdict(rejection)} for index, rejection in rejections.items()]
    stored.with_suffix(".json").write_text(json.dumps(described), encoding="utf-8")
    partial.replace(stored)
    return rejections


def _read_rejections(stored: Path) -> dict[int, Rejection] | None:
    if not stored.exists():
        return None
    described: list[dict[str, Any]] = json.loads(stored.with_suffix(".json").read_text(encoding="utf-8"))
    return {each.pop("index"): Rejection(**each) for each in described}


def _key(sha256: Sequence[str], decoding: Decoding, preprocessing: Preprocessing) -> str:
    text = "\n".join((decoding.model_dump_json(), preprocessing.model_dump_json(), *sha256))
    return hashlib.sha256(text.encode()).hexdigest()[:24]
