"""What lies in the bucket becomes known to the database: how every run, and the nightly upkeep, begin."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from casting_core.discovery import discover
from db.images import insert_images, known_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from casting_core.types import Window
    from flows.resources import Resources


@dataclass(kw_only=True)
class Discovered:
    """What a window held that was not known: `images` are known now. The rest as in `casting_core.discovery.Found`."""

    images: int = 0
    unmatched: list[str] = field(default_factory=list)
    unsettled: int = 0


def make_known(
    connection: Connection, resources: Resources, *, window: Window, lines: Sequence[str] = ()
) -> Discovered:
    """Make a window's new images known, folder by folder, each committed at once. Raises what ObjectStore raises."""
    made = Discovered()
    for found in discover(
        resources.store,
        resources.layout,
        window=window,
        known=lambda **stretch: known_images(connection, **stretch),
        lines=lines,
        settled_before=_settled_before(resources),
    ):
        made.images += insert_images(connection, found.images)
        connection.commit()
        made.unmatched += found.unmatched
        made.unsettled += found.unsettled
    return made


def _settled_before(resources: Resources) -> datetime | None:
    if resources.store.writes_are_atomic:
        return None
    return datetime.now(tz=UTC) - timedelta(seconds=resources.settings.settle_seconds)
