"""The views of schema bi: described throughout, and equal to a plain computation on any history."""

import re
from pathlib import Path

import pytest

import db
from tests.db.builders import rows

FILES = sorted((Path(db.__file__).parent / "views" / "bi").glob("*.sql"))
VIEWS = [
    "alert_history",
    "defect_rate_corrected_daily",
    "defect_rate_daily",
    "defect_rate_hourly",
    "defect_rate_shiftly",
    "model_scorecard",
    "p_chart_hourly",
    "pareto",
    "part",
    "pipeline_health",
    "quarantined_image",
    "rolling_rate",
    "scoring_run",
    "verdict_history",
]


def test_the_views_are_those_that_the_documents_name(shared_engine):
    found = rows(shared_engine, "SELECT viewname FROM pg_views WHERE schemaname = 'bi' ORDER BY viewname")
    assert [row.viewname for row in found] == VIEWS


def test_every_view_and_every_column_says_what_it_is(shared_engine):
    silent = rows(
        shared_engine,
        """
        SELECT relname, attname
        FROM pg_class
        JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
        WHERE relnamespace = 'bi'::regnamespace AND relkind = 'v'
          AND (length(col_description(pg_class.oid, attnum)) > 10 AND length(obj_description(pg_class.oid)) > 30)
              IS NOT TRUE""",
    )
    assert silent == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_makes_the_view_that_it_is_named_after(path):
    source = path.read_text(encoding="utf-8")
    views = re.findall(r"^CREATE VIEW bi\.(\w+)", source, re.MULTILINE)
    assert views in ([], [path.stem[3:]])
    assert views or "CREATE FUNCTION" in source


@pytest.mark.parametrize("view", VIEWS)
def test_an_empty_history_has_no_rows(shared_engine, view):
    assert rows(shared_engine, f"SELECT * FROM bi.{view}") == []  # noqa: S608 - our own names


def test_a_month_without_history_has_no_pareto(shared_engine):
    assert rows(shared_engine, "SELECT * FROM bi.pareto_between('2026-11-01', '2026-12-01')") == []
