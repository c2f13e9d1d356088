"""Small objects read through a local S3 server by s3fs and by obstore: requests, connections, processor time."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import psutil
from botocore.exceptions import BotoCoreError, ClientError

from casting_core import storage
from casting_core.storage import open_store
from tests.benchmarks import plant
from tests.prefect_server import free_port
from tests.s3 import CREDENTIALS, FaultProxy, client_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_OBJECTS = 600
_ROUNDS = 5
_IN_FLIGHT = (8, 32, 128)
_BUCKET = "pictures"
_CLIENTS: tuple[Literal["s3fs", "obstore"], ...] = ("s3fs", "obstore")


def run(folder: Path, *, images: int) -> dict[str, Any]:
    """Fetch 600 pictures, turn by turn with each client; the parameters are for the other benchmarks."""
    del folder, images
    contents = plant.pictures()
    result: dict[str, Any] = {"objects": _OBJECTS}
    usual = storage.REQUESTS_IN_FLIGHT
    with _s3_server() as url:
        _fill(url, contents)
        result["bytes an object"] = sum(len(contents[n % len(contents)]) for n in range(_OBJECTS)) / _OBJECTS
        for client in _CLIENTS:
            result |= _requests(url, client)
        for in_flight in _IN_FLIGHT:
            storage.REQUESTS_IN_FLIGHT = in_flight
            result |= _rates(url, f"{in_flight} in flight")
    storage.REQUESTS_IN_FLIGHT = usual
    return result


def _requests(url: str, client: Literal["s3fs", "obstore"]) -> dict[str, Any]:
    with FaultProxy(upstream=url) as proxy:
        store = open_store(f"s3://{_BUCKET}", options=proxy.options(), s3_client=client)
        wanted = _wanted(store)
        proxy.requests.clear()
        store.fetch(wanted)
        methods = [method for method, _ in proxy.requests]
        port = int(proxy.url.rsplit(":", 1)[1])
        open_ = [c for c in psutil.Process().net_connections("tcp") if c.raddr and c.raddr.port == port]
    return {
        f"{client}: GET, other requests an object": f"{methods.count('GET') / len(wanted):g}, "
        f"{(len(methods) - methods.count('GET')) / len(wanted):g}",
        f"{client}: connections for all of them": len(open_),
    }


def _rates(url: str, how: str) -> dict[str, Any]:
    options = CREDENTIALS | {"endpoint_url": url}
    stores = {client: open_store(f"s3://{_BUCKET}", options=options, s3_client=client) for client in _CLIENTS}
    wanted = _wanted(stores["s3fs"])
    if stores["s3fs"].fetch(wanted) != stores["obstore"].fetch(wanted):
        raise RuntimeError("the two clients read different bytes")
    rates: dict[str, list[float]] = {client: [] for client in _CLIENTS}
    costs: dict[str, list[float]] = {client: [] for client in _CLIENTS}
    for _ in range(_ROUNDS):
        for client, store in stores.items():
            started, used = time.perf_counter(), _processor_seconds()
            store.fetch(wanted)
            costs[client].append(1000 * (_processor_seconds() - used) / len(wanted))
            rates[client].append(len(wanted) / (time.perf_counter() - started))
    ratios = [one / other for one, other in zip(costs["s3fs"], costs["obstore"], strict=True)]
    return {
        **{f"{client}, {how}: objects/s": median(rates[client]) for client in _CLIENTS},
        **{f"{client}, {how}: processor ms an object": median(costs[client]) for client in _CLIENTS},
        f"processor time, s3fs / obstore, {how}: median (lowest, highest)": f"{median(ratios):.2f} "
        f"({min(ratios):.2f}, {max(ratios):.2f})",
    }


def _wanted(store: storage.ObjectStore) -> list[storage.ObjectVersion]:
    return [(store.uri(info.key), info.etag) for info in store.walk()]


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@contextmanager
def _s3_server() -> Iterator[str]:
    """A server in a process of its own, so that its work is not counted as the client's."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:  # noqa: S603
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _fill(url: str, contents: Sequence[bytes]) -> None:
    client = client_of(url)
    deadline = time.monotonic() + 60
    while True:
        try:
            client.create_bucket(Bucket=_BUCKET)
            break
        except (BotoCoreError, ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    for number in range(_OBJECTS):
        client.put_object(Bucket=_BUCKET, Key=f"line/{number:05d}.jpg", Body=contents[number % len(contents)])
