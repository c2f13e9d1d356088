"""Images become known once, lie in the backlog until they have an outcome, and are judged by one session only."""

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from threading import Barrier, Thread

import numpy as np
import pytest
from sqlalchemy import event, text

from casting_core.types import Window
from db import images, runs, verdicts
from db.engine import make_engine
from tests.db.builders import (
    NOW,
    at_once,
    backend_pid,
    backlog_ids,
    backlog_of,
    chunk_of,
    kill_backend,
    make_known,
    opened_run,
    predicted,
    registered,
    rejected,
    rows,
    stored_image,
    stored_images,
    value,
    wait_until_blocked,
)

HOUR = timedelta(hours=1)


def insert(engine, stored):
    with engine.begin() as connection:
        return images.insert_images(connection, stored)


def claimed_ids(connection, chunk, model):
    return [image.image_id for image in images.claim_images(connection, chunk, model_id=model.model_id)]


def judge(engine, run, judgement_of=predicted):
    """Judge the run's whole backlog in one transaction."""
    with engine.begin() as connection:
        claimed = images.claim_images(connection, backlog_of(engine, run), model_id=run.model.model_id)
        verdicts.write_judgements(connection, run, [judgement_of(image) for image in claimed])


# Making images known


def test_an_image_is_made_known_once(engine):
    assert insert(engine, stored_images(3)) == 3
    assert insert(engine, stored_images(3)) == 0
    assert insert(engine, stored_images(5)) == 2
    assert insert(engine, [stored_image("new"), stored_image("new")]) == 1
    assert insert(engine, []) == 0
    assert value(engine, "SELECT count(*) FROM image") == 6


def test_everything_that_was_listed_is_kept(engine):
    image = stored_image("P'1; --", line="línea 1", view="top", etag='"é"', captured_at=NOW + timedelta(microseconds=1))
    insert(engine, [image])
    (row,) = rows(engine, "SELECT uri, etag, size, line, part_id, view, captured_at, stored_at FROM image")
    assert row._asdict() == {name: getattr(image, name) for name in row._fields}


def test_a_new_etag_is_a_new_image_and_the_old_verdict_stays(engine, run):
    (first,) = make_known(engine, [stored_image()])
    judge(engine, run)
    assert insert(engine, [stored_image(etag="e2")]) == 1
    second = value(engine, "SELECT image_id FROM image WHERE etag = 'e2'")
    assert backlog_ids(engine, run) == [second]
    judge(engine, run)
    assert rows(engine, "SELECT image_id FROM verdict ORDER BY image_id") == [(first,), (second,)]


@pytest.mark.parametrize(
    ("line", "captured_from", "captured_until", "known"),
    [
        (None, NOW, NOW + HOUR, {"at from", "inside", "other line"}),
        ("line-1", NOW, NOW + HOUR, {"at from", "inside"}),
        ("line-2", NOW, NOW + HOUR, {"other line"}),
        ("line", NOW, NOW + HOUR, set()),
        (None, NOW + HOUR, NOW + 2 * HOUR, {"at until"}),
        (None, NOW - HOUR, NOW + 2 * HOUR, {"at from", "inside", "other line", "at until"}),
    ],
)
def test_known_images_of_a_stretch_begin_at_its_start_and_end_before_its_end(
    engine, line, captured_from, captured_until, known
):
    insert(
        engine,
        [
            stored_image(uri="at from"),
            stored_image(uri="inside", captured_at=NOW + HOUR - timedelta(microseconds=1)),
            stored_image(uri="other line", line="line-2", captured_at=NOW + HOUR / 2),
            stored_image(uri="at until", captured_at=NOW + HOUR),
        ],
    )
    with engine.connect() as connection:
        found = images.known_images(connection, captured_from=captured_from, captured_until=captured_until, line=line)
    assert found == {(uri, "e1") for uri in known}


# Months


