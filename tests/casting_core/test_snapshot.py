"""A snapshot holds every labelled picture once, and nothing that contradicts itself."""

import hashlib

import pytest

from casting_core.dataset import LabelledImage
from casting_core.snapshot import freeze
from casting_core.types import Rejection


def picture(name, content, label="ok"):
    return LabelledImage(uri=f"s3://b/{name}", label=label), content


def test_pictures_lie_under_their_hashes_and_read_as_a_data_set(tmp_path):
    snapshot = freeze([picture("b.jpg", b"two", "defective"), picture("a.jpg", b"one")], tmp_path / "new")
    first, second = snapshot.images
    assert (first.image.uri, first.sha256) == ("s3://b/a.jpg", hashlib.sha256(b"one").hexdigest())
    assert snapshot.read(second.sha256) == b"two"
    dataset = snapshot.dataset(snapshot.images, source="labels")
    assert [dataset.read(image) for image in dataset.images] == [b"one", b"two"]
    assert not snapshot.left_out


def test_its_hash_tells_bytes_labels_and_names_but_not_their_order(tmp_path):
    base = [picture("a.jpg", b"one"), picture("b.jpg", b"two")]
    same = freeze(base, tmp_path).sha256
    assert freeze(base[::-1], tmp_path).sha256 == same
    for other in (
        [*base, picture("c.jpg", b"three")],
        [picture("a.jpg", b"one", "defective"), base[1]],
        [picture("a.jpg", b"other"), base[1]],
    ):
        assert freeze(other, tmp_path).sha256 != same


def test_equal_bytes_count_once_and_with_both_labels_not_at_all(tmp_path):
    snapshot = freeze(
        [
            picture("b.jpg", b"same"),
            picture("a.jpg", b"same"),
            picture("c.jpg", b"torn", "ok"),
            picture("d.jpg", b"torn", "defective"),
        ],
        tmp_path,
    )
    assert [each.image.uri for each in snapshot.images] == ["s3://b/a.jpg"]
    assert snapshot.left_out == {
        "s3://b/b.jpg": "the same picture as s3://b/a.jpg",
        "s3://b/c.jpg": "the same picture carries both labels",
        "s3://b/d.jpg": "the same picture carries both labels",
    }


def test_what_cannot_be_had_is_left_out_with_its_reason(tmp_path):
    gone = Rejection(reason="missing", detail="deleted after it was listed")
    snapshot = freeze([picture("a.jpg", gone), picture("b.jpg", b"two")], tmp_path)
    assert len(snapshot.images) == 1
    assert snapshot.left_out == {"s3://b/a.jpg": "missing: deleted after it was listed"}


@pytest.mark.parametrize("label", ["ok", "defective"])
def test_a_picture_seen_twice_under_one_name_has_the_label_given_last(tmp_path, label):
    pictures = [picture("a.jpg", b"one", other) for other in ("ok", "defective", label)]
    assert [each.image.label for each in freeze(pictures, tmp_path).images] == [label]
