"""Defect rates and what is known of them: intervals, over-dispersion, baselines, and the model's own errors taken out.

All rates are defectives per part. Counts are of parts (or of castings on the golden set, where several images of one
casting tell little more than one).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize
from scipy.special import betaln, expit, logit
from scipy.stats import beta, binomtest, chi2, norm

from casting_core.errors import InvalidInput

# Correlations below it change no run length, and the beta-binomial's functions lose their digits.
NEGLIGIBLE_ICC = 1e-9

# Below the first the beta-binomial cannot be told from the binomial; above the second a batch is one part seen often.
_LOWEST_ICC, _HIGHEST_ICC = 1e-6, 0.9


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A confidence or credible interval of a rate."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Overdispersion:
    """Intra-class correlation of the outcomes inside batches: the estimate, and its one-sided upper 90 % limit."""

    icc: float
    upper: float


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What a stream's rate is taken to be while all is well.

    `own_weight` is the share of the stream's own history in `rate`; the rest comes from the fleet. `on_fleet` says that
    the fleet weighs more than the stream itself.
    """

    rate: float
    interval: Interval
    defective: int
    inspected: int
    own_weight: float

    @property
    def on_fleet(self) -> bool:
        """Whether the stream runs on the fleet's baseline for lack of history of its own."""
        return self.own_weight < 0.5  # noqa: PLR2004 - half is the definition


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Counts on the golden set: `detected` of `defective` castings called defective, `passed` of `sound` called ok."""

    detected: int
    defective: int
    passed: int
    sound: int

    def __post_init__(self) -> None:
        if not (0 <= self.detected <= self.defective and 0 <= self.passed <= self.sound):
            raise InvalidInput(f"the golden set's counts contradict each other: {self}")
        if min(self.defective, self.sound) < 1:
            raise InvalidInput(f"the golden set needs castings of both kinds to correct a rate: {self}")

    @property
    def sensitivity(self) -> float:
        """Share of the defective castings that are called defective."""
        return self.detected / self.defective

    @property
    def specificity(self) -> float:
        """Share of the sound castings that are called ok."""
        return self.passed / self.sound


@dataclass(frozen=True, kw_only=True)
class CorrectedRate:
    """A rate after correction for the model's errors, with its confidence interval."""

    rate: float
    interval: Interval


def proper_rate(name: str, value: float) -> float:
    """Return `value` if it lies strictly between 0 and 1; raise `InvalidInput` otherwise, NaN included."""
    if not 0 < value < 1:
        raise InvalidInput(f"{name} must lie strictly between 0 and 1, got {value!r}")
    return value


