"""Watching fifty lines: a backlog of many parts at once, then one more hour, each in a process of its own.

Then more hours, with days, a month and months of history behind them: they should cost what is new alone. In the end
ten moulds on each line are watched too.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import text

from casting_core.chart_plan import design_chart
from casting_core.types import Window
from flows.baselines import set_baselines
from tests.benchmarks import plant
from tests.benchmarks.program import run_program
from tests.histories import HOUR, START, completed_run, register, write_moulds

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine


_LINES, _PER_HOUR = 50, 200
_HOURS = 100
# Days of history before the backlog, of so many parts an hour and line; watches of one hour each are repeated.
_HISTORIES, _PER_HOUR_THEN, _WATCHES = (30, 120), 10, 3
_PARTS = """
    INSERT INTO image (captured_at, uri, etag, line, part_id, size, stored_at)
    SELECT :start + make_interval(hours => h), format('%s/%s/%s', l, h, i), 'e', 'line-' || l,
        'P' || (h + 10000) * 1000 + i, 1, :start
    FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS h,
        generate_series(1, 50) AS l, generate_series(1, CAST(:parts AS integer)) AS i
"""
_STATES = """
    INSERT INTO stream_state (stream, line, hour, seen, charts)
    SELECT 'line-' || l, 'line-' || l, :start + make_interval(hours => h),
        '{"parts": 10, "defective": 0, "review": 0, "quarantined": 0}', '{}'
    FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS h, generate_series(1, 50) AS l
"""
_MOULDS_EACH, _MOULD_HOURS = 10, 20
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
    settings = resources.settings.model_copy(update={"alert_streams": sys.argv[2]})
    summary = watch_once(connection, settings, now=datetime.fromisoformat(sys.argv[1]))
    postgres, processor = processor_of(pid) - postgres, time.process_time() - processor
print(json.dumps({"parts": summary.parts, "streams": summary.streams, "seconds": summary.seconds,
                  "designing": designing, "processor": processor, "postgres": postgres, "peak": peak_mebibytes()}))
"""
_VERDICTS = """
    INSERT INTO verdict (image_id, captured_at, model_id, run_id, p_defective, verdict, sha256)
    SELECT image_id, captured_at, :model, :run, p, CASE WHEN p > 0.98 THEN 'defective' ELSE 'ok' END, sha256('')
    FROM (SELECT image_id, captured_at, random() AS p FROM image
          WHERE captured_at >= :since AND captured_at < :until) AS judged
"""


