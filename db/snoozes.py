"""Lines whose alerts nobody wants to hear of for a while: the alerts live on, their messages wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, insert, select, update

from db.queries import load
from db.schema import snooze

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection


def set_snooze(connection: Connection, line: str, *, until: datetime, who: str, why: str) -> None:
    """Hold back messages about a line ('' for all lines) until a time."""
    connection.execute(insert(snooze).values(line=line, until=until, who=who, why=why))


def end_snoozes(connection: Connection, line: str) -> int:
    """End the snoozes of a line ('' for those of all lines) now, and let go what they held; return how many ended."""
    over = update(snooze).where(
        snooze.c.line == line, snooze.c.since < func.clock_timestamp(), snooze.c.until > func.clock_timestamp()
    )
    ended = connection.execute(over.values(until=func.clock_timestamp())).rowcount
    if ended:
        connection.execute(load("release_snoozed"), {"line": line})
    return ended


def snoozed_until(connection: Connection, line: str) -> datetime | None:
    """When the snooze of a line ends, or None where there is none. A snooze of '' holds for every line."""
    latest = select(func.max(snooze.c.until)).where(
        snooze.c.line.in_([line, ""]), snooze.c.since <= func.now(), snooze.c.until > func.now()
    )
    until: datetime | None = connection.execute(latest).scalar_one()
    return until
