"""A plant for tests of flows: a real database, a bucket on disk, a small champion, a real Prefect server."""

import io
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from casting_core.synthetic import make_casting, render
from flows.resources import close_resources, open_resources
from flows.settings import load_settings
from tests.published import publish_model

NOW = datetime(2026, 11, 23, 8, 20, tzinfo=UTC)


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory):
    """One ephemeral Prefect server for all tests of flows."""
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    os.environ["PREFECT_LOGGING_LEVEL"] = "WARNING"
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


def picture(seed=0, *, side=96, defective=False, form="JPEG"):
    """A rendered casting as a file."""
    target = io.BytesIO()
    Image.fromarray(render(make_casting(seed, defective=defective), size=side)).save(target, format=form)
    return target.getvalue()


@dataclass(frozen=True, kw_only=True)
class Plant:
    """What a test of a flow works with."""

    home: Path
    database_url: str

    @property
    def resources(self):
        return open_resources(load_settings())

    @property
    def bucket(self):
        return self.home / "bucket"

    def put(self, key, content=None, *, moment=NOW):
        path = self.bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(len(key)) if content is None else content)
        stamp = moment.timestamp() - 3600
        os.utime(path, (stamp, stamp))
        return path

    def put_many(self, count, *, line="cam1", hour=7, content=None):
        content = content or picture(1)
        for number in range(count):
            self.put(f"{line}/2026/11/23/{hour:02d}/P{number:04d}.jpg", content)

    def sql(self, query, **parameters):
        from sqlalchemy import text

        with self.resources.engine.connect() as connection:
            return connection.execute(text(query), parameters).all()

    def publish(self, *, seed=0, architecture="squeezenet1_1", side=64, promote=True):
        """Publish, register and promote a small model; return its registered row."""
        return publish_model(
            self.resources.engine,
            (self.home / "models").as_uri(),
            architecture=architecture,
            side=side,
            seed=seed,
            promote=promote,
        )


@pytest.fixture
def plant(tmp_path, migrated_database_url, monkeypatch):
    """A plant with an empty bucket and no model."""
    url = migrated_database_url.render_as_string(hide_password=False)
    home = tmp_path / "home"
    (home / "bucket").mkdir(parents=True)
    for name, value in {
        "CASTING_HOME": str(home),
        "CASTING_DATABASE_URL": url,
        "CASTING_IMAGES_URL": (home / "bucket").as_uri(),
        "CASTING_CHUNK_SIZE": "8",
        "CASTING_RETRY_DELAY_SECONDS": "0.05",
        "CASTING_CHUNK_RETRIES": "3",
        "CASTING_DEVICE": "cpu",
    }.items():
        monkeypatch.setenv(name, value)
    yield Plant(home=home, database_url=url)
    close_resources()


@pytest.fixture
def scoring_plant(plant, prefect_server):
    """A plant with a champion, ready to score."""
    plant.publish()
    return plant
