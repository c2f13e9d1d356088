"""Baselines of a fleet's streams from a reference period: set when a person says so, never by the process itself.

A baseline that followed the process would learn the defect. So one is estimated from a period that somebody vouches
for, and stands until the next is set. Only the very first one of a plant is taken from its first parts, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betaln
from scipy.stats import chi2

from casting_core.errors import InvalidInput
from casting_core.production import DEFECTIVE, QUARANTINED, REVIEW
from casting_core.rates import estimate_baselines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from numpy.typing import NDArray

    from casting_core.production import Parts
    from casting_core.types import Window

    BaselineKind = Literal["defect_rate_climb", "quarantine_rate_climb", "review_rate_climb"]

# Where hours are too few to tell how far they share their fate: more than most lines show.
_UNKNOWN_ICC = 0.01
_LEAST_COUNTS = 20
_ICC_GRID: NDArray[np.float64] = np.geomspace(1e-6, 0.1, 83)
_REVIEW_BINS = 10


@dataclass(frozen=True, kw_only=True)
class StreamBaseline:
    """What a stream's rate of one kind is taken to be, per part, from which hour (since the epoch) on.

    `counted` of `inspected` parts were its own; parts in review count by their p_defective. `parts_per_hour` is the
    mean over all hours of the reference, `batch` over those with parts; `streams` is the size of the fleet then, among
    which the false-alarm budget is shared, and `share` what that fleet has of the budget for the defect rate. `review`
    lists the fleet's shares of parts in review by p_defective.
    """

    kind: BaselineKind
    stream: str
    rate: float
    low: float
    high: float
    counted: float
    inspected: int
    own_weight: float
    icc: float
    parts_per_hour: float
    batch: int
    streams: int
    model_id: int | None
    reference: Window
    valid_from_hour: int
    review: tuple[tuple[float, float], ...] = ()
    share: float = 1.0
    baseline_id: int = 0

    @property
    def on_fleet(self) -> bool:
        """Whether it is the fleet's rate rather than the stream's own, for lack of history."""
        return self.own_weight < 0.5  # noqa: PLR2004 - half is the definition


def fleet_baselines(
    parts_of: Mapping[str, Parts],
    reference: Window,
    *,
    model_id: int | None,
    valid_from_hour: int,
    fleet: str = "",
    share: float = 1.0,
    streams: int | None = None,
) -> list[StreamBaseline]:
    """Estimate all baselines of a fleet from the parts of its streams in the reference period.

    One a kind and stream with parts, shrunk towards the fleet, and one a kind for the `fleet` itself (`fleet_of`),
    which every later stream starts on. Streams that are not lines have the defect rate alone. `streams` is how many the
    whole fleet has, if not only those given. The correlation inside hours is the upper limit of the fleet's, as an
    alarm designed on too low a one breaks its promise. Raises `InvalidInput` if no part was made in the period.
    """
    parts_of = {stream: parts for stream, parts in parts_of.items() if len(parts)}
    if not parts_of:
        raise InvalidInput(
            f"no part was judged from {reference.since.isoformat()} to {reference.until.isoformat()}: "
            "choose a period with production"
        )
    hours_long = max(1.0, (reference.until - reference.since).total_seconds() / 3600)
    review = _review_shares(parts_of)
    kinds: tuple[BaselineKind, ...] = ("defect_rate_climb",)
    if fleet == "":
        kinds = (*kinds, "quarantine_rate_climb", "review_rate_climb")
    found = []
    for kind in kinds:
        outcomes = {stream: _outcomes(kind, parts) for stream, parts in parts_of.items()}
        counted = {stream: float(values.sum()) for stream, (values, _) in outcomes.items()}
        inspected = {stream: values.size for stream, (values, _) in outcomes.items()}
        if not sum(inspected.values()):
            continue
        icc = _icc(list(outcomes.values()))
        # The last one stands for a stream without any part: the fleet's rate alone.
        estimates = estimate_baselines([*map(round, counted.values()), 0], [*inspected.values(), 0])
        for stream, estimate in zip([*parts_of, fleet], estimates, strict=True):
            active = (
                np.mean([np.unique(hours).size for _, hours in outcomes.values()])
                if stream == fleet
                else np.unique(outcomes[stream][1]).size
            )
            own = sum(inspected.values()) / len(inspected) if stream == fleet else inspected[stream]
            found.append(
                StreamBaseline(
                    kind=kind,
                    stream=stream,
                    rate=_inside(estimate.rate),
                    low=min(_inside(estimate.rate), estimate.interval.low),
                    high=max(_inside(estimate.rate), estimate.interval.high),
                    counted=counted.get(stream, 0.0),
                    inspected=inspected.get(stream, 0),
                    own_weight=estimate.own_weight,
                    icc=icc,
                    parts_per_hour=own / hours_long,
                    batch=max(1, round(own / max(1.0, float(active)))),
                    streams=len(parts_of) if streams is None else streams,
                    model_id=None if kind == "quarantine_rate_climb" else model_id,
                    reference=reference,
                    valid_from_hour=valid_from_hour,
                    review=review if kind == "defect_rate_climb" else (),
                    share=share,
                )
            )
    return found


def _inside(rate: float) -> float:
    """A rate that can be designed for: all or nothing defective comes out as 0 or 1 by rounding."""
    return min(1 - 1e-9, max(1e-9, rate))


def _outcomes(kind: BaselineKind, parts: Parts) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The outcomes that a chart of that kind runs on, and their hours; both of shape [counted parts]."""
    if kind == "quarantine_rate_climb":
        return (parts.outcome == QUARANTINED).astype(np.float64), parts.hour
    judged = parts.take(parts.outcome != QUARANTINED)
    if kind == "review_rate_climb":
        return (judged.outcome == REVIEW).astype(np.float64), judged.hour
    outcomes = np.where(judged.outcome == REVIEW, judged.p_defective, judged.outcome == DEFECTIVE)
    return outcomes.astype(np.float64), judged.hour


