"""Alerts: opened, updated, acknowledged and resolved, each change with an event that says who and why.

Every change is written with its event, and with what the outbox makes of it, in the caller's transaction: a message
exists if and only if the change does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, Unpack, assert_never

from sqlalchemy import ARRAY, Text, bindparam, insert, select, update
from sqlalchemy.dialects.postgresql import JSONB

from casting_core.alert_types import (
    WATCH,
    Alert,
    AlertEvent,
    AlertId,
    Corrected,
    EventId,
    Finding,
    Onset,
)
from db.errors import UnknownAlert, WrongAlertState
from db.queries import load
from db.schema import alert, alert_event

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from casting_core.alert_life import Act, Step
    from casting_core.alert_types import AlertState, EventName

# Is given every change in the transaction that makes it, and writes the rows of `delivery`.
Outbox = Callable[["Connection", Alert, AlertEvent], None]

UNRESOLVED: tuple[AlertState, ...] = ("open", "acknowledged")


def no_outbox(_connection: Connection, _alert: Alert, _event: AlertEvent) -> None:
    """Tell nobody."""


class Telling(TypedDict):
    """What every change says of itself: when, who and why; `details` for programs, and who writes its messages."""

    at: datetime
    who: str
    why: str
    details: NotRequired[Mapping[str, Any] | None]
    outbox: NotRequired[Outbox]


def open_alert(connection: Connection, finding: Finding, **telling: Unpack[Telling]) -> Alert | None:
    """Open an alert for a finding; None where its stream has an unresolved one of that kind already."""
    query = load("insert_alert").bindparams(
        bindparam("evidence", type_=JSONB), bindparam("examples", type_=ARRAY(Text))
    )
    row = connection.execute(query, _columns(finding) | {"at": telling["at"]}).one_or_none()
    if row is None:
        return None
    opened = _alert(row)
    record_event(connection, opened, "opened", **telling)
    return opened


def update_alert(connection: Connection, current: Alert, finding: Finding, **telling: Unpack[Telling]) -> Alert:
    """Bring an unresolved alert up to date, and record that as an event."""
    changed = refresh_alert(connection, current, finding, at=telling["at"])
    record_event(connection, changed, "updated", **telling)
    return changed


def refresh_alert(connection: Connection, current: Alert, finding: Finding, *, at: datetime) -> Alert:
    """Bring an alert's numbers up to date without an event: for what nobody need be told of."""
    return _change(connection, current.alert_id, **_columns(finding), updated_at=at)


def acknowledge_alert(connection: Connection, alert_id: AlertId, **telling: Unpack[Telling]) -> Alert:
    """Record that somebody looks after an open alert. Raises UnknownAlert or WrongAlertState."""
    _expect(find_alert(connection, alert_id, lock=True), "open", act="acknowledged")
    changed = _change(connection, alert_id, state="acknowledged", updated_at=telling["at"])
    record_event(connection, changed, "acknowledged", **telling)
    return changed


def resolve_alert(connection: Connection, alert_id: AlertId, **telling: Unpack[Telling]) -> Alert:
    """Close an alert. Where a person does, its chart begins anew with the next full hour.

    Raises UnknownAlert, or WrongAlertState where it is resolved already.
    """
    _expect(find_alert(connection, alert_id, lock=True), *UNRESOLVED, act="resolved")
    at, who = telling["at"], telling["who"]
    changed = _change(connection, alert_id, state="resolved", resolved_at=at, resolved_by=who, updated_at=at)
    record_event(connection, changed, "resolved", **telling)
    return changed


def reopen_alert(connection: Connection, current: Alert, finding: Finding, **telling: Unpack[Telling]) -> Alert:
    """Open a resolved alert again: its trouble turned out not to be over. Raises WrongAlertState."""
    _expect(current, "resolved", act="opened again")
    state = {"state": "open", "resolved_at": None, "resolved_by": None}
    changed = _change(connection, current.alert_id, **_columns(finding), **state, updated_at=telling["at"])
    record_event(connection, changed, "reopened", **telling)
    return changed


def join_alert(connection: Connection, member: AlertId, *, group: AlertId) -> Alert:
    """Say that the alert about many lines tells of this one too."""
    return _change(connection, member, part_of=group)


def record_event(connection: Connection, about: Alert, event: EventName, **telling: Unpack[Telling]) -> AlertEvent:
    """Append what happened to an alert, and let the outbox write its messages."""
    row = connection.execute(
        insert(alert_event)
        .values(
            alert_id=about.alert_id,
            at=telling["at"],
            event=event,
            who=telling["who"],
            why=telling["why"],
            details=dict(telling.get("details") or {}),
        )
        .returning(*alert_event.c)
    ).one()
    recorded = _event(row)
    telling.get("outbox", no_outbox)(connection, about, recorded)
    return recorded


