"""`casting audit` as a person types it."""

import csv
import json
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from casting_core.synthetic import make_casting, render
from flows.cli import app


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two copies each of four castings."""
    folder = tmp_path_factory.mktemp("audit") / "set"
    for seed in range(4):
        target = folder / ("scrap" if seed % 2 else "good")
        target.mkdir(parents=True, exist_ok=True)
        picture = render(make_casting(seed, defective=seed % 2 == 1), size=160)
        for number, copy in enumerate((picture, np.fliplr(picture))):
            Image.fromarray(copy).save(target / f"{seed}-{number}.png")
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["audit", *map(str, arguments)])


CLASSES = "scrap=defective,good=ok"


def test_json_is_the_only_thing_on_standard_output(folder, tmp_path):
    done = run(folder, "--out", tmp_path / "out", "--classes", CLASSES, "--json")
    assert done.exit_code == 0, done.output
    (line,) = done.stdout.splitlines()
    findings = json.loads(line)
    assert (findings["images"], findings["groups"], findings["contradictions"]) == (8, 4, [])
    assert set(findings["files"]) == {"groups.csv", "castings.csv", "report.html"}


def test_groups_and_report_are_written(folder, tmp_path):
    out = tmp_path / "new" / "out"
    done = run(folder, "--out", out, "--classes", CLASSES)
    assert done.exit_code == 0, done.output
    assert "AUROC by casting" in done.stdout
    with (out / "groups.csv").open(newline="") as file:
        groups = {row["image"]: int(row["group"]) for row in csv.DictReader(file)}
    assert len(groups) == 8
    assert all(groups[f"{seed}-0.png"] == groups[f"{seed}-1.png"] for seed in range(4))
    assert len(set(groups.values())) == 4
    assert (out / "castings.csv").read_text().startswith("image,casting\n")
    assert (out / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("form", ["zip", "folder", "manifest"])
def test_a_set_in_the_plants_s3_is_read_with_the_plants_access(folder, tmp_path, s3_bucket, monkeypatch, form):
    monkeypatch.setattr(fsspec.config, "conf", {})
    monkeypatch.setenv("CASTING_S3_ENDPOINT_URL", s3_bucket.options["endpoint_url"])
    monkeypatch.setenv("CASTING_S3_ACCESS_KEY_ID", s3_bucket.options["key"])
    monkeypatch.setenv("CASTING_S3_SECRET_ACCESS_KEY", s3_bucket.options["secret"])
    source = f"{s3_bucket.url}/set"
    if form == "zip":
        source += ".zip"
        s3_bucket.put("set.zip", Path(shutil.make_archive(str(tmp_path / "set"), "zip", folder)).read_bytes())
    else:
        for file in folder.rglob("*.png"):
            s3_bucket.put(f"set/{file.relative_to(folder)}", file.read_bytes())
    if form == "manifest":
        source = tmp_path / "manifest.csv"
        rows = [f"{s3_bucket.url}/set/{file.relative_to(folder)},{file.parent.name}" for file in folder.rglob("*.png")]
        source.write_text("\n".join(["image,label", *rows]))
    done = run(source, "--out", tmp_path / "out", "--classes", CLASSES, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["images"] == 8


def test_a_contradiction_is_named_by_its_files(folder, tmp_path):
    mixed = shutil.copytree(folder, tmp_path / "mixed")
    shutil.copy(mixed / "scrap" / "1-0.png", mixed / "good" / "wrong.png")
    done = run(mixed, "--out", tmp_path / "out", "--classes", CLASSES, "--json")
    (contradiction,) = json.loads(done.stdout)["contradictions"]
    assert contradiction == {"ground": "equal_bytes", "images": {"wrong.png": "ok", "1-0.png": "defective"}}
    assert "Files with equal bytes and different labels" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--classes", "scrap=bad"], "is no class"),
        (["--classes", ""], "is empty"),
        ([], "in good, which is the folder of no class"),
    ],
)
def test_what_cannot_be_audited_ends_in_one_line(folder, tmp_path, arguments, message):
    done = run(folder, "--out", tmp_path / "out", *arguments)
    assert done.exit_code == 1
    assert message in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_a_data_set_that_is_not_there_is_said_to_be_missing(tmp_path):
    done = run(tmp_path / "nowhere", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "does not exist" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_to_is_said(folder, tmp_path):
    (tmp_path / "out").write_text("a file")
    done = run(folder, "--out", tmp_path / "out", "--classes", CLASSES)
    assert done.exit_code == 1
    assert "cannot be written to" in done.stderr
