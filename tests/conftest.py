"""Real parts for the tests: one embedded Postgres a session, a fresh migrated database for each test that asks."""

import os
import uuid
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import text

# Before anything imports Prefect, which reads its settings once.
for name in [name for name in os.environ if name.startswith(("CASTING_", "PREFECT_", "AWS_"))]:
    del os.environ[name]


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory):
    """The session's Postgres server, with one migrated database to copy from."""
    from db import embedded, migrate
    from db.engine import make_engine

    url = embedded.start(tmp_path_factory.mktemp("postgres") / "data")
    with _admin(url).connect() as connection:
        connection.execute(text("CREATE DATABASE template_migrated"))
    template = make_engine(url.set(database="template_migrated"))
    migrate.upgrade(template)
    template.dispose()
    return url


@pytest.fixture
def empty_database_url(postgres_url):
    """The URL of a database without any schema."""
    yield from _database(postgres_url, template="template1")


@pytest.fixture
def migrated_database_url(postgres_url):
    """The URL of a database at this release's schema."""
    yield from _database(postgres_url, template="template_migrated")


@pytest.fixture
def engine(migrated_database_url):
    """An engine on a migrated database."""
    from db.engine import make_engine

    engine = make_engine(migrated_database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def shared_folder():
    """The folder with real casting images, or a skip."""
    folder = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[2] / "shared"))
    if not (folder / "data" / "casting").is_dir():
        pytest.skip(f"no real casting images at {folder}")
    return folder


def _database(server, *, template):
    name = f"test_{uuid.uuid4().hex}"
    admin = _admin(server)
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield server.set(database=name)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def _admin(server):
    return sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
