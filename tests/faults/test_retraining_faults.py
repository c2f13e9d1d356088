"""Retraining is killed in each phase; the champion goes on judging, and the next run does the work."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from tests.db.builders import eventually
from tests.flows.test_retrain import CASTINGS, label

PROGRAM = """
    import json, sys, time
    from pathlib import Path
    from casting_core.gate import GateLimits
    from flows import retrain as module
    from flows.retrain_parameters import RetrainParameters
    from tests.quick_training import train_quickly

    module.train_model = train_quickly
    module.report_files = lambda _dataset, _trained: {"report.html": b"<p>fine</p>"}

    def stop(*_arguments, **_options):
        print("there", flush=True)
        time.sleep(600)

    def wait_and_train(*arguments, **options):
        while not Path(sys.argv[2]).exists():
            time.sleep(0.05)
        return train_quickly(*arguments, **options)

    where = sys.argv[1]
    if where == "together":
        module.train_model = wait_and_train
        print("ready", flush=True)
        sys.stdin.readline()
    elif where != "nowhere":
        owner, _, name = where.rpartition(".")
        setattr(getattr(module, owner) if owner else module, name, stop)
    limits = GateLimits(escape_margin=0.2, false_reject_margin=0.2, first_escapes=0.2, first_false_rejects=0.2)
    summary = module.retrain(RetrainParameters(golden_share=0.5, min_new_labels=10, gate=limits))
    print(json.dumps(summary.to_json()))
"""


def start(where, *more):
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", textwrap.dedent(PROGRAM), where, *map(str, more)],
        env=os.environ | {"PYTHONPATH": os.getcwd(), "PREFECT_LOGGING_LEVEL": "CRITICAL"},  # noqa: PTH109
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_at(where):
    process = start(where)
    try:
        said = process.stdout.readline()
        assert said == "there\n", process.communicate()[1]
    finally:
        process.kill()
        process.communicate()


def finish():
    process = start("nowhere")
    output, errors = process.communicate(timeout=280)
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


@pytest.mark.parametrize(
    "phases",
    [
        # Training, and the transaction that has promoted already but not committed.
        [("train_model", "train"), ("retraining.complete", "register")],
        pytest.param(
            [
                ("freeze", "snapshot"),
                ("group_castings", "split"),
                ("publish_artifact", "publish"),
                ("compare", "compare"),
                ("check_reproduction", "decide"),
            ],
            marks=pytest.mark.slow,
        ),
    ],
    ids=["train and register", "all others"],
)
def test_killed_in_a_phase_the_champion_stays_and_the_next_run_does_the_work(plant, prefect_api, phases):
    label(plant, range(CASTINGS))
    champion = plant.publish(promote=False)
    for where, phase in phases:
        kill_at(where)
        assert plant.sql("SELECT version, state FROM model") == [(champion.version, "candidate")]
        assert plant.sql("SELECT phase FROM retrain_run WHERE state = 'running'") == [(phase,)]
    summary = finish()
    assert summary["outcome"] == "promoted", summary["why"]
    assert summary["new_labels"] == CASTINGS
    assert plant.sql("SELECT state, count(*) FROM retrain_run GROUP BY state ORDER BY state") == [
        ("completed", 1),
        ("died", len(phases)),
    ]
    assert plant.sql("SELECT version FROM model WHERE state = 'champion'") == [(summary["challenger"],)]
    # Runs that were killed left the golden set alone: it did not grow with each try.
    assert summary["golden_castings"] == CASTINGS // 2
    assert plant.sql("SELECT count(*) FROM golden_image") == [(CASTINGS // 2,)]


@pytest.mark.slow
def test_of_two_that_begin_at_the_same_moment_one_works_and_the_other_says_so_and_leaves(plant, prefect_api, tmp_path):
    label(plant, range(CASTINGS))
    go_on = tmp_path / "the other has left"
    both = [start("together", go_on) for _ in range(2)]
    try:
        assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
        for process in both:
            process.stdin.write("\n")
            process.stdin.flush()
        # Whichever has the lock goes on with its training only when the other one has ended.
        eventually(lambda: any(process.poll() is not None for process in both), what="one of them leaves", seconds=120)
        go_on.touch()
        told = [process.communicate(timeout=280) for process in both]
    finally:
        for process in both:
            process.kill()
            process.communicate()
    assert [process.returncode for process in both] == [0, 0], told
    left, worked = sorted((json.loads(output.splitlines()[-1]) for output, _ in told), key=lambda each: each["outcome"])
    assert (left["outcome"], worked["outcome"]) == ("already_running", "promoted"), worked["why"]
    assert left["why"].startswith("Another retraining is running")
    assert plant.sql("SELECT retrain_id::text, state FROM retrain_run") == [(worked["retrain_id"], "completed")]
    assert plant.sql("SELECT version, state FROM model") == [(worked["challenger"], "champion")]
