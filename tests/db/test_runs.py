"""A run's row tells what it did, and is told to have died when its process did."""

import os
import signal
import subprocess
import sys
import textwrap
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import exc, text

from casting_core.types import RunSummary, Window
from db import images, runs, verdicts
from db.errors import UnknownRun
from tests.db.builders import (
    NOW,
    WINDOW,
    at_once,
    backlog_of,
    eventually,
    make_known,
    opened_run,
    predicted,
    rejected,
    rows,
    stored_images,
    value,
)

HOLDER = """
    import sys
    import uuid
    from db import runs
    from db.engine import database_url, make_engine

    with runs.alive(make_engine(database_url(sys.argv[1])), uuid.UUID(sys.argv[2])):
        print("alive", flush=True)
        sys.stdin.read()
"""


@contextmanager
def process_that_is_alive(engine, run):
    """A real process that holds the run's sign of life."""
    url = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), url, str(run.run_id)]
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "alive\n"
        try:
            yield process
        finally:
            process.kill()


def dead_runs(engine):
    with engine.begin() as connection:
        return runs.mark_dead_runs(connection)


def close(engine, run, state="completed", *, seconds=2.5, backlog=0, error=None):
    with engine.begin() as connection:
        runs.close_run(connection, run.run_id, state=state, seconds=seconds, backlog=backlog, error=error)


def state_of(engine, run):
    return value(engine, "SELECT state FROM scoring_run WHERE run_id = :run", run=run.run_id)


def progress(engine, run_id):
    with engine.connect() as connection:
        return runs.read_progress(connection, run_id)


# Opening and closing


def test_an_open_run_says_what_it_is_about(engine, champion):
    run = opened_run(engine, champion, lines=("line-1", "línea, 2"))
    (row,) = rows(engine, "SELECT *, started_at BETWEEN now() - interval '10 min' AND now() AS just FROM scoring_run")
    assert (row.run_id, row.model_id, row.lines) == (run.run_id, champion.model_id, ["line-1", "línea, 2"])
    assert (row.since, row.until) == (WINDOW.since, WINDOW.until)
    assert (row.state, row.finished_at, row.backlog, row.scored, row.just) == ("running", None, None, 0, True)


def test_a_run_is_opened_once(engine, run):
    with pytest.raises(exc.IntegrityError), engine.begin() as connection:
        runs.open_run(connection, run, flow_run_id=uuid.uuid4())
    assert value(engine, "SELECT count(*) FROM scoring_run") == 1


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 'done', finished_at = now()", "scoring_run_state_check"),
        ("state = 'completed'", "scoring_run_finished_check"),
        ("finished_at = now()", "scoring_run_finished_check"),
        ("until = since", "scoring_run_window_check"),
        ("quarantined = -1", "scoring_run_counts_check"),
        ("unsettled = -1", "scoring_run_counts_check"),
    ],
)
def test_a_run_that_cannot_be_is_refused(engine, run, change, constraint):
    with pytest.raises(exc.IntegrityError) as refused, engine.begin() as connection:
        connection.execute(text(f"UPDATE scoring_run SET {change}"))  # noqa: S608 - our own words
    assert refused.value.orig.diag.constraint_name == constraint
    assert run.run_id == value(engine, "SELECT run_id FROM scoring_run WHERE state = 'running'")


