"""Retraining runs exclude one another, say how they ended, and remember which labels they were given."""

import subprocess
import sys
import uuid

import pytest
from sqlalchemy import exc, text

from casting_core.registry_types import GoldenImage
from db import golden, retraining
from db.errors import RetrainingLost
from tests.db.builders import backend_pid, eventually, kill_backend, registered, rows, value

STATES = "SELECT state, outcome FROM retrain_run ORDER BY started_at"


def opened(engine):
    retrain_id = uuid.uuid4()
    with engine.begin() as connection:
        retraining.open_retraining(connection, retrain_id, who="anna", flow_run_id=None)
    return retrain_id


def complete(engine, retrain_id, labels, *, challenger=None, outcome="candidate"):
    with engine.begin() as connection:
        count = retraining.remember_labels(connection, retrain_id, labels)
        retraining.complete(connection, retrain_id, outcome=outcome, why="", challenger=challenger)
    return count


def new(engine, labels):
    with engine.connect() as connection:
        return retraining.new_labels(connection, labels)


def test_one_retraining_at_a_time_and_the_next_when_it_is_over(engine):
    with retraining.one_at_a_time(engine) as first:
        with retraining.one_at_a_time(engine) as second:
            assert (first, second) == (True, False)
        with retraining.one_at_a_time(engine) as third:
            assert not third, "the one that left must not have opened the door"
    with retraining.one_at_a_time(engine) as again:
        assert again


def test_of_two_processes_that_begin_at_the_same_moment_one_is_alone_and_killed_it_holds_up_nobody(engine):
    program = """
import sys
from db import retraining
from db.engine import database_url, make_engine
engine = make_engine(database_url(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
with retraining.one_at_a_time(engine) as alone:
    print(alone, flush=True)
    sys.stdin.readline()
"""
    command = [sys.executable, "-c", program, engine.url.render_as_string(hide_password=False)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]  # noqa: S603 - our own program
    try:
        assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
        for process in both:
            process.stdin.write("\n")
            process.stdin.flush()
        assert sorted(process.stdout.readline() for process in both) == ["False\n", "True\n"]
    finally:
        for process in both:
            process.kill()
            process.communicate()

    def free():
        with retraining.one_at_a_time(engine) as alone:
            return alone

    eventually(free, what="the lock of the killed one is given back")


def test_the_lock_dies_with_its_connection(engine):
    with retraining.one_at_a_time(engine):
        holder = value(engine, "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted")
        with engine.connect() as connection:
            assert backend_pid(connection) != holder
        kill_backend(engine, holder)
        with retraining.one_at_a_time(engine) as second:
            assert second


def test_a_run_that_died_is_found_by_the_next_and_may_decide_nothing_more(engine):
    dead = opened(engine)
    with engine.begin() as connection:
        assert retraining.open_retraining(connection, uuid.uuid4(), who="anna", flow_run_id=None) == 1
    assert rows(engine, STATES) == [("died", None), ("running", None)]
    with pytest.raises(RetrainingLost, match=f"{dead} was taken for dead"), engine.begin() as connection:
        retraining.record(connection, dead, phase="compare")
    with pytest.raises(RetrainingLost), engine.begin() as connection:
        retraining.complete(connection, dead, outcome="too_few_labels", why="")


def test_a_run_that_failed_says_why_and_came_to_nothing(engine):
    retrain_id = opened(engine)
    with engine.begin() as connection:
        retraining.fail(connection, retrain_id, why="OSError: no space left on device")
    assert rows(engine, "SELECT state, outcome, why FROM retrain_run") == [
        ("failed", None, "OSError: no space left on device")
    ]


def test_labels_are_new_until_a_completed_run_was_given_them_and_again_when_they_change(engine):
    labels = {"a.jpg": "ok", "b.jpg": "defective"}
    assert new(engine, labels) == labels
    assert complete(engine, opened(engine), labels, challenger=registered(engine, "v1")) == 2
    assert new(engine, labels) == {}
    more = labels | {"a.jpg": "defective", "c.jpg": "ok"}
    assert new(engine, more) == {"a.jpg": "defective", "c.jpg": "ok"}
    assert complete(engine, opened(engine), more, challenger=registered(engine, "v2")) == 2
    assert new(engine, more) == {}
    assert new(engine, {"a.jpg": "ok"}) == {"a.jpg": "ok"}
    with engine.connect() as connection:
        assert retraining.known_uris(connection) == {"a.jpg", "b.jpg", "c.jpg"}


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 'completed', finished_at = now()", "retrain_run_completed_check"),
        ("state = 'failed'", "retrain_run_finished_check"),
        ("outcome = 'too_few_labels'", "retrain_run_completed_check"),
        ("state = 'completed', finished_at = now(), outcome = 'promoted'", "retrain_run_challenger_check"),
    ],
)
def test_a_run_that_cannot_be_is_refused(engine, change, constraint):
    opened(engine)
    with pytest.raises(exc.IntegrityError) as refused, engine.begin() as connection:
        connection.execute(text(f"UPDATE retrain_run SET {change}"))  # noqa: S608 - our own words
    assert refused.value.orig.diag.constraint_name == constraint


def test_two_runs_cannot_both_say_that_they_run(engine):
    opened(engine)
    with pytest.raises(exc.IntegrityError) as refused, engine.begin() as connection:
        connection.execute(text("INSERT INTO retrain_run (retrain_id, who) VALUES (:id, 'anna')"), {"id": uuid.uuid4()})
    assert refused.value.orig.diag.constraint_name == "retrain_run_running_key"


def golden_image(number, *, label="ok", casting=0):
    return GoldenImage(
        sha256=f"{number:064x}", uri=f"{number}.jpg", label=label, casting=casting, part_id=f"line/{number}"
    )


def test_the_golden_set_grows_and_keeps_what_is_in_it(engine):
    first, second = golden_image(1, casting=7), golden_image(2, label="defective", casting=3)
    with engine.begin() as connection:
        golden.freeze_golden(connection, [first])
        golden.freeze_golden(connection, [golden_image(1, label="defective"), second])
        golden.freeze_golden(connection, [])
        assert golden.golden_images(connection) == [second, first]
    for change in ("UPDATE golden_image SET label = 'ok'", "DELETE FROM golden_image", "TRUNCATE golden_image"):
        with pytest.raises(exc.IntegrityError, match="append-only"), engine.begin() as connection:
            connection.execute(text(change))
