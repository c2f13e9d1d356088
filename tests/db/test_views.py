"""The views show the verdict that counts: of each image, and of each part."""

import uuid
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from casting_core.types import ScoringRun
from db import images, models, runs
from tests.db.builders import BY, NOW, SHA256, WINDOW, stored_image

HOUR = timedelta(hours=1)


class History:
    """What was seen and judged, written within one transaction that is never committed."""

    def __init__(self, connection):
        self.connection = connection
        self.runs = {}

    def model(self, version, *, promote=False):
        model = models.register_model(self.connection, version=version, artifact_url="", sha256="a" * 64, card={}, **BY)
        run = ScoringRun(run_id=uuid.uuid4(), model=model, window=WINDOW)
        runs.open_run(self.connection, run, flow_run_id=None)
        self.runs[version] = run
        if promote:
            self.promote(version)

    def promote(self, version):
        models.promote_model(self.connection, version, **BY)

    def image(self, part="P1", **details):
        stored = stored_image(part, **details)
        assert images.insert_images(self.connection, [stored]) == 1
        query = "SELECT image_id FROM image WHERE uri = :uri AND etag = :etag"
        image_id = self.connection.execute(text(query), {"uri": stored.uri, "etag": stored.etag}).scalar_one()
        return SimpleNamespace(image_id=image_id, captured_at=stored.captured_at)

    def judge(self, image, verdict="ok", p_defective=0.1, *, by="v1", at=NOW):
        self.connection.execute(
            text("""
                INSERT INTO verdict (image_id, captured_at, model_id, run_id, p_defective, verdict, sha256, judged_at)
                VALUES (:image_id, :captured_at, :model_id, :run_id, :p_defective, :verdict, :sha256, :at)"""),
            {
                **vars(image),
                "model_id": self.runs[by].model.model_id,
                "run_id": self.runs[by].run_id,
                "p_defective": p_defective,
                "verdict": verdict,
                "sha256": SHA256,
                "at": at,
            },
        )

    def seen(self, part="P1", verdict="ok", p_defective=0.1, **details):
        """A picture and its verdict."""
        image = self.image(part, **details)
        self.judge(image, verdict, p_defective)
        return image

    def current(self):
        query = "SELECT image_id, model, verdict, p_defective FROM current_verdict ORDER BY image_id"
        return [tuple(row) for row in self.connection.execute(text(query))]

    def parts(self, columns="line, part_id, verdict, views"):
        query = f"SELECT {columns} FROM part_verdict ORDER BY line, part_id, captured_at"  # noqa: S608 - our own names
        return [tuple(row) for row in self.connection.execute(text(query))]


@pytest.fixture
def history(shared_engine):
    """An empty history with the champion v1."""
    with shared_engine.connect() as connection:
        history = History(connection)
        history.model("v1", promote=True)
        yield history
        connection.rollback()


# Which verdict of an image


def test_an_image_without_verdict_has_no_row(history):
    history.image()
    assert history.current() == history.parts() == []


def test_a_row_names_the_image_and_who_judged_it(history):
    image = history.image("P1", line="line-2", view="top")
    history.judge(image, "review", 0.5, at=NOW + HOUR)
    query = "SELECT * FROM current_verdict"
    assert history.connection.execute(text(query)).one()._asdict() == {
        "image_id": image.image_id,
        "captured_at": NOW,
        "line": "line-2",
        "part_id": "P1",
        "view": "top",
        "uri": "s3://castings/line-2/2026/11/23/08/P1__top.jpg",
        "verdict": "review",
        "p_defective": 0.5,
        "model": "v1",
        "judged_at": NOW + HOUR,
        "run_id": history.runs["v1"].run_id,
    }


def test_the_champions_verdict_counts_before_newer_ones(history):
    history.model("v2")
    image = history.image()
    history.judge(image, "ok", 0.1, by="v1", at=NOW)
    history.judge(image, "defective", 0.9, by="v2", at=NOW + HOUR)
    assert history.current() == [(image.image_id, "v1", "ok", 0.1)]
    history.promote("v2")
    assert history.current() == [(image.image_id, "v2", "defective", 0.9)]
    history.promote("v1")
    assert history.current() == [(image.image_id, "v1", "ok", 0.1)]


@pytest.mark.parametrize(("v2_later", "expected"), [(HOUR, "v2"), (-HOUR, "v1"), (timedelta(0), "v2")])
def test_where_the_champion_has_not_judged_the_newest_verdict_counts(history, v2_later, expected):
    history.model("v2")
    history.model("v3", promote=True)
    image = history.image()
    history.judge(image, by="v1", at=NOW)
    history.judge(image, by="v2", at=NOW + v2_later)
    assert [model for _, model, _, _ in history.current()] == [expected]


def test_quarantined_images_are_no_part_of_the_views(history):
    history.seen("P1", view="a")
    image = history.image("P1", view="b")
    insert = """
        INSERT INTO quarantine (image_id, captured_at, run_id, reason, detail)
        VALUES (:image_id, :captured_at, :run_id, 'blank', '')"""
    history.connection.execute(text(insert), {**vars(image), "run_id": history.runs["v1"].run_id})
    assert history.parts() == [("line-1", "P1", "ok", 1)]


# Which verdict of a part


