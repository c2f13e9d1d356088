"""Verdicts written a second into the embedded database, in chunks of the usual size, commits included."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from casting_core.types import Judgement, Prediction, ScoringRun, StoredImage, Window
from db import runs
from db.images import backlog_chunks, claim_images, insert_images
from db.models import champion
from db.verdicts import write_judgements
from flows.benchmark import UNTIL
from tests.benchmarks import plant

if TYPE_CHECKING:
    from pathlib import Path

_ROWS = 50_000
_NAIVE_ROWS = 2_000


def run(folder: Path, *, images: int) -> dict[str, Any]:
    """Claim and write 50,000 verdicts; beside it one INSERT and commit a row."""
    resources = plant.open_plant(folder, architecture="squeezenet1_1")
    window = Window(since=UNTIL - timedelta(hours=48), until=UNTIL)
    with resources.engine.begin() as connection:
        model = champion(connection)
        scoring_run = ScoringRun(run_id=uuid.uuid4(), model=model, window=window)
        runs.open_run(connection, scoring_run, flow_run_id=None)
        started = time.perf_counter()
        insert_images(connection, stored_images(window, _ROWS))
        inserting = time.perf_counter() - started
    with resources.engine.begin() as connection:
        connection.execute(text("ANALYZE image"))
        chunks = backlog_chunks(connection, scoring_run, chunk_size=resources.settings.chunk_size)
    claiming = writing = committing = 0.0
    for chunk in chunks:
        with resources.engine.connect() as connection, connection.begin() as transaction:
            started = time.perf_counter()
            claimed = claim_images(connection, chunk, model_id=model.model_id)
            judgements = [
                Judgement(image=image, outcome=Prediction(p_defective=0.1, verdict="ok"), sha256=bytes(32))
                for image in claimed
            ]
            claiming += time.perf_counter() - started
            started = time.perf_counter()
            write_judgements(connection, scoring_run, judgements)
            runs.count_judgements(connection, scoring_run.run_id, judgements)
            writing += time.perf_counter() - started
            started = time.perf_counter()
            transaction.commit()
            committing += time.perf_counter() - started
    with resources.engine.begin() as connection:
        written = connection.execute(text("SELECT count(*) FROM verdict")).scalar_one()
    return {
        "verdicts written": written,
        "chunk": resources.settings.chunk_size,
        "writing, rows/s": written / (writing + committing),
        "claiming and writing, rows/s": written / (claiming + writing + committing),
        "making images known, rows/s": _ROWS / inserting,
        "one INSERT and commit a row, rows/s": _naive(resources),
    }


def stored_images(window: Window, count: int, *, prefix: str = "s3://castings") -> list[StoredImage]:
    """Images of a window as a listing would show them."""
    return [
        StoredImage(
            uri=f"{prefix}/line-{number % 2}/P{number:07d}.jpg",
            etag=f"{number:032x}",
            size=25_000,
            line=f"line-{number % 2}",
            part_id=f"P{number:07d}",
            view="",
            captured_at=window.since + timedelta(hours=number % 47),
            stored_at=window.until,
        )
        for number in range(count)
    ]


def _naive(resources: Any) -> float:
    with resources.engine.connect() as connection:
        connection.execute(text("CREATE TABLE naive (image bigint PRIMARY KEY, p double precision, verdict text)"))
        connection.commit()
        started = time.perf_counter()
        for number in range(_NAIVE_ROWS):
            connection.execute(text("INSERT INTO naive VALUES (:n, 0.1, 'ok')"), {"n": number})
            connection.commit()
        return _NAIVE_ROWS / (time.perf_counter() - started)
