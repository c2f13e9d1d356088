"""What `casting up` does: database, Prefect server, deployments and workers of a plant PC, brought up and kept up.

leftovers ended -> server started -> database up, migrated -> deployments registered -> workers -> watched
"""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from errno import EADDRINUSE
from typing import TYPE_CHECKING, Literal

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from db import embedded, migrate
from db.engine import check_connection, public_address
from flows.dead_runs import mark_crashed
from flows.errors import ServiceFailed, UnsafeAddress
from flows.metrics import PlantCollector, serve
from flows.plant_pc import POOLS, answers, api, is_loopback, workers_online
from flows.resources import make_own_bucket, open_database, open_engine
from flows.running import ProcessMark, Running, ServiceMark, forget, leftovers, only_one
from flows.supervisor import Supervisor, end_processes, wait_for

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import psutil

    from flows.plant_pc import PlantPC
    from flows.settings import Settings

    Stage = Callable[[str], AbstractContextManager[list[str]]]

_START_SECONDS = 300.0
_LOOK_SECONDS = 0.5


@dataclass(kw_only=True)
class EmbeddedPostgres:
    """The embedded database as a service. It is no child of ours: other processes may have started it."""

    folder: Path
    name: str = "database"

    def start(self) -> None:
        """Start or join it. Raises EmbeddedFailed."""
        embedded.start(self.folder)

    def alive(self) -> bool:
        """Whether it answers."""
        return embedded.answers(self.folder)

    def how_it_ended(self) -> str:
        """Its own log knows more."""
        return f"does not answer; its log is {self.folder / 'log'}"

    def stop(self) -> None:
        """Let go of it: it stops unless another process still uses it."""
        embedded.stop(self.folder)

    def process(self) -> psutil.Process | None:
        """None: what a killed supervisor leaves of it is joined, not ended."""
        return None


def run(pc: PlantPC, *, say: Callable[[str], None], stage: Stage, stopping: threading.Event) -> None:
    """Bring everything up, keep it up until `stopping` is set, and stop it.

    `say` takes what happens for people; `stage(what)` surrounds a step and takes details. Raises AlreadyRunning,
    UnsafeAddress, ServiceFailed, or what the database raises.
    """
    _refuse_unsafe_address(pc.settings)
    with only_one(pc.home):
        _end_leftovers(pc, say)
        supervisor = Supervisor(say=say)
        record = _Record(pc=pc, supervisor=supervisor, since=datetime.now(tz=UTC))
        try:
            _bring_up(pc, record, stage, stopping)
            with _metrics(pc, supervisor, say):
                if not stopping.is_set():
                    record.write("up")
                    say("Everything is up.")
                while not stopping.wait(_LOOK_SECONDS):
                    supervisor.look()
                    record.write("up")
        finally:
            record.write("stopping")
            supervisor.stop()
            forget(pc.home)


@dataclass(kw_only=True)
class _Record:
    """Writes down what runs whenever that has changed."""

    pc: PlantPC
    supervisor: Supervisor
    since: datetime
    written: Running | None = None

    def write(self, phase: Literal["starting", "up", "stopping"]) -> None:
        services = tuple(
            ServiceMark(
                name=kept.service.name,
                runs=kept.runs,
                restarts=kept.restarts,
                process=ProcessMark.of(process) if (process := kept.service.process()) else None,
            )
            for kept in self.supervisor.kept
        )
        now = Running(
            supervisor=ProcessMark.mine(),
            phase=phase,
            since=self.since,
            api_url=self.pc.api_url,
            ui_url=self.pc.ui_url,
            services=services,
        )
        if now != self.written:
            now.write(self.pc.home)
            self.written = now


def _bring_up(pc: PlantPC, record: _Record, stage: Stage, stopping: threading.Event) -> None:
    supervisor = record.supervisor
    if pc.own_server:
        _refuse_taken_port(pc.settings)
        # First, since it takes longest; it needs nothing of what comes next.
        supervisor.start(pc.server())
        record.write("starting")
    with stage("Database") as details:
        if pc.settings.database_url is None:
            supervisor.start(EmbeddedPostgres(folder=pc.settings.postgres_folder))
        details.append(_prepare_database(pc.settings))
    make_own_bucket(pc.settings)

    def look() -> None:
        supervisor.look()
        record.write("starting")
        if stopping.is_set():
            raise _Stopped

    try:
        with stage("Prefect server") as details:
            wait_for(
                lambda: answers(pc.api_url),
                what=f"No answer from Prefect at {pc.api_url}; see {pc.log('Prefect server')}. It did not come up",
                seconds=_START_SECONDS,
                look=look,
            )
            details.append(pc.ui_url)
            if pc.own_server and is_loopback(pc.settings.prefect_host):
                died = _mark_died(pc)
                if died:
                    details.append(f"{died} runs that had died are marked as crashed")
        with stage("Deployments") as details:
            details.append(_deploy(pc, look))
        with stage("Workers") as details:
            begun = datetime.now(tz=UTC)
            for pool in POOLS:
                supervisor.start(pc.worker(pool))
            record.write("starting")
            wait_for(
                lambda: workers_online(pc, heard_since=begun) >= set(POOLS),
                what=f"The workers are not known to Prefect; see {pc.log('worker casting-gpu')}. They did not come up",
                seconds=_START_SECONDS,
                look=look,
            )
            details.append(", ".join(POOLS))
    except _Stopped:
        return


