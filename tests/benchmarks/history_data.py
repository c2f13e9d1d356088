"""A year of history for the benchmarks: images, verdicts, quarantine, labels, moulds, copied into the real tables."""

from __future__ import annotations

import io
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv
from sqlalchemy import text

from casting_core.types import ScoringRun, Window
from db import models, runs
from tests.published import BY_TEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

UNTIL = datetime(2026, 11, 23, 8, tzinfo=UTC)
DAYS = 365
LINES = 10
# Every so manieth image is quarantined, labelled, judged again by the second model.
_QUARANTINED, _LABELLED, _JUDGED_AGAIN = 200, 250, 50
_MOULDS = 12
# A statement's worth of rows: triggers hold what a statement wrote in memory.
_ROWS = 250_000


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Images `first` to `first + count` of the history, in the order of capture."""

    first: int
    count: int
    total: int


def load(engine: Engine, *, verdicts: int) -> None:
    """Write a history of so many verdicts over a year of ten lines, then bring statistics up to date.

    Two sessions copy at once: the images of one stretch while the verdicts of the stretch before are written.
    """
    first, second = _models(engine)
    total = _images(verdicts)
    with engine.begin() as connection:
        for day in range(0, DAYS + 31, 27):
            moment = min(UNTIL - timedelta(days=DAYS) + timedelta(days=day), UNTIL)
            connection.execute(text("SELECT ensure_month(:moment)"), {"moment": moment})
    with ThreadPoolExecutor(1) as pool:
        judging = None
        for part in _slices(total):
            _copy_images(engine, part)
            if judging is not None:
                judging.result()
            judging = pool.submit(_copy_outcomes, engine, part, first, second)
        if judging is not None:
            judging.result()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(
            text("SELECT setval(pg_get_serial_sequence('image', 'image_id'), :last)"), {"last": max(total, 1)}
        )
        connection.execute(text("VACUUM (ANALYZE) image, verdict, quarantine, label"))


def load_moulds(engine: Engine, *, verdicts: int) -> None:
    """Write the mould of every part of such a history, as a plant's own import would."""
    for part in _slices(_images(verdicts)):
        number = np.arange(part.first, part.first + part.count)
        columns = _keys(number) | {
            "day": pc.strftime(_captured(part, number), format="%Y-%m-%d"),
            "key": pa.repeat("mould", part.count),
            "value": _text(number // LINES % _MOULDS + 1, 2, before="M"),
        }
        _copy(engine, "part_attribute", columns)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE) part_attribute"))


def _images(verdicts: int) -> int:
    return round(verdicts / (1 - 1 / _QUARANTINED + 1 / _JUDGED_AGAIN))


def _models(engine: Engine) -> tuple[ScoringRun, ScoringRun]:
    window = Window(since=UNTIL - timedelta(days=DAYS), until=UNTIL)
    opened = []
    with engine.begin() as connection:
        for version in ("history-1", "history-2"):
            model = models.register_model(
                connection, version=version, artifact_url="", sha256="a" * 64, card={}, **BY_TEST
            )
            opened.append(ScoringRun(run_id=uuid.uuid4(), model=model, window=window))
            runs.open_run(connection, opened[-1], flow_run_id=None)
            runs.close_run(connection, opened[-1].run_id, state="completed", seconds=1.0, backlog=0)
        models.promote_model(connection, "history-1", **BY_TEST)
    return opened[0], opened[1]


def _slices(total: int) -> Iterator[Slice]:
    for first in range(0, total, _ROWS):
        yield Slice(first=first, count=min(_ROWS, total - first), total=total)


def _copy_images(engine: Engine, part: Slice) -> None:
    number = np.arange(part.first, part.first + part.count)
    captured = _captured(part, number)
    keys = _keys(number)
    folder = pc.strftime(captured, format="/%Y/%m/%d/%H/")
    uri = pc.binary_join_element_wise("s3://castings/", keys["line"], folder, keys["part_id"], ".jpg", "")
    etag = _text(number, 32, before="")
    stamp = _timestamp(captured)
    columns = {
        "image_id": pa.array(number + 1),
        "captured_at": stamp,
        "uri": uri,
        "etag": etag,
        **keys,
        "size": pa.repeat(25_000, part.count),
        "stored_at": stamp,
        "discovered_at": stamp,
    }
    _copy(engine, "image", columns)


