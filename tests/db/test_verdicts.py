"""The invariants of verdicts and quarantine hold in the database itself, whoever writes."""

import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import psycopg
import pytest
from sqlalchemy import exc, text

from casting_core.types import ClaimedImage
from db import images, runs, verdicts
from tests.db.builders import (
    NOW,
    SHA256,
    backlog_ids,
    backlog_of,
    make_known,
    opened_run,
    predicted,
    registered,
    rejected,
    rows,
    stored_images,
    value,
    wait_until_blocked,
)

UNIQUE, EXCLUSION, CHECK, NOT_NULL, FOREIGN_KEY, RESTRICT = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.ExclusionViolation,
    psycopg.errors.CheckViolation,
    psycopg.errors.NotNullViolation,
    psycopg.errors.ForeignKeyViolation,
    psycopg.errors.RestrictViolation,
)


@pytest.fixture
def image_ids(engine):
    """Three known images."""
    return make_known(engine, stored_images(3))


def insert(connection, table, image_id, run, **other):
    """Insert a row by hand, past all of the program."""
    row = {"image_id": image_id, "captured_at": NOW, "run_id": run.run_id, "sha256": SHA256}
    row |= {
        "verdict": {"model_id": run.model.model_id, "p_defective": 0.1, "verdict": "ok"},
        "quarantine": {"reason": "blank", "detail": ""},
    }[table]
    row |= other
    columns, values = ", ".join(row), ", ".join(f":{name}" for name in row)
    connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), row)  # noqa: S608 - our own names


def claim_all(connection, engine, run):
    return images.claim_images(connection, backlog_of(engine, run), model_id=run.model.model_id)


def judge(engine, run, judgement_of=predicted):
    with engine.begin() as connection:
        judgements = [judgement_of(image) for image in claim_all(connection, engine, run)]
        return verdicts.write_judgements(connection, run, judgements)


# What is written


def test_every_judgement_is_written_under_its_own_image(engine, run):
    make_known(engine, stored_images(20))
    with engine.begin() as connection:
        claimed = claim_all(connection, engine, run)
        judgements = [
            rejected(image, "truncated", sha256=bytes([image.image_id] * 32))
            if image.image_id % 4 == 0
            else predicted(image, image.image_id / 100, "review", sha256=bytes([image.image_id] * 32))
            for image in claimed
        ]
        # In another order than they were claimed in: nothing may go by position.
        shuffled = judgements[1::2] + judgements[::2]
        assert verdicts.write_judgements(connection, run, shuffled) == shuffled
    assert rows(
        engine, "SELECT image_id, captured_at, p_defective, verdict, sha256, model_id, run_id FROM verdict ORDER BY 1"
    ) == [
        (j.image.image_id, NOW, j.image.image_id / 100, "review", j.sha256, run.model.model_id, run.run_id)
        for j in judgements
        if j.image.image_id % 4
    ]
    assert rows(engine, "SELECT image_id, reason, detail, sha256, run_id FROM quarantine ORDER BY 1") == [
        (j.image.image_id, "truncated", "said the test", j.sha256, run.run_id)
        for j in judgements
        if j.image.image_id % 4 == 0
    ]


def test_a_rejection_may_lack_the_bytes(engine, run, image_ids):
    judge(engine, run, lambda image: rejected(image, "missing"))
    assert rows(engine, "SELECT sha256 FROM quarantine") == [(None,)] * len(image_ids)


def test_no_judgements_are_no_rows(engine, run):
    with engine.begin() as connection:
        assert verdicts.write_judgements(connection, run, []) == []
    assert value(engine, "SELECT count(*) FROM verdict") == 0


@pytest.mark.parametrize("p_defective", [0.0, 1.0, 5e-324, math.nextafter(1, 0)])
def test_probabilities_are_kept_to_the_last_bit(engine, run, image_ids, p_defective):
    judge(engine, run, lambda image: predicted(image, p_defective))
    assert rows(engine, "SELECT p_defective FROM verdict") == [(p_defective,)] * len(image_ids)


