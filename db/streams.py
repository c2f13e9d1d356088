"""Streams for watching: what is new on them, their parts, and where their charts stood.

One watch is one transaction: the marks of what is new are taken away, and the states that count it written, together or
not at all. A watcher that is killed has done nothing; a second one waits for the first, and finds nothing left.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import insert, select, text

from casting_core.production import MICROSECONDS_PER_HOUR, Verdicts
from casting_core.silence import ScoringHealth
from db.queries import load
from db.schema import maintenance_window, model, stream_change

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from sqlalchemy import Connection

_MICROSECONDS_PER_DAY = 24 * MICROSECONDS_PER_HOUR
_SECONDS_TO_2000 = 946_684_800
# A hash join of a day's pictures must not spill; taken for the transaction only.
_WORK_MEM = "64MB"


@dataclass(frozen=True, kw_only=True)
class StoredState:
    """Where a stream's charts stood after an hour's parts. Both dictionaries hold plain JSON values."""

    stream: str
    line: str
    hour: datetime
    seen: Mapping[str, int]
    charts: Mapping[str, Any]


def lock_watching(connection: Connection) -> None:
    """Wait until no other transaction watches, and keep others waiting until this one ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('casting.watch'))"))
    connection.execute(text(f"SET LOCAL work_mem = '{_WORK_MEM}'"))


def take_changes(connection: Connection, *, latest: datetime) -> dict[str, list[datetime]]:
    """Take the marks of what was judged since the last watch; return each line's hours, oldest first.

    Hours after `latest` are left for later.
    """
    changes: dict[str, list[datetime]] = defaultdict(list)
    for line, hour in connection.execute(load("take_stream_changes"), {"latest": latest}):
        changes[line].append(hour)
    return dict(changes)


def mark_changes(connection: Connection, hours: Iterable[tuple[str, datetime]]) -> None:
    """Have hours of lines watched again, as if something had been judged in them."""
    rows = [{"stream": line, "hour": hour} for line, hour in hours]
    if rows:
        connection.execute(insert(stream_change), rows)


def read_states(connection: Connection) -> dict[str, StoredState]:
    """Return the newest state of every stream."""
    return {row.stream: _state(row) for row in connection.execute(load("read_states"))}


def read_checkpoints(connection: Connection, back_to: Mapping[str, datetime]) -> dict[str, StoredState]:
    """Return the newest state of each stream from before the hour given for its line, for those that have one."""
    parameters = {"lines": list(back_to), "hours": list(back_to.values())}
    return {row.stream: _state(row) for row in connection.execute(load("read_checkpoints"), parameters)}


def watched_hours(connection: Connection, back_to: Mapping[str, datetime]) -> dict[str, list[datetime]]:
    """Return the hours of each line that have been watched, from the hour given for it on."""
    found: dict[str, list[datetime]] = defaultdict(list)
    parameters = {"lines": list(back_to), "hours": list(back_to.values())}
    for line, hour in connection.execute(load("hours_with_state"), parameters):
        found[line].append(hour)
    return dict(found)


def active_hours(connection: Connection, *, since: datetime) -> dict[str, list[datetime]]:
    """Return the hours in which each line has had parts, of those still known."""
    return {row.line: row.hours for row in connection.execute(load("active_hours"), {"since": since})}


def count_parts(connection: Connection, *, since: datetime) -> int:
    """Count the parts that have passed through the charts of all lines since an hour."""
    return int(connection.execute(load("count_parts"), {"since": since}).scalar_one())


def hours_with_pictures(connection: Connection, *, since: datetime, until: datetime) -> dict[str, list[datetime]]:
    """Return the hours of a stretch of time in which each line has sent pictures, judged or not."""
    found: dict[str, list[datetime]] = defaultdict(list)
    for line, hour in connection.execute(load("hours_with_pictures"), {"since": since, "until": until}):
        found[line].append(hour)
    return dict(found)


def count_parts_with(connection: Connection, key: str, *, since: datetime) -> int:
    """Count the parts since an hour of which an attribute is known, as far as they are rolled up."""
    return int(connection.execute(load("count_parts_with"), {"key": key, "since": since}).scalar_one())


def count_values(connection: Connection, key: str, *, since: datetime, until: datetime) -> int:
    """Count the values that an attribute has on each line in a stretch of time, as far as they are rolled up."""
    parameters = {"key": key, "since": since, "until": until}
    return int(connection.execute(load("count_values"), parameters).scalar_one())


