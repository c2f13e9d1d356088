"""Watching on a real database: resumed exactly, told once, killed without a trace, and with every kind of alert."""

import os
import signal
import subprocess
import sys
import textwrap
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import text

from casting_core.types import Window
from db import alerts, streams
from flows.baselines import set_baselines
from flows.watch import watch_once
from tests.db.builders import at_once, eventually, rows, telling, value
from tests.histories import HOUR, START, completed_run
from tests.watched_line import PER_HOUR, SETTINGS, Line, bad, sound


@pytest.fixture
def plant(engine):
    line = Line(engine)
    line.baseline()
    return line


def test_a_climb_is_told_once_grows_quietly_and_closes_by_itself(plant):
    for number in range(3):
        plant.hour(number, sound())
    assert plant.watch(3).opened == 0
    plant.hour(3, bad())
    assert plant.watch(4).opened == 1
    (alert,) = plant.alerts()
    finding = alert.finding
    assert (finding.kind, finding.line, finding.signal) == ("defect_rate_climb", "cam1", "2026-11-02T03:00:00+00:00")
    assert finding.since.low <= START + 3 * HOUR <= finding.since.high
    assert finding.observed_rate == pytest.approx(0.5, abs=0.02)
    assert finding.severity == "critical"
    assert len(finding.examples) == 3
    plant.hour(4, bad())
    again = plant.watch(5)
    assert (again.opened, again.updated, again.resolved) == (0, 0, 0)
    assert plant.alerts()[0].finding.parts > finding.parts
    number = 5
    while plant.alerts("open"):
        plant.hour(number, sound())
        number += 1
        plant.watch(number)
        assert number < 60
    # Not at the first good hour: it must be sure that the rate is back.
    assert number > 6
    assert plant.events() == ["opened", "resolved"]


def test_a_second_watch_adds_nothing(plant):
    plant.hour(0, bad())
    plant.watch(1)
    before = plant.states(), plant.events()
    again = plant.watch(1)
    assert (again.parts, again.opened, again.updated, again.resolved) == (0, 0, 0, 0)
    assert (plant.states(), plant.events()) == before


def test_late_parts_end_in_the_same_state_as_parts_in_time(engine, plant):
    hours = [sound(), bad(share=0.1), sound(), bad(share=0.05), sound()]
    for number, scores in enumerate(hours):
        plant.hour(number, scores)
    plant.watch(5)
    whole = [row for row in plant.states() if row.hour >= START]
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM stream_state"))
        streams.mark_changes(connection, [])
        for table in ("verdict", "quarantine", "image"):
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
        connection.execute(text("DELETE FROM verdict; DELETE FROM image"))
        for table in ("verdict", "quarantine", "image"):
            connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER ALL"))
    ids = [f"P{1000 + number:06d}" for number in range(PER_HOUR)]
    plant.hour(0, hours[0])
    plant.hour(1, hours[1][:20], ids=ids[:20])
    plant.watch(2)
    plant.hour(3, hours[3])
    plant.watch(4)
    plant.hour(1, hours[1][40:], ids=ids[40:])
    plant.hour(4, hours[4])
    assert plant.watch(5).recomputed == 1
    plant.hour(2, hours[2])
    plant.hour(1, hours[1][20:40], ids=ids[20:40])
    assert plant.watch(5).recomputed == 1
    assert [row for row in plant.states() if row.hour >= START] == whole


def test_late_parts_that_change_a_result_are_recorded_as_such(plant):
    scores = sound()
    scores[:12] = 0.95
    # A camera sends its defective parts first; the sound ones of the hours before come late.
    plant.hour(5, scores[:12])
    plant.watch(6)
    (alert,) = plant.alerts("open")
    plant.hour(4, bad(40, share=0.5))
    plant.watch(6)
    event = rows(plant.engine, "SELECT * FROM alert_event ORDER BY event_id")[-1]
    assert event.event == "updated"
    assert event.details["recomputed"] is True
    assert event.details["before"]["signal"] == alert.finding.signal
    assert plant.alerts("open")[0].finding.signal < alert.finding.signal


