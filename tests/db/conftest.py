"""What most tests of `db` begin with: a champion and its open run."""

import pytest
import sqlalchemy
from sqlalchemy import text

from db.engine import make_engine
from tests.db.builders import opened_run, registered


@pytest.fixture(scope="session")
def postgres_url(postgres_url):
    """The session's server, which need not wait for the disk: no test here pulls the plug of the machine."""
    admin = sqlalchemy.create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with admin.connect() as connection:
        connection.execute(text("ALTER SYSTEM SET fsync = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
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
