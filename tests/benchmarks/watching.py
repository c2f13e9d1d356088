"""Watching fifty lines: a backlog of many parts at once, then one more hour, each in a process of its own."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import text

from casting_core.chart_plan import design_chart
from casting_core.types import Window
from flows.baselines import set_baselines
from tests.benchmarks import plant
from tests.benchmarks.program import run_program
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
_REVIEW = ((0.35, 0.002), (0.45, 0.001), (0.55, 0.0008), (0.65, 0.0005))
_PROGRAM = """
import json, sys, time
from datetime import datetime
from pathlib import Path
from sqlalchemy import text
from casting_core import chart_plan
from flows.resources import open_resources
from flows.settings import load_settings
from flows.watch import watch_once
from tests.benchmarks.program import peak_mebibytes

designing = 0.0
finish = chart_plan.finish_design

def timed(*given, **named):
    global designing
    started = time.perf_counter()
    try:
        return finish(*given, **named)
    finally:
        designing += time.perf_counter() - started

chart_plan.finish_design = timed
resources = open_resources(load_settings())

def processor_of(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100

with resources.engine.begin() as connection:
    pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    postgres, processor = processor_of(pid), time.process_time()
    summary = watch_once(connection, resources.settings, now=datetime.fromisoformat(sys.argv[1]))
    postgres, processor = processor_of(pid) - postgres, time.process_time() - processor
print(json.dumps({"parts": summary.parts, "seconds": summary.seconds, "designing": designing, "processor": processor,
                  "postgres": postgres, "peak": peak_mebibytes()}))
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

    write(0, 23)
    with engine.begin() as connection:
        reference, now = Window(since=START, until=START + 24 * HOUR), START + 23 * HOUR
        set_baselines(connection, reference, who="bench", why="to measure", now=now)
        connection.execute(text("DELETE FROM stream_change"))
    write(24, 24 + _HOURS - 1)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE image"))
        connection.execute(text("ANALYZE verdict"))
    now = START + (24 + _HOURS) * HOUR + timedelta(minutes=5)
    backlog = _watch(now)
    write(24 + _HOURS, 24 + _HOURS)
    hour = _watch(now + HOUR)
    return {
        "parts at once": backlog["parts"],
        "watching them, s": backlog["seconds"],
        "of that designing, s": backlog["designing"],
        "processor s, Python": backlog["processor"],
        "processor s, Postgres": backlog["postgres"],
        "whole process at most, MiB": backlog["peak"],
        "parts of one more hour": hour["parts"],
        "watching that hour, s": hour["seconds"],
        "designing for 50 lines, s": _designing(()),
        "the same with parts in review, s": _designing(_REVIEW),
        "lines": _LINES,
        "parts an hour and line": _PER_HOUR,
    }


def _watch(now: datetime) -> dict[str, Any]:
    """Watch in a new process, with nothing designed yet, as a flow run does."""
    measured: dict[str, Any] = run_program(_PROGRAM, now.isoformat())
    return measured


def _designing(review: tuple[tuple[float, float], ...]) -> float:
    """Designs of fifty rates, none of them in the cache."""
    started = time.perf_counter()
    for rate in np.linspace(0.01, 0.06, _LINES):
        design_chart(
            rate=float(rate), ratio=2, icc=0.005, batch=_PER_HOUR, arl0=_LINES * 30 * 24 * _PER_HOUR, review=review
        )
    return time.perf_counter() - started
