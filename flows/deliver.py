"""The deliverer: messages about alerts leave the outbox for their channels, each channel on its own thread.

    due messages -> many at once become a digest -> claim one, send, record -> the next

A channel that refuses, hangs or is away costs the others nothing: its messages stay in the outbox and are tried again
with growing waits, in this run for a while and in later runs. What is sent and not recorded is sent again under the
same key.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.task_runners import ThreadPoolTaskRunner

from casting_core.alert_message import AlertMessage, compose_digest
from casting_core.alert_sending import send_message
from casting_core.errors import ChannelFailed
from db import deliveries
from flows.alert_events import emit_alert_event
from flows.outbox import PREFECT
from flows.resources import open_resources
from flows.retries import back_off, worth_retrying
from flows.settings import load_settings

if TYPE_CHECKING:
    from db.deliveries import Delivery
    from flows.resources import Resources

# Each thread that sends holds a connection to the database meanwhile.
_MOST_THREADS = 10
# A picture may be what a channel refuses, and the words matter more.
_TRIES_WITH_PICTURE = 3
_FAILURES_OF_A_CHANNEL = 2
_SHORTEST_WAIT = 0.2


@dataclass(frozen=True, kw_only=True)
class DeliverySummary:
    """What one run of the deliverer did: messages delivered, attempts that failed, and messages given up."""

    delivered: int
    failed: int
    given_up: int


@flow(name="deliver", persist_result=False)
def deliver() -> DeliverySummary:
    """Send every message that is due, and try again for a while what does not arrive."""
    resources = open_resources(load_settings())
    with resources.engine.begin() as connection:
        known = {PREFECT, *(channel.name for channel in resources.settings.channels)}
        names = [name for name in deliveries.channels_with_due(connection) if name in known]
    sending = deliver_to.with_options(**back_off(resources.settings))
    with ThreadPoolTaskRunner(max_workers=min(len(names), _MOST_THREADS) or 1) as runner:
        futures = [runner.submit(sending, parameters={"channel": name}) for name in names]
        counts = [future.result(raise_on_failure=False) for future in futures]
    done = [count for count in counts if isinstance(count, tuple)]
    with resources.engine.begin() as connection:
        # Only now: after days of standstill even an old message has yet to be tried.
        given_up = deliveries.give_up(connection, after=timedelta(hours=resources.settings.alert_give_up_hours))
    return DeliverySummary(
        delivered=sum(delivered for delivered, _ in done), failed=sum(failed for _, failed in done), given_up=given_up
    )


@task(
    name="deliver to channel",
    task_run_name="deliver to {channel}",
    cache_policy=NO_CACHE,
    retry_jitter_factor=0.5,
    retry_condition_fn=worth_retrying,
)
def deliver_to(channel: str) -> tuple[int, int]:
    """Send what is due on one channel, oldest first; return how many messages arrived and how many tries failed."""
    resources = open_resources(load_settings())
    deadline = time.monotonic() + resources.settings.alert_retry_seconds
    delivered, failed, in_a_row = 0, 0, 0
    _bundle(resources, channel)
    while True:
        arrived = _send_next(resources, channel)
        if arrived:
            delivered, in_a_row = delivered + 1, 0
            continue
        if arrived is False:
            failed, in_a_row = failed + 1, in_a_row + 1
            # One message may be at fault itself; two in a row say that the channel is away.
            if in_a_row < _FAILURES_OF_A_CHANNEL:
                continue
        in_a_row = 0
        if not _wait_for_next_try(resources, channel, deadline):
            return delivered, failed


def _send_next(resources: Resources, channel: str) -> bool | None:
    """Send the oldest due message and record how that went; return whether it arrived, None where nothing is due."""
    with resources.engine.begin() as connection:
        claimed = deliveries.claim_delivery(connection, channel)
        if claimed is None:
            return None
        try:
            _send(resources, claimed)
        except ChannelFailed as error:
            deliveries.record_failed(connection, claimed, str(error))
            get_run_logger().warning("Alert %s, try %s: %s", claimed.alert_id, claimed.attempts + 1, error)
            return False
        deliveries.record_delivered(connection, claimed)
        return True


def _send(resources: Resources, claimed: Delivery) -> None:
    """Raise ChannelFailed unless the message arrived."""
    settings = resources.settings
    message = AlertMessage(**claimed.payload["message"])
    if claimed.channel == PREFECT:
        emit_alert_event(message, seconds=settings.alert_timeout_seconds)
        return
    channel = next((each for each in settings.channels if each.name == claimed.channel), None)
    if channel is None:
        raise ChannelFailed(f"{claimed.channel} is not set any more; see CASTING_ALERT_URLS.")
    picture = None
    if claimed.attempts < _TRIES_WITH_PICTURE and "digest_of" not in claimed.payload:
        # It loads matplotlib, which the hourly job needs only when there is something to draw.
        from flows.alert_picture import draw_picture  # noqa: PLC0415

        picture = draw_picture(resources, claimed.alert_id)
    send_message(channel, message, picture=picture, seconds=settings.alert_timeout_seconds)


def _bundle(resources: Resources, channel: str) -> None:
    """Tell many messages in one. That is written before it is sent, so that a repeat tells of the same ones."""
    if channel == PREFECT:
        return
    with resources.engine.begin() as connection:
        most = resources.settings.alert_digest_above
        claimed = deliveries.claim_digest(connection, channel, more_than=most)
        if claimed:
            # A key of its own: the first message's may have arrived already.
            key = f"{claimed[0].key}-to-{claimed[-1].event_id}"
            digest = compose_digest([AlertMessage(**each.payload["message"]) for each in claimed], key=key)
            deliveries.write_digest(connection, claimed, {"message": digest.to_json()})


def _wait_for_next_try(resources: Resources, channel: str, deadline: float) -> bool:
    """Wait until a message that failed is due again; return False where this run has no time for that."""
    with resources.engine.connect() as connection:
        wait = deliveries.seconds_to_next_try(connection, channel)
    if wait is None or time.monotonic() + wait > deadline:
        return False
    # Not at once, where another deliverer is sending it at this moment.
    time.sleep(max(wait, _SHORTEST_WAIT))
    return True
