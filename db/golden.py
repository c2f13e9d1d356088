"""The golden set: which pictures models are compared on. What is in it stays in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from casting_core.registry_types import GoldenImage
from db.schema import golden_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection


def golden_images(connection: Connection) -> list[GoldenImage]:
    """Return the golden set, by casting."""
    rows = connection.execute(select(golden_image).order_by(golden_image.c.casting, golden_image.c.uri))
    return [
        GoldenImage(sha256=row.sha256.hex(), uri=row.uri, label=row.label, casting=row.casting, part_id=row.part_id)
        for row in rows
    ]


def freeze_golden(connection: Connection, images: Sequence[GoldenImage]) -> None:
    """Add pictures to the golden set; one that is in it already stays as it is."""
    if not images:
        return
    connection.execute(
        insert(golden_image).on_conflict_do_nothing(index_elements=["sha256"]),
        [
            {
                "sha256": bytes.fromhex(image.sha256),
                "uri": image.uri,
                "label": image.label,
                "casting": image.casting,
                "part_id": image.part_id,
            }
            for image in images
        ],
    )
