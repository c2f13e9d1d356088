"""What a watch does with database and statistics: which hours are new, their parts through the charts, what they find.

No Prefect in here, so that the history can be watched again by a test or a benchmark as it is by the flow.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from casting_core.alert_life import Situation
from casting_core.chart_plan import Plan
from casting_core.chart_records import Chart
from casting_core.errors import InvalidInput
from casting_core.findings import accuracy_on_castings, alarmed, climb_finding, hour_of, start_of, with_climbing
from casting_core.production import DEFECTIVE, QUARANTINED, REVIEW, in_production_order
from casting_core.silence import silence_finding, stalled_finding
from casting_core.streams import attribute_of, attribute_stream, line_of
from casting_core.watching import advance_charts
from db import streams
from db.baselines import read_baselines
from db.streams import StoredState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from casting_core.alert_types import Finding
    from casting_core.chart_plan import ChartName
    from casting_core.chart_records import Alarm
    from casting_core.production import Parts
    from flows.settings import Settings

# Hours that are read at a time: those of fifty busy lines take some 40 MB while they are put in order.
_HOURS_AT_ONCE = 12
# How long an alarm's parts are followed for its numbers, and at least how long after its signal.
_LONGEST_EVIDENCE, _AFTER_SIGNAL = timedelta(days=7), timedelta(days=1)
# What is usual is learnt from four weeks, and one to spare.
USUAL_FROM = timedelta(weeks=5)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class News:
    """Where each stream goes on from, which lines have something new, and which of their hours have to be looked at.

    `recomputed` are the streams of lines on which something changed in hours that had been watched before, `too_late`
    counts hours from before the look-back.
    """

    charts: Mapping[str, Mapping[ChartName, Chart]]
    hours: Mapping[str, Sequence[datetime]]
    newest: Mapping[str, datetime]
    recomputed: frozenset[str]
    too_late: int


@dataclass(kw_only=True)
class Watched:
    """The charts of streams while their parts pass through, and the alarms that came and were over on the way."""

    charts: dict[str, Mapping[ChartName, Chart]]
    over: list[tuple[str, ChartName, Chart, Alarm]] = field(default_factory=list)
    parts: int = 0


def read_plan(connection: Connection, settings: Settings, *, now: datetime) -> Plan:
    """Put together all that is decided outside the parts: baselines, restarts, maintenance, the models' accuracy."""
    since = now - USUAL_FROM
    restarts: dict[tuple[str, str], tuple[int, ...]] = defaultdict(tuple)
    for stream, kind, at in streams.chart_restarts(connection, since=since):
        restarts[stream, kind] = (*restarts[stream, kind], hour_of(at) + 1)
    maintenance: dict[str, tuple[tuple[int, int], ...]] = defaultdict(tuple)
    for line, begin, end in streams.maintenance_windows(connection, since=since):
        last = hour_of(end - timedelta(microseconds=1))
        maintenance[line] = (*maintenance[line], (hour_of(begin), last))
    accuracies = {
        model_id: accuracy
        for model_id, metrics in streams.model_metrics(connection).items()
        if (accuracy := accuracy_on_castings(metrics)) is not None
    }
    return Plan(
        ratio=settings.alert_ratio,
        budget_days=settings.alert_budget_days,
        baselines=read_baselines(connection, since=since),
        restarts=dict(restarts),
        accuracies=accuracies,
        maintenance=dict(maintenance),
    )


