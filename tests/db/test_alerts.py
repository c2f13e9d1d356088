"""Alerts in the database: each change with its event and its messages, or nothing of all that."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from casting_core.alert_types import Corrected, Finding, Onset
from db import alerts
from db.errors import UnknownAlert, WrongAlertState
from tests.db.builders import at_once, rows, telling, value

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
CLIMB = Finding(
    kind="defect_rate_climb",
    severity="warning",
    stream="cam1",
    line="cam1",
    signal="2026-11-23T08:00Z/41",
    since=Onset(low=NOW - timedelta(hours=3), estimate=NOW - timedelta(hours=2), high=NOW - timedelta(hours=1)),
    parts=300,
    observed_rate=0.05,
    corrected=Corrected(rate=0.04, low=0.02, high=0.07),
    baseline_rate=0.02,
    evidence={"statistic": 300, "limit": 247},
    examples=("P1", "P2"),
)
STALLED = Finding(kind="scoring_stalled", severity="critical", stream="", line="", signal="2026-11-23T04:00Z")


def opened(engine, finding=CLIMB, **options):
    with engine.begin() as connection:
        return alerts.open_alert(connection, finding, at=NOW, who="watch", why="it climbs", **options)


def test_an_alert_comes_back_as_it_was_written(engine):
    for finding in (CLIMB, STALLED):
        alert = opened(engine, finding)
        with engine.connect() as connection:
            assert alerts.find_alert(connection, alert.alert_id) == alert
        assert alert.finding == finding
        assert (alert.state, alert.opened_at) == ("open", NOW)
    assert alert.to_json()["kind"] == "scoring_stalled"


def test_a_second_open_of_the_same_stream_and_kind_changes_nothing(engine):
    opened(engine)
    assert opened(engine, replace(CLIMB, signal="another")) is None
    assert value(engine, "SELECT count(*) FROM alert_event") == 1


def test_of_two_that_open_at_once_one_does(engine):
    results = at_once(*[lambda: opened(engine)] * 4)
    assert sum(result is not None for result in results) == 1
    assert value(engine, "SELECT count(*) FROM alert") == 1


def test_a_life_leaves_its_events_with_who_and_why(engine):
    alert = opened(engine)
    worse = replace(CLIMB, severity="critical", observed_rate=0.1)
    with engine.begin() as connection:
        alerts.update_alert(connection, alert, worse, at=NOW, who="watch", why="it got worse")
        alerts.acknowledge_alert(connection, alert.alert_id, at=NOW, who="Ada", why="mould 3 is being changed")
        closed = alerts.resolve_alert(connection, alert.alert_id, at=NOW, who="watch", why="it is back")
        again = alerts.reopen_alert(connection, closed, worse, at=NOW, who="watch", why="late parts")
        events = alerts.events_of(connection, alert.alert_id)
    assert [event.event for event in events] == ["opened", "updated", "acknowledged", "resolved", "reopened"]
    assert (events[2].who, events[2].why) == ("Ada", "mould 3 is being changed")
    assert closed.resolved_by == "watch"
    assert (again.state, again.finding, again.resolved_at) == ("open", worse, None)


def test_messages_are_written_with_the_change_or_not_at_all(engine):
    outbox = telling("mail", "chat")
    with engine.connect() as connection:
        alerts.open_alert(connection, CLIMB, at=NOW, who="watch", why="it climbs", outbox=outbox)
        connection.rollback()
    assert value(engine, "SELECT count(*) FROM alert") == value(engine, "SELECT count(*) FROM delivery") == 0
    opened(engine, outbox=outbox)
    assert rows(engine, "SELECT channel FROM delivery ORDER BY channel") == [("chat",), ("mail",)]


def test_what_does_not_fit_the_state_is_refused_by_name(engine):
    alert = opened(engine)
    with engine.begin() as connection:
        alerts.acknowledge_alert(connection, alert.alert_id, at=NOW, who="Ada", why="I look")
        with pytest.raises(WrongAlertState, match=f"Alert {alert.alert_id} is acknowledged.*casting alerts show"):
            alerts.acknowledge_alert(connection, alert.alert_id, at=NOW, who="Bob", why="me too")
        alerts.resolve_alert(connection, alert.alert_id, at=NOW, who="Ada", why="changed")
        with pytest.raises(WrongAlertState, match="is resolved"):
            alerts.resolve_alert(connection, alert.alert_id, at=NOW, who="Ada", why="changed")
        with pytest.raises(UnknownAlert, match="no alert 77"):
            alerts.resolve_alert(connection, 77, at=NOW, who="Ada", why="changed")


def test_alerts_are_listed_by_state_and_line_with_those_of_the_whole_plant(engine):
    climb, stalled = opened(engine), opened(engine, STALLED)
    other = opened(engine, replace(CLIMB, stream="cam2", line="cam2"))
    with engine.begin() as connection:
        alerts.resolve_alert(connection, other.alert_id, at=NOW, who="Ada", why="changed")
        assert {a.alert_id for a in alerts.read_alerts(connection)} == {climb.alert_id, stalled.alert_id}
        assert {a.alert_id for a in alerts.read_alerts(connection, line="cam2")} == {stalled.alert_id}
        assert [a.alert_id for a in alerts.read_alerts(connection, states=["resolved"])] == [other.alert_id]
        newest = alerts.newest_alerts(connection)
    assert set(newest) == {("cam1", CLIMB.kind), ("cam2", CLIMB.kind), ("", "scoring_stalled")}
