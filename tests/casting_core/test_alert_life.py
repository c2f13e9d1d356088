"""What becomes of alerts follows from the situation alone."""

from datetime import timedelta

from casting_core.alert_life import Situation, decide
from casting_core.alert_types import Finding
from tests.histories import HOUR, START


def climb(hours, chart="defects"):
    """A climb that signalled so many hours after the start."""
    return Finding(
        kind="defect_rate_climb",
        severity="warning",
        stream="line-a",
        line="line-a",
        signal=(START + hours * HOUR).isoformat(),
        parts=100,
        observed_rate=0.05,
        evidence={"chart": chart, "count": 5},
    )


def decided(*over):
    return decide(Situation(findings=(), over=over, watched=frozenset({"line-a"}), lines=1), {})


def test_two_charts_that_tell_of_one_trouble_that_is_over_tell_of_it_once():
    sooner, later = climb(5), climb(7, "defects_low")
    steps = decided((later, START + 30 * HOUR), (sooner, START + 20 * HOUR))
    assert [(step.act, step.finding, step.at_once_over) for step in steps] == [("open", sooner, True)]


def test_two_troubles_that_are_over_are_told_one_by_one():
    first, second = climb(5), climb(25)
    steps = decided((first, START + 20 * HOUR), (second, START + 20 * HOUR + timedelta(days=1)))
    assert [step.finding for step in steps] == [first, second]
