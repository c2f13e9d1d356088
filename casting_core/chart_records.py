"""A chart of a stream as it is kept after an hour, and the alarm that it may have given: plain records, JSON-able."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from casting_core.alarms import CusumDesign, CusumState
from casting_core.chart_plan import Footing, Segment
from casting_core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACES = ("place", "earliest", "onset", "latest")
_DESIGN = attrgetter(*CusumDesign.__dataclass_fields__)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A part's place in its stream: the hour (since the epoch) and how many counted parts of the hour come before."""

    hour: int
    offset: int


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """A chart's signal: where it came, with what statistic, and between which parts the change is likely to lie.

    `earliest`, `onset` and `latest` are the first parts after the change if it came as early, as likely, as late as
    that. `over` is the hour in which the chart decided that the rate is back, None while it has not.
    """

    place: Place
    statistic: int
    earliest: Place
    onset: Place
    latest: Place
    over: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Give plain JSON values, which `from_json` takes back."""
        return {**vars(self), **{name: dict(vars(getattr(self, name))) for name in _PLACES}}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Alarm:
        """Rebuild from `as_json`."""
        return cls(**{**stored, **{name: Place(**stored[name]) for name in _PLACES}})


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart of a stream after some hour.

    `footing` is None while the chart learns its rate, from `learning` (for each hour the parts, or for scores the parts
    in each cell of the grid), or has no baseline to run on. `threshold` bounds the tail of scores that it counts.
    `starts` gives for each hour, back to the earliest in which the present change can have begun, how many parts of the
    segment came before it. `alarm` is the signal that is not over. `idle` says that the scores sit on a few values, so
    that they have no tail to count until the next segment.
    """

    segment: Segment
    footing: Footing | None = None
    cusum: CusumState = field(default_factory=CusumState)
    starts: tuple[tuple[int, int], ...] = ()
    alarm: Alarm | None = None
    learning: tuple[tuple[int, ...], ...] = ()
    threshold: float | None = None
    idle: bool = False

    def as_json(self) -> dict[str, Any]:
        """Give plain JSON values (lists as tuples), which `from_json` takes back."""
        footing = self.footing
        return {
            "segment": self.segment.as_json(),
            "footing": footing
            and {
                "rate": footing.rate,
                "source": footing.source,
                "design": _DESIGN(footing.design),
            },
            "cusum": self.cusum.as_json(),
            "starts": self.starts,
            "alarm": self.alarm and self.alarm.as_json(),
            "learning": self.learning,
            "threshold": self.threshold,
            "idle": self.idle,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Chart:
        """Rebuild from `as_json`. Raises `InvalidInput` where the stored chart is of another release or damaged."""
        try:
            footing, alarm = stored["footing"], stored["alarm"]
            if footing is not None:
                names = list(CusumDesign.__dataclass_fields__)
                design = CusumDesign(**dict(zip(names, footing["design"], strict=True)))
                footing = Footing(rate=footing["rate"], source=footing["source"], design=design)
            if alarm is not None:
                alarm = Alarm.from_json(alarm)
            return cls(
                segment=Segment.from_json(stored["segment"]),
                footing=footing,
                cusum=CusumState.from_json(stored["cusum"]),
                starts=tuple((hour, before) for hour, before in stored["starts"]),
                alarm=alarm,
                learning=tuple(tuple(each) for each in stored["learning"]),
                threshold=stored["threshold"],
                idle=stored["idle"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(
                f"a stored chart cannot be read ({error}): recompute it from the stream's parts"
            ) from error
