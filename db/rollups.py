"""Roll-ups: a row a part, a line and hour, and an attribute's value beside it, recounted where something changed.

What they are and how marks work stands at the top of `migrations/versions/0004_history.sql`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from db.queries import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Engine, Row

# A transaction's worth: a re-score of years must neither lose all its work to an interruption nor hold one snapshot.
_LINE_DAYS = 50


def refresh(engine: Engine) -> int:
    """Recount the line-days that changed, newest first; return how many. Safe to call from many processes at once.

    What is marked while it runs is left to the next call. Interrupted, it has done what it committed.
    """
    with engine.begin() as connection:
        _alone(connection)
        connection.execute(load("spread_champion_marks"))
        due = int(connection.execute(text("SELECT count(*) FROM stale_line_day")).scalar_one())
    done = 0
    while done < due:
        with engine.begin() as connection:
            _alone(connection)
            refreshed = _refresh_some(connection, most=min(_LINE_DAYS, due - done))
        if not refreshed:  # another process was quicker
            break
        done += refreshed
    return done


def mark_all(connection: Connection) -> None:
    """Mark every line-day for a recount: for a roll-up that turned out wrong."""
    line_days = "SELECT DISTINCT line, (captured_at AT TIME ZONE 'UTC')::date FROM image"
    connection.execute(text(f"INSERT INTO rollup_stale (line, day) {line_days}"))


def _alone(connection: Connection) -> None:
    """Wait until no other refresh is under way, and let none begin before this transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('casting.rollups'))"))


def _refresh_some(connection: Connection, *, most: int) -> int:
    stale = connection.execute(load("stale_line_days"), {"most": most}).all()
    _recount(connection, stale)
    return len(stale)


def _recount(connection: Connection, stale: Sequence[Row[Any]]) -> None:
    for row in stale:
        line_day = {"line": row.line, "day": row.day}
        connection.execute(load("refresh_parts"), line_day)
        connection.execute(load("refresh_hours"), line_day)
        connection.execute(load("refresh_attributes"), line_day)
        # Only the marks seen before the count: what committed since has left another.
        connection.execute(text("DELETE FROM rollup_stale WHERE mark_id = ANY (:marks)"), {"marks": row.mark_ids})
