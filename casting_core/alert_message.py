"""What a person reads on a phone when an alert opens, is taken up, or ends.

Three lengths, each complete in itself: a title for the lock screen, a short text for services that send text messages,
and a body of a few lines. The body stays below 1,000 characters, which is all that some chat services take.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, assert_never

from casting_core.alert_wording import (
    advice,
    climbing_words,
    headline,
    lines_of,
    name_of,
    rate_words,
    sureness,
    what_it_is,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime, tzinfo

    from casting_core.alert_types import Alert, AlertEvent, Finding

# How a service may colour it: Apprise's own words.
Tone = Literal["success", "info", "warning", "failure"]

_TOLD_IN_DIGEST = 8


@dataclass(frozen=True, kw_only=True)
class AlertMessage:
    """One message to one channel. `key` is the same in every repeat; `fields` are for programs that receive it."""

    title: str
    short: str
    body: str
    tone: Tone
    key: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The message as plain JSON values; `AlertMessage(**...)` takes them back."""
        return {name: getattr(self, name) for name in ("title", "short", "body", "tone", "key")} | {
            "fields": dict(self.fields)
        }


def compose(alert: Alert, event: AlertEvent, *, key: str, timezone: tzinfo, link: str | None = None) -> AlertMessage:
    """Write the message by which a channel hears of an event of an alert.

    Times are told in `timezone`. `link` is a page about the alert; `{alert_id}`, `{line}` and `{kind}` in it are
    filled in.
    """
    title = title_of(alert, event)
    where = None if link is None else fill_link(link, alert)
    paragraphs = [
        *describe(alert, event, timezone=timezone),
        *([where] if where else []),
        f"Alert {alert.alert_id}, {alert.finding.severity}. Key {key}",
    ]
    return AlertMessage(
        title=title,
        short=_short(alert, event, title, timezone),
        body="\n".join(paragraphs),
        tone=_tone(alert, event),
        key=key,
        fields=_fields(alert, event, key, where),
    )


def compose_digest(messages: Sequence[AlertMessage], *, key: str) -> AlertMessage:
    """Put many messages of one channel into one, the gravest first. Raises ValueError without messages."""
    if not messages:
        raise ValueError("A digest needs messages to be made of.")
    gravest = ("failure", "warning", "info", "success")
    ordered = sorted(messages, key=lambda message: gravest.index(message.tone))
    told = [f"• {message.title}" for message in ordered[:_TOLD_IN_DIGEST]]
    if len(ordered) > _TOLD_IN_DIGEST:
        told.append(f"and {len(ordered) - _TOLD_IN_DIGEST} more.")
    title = f"{len(ordered)} messages about alerts"
    body = [
        f"So many came together that they are told in one. First: {ordered[0].title}.",
        *told,
        "All of them: casting alerts list",
        f"Key {key}",
    ]
    return AlertMessage(
        title=title,
        short=f"{title}. First: {ordered[0].title}",
        body="\n".join(body),
        tone=ordered[0].tone,
        key=key,
        fields={"event": "digest", "key": key, "alerts": [dict(message.fields) for message in messages]},
    )


def compose_test(channel: str, *, key: str) -> AlertMessage:
    """Write the message by which a plant finds out whether a channel works."""
    body = f"This is a test of the channel {channel}. Alerts about castings will come here.\nKey {key}"
    return AlertMessage(
        title="Casting inspection: test message",
        short=f"Test of the channel {channel}: alerts will come here.",
        body=body,
        tone="info",
        key=key,
        fields={"event": "test", "key": key, "channel": channel},
    )


def fill_link(link: str, alert: Alert) -> str:
    """Put an alert's id, line and kind into the link that a plant has set."""
    return link.format(alert_id=alert.alert_id, line=alert.finding.line, kind=alert.finding.kind)


