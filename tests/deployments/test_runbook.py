"""The runbook as written: each finding that it lists is brought about, and says the words by which it is looked up."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest
from sqlalchemy import text

import db
from casting_core.alert_types import AlertKind
from db import alerts, migrate
from flows.errors import FlowError
from flows.health import CHECKS
from flows.metrics import FIGURES, PlantCollector
from flows.settings import Settings, load_settings
from tests.flows.conftest import plant, prefect_server, scoring_plant  # noqa: F401 - the fixtures

RUNBOOK = (Path(db.__file__).parents[1] / "deployments" / "RUNBOOK.md").read_text(encoding="utf-8")
AWAY = "postgresql://u:hidden@127.0.0.1:1/none"


def rows(title):
    """What the table below a title lists: pairs of line and words."""
    section = RUNBOOK.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", section, flags=re.MULTILINE)


def pattern(words):
    return ".*".join(re.escape(part.strip()) for part in words.split("..."))


@pytest.fixture
def trial(request, plant, monkeypatch, tmp_path):  # noqa: F811 - the fixture
    """A plant to bring something about on."""
    return Trial(request=request, plant=plant, set=monkeypatch.setenv, unset=monkeypatch.delenv, tmp_path=tmp_path)


class Trial:
    """A plant, its settings, and the ways to harm it; each returns nothing."""

    def __init__(self, **parts):
        self.__dict__ |= parts

    def sql(self, statement):
        with self.plant.resources.engine.begin() as connection:
            connection.execute(text(statement))

    def s3(self, fault):
        bucket, faults = (self.request.getfixturevalue(name) for name in ("s3_bucket", "s3_faults"))
        for name, value in {
            "IMAGES_URL": bucket.url,
            "S3_ENDPOINT_URL": faults.url,
            "S3_REGION": "us-east-1",
            "S3_ACCESS_KEY_ID": "testing",
            "S3_SECRET_ACCESS_KEY": "testing",
        }.items():
            self.set(f"CASTING_{name}", value)
        self.set("AWS_MAX_ATTEMPTS", "1")  # no waiting for what stays as it is
        faults.fail(fault)

    def nothing(self):
        """A new plant as it is."""

    def no_embedded_postgres(self):
        self.unset("CASTING_DATABASE_URL")
        (self.plant.home / "postgres").mkdir(parents=True)
        (self.plant.home / "postgres" / "PG_VERSION").write_text("99")

    def artifact(self):
        self.plant.publish()
        (artifact,) = (self.plant.home / "models").iterdir()
        return artifact

    def dask(self, address, database=True):
        if not database:
            self.unset("CASTING_DATABASE_URL")
        self.set("CASTING_TASK_RUNNER", address)

    def idle_scheduler(self):
        from distributed import LocalCluster

        local = LocalCluster(n_workers=0, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=None)
        self.request.addfinalizer(local.close)
        self.dask(local.scheduler_address.replace("tcp://", "dask://"))

    def no_scheduler(self):
        import dask
        import distributed  # noqa: F401 - it brings its own settings, which are to be there before one is changed

        quick = dask.config.set({"distributed.comm.timeouts.connect": "0.3s"})
        quick.__enter__()
        self.request.addfinalizer(lambda: quick.__exit__(None, None, None))
        self.dask("dask://127.0.0.1:9")

    def undelivered(self, given_up=False):
        from flows.outbox import alert_outbox
        from tests.flows.test_deliver import finding

        self.set("CASTING_ALERT_URLS", "chat:=json://127.0.0.1:1/x")
        with self.plant.resources.engine.begin() as connection:
            outbox = alert_outbox(load_settings())
            alerts.open_alert(connection, finding(), at=datetime.now(tz=UTC), who="watch", why="none", outbox=outbox)
            connection.execute(text("UPDATE delivery SET attempts = 3, last_error = 'chat answered 500.'"))
            if given_up:
                connection.execute(text("UPDATE delivery SET next_attempt_at = 'infinity'"))


DOCTOR = {
    ("database", "is at revision ..., this release needs ..."): lambda trial: migrate.downgrade(
        trial.plant.resources.engine, "0001"
    ),
    ("database", "is at revision ..., which this release does not know"): lambda trial: trial.sql(
        "UPDATE alembic_version SET version_num = '9999'"
    ),
    ("database", "No connection to ..."): lambda trial: trial.set("CASTING_DATABASE_URL", AWAY),
    ("database", "The embedded Postgres ... did not start"): Trial.no_embedded_postgres,
    ("bucket", "does not exist"): lambda trial: trial.set("CASTING_IMAGES_URL", "file:///nowhere/at/all"),
    ("bucket", "Storage did not answer"): lambda trial: trial.s3("unavailable"),
    ("bucket", "was refused"): lambda trial: trial.s3("forbidden"),
    ("model", "No model is promoted"): Trial.nothing,
    ("model", "The model artifact lacks ..."): lambda trial: (trial.artifact() / "weights.safetensors").unlink(),
    ("model", "hashes to ..., but ..."): lambda trial: (trial.artifact() / "weights.safetensors").write_bytes(b"cut"),
    ("model", "The registry cannot be read"): lambda trial: trial.sql("DROP TABLE model CASCADE"),
    ("device", "torch finds no card"): lambda trial: trial.set("CASTING_DEVICE", "cuda"),
    ("judges", "No Dask scheduler answers"): Trial.no_scheduler,
    ("judges", "The Dask cluster ... has no worker"): Trial.idle_scheduler,
    ("judges", "asks for certificates"): lambda trial: trial.dask("dask+tls://127.0.0.1:9"),
    ("judges", "the database is the embedded one"): lambda trial: trial.dask("dask://127.0.0.1:9", database=False),
    ("Prefect", "does not answer"): lambda trial: trial.request.getfixturevalue("another_prefect"),
    ("alerts", "messages wait for the channel ..."): Trial.undelivered,
    ("alerts", "messages were given up for the channel ..."): lambda trial: trial.undelivered(given_up=True),
    ("alerts", "The outbox cannot be read"): lambda trial: trial.set("CASTING_DATABASE_URL", AWAY),
}


@pytest.fixture
def another_prefect():
    """Prefect's settings name a server that is away."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        yield


