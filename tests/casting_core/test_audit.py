"""The audit finds what would make a model wrong, or a test of it worthless."""

import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from casting_core.audit import audit_dataset, file_names, write_numbers
from casting_core.audit_report import render_report
from casting_core.dataset import LabelledDataset, LabelledImage
from casting_core.synthetic import make_casting, render


def encode(picture, quality=88):
    file = io.BytesIO()
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return file.getvalue()


class Drawer(LabelledDataset):
    """A data set that lies in memory."""

    def read(self, image):
        return self._paths[image.uri]


@pytest.fixture
def audit():
    """Audit files given as (name, bytes, label)."""

    def audit(files):
        images = tuple(LabelledImage(uri=f"file:///set/{name}", label=label) for name, _, label in files)
        contents = {f"file:///set/{name}": content for name, content, _ in files}
        return audit_dataset(Drawer(source="drawer <1>", images=images, _paths=contents))

    return audit


@pytest.fixture(scope="module")
def files():
    """Three copies each of three sound and three defective castings; the defective ones lie on a darker bench."""
    files = []
    for seed in range(6):
        label = "defective" if seed % 2 else "ok"
        picture = render(make_casting(seed, defective=seed % 2 == 1), size=256).astype(float)
        darkened = 0.5 * picture if label == "defective" else 0.5 * picture + 120
        for number, copy in enumerate((darkened, darkened[::-1], darkened.T)):
            files.append((f"{label}/{seed}-{number}.jpeg", encode(copy), label))
    return files


def test_a_clean_data_set_is_counted_by_casting_and_by_image(audit, files):
    found = audit(files)
    assert {each.label: (each.images, each.groups, each.castings) for each in found.balance} == {
        "ok": (9, 3, 3),
        "defective": (9, 3, 3),
    }
    assert [each.most_images_of_a_casting for each in found.balance] == [3, 3]
    assert found.contradictions == ()
    assert found.unreadable == ()
    assert found.basis_counts() == {"disc": 18}


def test_shortcuts_are_measured_by_image_and_by_casting(audit, files):
    shortcuts = {each.measure: each for each in audit(files).shortcuts}
    assert set(shortcuts) == {"brightness", "background", "contrast", "file_size"}
    background = shortcuts["background"]
    assert background.auroc_by_image == background.auroc_by_casting == 1
    assert background.defective_is == "lower"
    assert background.is_suspicious
    assert all(0.5 <= each.auroc_by_casting <= 1 for each in shortcuts.values())


def test_many_images_of_one_casting_do_not_make_chance_a_shortcut(audit, files):
    light = [render(make_casting(seed, defective=False), size=128) for seed in (20, 21, 22, 23)]
    few = [(f"{n}.jpeg", encode(picture), "ok" if n % 2 else "defective") for n, picture in enumerate(light)]
    bright = 0.4 * light[0] + 150
    many = [(f"copy-{n}.jpeg", encode(np.rot90(bright, n), quality=80 + n), "defective") for n in range(4)]
    by_measure = {each.measure: each for each in audit(few[1:] + many).shortcuts}
    assert by_measure["brightness"].auroc_by_image > 0.75
    assert by_measure["brightness"].auroc_by_casting <= by_measure["brightness"].auroc_by_image


def test_one_class_alone_has_no_shortcuts(audit, files):
    found = audit([file for file in files if file[2] == "ok"])
    assert found.shortcuts == ()
    assert [each.castings for each in found.balance] == [3, 0]


def test_labels_that_contradict_each_other_are_named_on_their_strongest_ground(audit, files):
    mislabelled = (files[0][0], files[0][1], "defective")
    equal = ("again.jpeg", files[3][1], "ok")
    found = audit([mislabelled, *files[1:], equal])
    by_ground = {each.ground: each.images for each in found.contradictions}
    assert by_ground == {"equal_bytes": (3, 18), "group": (0, 1, 2)}


def test_files_that_cannot_be_judged_are_listed_and_left_out_of_the_measures(audit, files):
    found = audit([*files, ("torn.jpeg", files[0][1][:900], "ok"), ("notes.jpeg", b"see above", "ok")])
    assert found.unreadable == (18, 19)
    rejections = found.to_json()["unreadable"]
    assert {name: each["reason"] for name, each in rejections.items()} == {
        "torn.jpeg": "truncated",
        "notes.jpeg": "not_an_image",
    }
    assert {each.label: each.images for each in found.balance}["ok"] == 11


def test_findings_are_plain_json(audit, files):
    findings = json.loads(json.dumps(audit(files).to_json()))
    assert findings["images"] == 18
    assert findings["castings"] == findings["groups"] == 6
    assert findings["classes"]["ok"]["castings"] == 3
    assert {each["measure"] for each in findings["shortcuts"] if each["suspicious"]} >= {"background"}


class Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_the_report_needs_no_network_and_shows_every_contradiction_and_the_largest_groups(audit, files):
    mislabelled = (files[0][0], files[0][1], "defective")
    report = render_report(audit([mislabelled, *files[1:], ("torn.jpeg", files[0][1][:900], "ok")]))
    page = Elements()
    page.feed(report)
    sources = [attributes["src"] for tag, attributes in page.found if tag == "img"]
    assert len(sources) >= 3 + 18
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not [attributes for _, attributes in page.found if attributes.keys() & {"href", "srcset"}]
    assert not re.search(r"@import|url\(|https?:", report)
    assert {"script", "link", "iframe"}.isdisjoint(tag for tag, _ in page.found)
    text = re.sub(r"<[^>]+>", " ", report)
    for expected in ("drawer &lt;1&gt;", "1 contradictions", "background", "torn.jpeg", "truncated", "Largest groups"):
        assert expected in text


def test_files_are_named_as_shortly_as_tells_them_apart():
    assert file_names(["file:///a/ok/1.png", "file:///a/def/2.png"]) == ["1.png", "2.png"]
    assert file_names(["file:///a/ok/1.png", "file:///a/def/1.png"]) == ["ok/1.png", "def/1.png"]
    zipped = [f"zip://{folder}/1.png::file:///a.zip" for folder in ("ok", "def")]
    assert file_names(zipped) == ["ok/1.png", "def/1.png"]


def test_numbers_are_written_as_csv(tmp_path):
    write_numbers(tmp_path / "groups.csv", ["a, b.png", "c.png"], [0, 1], column="group")
    assert (tmp_path / "groups.csv").read_bytes() == b'image,group\r\n"a, b.png",0\r\nc.png,1\r\n'
