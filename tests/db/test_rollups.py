"""Roll-ups equal a recount after whatever happened, and no change is ever lost between writers and refreshes."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import exc, text

from casting_core.types import ScoringRun
from db import images, models, months, rollups, runs
from db.rollup_check import check_rollups
from db.verdicts import write_judgements
from tests.db.builders import (
    NOW,
    SHA256,
    WINDOW,
    at_once,
    backlog_of,
    chunk_of,
    eventually,
    kill_backend,
    make_known,
    opened_run,
    predicted,
    registered,
    rejected,
    rows,
    stored_image,
    stored_images,
    value,
)
from tests.published import BY_TEST

HOUR = timedelta(hours=1)
COUNTS = "line, hour, inspected, ok, defective, review, images, scored, quarantined, backlog"
SHOWN = f"SELECT {COUNTS} FROM line_hour ORDER BY line, hour"  # noqa: S608 - our own names
PARTS = "SELECT * FROM part_verdict ORDER BY line, part_id, captured_at"
ATTRIBUTES = "SELECT line, hour, key, value, inspected, defective FROM line_attribute_hour ORDER BY 1, 2, 3, 4"


def judge(engine, run, outcome=predicted, ids=None):
    """Give the backlog, or these images of it, an outcome."""
    with engine.begin() as connection:
        chunk = backlog_of(engine, run) if ids is None else chunk_of(ids)
        claimed = images.claim_images(connection, chunk, model_id=run.model.model_id)
        write_judgements(connection, run, [outcome(image) for image in claimed])


def defective(image):
    return predicted(image, 0.9, "defective")


def is_right(engine):
    """The views show the same before and after a refresh, and what a recount gives."""
    before = rows(engine, SHOWN), rows(engine, PARTS), rows(engine, ATTRIBUTES)
    assert list(check_rollups(engine)) == []
    rollups.refresh(engine)
    assert value(engine, "SELECT count(*) FROM rollup_stale") == 0
    assert (rows(engine, SHOWN), rows(engine, PARTS), rows(engine, ATTRIBUTES)) == before
    assert list(check_rollups(engine)) == []
    return [tuple(row) for row in before[0]]


def test_an_empty_history_has_no_hours_and_nothing_wrong(engine):
    assert is_right(engine) == []
    assert rollups.refresh(engine) == 0


def test_an_hour_counts_parts_images_and_what_became_of_them(engine, run):
    ids = make_known(engine, [*stored_images(4), stored_image("late", captured_at=NOW + HOUR)])
    judge(engine, run, defective, ids[:2])
    judge(engine, run, rejected, ids[2:3])
    assert is_right(engine) == [("line-1", NOW, 2, 0, 2, 0, 4, 2, 1, 1), ("line-1", NOW + HOUR, 0, 0, 0, 0, 1, 0, 0, 1)]
    judge(engine, run)
    assert is_right(engine) == [("line-1", NOW, 3, 1, 2, 0, 4, 3, 1, 0), ("line-1", NOW + HOUR, 1, 1, 0, 0, 1, 1, 0, 0)]


def test_a_late_view_may_move_its_part_to_an_earlier_hour(engine, run):
    make_known(engine, [stored_image("P1", view="b", captured_at=NOW)])
    judge(engine, run, defective)
    assert is_right(engine) == [("line-1", NOW, 1, 0, 1, 0, 1, 1, 0, 0)]
    make_known(engine, [stored_image("P1", view="a", captured_at=NOW - HOUR)])
    judge(engine, run)
    assert is_right(engine) == [("line-1", NOW - HOUR, 1, 0, 1, 0, 1, 1, 0, 0), ("line-1", NOW, 0, 0, 0, 0, 1, 1, 0, 0)]


@pytest.mark.parametrize("session_zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_months_and_days_begin_at_midnight_utc_wherever_a_session_is(engine, run, session_zone):
    start = datetime(2026, 12, 1, tzinfo=UTC)
    window = opened_run(engine, run.model, window=type(WINDOW)(since=start - HOUR, until=start + HOUR))
    make_known(engine, [stored_image(captured_at=start - timedelta(microseconds=1)), stored_image(captured_at=start)])
    judge(engine, window)
    with engine.begin() as connection:
        connection.execute(text(f"ALTER DATABASE {engine.url.database} SET TIME ZONE '{session_zone}'"))
    assert [row[1:3] for row in is_right(engine)] == [(start - HOUR, 1), (start, 1)]
    query = "SELECT tableoid::regclass::text FROM part ORDER BY captured_at"
    assert [row[0] for row in rows(engine, query)] == ["month.part_2026_11", "month.part_2026_12"]


def test_another_champion_recounts_the_days_that_models_share_and_no_other(engine, run):
    shared, alone = make_known(engine, [stored_image("P1"), stored_image("P2", captured_at=NOW - 24 * HOUR)])
    judge(engine, run, ids=[shared, alone])
    challenger = opened_run(engine, registered(engine, "challenger"))
    judge(engine, challenger, defective, [shared])
    assert [row[2:5] for row in is_right(engine)] == [(1, 1, 0), (1, 1, 0)]
    with engine.begin() as connection:
        models.promote_model(connection, "challenger", **BY_TEST)
    assert rows(engine, "SELECT DISTINCT day FROM stale_line_day") == [(NOW.date(),)]
    assert [row[2:5] for row in is_right(engine)] == [(1, 1, 0), (1, 0, 1)]
    with engine.begin() as connection:
        models.promote_model(connection, "champion-1", **BY_TEST)
    assert [row[2:5] for row in is_right(engine)] == [(1, 1, 0), (1, 1, 0)]


def test_labels_count_escapes_and_false_rejects(engine, run):
    ids = make_known(engine, stored_images(4))
    judge(engine, run, defective, ids[:2])
    judge(engine, run, predicted, ids[2:])
    is_right(engine)
    insert = text(
        "INSERT INTO label (image_id, captured_at, label, who) VALUES (:image_id, :captured_at, :label, 'me')"
    )
    for image_id, label in [(ids[0], "ok"), (ids[1], "defective"), (ids[2], "ok"), (ids[2], "defective")]:
        with engine.begin() as connection:
            connection.execute(insert, {"image_id": image_id, "captured_at": NOW, "label": label})
    is_right(engine)
    query = "SELECT labelled, labelled_defective, escapes, false_rejects FROM line_hour"
    assert rows(engine, query) == [(3, 2, 1, 1)]


# Writers and refreshes at the same time


def write(engine, statement):
    with engine.begin() as connection:
        connection.execute(text(statement))


def test_a_mould_counts_its_parts_and_follows_what_the_plant_corrects(engine, run):
    make_known(engine, [stored_image("P1"), stored_image("P2"), stored_image("P3", captured_at=NOW + HOUR)])
    judge(engine, run, defective)
    is_right(engine)
    assert rows(engine, ATTRIBUTES) == []
    moulds = "SELECT 'line-1', 'P' || number, DATE '2026-11-23', 'mould', 'M1' FROM generate_series(1, 4) AS number"
    write(engine, f"INSERT INTO part_attribute (line, part_id, day, key, value) {moulds}")
    is_right(engine)
    both = [("line-1", NOW, "mould", "M1", 2, 2), ("line-1", NOW + HOUR, "mould", "M1", 1, 1)]
    assert rows(engine, ATTRIBUTES) == both
    write(engine, "UPDATE part_attribute SET value = 'M2' WHERE part_id = 'P1'")
    is_right(engine)
    assert ("line-1", NOW, "mould", "M2", 1, 1) in rows(engine, ATTRIBUTES)
    write(engine, "UPDATE part_attribute SET day = day - 1, value = 'M1' WHERE part_id = 'P1'")
    is_right(engine)
    assert rows(engine, ATTRIBUTES) == [("line-1", NOW, "mould", "M1", 1, 1), both[1]]
    write(engine, "DELETE FROM part_attribute WHERE part_id = 'P2'")
    is_right(engine)
    assert rows(engine, ATTRIBUTES) == both[1:]
    write(engine, "TRUNCATE part_attribute")
    is_right(engine)
    assert rows(engine, ATTRIBUTES) == []


def test_the_check_also_counts_what_is_known_of_parts(engine, run):
    make_known(engine, stored_images(2))
    judge(engine, run)
    mould = "SELECT line, part_id, DATE '2026-11-23', 'mould', '7' FROM image WHERE part_id = 'P0000'"
    write(engine, f"INSERT INTO part_attribute (line, part_id, day, key, value) {mould}")
    rollups.refresh(engine)
    write(engine, "UPDATE attribute_hour SET inspected = 2")
    (found,) = (str(difference) for difference in check_rollups(engine))
    assert "attributes {'mould 7': [2, 0]}, should be {'mould 7': [1, 0]}" in found


def test_what_commits_while_a_refresh_runs_is_still_due_after_it(engine, run):
    first, second = make_known(engine, stored_images(2))
    judge(engine, run, defective, [first])
    with engine.connect() as refreshing:
        stale = refreshing.execute(rollups.load("stale_line_days"), {"most": 1}).all()
        judge(engine, run, defective, [second])
        rollups._recount(refreshing, stale)
        refreshing.commit()
    assert value(engine, "SELECT count(*) FROM rollup_stale WHERE line IS NOT NULL") == 1
    assert [row[2] for row in is_right(engine)] == [2]


def test_a_writer_that_commits_after_a_refresh_is_counted_by_the_next(engine, run):
    make_known(engine, stored_images(1))
    rollups.refresh(engine)
    with engine.connect() as writing:
        claimed = images.claim_images(writing, backlog_of(engine, run), model_id=run.model.model_id)
        write_judgements(writing, run, [defective(image) for image in claimed])
        assert rollups.refresh(engine) == 0
        writing.commit()
    assert [row[2:5] for row in is_right(engine)] == [(1, 0, 1)]


def test_a_promotion_that_is_open_while_a_refresh_counts_is_seen_by_the_next(engine, run):
    make_known(engine, stored_images(1))
    judge(engine, run)
    judge(engine, opened_run(engine, registered(engine, "challenger")), defective)
    with engine.connect() as promoting:
        models.promote_model(promoting, "challenger", **BY_TEST)
        assert rollups.refresh(engine) == 1
        promoting.commit()
    assert value(engine, "SELECT count(*) FROM stale_line_day") == 1
    assert [row[2:5] for row in is_right(engine)] == [(1, 0, 1)]


def test_four_writers_and_two_refreshes_at_once_lose_nothing_and_never_wait_in_a_circle(engine, run):
    ids = make_known(engine, stored_images(40) + stored_images(40, line="line-2"))

    def write(number):
        for image_id in ids[number::4]:
            judge(engine, run, defective, [image_id])

    def refresh():
        while value(engine, "SELECT count(*) FROM verdict") < len(ids):
            rollups.refresh(engine)

    outcomes = at_once(*[lambda number=number: write(number) for number in range(4)], refresh, refresh)
    assert outcomes == [None] * 6
    assert [row[2:5] for row in is_right(engine)] == [(40, 0, 40)] * 2


def test_a_refresh_that_is_killed_leaves_everything_due(engine, run):
    make_known(engine, stored_images(3))
    judge(engine, run)
    with engine.connect() as refreshing:
        stale = refreshing.execute(rollups.load("stale_line_days"), {"most": 1}).all()
        rollups._recount(refreshing, stale)
        kill_backend(engine, refreshing.execute(text("SELECT pg_backend_pid()")).scalar_one())
        refreshing.invalidate()
    assert value(engine, "SELECT count(*) FROM part") == 0
    eventually(lambda: value(engine, "SELECT count(*) FROM rollup_stale") > 0, what="the marks are back")
    assert [row[2] for row in is_right(engine)] == [3]


# The check


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("UPDATE part_hour SET ok = ok - 1, inspected = inspected - 1", "ok 1, should be 2, inspected 1, should be 2"),
        ("UPDATE part_hour SET images = images + 1", "images 3, should be 2, backlog 1, should be 0"),
        ("DELETE FROM part_hour", "it is missing"),
        ("UPDATE part SET p_defective = 0.5 WHERE part_id = 'P0000'", "other_parts 0, should be 1"),
        ("DELETE FROM part WHERE part_id = 'P0000'", "other_parts 0, should be 1"),
        ("UPDATE part_hour SET hour = hour + interval '1 hour'", "there are no images of it"),
    ],
)
def test_a_check_names_the_hour_and_what_is_wrong_in_it(engine, run, damage, told):
    make_known(engine, stored_images(2))
    judge(engine, run)
    rollups.refresh(engine)
    with engine.begin() as connection:
        connection.execute(text(damage))
    found = [str(difference) for difference in check_rollups(engine)]
    assert any(told in line and "line-1, 2026-11-23 0" in line for line in found)
    with engine.begin() as connection:
        rollups.mark_all(connection)
        connection.execute(text("DELETE FROM part_hour WHERE images = 0 OR hour > :now"), {"now": NOW})
    rollups.refresh(engine)
    assert list(check_rollups(engine)) == []


def test_a_check_may_leave_earlier_months_out(engine, run):
    make_known(engine, stored_images(1))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM rollup_stale"))
    assert len(list(check_rollups(engine))) == 1
    assert list(check_rollups(engine, since=datetime(2026, 12, 1, tzinfo=UTC).date())) == []


def test_months_ahead_are_made_once(engine):
    with engine.begin() as connection:
        made = months.make_ahead(connection, now=datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
        assert months.make_ahead(connection, now=datetime(2026, 11, 30, 23, 59, tzinfo=UTC)) == made
    assert made == ["2026-11", "2026-12", "2027-01"]
    assert value(engine, "SELECT count(*) FROM pg_class WHERE relname LIKE 'part\\_20%' AND relkind = 'r'") == 3


# Any history at all

VERDICTS = ("ok", "review", "defective")
MODELS = ("v1", "v2", "v3")
PICTURE = st.tuples(
    st.sampled_from(["line-1", "line-2"]),
    st.sampled_from(["1", "2"]),
    st.sampled_from(["", "b"]),
    st.sampled_from([0, 1, 16, 200]),
)
STEP = st.one_of(
    st.tuples(st.just("image"), PICTURE),
    st.tuples(
        st.just("verdict"), st.integers(0, 9), st.sampled_from(MODELS), st.sampled_from(VERDICTS), st.integers(0, 4)
    ),
    st.tuples(st.just("quarantine"), st.integers(0, 9)),
    st.tuples(st.just("label"), st.integers(0, 9), st.sampled_from(["ok", "defective"])),
    st.tuples(st.just("promote"), st.sampled_from(MODELS)),
    st.tuples(
        st.just("mould"),
        st.sampled_from(["line-1", "line-2"]),
        st.sampled_from(["1", "2"]),
        st.sampled_from([0, 1, 8]),
        st.sampled_from(["M1", "M2", None]),
    ),
    st.just(("refresh",)),
)


class Story:
    """A history as it happens, written within one transaction that is never committed."""

    def __init__(self, connection):
        self.connection = connection
        self.known = []
        self.runs = {}
        for version in MODELS:
            model = models.register_model(
                connection, version=version, artifact_url="", sha256="a" * 64, card={}, **BY_TEST
            )
            self.runs[version] = ScoringRun(run_id=uuid.uuid4(), model=model, window=WINDOW)
            runs.open_run(connection, self.runs[version], flow_run_id=None)

    def tell(self, kind, *details):
        getattr(self, kind)(*details)

    def image(self, picture):
        line, part, view, hour = picture
        stored = stored_image(part, line=line, view=view, etag=uuid.uuid4().hex, captured_at=NOW + hour * HOUR)
        images.insert_images(self.connection, [stored])
        query = text("SELECT image_id, captured_at FROM image WHERE etag = :etag")
        self.known.append(self.connection.execute(query, {"etag": stored.etag}).one()._asdict())

    def verdict(self, which, version, verdict, at):
        self.write(
            which,
            """INSERT INTO verdict (image_id, captured_at, model_id, run_id, p_defective, verdict, sha256, judged_at)
            VALUES (:image_id, :captured_at, :model, :run, :p, :verdict, :sha256, :at)""",
            model=self.runs[version].model.model_id,
            run=self.runs[version].run_id,
            p=VERDICTS.index(verdict) / 2,
            verdict=verdict,
            sha256=SHA256,
            at=NOW + at * HOUR,
        )

    def quarantine(self, which):
        self.write(
            which,
            """INSERT INTO quarantine (image_id, captured_at, run_id, reason, detail)
            VALUES (:image_id, :captured_at, :run, 'blank', '')""",
            run=self.runs["v1"].run_id,
        )

    def label(self, which, label):
        self.write(
            which,
            "INSERT INTO label (image_id, captured_at, label, who) VALUES (:image_id, :captured_at, :label, 'me')",
            label=label,
        )

    def promote(self, version):
        models.promote_model(self.connection, version, **BY_TEST)

    def mould(self, line, part, later, value):
        """Say, correct or take back which mould a part is from."""
        of_part = {"line": line, "part": part, "day": NOW.date() + later * timedelta(days=1)}
        query = "DELETE FROM part_attribute WHERE line = :line AND part_id = :part AND day = :day"
        if value is not None:
            query = """INSERT INTO part_attribute (line, part_id, day, key, value)
                VALUES (:line, :part, :day, 'mould', :value)
                ON CONFLICT (day, line, part_id, key) DO UPDATE SET value = excluded.value"""
        self.connection.execute(text(query), of_part | {"value": value})

    def refresh(self):
        self.connection.execute(rollups.load("spread_champion_marks"))
        stale = self.connection.execute(rollups.load("stale_line_days"), {"most": 1000}).all()
        rollups._recount(self.connection, stale)
        assert self.connection.execute(text("SELECT count(*) FROM stale_line_day")).scalar_one() == 0

    def write(self, which, statement, **values):
        """Write something about a picture; what the database refuses did not happen."""
        if not self.known:
            return
        try:
            with self.connection.begin_nested():
                self.connection.execute(text(statement), self.known[which % len(self.known)] | values)
        except exc.IntegrityError:
            pass

    def differences(self):
        bounds = {"since": NOW - 30 * 24 * HOUR, "until": NOW + 60 * 24 * HOUR}
        return self.connection.execute(rollups.load("recount_hours"), bounds).all()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=25))
def test_whatever_happens_the_views_equal_a_recount_before_and_after_a_refresh(shared_engine, steps):
    with shared_engine.connect() as connection:
        story = Story(connection)
        for step in steps:
            story.tell(*step)
        assert story.differences() == []
        story.refresh()
        assert story.differences() == []
        connection.rollback()