def take_news(connection: Connection, *, now: datetime, lookback: timedelta) -> News:
    """Take what was judged since the last watch, and find where each stream has to go on from.

    A line with something new in an hour that was watched before goes back to its charts before that hour, and all of
    its moulds with it. Hours from before the look-back are too late to change anything.
    """
    changes = streams.take_changes(connection, latest=now + _HOUR)
    states = streams.read_states(connection)
    too_late = 0
    back_to: dict[str, datetime] = {}
    hours: dict[str, set[datetime]] = {}
    for line, changed in changes.items():
        known = states.get(line)
        fresh = [hour for hour in changed if known is None or hour > known.hour - lookback]
        too_late += len(changed) - len(fresh)
        if fresh:
            back_to[line], hours[line] = fresh[0], set(fresh)
    again = {line: hour for line, hour in back_to.items() if line in states and hour <= states[line].hour}
    earlier = streams.read_checkpoints(connection, again)
    streams.forget_states(connection, again)
    for line, watched in streams.watched_hours(connection, again).items():
        hours[line].update(watched)
    charts = {}
    for stream, state in states.items():
        begin = earlier.get(stream) if state.line in again else state
        charts[stream] = {} if begin is None else read_charts(begin)
    return News(
        charts=charts,
        hours={line: sorted(found) for line, found in hours.items()},
        newest={stream: state.hour for stream, state in states.items()},
        # The newest hour is usually incomplete when it is watched; going on with it is no change of a result.
        recomputed=frozenset(
            stream
            for stream, state in states.items()
            if state.line in again and again[state.line] < states[state.line].hour
        ),
        too_late=too_late,
    )


def read_charts(state: StoredState) -> dict[ChartName, Chart]:
    """The charts of a stored state. Those of another release begin anew."""
    try:
        return {name: Chart.from_json(stored) for name, stored in state.charts.items()}  # type: ignore[misc]
    except InvalidInput:
        return {}


def watch_news(
    connection: Connection, plan: Plan, news: News, *, lookback: timedelta, keys: Sequence[str] = ()
) -> Watched:
    """Let the parts of all new hours pass through their charts, some hours of all lines at a time, and keep the states.

    Parts that share one of the attributes `keys` are watched beside their line, where there is a baseline for them.
    What is held in memory does not grow with the number of hours.
    """
    watched = Watched(charts=dict(news.charts))
    keys = [key for key in keys if plan.watches(key)]
    # Charts are kept after every hour that late parts may still go back to.
    keep_from = {
        line: max(hours[-1], news.newest.get(line, hours[-1])) - lookback for line, hours in news.hours.items()
    }
    for lines, since, until in _slices(news.hours):
        parts_of = in_production_order(streams.read_verdicts(connection, lines, since=since, until=until, keys=keys))
        states: list[StoredState] = []
        for number, line in enumerate(lines):
            if number not in parts_of:
                continue
            begin = hour_of(news.hours[line][0])
            for stream, parts in _streams_of(line, parts_of[number]):
                hours = [each for each in parts.by_hour() if each[0] >= begin]
                states += _watch_stream(plan, stream, hours, watched, keep_from=hour_of(keep_from[line]))
        streams.write_states(connection, states)
    return watched


def _streams_of(line: str, parts: Parts) -> Iterator[tuple[str, Parts]]:
    """A line with all of its parts, and those of them that share an attribute."""
    yield line, parts
    for (key, value), shared in parts.by_attribute().items():
        yield attribute_stream(line, key, value), shared


def _slices(hours_of: Mapping[str, Sequence[datetime]]) -> Iterator[tuple[list[str], datetime, datetime]]:
    """Cut the hours to be read into stretches, each with the lines that have hours in it."""
    lines_in: dict[datetime, set[str]] = defaultdict(set)
    for line, hours in hours_of.items():
        for hour in hours:
            lines_in[hour].add(line)
    wanted = sorted(lines_in)
    position = 0
    while position < len(wanted):
        since = wanted[position]
        stretch = [
            hour for hour in wanted[position : position + _HOURS_AT_ONCE] if hour - since < _HOURS_AT_ONCE * _HOUR
        ]
        yield sorted(set().union(*(lines_in[hour] for hour in stretch))), since, stretch[-1] + _HOUR
        position += len(stretch)


def _watch_stream(
    plan: Plan, stream: str, hours: Sequence[tuple[int, Parts]], watched: Watched, *, keep_from: int
) -> Iterator[StoredState]:
    """Let the parts of some hours of a stream pass, and give what is to be kept after each hour."""
    # Those after the last hour before as well: late parts of the next one go back to it.
    before = [hour for hour, _ in hours if hour < keep_from]
    charts = watched.charts.get(stream, {})
    advanced = advance_charts(plan, stream, charts, hours, keep_from=before[-1] if before else keep_from)
    watched.charts[stream] = advanced.charts
    watched.over += [(stream, name, chart, alarm) for name, chart, alarm in advanced.over]
    line = line_of(stream)
    for hour, parts in hours:
        watched.parts += len(parts) if stream == line else 0
        kept = {name: chart.as_json() for name, chart in advanced.after.get(hour, {}).items()}
        yield StoredState(stream=stream, line=line, hour=start_of(hour), seen=_seen(parts), charts=kept)


