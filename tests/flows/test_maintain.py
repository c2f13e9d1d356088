"""The daily upkeep, its commands, and the flows under the rights that a plant gives them."""

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from db import migrate
from db.months import following
from flows.cli import app
from flows.errors import RollupsWrong
from tests.flows.conftest import NOW


@pytest.fixture
def as_writer(scoring_plant, monkeypatch):
    """The plant's flows connect as casting_writer from here on."""
    from flows.resources import close_resources

    with scoring_plant.resources.engine.begin() as connection:
        migrate.grant(connection)
    url = scoring_plant.resources.engine.url.set(username="casting_writer")
    close_resources()
    monkeypatch.setenv("CASTING_DATABASE_URL", url.render_as_string(hide_password=False))
    return scoring_plant


def scored(plant):
    from flows.score import score

    plant.put_many(9)
    plant.put("cam1/2026/11/23/07/broken.jpg", b"not a picture at all")
    return score(until=NOW)


def typed(*words):
    return CliRunner().invoke(app, ["db", *words])


def nothing_missed():
    from flows.reconcile import Reconciled

    return Reconciled()


def damage(plant, statement="UPDATE part_hour SET ok = ok - 1, inspected = inspected - 1 WHERE ok > 0"):
    with plant.resources.engine.begin() as connection:
        connection.execute(text(statement))
        connection.execute(text("UPDATE part_hour SET images = images + 1"))


def test_an_hour_and_the_upkeep_run_as_the_writer_role(as_writer):
    from flows.maintain import maintain

    summary = scored(as_writer)
    assert as_writer.sql("SELECT current_user") == [("casting_writer",)]
    assert (summary.scored, summary.quarantined, summary.backlog) == (9, 1, 0)
    assert as_writer.sql("SELECT count(*) FROM stale_line_day") == [(0,)]
    assert as_writer.sql("SELECT inspected, images FROM line_hour") == [(9, 10)]
    done = maintain()
    month = datetime.now(tz=UTC).date().replace(day=1)
    expected = [month, following(month), following(following(month))]
    assert done.months_ahead == tuple(f"{each:%Y-%m}" for each in expected)
    assert as_writer.sql(f"SELECT count(*) FROM pg_class WHERE relname = 'part_{expected[2]:%Y_%m}'") == [(1,)]  # noqa: S608


def test_an_upkeep_that_finds_roll_ups_wrong_fails_and_names_the_hour(scoring_plant, monkeypatch):
    from flows import maintain

    monkeypatch.setattr(maintain, "_CHECKED_BACK", timedelta(days=36_500))
    scored(scoring_plant)
    damage(scoring_plant)
    with pytest.raises(RollupsWrong, match=r"cam1, 2026-11-23 07:00 UTC: .*images 11, should be 10"):
        maintain.maintain()


def test_pictures_that_came_after_the_look_back_become_known_and_a_backfill_is_asked_for(scoring_plant, caplog):
    from prefect.client.orchestration import get_client

    from flows.backfill import backfill
    from flows.maintain import maintain

    late = datetime.now(tz=UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=3)
    for number, hours in enumerate((0, 1)):
        hour = late + timedelta(hours=hours)
        scoring_plant.put(f"cam1/{hour:%Y/%m/%d/%H}/P{number}.jpg", moment=late)
    tasks = logging.getLogger("prefect.task_runs")
    tasks.addHandler(caplog.handler)  # whether Prefect's loggers reach the root one depends on what was set up before
    try:
        alone = maintain().reconciled
    finally:
        tasks.removeHandler(caplog.handler)
    assert (alone.late, alone.waiting, alone.backfill) == (2, 2, None)
    assert f"casting score --since {late:%Y-%m-%dT%H:%M:%S}" in caplog.text
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(client.create_flow(backfill), name="on-demand")
        try:
            reconciled = maintain().reconciled
            asked = [run for run in client.read_flow_runs() if run.name == reconciled.backfill]
        finally:
            client.delete_deployment(deployment)
    assert (reconciled.late, reconciled.waiting) == (0, 2)
    (run,) = asked
    backfill(parameters=run.parameters["parameters"])
    assert scoring_plant.sql("SELECT count(*) FROM verdict") == [(2,)]


def test_what_an_earlier_champion_has_judged_is_not_judged_again_unasked(scoring_plant):
    from flows.maintain import maintain
    from flows.score import score

    late = datetime.now(tz=UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=3)
    scoring_plant.put(f"cam1/{late:%Y/%m/%d/%H}/P1.jpg", moment=late)
    score(since=late - timedelta(hours=1), until=late + timedelta(hours=1))
    scoring_plant.publish(seed=1)
    assert maintain().reconciled == nothing_missed()
    assert scoring_plant.sql("SELECT count(*) FROM verdict") == [(1,)]


def test_a_plant_may_leave_the_comparison_out(scoring_plant, monkeypatch):
    from flows.maintain import maintain

    monkeypatch.setenv("CASTING_RECONCILE_DAYS", "0")
    late = datetime.now(tz=UTC) - timedelta(days=3)
    scoring_plant.put(f"cam1/{late:%Y/%m/%d/%H}/P1.jpg")
    assert maintain().reconciled == nothing_missed()
    assert scoring_plant.sql("SELECT count(*) FROM image") == [(0,)]


def test_db_check_and_refresh_as_people_type_them(scoring_plant):
    scored(scoring_plant)
    well = typed("check")
    assert (well.exit_code, well.stdout) == (0, "")
    damage(scoring_plant)
    wrong = typed("check")
    assert wrong.exit_code == 1
    assert "cam1, 2026-11-23 07:00 UTC:" in wrong.stdout
    assert "casting db refresh --all" in wrong.stderr
    (found,) = json.loads(typed("check", "--json").stdout.splitlines()[-1])
    assert (found["shown"]["images"], found["counted"]["images"]) == (11, 10)
    assert typed("check", "--since", "2027-01").exit_code == 0
    assert "1 days of lines" in typed("refresh", "--all").stderr
    assert typed("check").exit_code == 0


def test_db_archive_and_unarchive_as_people_type_them(scoring_plant):
    scored(scoring_plant)
    nothing = typed("archive", "--before", "2026-11")
    assert nothing.exit_code == 1
    assert "No month before 2026-11 has images" in nothing.stderr
    assert "10 of image, 9 of verdict, 1 of quarantine" in typed("archive", "--before", "2026-12").stderr
    assert (scoring_plant.home / "archive" / "2026-11" / "manifest.json").exists()
    assert scoring_plant.sql("SELECT count(*) FROM image") == [(0,)]
    assert typed("check").exit_code == 0
    assert "2026-11 is back" in typed("unarchive", "2026-11").stderr
    assert scoring_plant.sql("SELECT count(*) FROM bi.part") == [(9,)]
