"""Online detection of a climb in a rate: the Bernoulli CUSUM over parts in the order they were made.

Every part moves a statistic S by a whole number of grid units,

    S_t = max(0, S_{t-1} + w_t),      signal when S_t >= limit,

with `w = defective_weight` for a defective part and `w = -sound_weight` for a sound one. Their ratio is the reference
value of the chart: the drift of S is zero at the rate `sound_weight / (sound_weight + defective_weight)`, which lies
between the baseline and the climb worth knowing (Reynolds and Stoumbos 1999, "A CUSUM chart for monitoring a
proportion when inspecting continuously", Journal of Quality Technology 31, 87-108; with `sound_weight = 1` their m is
`defective_weight + 1` and their limit h is `limit / m`). Whole numbers make the sum exact, so that the same parts give
the same state and the same signals however they are cut into batches.

**Parts in review count by their p_defective**, through the weight of the mixed likelihood (`CusumDesign.weights`).
Leaving them out would blind the chart to just those castings that the model finds hard, and a climb of small pinholes,
which lands in review first, would go unseen; counting them as defective would multiply false alarms; and waiting for
the person's decision would let the past change. With yes/no verdicts alone the weights are those of the plain
Bernoulli CUSUM. Giving p_defective for every part, not only for those in review, makes the same detector a CUSUM of
log-likelihood ratios, which uses all that the model says; `alarm_design.design_score_cusum` designs both.

After a signal the chart turns round: it then waits for as much evidence that the rate is *back* (the same test with the
weights negated, `recovery_limit`) before it can signal a climb again. That is the alert's hysteresis, with a design.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from casting_core.errors import InvalidInput

# The first stretch after a signal is short, as the next signal may be near; quiet stretches grow to what fits a cache.
_FIRST_STRETCH = 1_024
_LONGEST_STRETCH = 65_536

# Record lows are kept at this many places across the change-point's interval: its lower end errs outwards by 1/16.
_MARKS_PER_WIDTH = 16


@dataclass(frozen=True, kw_only=True)
class CusumDesign:
    """A designed chart. All of it is JSON-able with `dataclasses.asdict`; `alarm_design` computes it.

    `baseline` and `climb` are defectives per part; the weights, `limit`, `recovery_limit` and `onset_width` are in grid
    units; `arl0` is the average number of parts to a false alarm, given batches of `batch` parts whose outcomes have
    the intra-class correlation `icc`.
    """

    baseline: float
    climb: float
    defective_weight: int
    sound_weight: int
    limit: int
    recovery_limit: int
    onset_width: int
    arl0: float
    icc: float = 0.0
    batch: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.baseline < self.climb < 1:
            raise InvalidInput(
                f"a CUSUM needs 0 < baseline < climb < 1, got {self.baseline!r} and {self.climb!r}: "
                "give a baseline inside (0, 1) and a smaller ratio"
            )
        for name in ("defective_weight", "sound_weight", "limit", "recovery_limit", "onset_width"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InvalidInput(f"{name} of a CUSUM must be a whole number of at least 1, got {value!r}")

    @property
    def reference(self) -> float:
        """The rate, in defectives per part, at which the statistic does not drift."""
        return self.sound_weight / (self.sound_weight + self.defective_weight)

    @property
    def m(self) -> float:
        """Reynolds and Stoumbos' m, `1 / reference`: a whole number where `sound_weight` is 1."""
        return 1 / self.reference

    def weights(self, outcomes: ArrayLike) -> NDArray[np.int64]:
        """Weigh the outcomes of parts, in grid units.

        `outcomes` has shape [parts] and values in [0, 1]: 1 for defective, 0 for sound, p_defective for a part in
        review. The weight is the log-likelihood ratio of the climb against the baseline, for an outcome known with
        probability p only,

            log( p * climb / baseline + (1 - p) * (1 - climb) / (1 - baseline) ),

        on the grid that puts 0 at `-sound_weight` and 1 at `defective_weight`. The expression is the likelihood ratio
        of the mixture of both cases, and holds where p_defective is calibrated at the baseline.

        Raises `InvalidInput` if an outcome is missing (NaN) or outside [0, 1], or the shape is not [parts].
        """
        values = np.asarray(outcomes, dtype=np.float64)
        if values.ndim != 1:
            raise InvalidInput(
                f"outcomes must be one row of parts, got the shape {values.shape}: flatten them in order"
            )
        # Written so that NaN, which compares false with everything, is caught too.
        wrong = ~((values >= 0) & (values <= 1))
        if wrong.any():
            first = int(wrong.argmax())
            raise InvalidInput(
                f"outcome {first} of {values.size} is {values[first]}, not a probability in [0, 1]: "
                "leave out parts without a verdict"
            )
        span = self.sound_weight + self.defective_weight
        odds_ratio = self.climb * (1 - self.baseline) / (self.baseline * (1 - self.climb))
        share = np.log1p(values * (odds_ratio - 1)) / np.log1p(odds_ratio - 1)
        weights: NDArray[np.int64] = np.rint(span * share).astype(np.int64) - self.sound_weight
        return weights


