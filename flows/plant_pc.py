"""A plant PC: where its servers listen, what runs on it, and how its Prefect server is asked."""

from __future__ import annotations

import ipaddress
import socket
import sys
from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import httpx

from flows.settings import given_prefect_server, inherited_environment, prefect_environment
from flows.supervisor import ChildProcess

if TYPE_CHECKING:
    from pathlib import Path

    from flows.settings import Settings

POOLS = ("casting-gpu", "casting-cpu")


_DAYS_OF_PREFECT_RUNS = 30


@dataclass(frozen=True, kw_only=True)
class PlantPC:
    """One machine: where its servers listen, and what runs on it."""

    settings: Settings
    # Where a `casting up` that runs here serves Prefect: it may have been started with other settings than ours.
    found_at: str | None = None

    @property
    def home(self) -> Path:
        """Where everything lies."""
        return self.settings.home.absolute()

    @property
    def own_server(self) -> bool:
        """Whether `casting up` runs the Prefect server; not where PREFECT_API_URL names another."""
        return given_prefect_server() in (None, self._own_api_url)

    @property
    def api_url(self) -> str:
        """Where programs reach Prefect."""
        return given_prefect_server() or self.found_at or self._own_api_url

    @property
    def ui_url(self) -> str:
        """Where people reach Prefect."""
        return self.api_url.removesuffix("/").removesuffix("/api")

    @property
    def metrics_url(self) -> str:
        """Where Prometheus reads figures."""
        return f"http://{self.settings.metrics_host}:{self.settings.metrics_port}/metrics"

    @property
    def environment(self) -> dict[str, str]:
        """What every service is started with."""
        own = {
            "PREFECT_CLI_PROMPT": "false",
            # In memory, a killed server would forget who holds a deployment's only place, and never give it back.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            # It would keep every run for ever; what was judged, and by which run, is in the plant's own database.
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
            "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(_DAYS_OF_PREFECT_RUNS * 86_400),
            # By these a run that died without a word is told from one that works; 30 is the least.
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
            "PREFECT_WORKER_QUERY_SECONDS": "5",
            "PREFECT_LOGGING_COLORS": "false",
        }
        if self.settings.log_format == "json":
            own["PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER"] = "json"
        if self.settings.prefect_auth is not None:
            own["PREFECT_SERVER_API_AUTH_STRING"] = self.settings.prefect_auth.get_secret_value()
        chosen = own | prefect_environment(self.settings, api_url=self.api_url) | inherited_environment()
        # Runs work in folders of their own, where a relative home would be another one.
        return chosen | {"CASTING_HOME": str(self.home)}

    def server(self) -> ChildProcess:
        """The Prefect server, on SQLite in our home."""
        address = ("--host", self.settings.prefect_host, "--port", str(self.settings.prefect_port))
        return self._child("Prefect server", "prefect", "server", "start", *address)

    def worker(self, pool: str) -> ChildProcess:
        """A worker of one pool. Its name stays, so that a new one takes the old one's place in the list."""
        name = f"{socket.gethostname()}-{pool}"
        return self._child(
            f"worker {pool}", "prefect", "worker", "start", "--type", "process", "--pool", pool, "--name", name
        )

    def log(self, service: str) -> Path:
        """Where a service's output goes."""
        return self.home / "logs" / f"{service.lower().replace(' ', '-')}.log"

    @property
    def _own_api_url(self) -> str:
        host = self.settings.prefect_host
        reached_at = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
        return f"http://{reached_at}:{self.settings.prefect_port}/api"

    def _child(self, name: str, *command: str) -> ChildProcess:
        return ChildProcess(
            name=name, command=(sys.executable, "-m", *command), environment=self.environment, log=self.log(name)
        )


def answers(url: str) -> bool:
    """Whether a Prefect server is well."""
    try:
        return httpx.get(f"{url}/health", timeout=5).is_success
    except httpx.HTTPError:
        return False


def workers_online(pc: PlantPC, *, heard_since: datetime | None = None) -> set[str]:
    """The work pools that have a worker of which Prefect has heard lately, or since a given time."""
    online = set()
    with api(pc) as client:
        for pool in POOLS:
            try:
                answer = client.post(f"/work_pools/{pool}/workers/filter", json={})
            except httpx.HTTPError:  # asked again at the next look
                continue
            workers = answer.json() if answer.is_success else []
            heard = [
                datetime.fromisoformat(each["last_heartbeat_time"]) for each in workers if each["status"] == "ONLINE"
            ]
            if any(heard_since is None or moment >= heard_since for moment in heard):
                online.add(pool)
    return online


def api(pc: PlantPC) -> httpx.Client:
    """A client of Prefect's API, for what is asked without loading all of Prefect."""
    auth = pc.settings.prefect_auth
    headers = {"Authorization": f"Basic {b64encode(auth.get_secret_value().encode()).decode()}"} if auth else {}
    return httpx.Client(base_url=pc.api_url, timeout=10, headers=headers)


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
