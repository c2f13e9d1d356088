"""Registers with a Prefect server what runs by itself or on demand: work pools, their queues, and the deployments."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.workers.process import ProcessWorker
from pydantic import ValidationError

from flows.errors import ServiceFailed
from flows.settings import inherited_environment

if TYPE_CHECKING:
    from flows.settings import Settings

FILE = Path(__file__).parents[1] / "deployments" / "prefect.yaml"
POOLS = {
    "casting-gpu": "Runs the network: on the card where there is one.",
    "casting-cpu": "Reads and writes the database; never waits behind a network.",
}
# Name: (priority, runs at a time). Within a pool a queue of a lower number is served first.
QUEUES: dict[str, tuple[int, int | None]] = {"hourly": (1, None), "background": (10, 1)}


def deploy(settings: Settings) -> list[str]:
    """Bring the server to what the files say; return the deployments. Doing it again changes nothing.

    Raises ServiceFailed with Prefect's words when it refuses.
    """
    plan = planned(settings)
    make_pools()
    _prefect_deploy(plan)
    return names(plan)


def planned(settings: Settings) -> dict[str, Any]:
    """Return the deployments with this plant's times. Raises ServiceFailed where they are none."""
    try:
        CronSchedule(cron=settings.score_cron)
    except ValidationError as error:
        raise ServiceFailed(
            f"CASTING_SCORE_CRON is {settings.score_cron!r}, which is no cron expression. "
            "Write minute, hour, day, month and weekday, such as 5 * * * *"
        ) from error
    plan: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    for deployment in plan["deployments"]:
        for schedule in deployment.get("schedules", ()):
            schedule["timezone"] = settings.schedule_timezone
            if schedule["slug"] == "hourly":
                schedule["cron"] = settings.score_cron
    return plan


def names(plan: dict[str, Any]) -> list[str]:
    """The deployments as Prefect calls them: flow/deployment."""
    return [f"{entry['entrypoint'].rpartition('.')[2]}/{entry['name']}" for entry in plan["deployments"]]


def make_pools() -> None:
    """Make the work pools and queues that are missing; what people have changed in the others is left as it is."""
    with get_client(sync_client=True) as client:
        for pool, description in POOLS.items():
            try:
                client.create_work_pool(
                    WorkPoolCreate(
                        name=pool,
                        type="process",
                        description=description,
                        base_job_template=ProcessWorker.get_default_base_job_template(),
                    )
                )
            except ObjectAlreadyExists:
                continue
        for queue, (priority, limit) in QUEUES.items():
            try:
                client.read_work_queue_by_name(queue, work_pool_name="casting-gpu")
            except ObjectNotFound:
                client.create_work_queue(
                    queue, work_pool_name="casting-gpu", priority=priority, concurrency_limit=limit
                )


def _prefect_deploy(plan: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prefect.yaml"
        file.write_text(yaml.safe_dump(plan), encoding="utf-8")
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)],
            env=inherited_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise ServiceFailed(f"Prefect refused the deployments: {(done.stderr or done.stdout).strip()[-1000:]}")