@dataclass(frozen=True, kw_only=True)
class ChangePoint:
    """When a change is likely to have begun: after part `part`, and with 90 % confidence after `earliest` to `latest`.

    Parts are numbered from 1 in the order of the stream's segment; 0 stands for its very beginning.
    """

    part: int
    earliest: int
    latest: int


@dataclass(frozen=True, kw_only=True)
class Signal:
    """The chart decided at part `part` that the rate has climbed (`climb`) or is back (`recovery`)."""

    kind: Literal["climb", "recovery"]
    part: int
    statistic: int
    since: ChangePoint


@dataclass(frozen=True, kw_only=True)
class CusumState:
    """Where a chart stands after `parts` parts of its segment; a new segment starts with `CusumState()`.

    A phase runs from one signal to the next; `alarmed` phases wait for the recovery. `floor` is how far the boundary at
    0 has pushed the statistic up in this phase (minus the running minimum of the free walk), `marks` the parts at which
    it passed the latest multiples of the design's mark spacing, from which the change-point's interval follows.
    """

    parts: int = 0
    alarmed: bool = False
    statistic: int = 0
    phase_start: int = 0
    last_zero: int = 0
    last_low: int = 0
    floor: int = 0
    marks: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Give a dictionary of whole numbers, booleans and a tuple, which `from_json` takes back."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "CusumState":
        """Rebuild a state from `as_json`. Raises `InvalidInput` if a field is missing, unknown or no whole number."""
        names = {field.name for field in fields(cls)}
        if set(stored) != names:
            raise InvalidInput(
                f"the stored CUSUM state has the fields {sorted(stored)}, expected {sorted(names)}: "
                "recompute it from the stream's parts"
            )
        marks = stored["marks"]
        numbers = [value for name, value in stored.items() if name != "marks"]
        numbers += marks if isinstance(marks, list | tuple) else [marks, None]
        wrong = [number for number in numbers if not isinstance(number, int)]
        if wrong:
            raise InvalidInput(f"the stored CUSUM state holds {wrong[0]!r}: recompute it from the stream's parts")
        return cls(**{**stored, "marks": tuple(marks)})


def advance(design: CusumDesign, state: CusumState, outcomes: ArrayLike) -> tuple[CusumState, tuple[Signal, ...]]:
    """Take the next parts of a stream, in order, and return the new state and the signals on the way.

    `outcomes` has shape [parts], values in [0, 1] as for `CusumDesign.weights`; an empty row changes nothing. Exact:
    any cutting of the same parts into calls ends in the same state and gives the same signals.

    >>> design = CusumDesign(baseline=0.02, climb=0.04, defective_weight=34, sound_weight=1, limit=100,
    ...                      recovery_limit=100, onset_width=40, arl0=2_000.0)
    >>> state, signals = advance(design, CusumState(), [0] * 50 + [1, 1, 0])
    >>> state.statistic, signals
    (67, ())
    >>> state, signals = advance(design, state, [0, 1])
    >>> signals[0].kind, signals[0].part, signals[0].since.part
    ('climb', 55, 50)

    Raises `InvalidInput` as `CusumDesign.weights` does.
    """
    weights = design.weights(outcomes)
    states, signals = _advance(design, state, weights, [weights.size])
    return states[0], signals


def advance_by_stops(
    design: CusumDesign, state: CusumState, outcomes: ArrayLike, stops: Sequence[int]
) -> tuple[list[CusumState], tuple[Signal, ...]]:
    """Take the next parts as `advance` does, and return the state after so many of them for each of the `stops`.

    `stops` never falls, and lies between 0 and the number of outcomes. The states are those that `advance` would give
    if it were called for the parts up to each stop, at a fraction of the time.
    """
    return _advance(design, state, design.weights(outcomes), stops)


def trace(design: CusumDesign, state: CusumState, outcomes: ArrayLike) -> NDArray[np.int64]:
    """Give the statistic after each of the next parts, shape [parts], in grid units: what a chart draws.

    At a part that signals it is the value that passed the limit; the next part starts again from 0. In a phase that
    waits for recovery it is the statistic of the recovery.
    """
    stretches = [stretch.statistic for stretch, _, _ in _stretches(design, state, design.weights(outcomes))]
    return np.concatenate(stretches) if stretches else np.empty(0, dtype=np.int64)


def change_point(design: CusumDesign, state: CusumState) -> ChangePoint:
    """Estimate when the rate changed, if it changed in this phase, with an interval of 90 % confidence or more.

    The estimate is the last part at which the statistic was 0, the maximum-likelihood estimate of the change point
    (Page 1954, Biometrika 41, 100-115; Samuel and Pignatiello 2001, Quality Engineering 13, 357-365). The interval
    holds every change point whose log-likelihood is within `onset_width` grid units of the best (Siegmund 1988,
    "Confidence sets in change-point problems", International Statistical Review 56, 31-48). Each of its ends misses
    the true change with a probability of at most exp(-theta * onset_width), theta being the decay rate of the walk on
    that side (Lundberg's inequality), if the rate went at once to the design's climb or beyond. It starts no earlier
    than the phase.
    """
    spacing = _mark_spacing(design)
    wanted = (state.floor - design.onset_width) // spacing
    # The last mark kept is number floor // spacing; before the first mark lies the start of the phase.
    index = wanted - state.floor // spacing - 1 + len(state.marks)
    earliest = state.marks[index] if wanted >= 1 else state.phase_start
    return ChangePoint(part=state.last_zero, earliest=earliest, latest=state.last_low)


