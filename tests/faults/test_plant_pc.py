"""A plant PC from an empty home, as `casting up` runs it: everything is killed in mid-run, and nothing is lost."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
import pytest

from db import embedded
from db.engine import make_engine
from tests.flows.conftest import environment_without_prefect, picture
from tests.published import publish_model

# Two servers and four Python processes start and start again; that takes a busy machine long.
pytestmark = pytest.mark.timeout(1200)

IMAGES = 120
AUTH = ("plant", "password of a test")
# What a person does in the Prefect UI (a notification block), and `casting deploy` afterwards.
NAME_WHO_IS_TOLD = """
import sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from flows import automations
from flows.settings import load_settings
block = CustomWebhookNotificationBlock(
    name="local", url=sys.argv[1], method="POST", json_data={"subject": "{{subject}}", "body": "{{body}}"}
)
block.save("casting-people")
assert automations.register(load_settings()) == []
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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
        """Ask Prefect; busy, it answers 503, after which its own client asks again as well."""
        deadline = time.monotonic() + 60
        while True:
            url = f"http://127.0.0.1:{self.port}/api{path}"
            answer = httpx.request(method, url, json=body, timeout=60, auth=AUTH)
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
        engine = make_engine(embedded.address(self.home / "postgres"))
        publish_model(engine, (self.home / "models").as_uri(), **options)
        engine.dispose()

    def drop_images(self, count=IMAGES, *, line="cam1"):
        folder = self.home / "bucket" / line / datetime.now(tz=UTC).strftime("%Y/%m/%d/%H")
        folder.mkdir(parents=True, exist_ok=True)
        content = picture(3, side=300)
        for number in range(count):
            (folder / f"P{number:04d}.jpg").write_bytes(content)

    def close(self):
        self.command("down")
        for process in self.ups:
            if process.poll() is None:
                process.kill()
            process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture(scope="module")
def pc():
    # A schedule that does not fire while the test looks; it starts runs itself.
    pc = PlantPC(CASTING_SCORE_CRON="0 0 1 1 *")
    yield pc
    pc.close()


@pytest.fixture(scope="module")
def told():
    """What arrives at a receiver of notifications: pairs of subject and body. Its address is `told.url`."""

    class Told(list):
        url = ""

    told = Told()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.append((message["subject"], message["body"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    told.url = f"http://127.0.0.1:{server.server_port}/"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield told
    server.shutdown()
    server.server_close()


def eventually(condition, *, what, seconds=300):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.2)
    return value


def test_from_an_empty_home_one_command_brings_everything_up(pc):
    said = pc.up()
    for part in ("Database", "Prefect server", "Deployments", "Workers", f"http://127.0.0.1:{pc.port}"):
        assert part in said
    status = pc.command("status", "--json")
    assert status.returncode == 0, status.stdout + status.stderr
    refused = httpx.get(f"http://127.0.0.1:{pc.port}/api/deployments/name/score/hourly", timeout=30)
    assert refused.status_code == 401, "whoever has no password is refused"
    checks = {check["name"]: check for check in json.loads(status.stdout)["checks"]}
    assert set(checks) == {"casting up", "database", "Prefect server", "deployments", "workers"}
    assert "score/hourly" in checks["deployments"]["text"]
    assert "backfill/on-demand" in checks["deployments"]["text"]


def test_a_second_one_says_that_it_is_running_already(pc):
    second = pc.command("up")
    assert second.returncode == 1
    assert f"already running on {pc.home}: see http://127.0.0.1:{pc.port}" in second.stderr


@pytest.mark.slow
def test_people_are_told_when_the_hourly_job_did_not_complete(pc, told):
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", NAME_WHO_IS_TOLD, told.url],
        env=pc.environment
        | {
            "PREFECT_API_URL": f"http://127.0.0.1:{pc.port}/api",
            "PREFECT_API_AUTH_STRING": ":".join(AUTH),
            "PREFECT_HOME": str(pc.home),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    automations = {each["name"]: each for each in pc.api("POST", "/automations/filter", {})}
    assert len(automations) == 4
    missed = automations["casting: the hourly job did not complete"]
    # A run is due once a year here; an hour more is granted.
    assert missed["trigger"]["within"] >= 365 * 24 * 3600 + 3600
    pc.let_pass(missed, seconds=10)
    eventually(lambda: told, what="somebody is told")
    assert told[0][0] == "The hourly casting inspection did not complete"
    assert "casting doctor" in told[0][1]
    pc.let_pass(missed, seconds=365 * 24 * 3600)


def test_everything_is_killed_in_the_middle_of_a_run_and_comes_back_with_nothing_lost(pc):
    pc.publish(architecture="resnet18", side=224)
    pc.drop_images()
    run = pc.run_deployment("score/hourly")
    eventually(lambda: pc.sql("SELECT count(*) FROM verdict")[0][0] >= 8, what="some verdicts stand")
    assert pc.kill_everything() >= 6
    assert pc.command("status").returncode == 1

    said = pc.up()

    # The watch, due every five minutes, may have been in the middle of its run as well.
    crashed = pc.api("POST", "/flow_runs/count", {"flow_runs": {"state": {"type": {"any_": ["CRASHED"]}}}})
    assert "was killed" in said or f"{crashed} runs that had died are marked as crashed" in said
    assert pc.state_of(run)["type"] == "CRASHED"
    ((left,),) = pc.sql("SELECT count(*) FROM verdict")
    assert 8 <= left < IMAGES, "the run was to be caught in the middle"
    second = pc.run_deployment("score/hourly")
    state = eventually(
        lambda: (s := pc.state_of(second)) and s["type"] in ("COMPLETED", "FAILED", "CANCELLED", "CRASHED") and s,
        what="the next run ends",
    )
    assert state["type"] == "COMPLETED", state
    assert pc.sql("SELECT count(*), count(DISTINCT image_id) FROM verdict") == [(IMAGES, IMAGES)]
    assert pc.sql("SELECT state FROM scoring_run ORDER BY started_at") == [("died",), ("completed",)]
    figures = httpx.get(f"http://127.0.0.1:{pc.metrics_port}/metrics").text
    assert 'casting_runs{state="completed"} 1.0' in figures
    assert 'casting_service_up{service="database"} 1.0' in figures


@pytest.mark.slow
def test_the_nightly_backup_made_while_everything_runs_is_restored_into_an_empty_home(pc):
    nightly = pc.run_deployment("maintain/nightly")
    eventually(lambda: pc.state_of(nightly)["type"] == "COMPLETED", what="maintenance completes", seconds=240)
    (backup,) = (pc.home / "backups").iterdir()
    other = PlantPC()
    try:
        restored = other.command("restore", str(backup))
        assert restored.returncode == 0, restored.stderr
        counted = other.command("db", "sql", "SELECT count(*) AS judged FROM verdict", "--json")
        assert json.loads(counted.stdout) == [{"judged": IMAGES}]
        again = other.command("restore", str(backup))
        assert (again.returncode, "never writes over anything" in again.stderr) == (1, True)
    finally:
        other.close()


def test_down_stops_everything_from_elsewhere(pc):
    left = psutil.Process(pc.ups[-1].pid).children(recursive=True)
    assert pc.command("down").returncode == 0
    assert pc.ups[-1].wait(10) == 0
    _, alive = psutil.wait_procs(left, timeout=10)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    assert not embedded.answers(pc.home / "postgres")
    assert pc.command("status").returncode == 1
    again = pc.command("down")
    assert (again.returncode, "Nothing runs" in again.stderr) == (0, True)
