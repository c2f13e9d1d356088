"""A database of the first release, with history in it, comes to this one and back, and loses nothing."""

import pytest
from sqlalchemy import text

from db import migrate, rollups
from db.rollup_check import check_rollups
from tests.db.builders import NOW, SHA256, eventually, kill_backend, rows, value

FIRST = "0001"
HISTORY = """
    SELECT ensure_month(:now), ensure_month(:now - interval '40 days');
    INSERT INTO model (version, artifact_url, sha256, state, card, promoted_at)
    VALUES ('v1', '', repeat('a', 64), 'retired', '{}', now()), ('v2', '', repeat('a', 64), 'champion', '{}', now());
    INSERT INTO scoring_run (run_id, model_id, since, until, lines)
    SELECT gen_random_uuid(), model_id, :now - interval '50 days', :now, '{}' FROM model;
    INSERT INTO image (captured_at, uri, etag, line, part_id, size, stored_at)
    SELECT :now - number % 3 * interval '20 days', 'uri ' || number, 'e', 'line-' || number % 2, 'P' || number, 1, :now
    FROM generate_series(1, 30) AS number;
    INSERT INTO verdict (image_id, captured_at, model_id, run_id, p_defective, verdict, sha256)
    SELECT image_id, captured_at, model_id, run_id, 0.5, CASE version WHEN 'v1' THEN 'ok' ELSE 'defective' END, :sha256
    FROM image CROSS JOIN scoring_run JOIN model USING (model_id)
    WHERE image_id <= 20 AND (version = 'v1' OR image_id <= 10);
    INSERT INTO quarantine (image_id, captured_at, run_id, reason, detail)
    SELECT image_id, captured_at, (SELECT min(run_id::text)::uuid FROM scoring_run), 'blank', '' FROM image
    WHERE image_id > 25"""
PARTS = """
    SELECT line, part_id, captured_at, verdict, p_defective, views, worst_view, judged_at
    FROM part_verdict ORDER BY line, part_id"""
TABLES = ("model", "scoring_run", "image", "verdict", "quarantine")


@pytest.fixture
def first_release(empty_engine):
    """A database as the first release left it: three months, two models, an image in each of the states it can have."""
    migrate.upgrade(empty_engine, revision=FIRST)
    with empty_engine.begin() as connection:
        for statement in HISTORY.split(";"):
            connection.execute(text(statement), {"now": NOW, "sha256": SHA256} if ":" in statement else {})
    return empty_engine


def everything(engine):
    return {table: rows(engine, f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4") for table in TABLES}  # noqa: S608 - ours


def test_history_of_the_first_release_is_counted_and_exact_at_once(first_release):
    before = everything(first_release)
    migrate.upgrade(first_release)
    assert everything(first_release) == before
    assert value(first_release, "SELECT count(*) FROM part") == 0
    assert list(check_rollups(first_release)) == []
    parts = rows(first_release, PARTS)
    assert [row.verdict for row in parts].count("defective") == 10
    assert len(parts) == 20
    assert rollups.refresh(first_release) == 6
    assert rows(first_release, PARTS) == parts
    assert list(check_rollups(first_release)) == []


def test_the_way_back_to_the_first_release_keeps_its_history_and_its_rules(first_release):
    before = everything(first_release)
    migrate.upgrade(first_release)
    rollups.refresh(first_release)
    migrate.downgrade(first_release, FIRST)
    assert everything(first_release) == before
    keys = "SELECT conname FROM pg_constraint WHERE conname LIKE '%image_fkey' AND conparentid = 0 ORDER BY 1"
    assert rows(first_release, keys) == [("quarantine_image_fkey",), ("verdict_image_fkey",)]
    migrate.upgrade(first_release)
    assert list(check_rollups(first_release)) == []


def test_an_upgrade_whose_connection_is_cut_leaves_the_first_release_whole(first_release, monkeypatch):
    before = everything(first_release)
    create = migrate.view_files.create

    def cut(connection):
        create(connection)
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        kill_backend(first_release, pid)
        connection.execute(text("SELECT 1"))

    monkeypatch.setattr(migrate.view_files, "create", cut)
    with pytest.raises(Exception, match=r"terminat|closed|lost"):
        migrate.upgrade(first_release)
    monkeypatch.undo()
    with first_release.connect() as connection:
        assert migrate.current_revision(connection) == FIRST
    assert everything(first_release) == before
    assert value(first_release, "SELECT to_regclass('part') IS NULL")
    migrate.upgrade(first_release)
    eventually(lambda: list(check_rollups(first_release)) == [], what="the upgrade is done")
