"""`casting alerts`: alerts and what becomes of them, who hears of them, and what the alarms promise."""

from __future__ import annotations

import typer

from flows.commands.alerts import baseline, channels, look, quiet, simulate, take

app = typer.Typer(help="Alerts: look at them, take them up, quieten lines, try channels.", no_args_is_help=True)
app.command("list")(look.list_)
app.command("show")(look.show)
app.command("ack")(take.ack)
app.command("resolve")(take.resolve)
app.command("snooze")(quiet.snooze)
app.command("maintenance")(quiet.maintenance)
app.command("channels")(channels.channels)
app.command("test")(channels.try_out)
app.command("deliver")(channels.deliver)
app.command("simulate")(simulate.simulate)
app.add_typer(baseline.app, name="baseline")
