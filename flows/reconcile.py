"""What the hourly job has missed: pictures that came later than its look-back, and what stayed unjudged that long.

bucket beyond the look-back -> what was not known becomes known -> what waits for a verdict -> a backfill judges it
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger

from casting_core.types import Window
from db.errors import NoChampion
from db.images import UnjudgedImages, unjudged_images
from flows.discovering import make_known
from flows.resources import open_resources
from flows.retries import worth_retrying
from flows.settings import load_settings

if TYPE_CHECKING:
    from flows.resources import Resources

_BACKFILL = "backfill/on-demand"


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    """What was found beyond the look-back: `late` pictures became known; `waiting` ones were never judged.

    `backfill` is the name of the run that judges them; None where none is needed or none could be started.
    """

    late: int = 0
    waiting: int = 0
    backfill: str | None = None


@task(name="reconcile", cache_policy=NO_CACHE, retry_jitter_factor=0.5, retry_condition_fn=worth_retrying)
def reconcile() -> Reconciled:
    """Compare the bucket with the database from CASTING_RECONCILE_DAYS ago up to where the hourly job looks."""
    resources = open_resources(load_settings())
    window = _beyond_lookback(resources)
    if window is None:
        return Reconciled()
    with resources.engine.connect() as connection:
        late = make_known(connection, resources, window=window).images
        # By any model: what an earlier champion has judged is judged, and a re-score is for a person to ask for.
        waiting = unjudged_images(connection, window)
    if waiting is None:
        return Reconciled(late=late)
    return Reconciled(late=late, waiting=waiting.count, backfill=_backfill(resources, waiting))


def _beyond_lookback(resources: Resources) -> Window | None:
    now = datetime.now(tz=UTC)
    since = now - timedelta(days=resources.settings.reconcile_days)
    until = now - timedelta(hours=resources.settings.lookback_hours)
    return Window(since=resources.layout.floor(since), until=until) if since < until else None


def _backfill(resources: Resources, waiting: UnjudgedImages) -> str | None:
    """Start a backfill, which gives way to the hourly job. Where there is none, say how a person does it."""
    try:
        resources.model(None)
    except NoChampion:
        return None
    span = waiting.window
    parameters = {"since": span.since.isoformat(), "until": span.until.isoformat(), "lines": list(waiting.lines)}
    try:
        run = run_deployment(_BACKFILL, parameters={"parameters": parameters}, timeout=0, as_subflow=False)
    except ObjectNotFound:
        get_run_logger().warning(
            "%d images from before the look-back wait for a verdict, and Prefect knows no %s. Run: casting deploy, "
            "or judge them now: casting score --since %s",
            waiting.count,
            _BACKFILL,
            span.since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        )
        return None
    return run.name
