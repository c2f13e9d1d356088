"""Whether something that is measured again and again stays flat, or grows."""

import math
from dataclasses import dataclass

import numpy as np

# Neighbouring samples of memory are alike; the means of a few long stretches are not, so that their scatter about a
# line is the noise of its slope.
STRETCHES = 8
# Two-sided 95 % of Student's t with STRETCHES - 2 degrees of freedom.
_T = 2.447


@dataclass(frozen=True, kw_only=True)
class Slope:
    """A line through samples: how much an hour they grow, and half the width of its 95 % interval."""

    per_hour: float
    noise: float

    def verdict(self, limit):
        """`flat` if the whole interval lies below the limit, `grows` if it lies above, else `unclear`."""
        if self.per_hour + self.noise <= limit:
            return "flat"
        return "grows" if self.per_hour - self.noise > limit else "unclear"


def slope(seconds, values):
    """Fit a line through the means of eight stretches of samples at those seconds, two arrays [n]."""
    stretches = zip(np.array_split(seconds, STRETCHES), np.array_split(values, STRETCHES), strict=True)
    x, y = np.array([(times.mean() / 3600, some.mean()) for times, some in stretches]).T
    x = x - x.mean()
    per_hour = float(x @ y / (x @ x))
    left = y - y.mean() - per_hour * x
    error = math.sqrt(float(left @ left) / (STRETCHES - 2) / float(x @ x))
    return Slope(per_hour=per_hour, noise=_T * error)


def risen(values):
    """By how much the lowest of the last quarter lies above the lowest of the first: peaks pass, leaks never do."""
    quarter = len(values) // 4
    return int(min(values[-quarter:]) - min(values[:quarter]))
