"""How a key tells line, part, view and time, and which folders a window of time can lie in.

A layout is a template such as `{line}/{captured_at:%Y/%m/%d/%H}/{part_id}[__{view}].{jpg|jpeg|png}`:
`{line}`, `{part_id}`, `{view}` stand for names, `{captured_at:FORMAT}` for a time by strftime directives,
`[...]` may be absent, `{a|b}` is one of several words. Keys are matched whole; words without regard to case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from casting_core.errors import InvalidLayout

if TYPE_CHECKING:
    from casting_core.types import Window

DEFAULT_LAYOUT = "{line}/{captured_at:%Y/%m/%d/%H}/{part_id}[__{view}].{jpg|jpeg|png|bmp|tif|tiff}"

_DIRECTIVES: dict[str, tuple[str, timedelta]] = {
    "%Y": (r"\d{4}", timedelta(days=366)),
    "%m": (r"\d{2}", timedelta(days=31)),
    "%d": (r"\d{2}", timedelta(days=1)),
    "%j": (r"\d{3}", timedelta(days=1)),
    "%H": (r"\d{2}", timedelta(hours=1)),
    "%M": (r"\d{2}", timedelta(minutes=1)),
    "%S": (r"\d{2}", timedelta(seconds=1)),
    "%f": (r"\d{6}", timedelta(microseconds=1)),
}
# From coarse to fine; a layout tells a time from the year down without a gap.
_CHAIN = ("%Y", "%m", "%d", "%H", "%M", "%S", "%f")
# The window is walked minute by minute at the finest, so folders named after less than that are looked for.
_BELOW_A_MINUTE = frozenset({"%S", "%f"})
_TOKEN = re.compile(
    r"\{(?P<name>line|part_id|view)\}|\{captured_at:(?P<time>[^}]+)\}|\{(?P<words>[^{}]+\|[^{}]+)\}"
    r"|(?P<open>\[)|(?P<close>\])|(?P<text>[^{}\[\]]+)"
)


@dataclass(frozen=True, kw_only=True)
class KeyFields:
    """What a key says."""

    line: str
    part_id: str
    view: str
    captured_at: datetime


@dataclass(frozen=True, kw_only=True)
class _Token:
    kind: Literal["name", "directive", "words", "open", "close", "text"]
    value: str

    def pattern(self, seen: set[str]) -> str:
        """The regular expression of this token; a name or directive seen before must repeat itself."""
        if self.kind in ("name", "directive"):
            group = self.value.replace("%", "t_")
            if group in seen:
                return f"(?P={group})"
            seen.add(group)
            return f"(?P<{group}>{_DIRECTIVES[self.value][0] if self.kind == 'directive' else '[^/]+?'})"
        if self.kind == "words":
            return f"(?:{'|'.join(re.escape(word) for word in self.value.split('|'))})"
        return {"open": "(?:", "close": ")?"}.get(self.kind, re.escape(self.value))


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One folder level of a layout."""

    tokens: tuple[_Token, ...]

    @property
    def only_time(self) -> bool:
        """Whether the folder's name follows from the time alone, so that it need not be looked for."""
        return all(
            token.kind == "text" or (token.kind == "directive" and token.value not in _BELOW_A_MINUTE)
            for token in self.tokens
        )

    @property
    def is_line(self) -> bool:
        """Whether the folder's name is the line's."""
        return [(token.kind, token.value) for token in self.tokens] == [("name", "line")]

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """Matches one folder name."""
        seen: set[str] = set()
        return re.compile("".join(token.pattern(seen) for token in self.tokens), re.IGNORECASE)

    def name_at(self, moment: datetime) -> str:
        """The folder's name for a time, where it follows from the time alone."""
        return moment.strftime("".join(token.value for token in self.tokens))

    def fits(self, name: str, moment: datetime) -> bool:
        """Whether a folder of that name can hold keys of that time."""
        match = self.regex.fullmatch(name)
        return match is not None and all(
            match.group(token.value.replace("%", "t_")) == moment.strftime(token.value)
            for token in self.tokens
            if token.kind == "directive" and token.value not in _BELOW_A_MINUTE
        )


