"""What people say of images: recorded for ever, the newest counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from casting_core.registry_types import CurrentLabel, LabelsAdded
from casting_core.types import ImageId
from db.errors import UnknownImages
from db.queries import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from casting_core.registry_types import GivenLabel

_SHOWN = 5


def add_labels(connection: Connection, labels: Sequence[GivenLabel]) -> LabelsAdded:
    """Record labels, each of another image; what is known already is not recorded twice.

    Where a picture was overwritten, its newest image is meant. Raises UnknownImages, and then records nothing.
    """
    if not labels:
        return LabelsAdded(added=0, changed=0, unchanged=0)
    # Two who record the same file at once would not see one another's rows.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('casting.labels'))"))
    rows = connection.execute(load("newest_images"), {"uris": [given.uri for given in labels]})
    images = {row.uri: (row.image_id, row.captured_at) for row in rows}
    _refuse_unknown([given.uri for given in labels if given.uri not in images])
    written = connection.execute(
        load("insert_labels"),
        {
            "image_ids": [images[given.uri][0] for given in labels],
            "captured_ats": [images[given.uri][1] for given in labels],
            "labels": [given.label for given in labels],
            "whos": [given.who for given in labels],
            "whys": [given.why for given in labels],
            "labelled_ats": [given.labelled_at for given in labels],
        },
    )
    changed = written.scalars().all()
    return LabelsAdded(added=len(changed), changed=sum(changed), unchanged=len(labels) - len(changed))


def current_labels(connection: Connection, *, line: str | None = None, most: int | None = None) -> list[CurrentLabel]:
    """Return the label that counts for each labelled image, the newest first."""
    rows = connection.execute(load("current_labels"), {"line": line, "most": most})
    return [
        CurrentLabel(
            image_id=ImageId(row.image_id),
            captured_at=row.captured_at,
            uri=row.uri,
            etag=row.etag,
            line=row.line,
            part_id=row.part_id,
            label=row.label,
            who=row.who,
            why=row.why,
            labelled_at=row.labelled_at,
        )
        for row in rows
    ]


def _refuse_unknown(uris: list[str]) -> None:
    if uris:
        more = f" and {len(uris) - _SHOWN} more" if len(uris) > _SHOWN else ""
        raise UnknownImages(
            f"{len(uris)} labels are for images that no run has discovered: {', '.join(uris[:_SHOWN])}{more}. "
            "Nothing was recorded. Correct the names, or let the hourly job find the images first (casting score).",
            uris=tuple(uris),
        )
