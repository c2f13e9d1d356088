"""The outbox: messages that wait for their channels, claimed under a lock, tried again until they arrive.

A message is written in the transaction that changes its alert, and recorded as delivered after it was sent: killed
between the two, it is sent again under the same key. It is delivered at least once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Double, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import JSONB

from casting_core.alert_types import AlertId, EventId
from db.queries import load
from db.schema import delivery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from sqlalchemy import Connection, Row

# Waits double from here to there.
FIRST_WAIT_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 3600.0
# Not 'infinity', which Python's times cannot hold.
NEVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A message on its way to one channel, which this transaction alone may send."""

    delivery_id: int
    alert_id: AlertId
    event_id: EventId
    channel: str
    key: str
    payload: Mapping[str, Any]
    attempts: int


@dataclass(frozen=True, kw_only=True)
class Sending:
    """How far a message about an alert has come on a channel."""

    channel: str
    event: str
    created_at: datetime
    attempts: int
    delivered_at: datetime | None
    last_error: str | None
    in_digest: bool


@dataclass(frozen=True, kw_only=True)
class Undelivered:
    """What a channel has not got: messages that wait, messages given up, since when, and what went wrong last."""

    channel: str
    waiting: int
    given_up: int
    attempts: int
    oldest: datetime
    last_error: str | None


def queue_delivery(
    connection: Connection,
    *,
    alert_id: AlertId,
    event_id: EventId,
    channel: str,
    key: str,
    payload: Mapping[str, Any],
    not_before: datetime | None = None,
) -> None:
    """Write a message into the outbox, in the transaction that changes the alert."""
    values: dict[str, Any] = {
        "alert_id": alert_id,
        "event_id": event_id,
        "channel": channel,
        "idempotency_key": key,
        "payload": dict(payload),
    }
    if not_before is not None:
        values["next_attempt_at"] = not_before
    connection.execute(insert(delivery).values(values))


def drop_held(connection: Connection, alert_id: AlertId) -> set[str]:
    """Take back an alert's messages that a snooze still holds; return the channels that so never heard of it."""
    held = delete(delivery).where(
        delivery.c.alert_id == alert_id,
        delivery.c.delivered_at.is_(None),
        delivery.c.attempts == 0,
        delivery.c.next_attempt_at > func.clock_timestamp(),
        ~delivery.c.payload.has_key("told_by"),
    )
    return set(connection.execute(held.returning(delivery.c.channel)).scalars())


def channels_with_due(connection: Connection) -> list[str]:
    """The channels for which a message is due now."""
    due = select(delivery.c.channel).where(
        delivery.c.delivered_at.is_(None), delivery.c.next_attempt_at <= func.clock_timestamp()
    )
    return sorted(connection.execute(due.distinct()).scalars())


def drop_of_this_transaction(connection: Connection, alert_id: AlertId, *, but: str) -> None:
    """Take back an alert's messages that this very transaction has written, on all channels but one."""
    # now() is when the transaction began, for every row that it writes.
    fresh = delivery.c.alert_id == alert_id, delivery.c.created_at == func.now(), delivery.c.channel != but
    connection.execute(delete(delivery).where(*fresh))


def channels_told(connection: Connection, alert_id: AlertId) -> set[str]:
    """The channels that have been, or will be, told of an alert."""
    told = select(delivery.c.channel).where(delivery.c.alert_id == alert_id)
    return set(connection.execute(told.distinct()).scalars())


def seconds_to_next_try(connection: Connection, channel: str) -> float | None:
    """How long until a message of a channel that has failed is due again, 0 for now; None where none has."""
    wait = select(
        func.extract("epoch", func.min(delivery.c.next_attempt_at) - func.clock_timestamp()).cast(Double)
    ).where(
        delivery.c.channel == channel,
        delivery.c.delivered_at.is_(None),
        delivery.c.attempts > 0,
        delivery.c.next_attempt_at < NEVER,
    )
    seconds: float | None = connection.execute(wait).scalar_one()
    return None if seconds is None else max(seconds, 0.0)


def claim_delivery(connection: Connection, channel: str) -> Delivery | None:
    """Take the oldest due message of a channel; None where nothing is due, or another deliverer is at it."""
    row = connection.execute(load("claim_delivery"), {"channel": channel}).one_or_none()
    return None if row is None else _delivery(row)


def claim_digest(connection: Connection, channel: str, *, more_than: int) -> list[Delivery]:
    """Take all due messages of a channel if there are more than so many, oldest first; else none."""
    rows = connection.execute(load("claim_digest"), {"channel": channel}).all()
    return [_delivery(row) for row in rows] if len(rows) > more_than else []


def write_digest(connection: Connection, claimed: Sequence[Delivery], payload: Mapping[str, Any]) -> None:
    """Let the oldest of claimed messages tell of all: it gets the digest's payload, the others wait for it."""
    carrier, *others = claimed
    changed = update(delivery).where(delivery.c.delivery_id == bindparam("of"))
    digest = {**payload, "digest_of": [each.delivery_id for each in claimed]}
    connection.execute(changed.values(payload=digest), {"of": carrier.delivery_id})
    told_by = delivery.c.payload.concat(bindparam("told", {"told_by": carrier.delivery_id}, type_=JSONB))
    connection.execute(
        changed.values(payload=told_by, next_attempt_at=NEVER), [{"of": each.delivery_id} for each in others]
    )


def record_delivered(connection: Connection, sent: Delivery) -> None:
    """Record that a message arrived, and with a digest all that it tells of."""
    connection.execute(load("record_delivered"), {"delivery_id": sent.delivery_id, "channel": sent.channel})


def record_failed(connection: Connection, failed: Delivery, error: str) -> None:
    """Record that a message did not arrive; it is tried again after a wait that doubles each time, up to an hour."""
    connection.execute(
        load("record_failed"),
        {
            "delivery_id": failed.delivery_id,
            "error": error,
            "first_seconds": FIRST_WAIT_SECONDS,
            "most_seconds": LONGEST_WAIT_SECONDS,
        },
    )


def give_up(connection: Connection, *, after: timedelta) -> int:
    """Stop trying messages that are older than that; return how many. They stay in the table, undelivered.

    Call it after trying what is due: a message may be as old as that because nothing ran since it was written.
    """
    return connection.execute(load("give_up_deliveries"), {"after": after, "never": NEVER}).rowcount


def undelivered(connection: Connection, *, since: datetime) -> list[Undelivered]:
    """What was written since a time and has not been delivered although it was due, by channel."""
    rows = connection.execute(load("undelivered"), {"since": since, "never": NEVER})
    return [Undelivered(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public way to a dictionary


def deliveries_of(connection: Connection, alert_id: AlertId) -> list[Sending]:
    """What channels have been sent of an alert, oldest first."""
    rows = connection.execute(load("deliveries_of"), {"alert_id": alert_id})
    return [Sending(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public way to a dictionary


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        delivery_id=row.delivery_id,
        alert_id=AlertId(row.alert_id),
        event_id=EventId(row.event_id),
        channel=row.channel,
        key=row.idempotency_key,
        payload=row.payload,
        attempts=row.attempts,
    )
