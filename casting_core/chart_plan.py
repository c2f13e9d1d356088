"""What each chart of a stream promises, hour by hour: its baseline, its design, and where a segment begins.

A line is watched by six charts, all of them Bernoulli CUSUMs (`alarms`), so that each has an ARL0 that is solved
exactly for correlated hours:

    chart        outcome of a part                          baseline
    defects      defective, or p_defective in review        set by a person; carried over when the model changes
    defects_low  the same, designed for half the climb      the same
    quarantine   the picture could not be judged            set by a person
    review       left to a person                           set by a person; learnt anew for another model
    score_high   p_defective above its 90 % point           learnt from the first parts of the segment
    score_low    p_defective below its 10 % point           learnt from the first parts of the segment

The first two are one alert, as nobody knows how large a climb will be: at a fleet's budget the second finds a climb of
1.5 times 17 to 29 % sooner, and one of 1.25 in half to a quarter of the parts, for 5 to 8 % more at 2 and 3 times.

Parts of a line that share an attribute, such as a mould, are watched by the first two (`streams`): a camera that goes
blind, and scores that drift, concern the line.

The last two are one alert too, `score_drift`: a move of the whole distribution shows in its tails, whatever its shape.
They count only whether a score lies in the tail, so that neither its scale nor its calibration matters.

The fleet's budget, one false alarm in so many days over all streams, is split among the charts by `SHARES`. Where
moulds are watched beside the lines, the charts of the defect rate share theirs with them (`StreamBaseline.share`). A
CUSUM's delay grows with the logarithm of its ARL0, so that half the budget costs a few parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from casting_core.alarm_design import (
    DEFAULT_BUDGET_DAYS,
    DEFAULT_RATIO,
    LARGEST_ARL,
    draft_design,
    finish_design,
    fleet_arl0,
)
from casting_core.errors import InvalidInput
from casting_core.rates import Accuracy, carry_baseline
from casting_core.run_length import WeightDistribution
from casting_core.streams import attribute_of, fleet_of, line_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from casting_core.alarms import CusumDesign
    from casting_core.alert_types import AlertKind
    from casting_core.baselines import StreamBaseline

ChartName = Literal["defects", "defects_low", "quarantine", "review", "score_high", "score_low"]
CHARTS: tuple[ChartName, ...] = ("defects", "defects_low", "quarantine", "review", "score_high", "score_low")
ALERT_OF: Mapping[ChartName, AlertKind] = {
    "defects": "defect_rate_climb",
    "defects_low": "defect_rate_climb",
    "quarantine": "quarantine_rate_climb",
    "review": "review_rate_climb",
    "score_high": "score_drift",
    "score_low": "score_drift",
}
OF_DEFECTS: tuple[ChartName, ...] = ("defects", "defects_low")
# Shares of the fleet's false-alarm budget. Those of the defect rate are what its kind of streams has of it.
SHARES: Mapping[ChartName, float] = {
    "defects": 0.3,
    "defects_low": 0.2,
    "quarantine": 0.15,
    "review": 0.15,
    "score_high": 0.1,
    "score_low": 0.1,
}
# A rate below is taken for it: a doubling of less is not worth a call, and its chart would be slow to solve.
LEAST_RATE = 0.002
# Correlations below it change no run length.
_LEAST_ICC = 1e-4
# Above it no rate can climb by much.
HIGHEST_RATE = 0.9
# Parts of a segment from which a chart learns what has no baseline.
LEARN_FROM_PARTS = 2_000


def charts_of(stream: str) -> tuple[ChartName, ...]:
    """The charts that a stream is watched by."""
    return CHARTS if attribute_of(stream) is None else OF_DEFECTS


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A stretch of a chart on one footing; where any of these changes, the chart begins a new one.

    `restarted` is the hour (since the epoch) from which a person has let the chart begin anew.
    """

    model_id: int | None
    baseline_id: int | None
    restarted: int | None

    def as_json(self) -> list[int | None]:
        """Give the three as a list."""
        return [self.model_id, self.baseline_id, self.restarted]

    @classmethod
    def from_json(cls, stored: list[int | None]) -> Segment:
        """Rebuild from `as_json`."""
        return cls(model_id=stored[0], baseline_id=stored[1], restarted=stored[2])