def _seen(parts: Parts) -> dict[str, int]:
    counts = np.bincount(parts.outcome, minlength=4)
    return {"parts": int(counts[:QUARANTINED].sum()), "defective": int(counts[DEFECTIVE]),
            "review": int(counts[REVIEW]), "quarantined": int(counts[QUARANTINED])}  # fmt: skip


def find_situation(
    connection: Connection, plan: Plan, watched: Watched, *, settings: Settings, now: datetime, news: News
) -> Situation:
    """Put together what is wrong now: charts that have signalled, lines that are silent, scoring that stalls."""
    findings = [
        finding
        for stream, charts in watched.charts.items()
        for name, alarm in alarmed(charts)
        if (finding := _finding(connection, plan, stream, name=name, chart=charts[name], alarm=alarm)) is not None
    ]
    over = [
        (finding, start_of(alarm.over or alarm.place.hour))
        for stream, name, chart, alarm in watched.over
        if (finding := _finding(connection, plan, stream, name=name, chart=chart, alarm=alarm)) is not None
    ]
    active = streams.active_hours(connection, since=now - USUAL_FROM)
    silent, stalled = _silence(connection, plan, active, settings=settings, now=now)
    recently = now - timedelta(days=1)
    return Situation(
        findings=[*with_climbing(findings), *silent, *stalled],
        over=over,
        watched=frozenset(watched.charts),
        recomputed=news.recomputed,
        lines=sum(hours[-1] >= recently for hours in active.values()) or len(watched.charts),
    )


def _finding(
    connection: Connection, plan: Plan, stream: str, *, name: ChartName, chart: Chart, alarm: Alarm
) -> Finding | None:
    since = start_of(alarm.earliest.hour)
    # An alarm that is over is told of up to there.
    longest = max(since + _LONGEST_EVIDENCE, start_of(alarm.place.hour + 1) + _AFTER_SIGNAL)
    until = longest if alarm.over is None else start_of(alarm.over + 1)
    parts = read_parts(connection, stream, since=since, until=until)
    if parts is None:
        return None
    return climb_finding(plan, stream, name=name, chart=chart, alarm=alarm, since_earliest=parts)


def read_parts(connection: Connection, stream: str, *, since: datetime, until: datetime) -> Parts | None:
    """The parts of one stream in a stretch of time, in production order; None where there are none."""
    attribute = attribute_of(stream)
    keys = [] if attribute is None else [attribute[0]]
    verdicts = streams.read_verdicts(connection, [line_of(stream)], since=since, until=until, keys=keys)
    parts = in_production_order(verdicts).get(0)
    if parts is None or attribute is None:
        return parts
    shared = parts.of_attribute(*attribute)
    return shared if len(shared) else None


def _silence(
    connection: Connection, plan: Plan, active: Mapping[str, Sequence[datetime]], *, settings: Settings, now: datetime
) -> tuple[list[Finding], list[Finding]]:
    health, covered = streams.scoring_health(connection, since=now - USUAL_FROM, until=now)
    stalled = stalled_finding(health, now=now, hours=settings.alert_stalled_hours)
    if covered is None:
        return [], [stalled] if stalled else []
    now_hour = hour_of(min(covered, now))
    recent = streams.hours_with_pictures(
        connection, since=start_of(now_hour) - 4 * settings.alert_silent_hours * _HOUR, until=start_of(now_hour + 1)
    )
    silent = [
        silence_finding(
            line,
            active={hour_of(hour) for hour in [*active.get(line, ()), *recent.get(line, ())]},
            now_hour=now_hour,
            hours=settings.alert_silent_hours,
            timezone=settings.layout.timezone,
            in_maintenance=partial(plan.in_maintenance, line),
        )
        for line in active
    ]
    return [finding for finding in silent if finding is not None], [stalled] if stalled else []
