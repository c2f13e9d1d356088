"""From labelled pictures to a card: castings held out whole, calibrated, evaluated as served, and the same again."""

import csv
import io
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from casting_core.artifact import publish_artifact, read_artifact
from casting_core.dataset import read_dataset
from casting_core.errors import InvalidDataset, InvalidInput
from casting_core.evaluation import evaluate
from casting_core.grouping import Grouping
from casting_core.model import build_network
from casting_core.pictures import Example
from casting_core.presets import Preset
from casting_core.scoring import load_scorer
from casting_core.synthetic import make_casting, render
from casting_core.training import Recipe
from casting_core.training_run import TrainingPlan, train_examples, train_model

PRESET = Preset(backbone="squeezenet1_1", side=64, split="group", recipe=Recipe(epochs=1))
PLAN = TrainingPlan(preset="test", pretrained="none", folds=2, device="cpu", quantise=False)
ONE_FOLD = TrainingPlan(preset="test", pretrained="none", folds=1, device="cpu", quantise=False)


def picture(number, *, color=False):
    image = Image.fromarray(render(make_casting(number, defective=number % 2 == 1), size=96))
    target = io.BytesIO()
    if color:
        image = Image.merge("RGB", [image, image.point(lambda value: value // 2), image])
    image.save(target, format="PNG")
    return target.getvalue()


def example(number, *, content=None, color=False):
    content = content or picture(number, color=color)
    label = "defective" if number % 2 else "ok"
    return Example(
        name=f"{number}.png", label=label, casting=number // 4 * 2 + number % 2, read=partial(bytes, content)
    )


def examples(count=24, **options):
    return [example(number, **options) for number in range(count)]


@pytest.mark.parametrize("folds", [1, 2])
def test_a_model_reproduces_its_held_out_predictions_through_the_serving_path(tmp_path, folds):
    plan = TrainingPlan(preset="test", pretrained="none", folds=folds, device="cpu")
    shown = examples()
    trained = train_examples(shown, PRESET, plan, workdir=tmp_path / "run")
    assert "int8" in {trained.card.serving.precision, *trained.card.serving.others}
    url, sha256 = publish_artifact(tmp_path.as_uri(), card=trained.card, weights=trained.weights, files=trained.files())
    scorer = load_scorer(read_artifact(url, expected_sha256=sha256), device="cpu")
    held_out = trained.held_out
    found = evaluate(held_out, trained.card.thresholds).to_json()
    assert {name: trained.card.metrics[name] for name in found} == found
    assert len(held_out) == (24 if folds == 2 else (held_out.folds == 0).sum())
    outcomes = scorer.judge({each.name: each.read() for each in shown})
    p_defective = np.array([outcomes[name].p_defective for name in held_out.names])
    as_served = np.array([outcomes[name].p_defective for name in trained.as_served.names])
    assert np.allclose(as_served, trained.as_served.p_defective, atol=1e-3)
    # With one fold the model that predicted is served; with more, one that was trained on everything.
    assert np.allclose(p_defective, held_out.p_defective, atol=1e-3) == (folds == 1)


def test_the_same_manifest_and_seed_give_the_same_model(tmp_path):
    first, second = (train_examples(examples(), PRESET, PLAN, workdir=tmp_path / name) for name in "ab")
    assert first.manifest == second.manifest
    assert first.weights == second.weights
    # Precision follows from a measurement of speed, so the last digits may differ.
    assert np.allclose(first.held_out.p_defective, second.held_out.p_defective, atol=0.01)
    assert first.card.data["manifest_sha256"] == second.card.data["manifest_sha256"]


def test_the_manifest_holds_every_picture_with_its_bytes_casting_and_fold(tmp_path):
    trained = train_examples(examples(), PRESET, PLAN, workdir=tmp_path)
    rows = list(csv.DictReader(io.StringIO(trained.manifest.decode())))
    assert [row["uri"] for row in rows] == [f"{number}.png" for number in range(24)]
    assert len({row["sha256"] for row in rows}) == 24
    split_of = {row["group"]: row["split"] for row in rows}
    assert all(split_of[row["group"]] == row["split"] for row in rows)
    assert set(split_of.values()) == {"fold-0", "fold-1"}


def test_history_has_each_epoch_of_each_fold_with_its_validation(tmp_path):
    steps = []
    trained = train_examples(examples(), PRESET, PLAN, workdir=tmp_path, on_step=steps.append)
    assert [(epoch.fold, epoch.epoch) for epoch in trained.history] == [(0, 1), (1, 1)]
    assert all(0 <= epoch.validation_auroc <= 1 and epoch.validation_loss > 0 for epoch in trained.history)
    assert [step.done for step in steps] == [1, 2, 3]
    assert {step.total for step in steps} == {3}


def test_a_file_that_cannot_be_read_is_left_out_named_and_counted(tmp_path):
    broken = example(24, content=picture(0)[:200])
    trained = train_examples([broken, *examples()], PRESET, PLAN, workdir=tmp_path)
    assert {name: each.reason for name, each in trained.rejected.items()} == {"24.png": "truncated"}
    assert (trained.card.data["images"], trained.card.data["rejected"]) == (24, 1)
    assert "24.png" not in trained.held_out.names


def test_no_file_is_decoded_twice(tmp_path, monkeypatch):
    from casting_core import pictures

    train_examples(examples(), PRESET, PLAN, workdir=tmp_path)
    monkeypatch.setattr(pictures, "read_image", lambda *_args, **_more: pytest.fail("decoded again"))
    train_examples(examples(), PRESET, PLAN, workdir=tmp_path)


def test_files_are_read_for_their_hash_and_to_be_decoded_however_many_epochs_there_are(tmp_path):
    reads = []

    def counting(each):
        def read():
            reads.append(each.name)
            return each.read()

        return Example(name=each.name, label=each.label, casting=each.casting, read=read)

    three = Preset(backbone="squeezenet1_1", side=64, split="group", recipe=Recipe(epochs=3))
    train_examples([counting(each) for each in examples()], three, PLAN, workdir=tmp_path)
    assert max(map(reads.count, reads)) <= 3  # and once more for those of the sample that is looked at for colour


def test_colour_is_kept_where_there_is_any(tmp_path):
    assert train_examples(examples(color=True), PRESET, PLAN, workdir=tmp_path).card.decoding.color == "rgb"
    assert train_examples(examples(), PRESET, PLAN, workdir=tmp_path).card.decoding.color == "grey"


def test_only_broken_files_are_refused(tmp_path):
    broken = [example(number, content=b"no picture") for number in range(8)]
    with pytest.raises(InvalidDataset, match="None of the 8 training files"):
        train_examples(broken, PRESET, PLAN, workdir=tmp_path)


def test_weights_of_another_architecture_are_refused(tmp_path):
    torch.save(build_network("resnet18").state_dict(), tmp_path / "resnet18.pth")
    plan = TrainingPlan(preset="test", pretrained=str(tmp_path / "resnet18.pth"), folds=2)
    with pytest.raises(InvalidInput, match="does not fit a squeezenet1_1"):
        train_examples(examples(), PRESET, plan, workdir=tmp_path)


def grouping_of(castings):
    castings = tuple(castings)
    return Grouping(groups=castings, castings=castings, basis=("part_id",) * len(castings), links=(), complete=True)


def folder_of(path, count, labels=("ok", "defective")):
    for number in range(count):
        folder = path / labels[number % len(labels)]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes(picture(number))
    return read_dataset(str(path))


def test_a_folder_is_trained_on_by_a_named_preset_with_changes(tmp_path):
    dataset = folder_of(tmp_path / "data", 8)
    plan = TrainingPlan(
        preset="seed", backbone="squeezenet1_1", pretrained="none", folds=2, side=64, epochs=1, quantise=False
    )
    trained = train_model(dataset, grouping_of(range(8)), plan, workdir=tmp_path / "run")
    said = trained.card.training
    assert (said["preset"], said["split"], said["epochs"]) == ("seed", "random", 1)
    assert (said["learning_rate"], said["weight_decay"], said["gradient_clip"]) == (0.001, 0.0, 0.0)
    assert set(trained.held_out.names) == {image.uri for image in dataset.images}


def test_a_folder_with_one_class_is_refused(tmp_path):
    dataset = folder_of(tmp_path / "data", 4, labels=("ok",))
    with pytest.raises(InvalidDataset, match="no image labelled defective"):
        train_model(dataset, grouping_of(range(4)), TrainingPlan(), workdir=tmp_path)


def test_a_preset_that_there_is_not_is_refused(tmp_path):
    dataset = folder_of(tmp_path / "data", 4)
    with pytest.raises(InvalidInput, match="There is no preset 'sturdy'; take seed or robust"):
        train_model(dataset, grouping_of(range(4)), TrainingPlan(preset="sturdy"), workdir=tmp_path)


_KILLED_RUN = """
import sys
from pathlib import Path
from casting_core.training_run import train_examples
from tests.casting_core.test_training_run import ONE_FOLD, examples, many_epochs
train_examples(examples(), many_epochs(), ONE_FOLD, workdir=Path(sys.argv[1]))
"""


def many_epochs():
    return Preset(backbone="squeezenet1_1", side=64, split="group", recipe=Recipe(epochs=10))


def test_a_run_killed_in_the_middle_goes_on_and_gives_the_same_model(tmp_path):
    command = [sys.executable, "-c", _KILLED_RUN, str(tmp_path / "killed")]
    killed = subprocess.Popen(command, cwd=Path(__file__).parents[2])  # noqa: S603 - this very Python
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / "fold-0.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    steps = []
    resumed = train_examples(examples(), many_epochs(), ONE_FOLD, workdir=tmp_path / "killed", on_step=steps.append)
    undisturbed = train_examples(examples(), many_epochs(), ONE_FOLD, workdir=tmp_path / "undisturbed")
    assert 1 < steps[0].done <= steps[0].total
    assert resumed.weights == undisturbed.weights
    assert resumed.history == undisturbed.history


def weights_of(architecture, path):
    torch.manual_seed(4)
    torch.save(build_network(architecture).state_dict(), path)
    return str(path)


def test_a_frozen_body_stays_as_it_was_and_its_features_are_computed_once(tmp_path, monkeypatch):
    from casting_core import features

    start = weights_of("mobilenet_v2", tmp_path / "start.pth")
    recipe = Recipe(epochs=2, weighting="castings", label_smoothing=0.04, frozen_body=True)
    preset = Preset(backbone="mobilenet_v2", side=96, split="group", recipe=recipe, rectify=True)
    plan = TrainingPlan(preset="test", pretrained=start, folds=2, device="cpu", quantise=False)
    trained = train_examples(examples(), preset, plan, workdir=tmp_path / "run")
    assert trained.card.architecture == "mobilenet_v2-local"
    assert trained.card.preprocessing.rectify
    assert trained.card.preprocessing.typical_rings
    before, after = torch.load(start, weights_only=True), safetensors.torch.load(trained.weights)
    assert torch.equal(before["features.0.0.weight"], after["body.0.0.weight"])
    assert not torch.equal(after["head.scale.running_var"], torch.ones(96))
    monkeypatch.setattr(features, "_extract", lambda *_args, **_more: pytest.fail("computed again"))
    again = train_examples(examples(), preset, plan, workdir=tmp_path / "run")
    assert again.weights == trained.weights


def test_without_weights_there_is_no_body_to_freeze_so_all_of_it_is_trained(tmp_path):
    recipe = Recipe(epochs=1, frozen_body=True)
    preset = Preset(backbone="squeezenet1_1", side=64, split="group", recipe=recipe)
    trained = train_examples(examples(), preset, PLAN, workdir=tmp_path)
    assert trained.card.architecture == "squeezenet1_1-local"
    assert not (tmp_path / "features").exists()
