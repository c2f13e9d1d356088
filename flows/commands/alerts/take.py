"""`casting alerts ack` and `casting alerts resolve`: somebody looks after an alert, or closes it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.alerts.look import AlertArgument
from flows.commands.console import fail, messages, plain_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from casting_core.alert_types import Alert

WhyOption = Annotated[str, typer.Option(help="Why; it stands in the history, and in messages to others.")]


def ack(alert_id: AlertArgument, why: WhyOption) -> None:
    """Take an open alert up: tell the others that somebody looks after it, and why it is no surprise."""
    from db.alerts import acknowledge_alert

    _change(alert_id, why, acknowledge_alert)
    messages.print(f"Alert {alert_id} is yours. When it is over it resolves by itself.")


def resolve(alert_id: AlertArgument, why: WhyOption) -> None:
    """Close an alert. Its chart begins anew with the next full hour."""
    from db.alerts import resolve_alert

    _change(alert_id, why, resolve_alert)
    messages.print(f"Alert {alert_id} is closed.")


def _change(alert_id: int, why: str, change: Callable[..., Alert]) -> None:
    from casting_core.alert_types import AlertId
    from flows.outbox import alert_outbox
    from flows.resources import open_resources
    from flows.settings import load_settings

    if not why.strip():
        fail('Say why, for example --why "mould 3 is being changed".')
    with plain_errors():
        settings = load_settings()
        with open_resources(settings).engine.begin() as connection:
            change(
                connection,
                AlertId(alert_id),
                at=datetime.now(tz=UTC),
                who=settings.who,
                why=why.strip(),
                outbox=alert_outbox(settings),
            )
