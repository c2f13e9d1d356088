"""The chart of an alert, drawn from what the database holds of its stream."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from casting_core.alarms import CusumState, advance, trace
from casting_core.alert_chart import ChartHistory, draw_alert_chart
from casting_core.alert_wording import headline
from casting_core.findings import hour_of, start_of
from casting_core.watching import counted, outcomes_of
from db import streams
from db.alerts import find_alert
from flows.outbox import message_timezone
from flows.watching import read_charts, read_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from casting_core.alarms import CusumDesign
    from casting_core.alert_types import Alert, AlertId, AlertKind
    from casting_core.production import Parts
    from flows.resources import Resources

_AROUND, _LEAST = timedelta(hours=24), timedelta(days=4)
_HOUR = timedelta(hours=1)
_COUNTED: dict[AlertKind, str] = {
    "defect_rate_climb": "defective",
    "quarantine_rate_climb": "cannot be judged",
    "review_rate_climb": "in review",
    "score_drift": "unusual scores",
}


def draw_picture(resources: Resources, alert_id: AlertId) -> bytes | None:
    """Draw an alert's chart as PNG; None where there is no rate of one line to show. Raises UnknownAlert."""
    with resources.engine.connect() as connection:
        alert = find_alert(connection, alert_id)
        history = read_history(connection, alert)
    if history is None:
        return None
    return draw_alert_chart(
        history,
        title=headline(alert.finding),
        timezone=message_timezone(resources.settings),
        counted=_COUNTED[alert.finding.kind],
    )


def read_history(connection: Connection, alert: Alert) -> ChartHistory | None:
    """Read the parts of an alert's stream around the change and the signal, and the statistic after each."""
    finding, name = alert.finding, alert.finding.evidence.get("chart")
    newest = streams.read_states(connection).get(finding.stream)
    chart = None if newest is None or name is None else read_charts(newest).get(name)
    if newest is None or chart is None or chart.footing is None:
        return None
    since, until = _stretch(alert, newest=newest.hour)
    parts = read_parts(connection, finding.stream, since=since, until=until)
    if parts is None:
        return None
    parts = counted(name, parts)
    outcomes = outcomes_of(name, parts, chart.threshold)
    stored = streams.read_checkpoints(connection, {finding.line: since}).get(finding.stream)
    before = None if stored is None else read_charts(stored).get(name)
    # From another segment on the chart has begun anew, as it did on the line.
    state = before.cusum if before is not None and before.segment == chart.segment else CusumState()
    return ChartHistory(
        times=_times(parts),
        outcomes=tuple(outcomes.tolist()),
        baseline=finding.baseline_rate or chart.footing.rate,
        statistic=tuple(_until_alarms(chart.footing.design, state, outcomes).tolist()),
        limit=float(chart.footing.design.limit),
        onset=finding.since,
    )


def _stretch(alert: Alert, *, newest: datetime) -> tuple[datetime, datetime]:
    """From as long before the likely change as the signal came after it, a day at least, to a day after the signal.

    The change can have begun much sooner than is likely, above all where parts are few.
    """
    finding = alert.finding
    told = finding.evidence.get("signalled_at")
    signal = alert.opened_at if told is None else datetime.fromisoformat(told)
    change = signal if finding.since is None else finding.since.estimate
    since = start_of(hour_of(change - max(_AROUND, signal - change)))
    return since, min(max(newest, since) + _HOUR, max(signal + _AROUND, since + _LEAST))


def _until_alarms(design: CusumDesign, state: CusumState, outcomes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The statistic after each part, NaN where the chart waits for the recovery."""
    statistic = trace(design, state, outcomes).astype(np.float64)
    waits, begin = state.alarmed, 0
    for signal in advance(design, state, outcomes)[1]:
        place = signal.part - state.parts
        if signal.kind == "recovery":
            statistic[begin:place] = np.nan
        waits, begin = signal.kind == "climb", place
    if waits:
        statistic[begin:] = np.nan
    return statistic


def _times(parts: Parts) -> tuple[datetime, ...]:
    """When each part was made; spread over their hour where the keys tell no more than that."""
    moments = []
    for _, of_hour in parts.by_hour():
        moment = of_hour.captured_at.astype(np.float64)
        if len(of_hour) > 1 and (moment == moment[0]).all():
            moment += np.arange(len(of_hour)) / len(of_hour) * 3_600e6
        moments.append(moment)
    seconds = np.concatenate(moments) / 1e6 if moments else np.empty(0)
    return tuple(datetime.fromtimestamp(second, tz=UTC) for second in seconds.tolist())
