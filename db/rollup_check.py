"""The proof that the roll-ups are right: everything is counted again, month by month, another way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from db import months
from db.queries import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date, datetime

    from sqlalchemy import Engine

_SUBJECT = {"line", "hour"}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """An hour of a line whose roll-up is wrong: what the views show, and what a recount gives, by column."""

    line: str
    hour: datetime
    shown: dict[str, Any]
    counted: dict[str, Any]

    def __str__(self) -> str:
        """One line for people."""
        if not self.counted:
            told = "there are no images of it"
        elif not self.shown:
            told = "it is missing"
        else:
            told = ", ".join(f"{name} {self.shown[name]}, should be {self.counted[name]}" for name in self.shown)
        return f"{self.line}, {self.hour:%Y-%m-%d %H}:00 UTC: {told}"


def check_rollups(engine: Engine, *, since: date | None = None) -> Iterator[Difference]:
    """Compare the views with a recount, month by month; yield every hour that differs.

    Months before that of `since` are left out. Writers and refreshes may run meanwhile: a month is one statement.
    """
    with engine.connect() as connection:
        todo = [month for month in months.unarchived(connection) if since is None or month >= since.replace(day=1)]
    for month in todo:
        with engine.connect() as connection:
            # Hashes and sorts of a month in memory, as far as that goes.
            connection.execute(text("SET LOCAL work_mem = '64MB'"))
            bounds = {"since": months.starts_at(month), "until": months.starts_at(months.following(month))}
            for row in connection.execute(load("recount_hours"), bounds):
                yield _difference(row.line, row.hour, row.shown or {}, row.counted or {})


def _difference(line: str, hour: datetime, shown: dict[str, Any], counted: dict[str, Any]) -> Difference:
    wrong = [name for name in (shown or counted) if name not in _SUBJECT and shown.get(name) != counted.get(name)]
    return Difference(
        line=line,
        hour=hour,
        shown={name: shown[name] for name in wrong if shown},
        counted={name: counted[name] for name in wrong if counted},
    )
