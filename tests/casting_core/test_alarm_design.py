import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import betabinom

from casting_core.alarm_design import (
    design_cusum,
    design_score_cusum,
    finish_design,
    fleet_arl0,
)
from casting_core.alarms import CusumState, advance
from casting_core.chart_plan import design_chart, draft_chart
from casting_core.errors import InvalidInput
from casting_core.run_length import WeightDistribution, _beta_quadrature, average_run_length

PLAIN = design_cusum(baseline=0.02, ratio=2.0, arl0=26_740.5)
VERDICTS = WeightDistribution.of_verdicts(PLAIN)


def parts(rng, rate, icc, batch, batches):
    precision = 1 / icc - 1
    rates = rng.beta(rate * precision, (1 - rate) * precision, batches)
    return (rng.random((batches, batch)) < rates[:, None]).ravel()


def mean_run_length(design, draw, runs):
    """Simulated parts to the first signal, with its standard error."""
    lengths = []
    for _ in range(runs):
        state, signals = CusumState(), ()
        while not signals:
            state, signals = advance(design, state, draw())
        lengths.append(signals[0].part)
    return np.mean(lengths), np.std(lengths) / np.sqrt(runs)


def test_check_value_of_the_issue():
    assert (PLAIN.m, PLAIN.limit) == (pytest.approx(35), 247)
    assert PLAIN.arl0 == pytest.approx(27_122, abs=1)
    found = [average_run_length(VERDICTS, rate=0.02 * ratio, limit=247) for ratio in (1.5, 2, 3)]
    assert found == pytest.approx([1_532, 530, 219], abs=0.5)


def test_limit_is_the_smallest_that_keeps_the_promise():
    assert average_run_length(VERDICTS, rate=0.02, limit=246) < 26_740.5 <= PLAIN.arl0


def test_first_limits_follow_from_the_definition():
    # One defective part is enough; then two with at most 33 sound ones between them.
    assert average_run_length(VERDICTS, rate=0.02, limit=34) == pytest.approx(50)
    assert average_run_length(VERDICTS, rate=0.02, limit=35) == pytest.approx(50 + 50 / (1 - 0.98**34), rel=1e-9)


@pytest.mark.parametrize("icc", [0.0, 0.0005, 0.005, 0.02])
def test_promise_is_kept_under_overdispersion(icc):
    design = design_cusum(baseline=0.02, arl0=26_740.5, icc=icc, batch=200)
    exact = average_run_length(VERDICTS, rate=0.02, limit=design.limit, icc=icc, batch=200)
    assert 0.999 <= exact / 26_740.5 <= 1.03
    assert design.arl0 == pytest.approx(exact)


def test_a_plain_design_breaks_its_promise_under_overdispersion():
    assert average_run_length(VERDICTS, rate=0.02, limit=247, icc=0.005, batch=200) == pytest.approx(5_701, rel=1e-3)


def test_run_length_under_overdispersion_agrees_with_simulation():
    rng = np.random.default_rng(1)
    mean, error = mean_run_length(PLAIN, lambda: parts(rng, 0.02, 0.005, 200, 20), 400)
    assert abs(mean - 5_701) < 4 * error


def test_batches_of_which_one_defective_part_decides_are_exact():
    # At limit 1 a run ends with the first defective part: the survival over a batch is the beta-binomial's zero.
    survive = betabinom.pmf(0, np.arange(51), 0.02 * 9, 0.98 * 9)
    expected = survive[:50].sum() / (1 - survive[50])
    assert average_run_length(VERDICTS, rate=0.02, limit=1, icc=0.1, batch=50) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("rate", [0.004, 0.02, 0.04])
def test_iterating_from_batch_to_batch_ends_where_solving_directly_does(monkeypatch, rate):
    directly = average_run_length(VERDICTS, rate=rate, limit=300, icc=0.02, batch=30)
    monkeypatch.setattr("casting_core.run_length._SMALL_BATCH", 0)
    assert average_run_length(VERDICTS, rate=rate, limit=300, icc=0.02, batch=30) == pytest.approx(directly, rel=1e-3)


@pytest.mark.parametrize(("a", "b"), [(4.0, 195.0), (0.5, 0.5), (0.2, 9.0), (2e4, 9.8e5), (3.0, 3.0)])
def test_quadrature_integrates_polynomials_over_the_beta(a, b):
    nodes, weights = _beta_quadrature(a, b, 8)
    assert weights.sum() == pytest.approx(1)
    moments = np.cumprod((a + np.arange(15)) / (a + b + np.arange(15)))
    assert [weights @ nodes**k for k in range(1, 16)] == pytest.approx(moments, rel=1e-9, abs=0)