def correlation_limit(counted: NDArray[np.int64], inspected: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
    """Upper 90 % limit of the correlation inside hours, given each hour's expected rate; all of shape [hours].

    The profile likelihood of `rates.estimate_overdispersion` with the means known, on a grid of steps of 15 %, so that
    a fleet's hours are one quick sum. Hours with too few counts to tell give the correlation that is taken for unknown.
    """
    if counted.sum() < _LEAST_COUNTS or np.count_nonzero(inspected > 1) < 2:  # noqa: PLR2004 - one has no spread
        return _UNKNOWN_ICC
    rates = np.clip(rates, 1e-9, 1 - 1e-9)
    precision = (1 / _ICC_GRID - 1)[:, None]
    a, b = rates * precision, (1 - rates) * precision
    likelihood = (betaln(counted + a, inspected - counted + b) - betaln(a, b)).sum(axis=1)
    best = int(likelihood.argmax())
    # From the best on: the first correlation that the hours contradict.
    beyond = np.flatnonzero(likelihood[best:] < likelihood[best] - float(chi2.ppf(0.8, 1)) / 2)
    return float(_ICC_GRID[best + beyond[0]] if beyond.size else _ICC_GRID[-1])


def _icc(streams: list[tuple[NDArray[np.float64], NDArray[np.int64]]]) -> float:
    """The limit for a fleet; each stream at its own mean, as different rates are no correlation."""
    counted, inspected, rates = [], [], []
    for outcomes, hours in streams:
        _, which = np.unique(hours, return_inverse=True)
        inspected.append(np.bincount(which))
        counted.append(np.rint(np.bincount(which, outcomes)).astype(np.int64))
        rates.append(np.full(inspected[-1].size, (outcomes.sum() + 0.5) / (outcomes.size + 1)))
    return correlation_limit(np.concatenate(counted), np.concatenate(inspected), np.concatenate(rates))


def _review_shares(parts_of: Mapping[str, Parts]) -> tuple[tuple[float, float], ...]:
    """Shares of the fleet's parts that lie in review, by p_defective in tenths."""
    judged = sum(int(np.count_nonzero(parts.outcome != QUARANTINED)) for parts in parts_of.values())
    scores = np.concatenate([parts.p_defective[parts.outcome == REVIEW] for parts in parts_of.values()])
    if not scores.size:
        return ()
    bins = np.bincount(np.minimum(_REVIEW_BINS - 1, (scores * _REVIEW_BINS).astype(np.int64)), minlength=_REVIEW_BINS)
    middle = (np.arange(_REVIEW_BINS) + 0.5) / _REVIEW_BINS
    return tuple(
        (float(value), float(f"{count / judged:.2g}")) for value, count in zip(middle, bins, strict=True) if count
    )
