"""Retraining from labels to the champion of the next hourly run; whatever fails, the champion before stays."""

import io
import json
import re
from uuid import uuid4

import pytest

from casting_core.errors import InvalidDataset, StorageUnavailable
from casting_core.gate import GateLimits
from casting_core.registry_types import GivenLabel
from casting_core.types import StoredImage
from db import images, labels
from flows.retrain_parameters import RetrainParameters
from tests.flows.conftest import NOW
from tests.quick_training import plain_casting, train_on_shuffled_labels, train_quickly

CASTINGS = 60
# What 60 castings can show: 15 golden ones of each class settle a margin of 20 %.
LIMITS = GateLimits(escape_margin=0.2, false_reject_margin=0.2, first_escapes=0.2, first_false_rejects=0.2)


@pytest.fixture
def works(plant, prefect_server, monkeypatch):
    """A plant with labelled images, and training that takes a blink."""
    monkeypatch.setattr("flows.retrain.train_model", train_quickly)
    # The report of a trained model has tests of its own, and takes longer than all the rest here.
    monkeypatch.setattr("flows.retrain.report_files", lambda _dataset, _trained: {"report.html": b"<p>fine</p>"})
    label(plant, range(CASTINGS))
    return plant


def label(plant, numbers, *, wrong=()):
    """Put castings into the bucket, the odd ones defective, and label them; those in `wrong` the other way round."""
    for number in numbers:
        content = io.BytesIO()
        plain_casting(number, defective=bool(number % 2)).save(content, "PNG")
        plant.put(f"cam1/2026/11/23/07/P{number:04d}.png", content.getvalue())
    resources = plant.resources
    known = [
        StoredImage(
            uri=resources.store.uri(found.key),
            etag=found.etag,
            size=found.size,
            line="cam1",
            part_id=found.key[-9:-4],
            view="",
            captured_at=NOW,
            stored_at=found.stored_at,
        )
        for found in resources.store.walk()
    ]
    given = [
        GivenLabel(
            uri=resources.store.uri(f"cam1/2026/11/23/07/P{number:04d}.png"),
            label="defective" if (number % 2 == 1) != (number in wrong) else "ok",
            who="anna",
        )
        for number in numbers
    ]
    with resources.engine.begin() as connection:
        images.insert_images(connection, known)
        labels.add_labels(connection, given)


def retrain(**choices):
    from flows.retrain import retrain as flow

    return flow(RetrainParameters(**{"golden_share": 0.5, "gate": LIMITS, "min_new_labels": 10} | choices))


def states(plant):
    return dict(plant.sql("SELECT version, state FROM model"))


def test_good_models_are_promoted_and_the_next_hourly_run_scores_with_the_newest(works):
    from prefect.artifacts import Artifact

    from flows.score import score

    first = retrain()
    assert first.outcome == "promoted", first.why
    assert (first.images, first.new_labels, first.golden_castings, first.champion) == (CASTINGS, CASTINGS, 30, None)
    assert states(works) == {first.challenger: "champion"}
    shown = Artifact.get("retraining").data
    assert "# Retraining: promoted" in shown
    assert "there is no champion to compare with" in shown
    assert '"model": "challenger"' in Artifact.get("retraining-metrics").data
    assert f"{first.challenger}/report.html" in Artifact.get("retraining-report").data

    again = retrain()
    assert again.outcome == "too_few_labels"
    assert "0 labels are new" in again.why
    assert states(works) == {first.challenger: "champion"}

    label(works, range(CASTINGS, CASTINGS + 20))
    second = retrain(seed=1)
    assert second.outcome == "promoted", second.why
    assert (second.new_labels, second.golden_castings, second.champion) == (20, 40, first.challenger)
    assert states(works) == {first.challenger: "retired", second.challenger: "champion"}
    assert score(until=NOW).model == second.challenger
    ((wrong,),) = works.sql(
        "SELECT count(*) FROM current_verdict JOIN current_label USING (image_id) WHERE verdict <> label"
    )
    assert wrong <= 4
    assert works.sql("SELECT state, outcome, phase FROM retrain_run ORDER BY started_at") == [
        ("completed", "promoted", "register"),
        ("completed", "too_few_labels", "snapshot"),
        ("completed", "promoted", "register"),
    ]
    # What the first run kept apart, the second one did not train on either.
    assert works.sql("SELECT count(*), count(DISTINCT casting) FROM golden_image") == [(40, 40)]
    assert not (works.home / "retraining").exists()


def test_a_model_trained_on_shuffled_labels_is_refused_and_the_champion_stays(works, monkeypatch):
    first = retrain()
    label(works, range(CASTINGS, CASTINGS + 20))
    monkeypatch.setattr("flows.retrain.train_model", train_on_shuffled_labels)
    second = retrain()
    assert second.outcome == "candidate"
    assert second.why.startswith("The gate refused it.")
    failed = {check["name"] for check in second.checks if not check["passed"]}
    # Sure of what is wrong, or of nothing at all and all to be reviewed: how it judges keeps it out, and nothing else.
    assert failed
    assert failed <= {"escapes", "false rejects", "review", "calibration"}
    assert states(works) == {first.challenger: "champion", second.challenger: "candidate"}
    ((event, why),) = works.sql(
        "SELECT event, why FROM model_event JOIN model USING (model_id) WHERE version = :version",
        version=second.challenger,
    )
    assert event == "registered"
    assert "The gate refused it" in why


