"""From charts that have signalled to findings that people can act on: since when, how many parts, how much, how sure.

Severity: a climb is critical once it is sure to be larger than the climb worth knowing, that is when the lower 95 %
limit of the rate since its onset lies above `ratio` times the baseline; else it is a warning. A climb on many lines at
once is critical, and so are scoring that has stalled and a line that has long been silent. More parts in review, and
scores that drift, are never more than a warning.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from casting_core.alert_types import PLANT, Corrected, Finding, Onset
from casting_core.chart_plan import ALERT_OF, CHARTS, OF_DEFECTS, possible_ratio
from casting_core.errors import InvalidInput
from casting_core.production import DEFECTIVE, QUARANTINED, REVIEW
from casting_core.rates import Accuracy, clopper_pearson, rogan_gladen
from casting_core.streams import attribute_of, line_of, shared_by
from casting_core.watching import counted, outcomes_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from casting_core.alert_types import Severity
    from casting_core.chart_plan import ChartName, Plan
    from casting_core.chart_records import Alarm, Chart, Place
    from casting_core.production import Parts

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXAMPLES = 3
# At least so many lines, and at least half of those that run, must climb within a day for one cause to be likelier.
GROUP_LEAST = 3
GROUP_SHARE = 0.5
GROUP_WITHIN = timedelta(hours=24)


def hour_of(moment: datetime) -> int:
    """The hour (since the epoch) that holds a moment."""
    return (moment - _EPOCH) // timedelta(hours=1)


def start_of(hour: int) -> datetime:
    """When an hour (since the epoch) begins."""
    return _EPOCH + timedelta(hours=hour)


def accuracy_on_castings(metrics: Mapping[str, Any]) -> Accuracy | None:
    """What a model's card says of its accuracy by casting; None where it says nothing that a rate can be corrected by.

    A defective casting counts as detected unless it passes as ok, a sound one as passed unless it is rejected: those
    in review count as a person will judge them. So does the observed rate, in which parts in review count by their
    p_defective: as far as that is calibrated, they add up to the defective ones among them. Review then takes nothing
    from the correction and adds nothing to it.
    """
    castings = metrics.get("by_casting") or {}
    try:
        return Accuracy(
            detected=castings["defective"] - castings["escapes"],
            defective=castings["defective"],
            passed=castings["ok"] - castings["false_rejects"],
            sound=castings["ok"],
        )
    except (KeyError, TypeError, InvalidInput):
        return None


def alarmed(charts: Mapping[ChartName, Chart]) -> list[tuple[ChartName, Alarm]]:
    """The alarms that stand, one a kind of alert: of two charts of one kind, the one that signalled first."""
    standing: dict[str, tuple[ChartName, Alarm]] = {}
    for name in CHARTS:
        alarm = charts[name].alarm if name in charts else None
        if alarm is None:
            continue
        other = standing.get(ALERT_OF[name])
        if other is None or _order(alarm.place) < _order(other[1].place):
            standing[ALERT_OF[name]] = (name, alarm)
    return list(standing.values())


def climb_finding(
    plan: Plan, stream: str, *, name: ChartName, chart: Chart, alarm: Alarm, since_earliest: Parts
) -> Finding | None:
    """Describe a chart's alarm from the parts since the hour in which the change can have begun at the earliest.

    None where those parts are gone.
    """
    parts = counted(name, since_earliest)
    footing = chart.footing
    if footing is None or not len(parts):
        return None
    onset, latest = _index(parts, alarm.onset), _index(parts, alarm.latest)
    affected = parts.take(slice(onset, None))
    outcomes = outcomes_of(name, affected, chart.threshold)
    hits = int(np.count_nonzero(affected.outcome == DEFECTIVE)) if name in OF_DEFECTS else int(outcomes.sum())
    interval = clopper_pearson(hits, len(affected))
    evidence = {
        "chart": name,
        "statistic": alarm.statistic,
        "limit": footing.design.limit,
        "arl0_parts": round(footing.design.arl0),
        "false_alarm_days": plan.budget_days,
        "ratio": round(footing.design.climb / footing.design.baseline, 3),
        "icc": footing.design.icc,
        "baseline_source": footing.source,
        "count": hits,
        "rate_low": interval.low,
        "rate_high": interval.high,
        "in_review": int(np.count_nonzero(affected.outcome == REVIEW)),
        "signalled_at": _time(parts, _index(parts, alarm.place)).isoformat(),
        "signalled_after_parts": _index(parts, alarm.place) + 1 - onset,
        "model_id": chart.segment.model_id,
    }
    if chart.threshold is not None:
        evidence["threshold"] = chart.threshold
    return Finding(
        kind=ALERT_OF[name],
        severity=_severity(plan, name, interval.low, footing.design.baseline),
        stream=stream,
        line=line_of(stream),
        signal=start_of(alarm.place.hour).isoformat(),
        since=_onset(parts, _index(parts, alarm.earliest), onset, latest),
        parts=len(affected),
        observed_rate=hits / len(affected),
        corrected=_corrected(plan, name, chart, float(outcomes.sum()), len(affected)),
        baseline_rate=footing.rate,
        evidence=evidence,
        examples=_examples(name, affected, outcomes),
    )


def with_climbing(findings: Sequence[Finding]) -> list[Finding]:
    """The findings, those of lines that climb with the moulds and the like whose own charts have signalled.

    `evidence["climbing"]` names them, such as `mould M7`, the highest rate first.
    """
    climbing: dict[str, list[Finding]] = defaultdict(list)
    for each in sorted(findings, key=lambda each: -(each.observed_rate or 0)):
        if attribute_of(each.stream) is not None:
            climbing[each.line].append(each)
    return [
        replace(each, evidence={**each.evidence, "climbing": [shared_by(of.stream) for of in climbing[each.line]]})
        if each.kind == "defect_rate_climb" and each.stream in climbing
        else each
        for each in findings
    ]


def grouped(findings: Sequence[Finding], *, lines: int) -> Finding | None:
    """One finding that says that many lines climb at once, or None where they do not.

    `findings` are the defect rate's of whole lines, `lines` how many lines run. Many means at least three and half of
    those that run, with signals within a day: camera, light or model are likelier then than all moulds at once.
    """
    climbs = sorted((each for each in findings if each.kind == "defect_rate_climb"), key=lambda each: each.signal)
    least = max(GROUP_LEAST, GROUP_SHARE * lines)
    for first in climbs:
        begin = datetime.fromisoformat(first.signal)
        together = [
            each for each in climbs if timedelta(0) <= datetime.fromisoformat(each.signal) - begin <= GROUP_WITHIN
        ]
        if len(together) >= least:
            return group_of(together, lines=lines)
    return None


def group_of(members: Sequence[Finding], *, lines: int) -> Finding:
    """One finding about several lines that climb, the first signal first."""
    times = [each.since for each in members if each.since is not None]
    parts = sum(each.parts or 0 for each in members)
    hits = sum(each.evidence["count"] for each in members)
    worst = sorted(members, key=lambda each: -(each.observed_rate or 0))
    return Finding(
        kind="defect_rate_climb",
        severity="critical",
        stream=PLANT,
        line=PLANT,
        signal=members[0].signal,
        since=Onset(
            low=min(time.low for time in times),
            estimate=min(time.estimate for time in times),
            high=max(time.high for time in times),
        )
        if times
        else None,
        parts=parts,
        observed_rate=hits / parts if parts else None,
        baseline_rate=sum((each.baseline_rate or 0) * (each.parts or 0) for each in members) / parts if parts else None,
        evidence={
            "lines": [each.line for each in members],
            "lines_running": lines,
            "count": hits,
            "likely": "camera, light or model: all moulds at once are unlikely",
        },
        examples=tuple(each.examples[0] for each in worst if each.examples)[:_EXAMPLES],
    )


def _severity(plan: Plan, name: ChartName, low: float, baseline: float) -> Severity:
    climb = possible_ratio(baseline, plan.ratio) * baseline
    return "critical" if name in (*OF_DEFECTS, "quarantine") and low > climb else "warning"


def _order(place: Place) -> tuple[int, int]:
    return place.hour, place.offset


def _index(parts: Parts, place: Place) -> int:
    """Where a place lies among the parts; the nearest where parts have gone since."""
    start = int(np.searchsorted(parts.hour, place.hour))
    return min(start + place.offset, len(parts) - 1)


def _onset(parts: Parts, earliest: int, onset: int, latest: int) -> Onset:
    low, estimate, high = (_time(parts, index) for index in (earliest, onset, latest))
    return Onset(low=min(low, estimate), estimate=estimate, high=max(estimate, high))


def _time(parts: Parts, index: int) -> datetime:
    return _EPOCH + timedelta(microseconds=int(parts.captured_at[index]))


def _corrected(plan: Plan, name: ChartName, chart: Chart, counts: float, parts: int) -> Corrected | None:
    accuracy = plan.accuracies.get(chart.segment.model_id or 0)
    if name not in OF_DEFECTS or accuracy is None:
        return None
    try:
        corrected = rogan_gladen(round(counts), parts, accuracy)
    except InvalidInput:
        return None
    return Corrected(rate=corrected.rate, low=corrected.interval.low, high=corrected.interval.high)


def _examples(name: ChartName, parts: Parts, outcomes: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[str, ...]:
    """Up to three parts that moved the chart: the surest, and of those the newest."""
    moved = np.flatnonzero(outcomes > 0)
    scores = parts.p_defective[moved] if name != "score_low" else -parts.p_defective[moved]
    if name == "quarantine":
        scores = (parts.outcome[moved] == QUARANTINED).astype(np.float64)
    best = moved[np.lexsort((moved, scores))][::-1][:_EXAMPLES]
    return tuple(parts.part_id[index].decode() for index in best)
