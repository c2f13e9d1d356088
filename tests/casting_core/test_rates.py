import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom, binom

from casting_core.errors import InvalidInput
from casting_core.rates import (
    Accuracy,
    carry_baseline,
    clopper_pearson,
    estimate_baselines,
    estimate_overdispersion,
    rogan_gladen,
)

OLD = Accuracy(detected=90, defective=100, passed=97, sound=100)
NEW = Accuracy(detected=97, defective=100, passed=99, sound=100)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_clopper_pearson_holds_what_the_binomial_says(counted):
    k, n = counted
    interval = clopper_pearson(k, n)
    assert interval.low <= k / n <= interval.high
    assert k == 0 or binom.sf(k - 1, n, interval.low) == pytest.approx(0.025)
    assert k == n or binom.cdf(k, n, interval.high) == pytest.approx(0.025)


def test_nothing_inspected_leaves_everything_possible():
    assert (clopper_pearson(0, 0).low, clopper_pearson(0, 0).high) == (0, 1)


@pytest.mark.parametrize("icc", [0.002, 0.005, 0.05])
def test_overdispersion_is_recovered(icc):
    rng = np.random.default_rng(7)
    k = betabinom.rvs(200, 0.02 * (1 / icc - 1), 0.98 * (1 / icc - 1), size=2_000, random_state=rng)
    found = estimate_overdispersion(k, np.full(2_000, 200))
    assert found.icc == pytest.approx(icc, rel=0.2)
    assert found.icc < found.upper < 1.5 * icc


def test_independent_parts_have_next_to_no_overdispersion():
    k = np.random.default_rng(8).binomial(200, 0.02, 2_000)
    found = estimate_overdispersion(k, np.full(2_000, 200))
    assert found.icc < 3e-4
    assert found.upper < 6e-4


def test_upper_limit_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(9)
    k = betabinom.rvs(200, 0.02 * 199, 0.98 * 199, size=(150, 100), random_state=rng)
    covered = [estimate_overdispersion(row, np.full(100, 200)).upper >= 0.005 for row in k]
    assert np.mean(covered) > 0.82


@pytest.mark.parametrize("defective", [[0, 0, 0], [200, 200, 200], [200, 0, 200]])
def test_extreme_batches_have_an_overdispersion(defective):
    found = estimate_overdispersion(defective, [200, 200, 200])
    assert 0 <= found.icc <= found.upper < 1


def test_too_few_batches_are_refused():
    with pytest.raises(InvalidInput, match="two batches"):
        estimate_overdispersion([1, 0], [200, 1])


def test_streams_with_history_keep_it_and_new_ones_run_on_the_fleet():
    rng = np.random.default_rng(10)
    rates = rng.beta(8, 392, 30)
    k = [*rng.binomial(5_000, rates), 1, 0]
    baselines = estimate_baselines(k, [5_000] * 30 + [20, 0])
    assert not any(baseline.on_fleet for baseline in baselines[:30])
    assert baselines[30].on_fleet
    assert baselines[31].on_fleet
    assert baselines[31].own_weight == 0
    assert baselines[31].rate == pytest.approx(0.02, abs=0.003)
    # One defective of 20 would be 5 %.
    assert baselines[30].rate == pytest.approx(0.021, abs=0.004)


def test_shrinkage_beats_the_streams_own_rates():
    rng = np.random.default_rng(11)
    rates = rng.beta(8, 392, 60)
    k = rng.binomial(200, rates)
    shrunk = np.array([baseline.rate for baseline in estimate_baselines(k.tolist(), [200] * 60)])
    assert np.square(shrunk - rates).mean() < 0.6 * np.square(k / 200 - rates).mean()


def test_a_fleet_without_a_defective_part_has_a_baseline_all_the_same():
    for baseline in estimate_baselines([0, 0, 0], [1_000, 1_000, 10]):
        assert 0 < baseline.rate < 0.001


def test_a_lone_stream_is_its_own_fleet():
    (baseline,) = estimate_baselines([20], [1_000])
    assert baseline.rate == pytest.approx(0.02, abs=1e-4)
    assert not baseline.on_fleet
    assert baseline.interval.low < 0.02 < baseline.interval.high


