"""The limit of a CUSUM for a promised run length: exactly, or to within 1 % in little time.

Solving the chain of correlated batches (`run_length`) at the limit of a fleet's budget takes a tenth of a second up to
many. `near_limit` solves it at one low limit instead and carries the run length from there, in the form that Brownian
motion with a drift has and that random walks keep (Siegmund 1985, "Sequential Analysis", chapter X):

    L(limit) = (exp(x) - 1 - x) / (theta * drift),    x = theta * limit + excess,

theta being the decay rate and drift the fall of the statistic per part, both known exactly. The excess, what the
statistic leaps over its bounds, is the same at all limits and follows from the one solution, in which parts in review,
being few, count by one weight (`WeightDistribution.gathered`). The result is within 1 % of the run length of the whole
chain (tests compare), and up to a thousand times as fast.
"""

import math
import sys
from dataclasses import replace

import numpy as np

from casting_core.run_length import RunLengthChain

# The limit that run lengths are carried from, in units of 1 / theta, or of what the statistic falls in a batch if that
# is more: the form holds from there on.
_CARRIED_FROM = 4.5
_LEAST_CARRIED = 2.0  # in units of 1 / theta: below, the form does not hold
_FEW_STATES = 100  # a chain that is solved in no time; on a grid so coarse the form is not sharp either
_SHORT_WAY = 0.5  # in units of 1 / theta: so far it holds between the two
_SOLVED_NEAR = 3  # times that a limit between the two is corrected, before it is solved as others are
# Fitted to the excess of designs over the range of rates, correlations and batches, to within 0.1 (standard deviation).
_EXCESS_OF_BATCHES, _EXCESS_OF_PARTS = 0.8, 0.15
_CORRECTIONS = 8
_SURE_STEP = 0.9  # a limit that overshoots by less, in grid units, is taken for the smallest


def smallest_limit(chain: RunLengthChain, target: float) -> tuple[int, float]:
    """Smallest limit whose run length is at least `target` parts, and that run length.

    Correlated batches are dearer to solve: there the limit may be one unit beyond the smallest.
    """
    correlated, limit = chain.nodes > 1, _first_guess(chain, target)
    if correlated and _low_limit(chain) < limit:
        limit, _ = _carry(chain, _low_limit(chain), target)
    fails, holds, achieved = 0, 0, math.inf
    seen: dict[int, float] = {}
    while holds - fails != 1:
        seen[limit] = math.log(chain.run_length(limit) / target)
        if seen[limit] >= 0:
            holds, achieved = limit, target * math.exp(seen[limit])
        else:
            fails = limit
        slope = (seen[holds] - seen[fails]) / (holds - fails) if fails and holds else chain.decay_rate
        step = -seen[limit] / slope
        if correlated and holds == limit and step > -_SURE_STEP:
            break
        limit = max(fails + 1, min(limit + math.ceil(step), holds - 1 if holds else sys.maxsize))
    return holds, achieved


def near_limit(chain: RunLengthChain, target: float) -> tuple[int, float]:
    """Give the limit for a run length of `target` parts to within 1 % of it, and its run length, in little time.

    Exact for independent parts and for low limits.
    """
    decay, low = chain.decay_rate, _low_limit(chain)
    guess = _first_guess(chain, target)
    limit = min(low, guess)
    if chain.nodes == 1 or guess <= _FEW_STATES or limit * decay < _LEAST_CARRIED:
        return smallest_limit(chain, target)
    short_way = _SHORT_WAY / max(1.0, chain.batch * chain.drift * decay) ** 2
    for _ in range(_SOLVED_NEAR):
        carried, achieved = _carry(chain, limit, target)
        if carried >= limit == low or abs(carried - limit) * decay <= short_way:
            return carried, achieved
        limit = min(low, carried)
    return smallest_limit(chain, target)


def near_limit_size(chain: RunLengthChain, target: float) -> int:
    """Entries of the largest chain that `near_limit` solves: what its time is proportional to."""
    largest = min(_low_limit(chain), _first_guess(chain, target)) if chain.nodes > 1 else 1
    return largest * chain.nodes * int(chain.distribution.gathered().weights.size)


def _low_limit(chain: RunLengthChain) -> int:
    return math.ceil(_CARRIED_FROM * max(1 / chain.decay_rate, chain.batch * chain.drift))


def _carry(chain: RunLengthChain, limit: int, target: float) -> tuple[int, float]:
    """Solve at a limit, and carry the run length from there to the target."""
    near = replace(chain, distribution=chain.distribution.gathered())
    excess = _form_at(near.run_length(limit) * near.decay_rate * near.drift) - near.decay_rate * limit
    scale = chain.decay_rate * chain.drift
    carried = max(1, math.ceil((_form_at(target * scale) - excess) / chain.decay_rate))
    x = chain.decay_rate * carried + excess
    return carried, (math.expm1(x) - x) / scale


def _first_guess(chain: RunLengthChain, target: float) -> int:
    """Guess the excess, so that few corrections are needed.

    A batch leaps as its standard deviation does, as far as that comes from its own rate: theta falls as the variance
    grows.
    """
    decay, drift = chain.decay_rate, chain.drift
    shared = max(0.0, 1 - decay / replace(chain, icc=0.0).decay_rate)
    excess = _EXCESS_OF_BATCHES * math.sqrt(2 * shared * chain.batch * drift * decay)
    excess += _EXCESS_OF_PARTS * decay * float(np.abs(chain.distribution.weights).max())
    return max(1, round((_form_at(target * drift * decay) - excess) / decay))


def _form_at(value: float) -> float:
    """Give the positive x at which exp(x) - 1 - x is a positive value."""
    x = math.log1p(value)
    for _ in range(_CORRECTIONS):
        x = math.log1p(value + x)
    return x
