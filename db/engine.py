"""Connections to Postgres: one engine a process, times always in UTC."""

from __future__ import annotations

import psycopg
import sqlalchemy
from sqlalchemy import exc
from sqlalchemy.engine import URL, Engine, make_url

from db.errors import DatabaseError, DatabaseUnavailable

# As long as the server does not notice that a machine lost its power or its network, it holds the claims of that
# machine, and nobody else may judge those images: two hours where the system decides.
_SERVER_NOTICES = ("-c tcp_keepalives_idle=30", "-c tcp_keepalives_interval=10", "-c tcp_keepalives_count=6")


def database_url(text: str) -> URL:
    """Parse a Postgres URL as people write it; the driver is always psycopg 3.

    Raises DatabaseError when it is not a URL or names another database system.
    """
    try:
        url = make_url(text)
    except (exc.ArgumentError, ValueError):
        # The parser's own words may quote the password, where it took that for a port.
        raise DatabaseError(
            "The database address is not a URL; write it like postgresql://user:password@host:5432/casting."
        ) from None
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise DatabaseError(f"{url.get_backend_name()!r} is not supported as a database; give a postgresql:// URL.")
    if "@" in f"{url.host}{url.database}":
        # What follows the first @ would be shown as the host.
        raise DatabaseError("The database address has an @ in its user or password; write it as %40.")
    if "password" in url.query:
        # Only there does SQLAlchemy hide it.
        url = url.set(password=url.normalized_query["password"][-1]).difference_update_query(["password"])
    return url.set(drivername="postgresql+psycopg")


def public_address(url: URL) -> str:
    """The URL as psql and BI tools take it, without a password."""
    # Not `url.set`: that takes None for what is to stay, and stars would stand for the password.
    shown = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    return shown.render_as_string()


def make_engine(url: URL, *, application_name: str = "casting", pool_size: int = 10) -> Engine:
    """Make an engine; it connects when it is first used.

    A connection is checked before it is lent, so that a database restart between two runs goes unnoticed. What the
    URL itself says of a connection, such as `?connect_timeout=30`, goes before the settings here; only the time zone
    is always UTC.
    """
    defaults = {
        "application_name": application_name,
        "connect_timeout": 10,
        # A peer that vanished without a word is noticed after a minute and a half, not after two hours.
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 6,
    }
    options = " ".join([*_SERVER_NOTICES, *url.normalized_query.get("options", ()), "-c timezone=UTC"])
    return sqlalchemy.create_engine(
        url,
        pool_pre_ping=True,
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={name: value for name, value in defaults.items() if name not in url.query} | {"options": options},
    )


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed later: the connection broke, the server restarts, two writers collided."""
    return isinstance(error, exc.OperationalError | exc.InterfaceError | DatabaseUnavailable) or (
        isinstance(error, exc.DBAPIError) and error.connection_invalidated
    )


def no_connection(error: exc.DBAPIError) -> bool:
    """Whether there was no connection at all, so that Postgres itself has said nothing with a code of its own."""
    return isinstance(error.orig, psycopg.OperationalError) and error.orig.sqlstate is None


def words_of(error: exc.DBAPIError) -> str:
    """What Postgres or its client said, as one sentence in one line."""
    said = " ".join(str(error.orig).split()).removeprefix("connection failed: ")
    return said if said.endswith((".", "?", "!")) else f"{said}."


def check_connection(engine: Engine) -> str:
    """Connect once and return the server's version.

    Raises DatabaseUnavailable, naming the address without its password.
    """
    try:
        with engine.connect() as connection:
            return str(connection.exec_driver_sql("SHOW server_version").scalar_one())
    except exc.OperationalError as error:
        raise DatabaseUnavailable(
            f"No connection to {public_address(engine.url)}: {words_of(error)} "
            "Check that Postgres runs and the address is right."
        ) from error
