import math

import numpy as np
import pytest

from casting_core import bank_simulation
from casting_core.alarm_design import design_cusum
from casting_core.alarm_scenario import Scenario
from casting_core.alarm_simulation import compare
from casting_core.errors import InvalidInput
from casting_core.run_length import WeightDistribution, average_run_length


@pytest.fixture(scope="module")
def independent():
    comparison = compare(p0=0.02, ratio=2, n=200)
    return comparison, {method.name: method for method in comparison.methods}


@pytest.fixture(scope="module")
def correlated():
    comparison = compare(p0=0.02, ratio=2, n=200, icc=0.005)
    return comparison, {method.name: method for method in comparison.methods}


def found(method):
    return [method.arl1_parts[ratio] for ratio in ("1.5", "2", "3")]


def gains(method, over):
    return np.array(found(method)) / np.array(found(over))


def test_check_values_of_the_issue(independent):
    comparison, methods = independent
    assert comparison.arl0 == pytest.approx(133.7 * 200, rel=1e-3)
    for chart in ("p_chart", "p_prime_chart"):
        assert methods[chart].arl0_parts / 200 == pytest.approx(133.7, abs=0.05)
        assert found(methods[chart]) == pytest.approx([2_476, 712, 261], abs=0.5)
    assert methods["cusum"].arl0_parts == pytest.approx(27_122, abs=1)
    assert found(methods["cusum"]) == pytest.approx([1_532, 530, 219], abs=0.5)
    assert methods["cusum"].design["m"] == 35
    assert methods["cusum"].design["limit"] == pytest.approx(247 / 35)


def test_gain_of_a_statistic_on_p_defective(independent):
    _, methods = independent
    assert methods["score_cusum"].arl0_parts >= 26_740
    assert (gains(methods["score_cusum"], methods["cusum"]) < 0.95).all()


def test_bank_trades_two_against_the_rest(independent):
    _, methods = independent
    small, medium, large = gains(methods["cusum_bank"], methods["cusum"])
    assert small < 0.97
    assert medium > 1.03
    assert large < 1
    assert 0 < methods["cusum_bank"].arl0_se < 0.03 * methods["cusum_bank"].arl0_parts


def test_only_the_plain_chart_breaks_its_promise_under_overdispersion(correlated):
    comparison, methods = correlated
    assert methods["p_chart"].arl0_parts / 200 == pytest.approx(22.4, abs=0.1)
    kept = {name: method.arl0_parts / comparison.arl0 for name, method in methods.items()}
    assert all(share >= 0.9 for name, share in kept.items() if name != "p_chart"), kept


def test_importance_sampling_agrees_with_the_chain(monkeypatch):
    design = design_cusum(baseline=0.02, arl0=26_740.5)
    up, down, limit = ([[value]] * 2 for value in (design.defective_weight, design.sound_weight, design.limit))
    bank = bank_simulation.Bank(climbs=(0.04,), up=up, down=down, limit=limit)
    monkeypatch.setattr(bank_simulation, "_CYCLES", 20_000)
    for icc, exact in ((0.0, 27_122), (0.005, 5_701)):
        scenario = Scenario(p0=0.02, ratio=2.0, n=200, icc=icc)
        arl0, error = bank_simulation.bank_arl0(scenario, bank)
        assert abs(arl0 - exact) < 4 * error < 0.25 * exact
        mean, error = bank_simulation.bank_arl1(scenario, bank, 0.06)
        distribution = WeightDistribution.of_verdicts(design)
        assert abs(mean - average_run_length(distribution, rate=0.06, limit=247, icc=icc, batch=200)) < 4 * error


def test_promises_of_a_fleets_budget_are_kept():
    comparison = compare(p0=0.02, arl0=7.2e6)
    for method in comparison.methods:
        assert method.arl0_parts >= 0.9 * 7.2e6


def test_a_correlation_next_to_0_is_none():
    with_none, with_little = compare(p0=0.05, n=100), compare(p0=0.05, n=100, icc=5e-324)
    assert [m.arl0_parts for m in with_little.methods[:3]] == [m.arl0_parts for m in with_none.methods[:3]]


def test_design_ratio_gets_a_column_of_its_own():
    assert list(compare(p0=0.05, ratio=2.5, n=100).methods[0].arl1_parts) == ["1.5", "2", "2.5", "3"]


def test_climbs_beyond_1_are_left_open():
    comparison = compare(p0=0.4, ratio=1.5, n=50)
    assert all(method.arl1_parts["3"] is None for method in comparison.methods)
    assert all(method.arl1_parts["1.5"] for method in comparison.methods)


def test_charts_that_cannot_signal_say_so():
    methods = {method.name: method for method in compare(p0=0.02, n=1, arl0=1_000).methods}
    assert methods["p_chart"].arl0_parts is None
    assert methods["cusum"].arl0_parts >= 1_000


@pytest.mark.parametrize(
    "fault",
    [
        {"p0": 0.0},
        {"p0": 1.0},
        {"p0": math.nan},
        {"ratio": 50.0},
        {"ratio": 1.0},
        {"n": 0},
        {"icc": 1.0},
        {"icc": -1e-12},
        {"icc": math.nan},
        {"arl0": 0.0},
        {"arl0": math.inf},
        {"auroc": 0.5},
        {"precision": 0.0},
        {"p0": 0.9, "ratio": 1.1, "n": 5},
    ],
)
def test_impossible_questions_are_refused(fault):
    with pytest.raises(InvalidInput):
        compare(**{"p0": 0.02, **fault})
