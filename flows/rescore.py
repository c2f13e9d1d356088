"""On demand: judge a window again by another model. Its verdicts stand beside the old ones, which stay."""

from __future__ import annotations

from prefect import flow
from pydantic import Field

from flows.slices import LongWindow, SliceTotals, judge_in_slices


class RescoreParameters(LongWindow):
    """Which model judges which images again."""

    model: str = Field(description="Version of the model that judges; `casting models list` shows them.")


@flow(name="rescore", persist_result=False, validate_parameters=True)
def rescore(parameters: RescoreParameters) -> SliceTotals:
    """Judge every image of a window by a model of any state.

    Start it again after an interruption: slices that are done are passed over. Raises SlicesIncomplete when images
    of some slices stayed backlog, UnknownModel, and what keeps a scoring run from beginning.
    """
    return judge_in_slices(parameters, model=parameters.model)
