"""How things stand on a plant PC: looks at everything, starts nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import httpx

from db import embedded, migrate
from db.engine import check_connection, database_url, make_engine
from db.errors import DatabaseError
from flows.plant_pc import POOLS, PlantPC, answers, api, workers_online
from flows.running import Running, read_running

if TYPE_CHECKING:
    from collections.abc import Callable

    from flows.settings import Settings


# Without it nothing is judged; the others may be paused for a reason.
HOURLY = "score/hourly"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that has to be up."""

    name: str
    well: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class PlantStatus:
    """Everything that has to be up."""

    checks: tuple[Check, ...]

    @property
    def up(self) -> bool:
        """Whether all of it is."""
        return all(check.well for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {"up": self.up, "checks": [asdict(check) for check in self.checks]}


def look(settings: Settings) -> PlantStatus:
    """Look at the supervisor, the database, Prefect's server, its deployments and workers."""
    running = read_running(settings.home.absolute())
    pc = PlantPC(settings=settings, found_at=running.api_url if running else None)
    checks = [_supervisor(pc, running), _database(pc)]
    if answers(pc.api_url):
        checks.append(Check(name="Prefect server", well=True, text=pc.ui_url))
        checks += [_asked("deployments", pc, _deployments), _asked("workers", pc, _workers)]
    else:
        checks.append(Check(name="Prefect server", well=False, text=f"{pc.api_url} does not answer"))
    return PlantStatus(checks=tuple(checks))


def _supervisor(pc: PlantPC, running: Running | None) -> Check:
    if running is None:
        return Check(name="casting up", well=False, text=f"not running on {pc.home}. Start it: casting up")
    ill = [service.name for service in running.services if not service.runs]
    text = f"process {running.supervisor.pid}, {running.phase} since {running.since.astimezone():%Y-%m-%d %H:%M}"
    restarts = [f"{service.name} {service.restarts}" for service in running.services if service.restarts]
    if restarts:
        text += f"; started again: {', '.join(restarts)}"
    if ill:
        text += f"; down just now: {', '.join(ill)}"
    return Check(name="casting up", well=running.phase == "up" and not ill, text=text)


def _database(pc: PlantPC) -> Check:
    given, folder = pc.settings.database_url, pc.settings.postgres_folder
    if given is None and not embedded.answers(folder):
        return Check(name="database", well=False, text=f"the embedded one in {folder} does not answer")
    try:
        url = embedded.address(folder) if given is None else database_url(given.get_secret_value())
        engine = make_engine(url)
        try:
            text = f"Postgres {check_connection(engine)}, schema {migrate.check(engine)}"
        finally:
            engine.dispose()
    except DatabaseError as error:
        return Check(name="database", well=False, text=str(error))
    return Check(name="database", well=True, text=text + (", embedded" if given is None else ""))


def _asked(name: str, pc: PlantPC, ask: Callable[[PlantPC], Check]) -> Check:
    try:
        return ask(pc)
    except (httpx.HTTPError, KeyError, ValueError) as error:
        return Check(name=name, well=False, text=f"Prefect was asked and did not say: {error}")


def _deployments(pc: PlantPC) -> Check:
    with api(pc) as client:
        found = client.post("/deployments/filter", json={}).raise_for_status().json()
        names = {f"{_flow_name(client, entry['flow_id'])}/{entry['name']}": entry["paused"] for entry in found}
    paused = sorted(name for name, is_paused in names.items() if is_paused)
    text = ", ".join(sorted(names)) or "none registered"
    if paused:
        text += f"; paused: {', '.join(paused)}"
    return Check(name="deployments", well=names.get(HOURLY) is False, text=text)


def _flow_name(client: httpx.Client, flow_id: str) -> str:
    return str(client.get(f"/flows/{flow_id}").raise_for_status().json()["name"])


def _workers(pc: PlantPC) -> Check:
    missing = set(POOLS) - workers_online(pc)
    if missing:
        return Check(name="workers", well=False, text=f"no worker online for {', '.join(sorted(missing))}")
    return Check(name="workers", well=True, text=f"online for {', '.join(POOLS)}")
