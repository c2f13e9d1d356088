"""What people say of images is kept for ever, and the newest counts."""

from datetime import timedelta

import pytest
from sqlalchemy import exc, text

from casting_core.registry_types import GivenLabel, LabelsAdded
from db import labels
from db.errors import UnknownImages
from tests.db.builders import NOW, at_once, make_known, rows, stored_image, stored_images, value

URIS = [image.uri for image in stored_images(3)]


@pytest.fixture
def image_ids(engine):
    """Three known images."""
    return make_known(engine, stored_images(3))


def say(engine, label, *, uri=URIS[0], who="anna", why="", labelled_at=None):
    return record(engine, [GivenLabel(uri=uri, label=label, who=who, why=why, labelled_at=labelled_at)])


def record(engine, given):
    with engine.begin() as connection:
        return labels.add_labels(connection, given)


def current(engine, **which):
    with engine.connect() as connection:
        return [(label.uri, label.label, label.who) for label in labels.current_labels(connection, **which)]


def test_the_newest_label_counts_and_the_older_ones_stay(engine, image_ids):
    assert say(engine, "ok") == LabelsAdded(added=1, changed=0, unchanged=0)
    assert say(engine, "defective", who="ben", why="pinhole at the rim") == LabelsAdded(added=1, changed=1, unchanged=0)
    assert current(engine) == [(URIS[0], "defective", "ben")]
    assert rows(engine, "SELECT label, who, why FROM label ORDER BY label_id") == [
        ("ok", "anna", ""),
        ("defective", "ben", "pinhole at the rim"),
    ]


def test_a_label_that_was_given_earlier_but_recorded_later_does_not_count(engine, image_ids):
    say(engine, "defective")
    say(engine, "ok", who="ben", labelled_at=NOW)
    assert current(engine) == [(URIS[0], "defective", "anna")]


def test_saying_the_same_again_records_nothing(engine, image_ids):
    given = [
        GivenLabel(uri=URIS[0], label="ok", who="anna"),
        GivenLabel(uri=URIS[1], label="defective", who="anna", labelled_at=NOW),
    ]
    assert record(engine, given) == LabelsAdded(added=2, changed=0, unchanged=0)
    assert record(engine, given) == LabelsAdded(added=0, changed=0, unchanged=2)
    # A correction stands against a file that is read again, if the file says when its labels were given.
    say(engine, "ok", uri=URIS[1], who="ben")
    assert record(engine, given) == LabelsAdded(added=0, changed=0, unchanged=2)
    assert current(engine, most=1) == [(URIS[1], "ok", "ben")]


def test_another_person_who_agrees_is_recorded(engine, image_ids):
    say(engine, "ok")
    assert say(engine, "ok", who="ben") == LabelsAdded(added=1, changed=0, unchanged=0)


def test_the_same_labels_recorded_by_two_at_once_are_recorded_once(engine, image_ids):
    given = [GivenLabel(uri=uri, label="ok", who="anna") for uri in URIS]
    outcomes = at_once(*[lambda: record(engine, given)] * 4)
    assert sorted(outcome.added for outcome in outcomes) == [0, 0, 0, 3]
    assert value(engine, "SELECT count(*) FROM label") == 3


def test_an_unknown_image_is_named_and_nothing_is_recorded(engine, image_ids):
    given = [GivenLabel(uri=uri, label="ok", who="anna") for uri in (URIS[0], "s3://castings/nowhere.jpg")]
    with pytest.raises(UnknownImages, match=r"nowhere\.jpg") as refused:
        record(engine, given)
    assert refused.value.uris == ("s3://castings/nowhere.jpg",)
    assert value(engine, "SELECT count(*) FROM label") == 0


def test_where_a_picture_was_overwritten_the_newest_one_is_labelled(engine):
    _, newest = make_known(engine, [stored_image(etag="e1"), stored_image(etag="e2")])
    say(engine, "defective", uri=stored_image().uri)
    assert value(engine, "SELECT image_id FROM current_label") == newest


def test_labels_of_one_line_are_given_alone(engine):
    stored = [stored_image("P1", line="line-1"), stored_image("P2", line="line-2")]
    make_known(engine, stored)
    record(engine, [GivenLabel(uri=image.uri, label="ok", who="anna") for image in stored])
    assert current(engine, line="line-2") == [(stored[1].uri, "ok", "anna")]


BY_HAND = (
    "INSERT INTO label (image_id, captured_at, label, who, labelled_at) VALUES (:image_id, :captured_at, :label, :who, "
    "coalesce(:labelled_at, now()))"
)


@pytest.mark.parametrize(
    ("wrong", "constraint"),
    [
        ({"label": "review"}, "label_label_check"),
        ({"who": ""}, "label_who_check"),
        ({"labelled_at": NOW + timedelta(days=10_000)}, "label_time_check"),
        ({"image_id": 0}, "label_image_known"),
        ({"captured_at": NOW + timedelta(seconds=1)}, "label_image_known"),
    ],
    ids=["no label", "nobody", "from the future", "no such image", "no image of that time"],
)
def test_sql_cannot_record_what_is_no_label(engine, image_ids, wrong, constraint):
    row = {"image_id": image_ids[0], "captured_at": NOW, "label": "ok", "who": "anna", "labelled_at": None}
    with engine.begin() as connection:
        connection.execute(text(BY_HAND), row)
    with pytest.raises(exc.IntegrityError) as refused, engine.begin() as connection:
        connection.execute(text(BY_HAND), row | wrong)
    assert refused.value.orig.diag.constraint_name == constraint


@pytest.mark.parametrize("change", ["UPDATE label SET label = 'defective'", "DELETE FROM label", "TRUNCATE label"])
def test_labels_are_append_only(engine, image_ids, change):
    say(engine, "ok")
    with pytest.raises(exc.IntegrityError, match="append-only"), engine.begin() as connection:
        connection.execute(text(change))
    assert current(engine) == [(URIS[0], "ok", "anna")]