@pytest.mark.parametrize(
    ("captured_at", "month"),
    [
        (datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "2026_12"),
        (datetime(2027, 1, 1, tzinfo=UTC), "2027_01"),
        (datetime(2028, 2, 29, 12, tzinfo=UTC), "2028_02"),
        (datetime(2027, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=2))), "2026_12"),
        (datetime(2026, 12, 31, 20, tzinfo=timezone(timedelta(hours=-5))), "2027_01"),
    ],
)
@pytest.mark.parametrize("session_zone", ["UTC", "Pacific/Auckland"])
def test_an_image_lies_in_the_month_utc_of_its_capture(engine, session_zone, captured_at, month):
    with engine.begin() as connection:
        connection.execute(text(f"SET TIME ZONE '{session_zone}'"))
        images.insert_images(connection, [stored_image(captured_at=captured_at)])
    assert rows(engine, "SELECT tableoid::regclass::text, captured_at FROM image") == [
        (f"month.image_{month}", captured_at)
    ]


def test_one_insert_may_cross_the_end_of_a_year(engine):
    moments = [datetime(2026, 12, 31, 23, tzinfo=UTC) + number * HOUR for number in range(3)]
    assert insert(engine, [stored_image(captured_at=moment) for moment in moments]) == 3
    query = "SELECT tableoid::regclass::text, count(*) FROM image GROUP BY 1 ORDER BY 1"
    assert rows(engine, query) == [("month.image_2026_12", 1), ("month.image_2027_01", 2)]


