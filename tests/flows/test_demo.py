"""The demonstration in small: the same story with few castings and one epoch."""

import io
from datetime import UTC, datetime

import pytest
from PIL import Image

from casting_core.errors import InvalidDataset
from casting_core.presets import Preset
from casting_core.synthetic_dataset import render_castings
from casting_core.training import Recipe
from flows import demo as story
from flows.commands import demo as command
from flows.settings import load_settings
from tests.flows.conftest import picture


@pytest.fixture
def small(monkeypatch):
    """A demonstration that takes seconds."""
    preset = Preset(backbone="squeezenet1_1", side=64, split="group", recipe=Recipe(epochs=1, crop_epochs=1))
    plan = story.DemoPlan(pretrained="none", preset=preset)
    monkeypatch.setattr(story, "SEEDED", 10)
    monkeypatch.setattr(story, "PARTS_PER_HOUR", 25)
    monkeypatch.setattr(story, "PICTURE_SIDE", 96)
    monkeypatch.setattr(story, "plan_for", lambda *_args, **_more: plan)


def test_it_ends_with_tables_a_picture_and_the_way_on(plant, prefect_server, small, monkeypatch, capsys):
    monkeypatch.delenv("CASTING_IMAGES_URL")
    command._run(load_settings(), None, "none")
    shown = capsys.readouterr()
    assert "Defect rate by line and hour" in shown.out
    assert "truncated" in shown.out
    assert "not_an_image" in shown.out
    assert "db sql" in shown.err
    # So small a model may find no climb; either way the demonstration says what came of it.
    alerts = plant.sql("SELECT alert_id FROM alert WHERE state <> 'resolved'")
    assert ("No alert: as judged" in shown.err) == (not alerts)
    assert plant.sql("SELECT count(DISTINCT stream) FROM stream_state") == [(len(story.LINES),)]
    assert plant.sql("SELECT DISTINCT why FROM baseline") == [
        ("the first hours of the demonstration, in which all is well",)
    ]
    with Image.open(plant.home / "contact-sheet.png") as sheet:
        assert sheet.width > 1000
        assert len(sheet.getcolors(maxcolors=1 << 20)) > 100
    parts = len(story.LINES) * story.HOURS * 25
    assert plant.sql("SELECT count(*) FROM part_verdict") == [(parts - 2,)]
    assert plant.sql("SELECT count(*) FROM scoring_run WHERE state = 'completed'") == [(3,)]
    assert plant.sql("SELECT count(*) FROM image") == [(parts,)]


def test_the_lines_show_castings_that_were_not_trained_on(small, tmp_path):
    training, shown = story.labelled_castings(tmp_path, None)
    assert not {file.group for file in training} & {file.group for file in shown}
    assert {file.label for file in training} == {file.label for file in shown} == {"ok", "defective"}


def test_a_folder_of_real_castings_is_split_so_that_no_picture_is_on_both_sides(tmp_path):
    for label in ("ok", "def"):
        (tmp_path / f"{label}_front").mkdir()
        for number in range(8):
            content = picture(number, defective=label == "def")
            (tmp_path / f"{label}_front" / f"{number}.jpeg").write_bytes(content)
    training, shown = story.labelled_castings(tmp_path / "home", tmp_path)
    assert len(training) + len(shown) == 16
    assert not {file.name for file in training} & {file.name for file in shown}
    assert {file.label for file in shown} == {"ok", "defective"}


def test_a_folder_without_one_class_is_refused(tmp_path):
    (tmp_path / "ok_front").mkdir()
    (tmp_path / "ok_front" / "1.jpeg").write_bytes(picture(1))
    with pytest.raises(InvalidDataset, match="defective"):
        story.labelled_castings(tmp_path / "home", tmp_path)


def test_hours_shown_are_over_and_whole():
    assert story.first_hour(datetime(2026, 11, 23, 8, 59, tzinfo=UTC)) == datetime(2026, 11, 23, 5, tzinfo=UTC)


def test_rendered_castings_say_where_their_defect_is(tmp_path):
    files = render_castings(tmp_path, seeded=2, size=96)
    assert [file.label for file in files] == ["ok", "defective"] * 2
    assert [file.group for file in files] == [0, 0, 1, 1]
    assert [file.mark is None for file in files] == [True, False, True, False]
    for file in files:
        with Image.open(io.BytesIO((tmp_path / file.name).read_bytes())) as image:
            assert image.size == (96, 96)
