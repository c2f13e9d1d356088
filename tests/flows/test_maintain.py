"""The daily upkeep, its commands, and the flows under the rights that a plant gives them."""

import json
from datetime import UTC, datetime

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
    from datetime import timedelta

    from flows import maintain

    monkeypatch.setattr(maintain, "_CHECKED_BACK", timedelta(days=36_500))
    scored(scoring_plant)
    damage(scoring_plant)
    with pytest.raises(RollupsWrong, match=r"cam1, 2026-11-23 07:00 UTC: .*images 11, should be 10"):
        maintain.maintain()


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