@dataclass(frozen=True, kw_only=True)
class _Stretch:
    """Parts of one phase: the state before them, and for each the statistic and how far the boundary has pushed it."""

    design: CusumDesign
    before: CusumState
    statistic: NDArray[np.int64]
    push: NDArray[np.int64]

    def states(self, stops: Sequence[int]) -> list[CusumState]:
        """The state after so many parts of the stretch, at least one, for each of the rising `stops`."""
        before, used = self.before, np.asarray(stops, dtype=np.int64)
        columns = (
            before.parts + used,
            self.statistic[used - 1],
            self._last(self.statistic == 0, used, before.last_zero),
            self._last(self.statistic <= self.design.onset_width, used, before.last_low),
            before.floor + self.push[used - 1],
        )
        return [
            CusumState(
                parts=parts,
                alarmed=before.alarmed,
                statistic=statistic,
                phase_start=before.phase_start,
                last_zero=last_zero,
                last_low=last_low,
                floor=floor,
                marks=marks,
            )
            for (parts, statistic, last_zero, last_low, floor), marks in zip(
                np.stack(columns, axis=1).tolist(), self._marks(used), strict=True
            )
        ]

    def _last(self, where: NDArray[np.bool_], used: NDArray[np.int64], otherwise: int) -> NDArray[np.int64]:
        """The last part up to each stop at which something held, else where it held before the stretch."""
        hits = np.concatenate([[otherwise], self.before.parts + 1 + np.flatnonzero(where)])
        last: NDArray[np.int64] = hits[np.searchsorted(hits[1:], self.before.parts + used, side="right")]
        return last

    def _marks(self, used: NDArray[np.int64]) -> Iterator[tuple[int, ...]]:
        before, spacing = self.before, _mark_spacing(self.design)
        keep = -(-self.design.onset_width // spacing) + 1
        reached = (before.floor + self.push[used - 1]) // spacing
        first = max(before.floor // spacing, int(reached[0]) - keep) + 1
        new = np.arange(first, int(reached[-1]) + 1) * spacing
        parts = (before.parts + 1 + np.searchsorted(self.push, new - before.floor)).tolist()
        for count in (reached - first + 1).tolist():
            yield tuple(parts[count - keep : count]) if count >= keep else (*before.marks, *parts[:count])[-keep:]


def _advance(
    design: CusumDesign, state: CusumState, weights: NDArray[np.int64], stops: Sequence[int]
) -> tuple[list[CusumState], tuple[Signal, ...]]:
    states, signals, done = [state] * bisect_right(stops, 0), [], 0
    for stretch, after, signal in _stretches(design, state, weights):
        end = done + stretch.statistic.size
        inside = [stop - done for stop in stops[len(states) : bisect_left(stops, end)]]
        if inside:
            states += stretch.states(inside)
        # Where the stretch ends with a signal, a new phase has begun.
        states += [after] * (bisect_right(stops, end) - len(states))
        if signal is not None:
            signals.append(signal)
        done = end
    return states, tuple(signals)


def _stretches(
    design: CusumDesign, state: CusumState, weights: NDArray[np.int64]
) -> Iterator[tuple[_Stretch, CusumState, Signal | None]]:
    done, length = 0, _FIRST_STRETCH
    while done < weights.size:
        stretch, state, signal = _to_signal(design, state, weights[done : done + length])
        done += stretch.statistic.size
        length = _FIRST_STRETCH if signal else min(2 * length, _LONGEST_STRETCH)
        yield stretch, state, signal


def _to_signal(
    design: CusumDesign, state: CusumState, weights: NDArray[np.int64]
) -> tuple[_Stretch, CusumState, Signal | None]:
    """Run to the first signal, or to the end: the reflected walk is the free walk plus the push of its minimum."""
    free = state.statistic + np.cumsum(-weights if state.alarmed else weights)
    push = np.maximum.accumulate(np.maximum(-free, 0))
    statistic = free + push
    over = statistic >= (design.recovery_limit if state.alarmed else design.limit)
    first = int(over.argmax())
    signalled = bool(over[first])
    used = first + 1 if signalled else statistic.size
    stretch = _Stretch(design=design, before=state, statistic=statistic[:used], push=push[:used])
    after = stretch.states([used])[0]
    if not signalled:
        return stretch, after, None
    signal = Signal(
        kind="recovery" if state.alarmed else "climb",
        part=after.parts,
        statistic=after.statistic,
        since=change_point(design, after),
    )
    here = after.parts
    fresh = CusumState(parts=here, alarmed=not state.alarmed, phase_start=here, last_zero=here, last_low=here)
    return stretch, fresh, signal


def _mark_spacing(design: CusumDesign) -> int:
    return -(-design.onset_width // _MARKS_PER_WIDTH)
