"""The hourly job: new images in object storage become verdicts in Postgres.

    discover -> backlog -> for each chunk: claim, fetch, decode, predict, write -> roll-ups -> summary

What a run has not finished stays backlog, and the next run takes it up.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from sqlalchemy.exc import SQLAlchemyError

from casting_core.judging import judge_images
from casting_core.stages import StageClock
from casting_core.types import ImageChunk, Rejection, RunSummary, ScoringRun, Window
from db import rollups, runs, statistics
from db.images import backlog_chunks, claim_images, count_backlog
from db.verdicts import write_judgements
from flows.discovering import make_known
from flows.errors import ScoringIncomplete
from flows.resources import open_resources
from flows.retries import back_off, worth_retrying
from flows.runners import run_each
from flows.settings import load_settings
from flows.watch import watch_after_scoring

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Engine

    from casting_core.types import Judgement
    from flows.resources import Resources

_EXAMPLES = 10


@flow(name="score", persist_result=False, validate_parameters=True)
def score(
    since: datetime | None = None,
    until: datetime | None = None,
    lines: list[str] | None = None,
    model: str | None = None,
    run_id: UUID | None = None,
) -> RunSummary:
    """Judge every image of a window that has no verdict yet.

    Without times the window is the look-back until now, without lines it is all lines, without a version the model
    is the champion. Raises ScoringIncomplete when chunks still fail after all retries, and whatever keeps the run
    from beginning: no champion, a damaged artifact, a bucket that does not exist.

    Args:
        since: Begin of the window, with its time zone. Empty: the look-back before its end.
        until: End of the window. Empty: now.
        lines: Only these lines. Empty: all.
        model: Version of the model that judges. Empty: the champion.
        run_id: Leave it empty; programs name their run by it.

    """  # Prefect shows the lines of Args beside the fields of its form.
    started = time.perf_counter()
    resources = open_resources(load_settings())
    run = ScoringRun(
        run_id=run_id or uuid4(),
        model=resources.model(model),
        window=_window(resources, since, until),
        lines=tuple(lines or ()),
    )
    # Before anything is claimed: a model that cannot be loaded must stop the run, not fail each chunk.
    resources.scorer(run.model)
    _open(resources, run)
    with runs.alive(resources.engine, run.run_id):
        try:
            discover_images.with_options(**back_off(resources.settings))(run)
            _refresh("Statistics", statistics.refresh, resources)
            failures = _score_backlog(resources, run)
            _refresh("Statistics", statistics.refresh, resources)
            _refresh("Roll-ups", rollups.refresh, resources)
            summary = _close(resources, run, started, failures)
        except BaseException as error:
            _close_failed(resources, run, started, error)
            raise
    _publish(summary)
    watch_after_scoring()
    if failures:
        raise ScoringIncomplete(
            f"Run {run.run_id}: {len(failures)} chunks failed after all retries, so {summary.backlog} images stayed "
            f"backlog for the next run. The first said: {failures[0]}"
        )
    return summary


@task(
    name="discover images",
    cache_policy=NO_CACHE,
    retry_jitter_factor=0.5,
    retry_condition_fn=worth_retrying,
)
def discover_images(run: ScoringRun) -> int:
    """Make the window's new images known, folder by folder; return how many were new."""
    resources = open_resources(load_settings())
    clock = StageClock()
    with resources.engine.connect() as connection:
        with clock.measure("discover"):
            found = make_known(connection, resources, window=run.window, lines=run.lines)
        runs.record_discovery(
            connection,
            run.run_id,
            discovered=found.images,
            unmatched=len(found.unmatched),
            examples=found.unmatched[:_EXAMPLES],
            unsettled=found.unsettled,
        )
        runs.add_stage_seconds(connection, run.run_id, clock.seconds)
        connection.commit()
    if found.unmatched:
        get_run_logger().warning(
            "%d keys do not fit the layout %s, such as %s",
            len(found.unmatched),
            resources.layout.template,
            found.unmatched[:3],
        )
    return found.images


@task(
    name="score chunk",
    cache_policy=NO_CACHE,
    retry_jitter_factor=0.5,
    retry_condition_fn=worth_retrying,
)
def score_chunk(run: ScoringRun, chunk: ImageChunk) -> int:
    """Judge those images of a chunk that nobody else holds; return how many. All of it is one transaction."""
    resources = open_resources(load_settings())
    scorer = resources.scorer(run.model)
    clock = StageClock()
    with resources.engine.begin() as connection:
        claimed = claim_images(connection, chunk, model_id=run.model.model_id)
        judgements = judge_images(resources.store, scorer, claimed, clock=clock)
        with clock.measure("write"):
            write_judgements(connection, run, judgements)
            runs.count_judgements(connection, run.run_id, judgements)
        runs.add_stage_seconds(connection, run.run_id, clock.seconds)
    _log_judgements(resources, run, judgements)
    return len(judgements)