@dataclass(frozen=True, kw_only=True)
class Footing:
    """What a chart rests on: the rate it takes for well, where that comes from, and the design for it.

    `source` is 'own' or 'fleet' for a baseline that a person set (whichever weighs more), 'carried' where it was set
    for another model and corrected by both models' accuracies, 'uncorrected' where those are not known, and 'learnt'
    where the chart took it from its segment's first parts.
    """

    rate: float
    source: Literal["own", "fleet", "carried", "uncorrected", "learnt"]
    design: CusumDesign


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that is decided outside the parts themselves. Hours count from the epoch.

    `baselines` lists those of a (kind, stream) by the hour from which they hold; a fleet has one too (`fleet_of`).
    `restarts` are the hours from which a person lets a chart begin anew, `maintenance` the hours (first, last) of a
    line whose parts say nothing; '' is every line.
    """

    ratio: float = DEFAULT_RATIO
    budget_days: float = DEFAULT_BUDGET_DAYS
    baselines: Mapping[tuple[str, str], tuple[StreamBaseline, ...]] = field(default_factory=dict)
    restarts: Mapping[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    accuracies: Mapping[int, Accuracy] = field(default_factory=dict)
    maintenance: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    def in_maintenance(self, stream: str, hour: int) -> bool:
        """Whether the hour touches a maintenance window of the stream's line."""
        windows = (*self.maintenance.get(line_of(stream), ()), *self.maintenance.get("", ()))
        return any(first <= hour <= last for first, last in windows)

    def baseline(self, chart: ChartName, stream: str, hour: int) -> StreamBaseline | None:
        """The stream's baseline at that hour, or the fleet's, whichever was set later; None where there is none."""
        kind, found = ALERT_OF[chart], None
        # At one setting every stream with parts of its own gets a baseline, and the fleet's is for all others.
        for name in (fleet_of(stream), stream):
            for each in self.baselines.get((kind, name), ()):
                later = found is None or (each.valid_from_hour, each.stream == stream, each.baseline_id) >= (
                    found.valid_from_hour,
                    found.stream == stream,
                    found.baseline_id,
                )
                if later and each.valid_from_hour <= hour:
                    found = each
        return found

    def watches(self, key: str) -> bool:
        """Whether a part attribute has a baseline on some line, at whatever hour."""
        return any((attribute_of(stream) or ("",))[0] == key for _, stream in self.baselines)

    def segment(self, chart: ChartName, stream: str, hour: int, model_id: int | None) -> Segment:
        """The segment that an hour belongs to; `model_id` is the model that judged most of its parts."""
        of_scores = chart in ("score_high", "score_low")
        baseline = self.baseline("defects" if of_scores else chart, stream, hour)
        kind = ALERT_OF[chart]
        # What a person closes for a line begins anew on its moulds too, what for the whole plant on every stream.
        names = {stream, line_of(stream), ""}
        restarts = [at for name in names for at in self.restarts.get((name, kind), ()) if at <= hour]
        return Segment(
            model_id=None if chart == "quarantine" else model_id,
            baseline_id=None if baseline is None else baseline.baseline_id,
            restarted=max(restarts, default=None),
        )

    def footing(self, chart: ChartName, stream: str, hour: int, segment: Segment) -> Footing | None:
        """What a chart rests on in a segment that begins with that hour.

        None where the chart has to learn it (scores; the review rate of a model that no baseline was set for), or has
        no baseline, or nothing is left to climb to.
        """
        baseline = None if chart in ("score_high", "score_low") else self.baseline(chart, stream, hour)
        if baseline is None or (chart == "review" and baseline.model_id != segment.model_id):
            return None
        if baseline.rate > HIGHEST_RATE:
            return None
        rate, source = baseline.rate, "own" if baseline.stream == stream and not baseline.on_fleet else "fleet"
        if chart in OF_DEFECTS and baseline.model_id is not None and segment.model_id not in (None, baseline.model_id):
            rate, source = self._carried(baseline, segment.model_id)
        design = design_chart(
            rate=rate,
            ratio=self.ratio if chart != "defects_low" else (1 + self.ratio) / 2,
            icc=baseline.icc,
            batch=baseline.batch,
            arl0=self.arl0(chart, streams=baseline.streams, parts_per_day=24 * baseline.parts_per_hour)
            / (baseline.share if chart in OF_DEFECTS else 1.0),
            review=baseline.review if chart in OF_DEFECTS else (),
        )
        return Footing(rate=rate, source=source, design=design)  # type: ignore[arg-type]

    def learnt_footing(
        self, chart: ChartName, stream: str, hour: int, *, rate: float, icc: float, parts_per_hour: float
    ) -> Footing:
        """What a chart rests on that has learnt its rate itself."""
        baseline = self.baseline("defects", stream, hour)
        design = design_chart(
            rate=rate,
            ratio=self.ratio,
            icc=icc,
            batch=max(1, round(parts_per_hour)),
            arl0=self.arl0(chart, streams=baseline.streams if baseline else 1, parts_per_day=24 * parts_per_hour),
        )
        return Footing(rate=rate, source="learnt", design=design)

    def arl0(self, chart: ChartName, *, streams: int, parts_per_day: float) -> float:
        """The chart's share of the fleet's false-alarm budget, as parts from one false alarm to the next."""
        whole = float(fleet_arl0([parts_per_day] * max(1, streams), days=self.budget_days)[0])
        return whole / SHARES[chart]

    def _carried(self, baseline: StreamBaseline, model_id: int | None) -> tuple[float, str]:
        before = self.accuracies.get(baseline.model_id or 0)
        after = self.accuracies.get(model_id or 0)
        if before is None or after is None:
            return baseline.rate, "uncorrected"
        try:
            return carry_baseline(baseline.rate, max(1, baseline.inspected), before=before, after=after).rate, "carried"
        except InvalidInput:
            # A model no better than chance on its golden set: nothing can be corrected by it.
            return baseline.rate, "uncorrected"