def read_verdicts(
    connection: Connection, lines: Sequence[str], *, since: datetime, until: datetime, keys: Sequence[str] = ()
) -> Verdicts:
    """Return every verdict and quarantined picture of some lines in `since <= captured_at < until`.

    The result's `line` is the index in `lines`; times count from the Unix epoch; `attributes` are those of the given
    keys. Needs some 100 bytes a picture.
    """
    row = connection.execute(load("verdicts_to_watch"), {"lines": list(lines), "since": since, "until": until}).one()
    verdicts = Verdicts(
        line=_numbers(row.line, ">i2") - 1,
        captured_at=_numbers(row.captured_at, ">i8") + _SECONDS_TO_2000 * 1_000_000,
        outcome=_numbers(row.outcome, "|u1"),
        p_defective=_numbers(row.p_defective, ">f8"),
        part_id=_texts(row.part_id, row.line),
        attributes=np.zeros(len(row.line or b"") // 2, dtype="S1"),
        model_id=_numbers(row.model_id, ">i8"),
        key=_numbers(row.key, ">i8"),
        image_id=_numbers(row.image_id, ">i8"),
        rank=_numbers(row.rank, ">i8"),
    )
    if not keys:
        return verdicts
    first, last = (moment.astimezone(UTC).date() for moment in (since, until))
    known = _attributes(connection, lines, keys, first=first, last=last)
    days = verdicts.captured_at // _MICROSECONDS_PER_DAY
    places = zip(verdicts.line.tolist(), days.tolist(), verdicts.part_id.tolist(), strict=True)
    return replace(verdicts, attributes=np.array([known.get(place, b"") for place in places], dtype=np.bytes_))


def _attributes(
    connection: Connection, lines: Sequence[str], keys: Sequence[str], *, first: date, last: date
) -> dict[tuple[int, int, bytes], bytes]:
    """What is known of parts, by line (its index), day (since the epoch) and part."""
    parameters = {"lines": list(lines), "keys": list(keys), "first": first, "last": last}
    row = connection.execute(load("attributes_to_watch"), parameters).one()
    places = zip(
        (_numbers(row.line, ">i2") - 1).tolist(),
        _numbers(row.day, ">i4").tolist(),
        _texts(row.part_id, row.line).tolist(),
        strict=True,
    )
    return dict(zip(places, _texts(row.attributes, row.line).tolist(), strict=True))


def write_states(connection: Connection, states: Sequence[StoredState]) -> None:
    """Write the states after the hours just watched."""
    if not states:
        return
    rows = [{**vars(state), "hour": state.hour.isoformat()} for state in states]
    connection.execute(load("write_states"), {"states": json.dumps(rows)})


def forget_states(connection: Connection, back_to: Mapping[str, datetime]) -> None:
    """Forget the states of each line's moulds and the like from an hour on: a part may be told to be of another."""
    connection.execute(load("forget_attribute_states"), {"lines": list(back_to), "hours": list(back_to.values())})


def thin_states(connection: Connection, *, lookback: timedelta, forget_before: datetime) -> None:
    """Let go of charts from before the look-back, and of hours from before `forget_before`.

    Of streams that are not lines the hours go with their charts: nobody asks when a mould is usually made.
    """
    hours = -(-lookback // timedelta(hours=1))
    connection.execute(load("thin_states"), {"lookback_hours": hours, "forget_before": forget_before})


def maintenance_windows(connection: Connection, *, since: datetime) -> list[tuple[str, datetime, datetime]]:
    """Return (line, since, until) of the windows that end after `since`; the line '' is all lines."""
    windows = maintenance_window.c
    query = select(windows.line, windows.since, windows.until).where(windows.until > since)
    return [(row.line, row.since, row.until) for row in connection.execute(query)]


def set_maintenance(connection: Connection, line: str, *, since: datetime, until: datetime, who: str, why: str) -> None:
    """Record that a line ('' for all) is set up or repaired, and have the hours that this concerns watched again."""
    connection.execute(insert(maintenance_window).values(line=line, since=since, until=until, who=who, why=why))
    begin = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    watched = watched_hours(connection, {line: begin}) if line else active_hours(connection, since=begin)
    mark_changes(connection, [(name, hour) for name, hours in watched.items() for hour in hours if hour < until])


def chart_restarts(connection: Connection, *, since: datetime) -> list[tuple[str, str, datetime]]:
    """Return (stream, kind, time) of the alerts that people have closed since then."""
    rows = connection.execute(load("chart_restarts"), {"since": since})
    return [(row.stream, row.kind, row.resolved_at) for row in rows]


def model_metrics(connection: Connection) -> dict[int, Mapping[str, Any]]:
    """Return what each model's card says of how well it did."""
    rows = connection.execute(select(model.c.model_id, model.c.card["metrics"].label("metrics")))
    return {row.model_id: row.metrics or {} for row in rows}


def scoring_health(
    connection: Connection, *, since: datetime, until: datetime
) -> tuple[ScoringHealth, datetime | None]:
    """Return how scoring does, and up to when a completed run has looked for pictures (None if none has).

    Pictures captured in `since <= t < until` are looked through for the one that waits longest, if any are left at all.
    """
    row = connection.execute(load("scoring_health")).one()
    oldest = None
    if row.backlog:
        oldest = connection.execute(load("unjudged_images"), {"since": since, "until": until}).one().waiting_since
    health = ScoringHealth(
        first_run=row.first_run,
        last_completed=row.last_completed,
        last_state=row.last_state,
        backlog=row.backlog,
        oldest_backlog=oldest,
    )
    return health, row.covered_until


def _numbers(content: bytes | None, kind: str) -> np.ndarray[Any, np.dtype[Any]]:
    """Read a column of numbers in network byte order into one of this machine's."""
    return np.frombuffer(content or b"", dtype=kind).astype(kind[1:])


def _texts(content: bytes | None, of: bytes | None) -> np.ndarray[Any, np.dtype[np.bytes_]]:
    """Read a column of texts; there are none where the first column is empty."""
    return np.array((content or b"").split(b"\0") if of else [], dtype=np.bytes_)


def _state(row: Any) -> StoredState:
    return StoredState(stream=row.stream, line=row.line, hour=row.hour, seen=row.seen, charts=row.charts)
