"""`casting bench score` as a person types it: in a process of its own, on a plant of its own."""

import json
import os
import subprocess
import sys

import pytest


@pytest.fixture
def bench(tmp_path):
    def bench(*arguments):
        home = tmp_path / "the plant that is not touched"
        environment = os.environ | {"CASTING_HOME": str(home)}
        command = [sys.executable, "-m", "flows", "bench", "score", "--seconds", "0.05", *map(str, arguments)]
        done = subprocess.run(  # noqa: S603 - our own program
            command, env=environment, capture_output=True, text=True, check=False, timeout=280
        )
        assert not home.exists()
        return done

    return bench


def test_every_stage_is_measured_and_the_end_to_end_rate_compared_with_the_ceiling(bench):
    done = bench("--images", 24, "--backbone", "squeezenet1_1", "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    rates = json.loads(done.stdout.splitlines()[-1])
    assert (rates["device"], rates["images"]) == ("cpu", 24)
    assert rates["engine"] in ("openvino int8", "torch bfloat16", "torch float32")
    assert set(rates["stages"]) == {"fetch", "decode", "forward", "write"}
    assert min(*rates["stages"].values(), rates["naive_images_per_s"]) > 0
    assert len(rates["ratios"]) == 3
    assert min(rates["ratios"]) <= rates["ratio"] <= max(rates["ratios"])
    assert rates["stages"]["forward"] == rates["ceiling_images_per_s"]


def test_a_folder_without_pictures_is_said_to_be_one(bench, tmp_path):
    done = bench("--pictures", tmp_path)
    assert done.returncode == 1
    assert "holds no JPEG" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "tpu"], "CASTING_DEVICE"),
        (["--backbone", "resnet51"], "not a classifier of torchvision"),
    ],
)
def test_what_cannot_be_measured_ends_in_one_line(bench, arguments, message):
    done = bench(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_no_pictures_tell_nothing_of_a_rate(bench):
    done = bench("--images", 0)
    assert done.returncode == 2
    assert "Invalid value for '--images'" in done.stderr
