"""The report's charts: three lines a picture, those with most defective parts first."""

import io
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from PIL import Image

from casting_core.history_charts import MOST_LINES, rate_charts
from casting_core.history_types import ChartPoint

START = datetime(2026, 11, 23, 6, tzinfo=UTC)


def points(lines, *, hours=4):
    return [
        ChartPoint(
            line=f"cam{line}",
            hour=START + timedelta(hours=hour),
            inspected=40,
            defective=line % 5,
            centre=0.02,
            upper_limit=0.1,
            out_of_control=False,
        )
        for line in range(lines)
        for hour in range(hours)
    ]


@pytest.mark.parametrize(("lines", "panels"), [(1, [1]), (3, [3]), (7, [3, 3, 1]), (12, [3, 3, 2])])
def test_a_picture_holds_three_lines_so_that_it_fits_on_a_page(lines, panels):
    alert = SimpleNamespace(alert_id=1, line=None, opened_at=START + timedelta(hours=9))
    charts = rate_charts(SimpleNamespace(points=points(lines), alerts=[alert]), zone=UTC)
    heights = [Image.open(io.BytesIO(chart)).height for chart in charts]
    assert len(heights) == len(panels)
    assert sum(panels) == min(lines, MOST_LINES)
    a_panel = (heights[0] - 65) / panels[0]
    assert heights == pytest.approx([65 + each * a_panel for each in panels], abs=3)