def test_what_is_older_than_the_look_back_changes_nothing_and_is_counted(plant):
    plant.hour(60, sound())
    plant.watch(61)
    before = plant.states()
    plant.hour(2, bad())
    assert plant.watch(61).too_late == 1
    assert plant.states() == before


def test_a_clock_that_runs_ahead_does_not_hide_what_comes_after(plant):
    plant.hour(0, sound())
    plant.hour(500, sound())
    plant.watch(1)
    plant.hour(1, bad())
    assert plant.watch(2).opened == 1
    assert value(plant.engine, "SELECT count(*) FROM stream_change") == 1


def test_a_clock_that_goes_back_puts_parts_where_they_say_they_belong(plant):
    plant.hour(5, sound())
    plant.watch(6)
    plant.hour(3, sound())
    assert plant.watch(6).recomputed == 1
    assert [row.hour for row in plant.states() if row.hour >= START] == [START + 3 * HOUR, START + 5 * HOUR]


def test_two_watchers_at_once_open_one_alert(plant):
    plant.hour(0, bad())
    results = at_once(*[lambda: plant.watch(1, scored=False)] * 3)
    assert sorted(result.opened for result in results) == [0, 0, 1]
    assert plant.events() == ["opened"]


def test_a_watcher_killed_in_the_middle_has_done_nothing_and_the_next_one_does_it(plant, tmp_path):
    plant.hour(0, bad())
    before = plant.states()
    program = """
        import sys, time
        from datetime import datetime
        from db import alerts
        from db.engine import database_url, make_engine
        from flows.settings import Settings
        from flows.watch import watch_once

        def slow(connection, alert, event):
            print("alert written", flush=True)
            time.sleep(120)

        with make_engine(database_url(sys.argv[1])).begin() as connection:
            now = datetime.fromisoformat(sys.argv[2])
            watch_once(connection, Settings(alert_budget_days=0.25), now=now, outbox=slow)
    """
    url = plant.engine.url.render_as_string(hide_password=False)
    now = (START + HOUR + timedelta(minutes=20)).isoformat()
    command = [sys.executable, "-c", textwrap.dedent(program), url, now]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own program
    try:
        assert process.stdout.readline() == "alert written\n"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in trans%'"
    eventually(lambda: value(plant.engine, others) == 0, what="the server notices")
    assert plant.alerts() == []
    assert plant.states() == before
    outbox = telling("mail")
    assert plant.watch(1, scored=False, outbox=outbox).opened == 1
    assert value(plant.engine, "SELECT count(*) FROM delivery") == 1


def test_a_person_who_closes_an_alert_is_not_contradicted_until_the_next_full_hour(plant):
    plant.hour(0, bad())
    plant.watch(1)
    (alert,) = plant.alerts("open")
    closed_at = START + HOUR + timedelta(minutes=30)
    with plant.engine.begin() as connection:
        alerts.resolve_alert(connection, alert.alert_id, at=closed_at, who="Ada", why="mould changed")
    assert plant.watch(1).opened == 0
    plant.hour(1, bad(20))
    assert plant.watch(2).opened == 0
    plant.hour(2, bad())
    assert plant.watch(3).opened == 1


def test_many_lines_at_once_are_one_alert(engine):
    plant = Line(engine)
    lines = ("cam1", "cam2", "cam3", "cam4")
    plant.baseline(lines=lines)
    plant.hour(0, bad(), line="cam1")
    for line in lines[1:]:
        plant.hour(0, sound(), line=line)
    plant.watch(1)
    assert [alert.finding.line for alert in plant.alerts("open")] == ["cam1"]
    for line in lines[:3]:
        plant.hour(1, bad(), line=line)
    plant.watch(2)
    found = {alert.finding.line: alert for alert in plant.alerts("open")}
    assert set(found) == {"", "cam1"}
    assert found[""].finding.evidence["lines"] == ["cam1", "cam2", "cam3"]
    assert found[""].finding.severity == "critical"
    assert found["cam1"].part_of == found[""].alert_id
    plant.hour(2, bad(), line="cam4")
    assert plant.watch(3).updated == 1
    assert "cam4" in rows(engine, "SELECT why FROM alert_event ORDER BY event_id DESC LIMIT 1")[0].why


