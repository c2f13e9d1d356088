"""A file of labels says what people mean, or is refused with the rows that do not."""

from datetime import UTC, datetime

import pytest

from casting_core.errors import InvalidDataset
from casting_core.label_file import read_labels, write_labels
from casting_core.registry_types import CurrentLabel, GivenLabel
from casting_core.types import ImageId

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
ROOT = "s3://castings/lines"


def read(text, *, source="labels.csv"):
    content = text if isinstance(text, bytes) else text.encode()
    return [row.given for row in read_labels(source, content, root=ROOT, who="anna", now=NOW)]


def test_a_row_says_image_and_label_and_may_say_who_when_and_why():
    key, whole = read(
        "image,label,who,at,why\n"
        "line-a/2026/11/23/07/P1.jpg,Defective,,,\n"
        "s3://castings/lines/P2.jpg,ok,ben,2026-11-22T16:30:00+01:00, turned by hand \n"
    )
    assert key == GivenLabel(uri=f"{ROOT}/line-a/2026/11/23/07/P1.jpg", label="defective", who="anna")
    assert whole == GivenLabel(
        uri=f"{ROOT}/P2.jpg",
        label="ok",
        who="ben",
        why="turned by hand",
        labelled_at=datetime(2026, 11, 22, 15, 30, tzinfo=UTC),
    )


def test_rows_that_say_the_same_count_once():
    assert len(read(f"image,label\nP1.jpg,ok\n{ROOT}/P1.jpg,ok\n")) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image,label\na.jpg,ok\nb.jpg,scrap\nc.jpg,?\n",
            r"row 3 \(b.jpg: scrap\), row 4 \(c.jpg: \?\) .*neither ok nor",
        ),
        (
            "image,label\na.jpg,ok\nb.jpg,ok\n/a.jpg,defective\n",
            r"row 2 \(a.jpg: ok\), row 4 .* disagree about an image",
        ),
        ("image,label,at\na.jpg,ok,2026-11-23T08:00:01+00:00\n", "row 2 .*labelled in the future"),
        ("image,label,at\na.jpg,ok,2026-11-23T08:00:01\n", "row 2: at 2026-11-23T08:00:01 has no time zone"),
        ("image,label,at\na.jpg,ok,yesterday\n", "row 2: at 'yesterday' is no ISO 8601 time"),
        ("image,label\na.jpg,\n", "row 2: the column label is empty"),
        ("image,verdict\na.jpg,ok\n", "no column label"),
        ("image,label\n", "holds no label"),
        ("image,label\n" + "".join(f"{n}.jpg,bad\n" for n in range(8)), r"row 6 \(4.jpg: bad\) and 3 more"),
        (b"image,label\nGu\xdf.jpg,ok\n", "CSV in UTF-8"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_rows(text, message):
    with pytest.raises(InvalidDataset, match=message):
        read(text)


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet"])
def test_what_is_written_reads_as_the_same_labels(name):
    label = CurrentLabel(
        image_id=ImageId(1),
        captured_at=NOW,
        uri=f"{ROOT}/Guß, 1.jpg",
        etag="e1",
        line="line-a",
        part_id="P1",
        label="defective",
        who="ben",
        why='a "pinhole"',
        labelled_at=NOW,
    )
    (given,) = read(write_labels(name, [label]), source=name)
    assert given == GivenLabel(uri=label.uri, label="defective", who="ben", why='a "pinhole"', labelled_at=NOW)


def test_a_file_without_labels_can_be_written():
    assert write_labels("labels.csv", []) == b"image,label,who,at,why,line,part_id,captured_at\r\n"
    assert write_labels("labels.parquet", [])[:4] == b"PAR1"