def test_every_finding_of_the_doctor_in_the_runbook_is_tried():
    assert rows("casting doctor") == list(DOCTOR)
    assert {line for line, _ in DOCTOR} == set(CHECKS)


@pytest.mark.parametrize(("line", "words"), DOCTOR, ids=[": ".join(finding) for finding in DOCTOR])
def test_the_doctor_says_what_the_runbook_says(trial, line, words):
    DOCTOR[line, words](trial)
    try:
        found = CHECKS[line](load_settings())
    except FlowError as error:
        pytest.fail(f"a check raises nothing that it expects, but {error}")
    assert not found.well
    assert re.search(pattern(words), found.text), found.text
    assert "hidden" not in found.text


@pytest.fixture
def status(plant, prefect_server, monkeypatch):  # noqa: F811 - the fixtures
    """The checks of `casting status` by line, on a plant whose Prefect server is that of the tests."""
    from prefect.settings import PREFECT_API_URL

    from flows.plant_status import look

    def ask(url=None):
        monkeypatch.setenv("PREFECT_API_URL", url or PREFECT_API_URL.value())
        return {check.name: check for check in look(load_settings()).checks}

    return ask


def test_every_finding_of_the_status_in_the_runbook_is_tried():
    assert rows("casting status") == [
        ("casting up", "not running on ..."),
        ("casting up", "down just now: ..."),
        ("database", "does not answer"),
        ("Prefect server", "does not answer"),
        ("deployments", "none registered"),
        ("deployments", "paused: ..."),
        ("workers", "no worker online for ..."),
    ]


def test_the_status_of_a_plant_where_nothing_runs_says_what_the_runbook_says(status, monkeypatch):
    monkeypatch.delenv("CASTING_DATABASE_URL")
    found = status("http://127.0.0.1:1/api")
    assert not any(check.well for check in found.values())
    assert "not running on " in found["casting up"].text
    assert "does not answer" in found["database"].text
    assert "does not answer" in found["Prefect server"].text


def test_the_status_names_what_is_down_what_is_missing_and_what_is_paused(status, plant):  # noqa: F811 - the fixture
    from prefect.client.orchestration import get_client

    from flows.running import ProcessMark, Running, ServiceMark
    from flows.score import score

    mark = ProcessMark.mine()
    ill = ServiceMark(name="worker casting-gpu", runs=False, restarts=3, process=None)
    Running(supervisor=mark, phase="up", since=datetime.now(tz=UTC), api_url="x", ui_url="x", services=(ill,)).write(
        plant.home
    )
    found = status()
    assert not found["casting up"].well
    assert found["casting up"].text.endswith("down just now: worker casting-gpu")
    assert not found["workers"].well
    assert "no worker online for casting-cpu, casting-gpu" in found["workers"].text
    assert (found["deployments"].well, found["deployments"].text) == (False, "none registered")
    with get_client(sync_client=True) as client:
        hourly = client.create_deployment(client.create_flow(score), name="hourly", paused=True)
        try:
            paused = status()["deployments"]
            client.resume_deployment(hourly)
            resumed = status()["deployments"]
        finally:
            client.delete_deployment(hourly)
    assert (paused.well, paused.text) == (False, "score/hourly; paused: score/hourly")
    assert (resumed.well, resumed.text) == (True, "score/hourly")


def test_every_kind_of_alert_has_its_row():
    table = RUNBOOK.split("| kind | cause |", 1)[1].split("\n\n", 1)[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == set(get_args(AlertKind))


def test_each_query_of_the_runbook_can_be_asked(engine):
    queries = re.findall(r'casting db sql "([^"]+)"', RUNBOOK)
    assert len(queries) == 3
    with engine.connect() as connection:
        for query in queries:
            connection.execute(text(query))


def test_the_figures_of_the_runbook_are_those_that_are_served():
    collector = PlantCollector(connect=list, cards=list)
    families = [*collector._services(), *collector._cards()]
    served = {f"{figure.name}_total" if figure.counter else figure.name for figure in FIGURES.values()}
    served |= {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    served.add("casting_database_up")
    table = RUNBOOK.split("| figure | means |", 1)[1].split("\n\n", 1)[0]
    assert set(re.findall(r"`(casting_\w+)", table)) == served


def test_the_logs_that_the_runbook_names_are_those_of_the_services(tmp_path):
    from flows.plant_pc import POOLS, PlantPC

    pc = PlantPC(settings=Settings(home=tmp_path))
    logs = {pc.log("Prefect server").name, *(pc.log(f"worker {pool}").name for pool in POOLS)}
    assert set(re.findall(r"logs/([\w.-]+\.log)", RUNBOOK)) <= logs
