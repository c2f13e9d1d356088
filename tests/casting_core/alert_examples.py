"""Alerts to write messages about."""

from datetime import UTC, datetime, timedelta

from casting_core.alert_types import Alert, AlertEvent, Corrected, Finding, Onset

NOW = datetime(2026, 11, 23, 8, 20, tzinfo=UTC)
ONSET = Onset(low=NOW - timedelta(minutes=31), estimate=NOW - timedelta(minutes=20), high=NOW - timedelta(minutes=12))


def climb(**changed):
    given = {
        "kind": "defect_rate_climb",
        "severity": "critical",
        "stream": "line-b",
        "line": "line-b",
        "signal": "s1",
        "since": ONSET,
        "parts": 34,
        "observed_rate": 0.3012,
        "corrected": Corrected(rate=0.27, low=0.14, high=0.43),
        "baseline_rate": 0.052,
        "evidence": {"false_alarm_days": 30},
        "examples": ("B20003", "B20007", "B20011"),
    }
    return Finding(**(given | changed))


def bare(kind, *, line="line-b", severity="warning", **more):
    return Finding(kind=kind, severity=severity, stream=line, line=line, signal="s1", **more)


def alert_of(finding, *, state="open", opened_at=NOW):
    resolved = {"resolved_at": NOW, "resolved_by": "watch"} if state == "resolved" else {}
    return Alert(alert_id=17, finding=finding, state=state, opened_at=opened_at, updated_at=NOW, **resolved)


def event_of(event="opened", *, who="watch", why="the chart passed its limit", **details):
    return AlertEvent(event_id=42, alert_id=17, at=NOW, event=event, who=who, why=why, details=details)
