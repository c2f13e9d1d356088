"""The bootstrap over castings: what another draw of castings from the same production might have shown.

Images of one casting tell little more than one, so whole castings are drawn, with replacement, within each class
(Davison and Hinkley 1997, Bootstrap Methods and their Application, sections 3.2 and 3.8; percentile intervals, section
5.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from casting_core.rates import Interval, proper_rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 2_000


def draw_castings(defective: NDArray[np.bool_], *, seed: int, resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """Say how often each casting is drawn in each resample: [resamples, C], for `defective` [C] as the strata."""
    generator = np.random.default_rng(seed)
    drawn = np.zeros((resamples, len(defective)))
    for stratum in (defective, ~defective):
        size = int(stratum.sum())
        if size:
            drawn[:, stratum] = generator.multinomial(size, np.full(size, 1 / size), size=resamples)
    return drawn


def percentile_interval(values: NDArray[np.float64], *, confidence: float) -> Interval:
    """The middle of resampled values [R]; those that are not defined (NaN) are left out.

    Raises `InvalidInput` for a confidence outside (0, 1).
    """
    tail = (1 - proper_rate("confidence", confidence)) / 2
    low, high = np.nanquantile(values, (tail, 1 - tail))
    return Interval(low=float(low), high=float(high))


def resampled_rates(
    drawn: NDArray[np.float64], wrong: NDArray[np.int64], units: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The rate in each resample [R], where castings [C] have `wrong` out of `units`; NaN in a resample without units.

    `wrong` may be negative, for the difference of two models.
    """
    of = drawn @ units
    rates: NDArray[np.float64] = np.divide(drawn @ wrong, of, out=np.full(len(drawn), np.nan), where=of > 0)
    return rates
