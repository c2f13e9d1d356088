"""What is noticed by its absence: a line that should send pictures and does not, scoring that does not finish."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from casting_core.alert_types import PLANT, Finding, Onset
from casting_core.findings import start_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet
    from datetime import datetime, tzinfo

# How many of the same hours before must have had pictures for a line to be expected to send some.
_USUAL = 0.75
_WEEKS = 4
_DAYS = 7
_LEAST_WEEKS, _LEAST_DAYS = 2, 3
# From that many times the silence that alerts on, it is critical.
_LONG = 3


def is_usual(active: AbstractSet[int], hour: int, *, first: int, timezone: tzinfo) -> bool:
    """Whether a line is expected to send pictures in an hour, going by the hours in which it did.

    `active` holds the hours (since the epoch) with pictures, known from the hour `first` on. Expected means: pictures
    in three of four of the same hours of the last four weeks, by the plant's own clock; a line with less than two weeks
    of history is compared with the same hours of the last seven days, and one with less than three days is expected
    nowhere.
    """
    for step, most, least in ((7, _WEEKS, _LEAST_WEEKS), (1, _DAYS, _LEAST_DAYS)):
        before = [_same_hour(hour, days=step * back, timezone=timezone) for back in range(1, most + 1)]
        known = [each for each in before if each >= first]
        if len(known) >= least:
            return sum(each in active for each in known) >= _USUAL * len(known)
    return False


def silence_finding(
    line: str,
    *,
    active: AbstractSet[int],
    now_hour: int,
    hours: int,
    timezone: tzinfo,
    in_maintenance: Callable[[int], bool],
) -> Finding | None:
    """A finding where a line has sent nothing in the last `hours` hours in which it usually does.

    `active` are the hours with pictures, `now_hour` the first hour that has not been looked through yet. Hours in a
    maintenance window, and those in which the line usually rests, count neither way.
    """
    if not active:
        return None
    last, first = max(active), min(active)
    missing = [
        hour
        for hour in range(last + 1, now_hour)
        if not in_maintenance(hour) and is_usual(active, hour, first=first, timezone=timezone)
    ]
    if len(missing) < hours:
        return None
    return Finding(
        kind="no_images",
        severity="critical" if len(missing) >= _LONG * hours else "warning",
        stream=line,
        line=line,
        signal=start_of(last).isoformat(),
        since=Onset(low=start_of(last), estimate=start_of(last + 1), high=start_of(missing[0] + 1)),
        evidence={"silent_hours": len(missing), "last_pictures": start_of(last).isoformat(), "allowed_hours": hours},
    )


@dataclass(frozen=True, kw_only=True)
class ScoringHealth:
    """When scoring last completed, None if it never did; when it first was begun; and since when the backlog waits."""

    first_run: datetime | None
    last_completed: datetime | None
    last_state: str | None
    backlog: int
    oldest_backlog: datetime | None


def stalled_finding(health: ScoringHealth, *, now: datetime, hours: float) -> Finding | None:
    """A finding where no run has completed for `hours` hours, or known images have waited longer than that."""
    if health.first_run is None:
        # Nobody has begun to score here.
        return None
    allowed = timedelta(hours=hours)
    since = health.last_completed or health.first_run
    late = now - since > allowed
    waiting = health.oldest_backlog is not None and now - health.oldest_backlog > allowed
    if not late and not waiting:
        return None
    begun = since if late or health.oldest_backlog is None else health.oldest_backlog
    return Finding(
        kind="scoring_stalled",
        severity="critical",
        stream=PLANT,
        line=PLANT,
        signal=begun.isoformat(),
        since=Onset(low=begun, estimate=begun, high=begun),
        evidence={
            "no_completed_run": late,
            "last_completed": health.last_completed and health.last_completed.isoformat(),
            "last_run_ended": health.last_state,
            "backlog": health.backlog,
            "oldest_backlog": health.oldest_backlog and health.oldest_backlog.isoformat(),
            "allowed_hours": hours,
        },
    )


def _same_hour(hour: int, *, days: int, timezone: tzinfo) -> int:
    """The hour (since the epoch) that showed the same time on the plant's clock so many days before."""
    here = start_of(hour).astimezone(timezone)
    offset = here.utcoffset() or timedelta(0)
    before = (here.replace(tzinfo=None) - timedelta(days=days)).replace(tzinfo=timezone)
    shift = offset - (before.utcoffset() or timedelta(0))
    return hour - 24 * days + round(shift / timedelta(hours=1))
