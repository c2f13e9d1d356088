"""How long an hourly run takes from the start of its process to its first verdict."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import psutil
from sqlalchemy import text

from flows.benchmark import UNTIL, fill_bucket
from tests.benchmarks import plant

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

    with _prefect_server(folder) as url:
        result |= _named("with a Prefect server at hand", rounds({"PREFECT_API_URL": url}))
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


class _prefect_server:  # noqa: N801 - used like a function
    """A Prefect server as `casting up` keeps one."""

    def __init__(self, folder: Path) -> None:
        self._environment = os.environ | {"PREFECT_HOME": str(folder / "prefect-server")}
        self._port = 8791

    def __enter__(self) -> str:
        import httpx

        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self._port)]
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        url = f"http://127.0.0.1:{self._port}/api"
        while True:
            try:
                if httpx.get(f"{url}/health", timeout=2).is_success:
                    return url
            except httpx.HTTPError:
                if self._process.poll() is not None:
                    raise
                time.sleep(0.2)

    def __exit__(self, *_: object) -> None:
        parent = psutil.Process(self._process.pid)
        for child in [*parent.children(recursive=True), parent]:
            child.terminate()
        self._process.wait(30)


def _import_seconds(module: str) -> float:
    def once() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)  # noqa: S603 - our own program
        return time.perf_counter() - started

    return median(once() for _ in range(_ROUNDS))
