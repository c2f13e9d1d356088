"""Roll-ups equal a recount after whatever happened, and cost the writers nothing."""

from datetime import timedelta

from db import rollups
from db.images import claim_images
from db.verdicts import write_judgements
from tests.db.builders import NOW, backlog_of, make_known, predicted, rows, stored_image, value

HOURS = "SELECT line, hour, inspected, ok, defective, review, images, scored, quarantined, backlog FROM line_hour"


def judge_backlog(engine, run, verdict="ok", p_defective=0.1):
    with engine.begin() as connection:
        claimed = claim_images(connection, backlog_of(engine, run), model_id=run.model.model_id)
        write_judgements(connection, run, [predicted(image, p_defective, verdict) for image in claimed])


def test_the_views_are_exact_before_and_after_a_refresh(engine, run):
    make_known(engine, [stored_image("P1"), stored_image("P2", captured_at=NOW + timedelta(hours=1))])
    judge_backlog(engine, run, "defective")
    parts = "SELECT * FROM part_verdict ORDER BY captured_at"
    before = rows(engine, parts), rows(engine, HOURS + " ORDER BY hour")
    assert [row.part_id for row in before[0]] == ["P1", "P2"]
    assert rollups.refresh(engine) == 1
    assert value(engine, "SELECT count(*) FROM rollup_stale") == 0
    assert value(engine, "SELECT count(*) FROM part") == 2
    assert (rows(engine, parts), rows(engine, HOURS + " ORDER BY hour")) == before
    assert rollups.refresh(engine) == 0
