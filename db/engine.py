"""Connections to Postgres: one engine a process, times always in UTC."""

from __future__ import annotations

import sqlalchemy
from sqlalchemy import exc
from sqlalchemy.engine import URL, Engine, make_url

from db.errors import DatabaseError, DatabaseUnavailable


def database_url(text: str) -> URL:
    """Parse a Postgres URL as people write it; the driver is always psycopg 3.

    Raises DatabaseError when it is not a URL or names another database system.
    """
    try:
        url = make_url(text)
    except exc.ArgumentError as error:
        raise DatabaseError(
            "The database address is not a URL; write it like postgresql://user:password@host:5432/casting."
        ) from error
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise DatabaseError(f"{url.get_backend_name()!r} is not supported as a database; give a postgresql:// URL.")
    return url.set(drivername="postgresql+psycopg")


def make_engine(url: URL, *, application_name: str = "casting", pool_size: int = 10) -> Engine:
    """Make an engine; it connects when it is first used.

    A connection is checked before it is lent, so that a database restart between two runs goes unnoticed.
    """
    return sqlalchemy.create_engine(
        url,
        pool_pre_ping=True,
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={
            "application_name": application_name,
            "connect_timeout": 10,
            "options": "-c timezone=UTC",
            # A peer that vanished without a word is noticed after a minute and a half, not after two hours.
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 6,
        },
    )


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed later: the connection broke, the server restarts, two writers collided."""
    return isinstance(error, exc.OperationalError | exc.InterfaceError | DatabaseUnavailable) or (
        isinstance(error, exc.DBAPIError) and error.connection_invalidated
    )


def check_connection(engine: Engine) -> str:
    """Connect once and return the server's version.

    Raises DatabaseUnavailable, naming the address without its password.
    """
    try:
        with engine.connect() as connection:
            return str(connection.exec_driver_sql("SHOW server_version").scalar_one())
    except exc.OperationalError as error:
        address = engine.url.render_as_string(hide_password=True)
        raise DatabaseUnavailable(
            f"No connection to {address}: {str(error.orig).strip()}. Check that Postgres runs and the address is right."
        ) from error
