"""Retraining runs: one at a time, each saying how far it came, what it decided and why, and what it had learnt from."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import exc, func, insert, select, text, update

from db.errors import RetrainingLost
from db.queries import load
from db.schema import retrain_run, snapshot_label

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from sqlalchemy import Connection, Engine

    from casting_core.registry_types import RetrainOutcome
    from casting_core.types import Label, RegisteredModel

_LOCK = "hashtext('casting.retrain')"


@contextmanager
def one_at_a_time(engine: Engine) -> Iterator[bool]:
    """Try to be the only retraining of this database, and yield whether it is.

    An advisory lock says so; it dies with this process whatever ends it.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        alone = bool(connection.execute(text(f"SELECT pg_try_advisory_lock({_LOCK})")).scalar_one())
        try:
            yield alone
        finally:
            if alone:
                try:
                    connection.execute(text(f"SELECT pg_advisory_unlock({_LOCK})"))
                except exc.DBAPIError:
                    # The server ended this session, and the lock with it.
                    connection.invalidate()


def open_retraining(connection: Connection, retrain_id: UUID, *, who: str, flow_run_id: UUID | None) -> int:
    """Record that a retraining begins; return how many died before it without a word. The caller holds the lock."""
    died = connection.execute(
        update(retrain_run)
        .where(retrain_run.c.state == "running")
        .values(state="died", finished_at=func.now(), why="The process ended without a word; the champion stayed.")
    )
    connection.execute(insert(retrain_run).values(retrain_id=retrain_id, who=who, flow_run_id=flow_run_id))
    return died.rowcount


def at_work(connection: Connection) -> str | None:
    """Say who began the retraining that runs, when, and how far it is; None before it has said so itself."""
    found = connection.execute(
        select(retrain_run.c.who, retrain_run.c.started_at, retrain_run.c.phase).where(retrain_run.c.state == "running")
    ).first()
    return (
        None if found is None else f"begun by {found.who} at {found.started_at:%Y-%m-%d %H:%M} UTC, now: {found.phase}"
    )


def record(connection: Connection, retrain_id: UUID, **values: Any) -> None:
    """Record what is known of a running retraining, such as its phase, where people can follow it.

    Raises RetrainingLost when it is no longer running.
    """
    changed = connection.execute(
        update(retrain_run)
        .where(retrain_run.c.retrain_id == retrain_id, retrain_run.c.state == "running")
        .values(**values)
    )
    if changed.rowcount != 1:
        # Its lock was lost with a connection, and another one began.
        raise RetrainingLost(f"Retraining {retrain_id} was taken for dead by another one, so it decides nothing.")


def complete(
    connection: Connection,
    retrain_id: UUID,
    *,
    outcome: RetrainOutcome,
    why: str,
    challenger: RegisteredModel | None = None,
    champion: RegisteredModel | None = None,
    comparison: Mapping[str, Any] | None = None,
) -> None:
    """Record what a retraining came to. Raises RetrainingLost when it is no longer running."""
    record(
        connection,
        retrain_id,
        state="completed",
        finished_at=func.clock_timestamp(),
        outcome=outcome,
        why=why,
        challenger_id=challenger.model_id if challenger else None,
        champion_id=champion.model_id if champion else None,
        comparison=dict(comparison) if comparison is not None else None,
    )


def fail(connection: Connection, retrain_id: UUID, *, why: str) -> None:
    """Record what ended a retraining, if it still runs."""
    connection.execute(
        update(retrain_run)
        .where(retrain_run.c.retrain_id == retrain_id, retrain_run.c.state == "running")
        .values(state="failed", finished_at=func.clock_timestamp(), why=why)
    )


def new_labels(connection: Connection, labels: Mapping[str, Label]) -> dict[str, Label]:
    """Of labels by uri, return those that no completed retraining was given: of new images, or changed since."""
    rows = connection.execute(load("new_labels"), {"uris": list(labels), "labels": list(labels.values())})
    return {row.uri: row.label for row in rows}


def remember_labels(connection: Connection, retrain_id: UUID, labels: Mapping[str, Label]) -> int:
    """Record that a retraining was given these labels by uri; return how many no completed one was given before."""
    fresh = new_labels(connection, labels)
    if fresh:
        connection.execute(
            insert(snapshot_label),
            [{"uri": uri, "retrain_id": retrain_id, "label": label} for uri, label in fresh.items()],
        )
    return len(fresh)


def known_uris(connection: Connection) -> set[str]:
    """Return the uris of all images that a completed retraining was given."""
    return set(connection.execute(select(snapshot_label.c.uri).distinct()).scalars())
