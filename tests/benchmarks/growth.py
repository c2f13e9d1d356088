"""How time and memory grow: with images, with lines, with what is known already, and with the size of a picture."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from PIL import Image

from flows.benchmark import UNTIL
from tests.benchmarks import discovery, plant
from tests.benchmarks.program import run_program

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flows.resources import Resources

_IMAGES = (1_000, 10_000, 100_000)
_LINES = (1, 10, 50)
_IMAGES_OF_LINES = 10_000
_KNOWN = 1_000_000
_SIDES = (512, 1024, 2048, 4096)
_IMAGES_OF_SIDES = 400
# A small network, so that what is not the network shows.
_NETWORK = "squeezenet1_1"
_PROGRAM = """
import json, time
from flows.settings import load_settings, configure_prefect
configure_prefect(load_settings())
from flows.benchmark import UNTIL
from flows.score import score
from tests.benchmarks.program import peak_mebibytes
summary = score(until=UNTIL)
print(json.dumps([summary.scored, summary.seconds, time.process_time(), peak_mebibytes()]))
"""


def run(folder: Path, *, images: int) -> dict[str, Any]:
    """Score more and more; every run in a plant and a process of its own. `images` is for the other benchmarks."""
    del images
    contents = plant.pictures()
    result: dict[str, Any] = {}
    peaks = []
    for count in _IMAGES:
        measured = _score(folder / f"images-{count}", contents, count=count)
        peaks.append(measured["peak, MiB"])
        result |= _named(f"{count:,} images of 2 lines", measured)
    result["peak, most / fewest images"] = peaks[-1] / peaks[0]
    for lines in _LINES:
        measured = _score(folder / f"lines-{lines}", contents, count=_IMAGES_OF_LINES, lines=lines)
        result |= _named(f"{_IMAGES_OF_LINES:,} images of {lines} lines", measured)
    for side in _SIDES:
        large = [_resized(content, side) for content in contents[:16]]
        measured = _score(folder / f"side-{side}", large, count=_IMAGES_OF_SIDES)
        result |= _named(f"{_IMAGES_OF_SIDES} images of {side} pixels", measured)
    known = discovery.measure(folder / "known", known=_KNOWN)
    return result | {f"{_KNOWN:,} known images: {what}": value for what, value in known.items()}


def _named(of: str, measured: dict[str, float]) -> dict[str, float]:
    return {f"{of}: {what}": value for what, value in measured.items()}


def _score(home: Path, contents: Sequence[bytes], *, count: int, lines: int = 2) -> dict[str, float]:
    home.mkdir(mode=0o755)
    resources = plant.open_plant(home, architecture=_NETWORK)
    _fill(resources, contents, count=count, lines=lines)
    scored, seconds, processor, peak = run_program(_PROGRAM)
    if scored != count:
        raise RuntimeError(f"{scored} of {count} images were scored")
    resources.engine.dispose()
    return {"run, s": seconds, "an image, ms": 1000 * seconds / count, "processor, s": processor, "peak, MiB": peak}


def _fill(resources: Resources, contents: Sequence[bytes], *, count: int, lines: int) -> None:
    """Lay links to the pictures into the last two hours: a hundred thousand copies would fill the disk."""
    originals = resources.settings.home / "originals"
    originals.mkdir()
    paths = [originals / str(number) for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    for number in range(count):
        moment = UNTIL - timedelta(hours=1 + number % 2)
        place = resources.settings.home / "bucket" / f"line-{number // 2 % lines}" / f"{moment:%Y/%m/%d/%H}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"P{number:07d}.jpg").hardlink_to(paths[number % len(paths)])


def _resized(content: bytes, side: int) -> bytes:
    target = io.BytesIO()
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    picture.resize((side, side), Image.Resampling.BICUBIC).save(target, format="JPEG", quality=90)
    return target.getvalue()
