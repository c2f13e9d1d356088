"""The figures that monitoring asks for, as the database knows them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from db.deliveries import NEVER
from db.queries import load

if TYPE_CHECKING:
    from sqlalchemy import Connection


def read_metrics(connection: Connection) -> dict[str, dict[str, float]]:
    """Return figure -> label -> value; the label is '' where a figure is one number. See `queries/metrics.sql`."""
    figures: dict[str, dict[str, float]] = defaultdict(dict)
    for row in connection.execute(load("metrics"), {"never": NEVER}):
        figures[row.figure][row.label] = float(row.value)
    return dict(figures)