def test_with_auto_promote_off_a_person_promotes(works, monkeypatch):
    monkeypatch.setenv("CASTING_AUTO_PROMOTE", "false")
    summary = retrain()
    assert summary.outcome == "candidate"
    assert "a person promotes" in summary.why
    assert all(check["passed"] for check in summary.checks)
    assert states(works) == {summary.challenger: "candidate"}


def test_a_small_golden_set_is_no_evidence_and_the_run_says_how_many_castings_it_takes(works):
    summary = retrain(gate=GateLimits())
    assert summary.outcome == "candidate"
    needed = {check["name"]: check["castings_needed"] for check in summary.checks if not check["passed"]}
    assert set(needed) == {"escapes", "false rejects"}
    assert needed["escapes"] >= 59
    assert needed["false rejects"] >= 29
    assert "15 castings are too few" in summary.why


def test_a_champion_promoted_meanwhile_is_not_replaced_by_what_was_compared_with_another(works, monkeypatch):
    from flows import retrain as module

    def promote_another(*arguments):
        works.publish(seed=3)
        return gate_checks(*arguments)

    gate_checks = module.check_reproduction
    monkeypatch.setattr(module, "check_reproduction", promote_another)
    summary = retrain()
    assert summary.outcome == "candidate"
    assert "The champion changed while this retraining ran" in summary.why
    assert states(works)[summary.challenger] == "candidate"


@pytest.mark.parametrize(
    ("broken", "phase"),
    [
        ("train_model", "train"),
        ("compare", "compare"),
        ("retraining.complete", "register"),
        *(
            pytest.param(broken, phase, marks=pytest.mark.slow)
            for broken, phase in (
                ("freeze", "snapshot"),
                ("group_castings", "split"),
                ("publish_artifact", "publish"),
                ("check_reproduction", "decide"),
            )
        ),
    ],
)
def test_a_failure_anywhere_leaves_the_champion_and_says_where_and_why(works, monkeypatch, broken, phase):
    champion = works.publish()

    def fail(*_arguments, **_options):
        raise InvalidDataset("so said the test")

    monkeypatch.setattr(f"flows.retrain.{broken}", fail)
    with pytest.raises(InvalidDataset, match="so said the test"):
        retrain()
    assert states(works) == {champion.version: "champion"}
    assert works.sql("SELECT state, phase, why FROM retrain_run") == [
        ("failed", phase, "InvalidDataset: so said the test")
    ]
    assert works.sql("SELECT (SELECT count(*) FROM snapshot_label), (SELECT count(*) FROM golden_image)") == [(0, 0)]


def test_storage_that_recovers_is_asked_again(works, monkeypatch):
    from flows import retrain as module

    publish, failures = module.publish_artifact, iter([True, True, False])

    def fail_twice(*arguments, **options):
        if next(failures):
            raise StorageUnavailable("no answer")
        return publish(*arguments, **options)

    monkeypatch.setattr(module, "publish_artifact", fail_twice)
    assert retrain().outcome == "promoted"


def test_two_at_once_are_one(works):
    from db import retraining

    with retraining.one_at_a_time(works.resources.engine):
        summary = retrain()
        assert (summary.outcome, summary.why) == (
            "already_running",
            "Another retraining is running, so this one left.",
        )
        assert works.sql("SELECT count(*) FROM retrain_run") == [(0,)]
        with works.resources.engine.begin() as connection:
            retraining.open_retraining(connection, uuid4(), who="anna", flow_run_id=None)
        assert re.search(r"is running \(begun by anna at \d{4}-.* UTC, now: snapshot\), so this", retrain().why)


def test_one_class_alone_is_refused_by_name(plant, prefect_server):
    label(plant, range(0, 40, 2))
    with pytest.raises(InvalidDataset, match="no image labelled defective"):
        retrain()
    assert plant.sql("SELECT state FROM retrain_run") == [("failed",)]


def test_a_folder_beside_the_database_is_learnt_from_too_and_broken_pictures_are_counted(works, tmp_path):
    for number in range(100, 120):
        folder = tmp_path / "more" / ("defective" if number % 2 else "ok")
        folder.mkdir(parents=True, exist_ok=True)
        plain_casting(number, defective=bool(number % 2)).save(folder / f"{number}.png")
    works.bucket.joinpath("cam1/2026/11/23/07/P0000.png").unlink()
    summary = retrain(data=str(tmp_path / "more"))
    assert (summary.images, summary.left_out) == (CASTINGS - 1 + 20, 1)
    assert summary.outcome in ("promoted", "candidate")


def test_the_command_says_what_came_of_it(works):
    from typer.testing import CliRunner

    from flows.cli import app

    def casting(*arguments):
        return CliRunner().invoke(app, ["retrain", *arguments], catch_exceptions=False)

    early = json.loads(casting("--min-new-labels", "1000", "--json").stdout)
    assert (early["outcome"], early["new_labels"]) == ("too_few_labels", CASTINGS)
    done = casting("--golden-share", "0.5", "--no-promote")
    assert done.exit_code == 0
    assert "against no champion" in done.stdout
    assert "15 castings are too few" in done.stdout
    assert "candidate  The gate refused it." in done.stderr
    wrong = casting("--golden-share", "2")
    assert wrong.exit_code == 2
    assert "golden-share" in wrong.stderr
