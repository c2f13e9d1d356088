"""`casting demo`: the product from end to end on embedded defaults."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.console import messages, plain_errors, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from casting_core.dataset import LabelledFile
    from casting_core.training import Step
    from casting_core.training_run import TrainedModel
    from casting_core.types import RunSummary
    from flows.demo import DemoPlan
    from flows.resources import Resources
    from flows.settings import Settings

_SHEET_TILES = 36
_PHONE_WIDTH = 76


def demo(
    images: Annotated[
        Path | None,
        typer.Option(help="Real castings: a folder with def_front/ and ok_front/. Rendered ones if left out."),
    ] = None,
    pretrained: Annotated[
        str, typer.Option(help="Weights to start from: a file of ImageNet weights, 'imagenet' to download, or 'none'.")
    ] = "none",
    workdir: Annotated[
        Path | None, typer.Option(help="Where database, bucket and models go; CASTING_HOME or .casting by default.")
    ] = None,
) -> None:
    """Train a small model, fill a bucket with three hours of two lines, and run the hourly job on it."""
    from flows.settings import configure_prefect, load_settings, tell_nobody, use_home

    # Nobody at the plant is to be told of rendered castings.
    tell_nobody()
    if workdir is not None:
        use_home(workdir)
    with plain_errors():
        settings = load_settings()
        configure_prefect(settings)
        _run(settings, images, pretrained)


def _run(settings: Settings, images: Path | None, pretrained: str) -> None:
    from flows import demo as story
    from flows.resources import open_resources

    started = time.perf_counter()
    with _step("Postgres started, tables made"):
        resources = open_resources(settings)
    with _step("Pictures read, those of the same casting found" if images else "Castings rendered"):
        training, shown = story.labelled_castings(settings.home, images)
    fitted = _train(resources, training, story.plan_for(pretrained, rendered=images is None))
    start = story.first_hour(datetime.now(tz=UTC))
    bucket = settings.home.absolute() / "bucket"
    with _step(f"{len(story.LINES)} lines, {story.HOURS} hours of pictures put into {bucket}"):
        story.fill_bucket(bucket, shown, start=start)
    summaries = _score_hours(settings, start, story.HOURS)
    _report(resources, fitted, summaries, start)
    _report_alerts(resources)
    messages.print(f"\nAll of it took {time.perf_counter() - started:.0f} s.")


@contextmanager
def _step(what: str) -> Iterator[None]:
    started = time.perf_counter()
    with messages.status(f"{what} ..."):
        yield
    messages.print(f"[green]done[/]  {what} ({time.perf_counter() - started:.1f} s)", highlight=False, soft_wrap=True)


def _train(resources: Resources, files: list[LabelledFile], plan: DemoPlan) -> TrainedModel:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from flows.demo import train_champion

    columns = ("training", BarColumn(), TextColumn("epoch {task.fields[epoch]}  loss {task.fields[loss]:.3f}"))
    started = time.perf_counter()
    with Progress(*columns, TimeRemainingColumn(), console=messages, transient=True) as progress:
        bar = progress.add_task("training", total=None, epoch=1, loss=float("nan"))

        def show(step: Step) -> None:
            progress.update(bar, completed=step.done, total=step.total, epoch=step.epoch, loss=step.loss)

        fitted = train_champion(resources, files, plan, show)
    seconds = time.perf_counter() - started
    messages.print(
        f"[green]done[/]  {plan.preset.backbone} trained on {len(files)} pictures, champion now: {fitted.card.version} "
        f"({seconds:.1f} s)",
        highlight=False,
        soft_wrap=True,
    )
    return fitted


def _score_hours(settings: Settings, start: datetime, hours: int) -> list[RunSummary]:
    """Run the hourly job as its schedule would, at the end of each hour; each run is followed by a watch."""
    from flows.commands.score import run_scoring
    from flows.demo import USUAL_HOURS, take_for_usual
    from flows.resources import open_resources

    summaries = []
    for hour in range(1, hours + 1):
        until = start + timedelta(hours=hour)
        with _step(f"Hourly run at {until:%H:%M} UTC, and the watch after it"):
            summaries.append(run_scoring(settings, until=until))
        if hour == USUAL_HOURS:
            with _step(f"The first {hour} hours taken for usual"):
                take_for_usual(open_resources(settings), start)
    return summaries


def _report(resources: Resources, fitted: TrainedModel, summaries: list[RunSummary], start: datetime) -> None:
    from db.queries import load
    from flows.demo import HOURS

    window = {"since": start, "until": start + timedelta(hours=HOURS)}
    print_table(
        ("run at", "new", "ok", "review", "defective", "quarantined", "backlog", "images/s"),
        [
            (
                f"{start + timedelta(hours=hour):%H:%M}",
                run.discovered,
                *(run.verdicts[verdict] for verdict in ("ok", "review", "defective")),
                run.quarantined,
                run.backlog,
                round(run.images_per_s, 1),
            )
            for hour, run in enumerate(summaries, start=1)
        ],
        title="The hourly runs: pictures, times in UTC",
    )
    with resources.engine.connect() as connection:
        rates = connection.execute(load("line_hours"), window).all()
        quarantined = connection.execute(load("quarantined"), window).all()
    print_table(
        ("line", "hour", "parts", "ok", "review", "defective", "defect rate"),
        [(row.line, f"{row.hour:%H:%M}", *row[2:6], f"{row.defect_rate_percent} %") for row in rates],
        title="Defect rate by line and hour, as judged",
    )
    print_table(
        ("line", "file", "reason", "detail"),
        [(row.line, row.uri.rsplit("/", 1)[-1], row.reason, row.detail) for row in quarantined],
        title="Quarantined: pictures that cannot be judged",
    )
    sheet = _write_sheet(resources, window)
    metrics = fitted.card.metrics["by_image"]
    messages.print(
        f"\nOn {metrics['n']} pictures of {fitted.card.data['validation_castings']} castings that it was not trained "
        f"on the model let {metrics['escapes']} of {metrics['defective']} defective pictures escape, falsely rejected "
        f"{metrics['false_rejects']} of {metrics['n'] - metrics['defective']} sound ones, and sent "
        f"{metrics['review']} to review; AUROC {metrics['auroc']:.3f}.",
        highlight=False,
    )
    home = resources.settings.home
    again = "" if str(home) == ".casting" else f"CASTING_HOME={home} "
    casting = Path(sys.argv[0])
    casting = casting.relative_to(Path.cwd()) if casting.is_relative_to(Path.cwd()) else casting
    messages.print(f"\n  Pictures   {sheet}\n  Database   {again}{casting} db url", highlight=False, soft_wrap=True)
    query = "SELECT * FROM part_verdict ORDER BY p_defective DESC LIMIT 10"
    messages.print(f'  Query it   {again}{casting} db sql "{query}"', highlight=False, soft_wrap=True)
    messages.print(f"  Go on      {again}{casting} score", highlight=False, soft_wrap=True)


def _report_alerts(resources: Resources) -> None:
    """Show each alert as the line's people get it, and write its chart."""
    from rich.panel import Panel
    from rich.text import Text

    from casting_core.alert_message import describe, title_of
    from db.alerts import events_of, read_alerts
    from flows.alert_picture import draw_picture
    from flows.outbox import message_timezone

    with resources.engine.connect() as connection:
        told = [(alert, events_of(connection, alert.alert_id)[0]) for alert in read_alerts(connection)]
    if not told:
        messages.print("\nNo alert: as judged, no line has climbed beyond what is chance after two hours of history.")
    for alert, opened in told:
        lines = "\n".join(describe(alert, opened, timezone=message_timezone(resources.settings)))
        messages.print()
        messages.print(Panel(Text(lines), title=Text(title_of(alert, opened)), title_align="left", width=_PHONE_WIDTH))
        picture = draw_picture(resources, alert.alert_id)
        if picture is not None:
            path = resources.settings.home / f"alert-{alert.alert_id}.png"
            path.write_bytes(picture)
            messages.print(f"  Its chart  {path}", highlight=False, soft_wrap=True)
    if told:
        messages.print(
            "  It would go to mail, Slack, Teams or a webhook: set CASTING_ALERT_URLS (deployments/ALERTS.md).",
            highlight=False,
            soft_wrap=True,
        )


