"""What becomes of alerts, given what is wrong now: a decision on records alone, which the database then carries out.

nothing told yet, or a new signal              opened
the same trouble, more parts                   refreshed: new numbers, nobody is told
it got worse; late parts moved it; lines join  updated: told
the chart decided that it is back              resolved
resolved, but it was not over after all        reopened
closed by a person, still the same signal      left alone: the chart begins anew with the next full hour
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from casting_core.alert_types import PLANT, WATCH
from casting_core.findings import group_of, grouped
from casting_core.streams import attribute_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from casting_core.alert_types import Alert, Finding

Act = Literal["open", "refresh", "update", "resolve", "reopen", "join"]
_CLIMB = "defect_rate_climb"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to do. `alert` is the one it is done to, `finding` what it should hold; an open has no alert yet.

    `at_once_over` says that an alert is opened for what is over already, and closed in the same breath: it was missed
    while nobody watched. `join` makes `alert` part of another stream's open alert of that kind, `joins`.
    """

    act: Act
    why: str
    finding: Finding | None = None
    alert: Alert | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    at_once_over: bool = False
    joins: str = PLANT


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What watching found: what is wrong now, what came and went since, and what was looked at.

    `over` are the findings whose chart has decided that they are over, with when. `watched` are the streams whose
    charts were advanced or whose state is known; an alert of another stream is left alone. `recomputed` are the streams
    that late parts or a new model have changed in hours that had been watched before.
    """

    findings: Sequence[Finding]
    over: Sequence[tuple[Finding, datetime]] = ()
    watched: frozenset[str] = frozenset()
    recomputed: frozenset[str] = frozenset()
    lines: int = 0


def decide(situation: Situation, newest: Mapping[tuple[str, str], Alert]) -> list[Step]:
    """Give the steps that bring the alerts in line with the situation.

    `newest` is the newest alert of each (stream, kind), resolved or not. Deciding again on what the steps lead to
    gives no step that anybody is told of.
    """
    wrong: dict[tuple[str, str], Finding] = {(each.stream, each.kind): each for each in situation.findings}
    group = _group(situation, newest)
    if group is not None:
        wrong[PLANT, _CLIMB] = group
    plant = newest.get((PLANT, _CLIMB))
    plant_tells = group is not None or (plant is not None and plant.state != "resolved")
    steps: list[Step] = []
    for key, finding in wrong.items():
        teller = _teller(finding, wrong, plant_tells=plant_tells)
        if teller is not None:
            steps += _as_member(finding, newest.get(key), joins=teller)
        else:
            steps += _of_finding(finding, newest.get(key), recomputed=key[0] in situation.recomputed)
    told_until: dict[tuple[str, str], datetime] = {}
    for finding, when in sorted(situation.over, key=lambda each: each[0].signal):
        key = (finding.stream, finding.kind)
        # Two charts of one kind tell of one trouble.
        same_trouble = key in told_until and datetime.fromisoformat(finding.signal) <= told_until[key]
        # What is wrong now is newer, and its alert comes first.
        if key not in wrong and not same_trouble:
            steps += _of_past(finding, when, [newest.get((each, key[1])) for each in _tells_of(finding)])
        told_until[key] = max(when, told_until.get(key, when))
    for key, current in newest.items():
        if current.state != "resolved" and key not in wrong and key[0] in situation.watched | {PLANT}:
            steps.append(_resolution(current, situation))
    return steps


def _group(situation: Situation, newest: Mapping[tuple[str, str], Alert]) -> Finding | None:
    """The finding about many lines: begun by many at once, kept until the last of them is back."""
    climbs = [each for each in situation.findings if each.kind == _CLIMB and attribute_of(each.stream) is None]
    current = newest.get((PLANT, _CLIMB))
    if current is None or current.state == "resolved":
        return grouped(climbs, lines=situation.lines)
    if not climbs:
        return None
    return group_of(sorted(climbs, key=lambda each: each.signal), lines=situation.lines)


def _teller(finding: Finding, wrong: Mapping[tuple[str, str], Finding], *, plant_tells: bool) -> str | None:
    """The stream whose alert tells of a climb too: of a line's the plant's, of a mould's that of its line."""
    if finding.kind != _CLIMB or finding.stream == PLANT:
        return None
    if attribute_of(finding.stream) is None:
        return PLANT if plant_tells else None
    if (finding.line, _CLIMB) not in wrong:
        return None
    return PLANT if plant_tells else finding.line


def _as_member(finding: Finding, current: Alert | None, *, joins: str) -> list[Step]:
    """A stream that another's alert tells of: its own alert, if it has one, goes on quietly as a part of that."""
    if current is None or current.state == "resolved":
        return []
    why = "Many lines climb at once." if joins == PLANT else "The whole line climbs."
    steps = [] if current.part_of is not None else [Step(act="join", alert=current, joins=joins, why=why)]
    return steps + _quietly(finding, current)


