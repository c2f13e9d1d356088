"""From labelled files to a card: split by casting, calibrated, evaluated in the precision that serves."""

import io

import numpy as np
import pytest
from PIL import Image

from casting_core.artifact import publish_artifact, read_artifact
from casting_core.card import Thresholds
from casting_core.dataset import LabelledFile
from casting_core.errors import InvalidDataset
from casting_core.fitting import classification_metrics, fit_model, fit_temperature, held_out_groups
from casting_core.scoring import load_scorer
from casting_core.synthetic import make_casting, render
from casting_core.training import Recipe


def file_of(number, *, group=None, content=None, color=False):
    image = Image.fromarray(render(make_casting(number, defective=number % 2 == 1), size=96))
    target = io.BytesIO()
    if color:
        image = Image.merge("RGB", [image, image.point(lambda value: value // 2), image])
    image.save(target, format="PNG")
    label = "defective" if number % 2 else "ok"
    return LabelledFile(
        name=f"{number}.png",
        content=content or target.getvalue(),
        label=label,
        group=number if group is None else group,
    )


def fit(files):
    return fit_model(
        files, architecture="squeezenet1_1", pretrained="none", side=64, recipe=Recipe(epochs=1), device="cpu"
    )


def test_a_fitted_model_reproduces_its_own_metrics_through_the_serving_path(tmp_path):
    files = [file_of(number) for number in range(20)]
    fitted = fit(files)
    url, sha256 = publish_artifact(
        tmp_path.as_uri(), card=fitted.card, weights=fitted.weights, files=fitted.engine_files
    )
    scorer = load_scorer(read_artifact(url, expected_sha256=sha256), device="cpu")
    held_out = held_out_groups(files, share=0.2, seed=0)
    shown = {file.name: file.content for file in files if file.group in held_out}
    outcomes = scorer.judge(shown)
    labels = np.array([int(name.split(".")[0]) % 2 for name in shown])
    p_defective = np.array([outcomes[name].p_defective for name in shown])
    assert classification_metrics(labels, p_defective, fitted.card.thresholds) == fitted.card.metrics["by_image"]
    assert fitted.card.decoding.color == "grey"


def test_a_file_that_cannot_be_read_is_left_out_and_named():
    files = [file_of(number) for number in range(12)]
    broken = LabelledFile(name="broken.png", content=files[0].content[:200], label="ok", group=99)
    fitted = fit([*files, broken])
    assert {name: rejection.reason for name, rejection in fitted.rejected.items()} == {"broken.png": "truncated"}
    assert (fitted.card.data["images"], fitted.card.data["rejected"]) == (12, 1)


def test_colour_is_kept_where_there_is_any():
    assert fit([file_of(number, color=True) for number in range(12)]).card.decoding.color == "rgb"


def test_castings_are_held_out_whole_and_from_both_classes():
    files = [file_of(number, group=number // 4 * 2 + number % 2) for number in range(40)]
    held_out = held_out_groups(files, share=0.25, seed=1)
    assert {file.label for file in files if file.group in held_out} == {"ok", "defective"}
    assert 2 <= len(held_out) < 20
    assert held_out == held_out_groups(files, share=0.25, seed=1)


def test_a_casting_of_both_classes_is_held_out_once():
    files = [file_of(number, group=number // 2) for number in range(20)]
    assert len(held_out_groups(files, share=0.2, seed=0)) == 2


def test_a_single_casting_of_a_class_is_refused():
    with pytest.raises(InvalidDataset, match="1 castings labelled 'defective'"):
        held_out_groups([file_of(0), file_of(2), file_of(1), file_of(3, group=1)], share=0.2, seed=0)


def test_metrics_count_each_kind_of_error():
    labels, p_defective = np.array([1, 1, 1, 0, 0, 0]), np.array([0.1, 0.5, 0.9, 0.1, 0.5, 0.9])
    metrics = classification_metrics(labels, p_defective, Thresholds(ok_below=0.3, defective_from=0.7))
    assert metrics == {"n": 6, "defective": 3, "escapes": 1, "false_rejects": 1, "review": 2, "auroc": 0.5}


def test_temperature_recovers_how_overconfident_the_probabilities_were():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, 20_000)
    labels = (generator.random(20_000) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    overconfident = 1 / (1 + np.exp(-3 * logits))
    assert fit_temperature(labels, overconfident) == pytest.approx(3, rel=0.05)
    separated = np.where(labels == 1, 0.999, 0.001)
    assert fit_temperature(labels, separated) == pytest.approx(0.5, rel=0.01)
