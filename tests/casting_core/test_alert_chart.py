"""Charts are drawn whatever the history: many parts, one, none, all defective."""

import io
from dataclasses import replace
from datetime import timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from PIL import Image

from casting_core.alert_chart import ChartHistory, _by_stretch, _hours_together, draw_alert_chart
from casting_core.alert_types import Onset
from casting_core.errors import InvalidInput
from tests.casting_core.alert_examples import NOW, ONSET

ALARM, RATE = (200, 68, 43), (47, 125, 120)


def history(outcomes, *, every=timedelta(minutes=1), **more):
    outcomes = tuple(map(float, outcomes))
    times = tuple(NOW - every * (len(outcomes) - number) for number in range(len(outcomes)))
    return ChartHistory(times=times, outcomes=outcomes, baseline=0.05, **more)


def draw(shown, **more):
    picture = Image.open(io.BytesIO(draw_alert_chart(shown, title="line-b", timezone=ZoneInfo("UTC"), **more)))
    assert (picture.format, picture.size) == ("PNG", (1080, 1080))
    return np.asarray(picture.convert("RGB")).astype(int)


def pixels(picture, color):
    return int((np.abs(picture - color).max(axis=2) < 12).sum())


def test_the_change_point_and_the_alarm_are_marked():
    quiet = history([0, 0, 0, 1] * 60, statistic=(0.5,) * 240, limit=10.0)
    loud = replace(quiet, statistic=(*(0.5,) * 239, 11.0), onset=ONSET)
    assert pixels(draw(loud), ALARM) > pixels(draw(quiet), ALARM) + 1_000


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
def test_nothing_lies_over_the_change_point(share):
    estimate = NOW - timedelta(minutes=2_400) * (1 - share)
    onset = Onset(low=estimate, estimate=estimate, high=estimate)
    shown = history([0, 0, 0, 1] * 600, statistic=(0.5,) * 2_400, limit=10.0, onset=onset)
    line = np.abs(draw(shown) - ALARM).max(axis=2) < 12
    # From top to bottom of both axes, save where the curves cross it.
    assert line.sum(axis=0).max() > 740


@pytest.mark.parametrize(
    "shown",
    [
        history([]),
        history([], statistic=(), limit=3.0),
        history([1.0]),
        history([1.0], statistic=(4.0,), limit=3.0, onset=ONSET),
        history([1.0] * 500),
        history([0.0] * 500, statistic=(float("nan"),) * 500, limit=3.0),
        replace(history([0, 1]), baseline=0.0),
    ],
    ids=["nothing", "nothing, with a limit", "one part", "one that alarms", "all bad", "no statistic", "no baseline"],
)
def test_every_history_can_be_drawn(shown):
    assert pixels(draw(shown), (246, 245, 242)) > 100_000


def test_an_hour_without_parts_leaves_a_gap_and_parts_of_equal_times_are_one_hour():
    moments = (NOW, NOW, NOW, NOW + timedelta(hours=3))
    shown = ChartHistory(times=moments, outcomes=(0.0, 1.0, 0.4, 1.0), baseline=0.05)
    assert pixels(draw(shown), RATE) > 100


@pytest.mark.parametrize("hours", [1, 5, 30, 62, 71, 200, 1_000])
def test_every_stretch_of_time_has_a_scale(hours):
    shown = history([0, 1, 0] * 20, every=timedelta(hours=hours) / 60, onset=ONSET)
    assert pixels(draw(shown), RATE) > 100


def test_a_few_parts_an_hour_are_put_together():
    hourly = history([1] + [0] * 9, every=timedelta(hours=1))
    assert _hours_together(hourly) == 24
    by_minutes = {each: _hours_together(history([0] * 600, every=timedelta(minutes=each))) for each in (1, 3, 10)}
    assert by_minutes == {1: 1, 3: 2, 10: 8}
    starts, defective, inspected = _by_stretch(hourly, timedelta(hours=4))
    assert defective.tolist() == [1, 0, 0]
    assert inspected.tolist() == [4, 4, 2]
    assert starts[1] - starts[0] == timedelta(hours=4)


def test_time_zones_of_fixed_offset_are_drawn_too():
    assert draw_alert_chart(history([0, 1]), title="t", timezone=timezone(timedelta(hours=5, minutes=30)))


def test_a_history_whose_lengths_differ_is_refused():
    with pytest.raises(InvalidInput, match="one time, outcome and statistic"):
        replace(history([0, 1]), statistic=(1.0,), limit=3.0)
    with pytest.raises(InvalidInput, match="limit of a chart"):
        replace(history([0]), statistic=(1.0,), limit=0.0)
