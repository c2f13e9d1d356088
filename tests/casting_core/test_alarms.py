import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casting_core.alarms import (
    ChangePoint,
    CusumDesign,
    CusumState,
    Signal,
    advance,
    advance_by_stops,
    change_point,
    trace,
)
from casting_core.errors import InvalidInput

# The check value of the issue: p0 = 2 %, m = 35, limit 247/35.
DESIGN = CusumDesign(
    baseline=0.02,
    climb=0.04,
    defective_weight=34,
    sound_weight=1,
    limit=247,
    recovery_limit=234,
    onset_width=152,
    arl0=27_122.0,
)
QUICK = replace(DESIGN, limit=70, recovery_limit=60, onset_width=25)

# Long sound stretches and clusters of defectives, so that climbs and recoveries both happen.
stretches = st.tuples(st.integers(0, 90), st.lists(st.sampled_from([0.0, 0.3, 0.9, 1.0, 1.0, 1.0]), max_size=5))
parts_in_order = st.lists(stretches, max_size=12).map(
    lambda some: np.array([outcome for sound, bad in some for outcome in [0.0] * sound + bad])
)


def one_by_one(design, outcomes):
    """The definition, a part at a time."""
    statistic, alarmed, start, lows, signals = 0, False, 0, [0], []
    for part, weight in enumerate(design.weights(outcomes).tolist(), start=1):
        statistic = max(0, statistic + (-weight if alarmed else weight))
        lows.append(statistic)
        if statistic >= (design.recovery_limit if alarmed else design.limit):
            zero = max(start + index for index, value in enumerate(lows) if value == 0)
            signals.append(("recovery" if alarmed else "climb", part, zero))
            statistic, alarmed, start, lows = 0, not alarmed, part, [0]
    return statistic, alarmed, signals


@given(parts_in_order, st.lists(st.integers(0, 600), max_size=8))
def test_any_batching_gives_the_same_state_and_signals(outcomes, cuts):
    whole = advance(QUICK, CusumState(), outcomes)
    state, signals = CusumState(), ()
    for batch in np.split(outcomes, sorted(min(cut, outcomes.size) for cut in cuts)):
        state, new = advance(QUICK, state, batch)
        signals += new
    assert (state, signals) == whole


@given(parts_in_order, st.lists(st.integers(0, 600), max_size=8), st.integers(0, 600))
def test_states_on_the_way_are_those_of_a_call_up_to_there(outcomes, stops, begin):
    before, _ = advance(QUICK, CusumState(), outcomes[:begin])
    outcomes = outcomes[begin:]
    stops = sorted(min(stop, outcomes.size) for stop in stops)
    states, signals = advance_by_stops(QUICK, before, outcomes, stops)
    assert states == [advance(QUICK, before, outcomes[:stop])[0] for stop in stops]
    assert signals == advance(QUICK, before, outcomes)[1]


@given(parts_in_order)
def test_vectorised_run_equals_the_definition(outcomes):
    state, signals = advance(QUICK, CusumState(), outcomes)
    statistic, alarmed, expected = one_by_one(QUICK, outcomes)
    assert (state.statistic, state.alarmed, state.parts) == (statistic, alarmed, outcomes.size)
    assert [(signal.kind, signal.part, signal.since.part) for signal in signals] == expected


@given(parts_in_order)
def test_interval_holds_every_change_point_of_nearly_the_best_likelihood(outcomes):
    design = replace(QUICK, limit=10**6)
    state, _ = advance(design, CusumState(), outcomes)
    walk = np.concatenate([[0], np.cumsum(design.weights(outcomes))])
    near = np.flatnonzero(walk <= walk.min() + design.onset_width)
    since = change_point(design, state)
    assert since.latest == near.max()
    # The lower end is kept on a grid of record lows and may only err outwards, by at most one mark.
    assert since.earliest <= near.min()
    assert walk[since.earliest] <= walk.min() + design.onset_width + 2 + 1


@given(parts_in_order)
def test_state_survives_json(outcomes):
    state, _ = advance(QUICK, CusumState(), outcomes)
    assert CusumState.from_json(json.loads(json.dumps(state.as_json()))) == state


@given(parts_in_order)
def test_trace_is_what_the_chart_draws(outcomes):
    drawn = trace(QUICK, CusumState(), outcomes)
    state, signals = advance(QUICK, CusumState(), outcomes)
    assert drawn.size == outcomes.size
    assert all(drawn[signal.part - 1] == signal.statistic for signal in signals)
    if drawn.size and not (signals and signals[-1].part == drawn.size):
        assert drawn[-1] == state.statistic


