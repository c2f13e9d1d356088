"""`casting backup` and `casting restore`: the embedded database as one file."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.console import expect_database, fail, messages, plain_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flows.settings import Settings


def backup(
    out: Annotated[
        Path | None, typer.Option(help="The file to write; CASTING_HOME/backups/casting-TIME.tar by default.")
    ] = None,
    keep: Annotated[
        int, typer.Option(min=0, help="Then delete all but the newest so many in CASTING_HOME/backups; 0 keeps all.")
    ] = 0,
) -> None:
    """Back up the embedded database, also while everything runs. Images and models are files: copy them as files."""
    from db.backup import back_up, name_of, prune
    from flows.resources import open_engine

    with plain_errors():
        settings = _embedded_only("backup")
        folder = settings.home.absolute() / "backups"
        # A backup of an empty database looks like one of the plant's, until it is needed.
        expect_database(settings)
        engine = open_engine(settings)
        with messages.status("Backing up ..."):
            made = back_up(engine.url, out or folder / name_of(datetime.now(tz=UTC)))
        deleted = prune(folder, keep=keep) if keep else []
        engine.dispose()
    typer.echo(made)
    if deleted:
        messages.print(f"{len(deleted)} older backups deleted.")


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `casting backup` wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Where there is a database already: keep its folder under another name.")
    ] = False,
) -> None:
    """Restore a backup into this home's embedded database, which must be empty; an older one is then upgraded."""
    from db import backup as backups
    from flows.resources import open_engine

    with plain_errors():
        settings = _embedded_only("restore")
        if not file.is_file():
            fail(f"There is no file {file}.")
        with _room_made(settings, file) if replace else nullcontext():
            engine = open_engine(settings)
            try:
                with messages.status("Restoring ..."):
                    backups.restore(engine, file)
            finally:
                engine.dispose()
    messages.print(f"{file} is restored into {settings.home.absolute()}.", highlight=False, soft_wrap=True)


def _embedded_only(command: str) -> Settings:
    from flows.settings import load_settings

    settings = load_settings()
    if settings.database_url is not None:
        fail(
            f"`casting {command}` is for the embedded database; CASTING_DATABASE_URL names one of your own. "
            "Back it up with pg_dump, as the rest of that server."
        )
    return settings


@contextmanager
def _room_made(settings: Settings, file: Path) -> Iterator[None]:
    """Keep the present data folder under another name, and put it back where the restore fails."""
    from db import backup as backups
    from db import embedded
    from flows.running import read_running

    data = settings.postgres_folder
    if read_running(settings.home) is not None or embedded.answers(data):
        fail("The database is in use. Stop it first: casting down")
    backups.refuse_foreign(file)
    if not data.exists():
        yield
        return
    kept = data.with_name(f"postgres.before-{datetime.now(tz=UTC):%Y%m%dT%H%M%SZ}")
    data.rename(kept)
    try:
        yield
    except BaseException:
        embedded.stop(data)
        shutil.rmtree(data)
        kept.rename(data)
        messages.print("The database is as it was before.")
        raise
    messages.print(f"The old data folder is kept as {kept}.", highlight=False, soft_wrap=True)
