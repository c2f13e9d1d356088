"""The hourly job from bucket to verdict, on real parts."""

import os
from datetime import timedelta

import pytest

from casting_core.errors import ArtifactCorrupt, ArtifactMissing, BucketMissing
from db.errors import NoChampion, UnknownModel
from flows.errors import ScoringIncomplete
from tests.flows.conftest import NOW, picture

HOUR = "cam1/2026/11/23/07"


def run(**parameters):
    from flows.score import score

    return score(until=NOW, **parameters)


def assert_counts_add_up(plant):
    """images = scored + quarantined + backlog, and every run's counts are those of its rows."""
    ((images, judged, quarantined),) = plant.sql(
        "SELECT (SELECT count(*) FROM image), (SELECT count(DISTINCT image_id) FROM verdict), "
        "(SELECT count(*) FROM quarantine)"
    )
    ((backlog,),) = plant.sql(
        "SELECT count(*) FROM image WHERE image_id NOT IN (SELECT image_id FROM verdict) "
        "AND image_id NOT IN (SELECT image_id FROM quarantine)"
    )
    assert images == judged + quarantined + backlog
    assert not plant.sql(
        "SELECT run_id FROM scoring_run "
        "WHERE scored <> (SELECT count(*) FROM verdict v WHERE v.run_id = scoring_run.run_id) "
        "OR quarantined <> (SELECT count(*) FROM quarantine q WHERE q.run_id = scoring_run.run_id)"
    )
    return images, judged, quarantined, backlog


def test_new_images_become_verdicts_and_the_summary_is_what_the_database_holds(scoring_plant):
    scoring_plant.put_many(20)
    scoring_plant.put(f"{HOUR}/Q1__top.png", picture(5, form="PNG"))
    scoring_plant.put(f"{HOUR}/broken.jpg", b"not a picture at all")
    scoring_plant.put(f"{HOUR}/notes.txt", b"shift hand-over")

    summary = run()

    assert (summary.discovered, summary.scored, summary.quarantined, summary.backlog) == (22, 21, 1, 0)
    assert summary.unmatched_keys == 1
    assert assert_counts_add_up(scoring_plant) == (22, 21, 1, 0)
    ((state, examples, stored),) = scoring_plant.sql("SELECT state, unmatched_examples, scored FROM scoring_run")
    assert (state, examples, stored) == ("completed", [f"{HOUR}/notes.txt"], 21)
    assert scoring_plant.sql("SELECT reason FROM quarantine") == [("not_an_image",)]
    assert scoring_plant.sql("SELECT view FROM image WHERE part_id = 'Q1'") == [("top",)]
    assert scoring_plant.sql("SELECT count(*) FROM part_verdict") == [(21,)]


def test_the_table_artifact_in_prefect_shows_the_summary(scoring_plant):
    from prefect.artifacts import Artifact

    scoring_plant.put_many(3)
    summary = run()
    artifact = Artifact.get("scoring-run")
    assert str(summary.run_id) in artifact.data
    assert '"scored": 3' in artifact.data


def test_a_second_run_finds_nothing_to_do(scoring_plant):
    scoring_plant.put_many(10)
    run()
    again = run()
    assert (again.discovered, again.scored, again.quarantined, again.backlog) == (0, 0, 0, 0)
    assert scoring_plant.sql("SELECT count(*) FROM verdict") == [(10,)]


def test_an_empty_hour_is_a_completed_run_of_nothing(scoring_plant):
    summary = run()
    assert (summary.discovered, summary.scored, summary.backlog) == (0, 0, 0)
    assert scoring_plant.sql("SELECT state FROM scoring_run") == [("completed",)]


def test_an_overwritten_picture_is_judged_anew_and_the_old_verdict_stays(scoring_plant):
    path = scoring_plant.put(f"{HOUR}/P1.jpg", picture(1))
    run()
    path.unlink()
    scoring_plant.put(f"{HOUR}/P1.jpg", picture(2, defective=True))
    summary = run()
    assert (summary.discovered, summary.scored) == (1, 1)
    assert scoring_plant.sql(
        "SELECT count(*), count(DISTINCT uri), count(DISTINCT etag) FROM current_verdict JOIN image "
        "USING (image_id, captured_at, uri)"
    ) == [(2, 1, 2)]
    assert scoring_plant.sql("SELECT views FROM part_verdict") == [(1,)]


def test_a_late_image_inside_the_look_back_is_picked_up_by_the_next_run(scoring_plant):
    run()
    scoring_plant.put("cam1/2026/11/21/09/late.jpg")
    scoring_plant.put("cam1/2026/11/21/07/too-late.jpg")
    assert run().discovered == 1
    assert scoring_plant.sql("SELECT part_id FROM part_verdict") == [("late",)]
    assert run(since=NOW - timedelta(hours=50)).discovered == 1