def counts(defective: ArrayLike, inspected: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return both as arrays of whole numbers of one shape [groups].

    Raises `InvalidInput` unless 0 <= defective <= inspected everywhere and all are whole numbers.
    """
    k, n = np.atleast_1d(np.asarray(defective, dtype=float)), np.atleast_1d(np.asarray(inspected, dtype=float))
    if k.shape != n.shape or k.ndim != 1:
        raise InvalidInput(f"defective and inspected need one entry per group each, got {k.shape} and {n.shape}")
    wrong = ~((k >= 0) & (k <= n) & (k % 1 == 0) & (n % 1 == 0))
    if wrong.any():
        first = int(wrong.argmax())
        raise InvalidInput(f"group {first}: {k[first]} defective of {n[first]} inspected is no count of parts")
    return k.astype(np.int64), n.astype(np.int64)


def clopper_pearson(defective: int, inspected: int, *, confidence: float = 0.95) -> Interval:
    """Exact confidence interval of a rate (Clopper and Pearson 1934, Biometrika 26, 404-413).

    Nothing inspected gives [0, 1]: nothing is known. Raises `InvalidInput` on impossible counts or confidence.

    >>> clopper_pearson(0, 200).high
    0.018275...
    """
    counts(defective, inspected)
    proper_rate("confidence", confidence)
    if inspected == 0:
        return Interval(low=0.0, high=1.0)
    limits = binomtest(int(defective), int(inspected)).proportion_ci(confidence, method="exact")
    return Interval(low=float(limits.low), high=float(limits.high))


def estimate_overdispersion(defective: ArrayLike, inspected: ArrayLike) -> Overdispersion:
    """Estimate the intra-class correlation from batches of a period in which the rate did not drift.

    `defective` and `inspected` have shape [batches]. Maximum likelihood of the beta-binomial (Skellam 1948, J. R. Stat.
    Soc. B 10, 257-261); the upper limit is where the profile likelihood (mean held) falls by chi2_1(0.8) / 2. Design
    alarms on `upper`, as a limit from too low a correlation breaks its promise while one from too high is merely slow.
    Raises `InvalidInput` with fewer than two batches of two parts or more, or impossible counts.
    """
    k, n = counts(defective, inspected)
    if np.count_nonzero(n > 1) < 2:  # noqa: PLR2004 - one batch has no spread
        raise InvalidInput("over-dispersion needs at least two batches of two or more parts: take a longer period")
    mean, icc = _fit_beta_binomial(k, n)
    drop = float(chi2.ppf(0.8, 1)) / 2
    best = _log_likelihood(k, n, mean, icc)

    def excess(log_icc: float) -> float:
        return _log_likelihood(k, n, mean, math.exp(log_icc)) - best + drop

    top = math.log(_HIGHEST_ICC)
    upper = math.exp(brentq(excess, math.log(icc), top)) if excess(top) < 0 else _HIGHEST_ICC
    return Overdispersion(icc=0.0 if icc <= 2 * _LOWEST_ICC else icc, upper=upper)


def estimate_baselines(defective: Sequence[int], inspected: Sequence[int]) -> list[Baseline]:
    """Estimate every stream's baseline from its reference period, shrunk towards the fleet (shape [streams] each).

    Empirical Bayes (Morris 1983, J. Am. Stat. Assoc. 78, 47-55): the streams' rates are taken as a Beta(a, b), fitted
    by maximum likelihood of the beta-binomial, and a stream's rate is the mean (k + a) / (n + a + b) of its posterior,
    with the 95 % credible interval; its own weight is n / (n + a + b). a + b is capped at the fleet's parts, as a fleet
    cannot know more than all it has seen. A lone stream has no fleet: its prior is Jeffreys' Beta(1/2, 1/2).

    >>> old, new = estimate_baselines([60, 70, 20, 0], [2000, 2000, 2000, 0])[2:]
    >>> old.on_fleet, new.on_fleet, new.rate == old.rate
    (False, True, False)

    Raises `InvalidInput` if no stream has parts, or on impossible counts.
    """
    k, n = counts(defective, inspected)
    if n.sum() == 0:
        raise InvalidInput("no stream has a part in the reference period: choose a period with production")
    if np.count_nonzero(n) > 1:
        mean, icc = _fit_beta_binomial(k[n > 0], n[n > 0])
        strength = min(1 / icc - 1, float(n.sum()))
    else:
        mean, strength = (k.sum() + 0.5) / (n.sum() + 1), 1.0
    a, b = k + strength * mean, n - k + strength * (1 - mean)
    low, high = beta.ppf(0.025, a, b), beta.ppf(0.975, a, b)
    return [
        Baseline(
            rate=float(a[i] / (a[i] + b[i])),
            interval=Interval(low=float(low[i]), high=float(high[i])),
            defective=int(k[i]),
            inspected=int(n[i]),
            own_weight=float(n[i] / (n[i] + strength)),
        )
        for i in range(k.size)
    ]


def rogan_gladen(defective: int, inspected: int, accuracy: Accuracy, *, confidence: float = 0.95) -> CorrectedRate:
    """Estimate the true defect rate from the observed one and the model's accuracy on the golden set.

    The estimate is (p + Sp - 1) / (Se + Sp - 1), cut to [0, 1] (Rogan and Gladen 1978, American Journal of
    Epidemiology 107, 71-76). The interval is that of Lang and Reiczigel 2014 (Preventive Veterinary Medicine 113,
    13-22, equations 14 to 16), which carries the uncertainty of the observed rate and of both accuracies; its centre is
    shifted as theirs is, so that the estimate may lie near an end of it.

    >>> corrected = rogan_gladen(60, 1000, Accuracy(detected=90, defective=100, passed=97, sound=100))
    >>> round(corrected.rate, 4), round(corrected.interval.low, 4), round(corrected.interval.high, 4)
    (0.0345, 0.0, 0.0702)

    Raises `InvalidInput` if nothing was inspected, or the model is no better than chance (Se + Sp <= 1).
    """
    counts(defective, inspected)
    if inspected == 0:
        raise InvalidInput("a corrected rate needs at least one inspected part")
    youden = accuracy.sensitivity + accuracy.specificity - 1
    if youden <= 0:
        raise InvalidInput(
            f"the model is no better than chance on the golden set, no rate can be corrected: {accuracy}"
        )
    z = float(norm.ppf((1 + proper_rate("confidence", confidence)) / 2))
    true, variance, shift = _adjusted(defective / inspected, inspected, accuracy, z)
    half = z * math.sqrt(variance)
    return CorrectedRate(
        rate=_clip((defective / inspected + accuracy.specificity - 1) / youden),
        interval=Interval(low=_clip(true + shift - half), high=_clip(true + shift + half)),
    )


def carry_baseline(rate: float, inspected: float, *, before: Accuracy, after: Accuracy) -> CorrectedRate:
    """Give the baseline that the model `after` should show where the model `before` showed `rate` on `inspected` parts.

    The true rate follows from `rate` by Rogan and Gladen, and the new observed rate is
    `Se * true + (1 - Sp) * (1 - true)`: a model change then does not look like a process change. Accuracies are Lang
    and Reiczigel's adjusted ones, (x + 1) / (n + 2), so that a perfect golden set does not promise a rate of 0. The
    95 % interval adds the variances of rate and all four accuracies by the delta method, as if the golden sets were
    different ones; on one and the same set errors are shared, and it is too wide rather than too narrow.

    Raises `InvalidInput` if `rate` is not in (0, 1), nothing was inspected, or a model is no better than chance.
    """
    proper_rate("the baseline", rate)
    if not inspected > 0:
        raise InvalidInput(f"a baseline rests on at least one part, got {inspected!r}")
    z = float(norm.ppf(0.975))
    true, variance, _ = _adjusted(rate, inspected, before, z)
    true = _clip(true)
    sensitivity, specificity = _plus_four(after)
    youden = _youden(after)
    carried = sensitivity * true + (1 - specificity) * (1 - true)
    spread = (
        youden**2 * variance
        + true**2 * sensitivity * (1 - sensitivity) / (after.defective + 2)
        + (1 - true) ** 2 * specificity * (1 - specificity) / (after.sound + 2)
    )
    half = z * math.sqrt(spread)
    return CorrectedRate(rate=carried, interval=Interval(low=_clip(carried - half), high=_clip(carried + half)))


def _plus_four(accuracy: Accuracy) -> tuple[float, float]:
    return (accuracy.detected + 1) / (accuracy.defective + 2), (accuracy.passed + 1) / (accuracy.sound + 2)


def _youden(accuracy: Accuracy) -> float:
    sensitivity, specificity = _plus_four(accuracy)
    if sensitivity + specificity <= 1:
        raise InvalidInput(
            f"the model is no better than chance on the golden set, no rate can be corrected: {accuracy}"
        )
    return sensitivity + specificity - 1


def _adjusted(observed: float, inspected: float, accuracy: Accuracy, z: float) -> tuple[float, float, float]:
    """Lang and Reiczigel's adjusted true rate, its variance, and the shift of the interval's centre."""
    sensitivity, specificity = _plus_four(accuracy)
    youden = _youden(accuracy)
    n = inspected + z**2
    p = (inspected * observed + z**2 / 2) / n
    true = (p + specificity - 1) / youden
    spread_se = sensitivity * (1 - sensitivity) / (accuracy.defective + 2)
    spread_sp = specificity * (1 - specificity) / (accuracy.sound + 2)
    variance = (p * (1 - p) / n + true**2 * spread_se + (1 - true) ** 2 * spread_sp) / youden**2
    return true, variance, 2 * z**2 * (true * spread_se - (1 - true) * spread_sp)


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))


def _log_likelihood(k: NDArray[np.int64], n: NDArray[np.int64], mean: float, icc: float) -> float:
    a, b = mean * (1 / icc - 1), (1 - mean) * (1 / icc - 1)
    return float(np.sum(betaln(k + a, n - k + b) - betaln(a, b)))


def _fit_beta_binomial(k: NDArray[np.int64], n: NDArray[np.int64]) -> tuple[float, float]:
    """Mean and intra-class correlation of most likelihood; Jeffreys' prior on the mean keeps it off 0 and 1."""

    def loss(point: NDArray[np.float64]) -> float:
        mean = float(expit(point[0]))
        return -_log_likelihood(k, n, mean, math.exp(point[1])) - 0.5 * math.log(mean * (1 - mean))

    pooled = logit((k.sum() + 0.5) / (n.sum() + 1))
    bounds = [(pooled - 5, pooled + 5), (math.log(_LOWEST_ICC), math.log(_HIGHEST_ICC))]
    starts = [np.array([pooled, math.log(icc)]) for icc in (1e-4, 1e-2, 0.2)]
    best = min((minimize(loss, start, method="L-BFGS-B", bounds=bounds) for start in starts), key=lambda fit: fit.fun)
    return float(expit(best.x[0])), math.exp(best.x[1])
