"""The defect rate of a plant over time, line below line, with control limits and alerts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from casting_core.charting import LETTERS, PANEL_INCHES, as_png, dress, in_percent, label_axes
from casting_core.palette import INK, PAPER, QUIET, VERDICT_COLORS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, tzinfo

    from matplotlib.axes import Axes

    from casting_core.history_types import ChartPoint, History, PastAlert

_HOUR = timedelta(hours=1)
# More panels would be a page of their own; the lines with most defective parts come first.
MOST_LINES = 8
_A_PICTURE = 3
_DPI, _PANEL_HEIGHT = 130, 2.3
_AIR = 0.03
# Above the highest limit, so that one hour of three parts does not flatten the rest.
_ROOM = 1.25


def rate_charts(history: History, *, zone: tzinfo) -> list[bytes]:
    """Draw the hourly defect rate of each line, its centre, upper limit and alerts, as PNGs about 900 pixels wide.

    Three lines a picture, so that each fits on a printed page with something beside it; all over the same time.
    """
    lines = worst_lines(history.points)[:MOST_LINES]
    span = _span(history, lines)
    return [
        _chart(history, lines[start : start + _A_PICTURE], span, zone) for start in range(0, len(lines), _A_PICTURE)
    ]


def _span(history: History, lines: Sequence[str]) -> tuple[datetime, datetime]:
    """From the first hour or alert to the last, with some air. At least one line has a point."""
    hours = [point.hour for point in history.points if point.line in lines]
    opened = [alert.opened_at for alert in history.alerts if alert.line in {None, *lines}]
    first, last = min([*hours, *opened]), max([*(hour + _HOUR for hour in hours), *opened])
    return first - _AIR * (last - first), last + _AIR * (last - first)


def _chart(history: History, lines: Sequence[str], span: tuple[datetime, datetime], zone: tzinfo) -> bytes:
    height = len(lines) * _PANEL_HEIGHT + 0.5
    figure = Figure(figsize=(PANEL_INCHES * 1.35, height), dpi=_DPI, facecolor=PAPER)
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))
    panels = list(figure.subplots(len(lines), 1, squeeze=False, sharex=True)[:, 0])
    for axes, line in zip(panels, lines, strict=True):
        dress(axes)
        _draw_line(axes, [point for point in history.points if point.line == line])
        for alert in history.alerts:
            if alert.line in (line, None):
                _mark_alert(axes, alert)
        label_axes(axes, title=line)
    limits: Any = span
    panels[-1].set_xlim(*limits)
    _date(panels[-1], zone)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside upper left", ncols=4, fontsize=LETTERS - 2, frameon=False, labelcolor=INK
    )
    return as_png(figure)


def worst_lines(points: Sequence[ChartPoint]) -> list[str]:
    """The lines of some points, those with most defective parts first."""
    defective: dict[str, int] = {}
    for point in points:
        defective[point.line] = defective.get(point.line, 0) + point.defective
    return sorted(defective, key=lambda line: (-defective[line], line))


def _draw_line(axes: Axes, points: Sequence[ChartPoint]) -> None:
    hours: Any = [point.hour + _HOUR / 2 for point in points]
    rates = [point.defective / point.inspected for point in points]
    limits = [point.upper_limit for point in points]
    steps: Any = _with_gaps(points)
    heights = [point.upper_limit if point else float("nan") for _, point in steps]
    usual = [point.centre if point else float("nan") for _, point in steps]
    axes.plot([at for at, _ in steps], heights, color=VERDICT_COLORS["defective"], linewidth=0.9, label="limit")
    axes.plot([at for at, _ in steps], usual, color=QUIET, linewidth=1.2, label="usual")
    axes.plot(hours, rates, ".", color=VERDICT_COLORS["ok"], markersize=4, label="rate of an hour")
    beyond = [index for index, point in enumerate(points) if point.out_of_control]
    axes.plot(
        [hours[index] for index in beyond],
        [rates[index] for index in beyond],
        "o",
        color=VERDICT_COLORS["defective"],
        markersize=6,
        zorder=3,
        label="beyond the limit",
    )
    usual_limit = sorted(limits)[len(limits) // 2]
    highest = max([usual_limit, *(rates[index] for index in beyond)])
    axes.set_ylim(0, max(highest * _ROOM, 0.002))
    in_percent(axes, "y")


def _with_gaps(points: Sequence[ChartPoint]) -> list[tuple[datetime, ChartPoint | None]]:
    """Begin and end of each hour with its point, and a None wherever hours without parts lie between."""
    steps: list[tuple[datetime, ChartPoint | None]] = []
    for point in points:
        if steps and point.hour > steps[-1][0]:
            steps.append((point.hour, None))
        steps += [(point.hour, point), (point.hour + _HOUR, point)]
    return steps


def _mark_alert(axes: Axes, alert: PastAlert) -> None:
    opened: Any = alert.opened_at
    axes.axvline(opened, color=INK, linewidth=1.2, linestyle=":")
    place: Any = (opened, 1.01)
    axes.annotate(
        str(alert.alert_id), place, xycoords=("data", "axes fraction"), fontsize=LETTERS - 2, ha="center", color=INK
    )


def _date(axes: Axes, zone: tzinfo) -> None:
    locator = AutoDateLocator(tz=zone)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))