def title_of(alert: Alert, event: AlertEvent) -> str:
    """The one line that a lock screen shows."""
    finding = alert.finding
    match event.event:
        case "opened":
            return f"CRITICAL · {headline(finding)}" if finding.severity == "critical" else headline(finding)
        case "updated":
            changed = f"Now {finding.severity}" if "severity" in event.details else "News"
            return f"{changed}: {headline(finding)}"
        case "reopened":
            return f"Again: {headline(finding)}"
        case "acknowledged":
            return f"Taken up by {event.who}: {name_of(finding)}"
        case "resolved":
            return f"Over: {name_of(finding)}"
        case "snoozed":
            return f"Snoozed by {event.who}: {name_of(finding)}"
        case _:
            assert_never(event.event)


def _tone(alert: Alert, event: AlertEvent) -> Tone:
    if event.event == "resolved":
        return "success"
    if event.event in {"acknowledged", "snoozed"}:
        return "info"
    return "failure" if alert.finding.severity == "critical" else "warning"


def _short(alert: Alert, event: AlertEvent, title: str, timezone: tzinfo) -> str:
    if event.event in {"acknowledged", "resolved", "snoozed"}:
        return f"{title}. {_sentence(event.why)}"
    finding = alert.finding
    since = f", since about {_clock(finding.since.estimate, event.at, timezone)}" if finding.since else ""
    looked = f" Look at {', '.join(finding.examples)}." if finding.examples else ""
    return f"{title}{since}.{looked}"


def describe(alert: Alert, event: AlertEvent, *, timezone: tzinfo) -> Iterator[str]:
    """Tell of an event, line by line: what, since when, how sure, how many, which, what now."""
    finding = alert.finding
    if event.event == "resolved":
        yield f"Over since {_clock(event.at, alert.opened_at, timezone)}. {_sentence(event.why)}"
        yield f"It had been open since {_clock(alert.opened_at, event.at, timezone)}."
        yield from rate_words(finding)
        return
    if event.event in {"acknowledged", "snoozed"}:
        yield f"{event.who} says: {_sentence(event.why)}"
        yield what_it_is(finding)
        return
    if event.event != "opened":
        yield _sentence(event.why)
    yield what_it_is(finding)
    yield from rate_words(finding)
    if finding.since is not None:
        yield _since(finding, event.at, timezone)
    yield from climbing_words(finding)
    yield from sureness(finding)
    if finding.examples:
        yield f"Look at: {', '.join(finding.examples)} (the worst first)"
    yield f"Now: {advice(finding)}"


def _since(finding: Finding, now: datetime, timezone: tzinfo) -> str:
    since = finding.since
    if since is None:
        return ""
    low, estimate, high = (_clock(moment, now, timezone) for moment in (since.low, since.estimate, since.high))
    told = f"Since: about {estimate}" + (f" (90 % sure: {low} to {high})" if low != high else "")
    return told + (f", {finding.parts:,} parts since then." if finding.parts is not None else ".")


def _sentence(why: str) -> str:
    """A reason as a person has typed it, made a sentence."""
    why = why.strip()
    return why[:1].upper() + why[1:] + ("" if why.endswith((".", "!", "?")) else ".")


def _clock(moment: datetime, near: datetime, timezone: tzinfo) -> str:
    """A time as people say it; with its day where that is another one than the message's."""
    here, there = moment.astimezone(timezone), near.astimezone(timezone)
    return f"{here:%H:%M}" if here.date() == there.date() else f"{here:%a} {here.day} {here:%b %H:%M}"


def _fields(alert: Alert, event: AlertEvent, key: str, link: str | None) -> dict[str, Any]:
    finding = alert.finding
    return {
        "key": key,
        "alert_id": alert.alert_id,
        "event": event.event,
        "kind": finding.kind,
        "severity": finding.severity,
        "state": alert.state,
        "line": finding.line,
        "lines": list(lines_of(finding)),
        "stream": finding.stream,
        "at": event.at.isoformat(),
        "since": finding.since.estimate.isoformat() if finding.since else None,
        "parts": finding.parts,
        "observed_rate": finding.observed_rate,
        "baseline_rate": finding.baseline_rate,
        "examples": list(finding.examples),
        "link": link,
    }
