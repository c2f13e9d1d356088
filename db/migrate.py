"""Brings a database to this release's schema, and says where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from db import view_files
from db.errors import SchemaNewer, SchemaOutdated

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(engine: Engine, *, revision: str = "head") -> None:
    """Run the missing migrations, then make the views anew if they changed. Safe to call from many processes at once.

    All of it is one transaction: an interrupted upgrade leaves the database as it was. Raises SchemaNewer or NameTaken.
    """
    with engine.begin() as connection:
        # Held to the end of the transaction: whoever comes second finds nothing left to do.
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('casting.migrate'))"))
        current = current_revision(connection)
        _refuse_newer(current)
        stale = current != (head_revision() if revision == "head" else revision)
        if stale or not view_files.are_current(connection):
            view_files.drop(connection)
            command.upgrade(_config(connection), revision)
            if revision in ("head", head_revision()):
                view_files.create(connection)
                grant(connection)


def downgrade(engine: Engine, revision: str) -> None:
    """Take migrations back down to `revision`; the views are dropped, since they fit the newest schema only.

    Raises SchemaNewer.
    """
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('casting.migrate'))"))
        _refuse_newer(current_revision(connection))
        view_files.drop(connection)
        command.downgrade(_config(connection), revision)


def grant(connection: Connection) -> None:
    """Give each role its rights in this database, as `db/grants.sql` says."""
    connection.connection.cursor().execute(view_files.grants())


def check(engine: Engine) -> str:
    """Return the revision when the database fits this release.

    Raises SchemaOutdated or SchemaNewer, saying what to run.
    """
    with engine.connect() as connection:
        current = current_revision(connection)
    if current == head_revision():
        return current
    _refuse_newer(current)
    raise SchemaOutdated(
        f"The database is at revision {current or 'none'}, this release needs {head_revision()}. "
        "Run: casting db upgrade"
    )


def current_revision(connection: Connection) -> str | None:
    """The newest migration that the database holds."""
    return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str:
    """The newest migration that this release ships."""
    head = ScriptDirectory(str(_MIGRATIONS)).get_current_head()
    if head is None:
        raise SchemaOutdated("This installation ships no migrations; install it again.")
    return head


def _refuse_newer(current: str | None) -> None:
    known = {script.revision for script in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()}
    if current is not None and current not in known:
        raise SchemaNewer(
            f"The database is at revision {current}, which this release does not know. Install the newer release."
        )


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config
