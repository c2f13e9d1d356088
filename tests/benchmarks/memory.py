"""Peak memory of a scoring process for few and for many images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from flows.benchmark import fill_bucket
from tests.benchmarks import plant

if TYPE_CHECKING:
    from pathlib import Path

_GROWTH = 10
# A small network: memory must not depend on the number of images, whatever the network.
_PROGRAM = """
import json, resource, sys
from flows.settings import load_settings, configure_prefect
configure_prefect(load_settings())
from flows.score import score
from flows.benchmark import fill_bucket
from flows.benchmark import UNTIL
summary = score(until=UNTIL)
print(json.dumps([summary.scored, summary.images_per_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def run(folder: Path, *, images: int) -> dict[str, Any]:
    """Score `images` and ten times as many pictures, each in a process of its own, and compare their peaks."""
    contents = plant.pictures()
    result: dict[str, Any] = {}
    peaks = []
    for count in (images, images * _GROWTH):
        home = folder / str(count)
        home.mkdir()
        resources = plant.open_plant(home, architecture="squeezenet1_1")
        fill_bucket(resources, count, contents)
        output = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-c", _PROGRAM], env=os.environ.copy(), check=True, capture_output=True, text=True
        ).stdout
        scored, rate, peak = json.loads(output.splitlines()[-1])
        result[f"{scored} images: peak MiB"] = peak
        result[f"{scored} images: images/s"] = rate
        peaks.append(peak)
        resources.engine.dispose()
    result["peak, many / few"] = peaks[1] / peaks[0]
    return result
