"""Retraining is killed in each phase; the champion goes on judging, and the next run does the work."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from tests.flows.test_retrain import CASTINGS, label

PROGRAM = """
    import json, sys, time
    from casting_core.gate import GateLimits
    from flows import retrain as module
    from flows.retrain_parameters import RetrainParameters
    from tests.quick_training import train_quickly

    module.train_model = train_quickly
    module.report_files = lambda _dataset, _trained: {"report.html": b"<p>fine</p>"}

    def stop(*_arguments, **_options):
        print("there", flush=True)
        time.sleep(600)

    where = sys.argv[1]
    if where != "nowhere":
        owner, _, name = where.rpartition(".")
        setattr(getattr(module, owner) if owner else module, name, stop)
    limits = GateLimits(escape_margin=0.2, false_reject_margin=0.2, first_escapes=0.2, first_false_rejects=0.2)
    summary = module.retrain(RetrainParameters(golden_share=0.5, min_new_labels=10, gate=limits))
    print(json.dumps(summary.to_json()))
"""


def start(where):
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", textwrap.dedent(PROGRAM), where],
        env=os.environ | {"PYTHONPATH": os.getcwd(), "PREFECT_LOGGING_LEVEL": "CRITICAL"},  # noqa: PTH109
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
