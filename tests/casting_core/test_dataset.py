"""Labelled data sets are read from folders, zips and manifests, and what is wrong with them is said plainly."""

import pickle
import shutil
import zipfile
from datetime import UTC, datetime

import fsspec
import pytest

from casting_core.dataset import LabelledDataset, LabelledImage, parse_classes, read_dataset
from casting_core.errors import InvalidDataset


@pytest.fixture
def folder(tmp_path):
    """Two defective files and one sound one, and what file managers leave behind."""
    for name in ("def_front/b.jpeg", "def_front/a.JPEG", "ok_front/deep/c.png", "ok_front/.thumb.png", "notes.txt"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "set"


def contents(dataset):
    return [(dataset.read(image).decode(), image.label) for image in dataset.images]


EXPECTED = [("def_front/a.JPEG", "defective"), ("def_front/b.jpeg", "defective"), ("ok_front/deep/c.png", "ok")]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_folder_per_class(folder, scheme):
    dataset = read_dataset(f"{scheme}{folder}/")
    assert contents(dataset) == EXPECTED
    assert dataset.images[0].uri == f"file://{folder}/def_front/a.JPEG"
    assert dataset.class_counts() == {"ok": 1, "defective": 2}
    dataset.require_both_classes()


def test_a_zip_is_read_as_it_is_wherever_the_folders_lie_in_it_and_in_other_processes(folder, tmp_path):
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            if file.is_file():
                archive.write(file, f"casting_data/train/{file.relative_to(folder)}")
        archive.writestr("__MACOSX/def_front/._a.jpeg", b"resource fork")
    dataset = read_dataset(str(path))
    assert contents(dataset) == EXPECTED
    assert contents(pickle.loads(pickle.dumps(dataset))) == EXPECTED  # noqa: S301 - our own bytes
    # The uri alone is enough for anybody else.
    with fsspec.open(dataset.images[0].uri) as file:
        assert file.read() == b"def_front/a.JPEG"
    assert contents(LabelledDataset(source="", images=dataset.images)) == EXPECTED


def test_a_zip_and_a_folder_in_remote_storage(folder):
    storage = fsspec.filesystem("memory")
    with storage.open("/bucket/set.zip", "wb") as target, zipfile.ZipFile(target, "w") as archive:
        for file in folder.glob("*_front/*.*"):
            archive.write(file, file.relative_to(folder))
    storage.pipe({f"/bucket/set/{name}": name.encode() for name, _ in EXPECTED})
    assert contents(read_dataset("memory://bucket/set.zip")) == EXPECTED[:2]
    assert contents(read_dataset("memory://bucket/set")) == EXPECTED
    storage.rm("/bucket", recursive=True)


def test_folders_can_be_called_anything(folder):
    (folder / "ok_front").rename(folder / "good")
    (folder / "def_front").rename(folder / "scrap")
    classes = parse_classes("scrap=defective, good=ok")
    assert classes == {"scrap": "defective", "good": "ok"}
    assert read_dataset(str(folder), classes=classes).class_counts() == {"ok": 1, "defective": 2}


@pytest.mark.parametrize("text", ["", "scrap", "scrap=bad", "=ok", "a=ok,a=defective"])
def test_a_mapping_that_says_nothing_or_two_things_is_refused(text):
    with pytest.raises(InvalidDataset, match=r"NAME=ok|is empty"):
        parse_classes(text)


def test_a_picture_in_a_folder_of_no_class_is_refused_with_the_remedy(folder):
    (folder / "unsorted").mkdir()
    (folder / "unsorted" / "d.jpg").touch()
    with pytest.raises(InvalidDataset, match=r"1 pictures in unsorted, .*--classes unsorted=ok"):
        read_dataset(str(folder))


def test_pictures_that_are_not_sorted_into_folders_are_refused(folder):
    (folder / "d.jpg").touch()
    with pytest.raises(InvalidDataset, match=r"1 pictures in its top folder.*Sort them"):
        read_dataset(str(folder))


def test_one_class_alone_is_refused_when_somebody_wants_to_train(folder):
    shutil.rmtree(folder / "ok_front")
    dataset = read_dataset(str(folder))
    with pytest.raises(InvalidDataset, match="no image labelled ok; training needs both"):
        dataset.require_both_classes()


@pytest.mark.parametrize(
    ("name", "message"),
    [("absent", "does not exist"), ("set/notes.txt", "neither a folder, a zip"), ("empty", "holds no")],
)
def test_a_source_that_is_none_is_refused(folder, name, message):
    (folder.parent / "empty").mkdir()
    with pytest.raises(InvalidDataset, match=message):
        read_dataset(str(folder.parent / name))


def test_a_url_of_an_unknown_kind_is_refused():
    with pytest.raises(InvalidDataset, match="no place that can be read"):
        read_dataset("carrier-pigeon://roof")


def test_a_file_that_is_gone_since_is_refused(folder):
    dataset = read_dataset(str(folder))
    (folder / "def_front" / "a.JPEG").unlink()
    with pytest.raises(InvalidDataset, match=r"a\.JPEG does not exist"):
        dataset.read(dataset.images[0])


@pytest.fixture
def manifest(folder):
    """Write a manifest beside the folders and return its path."""

    def manifest(text, encoding="utf-8"):
        path = folder / "labels.csv"
        path.write_text(text, encoding=encoding)
        return str(path)

    return manifest


def test_a_manifest_says_all_that_is_known(folder, manifest):
    path = manifest(
        "image,label,part_id,line,captured_at,remark\n"
        "def_front/a.JPEG,defective,P-1,line-a,2026-11-23T08:00+01:00,pore\n"
        f"{folder}/ok_front/deep/c.png,ok,,,,\n"
        f"file://{folder}/def_front/b.jpeg,def_front,,,,\n",
        encoding="utf-8-sig",
    )
    dataset = read_dataset(path)
    assert sorted(contents(dataset)) == EXPECTED
    assert dataset.images[0] == LabelledImage(
        uri=f"file://{folder}/def_front/a.JPEG",
        label="defective",
        part_id="P-1",
        line="line-a",
        captured_at=datetime(2026, 11, 23, 7, tzinfo=UTC),
    )
    assert dataset.images[1].part_id is None


def test_rows_that_agree_count_once(manifest):
    path = manifest("image,label\ndef_front/a.JPEG,defective\ndef_front/../def_front/a.JPEG,def_front\n")
    assert len(read_dataset(path).images) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,label\ndef_front/a.JPEG,ok\ndef_front/a.JPEG,defective\n", r"rows 2 and 3 disagree about def_front/a"),
        ("image,label\ndef_front/a.JPEG,scratched\n", r"row 2: label 'scratched' of def_front/a\.JPEG is none of"),
        ("image,label\ndef_front/a.JPEG\n", "row 2: the column label is empty"),
        ("image,label\n,ok\n", "row 2: the column image is empty"),
        (
            "image,label\ndef_front/z.jpeg,ok\nelsewhere/a.jpeg,ok\n",
            "names 2 files that do not exist, the first is .*z.jpeg",
        ),
        ("image,label,captured_at\ndef_front/a.JPEG,ok,2026-11-23 08:00\n", "has no time zone; write it like"),
        ("image,label,captured_at\ndef_front/a.JPEG,ok,yesterday\n", "'yesterday' is no ISO 8601 time"),
        ("file,class\na.jpeg,ok\n", r"no column image and no label; its columns are \['file', 'class'\]"),
        ("", "no column image"),
        ("image,label\n", "holds no picture"),
        ('image,label\n"def_front/a.JPEG,ok\n', "cannot be read as CSV"),
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_refused(manifest, text, message):
    with pytest.raises(InvalidDataset, match=message):
        read_dataset(manifest(text))


def test_a_manifest_in_another_encoding_is_refused(manifest):
    with pytest.raises(InvalidDataset, match="CSV in UTF-8"):
        read_dataset(manifest("image,label\nGußstück.jpeg,ok\n", encoding="latin-1"))


def test_parquet_says_what_csv_says(folder):
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet manifests need pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = folder / "labels.parquet"
    moment = datetime(2026, 11, 23, 7, tzinfo=UTC)
    parquet.write_table(
        pyarrow.table({"image": ["def_front/a.JPEG"], "label": ["defective"], "captured_at": [moment]}), path
    )
    (image,) = read_dataset(str(path)).images
    assert (image.label, image.captured_at) == ("defective", moment)
