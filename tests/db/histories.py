"""Writes whole histories at once: pictures, and what became of each."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from casting_core.types import ScoringRun, StoredImage, Window
from db import images, models, runs
from db.schema import metadata
from tests.db.builders import BY, SHA256

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture; by model, its verdict and p_defective; what people say; or why it was set aside."""

    line: str
    part_id: str
    captured_at: datetime
    view: str = ""
    verdicts: dict[str, tuple[str, float]] = field(default_factory=dict)
    label: str | None = None
    quarantine: str | None = None
    etag: str = ""


def open_model(connection: Connection, version: str, *, window: Window, promote=False, card=None) -> ScoringRun:
    """Register a model and open a run of it."""
    model = models.register_model(
        connection, version=version, artifact_url=f"file:///models/{version}", sha256="a" * 64, card=card or {}, **BY
    )
    run = ScoringRun(run_id=uuid.uuid4(), model=model, window=window)
    runs.open_run(connection, run, flow_run_id=None)
    if promote:
        models.promote_model(connection, version, **BY)
    return run


def write_pictures(
    connection: Connection,
    pictures: list[Picture],
    runs_of: dict[str, ScoringRun],
    *,
    lag=timedelta(minutes=40),
    root="s3://castings",
) -> list[int]:
    """Write pictures and their outcomes; return the images' ids in the order given."""
    stored = [
        StoredImage(
            uri=f"{root}/{each.line}/{each.captured_at:%Y/%m/%d/%H}/{each.part_id}__{each.view}.jpg",
            etag=each.etag or f"e{number}",
            size=25_000,
            line=each.line,
            part_id=each.part_id,
            view=each.view,
            captured_at=each.captured_at,
            stored_at=each.captured_at,
        )
        for number, each in enumerate(pictures)
    ]
    images.insert_images(connection, stored)
    found = connection.execute(text("SELECT uri, etag, image_id FROM image"))
    ids = {(uri, etag): image_id for uri, etag, image_id in found}
    numbered = [(ids[image.uri, image.etag], each) for image, each in zip(stored, pictures, strict=True)]
    _write(
        connection,
        "INSERT INTO verdict (image_id, captured_at, model_id, run_id, p_defective, verdict, sha256, judged_at)",
        [
            (
                *(image_id, each.captured_at, runs_of[version].model.model_id, runs_of[version].run_id),
                *(p_defective, verdict, SHA256, each.captured_at + lag),
            )
            for image_id, each in numbered
            for version, (verdict, p_defective) in each.verdicts.items()
        ],
        ["bigint", "timestamptz", "bigint", "uuid", "double precision", "text", "bytea", "timestamptz"],
    )
    _write(
        connection,
        "INSERT INTO quarantine (image_id, captured_at, run_id, reason, detail)",
        [
            (image_id, each.captured_at, next(iter(runs_of.values())).run_id, each.quarantine, "said the test")
            for image_id, each in numbered
            if each.quarantine
        ],
        ["bigint", "timestamptz", "uuid", "text", "text"],
    )
    _write(
        connection,
        "INSERT INTO label (image_id, captured_at, label, who, labelled_at)",
        [
            (image_id, each.captured_at, each.label, "inspector", each.captured_at)
            for image_id, each in numbered
            if each.label
        ],
        ["bigint", "timestamptz", "text", "text", "timestamptz"],
    )
    return [image_id for image_id, _ in numbered]


def roll_up(connection: Connection) -> None:
    """Roll up a history that has none yet, all of it in a few statements of the test's own transaction."""
    for table, view in (
        ("part", "recounted_part"),
        ("part_hour", "recounted_hour"),
        # While nothing is rolled up, this shows a recount of all.
        ("attribute_hour", "line_attribute_hour"),
    ):
        columns = ", ".join(metadata.tables[table].columns.keys())
        connection.execute(text(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {view}"))  # noqa: S608
    connection.execute(text("DELETE FROM rollup_stale"))


def _write(connection: Connection, insert: str, rows: list[tuple], types: list[str]) -> None:
    if not rows:
        return
    arrays = ", ".join(f"CAST(:c{number} AS {each}[])" for number, each in enumerate(types))
    columns = {f"c{number}": list(column) for number, column in enumerate(zip(*rows, strict=True))}
    connection.execute(text(f"{insert} SELECT * FROM unnest({arrays})"), columns)  # noqa: S608 - our own words
