"""The lines of a plant: whatever has sent pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from db.queries import load

if TYPE_CHECKING:
    from sqlalchemy import Connection


def known_lines(connection: Connection) -> list[str]:
    """The lines that have sent pictures, by name."""
    return [str(line) for line in connection.execute(load("known_lines")).scalars()]
