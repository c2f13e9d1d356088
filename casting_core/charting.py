"""Matplotlib without its global state: figures of one look, drawn to PNG bytes by the Agg backend."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter

from casting_core.palette import INK, LINE, PAPER, QUIET
from casting_core.wording import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Corner = Literal["upper left", "lower left", "lower right", "upper center", "best"]

PANEL_INCHES = 5.4
LETTERS = 12
_DPI = 130


def panels(count: int, *, title: str, height: float = PANEL_INCHES) -> tuple[Figure, list[Axes]]:
    """Make a figure of some panels side by side, each about 700 pixels wide; letters are readable at half the size."""
    figure = Figure(figsize=(PANEL_INCHES * count, height), dpi=_DPI, facecolor=PAPER)
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    figure.suptitle(title, x=0.015, ha="left", fontsize=LETTERS + 3, color=INK, fontweight="bold")
    axes = list(figure.subplots(1, count, squeeze=False)[0])
    for each in axes:
        _dress(each)
    return figure, axes


def label_axes(axes: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Name a panel and its axes."""
    axes.set_title(title, loc="left", fontsize=LETTERS, color=INK)
    axes.set_xlabel(x, fontsize=LETTERS, color=INK)
    axes.set_ylabel(y, fontsize=LETTERS, color=INK)


def in_percent(axes: Axes, *sides: str) -> None:
    """Write the numbers of the x and y axes named as percent."""
    for side in sides:
        axis = axes.xaxis if side == "x" else axes.yaxis
        axis.set_major_formatter(FuncFormatter(lambda rate, _place: percent(rate)))


def legend(axes: Axes, *, where: Corner = "best") -> None:
    """Show what the lines of a panel are, if there are any."""
    if not axes.get_legend_handles_labels()[0]:
        return
    axes.legend(loc=where, fontsize=LETTERS - 1.5, frameon=False, labelcolor=INK)


def as_png(figure: Figure) -> bytes:
    """Draw a figure."""
    target = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(target, format="png", facecolor=PAPER)
    return target.getvalue()


def _dress(axes: Axes) -> None:
    axes.set_facecolor(PAPER)
    axes.tick_params(labelsize=LETTERS - 1, colors=INK)
    axes.grid(visible=True, color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(QUIET)
