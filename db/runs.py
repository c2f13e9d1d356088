"""Scoring runs: opened before anything is claimed, counted with each chunk, closed with a summary."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Text, cast, exc, func, insert, select, text, update

from casting_core.types import Judgement, ModelId, Prediction, RunSummary, ScoringRun, VerdictName, Window
from db.engine import public_address
from db.errors import UnknownRun
from db.queries import load
from db.schema import model, scoring_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Literal
    from uuid import UUID

    from sqlalchemy import Connection, Engine

    from casting_core.types import Stage

VERDICTS: tuple[VerdictName, ...] = ("ok", "defective", "review")


def open_run(connection: Connection, run: ScoringRun, *, flow_run_id: UUID | None) -> None:
    """Record that a run begins."""
    connection.execute(
        insert(scoring_run).values(
            run_id=run.run_id,
            flow_run_id=flow_run_id,
            model_id=run.model.model_id,
            since=run.window.since,
            until=run.window.until,
            lines=list(run.lines),
        )
    )


@contextmanager
def alive(engine: Engine, run_id: UUID) -> Iterator[None]:
    """Hold the sign of life of a run: an advisory lock, which dies with this process whatever ends it."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_advisory_lock(hashtextextended(:run, 0))"), {"run": str(run_id)})
        try:
            yield
        finally:
            try:
                connection.execute(text("SELECT pg_advisory_unlock(hashtextextended(:run, 0))"), {"run": str(run_id)})
            except exc.DBAPIError:
                # The server ended this session and the lock with it. What the run has written stands all the same.
                connection.invalidate()


def mark_dead_runs(connection: Connection) -> list[UUID]:
    """Mark runs that say `running` but hold no sign of life as `died`, and return them. Their claims died with them."""
    died = (
        update(scoring_run)
        .where(
            scoring_run.c.state == "running",
            func.pg_try_advisory_xact_lock(func.hashtextextended(cast(scoring_run.c.run_id, Text), 0)),
        )
        .values(
            state="died", finished_at=func.now(), error="The process ended without a word; its images stayed backlog."
        )
        .returning(scoring_run.c.run_id)
    )
    return list(connection.execute(died).scalars())


def any_alive(connection: Connection) -> bool:
    """Whether some run is judging at this moment. Ask outside of a run's own sign of life."""
    return int(connection.execute(load("alive_runs")).scalar_one()) > 0


def covered(connection: Connection, *, window: Window, model_id: ModelId, lines: Sequence[str]) -> bool:
    """Whether an earlier run has judged all of a window by this model and left nothing."""
    question = {"since": window.since, "until": window.until, "model_id": model_id, "lines": list(lines)}
    return bool(connection.execute(load("covered_window"), question).scalar_one())


def record_discovery(
    connection: Connection, run_id: UUID, *, discovered: int, unmatched: int, examples: Sequence[str], unsettled: int
) -> None:
    """Record what a run found in object storage. `examples` are a few of the keys that fit no layout."""
    connection.execute(
        update(scoring_run)
        .where(scoring_run.c.run_id == run_id)
        .values(discovered=discovered, unmatched_keys=unmatched, unmatched_examples=list(examples), unsettled=unsettled)
    )


def record_backlog(connection: Connection, run_id: UUID, *, backlog: int) -> None:
    """Record how many images a run is about to judge, so that its progress can be followed."""
    connection.execute(update(scoring_run).where(scoring_run.c.run_id == run_id).values(backlog=backlog))


def read_progress(connection: Connection, run_id: UUID) -> tuple[int, int] | None:
    """Return (images done, images to do) of a run, or None while its backlog is not known yet."""
    row = connection.execute(
        select(scoring_run.c.scored + scoring_run.c.quarantined, scoring_run.c.backlog).where(
            scoring_run.c.run_id == run_id
        )
    ).one_or_none()
    return None if row is None or row[1] is None else (row[0], row[1])


def count_judgements(connection: Connection, run_id: UUID, judgements: Sequence[Judgement]) -> None:
    """Add a chunk's outcomes to its run. Call it last in the chunk's transaction: it locks the run's row.

    Raises UnknownRun.
    """
    counts = Counter(j.outcome.verdict if isinstance(j.outcome, Prediction) else "quarantined" for j in judgements)
    counted = connection.execute(
        update(scoring_run)
        .where(scoring_run.c.run_id == run_id)
        .values({column: scoring_run.c[column] + counts[column] for column in (*VERDICTS, "quarantined")})
    )
    if counted.rowcount == 0:
        raise UnknownRun(
            f"The database at {public_address(connection.engine.url)} does not know run {run_id}. Give this worker the "
            "CASTING_DATABASE_URL of the machine that began the run."
        )


def add_stage_seconds(connection: Connection, run_id: UUID, seconds: Mapping[Stage, float]) -> None:
    """Add seconds of work by stage to a run, in the transaction that writes what the work led to."""
    connection.execute(
        load("add_stage_seconds"), {"run_id": run_id, "stages": list(seconds), "seconds": list(seconds.values())}
    )


def close_run(
    connection: Connection,
    run_id: UUID,
    *,
    state: Literal["completed", "failed"],
    seconds: float,
    backlog: int | None,
    error: str | None = None,
) -> None:
    """Record how a run ended. `backlog` is None where the run ended before it could be counted."""
    connection.execute(
        update(scoring_run)
        .where(scoring_run.c.run_id == run_id)
        .values(state=state, finished_at=func.clock_timestamp(), seconds=seconds, backlog=backlog, error=error)
    )


def read_summary(connection: Connection, run_id: UUID) -> RunSummary:
    """Return the summary of a closed run, as the database holds it."""
    row = connection.execute(
        select(scoring_run, model.c.version)
        .join(model, scoring_run.c.model_id == model.c.model_id)
        .where(scoring_run.c.run_id == run_id)
    ).one()
    stages = connection.execute(load("stage_seconds"), {"run_id": run_id})
    return RunSummary(
        run_id=row.run_id,
        model=row.version,
        discovered=row.discovered,
        scored=row.scored,
        quarantined=row.quarantined,
        backlog=row.backlog if row.backlog is not None else 0,
        unmatched_keys=row.unmatched_keys,
        unsettled=row.unsettled,
        seconds=row.seconds or 0.0,
        verdicts={name: getattr(row, name) for name in VERDICTS},
        stage_seconds=dict(stages.tuples().all()),
    )