def test_a_month_is_like_its_parents(engine):
    insert(engine, [stored_image()])
    children = """
        SELECT inhparent::regclass::text, pg_get_expr(relpartbound, pg_class.oid)
        FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE relkind = 'r' ORDER BY 1"""
    bounds = "FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00')"
    assert rows(engine, children) == [(parent, bounds) for parent in ("image", "part", "quarantine", "verdict")]
    # A partition that lacked a key or an index of its parent would leave the parent's marked invalid.
    assert value(engine, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0
    checks = "SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conrelid = CAST(:relation AS regclass)"
    for parent in ("image", "verdict", "quarantine"):
        assert value(engine, checks, relation=f"month.{parent}_2026_11") == value(engine, checks, relation=parent) > 0


def test_two_sessions_that_have_read_images_may_make_the_same_month_at_once(engine):
    insert(engine, [stored_image(captured_at=NOW)])
    later = datetime(2027, 3, 1, tzinfo=UTC)
    barrier = Barrier(2)

    def discover(part):
        with engine.begin() as connection:
            images.known_images(connection, captured_from=NOW, captured_until=NOW + HOUR, line=None)
            barrier.wait()
            return images.insert_images(connection, [stored_image(part, captured_at=later), stored_image("both")])

    results = at_once(lambda: discover("P1"), lambda: discover("P2"))
    assert sorted(results, key=str) == [1, 2]
    assert value(engine, "SELECT count(*) FROM month.image_2027_03") == 2


def test_a_new_month_does_not_wait_for_chunks_that_are_being_judged(engine, run):
    make_known(engine, stored_images(3))
    with engine.connect() as judging, engine.connect() as discovering:
        assert len(claimed_ids(judging, backlog_of(engine, run), run.model)) == 3
        discovering.execute(text("SET lock_timeout = '30s'"))
        images.insert_images(discovering, [stored_image(captured_at=datetime(2027, 3, 1, tzinfo=UTC))])
        discovering.commit()
    assert value(engine, "SELECT count(*) FROM month.image_2027_03") == 1


def test_a_new_month_comes_in_between_the_writes_of_a_chunk_without_deadlock(engine, run):
    make_known(engine, stored_images(2))
    with engine.connect() as judging:
        first, second = images.claim_images(judging, backlog_of(engine, run), model_id=run.model.model_id)
        verdicts.write_judgements(judging, run, [predicted(first)])
        with_new_month = Thread(
            target=insert, args=(engine, [stored_image(captured_at=datetime(2027, 3, 1, tzinfo=UTC))])
        )
        with_new_month.start()
        wait_until_blocked(engine)
        verdicts.write_judgements(judging, run, [rejected(second)])
        runs.count_judgements(judging, run.run_id, [predicted(first), rejected(second)])
        judging.commit()
        with_new_month.join()
    assert value(engine, "SELECT count(*) FROM month.image_2027_03") == 1
    assert value(engine, "SELECT scored + quarantined FROM scoring_run") == 2


def test_two_sessions_that_list_the_same_new_images_in_opposite_order_make_each_known_once(engine):
    listed = stored_images(3_000)
    insert(engine, [stored_image("of the same month, which need not be made then")])
    barrier = Barrier(2)

    def discover(mine):
        barrier.wait()
        return insert(engine, mine)

    assert sum(at_once(lambda: discover(listed), lambda: discover(listed[::-1]))) == len(listed)
    assert value(engine, "SELECT count(*) FROM image") == len(listed) + 1


# Backlog


@pytest.mark.parametrize(("chunk_size", "sizes"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (100, [7])])
def test_the_backlog_is_cut_into_chunks_oldest_first(engine, run, chunk_size, sizes):
    moments = [NOW + number * timedelta(minutes=1) for number in (4, 0, 6, 1, 5, 3, 2)]
    # Ids are given in the order of the addresses, which here is not that of the times.
    ids = make_known(engine, [stored_image(f"P{number}", captured_at=moment) for number, moment in enumerate(moments)])
    assert ids == sorted(ids)
    with engine.connect() as connection:
        chunks = images.backlog_chunks(connection, run, chunk_size=chunk_size)
        assert images.count_backlog(connection, run) == 7
    assert [len(chunk.image_ids) for chunk in chunks] == sizes
    captured = dict(zip(ids, moments, strict=True))
    assert [image_id for chunk in chunks for image_id in chunk.image_ids] == sorted(ids, key=captured.get)
    for chunk in chunks:
        assert chunk.captured_from == min(captured[image_id] for image_id in chunk.image_ids)
        assert chunk.captured_to == max(captured[image_id] for image_id in chunk.image_ids)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), {"line-1 first", "line-1 last", "line-2"}),
        (("line-1",), {"line-1 first", "line-1 last"}),
        (("line-2", "line-3"), {"line-2"}),
        (("line-3",), set()),
    ],
)
def test_the_backlog_is_that_of_the_window_and_its_lines(engine, champion, lines, expected):
    window = Window(since=NOW, until=NOW + HOUR)
    make_known(
        engine,
        [
            stored_image("before", captured_at=NOW - timedelta(microseconds=1)),
            stored_image("line-1 first", captured_at=NOW),
            stored_image("line-1 last", captured_at=NOW + HOUR - timedelta(microseconds=1)),
            stored_image("line-2", line="line-2", captured_at=NOW + HOUR / 2),
            stored_image("after", captured_at=NOW + HOUR),
        ],
    )
    run = opened_run(engine, champion, window=window, lines=lines)
    parts = rows(engine, "SELECT part_id FROM image WHERE image_id = ANY (:ids)", ids=backlog_ids(engine, run))
    assert {part for (part,) in parts} == expected
    with engine.connect() as connection:
        assert images.count_backlog(connection, run) == len(expected)


def test_the_backlog_is_what_has_neither_a_verdict_by_this_model_nor_a_quarantine(engine, run):
    ids = make_known(engine, stored_images(4))
    with engine.begin() as connection:
        claimed = images.claim_images(connection, backlog_of(engine, run), model_id=run.model.model_id)
        verdicts.write_judgements(connection, run, [predicted(claimed[0]), rejected(claimed[1])])
    assert backlog_ids(engine, run) == ids[2:]
    challenger = opened_run(engine, registered(engine, "challenger"))
    assert backlog_ids(engine, challenger) == [ids[0], *ids[2:]]


def test_nothing_known_is_no_backlog(engine, run):
    assert backlog_ids(engine, run) == []