@contextmanager
def _metrics(pc: PlantPC, supervisor: Supervisor, say: Callable[[str], None]) -> Iterator[None]:
    """Serve the figures. Where that cannot be, the plant runs all the same."""
    settings = pc.settings
    if settings.metrics_port == 0:
        yield
        return
    engine = open_engine(settings)
    collector = PlantCollector(connect=engine.connect, kept=lambda: supervisor.kept)
    try:
        end = serve(collector, host=settings.metrics_host, port=settings.metrics_port)
    except OSError as error:
        say(f"No figures are served at {pc.metrics_url}: {error.strerror}. Set CASTING_METRICS_PORT to a free port.")
        end = None
    try:
        yield
    finally:
        if end is not None:
            end()
        engine.dispose()


def _mark_died(pc: PlantPC) -> int:
    """Mark runs that died as crashed. A server that is busy starting answers 503 for a while, and is asked again."""
    patience = Retrying(
        retry=retry_if_exception_type(httpx.HTTPError), stop=stop_after_delay(60), wait=wait_fixed(1), reraise=True
    )
    try:
        for attempt in patience:
            with attempt, api(pc) as client:
                return mark_crashed(client)
    except httpx.HTTPError as error:
        raise ServiceFailed(f"Prefect at {pc.api_url} answers, but not what it is asked: {error}") from error
    return 0


def _prepare_database(settings: Settings) -> str:
    engine = open_database(settings)
    try:
        version, revision = check_connection(engine), migrate.check(engine)
        where = "embedded" if settings.database_url is None else public_address(engine.url)
        return f"Postgres {version}, {where}, schema {revision}"
    finally:
        engine.dispose()


def _deploy(pc: PlantPC, look: Callable[[], None]) -> str:
    """Register the deployments in a process of its own: it loads every flow, and this one is to stay small."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows", "deploy"],
        env=pc.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(
            lambda: process.poll() is not None,
            what="Registering the deployments did not end",
            seconds=_START_SECONDS,
            look=look,
        )
    except BaseException:
        process.kill()
        process.wait()
        raise
    output, errors = process.communicate()
    if process.returncode != 0:
        words = (errors or output).strip().removeprefix("Error: ")
        raise ServiceFailed(f"The deployments could not be registered. {words}")
    return ", ".join(output.split())


def _end_leftovers(pc: PlantPC, say: Callable[[str], None]) -> None:
    left = leftovers(pc.home)
    if left:
        say(f"An earlier `casting up` was killed; the {len(left)} processes that it left behind are ended.")
        end_processes(left, patience=10)
    forget(pc.home)


def _refuse_unsafe_address(settings: Settings) -> None:
    host = settings.prefect_host
    if settings.prefect_auth is None and not is_loopback(host):
        raise UnsafeAddress(
            f"CASTING_PREFECT_HOST is {host}: whoever reaches that address could run code here. "
            "Set CASTING_PREFECT_AUTH to user:password, or leave the address at 127.0.0.1."
        )


def _refuse_taken_port(settings: Settings) -> None:
    address = (settings.prefect_host, settings.prefect_port)
    try:
        family, kind, protocol, _, resolved = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(resolved)
    except OSError as error:
        remedy = (
            "Another program uses it: end that, or set CASTING_PREFECT_PORT to a free port."
            if error.errno == EADDRINUSE
            else "Set CASTING_PREFECT_HOST to an address of this machine and CASTING_PREFECT_PORT to 1024 or more."
        )
        raise ServiceFailed(
            f"Prefect cannot be served at {address[0]}:{address[1]} ({error.strerror or error}). {remedy}"
        ) from error


class _Stopped(Exception):
    """Somebody asked to stop before everything was up."""
