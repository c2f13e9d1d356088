"""Average run length of a CUSUM limit, solved exactly: parts until the statistic reaches it.

The statistic of `alarms.advance` is a Markov chain on 0 ... limit - 1 with absorption at the limit, and the average run
length is the expected time to absorption, (I - Q)^-1 1 (Brook and Evans 1972, Biometrika 59, 539-549; for the Bernoulli
CUSUM Reynolds and Stoumbos 1999). No approximation enters, as the chart itself moves on whole numbers.

Castings of one batch (a melt, a mould, an hour) share their fate: the rate of a batch varies as a Beta distribution
with the intra-class correlation icc (beta-binomial counts). The run length is then that of a chain from batch to batch
whose transition is the mean over the Beta distribution of Q(p)^batch, a polynomial in p that Gauss-Jacobi quadrature
integrates; the nodes used and the iterative solver leave a relative error below 1e-3.
"""

import functools
import math
import operator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import eigh_tridiagonal
from scipy.optimize import brentq
from scipy.sparse.linalg import LinearOperator, gmres, splu

from casting_core.alarms import CusumDesign
from casting_core.errors import InvalidInput
from casting_core.rates import NEGLIGIBLE_ICC

_MOST_SUMS = 20  # different sums of the weights of one step of the chain: about the cheapest
_SMALL_BATCH = 40  # parts up to which the transition over a batch is solved directly
_SOLVER_TOLERANCE = 1e-3
# While a batch moves the statistic by less, in units of 1 / theta, Brownian motion is near its walk. What a solver
# leaves that starts from it is spread evenly, and does less harm.
_SMALL_MOVE, _EVEN_TOLERANCE = 0.5, 3e-3
_HIGHEST_POWER = 50.0  # of e: what is 1e20 times as likely hides all else
_LARGEST_CHAIN = 400_000  # states times quadrature nodes: some ten seconds
# The weights of so many parts, as a share, may be gathered in one; on a coarse grid as many for each of its units.
_FEW_IN_REVIEW, _FEW_A_UNIT = 0.05, 0.001


@dataclass(frozen=True, kw_only=True)
class WeightDistribution:
    """How likely each weight is for a sound and for a defective part: arrays of one shape [weights], both sum to 1."""

    weights: NDArray[np.int64]
    sound: NDArray[np.float64]
    defective: NDArray[np.float64]

    def at(self, rate: float) -> NDArray[np.float64]:
        """Give the probability of each weight when defectives come at `rate` per part."""
        return (1 - rate) * self.sound + rate * self.defective

    @classmethod
    def of_verdicts(cls, design: CusumDesign) -> "WeightDistribution":
        """Give the distribution of yes/no outcomes."""
        weights = np.array([-design.sound_weight, design.defective_weight])
        return cls(weights=weights, sound=np.array([1.0, 0.0]), defective=np.array([0.0, 1.0]))

    @classmethod
    def binned(
        cls, weights: NDArray[np.int64], sound: NDArray[np.float64], defective: NDArray[np.float64]
    ) -> "WeightDistribution":
        """Gather the masses of equal weights and scale both distributions to 1; all have the shape [values]."""
        values, which = np.unique(weights, return_inverse=True)
        masses = (np.bincount(which, mass) / mass.sum() for mass in (sound, defective))
        return cls(weights=values, sound=next(masses), defective=next(masses))

    def gathered(self) -> "WeightDistribution":
        """Gather the weights of parts in review, if those are few, in one.

        Both distributions keep their sum, mean and variance, for which the masses of the first weight and the last give
        way too. The weights must rise or fall.
        """
        inner = slice(1, -1)
        few = min(_FEW_IN_REVIEW, _FEW_A_UNIT * float(np.ptp(self.weights)))
        if np.count_nonzero(self.sound[inner]) <= 1 or self.sound[inner].sum() > few:
            return self
        # Seen from the weight of sound parts. Where no sound part has the other outer weight, none gets a negative mass
        # there.
        away = self.weights - self.weights[self.sound.argmax()]
        pull = self.sound[inner] * away[inner]
        middle = int(pull @ away[inner] / pull.sum()) or int(np.sign(pull.sum()))
        kept = np.array([away[0], middle, away[-1]])
        shares = np.linalg.solve(*(np.vander(each, 3, increasing=True).T.astype(float) for each in (kept, away)))
        return WeightDistribution(
            weights=kept + self.weights[self.sound.argmax()],
            sound=shares @ self.sound,
            defective=shares @ self.defective,
        )


def average_run_length(
    distribution: WeightDistribution, *, rate: float, limit: int, icc: float = 0.0, batch: int = 1
) -> float:
    """Give the average number of parts, from a statistic of 0 at the start of a batch, until it reaches `limit`.

    `rate` is in defectives per part; infinite if no part can raise the statistic. Raises `InvalidInput` if rate, limit,
    icc or batch is out of range.
    """
    return RunLengthChain(distribution=distribution, rate=rate, icc=icc, batch=batch).run_length(limit)


