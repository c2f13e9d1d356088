"""The charts of a stream, advanced hour by hour over its parts in production order.

    charts after the hour before + the hour's parts  ->  charts after the hour

That is all there is to it: `advance_charts` is a pure function, and the charts after an hour follow from the parts up
to then alone. Whoever keeps the charts after each hour can go back to any of them, and get to the same end again when
parts of an earlier hour arrive late, in whatever batches.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from casting_core.alarms import CusumState, advance, advance_by_stops, change_point
from casting_core.baselines import correlation_limit
from casting_core.chart_plan import HIGHEST_RATE, LEARN_FROM_PARTS, OF_DEFECTS, charts_of
from casting_core.chart_records import Alarm, Chart, Place
from casting_core.errors import InvalidInput
from casting_core.production import DEFECTIVE, QUARANTINED, REVIEW, Parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from casting_core.alarms import ChangePoint
    from casting_core.chart_plan import ChartName, Plan, Segment

# Scores are counted on a grid of log-odds while their tails are learnt: 0.03 % to 99.97 % in steps that differ by a
# factor of 1.28 in the odds.
_SCORE_GRID: NDArray[np.float64] = expit(np.linspace(-8, 8, 65))
_TAIL = 0.1
# A tail thinner or wider than that, where many parts have one and the same score, makes no chart.
_THINNEST_TAIL, _WIDEST_TAIL = 0.005, 0.4
# The learnt rate is taken this many standard errors up, so that ARL0 is kept in nine of ten learnings.
_LEARNING_MARGIN = 1.28
_LEARNERS = ("review", "score_high", "score_low")


@dataclass(frozen=True, kw_only=True)
class Advanced:
    """The charts after some hours, and the alarms that came and were over within them, each with its chart by then.

    `after` gives the charts after each of the hours that were asked for.
    """

    charts: Mapping[ChartName, Chart]
    over: tuple[tuple[ChartName, Chart, Alarm], ...] = ()
    after: Mapping[int, Mapping[ChartName, Chart]] = field(default_factory=dict)


def advance_charts(
    plan: Plan,
    stream: str,
    charts: Mapping[ChartName, Chart],
    hours: Sequence[tuple[int, Parts]],
    *,
    keep_from: int | None = None,
) -> Advanced:
    """Advance all charts of a stream over the parts of the next hours, each hour whole and in order.

    The charts are given after every hour from `keep_from` on too. Exact: cutting the hours into several calls ends in
    the same charts. Hours in a maintenance window change nothing.
    """
    working = [each for each in hours if not plan.in_maintenance(stream, each[0])]
    kept = [hour for hour, _ in hours if keep_from is not None and hour >= keep_from]
    if not working:
        return Advanced(charts=charts, after=dict.fromkeys(kept, charts))
    some = _Hours.of(working)
    # A kept hour in a maintenance window has the charts of the working hour before it.
    first_kept = bisect_right(some.hours, kept[0]) - 1 if kept else len(some.hours)
    # By the position of the hour that they follow; -1 is before all.
    after: dict[int, dict[ChartName, Chart]] = {-1: dict(charts)}
    over: list[tuple[ChartName, Chart, Alarm]] = []
    for name in charts_of(stream):
        charting = _Charting(plan=plan, stream=stream, name=name, hours=some, keep_from=first_kept)
        for position, chart in charting.advance(charts.get(name)).items():
            after.setdefault(position, {})[name] = chart
        over += [(name, *ended) for ended in charting.over]
    return Advanced(
        charts=after[len(some.hours) - 1],
        over=tuple(over),
        after={hour: after[bisect_right(some.hours, hour) - 1] for hour in kept},
    )


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
    if (models == models[0]).all():
        return int(models[0])
    found, counts = np.unique(models, return_counts=True)
    return int(found[counts == counts.max()].max())


@dataclass(frozen=True, kw_only=True)
class _Hours:
    """Hours one after the other: their parts in one row each for all and for the judged ones, and where each begins."""

    hours: Sequence[int]
    models: Sequence[int | None]
    every: Parts
    judged: Parts
    every_start: Sequence[int]
    judged_start: Sequence[int]

    @classmethod
    def of(cls, hours: Sequence[tuple[int, Parts]]) -> _Hours:
        judged = [counted("defects", parts) for _, parts in hours]
        return cls(
            hours=[hour for hour, _ in hours],
            models=[_main_model(parts) for parts in judged],
            every=Parts.joined([parts for _, parts in hours]),
            judged=Parts.joined(judged),
            every_start=list(accumulate((len(parts) for _, parts in hours), initial=0)),
            judged_start=list(accumulate(map(len, judged), initial=0)),
        )

    def counted_by(self, name: ChartName, first: int, end: int) -> tuple[Parts, list[int]]:
        """What a chart counts of the hours from `first` up to `end`, and how many parts lie before each and the end."""
        of_all = name == "quarantine"
        parts, start = (self.every, self.every_start) if of_all else (self.judged, self.judged_start)
        before = start[first : end + 1]
        return parts.take(slice(before[0], before[-1])), [each - before[0] for each in before]


@dataclass(frozen=True, kw_only=True)
class _Charting:
    """How one chart of a stream is advanced over hours. `over` gathers alarms that are, with their chart by then."""

    plan: Plan
    stream: str
    name: ChartName
    hours: _Hours
    keep_from: int
    over: list[tuple[Chart, Alarm]] = field(default_factory=list)

    def advance(self, chart: Chart | None) -> dict[int, Chart]:
        """The chart after each hour, by position, that is to be kept, and after the last."""
        count, position = len(self.hours.hours), 0
        after: dict[int, Chart] = {}
        while position < count:
            segment = self._segment(chart, position)
            if chart is None or chart.segment != segment:
                chart = self._begin(segment, before=chart, hour=self.hours.hours[position])
            end = position + 1
            if chart.footing is not None:
                # As many hours at once as stand on the same footing.
                while end < count and segment == self._segment(chart, end):
                    end += 1
                after |= self._run(chart, position, end)
                chart = after[end - 1]
            else:
                if self.name in _LEARNERS:
                    chart = self._learn(chart, position)
                after[position] = chart
            position = end
        return after

    def _segment(self, chart: Chart | None, position: int) -> Segment:
        """An hour without a verdict says nothing of the model: it goes on with the one before."""
        model_id = self.hours.models[position]
        if model_id is None and chart is not None:
            model_id = chart.segment.model_id
        return self.plan.segment(self.name, self.stream, self.hours.hours[position], model_id)

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

    def _run(self, chart: Chart, first: int, end: int) -> dict[int, Chart]:
        """Advance a chart that has its footing over hours of one segment; give it by position as `advance` does."""
        if chart.footing is None:
            raise InvalidInput("a chart without a footing cannot run")
        design = chart.footing.design
        parts, before = self.hours.counted_by(self.name, first, end)
        numbers = self.hours.hours[first:end]
        starts = [
            *chart.starts,
            *((hour, chart.cusum.parts + each) for hour, each in zip(numbers, before, strict=False)),
        ]
        outcomes = outcomes_of(self.name, parts, chart.threshold)
        kept = range(min(max(first, self.keep_from), end - 1), end)
        states, signals = advance_by_stops(design, chart.cusum, outcomes, [before[each - first + 1] for each in kept])
        # The alarm that stands from each signal on.
        standing, since = [chart.alarm], [chart.cusum.parts]
        for signal in signals:
            place, alarm = _place(starts, signal.part - 1), standing[-1]
            climbed = signal.kind == "climb"
            standing.append(_alarm(starts, place, signal.statistic, signal.since) if climbed else None)
            since.append(signal.part)
            if alarm is not None and not climbed:
                passed = numbers.index(place.hour) + 1
                state, _ = advance(design, chart.cusum, outcomes[: before[passed]])
                by_then = _chart_after(chart, state, starts[: len(chart.starts) + passed], None)
                self.over.append((by_then, replace(alarm, over=place.hour)))
        return {
            position: _chart_after(
                chart,
                state,
                starts[: len(chart.starts) + position - first + 1],
                standing[bisect_right(since, state.parts) - 1],
            )
            for position, state in zip(kept, states, strict=True)
        }

    def _learn(self, chart: Chart, position: int) -> Chart:
        """Count one more hour, and take the rate from what was counted once that is enough."""
        parts, _ = self.hours.counted_by(self.name, position, position + 1)
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
            self.hours.hours[position],
            rate=rate + _LEARNING_MARGIN * float(error),
            icc=icc,
            parts_per_hour=batch,
        )
        return replace(chart, learning=(), footing=footing, threshold=threshold)


def _chart_after(chart: Chart, state: CusumState, starts: Sequence[tuple[int, int]], alarm: Alarm | None) -> Chart:
    """The chart at the end of the last of the hours in `starts`: of those, the ones that it still needs."""
    if chart.footing is None:
        raise InvalidInput("a chart without a footing cannot run")
    earliest = change_point(chart.footing.design, state).earliest
    keep = max(bisect_right(starts, earliest, key=itemgetter(1)) - 1, 0)
    return replace(chart, cusum=state, starts=tuple(starts[keep:]), alarm=alarm)


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
