"""A long window judged slice by slice: resumable, with its progress shown, and giving way to the hourly job."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from casting_core.types import ScoringRun, Window
from db import runs
from db.images import count_backlog
from flows.errors import ScoringIncomplete, SlicesIncomplete
from flows.resources import open_resources
from flows.score import score
from flows.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from casting_core.types import RegisteredModel
    from flows.resources import Resources

_POLL_SECONDS = 2.0
# A run that never ends must not hold up a backfill for ever.
_LONGEST_WAIT_SECONDS = 3600.0


class LongWindow(BaseModel):
    """Which old images are judged."""  # Prefect shows it above its form.

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    since: AwareDatetime = Field(description="Begin: images captured from this moment on, with its time zone.")
    until: AwareDatetime = Field(description="End: images captured before this moment.")
    lines: list[str] = Field(default=[], description="Only these lines; none named means all.")
    slice_hours: float = Field(
        default=1,
        gt=0,
        le=24 * 31,
        description="Hours of images a slice. Between two slices the hourly job has its turn.",
    )


@dataclass(frozen=True, kw_only=True)
class SliceTotals:
    """What became of a long window. `passed_over` slices were done by an earlier run."""

    slices: int
    passed_over: int
    scored: int
    quarantined: int


def judge_in_slices(asked: LongWindow, *, model: str | None) -> SliceTotals:
    """Judge a window slice by slice, oldest first; the slices that an earlier run has finished are passed over.

    Raises InvalidInput for an empty window, UnknownModel or NoChampion, and SlicesIncomplete when images of some
    slices stayed backlog after all retries.
    """
    resources = open_resources(load_settings())
    judge = resources.model(model)
    window = Window(since=resources.layout.floor(asked.since), until=asked.until)
    slices = list(cut(window, timedelta(hours=asked.slice_hours)))
    progress = _Progress(f"{len(slices)} slices by {judge.version}")
    passed_over, scored, quarantined, failures = 0, 0, 0, []
    for number, window in enumerate(slices):
        if _finished(resources, window, judge, asked.lines):
            passed_over += 1
        else:
            _give_way(resources)
            try:
                summary = score(since=window.since, until=window.until, lines=asked.lines, model=judge.version)
            except ScoringIncomplete as error:
                failures.append(str(error))
            else:
                scored += summary.scored
                quarantined += summary.quarantined
        progress.show((number + 1) / len(slices))
    if failures:
        raise SlicesIncomplete(
            f"{len(failures)} of {len(slices)} slices left images as backlog; start it again, it passes over what is "
            f"done. The first said: {failures[0]}"
        )
    return SliceTotals(slices=len(slices), passed_over=passed_over, scored=scored, quarantined=quarantined)


def cut(window: Window, length: timedelta) -> Iterator[Window]:
    """Cut a window into slices of a length; the last one may be shorter."""
    begin = window.since.astimezone(UTC)
    while begin < window.until:
        end = min(begin + length, window.until.astimezone(UTC))
        yield Window(since=begin, until=end)
        begin = end


def _finished(resources: Resources, window: Window, judge: RegisteredModel, lines: list[str]) -> bool:
    """Whether a run has judged all of a slice, and nothing became known in it since: pictures may come days late."""
    run = ScoringRun(run_id=uuid4(), model=judge, window=window, lines=tuple(lines))
    with resources.engine.connect() as connection:
        covered = runs.covered(connection, window=window, model_id=judge.model_id, lines=lines)
        return covered and count_backlog(connection, run) == 0


def _give_way(resources: Resources) -> None:
    """Wait while another run judges: what is new goes before what is old."""
    deadline = time.monotonic() + _LONGEST_WAIT_SECONDS
    told = False
    while time.monotonic() < deadline:
        with resources.engine.begin() as connection:
            if not runs.any_alive(connection):
                return
        if not told:
            get_run_logger().info("Another run is judging; the next slice waits for its end")
            told = True
        time.sleep(_POLL_SECONDS)


class _Progress:
    """A bar in Prefect's UI. A server that is away must not end the work, so nothing here fails."""

    def __init__(self, what: str) -> None:
        self._artifact: UUID | None = None
        logger = get_run_logger()
        try:
            self._artifact = create_progress_artifact(progress=0.0, key="slices", description=what)
        except Exception:
            logger.warning("Progress cannot be shown in Prefect", exc_info=True)

    def show(self, share: float) -> None:
        if self._artifact is None:
            return
        logger = get_run_logger()
        try:
            update_progress_artifact(self._artifact, progress=round(100 * share, 1))
        except Exception:
            logger.warning("Progress could not be shown in Prefect", exc_info=True)
