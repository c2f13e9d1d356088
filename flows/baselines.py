"""Baselines set from the plant's own history: by a person's word, and once, at the very beginning, without."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from casting_core.alert_types import WATCH
from casting_core.baselines import fleet_baselines
from casting_core.chart_plan import LEARN_FROM_PARTS
from casting_core.findings import hour_of, start_of
from casting_core.production import Parts, in_production_order
from casting_core.types import Window
from db import streams
from db.baselines import write_baselines

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from casting_core.baselines import StreamBaseline
    from casting_core.chart_plan import Plan

_A_DAY = timedelta(days=1)


def set_baselines(
    connection: Connection,
    reference: Window,
    *,
    who: str,
    why: str,
    lines: tuple[str, ...] = (),
    valid_from: datetime | None = None,
    now: datetime,
) -> list[StreamBaseline]:
    """Estimate all streams' baselines from a reference period, and let their charts begin anew on them.

    They hold from the next full hour on, or from `valid_from`: hours after it that were watched are watched again, as
    far back as the look-back. `lines` restricts what is learnt and set to some lines; the fleet's baseline then stays.

    Raises `InvalidInput` if no part was judged in the period.
    """
    pictured = streams.hours_with_pictures(connection, since=reference.since, until=reference.until)
    known = list(lines) or sorted(pictured)
    parts_of = _read(connection, known, reference)
    models = np.concatenate([parts.model_id[parts.model_id > 0] for parts in parts_of.values()] or [np.empty(0, int)])
    # Of a period that two models have judged, the one that judged more of it.
    model_id = int(np.bincount(models).argmax()) if models.size else None
    start = hour_of(valid_from) if valid_from is not None else hour_of(now) + 1
    found = fleet_baselines(parts_of, reference, model_id=model_id, valid_from_hour=start)
    written = write_baselines(connection, [each for each in found if each.stream or not lines], set_by=who, why=why)
    again = streams.watched_hours(connection, dict.fromkeys(parts_of, start_of(start)))
    streams.mark_changes(connection, [(stream, hour) for stream, hours in again.items() for hour in hours])
    return written


def set_first_baselines(connection: Connection, plan: Plan, *, now: datetime) -> bool:
    """Give a plant that has no baseline at all one from its first parts, once there are enough; return whether it did.

    Whoever knows a better period sets it by hand.
    """
    if plan.baselines:
        return False
    hours = streams.active_hours(connection, since=now - timedelta(weeks=5))
    if not hours:
        return False
    first = min(each[0] for each in hours.values())
    reference = Window(since=first, until=max(start_of(hour_of(now) + 1), first + timedelta(hours=1)))
    if streams.count_parts(connection, since=reference.since) < LEARN_FROM_PARTS:
        return False
    why = f"The plant's first parts, {reference.since:%Y-%m-%d %H:%M} to {reference.until:%Y-%m-%d %H:%M} UTC."
    set_baselines(connection, reference, who=WATCH, why=why, now=now)
    return True


def _read(connection: Connection, lines: list[str], reference: Window) -> dict[str, Parts]:
    """The parts of some lines in a period, read day by day."""
    found: dict[str, list[Parts]] = defaultdict(list)
    since = reference.since
    while since < reference.until and lines:
        until = min(since + _A_DAY, reference.until)
        for number, parts in in_production_order(
            streams.read_verdicts(connection, lines, since=since, until=until)
        ).items():
            found[lines[number]].append(parts)
        since = until
    return {
        line: Parts(
            **{field.name: np.concatenate([getattr(parts, field.name) for parts in days]) for field in fields(Parts)}
        )
        for line, days in found.items()
    }