class KeyLayout:
    """A parsed layout. `timezone` is the one that the keys' times are written in.

    Raises InvalidLayout, naming what is missing or not understood.
    """

    def __init__(self, template: str = DEFAULT_LAYOUT, *, timezone: tzinfo = UTC) -> None:
        self.template = template
        self.timezone = timezone
        tokens = _tokenise(template)
        directives = [token.value for token in tokens if token.kind == "directive"]
        _check(template, names={token.value for token in tokens if token.kind == "name"}, directives=directives)
        seen: set[str] = set()
        pattern = "".join(token.pattern(seen) for token in tokens)
        try:
            self._regex = re.compile(pattern, re.IGNORECASE)
        except re.error as error:
            raise InvalidLayout(f"The key layout {template!r} is not well formed: {error}.") from error
        self._time_format = " ".join(dict.fromkeys(directives))
        self._time_groups = [directive.replace("%", "t_") for directive in dict.fromkeys(directives)]
        self._resolution = min(_DIRECTIVES[directive][1] for directive in directives)
        self.segments = _segments(template, tokens)

    def parse(self, key: str) -> KeyFields | None:
        """What a key says, or None when it does not fit the layout."""
        match = self._regex.fullmatch(key)
        if match is None:
            return None
        try:
            written = datetime.strptime(  # noqa: DTZ007 - the zone is the layout's, given below
                " ".join(match.group(group) for group in self._time_groups), self._time_format
            )
            captured_at = written.replace(tzinfo=self.timezone).astimezone(UTC)
        except (ValueError, OverflowError):
            return None
        return KeyFields(
            line=match.group("line"),
            part_id=match.group("part_id"),
            view=match.groupdict().get("view") or "",
            captured_at=captured_at,
        )

    def moments(self, window: Window) -> list[datetime]:
        """Times, in the layout's zone, that between them fall in every folder the window can reach."""
        folder_directives = [t.value for segment in self.segments[:-1] for t in segment.tokens if t.kind == "directive"]
        finest = min((_DIRECTIVES[directive][1] for directive in folder_directives), default=timedelta(days=1))
        step = max(min(finest, timedelta(hours=1)), timedelta(minutes=1))
        start = self.floor(window.since)
        count = -((start - window.until) // step)
        moments = [start + step * index for index in range(count)] + [window.until - timedelta(microseconds=1)]
        return [moment.astimezone(self.timezone) for moment in moments]

    def floor(self, moment: datetime) -> datetime:
        """The earliest time that a key of `moment` can say: keys that tell the hour alone say its beginning."""
        told = moment.astimezone(self.timezone)
        units = ("day", "hour", "minute", "second", "microsecond")
        untold = sum(timedelta(**{f"{unit}s": 1}) < self._resolution for unit in units)
        # A key does not tell which of two equal hours it means when clocks go back, and is read as the first.
        least = datetime.min.replace(tzinfo=told.tzinfo)
        told = told.replace(fold=0)
        return told.replace(**{unit: getattr(least, unit) for unit in units[len(units) - untold :]}).astimezone(UTC)


def _tokenise(template: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(template):
        match = _TOKEN.match(template, position)
        if match is None:
            raise InvalidLayout(
                f"The key layout {template!r} is not understood from {template[position:]!r} on. Known are {{line}}, "
                "{part_id}, {view}, {captured_at:%Y/%m/%d/%H}, [optional] and {jpg|png}."
            )
        position = match.end()
        if match.lastgroup == "time":
            parts = re.findall(r"%.?|[^%]+", match.group("time"))
            tokens += [_Token(kind="directive" if part[0] == "%" else "text", value=part) for part in parts]
        elif match.lastgroup in ("name", "words", "open", "close", "text"):
            tokens.append(_Token(kind=match.lastgroup, value=match.group(match.lastgroup)))  # type: ignore[arg-type]
    return tokens


def _check(template: str, *, names: set[str], directives: list[str]) -> None:
    missing = {"line", "part_id"} - names
    if missing or not directives:
        lacking = sorted(f"{{{name}}}" for name in missing) or ["{captured_at:...}"]
        raise InvalidLayout(f"The key layout {template!r} lacks {', '.join(lacking)}; without it no part can be told.")
    unknown = [directive for directive in directives if directive not in _DIRECTIVES]
    if unknown:
        raise InvalidLayout(
            f"The key layout {template!r} uses {', '.join(unknown)}; known are {', '.join(_DIRECTIVES)}."
        )
    told = set(directives) | ({"%m", "%d"} if "%j" in directives else set())
    finest = max(_CHAIN.index(directive) for directive in told - {"%j"})
    gaps = [directive for directive in _CHAIN[: max(finest, 1) + 1] if directive not in told]
    if gaps:
        raise InvalidLayout(
            f"The key layout {template!r} does not tell {', '.join(gaps)}, so its times are not certain. "
            "It must tell the year (%Y), the month (%m) and all that is coarser than the finest part it tells."
        )


def _segments(template: str, tokens: list[_Token]) -> tuple[Segment, ...]:
    segments: list[list[_Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += {"open": 1, "close": -1}.get(token.kind, 0)
        if "/" in token.value and (depth or token.kind == "words"):
            raise InvalidLayout(
                f"The key layout {template!r} has a / within [...] or {{a|b}}; only parts of one name can be optional."
            )
        if token.kind != "text":
            segments[-1].append(token)
            continue
        first, *rest = token.value.split("/")
        for index, part in enumerate([first, *rest]):
            if index:
                segments.append([])
            if part:
                segments[-1].append(_Token(kind="text", value=part))
    if not all(segments):
        raise InvalidLayout(
            f"The key layout {template!r} has an empty name before, after or between its /; keys begin with a name."
        )
    return tuple(Segment(tokens=tuple(segment)) for segment in segments)
