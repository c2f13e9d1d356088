"""`casting audit` on a small data set with castings photographed several times and one label too many."""

import csv
import io
import json

from PIL import Image
from typer.testing import CliRunner

from casting_core.synthetic import make_casting, render
from flows.cli import app


def write(path, picture):
    path.parent.mkdir(exist_ok=True)
    encoded = io.BytesIO()
    picture.save(encoded, format="JPEG", quality=92)
    path.write_bytes(encoded.getvalue())


def test_it_finds_copies_and_contradictions_and_writes_what_it_found(tmp_path):
    folder = tmp_path / "castings"
    folder.mkdir()
    for seed in range(4):
        picture = Image.fromarray(render(make_casting(seed, defective=seed % 2 == 1), size=384))
        label = "def_front" if seed % 2 else "ok_front"
        write(folder / label / f"{seed}a.jpeg", picture)
        write(folder / label / f"{seed}b.jpeg", picture.rotate(90).transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    (folder / "ok_front" / "wrong.jpeg").write_bytes((folder / "def_front" / "1a.jpeg").read_bytes())

    done = CliRunner().invoke(app, ["audit", str(folder), "--out", str(tmp_path / "out"), "--json"])

    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["images"], found["castings"]) == (9, 4)
    assert found["contradictions"]
    rows = list(csv.DictReader((tmp_path / "out" / "groups.csv").read_text().splitlines()))
    assert list(rows[0]) == ["image", "group"]
    group_of = {row["image"].rsplit("/", 1)[-1]: int(row["group"]) for row in rows}
    assert all(group_of[f"{seed}a.jpeg"] == group_of[f"{seed}b.jpeg"] for seed in range(4))
    assert group_of["wrong.jpeg"] == group_of["1a.jpeg"]
    report = (tmp_path / "out" / "report.html").read_text()
    assert "data:image/" in report
    assert "http://" not in report.replace("http://www.w3.org", "")


def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path):
    done = CliRunner().invoke(app, ["audit", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert not (tmp_path / "out").exists()