def test_the_summary_is_what_was_counted_and_it_adds_up(engine, run):
    make_known(engine, stored_images(9))
    outcomes = [("ok", 4), ("defective", 2), ("review", 1)]
    with engine.begin() as connection:
        runs.record_discovery(
            connection, run.run_id, discovered=9, unmatched=12, examples=["a/b.txt", "c'd"], unsettled=3
        )
        runs.record_backlog(connection, run.run_id, backlog=9)
    for verdict, count in outcomes:
        with engine.begin() as connection:
            claimed = images.claim_images(connection, backlog_of(engine, run), model_id=run.model.model_id)[:count]
            judgements = [predicted(image, 0.5, verdict) for image in claimed]
            verdicts.write_judgements(connection, run, judgements)
            runs.count_judgements(connection, run.run_id, judgements)
    with engine.begin() as connection:
        (last, _) = images.claim_images(connection, backlog_of(engine, run), model_id=run.model.model_id)
        verdicts.write_judgements(connection, run, [rejected(last)])
        runs.count_judgements(connection, run.run_id, [rejected(last)])
    with engine.begin() as connection:
        left = images.count_backlog(connection, run)
    close(engine, run, seconds=4.0, backlog=left)
    with engine.connect() as connection:
        summary = runs.read_summary(connection, run.run_id)
    assert summary == RunSummary(
        run_id=run.run_id,
        model=run.model.version,
        discovered=9,
        scored=7,
        quarantined=1,
        backlog=1,
        unmatched_keys=12,
        unsettled=3,
        seconds=4.0,
        verdicts=dict(outcomes),
    )
    assert summary.discovered == summary.scored + summary.quarantined + summary.backlog
    assert summary.images_per_s == 2.0
    assert value(engine, "SELECT unmatched_examples FROM scoring_run") == ["a/b.txt", "c'd"]


def test_a_run_that_failed_early_still_has_a_summary(engine, run):
    close(engine, run, "failed", backlog=None, seconds=0.0, error="BucketMissing: no such bucket")
    with engine.connect() as connection:
        summary = runs.read_summary(connection, run.run_id)
    assert (summary.scored, summary.backlog, summary.images_per_s) == (0, 0, 0.0)
    assert rows(engine, "SELECT state, error, finished_at >= started_at FROM scoring_run") == [
        ("failed", "BucketMissing: no such bucket", True)
    ]


# Counting


def test_counts_are_part_of_the_transaction_that_writes_the_outcomes(engine, run):
    make_known(engine, stored_images(4))
    with engine.connect() as connection:
        claimed = images.claim_images(connection, backlog_of(engine, run), model_id=run.model.model_id)
        judgements = [predicted(image) for image in claimed]
        verdicts.write_judgements(connection, run, judgements)
        runs.count_judgements(connection, run.run_id, judgements)
        assert connection.execute(text("SELECT ok FROM scoring_run")).scalar_one() == 4
        assert value(engine, "SELECT ok FROM scoring_run") == 0
        connection.rollback()
    assert rows(engine, "SELECT ok, (SELECT count(*) FROM verdict) FROM scoring_run") == [(0, 0)]


def test_chunks_that_end_together_are_all_counted(engine, run):
    (image,) = make_known(engine, stored_images(1))
    with engine.connect() as connection:
        (image,) = images.claim_images(connection, backlog_of(engine, run), model_id=run.model.model_id)

    def count():
        for _ in range(10):
            with engine.begin() as connection:
                runs.count_judgements(connection, run.run_id, [predicted(image), rejected(image), rejected(image)])

    assert at_once(*[count] * 6) == [None] * 6
    assert rows(engine, "SELECT ok, quarantined, scored FROM scoring_run") == [(60, 120, 60)]


def test_counting_touches_its_own_run_only(engine, run):
    other = opened_run(engine, run.model)
    make_known(engine, stored_images(1))
    with engine.begin() as connection:
        (image,) = images.claim_images(connection, backlog_of(engine, run), model_id=run.model.model_id)
        runs.count_judgements(connection, run.run_id, [predicted(image)])
        runs.count_judgements(connection, run.run_id, [])
    close(engine, run)
    assert rows(engine, "SELECT scored, state FROM scoring_run WHERE run_id = :run", run=other.run_id) == [
        (0, "running")
    ]


def test_a_worker_on_another_database_than_the_runs_is_told_so(engine):
    with engine.begin() as connection, pytest.raises(UnknownRun, match="Give this worker the CASTING_DATABASE_URL"):
        runs.count_judgements(connection, uuid.uuid4(), [])


def test_progress_is_what_is_done_of_what_there_was_to_do(engine, run):
    assert progress(engine, uuid.uuid4()) is None
    assert progress(engine, run.run_id) is None
    make_known(engine, stored_images(3))
    with engine.begin() as connection:
        runs.record_backlog(connection, run.run_id, backlog=3)
    assert progress(engine, run.run_id) == (0, 3)
    with engine.begin() as connection:
        claimed = images.claim_images(connection, backlog_of(engine, run), model_id=run.model.model_id)
        runs.count_judgements(connection, run.run_id, [predicted(claimed[0]), rejected(claimed[1])])
    assert progress(engine, run.run_id) == (2, 3)