@pytest.mark.parametrize(
    ("views", "verdict", "worst_view"),
    [
        ([("", "ok", 0.1)], "ok", ""),
        ([("a", "ok", 0.1), ("b", "ok", 0.2)], "ok", "b"),
        ([("a", "ok", 0.2), ("b", "review", 0.5), ("c", "ok", 0.1)], "review", "b"),
        ([("a", "ok", 0.2), ("b", "review", 0.5), ("c", "defective", 0.9)], "defective", "c"),
        # Thresholds may differ between models: the verdict counts, not the probability.
        ([("a", "defective", 0.4), ("b", "ok", 0.6)], "defective", "b"),
        ([("b", "ok", 0.3), ("a", "ok", 0.3)], "ok", "a"),
    ],
)
def test_a_part_is_as_bad_as_its_worst_view(history, views, verdict, worst_view):
    for view, *outcome in views:
        history.seen("P1", *outcome, view=view)
    columns = "line, part_id, captured_at, verdict, p_defective, views, worst_view, judged_at"
    worst = max(p_defective for _, _, p_defective in views)
    assert history.parts(columns) == [("line-1", "P1", NOW, verdict, worst, len(views), worst_view, NOW)]


def test_an_overwritten_picture_counts_as_its_newest_only(history):
    old = history.seen("P1", "defective", 0.9, etag="e1", view="a")
    history.seen("P1", "ok", 0.1, view="b")
    history.seen("P1", "ok", 0.2, etag="e2", view="a")
    assert history.parts("verdict, p_defective, views") == [("ok", 0.2, 2)]
    # Its old verdict stays in the history of the image.
    assert (old.image_id, "v1", "defective", 0.9) in history.current()


def test_until_the_new_picture_is_judged_the_old_one_counts(history):
    history.seen("P1", "defective", 0.9, etag="e1")
    history.image("P1", etag="e2")
    assert history.parts() == [("line-1", "P1", "defective", 1)]


def test_the_views_of_a_part_may_fall_on_both_sides_of_a_full_hour(history):
    history.seen("P1", "ok", view="a", captured_at=NOW - timedelta(seconds=1))
    history.seen("P1", "defective", view="b", captured_at=NOW + timedelta(seconds=1))
    assert history.parts("part_id, captured_at, verdict, views") == [("P1", NOW - timedelta(seconds=1), "defective", 2)]


@pytest.mark.parametrize("session_zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def test_a_part_counter_that_restarts_each_day_names_other_parts(history, session_zone):
    midnight = datetime(2026, 11, 23, tzinfo=UTC)
    history.connection.execute(text(f"SET LOCAL TIME ZONE '{session_zone}'"))
    history.seen("0001", "defective", captured_at=midnight - timedelta(microseconds=1))
    history.seen("0001", "ok", captured_at=midnight)
    history.seen("0001", "review", view="b", captured_at=midnight + timedelta(hours=23, minutes=59))
    assert history.parts("part_id, verdict, views") == [("0001", "defective", 1), ("0001", "review", 2)]


def test_a_part_id_is_that_of_its_line(history):
    history.seen("P1", "ok", line="line-1")
    history.seen("P1", "defective", line="line-2")
    assert history.parts() == [("line-1", "P1", "ok", 1), ("line-2", "P1", "defective", 1)]


# Any history at all

VERDICTS = ("ok", "review", "defective")
MODELS = ("v1", "v2", "v3")
PICTURES = st.fixed_dictionaries(
    {
        "line": st.sampled_from(["line-1", "line-2"]),
        "part": st.sampled_from(["1", "2"]),
        "view": st.sampled_from(["", "a", "b"]),
        "hour": st.sampled_from([0, 1, 24]),
        "verdicts": st.dictionaries(
            st.sampled_from(MODELS),
            st.tuples(st.sampled_from(VERDICTS), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(0, 2)),
        ),
    }
)


def expected_views(pictures, champion):
    """Both views, computed the plain way. Pictures come oldest first."""
    current = {}
    for number, picture in enumerate(pictures):
        verdicts = picture["verdicts"]
        if champion in verdicts:
            current[number] = (champion, *verdicts[champion][:2])
        elif verdicts:
            newest = max(verdicts, key=lambda model: (verdicts[model][2], model))
            current[number] = (newest, *verdicts[newest][:2])
    newest_of_key = {}
    for number in current:
        picture = pictures[number]
        newest_of_key[picture["line"], picture["part"], picture["view"], picture["hour"]] = number
    parts = defaultdict(list)
    for (line, part, view, hour), number in newest_of_key.items():
        _, verdict, p_defective = current[number]
        parts[line, part, hour // 24].append((VERDICTS.index(verdict), p_defective, view, hour))
    return current, {
        (
            line,
            part,
            NOW.replace(hour=0) + min(hour for *_, hour in views) * HOUR,
            VERDICTS[max(badness for badness, *_ in views)],
            max(p_defective for _, p_defective, _, _ in views),
            len(views),
            min((-p_defective, view) for _, p_defective, view, _ in views)[1],
        )
        for (line, part, _), views in parts.items()
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pictures=st.lists(PICTURES, max_size=8), champion=st.sampled_from([None, *MODELS]))
def test_any_history_is_shown_as_a_plain_computation_shows_it(shared_engine, pictures, champion):
    with shared_engine.connect() as connection:
        history = History(connection)
        for version in MODELS:
            history.model(version, promote=version == champion)
        ids = []
        for number, picture in enumerate(pictures):
            captured_at = NOW.replace(hour=0) + picture["hour"] * HOUR
            place = {name: picture[name] for name in ("line", "view")}
            image = history.image(picture["part"], **place, etag=f"e{number}", captured_at=captured_at)
            ids.append(image.image_id)
            for model, (verdict, p_defective, hours) in picture["verdicts"].items():
                history.judge(image, verdict, p_defective, by=model, at=NOW + hours * HOUR)
        current, parts = expected_views(pictures, champion)
        assert history.current() == [(ids[number], *outcome) for number, outcome in current.items()]
        shown = history.parts("line, part_id, captured_at, verdict, p_defective, views, worst_view")
        assert len(shown) == len(parts)
        assert set(shown) == parts
        connection.rollback()
