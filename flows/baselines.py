"""Baselines set from the plant's own history: by a person's word, and once, at the very beginning, without."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from casting_core.alert_types import WATCH
from casting_core.baselines import fleet_baselines
from casting_core.chart_plan import LEARN_FROM_PARTS
from casting_core.findings import hour_of, start_of
from casting_core.production import Parts, in_production_order
from casting_core.streams import attribute_stream, line_of
from casting_core.types import Window
from db import streams
from db.baselines import write_baselines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from casting_core.baselines import StreamBaseline
    from casting_core.chart_plan import Plan

_A_DAY = timedelta(days=1)
# What lines leave of the defect rate's false-alarm budget to their moulds, where those are watched.
_SHARE_OF_LINES = 0.5
# An attribute with fewer parts a value, such as a serial number, makes no streams.
_LEAST_PARTS_EACH = 20


def set_baselines(
    connection: Connection,
    reference: Window,
    *,
    who: str,
    why: str,
    lines: tuple[str, ...] = (),
    keys: Sequence[str] = (),
    valid_from: datetime | None = None,
    now: datetime,
) -> list[StreamBaseline]:
    """Estimate all streams' baselines from a reference period, and let their charts begin anew on them.

    They hold from the next full hour on, or from `valid_from`: hours after it that were watched are watched again, as
    far back as the look-back. `lines` restricts what is learnt and set to some lines; baselines of fleets then stay.
    `keys` are the part attributes whose values are streams too, where they are known of enough parts.

    Raises `InvalidInput` if no part was judged in the period.
    """
    pictured = streams.hours_with_pictures(connection, since=reference.since, until=reference.until)
    parts_of = _read(connection, list(lines) or sorted(pictured), reference, keys)
    start = hour_of(valid_from) if valid_from is not None else hour_of(now) + 1
    found = _of_lines(parts_of, reference, start=start, keys=keys, fleet=len({*pictured, *lines}))
    found += _of_attributes(connection, parts_of, reference, start=start, keys=keys)
    return _set(connection, [each for each in found if line_of(each.stream) or not lines], who=who, why=why)


def set_first_baselines(connection: Connection, plan: Plan, *, keys: Sequence[str] = (), now: datetime) -> bool:
    """Give a plant that has no baseline at all one from its first parts, once there are enough; return whether it did.

    The same for the values of an attribute, once that is known of enough parts. Whoever knows a better period sets
    baselines by hand.
    """
    unknown = [key for key in keys if not plan.watches(key)]
    if plan.baselines and not unknown:
        return False
    hours = streams.active_hours(connection, since=now - timedelta(weeks=5))
    if not hours:
        return False
    first = min(each[0] for each in hours.values())
    reference = Window(since=first, until=max(start_of(hour_of(now) + 1), first + timedelta(hours=1)))
    why = f"The first parts, {reference.since:%Y-%m-%d %H:%M} to {reference.until:%Y-%m-%d %H:%M} UTC."
    if not plan.baselines:
        if streams.count_parts(connection, since=reference.since) < LEARN_FROM_PARTS:
            return False
        return bool(set_baselines(connection, reference, who=WATCH, why=why, keys=keys, now=now))
    known = [key for key in unknown if streams.count_parts_with(connection, key, since=first) >= LEARN_FROM_PARTS]
    parts_of = _read(connection, sorted(hours), reference, known) if known else {}
    found = _of_attributes(connection, parts_of, reference, start=hour_of(now) + 1, keys=keys)
    return bool(_set(connection, found, who=WATCH, why=why))


def _of_lines(
    parts_of: Mapping[str, Parts], reference: Window, *, start: int, keys: Sequence[str], fleet: int
) -> list[StreamBaseline]:
    share = _SHARE_OF_LINES if keys else 1.0
    return fleet_baselines(
        parts_of, reference, model_id=_model(parts_of), valid_from_hour=start, share=share, streams=fleet
    )


def _of_attributes(
    connection: Connection, parts_of: Mapping[str, Parts], reference: Window, *, start: int, keys: Sequence[str]
) -> list[StreamBaseline]:
    """Baselines of the values of each attribute that was read; none where nearly each part has a value of its own."""
    fleets: dict[str, dict[str, Parts]] = defaultdict(dict)
    for line, parts in parts_of.items():
        for (key, value), shared in parts.by_attribute().items():
            fleets[key][attribute_stream(line, key, value)] = shared
    found = []
    for key, members in fleets.items():
        if sum(map(len, members.values())) < _LEAST_PARTS_EACH * len(members):
            continue
        known = streams.count_values(connection, key, since=reference.since, until=reference.until)
        found += fleet_baselines(
            members,
            reference,
            model_id=_model(parts_of),
            valid_from_hour=start,
            fleet=attribute_stream("", key, ""),
            share=(1 - _SHARE_OF_LINES) / len(keys),
            streams=max(known, len(members)),
        )
    return found


def _set(connection: Connection, found: Sequence[StreamBaseline], *, who: str, why: str) -> list[StreamBaseline]:
    written = write_baselines(connection, found, set_by=who, why=why)
    back_to = {line_of(each.stream): start_of(each.valid_from_hour) for each in written if line_of(each.stream)}
    again = streams.watched_hours(connection, back_to)
    streams.mark_changes(connection, [(line, hour) for line, hours in again.items() for hour in hours])
    return written


def _model(parts_of: Mapping[str, Parts]) -> int | None:
    """Of a period that two models have judged, the one that judged more of it."""
    models = np.concatenate([parts.model_id[parts.model_id > 0] for parts in parts_of.values()] or [np.empty(0, int)])
    return int(np.bincount(models).argmax()) if models.size else None


def _read(connection: Connection, lines: list[str], reference: Window, keys: Sequence[str]) -> dict[str, Parts]:
    """The parts of some lines in a period, read day by day."""
    found: dict[str, list[Parts]] = defaultdict(list)
    since = reference.since
    while since < reference.until and lines:
        until = min(since + _A_DAY, reference.until)
        verdicts = streams.read_verdicts(connection, lines, since=since, until=until, keys=keys)
        for number, parts in in_production_order(verdicts).items():
            found[lines[number]].append(parts)
        since = until
    return {line: Parts.joined(days) for line, days in found.items()}
