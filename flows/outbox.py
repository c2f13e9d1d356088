"""What a change of an alert puts into the outbox: one message to each channel that takes it.

It is written in the transaction that changes the alert, so that a message exists if and only if the change does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4
from zoneinfo import ZoneInfo

from casting_core.alert_message import compose
from casting_core.alert_wording import lines_of
from db.deliveries import channels_told, drop_held, drop_of_this_transaction, queue_delivery
from db.snoozes import snoozed_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from casting_core.alert_types import Alert, AlertEvent
    from flows.settings import Settings

# Prefect's own events are one channel more: automations may use all that happens to an alert.
PREFECT = "prefect"
_DIGITS = 8


def alert_outbox(settings: Settings) -> Callable[[Connection, Alert, AlertEvent], None]:
    """Make the outbox of a plant's channels: it takes a change and writes its messages."""

    def write(connection: Connection, alert: Alert, event: AlertEvent) -> None:
        lines = lines_of(alert.finding)
        channels = [PREFECT]
        if is_told(alert, event):
            told = channels_told(connection, alert.alert_id)
            # Who heard of its beginning hears of its end, even if it has become less severe meanwhile.
            taken = [each.name for each in settings.channels if each.takes(alert.finding.severity, lines)]
            channels += [each.name for each in settings.channels if each.name in taken or each.name in told]
        held = snoozed_until(connection, alert.finding.line)
        never_heard: set[str] = set()
        if event.event == "resolved":
            never_heard = drop_held(connection, alert.alert_id)
            # What was over before it could be told is told once, as over.
            drop_of_this_transaction(connection, alert.alert_id, but=PREFECT)
        for channel in channels:
            if channel in never_heard:
                continue
            # Two plants may share a receiver, and both have an alert 17.
            key = f"casting-{alert.alert_id}-{event.event_id}-{channel}-{uuid4().hex[:_DIGITS]}"
            message = compose(alert, event, key=key, timezone=message_timezone(settings), link=settings.alert_link)
            queue_delivery(
                connection,
                alert_id=alert.alert_id,
                event_id=event.event_id,
                channel=channel,
                key=key,
                payload={"message": message.to_json()},
                not_before=None if channel == PREFECT else held,
            )

    return write


def is_told(alert: Alert, event: AlertEvent) -> bool:
    """Whether people are told of a change.

    Not of what an alert about many lines tells of already, nor that late parts have moved when a chart signalled.
    """
    if alert.part_of is not None or event.event == "snoozed":
        return False
    return event.event != "updated" or not event.details.get("recomputed")


def message_timezone(settings: Settings) -> ZoneInfo:
    """The time zone in which messages tell times."""
    return ZoneInfo(settings.alert_timezone or settings.images_timezone)
