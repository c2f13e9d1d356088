"""What most tests of `db` begin with: a champion and its open run."""

import uuid

import pytest
import sqlalchemy
from sqlalchemy import text

from db.engine import make_engine
from tests.db.builders import opened_run, registered


@pytest.fixture(scope="session")
def postgres_url(postgres_url):
    """The session's server, which need not wait for the disk: no test here pulls the plug of the machine."""
    execute(postgres_url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    return postgres_url


@pytest.fixture
def champion(engine):
    """The registered model that judges."""
    return registered(engine, "champion-1", promote=True)


@pytest.fixture
def run(engine, champion):
    """An open run of the champion over the tests' window."""
    return opened_run(engine, champion)


@pytest.fixture
def empty_engine(empty_database_url):
    """An engine on a database without any schema."""
    engine = make_engine(empty_database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def shared_engine(postgres_url):
    """An engine on one migrated database for those tests of a file that leave nothing behind."""
    name = f"shared_{uuid.uuid4().hex}"
    execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE template_migrated")
    engine = make_engine(postgres_url.set(database=name))
    yield engine
    engine.dispose()


def execute(server, *statements):
    admin = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with admin.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
