"""A leak is found, and what only scatters is not taken for one."""

import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from tests.soak.flatness import risen, slope
from tests.soak.samples import MOST_MIB_PER_HOUR, Samples

HALF_AN_HOUR = np.arange(0, 1800, 5.0)
LEAKS = """
import sys, time
kept = []
while True:
    if sys.argv[1] == "leaks":
        kept.append((bytearray(b"x" * 200_000), open("/dev/null")))
    time.sleep(0.01)
"""


def memory(*, leak, noise=3.0, seed=0):
    """Half an hour of a process of 700 MiB that leaks so many MiB an hour: samples that follow one another closely."""
    steps = np.random.default_rng(seed).normal(0, noise * np.sqrt(1 - 0.9**2), HALF_AN_HOUR.size)
    wandering = np.zeros_like(steps)
    for place in range(1, steps.size):
        wandering[place] = 0.9 * wandering[place - 1] + steps[place]
    return 700 + leak * HALF_AN_HOUR / 3600 + wandering


def test_the_slope_is_the_leak_within_its_noise():
    for seed in range(20):
        fit = slope(HALF_AN_HOUR, memory(leak=60, seed=seed))
        assert abs(fit.per_hour - 60) < 2 * fit.noise
    hits = [
        abs((fit := slope(HALF_AN_HOUR, memory(leak=60, seed=seed))).per_hour - 60) < fit.noise for seed in range(200)
    ]
    assert 0.88 <= np.mean(hits) <= 0.99, "the interval was to be one of 95 %"


def test_a_leak_of_a_megabyte_a_run_is_found_and_scatter_is_not_taken_for_one():
    verdicts = [slope(HALF_AN_HOUR, memory(leak=120, seed=seed)).verdict(MOST_MIB_PER_HOUR) for seed in range(50)]
    assert set(verdicts) == {"grows"}
    still = [slope(HALF_AN_HOUR, memory(leak=0, seed=seed)).verdict(MOST_MIB_PER_HOUR) for seed in range(50)]
    assert "grows" not in still
    assert still.count("flat") >= 45


def test_more_noise_than_the_limit_is_no_verdict():
    assert slope(HALF_AN_HOUR, memory(leak=10, noise=60.0)).verdict(MOST_MIB_PER_HOUR) == "unclear"


def test_counts_may_swing_but_not_climb():
    assert risen([5, 6, 5, 6, 5, 6, 5, 6]) == 0
    assert risen([5, 6, 5, 6, 5, 6, 5, 40]) == 0
    assert risen([5, 6, 5, 6, 7, 7, 7, 8]) == 2


@pytest.mark.parametrize("kind", ["leaks", "is well"])
def test_of_two_real_processes_the_one_that_leaks_is_found(kind):
    samples = Samples()
    with subprocess.Popen([sys.executable, "-c", LEAKS, kind]) as process:  # noqa: S603 - our own program
        began = time.monotonic()
        while (seconds := time.monotonic() - began) < 3:
            samples.take(seconds, {"process": psutil.Process(process.pid)})
            time.sleep(0.05)
        process.kill()
    verdicts = {name: verdict for name, *_, verdict in samples.rows()}
    expected = "grows" if kind == "leaks" else "flat"
    assert verdicts == {"process: memory": expected, "process: open files": expected}
