"""`casting train`: as a person types it."""

import json

import pytest
from typer.testing import CliRunner

from casting_core.artifact import read_artifact
from flows.cli import app
from tests.flows.conftest import picture

RUNNER = CliRunner()


@pytest.fixture
def castings(tmp_path):
    for number in range(12):
        label = "def" if number % 2 else "ok"
        (tmp_path / "data" / f"{label}_front").mkdir(parents=True, exist_ok=True)
        content = picture(number, defective=bool(number % 2))
        (tmp_path / "data" / f"{label}_front" / f"{number}.jpeg").write_bytes(content)
    return tmp_path / "data"


def train(castings, out, *more):
    options = ("--backbone", "squeezenet1_1", "--pretrained", "none", "--folds", "2", "--preset", "seed")
    return RUNNER.invoke(app, ["train", str(castings), "--out", str(out), *options, *more])


def test_it_writes_a_model_with_its_report_and_tells_where(castings, tmp_path):
    (castings / "ok_front" / "broken.jpeg").write_bytes(b"\xff\xd8\xff broken")
    result = train(castings, tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    artifact = read_artifact(said["artifact"])
    assert said["metrics"] == artifact.card.metrics
    assert {"n", "escapes", "false_rejects", "review", "auroc", "escape_rate"} <= said["metrics"]["by_image"].keys()
    assert {"by_image", "by_casting"} <= said["metrics"].keys()
    folder = tmp_path / "out" / artifact.card.version
    names = {path.name for path in folder.iterdir()}
    assert {"manifest.csv", "predictions.csv", "report.html", "training_chart.png"} <= names
    assert "leak" in (folder / "report.html").read_text()
    assert artifact.card.training["split"] == "random"
    assert "left out" in result.stderr
    assert "broken.jpeg" in result.stderr


def test_it_says_how_the_model_serves_and_why_not_otherwise(castings, tmp_path):
    result = train(castings, tmp_path / "out", "--folds", "1", "--split", "group")
    assert result.exit_code == 0, result.output
    (serving,) = (line for line in result.stderr.splitlines() if line.startswith("Serves in "))
    chosen = serving.rsplit(" ", 1)[1]
    others = [
        line.strip().split(":")[0] for line in result.stderr.splitlines() if line.startswith("  ") and ":" in line
    ]
    assert {chosen, *others} >= {"float32", "int8"}


def test_too_many_folds_end_in_one_line(castings, tmp_path):
    result = train(castings, tmp_path / "out", "--split", "group", "--folds", "9")
    assert result.exit_code == 1
    assert "9 folds need at least 9" in result.stderr


def test_a_folder_that_is_not_there_ends_in_one_line(tmp_path):
    result = train(tmp_path / "nothing", tmp_path / "out")
    assert result.exit_code == 1
    assert "nothing" in result.stderr
