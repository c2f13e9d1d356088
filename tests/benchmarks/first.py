"""How long an hourly run takes from the start of its process to its first verdict."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from flows.benchmark import UNTIL, fill_bucket
from tests.benchmarks import plant
from tests.prefect_server import PrefectServer

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

_ROUNDS = 3
_IMAGES = 512
_IMPORTS = ("torch", "prefect", "flows.score")
_LONGEST_SECONDS = 180


def run(folder: Path, *, images: int) -> dict[str, Any]:
    """Start `casting score` on new pictures, with a Prefect server at hand and without; `images` is for the others."""
    del images
    resources = plant.open_plant(folder)
    contents = plant.pictures()
    result: dict[str, Any] = {}
    done = 0

    def rounds(environment: dict[str, str]) -> list[float]:
        nonlocal done
        seconds = []
        for _ in range(_ROUNDS):
            fill_bucket(resources, _IMAGES, contents, first=done)
            seconds.append(_until_first_verdict(resources.engine, environment, known=done))
            done += _IMAGES
        return seconds

    with PrefectServer(folder / "prefect-server").running() as server:
        result |= _named("with a Prefect server at hand", rounds({"PREFECT_API_URL": server.url}))
    result |= _named("starting a Prefect server of its own", rounds({}))
    return result | {f"importing {name}, s": _import_seconds(name) for name in _IMPORTS}


def _named(how: str, seconds: list[float]) -> dict[str, Any]:
    return {f"first verdict {how}, s": median(seconds), f"all rounds {how}, s": ", ".join(f"{s:.1f}" for s in seconds)}


def _until_first_verdict(engine: Engine, environment: dict[str, str], *, known: int) -> float:
    """Start the command, wait for the first new verdict, then for its end."""
    command = [sys.executable, "-m", "flows", "score", "--until", f"{UNTIL:%Y-%m-%dT%H:%M:%S}"]
    started = time.perf_counter()
    with (
        subprocess.Popen(  # noqa: S603 - our own command
            command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process,
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        found = None
        while process.poll() is None and time.perf_counter() - started < _LONGEST_SECONDS:
            if found is None and connection.execute(text("SELECT count(*) FROM verdict")).scalar_one() > known:
                found = time.perf_counter() - started
            time.sleep(0.02)
        process.kill()
        said = process.stderr.read() if process.stderr else ""
    if found is None:
        raise RuntimeError(f"No verdict came. The command said: {said[-2000:]}")
    return found


def _import_seconds(module: str) -> float:
    def once() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)  # noqa: S603 - our own program
        return time.perf_counter() - started

    return median(once() for _ in range(_ROUNDS))
