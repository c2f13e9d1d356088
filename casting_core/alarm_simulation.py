"""Comparison of charts at one promised false-alarm rate: parts from the start of a climb to the alarm, chart by chart.

`compare` gives ARL0 and ARL1 of the p-chart, the p' chart, the Bernoulli CUSUM, a CUSUM on p_defective and a bank of
two CUSUMs. All but the bank are exact. Run lengths count from a chart at rest when the climb begins (zero state), at
the start of a batch; the charts per hour are at an advantage by that, as theirs is the batch.

At 2 %, batches of 200 and the ARL0 of the 3-sigma p-chart (26,740 parts; `casting alerts simulate` prints the table):

- The CUSUM finds climbs of 1.5, 2 and 3 times in 62, 74 and 84 % of the parts that the p-chart takes.
- A statistic on p_defective takes another 6 to 10 % off, with the model assumed here. Under over-dispersion of 0.005 it
  gains nothing, as the spread between batches then hides more than the verdicts do.
- A bank of two CUSUMs for unknown size of shift, the aim of a generalised likelihood ratio too (Huang, Reynolds and
  Wang 2013, Journal of Quality Technology 45, 1-19), finds 1.5 and 3 times 6 and 3 % sooner but 2 times 6 % later. It
  pays at the large ARL0 of a fleet's budget: at 7.2 million parts 23 and 9 % sooner, 14 % later. Lines are watched by
  one for 1.5 and 2 times there, which costs less at 2 (`chart_plan`, ALERTS.md).
- Left out: a CUSUM of beta-binomial likelihood ratios, against over-dispersion. It was within 7 % of the plain CUSUM
  with a limit that knows the correlation, and needs to know where batches begin.
"""

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from casting_core.alarm_design import (
    DEFAULT_RATIO,
    SCORE_RESOLUTION,
    design_cusum,
    draft_design,
    finish_design,
)
from casting_core.alarm_scenario import Comparison, Method, Scenario
from casting_core.bank_simulation import Bank, bank_arl0, bank_arl1
from casting_core.control_charts import signal_probability, upper_signal_count
from casting_core.errors import InvalidInput
from casting_core.rates import NEGLIGIBLE_ICC, proper_rate
from casting_core.run_length import WeightDistribution, average_run_length

# The model of `score_cusum`: better than the floor measured on the real data (0.946), worse than what is hoped for.
DEFAULT_AUROC = 0.99
# Share of the parts called defective that are.
DEFAULT_PRECISION = 0.75

_SCORE_SPAN, _SCORE_BINS = 8.0, 4_000  # standard deviations beyond the means; bins of the scores

_CORRECTIONS = 2


def compare(
    *,
    p0: float,
    ratio: float = DEFAULT_RATIO,
    n: int = 200,
    icc: float = 0.0,
    arl0: float | None = None,
    auroc: float = DEFAULT_AUROC,
    precision: float = DEFAULT_PRECISION,
) -> Comparison:
    """Compare the charts at one promised ARL0.

    `p0` is the baseline in defectives per part, `ratio` the climb designed for, `n` the parts in a batch (one hour),
    `icc` the intra-class correlation inside batches. `arl0` is the target in parts; by default that of the p-chart with
    3-sigma limits at icc 0. Every chart's limit is the smallest that keeps the target, under `icc` but for the p-chart,
    which knows none and so breaks its promise where there is some.

    Raises `InvalidInput` unless 0 < p0 < ratio * p0 < 1, n >= 1, 0 <= icc < 1 and arl0 > 1, or if p0 and n leave the
    3-sigma p-chart without a limit to take the default from.
    """
    scenario = Scenario(p0=p0, ratio=ratio, n=n, icc=0.0 if 0 < icc <= NEGLIGIBLE_ICC else icc)
    target = _three_sigma_arl0(scenario) if arl0 is None else arl0
    if not 1 < target < math.inf:
        raise InvalidInput(f"arl0 is an average number of parts beyond 1, got {target!r}")
    # The default target is itself such a tail probability, met only up to rounding.
    tail = n / target * (1 + 1e-9)
    methods = (
        _shewhart("p_chart", scenario, upper_signal_count(n, p0, tail=tail), known_icc=0.0),
        _shewhart("p_prime_chart", scenario, upper_signal_count(n, p0, tail=tail, icc=icc), known_icc=icc),
        _cusum(scenario, target),
        _score_cusum(scenario, target, auroc=auroc, precision=precision),
        _bank(scenario, target),
    )
    return Comparison(p0=p0, ratio=ratio, n=n, icc=icc, arl0=target, methods=tuple(filter(None, methods)))


