"""The report of a plant's history: one page that needs no network, readable on a phone and printed."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from casting_core.evaluation_pictures import thumbnail
from casting_core.history_charts import MOST_LINES, rate_charts, worst_lines
from casting_core.rates import clopper_pearson
from casting_core.report_page import data_address, render_page
from casting_core.wording import percent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, tzinfo

    from casting_core.history_types import History, Totals, WeekHour

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MOST_VALUES = 10
_SIDE = 132


def build_history_report(
    history: History, *, pictures: Mapping[str, bytes], zone: tzinfo, made_at: datetime, link_pictures: bool = False
) -> bytes:
    """Draw the page as HTML. `pictures` holds the content of the worst parts' pictures by uri.

    A picture that is missing or cannot be opened is left out, its part is not. With `link_pictures` the page names each
    picture's address instead of holding a copy.
    """
    page = render_page(
        "history.html",
        history=history,
        zone=zone,
        made_at=made_at,
        period=_period(history, zone),
        headlines=_headlines(history),
        answer=_answer(history.totals, history.before),
        charts=[data_address(chart, "png") for chart in rate_charts(history, zone=zone)] if history.points else [],
        lines_left_out=worst_lines(history.points)[MOST_LINES:],
        paretos=_paretos(history),
        week=_week(history.week),
        weekdays=_WEEKDAYS,
        worst=[
            {"part": part, "picture": part.uri if link_pictures else _embedded(pictures.get(part.uri))}
            for part in history.worst
        ],
        linked=link_pictures,
        percent=percent,
    )
    return page.encode()


def _answer(now: Totals, before: Totals) -> str:
    """What happened to the rate, in a sentence that chance cannot have written."""
    if now.rate is None:
        return "No part was inspected in this time."
    if before.rate is None:
        return f"{percent(now.rate)} of the parts were defective; there is nothing before to compare with."
    this, last = (clopper_pearson(each.defective, each.inspected) for each in (now, before))
    if this.low > last.high:
        word = "rose"
    elif this.high < last.low:
        word = "fell"
    else:
        return (
            f"{percent(now.rate)} of the parts were defective, {percent(before.rate)} in the period before: "
            "no difference that chance could not make."
        )
    return f"The defect rate {word} from {percent(before.rate)} to {percent(now.rate)}, more than chance would do."


def _headlines(history: History) -> list[tuple[str, str, str]]:
    """Name, value and value of the period before."""
    now, before = history.totals, history.before
    return [
        ("parts inspected", f"{now.inspected:,}", f"{before.inspected:,}"),
        ("defect rate (95 % interval)", _with_interval(now), _with_interval(before)),
        ("defective parts", f"{now.defective:,}", f"{before.defective:,}"),
        ("first-pass yield", _share(now.ok, now.inspected), _share(before.ok, before.inspected)),
        ("parts for review", f"{now.review:,}", f"{before.review:,}"),
        ("pictures not judged", f"{now.quarantined:,}", f"{before.quarantined:,}"),
        ("pictures still waiting", f"{now.backlog:,}", f"{before.backlog:,}"),
    ]


def _with_interval(totals: Totals) -> str:
    if totals.rate is None:
        return "none"
    interval = clopper_pearson(totals.defective, totals.inspected)
    return f"{percent(totals.rate)} ({percent(interval.low)} to {percent(interval.high)})"


def _share(count: int, of: int) -> str:
    return f"{100 * count / of:.1f}\N{NO-BREAK SPACE}%" if of else "none"


def _paretos(history: History) -> list[dict[str, Any]]:
    """By dimension, the values with most defective parts."""
    paretos = []
    for dimension, rows in groupby(history.pareto, key=lambda row: row.dimension):
        values = list(rows)
        if sum(row.defective for row in values) == 0:
            continue
        most = values[0].defective
        shown = [
            {
                "row": row,
                "bar": 100 * row.defective / most,
                "rate": percent(row.defective / row.inspected),
                "cumulative": f"{100 * (row.cumulative_share or 0):.0f}\N{NO-BREAK SPACE}%",
            }
            for row in values[:_MOST_VALUES]
        ]
        paretos.append({"dimension": dimension, "rows": shown, "left_out": max(len(values) - _MOST_VALUES, 0)})
    return paretos


def _week(week: tuple[WeekHour, ...]) -> list[dict[str, Any]]:
    """A row for each hour of the day: by weekday the rate, and how dark its cell is, 0 to 1."""
    cells = {(each.hour, each.weekday): each for each in week}
    rates = [each.defective / each.inspected for each in week]
    highest = max(rates, default=0) or 1
    rows = []
    for hour in sorted({each.hour for each in week}):
        row = []
        for weekday in range(1, 8):
            cell = cells.get((hour, weekday))
            rate = cell.defective / cell.inspected if cell else None
            row.append(
                None
                if cell is None or rate is None
                else {"rate": percent(rate), "parts": cell.inspected, "shade": round(rate / highest, 3)}
            )
        rows.append({"hour": f"{hour:02d}", "cells": row})
    return rows


def _period(history: History, zone: tzinfo) -> str:
    since, until = (moment.astimezone(zone) for moment in (history.window.since, history.window.until))
    return f"{since:%d %b %Y %H:%M} to {until:%d %b %Y %H:%M}"


def _embedded(content: bytes | None) -> str | None:
    if content is None:
        return None
    try:
        return data_address(thumbnail(content, side=_SIDE), "jpeg")
    except OSError:  # what the gate let through once may be overwritten since
        return None
