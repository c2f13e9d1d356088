"""Channels are read, checked and routed; their secrets stay theirs. Sending is tested over real HTTP."""

import base64
import logging
import threading
import time

import pytest

from casting_core.alert_channels import Channel, parse_channels
from casting_core.alert_message import compose, compose_test
from casting_core.alert_sending import send_message
from casting_core.errors import ChannelFailed, InvalidChannel
from tests.casting_core.alert_examples import alert_of, climb, event_of
from tests.casting_core.test_alert_message import BERLIN
from tests.receiver import Receiver

SECRET = "planted-secret"  # noqa: S105 - what the tests look for
MESSAGE = compose(alert_of(climb()), event_of(), key="casting-17-42-hook", timezone=BERLIN)


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


def channel(url):
    return parse_channels(f"hook:={url}")[0]


@pytest.mark.parametrize(
    ("text", "name", "severity", "lines"),
    [
        ("json://h", None, "warning", ()),
        ("critical=json://h", None, "critical", ()),
        ("CRITICAL=json://h?to=a=b", None, "critical", ()),
        ("@line-a=json://h", None, "warning", ("line-a",)),
        ("foremen:critical@line-a,line-b=json://h", "foremen", "critical", ("line-a", "line-b")),
        ("it:=json://h", "it", "warning", ()),
        ("mail:=mailto://u:p@mail.example?to=a@x.example,b@x.example", "mail", "warning", ()),
    ],
)
def test_an_entry_says_what_its_channel_takes(text, name, severity, lines):
    (read,) = parse_channels(text)
    assert (read.least_severity, read.lines) == (severity, lines)
    assert read.name == name or (name is None and read.name.startswith("json-"))
    assert read.url == text[text.index(text.partition("://")[0].rpartition("=")[2]) :]


def test_channels_stand_one_a_line_or_with_blanks_between():
    text = "\n  a:=json://h\n\n  b:=json://h   c:critical=json://h\n"
    assert [each.name for each in parse_channels(text)] == ["a", "b", "c"]
    assert parse_channels("") == ()