def _three_sigma_arl0(scenario: Scenario) -> float:
    mean, spread = scenario.n * scenario.p0, math.sqrt(scenario.n * scenario.p0 * (1 - scenario.p0))
    chance = signal_probability(scenario.n, scenario.p0, math.floor(mean + 3 * spread) + 1)
    if chance == 0:
        raise InvalidInput(
            f"of {scenario.n} parts at {scenario.p0} even all defective lie inside 3 sigma, so the p-chart has no "
            "ARL0 to match: give arl0, or a larger n"
        )
    return scenario.n / chance


def _shewhart(name: str, scenario: Scenario, count: int, *, known_icc: float) -> Method:
    """Charts per hour see independent hours, so that their run lengths are geometric."""

    def run_length(rate: float | None) -> float | None:
        chance = 0.0 if rate is None else signal_probability(scenario.n, rate, count, icc=scenario.icc)
        return scenario.n / chance if chance > 0 else None

    return Method(
        name=name,
        arl0_parts=run_length(scenario.p0),
        arl1_parts={ratio: run_length(rate) for ratio, rate in scenario.rates.items()},
        design={
            "signal_at_count": count,
            "per_parts": scenario.n,
            "icc": known_icc,
            "sigma_z": math.sqrt(1 + (scenario.n - 1) * known_icc),
            "exact": True,
        },
    )


def _cusum(scenario: Scenario, target: float) -> Method:
    design = design_cusum(baseline=scenario.p0, ratio=scenario.ratio, arl0=target, icc=scenario.icc, batch=scenario.n)
    distribution = WeightDistribution.of_verdicts(design)

    def run_length(rate: float) -> float:
        return average_run_length(distribution, rate=rate, limit=design.limit, icc=scenario.icc, batch=scenario.n)

    return Method(
        name="cusum",
        arl0_parts=design.arl0,
        arl1_parts={ratio: run_length(rate) if rate else None for ratio, rate in scenario.rates.items()},
        design={
            "m": round(design.m, 6),
            "reference": design.reference,
            "limit": design.limit / design.m / design.sound_weight,
            "limit_grid_units": design.limit,
            "defective_weight": design.defective_weight,
            "sound_weight": design.sound_weight,
            "icc": scenario.icc,
            "exact": True,
        },
    )