def test_no_parts_change_nothing():
    assert advance(DESIGN, CusumState(), []) == (CusumState(), ())
    assert trace(DESIGN, CusumState(), []).size == 0


@pytest.mark.parametrize(("outcome", "statistic"), [(0, 0), (1, 34)])
def test_one_part(outcome, statistic):
    state, signals = advance(DESIGN, CusumState(), [outcome])
    assert (state.parts, state.statistic, signals) == (1, statistic, ())


def test_all_defective_signals_once_and_stays_alarmed():
    state, signals = advance(DESIGN, CusumState(), np.ones(100_000))
    since = ChangePoint(part=0, earliest=0, latest=4)
    assert signals == (Signal(kind="climb", part=8, statistic=8 * 34, since=since),)
    assert (state.alarmed, state.statistic, state.parts) == (True, 0, 100_000)


def test_signal_needs_the_limit_reached_not_passed():
    exact = replace(DESIGN, limit=68)
    assert advance(exact, CusumState(), [1, 1])[1][0].part == 2
    assert not advance(replace(DESIGN, limit=69), CusumState(), [1, 1])[1]


def test_recovery_closes_after_as_many_good_parts_as_designed():
    climbed, _ = advance(DESIGN, CusumState(), np.ones(8))
    state, signals = advance(DESIGN, climbed, np.zeros(500))
    assert [(signal.kind, signal.part) for signal in signals] == [("recovery", 8 + 234)]
    assert not state.alarmed


def test_change_point_of_a_planted_climb_is_covered():
    rng = np.random.default_rng(5)
    covered = found = 0
    for _ in range(200):
        outcomes = np.concatenate([rng.random(1_500) < 0.02, rng.random(8_000) < 0.04])
        _, signals = advance(DESIGN, CusumState(), outcomes)
        if signals and signals[0].part > 1_500:
            found += 1
            covered += signals[0].since.earliest <= 1_500 <= signals[0].since.latest
    assert found > 180
    assert covered / found >= 0.9


def test_weights_are_whole_steps_and_grow_with_p_defective():
    weights = DESIGN.weights([0, 0.02, 0.3, 0.7, 1])
    assert weights.tolist() == sorted(weights.tolist())
    assert (weights[0], weights[-1]) == (-1, 34)
    assert DESIGN.weights(np.array([True, False])).tolist() == [34, -1]


def test_a_climb_that_lands_in_review_is_found():
    rng = np.random.default_rng(6)
    # Half of the defectives are unsure at 0.5; half as many sound parts are too.
    defective = rng.random(20_000) < 0.06
    review = rng.random(20_000) < np.where(defective, 0.5, 0.01)
    _, counted = advance(DESIGN, CusumState(), np.where(review, 0.5, defective))
    _, left_out = advance(DESIGN, CusumState(), np.where(review, 0.0, defective))
    assert counted[0].part < left_out[0].part


@pytest.mark.parametrize("outcomes", [[0, float("nan")], [0, 1.5], [-0.1], [[0, 1]], 0.5])
def test_what_is_no_outcome_is_refused(outcomes):
    with pytest.raises(InvalidInput, match=r"outcome"):
        advance(DESIGN, CusumState(), outcomes)


@pytest.mark.parametrize(
    "change",
    [
        {"baseline": 0.0},
        {"climb": 1.0},
        {"climb": 0.01},
        {"limit": 0},
        {"sound_weight": 1.5},
        {"baseline": float("nan")},
    ],
)
def test_impossible_designs_are_refused(change):
    with pytest.raises(InvalidInput):
        replace(DESIGN, **change)


@pytest.mark.parametrize("change", [{"marks": 3}, {"marks": ["a"]}, {"parts": 1.5}, {"extra": 1}])
def test_foreign_states_are_refused(change):
    with pytest.raises(InvalidInput, match="recompute"):
        CusumState.from_json({**CusumState().as_json(), **change})


@pytest.mark.slow
@settings(max_examples=1_000)
@given(parts_in_order, st.lists(st.integers(0, 600), max_size=8))
def test_any_batching_many_times(outcomes, cuts):
    state, signals = CusumState(), ()
    for batch in np.split(outcomes, sorted(min(cut, outcomes.size) for cut in cuts)):
        state, new = advance(QUICK, state, batch)
        signals += new
    assert (state, signals) == advance(QUICK, CusumState(), outcomes)
