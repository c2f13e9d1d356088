"""`casting alerts list` and `casting alerts show`: what is wrong, and what has happened to an alert."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.console import JsonFlag, fail, messages, plain_errors, print_json, print_table

if TYPE_CHECKING:
    from casting_core.alert_types import Alert, AlertEvent
    from db.deliveries import Sending
    from flows.settings import Settings

AlertArgument = Annotated[int, typer.Argument(help="Number of the alert, as in casting alerts list.", metavar="ID")]


def list_(
    everything: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    line: Annotated[str | None, typer.Option(help="Only this line's, and those of the whole plant.")] = None,
    most: Annotated[int, typer.Option(help="Show so many at most, the newest first.")] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List the alerts that are not over."""
    from casting_core.alert_wording import headline
    from db.alerts import UNRESOLVED, read_alerts
    from flows.resources import open_resources
    from flows.settings import load_settings

    with plain_errors(), open_resources(load_settings()).engine.connect() as connection:
        states = (*UNRESOLVED, "resolved") if everything else UNRESOLVED
        alerts = read_alerts(connection, states=states, line=line, most=most)
    if as_json:
        print_json([alert.to_json() for alert in alerts])
        return
    if not alerts:
        messages.print("No alert is open." if not everything else "There has been no alert yet.")
        return
    print_table(
        ("alert", "severity", "state", "opened (UTC)", "what"),
        [
            (each.alert_id, each.finding.severity, _state(each), each.opened_at, headline(each.finding))
            for each in alerts
        ],
    )


def show(
    alert_id: AlertArgument,
    chart: Annotated[Path | None, typer.Option(help="Write the alert's chart into this PNG file.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show an alert: the message that people got, what has happened to it, and which channels know."""
    from dataclasses import asdict

    from casting_core.alert_types import AlertId
    from db.alerts import events_of, find_alert
    from db.deliveries import deliveries_of
    from flows.alert_picture import draw_picture
    from flows.resources import open_resources
    from flows.settings import load_settings

    with plain_errors():
        settings = load_settings()
        resources = open_resources(settings)
        with resources.engine.connect() as connection:
            alert = find_alert(connection, AlertId(alert_id))
            events = events_of(connection, alert.alert_id)
            sendings = deliveries_of(connection, alert.alert_id)
        if as_json:
            happened = {"events": list(map(asdict, events)), "deliveries": list(map(asdict, sendings))}
            print_json(alert.to_json() | happened)
        else:
            _print(alert, events, sendings, settings)
        if chart is not None:
            picture = draw_picture(resources, alert.alert_id)
            if picture is None:
                fail(f"Alert {alert_id} is of a kind that has no rate to draw.")
            chart.write_bytes(picture)
            messages.print(f"Chart in {chart}", highlight=False)


def _print(alert: Alert, events: list[AlertEvent], sendings: list[Sending], settings: Settings) -> None:
    from rich.text import Text

    from casting_core.alert_message import describe, title_of
    from flows.outbox import message_timezone

    told = events[0]
    messages.print(Text(title_of(alert, told), style="bold"))
    for line in describe(alert, told, timezone=message_timezone(settings)):
        messages.print(Text(line), soft_wrap=True)
    print_table(
        ("at (UTC)", "what happened", "who", "why"),
        [(each.at, each.event, each.who, each.why) for each in events],
        title=f"Alert {alert.alert_id}: {_state(alert)}",
    )
    if sendings:
        print_table(
            ("channel", "message", "written (UTC)", "tries", "delivered (UTC)", "last error"),
            [
                (
                    each.channel,
                    f"{each.event}, in a digest" if each.in_digest else each.event,
                    each.created_at,
                    each.attempts,
                    each.delivered_at,
                    each.last_error,
                )
                for each in sendings
            ],
            title="Messages",
        )


def _state(alert: Alert) -> str:
    return alert.state if alert.part_of is None else f"{alert.state}, part of {alert.part_of}"
