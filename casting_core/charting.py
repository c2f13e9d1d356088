"""Matplotlib without its global state: figures of one look, drawn to PNG bytes by the Agg backend."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter

from casting_core.palette import INK, LINE, PAPER, QUIET
from casting_core.wording import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL_INCHES = 5.4
LETTERS = 12
_DPI = 130


def panels(count: int, *, title: str, height: float = 0.8) -> tuple[Figure, list[Axes]]:
    """Make a figure of some panels one above the other, 700 pixels wide, so that a phone shows the letters.

    A panel is `height` times as high as it is wide.
    """
    figure = Figure(figsize=(PANEL_INCHES, PANEL_INCHES * height * count + 0.5), dpi=_DPI, facecolor=PAPER)
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    figure.suptitle(title, x=0.02, ha="left", fontsize=LETTERS + 2, color=INK, fontweight="bold")
    axes = list(figure.subplots(count, 1, squeeze=False)[:, 0])
    for each in axes:
        dress(each)
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


def legend(axes: Axes, *, columns: int = 2) -> None:
    """Say below a panel what its lines are, if there are any."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(-0.02, -0.16),
            ncols=columns,
            fontsize=LETTERS - 1.5,
            frameon=False,
            labelcolor=INK,
        )


def as_png(figure: Figure) -> bytes:
    """Draw a figure."""
    target = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(target, format="png", facecolor=PAPER)
    return target.getvalue()


def dress(axes: Axes) -> None:
    """Give axes the look of all pictures."""
    axes.set_facecolor(PAPER)
    axes.tick_params(labelsize=LETTERS - 1, colors=INK)
    axes.grid(visible=True, color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(QUIET)