@pytest.mark.parametrize(
    ("takes", "severity", "lines", "expected"),
    [
        ({}, "warning", ("line-a",), True),
        ({"least_severity": "critical"}, "warning", ("line-a",), False),
        ({"least_severity": "critical"}, "critical", ("line-a",), True),
        ({"lines": ("line-a",)}, "warning", ("line-b",), False),
        ({"lines": ("line-a",)}, "warning", ("line-b", "line-a"), True),
        ({"lines": ("line-a",)}, "warning", (), True),
        ({"lines": ("line-a",), "least_severity": "critical"}, "warning", (), False),
    ],
)
def test_alerts_go_where_severity_and_line_send_them(takes, severity, lines, expected):
    assert Channel(name="c", url="json://h", **takes).takes(severity, lines) is expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"slak://{SECRET}", "no service slak://. Did you mean slack:// ?"),
        (f"slack://{SECRET}", "cannot use this slack:// URL.*https://appriseit.com"),
        (f"critcal=json://u:{SECRET}@h", "severity 'critcal'"),
        (SECRET, "cannot be read. Write it like"),
        (f"@=json://u:{SECRET}@h", "cannot be read"),
        (f"@,=json://u:{SECRET}@h", "names no line"),
        (f"json://u:{SECRET}@h:99999", "between 1 and 65535"),
        (f"json://u:{SECRET}@h?cto={SECRET}", "cto and rto"),
        (f"json://u:{SECRET}@h?rto=0", "cto and rto"),
        (f"json://u:{SECRET}@", "cannot use this json:// URL"),
        (f"a:=json://{SECRET} a:=json://h", "2 channels are called a"),
    ],
)
def test_a_wrong_channel_is_refused_when_it_is_set_and_its_secret_is_not_told(text, says, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(InvalidChannel, match=says) as refused:
        parse_channels(text)
    heard = capfd.readouterr()
    assert SECRET not in str(refused.value) + caplog.text + heard.out + heard.err


def test_the_second_of_many_channels_is_named_by_its_place():
    with pytest.raises(InvalidChannel, match="Channel 2: Apprise knows no service"):
        parse_channels("json://h smoke://signal")


def test_a_channel_shown_does_not_show_its_url():
    assert SECRET not in repr(channel(f"json://u:{SECRET}@h"))


def test_a_webhook_gets_title_text_fields_key_and_picture(receiver):
    send_message(channel(receiver.url), MESSAGE, picture=b"\x89PNG", seconds=10)
    (got,) = receiver.received
    assert (got["title"], got["message"]) == (MESSAGE.title, MESSAGE.body)
    assert got["kind"] == "defect_rate_climb"
    assert (got["severity"], got["line"], got["event"]) == ("critical", "line-b", "opened")
    assert got["key"] == receiver.headers[0]["Idempotency-Key"] == "casting-17-42-hook"
    assert receiver.headers[0]["Authorization"] == f"Bearer-{SECRET}"
    (picture,) = got["attachments"]
    assert (picture["filename"], picture["mimetype"]) == ("casting-17-42-hook.png", "image/png")
    assert base64.b64decode(picture["base64"]) == b"\x89PNG"


@pytest.mark.parametrize("status", [500, 404, 302], ids=str)
def test_a_channel_that_refuses_says_so_without_its_secret(receiver, status, caplog):
    caplog.set_level(logging.DEBUG)
    receiver.answer = status
    with pytest.raises(ChannelFailed, match=f"hook did not take the message: .*{status}") as failed:
        send_message(channel(receiver.url), MESSAGE, picture=None, seconds=10)
    assert SECRET not in str(failed.value) + caplog.text


def test_a_channel_that_hangs_is_left_after_its_time(receiver):
    receiver.answer = "hang"
    began = time.monotonic()
    with pytest.raises(ChannelFailed, match=r"gave no answer within 0\.5 s"):
        send_message(channel(f"{receiver.url}&rto=30"), MESSAGE, picture=None, seconds=0.5)
    assert time.monotonic() - began < 5
    receiver.let_go.set()
    for thread in threading.enumerate():
        if thread.name == "alert to hook":
            thread.join(10)


def test_a_channel_where_nobody_listens_says_so(receiver, caplog):
    caplog.set_level(logging.DEBUG)
    url = f"json://127.0.0.1:1/{SECRET}"
    with pytest.raises(ChannelFailed, match="A Connection error") as failed:
        send_message(channel(url), MESSAGE, picture=None, seconds=10)
    assert SECRET not in str(failed.value) + caplog.text


def test_a_successful_message_leaves_no_secret_in_the_most_talkative_log(receiver, caplog):
    caplog.set_level(1)
    send_message(channel(receiver.url), compose_test("hook", key="t"), picture=None, seconds=10)
    assert receiver.keys == ["t"]
    assert SECRET not in caplog.text


def test_a_plugin_that_breaks_is_a_failure_of_its_channel_alone(receiver, monkeypatch):
    def broken(*_arguments, **_more):
        raise RuntimeError(f"no idea what to do with {SECRET}")

    monkeypatch.setattr("apprise.plugins.custom_json.NotifyJSON.send", broken)
    with pytest.raises(ChannelFailed, match=r"RuntimeError: no idea what to do with \*\*\*"):
        send_message(channel(receiver.url), MESSAGE, picture=None, seconds=10)


def test_a_service_for_text_messages_gets_the_short_text(monkeypatch):
    sent = []
    monkeypatch.setattr(
        "apprise.plugins.custom_json.NotifyJSON.send", lambda _self, body, **_more: sent.append(body) or True
    )
    monkeypatch.setattr("apprise.plugins.custom_json.NotifyJSON.body_maxlen", 160)
    send_message(channel("json://h"), MESSAGE, picture=None, seconds=10)
    assert len(sent) == 1
    assert sent[0].endswith(MESSAGE.short)
