"""Real parts for the tests: one embedded Postgres a session, a fresh migrated database for each test that asks."""

import logging
import os
import shutil
import tempfile
import uuid
from pathlib import Path

import hypothesis
import pytest
import sqlalchemy
from sqlalchemy import text

from tests.s3 import CREDENTIALS, FaultProxy, S3Bucket, client_of

# The same examples every time, so that a red suite means a change; `--hypothesis-profile=default` looks for new ones.
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None)
hypothesis.settings.load_profile("suite")

# Before anything imports Prefect, which reads its settings once.
for name in [name for name in os.environ if name.startswith(("CASTING_", "PREFECT_", "AWS_"))]:
    del os.environ[name]
# Four tests at a time share the cores: threads that spin while they wait would take them from the others.
os.environ["OMP_NUM_THREADS"] = "1"
# Tables and messages of commands are as wide whoever runs the tests.
os.environ["COLUMNS"] = "200"


@pytest.fixture(scope="session")
def postgres_url():
    """The session's Postgres server, with one migrated database to copy from."""
    from db import embedded, migrate
    from db.engine import make_engine

    # Not below pytest's own folder: every session that begins closes that to other users, Postgres' own included.
    folder = Path(tempfile.mkdtemp(prefix="casting-tests-"))
    url = embedded.start(folder / "data")
    with _admin(url).connect() as connection:
        connection.execute(text("CREATE DATABASE template_migrated"))
    template = make_engine(url.set(database="template_migrated"))
    migrate.upgrade(template)
    template.dispose()
    yield url
    embedded.stop(folder / "data")
    shutil.rmtree(folder)


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


@pytest.fixture(scope="session")
def s3_endpoint():
    """The URL of a real S3 API over HTTP on this machine."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request costs more than the request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def s3_client(s3_endpoint):
    """A boto3 client of that API, for setting things up."""
    client = client_of(s3_endpoint)
    yield client
    client.close()


@pytest.fixture
def s3_bucket(s3_endpoint, s3_client):
    """A fresh bucket, with the options by which it is opened."""
    name = f"bucket-{uuid.uuid4().hex}"
    s3_client.create_bucket(Bucket=name)
    return S3Bucket(name=name, client=s3_client, options=CREDENTIALS | {"endpoint_url": s3_endpoint})


@pytest.fixture
def s3_faults(s3_endpoint):
    """A proxy in front of the S3 API that fails on demand."""
    with FaultProxy(upstream=s3_endpoint) as proxy:
        yield proxy