def _log_judgements(resources: Resources, run: ScoringRun, judgements: Sequence[Judgement]) -> None:
    """Say what became of a chunk. The names in `extra` are fields of a log in JSON."""
    logger = get_run_logger()
    logger.info("%d images judged", len(judgements), extra={"run_id": str(run.run_id), "images": len(judgements)})
    refused = [(each.image, each.outcome) for each in judgements if isinstance(each.outcome, Rejection)]
    for image, rejection in refused[:_EXAMPLES]:
        parsed = resources.layout.parse(image.uri.removeprefix(f"{resources.store.url}/"))
        of = {"run_id": str(run.run_id), "image_id": image.image_id, "line": parsed.line if parsed else None}
        logger.warning("%s is quarantined: %s", image.uri, rejection.reason, extra=of | {"reason": rejection.reason})
    if len(refused) > _EXAMPLES:
        # A camera that has gone blind must not drown the log: the table quarantine names every image.
        logger.warning("%d further images of this chunk are quarantined", len(refused) - _EXAMPLES)


def _open(resources: Resources, run: ScoringRun) -> None:
    with resources.engine.begin() as connection:
        died = runs.mark_dead_runs(connection)
        runs.open_run(connection, run, flow_run_id=UUID(flow_run.id) if flow_run.id else None)
    if died:
        get_run_logger().warning("%d earlier runs died; what they left is backlog of this one", len(died))


def _score_backlog(resources: Resources, run: ScoringRun) -> list[str]:
    """Score the backlog chunk by chunk; return what went wrong with the chunks that failed for good."""
    with resources.engine.begin() as connection:
        chunks = backlog_chunks(connection, run, chunk_size=resources.settings.chunk_size)
        runs.record_backlog(connection, run.run_id, backlog=sum(len(chunk.image_ids) for chunk in chunks))
    retrying = score_chunk.with_options(**back_off(resources.settings))
    return run_each(resources.settings, retrying, [{"run": run, "chunk": chunk} for chunk in chunks])


def _refresh(what: str, refresh: Callable[[Engine], object], resources: Resources) -> None:
    """Bring up to date what makes queries quick. Without it they are slower and still right, so no run fails of it."""
    try:
        refresh(resources.engine)
    except SQLAlchemyError as error:
        get_run_logger().warning("%s were not refreshed; the next run will: %s", what, error)


def _close(resources: Resources, run: ScoringRun, started: float, failures: list[str]) -> RunSummary:
    with resources.engine.begin() as connection:
        runs.close_run(
            connection,
            run.run_id,
            state="failed" if failures else "completed",
            seconds=time.perf_counter() - started,
            backlog=count_backlog(connection, run),
            error="; ".join(failures[:3]) or None,
        )
        return runs.read_summary(connection, run.run_id)


def _close_failed(resources: Resources, run: ScoringRun, started: float, error: BaseException) -> None:
    """Say in the run's row what ended it. If even that fails, the next run finds it without a sign of life."""
    try:
        with resources.engine.begin() as connection:
            runs.close_run(
                connection,
                run.run_id,
                state="failed",
                seconds=time.perf_counter() - started,
                backlog=None,
                error=f"{type(error).__name__}: {error}",
            )
    except SQLAlchemyError as second:
        get_run_logger().warning("Run %s failed and could not be closed: %s", run.run_id, second)


def _publish(summary: RunSummary) -> None:
    """Show the summary in the log and in Prefect."""
    logger = get_run_logger()
    logger.info("%s", summary)
    row = summary.to_json()
    stages = {f"{stage}_seconds": seconds for stage, seconds in row.pop("stage_seconds").items()}
    try:
        create_table_artifact(
            table=[row | row.pop("verdicts") | stages], key="scoring-run", description=f"Scoring run {summary.run_id}"
        )
    except Exception:  # the verdicts are written; a server that is away must not fail the run
        logger.warning("The summary of run %s could not be shown in Prefect", summary.run_id, exc_info=True)


def _window(resources: Resources, since: datetime | None, until: datetime | None) -> Window:
    until = until or datetime.now(tz=UTC)
    since = since or until - timedelta(hours=resources.settings.lookback_hours)
    # Keys tell the time only so finely: an image of 08:59 says 08, and must not fall out of a window from 08:30 on.
    return Window(since=resources.layout.floor(since), until=until)