def test_images_after_the_window_wait_for_their_own_run(scoring_plant):
    scoring_plant.put("cam1/2026/11/23/09/next.jpg")
    assert run().discovered == 0


def test_only_the_lines_asked_for_are_scored(scoring_plant):
    scoring_plant.put_many(2, line="cam1")
    scoring_plant.put_many(3, line="cam2")
    assert run(lines=["cam2"]).scored == 3
    assert run().scored == 2


def test_a_file_still_being_written_is_left_for_the_next_run(scoring_plant):
    from flows.score import score

    path = scoring_plant.put(f"{HOUR}/young.jpg")
    os.utime(path)
    assert (first := score(until=NOW)).unsettled == 1
    assert first.discovered == 0
    old = NOW.timestamp() - 7200
    os.utime(path, (old, old))
    assert run().discovered == 1


def test_another_model_adds_verdicts_beside_the_old(scoring_plant):
    scoring_plant.put_many(4)
    run()
    challenger = scoring_plant.publish(seed=1, promote=False)
    assert run(model=challenger.version).scored == 4
    assert scoring_plant.sql("SELECT count(*), count(DISTINCT model_id) FROM verdict") == [(8, 2)]
    champion = scoring_plant.sql("SELECT version FROM model WHERE state = 'champion'")
    assert scoring_plant.sql("SELECT DISTINCT model FROM current_verdict") == champion


def test_a_picture_deleted_after_the_listing_is_quarantined_as_missing(scoring_plant):
    from uuid import uuid4

    from prefect import flow

    from casting_core.types import ScoringRun, Window
    from db.models import champion
    from flows.score import _open, _score_backlog, discover_images
    from flows.settings import load_settings

    path = scoring_plant.put(f"{HOUR}/gone.jpg")
    scoring_plant.put(f"{HOUR}/there.jpg")
    resources = scoring_plant.resources
    with resources.engine.connect() as connection:
        model = champion(connection)
    scoring_run = ScoringRun(run_id=uuid4(), model=model, window=Window(since=NOW - timedelta(hours=3), until=NOW))

    @flow(name="delete between listing and fetching")
    def interrupted():
        _open(resources, scoring_run)
        discover_images(scoring_run)
        path.unlink()
        return _score_backlog(resources, scoring_run)

    assert interrupted() == []
    assert load_settings() == resources.settings
    assert scoring_plant.sql("SELECT reason FROM quarantine") == [("missing",)]
    assert scoring_plant.sql("SELECT count(*) FROM verdict") == [(1,)]


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (lambda folder: (folder / "weights.safetensors").unlink(), ArtifactMissing, "Restore it"),
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"0" * 100), ArtifactCorrupt, "damaged"),
        (lambda folder: (folder / "card.json").write_text("{}"), ArtifactCorrupt, "registry says"),
    ],
    ids=["weights missing", "weights damaged", "card changed"],
)
def test_a_champion_that_cannot_be_loaded_stops_the_run_before_anything_is_claimed(scoring_plant, damage, error, says):
    scoring_plant.put_many(3)
    (folder,) = (scoring_plant.home / "models").iterdir()
    damage(folder)
    with pytest.raises(error, match=says):
        run()
    assert scoring_plant.sql("SELECT count(*) FROM image") == [(0,)]
    assert scoring_plant.sql("SELECT count(*) FROM scoring_run") == [(0,)]


def test_without_a_champion_the_run_says_what_to_do(plant, prefect_server):
    with pytest.raises(NoChampion, match="Train and promote"):
        run()


def test_an_unknown_version_is_named_with_those_there_are(scoring_plant):
    with pytest.raises(UnknownModel, match="squeezenet1_1"):
        run(model="v17")


def test_a_bucket_that_does_not_exist_fails_the_run_and_says_so_in_its_row(scoring_plant, monkeypatch, tmp_path):
    monkeypatch.setenv("CASTING_IMAGES_URL", (tmp_path / "nowhere").as_uri())
    with pytest.raises(BucketMissing, match="does not exist"):
        run()
    ((state, error),) = scoring_plant.sql("SELECT state, error FROM scoring_run")
    assert state == "failed"
    assert "BucketMissing" in error


def test_storage_that_fails_for_good_leaves_backlog_and_quarantines_nothing(scoring_plant, monkeypatch):
    from casting_core import storage
    from casting_core.errors import StorageUnavailable

    scoring_plant.put_many(12)

    def unavailable(_self, path, _etag):
        raise StorageUnavailable(f"no answer for {path}")

    with monkeypatch.context() as patched:
        patched.setattr(storage.LocalStore, "_read", unavailable)
        with pytest.raises(ScoringIncomplete, match="12 images stayed backlog"):
            run()
    assert assert_counts_add_up(scoring_plant) == (12, 0, 0, 12)
    assert scoring_plant.sql("SELECT state, backlog FROM scoring_run") == [("failed", 12)]
    assert run().scored == 12
