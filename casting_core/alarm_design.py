"""Design of CUSUM limits: what false-alarm rate to promise, and the limit that keeps the promise, solved exactly.

The run length that belongs to a limit is solved in `run_length`, for independent parts and for those of one batch, and
the limit for a run length in `alarm_limits`.
"""

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from casting_core.alarm_limits import near_limit, near_limit_size, smallest_limit
from casting_core.alarms import CusumDesign
from casting_core.errors import InvalidInput
from casting_core.rates import proper_rate
from casting_core.run_length import RunLengthChain, WeightDistribution

DEFAULT_BUDGET_DAYS = 30.0
DEFAULT_RATIO = 2.0
# A climb that goes on is wrongly called over once in so many parts: 100 hours of a line that makes 200 an hour.
DEFAULT_RECOVERY_ARL = 20_000.0
# Beyond it the chain is too close to one that never alarms to be solved in double precision.
LARGEST_ARL = 1e10

_LARGEST_CARRIED = 150_000  # some tenths of a second; beyond it hours share their fate to an odd degree
_CHANGE_POINT_MISS = 0.1  # 90 % confidence, half of the miss on each side
# The grid's reference value may be off by this share of its distance to the nearer of baseline and climb.
_REFERENCE_TOLERANCE = 0.1
# Verdicts need no finer grid than that; on p_defective a twice finer one finds climbs less than 1 % sooner.
SCORE_RESOLUTION = 2


def fleet_arl0(parts_per_day: ArrayLike, *, days: float = DEFAULT_BUDGET_DAYS) -> NDArray[np.float64]:
    """Give every stream's ARL0, in parts, so that the fleet has one false alarm in `days` over all streams.

    `parts_per_day` has shape [streams]. False alarms of renewing charts add up whatever their dependence, so N streams
    get an N-th of the budget each: ARL0 = N * days * parts per day. An idle stream counts as one part a day.

    >>> fleet_arl0([4800, 2400]).tolist()
    [288000.0, 144000.0]

    Raises `InvalidInput` if there is no stream, a number is negative or not finite, or `days` is not positive.
    """
    parts = np.asarray(parts_per_day, dtype=np.float64)
    if parts.ndim != 1 or parts.size == 0:
        raise InvalidInput(f"a false-alarm budget needs the parts per day of each stream, got the shape {parts.shape}")
    if not np.all(np.isfinite(parts) & (parts >= 0)):
        raise InvalidInput(f"parts per day must be numbers of at least 0, got {parts.tolist()}")
    if not 0 < days < math.inf:
        raise InvalidInput(f"the false-alarm budget needs a positive number of days, got {days!r}")
    shares: NDArray[np.float64] = parts.size * days * np.maximum(parts, 1.0)
    return shares


@lru_cache(maxsize=4096)
def design_cusum(
    *,
    baseline: float,
    arl0: float,
    ratio: float = DEFAULT_RATIO,
    icc: float = 0.0,
    batch: int = 1,
    recovery_arl: float = DEFAULT_RECOVERY_ARL,
) -> CusumDesign:
    """Design the Bernoulli CUSUM of yes/no verdicts for a climb of `ratio` times the baseline.

    The limit is the smallest whose ARL0 is at least `arl0` parts at the `baseline` (defectives per part), with outcomes
    correlated by `icc` inside batches of `batch` parts; `recovery_arl` is the average number of parts until a climb
    that goes on is wrongly called over. The reference value is that of the likelihood ratio, ln((1 - p0) / (1 - p1))
    over ln(p1 (1 - p0) / (p0 (1 - p1))), rounded to the grid. Designs are cached.

    >>> design = design_cusum(baseline=0.02, ratio=2, arl0=26_740)
    >>> round(design.m), design.limit, round(design.arl0)
    (35, 247, 27122)

    Raises `InvalidInput` unless 0 < baseline < ratio * baseline < 1, arl0 > 1, 0 <= icc < 1 and batch >= 1.
    """
    draft = draft_design(baseline, ratio)
    distribution = WeightDistribution.of_verdicts(draft)
    return finish_design(draft, distribution, arl0=arl0, icc=icc, batch=batch, recovery_arl=recovery_arl)