# Claims


def test_a_claimed_image_comes_with_what_judging_needs(engine, run):
    stored = stored_image()
    (image_id,) = make_known(engine, [stored])
    with engine.begin() as connection:
        (image,) = images.claim_images(connection, backlog_of(engine, run), model_id=run.model.model_id)
    assert image.image_id == image_id
    assert (image.uri, image.etag, image.size) == (stored.uri, stored.etag, stored.size)
    assert image.captured_at == stored.captured_at
    assert image.captured_at.utcoffset() == timedelta(0)


def test_two_sessions_never_share_an_image(engine, run):
    ids = make_known(engine, stored_images(10))
    with engine.connect() as one, engine.connect() as two, engine.connect() as three:
        assert claimed_ids(one, chunk_of(ids[:6]), run.model) == ids[:6]
        assert claimed_ids(two, chunk_of(ids), run.model) == ids[6:]
        assert claimed_ids(three, chunk_of(ids), run.model) == []


@pytest.mark.parametrize("end", ["rollback", "close", "commit", "kill"])
def test_a_claim_ends_with_its_transaction_however_that_ends(engine, run, end):
    ids = make_known(engine, stored_images(5))
    own = make_engine(engine.url)
    holder = own.connect()
    pid = backend_pid(holder)
    assert claimed_ids(holder, chunk_of(ids), run.model) == ids
    with engine.connect() as other:
        assert claimed_ids(other, chunk_of(ids), run.model) == []
    if end == "kill":
        kill_backend(engine, pid)
        holder.invalidate()
    else:
        getattr(holder, end)()
    with engine.connect() as other:
        assert claimed_ids(other, chunk_of(ids), run.model) == ids
    holder.close()
    own.dispose()


def test_what_was_written_under_a_claim_dies_with_it(engine, run):
    make_known(engine, stored_images(5))
    own = make_engine(engine.url)
    with own.connect() as holder:
        pid = backend_pid(holder)
        claimed = images.claim_images(holder, backlog_of(engine, run), model_id=run.model.model_id)
        judgements = [predicted(image) for image in claimed[:3]] + [rejected(image) for image in claimed[3:]]
        verdicts.write_judgements(holder, run, judgements)
        runs.count_judgements(holder, run.run_id, judgements)
        kill_backend(engine, pid)
        holder.invalidate()
    own.dispose()
    assert backlog_ids(engine, run) == [image.image_id for image in claimed]
    assert value(engine, "SELECT scored + quarantined FROM scoring_run") == 0


def test_an_image_that_has_its_outcome_is_not_claimed(engine, run):
    ids = make_known(engine, stored_images(3))
    with engine.begin() as connection:
        first, second, _ = images.claim_images(connection, chunk_of(ids), model_id=run.model.model_id)
        verdicts.write_judgements(connection, run, [predicted(first), rejected(second)])
    challenger = registered(engine, "challenger")
    with engine.connect() as connection:
        assert claimed_ids(connection, chunk_of(ids), run.model) == [ids[2]]
        assert claimed_ids(connection, chunk_of(ids), challenger) == [ids[0], ids[2]]


def test_a_chunk_is_claimed_within_its_bounds_only(engine, run):
    ids = make_known(engine, [stored_image(str(hour), captured_at=NOW + hour * HOUR) for hour in range(4)])
    chunk = chunk_of(ids, captured_from=NOW + HOUR, captured_to=NOW + 2 * HOUR)
    with engine.connect() as connection:
        assert claimed_ids(connection, chunk, run.model) == ids[1:3]


