"""Registers with a Prefect server what it does by itself when runs fail, fail to come, or an alert is raised."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.schemas.automations import AutomationCore
from prefect.server.schemas.schedules import CronSchedule

if TYPE_CHECKING:
    from uuid import UUID

    from flows.settings import Settings

FILE = Path(__file__).parents[1] / "deployments" / "automations.yaml"
# The notification block of that name, of any kind, tells people.
PEOPLE = "casting-people"
MISSED = "casting: the hourly job did not complete"
_GRACE = timedelta(hours=1)
_RUNS_LOOKED_AT = 300


def register(settings: Settings) -> list[str]:
    """Bring the server's automations to what the file says; return those left out since nobody is there to be told."""
    left_out = []
    with get_client(sync_client=True) as client:
        people = _people(client)
        for planned in yaml.safe_load(FILE.read_text(encoding="utf-8"))["automations"]:
            if planned["name"] == MISSED:
                longest = longest_pause(settings.score_cron, settings.schedule_timezone)
                planned["trigger"]["within"] = (longest + _GRACE).total_seconds()
            if _addressed(planned, people):
                _write(client, planned)
            else:
                left_out.append(planned["name"])
    return left_out


def longest_pause(cron: str, timezone: str) -> timedelta:
    """The longest time between two runs of a schedule, weekends and nights included."""
    schedule = CronSchedule(cron=cron, timezone=timezone)
    dates = asyncio.run(schedule.get_dates(_RUNS_LOOKED_AT, start=datetime.now(tz=UTC)))
    return max((later - earlier for earlier, later in pairwise(dates)), default=timedelta())


def _people(client: SyncPrefectClient) -> UUID | None:
    answer = client.request("POST", "/block_documents/filter", json={"block_documents": {"name": {"any_": [PEOPLE]}}})
    found = answer.json()
    return found[0]["id"] if found else None


def _addressed(planned: dict[str, Any], people: UUID | None) -> bool:
    """Put the block's number in the place of its name; False where it is needed and there is none."""
    for action in planned["actions"]:
        if action.get("block_document_id") == PEOPLE:
            if people is None:
                return False
            action["block_document_id"] = people
    return True


def _write(client: SyncPrefectClient, planned: dict[str, Any]) -> None:
    known = client.read_automations_by_name(planned["name"])
    if known:
        client.update_automation(known[0].id, AutomationCore(**planned, enabled=known[0].enabled))
    else:
        client.create_automation(AutomationCore(**planned))