@dataclass(frozen=True, kw_only=True)
class RunLengthChain:
    """The Markov chain of the statistic, for parts that come at `rate` with correlation `icc` inside batches."""

    distribution: WeightDistribution
    rate: float
    icc: float
    batch: int

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise InvalidInput(f"a rate lies in [0, 1], got {self.rate!r}")
        if not 0 <= self.icc < 1:
            raise InvalidInput(f"an intra-class correlation lies in [0, 1), got {self.icc!r}")
        if self.batch < 1:
            raise InvalidInput(f"a batch holds at least one part, got {self.batch!r}")

    def run_length(self, limit: int) -> float:
        """Average number of parts until the statistic reaches `limit`; infinite if no part can raise it."""
        if limit < 1:
            raise InvalidInput(f"a limit is at least one grid unit, got {limit!r}")
        if not self.distribution.at(self.rate)[self.distribution.weights > 0].any():
            return math.inf
        rates, shares = self._rates()
        if rates.size == 1:
            return self._independent_run_length(limit)
        return self._batched_run_length(limit, rates, shares)

    @functools.cached_property
    def drift(self) -> float:
        """How far the statistic falls in a part, on average and away from 0."""
        return -float(self.distribution.at(self.rate) @ self.distribution.weights)

    @functools.cached_property
    def decay_rate(self) -> float:
        """Positive root of E[exp(theta * sum of a batch's weights)] = 1: how fast high values get rare, per unit."""
        rates, shares = self._rates()
        masses = np.stack([self.distribution.at(float(rate)) for rate in rates])
        # A quadrature cannot give negative mass, save in the last digits.
        masses = np.maximum(masses, 0.0)

        def log_moment(theta: float) -> float:
            of_part = np.log(masses @ np.exp(theta * self.distribution.weights))
            return float(np.logaddexp.reduce(self.batch * of_part + np.log(shares)))

        high = 1e-6 / float(np.abs(self.distribution.weights).max())
        while log_moment(high) <= 0:
            high *= 4
        return float(brentq(log_moment, high / 4, high))

    @property
    def nodes(self) -> int:
        """Quadrature nodes: the more a batch's own rate decides its count, the sharper the integrand.

        The factors are empirical: so many nodes leave an error below 1e-3, a third more changes nothing.
        """
        if self.icc <= NEGLIGIBLE_ICC or self.batch == 1 or self.rate in {0.0, 1.0}:
            return 1
        few_defectives = min(1.0, math.sqrt(math.sqrt(self.batch * self.rate / 60)))
        return math.ceil(3 + 5.5 * math.sqrt(self.icc * self.batch) * few_defectives)

    def _rates(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.nodes == 1:
            return np.array([self.rate]), np.ones(1)
        precision = 1 / self.icc - 1
        return _beta_quadrature(self.rate * precision, (1 - self.rate) * precision, self.nodes)

    def _independent_run_length(self, limit: int) -> float:
        order = np.arange(limit)
        short, far = -int(self.distribution.weights.min()), int(self.distribution.weights.max())
        if short > far:
            order, short = order[::-1], far
        # Long steps lie above the diagonal now. With each equation in the row of the state that its short step ends in,
        # the matrix is all but triangular, and its factors stay sparse.
        system = (sparse.eye_array(limit) - self._kernel(limit, np.array([self.rate]))).tocsr()
        system = system[np.roll(order, -short)][:, order].tocsc()
        lengths = splu(system, permc_spec="NATURAL", diag_pivot_thresh=0.1).solve(np.ones(limit))
        return float(lengths[order[0]])

    def _kernel(self, limit: int, rates: NDArray[np.float64]) -> sparse.csr_array:
        """Transition probabilities of one part among the states 0 ... limit - 1, in a block for each of the rates.

        Shape [rates * limit, rates * limit]; where several weights lead to one state, it has several entries.
        """
        masses = np.stack([self.distribution.at(float(rate)) for rate in rates])
        after = np.maximum(np.arange(limit)[:, None] + self.distribution.weights, 0)
        possible = (masses > 0)[:, None, :] & (after < limit)
        columns = np.broadcast_to(after + limit * np.arange(rates.size)[:, None, None], possible.shape)[possible]
        ends = np.cumsum(possible.sum(axis=2).ravel())
        entries = np.broadcast_to(masses[:, None, :], possible.shape)[possible]
        pointers = np.concatenate([[0], ends]).astype(np.int32)
        return sparse.csr_array((entries, columns.astype(np.int32), pointers), shape=(ends.size, ends.size))

    def _batched_run_length(self, limit: int, rates: NDArray[np.float64], shares: NDArray[np.float64]) -> float:
        """Solve L = parts + T L, `parts` being those expected in a batch and T the transition over a batch."""
        remedy = "design with icc=0, for a larger ratio, or in coarser batches"
        if limit * rates.size > _LARGEST_CHAIN:
            raise InvalidInput(
                f"batches correlated by {self.icc:g} at the rate {self.rate:g} need too large a chain: {remedy}"
            )
        few = self.batch <= _SMALL_BATCH
        steps = _steps(
            self._kernel(limit, rates),
            parts=self.batch,
            longest=self.batch if few else _longest_step(self.distribution.weights.size),
        )
        parts = np.zeros(limit * rates.size)
        for step, spent in steps:
            parts = spent + step @ parts

        def over_rates(values: NDArray[np.float64]) -> NDArray[np.float64]:
            mean: NDArray[np.float64] = shares @ values.reshape(rates.size, limit)
            return mean

        if few:
            # One batch moves the statistic so little that the iteration would not settle, and the transition is sparse.
            whole = _folded(functools.reduce(operator.matmul, (step for step, _ in steps)), shares)
            return float(splu((sparse.eye_array(limit) - whole).tocsc()).solve(over_rates(parts))[0])

        def less_transition(lengths: NDArray[np.float64]) -> NDArray[np.float64]:
            values = np.tile(lengths, rates.size)
            for step, _ in steps:
                values = step @ values
            after: NDArray[np.float64] = lengths - over_rates(values)
            return after

        small = self.drift > 0 and self.batch * self.drift * self.decay_rate < _SMALL_MOVE
        guess = self._brownian_lengths if small else np.asarray
        system = LinearOperator((limit, limit), matvec=lambda left: less_transition(guess(left)), dtype=np.float64)
        tolerance = _EVEN_TOLERANCE if small else _SOLVER_TOLERANCE
        left, failed = gmres(system, over_rates(parts), rtol=tolerance, restart=200, maxiter=2)
        if failed:
            raise InvalidInput(f"the run length at limit {limit} with correlated batches does not settle: {remedy}")
        return float(guess(left)[0])

    def _brownian_lengths(self, parts: NDArray[np.float64]) -> NDArray[np.float64]:
        """About the parts that follow from each state if a batch that begins there takes so many: shapes [limit].

        Those of one batch, and of Brownian motion of the same drift and decay rate that 0 reflects and the limit ends.
        """
        growth = np.exp(np.minimum(self.decay_rate * np.arange(parts.size), _HIGHEST_POWER))
        slope = np.cumsum(parts / growth) * growth * self.decay_rate / (self.batch * self.drift)
        lengths: NDArray[np.float64] = parts + np.cumsum(slope[::-1])[::-1]
        return lengths


def _folded(transition: sparse.csr_array, shares: NDArray[np.float64]) -> sparse.csr_array:
    """Give the mean of a transition, a block for each rate, over the rates."""
    one = sparse.eye_array(transition.shape[0] // shares.size)
    return sparse.kron(shares[None, :], one, format="csr") @ transition @ sparse.kron(np.ones((shares.size, 1)), one)


def _longest_step(weights: int) -> int:
    """How many parts to take in one step, a power of two: the matrices of longer ones fill up."""
    longest = 1
    while math.comb(2 * longest + weights - 1, weights - 1) <= _MOST_SUMS:
        longest *= 2
    return longest


def _steps(leap: sparse.csr_array, *, parts: int, longest: int) -> list[tuple[sparse.csr_array, NDArray[np.float64]]]:
    """Cut a batch into steps of the chain of one part, `leap`, each with the parts expected to be spent in it."""
    spent, size, left = np.ones(leap.shape[0]), 1, parts
    steps = []
    while left:
        last = size >= longest or 2 * size > left
        repeats = left // size if last else left // size % 2
        steps += [(leap, spent)] * repeats
        left -= repeats * size
        if left:
            leap, spent, size = leap @ leap, spent + leap @ spent, 2 * size
    return steps


def _beta_quadrature(a: float, b: float, nodes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights of Gauss-Jacobi quadrature over Beta(a, b) (Golub and Welsch 1969, Math. Comp. 23, 221-230).

    `scipy.special.roots_jacobi` gives the same, but its normalising constant overflows for a + b beyond 1,000.
    """
    alpha, beta = b - 1, a - 1
    k = np.arange(nodes)
    total = 2 * k + alpha + beta
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = (beta**2 - alpha**2) / (total * (total + 2))
        k, total = k[1:], total[1:]
        side = 4 * k * (k + alpha) * (k + beta) * (k + alpha + beta) / (total**2 * (total + 1) * (total - 1))
    # Both have a removable 0 / 0 at the first entry, for a = b and a + b = 1.
    middle[0] = (beta - alpha) / (alpha + beta + 2)
    side[0] = 4 * (1 + alpha) * (1 + beta) / ((2 + alpha + beta) ** 2 * (3 + alpha + beta))
    roots, vectors = eigh_tridiagonal(middle, np.sqrt(side))
    return (1 + roots) / 2, vectors[0] ** 2