@pytest.mark.parametrize(("baseline", "ratio"), [(1e-4, 2.0), (0.001, 3.0), (0.02, 1.1), (0.3, 2.0), (0.6, 1.5)])
def test_designs_over_the_range_of_rates(baseline, ratio):
    design = design_cusum(baseline=baseline, ratio=ratio, arl0=50_000)
    assert baseline < design.reference < ratio * baseline
    assert design.arl0 >= 50_000
    assert (
        average_run_length(WeightDistribution.of_verdicts(design), rate=ratio * baseline, limit=design.limit) < 50_000
    )


def test_a_correlation_next_to_0_is_none():
    assert average_run_length(VERDICTS, rate=0.02, limit=247, icc=5e-324, batch=200) == pytest.approx(PLAIN.arl0)


def test_recovery_limit_keeps_its_run_length():
    waiting = WeightDistribution(weights=np.array([1, -34]), sound=VERDICTS.sound, defective=VERDICTS.defective)
    assert average_run_length(waiting, rate=0.04, limit=PLAIN.recovery_limit) >= 20_000
    assert average_run_length(waiting, rate=0.04, limit=PLAIN.recovery_limit - 1) < 20_000
    wide = design_cusum(baseline=0.02, arl0=26_740.5, icc=0.005, batch=200)
    assert average_run_length(waiting, rate=0.04, limit=wide.recovery_limit, icc=0.005, batch=200) >= 20_000


def test_score_design_on_verdicts_promises_as_the_plain_one_does():
    reference = np.repeat([0.0, 1.0], [9_800, 200])
    design = design_score_cusum(reference, arl0=26_740.5)
    assert design.baseline == 0.02
    assert design.arl0 == pytest.approx(27_000, rel=0.02)


def test_score_design_keeps_its_promise_on_parts_in_review():
    rng = np.random.default_rng(2)
    review = rng.random(20_000) < 0.05
    reference = np.where(review, rng.beta(1, 4, 20_000), rng.random(20_000) < 0.02)
    design = design_score_cusum(reference, arl0=2_000)
    mean, error = mean_run_length(design, lambda: rng.choice(reference, 2_000), 400)
    assert abs(mean - design.arl0) < 4 * error
    assert design.arl0 >= 2_000


def test_fleet_budget_is_shared_by_streams():
    arl0 = fleet_arl0([4_800, 2_400, 0], days=30)
    assert arl0.tolist() == [432_000, 216_000, 90]
    # False alarms a day, summed over the fleet.
    assert sum(np.array([4_800, 2_400, 1]) / arl0) == pytest.approx(1 / 30)


def test_higher_promises_cost_higher_limits():
    limits = [design_cusum(baseline=0.02, arl0=arl0).limit for arl0 in (2, 100, 1e4, 1e6, 1e9)]
    assert all(low < high for low, high in pairwise(limits))


@pytest.mark.parametrize(
    "fault",
    [
        {"baseline": 0.0},
        {"baseline": 1.0},
        {"baseline": float("nan")},
        {"baseline": 0.5, "ratio": 2.0},
        {"ratio": 1.0},
        {"ratio": float("nan")},
        {"arl0": 1.0},
        {"arl0": float("inf")},
        {"arl0": float("nan")},
        {"icc": 1.0},
        {"icc": -0.1},
        {"batch": 0},
        {"recovery_arl": 0.0},
    ],
)
def test_impossible_questions_are_refused(fault):
    with pytest.raises(InvalidInput):
        design_cusum(**{"baseline": 0.02, "arl0": 1_000.0, **fault})


@pytest.mark.parametrize("reference", [[], [0.0, 0.0], [1.0], [float("nan")], [0.1, 2.0]])
def test_references_without_a_baseline_are_refused(reference):
    with pytest.raises(InvalidInput):
        design_score_cusum(reference, arl0=1_000)


@pytest.mark.parametrize("days", [{"parts_per_day": []}, {"parts_per_day": [-1]}, {"parts_per_day": [1], "days": 0}])
def test_impossible_budgets_are_refused(days):
    with pytest.raises(InvalidInput):
        fleet_arl0(**days)


def test_rates_of_0_and_1_have_run_lengths():
    assert average_run_length(VERDICTS, rate=0.0, limit=247) == float("inf")
    assert average_run_length(VERDICTS, rate=1.0, limit=247, icc=0.1, batch=10) == pytest.approx(8)


REVIEW = ((0.35, 0.002), (0.45, 0.001), (0.55, 0.0008), (0.65, 0.0005))
ALL_OF_REVIEW = tuple((tenth / 10 + 0.05, 0.004 / (1 + tenth)) for tenth in range(10))


