"""What is tried again: storage and database that may be well in a moment. Nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from casting_core.errors import StorageUnavailable
from db.engine import is_transient

if TYPE_CHECKING:
    from prefect import Task
    from prefect.client.schemas.objects import State, TaskRun

    from flows.settings import Settings


async def worth_retrying(_task: Task[..., Any], _task_run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed task may succeed if it is run again."""
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, StorageUnavailable) or (isinstance(error, BaseException) and is_transient(error))


def back_off(settings: Settings) -> dict[str, Any]:
    """Task options by which a chunk waits 1, 2, 4, ... times the delay before its next try."""
    delays = [settings.retry_delay_seconds * 2**attempt for attempt in range(settings.chunk_retries)]
    return {"retries": settings.chunk_retries, "retry_delay_seconds": delays or None}
