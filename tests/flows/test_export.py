"""`casting db sql` writes rows to files that other programs read."""

import csv
import io
import uuid
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from flows.cli import app

QUERY = """
    SELECT 1 AS number, 0.5::double precision AS rate, 'a, "b"' AS words, NULL::text AS nothing,
        '2026-11-23T08:00Z'::timestamptz AS moment, '{"a": 1}'::jsonb AS json, '{x,y}'::text[] AS list,
        '00000000-0000-0000-0000-000000000001'::uuid AS id"""
COLUMNS = ["number", "rate", "words", "nothing", "moment", "json", "list", "id"]
MOMENT = datetime(2026, 11, 23, 8, tzinfo=UTC)


def sql(*arguments):
    return CliRunner().invoke(app, ["db", "sql", *map(str, arguments)])


def test_csv_on_standard_output_is_nothing_but_the_rows(plant):
    done = sql(QUERY, "--csv", "-")
    assert done.exit_code == 0, done.output
    assert list(csv.reader(io.StringIO(done.stdout))) == [
        COLUMNS,
        ["1", "0.5", 'a, "b"', "", MOMENT.isoformat(), '{"a": 1}', '["x", "y"]', str(uuid.UUID(int=1))],
    ]


def test_csv_and_parquet_files_hold_the_rows(plant, tmp_path):
    for form in ("csv", "parquet"):
        done = sql(QUERY, f"--{form}", tmp_path / f"rows.{form}")
        assert "Wrote 1 rows" in done.stderr.replace("\n", " ")
    assert (tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()[0] == ",".join(COLUMNS)
    (row,) = pq.read_table(tmp_path / "rows.parquet").to_pylist()
    assert row == {
        "number": 1,
        "rate": 0.5,
        "words": 'a, "b"',
        "nothing": None,
        "moment": MOMENT,
        "json": '{"a": 1}',
        "list": '["x", "y"]',
        "id": str(uuid.UUID(int=1)),
    }


def test_a_query_without_rows_gives_a_file_without_rows(plant, tmp_path):
    assert sql("SELECT * FROM bi.part", "--parquet", tmp_path / "none.parquet").exit_code == 0
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0
    assert "p_defective" in sql("SELECT * FROM bi.part", "--csv", "-").stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["SELECT 1 AS a, 2 AS a", "--parquet", "rows.parquet"], "a name of its own for each column"),
        (["SELECT 1", "--parquet", "/nowhere/rows.parquet"], "cannot be written to /nowhere/rows.parquet"),
        (["SELECT 1", "--csv", "/nowhere/rows.csv"], "cannot be written to /nowhere/rows.csv"),
        (["SELECT 1", "--csv", "-", "--json"], "Give one of --json, --csv and --parquet"),
    ],
)
def test_what_cannot_be_written_is_said_in_one_line(plant, arguments, complaint):
    done = sql(*arguments)
    assert done.exit_code == 1
    assert complaint in done.stderr.replace("\n", " ")


def test_the_diagram_is_printed(plant):
    done = CliRunner().invoke(app, ["db", "diagram"])
    assert done.stdout.startswith("erDiagram\n    alert {")
