"""The row of a retraining: opened, followed from phase to phase, and closed however it ends."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from sqlalchemy.exc import SQLAlchemyError

from casting_core.registry_types import RetrainSummary
from db import retraining
from flows.resources import open_resources
from flows.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from casting_core.snapshot import Snapshot
    from flows.resources import Resources
    from flows.retrain_parameters import RetrainParameters


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """One execution of the flow: who ordered it, with which choices, and where its files lie meanwhile."""

    retrain_id: UUID
    who: str
    parameters: RetrainParameters
    workdir: Path


def open_retraining(resources: Resources, parameters: RetrainParameters, retrain_id: UUID | None) -> Retraining:
    """Open the run's row; the caller holds the lock. What a run before it left on disk is used again."""
    settings = resources.settings
    run = Retraining(
        retrain_id=retrain_id or uuid4(),
        who=settings.who,
        parameters=parameters,
        workdir=settings.home.absolute() / "retraining",
    )
    with resources.engine.begin() as connection:
        died = retraining.open_retraining(
            connection, run.retrain_id, who=run.who, flow_run_id=UUID(flow_run.id) if flow_run.id else None
        )
    if died:
        get_run_logger().warning("The retraining before this one died; the champion stayed")
    return run


def enter(run: Retraining, phase: str) -> Resources:
    """Say in the run's row that a phase begins, and give what it works with."""
    resources = open_resources(load_settings())
    with resources.engine.begin() as connection:
        retraining.record(connection, run.retrain_id, phase=phase)
    get_run_logger().info("%s", phase)
    return resources


def leave(resources: Resources, retrain_id: UUID | None) -> RetrainSummary:
    """End a run that found another one at work. It has no row: it did nothing."""
    with resources.engine.connect() as connection:
        other = retraining.at_work(connection)
    why = f"Another retraining is running{f' ({other})' if other else ''}, so this one left."
    get_run_logger().warning(why)
    return RetrainSummary(retrain_id=retrain_id or uuid4(), outcome="already_running", why=why)


def end_early(resources: Resources, run: Retraining, snapshot: Snapshot, new_labels: int) -> RetrainSummary:
    """Close a run that has too little to learn from."""
    why = (
        f"{new_labels} labels are new since the last completed retraining; with fewer than "
        f"{run.parameters.min_new_labels} nothing is trained."
    )
    if snapshot.left_out:
        why += f" {len(snapshot.left_out)} labelled images are left out."
    with resources.engine.begin() as connection:
        retraining.complete(connection, run.retrain_id, outcome="too_few_labels", why=why)
    get_run_logger().info(why)
    clear(run)
    return RetrainSummary(
        retrain_id=run.retrain_id,
        outcome="too_few_labels",
        why=why,
        images=len(snapshot.images),
        new_labels=new_labels,
        left_out=len(snapshot.left_out),
    )


def clear(run: Retraining) -> None:
    """Take away what a completed run needed on disk; one that failed keeps it for the next."""
    shutil.rmtree(run.workdir, ignore_errors=True)


@contextmanager
def failure_recorded(resources: Resources, run: Retraining) -> Iterator[None]:
    """Say in the run's row what ended it. If even that fails, the next retraining finds it dead."""
    try:
        yield
    except BaseException as error:
        try:
            with resources.engine.begin() as connection:
                retraining.fail(connection, run.retrain_id, why=f"{type(error).__name__}: {error}")
        except SQLAlchemyError as second:
            get_run_logger().warning("Retraining %s failed and could not be closed: %s", run.retrain_id, second)
        raise
