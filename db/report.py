"""Reads the history of a window for a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casting_core.history_types import (
    ChartPoint,
    History,
    ModelInUse,
    ParetoRow,
    PastAlert,
    Totals,
    WeekHour,
    WorstPart,
)
from casting_core.types import Window
from db.queries import load

if TYPE_CHECKING:
    from sqlalchemy import Connection


def read_history(
    connection: Connection, window: Window, *, line: str | None = None, zone: str = "UTC", worst: int = 24
) -> History:
    """Read what a report shows of a window, of one line or of all, with the totals of as long a time before it.

    `zone` is the time zone of weekdays and hours; `worst` is how many parts that look defective are wanted.
    """
    scope = {"since": window.since, "until": window.until, "line": line}
    before = Window(since=window.since - (window.until - window.since), until=window.since)
    points = connection.execute(load("report_points"), scope)
    pareto = connection.execute(load("report_pareto"), scope)
    week = connection.execute(load("report_week"), scope | {"zone": zone})
    parts = connection.execute(load("report_worst"), scope | {"most": worst})
    alerts = connection.execute(load("report_alerts"), scope)
    reasons = connection.execute(load("report_reasons"), scope)
    models = connection.execute(load("report_models"), scope)
    return History(
        window=window,
        line=line,
        totals=_totals(connection, window, line),
        before=_totals(connection, before, line),
        points=tuple(ChartPoint(**row._mapping) for row in points),  # noqa: SLF001 - its public name
        pareto=tuple(ParetoRow(**row._mapping) for row in pareto),  # noqa: SLF001
        week=tuple(WeekHour(**row._mapping) for row in week),  # noqa: SLF001
        worst=tuple(WorstPart(**row._mapping) for row in parts),  # noqa: SLF001
        alerts=tuple(PastAlert(**row._mapping) for row in alerts),  # noqa: SLF001
        reasons=tuple((row.reason, row.pictures) for row in reasons),
        models=tuple(ModelInUse(**row._mapping) for row in models),  # noqa: SLF001
    )


def _totals(connection: Connection, window: Window, line: str | None) -> Totals:
    scope = {"since": window.since, "until": window.until, "line": line}
    return Totals(**connection.execute(load("report_totals"), scope).one()._mapping)  # noqa: SLF001
