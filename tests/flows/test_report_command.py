"""`casting report` writes a page that a person can read without a network."""

import re
import uuid
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from flows.cli import app
from tests.plant_month import seed_month

# A Tuesday, so that both periods of a week hold the same weekdays.
END = datetime(2026, 11, 24, 21, tzinfo=UTC)


def report(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


@pytest.fixture
def month(plant):
    """Eleven days of the plant of three lines, the second of which climbs in the last third."""
    with plant.resources.engine.begin() as connection:
        seed_month(connection, root=plant.bucket.as_uri(), end=END, parts_an_hour=8, days=11, folder=plant.bucket)
    return plant


def page_of(tmp_path, *arguments):
    out = tmp_path / f"{uuid.uuid4().hex}.html"
    done = report("--until", "2026-11-24T21:00:00", "--out", out, *arguments)
    assert done.exit_code == 0, done.output
    return out.read_text(encoding="utf-8")


def test_a_page_holds_everything_and_needs_no_network(month, tmp_path):
    page = page_of(tmp_path, "--since", "2026-11-19T21:00:00")
    (inspected,) = month.sql("SELECT sum(inspected) FROM bi.defect_rate_hourly WHERE hour >= '2026-11-19T21:00Z'")[0]
    assert f"{inspected:,}</td>" in page
    for said in ("Defect rate by hour", "defect rate climb", "mould", "M7", "Worst parts", "resnet-2026-10"):
        assert said in page
    assert page.count("data:image/png") == 1
    assert page.count("data:image/jpeg") >= 10
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "<script" not in page


def test_a_report_of_a_line_is_of_that_line_alone(month, tmp_path):
    page = page_of(tmp_path, "--line", "cam1")
    assert "Defect history of cam1" in page
    assert "cam2" not in page


def test_pictures_are_linked_if_told_so(month, tmp_path):
    page = page_of(tmp_path, "--link-pictures")
    assert "data:image/jpeg" not in page
    assert f'<img src="{month.bucket.as_uri()}/cam' in page


def test_a_picture_that_is_gone_leaves_its_part_in_the_report(month, tmp_path):
    for path in month.bucket.rglob("*.jpg"):
        path.unlink()
    page = page_of(tmp_path)
    assert "no picture<br>to be had" in page
    assert "data:image/jpeg" not in page


def test_an_empty_history_gives_a_report_that_says_so(plant, tmp_path):
    page = page_of(tmp_path)
    assert "No part was inspected in this time." in page
    assert "None judged a part in this time." in page
    assert "<img" not in page


def test_times_are_those_of_the_plant(plant, tmp_path, monkeypatch):
    monkeypatch.setenv("CASTING_IMAGES_TIMEZONE", "Europe/Berlin")
    out = tmp_path / "report.html"
    assert report("--since", "2026-11-20T00:00:00", "--until", "2026-11-21T00:00:00", "--out", out).exit_code == 0
    assert "20 Nov 2026 00:00 to 21 Nov 2026 00:00 (Europe/Berlin)" in re.sub(
        r"<[^>]+>|\s+", " ", out.read_text(encoding="utf-8")
    ).replace("  ", " ")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--line", "cam9"], "No pictures of a line 'cam9' are known. The lines are: none yet."),
        (["--out", "/nowhere/report.html"], "cannot be written to /nowhere/report.html"),
        (["--since", "2026-11-24T00:00:00", "--until", "2026-11-23T00:00:00"], "The window is empty"),
    ],
)
def test_what_cannot_be_reported_is_said_in_one_line(plant, arguments, complaint):
    done = report(*arguments)
    assert done.exit_code == 1
    assert complaint in done.stderr.replace("\n", " ")
