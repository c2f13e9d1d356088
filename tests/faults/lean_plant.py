"""A plant for many short schedules of faults: servers that all share, and for each a database and a bucket of its own.

A schedule costs seconds, since nothing is installed, migrated or imported again for it.
"""

import tempfile
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy
from sqlalchemy import text

from casting_core.artifact import read_artifact
from casting_core.baselines import StreamBaseline
from casting_core.card import Thresholds
from casting_core.scoring import load_scorer
from casting_core.types import Window
from db import migrate, models
from db.baselines import write_baselines
from db.engine import make_engine
from tests.faults import commands
from tests.faults.oracle import Expected
from tests.faults.servers import Postgres
from tests.flows.conftest import picture
from tests.prefect_server import PrefectServer
from tests.published import BY_TEST, publish_model
from tests.receiver import Receiver
from tests.s3 import CREDENTIALS, FaultProxy, S3Bucket

LINES = ("line-a", "line-b")
PARTS = 20
# Of the parts of a line that climbs, so many are defective; of another none.
CLIMBED = 16
TEMPLATE = "template_plant"
# Different pictures of each verdict.
KINDS = 6
CHANNEL = "foremen"
MODEL = {"architecture": "squeezenet1_1", "side": 64}
# No process needs as long, however busy the machine is.
PATIENCE_SECONDS = 300


def autocommitting(url):
    return sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)


@dataclass(kw_only=True)
class Servers:
    """What all schedules share."""

    home: Path
    postgres: Postgres
    prefect: PrefectServer
    proxy: FaultProxy
    s3_client: object
    versions: tuple
    pictures: dict

    def admin(self):
        return autocommitting(self.postgres.url)


@contextmanager
def servers(s3_endpoint, s3_client):
    """Postgres with a migrated database to copy, a Prefect server, an S3 API that fails on demand."""
    with ExitStack() as stack:
        # Not below pytest's own folder: Postgres' own user may not look into that.
        home = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="casting-faults-", ignore_cleanup_errors=True))
        )
        postgres = stack.enter_context(Postgres(home).running())
        prefect = PrefectServer(home / "prefect")
        prefect.start()
        stack.callback(prefect.stop)
        proxy = stack.enter_context(FaultProxy(upstream=s3_endpoint))
        shared = Servers(
            home=home,
            postgres=postgres,
            prefect=prefect,
            proxy=proxy,
            s3_client=s3_client,
            versions=(),
            pictures={},
        )
        preloaded = {"PREFECT_LOGGING_LEVEL": "WARNING", "OMP_NUM_THREADS": "1", **prefect.environment}
        # The server and the parent of all commands come up while the database is made.
        stack.enter_context(commands.ready_to_fork(preloaded))
        shared.versions = _template(shared)
        prefect.wait()
        yield shared


def _template(shared):
    """A database with two models that tell the pictures apart, and a baseline that a climb stands out from."""
    with shared.admin().connect() as connection:
        if shared.postgres.disk_can_be_filled:
            place = shared.postgres.disk
            connection.execute(text(f"CREATE TABLESPACE {shared.postgres.tablespace} LOCATION '{place}'"))
        connection.execute(text(f"CREATE DATABASE {TEMPLATE}"))
    engine = make_engine(shared.postgres.url.set(database=TEMPLATE))
    migrate.upgrade(engine)
    versions = _publish(shared, engine)
    now = datetime.now(tz=UTC)
    with engine.begin() as connection:
        models.promote_model(connection, versions[0], **BY_TEST)
        write_baselines(connection, [baseline_of(line, now) for line in ("", *LINES)], set_by="tests", why="for a test")
    engine.dispose()
    return versions


def _publish(shared, engine):
    """Publish two models whose threshold lies in the middle of the pictures, as their network sees them."""
    options = MODEL | {"models_url": (shared.home / "models").as_uri(), "promote": False}
    probe = publish_model(engine, **options)
    scorer = load_scorer(read_artifact(probe.artifact_url, expected_sha256=probe.sha256), device="cpu")
    pictures = [picture(seed) for seed in range(2 * KINDS)]
    seen = sorted(zip(scorer.predict(scorer.prepare_many(pictures)), pictures, strict=True))
    shared.pictures = {
        "ok": [content for _, content in seen[:KINDS]],
        "defective": [content for _, content in seen[KINDS:]],
    }
    threshold = (seen[KINDS - 1][0] + seen[KINDS][0]) / 2
    thresholds = Thresholds(ok_below=threshold, defective_from=threshold)
    return tuple(publish_model(engine, **options, number=number, thresholds=thresholds).version for number in (1, 2))