def test_a_fleet_without_parts_is_refused():
    with pytest.raises(InvalidInput, match="reference period"):
        estimate_baselines([0, 0], [0, 0])
    with pytest.raises(InvalidInput):
        estimate_baselines([], [])


def test_corrected_rate_by_hand():
    corrected = rogan_gladen(60, 1_000, OLD)
    assert corrected.rate == pytest.approx((0.06 + 0.97 - 1) / 0.87)
    assert (corrected.interval.low, corrected.interval.high) == pytest.approx((0, 0.0702), abs=1e-4)


@pytest.mark.parametrize(("defective", "rate"), [(0, 0.0), (1_000, 1.0)])
def test_corrected_rate_stays_a_rate(defective, rate):
    corrected = rogan_gladen(defective, 1_000, OLD)
    assert corrected.rate == rate
    assert 0 <= corrected.interval.low <= corrected.interval.high <= 1


def test_perfect_models_on_small_golden_sets_stay_uncertain():
    perfect = Accuracy(detected=95, defective=95, passed=18, sound=18)
    interval = rogan_gladen(20, 1_000, perfect).interval
    assert interval.high - interval.low > 0.02


def test_carried_baseline_is_what_the_new_model_shows():
    true = 0.05
    shown = 0.9 * true + 0.03 * (1 - true)
    carried = carry_baseline(shown, 1e9, before=OLD, after=NEW)
    assert carried.rate == pytest.approx(0.97 * true + 0.01 * (1 - true), abs=0.012)
    assert carried.interval.low < carried.rate < carried.interval.high


def test_the_same_model_carries_the_same_baseline():
    large = Accuracy(detected=90_000, defective=100_000, passed=97_000, sound=100_000)
    assert carry_baseline(0.06, 1e9, before=large, after=large).rate == pytest.approx(0.06, abs=1e-4)


def test_a_carried_baseline_is_never_0():
    perfect = Accuracy(detected=100, defective=100, passed=100, sound=100)
    assert carry_baseline(0.001, 1_000, before=OLD, after=perfect).rate > 0


@pytest.mark.parametrize("accuracy", [{"detected": 101}, {"passed": -1}, {"detected": 0, "defective": 0}])
def test_impossible_golden_sets_are_refused(accuracy):
    with pytest.raises(InvalidInput):
        Accuracy(**{"detected": 90, "defective": 100, "passed": 97, "sound": 100, **accuracy})


def test_models_no_better_than_chance_correct_nothing():
    coin = Accuracy(detected=50, defective=100, passed=50, sound=100)
    with pytest.raises(InvalidInput, match="chance"):
        rogan_gladen(60, 1_000, coin)
    with pytest.raises(InvalidInput, match="chance"):
        carry_baseline(0.06, 1_000, before=OLD, after=coin)


@pytest.mark.parametrize(("rate", "inspected"), [(0.0, 100), (1.0, 100), (float("nan"), 100), (0.02, 0)])
def test_baselines_that_cannot_be_carried_are_refused(rate, inspected):
    with pytest.raises(InvalidInput):
        carry_baseline(rate, inspected, before=OLD, after=NEW)


def test_no_parts_have_no_corrected_rate():
    with pytest.raises(InvalidInput, match="at least one"):
        rogan_gladen(0, 0, OLD)


@pytest.mark.slow
@pytest.mark.parametrize("true", [0.01, 0.05, 0.3])
def test_corrected_interval_covers_the_truth(true):
    rng = np.random.default_rng(12)
    shown, covered = true * 0.92 + (1 - true) * 0.04, []
    for _ in range(3_000):
        accuracy = Accuracy(detected=rng.binomial(95, 0.92), defective=95, passed=rng.binomial(60, 0.96), sound=60)
        interval = rogan_gladen(rng.binomial(2_000, shown), 2_000, accuracy).interval
        covered.append(interval.low <= true <= interval.high)
    assert np.mean(covered) >= 0.93