def design_score_cusum(
    reference: ArrayLike,
    *,
    arl0: float,
    ratio: float = DEFAULT_RATIO,
    icc: float = 0.0,
    batch: int = 1,
    recovery_arl: float = DEFAULT_RECOVERY_ARL,
) -> CusumDesign:
    """Design the CUSUM for outcomes that are probabilities, for some parts (those in review) or for all.

    `reference` holds the outcomes of a reference period, shape [parts] with values in [0, 1]. Its mean is the baseline,
    and the chain runs on its own distribution, so that ARL0 is kept even where p_defective is not calibrated. The
    distribution under a climb follows as a mixture: a part of outcome p counts p as defective and 1 - p as sound.

    Raises `InvalidInput` as `design_cusum` and `CusumDesign.weights` do.
    """
    outcomes = np.asarray(reference, dtype=np.float64)
    if outcomes.size == 0:
        raise InvalidInput("a score CUSUM needs the outcomes of a reference period, got none")
    draft = draft_design(float(outcomes.mean()), ratio, resolution=SCORE_RESOLUTION)
    distribution = WeightDistribution.binned(draft.weights(outcomes), 1 - outcomes, outcomes)
    return finish_design(draft, distribution, arl0=arl0, icc=icc, batch=batch, recovery_arl=recovery_arl)


def draft_design(baseline: float, ratio: float, *, resolution: int = 1) -> CusumDesign:
    """Give the weights of a chart whose limits `finish_design` is to set.

    `resolution` is the least `sound_weight`: the number of grid units for one sound part. Raises as `design_cusum`.
    """
    proper_rate("the baseline rate", baseline)
    climb = ratio * baseline
    if not baseline < climb < 1:
        raise InvalidInput(
            f"a climb of {ratio!r} times the baseline {baseline!r} is no rate above it and below 1: "
            f"give a ratio between 1 and {1 / baseline:g}"
        )
    reference = math.log((1 - baseline) / (1 - climb)) / math.log(ratio * (1 - baseline) / (1 - climb))
    allowed = _REFERENCE_TOLERANCE * min(reference - baseline, climb - reference)
    sound = resolution
    while abs(sound / (sound + max(1, round(sound / reference - sound))) - reference) > allowed:
        sound += 1
    return CusumDesign(
        baseline=baseline,
        climb=climb,
        defective_weight=max(1, round(sound / reference - sound)),
        sound_weight=sound,
        limit=1,
        recovery_limit=1,
        onset_width=1,
        arl0=1.0,
    )


def finish_design(
    draft: CusumDesign,
    distribution: WeightDistribution,
    *,
    arl0: float,
    icc: float = 0.0,
    batch: int = 1,
    recovery_arl: float = DEFAULT_RECOVERY_ARL,
    quick: bool = False,
) -> CusumDesign:
    """Set the limits of a draft whose parts have the given distribution of weights. Raises as `design_cusum`.

    `quick` is for designs that somebody waits for: their ARL0 is met to within 1 % (`alarm_limits.near_limit`).
    Where even that would take long, the limit for independent parts is scaled by how much slower high values get rare
    among correlated ones, which keeps the ARL0 with a limit that is up to half as large again.
    """
    for name, value in (("arl0", arl0), ("recovery_arl", recovery_arl)):
        if not 1 < value <= LARGEST_ARL:
            raise InvalidInput(f"{name} is an average number of parts from 1 to {LARGEST_ARL:g}, got {value!r}")
    climbs = RunLengthChain(distribution=distribution, rate=draft.baseline, icc=icc, batch=batch)
    limit, achieved = _quick_limit(climbs, arl0) if quick else smallest_limit(climbs, arl0)
    waiting = replace(distribution, weights=-distribution.weights)
    recoveries = RunLengthChain(distribution=waiting, rate=draft.climb, icc=icc, batch=batch)
    recovery_limit, _ = _quick_limit(recoveries, recovery_arl)
    decay = min(climbs.decay_rate, recoveries.decay_rate)
    return replace(
        draft,
        limit=limit,
        recovery_limit=recovery_limit,
        onset_width=math.ceil(math.log(2 / _CHANGE_POINT_MISS) / decay),
        arl0=achieved,
        icc=icc,
        batch=batch,
    )


def _quick_limit(chain: RunLengthChain, arl: float) -> tuple[int, float]:
    if near_limit_size(chain, arl) <= _LARGEST_CARRIED:
        return near_limit(chain, arl)
    independent = replace(chain, icc=0.0)
    scaled = smallest_limit(independent, arl)[0] * independent.decay_rate / chain.decay_rate
    return math.ceil(scaled), arl
