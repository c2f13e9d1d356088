"""The charts of a stream, advanced hour by hour over its parts in production order.

    charts after the hour before + the hour's parts  ->  charts after the hour

That is all there is to it: `advance_charts` is a pure function, and the charts after an hour follow from the parts up
to then alone. Whoever keeps the charts after each hour can go back to any of them, and get to the same end again when
parts of an earlier hour arrive late, in whatever batches.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from casting_core.alarms import ChangePoint, CusumDesign, CusumState, advance, change_point
from casting_core.baselines import correlation_limit
from casting_core.chart_plan import CHARTS, HIGHEST_RATE, LEARN_FROM_PARTS, OF_DEFECTS, Footing, Segment
from casting_core.errors import InvalidInput
from casting_core.production import DEFECTIVE, QUARANTINED, REVIEW

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from casting_core.chart_plan import ChartName, Plan
    from casting_core.production import Parts

# Scores are counted on a grid of log-odds while their tails are learnt: 0.03 % to 99.97 % in steps that differ by a
# factor of 1.28 in the odds.
_SCORE_GRID: NDArray[np.float64] = expit(np.linspace(-8, 8, 65))
_TAIL = 0.1
# A tail thinner or wider than that, where many parts have one and the same score, makes no chart.
_THINNEST_TAIL, _WIDEST_TAIL = 0.005, 0.4
# The learnt rate is taken this many standard errors up, so that ARL0 is kept in nine of ten learnings.
_LEARNING_MARGIN = 1.28
_LEARNERS = ("review", "score_high", "score_low")
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
        """Give plain JSON values, which `from_json` takes back."""
        footing = self.footing
        return {
            "segment": self.segment.as_json(),
            "footing": footing
            and {
                "rate": footing.rate,
                "source": footing.source,
                "design": list(_DESIGN(footing.design)),
            },
            "cusum": self.cusum.as_json(),
            "starts": [list(each) for each in self.starts],
            "alarm": self.alarm and self.alarm.as_json(),
            "learning": [list(each) for each in self.learning],
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


@dataclass(frozen=True, kw_only=True)
class Advanced:
    """The charts after some hours, and the alarms that came and were over within them."""

    charts: Mapping[ChartName, Chart]
    over: tuple[tuple[ChartName, Alarm], ...] = ()


def advance_charts(
    plan: Plan, stream: str, charts: Mapping[ChartName, Chart], hours: Sequence[tuple[int, Parts]]
) -> Advanced:
    """Advance all charts of a stream over the parts of the next hours, each hour whole and in order.

    Exact: cutting the hours into several calls ends in the same charts. Hours in a maintenance window change nothing.
    """
    working = [
        _Hour(hour=hour, parts=parts, model_id=_main_model(parts))
        for hour, parts in hours
        if not plan.in_maintenance(stream, hour)
    ]
    if not working:
        return Advanced(charts=charts)
    after: dict[ChartName, Chart] = {}
    over: list[tuple[ChartName, Alarm]] = []
    for name in CHARTS:
        chart, ended = _Charting(plan=plan, stream=stream, name=name).advance(charts.get(name), working)
        after[name] = chart
        over += [(name, alarm) for alarm in ended]
    return Advanced(charts=after, over=tuple(over))


def counted(name: ChartName, parts: Parts) -> Parts:
    """Those parts that a chart counts: all for the quarantine's, those with a verdict for the others."""
    return parts if name == "quarantine" else parts.take(parts.outcome != QUARANTINED)


def outcomes_of(name: ChartName, parts: Parts, threshold: float | None) -> NDArray[np.float64]:
    """What a chart sees of the parts that it counts: an outcome in [0, 1] each, shape [parts]."""
    if name in OF_DEFECTS:
        seen = np.where(parts.outcome == REVIEW, parts.p_defective, parts.outcome == DEFECTIVE)
    elif name == "quarantine":
        seen = parts.outcome == QUARANTINED
    elif name == "review":
        seen = parts.outcome == REVIEW
    elif threshold is None:
        raise InvalidInput("the tail of the scores is not learnt yet, so no part can be in it")
    else:
        seen = parts.p_defective >= threshold if name == "score_high" else parts.p_defective < threshold
    return seen.astype(np.float64)


def _main_model(parts: Parts) -> int | None:
    """The model that judged most of an hour's parts; the newer of two with as many."""
    models = parts.model_id[parts.outcome != QUARANTINED]
    if not models.size:
        return None
    found, counts = np.unique(models, return_counts=True)
    return int(found[counts == counts.max()].max())


@dataclass(frozen=True, kw_only=True)
class _Hour:
    hour: int
    parts: Parts
    model_id: int | None