def _of_finding(finding: Finding, current: Alert | None, *, recomputed: bool) -> list[Step]:
    if current is None:
        return [Step(act="open", finding=finding, why=_why_opened(finding))]
    if current.state == "resolved":
        return _of_resolved(finding, current, recomputed=recomputed)
    if current.finding.severity == "warning" and finding.severity == "critical":
        details = _before(current, recomputed=False) | {"severity": finding.severity}
        return [Step(act="update", alert=current, finding=finding, why="It got worse.", details=details)]
    if recomputed and finding.signal != current.finding.signal:
        why = "Parts that arrived late, or another model's verdicts, moved when it signalled."
        details = _before(current, recomputed=True)
        return [Step(act="update", alert=current, finding=finding, why=why, details=details)]
    joined = _joined(finding.evidence, current.finding.evidence)
    if joined is not None:
        return [Step(act="update", alert=current, finding=finding, why=joined)]
    return _quietly(finding, current)


def _joined(now: Mapping[str, Any], before: Mapping[str, Any]) -> str | None:
    """What climbs beside what was told: more lines, or the first moulds of a line; None where nothing does."""
    new_lines = set(now.get("lines", ())) - set(before.get("lines", ()))
    if new_lines:
        return f"More lines climb: {', '.join(sorted(new_lines))}."
    if now.get("climbing") and not before.get("climbing"):
        return f"Now it shows where: {', '.join(now['climbing'])}."
    return None


def _of_resolved(finding: Finding, current: Alert, *, recomputed: bool) -> list[Step]:
    by_person = current.resolved_by != WATCH and current.resolved_at is not None
    if by_person and datetime.fromisoformat(finding.signal) < (current.resolved_at or current.updated_at):
        return []
    if not by_person and finding.signal <= current.finding.signal:
        why = "Parts that arrived late show that it was not over." if recomputed else "It was not over after all."
        details = _before(current, recomputed=recomputed)
        return [Step(act="reopen", alert=current, finding=finding, why=why, details=details)]
    return [Step(act="open", finding=finding, why=_why_opened(finding))]


def _quietly(finding: Finding, current: Alert) -> list[Step]:
    # What was critical once stays so until it is over.
    finding = replace(
        finding, severity=max(finding.severity, current.finding.severity, key=("warning", "critical").index)
    )
    return [] if finding == current.finding else [Step(act="refresh", alert=current, finding=finding, why="New parts.")]


def _tells_of(finding: Finding) -> set[str]:
    """The streams whose alert may have told of a finding: its own; of a climb its line's and the plant's too."""
    return {finding.stream} | ({finding.line, PLANT} if finding.kind == _CLIMB else set())


def _of_past(finding: Finding, when: datetime, tellers: Sequence[Alert | None]) -> list[Step]:
    """What came and went while nobody watched is told once, as over."""
    for told in tellers:
        if told is None:
            continue
        known = finding.signal <= told.finding.signal or told.state != "resolved"
        closed = told.resolved_at is not None and datetime.fromisoformat(finding.signal) < told.resolved_at
        if known or closed:
            return []
    why = f"{_why_opened(finding)} The rate was back by {when:%Y-%m-%d %H:%M} UTC."
    return [Step(act="open", finding=finding, why=why, at_once_over=True)]


def _resolution(current: Alert, situation: Situation) -> Step:
    stream, kind = current.finding.stream, current.finding.kind
    details: dict[str, Any] = {}
    ended = [when for finding, when in situation.over if (finding.stream, finding.kind) == (stream, kind)]
    if kind == "no_images":
        why = "Pictures come again, or none are expected now."
    elif kind == "scoring_stalled":
        why = "Scoring has completed again, and the backlog is young."
    elif ended:
        why = f"The chart is sure that the rate is back (hour of {max(ended):%Y-%m-%d %H:%M} UTC)."
        details = {"back_by": max(ended).isoformat()}
    elif stream == PLANT:
        why = "No line climbs any more."
    elif stream in situation.recomputed:
        why = "With parts that arrived late, or another model's verdicts, the chart does not signal."
        details = {"recomputed": True}
    else:
        why = "The chart began anew on another baseline, and does not signal."
    return Step(act="resolve", alert=current, why=why, details=details)


def _before(current: Alert, *, recomputed: bool) -> dict[str, Any]:
    finding = current.finding
    return {
        "recomputed": recomputed,
        "before": {
            "signal": finding.signal,
            "severity": finding.severity,
            "parts": finding.parts,
            "observed_rate": finding.observed_rate,
            "since": finding.since and finding.since.estimate.isoformat(),
        },
    }


def _why_opened(finding: Finding) -> str:
    if finding.kind == "no_images":
        return f"No picture in {finding.evidence['silent_hours']} hours in which the line usually sends some."
    if finding.kind == "scoring_stalled":
        return "Scoring does not finish, or leaves pictures waiting."
    if finding.stream == PLANT:
        return f"{len(finding.evidence['lines'])} of {finding.evidence['lines_running']} lines climb at once."
    return (
        f"The chart {finding.evidence['chart']} passed its limit: {finding.evidence['count']} of {finding.parts} parts."
    )
