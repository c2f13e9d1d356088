"""Real scoring processes on a plant of their own, to be killed."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field

import pytest

from tests.flows.conftest import Plant, plant  # noqa: F401 - the fixture
from tests.prefect_server import PrefectServer


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Starts `casting score` as a process that shares nothing with the test but database and bucket."""

    plant: Plant
    started: list[subprocess.Popen] = field(default_factory=list)

    def start(self, *arguments, **environment):
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "flows", "score", "--json", *arguments],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def finish(self, *arguments, **environment):
        process = self.start(*arguments, **environment)
        output, errors = process.communicate(timeout=180)
        return process.returncode, output, errors

    def wait_for_verdicts(self, least, *, seconds=120):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ((count,),) = self.plant.sql("SELECT count(*) FROM verdict")
            if count >= least:
                return count
            for process in self.started:
                if process.poll() not in (None, 0, -9):
                    raise AssertionError(process.communicate()[1])
            time.sleep(0.05)
        raise AssertionError(f"no {least} verdicts after {seconds} s")


@pytest.fixture
def scoring(plant, prefect_api):  # noqa: F811 - the fixture
    """A plant whose champion is slow enough to be caught in the middle of a chunk."""
    plant.publish(architecture="resnet18", side=224)
    scoring = Scoring(plant=plant)
    yield scoring
    for process in scoring.started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory):
    """A Prefect server of its own for the processes, since each would start one otherwise."""
    with (
        PrefectServer(tmp_path_factory.mktemp("prefect-server")).running() as server,
        pytest.MonkeyPatch.context() as environment,
    ):
        for name in ("PREFECT_API_URL", "PREFECT_HOME"):
            environment.setenv(name, server.environment[name])
        yield server.url
