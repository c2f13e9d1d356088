"""`casting models`, as a person types it."""

import hashlib
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from casting_core.golden import store_golden_pictures
from casting_core.held_out import HeldOut
from casting_core.predictions import PREDICTIONS, write_predictions
from casting_core.registry_types import GoldenImage
from db.golden import freeze_golden
from flows.cli import app
from tests.flows.conftest import picture


@pytest.fixture
def casting(plant, monkeypatch):
    """Run `casting` within this process, as anna."""
    monkeypatch.setenv("CASTING_USER", "anna")

    def run(*arguments):
        return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)

    return run


@pytest.fixture
def versions(plant):
    """Two models, the second one champion after the first."""
    return [plant.publish(seed=seed).version for seed in (0, 1)]


def states(plant):
    return dict(plant.sql("SELECT version, state FROM model"))


def test_models_are_listed_and_shown_with_what_happened_to_them(casting, versions):
    listed = json.loads(casting("models", "list", "--json").stdout)
    assert [(row["version"], row["state"]) for row in listed] == [(versions[1], "champion"), (versions[0], "retired")]
    assert versions[0] in casting("models", "list").stdout
    shown = json.loads(casting("models", "show", versions[0], "--json").stdout)
    assert [event["event"] for event in shown["events"]] == ["retired", "promoted", "registered"]
    assert shown["card"]["architecture"] == "squeezenet1_1"
    table = casting("models", "show", versions[0]).stdout
    assert f"replaced by {versions[1]}" in table


def test_a_person_promotes_and_rolls_back_and_says_why(plant, casting, versions):
    assert casting("models", "promote", versions[0], "--why", "the new one rejects too much").exit_code == 0
    assert states(plant) == {versions[0]: "champion", versions[1]: "retired"}
    done = casting("models", "rollback", "--why", "a mistake")
    assert f"{versions[1]} is the champion again: the next hourly run judges with it" in done.stderr
    assert states(plant) == {versions[0]: "retired", versions[1]: "champion"}
    assert plant.sql("SELECT who, why FROM model_event ORDER BY event_id DESC LIMIT 2") == [
        ("anna", f"rolled back from {versions[0]}: a mistake"),
        ("anna", "a mistake"),
    ]


@pytest.mark.parametrize("order", [("promote", "{damaged}"), ("rollback",)])
def test_a_model_whose_artifact_is_damaged_does_not_become_champion(plant, casting, versions, order):
    (plant.home / "models" / versions[0] / "weights.safetensors").write_bytes(b"damaged")
    done = casting("models", *(part.format(damaged=versions[0]) for part in order), "--why", "to try")
    assert done.exit_code == 1
    assert "restore the artifact" in done.stderr
    assert states(plant) == {versions[0]: "retired", versions[1]: "champion"}
    assert plant.sql("SELECT count(*) FROM model_event") == [(5,)]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (("promote", "v9", "--why", "x"), "No model 'v9' is registered"),
        (("show", "v9"), "No model 'v9' is registered"),
        (("rollback", "--why", "x"), "No model is promoted"),
        (("compare", "v8", "v9"), "No model 'v8' is registered"),
        (("thresholds", "v9"), "No model 'v9' is registered"),
    ],
)
def test_what_is_not_there_is_said(casting, order, message):
    done = casting("models", *order)
    assert done.exit_code == 1
    assert message in done.stderr


def test_a_change_without_a_reason_is_refused(plant, casting, versions):
    assert casting("models", "promote", versions[0]).exit_code == 2
    assert states(plant)[versions[0]] == "retired"


def test_two_models_are_compared_on_the_golden_set(plant, casting, versions):
    without = casting("models", "compare", *versions)
    assert without.exit_code == 1
    assert "no golden set yet" in without.stderr
    freeze(plant, 4)
    compared = json.loads(casting("models", "compare", *versions, "--json").stdout)
    assert compared["challenger"]["by_image"]["n"] == compared["champion"]["by_image"]["n"] == 4
    assert not compared["passed"]
    assert {check["name"]: check["castings_needed"] for check in compared["checks"]} == {
        "review": None,
        "escapes": 149,
        "false rejects": 59,
    }
    done = casting("models", "compare", *versions)
    assert versions[1] in done.stdout
    assert "2 castings are too few" in done.stderr


def test_thresholds_are_chosen_again_from_stored_predictions_as_a_new_candidate(plant, casting, versions):
    lacking = casting("models", "thresholds", versions[1])
    assert lacking.exit_code == 1
    assert "lacks" in lacking.stderr
    folder = plant.home / "models" / versions[1]
    (folder / PREDICTIONS).write_bytes(write_predictions(held_out()))
    dear, cheap = (
        json.loads(casting("models", "thresholds", versions[1], "--escape-cost", cost, "--json").stdout)
        for cost in (1000, 0.001)
    )
    assert dear["state"] == cheap["state"] == "candidate"
    assert dear["thresholds"]["ok_below"] < cheap["thresholds"]["ok_below"]
    assert states(plant)[versions[1]] == "champion"
    old, new = (
        (plant.home / "models" / version / "weights.safetensors").read_bytes()
        for version in (versions[1], dear["version"])
    )
    assert old == new
    assert casting("models", "promote", dear["version"], "--why", "escapes are dear").exit_code == 0
    refused = casting("models", "thresholds", versions[1], "--most-escapes", "2")
    assert refused.exit_code == 1
    assert "most_escapes" in refused.stderr


def test_a_model_trained_elsewhere_is_registered_whole_and_once(plant, casting, tmp_path):
    version = plant.publish(promote=False).version
    elsewhere = tmp_path / version
    (plant.home / "models" / version).rename(elsewhere)
    again = casting("models", "register", elsewhere)
    assert again.exit_code == 1
    assert "is registered already" in again.stderr
    with plant.resources.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE model_event DISABLE TRIGGER USER")
        connection.exec_driver_sql("DELETE FROM model_event")
        connection.exec_driver_sql("DELETE FROM model")
    (elsewhere / PREDICTIONS).write_bytes(write_predictions(held_out()))
    (elsewhere / ".card.json.partial").write_bytes(b"half")
    assert casting("models", "register", elsewhere).exit_code == 0
    assert states(plant) == {version: "candidate"}
    kept = sorted(path.name for path in (plant.home / "models" / version).iterdir())
    assert kept == ["card.json", PREDICTIONS, "weights.safetensors"]
    assert casting("models", "promote", version, "--why", "it is good").exit_code == 0


def freeze(plant, count):
    contents = [picture(seed, defective=bool(seed % 2)) for seed in range(count)]
    store_golden_pictures((plant.home / "models").as_uri(), contents)
    golden = [
        GoldenImage(
            sha256=hashlib.sha256(content).hexdigest(),
            uri=f"{seed}.jpg",
            label="defective" if seed % 2 else "ok",
            casting=seed,
            part_id=None,
        )
        for seed, content in enumerate(contents)
    ]
    with plant.resources.engine.begin() as connection:
        freeze_golden(connection, golden)


def held_out():
    """Predictions of many castings, the worst of either class in the other one's place."""
    labels = np.tile([0, 1], 100)
    spread = np.random.default_rng(0).normal(np.where(labels == 1, 0.7, 0.3), 0.15).clip(0.01, 0.99)
    return HeldOut(
        names=tuple(f"{place}.jpg" for place in range(200)),
        labels=labels,
        castings=np.arange(200),
        p_defective=spread,
        folds=np.zeros(200, np.int64),
    )
