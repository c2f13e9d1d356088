"""The chart picture of an alert: the rate over time with its limits, and below it the CUSUM that gave the alarm.

Drawn for a phone: a square of 1080 pixels, large letters, one thing to see at a time.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import HOURLY, AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from casting_core.control_charts import p_chart
from casting_core.errors import InvalidInput
from casting_core.wording import percent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from casting_core.alert_types import Onset

_INK, _QUIET, _PAPER, _RATE, _ALARM = "#1d2226", "#8a939a", "#f6f5f2", "#2f7d78", "#c8442b"
_SIDE_INCHES, _DPI = 7.2, 150
_LETTERS = 13
_TITLE_WIDTH = 50
_HEADROOM = 1.1
_HOUR = timedelta(hours=1)
# A rate of a few parts jumps between nothing and a lot: hours are put together until their rate is one of so many.
_LEAST_PARTS = 30
_HOURS_TOGETHER = (1, 2, 4, 8, 12, 24)


@dataclass(frozen=True, kw_only=True)
class ChartHistory:
    """What a chart shows of a stream: its parts in order, and the statistic after each.

    `times`, `outcomes` and `statistic` are of one length [parts], possibly 0. Outcomes lie in [0, 1], 1 for defective.
    `statistic` and `limit` are in the chart's own units, NaN where the chart waits for the recovery after an alarm;
    without a CUSUM both are left out.
    """

    times: tuple[datetime, ...]
    outcomes: tuple[float, ...]
    baseline: float
    statistic: tuple[float, ...] = field(default=())
    limit: float | None = None
    onset: Onset | None = None

    def __post_init__(self) -> None:
        sizes = {len(self.times), len(self.outcomes)} | ({len(self.statistic)} if self.limit is not None else set())
        if len(sizes) != 1:
            raise InvalidInput(
                f"a chart needs one time, outcome and statistic for each part, got {len(self.times)}, "
                f"{len(self.outcomes)} and {len(self.statistic)}"
            )
        if self.limit is not None and not self.limit > 0:
            raise InvalidInput(f"the limit of a chart is a positive number, got {self.limit!r}")


def draw_alert_chart(history: ChartHistory, *, title: str, timezone: tzinfo, counted: str = "defective") -> bytes:
    """Draw the history as PNG, 1080 pixels square. `counted` says what the rate is a rate of.

    Raises InvalidInput on a baseline outside [0, 1].
    """
    figure = Figure(figsize=(_SIDE_INCHES, _SIDE_INCHES), dpi=_DPI, facecolor=_PAPER)
    figure.suptitle(fill(title, _TITLE_WIDTH), x=0.03, ha="left", fontsize=_LETTERS + 3, color=_INK, fontweight="bold")
    heights = (3, 2) if history.limit is not None and history.times else (1,)
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    if history.times:
        _draw_rate(axes[0], history, counted)
        if len(heights) > 1:
            _draw_statistic(axes[1], history)
        for each in axes:
            _dress(each, history, timezone)
        # Above the axes: inside, it would hide the beginning of the climb.
        axes[0].legend(
            loc="lower left",
            bbox_to_anchor=(-0.02, 0.99),
            ncols=4,
            fontsize=_LETTERS - 1,
            frameon=False,
            handlelength=1.4,
            columnspacing=1.2,
        )
    else:
        axes[0].text(0.5, 0.5, "no parts in this time", ha="center", fontsize=_LETTERS + 2, color=_QUIET)
        axes[0].set_axis_off()
    figure.subplots_adjust(left=0.145, right=0.955, top=0.86, bottom=0.06, hspace=0.1)
    target = io.BytesIO()
    FigureCanvasAgg(figure).print_png(target)
    return target.getvalue()


def _draw_rate(axes: Axes, history: ChartHistory, counted: str) -> None:
    together = _hours_together(history)
    stretch = together * _HOUR
    starts, defective, inspected = _by_stretch(history, stretch)
    over = "hour" if together == 1 else "day" if stretch == timedelta(days=1) else f"{together} hours"
    axes.set_ylabel(f"{counted} per {over}", fontsize=_LETTERS, color=_INK)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _place: percent(rate)))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    chart = p_chart(defective, inspected, centre=history.baseline)
    # Drawn as steps, so that each limit spans its hours.
    axes.axhline(history.baseline, color=_QUIET, linewidth=1.5, label=f"before: {percent(history.baseline)}")
    ends = _numbers([*starts, starts[-1] + stretch])
    axes.stairs(
        chart.upper,
        ends,
        baseline=None,
        color=_ALARM,
        linewidth=1.5,
        linestyle="--",
        label="limit",
    )
    middles: Any = [start + stretch / 2 for start in starts]
    axes.plot(middles, chart.rate, color=_RATE, linewidth=2, marker="o", markersize=7, label="rate")
    beyond = np.flatnonzero(chart.above)
    axes.plot([middles[index] for index in beyond], chart.rate[beyond], "o", color=_ALARM, markersize=11, zorder=3)
    axes.set_xlim(ends[0], ends[-1])
    axes.set_ylim(0, max(float(np.nanmax(chart.rate)), history.baseline * 2, 0.002) * _HEADROOM)


def _draw_statistic(axes: Axes, history: ChartHistory) -> None:
    axes.set_ylabel("evidence (CUSUM)", fontsize=_LETTERS, color=_INK)
    if history.limit is None:
        return
    times: Any = history.times
    shown = np.array(history.statistic, dtype=float) / history.limit
    axes.axhline(1, color=_ALARM, linewidth=1.5, linestyle="--")
    beside = axes.get_yaxis_transform()
    axes.text(0.01, 1.02, "alarm", transform=beside, va="bottom", color=_ALARM, fontsize=_LETTERS - 1)
    axes.plot(times, shown, color=_RATE, linewidth=2, drawstyle="steps-post")
    axes.fill_between(times, 0, shown, color=_RATE, alpha=0.15, step="post", linewidth=0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    alarms = np.flatnonzero(shown >= 1)
    axes.plot([times[index] for index in alarms], shown[alarms], "o", color=_ALARM, markersize=11, zorder=3)
    axes.set_ylim(0, max(1.1, float(np.nanmax(shown, initial=0))) * _HEADROOM)


def _dress(axes: Axes, history: ChartHistory, timezone: tzinfo) -> None:
    """Mark the change-point, and give the axes letters that a phone shows."""
    onset = history.onset
    if onset is not None:
        low, estimate, high = (_numbers([moment])[0] for moment in (onset.low, onset.estimate, onset.high))
        axes.axvspan(low, high, color=_ALARM, alpha=0.13, linewidth=0)
        axes.axvline(estimate, color=_ALARM, linewidth=2, label="began about here")
    locator = AutoDateLocator(tz=timezone, minticks=3, maxticks=6)
    # Nothing of its own fits a little less than three days.
    locator.intervald[HOURLY] = [*locator.intervald[HOURLY], 24]
    axes.xaxis.set_major_locator(locator)
    days = ["%Y", "%b", "%-d %b", "%H:%M", "%H:%M", "%H:%M"]
    axes.xaxis.set_major_formatter(
        ConciseDateFormatter(
            locator, tz=timezone, formats=days, zero_formats=["", "%Y", *days[2:3] * 2, *days[3:5]], show_offset=False
        )
    )
    axes.tick_params(labelsize=_LETTERS, colors=_INK)
    axes.set_facecolor(_PAPER)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _hours_together(history: ChartHistory) -> int:
    hours = {moment.replace(minute=0, second=0, microsecond=0) for moment in history.times}
    each = len(history.times) / len(hours)
    return next((together for together in _HOURS_TOGETHER if together * each >= _LEAST_PARTS), _HOURS_TOGETHER[-1])


def _by_stretch(
    history: ChartHistory, stretch: timedelta
) -> tuple[list[datetime], NDArray[np.int64], NDArray[np.int64]]:
    """The stretches from the first part to the last, and how many parts of each were defective and inspected."""
    first = min(history.times).replace(minute=0, second=0, microsecond=0)
    places = np.array([(moment - first) // stretch for moment in history.times])
    starts = [first + stretch * step for step in range(int(places.max()) + 1)]
    inspected = np.bincount(places).astype(np.int64)
    defective = np.rint(np.bincount(places, weights=np.array(history.outcomes, dtype=float))).astype(np.int64)
    return starts, defective, inspected


def _numbers(moments: Sequence[datetime]) -> NDArray[np.float64]:
    return np.array([date2num(moment) for moment in moments], dtype=np.float64)
