"""Tables that changed much are analysed at once, so that plans for a month that has just begun do not go wrong."""

import pytest
from sqlalchemy import text

from db import images, migrate, statistics
from db.engine import make_engine
from db.queries import load
from db.verdicts import write_judgements
from tests.db.builders import (
    WINDOW,
    backlog_of,
    make_known,
    opened_run,
    predicted,
    registered,
    stored_image,
    stored_images,
    value,
)

_IMAGES = 3_000


@pytest.fixture
def engine(engine):
    """The real one, without autovacuum, which would come in between by chance."""
    with engine.begin() as connection:
        connection.execute(text("SELECT ensure_month(:moment)"), {"moment": WINDOW.since})
        for table in ("image", "verdict"):
            connection.execute(text(f"ALTER TABLE month.{table}_2026_11 SET (autovacuum_enabled = off)"))
    return engine


@pytest.fixture
def judged(engine):
    """A month that has just begun: half of its images are judged."""
    model = registered(engine, "v1", promote=True)
    run = opened_run(engine, model)
    make_known(engine, stored_images(_IMAGES))
    with engine.begin() as connection:
        claimed = images.claim_images(connection, backlog_of(engine, run), model_id=model.model_id)
        write_judgements(connection, run, [predicted(image) for image in claimed])
    make_known(engine, [stored_image(f"Q{number:04d}") for number in range(_IMAGES)])
    return run


def rows_compared(engine, run):
    """How many pairs of rows the backlog query looked at in vain."""
    scope = {"since": run.window.since, "until": run.window.until, "lines": [], "model_id": run.model.model_id}
    explained = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {load('backlog')}")
    with engine.connect() as connection:
        (plan,) = connection.execute(explained, scope).scalar_one()

    def removed(node):
        return node.get("Rows Removed by Join Filter", 0) * node["Actual Loops"] + sum(
            map(removed, node.get("Plans", []))
        )

    return removed(plan["Plan"])


def test_the_backlog_of_a_month_that_has_just_begun_does_not_compare_every_image_with_every_verdict(engine, judged):
    assert rows_compared(engine, judged) > _IMAGES * _IMAGES
    analysed = statistics.refresh(engine)
    assert {"month.image_2026_11", "month.verdict_2026_11"} <= set(analysed)
    assert rows_compared(engine, judged) < 3 * _IMAGES
    assert value(engine, "SELECT reltuples FROM pg_class WHERE relname = 'verdict_2026_11'") == _IMAGES


def test_what_has_not_changed_since_is_left_alone(engine, judged):
    statistics.refresh(engine)
    assert statistics.refresh(engine) == []


def test_a_table_that_another_run_is_analysing_is_not_waited_for(engine, judged):
    with engine.begin() as other:
        other.execute(text("LOCK TABLE month.verdict_2026_11 IN SHARE UPDATE EXCLUSIVE MODE"))
        statistics.refresh(engine)
        assert value(engine, "SELECT reltuples FROM pg_class WHERE relname = 'verdict_2026_11'") == -1
    assert statistics.refresh(engine) == ["month.verdict_2026_11"]


def test_who_may_not_analyse_leaves_it_to_autovacuum(engine, judged, migrated_database_url):
    with engine.begin() as connection:
        migrate.grant(connection)
    writer = make_engine(migrated_database_url.set(username="casting_writer", password=None))
    try:
        assert statistics.refresh(writer) == []
    finally:
        writer.dispose()
    assert statistics.refresh(engine) != []
