"""Run lengths of two CUSUMs side by side, by simulation: no chain of states gives those of two that see one line."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

from casting_core.alarm_scenario import Scenario

_CYCLES, _RUNS = 60_000, 10_000
# Fixed, so that the same question gets the same answer.
_SEED = 20_260_101


@dataclass(frozen=True, kw_only=True)
class Bank:
    """Two Bernoulli CUSUMs side by side, for `climbs` in defectives per part; arrays have shape [2, 1]."""

    climbs: tuple[float, ...]
    up: NDArray[np.int64]
    down: NDArray[np.int64]
    limit: NDArray[np.int64]


def bank_arl0(scenario: Scenario, bank: Bank) -> tuple[float, float]:
    """ARL0 and its standard error, by renewal: mean parts of a cycle over the chance that a cycle ends in an alarm.

    A cycle runs from rest to rest at the start of a batch. As the chance is tiny, it is estimated where defectives come
    at the climbs of both charts in turn, each path weighed by its likelihood ratio (importance sampling: Siegmund 1976,
    Annals of Statistics 4, 673-684): the cost does not grow with ARL0.
    """
    lengths, _, _ = _paths(scenario, bank, rate=scenario.p0, drawn_at=(scenario.p0,), runs=_CYCLES, to_rest=True)
    _, alarmed, likelihood = _paths(scenario, bank, rate=scenario.p0, drawn_at=bank.climbs, runs=_CYCLES, to_rest=True)
    chances = alarmed * likelihood
    arl0 = lengths.mean() / chances.mean()
    relative = math.hypot(lengths.std() / lengths.mean(), chances.std() / chances.mean()) / math.sqrt(_CYCLES)
    return float(arl0), float(arl0 * relative)


def bank_arl1(scenario: Scenario, bank: Bank, rate: float) -> tuple[float, float]:
    """ARL1 in parts at a rate after the climb, and its standard error."""
    lengths, _, _ = _paths(scenario, bank, rate=rate, drawn_at=(rate,), runs=_RUNS, to_rest=False)
    return float(lengths.mean()), float(lengths.std() / math.sqrt(_RUNS))


def _paths(
    scenario: Scenario, bank: Bank, *, rate: float, drawn_at: tuple[float, ...], runs: int, to_rest: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Run paths from rest to the alarm, or back to rest at a batch's end: parts, alarmed, likelihood ratio; [runs].

    Paths are drawn in turn at each rate of `drawn_at`; the ratio is that of `rate` to their mixture. A step goes from
    one defective part to the next, as between two of them all charts just fall.
    """
    rng = np.random.default_rng(_SEED)
    # Without correlation any cut makes a batch; this one makes resting points frequent.
    n = scenario.n if scenario.icc else math.ceil(1 / scenario.p0)
    parts, alarmed, log_ratio = np.zeros(runs), np.zeros(runs, dtype=bool), np.zeros((len(drawn_at), runs))
    path, mean = np.arange(runs), np.resize(np.array(drawn_at), runs)
    level, left, found = np.zeros((2, runs), dtype=np.int64), np.full(runs, n), np.zeros(runs, dtype=np.int64)
    chance = _batch_rates(rng, mean, scenario.icc)
    while path.size:
        gap = rng.geometric(chance)
        defective, step = gap <= left, np.minimum(gap, left)
        level = np.maximum(level - bank.down * (step - defective), 0) + bank.up * defective
        parts[path] += step
        left, found = left - step, found + defective
        over, ended = (level >= bank.limit).any(axis=0), left == 0
        settled = over | ended
        for row, drawn in zip(log_ratio, drawn_at, strict=True):
            row[path[settled]] += _log_ratio(found[settled], (n - left)[settled], drawn, rate, scenario.icc)
        alarmed[path[over]] = True
        chance[ended] = _batch_rates(rng, mean[path[ended]], scenario.icc)
        left, found = np.where(ended, n, left), np.where(ended, 0, found)
        going = ~(over | (ended & (level == 0).all(axis=0))) if to_rest else ~over
        path, level, left, found, chance = path[going], level[:, going], left[going], found[going], chance[going]
    return parts, alarmed, 1 / np.exp(log_ratio).mean(axis=0)


def _batch_rates(rng: np.random.Generator, mean: NDArray[np.float64], icc: float) -> NDArray[np.float64]:
    if icc == 0:
        return mean.copy()
    precision = 1 / icc - 1
    # numpy draws no geometric at 0; so small a rate gives no defective in any batch either.
    return np.maximum(rng.beta(mean * precision, (1 - mean) * precision), 1e-12)


def _log_ratio(
    found: NDArray[np.int64], inspected: NDArray[np.int64], rate: float, against: float, icc: float
) -> NDArray[np.float64]:
    """Log-likelihood ratio of `rate` to `against`, for the parts of one batch each in their order; shape [paths]."""

    def log_likelihood(of: float) -> NDArray[np.float64]:
        if icc == 0:
            plain: NDArray[np.float64] = found * math.log(of) + (inspected - found) * math.log1p(-of)
            return plain
        a, b = of * (1 / icc - 1), (1 - of) * (1 / icc - 1)
        correlated: NDArray[np.float64] = betaln(found + a, inspected - found + b) - betaln(a, b)
        return correlated

    return log_likelihood(rate) - log_likelihood(against)
