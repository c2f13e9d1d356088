"""On demand: judge months of old images, slice by slice, without getting in the way of the hourly job."""

from __future__ import annotations

from prefect import flow
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from flows.slices import SliceTotals, judge_in_slices


class BackfillParameters(BaseModel):
    """Which old images are judged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: AwareDatetime = Field(description="Begin: images captured from this moment on, with its time zone.")
    until: AwareDatetime = Field(description="End: images captured before this moment.")
    lines: list[str] = Field(default=[], description="Only these lines; none named means all.")
    slice_hours: float = Field(
        default=1,
        gt=0,
        le=24 * 31,
        description="Hours of images a slice. Between two slices the hourly job has its turn.",
    )


@flow(name="backfill", persist_result=False, validate_parameters=True)
def backfill(parameters: BackfillParameters) -> SliceTotals:
    """Judge the images of a long window that have no verdict by the champion yet.

    Start it again after an interruption: slices that are done are passed over. Raises SlicesIncomplete when images
    of some slices stayed backlog, and what keeps a scoring run from beginning.
    """
    return judge_in_slices(
        since=parameters.since,
        until=parameters.until,
        lines=tuple(parameters.lines),
        model=None,
        slice_hours=parameters.slice_hours,
    )
