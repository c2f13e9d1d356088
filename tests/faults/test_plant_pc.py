"""A plant PC from an empty home, as `casting up` runs it: everything is killed in mid-run, and nothing is lost."""

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import psutil
import pytest

from casting_core.alert_types import Finding
from db import embedded, migrate
from db.engine import make_engine
from tests.faults.plant_pc import AUTH, IMAGES, PlantPC, eventually

# Two servers and four Python processes start and start again; that takes a busy machine long.
pytestmark = pytest.mark.timeout(1200)

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


@pytest.fixture(scope="module")
def pc():
    # A schedule that does not fire while the test looks; it starts runs itself.
    pc = PlantPC(CASTING_SCORE_CRON="0 0 1 1 *")
    yield pc
    pc.close()


@pytest.fixture(scope="module")
def told(pc):
    """What arrives at a receiver of notifications, which the automations tell: pairs of subject and body."""
    told = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.append((message["subject"], message["body"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", NAME_WHO_IS_TOLD, f"http://127.0.0.1:{server.server_port}/"],
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
    yield told
    server.shutdown()
    server.server_close()


def the_news(told, subject):
    """Wait for a notification of that subject, and return its body."""
    return eventually(lambda: next((body for about, body in told if about == subject), None), what=subject)


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
    automations = {each["name"]: each for each in pc.api("POST", "/automations/filter", {})}
    assert len(automations) == 4
    missed = automations["casting: the hourly job did not complete"]
    # A run is due once a year here; an hour more is granted.
    assert missed["trigger"]["within"] >= 365 * 24 * 3600 + 3600
    pc.let_pass(missed, seconds=10)
    assert "casting doctor" in the_news(told, "The hourly casting inspection did not complete")
    pc.let_pass(missed, seconds=365 * 24 * 3600)


def test_everything_is_killed_in_the_middle_of_a_run_and_comes_back_with_nothing_lost(pc):
    pc.publish(architecture="resnet18", side=224)
    pc.drop_images()
    pc.drop_images(1, line="cam0", content=b"no picture")
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
    state = pc.ends(second)
    assert state["type"] == "COMPLETED", state
    assert pc.sql("SELECT count(*), count(DISTINCT image_id) FROM verdict") == [(IMAGES, IMAGES)]
    assert pc.sql("SELECT state FROM scoring_run ORDER BY started_at") == [("died",), ("completed",)]
    (refused,) = pc.sql("SELECT image_id, reason FROM quarantine")
    (told,) = [line for line in logged(pc) if line.get("reason")]
    assert (told["image_id"], told["reason"]) == refused
    assert (told["line"], told["levelname"]) == ("cam0", "WARNING")
    assert {"run_id", "flow_run_id", "task_run_id"} <= set(told)
    figures = httpx.get(f"http://127.0.0.1:{pc.metrics_port}/metrics").text
    assert 'casting_runs{state="completed"} 1.0' in figures
    assert 'casting_service_up{service="database"} 1.0' in figures


@pytest.mark.slow
def test_people_are_told_of_a_scoring_process_that_was_killed(pc, told):
    pc.drop_images(line="cam2")
    run = begin_judging(pc, line="cam2")
    pc.process_of(run).kill()
    body = the_news(told, "Casting inspection: score/hourly Crashed")
    assert f"Run {run['name']}: Process exited with status code: -9" in body
    assert f"http://127.0.0.1:{pc.port}/runs/flow-run/{run['id']}" in body


@pytest.mark.slow
def test_people_are_told_of_a_run_that_died_with_its_worker_and_nobody_was_left_to_say_so(pc, told):
    told.clear()
    automations = {each["name"]: each for each in pc.api("POST", "/automations/filter", {})}
    unheard = automations["casting: a run died without a word"]
    # Heartbeats come every 30 s; a plant waits for three minutes, and a test need not.
    pc.let_pass(unheard, seconds=60)
    run = begin_judging(pc, line="cam2")
    process = pc.process_of(run)
    # Past its first heartbeat: until then the server has heard nothing that could stop.
    eventually(lambda: heartbeats(pc, run), what="the run's first heartbeat")
    worker = process.parent()
    worker.kill()
    process.kill()
    body = the_news(told, "Casting inspection: score/hourly Crashed")
    assert f"Run {run['name']}: It gave no sign of life for three minutes." in body
    assert pc.state_of(run)["type"] == "CRASHED"
    again = pc.run_deployment("score/hourly")
    assert pc.ends(again)["type"] == "COMPLETED", "what held its place is gone"
    assert pc.sql("SELECT count(*), count(DISTINCT image_id) FROM verdict") == [(2 * IMAGES, 2 * IMAGES)]


@pytest.mark.slow
def test_people_are_told_of_an_alert(pc, told):
    pc.open_alert(Finding(kind="no_images", severity="warning", stream="cam9", line="cam9", signal="s1"))
    assert pc.command("alerts", "deliver").returncode == 0
    assert "cam9" in the_news(told, "cam9: no pictures arrive")


@pytest.mark.slow
def test_pictures_that_came_days_late_are_found_by_the_nightly_upkeep_and_judged(pc):
    late = timedelta(days=5)
    pc.drop_images(3, line="cam3", ago=late)
    hourly = pc.run_deployment("score/hourly")
    assert pc.ends(hourly)["type"] == "COMPLETED"
    assert pc.sql("SELECT count(*) FROM image WHERE line = 'cam3'") == [(0,)], "beyond the look-back"
    assert pc.ends(pc.run_deployment("maintain/nightly"))["type"] == "COMPLETED"
    counted = "SELECT count(*) FROM verdict JOIN image USING (image_id, captured_at) WHERE line = 'cam3'"
    eventually(lambda: pc.sql(counted) == [(3,)], what="the backfill judges them")


@pytest.mark.slow
def test_the_nightly_backup_made_while_everything_runs_is_restored_into_an_empty_home(pc):
    watch = pc.api("GET", "/deployments/name/watch/every-5-min")
    pc.api("PATCH", f"/deployments/{watch['id']}", {"paused": True})
    eventually(lambda: not pc.busy_runs(), what="nothing runs that could write meanwhile")
    nightly = pc.run_deployment("maintain/nightly")
    assert pc.ends(nightly)["type"] == "COMPLETED"
    backup = max((pc.home / "backups").iterdir())
    other = PlantPC()
    try:
        restored = other.command("restore", str(backup))
        assert restored.returncode == 0, restored.stderr
        assert other.command("db", "check").returncode == 0
        contents = pc.contents()
        assert len(contents["verdict"]) >= IMAGES
        embedded.start(other.home / "postgres")
        assert other.contents() == contents
        embedded.stop(other.home / "postgres")
        again = other.command("restore", str(backup))
        assert (again.returncode, "never writes over anything" in again.stderr) == (1, True)
    finally:
        other.close()


def begin_judging(pc, *, line):
    """Trigger the hourly job; return it once it judges images of a line."""
    counted = f"SELECT count(*) FROM verdict JOIN image USING (image_id, captured_at) WHERE line = '{line}'"  # noqa: S608
    ((before,),) = pc.sql(counted)
    run = pc.run_deployment("score/hourly")
    eventually(lambda: pc.sql(counted)[0][0] > before, what="some verdicts stand")
    return run


def logged(pc):
    """What the runs have written to their worker's log, as CASTING_LOG_FORMAT=json has it."""
    lines = pc.log("worker-casting-gpu").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def heartbeats(pc, run):
    """How often the server has heard of a run since it began."""
    wanted = {
        "filter": {
            "event": {"name": ["prefect.flow-run.heartbeat"]},
            "occurred": {"since": (datetime.now(tz=UTC) - timedelta(hours=1)).isoformat()},
            "resource": {"id": [f"prefect.flow-run.{run['id']}"]},
        }
    }
    return len(pc.api("POST", "/events/filter", wanted)["events"])


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


@pytest.mark.slow
def test_a_home_of_an_older_release_is_backed_up_and_brought_to_this_one(pc):
    engine = make_engine(embedded.start(pc.home / "postgres"))
    migrate.downgrade(engine, "-1")
    engine.dispose()
    embedded.stop(pc.home / "postgres")
    pc.up()
    assert pc.command("status").returncode == 0
    made = [path.name for path in (pc.home / "backups").iterdir() if f"before-{migrate.head_revision()}" in path.name]
    assert len(made) == 1
    assert pc.sql("SELECT count(*) FROM verdict")[0][0] >= IMAGES
