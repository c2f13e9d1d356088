"""`casting labels`, as a person types it."""

import json

import pytest
from typer.testing import CliRunner

from flows.cli import app
from tests.db.builders import make_known, stored_image


@pytest.fixture
def casting(plant):
    """Run `casting` within this process, on a plant with three known images."""
    root = plant.resources.store.url
    make_known(plant.resources.engine, [stored_image(part, uri=f"{root}/{part}.jpg") for part in ("P1", "P2", "P3")])

    def run(*arguments):
        return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)

    return run


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image,label,why\nP1.jpg,ok,\nP2.jpg,defective,pinhole\n", encoding="utf-8")
    return path


def test_labels_come_in_are_listed_and_go_out_and_in_again(plant, casting, file, tmp_path, monkeypatch):
    monkeypatch.setenv("CASTING_USER", "anna")
    assert "2 labels recorded" in casting("labels", "import", file).stderr
    assert json.loads(casting("labels", "import", file, "--json").stdout) == {"added": 0, "changed": 0, "unchanged": 2}
    listed = json.loads(casting("labels", "list", "--json").stdout)
    assert (listed["ok"], listed["defective"]) == (1, 1)
    assert {(row["part_id"], row["label"], row["who"], row["why"]) for row in listed["newest"]} == {
        ("P1", "ok", "anna", ""),
        ("P2", "defective", "anna", "pinhole"),
    }
    shown = casting("labels", "list", "--line", "line-1")
    assert "pinhole" in shown.stdout
    assert "1 images are labelled ok, 1 defective" in shown.stderr
    for name in ("out.csv", "out.parquet"):
        casting("labels", "export", tmp_path / name)
        assert json.loads(casting("labels", "import", tmp_path / name, "--json").stdout)["unchanged"] == 2
    assert plant.sql("SELECT count(*) FROM label") == [(2,)]


def test_who_labelled_can_be_said(plant, casting, file):
    casting("labels", "import", file, "--who", "ben")
    assert plant.sql("SELECT DISTINCT who FROM label") == [("ben",)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("P1.jpg,ok\nelsewhere.jpg,ok\n", "row 3: 1 labels are for images that no run has discovered"),
        ("P1.jpg,ok\nP2.jpg,fine\n", "row 3 (P2.jpg: fine) have a label that is neither ok nor defective"),
        ("P1.jpg,ok\nP1.jpg,defective\n", "disagree about an image"),
    ],
    ids=["unknown image", "unknown label", "disagreement"],
)
def test_a_file_with_a_row_that_cannot_be_used_is_not_recorded_by_half(plant, casting, tmp_path, rows, message):
    path = tmp_path / "labels.csv"
    path.write_text(f"image,label\n{rows}", encoding="utf-8")
    done = casting("labels", "import", path)
    assert done.exit_code == 1
    assert message in done.stderr
    assert plant.sql("SELECT count(*) FROM label") == [(0,)]


def test_a_file_that_is_not_there_is_named(casting, tmp_path):
    done = casting("labels", "import", tmp_path / "nowhere.csv")
    assert done.exit_code == 1
    assert "nowhere.csv cannot be read: No such file" in done.stderr