@pytest.mark.parametrize("bad", [predicted, rejected])
def test_one_bad_judgement_undoes_its_whole_chunk(engine, run, image_ids, bad):
    with engine.connect() as connection:
        claimed = claim_all(connection, engine, run)
        unknown = ClaimedImage(image_id=10**9, captured_at=NOW, uri="", etag="", size=0)
        judgements = [predicted(claimed[0]), rejected(claimed[1]), bad(unknown)]
        runs.count_judgements(connection, run.run_id, judgements)
        with pytest.raises(exc.IntegrityError):
            verdicts.write_judgements(connection, run, judgements)
        with pytest.raises(exc.InternalError):  # what is left of the transaction can only be rolled back
            runs.count_judgements(connection, run.run_id, judgements)
        connection.commit()
    assert backlog_ids(engine, run) == image_ids
    assert value(engine, "SELECT scored + quarantined FROM scoring_run") == 0


# What is refused


@pytest.fixture(scope="module")
def standing(shared_engine):
    """A run and its images, for tests whose writes are all refused."""
    run = opened_run(shared_engine, registered(shared_engine, "champion-1"))
    return SimpleNamespace(engine=shared_engine, run=run, image_ids=make_known(shared_engine, stored_images(1)))


@pytest.mark.parametrize(
    ("table", "change", "error", "constraint"),
    [
        ("verdict", {"p_defective": math.nan}, CHECK, "verdict_p_defective_check"),
        ("verdict", {"p_defective": math.inf}, CHECK, "verdict_p_defective_check"),
        ("verdict", {"p_defective": -5e-324}, CHECK, "verdict_p_defective_check"),
        ("verdict", {"p_defective": math.nextafter(1, 2)}, CHECK, "verdict_p_defective_check"),
        ("verdict", {"p_defective": None}, NOT_NULL, None),
        ("verdict", {"verdict": "OK"}, CHECK, "verdict_verdict_check"),
        ("verdict", {"verdict": None}, NOT_NULL, None),
        ("verdict", {"sha256": bytes(31)}, CHECK, "verdict_sha256_check"),
        ("verdict", {"sha256": None}, NOT_NULL, None),
        ("verdict", {"model_id": 10**9}, FOREIGN_KEY, "verdict_model_id_fkey"),
        ("verdict", {"run_id": "00000000-0000-0000-0000-000000000000"}, FOREIGN_KEY, "verdict_run_id_fkey"),
        ("verdict", {"captured_at": NOW.replace(minute=1)}, FOREIGN_KEY, "verdict_image_known"),
        ("quarantine", {"reason": "ugly"}, CHECK, "quarantine_reason_check"),
        ("quarantine", {"reason": None}, NOT_NULL, None),
        ("quarantine", {"sha256": bytes(33)}, CHECK, "quarantine_sha256_check"),
        ("quarantine", {"run_id": "00000000-0000-0000-0000-000000000000"}, FOREIGN_KEY, "quarantine_run_id_fkey"),
        ("quarantine", {"captured_at": NOW.replace(minute=1)}, FOREIGN_KEY, "quarantine_image_known"),
    ],
    ids=str,
)
def test_a_row_that_cannot_be_is_refused(standing, table, change, error, constraint):
    with pytest.raises(exc.IntegrityError) as refused, standing.engine.begin() as connection:
        insert(connection, table, standing.image_ids[0], standing.run, **change)
    assert isinstance(refused.value.orig, error)
    assert refused.value.orig.diag.constraint_name == constraint


def test_an_image_gets_one_verdict_of_a_model(engine, run, image_ids):
    judge(engine, run)
    again = opened_run(engine, run.model)
    with pytest.raises(exc.IntegrityError) as refused, engine.begin() as connection:
        insert(connection, "verdict", image_ids[0], again, p_defective=0.9, verdict="defective")
    assert isinstance(refused.value.orig, UNIQUE)
    assert rows(engine, "SELECT DISTINCT run_id, verdict FROM verdict") == [(run.run_id, "ok")]


def test_an_image_is_quarantined_once_for_all_models(engine, run, image_ids):
    challenger = opened_run(engine, registered(engine, "challenger"))
    judge(engine, run, rejected)
    assert backlog_ids(engine, challenger) == []
    with pytest.raises(exc.IntegrityError) as refused, engine.begin() as connection:
        insert(connection, "quarantine", image_ids[0], challenger)
    assert isinstance(refused.value.orig, UNIQUE)