def _score_cusum(scenario: Scenario, target: float, *, auroc: float, precision: float) -> Method | None:
    """Chart p_defective of a model with binormal scores, N(0, 1) for sound and N(d, 1) for defective parts.

    d = sqrt(2) * probit(auroc). The verdict's threshold is where the model calls `p0` of all parts defective of which
    `precision` are: the yes/no charts see exactly the rates of the scenario, and this one the scores of the same parts.
    The true rate behind an observed climb follows by Rogan and Gladen, the correlation of the true outcomes by the
    variance of the observed rate.
    """
    proper_rate("precision", precision)
    if not 0.5 < auroc < 1:  # noqa: PLR2004 - 0.5 is chance
        raise InvalidInput(f"auroc must lie between 0.5 and 1, got {auroc!r}")
    p0, distance = scenario.p0, math.sqrt(2) * float(norm.ppf(auroc))

    def false_surplus(threshold: float) -> float:
        true_rate = precision * p0 / norm.sf(threshold - distance)
        return float((1 - true_rate) * norm.sf(threshold) - (1 - precision) * p0)

    threshold = brentq(false_surplus, -10.0, distance + float(norm.isf(precision * p0)))
    detected, false = float(norm.sf(threshold - distance)), float(norm.sf(threshold))

    def true_rate(observed: float) -> float:
        return (observed - false) / (detected - false)

    def true_icc(observed: float) -> float:
        true = true_rate(observed)
        return scenario.icc * observed * (1 - observed) / ((detected - false) ** 2 * true * (1 - true))

    base, climb = true_rate(p0), true_rate(scenario.ratio * p0)
    if climb >= 1 or true_icc(p0) >= 1:
        return None
    edges = np.linspace(-_SCORE_SPAN, distance + _SCORE_SPAN, _SCORE_BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    p_defective = expit(logit(base) + distance * (middles - distance / 2))
    draft = draft_design(base, climb / base, resolution=SCORE_RESOLUTION)
    distribution = WeightDistribution.binned(
        draft.weights(p_defective), np.diff(norm.cdf(edges)), np.diff(norm.cdf(edges - distance))
    )
    design = finish_design(draft, distribution, arl0=target, icc=true_icc(p0), batch=scenario.n)

    def run_length(observed: float | None) -> float | None:
        if observed is None or true_rate(observed) >= 1 or true_icc(observed) >= 1:
            return None
        return average_run_length(
            distribution, rate=true_rate(observed), limit=design.limit, icc=true_icc(observed), batch=scenario.n
        )

    return Method(
        name="score_cusum",
        arl0_parts=design.arl0,
        arl1_parts={ratio: run_length(rate) for ratio, rate in scenario.rates.items()},
        design={
            "auroc": auroc,
            "precision": precision,
            "sensitivity": detected,
            "specificity": 1 - false,
            "true_baseline": base,
            "limit_grid_units": design.limit,
            "defective_weight": design.defective_weight,
            "sound_weight": design.sound_weight,
            "icc": scenario.icc,
            "exact": True,
        },
    )


def _bank(scenario: Scenario, target: float) -> Method | None:
    """Simulate two CUSUMs on the same parts, for a smaller and a larger climb, that alarm when either does.

    Both get the same ARL0 of their own, found so that the bank's is the target.
    """
    ratios = ((1 + scenario.ratio) / 2, 2 * scenario.ratio - 1)
    if ratios[1] * scenario.p0 >= 1:
        return None

    def bank(own_arl0: float) -> Bank:
        designs = [
            design_cusum(baseline=scenario.p0, ratio=ratio, arl0=own_arl0, icc=scenario.icc, batch=scenario.n)
            for ratio in ratios
        ]
        columns = ([d.defective_weight for d in designs], [d.sound_weight for d in designs], [d.limit for d in designs])
        up, down, limit = (np.array(column)[:, None] for column in columns)
        return Bank(climbs=tuple(d.climb for d in designs), up=up, down=down, limit=limit)

    own = 1.6 * target
    for _ in range(_CORRECTIONS):
        own *= target / bank_arl0(scenario, bank(own))[0]
    charts = bank(own)
    arl0, arl0_se = bank_arl0(scenario, charts)
    climbs = {
        ratio: bank_arl1(scenario, charts, rate) if rate else (None, 0.0) for ratio, rate in scenario.rates.items()
    }
    return Method(
        name="cusum_bank",
        arl0_parts=arl0,
        arl0_se=arl0_se,
        arl1_parts={ratio: parts for ratio, (parts, _) in climbs.items()},
        arl1_se={ratio: error for ratio, (_, error) in climbs.items()},
        design={
            "ratios": list(ratios),
            "limits_grid_units": charts.limit.ravel().tolist(),
            "own_arl0_parts": own,
            "icc": scenario.icc,
            "exact": False,
        },
    )
