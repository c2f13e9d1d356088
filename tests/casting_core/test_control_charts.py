import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom, binom, norm

from casting_core.control_charts import (
    icc_of_sigma_z,
    p_chart,
    p_prime_chart,
    sigma_z_of_hours,
    signal_probability,
    upper_signal_count,
)
from casting_core.errors import InvalidInput

TAIL = norm.sf(3)


def test_textbook_limits_of_the_check_value():
    chart = p_chart([9, 10], [200, 200], centre=0.02, limits="three_sigma")
    assert chart.upper == pytest.approx([0.049699] * 2, abs=1e-6)
    assert chart.lower.tolist() == [0, 0]
    assert chart.above.tolist() == [False, True]


def test_check_value_of_the_plain_chart():
    assert 1 / signal_probability(200, 0.02, 10) == pytest.approx(133.7, abs=0.05)
    assert 1 / signal_probability(200, 0.02, 10, icc=0.005) == pytest.approx(22.4, abs=0.1)
    found = [200 / signal_probability(200, 0.02 * ratio, 10) for ratio in (1.5, 2, 3)]
    assert found == pytest.approx([2_476, 712, 261], abs=0.5)


@settings(max_examples=40)
@given(st.integers(0, 400), st.floats(0.001, 0.5), st.floats(0, 0.1))
def test_exact_limit_is_the_first_count_rare_enough(n, rate, icc):
    count = upper_signal_count(n, rate, tail=TAIL, icc=icc)
    assert signal_probability(n, rate, count, icc=icc) <= TAIL
    assert count == 0 or signal_probability(n, rate, count - 1, icc=icc) > TAIL


def test_small_hours_do_not_cry_wolf():
    textbook = p_chart([3], [20], centre=0.02, limits="three_sigma")
    exact = p_chart([3, 4], [20, 20], centre=0.02)
    assert textbook.above.tolist() == [True]
    assert exact.above.tolist() == [False, True]
    assert binom.sf(3, 20, 0.02) < TAIL < binom.sf(2, 20, 0.02)


def test_limits_vary_with_the_hour():
    chart = p_chart([1, 4, 40], [20, 200, 2_000], centre=0.02)
    assert (np.diff(chart.upper) < 0).all()
    assert chart.lower[0] == chart.lower[1] == 0 < chart.lower[2]


def test_a_rate_too_good_to_be_true_is_below():
    assert p_chart([0], [2_000], centre=0.02).below.tolist() == [True]


def test_hours_without_parts_have_no_rate_and_no_signal():
    chart = p_chart([0, 4], [0, 200], centre=0.02)
    assert math.isnan(chart.rate[0])
    assert not chart.above[0]
    assert not chart.below[0]


def test_a_line_that_never_ran_charts_nothing():
    assert p_chart([], [], centre=0.02).rate.size == 0
    assert p_prime_chart([0, 0], [0, 0], centre=0.02, sigma_z=1.2).above.tolist() == [False, False]


@pytest.mark.parametrize(
    ("centre", "above", "below"), [(0.0, [False, True], [False, False]), (1.0, [False] * 2, [True] * 2)]
)
@pytest.mark.parametrize("limits", ["exact", "three_sigma"])
def test_baselines_of_0_and_1(centre, above, below, limits):
    chart = p_chart([0, 1], [200, 200], centre=centre, limits=limits)
    assert (chart.above.tolist(), chart.below.tolist()) == (above, below)


def test_all_defective_is_above():
    assert p_chart([200], [200], centre=0.02).above.tolist() == [True]
    assert p_chart([1], [1], centre=0.001).above.tolist() == [True]


def test_laneys_limits_by_hand():
    chart = p_prime_chart([4], [200], centre=0.02, sigma_z=1.5, limits="three_sigma")
    assert chart.upper[0] == pytest.approx(0.02 + 3 * 1.5 * math.sqrt(0.02 * 0.98 / 200))


def test_p_prime_without_overdispersion_is_the_p_chart():
    plain, prime = p_chart([4, 12], [200, 180], centre=0.02), p_prime_chart([4, 12], [200, 180], centre=0.02, sigma_z=1)
    assert prime.upper.tolist() == plain.upper.tolist()


def test_sigma_z_finds_the_overdispersion():
    rng = np.random.default_rng(3)
    assert sigma_z_of_hours(rng.binomial(2_000, 0.02, 3_000), [2_000] * 3_000) == pytest.approx(1, abs=0.05)
    k = betabinom.rvs(2_000, 0.02 * 199, 0.98 * 199, size=3_000, random_state=rng)
    sigma_z = sigma_z_of_hours(k, [2_000] * 3_000)
    assert sigma_z == pytest.approx(math.sqrt(1 + 1_999 * 0.005), rel=0.05)
    assert icc_of_sigma_z(sigma_z, 2_000) == pytest.approx(0.005, rel=0.1)


def test_exact_p_prime_keeps_the_false_alarms_that_the_plain_chart_multiplies():
    rng = np.random.default_rng(4)
    k = betabinom.rvs(200, 0.02 * 199, 0.98 * 199, size=4_000, random_state=rng)
    hours = np.full(4_000, 200)
    plain = p_chart(k, hours, centre=0.02).above.mean()
    prime = p_prime_chart(k, hours, centre=0.02, sigma_z=math.sqrt(1 + 199 * 0.005)).above.mean()
    assert prime <= 2 * TAIL
    assert plain > 10 * TAIL


def test_a_small_hour_is_judged_by_the_spread_of_usual_ones():
    usual = p_prime_chart([4], [10], centre=0.02, sigma_z=1.4, usual_size=200)
    assert usual.upper[0] < p_prime_chart([4], [10], centre=0.02, sigma_z=1.4).upper[0]


@pytest.mark.parametrize(
    ("defective", "inspected"), [([3], [2]), ([-1], [2]), ([1], [1, 2]), ([0.5], [2]), ([float("nan")], [2])]
)
def test_impossible_counts_are_refused(defective, inspected):
    with pytest.raises(InvalidInput):
        p_chart(defective, inspected, centre=0.02)


@pytest.mark.parametrize("kwargs", [{"centre": 1.5}, {"centre": float("nan")}, {"centre": 0.02, "sigmas": 0}])
def test_impossible_limits_are_refused(kwargs):
    with pytest.raises(InvalidInput):
        p_chart([1], [200], **kwargs)


def test_what_cannot_be_estimated_is_asked_for():
    with pytest.raises(InvalidInput, match="centre"):
        p_chart([0], [0])
    with pytest.raises(InvalidInput, match="sigma_z"):
        p_prime_chart([1], [200])
    with pytest.raises(InvalidInput, match="sigma_z"):
        p_prime_chart([0, 0], [200, 200])
    with pytest.raises(InvalidInput, match="sigma_z"):
        p_prime_chart([1, 2], [200, 200], sigma_z=float("nan"))