def test_two_sessions_that_write_the_same_verdict_leave_one(engine, run, image_ids):
    def late():
        with engine.begin() as connection:
            insert(connection, "verdict", image_ids[0], run, p_defective=0.9)

    with ThreadPoolExecutor(1) as pool, engine.connect() as first:
        insert(first, "verdict", image_ids[0], run, p_defective=0.2)
        second = pool.submit(late)
        wait_until_blocked(engine)
        first.commit()
        assert isinstance(second.exception().orig, UNIQUE)
    assert rows(engine, "SELECT p_defective FROM verdict") == [(0.2,)]


@pytest.mark.parametrize(("first", "second"), [("verdict", "quarantine"), ("quarantine", "verdict")])
def test_an_image_has_a_verdict_or_a_quarantine_never_both(engine, run, image_ids, first, second):
    challenger = opened_run(engine, registered(engine, "challenger"))
    with engine.begin() as connection:
        insert(connection, first, image_ids[1], run)
    for later in (run, challenger):
        with pytest.raises(exc.IntegrityError) as refused, engine.begin() as connection:
            insert(connection, second, image_ids[1], later)
        assert isinstance(refused.value.orig, EXCLUSION)
        assert refused.value.orig.diag.constraint_name == "one_outcome"
        assert f"image {image_ids[1]} would have both" in str(refused.value)
    with engine.begin() as connection:
        insert(connection, second, image_ids[0], run)


def test_one_transaction_cannot_write_both_outcomes(engine, run, image_ids):
    with engine.connect() as connection:
        insert(connection, "verdict", image_ids[0], run)
        with pytest.raises(exc.IntegrityError, match="would have both"):
            insert(connection, "quarantine", image_ids[0], run)
    assert backlog_ids(engine, run) == image_ids


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "SERIALIZABLE"])
@pytest.mark.parametrize(("first", "second"), [("verdict", "quarantine"), ("quarantine", "verdict")])
def test_two_sessions_in_a_race_cannot_give_an_image_both_outcomes(race, isolation, first, second):
    quick, slow, late = race(isolation, first, second)
    quick.commit()
    assert isinstance(late.exception().orig, EXCLUSION | psycopg.errors.SerializationFailure)
    slow.rollback()
    counts = "SELECT (SELECT count(*) FROM verdict) AS verdict, (SELECT count(*) FROM quarantine) AS quarantine"
    (written,) = slow.execute(text(counts))
    assert written._asdict() == {first: 1, second: 0}


@pytest.mark.parametrize(("first", "second"), [("verdict", "quarantine"), ("quarantine", "verdict")])
def test_an_outcome_that_was_rolled_back_is_in_nobodys_way(race, engine, first, second):
    quick, slow, late = race("READ COMMITTED", first, second)
    quick.rollback()
    assert late.result() is None
    slow.commit()
    assert value(engine, f"SELECT count(*) FROM {second}") == 1  # noqa: S608 - our own names
    assert value(engine, f"SELECT count(*) FROM {first}") == 0  # noqa: S608


@pytest.fixture
def race(engine, run, image_ids):
    """Two sessions, of which the second writes its outcome before the first has committed, so that it cannot see it."""
    with ThreadPoolExecutor(1) as pool, engine.connect() as slow, engine.connect() as quick:

        def start(isolation, first, second):
            for connection in (quick, slow):
                connection.execution_options(isolation_level=isolation)
                connection.execute(text("SELECT count(*) FROM verdict, quarantine"))  # a snapshot, where one is kept
            insert(quick, first, image_ids[0], run)
            late = pool.submit(insert, slow, second, image_ids[0], run)
            wait_until_blocked(engine)
            return quick, slow, late

        yield start


@pytest.mark.parametrize("table", ["verdict", "quarantine"])
def test_outcomes_are_not_written_where_the_check_would_be_blind(engine, run, image_ids, table):
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        with pytest.raises(exc.NotSupportedError, match="REPEATABLE READ"):
            insert(connection, table, image_ids[0], run)
        connection.rollback()
    assert backlog_ids(engine, run) == image_ids


