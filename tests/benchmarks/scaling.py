"""One run on one and on two Dask workers, and what all workers share: Prefect, Dask's scheduler, the database.

A worker that is bound to one core stands for a machine with one core; all of them, Prefect, the scheduler and Postgres
share the cores of this one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from multiprocessing import get_context
from statistics import median
from typing import TYPE_CHECKING, Any

import psutil

from casting_core.types import ImageChunk, ScoringRun, Window
from db import runs
from db.engine import make_engine
from db.images import backlog_chunks, insert_images
from db.models import champion
from flows.benchmark import UNTIL, fill_bucket, judge_unseen
from flows.settings import configure_prefect, load_settings
from tests.benchmarks import plant
from tests.benchmarks.writing import stored_images
from tests.prefect_server import PrefectServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sqlalchemy.engine import URL

    from flows.resources import Resources

_ROUNDS = 3
# As many chunks for a round of 2,000 images as there are in a round of 8,000 by default.
_CHUNK = 64
_TASKS = 300
_WARMING = 20
_DASK_TASKS = 3_000
# Less of the processor in two seconds than this is idle.
_IDLE_SECONDS = 0.1
_CLIENTS = (1, 2, 4)
# Workers as the cores that each is bound to.
_CLUSTERS: dict[str, list[set[int]]] = {
    "one worker, one core": [{0}],
    "two workers, one core each": [{0}, {1}],
    "one worker, both cores": [{0, 1}],
}


def run(folder: Path, *, images: int) -> dict[str, Any]:
    """Score `images` pictures a round by threads and by each cluster in turn, then measure what is shared."""
    resources = plant.open_plant(folder)
    configure_prefect(resources.settings)
    results: dict[str, Any] = {"images a round": images, "images a chunk": _CHUNK}
    with ExitStack() as stack:
        stack.enter_context(_environment("CASTING_DATABASE_URL", str(resources.engine.url)))
        stack.enter_context(_environment("CASTING_CHUNK_SIZE", str(_CHUNK)))
        server = stack.enter_context(PrefectServer(folder / "prefect-server").running())
        addresses = {
            name: stack.enter_context(_cluster(folder / name.replace(" ", "-"), cores, server.url))
            for name, cores in _CLUSTERS.items()
        }
        results |= _scoring_rates(resources, addresses, server.url, images)
        results |= _task_rates(addresses["two workers, one core each"], server.url, psutil.Process(server.process.pid))
    results |= _writing_rates(resources)
    return results


def _scoring_rates(resources: Resources, addresses: dict[str, str], api_url: str, images: int) -> dict[str, float]:
    """Images/s of whole runs: each way once a round, so that a drift of the machine meets all of them."""
    from flows.score import score

    ways = {"threads, both cores": "threads"} | {
        name: address.replace("tcp://", "dask://") for name, address in addresses.items()
    }
    contents = plant.pictures()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    filled = 0
    # The first round loads libraries and models.
    for round_ in range(_ROUNDS + 1):
        for name, runner in ways.items():
            count = images if round_ else images // 4
            fill_bucket(resources, count, contents, first=filled)
            filled += count
            with _prefect_at(api_url), _environment("CASTING_TASK_RUNNER", runner):
                summary = score(until=UNTIL)
            if summary.scored != count:
                raise RuntimeError(f"{name} judged {summary.scored} of {count} images")
            if round_:
                rates[name].append(summary.images_per_s)
    one, two = rates["one worker, one core"], rates["two workers, one core each"]
    shares = [b / a for a, b in zip(one, two, strict=True)]
    return {f"{name}, images/s": median(found) for name, found in rates.items()} | {
        "two workers / one worker, one core each: median": median(shares),
        "the same, lowest": min(shares),
        "the same, highest": max(shares),
    }


def _task_rates(address: str, api_url: str, server: psutil.Process) -> dict[str, float]:
    """Tasks/s that do nothing: through Prefect, in threads and on Dask; and through Dask alone."""
    from distributed import Client
    from distributed.protocol import serialize
    from prefect import flow, task
    from prefect.context import serialize_context

    from flows.runners import run_each, task_runner

    nothing = task(_nothing, name="nothing")
    sizes: list[int] = []

    @flow(name="nothing often")
    def nothing_often() -> dict[str, float]:
        _, frames = serialize(serialize_context())
        sizes.append(sum(len(frame) for frame in frames))
        settings = load_settings()
        # Workers import what they need for the first one.
        run_each(settings, nothing, [{}] * _WARMING)
        started = time.perf_counter()
        with task_runner(settings) as runner:
            futures = [runner.submit(nothing, parameters={}) for _ in range(_TASKS)]
            submitted = time.perf_counter() - started
            for future in futures:
                future.wait()
        return {"tasks/s": _TASKS / (time.perf_counter() - started), "submitted, tasks/s": _TASKS / submitted}

    rates = {}
    for name, runner in {"threads": "threads", "two Dask workers": address.replace("tcp://", "dask://")}.items():
        _wait_until_idle(server)
        busy = _processor_seconds(server)
        with _prefect_at(api_url), _environment("CASTING_TASK_RUNNER", runner):
            found = nothing_often()
        _wait_until_idle(server)
        found["Prefect's server, processor s a task"] = (_processor_seconds(server) - busy) / (_TASKS + _WARMING)
        rates |= {f"tasks through Prefect, {name}: {what}": value for what, value in found.items()}
    with Client(address, set_as_default=False) as client:
        started = time.perf_counter()
        client.gather(client.map(_nothing_with, range(_DASK_TASKS), pure=False))
        rates["tasks through Dask's scheduler alone, tasks/s"] = _DASK_TASKS / (time.perf_counter() - started)
    return rates | {"context that Prefect sends with each task, bytes": float(sizes[0])}


def _processor_seconds(process: psutil.Process) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))


def _wait_until_idle(process: psutil.Process) -> None:
    """Wait until a process has done what it was told: Prefect's server writes down tasks well after they ended."""
    before = _processor_seconds(process)
    while True:
        time.sleep(2)
        now = _processor_seconds(process)
        if now - before < _IDLE_SECONDS:
            return
        before = now


