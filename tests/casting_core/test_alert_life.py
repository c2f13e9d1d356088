"""What becomes of alerts follows from the situation alone."""

from dataclasses import replace
from datetime import timedelta

from casting_core.alert_life import Situation, decide
from casting_core.alert_types import Alert, AlertId, Finding
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


def mould(number, *, hours=5, line="line-a"):
    return replace(climb(hours), stream=f"{line}/mould=M{number}", line=line)


def test_a_mould_that_climbs_alone_opens_an_alert_of_its_own():
    steps = decide(Situation(findings=[mould(3)], watched=frozenset({"line-a", "line-a/mould=M3"}), lines=1), {})
    assert [(step.act, step.finding) for step in steps] == [("open", mould(3))]


def test_moulds_of_a_line_that_climbs_are_told_by_the_lines_alert():
    open_alert = told(mould(3))
    newest = {(mould(3).stream, "defect_rate_climb"): open_alert}
    steps = decide(Situation(findings=[mould(3), mould(4), climb(6)], lines=1), newest)
    assert [(step.act, step.finding) for step in steps if step.act != "join"] == [("open", climb(6))]
    (joined,) = (step for step in steps if step.act == "join")
    assert (joined.alert, joined.joins) == (open_alert, "line-a")


def test_moulds_are_not_lines_that_climb_at_once():
    findings = [mould(number) for number in range(8)]
    steps = decide(Situation(findings=findings, lines=3), {})
    assert {step.finding.stream for step in steps} == {each.stream for each in findings}


def test_where_many_lines_climb_at_once_the_plants_alert_tells_of_their_moulds_too():
    lines = [replace(climb(5), stream=name, line=name) for name in ("line-a", "line-b", "line-c")]
    steps = decide(Situation(findings=[*lines, mould(1), mould(2, line="line-b")], lines=3), {})
    assert [(step.act, step.finding.stream) for step in steps] == [("open", "")]


def test_a_line_tells_again_once_it_shows_which_mould_it_is():
    before = told(climb(5))
    after = replace(climb(5), evidence={**climb(5).evidence, "climbing": ["mould M3"]})
    newest = {("line-a", "defect_rate_climb"): before}
    (step,) = decide(Situation(findings=[after], lines=1), newest)
    assert (step.act, step.why) == ("update", "Now it shows where: mould M3.")
    again = decide(Situation(findings=[after], lines=1), {("line-a", "defect_rate_climb"): told(after)})
    assert again == []


def told(finding):
    return Alert(alert_id=AlertId(1), finding=finding, state="open", opened_at=START, updated_at=START)
