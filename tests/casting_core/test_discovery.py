"""Discovery finds each new image of a window once, lists nothing else, and counts what it cannot place."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from casting_core.discovery import discover
from casting_core.errors import BucketMissing, StorageUnavailable
from casting_core.layout import KeyLayout
from casting_core.storage import Folder, ObjectInfo, open_store
from casting_core.types import Window

HOUR = timedelta(hours=1)
BERLIN = ZoneInfo("Europe/Berlin")


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


EIGHT = utc(2026, 11, 23, 8)
WINDOW = Window(since=EIGHT - HOUR, until=EIGHT + HOUR)


@dataclass
class Known:
    """What the database knows, as (captured_at, line, uri, etag); remembers what it was asked."""

    images: list = field(default_factory=list)
    asked: list = field(default_factory=list)

    def __call__(self, *, captured_from, captured_until, line):
        self.asked.append((captured_from, captured_until, line))
        return {
            (image.uri, image.etag)
            for image in self.images
            if captured_from <= image.captured_at < captured_until and line in (None, image.line)
        }


@dataclass
class Watched:
    """A store that remembers which folders were listed."""

    store: object
    listed: list = field(default_factory=list)

    def __getattr__(self, name):
        return getattr(self.store, name)

    def list_folders(self, prefixes):
        self.listed += prefixes
        return self.store.list_folders(prefixes)


@dataclass(frozen=True)
class Shelf:
    """A store in memory, quick enough for thousands of windows."""

    keys: list
    url: str = "shelf://keys"

    def uri(self, key):
        return f"{self.url}/{key}"

    def check_root(self):
        """A shelf is always there."""

    def list_folders(self, prefixes):
        return [self._folder(f"{prefix}/" if prefix else "") for prefix in prefixes]

    def _folder(self, start):
        below = [key for key in self.keys if key.startswith(start)]
        files = [key for key in below if "/" not in key[len(start) :]]
        folders = {start + key[len(start) :].split("/")[0] for key in below if key not in files}
        return Folder(
            files=tuple(ObjectInfo(key=key, etag="1", size=1, stored_at=EIGHT) for key in files),
            folders=tuple(sorted(folders)),
        )


@pytest.fixture
def fill(tmp_path):
    """Put files, given by their keys, into a local bucket; return its store."""

    def fill(*keys, age=timedelta(0)):
        for key in keys:
            path = tmp_path / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(key.encode())
            changed = (datetime.now(tz=UTC) - age).timestamp()
            os.utime(path, (changed, changed))
        return open_store(f"file://{tmp_path}")

    return fill


def find(store, *, layout=None, window=WINDOW, known=None, **options):
    """All that one discovery found: images, unmatched keys, count of unsettled files."""
    found = list(discover(store, layout or KeyLayout(), window=window, known=known or Known(), **options))
    return (
        [image for part in found for image in part.images],
        sorted(key for part in found for key in part.unmatched),
        sum(part.unsettled for part in found),
    )


def keys_of(store, images):
    return sorted(image.uri.removeprefix(f"{store.url}/") for image in images)


def test_an_image_carries_what_its_key_and_the_listing_say(fill):
    store = fill("line-1/2026/11/23/08/P17__top.jpg")
    ((image,), unmatched, unsettled) = find(store)
    (info,) = store.list_folder("line-1/2026/11/23/08").files
    assert (image.line, image.part_id, image.view, image.captured_at) == ("line-1", "P17", "top", EIGHT)
    assert (image.uri, image.etag, image.size) == (store.uri(info.key), info.etag, len(info.key))
    assert image.stored_at == info.stored_at
    assert (unmatched, unsettled) == ([], 0)


def test_the_window_begins_with_since_and_ends_before_until(fill):
    hours = [f"line-1/2026/11/23/{hour:02}/P.jpg" for hour in range(5, 12)]
    store = fill(*hours)
    assert keys_of(store, find(store)[0]) == hours[2:4]
    # Keys tell the hour alone: an image of 07:45 says 07, and must not fall out of a window from 07:30 on.
    half_past = Window(since=WINDOW.since + HOUR / 2, until=EIGHT + HOUR / 2)
    assert keys_of(store, find(store, window=half_past)[0]) == hours[2:4]


def test_only_the_folders_of_the_window_are_listed(fill):
    store = Watched(fill(*[f"line-{n}/2026/11/{day}/08/P.jpg" for n in (1, 2) for day in range(10, 30)]))
    images, _, _ = find(store)
    assert len(images) == 2
    assert sorted(store.listed) == [
        "",
        "line-1/2026/11/23/07",
        "line-1/2026/11/23/08",
        "line-2/2026/11/23/07",
        "line-2/2026/11/23/08",
    ]


def test_on_s3_no_request_leaves_the_window(s3_bucket, s3_faults):
    for day in (21, 22, 23, 24):
        s3_bucket.put(f"line-1/2026/11/{day}/08/P.jpg", b"picture")
    store = open_store(s3_bucket.url, options=s3_faults.options())
    images, _, _ = find(store)
    assert keys_of(store, images) == ["line-1/2026/11/23/08/P.jpg"]
    # s3fs asks for the folder above one that is empty, to see whether it is a file.
    above_empty = {"line-1/2026/11/23/"}
    hours = {"line-1/2026/11/23/07/", "line-1/2026/11/23/08/"}
    assert set(s3_faults.listed_prefixes()) <= {"", *hours, *above_empty}
    assert len(s3_faults.requests) <= 5


def test_lines_are_asked_for_by_name_without_looking_for_others(fill):
    store = Watched(fill(*[f"line-{n}/2026/11/23/08/P.jpg" for n in (1, 2, 3)]))
    images, _, _ = find(store, lines=["line-1", "line-3", "line-9"])
    assert sorted(image.line for image in images) == ["line-1", "line-3"]
    assert not [prefix for prefix in store.listed if not prefix.startswith(("line-1/", "line-3/", "line-9/"))]


def test_lines_are_told_apart_where_only_the_file_name_tells_them(fill):
    layout = KeyLayout("{captured_at:%Y%m%d}/{line}_{captured_at:%H}_{part_id}.jpg")
    store = fill("20261123/a_08_P.jpg", "20261123/b_08_P.jpg")
    images, unmatched, _ = find(store, layout=layout, lines=["b"])
    assert [image.line for image in images] == ["b"]
    assert unmatched == []


def test_known_images_are_left_out_and_overwritten_ones_are_new(fill):
    keys = [f"line-1/2026/11/23/08/P{n}.jpg" for n in range(3)]
    store = fill(*keys)
    known = Known(images=find(store)[0])
    assert find(store, known=known)[0] == []
    fill(keys[1], age=HOUR)
    (image,), _, _ = find(store, known=known)
    assert image.uri == store.uri(keys[1])
    assert image.etag not in {old.etag for old in known.images}


def test_the_known_are_asked_for_by_line_and_folder(fill):
    known = Known()
    find(fill("line-1/2026/11/23/08/P.jpg", "line-2/2026/11/23/07/P.jpg"), known=known)
    asked = {line: (start, until) for start, until, line in known.asked}
    assert set(asked) == {"line-1", "line-2"}
    assert asked["line-1"][0] <= EIGHT < asked["line-1"][1]
    assert asked["line-2"][0] <= EIGHT - HOUR < asked["line-2"][1]


def test_a_late_image_is_found_by_the_next_run(fill):
    known = Known(images=find(fill("line-1/2026/11/23/08/P1.jpg"))[0])
    store = fill("line-1/2026/11/23/07/late.jpg")
    later = Window(since=WINDOW.since, until=WINDOW.until + HOUR)
    assert keys_of(store, find(store, window=later, known=known)[0]) == ["line-1/2026/11/23/07/late.jpg"]


def test_a_file_still_settling_is_counted_and_left_for_the_next_run(fill):
    fill("line-1/2026/11/23/08/old.jpg", age=timedelta(minutes=5))
    store = fill("line-1/2026/11/23/08/young.jpg", age=timedelta(seconds=2))
    before = datetime.now(tz=UTC) - timedelta(minutes=1)
    images, _, unsettled = find(store, settled_before=before)
    assert keys_of(store, images) == ["line-1/2026/11/23/08/old.jpg"]
    assert unsettled == 1
    images, _, unsettled = find(store, known=Known(images=images), settled_before=before + timedelta(minutes=10))
    assert keys_of(store, images) == ["line-1/2026/11/23/08/young.jpg"]
    assert unsettled == 0


def test_what_does_not_fit_the_layout_is_counted_wherever_the_window_looks(fill):
    store = fill(
        "readme.txt",
        "line-1/2026/11/23/08/P.jpg",
        "line-1/2026/11/23/08/Thumbs.db",
        "line-1/2026/11/23/08/P.jpg.tmp",
        "line-1/2026/11/23/08/deeper/P.jpg",
        "line-1/2026/11/22/08/outside the window.txt",
    )
    images, unmatched, _ = find(store)
    assert len(images) == 1
    assert [key.removeprefix("line-1/2026/11/23/08/") for key in unmatched] == [
        "P.jpg.tmp",
        "Thumbs.db",
        "deeper",
        "readme.txt",
    ]


def test_folders_named_by_line_and_day_are_chosen_by_their_day(fill):
    layout = KeyLayout("{line}-{captured_at:%Y%m%d}/{captured_at:%H%M}_{part_id}.jpg")
    store = Watched(fill("a-20261122/0800_P.jpg", "a-20261123/0800_P.jpg", "b-20261123/0859_P.jpg", "misc/0800_P.jpg"))
    images, unmatched, _ = find(store, layout=layout)
    assert keys_of(store, images) == ["a-20261123/0800_P.jpg", "b-20261123/0859_P.jpg"]
    assert sorted(store.listed) == ["", "a-20261123", "b-20261123"]
    assert unmatched == ["misc/"]


def test_parts_with_a_folder_of_their_own_named_to_the_second_are_found(fill):
    layout = KeyLayout("{line}/{captured_at:%Y%m%dT%H%M%S}_{part_id}/{view}.jpg")
    store = fill("a/20261123T083017_P1/top.jpg", "a/20261123T083017_P1/side.jpg", "a/20261123T093017_P2/top.jpg")
    images, unmatched, _ = find(store, layout=layout)
    assert [(image.part_id, image.view) for image in images] == [("P1", "side"), ("P1", "top")]
    assert {image.captured_at for image in images} == {utc(2026, 11, 23, 8, 30, 17)}
    assert unmatched == []


def test_an_empty_hour_finds_nothing_and_a_missing_bucket_is_no_empty_hour(fill, tmp_path):
    assert find(fill("line-1/2020/01/01/00/P.jpg")) == ([], [], 0)
    with pytest.raises(BucketMissing):
        find(open_store(f"file://{tmp_path}/nothing"))


def test_trouble_in_the_middle_of_the_listing_is_not_taken_for_an_empty_folder(s3_bucket, s3_faults):
    for hour in ("07", "08"):
        s3_bucket.put(f"line-1/2026/11/23/{hour}/P.jpg", b"picture")
    s3_faults.fail("unavailable", only="23/08/")
    with pytest.raises(StorageUnavailable):
        find(open_store(s3_bucket.url, options=s3_faults.options()))


LAYOUTS = {
    "hours": ("{line}/{captured_at:%Y/%m/%d/%H}/{part_id}.jpg", "{line}/{t:%Y/%m/%d/%H}/{part}.jpg", HOUR),
    "minutes in the file name of a day's folder": (
        "{line}/{captured_at:%Y/%m/%d}/{captured_at:%H%M}_{part_id}.jpg",
        "{line}/{t:%Y/%m/%d}/{t:%H%M}_{part}.jpg",
        timedelta(minutes=1),
    ),
    "folders of a minute": (
        "{line}/{captured_at:%Y/%m/%d/%H/%M}/{part_id}.jpg",
        "{line}/{t:%Y/%m/%d/%H/%M}/{part}.jpg",
        timedelta(minutes=1),
    ),
    "day before line": (
        "{captured_at:%Y%m%d}/{line}/{captured_at:%H%M%S}-{part_id}.jpg",
        "{t:%Y%m%d}/{line}/{t:%H%M%S}-{part}.jpg",
        timedelta(seconds=1),
    ),
    "a folder for each part": (
        "{line}/{captured_at:%Y%j-%H%M%S}_{part_id}/{view}.jpg",
        "{line}/{t:%Y%j-%H%M%S}_{part}/top.jpg",
        timedelta(seconds=1),
    ),
    "no folders": (
        "{line}_{captured_at:%Y%m%d%H%M}_{part_id}.jpg",
        "{line}_{t:%Y%m%d%H%M}_{part}.jpg",
        timedelta(minutes=1),
    ),
}
ZONES = {
    "UTC": UTC,
    "half an hour off, without change": ZoneInfo("Asia/Kolkata"),
    "half an hour off, with change": ZoneInfo("America/St_Johns"),
    "clocks change": BERLIN,
}
# Clocks went forward and back around these in some of the zones.
ANCHORS = (utc(2026, 3, 8, 6), utc(2026, 3, 29, 1), utc(2026, 10, 25, 1), utc(2026, 11, 1, 5), utc(2026, 12, 31, 23))


def told(moment, zone, resolution):
    """What a key of that moment says: local time without what is finer, the first of two equal hours."""
    local = moment.astimezone(zone).replace(tzinfo=None)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return (local - (local - midnight) % resolution).replace(tzinfo=zone).astimezone(UTC)


@pytest.mark.parametrize("zone", ZONES.values(), ids=ZONES)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@settings(deadline=None, max_examples=25)
@given(
    anchor=st.sampled_from(ANCHORS),
    minutes=st.lists(st.integers(-300, 300), min_size=2, max_size=2, unique=True).map(sorted),
    seconds=st.lists(st.integers(-6 * 3600, 6 * 3600), min_size=1, max_size=12),
)
@example(anchor=ANCHORS[2], minutes=[30, 90], seconds=[0, 1800, 2400, 3599, 3600])
@example(anchor=ANCHORS[0], minutes=[-1500, 1500], seconds=[-86_000, 0, 86_000])
def test_whatever_the_layout_and_zone_each_image_of_the_window_is_found_once(zone, layout, anchor, minutes, seconds):
    template, written, resolution = layout
    since, until = (anchor + timedelta(minutes=minute) for minute in minutes)
    window = Window(since=since, until=until)
    captured = [anchor + timedelta(seconds=second) for second in seconds]
    parts = {f"P{number}": moment for number, moment in enumerate(captured)}
    keys = [
        written.format(line=f"line-{number % 2}", t=moment.astimezone(zone), part=part)
        for number, (part, moment) in enumerate(parts.items())
    ]
    shelf, key_layout = Shelf(keys), KeyLayout(template, timezone=zone)
    images, unmatched, _ = find(shelf, layout=key_layout, window=window)
    assert unmatched == []
    expected = {part: told(moment, zone, resolution) for part, moment in parts.items()}
    first = told(window.since, zone, resolution)
    assert sorted((image.part_id, image.captured_at) for image in images) == sorted(
        (part, said) for part, said in expected.items() if first <= said < window.until
    )
    # The next run, which knows them, finds nothing new.
    assert find(shelf, layout=key_layout, window=window, known=Known(images=images))[0] == []
