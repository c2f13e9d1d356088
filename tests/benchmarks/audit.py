"""Finding the same casting among many pictures: how long it takes as they grow in number, and how right it is."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from casting_core.dataset import read_dataset
from casting_core.grouping import group_castings
from casting_core.survey import read_picture
from tests.benchmarks import plant
from tests.copies import copies, pairwise_precision_and_recall

if TYPE_CHECKING:
    from pathlib import Path

    from casting_core.grouping import Grouping

_SIZES = (2_500, 5_000, 10_000)


def run(folder: Path, *, images: int) -> dict[str, Any]:
    """Group the real images, then more and more of them with copies of them, up to `images`.

    What is true of the copies is what was found of their originals; of the real images themselves it is known for one
    image of each casting, of which nine copies are made.
    """
    if not plant.REAL_IMAGES.is_dir():
        return {"real images": 0}
    real = read_dataset(str(plant.REAL_IMAGES))
    alone, results = _timed(real, {})
    originals = folder / "pictures" / "ok"
    originals.mkdir(parents=True)
    sources = [originals / f"{number:05d}-0.jpeg" for number in range(len(real.images))]
    for path, image in zip(sources, real.images, strict=True):
        path.write_bytes(real.read(image))
    results |= _known_truth(folder / "known", sources, alone)
    made = Counter[int]()
    for size in (size for size in _SIZES if size <= images):
        for number in range(sum(made.values()), size - len(sources)):
            made[number % len(sources)] += 1
            _copy(sources[number % len(sources)], originals, made[number % len(sources)])
        grouping, timing = _timed(read_dataset(str(folder / "pictures")), results)
        names = [path.name for path in sorted(originals.iterdir())]
        expected = [alone.groups[int(name.split("-")[0])] for name in names]
        results |= timing | _rightness(f"{size} images", grouping, expected)
    return results


def _timed(dataset: Any, results: dict[str, Any]) -> tuple[Grouping, dict[str, Any]]:
    wall, processor = time.perf_counter(), time.process_time()
    grouping = group_castings(dataset)
    what = f"{len(dataset.images)} images"
    found = {
        f"{what}: groups, castings": f"{len(set(grouping.groups))}, {len(set(grouping.castings))}",
        f"{what}, s": time.perf_counter() - wall,
        f"{what}, processor s": time.process_time() - processor,
    }
    return grouping, dict(results) | found


def _known_truth(folder: Path, sources: list[Path], alone: Grouping) -> dict[str, Any]:
    """Ten pictures each of one image of every casting that was found."""
    (folder / "ok").mkdir(parents=True)
    firsts = [path for k, path in enumerate(sources) if alone.castings[k] not in alone.castings[:k]]
    for source in firsts:
        _copy(source, folder / "ok", 0, count=10)
    grouping = group_castings(read_dataset(str(folder)))
    names = [path.name for path in sorted((folder / "ok").iterdir())]
    return _rightness(f"ten of each of {len(firsts)} castings", grouping, [int(name.split("-")[0]) for name in names])


def _rightness(what: str, grouping: Grouping, expected: list[int]) -> dict[str, Any]:
    precision, recall = pairwise_precision_and_recall(grouping.groups, expected)
    return {f"{what}: pairwise precision": precision, f"{what}: pairwise recall": recall}


def _copy(source: Path, folder: Path, number: int, *, count: int = 1) -> None:
    """Write copies of a picture; the picture itself is number 0."""
    name = source.name.split("-")[0]
    seed = int(name) * 1_000 + number
    made = list(copies(read_picture(source.read_bytes(), side=512), count + 1, seed))
    for place, content in enumerate(made[1:], start=number):
        (folder / f"{name}-{place}.jpeg").write_bytes(content)
