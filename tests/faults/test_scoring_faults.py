"""The hourly job is killed, doubled and cut off; whatever happens, each image is judged once and the counts add up."""

import json
import signal
import threading
import time

import pytest
from sqlalchemy import text

from tests.flows.conftest import NOW, picture
from tests.flows.test_score import assert_counts_add_up

UNTIL = NOW.strftime("%Y-%m-%dT%H:%M:%S")
IMAGES = 150


def fill(plant, count=IMAGES):
    content = picture(3, side=300)
    plant.put_many(count, content=content)


def one_verdict_each(plant, count):
    assert plant.sql("SELECT count(*), count(DISTINCT image_id) FROM verdict") == [(count, count)]


def test_killed_in_the_middle_of_a_chunk_the_next_run_finishes_the_rest(scoring):
    fill(scoring.plant)
    victim = scoring.start("--until", UNTIL)
    before = scoring.wait_for_verdicts(8)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    # Its connections may still be closing; what it had claimed is free again as soon as they have.
    ((left,),) = scoring.plant.sql("SELECT count(*) FROM verdict")
    assert before <= left < IMAGES, "the process was to be caught in the middle"

    code, output, errors = scoring.finish("--until", UNTIL)

    assert code == 0, errors
    summary = json.loads(output.splitlines()[-1])
    assert summary["scored"] == IMAGES - left
    assert summary["backlog"] == 0
    one_verdict_each(scoring.plant, IMAGES)
    assert assert_counts_add_up(scoring.plant) == (IMAGES, IMAGES, 0, 0)
    states = scoring.plant.sql("SELECT state FROM scoring_run ORDER BY started_at")
    assert states == [("died",), ("completed",)]


def test_two_runs_at_once_share_one_backlog_and_score_no_image_twice(scoring):
    fill(scoring.plant)
    first, second = scoring.start("--until", UNTIL), scoring.start("--until", UNTIL)
    summaries = [json.loads(process.communicate(timeout=180)[0].splitlines()[-1]) for process in (first, second)]
    assert sum(summary["scored"] for summary in summaries) == IMAGES
    assert sum(summary["discovered"] for summary in summaries) == IMAGES
    one_verdict_each(scoring.plant, IMAGES)
    assert assert_counts_add_up(scoring.plant) == (IMAGES, IMAGES, 0, 0)


def test_connections_cut_in_the_middle_of_a_chunk_are_retried_and_nothing_is_lost(scoring):
    fill(scoring.plant)
    process = scoring.start("--until", UNTIL)
    scoring.wait_for_verdicts(8)
    cut = 0
    with scoring.plant.resources.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for _ in range(3):
            rows = connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid() AND state = 'idle in transaction'"
                )
            )
            cut += len(rows.all())
            time.sleep(0.3)
    assert cut > 0, "no transaction was open: nothing was tested"
    output, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    assert json.loads(output.splitlines()[-1])["backlog"] == 0
    one_verdict_each(scoring.plant, IMAGES)
    assert assert_counts_add_up(scoring.plant) == (IMAGES, IMAGES, 0, 0)


@pytest.mark.slow  # a random schedule does the same in small
def test_killed_again_and_again_the_work_still_gets_done_once(scoring):
    fill(scoring.plant)
    done, kills = 0, 0
    while done < IMAGES and kills < 12:
        process = scoring.start("--until", UNTIL)
        deadline = threading.Event()
        while process.poll() is None and not deadline.wait(0.1):
            ((count,),) = scoring.plant.sql("SELECT count(*) FROM verdict")
            if count >= done + 40 and count < IMAGES:
                process.kill()
                kills += 1
                deadline.set()
        process.wait()
        ((done,),) = scoring.plant.sql("SELECT count(*) FROM verdict")
    assert kills >= 2
    one_verdict_each(scoring.plant, IMAGES)
    assert_counts_add_up(scoring.plant)