def design_chart(
    *,
    rate: float,
    ratio: float,
    icc: float,
    batch: int,
    arl0: float,
    review: tuple[tuple[float, float], ...] = (),
) -> CusumDesign:
    """Design a chart for what was estimated: every number rounded to the safe side, so that streams share designs.

    `review` lists the shares of parts in review by their p_defective. A rate outside [0.002, 0.9] is taken for the
    nearer end, so that a stream without a defect has a chart too; a climb to 1 or above for one half way there.
    """
    rate = min(HIGHEST_RATE, max(LEAST_RATE, _round_up(rate, digits=2)))
    icc = _round_up(icc, digits=1) if icc >= _LEAST_ICC else 0.0
    batch = max(1, math.ceil(_round_up(batch, digits=1)))
    return _designed(
        rate=rate,
        ratio=possible_ratio(rate, ratio),
        icc=icc,
        batch=batch,
        arl0=min(LARGEST_ARL, _round_up(max(arl0, 1_000.0), digits=2)),
        review=review,
    )


def possible_ratio(rate: float, ratio: float) -> float:
    """The ratio, or that of a climb half way to 1 where it would lead further."""
    return min(ratio, (1 + rate) / 2 / rate)


@lru_cache(maxsize=4096)
def _designed(
    *, rate: float, ratio: float, icc: float, batch: int, arl0: float, review: tuple[tuple[float, float], ...]
) -> CusumDesign:
    draft, distribution = draft_chart(rate, ratio, review)
    return finish_design(draft, distribution, arl0=arl0, icc=icc, batch=batch, quick=True)


def draft_chart(
    rate: float, ratio: float, review: tuple[tuple[float, float], ...]
) -> tuple[CusumDesign, WeightDistribution]:
    """Give the weights of a chart's parts, and how often each comes; `review` as for `design_chart`."""
    draft = draft_design(rate, ratio)
    if not review:
        return draft, WeightDistribution.of_verdicts(draft)
    values = np.array([0.0, 1.0, *(value for value, _ in review)])
    shares = np.array([0.0, 0.0, *(share for _, share in review)])
    # What is not in review is defective or sound, so that the mean is the rate; the review's share gives way to that.
    shares *= min(1.0, 0.9 * rate / max(1e-12, float(shares @ values)))
    shares[1] = rate - float(shares @ values)
    shares[0] = 1 - shares[1:].sum()
    return draft, WeightDistribution.binned(draft.weights(values), (1 - values) * shares, values * shares)


def _round_up(value: float, *, digits: int) -> float:
    if value <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - digits + 1)
    return float(f"{math.ceil(value / step - 1e-9) * step:.12g}")


def plain(footing: Footing) -> dict[str, Any]:
    """The footing without its design, as plain JSON values."""
    return {"rate": footing.rate, "source": footing.source}