@dataclass(frozen=True, kw_only=True)
class _Charting:
    """How one chart of a stream is advanced."""

    plan: Plan
    stream: str
    name: ChartName

    def advance(self, chart: Chart | None, hours: Sequence[_Hour]) -> tuple[Chart, list[Alarm]]:
        over: list[Alarm] = []
        position = 0
        while position < len(hours):
            segment = self._segment(chart, hours[position])
            if chart is None or chart.segment != segment:
                chart = self._begin(segment, before=chart, hour=hours[position].hour)
            end = position + 1
            if chart.footing is not None:
                # As many hours at once as stand on the same footing.
                while end < len(hours) and segment == self._segment(chart, hours[end]):
                    end += 1
                chart, ended = self._run(chart, hours[position:end])
                over += ended
            elif self.name in _LEARNERS:
                chart = self._learn(chart, hours[position])
            position = end
        if chart is None:
            raise InvalidInput(f"no hour of stream {self.stream!r} was given to advance a chart over")
        return chart, over

    def _segment(self, chart: Chart | None, hour: _Hour) -> Segment:
        """An hour without a verdict says nothing of the model: it goes on with the one before."""
        model_id = hour.model_id
        if model_id is None and chart is not None:
            model_id = chart.segment.model_id
        return self.plan.segment(self.name, self.stream, hour.hour, model_id)

    def _begin(self, segment: Segment, *, before: Chart | None, hour: int) -> Chart:
        footing = self.plan.footing(self.name, self.stream, hour, segment)
        same_process = (
            before is not None
            and before.segment.baseline_id == segment.baseline_id
            and before.segment.restarted == segment.restarted
        )
        if same_process and before is not None and footing is not None and before.alarm is not None:
            # Another model is no reason to take a climb for over: the new chart waits for the recovery too.
            return Chart(segment=segment, footing=footing, alarm=before.alarm, cusum=CusumState(alarmed=True))
        return Chart(segment=segment, footing=footing)

    def _run(self, chart: Chart, hours: Sequence[_Hour]) -> tuple[Chart, list[Alarm]]:
        """Advance a chart that has its footing over hours of one segment."""
        if chart.footing is None:
            raise InvalidInput("a chart without a footing cannot run")
        design, over = chart.footing.design, []
        parts_of = [counted(self.name, each.parts) for each in hours]
        before = np.cumsum([chart.cusum.parts, *map(len, parts_of)])
        starts = [*chart.starts, *((each.hour, int(start)) for each, start in zip(hours, before, strict=False))]
        outcomes = np.concatenate([outcomes_of(self.name, parts, chart.threshold) for parts in parts_of])
        cusum, signals = advance(design, chart.cusum, outcomes)
        alarm = chart.alarm
        for signal in signals:
            place = _place(starts, signal.part - 1)
            if signal.kind == "climb":
                alarm = _alarm(starts, place, signal.statistic, signal.since)
            elif alarm is not None:
                over.append(replace(alarm, over=place.hour))
                alarm = None
        earliest = change_point(design, cusum).earliest
        keep = max((index for index, (_, start) in enumerate(starts) if start <= earliest), default=0)
        return replace(chart, cusum=cusum, starts=tuple(starts[keep:]), alarm=alarm), over

    def _learn(self, chart: Chart, hour: _Hour) -> Chart:
        """Count one more hour, and take the rate from what was counted once that is enough."""
        parts = counted(self.name, hour.parts)
        if chart.idle or not len(parts):
            return chart
        if self.name == "review":
            counts = np.array([np.count_nonzero(parts.outcome != REVIEW), np.count_nonzero(parts.outcome == REVIEW)])
        else:
            counts = np.bincount(np.searchsorted(_SCORE_GRID, parts.p_defective, side="right"), minlength=66)
        learning = (*chart.learning, tuple(counts.tolist()))
        table = np.array(learning)
        if table.sum() < LEARN_FROM_PARTS or len(learning) < 2:  # noqa: PLR2004 - one hour shows no spread
            return replace(chart, learning=learning)
        first, threshold = _tail(self.name, table.sum(axis=0))
        inspected = table.sum(axis=1)
        tail = table[:, first:].sum(axis=1) if self.name != "score_low" else table[:, :first].sum(axis=1)
        rate = float(tail.sum() / inspected.sum())
        thin_or_wide = self.name != "review" and not _THINNEST_TAIL <= rate <= _WIDEST_TAIL
        if thin_or_wide or rate > HIGHEST_RATE:
            # Nothing to count: the scores sit on one value, or all is in review. Looked at again in the next segment.
            return replace(chart, learning=(), idle=True)
        icc = correlation_limit(tail, inspected, np.full(tail.size, rate))
        batch = float(inspected.mean())
        error = np.sqrt(max(rate, 1 / inspected.sum()) * (1 - rate) * (1 + (batch - 1) * icc) / inspected.sum())
        footing = self.plan.learnt_footing(
            self.name,
            self.stream,
            hour.hour,
            rate=rate + _LEARNING_MARGIN * float(error),
            icc=icc,
            parts_per_hour=batch,
        )
        return replace(chart, learning=(), footing=footing, threshold=threshold)


def _alarm(starts: Sequence[tuple[int, int]], place: Place, statistic: int, since: ChangePoint) -> Alarm:
    return Alarm(
        place=place,
        statistic=statistic,
        earliest=_place(starts, since.earliest),
        onset=_place(starts, since.part),
        latest=_place(starts, since.latest),
    )


def _place(starts: Sequence[tuple[int, int]], index: int) -> Place:
    """Where the part of that index in the segment lies. A change after the last part lies at the last hour's end."""
    hour, start = starts[0]
    for next_hour, next_start in starts:
        if next_start > index:
            break
        hour, start = next_hour, next_start
    return Place(hour=hour, offset=max(0, index - start))


def _tail(name: ChartName, cells: NDArray[np.int64]) -> tuple[int, float | None]:
    """The cell at which the tail begins (or, below, ends), as near to a tenth of the parts as the grid allows."""
    if name == "review":
        return 1, None
    below = np.cumsum(cells) / cells.sum()
    # Cell j begins at the value j - 1 of the grid.
    shares = 1 - below[:-1] if name == "score_high" else below[:-1]
    first = int(np.abs(shares - _TAIL).argmin()) + 1
    return first, float(_SCORE_GRID[first - 1])
