"""`casting alerts ...` as a person types it, in this process; the exit codes and what stands on the screen."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from casting_core.alert_types import Corrected, Finding, Onset
from db import alerts
from flows.cli import app
from flows.outbox import alert_outbox
from flows.settings import load_settings
from tests.receiver import Receiver

NOW = datetime.now(tz=UTC).replace(microsecond=0)
CLIMB = Finding(
    kind="defect_rate_climb",
    severity="critical",
    stream="line-b",
    line="line-b",
    signal="s1",
    since=Onset(low=NOW - timedelta(minutes=30), estimate=NOW - timedelta(minutes=20), high=NOW),
    parts=34,
    observed_rate=0.3,
    corrected=Corrected(rate=0.27, low=0.14, high=0.43),
    baseline_rate=0.05,
    examples=("B20003", "B20007"),
)
STALLED = Finding(kind="scoring_stalled", severity="critical", stream="", line="", signal="s1")


@pytest.fixture
def casting(plant, monkeypatch):
    """Type a command; return what came of it, its output as it stands on the screen."""
    monkeypatch.setenv("CASTING_USER", "Ada")

    def run(*arguments):
        return CliRunner().invoke(app, arguments)

    return run


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def opened(plant):
    """Open an alert as the watch does."""

    def opened(finding=CLIMB):
        settings = load_settings()
        with plant.resources.engine.begin() as connection:
            connection.execute(
                text("INSERT INTO stream_state (stream, line, hour, seen, charts) "
                     "VALUES (:line, :line, now(), '{}', '{}') ON CONFLICT (stream, hour) DO NOTHING"),
                {"line": finding.line or "line-a"},
            )  # fmt: skip
            return alerts.open_alert(
                connection,
                finding,
                at=NOW,
                who="watch",
                why="It passed its limit.",
                outbox=alert_outbox(settings),
            )

    return opened


def plain(done):
    return done.output.replace("\N{NO-BREAK SPACE}", " ")


def test_list_shows_what_is_not_over(casting, opened):
    assert "No alert is open." in casting("alerts", "list").output
    opened()
    second = opened(STALLED)
    shown = plain(casting("alerts", "list"))
    assert "line-b: defect rate climbs, 30 % instead of 5 %" in shown
    assert "Whole plant: parts are not being judged" in shown
    assert casting("alerts", "resolve", str(second.alert_id), "--why", "it runs").exit_code == 0
    assert "Whole plant" not in casting("alerts", "list").output
    assert "Whole plant" in casting("alerts", "list", "--all").output
    (listed,) = json.loads(casting("alerts", "list", "--json").output)
    assert (listed["kind"], listed["line"], listed["state"]) == ("defect_rate_climb", "line-b", "open")


def test_list_of_a_line_shows_the_whole_plants_too(casting, opened):
    opened()
    opened(STALLED)
    kinds = [each["kind"] for each in json.loads(casting("alerts", "list", "--line", "line-a", "--json").output)]
    assert kinds == ["scoring_stalled"]


def test_show_tells_the_message_the_history_and_who_knows(casting, opened, monkeypatch):
    monkeypatch.setenv("CASTING_ALERT_URLS", "chat:=json://127.0.0.1:1/planted-secret")
    alert = opened()
    casting("alerts", "ack", str(alert.alert_id), "--why", "mould 3 is being changed")
    shown = plain(casting("alerts", "show", str(alert.alert_id)))
    for said in (
        "More parts than usual are judged defective on line-b.",
        "Look at: B20003, B20007",
        "mould 3 is being changed",
        "Ada",
        "acknowledged",
        "chat",
    ):
        assert said in shown
    assert "planted-secret" not in shown
    told = json.loads(casting("alerts", "show", str(alert.alert_id), "--json").output)
    assert [event["event"] for event in told["events"]] == ["opened", "acknowledged"]
    assert {sending["channel"] for sending in told["deliveries"]} == {"chat", "prefect"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "77"), "There is no alert 77"),
        (("ack", "77", "--why", "x"), "There is no alert 77"),
        (("ack", "1", "--why", "  "), "Say why"),
        (("snooze", "line-z", "--why", "x"), "There is no line 'line-z'. Those that have sent pictures: line-b"),
        (("snooze", "line-b", "--for", "soon", "--why", "x"), "'soon' is none"),
        (("snooze", "line-b", "--for", "0h", "--why", "x"), "'0h' is none"),
        (("snooze", "line-b", "--for", "365d", "--why", "x"), "at most 90d"),
        (("snooze", "--why", "x"), "Name one line, or say --all-lines"),
        (("snooze", "line-b", "--all-lines", "--why", "x"), "Name one line, or say --all-lines"),
        (("snooze", "line-b"), "Say why"),
        (("test", "nobody"), "There is no channel nobody"),
        (("test",), "There is no channel set"),
        (("test", "slak://planted-secret"), "Did you mean slack://"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, tuple) else "",
)
def test_what_cannot_be_done_is_said_in_one_line(casting, opened, arguments, says):
    opened()
    done = casting("alerts", *arguments)
    assert done.exit_code == 1
    assert says in done.output
    assert "Traceback" not in done.output
    assert "planted-secret" not in done.output


def test_twice_is_refused_by_name(casting, opened):
    alert = opened()
    assert casting("alerts", "resolve", str(alert.alert_id), "--why", "done").exit_code == 0
    again = casting("alerts", "ack", str(alert.alert_id), "--why", "me too")
    assert again.exit_code == 1
    assert "is resolved" in again.output


def test_a_snooze_is_an_event_of_the_lines_alerts_and_can_be_ended(casting, opened, plant, monkeypatch):
    monkeypatch.setenv("CASTING_ALERT_URLS", "chat:=json://127.0.0.1:1/x")
    first = opened()
    done = casting("alerts", "snooze", "line-b", "--for", "2h", "--why", "set-up")
    assert done.exit_code == 0, done.output
    assert "No messages about line-b until" in done.output
    assert plant.sql("SELECT event, who, why FROM alert_event ORDER BY event_id") == [
        ("opened", "watch", "It passed its limit."),
        ("snoozed", "Ada", "set-up"),
    ]
    casting("alerts", "resolve", str(first.alert_id), "--why", "x")
    opened()
    held = "SELECT count(*) FROM delivery WHERE channel = 'chat' AND next_attempt_at > now() + interval '1 hour'"
    ((before,),) = plant.sql(held)
    assert before > 0
    assert "1 snoozes of line-b ended." in casting("alerts", "snooze", "line-b", "--end").output
    assert plant.sql(held) == [(0,)]


def test_all_lines_can_be_snoozed(casting, opened, plant):
    opened()
    assert casting("alerts", "snooze", "--all-lines", "--for", "90m", "--why", "holiday").exit_code == 0
    assert plant.sql("SELECT line, round(extract(epoch FROM until - since) / 60)::int FROM snooze") == [("", 90)]


def test_a_channel_can_be_tried_by_name_by_url_and_all_together(casting, receiver, monkeypatch):
    monkeypatch.setenv("CASTING_ALERT_URLS", f"chat:={receiver.url} dead:=json://127.0.0.1:1/planted-secret")
    assert "chat took the message" in casting("alerts", "test", "chat").output
    assert casting("alerts", "test", receiver.url).exit_code == 0
    both = casting("alerts", "test")
    assert both.exit_code == 1
    assert "chat took the message" in both.output
    assert "dead did not take the message" in both.output
    assert "planted-secret" not in both.output
    assert [got["event"] for got in receiver.received] == ["test"] * 3


def test_channels_are_listed_with_what_they_take_and_lack(casting, opened, receiver, monkeypatch):
    assert "nobody hears of alerts" in casting("alerts", "channels").output
    monkeypatch.setenv("CASTING_ALERT_URLS", f"chat:critical@line-a,line-b={receiver.url}")
    opened()
    (row,) = json.loads(casting("alerts", "channels", "--json").output)
    assert row == {
        "channel": "chat",
        "service": "json",
        "takes": "critical",
        "lines": "line-a, line-b",
        "waiting": 1,
        "last_error": None,
    }
    assert "planted-secret" not in casting("alerts", "channels").output


def test_deliver_sends_what_waits(casting, opened, receiver, prefect_server, monkeypatch):
    monkeypatch.setenv("CASTING_ALERT_URLS", f"chat:={receiver.url}")
    opened()
    assert json.loads(casting("alerts", "deliver", "--json").output.splitlines()[-1]) == {
        "delivered": 2,
        "failed": 0,
        "given_up": 0,
    }
    assert len(receiver.received) == 1


def test_doctor_says_what_has_not_been_delivered(casting, opened, plant, monkeypatch):
    from flows.health import check_alerts

    finding = check_alerts(load_settings())
    assert finding.well
    assert "nobody hears of alerts" in finding.text
    monkeypatch.setenv("CASTING_ALERT_URLS", "chat:=json://127.0.0.1:1/planted-secret")
    assert "1 channels, nothing undelivered: chat" in check_alerts(load_settings()).text
    opened()
    with plant.resources.engine.begin() as connection:
        connection.execute(text("UPDATE delivery SET delivered_at = now() WHERE channel = 'prefect'"))
        connection.execute(text("UPDATE delivery SET attempts = 3, last_error = 'chat answered 500.'"))
    finding = check_alerts(load_settings())
    assert not finding.well
    assert "1 messages wait for the channel chat since" in finding.text
    assert "after 3 tries (chat answered 500). Try: casting alerts test chat" in finding.text
    monkeypatch.setenv("CASTING_ALERT_URLS", "")
    assert "it is not set any more" in check_alerts(load_settings()).text
