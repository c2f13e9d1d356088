"""On demand: judge a window again by another model. Its verdicts stand beside the old ones, which stay."""

from __future__ import annotations

from prefect import flow
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from flows.slices import SliceTotals, judge_in_slices


class RescoreParameters(BaseModel):
    """Which model judges which images again."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str = Field(description="Version of the model that judges; `casting models list` shows them.")
    since: AwareDatetime = Field(description="Begin: images captured from this moment on, with its time zone.")
    until: AwareDatetime = Field(description="End: images captured before this moment.")
    lines: list[str] = Field(default=[], description="Only these lines; none named means all.")
    slice_hours: float = Field(
        default=1,
        gt=0,
        le=24 * 31,
        description="Hours of images a slice. Between two slices the hourly job has its turn.",
    )


@flow(name="rescore", persist_result=False, validate_parameters=True)
def rescore(parameters: RescoreParameters) -> SliceTotals:
    """Judge every image of a window by a model of any state.

    Start it again after an interruption: slices that are done are passed over. Raises SlicesIncomplete when images
    of some slices stayed backlog, UnknownModel, and what keeps a scoring run from beginning.
    """
    return judge_in_slices(
        since=parameters.since,
        until=parameters.until,
        lines=tuple(parameters.lines),
        model=parameters.model,
        slice_hours=parameters.slice_hours,
    )
