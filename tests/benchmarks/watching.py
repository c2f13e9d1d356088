"""Watching fifty lines: a backlog of many parts at once, then one more hour, and what is held in memory meanwhile."""

from __future__ import annotations

import resource
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import text

from casting_core.chart_plan import design_chart
from casting_core.types import Window
from flows.baselines import set_baselines
from flows.settings import Settings
from flows.watch import watch_once
from tests.benchmarks import plant
from tests.histories import HOUR, START, completed_run, register

if TYPE_CHECKING:
    from pathlib import Path

_LINES, _PER_HOUR = 50, 200
_HOURS = 100
_PARTS = """
    INSERT INTO image (captured_at, uri, etag, line, part_id, size, stored_at)
    SELECT :start + make_interval(hours => h), format('%s/%s/%s', l, h, i), 'e', 'line-' || l,
        'P' || lpad((h * 1000 + i)::text, 7, '0'), 1, :start
    FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS h,
        generate_series(1, 50) AS l, generate_series(1, 200) AS i
"""
_VERDICTS = """
    INSERT INTO verdict (image_id, captured_at, model_id, run_id, p_defective, verdict, sha256)
    SELECT image_id, captured_at, :model, :run, p, CASE WHEN p > 0.98 THEN 'defective' ELSE 'ok' END, sha256('')
    FROM (SELECT image_id, captured_at, random() AS p FROM image
          WHERE captured_at >= :since AND captured_at < :until) AS judged
"""


def run(folder: Path, *, images: int) -> dict[str, Any]:
    """Watch 1,000,000 parts of fifty lines, then one more hour of them; `images` is for the other benchmarks."""
    del images
    engine = plant.open_plant(folder, architecture="squeezenet1_1").engine
    model = register(engine, "watched")
    scoring_run = completed_run(engine, model, until=START)

    def write(first: int, last: int) -> None:
        with engine.begin() as connection:
            connection.execute(text("SELECT ensure_month(:start)"), {"start": START})
            connection.execute(text(_PARTS), {"start": START, "first": first, "last": last})
            since, until = START + first * HOUR, START + (last + 1) * HOUR
            values = {"model": model, "run": scoring_run, "since": since, "until": until}
            connection.execute(text(_VERDICTS), values)

    def watch(now: datetime) -> tuple[int, float]:
        with engine.begin() as connection:
            summary = watch_once(connection, Settings(), now=now)
        return summary.parts, summary.seconds

    write(0, 23)
    with engine.begin() as connection:
        reference, now = Window(since=START, until=START + 24 * HOUR), START + 23 * HOUR
        set_baselines(connection, reference, who="bench", why="to measure", now=now)
        connection.execute(text("DELETE FROM stream_change"))
    write(24, 24 + _HOURS - 1)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE image"))
        connection.execute(text("ANALYZE verdict"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    now = START + (24 + _HOURS) * HOUR + timedelta(minutes=5)
    parts, seconds = watch(now)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    write(24 + _HOURS, 24 + _HOURS)
    hour_parts, hour_seconds = watch(now + HOUR)
    return {
        "parts at once": parts,
        "watching them, s": seconds,
        "memory added at most, MiB": peak - before,
        "parts of one more hour": hour_parts,
        "watching that hour, s": hour_seconds,
        "designing for 50 lines, s": _designing(),
        "lines": _LINES,
        "parts an hour and line": _PER_HOUR,
    }


def _designing() -> float:
    started = time.perf_counter()
    for rate in np.linspace(0.01, 0.06, _LINES):
        design_chart(rate=float(rate), ratio=2, icc=0.005, batch=_PER_HOUR, arl0=_LINES * 30 * 24 * _PER_HOUR)
    return time.perf_counter() - started
