"""Known images: what is new, what is backlog, and who may judge what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from casting_core.types import ClaimedImage, ImageChunk, ImageId, ModelId, ScoringRun, StoredImage, Window
from db.queries import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection


@dataclass(frozen=True, kw_only=True)
class UnjudgedImages:
    """Images that have no outcome by any model: how many, of which lines, and the window they were captured in."""

    count: int
    lines: tuple[str, ...]
    window: Window


def known_images(
    connection: Connection, *, captured_from: datetime, captured_until: datetime, line: str | None
) -> set[tuple[str, str]]:
    """Return `(uri, etag)` of every known image captured in that stretch of time."""
    rows = connection.execute(
        load("known_images"), {"captured_from": captured_from, "captured_until": captured_until, "line": line}
    )
    return {(uri, etag) for uri, etag in rows}


def insert_images(connection: Connection, images: Sequence[StoredImage]) -> int:
    """Make images known and return how many were new. Makes the partitions of their months where they are missing."""
    if not images:
        return 0
    # Ordered alike in every run: two runs that insert the same new images then wait for one another, not in a circle.
    images = sorted(images, key=lambda image: (image.uri, image.etag))
    months = {image.captured_at.astimezone(UTC).strftime("%Y-%m"): image.captured_at for image in images}
    for moment in months.values():
        connection.execute(text("SELECT ensure_month(:moment)"), {"moment": moment})
    result = connection.execute(
        load("insert_images"),
        {
            "uris": [image.uri for image in images],
            "etags": [image.etag for image in images],
            "sizes": [image.size for image in images],
            "lines": [image.line for image in images],
            "part_ids": [image.part_id for image in images],
            "views": [image.view for image in images],
            "captured_ats": [image.captured_at for image in images],
            "stored_ats": [image.stored_at for image in images],
        },
    )
    return result.rowcount


def backlog_chunks(connection: Connection, run: ScoringRun, *, chunk_size: int) -> list[ImageChunk]:
    """Cut the run's backlog into chunks of at most `chunk_size` images, oldest first."""
    rows = connection.execute(load("backlog"), _scope(run)).all()
    chunks = []
    for start in range(0, len(rows), chunk_size):
        chunk = rows[start : start + chunk_size]
        chunks.append(
            ImageChunk(
                image_ids=tuple(ImageId(row.image_id) for row in chunk),
                captured_from=chunk[0].captured_at,
                captured_to=chunk[-1].captured_at,
            )
        )
    return chunks


def count_backlog(connection: Connection, run: ScoringRun) -> int:
    """Count the run's backlog as it is now."""
    query = text(f"SELECT count(*) FROM ({load('backlog')}) AS backlog")  # noqa: S608 - both halves are ours
    return int(connection.execute(query, _scope(run)).scalar_one())


def unjudged_images(connection: Connection, window: Window) -> UnjudgedImages | None:
    """Find what was never judged in a window, whoever is champion now; None where nothing was left."""
    row = connection.execute(load("unjudged_images"), {"since": window.since, "until": window.until}).one()
    if not row.images:
        return None
    captured_in = Window(since=row.captured_from, until=row.captured_to + timedelta(microseconds=1))
    return UnjudgedImages(count=row.images, lines=tuple(row.lines), window=captured_in)


def claim_images(connection: Connection, chunk: ImageChunk, *, model_id: ModelId) -> list[ClaimedImage]:
    """Take those images of a chunk that no other transaction holds and that have no outcome by this model.

    The claim is a row lock: it ends with the caller's transaction, by commit, rollback or death.
    """
    bounds = {"captured_from": chunk.captured_from, "captured_to": chunk.captured_to}
    locked = connection.execute(load("claim_images"), {"image_ids": list(chunk.image_ids), **bounds}).scalars().all()
    rows = connection.execute(load("still_unjudged"), {"image_ids": list(locked), "model_id": model_id, **bounds})
    return [
        ClaimedImage(
            image_id=ImageId(row.image_id), captured_at=row.captured_at, uri=row.uri, etag=row.etag, size=row.size
        )
        for row in rows
    ]


def _scope(run: ScoringRun) -> dict[str, Any]:
    return {
        "since": run.window.since,
        "until": run.window.until,
        "lines": list(run.lines),
        "model_id": run.model.model_id,
    }
