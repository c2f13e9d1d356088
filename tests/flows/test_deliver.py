"""Alerts reach their channels through the real flow, database and HTTP, whatever the channels do."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from sqlalchemy import text

from casting_core.alert_types import Finding
from db import alerts
from flows.outbox import alert_outbox
from flows.resources import open_resources
from flows.settings import load_settings
from tests.db.builders import eventually
from tests.receiver import Receiver

NOW = datetime.now(tz=UTC).replace(microsecond=0)
SECRET = "planted-secret"  # noqa: S105 - what the tests look for


OPEN_AND_DIE = """
import os, signal
from datetime import UTC, datetime
from casting_core.alert_types import Finding
from db import alerts
from db.engine import database_url, make_engine
from flows.outbox import alert_outbox
from flows.settings import load_settings
settings = load_settings()
found = Finding(kind="no_images", severity="warning", stream="line-a", line="line-a", signal="s1")
with make_engine(database_url(settings.database_url.get_secret_value())).begin() as connection:
    alerts.open_alert(
        connection, found, at=datetime.now(tz=UTC), who="watch", why="nothing", outbox=alert_outbox(settings)
    )
os.kill(os.getpid(), signal.SIGKILL)
"""


def finding(line="line-a", *, kind="no_images", severity="warning", **more):
    return Finding(kind=kind, severity=severity, stream=line, line=line, signal="s1", **more)


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def other():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def alerting(plant, prefect_server, monkeypatch):
    """A plant whose channels are set with `alerting.channels(...)`."""
    monkeypatch.setenv("CASTING_ALERT_RETRY_SECONDS", "0")
    monkeypatch.setenv("CASTING_ALERT_TIMEOUT_SECONDS", "5")

    class Alerting:
        sql = staticmethod(plant.sql)

        @staticmethod
        def set(**environment):
            for name, value in environment.items():
                monkeypatch.setenv(f"CASTING_ALERT_{name.upper()}", str(value))

        @property
        def outbox(self):
            return alert_outbox(load_settings())

        def open(self, found=None):
            with plant.resources.engine.begin() as connection:
                return alerts.open_alert(
                    connection, found or finding(), at=NOW, who="watch", why="nothing for 2 hours", outbox=self.outbox
                )

        def resolve(self, alert):
            with plant.resources.engine.begin() as connection:
                return alerts.resolve_alert(
                    connection, alert.alert_id, at=NOW, who="watch", why="pictures arrive again", outbox=self.outbox
                )

        @staticmethod
        def deliver():
            from flows.deliver import deliver

            return deliver()

        def undelivered(self):
            return self.sql(
                "SELECT channel, attempts, last_error FROM delivery WHERE delivered_at IS NULL ORDER BY delivery_id"
            )

        @staticmethod
        def due_now():
            with open_resources(load_settings()).engine.begin() as connection:
                connection.execute(text("UPDATE delivery SET next_attempt_at = now() WHERE attempts > 0"))

        @staticmethod
        def written_days_ago(days):
            with open_resources(load_settings()).engine.begin() as connection:
                connection.execute(text("UPDATE delivery SET created_at = now() - :age"), {"age": timedelta(days=days)})

    return Alerting()


def test_an_alert_reaches_its_channel_and_prefect_once(alerting, receiver):
    alerting.set(urls=f"hook:={receiver.url}")
    alert = alerting.open()
    summary = alerting.deliver()
    assert (summary.delivered, summary.failed) == (2, 0)
    assert alerting.deliver().delivered == 0
    (got,) = receiver.received
    assert got["title"] == "line-a: no pictures arrive"
    assert got["alert_id"] == alert.alert_id
    assert got["key"].startswith(f"casting-{alert.alert_id}-1-hook-")


def test_a_resolved_alert_follows_the_opened_one_in_order(alerting, receiver):
    alerting.set(urls=f"hook:={receiver.url}")
    alerting.resolve(alerting.open())
    alerting.deliver()
    assert [got["event"] for got in receiver.received] == ["opened", "resolved"]


def test_prefect_hears_of_an_alert_as_an_event_for_its_automations(alerting, prefect_server):
    import httpx
    from prefect.settings import PREFECT_API_URL

    alert = alerting.open(finding(severity="critical"))
    alerting.deliver()
    wanted = {
        "filter": {
            "event": {"name": ["casting.alert.no_images"]},
            "occurred": {"since": (NOW - timedelta(hours=1)).isoformat()},
            "resource": {"id": [f"casting.alert.{alert.alert_id}"]},
        }
    }

    def found():
        events = httpx.post(f"{PREFECT_API_URL.value()}/events/filter", json=wanted).json()["events"]
        # Other tests' plants share this server.
        return [each for each in events if each["payload"]["title"] == "CRITICAL · line-a: no pictures arrive"]

    (event,) = eventually(found, what="the server shows the event", seconds=20)
    assert event["resource"]["casting.severity"] == "critical"
    assert event["resource"]["casting.event"] == "opened"
    assert "-prefect-" in event["payload"]["key"]


@pytest.mark.parametrize("fault", [500, 403, "hang", "refuse"], ids=str)
def test_a_channel_that_fails_costs_the_others_nothing(alerting, receiver, other, fault):
    receiver.answer = fault
    sick = "json://127.0.0.1:1/planted-secret" if fault == "refuse" else receiver.url
    alerting.set(urls=f"sick:={sick} well:={other.url}", timeout_seconds=1)
    alerting.open()
    began = time.monotonic()
    summary = alerting.deliver()
    assert time.monotonic() - began < 15
    assert (summary.delivered, summary.failed) == (2, 1)
    assert [got["title"] for got in other.received] == ["line-a: no pictures arrive"]
    ((channel, attempts, error),) = alerting.undelivered()
    assert (channel, attempts) == ("sick", 1)
    assert "sick" in error
    assert SECRET not in error


def test_a_channel_that_recovers_gets_what_waited_under_the_same_key(alerting, receiver):
    receiver.answer = 500
    alerting.set(urls=f"hook:={receiver.url}")
    alerting.open()
    alerting.deliver()
    receiver.answer = 200
    assert alerting.deliver().delivered == 0, "it waits before it tries again"
    alerting.due_now()
    assert alerting.deliver().delivered == 1
    assert len(receiver.keys) == 2
    assert len(set(receiver.keys)) == 1
    assert alerting.undelivered() == []


def test_one_run_tries_again_for_a_while(alerting, receiver, monkeypatch):
    monkeypatch.setattr("db.deliveries.FIRST_WAIT_SECONDS", 0.2)
    receiver.answer = 500
    alerting.set(urls=f"hook:={receiver.url}", retry_seconds=1)
    alerting.open()
    summary = alerting.deliver()
    assert summary.failed >= 2
    assert len(set(receiver.keys)) == 1


def test_many_messages_at_once_become_one(alerting, receiver):
    alerting.set(urls=f"hook:={receiver.url}", digest_above=2)
    for line in "abc":
        alerting.open(finding(f"line-{line}"))
    alerting.deliver()
    (got,) = receiver.received
    assert got["title"] == "3 messages about alerts"
    assert [each["line"] for each in got["alerts"]] == ["line-a", "line-b", "line-c"]
    assert alerting.undelivered() == []


def test_a_digest_that_fails_is_repeated_under_its_own_key(alerting, receiver):
    receiver.answer = 500
    alerting.set(urls=f"hook:={receiver.url}", digest_above=2)
    opened = [alerting.open(finding(f"line-{line}")) for line in "abc"]
    alerting.deliver()
    alerting.resolve(opened[0])
    receiver.answer = 200
    alerting.due_now()
    alerting.deliver()
    assert [got["title"] for got in receiver.received] == [
        "3 messages about alerts",
        "3 messages about alerts",
        "Over: no pictures on line-a",
    ]
    assert receiver.keys[0] == receiver.keys[1] != receiver.keys[2]
    assert alerting.undelivered() == []


def test_alerts_are_routed_by_severity_and_line(alerting, receiver):
    alerting.set(urls=f"all:={receiver.url} bad:critical={receiver.url} a:@line-a={receiver.url}")
    for found in (finding(), finding("line-b", severity="critical"), finding("", kind="scoring_stalled")):
        alerting.open(found)
    assert alerting.sql(
        "SELECT channel, string_agg(alert.line, ',' ORDER BY alert.alert_id) FROM delivery JOIN alert USING (alert_id) "
        "GROUP BY channel ORDER BY channel"
    ) == [("a", "line-a,"), ("all", "line-a,line-b,"), ("bad", "line-b"), ("prefect", "line-a,line-b,")]


def test_who_heard_of_the_beginning_hears_of_the_end_though_it_is_less_severe_by_then(alerting, plant, receiver):
    alerting.set(urls=f"bad:critical={receiver.url}")
    alert = alerting.open(finding(severity="critical"))
    with plant.resources.engine.begin() as connection:
        alerts.refresh_alert(connection, alert, finding(severity="warning"), at=NOW)
    alerting.resolve(alert)
    alerting.deliver()
    assert [got["event"] for got in receiver.received] == ["opened", "resolved"]


def test_a_snoozed_line_is_told_of_after_its_snooze_or_never_if_it_is_over_by_then(alerting, plant, receiver):
    alerting.set(urls=f"hook:={receiver.url}")
    with plant.resources.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO snooze (line, until, who, why) VALUES ('line-a', now() + '1 hour', 'Ada', 'set up')")
        )
    first = alerting.open()
    alerting.deliver()
    alerting.resolve(first)
    alerting.open(finding("line-a", kind="score_drift"))
    alerting.deliver()
    assert receiver.received == []
    with plant.resources.engine.begin() as connection:
        connection.execute(text("UPDATE delivery SET next_attempt_at = now() WHERE delivered_at IS NULL"))
    alerting.deliver()
    assert [got["kind"] for got in receiver.received] == ["score_drift"]


def test_killed_between_alert_and_delivery_nothing_is_lost(alerting, receiver):
    alerting.set(urls=f"hook:={receiver.url}")
    done = subprocess.run([sys.executable, "-c", OPEN_AND_DIE], capture_output=True, check=False, timeout=120)  # noqa: S603
    assert done.returncode == -9, done.stderr
    assert receiver.received == []
    alerting.deliver()
    assert len(receiver.received) == 1


def test_killed_between_delivery_and_its_record_it_is_repeated_under_the_same_key(alerting, receiver):
    receiver.answer = "hang"
    alerting.set(urls=f"hook:={receiver.url}", timeout_seconds=60)
    alerting.open()
    script = "from flows.deliver import deliver_to; deliver_to.fn('hook')"
    victim = subprocess.Popen([sys.executable, "-c", script], env=os.environ)  # noqa: S603
    assert receiver.arrived.wait(60), "the message was to arrive first"
    victim.kill()
    victim.wait()
    receiver.answer = 200
    receiver.let_go.set()
    assert alerting.undelivered()[-1] == ("hook", 0, None), "the record was to be missing"
    alerting.deliver()
    assert len(receiver.keys) == 2
    assert len(set(receiver.keys)) == 1
    assert alerting.undelivered() == []


def test_a_channel_that_is_not_set_any_more_keeps_its_messages_until_they_are_given_up(alerting, receiver):
    alerting.set(urls=f"hook:={receiver.url}")
    alerting.open()
    alerting.set(urls="")
    alerting.deliver()
    assert [row[0] for row in alerting.undelivered()] == ["hook"]
    alerting.written_days_ago(4)
    assert alerting.deliver().given_up == 1
    assert receiver.received == []


def test_after_days_of_standstill_what_was_never_tried_is_sent_and_not_given_up(alerting, receiver):
    alerting.set(urls=f"hook:={receiver.url}")
    alerting.open()
    alerting.written_days_ago(4)
    done = alerting.deliver()
    assert (done.given_up, alerting.undelivered()) == (0, [])
    assert len(receiver.received) == 1


def test_a_clock_that_is_days_ahead_gives_nothing_up(alerting, receiver):
    alerting.set(urls=f"hook:={receiver.url}")
    receiver.answer = 500
    alerting.open()
    with time_machine.travel(NOW + timedelta(days=4), tick=True):
        assert alerting.deliver().given_up == 0
    receiver.answer = 200
    alerting.due_now()
    alerting.deliver()
    assert alerting.undelivered() == []


def test_no_secret_stands_in_the_database_the_log_or_the_flow(alerting, receiver, capfd, caplog):
    caplog.set_level("DEBUG")
    receiver.answer = 500
    alerting.set(urls=f"hook:={receiver.url}")
    alerting.open()
    alerting.deliver()
    rows = alerting.sql("SELECT delivery::text FROM delivery") + alerting.sql(
        "SELECT alert_event::text FROM alert_event"
    )
    heard = capfd.readouterr()
    assert SECRET not in str(rows) + heard.out + heard.err + caplog.text
    assert "500" in str(rows)


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"urls": f"slak://{SECRET}"}, "slack"),
        ({"urls": f"json://u:{SECRET}@h:99999"}, "65535"),
        ({"link": "https://bi/{machine}"}, "alert_id"),
        ({"timezone": "Mars/Olympus"}, "Europe/Berlin"),
    ],
    ids=["service", "port", "link", "time zone"],
)
def test_a_wrong_setting_is_refused_when_it_is_set(alerting, environment, says):
    from pydantic import ValidationError

    alerting.set(**environment)
    with pytest.raises(ValidationError, match=says) as refused:
        load_settings()
    assert SECRET not in str(refused.value)