def test_an_image_judged_between_snapshot_and_lock_is_not_judged_again(engine, run):
    """Reproduces what `still_unjudged` is there for.

    The second session's claim takes its snapshot, then waits at a gate while it scans. Meanwhile the first session
    commits its verdicts and lets its locks go. The second one then gets every lock, under a snapshot that shows no
    verdict.
    """
    ids = make_known(engine, stored_images(5))
    chunk = chunk_of(ids)
    late_engine = make_engine(engine.url)
    locked = []
    event.listen(late_engine, "after_cursor_execute", lambda *call: locked.append(call[1].rowcount))

    def claim_late():
        with late_engine.connect() as connection:
            # `image`, with a gate in the way of each of its rows.
            connection.execute(
                text("""
                    CREATE FUNCTION pg_temp.pass_gate() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
                        PERFORM pg_advisory_xact_lock_shared(1);
                        RETURN true;
                    END $$;
                    CREATE TEMPORARY VIEW image AS SELECT * FROM public.image WHERE pg_temp.pass_gate()""")
            )
            locked.clear()
            return claimed_ids(connection, chunk, run.model)

    with engine.connect() as first, engine.connect() as gate:
        gate.execute(text("SELECT pg_advisory_lock(1)"))
        claimed = images.claim_images(first, chunk, model_id=run.model.model_id)
        result = []
        late = Thread(target=lambda: result.append(claim_late()))
        late.start()
        wait_until_blocked(engine)
        verdicts.write_judgements(first, run, [predicted(image) for image in claimed[:3]])
        verdicts.write_judgements(first, run, [rejected(image) for image in claimed[3:]])
        first.commit()
        gate.execute(text("SELECT pg_advisory_unlock(1)"))
        late.join()
    late_engine.dispose()
    # It had locked all of them, so the race did take place.
    assert locked[0] == len(ids)
    assert result == [[]]


def test_eight_threads_of_two_runs_judge_each_image_once(engine, champion):
    """Two overlapping runs work one backlog; now and then a chunk fails after it was written."""
    count, chunk_size = 2_000, 40
    make_known(engine, [stored_image(f"P{number}", captured_at=NOW + number % 3 * HOUR) for number in range(count)])
    both = [opened_run(engine, champion), opened_run(engine, champion)]
    barrier = Barrier(8)
    failures = Counter()

    def work(seed):
        mine, chance = both[seed % 2], np.random.default_rng(seed)
        written = 0
        barrier.wait()
        while True:
            with engine.connect() as connection:
                chunks = images.backlog_chunks(connection, mine, chunk_size=chunk_size)
            if not chunks:
                return written
            for number in chance.permutation(len(chunks)):
                with engine.connect() as connection, connection.begin() as transaction:
                    claimed = images.claim_images(connection, chunks[number], model_id=champion.model_id)
                    judgements = [
                        rejected(image) if image.image_id % 10 == 0 else predicted(image, 0.9, "defective")
                        for image in claimed
                    ]
                    verdicts.write_judgements(connection, mine, judgements)
                    runs.count_judgements(connection, mine.run_id, judgements)
                    if claimed and chance.random() < 0.1:
                        failures[seed] += 1
                        transaction.rollback()
                    else:
                        written += len(claimed)

    assert sum(at_once(*[lambda seed=seed: work(seed) for seed in range(8)])) == count
    assert sum(failures.values()) > 0
    outcomes = """
        SELECT count(*), count(DISTINCT image_id)
        FROM (SELECT image_id FROM verdict UNION ALL SELECT image_id FROM quarantine) AS outcome"""
    assert rows(engine, outcomes) == [(count, count)]
    assert value(engine, "SELECT count(*) FROM quarantine WHERE image_id % 10 <> 0") == 0
    for run in both:
        assert (
            rows(
                engine,
                """
            SELECT ok, defective, review, quarantined FROM scoring_run WHERE run_id = :run
            EXCEPT SELECT 0, (SELECT count(*) FROM verdict WHERE run_id = :run), 0,
                (SELECT count(*) FROM quarantine WHERE run_id = :run)""",
                run=run.run_id,
            )
            == []
        )
    assert value(engine, "SELECT sum(scored + quarantined) FROM scoring_run") == count
    with engine.connect() as connection:
        assert images.count_backlog(connection, both[0]) == 0
