"""Small records and short cuts by which the tests of `db` say what they are about."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, text

from casting_core.types import ImageChunk, Judgement, Prediction, Rejection, ScoringRun, StoredImage, Window
from db import images, models, runs
from db.schema import delivery

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
WINDOW = Window(since=NOW - timedelta(hours=24), until=NOW + timedelta(hours=24))
SHA256 = bytes(range(32))
BY = {"who": "anna", "why": "said the test"}


def stored_image(part="P1", *, line="line-1", view="", etag="e1", captured_at=NOW, uri=None):
    return StoredImage(
        uri=uri or f"s3://castings/{line}/{captured_at:%Y/%m/%d/%H}/{part}__{view}.jpg",
        etag=etag,
        size=25_000,
        line=line,
        part_id=part,
        view=view,
        captured_at=captured_at,
        stored_at=captured_at,
    )


def stored_images(count, **same):
    return [stored_image(f"P{number:04d}", **same) for number in range(count)]


def make_known(engine, stored):
    """Make images known; return their ids in the order given."""
    with engine.begin() as connection:
        images.insert_images(connection, stored)
        rows = connection.execute(text("SELECT uri, etag, image_id FROM image")).all()
    ids = {(row.uri, row.etag): row.image_id for row in rows}
    return [ids[image.uri, image.etag] for image in stored]


def registered(engine, version, *, promote=False):
    with engine.begin() as connection:
        model = models.register_model(
            connection, version=version, artifact_url=f"file:///models/{version}", sha256="a" * 64, card={"a": 1}, **BY
        )
        return models.promote_model(connection, version, **BY) if promote else model


def opened_run(engine, model, *, window=WINDOW, lines=()):
    run = ScoringRun(run_id=uuid.uuid4(), model=model, window=window, lines=tuple(lines))
    with engine.begin() as connection:
        runs.open_run(connection, run, flow_run_id=None)
    return run


def backlog_of(engine, run):
    """The run's backlog as one chunk."""
    with engine.connect() as connection:
        return images.backlog_chunks(connection, run, chunk_size=1_000_000)[0]


def backlog_ids(engine, run):
    with engine.connect() as connection:
        chunks = images.backlog_chunks(connection, run, chunk_size=7)
    return [image_id for chunk in chunks for image_id in chunk.image_ids]


def chunk_of(image_ids, *, captured_from=WINDOW.since, captured_to=WINDOW.until):
    return ImageChunk(image_ids=tuple(image_ids), captured_from=captured_from, captured_to=captured_to)


def predicted(image, p_defective=0.1, verdict="ok", *, sha256=SHA256):
    return Judgement(image=image, outcome=Prediction(p_defective=p_defective, verdict=verdict), sha256=sha256)


def rejected(image, reason="blank", *, sha256=None):
    return Judgement(image=image, outcome=Rejection(reason=reason, detail="said the test"), sha256=sha256)


def rows(engine, query, **parameters):
    with engine.connect() as connection:
        return connection.execute(text(query), parameters).all()


def value(engine, query, **parameters):
    with engine.connect() as connection:
        return connection.execute(text(query), parameters).scalar_one()


def backend_pid(connection):
    return connection.execute(text("SELECT pg_backend_pid()")).scalar_one()


def kill_backend(engine, pid):
    """End a session from the server's side and wait until it is gone."""
    with engine.connect() as connection:
        # With a timeout it returns only when the backend has ended, its locks included.
        assert connection.execute(text("SELECT pg_terminate_backend(:pid, 20000)"), {"pid": pid}).scalar_one()


def wait_until_blocked(engine, *, sessions=1):
    """Wait until so many sessions of this database wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    eventually(lambda: value(engine, query) >= sessions, what=f"{sessions} sessions wait for a lock")


def eventually(condition, *, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"it never came true that {what}"
        time.sleep(0.01)
    return result


def at_once(*calls):
    """Make calls in as many threads; return for each what it returned, or what it raised."""

    def outcome(call):
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - the tests look at it
            return error

    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        return list(pool.map(outcome, calls))


def telling(*channels):
    """An outbox that writes one message a channel for every event."""

    def enqueue(connection, _alert, event):
        for channel in channels:
            connection.execute(
                insert(delivery).values(
                    alert_id=event.alert_id,
                    event_id=event.event_id,
                    channel=channel,
                    idempotency_key=f"{event.event_id}:{channel}",
                )
            )

    return enqueue
