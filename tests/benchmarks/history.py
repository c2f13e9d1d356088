"""A year of history in the embedded database: how quick the views of bi are on it, and whether writers feel it."""

from __future__ import annotations

import statistics
import time
import uuid
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from casting_core.types import ScoringRun, StoredImage, Window
from db import embedded, migrate, models, rollups, runs
from db.engine import make_engine
from db.images import backlog_chunks, insert_images
from flows.benchmark import judge_unseen
from tests.benchmarks.history_data import DAYS, UNTIL, load, load_moulds
from tests.published import BY_TEST

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection, Engine

_ROUNDS = 5
_TURNS = 12
_WRITTEN = 5_000
_CHUNK = 256
# By which column a stretch of time is asked for. Lists are read as BI tools do: the newest thousand rows.
_TIMES = ("captured_at", "hour", "day", "month", "opened_at", "started_at")
_LISTS = ("part", "verdict_history", "quarantined_image")


def run(folder: Path, *, verdicts: int) -> dict[str, Any]:
    """Load the history, then time every view as the read-only role, and the writer beside an empty database."""
    full, empty = (_database(folder / name) for name in ("full", "empty"))
    started = time.perf_counter()
    load(full, verdicts=verdicts)
    loading = time.perf_counter() - started
    started = time.perf_counter()
    load_moulds(full, verdicts=verdicts)
    moulds = time.perf_counter() - started
    started = time.perf_counter()
    rollups.refresh(full)
    counting = time.perf_counter() - started
    with full.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE) part, part_hour, rollup_stale"))
    measured: dict[str, Any] = {
        "verdicts": verdicts,
        "loading, s": loading,
        "loading the moulds of all parts, s": moulds,
        "first roll-up of all of it, s": counting,
    }
    measured |= measure_views(full)
    measured |= measure_writers(full, empty)
    for engine in (full, empty):
        engine.dispose()
    return measured


def measure_views(engine: Engine) -> dict[str, Any]:
    """Median times in milliseconds, the slowest view with its plan."""
    reader = make_engine(engine.url.set(username="casting_reader"))
    with reader.connect() as connection:
        queries = _queries(connection)
        times = {name: _milliseconds(connection, query) for name, query in queries.items()}
        parts = connection.execute(text("SELECT part_id FROM bi.part ORDER BY captured_at DESC LIMIT 20000")).scalars()
        by_part = [
            _milliseconds(connection, f"SELECT * FROM bi.part WHERE part_id = '{part}'", rounds=1)  # noqa: S608
            for part in parts.all()[::400]
        ]
    slowest = max(times, key=times.__getitem__)
    with engine.connect() as connection:
        plan = connection.execute(text(f"EXPLAIN (ANALYZE, COSTS off) {queries[slowest]}")).scalars().all()
    reader.dispose()
    return {
        **{f"{name}, ms": value for name, value in times.items()},
        "bi.part by part_id, ms": statistics.median(by_part),
        f"plan of the slowest ({slowest})": "\n" + "\n".join(line for line in plan if "never executed" not in line),
    }


def measure_writers(full: Engine, empty: Engine) -> dict[str, Any]:
    """Rates of the hourly writer on both, turn by turn, since machines are noisy."""
    rates: dict[str, list[float]] = {"full": [], "empty": []}
    for number in range(_TURNS):
        # Each turn has an hour of its own, after the history: writers meet new images, not those of earlier turns.
        since = UNTIL + timedelta(hours=number)
        turn = (("full", full), ("empty", empty))
        for name, engine in turn if number % 2 else turn[::-1]:
            rates[name].append(_write(engine, Window(since=since, until=since + timedelta(hours=1))))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    ratios = [one / other for one, other in zip(rates["full"], rates["empty"], strict=True)]
    return {
        "writer on the history, rows/s": medians["full"],
        "writer on empty tables, rows/s": medians["empty"],
        "history / empty, median of rounds": statistics.median(ratios),
        "history / empty, lowest and highest": f"{min(ratios):.3f}, {max(ratios):.3f}",
    }


def _database(folder: Path) -> Engine:
    engine = make_engine(embedded.start(folder))
    migrate.upgrade(engine)
    return engine


def _queries(connection: Connection) -> dict[str, str]:
    """Every view of bi over its last 30 days, and the daily trend of a year."""
    columns = connection.execute(
        text("""
            SELECT table_name, array_agg(column_name::text) AS columns
            FROM information_schema.columns WHERE table_schema = 'bi' GROUP BY table_name ORDER BY table_name""")
    )
    month = f"'{UNTIL - timedelta(days=30):%Y-%m-%d %H:%M:%S+00}'"
    year = f"'{UNTIL - timedelta(days=DAYS):%Y-%m-%d}'"
    queries = {}
    for view, known in columns:
        column = next((name for name in _TIMES if name in known), None)
        query = f"SELECT * FROM bi.{view}"  # noqa: S608 - our own names
        if column:
            query += f" WHERE {column} >= {month}"
        if view in _LISTS:
            query += f" ORDER BY {column} DESC LIMIT 1000"
        queries[f"bi.{view}"] = query
    queries["daily trend of 12 months"] = f"SELECT * FROM bi.defect_rate_daily WHERE day >= {year}"  # noqa: S608
    queries["parts of 30 days counted in bi.part"] = (
        f"SELECT line, verdict, count(*) FROM bi.part WHERE captured_at >= {month} GROUP BY line, verdict"  # noqa: S608
    )
    return queries


def _milliseconds(connection: Connection, query: str, *, rounds: int = _ROUNDS) -> float:
    def once() -> float:
        started = time.perf_counter()
        connection.exec_driver_sql(query).all()
        return 1000 * (time.perf_counter() - started)

    return statistics.median(once() for _ in range(rounds))


def _write(engine: Engine, window: Window) -> float:
    """Make an hour's images known, claim and judge them as an hourly run does; rows a second."""
    line = f"bench-{uuid.uuid4().hex[:8]}"
    with engine.begin() as connection:
        model = models.register_model(connection, version=line, artifact_url="", sha256="a" * 64, card={}, **BY_TEST)
        run = ScoringRun(run_id=uuid.uuid4(), model=model, window=window, lines=(line,))
        runs.open_run(connection, run, flow_run_id=None)
    seconds = _timed(engine, lambda connection: insert_images(connection, _stored(line, window)))
    with engine.connect() as connection:
        chunks = backlog_chunks(connection, run, chunk_size=_CHUNK)
    seconds += sum(_timed(engine, partial(judge_unseen, run=run, chunk=chunk)) for chunk in chunks)
    return _WRITTEN / seconds


def _timed(engine: Engine, work: Callable[[Connection], object]) -> float:
    with engine.connect() as connection, connection.begin() as transaction:
        started = time.perf_counter()
        work(connection)
        transaction.commit()
        return time.perf_counter() - started


def _stored(line: str, window: Window) -> list[StoredImage]:
    return [
        StoredImage(
            uri=f"s3://castings/{line}/P{number:07d}.jpg",
            etag=f"{number:032x}",
            size=25_000,
            line=line,
            part_id=f"P{number:07d}",
            view="",
            captured_at=window.since + timedelta(milliseconds=700 * number),
            stored_at=window.until,
        )
        for number in range(_WRITTEN)
    ]
