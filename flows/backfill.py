"""On demand: judge months of old images, slice by slice, without getting in the way of the hourly job."""

from __future__ import annotations

from prefect import flow

from flows.slices import LongWindow, SliceTotals, judge_in_slices


@flow(name="backfill", persist_result=False, validate_parameters=True)
def backfill(parameters: LongWindow) -> SliceTotals:
    """Judge the images of a long window that have no verdict by the champion yet.

    Start it again after an interruption: slices that are done are passed over. Raises SlicesIncomplete when images
    of some slices stayed backlog, and what keeps a scoring run from beginning.
    """
    return judge_in_slices(parameters, model=None)