def find_alert(connection: Connection, alert_id: AlertId, *, lock: bool = False) -> Alert:
    """Return an alert, locked until the end of the transaction if asked for. Raises UnknownAlert."""
    query = select(alert).where(alert.c.alert_id == alert_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise UnknownAlert(f"There is no alert {alert_id}. See those there are: casting alerts list --all")
    return _alert(row)


def read_alerts(
    connection: Connection, *, states: Sequence[AlertState] = UNRESOLVED, line: str | None = None, most: int = 1_000
) -> list[Alert]:
    """Return alerts in the given states, newest first; of one line with those about the whole plant."""
    rows = connection.execute(load("read_alerts"), {"states": list(states), "line": line, "most": most})
    return [_alert(row) for row in rows]


def newest_alerts(connection: Connection) -> dict[tuple[str, str], Alert]:
    """Return the newest alert of each (stream, kind), resolved or not, locked until the end of the transaction."""
    alerts = [_alert(row) for row in connection.execute(load("newest_alerts"))]
    return {(each.finding.stream, each.finding.kind): each for each in alerts}


def events_of(connection: Connection, alert_id: AlertId) -> list[AlertEvent]:
    """Return what happened to an alert, oldest first."""
    query = select(alert_event).where(alert_event.c.alert_id == alert_id).order_by(alert_event.c.event_id)
    return [_event(row) for row in connection.execute(query)]


def carry_out(
    connection: Connection, steps: Sequence[Step], *, at: datetime, outbox: Outbox = no_outbox
) -> Counter[Act]:
    """Do what was decided about alerts; return how often each act was done."""
    done: Counter[Act] = Counter()
    opened: dict[tuple[str, str], Alert] = {}
    # Alerts that others become a part of come first.
    for step in sorted(steps, key=lambda step: step.act == "join"):
        telling: Telling = {"at": at, "who": WATCH, "why": step.why, "outbox": outbox}
        if step.act == "open" and step.finding is not None:
            alert_opened = open_alert(connection, step.finding, **telling)
            if alert_opened is None:
                continue
            opened[step.finding.stream, step.finding.kind] = alert_opened
            if step.at_once_over:
                resolve_alert(connection, alert_opened.alert_id, **telling)
        elif step.alert is not None:
            telling["details"] = step.details
            _carry_out(connection, step, step.alert, telling, group=opened.get((step.joins, step.alert.finding.kind)))
        done[step.act] += 1
    return done


def _carry_out(connection: Connection, step: Step, current: Alert, telling: Telling, *, group: Alert | None) -> None:
    finding = step.finding or current.finding
    match step.act:
        case "refresh":
            refresh_alert(connection, current, finding, at=telling["at"])
        case "update":
            update_alert(connection, current, finding, **telling)
        case "reopen":
            reopen_alert(connection, current, finding, **telling)
        case "resolve":
            resolve_alert(connection, current.alert_id, **telling)
        case "join":
            whole = group or newest_alerts(connection).get((step.joins, current.finding.kind))
            if whole is not None:
                join_alert(connection, current.alert_id, group=whole.alert_id)
        case "open":
            raise WrongAlertState(f"Alert {current.alert_id} exists already, so it cannot be opened.")
        case _:
            assert_never(step.act)


def _expect(current: Alert, *states: AlertState, act: str) -> None:
    if current.state not in states:
        raise WrongAlertState(
            f"Alert {current.alert_id} is {current.state}, so it cannot be {act}. "
            f"See what happened to it: casting alerts show {current.alert_id}"
        )


def _change(connection: Connection, alert_id: AlertId, **values: Any) -> Alert:
    query = update(alert).where(alert.c.alert_id == alert_id).values(**values).returning(*alert.c)
    return _alert(connection.execute(query).one())


def _columns(finding: Finding) -> dict[str, Any]:
    since, corrected = finding.since, finding.corrected
    return {
        "kind": finding.kind,
        "severity": finding.severity,
        "stream": finding.stream,
        "line": finding.line,
        "signal": finding.signal,
        "since_low": since and since.low,
        "since": since and since.estimate,
        "since_high": since and since.high,
        "parts": finding.parts,
        "observed_rate": finding.observed_rate,
        "corrected_rate": corrected and corrected.rate,
        "corrected_low": corrected and corrected.low,
        "corrected_high": corrected and corrected.high,
        "baseline_rate": finding.baseline_rate,
        "evidence": dict(finding.evidence),
        "examples": list(finding.examples),
    }


def _alert(row: Row[Any]) -> Alert:
    since, corrected = None, None
    if row.since is not None:
        since = Onset(low=row.since_low, estimate=row.since, high=row.since_high)
    if row.corrected_rate is not None:
        corrected = Corrected(rate=row.corrected_rate, low=row.corrected_low, high=row.corrected_high)
    finding = Finding(
        kind=row.kind,
        severity=row.severity,
        stream=row.stream,
        line=row.line,
        signal=row.signal,
        since=since,
        parts=row.parts,
        observed_rate=row.observed_rate,
        corrected=corrected,
        baseline_rate=row.baseline_rate,
        evidence=row.evidence,
        examples=tuple(row.examples),
    )
    return Alert(
        alert_id=AlertId(row.alert_id),
        finding=finding,
        state=row.state,
        opened_at=row.opened_at,
        updated_at=row.updated_at,
        resolved_at=row.resolved_at,
        resolved_by=row.resolved_by,
        part_of=None if row.part_of is None else AlertId(row.part_of),
    )


def _event(row: Row[Any]) -> AlertEvent:
    return AlertEvent(
        event_id=EventId(row.event_id),
        alert_id=AlertId(row.alert_id),
        at=row.at,
        event=row.event,
        who=row.who,
        why=row.why,
        details=row.details,
    )
