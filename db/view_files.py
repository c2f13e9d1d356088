"""Makes the views and functions of db/views in a database, and takes away those that it or another release made."""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from typing import TYPE_CHECKING

from psycopg import errors, sql
from sqlalchemy import text

from db.errors import NameTaken
from db.queries import load

if TYPE_CHECKING:
    from sqlalchemy import Connection

# Ends the comment of everything made here. Only what carries it is ours to drop.
_MARK = re.compile(r" \[casting (\w+)\]$")
# The first release made these two without a mark.
_UNMARKED = "DROP VIEW IF EXISTS part_verdict, current_verdict"
_CREATED = re.compile(r"^CREATE (VIEW|FUNCTION) ([\w.]+)", re.MULTILINE)


def are_current(connection: Connection) -> bool:
    """Whether the database has every view and function of this release's files, made from these very files."""
    current = _release()
    made = {
        (kind, name) for kind, name, _, comment in _objects(connection) if comment.endswith(f" [casting {current}]")
    }
    return made == {_object(*created) for source in sources() for created in _CREATED.findall(source)}


def drop(connection: Connection) -> None:
    """Drop what this or another release made, by name.

    Without CASCADE: what a plant has built upon our views is not ours to drop, and stops it.
    """
    ours = [(kind, signature) for kind, _, signature, comment in _objects(connection) if _MARK.search(comment)]
    # The views first, since they use the functions.
    for kind in ("VIEW", "FUNCTION"):
        if signatures := [signature for each, signature in ours if each == kind]:
            connection.exec_driver_sql(f"DROP {kind} {', '.join(signatures)}")
    connection.execute(text(_UNMARKED))


def create(connection: Connection) -> None:
    """Make all views and functions, and mark them as ours behind their comments. Raises NameTaken."""
    # On the driver's own cursor: SQLAlchemy would read a % in the SQL as a parameter.
    cursor = connection.connection.cursor()
    for source in sources():
        try:
            cursor.execute(source)
        except (errors.DuplicateTable, errors.DuplicateFunction) as error:
            raise NameTaken(
                f"This release brings a view or function of its own under a name that is in use: {error}. "
                "Rename what the plant made under it, and upgrade again."
            ) from error
    ours = {_object(*created) for source in sources() for created in _CREATED.findall(source)}
    current = _release()
    for kind, name, signature, comment in _objects(connection):
        if (kind, name) in ours:
            marked = sql.Literal(f"{comment} [casting {current}]").as_string()
            cursor.execute(f"COMMENT ON {kind} {signature} IS {marked}")


def sources() -> list[str]:
    """What db/views holds: first the files in it, then those of its folders, each in the order of their names."""
    folder = resources.files("db").joinpath("views")
    folders = [folder, *sorted((each for each in folder.iterdir() if each.is_dir()), key=lambda each: each.name)]
    return [
        file.read_text(encoding="utf-8")
        for each in folders
        for file in sorted(each.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".sql")
    ]


def grants() -> str:
    """What each role may do, as SQL; to be run whenever the views were made."""
    return resources.files("db").joinpath("grants.sql").read_text(encoding="utf-8")


def _release() -> str:
    return hashlib.sha256("\0".join([*sources(), grants()]).encode()).hexdigest()[:12]


def _objects(connection: Connection) -> list[tuple[str, str, str, str]]:
    """Kind, name, signature and comment of every view and function in the database."""
    return [(row.kind, row.name, row.signature, row.comment) for row in connection.execute(load("views_and_functions"))]


def _object(kind: str, name: str) -> tuple[str, str]:
    return kind, name if "." in name else f"public.{name}"