def _nothing() -> None:
    pass


def _nothing_with(_number: int) -> None:
    pass


def _writing_rates(resources: Resources) -> dict[str, float]:
    """Verdict rows/s claimed and written for one run by several client processes at once."""
    rates = {}
    for days, clients in enumerate(_CLIENTS, start=10):
        window = Window(since=UNTIL - timedelta(days=days, hours=48), until=UNTIL - timedelta(days=days))
        with resources.engine.begin() as connection:
            model = champion(connection)
            scoring_run = ScoringRun(run_id=uuid.uuid4(), model=model, window=window)
            runs.open_run(connection, scoring_run, flow_run_id=None)
            insert_images(connection, stored_images(window, 50_000, prefix=f"clients-{clients}"))
        with resources.engine.begin() as connection:
            connection.exec_driver_sql("ANALYZE image")
            chunks = backlog_chunks(connection, scoring_run, chunk_size=resources.settings.chunk_size)
        count = sum(len(chunk.image_ids) for chunk in chunks)
        with ProcessPoolExecutor(clients, mp_context=get_context("spawn")) as pool:
            shares = [(resources.engine.url, scoring_run, chunks[start::clients]) for start in range(clients)]
            # Connections and imports are not measured: each client says when it began.
            spans = list(pool.map(_claim_and_write, shares))
        rates[f"claiming and writing, {clients} clients, rows/s"] = count / (
            max(end for _, end in spans) - max(begin for begin, _ in spans)
        )
    return rates


def _claim_and_write(share: tuple[URL, ScoringRun, Sequence[ImageChunk]]) -> tuple[float, float]:
    url, scoring_run, chunks = share
    engine = make_engine(url, pool_size=1)
    with engine.connect():
        begin = time.time()
    for chunk in chunks:
        with engine.begin() as connection:
            judge_unseen(connection, scoring_run, chunk)
    engine.dispose()
    return begin, time.time()


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


@contextmanager
def _prefect_at(api_url: str) -> Iterator[None]:
    """Let this process use that server, whichever Prefect has read from the environment before."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings(updates={PREFECT_API_URL: api_url}):
        yield


@contextmanager
def _cluster(folder: Path, cores: list[set[int]], api_url: str) -> Iterator[str]:
    """Start a scheduler and a worker for each set of cores; its chunks in work as those of threads."""
    folder.mkdir()
    file = folder / "scheduler.json"
    common = ("--scheduler-file", str(file), "--no-dashboard")
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(
            _process(("dask", "scheduler", "--host", "127.0.0.1", "--port", "0", *common), dict(os.environ))
        )
        for bound in cores:
            environment = os.environ | {"PREFECT_API_URL": api_url, "OMP_NUM_THREADS": str(len(bound))}
            worker = ("dask", "worker", "--no-nanny", "--nthreads", "4", "--memory-limit", "0", *common)
            process = stack.enter_context(_process((*worker, "--local-directory", str(folder)), environment))
            os.sched_setaffinity(process.pid, bound)
        from flows.cluster import cluster_size

        deadline = time.monotonic() + 60
        while not file.exists() or not file.stat().st_size:
            if time.monotonic() > deadline:
                raise RuntimeError("Dask's scheduler did not come up")
            time.sleep(0.1)
        address: str = json.loads(file.read_text())["address"]
        while cluster_size(address)[0] < len(cores):
            time.sleep(0.1)
        yield address


@contextmanager
def _process(command: Sequence[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(  # noqa: S603 - Prefect's and Dask's own commands
        [sys.executable, "-m", *command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