def test_a_line_in_maintenance_raises_nothing(plant):
    plant.hour(0, sound())
    plant.watch(1)
    with plant.engine.begin() as connection:
        begin, end = START + HOUR, START + 2 * HOUR
        streams.set_maintenance(connection, "cam1", since=begin, until=end, who="Ada", why="new mould")
    plant.hour(1, bad())
    assert plant.watch(2).opened == 0
    plant.hour(2, bad())
    assert plant.watch(3).opened == 1


def test_a_new_baseline_lets_the_charts_begin_anew(plant):
    for number in range(3):
        plant.hour(number, bad(share=0.5))
    plant.watch(3)
    assert len(plant.alerts("open")) == 1
    with plant.engine.begin() as connection:
        found = set_baselines(
            connection,
            Window(since=START, until=START + 3 * HOUR),
            who="Ada",
            why="this alloy is like that",
            now=START + 3 * HOUR,
        )
    assert {each.kind for each in found} >= {"defect_rate_climb", "review_rate_climb"}
    plant.hour(4, bad(share=0.5))
    assert plant.watch(5).resolved == 1


def test_a_plant_without_baselines_gets_its_first_from_its_first_parts(engine):
    plant = Line(engine)
    plant.hour(0, bad(1_200, share=0.03))
    assert not plant.watch(1).first_baselines
    plant.hour(1, bad(1_200, share=0.03))
    assert plant.watch(2).first_baselines
    assert rows(engine, "SELECT DISTINCT set_by FROM baseline") == [("watch",)]
    plant.hour(3, bad(1_200, share=0.5))
    assert plant.watch(4).opened >= 1


def test_a_line_that_falls_silent_is_noticed_and_its_pictures_end_that(engine):
    plant = Line(engine)
    for number in range(4 * 24):
        plant.hour(number, sound(2))
    assert plant.watch(96).opened == 0
    assert plant.watch(97).opened == 0
    assert plant.watch(98).opened == 1
    (alert,) = plant.alerts("open")
    assert (alert.finding.kind, alert.finding.severity) == ("no_images", "warning")
    plant.watch(103)
    assert plant.alerts("open")[0].finding.severity == "critical"
    plant.hour(103, sound(2))
    assert plant.watch(104).resolved == 1


def test_scoring_that_does_not_finish_is_noticed(plant):
    plant.hour(0, sound())
    plant.watch(1)
    assert plant.watch(3, scored=False).opened == 0
    assert plant.watch(5, scored=False).opened == 1
    (alert,) = plant.alerts("open")
    assert (alert.finding.kind, alert.finding.line, alert.finding.severity) == ("scoring_stalled", "", "critical")
    assert plant.watch(6).resolved == 1


def test_a_backlog_that_waits_too_long_is_noticed(plant):
    now = START + 10 * HOUR
    with plant.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO image (captured_at, uri, etag, line, part_id, size, stored_at, discovered_at) "
                "VALUES (:at, 'u', 'e', 'cam1', 'P', 1, :at, :at)"
            ),
            {"at": START},
        )
    completed_run(plant.engine, plant.model, until=now, backlog=1)
    with plant.engine.begin() as connection:
        watch_once(connection, SETTINGS, now=now)
    (alert,) = plant.alerts("open")
    assert alert.finding.kind == "scoring_stalled"
    assert alert.finding.evidence["backlog"] == 1
    assert alert.finding.evidence["no_completed_run"] is False


def test_pictures_that_cannot_be_judged_and_parts_in_review_have_alerts_of_their_own(plant):
    plant.hour(0, sound(), quarantined=range(30))
    plant.hour(1, np.full(60, 0.4))
    plant.watch(2)
    kinds = {alert.finding.kind: alert.finding for alert in plant.alerts("open")}
    assert {"quarantine_rate_climb", "review_rate_climb"} <= set(kinds)
    assert kinds["review_rate_climb"].severity == "warning"


def test_nothing_at_all_is_watched_without_complaint(engine):
    with engine.begin() as connection:
        summary = watch_once(connection, SETTINGS, now=START)
    assert (summary.streams, summary.parts, summary.opened) == (0, 0, 0)
