"""What runs the tasks of a flow, chosen by setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

if TYPE_CHECKING:
    from flows.settings import Settings


def task_runner(settings: Settings) -> TaskRunner[Any]:
    """Return the runner that `CASTING_TASK_RUNNER` names. Threads of one process share its model and its card."""
    return ThreadPoolTaskRunner(max_workers=settings.chunks_in_flight)
