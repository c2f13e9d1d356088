"""A Dask cluster as task runner: Prefect's own, which would wait for ever for a worker that never comes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from distributed import Client, Security
from prefect.states import Crashed
from prefect_dask import DaskTaskRunner
from prefect_dask.task_runners import PrefectDaskFuture

from flows.errors import ClusterUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

# How long a cluster may lack workers: machines start again, and some clusters grow only when there is work.
_PATIENCE_SECONDS = 300.0
_LOOK_SECONDS = 5.0
_CERTIFICATES = (
    "Set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, ..._CLIENT__CERT and ..._CLIENT__KEY to files that this user may read; "
    "deployments/SCALING.md says how to make them."
)


class ClusterRunner(DaskTaskRunner):
    """Runs tasks on the workers of a scheduler. `patience` is how many seconds there may be none.

    To enter it, and to wait for one of its futures, raises ClusterUnavailable.
    """

    def __init__(self, address: str, *, patience: float = _PATIENCE_SECONDS) -> None:
        super().__init__(address=address)
        self._patience = patience
        self._last_seen = time.monotonic()

    def __enter__(self) -> Self:
        """Connect to the scheduler."""
        _expect_certificates(self.address)
        super().__enter__()
        try:
            workers = self.client.nthreads()
        except OSError as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise _no_scheduler(self.address, error) from error
        if not workers:
            self.logger.warning("The Dask cluster at %s has no worker yet; one is waited for", self.address)
        self._last_seen = time.monotonic()
        return self

    def submit(self, *args: Any, **kwargs: Any) -> PrefectDaskFuture[Any]:
        """Give a task to the scheduler."""
        future = super().submit(*args, **kwargs)
        return WatchedFuture(future.task_run_id, future.wrapped_future, look=self.look)

    def look(self) -> None:
        """See that somebody works. Raises ClusterUnavailable."""
        if self.client.status != "running":
            raise ClusterUnavailable(
                f"The connection to the Dask scheduler at {self.address} was lost. See whether it still runs. "
                "What was not judged is backlog of the next run."
            )
        if self.client.nthreads():
            self._last_seen = time.monotonic()
        elif time.monotonic() - self._last_seen > self._patience:
            raise ClusterUnavailable(
                f"The Dask cluster at {self.address} has had no worker for {self._patience:.0f} s. Start one: "
                f"dask worker {self.address}. What was not judged is backlog of the next run."
            )


class WatchedFuture(PrefectDaskFuture[Any]):
    """A task on the cluster. `look` raises when waiting makes no sense any more."""

    def __init__(self, task_run_id: Any, wrapped_future: Any, *, look: Callable[[], None]) -> None:
        super().__init__(task_run_id, wrapped_future)
        self._look = look

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the task has ended. Raises ClusterUnavailable."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._final_state and (deadline is None or time.monotonic() < deadline):
            try:
                self._final_state = self._wrapped_future.result(timeout=_LOOK_SECONDS)
            except TimeoutError:
                self._look()
            except Exception as error:  # noqa: BLE001 - the task's own errors are in its state; these are Dask's
                self._look()
                self._final_state = Crashed(message=f"{type(error).__name__}: {error}")


def cluster_size(address: str) -> tuple[int, int]:
    """Return how many workers a scheduler has, and how many threads these have together. Raises ClusterUnavailable."""
    _expect_certificates(address)
    try:
        with Client(address, set_as_default=False) as client:
            threads = client.nthreads()
    except OSError as error:
        raise _no_scheduler(address, error) from error
    return len(threads), sum(threads.values())


def _expect_certificates(address: str | None) -> None:
    """See that Dask's configuration names certificates where an address asks for them. Raises ClusterUnavailable."""
    if address is None or not address.startswith("tls://"):
        return
    try:
        found = Security().get_connection_args("client")["ssl_context"]
    except OSError as error:  # a file that is missing, or holds something else
        raise ClusterUnavailable(f"The certificates for {address} cannot be read: {error}. {_CERTIFICATES}") from error
    if found is None:
        raise ClusterUnavailable(f"{address} asks for certificates, and Dask's settings name none. {_CERTIFICATES}")


def _no_scheduler(address: str | None, error: OSError) -> ClusterUnavailable:
    return ClusterUnavailable(
        f"No Dask scheduler answers at {address} ({error}). Start it (dask scheduler), or correct CASTING_TASK_RUNNER: "
        "dask+tls:// where it asks for certificates, dask:// where it does not. "
        "What was not judged is backlog of the next run."
    )