@pytest.mark.parametrize("table", ["verdict", "quarantine"])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE {table} SET sha256 = sha256",
        "UPDATE {table} SET captured_at = captured_at + interval '2 months'",
        "DELETE FROM {table}",
        "TRUNCATE {table}",
        "DELETE FROM month.{table}_2026_11",
    ],
)
def test_history_is_append_only(engine, run, image_ids, table, change):
    with engine.begin() as connection:
        insert(connection, table, image_ids[0], run)
    query = f"SELECT * FROM {table}"  # noqa: S608 - our own names
    before = rows(engine, query)
    with pytest.raises(exc.IntegrityError, match="append-only") as refused, engine.begin() as connection:
        connection.execute(text(change.format(table=table)))
    assert isinstance(refused.value.orig, RESTRICT)
    assert rows(engine, query) == before


@pytest.mark.parametrize("table", ["verdict", "quarantine"])
def test_what_history_refers_to_cannot_be_deleted(engine, run, image_ids, table):
    with engine.begin() as connection:
        insert(connection, table, image_ids[0], run)
    for gone, error in (("image", RESTRICT), ("scoring_run", FOREIGN_KEY)):
        with pytest.raises(exc.IntegrityError) as refused, engine.begin() as connection:
            connection.execute(text(f"DELETE FROM {gone}"))  # noqa: S608 - our own names
        assert isinstance(refused.value.orig, error)


# Judged again


def test_another_model_adds_its_verdicts_to_the_history(engine, run, image_ids):
    judge(engine, run, lambda image: predicted(image, 0.1, "ok"))
    before = rows(engine, "SELECT * FROM verdict ORDER BY image_id")
    challenger = opened_run(engine, registered(engine, "challenger"))
    assert len(judge(engine, challenger, lambda image: predicted(image, 0.9, "defective"))) == 3
    assert rows(engine, "SELECT * FROM verdict WHERE model_id = :id ORDER BY image_id", id=run.model.model_id) == before
    assert rows(engine, "SELECT count(*), count(DISTINCT image_id), count(DISTINCT model_id) FROM verdict") == [
        (6, 3, 2)
    ]
    assert backlog_ids(engine, challenger) == []


def test_a_picture_that_is_gone_by_the_time_another_model_comes_keeps_its_verdict_and_holds_up_no_other(
    engine, run, image_ids
):
    """Overwritten or deleted since: it cannot be judged again, but it was judged, so it is not quarantined either."""
    gone, *others = image_ids
    with engine.begin() as connection:
        verdicts.write_judgements(connection, run, [predicted(claim_all(connection, engine, run)[0])])
    challenger = opened_run(engine, registered(engine, "challenger"))
    with engine.begin() as connection:
        claimed = claim_all(connection, engine, challenger)
        assert [image.image_id for image in claimed] == image_ids
        judgements = [rejected(claimed[0], "missing"), predicted(claimed[1]), rejected(claimed[2], "missing")]
        written = verdicts.write_judgements(connection, challenger, judgements)
        runs.count_judgements(connection, challenger.run_id, written)
    assert written == judgements[1:]
    assert rows(engine, "SELECT image_id, model_id FROM verdict ORDER BY image_id") == [
        (gone, run.model.model_id),
        (others[0], challenger.model.model_id),
    ]
    assert rows(engine, "SELECT image_id FROM quarantine") == [(others[1],)]
    assert backlog_ids(engine, challenger) == [gone]
    counted = "SELECT scored, quarantined FROM scoring_run WHERE run_id = :run"
    assert rows(engine, counted, run=challenger.run_id) == [(1, 1)]


def test_a_rejection_is_left_out_for_its_own_image_only(engine, run):
    """The image of the same id in another month has nothing to do with it."""
    (image_id,) = make_known(engine, stored_images(1))
    elsewhere = NOW.replace(month=12)
    copy = """
        INSERT INTO image (image_id, captured_at, uri, etag, line, part_id, size, stored_at) OVERRIDING SYSTEM VALUE
        SELECT image_id, :moment, uri, etag, line, part_id, size, :moment FROM image"""
    with engine.begin() as connection:
        for statement in ("SELECT ensure_month(:moment)", copy):
            connection.execute(text(statement), {"moment": elsewhere})
        (image,) = claim_all(connection, engine, run)
        verdicts.write_judgements(connection, run, [predicted(image)])
        other = rejected(dataclasses.replace(image, captured_at=elsewhere))
        assert verdicts.write_judgements(connection, run, [other]) == [other]
    assert rows(engine, "SELECT image_id, captured_at FROM quarantine") == [(image_id, elsewhere)]
