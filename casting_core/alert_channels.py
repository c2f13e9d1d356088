"""Where alerts are sent: channels given as Apprise URLs, each with the alerts it takes.

A plant names its channels in one text, one a line (or with blanks between them):

    [NAME:][SEVERITY][@LINE[,LINE...]]=URL

All before the URL may be left out: `slack://...` takes every alert, `critical=slack://...` only critical ones,
`@line-a=...` those of one line; `foremen:critical@line-a,line-b=...` takes critical ones of two lines and is called
foremen. An alert of the whole plant, such as a scoring job that stands still, concerns every line and goes to the
channels of every line.

The URL is a secret: most services put the right to post into it. It goes to Apprise and nowhere else; logs, rows and
errors carry the channel's name alone.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from casting_core.errors import InvalidChannel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from casting_core.alert_types import Severity

_ENTRY = re.compile(
    r"(?:(?:(?P<name>[A-Za-z0-9][\w.-]*):)?(?P<severity>[A-Za-z]*)(?:@(?P<lines>[^=\s]+))?=)?"
    r"(?P<url>(?P<schema>[A-Za-z][\w+.-]*)://\S+)"
)
_SEVERITIES = ("warning", "critical")
# Enough to tell a plant's channels apart, too little to check a guess of the secret against.
_DIGITS = 4
_HOW = "Write it like [NAME:][warning|critical][@LINE,...]=URL, for example critical@line-a=slack://..."


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One place that alerts are sent to, and which ones it takes; `lines` () means all lines."""

    name: str
    url: str = field(repr=False)
    least_severity: Severity = "warning"
    lines: tuple[str, ...] = ()

    @property
    def service(self) -> str:
        """The scheme of its URL, such as `slack`: all of it that is no secret."""
        return self.url.partition("://")[0].lower()

    def takes(self, severity: Severity, lines: Sequence[str]) -> bool:
        """Whether an alert of these lines, none for the whole plant, is sent here."""
        severe = severity == "critical" or self.least_severity == "warning"
        return severe and (not self.lines or not lines or not set(lines).isdisjoint(self.lines))


def parse_channels(text: str) -> tuple[Channel, ...]:
    """Read a plant's channels, and let Apprise check each URL.

    Raises InvalidChannel, saying which entry is wrong and how it is written right, without quoting its URL.
    """
    channels = tuple(_parse(entry, number) for number, entry in enumerate(text.split(), start=1))
    for name, count in Counter(channel.name for channel in channels).items():
        if count > 1:
            raise InvalidChannel(f"{count} channels are called {name}. Give each a name of its own, like NAME:=URL.")
    return channels


def _parse(entry: str, number: int) -> Channel:
    # Apprise takes a moment to import, and a plant without channels need not wait for it.
    from casting_core.alert_sending import open_channel  # noqa: PLC0415

    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise InvalidChannel(f"Channel {number} cannot be read. {_HOW}")
    severity = (match["severity"] or "warning").lower()
    if severity not in _SEVERITIES:
        raise InvalidChannel(f"Channel {number} asks for the severity {severity!r}; there are warning and critical.")
    lines = tuple(line for line in (match["lines"] or "").split(",") if line)
    if match["lines"] is not None and not lines:
        raise InvalidChannel(f"Channel {number} names no line after its @. {_HOW}")
    try:
        open_channel(match["url"])
    except InvalidChannel as error:
        raise InvalidChannel(f"Channel {number}: {error}") from None
    return Channel(
        name=match["name"] or _name(match["schema"], match["url"]),
        url=match["url"],
        least_severity=cast("Severity", severity),
        lines=lines,
    )


def _name(schema: str, url: str) -> str:
    return f"{schema.lower()}-{hashlib.sha256(url.encode()).hexdigest()[:_DIGITS]}"
