"""The monthly partitions of images, verdicts, quarantine and parts."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from sqlalchemy import text

from db.queries import load

if TYPE_CHECKING:
    from sqlalchemy import Connection

# The flow may be switched off for a while; and the writer makes a month that is missing.
_AHEAD = 2


def make_ahead(connection: Connection, *, now: datetime) -> list[str]:
    """Make sure that the month (UTC) of `now` and the two after it have partitions; return these months."""
    month = now.astimezone(UTC).date().replace(day=1)
    ready = []
    for _ in range(1 + _AHEAD):
        connection.execute(text("SELECT ensure_month(:moment)"), {"moment": starts_at(month)})
        ready.append(f"{month:%Y-%m}")
        month = following(month)
    return ready


def unarchived(connection: Connection) -> list[date]:
    """The first days of the months that hold images or roll-ups, the oldest first; archived ones are left out."""
    return list(connection.execute(load("unarchived_months")).scalars())


def following(month: date) -> date:
    """The first day of the next month."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def starts_at(month: date) -> datetime:
    """The moment at which a month begins."""
    return datetime(month.year, month.month, 1, tzinfo=UTC)
