"""The documents for BI tools: ten questions with known answers, the Grafana dashboard, the diagram of the tables."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

import db
from casting_core.rates import Accuracy, rogan_gladen
from casting_core.types import Window
from db import schema
from db.diagram import entity_relationships
from tests.db.histories import Picture, open_model, roll_up, write_pictures

BI = Path(db.__file__).parents[1] / "deployments" / "bi"
QUESTIONS = sorted((BI / "questions").glob("*.sql"))
DASHBOARD = json.loads((BI / "grafana_dashboard.json").read_text(encoding="utf-8"))

# Yesterday, in two hours of two shifts (UTC).
YESTERDAY = datetime.now(tz=UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
EARLY, LATE = YESTERDAY + timedelta(hours=8), YESTERDAY + timedelta(hours=16)
CARD = {"metrics": {"by_casting": {"defective": 100, "ok": 100, "detected": 90, "escapes": 5, "false_rejects": 3}}}


def pictures():
    """Two lines of 100 parts: the first makes 2 defective ones, the second 9, all of them late and most in mould M2."""
    made = []
    for line, defective in (("cam1", {3, 60}), ("cam2", set(range(60, 69)))):
        for number in range(100):
            part = f"P{number:04d}"
            verdict = "defective" if number in defective else "ok"
            if (line, number) == ("cam1", 42):
                verdict = "review"
            label = {("cam1", 3): "ok", ("cam1", 5): "defective", ("cam2", 60): "defective", ("cam2", 5): "ok"}
            made.append(
                Picture(
                    line=line,
                    part_id=part,
                    captured_at=(EARLY if number < 50 else LATE) + timedelta(seconds=number),
                    verdicts={"v1": (verdict, {"ok": 0.1, "review": 0.5, "defective": 0.9}[verdict])},
                    label=label.get((line, number)),
                )
            )
    made.append(Picture(line="cam2", part_id="P9999", captured_at=LATE, quarantine="blank"))
    return made


@pytest.fixture(scope="module")
def connection(postgres_url):
    """A connection to a plant with the history above, in a transaction that is never committed."""
    import uuid

    from db.engine import make_engine
    from tests.db.conftest import execute

    name = f"bi_{uuid.uuid4().hex}"
    execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE template_migrated")
    engine = make_engine(postgres_url.set(database=name))
    with engine.connect() as connection:
        seed(connection)
        yield connection
    engine.dispose()


def seed(connection):
    window = Window(since=EARLY, until=LATE + timedelta(hours=1))
    run = open_model(connection, "v1", window=window, promote=True, card=CARD)
    write_pictures(connection, pictures(), {"v1": run})
    connection.execute(text("INSERT INTO line_name (line, name) VALUES ('cam1', 'Line 1'), ('cam2', 'Line 2')"))
    connection.execute(
        text("""
            INSERT INTO part_attribute (line, part_id, day, key, value)
            SELECT line, part_id, (captured_at AT TIME ZONE 'UTC')::date, 'mould',
                CASE WHEN line = 'cam2' AND right(part_id, 2) BETWEEN '60' AND '66' THEN 'M2' ELSE 'M1' END
            FROM image""")
    )
    connection.execute(
        text("""
            INSERT INTO baseline (
                kind, stream, rate, low, high, counted, inspected, own_weight, icc, parts_per_hour, reference_since,
                reference_until, valid_from, set_by, why)
            SELECT
                'defect_rate_climb', line, 0.02, 0, 1, 0, 0, 1, 0, 50, '2026-01-01', '2026-02-01', '2026-02-01', 'test',
                'test'
            FROM line_name""")
    )
    connection.execute(
        text("""
            INSERT INTO alert (
                kind, severity, state, stream, line, opened_at, updated_at, resolved_at, resolved_by, signal, since_low,
                since, since_high)
            VALUES (
                'defect_rate_climb', 'critical', 'resolved', 'cam2', 'cam2', :opened, :opened,
                :opened + interval '2 hours', 'anna', 's1', :late, :late, :late)"""),
        {"opened": LATE + timedelta(minutes=45), "late": LATE},
    )
    connection.execute(
        text("""
            INSERT INTO alert_event (alert_id, at, event, who, why)
            SELECT alert_id, opened_at + interval '10 minutes', 'acknowledged', 'anna', 'on my way' FROM alert""")
    )
    connection.execute(
        text("UPDATE scoring_run SET ok = 188, defective = 11, review = 1, quarantined = 1 WHERE run_id = :run_id"),
        {"run_id": run.run_id},
    )
    roll_up(connection)


def corrected(defective):
    accuracy = Accuracy(detected=90, defective=100, passed=97, sound=100)
    found = rogan_gladen(defective, 100, accuracy)
    return tuple(round(value, 3) for value in (found.rate, found.interval.low, found.interval.high))


DAY = YESTERDAY.date()
ANSWERS = {
    "01_which_line_is_worst": [
        ("Line 2", 100, 9, 0.09, 0.042, 0.164),
        ("Line 1", 100, 2, 0.02, 0.002, 0.07),
    ],
    "02_which_shift_is_worst": [("late", 100, 10, 0.1), ("early", 100, 1, 0.01)],
    "03_which_mould_is_worst": [("M2", 7, 7, 1.0, 0.636), ("M1", 193, 4, 0.021, 1.0)],
    "04_when_was_a_line_out_of_control": [("Line 2", LATE, 50, 9, 0.18, 0.02, 0.1, [1])],
    "05_what_happened_to_a_part": [
        ("cam1", EARLY + timedelta(seconds=42), "", "review", 0.5, "v1", EARLY + timedelta(seconds=42, minutes=40)),
        ("cam2", EARLY + timedelta(seconds=42), "", "ok", 0.1, "v1", EARLY + timedelta(seconds=42, minutes=40)),
    ],
    "06_what_waits_for_review": [
        (
            "Line 1",
            "P0042",
            EARLY + timedelta(seconds=42),
            0.5,
            "",
            f"s3://castings/cam1/{EARLY:%Y/%m/%d/%H}/P0042__.jpg",
        )
    ],
    "07_what_is_the_true_rate": [
        ("Line 1", DAY, 100, 0.02, *corrected(2), "v1"),
        ("Line 2", DAY, 100, 0.09, *corrected(9), "v1"),
    ],
    "08_does_the_pipeline_keep_up": [("Line 1", 100, 0, 0, 40.0, 40.0), ("Line 2", 101, 0, 1, 40.0, 40.0)],
    "09_how_fast_are_alerts_handled": [("defect_rate_climb", 1, 45.0, 10.0, 120.0)],
    "10_do_inspectors_agree_with_the_model": [("v1", "champion", 200, 4, 1, 0.987, 1, 0.5, 0.0)],
}


def rounded(row):
    return tuple(round(value, 3) if isinstance(value, float) else value for value in row)


@pytest.mark.parametrize("path", QUESTIONS, ids=lambda path: path.stem)
def test_a_question_has_the_answer_that_is_known(connection, path):
    answer = connection.execute(text(path.read_text(encoding="utf-8").replace(":", r"\:"))).all()
    assert [rounded(row) for row in answer] == ANSWERS[path.stem]


def test_there_are_ten_questions_and_the_readme_asks_them_all():
    assert [path.stem for path in QUESTIONS] == list(ANSWERS)
    readme = (BI / "README.md").read_text(encoding="utf-8")
    for path in QUESTIONS:
        question = re.match(r"-- (.+?\?)", path.read_text(encoding="utf-8").replace("\n-- ", " "))[1]
        assert f"| {question} | [{path.name}](questions/{path.name}) |" in readme


# The dashboard


def grafana_queries():
    panels = [(panel["title"], panel["targets"][0]["rawSql"]) for panel in DASHBOARD["panels"]]
    annotations = [(each["name"], each["target"]["rawSql"]) for each in DASHBOARD["annotations"]["list"]]
    variables = [(each["name"], each["query"]) for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    return panels + annotations + variables


def substituted(sql):
    """The SQL as Grafana sends it: macros for the last seven days, and both lines chosen."""
    since, until = (
        f"'{moment.isoformat()}'" for moment in (YESTERDAY - timedelta(days=6), YESTERDAY + timedelta(days=1))
    )
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 BETWEEN {since} AND {until}", sql)
    sql = sql.replace("$__timeFrom()", since).replace("$__timeTo()", until)
    return sql.replace("$line", "'cam1','cam2'")


@pytest.mark.parametrize(("title", "sql"), grafana_queries(), ids=lambda value: value if len(value) < 50 else "sql")
def test_a_panel_of_the_dashboard_has_something_to_show(connection, title, sql):
    sent = substituted(sql)
    assert "$" not in sent
    found = connection.execute(text(sent.replace(":", r"\:"))).all()
    assert found
    assert "bi." in sql


def test_the_dashboards_headline_is_the_rate_of_both_lines(connection):
    sql = dict(grafana_queries())["Defect rate"]
    assert connection.execute(text(substituted(sql))).scalar_one() == pytest.approx(11 / 200)


def test_panels_lie_beside_one_another_and_not_on_top():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert all(x < 24 for x, _ in cells)
        taken |= cells


# The diagram


def test_the_diagram_is_that_of_the_schema():
    drawn = (BI / "schema.md").read_text(encoding="utf-8")
    assert drawn.endswith(f"```mermaid\n{entity_relationships(schema.metadata)}```\n"), "run: casting db diagram"


def test_the_diagram_has_every_table_and_every_key():
    drawn = entity_relationships(schema.metadata)
    keys = sum(len(table.foreign_key_constraints) for table in schema.metadata.tables.values())
    assert drawn.count(" {\n") == len(schema.metadata.tables)
    assert drawn.count("o{ ") == keys
    assert '    scoring_run ||--o{ verdict : "run_id"\n' in drawn
