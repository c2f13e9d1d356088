"""The watch: what was judged since the last one passes through the charts, and alerts follow.

    lock -> plan -> take what is new -> parts through the charts -> what is wrong -> what becomes of alerts -> deliver

All but the delivery is one transaction: a watch that is killed has done nothing, and the next one does it. Two at once
wait for one another. It runs after every scoring run, and by its own schedule, so that scoring that has stalled is
noticed too.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from casting_core.alert_life import decide
from db import alerts, streams
from flows.baselines import set_first_baselines
from flows.deliver import deliver
from flows.outbox import alert_outbox
from flows.resources import open_resources
from flows.retries import back_off, worth_retrying
from flows.settings import load_settings
from flows.watching import USUAL_FROM, find_situation, read_plan, take_news, watch_news

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from db.alerts import Outbox
    from flows.settings import Settings


@dataclass(frozen=True, kw_only=True)
class WatchSummary:
    """What one watch did. `too_late` counts hours with something new from before the look-back, which changed nothing.

    `streams` are lines, and moulds where those are watched. `parts` passed through the charts of lines, those of hours
    watched again included; `first_baselines` says that lines or moulds got their first baselines, from their first
    parts.
    """

    streams: int
    parts: int
    recomputed: int
    too_late: int
    opened: int
    updated: int
    resolved: int
    open_alerts: int
    first_baselines: bool
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The summary as plain JSON values."""
        return asdict(self) | {"seconds": round(self.seconds, 3)}


@flow(name="watch", persist_result=False)
def watch(now: datetime | None = None) -> WatchSummary:
    """Watch what was judged since the last watch, as things stand at `now` (by default this moment)."""
    settings = load_settings()
    watching = watch_streams.with_options(**back_off(settings))
    summary = watching(now or datetime.now(tz=UTC))
    get_run_logger().info("%s", summary)
    deliver()
    return summary


def watch_after_scoring() -> None:
    """Watch what a run has judged. Its verdicts are written: whatever goes wrong here must not fail the run.

    The marks of what was judged stay until a watch has counted it.
    """
    logger = get_run_logger()
    try:
        watch()
    except Exception:
        logger.warning("What was judged could not be watched; the next watch makes up for it", exc_info=True)


@task(
    name="watch streams",
    cache_policy=NO_CACHE,
    retry_jitter_factor=0.5,
    retry_condition_fn=worth_retrying,
)
def watch_streams(now: datetime) -> WatchSummary:
    """Do one watch, all in one transaction."""
    resources = open_resources(load_settings())
    with resources.engine.begin() as connection:
        outbox = alert_outbox(resources.settings)
        return watch_once(connection, resources.settings, now=now, outbox=outbox)


def watch_once(
    connection: Connection, settings: Settings, *, now: datetime, outbox: Outbox = alerts.no_outbox
) -> WatchSummary:
    """Do one watch in the caller's transaction."""
    started = time.perf_counter()
    lookback = timedelta(hours=settings.lookback_hours)
    streams.lock_watching(connection)
    plan = read_plan(connection, settings, now=now)
    news = take_news(connection, now=now, lookback=lookback)
    watched = watch_news(connection, plan, news, lookback=lookback, keys=settings.stream_keys)
    situation = find_situation(connection, plan, watched, settings=settings, now=now, news=news)
    steps = decide(situation, alerts.newest_alerts(connection))
    done = alerts.carry_out(connection, steps, at=now, outbox=outbox)
    streams.thin_states(connection, lookback=lookback, forget_before=now - USUAL_FROM)
    return WatchSummary(
        streams=len(watched.charts),
        parts=watched.parts,
        recomputed=len(news.recomputed),
        too_late=news.too_late,
        opened=done["open"] + done["reopen"],
        updated=done["update"],
        resolved=done["resolve"],
        open_alerts=len(alerts.read_alerts(connection)),
        first_baselines=set_first_baselines(connection, plan, keys=settings.stream_keys, now=now),
        seconds=time.perf_counter() - started,
    )
