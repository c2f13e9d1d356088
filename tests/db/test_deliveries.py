"""Messages wait in the outbox, are claimed by one deliverer at a time, and are tried again until they arrive."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from casting_core.alert_types import Finding
from db import alerts, deliveries, snoozes
from tests.db.builders import at_once, backend_pid, kill_backend, rows, value

NOW = datetime(2026, 11, 23, 8, 20, tzinfo=UTC)
STALLED = Finding(kind="scoring_stalled", severity="critical", stream="", line="", signal="s1")


@pytest.fixture
def alert_id(engine):
    with engine.begin() as connection:
        alert = alerts.open_alert(connection, STALLED, at=NOW, who="watch", why="no run for 3 hours")
    return alert.alert_id


@pytest.fixture
def queue(engine, alert_id):
    """Queue messages on a channel; their keys are k1, k2, ..."""

    def queue(*keys, channel="mail", **more):
        with engine.begin() as connection:
            event = alerts.events_of(connection, alert_id)[0]
            for key in keys:
                deliveries.queue_delivery(
                    connection,
                    alert_id=alert_id,
                    event_id=event.event_id,
                    channel=channel,
                    key=key,
                    payload={"message": {"key": key}},
                    **more,
                )

    return queue


def send_all(engine, channel="mail"):
    """Claim and record until nothing is due; return the keys in the order in which they were sent."""
    sent = []
    while True:
        with engine.begin() as connection:
            claimed = deliveries.claim_delivery(connection, channel)
            if claimed is None:
                return sent
            deliveries.record_delivered(connection, claimed)
            sent.append(claimed.key)


def test_messages_leave_in_the_order_in_which_they_came_and_once(engine, queue):
    queue("k1", "k2", "k3")
    assert send_all(engine) == ["k1", "k2", "k3"]
    assert send_all(engine) == []
    assert rows(engine, "SELECT attempts, last_error FROM delivery WHERE delivered_at IS NOT NULL") == [(1, None)] * 3


def test_channels_do_not_see_each_others_messages(engine, queue):
    queue("k1")
    queue("k2", channel="chat")
    with engine.connect() as connection:
        assert deliveries.channels_with_due(connection) == ["chat", "mail"]
    assert send_all(engine, "chat") == ["k2"]
    with engine.connect() as connection:
        assert deliveries.channels_with_due(connection) == ["mail"]


def test_the_same_key_twice_is_an_error_of_the_program(engine, queue):
    from sqlalchemy.exc import IntegrityError

    queue("k1")
    with pytest.raises(IntegrityError, match="delivery_idempotency_key"):
        queue("k1", channel="chat")


def test_while_one_deliverer_sends_the_other_leaves_the_channel_alone(engine, queue):
    queue("k1", "k2")
    with engine.begin() as first, engine.begin() as second:
        assert deliveries.claim_delivery(first, "mail").key == "k1"
        assert deliveries.claim_delivery(second, "mail") is None
    assert send_all(engine) == ["k1", "k2"]


def test_many_deliverers_at_once_send_each_message_once(engine, queue):
    keys = [f"k{number:02d}" for number in range(20)]
    queue(*keys)
    sent = at_once(*[lambda: send_all(engine)] * 4)
    assert sorted(key for keys_of_one in sent for key in keys_of_one) == keys


def test_a_claim_dies_with_its_deliverer_and_the_message_keeps_its_key(engine, queue):
    queue("k1")
    with engine.connect() as doomed:
        pid = backend_pid(doomed)
        assert deliveries.claim_delivery(doomed, "mail").key == "k1"
        kill_backend(engine, pid)
        doomed.invalidate()
    assert send_all(engine) == ["k1"]


def test_a_failure_waits_longer_each_time_but_never_more_than_an_hour(engine, queue):
    queue("k1")
    waits = []
    for _ in range(12):
        with engine.begin() as connection:
            connection.execute(text("UPDATE delivery SET next_attempt_at = now()"))
            claimed = deliveries.claim_delivery(connection, "mail")
            deliveries.record_failed(connection, claimed, "mail answered 500")
        waits.append(
            value(engine, "SELECT extract(epoch FROM next_attempt_at - clock_timestamp())::float FROM delivery")
        )
    expected = [min(5 * 2**attempt, 3600) for attempt in range(12)]
    assert all(0.85 * nominal < wait < 1.15 * nominal for wait, nominal in zip(waits, expected, strict=True)), waits
    assert rows(engine, "SELECT attempts, last_error FROM delivery") == [(12, "mail answered 500")]
    assert send_all(engine) == []


def test_one_that_failed_does_not_hold_up_the_next(engine, queue):
    queue("k1", "k2")
    with engine.begin() as connection:
        deliveries.record_failed(connection, deliveries.claim_delivery(connection, "mail"), "too long")
    assert send_all(engine) == ["k2"]
    with engine.connect() as connection:
        assert 3 < deliveries.seconds_to_next_try(connection, "mail") < 6
        assert deliveries.seconds_to_next_try(connection, "chat") is None


def test_many_become_a_digest_that_stays_the_same_when_it_fails_and_more_come(engine, queue):
    queue("k1", "k2", "k3")
    with engine.begin() as connection:
        assert deliveries.claim_digest(connection, "mail", more_than=3) == []
        claimed = deliveries.claim_digest(connection, "mail", more_than=2)
        deliveries.write_digest(connection, claimed, {"message": {"key": "d1"}})
    with engine.begin() as connection:
        carrier = deliveries.claim_delivery(connection, "mail")
        assert carrier.payload["message"] == {"key": "d1"}
        deliveries.record_failed(connection, carrier, "away")
        connection.execute(text("UPDATE delivery SET next_attempt_at = now() WHERE attempts > 0"))
    queue("k4")
    with engine.begin() as connection:
        # The digest is no part of another one, nor are the messages that it tells of.
        assert [each.key for each in deliveries.claim_digest(connection, "mail", more_than=0)] == ["k4"]
    assert send_all(engine) == ["k1", "k4"]
    assert value(engine, "SELECT count(*) FROM delivery WHERE delivered_at IS NULL") == 0


def test_what_a_snooze_holds_waits_for_its_end_and_is_taken_back_when_all_is_over(engine, queue, alert_id):
    queue("k1", not_before=datetime.now(tz=UTC) + timedelta(hours=1))
    queue("k2", channel="chat")
    assert send_all(engine) == []
    with engine.begin() as connection:
        assert deliveries.undelivered(connection, since=NOW - timedelta(days=1)) == [
            deliveries.Undelivered(
                channel="chat",
                waiting=1,
                given_up=0,
                attempts=0,
                oldest=value(engine, "SELECT created_at FROM delivery WHERE channel = 'chat'"),
                last_error=None,
            )
        ]
        assert deliveries.drop_held(connection, alert_id) == {"mail"}
    assert send_all(engine, "chat") == ["k2"]
    assert value(engine, "SELECT count(*) FROM delivery") == 1


@pytest.mark.parametrize(
    ("line", "begins", "ends", "snoozed"),
    [("line-a", -1, 1, True), ("", -1, 1, True), ("line-b", -1, 1, False), ("line-a", -2, -1, False)],
    ids=["its line", "all lines", "another line", "over"],
)
def test_a_snooze_holds_for_its_line_and_time(engine, line, begins, ends, snoozed):
    now = datetime.now(tz=UTC)
    until = now + timedelta(hours=ends)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO snooze (line, since, until, who, why) VALUES (:line, :since, :until, 'Ada', 'set up')"),
            {"line": line, "since": now + timedelta(hours=begins), "until": until},
        )
        assert snoozes.snoozed_until(connection, "line-a") == (until if snoozed else None)


def test_what_never_arrives_is_given_up_and_stays_visible(engine, queue):
    queue("old", "held")
    queue("gone", channel="removed")
    queue("young", channel="chat")
    with engine.begin() as connection:
        deliveries.record_failed(connection, deliveries.claim_delivery(connection, "mail"), "away")
        connection.execute(text("UPDATE delivery SET created_at = now() - interval '4 days' WHERE channel <> 'chat'"))
    with engine.begin() as sending, engine.begin() as connection:
        assert deliveries.claim_delivery(sending, "mail").key == "held"
        # What is being sent at this moment may yet arrive.
        assert deliveries.give_up(connection, after=timedelta(days=3)) == 2
    with engine.connect() as connection:
        found = deliveries.undelivered(connection, since=datetime.now(tz=UTC) - timedelta(days=7))
    assert [(each.channel, each.waiting, each.given_up, each.last_error) for each in found] == [
        ("chat", 1, 0, None),
        ("mail", 1, 1, "Given up. away"),
        ("removed", 0, 1, "Given up. The channel is not set any more."),
    ]
    with engine.connect() as connection:
        assert deliveries.give_up(connection, after=timedelta(days=3)) == 1
        assert deliveries.seconds_to_next_try(connection, "mail") is None
