"""`casting score`: the hourly job, now."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from flows.commands.console import JsonFlag, as_utc, messages, plain_errors, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from casting_core.types import RunSummary
    from flows.settings import Settings

_POLL_SECONDS = 0.5


def score(
    since: Annotated[
        datetime | None, typer.Option(help="Begin of the window, UTC; the look-back before its end by default.")
    ] = None,
    until: Annotated[datetime | None, typer.Option(help="End of the window, UTC; now by default.")] = None,
    line: Annotated[list[str] | None, typer.Option(help="Only this line; may be given again.")] = None,
    model: Annotated[str | None, typer.Option(help="Version that judges; the champion by default.")] = None,
    json: JsonFlag = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show Prefect's own log.")] = False,
) -> None:
    """Judge every new image of the window, and what earlier runs left over."""
    from flows.settings import configure_prefect, load_settings

    with plain_errors():
        settings = load_settings()
        configure_prefect(settings, verbose=verbose)
        summary = run_scoring(settings, since=as_utc(since), until=as_utc(until), lines=line, model=model)
    if json:
        print_json(summary.to_json())
    else:
        print_table(("", "images"), _rows(summary), title=f"Run {summary.run_id} by {summary.model}")
        messages.print(f"{summary.seconds:.1f} s, {summary.images_per_s:.1f} images/s")
        work = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in summary.stage_seconds.items())
        messages.print(f"Seconds of work, side by side: {work}")


def run_scoring(settings: Settings, **parameters: Any) -> RunSummary:
    """Run the scoring flow in this process and show how far it is."""
    from flows.resources import open_resources

    # A plant without a database or a model says so at once, not only when Prefect is up.
    open_resources(settings).model(parameters.get("model"))
    from flows.score import score as score_flow

    run_id = uuid4()
    with progress_of(settings, run_id):
        return score_flow(run_id=run_id, **parameters)


@contextmanager
def progress_of(settings: Settings, run_id: UUID) -> Iterator[None]:
    """Show a bar that follows the run's row in the database; nothing where nobody watches."""
    from rich.progress import Progress
    from sqlalchemy.exc import SQLAlchemyError

    from db.runs import read_progress
    from flows.resources import open_resources

    if not messages.is_terminal:
        yield
        return
    engine = open_resources(settings).engine
    finished = threading.Event()

    def follow(progress: Progress) -> None:
        bar = progress.add_task("looking for new images", total=None)
        while not finished.wait(_POLL_SECONDS):
            try:
                with engine.connect() as connection:
                    counts = read_progress(connection, run_id)
            except SQLAlchemyError:
                continue
            if counts is not None:
                progress.update(bar, description="judging", completed=counts[0], total=max(counts[1], counts[0]))

    with Progress(console=messages, transient=True) as progress:
        follower = threading.Thread(target=follow, args=(progress,), daemon=True)
        follower.start()
        try:
            yield
        finally:
            finished.set()
            follower.join()


def _rows(summary: RunSummary) -> list[tuple[str, int]]:
    return [
        ("newly discovered", summary.discovered),
        ("scored", summary.scored),
        *((f"  {verdict}", count) for verdict, count in summary.verdicts.items()),
        ("quarantined", summary.quarantined),
        ("backlog left", summary.backlog),
        ("keys that fit no layout", summary.unmatched_keys),
        ("too young, left for the next run", summary.unsettled),
    ]