# Signs of life


def test_a_run_whose_process_was_killed_is_marked_and_only_that_one(engine, champion):
    killed, living, completed = (opened_run(engine, champion) for _ in range(3))
    close(engine, completed)
    with runs.alive(engine, living.run_id):
        with process_that_is_alive(engine, killed) as process:
            assert dead_runs(engine) == []
            os.kill(process.pid, signal.SIGKILL)
            assert eventually(lambda: dead_runs(engine), what="the server notices") == [killed.run_id]
        assert dead_runs(engine) == []
    died = """
        SELECT state, finished_at >= started_at, error LIKE '%ended without a word%'
        FROM scoring_run WHERE run_id = :run"""
    assert rows(engine, died, run=killed.run_id) == [("died", True, True)]
    assert state_of(engine, completed) == "completed"
    # It went on without closing its row.
    assert dead_runs(engine) == [living.run_id]


def test_two_sessions_mark_a_dead_run_once(engine, champion):
    dead = {opened_run(engine, champion).run_id for _ in range(5)}
    marked = at_once(*[lambda: dead_runs(engine)] * 4)
    assert sorted(run_id for one in marked for run_id in one) == sorted(dead)


def test_a_sign_of_life_does_not_outlast_its_run_in_the_pool(engine, run):
    for _ in range(3):
        with runs.alive(engine, run.run_id):
            pass
    assert value(engine, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


@pytest.mark.parametrize("error", [None, RuntimeError("the run failed")])
def test_a_run_ends_as_it_would_when_the_server_dropped_its_sign_of_life(engine, run, error):
    """A restart of the database in the middle of a run is survived by its chunks, and so must it be here."""
    holder = "SELECT pg_terminate_backend(pid, 20000) FROM pg_locks WHERE locktype = 'advisory'"
    ended = None
    try:
        with runs.alive(engine, run.run_id):
            assert rows(engine, holder) == [(True,)]
            if error:
                raise error
    except RuntimeError as raised:
        ended = raised
    assert ended is error
    close(engine, run)
    assert state_of(engine, run) == "completed"


def test_a_run_marked_as_dead_while_it_lived_ends_as_it_ended(engine, run):
    assert dead_runs(engine) == [run.run_id]
    close(engine, run)
    assert rows(engine, "SELECT state, error FROM scoring_run") == [("completed", None)]


def test_a_window_reaches_the_row_in_any_time_zone(engine, champion):
    tokyo = datetime.fromisoformat("2026-11-23T17:00+09:00")
    opened_run(engine, champion, window=Window(since=tokyo, until=WINDOW.until))
    assert value(engine, "SELECT since FROM scoring_run") == NOW == datetime(2026, 11, 23, 8, tzinfo=UTC)


def test_a_run_needs_a_registered_model(engine, run):
    with pytest.raises(exc.IntegrityError) as refused, engine.begin() as connection:
        connection.execute(text("DELETE FROM model"))
    assert isinstance(refused.value.orig, psycopg.errors.ForeignKeyViolation)
    assert value(engine, "SELECT model_id FROM scoring_run") == run.model.model_id


def test_seconds_of_work_add_up_by_stage_in_the_order_of_the_work(engine, run):
    with engine.begin() as connection:
        runs.add_stage_seconds(connection, run.run_id, {"write": 0.5, "fetch": 1.0})
        runs.add_stage_seconds(connection, run.run_id, {"fetch": 0.25, "forward": 2.0})
        runs.close_run(connection, run.run_id, state="completed", seconds=3.0, backlog=0)
        summary = runs.read_summary(connection, run.run_id)
    assert list(summary.stage_seconds.items()) == [("fetch", 1.25), ("forward", 2.0), ("write", 0.5)]


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_seconds_that_would_spoil_every_later_sum_are_refused(engine, run, seconds):
    with engine.begin() as connection, pytest.raises(exc.IntegrityError, match="run_stage_seconds_check"):
        runs.add_stage_seconds(connection, run.run_id, {"fetch": seconds})
