"""`casting alerts channels`, `test` and `deliver`: who hears of alerts, and whether they do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from flows.commands.console import JsonFlag, fail, messages, plain_errors, print_json, print_table

if TYPE_CHECKING:
    from casting_core.alert_channels import Channel
    from flows.settings import Settings


def channels(as_json: JsonFlag = False) -> None:
    """List the channels that are set, what each takes, and what it has not got yet."""
    from db.deliveries import undelivered
    from flows.resources import open_resources
    from flows.settings import load_settings

    with plain_errors():
        settings = load_settings()
        with open_resources(settings).engine.connect() as connection:
            since = datetime.now(tz=UTC) - timedelta(hours=settings.alert_give_up_hours) - timedelta(days=1)
            missing = {each.channel: each for each in undelivered(connection, since=since)}
    rows = [
        {
            "channel": each.name,
            "service": each.service,
            "takes": "critical" if each.least_severity == "critical" else "all",
            "lines": ", ".join(each.lines) or "all",
            "waiting": missing[each.name].waiting if each.name in missing else 0,
            "last_error": missing[each.name].last_error if each.name in missing else None,
        }
        for each in settings.channels
    ]
    if as_json:
        print_json(rows)
    elif rows:
        print_table([name.replace("_", " ") for name in rows[0]], [list(row.values()) for row in rows])
    else:
        messages.print("No channel is set: nobody hears of alerts. Set CASTING_ALERT_URLS.")


def try_out(
    which: Annotated[
        str | None, typer.Argument(help="Name of a channel, or an Apprise URL; all that are set if left out.")
    ] = None,
) -> None:
    """Send a test message now, and say whether it arrived."""
    from casting_core.alert_message import compose_test
    from casting_core.alert_sending import send_message
    from casting_core.errors import ChannelFailed
    from flows.settings import load_settings

    with plain_errors():
        settings = load_settings()
        chosen = _chosen(settings, which)
    failed = 0
    for channel in chosen:
        message = compose_test(channel.name, key=f"casting-test-{uuid4().hex[:8]}")
        try:
            send_message(channel, message, picture=None, seconds=settings.alert_timeout_seconds)
        except ChannelFailed as error:
            failed += 1
            messages.print(f"[bold red]FAIL[/]  {error}", highlight=False, soft_wrap=True)
        else:
            messages.print(f"[green]ok  [/]  {channel.name} took the message.", highlight=False)
    if failed:
        raise typer.Exit(code=1)


def deliver(as_json: JsonFlag = False) -> None:
    """Send what waits in the outbox now, as the schedule does."""
    from dataclasses import asdict

    from flows.settings import configure_prefect, load_settings

    with plain_errors():
        settings = load_settings()
        configure_prefect(settings)
        from flows.deliver import deliver as deliver_flow

        summary = deliver_flow()
    if as_json:
        print_json(asdict(summary))
    else:
        messages.print(
            f"{summary.delivered} messages delivered, {summary.failed} tries failed, {summary.given_up} given up."
        )


def _chosen(settings: Settings, which: str | None) -> tuple[Channel, ...]:
    from casting_core.alert_channels import parse_channels

    if which is not None and "://" in which:
        return parse_channels(which)
    chosen = tuple(each for each in settings.channels if which in {None, each.name})
    if not chosen:
        names = ", ".join(each.name for each in settings.channels) or "none"
        fail(f"There is no channel {which or 'set'} in CASTING_ALERT_URLS; those set: {names}.")
    return chosen