def baseline_of(stream, now):
    """A line that makes two defective parts of a hundred."""
    return StreamBaseline(
        kind="defect_rate_climb",
        stream=stream,
        rate=0.02,
        low=0.01,
        high=0.04,
        counted=20,
        inspected=1000,
        own_weight=1.0,
        icc=0.0,
        parts_per_hour=PARTS,
        batch=PARTS,
        streams=len(LINES),
        model_id=None,
        reference=Window(since=now - timedelta(days=9), until=now - timedelta(days=8)),
        valid_from_hour=int((now - timedelta(days=8)).timestamp() // 3600),
    )


@dataclass(kw_only=True)
class LeanPlant:
    """A plant of one schedule: its database, its bucket, who hears of its alerts, and its scoring processes."""

    shared: Servers
    name: str
    database_url: object
    bucket: S3Bucket
    receiver: Receiver
    folder: Path
    began: datetime
    processes: list = field(default_factory=list)
    expected: dict = field(default_factory=dict)
    climbing: list = field(default_factory=list)

    @property
    def environment(self):
        return {
            "CASTING_HOME": str(self.folder),
            "CASTING_DATABASE_URL": self.database_url.render_as_string(hide_password=False),
            "CASTING_IMAGES_URL": self.bucket.url,
            "CASTING_S3_ENDPOINT_URL": self.shared.proxy.url,
            "CASTING_S3_REGION": CREDENTIALS["client_kwargs"]["region_name"],
            "CASTING_S3_ACCESS_KEY_ID": CREDENTIALS["key"],
            "CASTING_S3_SECRET_ACCESS_KEY": CREDENTIALS["secret"],
            "CASTING_ALERT_URLS": f"{CHANNEL}:={self.receiver.url}",
            "CASTING_ALERT_RETRY_SECONDS": "0",
            "CASTING_CHUNK_SIZE": "8",
            "CASTING_CHUNKS_IN_FLIGHT": "2",
            "CASTING_CHUNK_RETRIES": "3",
            "CASTING_RETRY_DELAY_SECONDS": "0.1",
            "CASTING_DEVICE": "cpu",
            "AWS_MAX_ATTEMPTS": "1",
        }

    def sql(self, query):
        engine = sqlalchemy.create_engine(
            self.database_url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
        )
        with engine.connect() as connection:
            result = connection.execute(text(query))
            return result.all() if result.returns_rows else []

    def drop_images(self, chance):
        """Put the pictures of an hour of each line into the bucket; one line may climb, and a few cannot be judged."""
        hour = self.began.replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
        self.climbing = chance.choice(([], ["line-b"]))
        for line in LINES:
            defective = chance.sample(range(PARTS), CLIMBED) if line in self.climbing else ()
            for number in range(PARTS):
                verdict = "defective" if number in defective else "ok"
                # Bytes of its own for each part, behind the picture's end.
                content = chance.choice(self.shared.pictures[verdict]) + f"{line} {number}".encode()
                self._put(line, hour, f"P{number:03d}", Expected(content=content, verdict=verdict))
        self._put(LINES[0], hour, "P900", Expected(content=b"no picture", reason="not_an_image"))
        self._put(LINES[0], hour, "P901", Expected(content=self.shared.pictures["ok"][0][:900], reason="truncated"))

    def start(self, *arguments):
        """Start a `casting` process."""
        output = self.folder / f"{len(self.processes):02d}-{arguments[0]}.txt"
        process = commands.start(
            list(arguments), environment=self.environment, output=output, clock=self.folder / "clock"
        )
        self.processes.append(process)
        return process

    def finish(self, *arguments):
        """Run a `casting` process to its end; its exit code, and what it printed."""
        process = self.start(*arguments)
        process.join(PATIENCE_SECONDS)
        output = self.folder / f"{len(self.processes) - 1:02d}-{arguments[0]}.txt"
        return process.exitcode, output.read_text(errors="replace") if output.exists() else ""

    def working(self):
        """The scoring processes that have not ended."""
        return [process for process in self.processes if process.name == "score" and process.is_alive()]

    def wait(self):
        """Let every process come to its end; return those that did not."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        for process in self.processes:
            process.join(max(0.1, deadline - time.monotonic()))
        return [process for process in self.processes if process.is_alive()]

    def set_clock(self, *, hours):
        """Let the clocks of all processes, those that run and those to come, go wrong by some hours."""
        (self.folder / "clock").write_text(str(hours))

    def _put(self, line, hour, part, expected):
        key = f"{line}/{hour:%Y/%m/%d/%H}/{part}.jpg"
        self.bucket.put(key, expected.content)
        self.expected[f"{self.bucket.url}/{key}"] = expected


@contextmanager
def lean_plant(shared):
    """A plant with a champion and an empty bucket, its database copied from the template."""
    name = f"plant-{uuid.uuid4().hex[:12]}"
    with shared.admin().connect() as connection:
        place = f"STRATEGY FILE_COPY TABLESPACE {shared.postgres.tablespace}"
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE {TEMPLATE} {place}'))
    shared.s3_client.create_bucket(Bucket=name)
    folder = shared.home / name
    folder.mkdir()
    with Receiver() as receiver:
        plant = LeanPlant(
            shared=shared,
            name=name,
            database_url=shared.postgres.url.set(database=name),
            bucket=S3Bucket(name=name, client=shared.s3_client, options={}),
            receiver=receiver,
            folder=folder,
            began=datetime.now(tz=UTC),
        )
        plant.set_clock(hours=0)
        try:
            yield plant
        finally:
            for process in plant.processes:
                process.kill()
                process.join()
    with shared.admin().connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
