"""`casting alerts snooze` and `casting alerts maintenance`: lines of which nobody wants to hear for a while."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.alerts.take import WhyOption
from flows.commands.console import as_utc, fail, messages, plain_errors

if TYPE_CHECKING:
    from sqlalchemy import Connection

LineArgument = Annotated[
    str | None, typer.Argument(help="The line, as in the pictures' keys.", metavar="LINE", show_default=False)
]
ForOption = Annotated[str, typer.Option("--for", help="How long, like 90m, 2h or 3d.")]
AllOption = Annotated[bool, typer.Option("--all-lines", help="Instead of one line.")]

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_LONGEST = timedelta(days=90)


def snooze(
    line: LineArgument = None,
    duration: ForOption = "2h",
    why: WhyOption = "",
    all_lines: AllOption = False,
    end: Annotated[bool, typer.Option("--end", help="End the snooze now; what it held is sent.")] = False,
) -> None:
    """Hold back a line's messages for a while. Its alerts live on; what is over by then is never told."""
    from db.alerts import read_alerts, record_event
    from db.snoozes import end_snoozes, set_snooze
    from flows.resources import open_resources
    from flows.settings import load_settings

    now = datetime.now(tz=UTC)
    until = now + _length(duration)
    with plain_errors():
        settings = load_settings()
        with open_resources(settings).engine.begin() as connection:
            place = _place(connection, line, all_lines=all_lines)
            if end:
                ended = end_snoozes(connection, place)
                messages.print(f"{ended} snoozes of {place or 'all lines'} ended.")
                return
            why = _reason(why)
            set_snooze(connection, place, until=until, who=settings.who, why=why)
            for alert in read_alerts(connection, line=place or None):
                if not place or alert.finding.line == place:
                    details = {"until": until.isoformat()}
                    record_event(connection, alert, "snoozed", at=now, who=settings.who, why=why, details=details)
    messages.print(f"No messages about {place or 'any line'} until {until:%Y-%m-%d %H:%M} UTC.", highlight=False)


def maintenance(
    line: LineArgument = None,
    duration: ForOption = "8h",
    why: WhyOption = "",
    all_lines: AllOption = False,
    since: Annotated[datetime | None, typer.Option(help="When it begins or began, UTC; now by default.")] = None,
) -> None:
    """Say that a line is set up or repaired: its parts of that time count for no chart, and it need not send any."""
    from db.streams import set_maintenance
    from flows.resources import open_resources
    from flows.settings import load_settings

    begin = as_utc(since) or datetime.now(tz=UTC)
    until = begin + _length(duration)
    with plain_errors():
        settings = load_settings()
        with open_resources(settings).engine.begin() as connection:
            place = _place(connection, line, all_lines=all_lines)
            set_maintenance(connection, place, since=begin, until=until, who=settings.who, why=_reason(why))
    messages.print(
        f"{place or 'All lines'} in maintenance from {begin:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC.",
        highlight=False,
    )


def _place(connection: Connection, line: str | None, *, all_lines: bool) -> str:
    from db.lines import known_lines

    if all_lines == (line is not None):
        fail("Name one line, or say --all-lines.")
    if line is None:
        return ""
    known = known_lines(connection)
    if line not in known:
        fail(f"There is no line {line!r}. Those that have sent pictures: {', '.join(known) or 'none yet'}.")
    return line


def _reason(why: str) -> str:
    if not why.strip():
        fail('Say why, for example --why "lamp is being changed".')
    return why.strip()


def _length(duration: str) -> timedelta:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", duration.strip())
    length = timedelta(**{_UNITS[match[2]]: float(match[1])}) if match else timedelta(0)
    if not timedelta(0) < length <= _LONGEST:
        fail(f"--for takes a time like 90m, 2h or 3d, at most {_LONGEST.days}d; {duration!r} is none.")
    return length