@pytest.mark.parametrize(
    "chart",
    [
        {"rate": 0.02, "ratio": 2.0, "icc": 0.005, "batch": 200},
        {"rate": 0.02, "ratio": 1.5, "icc": 0.005, "batch": 200},
        {"rate": 0.06, "ratio": 2.0, "icc": 0.005, "batch": 200, "review": REVIEW},
        {"rate": 0.1, "ratio": 2.0, "icc": 0.005, "batch": 200},
        {"rate": 0.3, "ratio": 2.0, "icc": 0.01, "batch": 100},
        {"rate": 0.02, "ratio": 3.0, "icc": 0.001, "batch": 200},
        {"rate": 0.02, "ratio": 2.0, "icc": 0.02, "batch": 200},
        {"rate": 0.005, "ratio": 2.0, "icc": 0.001, "batch": 20},
        {"rate": 0.02, "ratio": 2.0, "icc": 0.01, "batch": 2},
        {"rate": 0.01, "ratio": 2.0, "icc": 0.005, "batch": 200, "review": ALL_OF_REVIEW},
        {"rate": 0.1, "ratio": 3.0, "icc": 0.003, "batch": 200},
        {"rate": 0.2, "ratio": 3.0, "icc": 0.002, "batch": 4, "review": REVIEW},
    ],
)
@pytest.mark.parametrize("arl0", [5e4, 1e7])
def test_designs_that_somebody_waits_for_promise_what_the_whole_chain_gives(chart, arl0):
    design = design_chart(**chart, arl0=arl0)
    _, distribution = draft_chart(chart["rate"], chart["ratio"], chart.get("review", ()))
    hours = {"rate": design.baseline, "icc": design.icc, "batch": design.batch}
    exact = average_run_length(distribution, limit=design.limit, **hours)
    assert exact == pytest.approx(design.arl0, rel=0.01)
    assert exact > arl0 * 0.99
    assert average_run_length(distribution, limit=design.limit - 2, **hours) < arl0 * 1.01


def test_recovery_limits_that_somebody_waits_for_keep_their_run_length():
    design = design_chart(rate=0.02, ratio=2.0, icc=0.005, batch=200, arl0=1e6, review=ALL_OF_REVIEW)
    _, distribution = draft_chart(0.02, 2.0, ALL_OF_REVIEW)
    waiting = replace(distribution, weights=-distribution.weights)
    hours = {"rate": 0.04, "icc": 0.005, "batch": 200}
    assert average_run_length(waiting, limit=design.recovery_limit, **hours) > 20_000 * 0.99
    assert average_run_length(waiting, limit=design.recovery_limit - 2, **hours) < 20_000 * 1.01


@pytest.mark.parametrize("sign", [1, -1])
def test_gathered_weights_keep_the_mean_and_the_spread_of_sound_and_of_defective_parts(sign):
    _, distribution = draft_chart(0.02, 2.0, ALL_OF_REVIEW)
    distribution = replace(distribution, weights=sign * distribution.weights)
    gathered = distribution.gathered()
    assert len(gathered.weights) == 3 < len(distribution.weights)
    for before, after in ((distribution.sound, gathered.sound), (distribution.defective, gathered.defective)):
        for power in (0, 1, 2):
            assert after @ gathered.weights**power == pytest.approx(before @ distribution.weights**power)
    assert (np.array([gathered.at(rate) for rate in (0, 1e-6, 0.02, 0.5, 0.9)]) >= -1e-15).all()


@pytest.mark.parametrize("review", [(), ((0.5, 0.003),), ((0.3, 0.06), (0.6, 0.02))])
def test_few_weights_and_those_of_many_parts_are_left_as_they_are(review):
    _, distribution = draft_chart(0.1, 2.0, review)
    assert distribution.gathered() is distribution


def test_where_a_chain_is_too_large_the_promise_is_kept_with_a_higher_limit(monkeypatch):
    draft, distribution = draft_chart(0.02, 2.0, ())
    wanted = {"arl0": 1e6, "icc": 0.005, "batch": 200, "quick": True}
    near = finish_design(draft, distribution, **wanted)
    monkeypatch.setattr("casting_core.alarm_design._LARGEST_CARRIED", 0)
    safe = finish_design(draft, distribution, **wanted)
    assert near.limit < safe.limit < 1.5 * near.limit
    assert average_run_length(distribution, rate=0.02, limit=safe.limit, icc=0.005, batch=200) > safe.arl0 == 1e6


def test_hours_that_share_their_fate_to_an_odd_degree_keep_nobody_waiting():
    started = time.process_time()
    assert design_chart(rate=0.002, ratio=2.0, icc=0.1, batch=1_000, arl0=1e7).arl0 == 1e7
    assert time.process_time() - started < 1


@pytest.mark.slow
def test_designs_of_a_fleet_take_under_two_seconds():
    baselines = np.linspace(0.01, 0.04, 50)
    start = time.process_time()
    for baseline in baselines:
        design_cusum(baseline=float(baseline), arl0=7.2e6)
    assert time.process_time() - start < 2