def _write_sheet(resources: Resources, window: dict[str, datetime]) -> Path:
    """One picture of judged parts, the likeliest defective ones first."""
    from casting_core.figures import Tile, contact_sheet
    from db.queries import load

    with resources.engine.connect() as connection:
        judged = connection.execute(load("judged_images"), {**window, "most": 10_000}).all()
    # All that was called defective or put to review, and some that passed.
    flagged = [row for row in judged if row.verdict != "ok"][: _SHEET_TILES - _SHEET_TILES // 4]
    passed = [row for row in judged if row.verdict == "ok"][: _SHEET_TILES - len(flagged)]
    root = resources.store.url
    tiles = [
        Tile(
            content=(resources.settings.home / "bucket" / row.uri.removeprefix(f"{root}/")).read_bytes(),
            verdict=row.verdict,
            p_defective=row.p_defective,
            caption=f"{row.line}  {row.part_id}",
        )
        for row in flagged + passed
    ]
    sheet = contact_sheet(
        tiles,
        title="Judged parts",
        subtitle=f"{len(judged)} pictures judged; shown are {len(flagged)} called defective or to be reviewed, "
        f"and the {len(passed)} likeliest defective ones among those that passed",
    )
    path = resources.settings.home / "contact-sheet.png"
    path.write_bytes(sheet)
    return path