def _copy_outcomes(engine: Engine, part: Slice, first: ScoringRun, second: ScoringRun) -> None:
    number = np.arange(part.first, part.first + part.count)
    captured = _captured(part, number)
    quarantined = number % _QUARANTINED == 0
    _copy_verdicts(engine, number[~quarantined], captured.filter(pa.array(~quarantined)), first, seed=part.first)
    again = ~quarantined & (number % _JUDGED_AGAIN == 1)
    _copy_verdicts(engine, number[again], captured.filter(pa.array(again)), second, seed=part.first + 1)
    count = int(quarantined.sum())
    when = _timestamp(captured.filter(pa.array(quarantined)))
    _copy(
        engine,
        "quarantine",
        {
            "image_id": pa.array(number[quarantined] + 1),
            "captured_at": when,
            "run_id": pa.repeat(str(first.run_id), count),
            "reason": pa.repeat("blank", count),
            "detail": pa.repeat("all one grey", count),
            "quarantined_at": when,
        },
    )
    labelled = ~quarantined & (number % _LABELLED == 2)
    count = int(labelled.sum())
    when = _timestamp(captured.filter(pa.array(labelled)))
    names = np.where(np.random.default_rng(part.first).random(count) < 0.05, "defective", "ok")
    _copy(
        engine,
        "label",
        {
            "image_id": pa.array(number[labelled] + 1),
            "captured_at": when,
            "label": pa.array(names),
            "who": pa.repeat("inspector", count),
            "labelled_at": when,
        },
    )


def _copy_verdicts(engine: Engine, number: np.ndarray, captured: pa.Array, run: ScoringRun, *, seed: int) -> None:
    random = np.random.default_rng(seed)
    # Lines differ, and each drifts over the year.
    rate = 0.01 + 0.004 * (number % LINES) + 0.01 * np.sin(number / 400_000) ** 2
    defective = random.random(len(number)) < rate
    p_defective = np.round(np.where(defective, random.beta(8, 2, len(number)), random.beta(1, 12, len(number))), 6)
    names = np.where(p_defective > 0.6, "defective", np.where(p_defective > 0.4, "review", "ok"))
    judged = pc.add(captured, pa.array(random.integers(60, 5400, len(number)), pa.duration("s")))
    _copy(
        engine,
        "verdict",
        {
            "image_id": pa.array(number + 1),
            "captured_at": _timestamp(captured),
            "model_id": pa.repeat(run.model.model_id, len(number)),
            "run_id": pa.repeat(str(run.run_id), len(number)),
            "p_defective": pa.array(p_defective),
            "verdict": pa.array(names),
            "sha256": pa.repeat("\\x" + "00" * 32, len(number)),
            "judged_at": _timestamp(judged),
        },
    )


def _keys(number: np.ndarray) -> dict[str, pa.Array]:
    return {
        "line": _text(number % LINES + 1, 2, before="line-"),
        "part_id": _text(number // LINES, 7, before="P"),
    }


def _captured(part: Slice, number: np.ndarray) -> pa.Array:
    """Whole seconds, evenly over the year; images follow one another, so that late ones are the tests' business."""
    start = int((UNTIL - timedelta(days=DAYS)).timestamp())
    return pa.array(start + number * (DAYS * 86_400) // part.total, pa.timestamp("s"))


def _timestamp(moments: pa.Array) -> pa.Array:
    return pc.strftime(moments, format="%Y-%m-%d %H:%M:%S+00")


def _text(number: np.ndarray, width: int, *, before: str) -> pa.Array:
    return pc.binary_join_element_wise(before, pc.utf8_lpad(pa.array(number).cast(pa.string()), width, "0"), "")


def _copy(engine: Engine, table: str, columns: dict[str, pa.Array]) -> None:
    target = io.BytesIO()
    options = csv.WriteOptions(include_header=False, quoting_style="none")
    csv.write_csv(pa.table(columns), target, options)
    with engine.begin() as connection:
        cursor = connection.connection.cursor()
        with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT csv)") as copy:
            copy.write(target.getbuffer())
