"""Shewhart charts per hour, which engineers know and auditors ask for: the p-chart, and Laney's p' chart.

A point is an hour of a line: `defective` of `inspected` parts. Both charts have a centre line and limits that vary with
the number inspected. The p' chart widens them by sigma_z, the over-dispersion seen between the hours themselves (Laney
2002, "Improved control charts for attributes", Quality Engineering 14, 531-537).

Limits are exact by default: the smallest and largest count whose tail probability is below that of the chosen number of
sigmas of a normal distribution (0.00135 on each side for 3), from the binomial for the p-chart and the beta-binomial of
the same over-dispersion for the p' chart. In a small hour the textbook's normal approximation is far off: of 20 parts
at 2 %, it signals at the third defective one, once in 141 hours instead of once in 741. `limits="three_sigma"` gives it
none the less, for those who must compare (Montgomery, Introduction to Statistical Quality Control, section 7.3).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import betabinom, binom, norm

from casting_core.errors import InvalidInput
from casting_core.rates import NEGLIGIBLE_ICC, counts

Limits = Literal["exact", "three_sigma"]

# d2 of the moving range of two normal values: E|x1 - x2| in standard deviations (2 / sqrt(pi)).
_D2 = 2 / math.sqrt(math.pi)


@dataclass(frozen=True, kw_only=True)
class ControlChart:
    """One point an hour; all arrays have shape [hours].

    `rate` is NaN for an hour without parts. `lower` and `upper` are the limits as rates: a point strictly outside them
    signals. `above` and `below` say which did. `sigma_z` is 1 for the p-chart.
    """

    inspected: NDArray[np.int64]
    rate: NDArray[np.float64]
    centre: float
    sigma_z: float
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    above: NDArray[np.bool_]
    below: NDArray[np.bool_]


def p_chart(
    defective: ArrayLike,
    inspected: ArrayLike,
    *,
    centre: float | None = None,
    sigmas: float = 3.0,
    limits: Limits = "exact",
) -> ControlChart:
    """Chart the defect rate per hour against binomial limits.

    `defective` and `inspected` have shape [hours]; `centre` is the baseline in defectives per part, by default the rate
    of these hours themselves. Hours without parts never signal.

    >>> chart = p_chart([4, 12, 0], [200, 200, 0], centre=0.02)
    >>> chart.above.tolist(), chart.upper[:2].tolist()
    ([False, True, False], [0.055, 0.055])

    Raises `InvalidInput` on impossible counts, a centre outside [0, 1], or no parts to take the centre from.
    """
    k, n = counts(defective, inspected)
    return _chart(k, n, centre=_centre(k, n, centre), sigma_z=1.0, icc=0.0, sigmas=sigmas, limits=limits)


def p_prime_chart(
    defective: ArrayLike,
    inspected: ArrayLike,
    *,
    centre: float | None = None,
    sigma_z: float | None = None,
    usual_size: float | None = None,
    sigmas: float = 3.0,
    limits: Limits = "exact",
) -> ControlChart:
    """Chart the defect rate per hour against limits that know the spread between hours (Laney's p' chart).

    As `p_chart`, with `sigma_z` and `usual_size`, the mean parts of an hour, from a reference period or, by default,
    from these hours. With `limits="three_sigma"` the limits are Laney's, centre +- sigmas * sigma_z * sqrt(centre
    (1 - centre) / n). The exact ones come from the beta-binomial whose intra-class correlation, (sigma_z^2 - 1) /
    (usual_size - 1), gives an hour of usual size the variance that sigma_z says; a sigma_z below 1 then counts as 1.

    Raises `InvalidInput` as `p_chart` does, and as `sigma_z_of_hours` does if `sigma_z` has to be estimated.
    """
    k, n = counts(defective, inspected)
    middle = _centre(k, n, centre)
    spread = sigma_z_of_hours(k, n, centre=middle) if sigma_z is None else sigma_z
    if not 0 < spread < math.inf:
        raise InvalidInput(f"sigma_z must be a positive number, got {spread!r}")
    size = usual_size or float(n[n > 0].mean() if n.any() else 0)
    icc = icc_of_sigma_z(spread, size)
    return _chart(k, n, centre=middle, sigma_z=spread, icc=icc, sigmas=sigmas, limits=limits)


def sigma_z_of_hours(defective: ArrayLike, inspected: ArrayLike, *, centre: float | None = None) -> float:
    """Laney's sigma_z: the mean moving range of the hours' z-scores, over d2 = 1.128 (Laney 2002).

    1 means that binomial sampling explains all spread between hours; the moving range keeps a slow drift out of it.
    Hours without parts are skipped. Raises `InvalidInput` with fewer than two hours that have parts, or a centre of 0
    or 1, where no z-score exists.
    """
    k, n = counts(defective, inspected)
    middle = _centre(k, n, centre)
    k, n = k[n > 0], n[n > 0]
    if k.size < 2:  # noqa: PLR2004 - a moving range needs two
        raise InvalidInput("sigma_z needs at least two hours with parts: give it from a longer reference period")
    if middle in {0.0, 1.0}:
        raise InvalidInput(f"sigma_z needs a centre between 0 and 1, got {middle}: take a longer reference period")
    z = (k / n - middle) / np.sqrt(middle * (1 - middle) / n)
    return float(np.abs(np.diff(z)).mean() / _D2)


def icc_of_sigma_z(sigma_z: float, inspected: float) -> float:
    """Intra-class correlation that inflates the variance of `inspected` parts by sigma_z^2 = 1 + (n - 1) icc."""
    if sigma_z <= 1 or inspected <= 1:
        return 0.0
    # A sigma_z beyond sqrt(n) cannot come from a beta-binomial; just short of 1 is as far as it reaches.
    return min((sigma_z**2 - 1) / (inspected - 1), 0.99)


def upper_signal_count(inspected: int, centre: float, *, tail: float, icc: float = 0.0) -> int:
    """Smallest number of defectives out of `inspected` that signals: P(X >= count) <= tail.

    X is binomial, or beta-binomial with intra-class correlation `icc`. `inspected + 1` means that no count can signal.

    >>> upper_signal_count(200, 0.02, tail=0.00135), upper_signal_count(200, 0.02, tail=0.00135, icc=0.005)
    (12, 17)
    """
    at_least = _tail_at_least(inspected, centre, icc)
    return int(np.count_nonzero(at_least > tail))


def signal_probability(inspected: int, rate: float, count: int, *, icc: float = 0.0) -> float:
    """Probability that an hour of `inspected` parts holds `count` defectives or more at `rate`, exactly."""
    if count > inspected:
        return 0.0
    return float(_tail_at_least(inspected, rate, icc)[max(count, 0)])


def _chart(
    k: NDArray[np.int64],
    n: NDArray[np.int64],
    *,
    centre: float,
    sigma_z: float,
    icc: float,
    sigmas: float,
    limits: Limits,
) -> ControlChart:
    if not 0 < sigmas < math.inf:
        raise InvalidInput(f"the limits need a positive number of sigmas, got {sigmas!r}")
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = k / n
        half = sigmas * sigma_z * np.sqrt(centre * (1 - centre) / n)
    if limits == "exact":
        tail = float(norm.sf(sigmas))
        sizes, which = np.unique(n, return_inverse=True)
        # The complement of a beta-binomial is one too, so that the lower limit is the upper one of the sound parts.
        least_above = np.array([upper_signal_count(int(size), centre, tail=tail, icc=icc) for size in sizes])
        most_below = np.array([size - upper_signal_count(int(size), 1 - centre, tail=tail, icc=icc) for size in sizes])
        above, below = k >= least_above[which], k <= most_below[which]
        with np.errstate(invalid="ignore", divide="ignore"):
            upper, lower = (least_above[which] - 1) / n, (most_below[which] + 1) / n
    else:
        upper, lower = centre + half, centre - half
        above, below = rate > upper, rate < lower
    return ControlChart(
        inspected=n,
        rate=rate,
        centre=centre,
        sigma_z=sigma_z,
        lower=np.clip(lower, 0, 1),
        upper=np.clip(upper, 0, 1),
        above=above & (n > 0),
        below=below & (n > 0),
    )


def _centre(k: NDArray[np.int64], n: NDArray[np.int64], centre: float | None) -> float:
    if centre is None:
        if n.sum() == 0:
            raise InvalidInput("no hour has parts, so there is no centre line: give centre, the line's baseline")
        return float(k.sum() / n.sum())
    if not 0 <= centre <= 1:
        raise InvalidInput(f"the centre line is a rate in [0, 1], got {centre!r}")
    return float(centre)


def _tail_at_least(n: int, rate: float, icc: float) -> NDArray[np.float64]:
    """P(X >= x) for x = 0 ... n, shape [n + 1]."""
    x = np.arange(n + 1)
    if icc > NEGLIGIBLE_ICC and 0 < rate < 1:
        precision = 1 / icc - 1
        pmf = betabinom.pmf(x, n, rate * precision, (1 - rate) * precision)
        tail: NDArray[np.float64] = np.cumsum(pmf[::-1])[::-1]
    else:
        tail = binom.sf(x - 1, n, rate)
    return tail
