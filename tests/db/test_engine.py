"""Connections: addresses as people write them, no password in any message, UTC, and which errors are worth a retry."""

import socket
import traceback
from datetime import UTC, datetime
from threading import Barrier

import psycopg
import pytest
from sqlalchemy import exc, text

from db.engine import check_connection, database_url, is_transient, make_engine, public_address
from db.errors import DatabaseError, DatabaseUnavailable, NoChampion
from tests.db.builders import at_once, backend_pid, kill_backend, registered, value

PASSWORD = "c0rrect-h0rse"  # noqa: S105 - opens nothing


@pytest.fixture
def closed_port():
    """A port on this machine on which nobody listens, kept so for the test."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_an_address_for_other_programs_holds_no_password_and_nothing_in_its_place():
    url = database_url(f"postgresql://casting:{PASSWORD}@db.plant:5433/history?sslmode=require")
    assert public_address(url) == "postgresql://casting@db.plant:5433/history?sslmode=require"


def told(error):
    """Everything that a person may get to read of an error."""
    return "".join(traceback.format_exception(error)) + repr(error)


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("postgresql://u:p@h:5433/d", ("u", "p", "h", 5433, "d")),
        ("postgres://u:p@h/d", ("u", "p", "h", None, "d")),
        ("postgresql+psycopg://h/d", (None, None, "h", None, "d")),
        ("postgresql+asyncpg://h/d", (None, None, "h", None, "d")),
        ("postgresql+psycopg2://u@h/d", ("u", None, "h", None, "d")),
        ("postgresql://u:p%40ss%2F@h/d", ("u", "p@ss/", "h", None, "d")),
        ("postgresql://u:p:q/r@h/d", ("u", "p:q/r", "h", None, "d")),
        ("postgresql://[::1]:5432/d", (None, None, "::1", 5432, "d")),
        ("postgresql://u@/d?host=/run/postgresql", ("u", None, None, None, "d")),
        ("postgresql://u@h/d?password=p", ("u", "p", "h", None, "d")),
    ],
)
def test_an_address_is_read_as_people_write_it(address, parts):
    url = database_url(address)
    assert (url.username, url.password, url.host, url.port, url.database) == parts
    assert url.drivername == "postgresql+psycopg"


def test_what_else_an_address_says_is_kept():
    url = database_url("postgres://u@/d?host=/run/postgresql&sslmode=require&password=p")
    assert dict(url.query) == {"host": "/run/postgresql", "sslmode": "require"}


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("", "is not a URL; write it like postgresql://"),
        ("castings", "is not a URL"),
        (f"host=h dbname=d password={PASSWORD}", "is not a URL"),
        (f"postgresql://u:{PASSWORD}/d", "is not a URL"),
        (f"postgresql://h:{PASSWORD}", "is not a URL"),
        (f"mysql://u:{PASSWORD}@h/d", "'mysql' is not supported as a database; give a postgresql:// URL"),
        ("sqlite:///castings.db", "'sqlite' is not supported"),
        (f"postgresql://u:half@{PASSWORD}@h/d", "has an @ in its user or password; write it as %40"),
        (f"postgresql://u:half@h/{PASSWORD}@h/d", "write it as %40"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_being_quoted(address, message):
    with pytest.raises(DatabaseError, match=message) as refused:
        database_url(address)
    assert PASSWORD not in told(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:{password}@127.0.0.1:{port}/d",
        "postgres://u:{password}@127.0.0.1:{port}/d?connect_timeout=3",
        "postgresql://u@127.0.0.1:{port}/d?password={password}",
        "postgresql://u:{password}@no-such-host.invalid/d",
        "postgresql://u:{password}@/d?host=/no/such/folder",
    ],
)
def test_an_unreachable_database_is_named_without_its_password(closed_port, address):
    url = database_url(address.format(password=PASSWORD, port=closed_port))
    engine = make_engine(url)
    with pytest.raises(DatabaseUnavailable, match=r"No connection to postgresql://u@.*/d.*: .*[.?] Check") as refused:
        check_connection(engine)
    assert "Check that Postgres runs and the address is right" in str(refused.value)
    assert PASSWORD not in told(refused.value) + repr(engine)
    assert is_transient(refused.value)
    assert is_transient(refused.value.__cause__)


def test_a_reachable_database_tells_its_version(engine):
    assert check_connection(engine).startswith("18.")


@pytest.mark.parametrize("database_zone", ["UTC", "Asia/Tokyo"])
def test_times_are_in_utc_whatever_the_database_is_set_to(engine, database_zone):
    with engine.begin() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f"ALTER DATABASE {name} SET timezone = '{database_zone}'"))
    engine.dispose()
    moment = value(engine, "SELECT timestamptz '2026-11-23 08:00+01'")
    assert moment.isoformat() == "2026-11-23T07:00:00+00:00"
    assert value(engine, "SELECT timestamptz '2026-11-23 08:00'") == datetime(2026, 11, 23, 8, tzinfo=UTC)
    assert value(engine, "SELECT current_setting('timezone')") == "UTC"


@pytest.mark.parametrize(
    ("query", "setting", "expected"),
    [
        ({}, "application_name", "casting"),
        ({"application_name": "plant-7"}, "application_name", "plant-7"),
        ({"options": "-c search_path=plant"}, "search_path", "plant"),
        ({"options": "-c search_path=plant"}, "timezone", "UTC"),
        ({"options": "-c timezone=Asia/Tokyo"}, "timezone", "UTC"),
    ],
)
def test_what_the_address_says_of_the_connection_goes_first_but_times_stay_utc(postgres_url, query, setting, expected):
    engine = make_engine(postgres_url.update_query_dict(query))
    assert value(engine, "SELECT current_setting(:setting)", setting=setting) == expected
    engine.dispose()


def test_the_server_notices_within_a_minute_and_a_half_that_a_machine_is_gone(engine):
    # On a socket the setting is not in force and reads as 0; what it would be over a network is its reset value.
    asked = "SELECT reset_val::int FROM pg_settings WHERE name = 'tcp_keepalives_' || :part"
    idle, interval, count = (value(engine, asked, part=part) for part in ("idle", "interval", "count"))
    assert 0 < idle + interval * count <= 90


def test_a_killed_backend_is_transient_and_the_next_connection_is_sound(engine):
    with engine.connect() as connection:
        kill_backend(engine, backend_pid(connection))
        with pytest.raises(exc.OperationalError) as lost:
            connection.execute(text("SELECT 1"))
    assert is_transient(lost.value)
    assert value(engine, "SELECT 1") == 1


def test_a_restart_between_two_uses_goes_unnoticed(engine):
    with engine.connect() as connection:
        pid = backend_pid(connection)
    own = make_engine(engine.url)
    kill_backend(own, pid)
    own.dispose()
    with engine.connect() as connection:
        assert backend_pid(connection) != pid


def test_two_writers_that_wait_for_one_another_are_transient(engine):
    registered(engine, "v1")
    registered(engine, "v2")
    both_have_one = Barrier(2)

    def write(first, second):
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
            update = text("UPDATE model SET card = '{}' WHERE version = :version")
            connection.execute(update, {"version": first})
            both_have_one.wait()
            connection.execute(update, {"version": second})

    failed = [error for error in at_once(lambda: write("v1", "v2"), lambda: write("v2", "v1")) if error]
    assert failed
    for error in failed:
        assert isinstance(error.orig, psycopg.errors.DeadlockDetected)
        assert is_transient(error)


@pytest.mark.parametrize(
    ("statement", "transient"),
    [
        ("INSERT INTO model (version, artifact_url, sha256, card) VALUES ('v', '', 'x', '{}')", False),
        ("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$", True),
        ("DO $$ BEGIN RAISE deadlock_detected; END $$", True),
        ("DO $$ BEGIN RAISE too_many_connections; END $$", True),
        ("DO $$ BEGIN RAISE exclusion_violation; END $$", False),
        ("SET LOCAL statement_timeout = '1ms'; SELECT pg_sleep(5)", True),
        ("SELECT 1 / 0", False),
        ("SELECT FROM nothing_of_that_name", False),
        ("SELEC 1", False),
    ],
)
def test_a_statement_is_worth_a_retry_when_the_same_one_may_succeed_later(shared_engine, statement, transient):
    with pytest.raises(exc.DBAPIError) as failed, shared_engine.begin() as connection:
        connection.execute(text(statement))
    assert is_transient(failed.value) is transient


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (DatabaseUnavailable("no connection"), True),
        (DatabaseError("anything"), False),
        (NoChampion("none"), False),
        (ValueError("a defect"), False),
        (ConnectionResetError("of some other connection"), False),
    ],
)
def test_other_errors_are_transient_only_where_they_say_so(error, transient):
    assert is_transient(error) is transient
