"""Runs that Prefect believes to be running, though their processes died with the machine or by -9."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    import httpx

_BUSY = ["PENDING", "RUNNING", "CANCELLING"]
_MESSAGE = "Its process ended without a word. What it left is backlog of the next run."


def mark_crashed(client: httpx.Client) -> int:
    """Mark deployments' runs whose processes are gone as crashed, so that they hold no place; return how many.

    Only for a server whose workers are all on this machine, and before they are started: a run that is being
    started has no process yet. Raises httpx.HTTPError.
    """
    busy = {"state": {"type": {"any_": _BUSY}}, "deployment_id": {"is_null_": False}}
    runs = client.post("/flow_runs/filter", json={"flow_runs": busy}).raise_for_status().json()
    dead = [run for run in runs if not _lives(run)]
    for run in dead:
        state = {"type": "CRASHED", "name": "Crashed", "message": _MESSAGE}
        client.post(f"/flow_runs/{run['id']}/set_state", json={"state": state}).raise_for_status()
    return len(dead)


def _lives(run: dict[str, Any]) -> bool:
    number = (run["infrastructure_pid"] or "").rpartition(":")[2]
    if not number.isdigit():
        return False
    try:
        return run["id"] in psutil.Process(int(number)).environ().get("PREFECT__FLOW_RUN_ID", "")
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # somebody else's, and alive: rather a place held too long than two runs at once
        return True
