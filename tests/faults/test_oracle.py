"""The oracle of the faults says what is wrong: of a plant that is well nothing, and each kind of harm by its words."""

import hashlib

import pytest
from sqlalchemy import text

from db.verdicts import write_judgements
from tests.db.builders import backlog_of, make_known, opened_run, registered, rejected, rows, stored_image
from tests.db.builders import predicted as predicted_as
from tests.faults.oracle import Expected, Oracle

CHANNEL = "foremen"
ALERT = """
    INSERT INTO alert (kind, severity, stream, line, opened_at, updated_at, signal)
    VALUES ('defect_rate_climb', 'warning', 'line-1', 'line-1', now(), now(), 's');
    INSERT INTO alert_event (alert_id, at, event, who, why) SELECT alert_id, now(), 'opened', 'watch', 'w' FROM alert;
    INSERT INTO delivery (alert_id, event_id, channel, idempotency_key, delivered_at)
    SELECT alert_id, event_id, 'foremen', 'key', now() FROM alert_event"""


@pytest.fixture
def bucket():
    """Two pictures and what is none."""
    found = {f"s3://b/{name}": Expected(content=name.encode(), verdict="ok") for name in ("one", "two")}
    return found | {"s3://b/three": Expected(content=b"three", reason="not_an_image")}


@pytest.fixture
def oracle(engine, bucket):
    """An oracle that has seen a plant that is well, with an alert that was delivered."""
    from db import images

    model = registered(engine, "v1", promote=True)
    make_known(engine, [stored_image(uri, uri=uri) for uri in bucket])
    run = opened_run(engine, model)
    with engine.begin() as connection:
        judgements = []
        for image in images.claim_images(connection, backlog_of(engine, run), model_id=model.model_id):
            expected = bucket[image.uri]
            if expected.reason is None:
                judgements.append(predicted_as(image, sha256=hashlib.sha256(expected.content).digest()))
            else:
                judgements.append(rejected(image, expected.reason))
        write_judgements(connection, run, judgements)
    change(engine, "UPDATE scoring_run SET state = 'completed', finished_at = now()", ALERT)
    oracle = Oracle(sql=lambda query: rows(engine, query))
    oracle.look()
    return oracle


def change(engine, *statements):
    """Do what the database's own rules would refuse, as a defect below them would."""
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in statements:
            for part in statement.split(";"):
                connection.execute(text(part))


def found(oracle, bucket, *, climbing=("line-1",), received=("key",)):
    alerts = oracle.alert_violations(list(climbing), received=list(received), channel=CHANNEL)
    return [*oracle.violations(bucket, model="v1"), *alerts]


def test_of_a_plant_that_is_well_it_says_nothing(oracle, bucket):
    assert found(oracle, bucket) == []
    # A receiver drops repeats by their key.
    assert found(oracle, bucket, received=("key", "key")) == []


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("DELETE FROM image WHERE uri = 's3://b/one'", "1 images never discovered, such as s3://b/one"),
        ("DELETE FROM verdict WHERE image_id = 1", "1 images without a verdict of v1"),
        ("UPDATE verdict SET verdict = 'defective' WHERE image_id = 1", "1 rows of verdict have changed or gone"),
        ("UPDATE verdict SET verdict = 'defective' WHERE image_id = 1", "was judged defective, not ok"),
        ("UPDATE verdict SET sha256 = sha256(sha256) WHERE image_id = 1", "by the bytes of another picture"),
        ("UPDATE quarantine SET reason = 'truncated'", "in quarantine as truncated, not as not_an_image"),
        ("UPDATE quarantine SET image_id = 1", "has two outcomes"),
        (
            """INSERT INTO image (captured_at, uri, etag, line, part_id, size, stored_at)
            SELECT captured_at, uri, 'other', line, part_id, size, stored_at FROM image WHERE image_id = 1""",
            "1 images known twice",
        ),
        ("UPDATE image SET uri = 's3://b/nowhere' WHERE image_id = 1", "1 images known that are not in the bucket"),
        ("UPDATE scoring_run SET state = 'running', finished_at = NULL", "1 runs said to be running"),
        ("DELETE FROM alert_event", "1 rows of alert event have changed or gone"),
        ("DELETE FROM delivery", "1 alerts that nobody was told of"),
        ("UPDATE delivery SET delivered_at = NULL", "1 messages never delivered"),
        (
            """INSERT INTO delivery (alert_id, event_id, channel, idempotency_key, delivered_at)
            SELECT alert_id, event_id, channel, 'again', now() FROM delivery""",
            "1 events with two messages to one channel",
        ),
    ],
)
def test_it_names_what_is_wrong(engine, oracle, bucket, statement, says):
    change(engine, statement)
    violations = found(oracle, bucket)
    assert any(says in violation for violation in violations), violations


def test_it_names_alerts_and_messages_that_are_lost_or_were_never_due(oracle, bucket):
    assert "climbs told of: {'line-1': 1}, not one each of []" in found(oracle, bucket, climbing=())
    assert "1 messages said to be delivered that never arrived" in found(oracle, bucket, received=())
    assert "1 messages arrived that no alert knows of" in found(oracle, bucket, received=("key", "other"))
