"""`casting up` on an empty folder: within a minute the hourly job runs.

`make first-start` prints what the time goes to.
"""

import time

import pytest

from tests.faults.plant_pc import PlantPC, eventually

MOST_SECONDS = 60


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_minute_after_the_first_start_the_hourly_job_that_somebody_triggered_runs(capsys):
    # The schedule does not fire meanwhile; a worker asks for work as often as it does at a plant.
    pc = PlantPC(CASTING_SCORE_CRON="0 0 1 1 *", PREFECT_WORKER_QUERY_SECONDS="5")
    try:
        begun = time.monotonic()
        said = pc.up()
        up = time.monotonic() - begun
        run = pc.run_deployment("score/hourly")
        eventually(lambda: pc.state_of(run)["type"] not in ("SCHEDULED", "PENDING"), what="the run begins")
        runs = time.monotonic() - begun
        with capsys.disabled():
            print("", *[line for line in said.splitlines() if line.startswith("ok ")], sep="\n")  # noqa: T201
            print(f"everything is up after {up:.1f} s; the triggered run begins after {runs:.1f} s")  # noqa: T201
        assert runs <= MOST_SECONDS
    finally:
        pc.close()
