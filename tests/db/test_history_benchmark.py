"""The benchmark of a year of history in small: what it loads is right, and it asks every view of bi."""

from db import migrate, rollups
from db.rollup_check import check_rollups
from tests.benchmarks import history, history_data
from tests.db.builders import rows, value


def test_a_small_year_is_loaded_as_promised_and_every_view_is_timed(engine, monkeypatch):
    monkeypatch.setattr(history, "_ROUNDS", 1)
    history_data.load(engine, verdicts=300)
    with engine.begin() as connection:
        migrate.grant(connection)
    assert abs(value(engine, "SELECT count(*) FROM verdict") - 300) <= 3
    assert value(engine, "SELECT count(DISTINCT line) FROM image") == history_data.LINES
    assert value(engine, "SELECT count(DISTINCT date_trunc('month', captured_at)) FROM image") == 13
    rollups.refresh(engine)
    assert list(check_rollups(engine, since=history_data.UNTIL.date())) == []
    measured = history.measure_views(engine)
    views = [row.viewname for row in rows(engine, "SELECT viewname FROM pg_views WHERE schemaname = 'bi'")]
    assert {f"bi.{view}, ms" for view in views} <= set(measured)
    assert any("plan of the slowest" in name for name in measured)
