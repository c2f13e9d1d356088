"""Alerts as Prefect events `casting.alert.<kind>`, which a plant's automations can act on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from prefect.events import Event
from prefect.events.clients import get_events_client

from casting_core.errors import ChannelFailed

if TYPE_CHECKING:
    from casting_core.alert_message import AlertMessage


def emit_alert_event(message: AlertMessage, *, seconds: float) -> None:
    """Send an alert's message as an event, and wait until the server has it.

    `prefect.events.emit_event` hands an event to a thread and does not tell whether it arrived. The event's id follows
    from the message's key, so that the server keeps a repeat once. Raises ChannelFailed.
    """
    fields = message.fields
    event = Event(
        id=uuid5(NAMESPACE_URL, message.key),
        event=f"casting.alert.{fields['kind']}",
        resource={
            "prefect.resource.id": f"casting.alert.{fields['alert_id']}",
            "prefect.resource.name": message.title,
            **{f"casting.{name}": str(fields[name]) for name in ("event", "severity", "state", "line")},
        },
        payload={**fields, "title": message.title, "short": message.short, "body": message.body},
    )
    try:
        asyncio.run(asyncio.wait_for(_emit(event), seconds))
    except Exception as error:
        # Whatever Prefect's client raises; the event is tried again.
        said = str(error) or type(error).__name__
        raise ChannelFailed(f"The Prefect server did not take the event: {said}") from error


async def _emit(event: Event) -> None:
    async with get_events_client(reconnection_attempts=0, checkpoint_every=1) as client:
        await client.emit(event)