@dataclass(frozen=True, kw_only=True)
class _Plant:
    """Fifty lines whose pictures one model judges. Hours count from START, and may lie before it."""

    engine: Engine
    model: int
    scoring_run: int

    def write(self, first: int, last: int, *, parts: int = _PER_HOUR) -> None:
        """Write the verdicts of some hours, so many parts each."""
        since, until = START + first * HOUR, START + (last + 1) * HOUR
        with self.engine.begin() as connection:
            for month in range((until - since).days // 28 + 2):
                connection.execute(text("SELECT ensure_month(:at)"), {"at": since + timedelta(days=28 * month)})
            connection.execute(text(_PARTS), {"start": START, "first": first, "last": last, "parts": parts})
            values = {"model": self.model, "run": self.scoring_run, "since": since, "until": until}
            connection.execute(text(_VERDICTS), values)

    def analyze(self) -> None:
        """Let Postgres count its rows, as it does by itself after a while."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE image, verdict, stream_state, part_attribute"))


def run(folder: Path, *, images: int) -> dict[str, Any]:
    """Watch 1,000,000 parts of fifty lines, then more hours of them; `images` is for the other benchmarks."""
    del images
    engine = plant.open_plant(folder, architecture="squeezenet1_1").engine
    model = register(engine, "watched")
    lines = _Plant(engine=engine, model=model, scoring_run=completed_run(engine, model, until=START))
    lines.write(0, 23)
    with engine.begin() as connection:
        reference, now = Window(since=START, until=START + 24 * HOUR), START + 23 * HOUR
        set_baselines(connection, reference, who="bench", why="to measure", now=now)
        connection.execute(text("DELETE FROM stream_change"))
    lines.write(24, 24 + _HOURS - 1)
    lines.analyze()
    backlog = _watch(24 + _HOURS)
    return {
        "parts at once": backlog["parts"],
        "watching them, s": backlog["seconds"],
        "of that designing, s": backlog["designing"],
        "processor s, Python": backlog["processor"],
        "processor s, Postgres": backlog["postgres"],
        "whole process at most, MiB": backlog["peak"],
        **_hours_more(lines),
        **_with_moulds(lines, 24 + _HOURS + _WATCHES * (1 + len(_HISTORIES))),
        "designing for 50 lines, s": _designing(()),
        "the same with parts in review, s": _designing(_REVIEW),
        "lines": _LINES,
        "parts an hour and line": _PER_HOUR,
    }


def _hours_more(lines: _Plant) -> dict[str, Any]:
    """Watch single hours, with more and more history behind them."""
    end, known, found = 24 + _HOURS, 0, {}
    for days in (0, *_HISTORIES):
        if days:
            lines.write(-24 * days, -24 * known - 1, parts=_PER_HOUR_THEN)
            with lines.engine.begin() as connection:
                # As if it had been watched when it came.
                connection.execute(text("DELETE FROM stream_change"))
                connection.execute(text(_STATES), {"start": START, "first": -24 * days, "last": -24 * known - 1})
            lines.analyze()
        watches = []
        for _ in range(_WATCHES):
            lines.write(end, end)
            end += 1
            watches.append(_watch(end))
        known = days
        name = f"an hour more, {end // 24 + days} days known"
        found[f"{name}, s"] = statistics.median(watch["seconds"] for watch in watches)
        found[f"{name}, processor s"] = statistics.median(watch["processor"] + watch["postgres"] for watch in watches)
    return found


def _with_moulds(lines: _Plant, end: int) -> dict[str, Any]:
    """Watch a backlog and one more hour of lines and their moulds, on new baselines."""
    _tell_moulds(lines, end - 24, end - 1)
    with lines.engine.begin() as connection:
        reference = Window(since=START + (end - 24) * HOUR, until=START + end * HOUR)
        set_baselines(
            connection, reference, who="bench", why="to measure", keys=["mould"], now=START + (end - 1) * HOUR
        )
        connection.execute(text("DELETE FROM stream_change"))
    found = {}
    for name, hours in (("a backlog", _MOULD_HOURS), ("an hour more", 1)):
        lines.write(end, end + hours - 1)
        _tell_moulds(lines, end, end + hours - 1)
        lines.analyze()
        end += hours
        watched = _watch(end, streams="mould")
        found |= {
            f"with moulds, {name}: parts; streams": f"{watched['parts']:,}; {watched['streams']}",
            f"with moulds, {name}, s": watched["seconds"],
            f"with moulds, {name}, of that designing, s": watched["designing"],
            f"with moulds, {name}, processor s": watched["processor"] + watched["postgres"],
            f"with moulds, {name}, MiB": watched["peak"],
        }
    return found


def _tell_moulds(lines: _Plant, first: int, last: int) -> None:
    write_moulds(lines.engine, since=START + first * HOUR, until=START + (last + 1) * HOUR, moulds=_MOULDS_EACH)


def _watch(hour: int, *, streams: str = "") -> dict[str, Any]:
    """Watch up to an hour in a new process, with nothing designed yet, as a flow run does."""
    now = START + hour * HOUR + timedelta(minutes=5)
    measured: dict[str, Any] = run_program(_PROGRAM, now.isoformat(), streams)
    return measured


def _designing(review: tuple[tuple[float, float], ...]) -> float:
    """Designs of fifty rates, none of them in the cache."""
    started = time.perf_counter()
    for rate in np.linspace(0.01, 0.06, _LINES):
        design_chart(
            rate=float(rate), ratio=2, icc=0.005, batch=_PER_HOUR, arl0=_LINES * 30 * 24 * _PER_HOUR, review=review
        )
    return time.perf_counter() - started
