"""Many machines: a Dask scheduler and two workers, processes that share database and bucket and nothing else.

`make faults` runs them; a run on workers of one process is in tests/flows/test_runners.py.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from tests.certificates import as_configuration, make_certificates
from tests.faults.conftest import Scoring
from tests.faults.test_scoring_faults import UNTIL, one_verdict_each
from tests.flows.conftest import picture
from tests.flows.test_score import assert_counts_add_up
from tests.published import publish_model

pytestmark = pytest.mark.slow

IMAGES = 120


@pytest.fixture
def bucket_plant(plant, s3_bucket, s3_faults, monkeypatch):
    """A plant whose images and model lie behind an S3 API, where every read of one can be counted."""
    for name, value in {
        "CASTING_IMAGES_URL": f"{s3_bucket.url}/images",
        "CASTING_S3_ENDPOINT_URL": s3_faults.url,
        "CASTING_S3_REGION": "us-east-1",
        "CASTING_S3_ACCESS_KEY_ID": "testing",
        "CASTING_S3_SECRET_ACCESS_KEY": "testing",
    }.items():
        monkeypatch.setenv(name, value)
    content = picture(3, side=300)
    for number in range(IMAGES):
        s3_bucket.put(f"images/cam1/2026/11/23/07/P{number:04d}.jpg", content)
    models = f"{s3_bucket.url}/models"
    publish_model(plant.resources.engine, models, architecture="resnet18", side=224, options=s3_bucket.options)
    return plant


@pytest.fixture
def cluster(request, bucket_plant, prefect_api, tmp_path, monkeypatch):
    """Two workers of a scheduler, which the plant's runs are given to; the processes by name.

    With the parameter tls nobody talks to them without a certificate.
    """
    encrypted = getattr(request, "param", "tcp") == "tls"
    if encrypted:
        for name, value in make_certificates(tmp_path / "certificates").items():
            monkeypatch.setenv(name, value)
    # On a busy machine a process may not have its turn for longer than Dask would wait.
    for name in ("CONNECT", "TCP"):
        monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TIMEOUTS__{name}", "120s")
    with ExitStack() as ending:
        processes = {}
        file = tmp_path / "scheduler.json"
        protocol = ("--protocol", "tls") if encrypted else ()

        def start(name, *command):
            processes[name] = subprocess.Popen(  # noqa: S603 - Dask's own command
                [sys.executable, "-m", "dask", *command, *protocol, "--scheduler-file", str(file), "--no-dashboard"],
                # The workers share two cores with everything else here.
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            ending.callback(processes[name].wait)
            ending.callback(processes[name].kill)

        start("scheduler", "scheduler", "--host", "127.0.0.1", "--port", "0")
        for name in ("one", "two"):
            # Two threads ask for the model at the same time, and it is to be read once all the same.
            start(name, "worker", "--no-nanny", "--name", name, "--nthreads", "2", "--local-directory", str(tmp_path))
        deadline = time.monotonic() + 120
        while not file.exists() or not file.stat().st_size:
            assert time.monotonic() < deadline, "the scheduler did not come up"
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        runner = address.replace("tcp://", "dask://").replace("tls://", "dask+tls://")
        monkeypatch.setenv("CASTING_TASK_RUNNER", runner)
        yield processes


@pytest.fixture
def scoring(plant):
    """Runs of that plant, each a process of its own."""
    scoring = Scoring(plant=plant)
    yield scoring
    for process in scoring.started:
        process.kill()
        process.communicate()


def models_held():
    """How many models each worker holds, by worker's name: none before it has judged something."""
    import dask
    from distributed import Client

    from flows.settings import load_settings

    certificates = {name: value for name, value in os.environ.items() if name.startswith("DASK_") and "TLS" in name}
    with (
        dask.config.set(as_configuration(certificates)),
        Client(load_settings().dask_address, set_as_default=False) as client,
    ):
        names = {address: each["name"] for address, each in client.scheduler_info()["workers"].items()}
        return {names[address]: held for address, held in client.run(_models_held).items()}


def _models_held():
    from flows import resources

    return sum(len(each._scorers) for each in resources._opened.values())


def reads(s3_faults, name):
    return sum(method == "GET" and name in path for method, path in list(s3_faults.requests))


def test_a_worker_killed_in_mid_run_loses_nothing_and_nothing_is_scored_twice(cluster, scoring, s3_faults):
    run = scoring.start("--until", UNTIL)
    deadline = time.monotonic() + 200
    # The run's own process has looked at the model before it gave work to anyone.
    while (loads := reads(s3_faults, "weights.safetensors")) < 3:
        assert time.monotonic() < deadline, f"the model was read by {loads} of 3 processes"
        assert run.poll() is None, run.communicate()[1]
        time.sleep(0.02)
    before = scoring.wait_for_verdicts(8)
    cluster["one"].send_signal(signal.SIGKILL)
    ((left,),) = scoring.plant.sql("SELECT count(*) FROM verdict")
    assert before <= left < IMAGES, "the worker was to be caught in the middle"

    output, errors = run.communicate(timeout=180)

    assert run.returncode == 0, errors
    summary = json.loads(output.splitlines()[-1])
    # Where Dask gave the dead worker's chunk to the other one before Postgres had noticed the death, it is backlog.
    if summary["backlog"]:
        code, _, errors = scoring.finish("--until", UNTIL)
        assert code == 0, errors
    assert reads(s3_faults, "weights.safetensors") == 3 + (summary["backlog"] > 0)
    one_verdict_each(scoring.plant, IMAGES)
    assert assert_counts_add_up(scoring.plant) == (IMAGES, IMAGES, 0, 0)


@pytest.mark.parametrize("cluster", ["tcp", "tls"], indirect=True)
def test_two_workers_share_a_run_and_read_each_image_once_and_the_model_once(cluster, scoring, s3_faults):
    code, output, errors = scoring.finish("--until", UNTIL)
    assert code == 0, errors
    summary = json.loads(output.splitlines()[-1])
    assert (summary["scored"], summary["backlog"]) == (IMAGES, 0)
    one_verdict_each(scoring.plant, IMAGES)
    assert reads(s3_faults, ".jpg") == IMAGES
    assert models_held() == {"one": 1, "two": 1}
    assert reads(s3_faults, "weights.safetensors") == 3
