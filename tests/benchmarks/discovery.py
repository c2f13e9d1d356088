"""A run that finds nothing new among many known images, against the bare listing of the same folders."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from casting_core.types import Window
from flows.benchmark import UNTIL, fill_bucket
from flows.settings import configure_prefect
from tests.benchmarks import plant

if TYPE_CHECKING:
    from pathlib import Path

_KNOWN = 100_000
_HOURS = 47


def run(folder: Path, *, images: int) -> dict[str, Any]:
    """Measure among 100,000 known images; `images` is for the other benchmarks."""
    del images
    return measure(folder, known=_KNOWN)


def measure(folder: Path, *, known: int) -> dict[str, Any]:
    """Make images known and quarantined, then time a run that has nothing to do."""
    resources = plant.open_plant(folder, architecture="squeezenet1_1")
    configure_prefect(resources.settings)
    # Empty files: they are listed, not read.
    fill_bucket(resources, known, [b""], hours=_HOURS)
    from flows.score import score

    first = score(until=UNTIL)
    listing = min(_listing(resources, known=known) for _ in range(3))
    runs = [score(until=UNTIL) for _ in range(3)]
    empty = min(summary.seconds for summary in runs)
    return {
        "known images": first.discovered,
        "quarantined as empty files by the first run": first.quarantined,
        "new images found again": sum(summary.discovered for summary in runs),
        "bare listing through fsspec, s": listing,
        "run with nothing new, s": empty,
        "run / bare listing": empty / listing,
    }


def _listing(resources: Any, *, known: int) -> float:
    """List exactly the folders that the run lists, and look at nothing."""
    window = Window(since=UNTIL - timedelta(hours=48), until=UNTIL)
    moments = resources.layout.moments(window)
    folders = [
        f"line-{line}/{m:%Y/%m/%d/%H}" for line in range(2) for m in sorted({m.replace(minute=0) for m in moments})
    ]
    filesystem, root = resources.store._fs, resources.store._root
    started = time.perf_counter()
    count = 0
    for name in dict.fromkeys(folders):
        if filesystem.exists(f"{root}/{name}"):
            count += len(filesystem.ls(f"{root}/{name}", detail=True))
    if count != known:
        raise RuntimeError(f"the bare listing saw {count} files, not {known}")
    return time.perf_counter() - started
