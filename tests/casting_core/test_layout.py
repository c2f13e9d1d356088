"""A layout reads keys, refuses what it could not read or list, and names every folder that a window can reach."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casting_core.errors import InvalidLayout
from casting_core.layout import DEFAULT_LAYOUT, KeyFields, KeyLayout
from casting_core.types import Window

BERLIN, KOLKATA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("line-1/2026/11/23/08/P17.jpg", ("line-1", "P17", "", 8)),
        ("line-1/2026/11/23/08/P17__top.png", ("line-1", "P17", "top", 8)),
        ("line 1/2026/11/23/23/P_1_2__a__b.tiff", ("line 1", "P_1_2", "a__b", 23)),
        ("Linie-ü/2026/11/23/00/A.B.C.JPG", ("Linie-ü", "A.B.C", "", 0)),
        ("l/2026/11/23/08/P__.jpg", ("l", "P__", "", 8)),
    ],
)
def test_a_key_of_the_default_layout_is_read(key, expected):
    line, part_id, view, hour = expected
    fields = KeyFields(line=line, part_id=part_id, view=view, captured_at=utc(2026, 11, 23, hour))
    assert KeyLayout().parse(key) == fields


@pytest.mark.parametrize(
    "key",
    [
        "",
        "line-1/2026/11/23/08/P17.gif",
        "line-1/2026/11/23/08/P17.jpg.part",
        "line-1/2026/11/23/08/.jpg",
        "line-1/2026/11/23/P17.jpg",
        "line-1/2026/11/23/08/deeper/P17.jpg",
        "/line-1/2026/11/23/08/P17.jpg",
        "line-1/2026/13/01/08/P17.jpg",
        "line-1/2026/02/29/08/P17.jpg",
        "line-1/2026/11/23/24/P17.jpg",
        "line-1/26/11/23/08/P17.jpg",
    ],
)
def test_a_key_that_does_not_fit_is_none(key):
    assert KeyLayout().parse(key) is None


@pytest.mark.parametrize(
    ("template", "key", "captured_at"),
    [
        ("{line}/{captured_at:%Y-%m-%d}/{part_id}.jpg", "a/2026-11-23/P.jpg", utc(2026, 11, 23)),
        ("{line}/{captured_at:%Y/%j}/{part_id}.jpg", "a/2026/327/P.jpg", utc(2026, 11, 23)),
        ("{line}/{captured_at:%Y-%m}/{part_id}.jpg", "a/2026-11/P.jpg", utc(2026, 11, 1)),
        (
            "{captured_at:%Y%m%d}/{line}_{captured_at:%H%M%S_%f}_{part_id}.{bmp|png}",
            "20261123/a_084501_250000_P.BMP",
            utc(2026, 11, 23, 8, 45, 1, 250_000),
        ),
    ],
)
def test_other_layouts_tell_the_time_as_finely_as_they_say(template, key, captured_at):
    fields = KeyLayout(template).parse(key)
    assert (fields.line, fields.part_id, fields.captured_at) == ("a", "P", captured_at)


def test_a_name_told_twice_must_be_the_same_both_times():
    layout = KeyLayout("{line}/{captured_at:%Y%m%d}/{line}-{captured_at:%Y%m%d}-{part_id}.jpg")
    assert layout.parse("a/20261123/a-20261123-P.jpg").part_id == "P"
    assert layout.parse("a/20261123/b-20261123-P.jpg") is None
    assert layout.parse("a/20261123/a-20261124-P.jpg") is None


@pytest.mark.parametrize(
    ("zone", "hour", "expected"),
    [
        (BERLIN, "2026/07/01/08", utc(2026, 7, 1, 6)),
        (BERLIN, "2026/12/01/08", utc(2026, 12, 1, 7)),
        (KOLKATA, "2026/07/01/08", utc(2026, 7, 1, 2, 30)),
        # Clocks go back on 25 October: 02 is read as the first of its two hours.
        (BERLIN, "2026/10/25/02", utc(2026, 10, 25, 0)),
        (BERLIN, "2026/10/25/03", utc(2026, 10, 25, 2)),
    ],
)
def test_times_in_keys_are_of_the_layouts_zone(zone, hour, expected):
    assert KeyLayout(timezone=zone).parse(f"line-1/{hour}/P.jpg").captured_at == expected


@pytest.mark.parametrize("zone", [BERLIN, ZoneInfo("Pacific/Kiritimati"), ZoneInfo("America/Adak")])
@pytest.mark.parametrize("year", ["0000", "0001", "9999"])
def test_a_key_at_the_ends_of_time_is_read_or_none(zone, year):
    fields = KeyLayout(timezone=zone).parse(f"line-1/{year}/01/01/00/P.jpg")
    assert fields is None or fields.captured_at.year in (int(year), int(year) - 1)


@given(
    st.text(max_size=60)
    | st.from_regex(r"[a-z]{1,3}/\d{4}/\d{2}/\d{2}/\d{2}/\w{1,5}(__\w)?\.(jpg|PNG)", fullmatch=True)
)
def test_any_text_is_a_key_or_none(key):
    fields = KeyLayout(timezone=KOLKATA).parse(key)
    if fields is not None:
        local = fields.captured_at.astimezone(KOLKATA)
        name = fields.part_id + (f"__{fields.view}" if fields.view else "")
        assert f"{fields.line}/{local:%Y/%m/%d/%H}/{name}" == key.rpartition(".")[0]


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("", r"lacks {line}, {part_id}"),
        ("{line}/{part_id}.jpg", r"lacks {captured_at:\.\.\.}"),
        ("{captured_at:%Y/%m/%d}/{part_id}.jpg", r"lacks {line}"),
        ("{line}/{captured_at:%Y/%m/%d}/x.jpg", r"lacks {part_id}"),
        ("{line}/{captured_at:%y/%m/%d}/{part_id}.jpg", r"uses %y; known are %Y"),
        ("{line}/{captured_at:%Y/%m/%d%}/{part_id}.jpg", r"uses %;"),
        ("{line}/{captured_at:%m/%d}/{part_id}.jpg", r"does not tell %Y"),
        ("{line}/{captured_at:%Y}/{part_id}.jpg", r"does not tell %m"),
        ("{line}/{captured_at:%Y/%m/%H}/{part_id}.jpg", r"does not tell %d"),
        ("{line}/{captured_at:%Y/%m/%d/%M}/{part_id}.jpg", r"does not tell %H"),
        ("{camera}/{line}/{captured_at:%Y/%m/%d}/{part_id}.jpg", r"not understood from '{camera}"),
        ("{line}/{captured_at:%Y/%m/%d}/{part_id}.{jpg}", r"not understood from '{jpg}'"),
        ("{line}/{captured_at:%Y/%m/%d}/{part_id}[__{view}.jpg", r"not well formed"),
        ("{line}/{captured_at:%Y/%m/%d}/{part_id}__{view}].jpg", r"not well formed"),
        ("{line}/{captured_at:%Y/%m/%d}/[{view}/]{part_id}.jpg", r"has a / within"),
        ("{line}/{captured_at:%Y/%m/%d}/{a/b|c}_{part_id}.jpg", r"has a / within"),
        ("/{line}/{captured_at:%Y/%m/%d}/{part_id}.jpg", r"empty name"),
        ("{line}//{captured_at:%Y/%m/%d}/{part_id}.jpg", r"empty name"),
        ("{line}/{captured_at:%Y/%m/%d}/{part_id}/", r"empty name"),
    ],
)
def test_a_layout_that_cannot_be_read_or_listed_says_why(template, complaint):
    with pytest.raises(InvalidLayout, match=complaint):
        KeyLayout(template)


@pytest.mark.parametrize(
    ("template", "moment", "earliest"),
    [
        (DEFAULT_LAYOUT, utc(2026, 11, 23, 8, 30, 15), utc(2026, 11, 23, 8)),
        ("{line}/{captured_at:%Y/%m/%d}/{part_id}.jpg", utc(2026, 11, 23, 8, 30), utc(2026, 11, 23)),
        ("{line}/{captured_at:%Y-%m}/{part_id}.jpg", utc(2026, 11, 23, 8), utc(2026, 11, 1)),
        (
            "{line}/{captured_at:%Y%m%d}/{captured_at:%H%M}_{part_id}.jpg",
            utc(2026, 11, 23, 8, 30, 15, 1),
            utc(2026, 11, 23, 8, 30),
        ),
        (
            "{line}/{captured_at:%Y%m%d}/{captured_at:%H%M%S%f}_{part_id}.jpg",
            utc(2026, 11, 23, 8, 30, 15, 1),
            utc(2026, 11, 23, 8, 30, 15, 1),
        ),
    ],
)
def test_the_floor_is_the_earliest_time_that_a_key_can_say(template, moment, earliest):
    assert KeyLayout(template).floor(moment) == earliest


def test_the_floor_in_the_second_of_two_equal_hours_is_that_of_the_first():
    # 01:30 UTC is 02:30 in Berlin for the second time that night; its key cannot tell, and is read as the first.
    layout = KeyLayout(timezone=BERLIN)
    said = layout.parse("line-1/2026/10/25/02/P.jpg").captured_at
    assert layout.floor(utc(2026, 10, 25, 1, 30)) == said


@pytest.mark.parametrize("zone", [UTC, KOLKATA, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("America/St_Johns")])
@given(
    since=st.integers(0, 365 * 24 * 60).map(lambda minutes: utc(2026, 1, 1) + timedelta(minutes=minutes)),
    hours=st.integers(1, 60),
    share=st.floats(0, 1, exclude_max=True),
)
def test_every_time_of_a_window_has_its_hour_among_the_moments(zone, since, hours, share):
    layout = KeyLayout(timezone=zone)
    length = timedelta(hours=hours)
    moments = layout.moments(Window(since=since, until=since + length))
    # A share just below 1 may round up to the end, which is no part of the window.
    inside = min(since + length * share, since + length - timedelta(microseconds=1)).astimezone(zone)
    assert f"{inside:%Y%m%d%H}" in {f"{moment:%Y%m%d%H}" for moment in moments}
    assert len(moments) <= hours + 3
