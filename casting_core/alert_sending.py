"""Sending one message to one channel through Apprise: it arrived, or here is why not, after so many seconds at most.

Apprise says no more than yes or no, and logs the reason. The log of the sending thread is kept from everybody else,
since its lines may quote a URL, and becomes the reason without anything that stands in the URL.
"""

from __future__ import annotations

import difflib
import logging
import re
import threading
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import apprise
from apprise.attachment.memory import AttachMemory
from apprise.plugins.custom_json import NotifyJSON

from casting_core.errors import ChannelFailed, InvalidChannel

if TYPE_CHECKING:
    from casting_core.alert_channels import Channel
    from casting_core.alert_message import AlertMessage

_LOGGERS = ("apprise", "urllib3.connectionpool", "urllib3.util.retry")
_HIGHEST_PORT = 65_535
# A channel for text messages cuts what is longer, or sends it in pieces.
_ROOM_FOR_BODY = 900
_SHORT_WORD = 4
_MOST_REASON = 300
_TYPES = {
    "success": apprise.NotifyType.SUCCESS,
    "info": apprise.NotifyType.INFO,
    "warning": apprise.NotifyType.WARNING,
    "failure": apprise.NotifyType.FAILURE,
}


def open_channel(url: str) -> apprise.NotifyBase:
    """Make the Apprise object of a URL, without sending anything.

    Raises InvalidChannel, naming the service but not the URL.
    """
    schema = url.partition("://")[0].lower()
    asset = apprise.AppriseAsset(app_id="Casting inspection", app_desc="Casting inspection", secure_logging=True)
    with _Listener():
        plugin = apprise.Apprise.instantiate(url, asset=asset)
    if plugin is None:
        raise InvalidChannel(_why_unusable(schema))
    _check_numbers(schema, url, plugin.port)
    return plugin


def send_message(channel: Channel, message: AlertMessage, *, picture: bytes | None, seconds: float) -> None:
    """Send a message, with a PNG where there is one and the service takes pictures.

    Raises ChannelFailed when the service refused or did not answer within `seconds`. What hangs is left to its own
    thread, which ends with this process: nothing else waits for it.
    """
    failures: list[str] = []

    def send() -> None:
        with _Listener() as listener:
            try:
                if not _notify(channel, message, picture):
                    failures.append(_reason(channel.url, listener.lines))
            except Exception as error:  # noqa: BLE001 - a plugin's defect is this channel's failure, not the others'
                failures.append(_reason(channel.url, [f"{type(error).__name__}: {error}"]))

    thread = threading.Thread(target=send, name=f"alert to {channel.name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise ChannelFailed(f"{channel.name} gave no answer within {seconds:g} s.")
    if failures:
        raise ChannelFailed(f"{channel.name} did not take the message: {failures[0]}")


def _notify(channel: Channel, message: AlertMessage, picture: bytes | None) -> bool:
    plugin = open_channel(channel.url)
    if isinstance(plugin, NotifyJSON):
        # A program reads fields, not prose; what the plant has put into the URL goes before them.
        plugin.payload_extras = dict(message.fields) | plugin.payload_extras
        plugin.headers = {"Idempotency-Key": message.key} | plugin.headers
    attachment = apprise.AppriseAttachment()
    if picture is not None and plugin.attachment_support:
        attachment.add(AttachMemory(content=picture, name=f"{message.key}.png", mimetype="image/png"))
    return bool(
        plugin.notify(
            title=message.title,
            body=message.body if plugin.body_maxlen >= _ROOM_FOR_BODY else message.short,
            notify_type=_TYPES[message.tone],
            body_format=apprise.NotifyFormat.TEXT,
            attach=attachment or None,
        )
    )


class _Listener:
    """Keeps the warnings that Apprise logs in this thread, and keeps them out of every log."""

    _here: ClassVar = threading.local()

    def __enter__(self) -> Self:
        self.lines: list[str] = []
        self._before: list[str] | None = getattr(self._here, "lines", None)
        self._here.lines = self.lines
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_take_line)
        # Below warnings Apprise logs what it posts, and where.
        logging.getLogger("apprise").setLevel(logging.WARNING)
        return self

    def __exit__(self, *_error: object) -> None:
        self._here.lines = self._before

    @classmethod
    def take(cls, record: logging.LogRecord) -> bool:
        lines: list[str] | None = getattr(cls._here, "lines", None)
        if lines is None:
            return not record.name.startswith("apprise")
        if record.levelno >= logging.WARNING:
            lines.append(record.getMessage())
        return False


# One object, so that adding it again changes nothing.
_take_line = _Listener.take


def _reason(url: str, lines: list[str]) -> str:
    said = " ".join(line.strip() for line in lines) or "the service gave no reason."
    return _without_secrets(url, said)[:_MOST_REASON]


def _without_secrets(url: str, said: str) -> str:
    """Blot out of a text whatever stands in a URL, but for its service."""
    rest = url.partition("://")[2]
    words = {word for text in (rest, unquote(rest)) for word in re.split(r"[/:@?&=#,;+\s]+", text) if word}
    for word in sorted(words, key=len, reverse=True):
        # A short word only where it stands alone, or a password of one letter would blot out every such letter.
        pattern = re.escape(word) if len(word) >= _SHORT_WORD else rf"(?<!\w){re.escape(word)}(?!\w)"
        said = re.sub(pattern, "***", said)
    return said


def _why_unusable(schema: str) -> str:
    known = sorted(apprise.plugins.N_MGR.schemas())
    if schema in known:
        service: Any = apprise.plugins.N_MGR[schema]
        return (
            f"Apprise cannot use this {schema}:// URL; something is missing or malformed. "
            f"How it is written: {service.setup_url}"
        )
    close = difflib.get_close_matches(schema, known, n=1)
    meant = f" Did you mean {close[0]}:// ?" if close else " https://appriseit.com/services/ lists them."
    return f"Apprise knows no service {schema}://.{meant}"


def _check_numbers(schema: str, url: str, port: object) -> None:
    """Refuse the numbers that Apprise takes without a look, or drops without a word."""
    try:
        seconds = [float(value) for name, value in parse_qsl(urlsplit(url).query) if name in {"cto", "rto"}]
    except ValueError:
        seconds = [0.0]
    if not all(value > 0 for value in seconds):
        raise InvalidChannel(f"cto and rto of a {schema}:// URL are timeouts in seconds; give them as numbers above 0.")
    if isinstance(port, int) and not 0 < port <= _HIGHEST_PORT:
        raise InvalidChannel(f"The port of a {schema}:// URL lies between 1 and {_HIGHEST_PORT}.")
