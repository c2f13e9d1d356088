"""The `casting` command."""

from __future__ import annotations

import typer

from flows.commands import audit, backup, demo, deploy, doctor, metrics, predict, report, score, train, up, watch
from flows.commands.alerts import app as alerts_app
from flows.commands.bench import app as bench_app
from flows.commands.database import app as database_app
from flows.commands.labels import app as labels_app
from flows.commands.models import app as models_app
from flows.commands.retrain import retrain

app = typer.Typer(
    name="casting",
    help="Automatic inspection of castings: line images in object storage become verdicts per part in Postgres.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
)
app.command("demo")(demo.demo)
app.command("up")(up.up)
app.command("down")(up.down)
app.command("status")(up.status)
app.command("score")(score.score)
app.command("watch")(watch.watch)
app.command("retrain")(retrain)
app.command("predict")(predict.predict)
app.command("audit")(audit.audit)
app.command("train")(train.train)
app.command("report")(report.report)
app.command("doctor")(doctor.doctor)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("metrics")(metrics.metrics)
app.command("deploy")(deploy.deploy)
app.add_typer(database_app, name="db")
app.add_typer(alerts_app, name="alerts")
app.add_typer(labels_app, name="labels")
app.add_typer(models_app, name="models")
app.add_typer(bench_app, name="bench")
