"""A plant PC in a home of its own, with the commands that a person types on it."""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil

from db import alerts, embedded
from db.baselines import write_baselines
from db.engine import make_engine
from flows.outbox import alert_outbox
from flows.settings import Settings
from tests.flows.conftest import picture
from tests.prefect_server import environment_without_prefect, free_port
from tests.published import publish_model

IMAGES = 120
AUTH = ("plant", "password of a test")


class PlantPC:
    """A home of its own, and the commands that a person types on it."""

    def __init__(self, **environment):
        # Not below pytest's own folder: Postgres' own user may not look into that.
        self.home = Path(tempfile.mkdtemp(prefix="casting-pc-"))
        self.port, self.metrics_port = free_port(), free_port()
        self.environment = environment_without_prefect() | {
            "CASTING_HOME": str(self.home),
            "CASTING_PREFECT_PORT": str(self.port),
            "CASTING_METRICS_PORT": str(self.metrics_port),
            "CASTING_PREFECT_AUTH": ":".join(AUTH),
            "CASTING_LOG_FORMAT": "json",
            "CASTING_SETTLE_SECONDS": "0",
            "CASTING_CHUNK_SIZE": "4",
            "CASTING_CHUNKS_IN_FLIGHT": "1",
            "CASTING_DEVICE": "cpu",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "COLUMNS": "160",
            **environment,
        }
        self.ups = []

    def command(self, *arguments, timeout=240):
        return subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "flows", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def up(self, *, seconds=600):
        """Start `casting up` and return once it says that everything is up, with what it said."""
        output = self.home / f"up-{len(self.ups)}.txt"
        with output.open("w") as file:
            command = [sys.executable, "-m", "flows", "up"]
            process = subprocess.Popen(command, env=self.environment, stdout=file, stderr=file)  # noqa: S603
        self.ups.append(process)
        deadline = time.monotonic() + seconds
        while "Everything is up" not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.1)
        return output.read_text()

    def kill_everything(self):
        """Kill the supervisor, all that it has started, and Postgres; return how many processes that were."""
        supervisor = psutil.Process(self.ups[-1].pid)
        victims = [supervisor, *supervisor.children(recursive=True)]
        postmaster = psutil.Process(int((self.home / "postgres" / "postmaster.pid").read_text().split()[0]))
        victims += [postmaster, *postmaster.children()]
        for victim in victims:
            # A session of Postgres may have ended since it was listed.
            with suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGKILL)
        psutil.wait_procs(victims, timeout=10)
        return len(victims)

    def api(self, method, path, body=None):
        """Ask Prefect. Busy, it answers 503 or not in time, after which its own client asks again as well."""
        deadline = time.monotonic() + 300
        while True:
            try:
                url = f"http://127.0.0.1:{self.port}/api{path}"
                answer = httpx.request(method, url, json=body, timeout=60, auth=AUTH)
            except httpx.ReadTimeout:
                if method != "GET" or time.monotonic() > deadline:
                    raise
                continue
            if answer.status_code != 503 or time.monotonic() > deadline:
                break
            time.sleep(1)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def run_deployment(self, name, parameters=None):
        deployment = self.api("GET", f"/deployments/name/{name}")
        return self.api("POST", f"/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters or {}})

    def let_pass(self, automation, *, seconds):
        """Change how long an automation waits."""
        fields = ("name", "description", "enabled", "trigger", "actions")
        changed = {name: automation[name] for name in fields} | {"trigger": automation["trigger"] | {"within": seconds}}
        self.api("PUT", f"/automations/{automation['id']}", changed)

    def process_of(self, run):
        """The process that a run runs in, once a worker has started it."""

        def found():
            said = self.api("GET", f"/flow_runs/{run['id']}")["infrastructure_pid"]
            return said and psutil.Process(int(said.rpartition(":")[2]))

        return eventually(found, what="a worker starts the run")

    def open_alert(self, found):
        """Open an alert as the watch does; it is delivered by whatever delivers next."""
        settings = Settings(home=self.home)
        engine = make_engine(embedded.address(self.home / "postgres"))
        with engine.begin() as connection:
            alerts.open_alert(
                connection,
                found,
                at=datetime.now(tz=UTC),
                who="watch",
                why="nothing for 2 hours",
                outbox=alert_outbox(settings),
            )
        engine.dispose()

    def ends(self, run, *, seconds=300):
        """The state that a run ends in."""
        ended = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")
        return eventually(
            lambda: (state := self.state_of(run))["type"] in ended and state, what="the run ends", seconds=seconds
        )

    def log(self, name):
        return (self.home / "logs" / f"{name}.log").read_text(encoding="utf-8")

    def busy_runs(self):
        """How many runs Prefect believes to be under way."""
        busy = {"state": {"type": {"any_": ["PENDING", "RUNNING"]}}}
        return self.api("POST", "/flow_runs/count", {"flow_runs": busy})

    def contents(self):
        """Every row of every table of ours, as text."""
        tables = self.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {table: self.sql(f"SELECT t::text FROM {table} t ORDER BY 1") for (table,) in tables}  # noqa: S608

    def state_of(self, run):
        return self.api("GET", f"/flow_runs/{run['id']}")["state"]

    def sql(self, query):
        engine = make_engine(embedded.address(self.home / "postgres"))
        try:
            with engine.connect() as connection:
                return connection.exec_driver_sql(query).all()
        finally:
            engine.dispose()

    def publish(self, **options):
        """Publish a small model, make it the champion, and return its version."""
        engine = make_engine(embedded.address(self.home / "postgres"))
        model = publish_model(engine, (self.home / "models").as_uri(), **options)
        engine.dispose()
        return model.version

    def write_baselines(self, baselines):
        """Say what is usual."""
        engine = make_engine(embedded.address(self.home / "postgres"))
        with engine.begin() as connection:
            write_baselines(connection, baselines, set_by="tests", why="for a test")
        engine.dispose()

    def drop_images(self, count=IMAGES, *, line="cam1", ago=timedelta(0), content=None):
        """Put pictures of this hour, or of one so long ago, into the bucket; return their content by URI."""
        folder = self.home / "bucket" / line / (datetime.now(tz=UTC) - ago).strftime("%Y/%m/%d/%H")
        folder.mkdir(parents=True, exist_ok=True)
        content = content or picture(3, side=300)
        paths = [folder / f"P{number:04d}.jpg" for number in range(count)]
        for path in paths:
            path.write_bytes(content)
        return {path.as_uri(): content for path in paths}

    def close(self):
        self.command("down")
        for process in self.ups:
            if process.poll() is None:
                process.kill()
            process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


def eventually(condition, *, what, seconds=300):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.2)
    return value
