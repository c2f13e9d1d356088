"""What Postgres' planner knows of the tables that runs fill, brought up to date where they have changed much."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from db.queries import load

if TYPE_CHECKING:
    from sqlalchemy import Engine


def refresh(engine: Engine) -> list[str]:
    """Analyse those tables of this user that have changed much since they last were, and return their names.

    Autovacuum does so once a minute. Until then the planner takes a month that has just begun for empty, and a join of
    it compares every row with every other: seconds for ten thousand images.
    """
    with engine.begin() as connection:
        tables: list[str] = list(connection.execute(load("changed_tables")).scalars())
        for table in tables:
            # One that another run is analysing needs no second time.
            connection.execute(text(f"ANALYZE (SKIP_LOCKED) {table}"))
    return tables
