"""What runs the tasks of a flow, chosen by setting: threads of the flow's own process, or a Dask cluster."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.errors import DatabaseNotShared, ExtraMissing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from prefect import Task
    from prefect.futures import PrefectFuture

    from flows.settings import Settings


def run_each(settings: Settings, task: Task[..., Any], parameters: Sequence[Mapping[str, Any]]) -> list[str]:
    """Run a task once with each of many parameters; return what went wrong with those that failed for good.

    Raises ExtraMissing, DatabaseNotShared or ClusterUnavailable.
    """
    if not parameters:
        return []
    with task_runner(settings) as runner:
        futures = deque(runner.submit(task, parameters=dict(each)) for each in parameters)
        failures = []
        while futures:
            # Let go of each as it is read: Dask runs again what a lost worker had finished and somebody holds.
            failures += _failure(futures.popleft())
    return failures


def task_runner(settings: Settings) -> TaskRunner[Any]:
    """Return the runner that `CASTING_TASK_RUNNER` names. Threads of one process share its model and its card.

    Raises ExtraMissing or DatabaseNotShared where a Dask cluster cannot be used.
    """
    if settings.dask_address is None:
        return ThreadPoolTaskRunner(max_workers=settings.chunks_in_flight)
    return _cluster(settings).ClusterRunner(settings.dask_address)


def judges(settings: Settings) -> tuple[int, int]:
    """Return how many processes judge chunks, and how many chunks they judge at once.

    Raises ExtraMissing, DatabaseNotShared or ClusterUnavailable.
    """
    if settings.dask_address is None:
        return 1, settings.chunks_in_flight
    workers, threads = _cluster(settings).cluster_size(settings.dask_address)
    return workers, threads


def _cluster(settings: Settings) -> ModuleType:
    """Load what talks to Dask, where it can be of use."""
    if settings.database_url is None:
        raise DatabaseNotShared(
            f"CASTING_TASK_RUNNER is {settings.task_runner}, but the database is the embedded one, which listens on a "
            "socket of this machine only. Set CASTING_DATABASE_URL, here and on every worker, to a Postgres that all "
            "machines reach; or set CASTING_TASK_RUNNER to threads."
        )
    try:
        from flows import cluster  # noqa: PLC0415 - needs an extra
    except ImportError as error:
        raise ExtraMissing(
            f"CASTING_TASK_RUNNER is {settings.task_runner}, but Dask is not installed ({error}). "
            "Install the extra: pip install 'casting-inspection[dask]'; or set CASTING_TASK_RUNNER to threads."
        ) from error
    return cluster


def _failure(future: PrefectFuture[Any]) -> list[str]:
    """Wait for a task, and say what went wrong with it."""
    future.wait()
    return [] if future.state.is_completed() else [str(future.state.message)]
