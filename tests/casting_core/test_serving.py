"""The engine that serves is the fastest of those that judge as float32 does."""

import numpy as np
import pytest
import torch

from casting_core import openvino_engine, serving
from casting_core.labelled import LabelledPictures
from casting_core.model import build_network
from casting_core.preprocess import Preprocessing
from casting_core.scoring import cpu_has_bfloat16
from casting_core.serving import choose_serving
from casting_core.synthetic import make_casting, render


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network("squeezenet1_1").eval()


@pytest.fixture(scope="module")
def shown():
    pixels = np.stack([render(make_casting(seed, defective=seed % 2 == 1), size=64)[None] for seed in range(16)])
    labels = torch.arange(16) % 2
    return LabelledPictures(
        pixels=torch.from_numpy(pixels), labels=labels, castings=torch.arange(16), marks=torch.full((16, 2), torch.nan)
    )


@pytest.fixture(scope="module")
def quantised(network, shown):
    return openvino_engine.quantise(network, Preprocessing(side=64), list(shown.pixels.numpy()))


@pytest.fixture
def choose(network, make_card, shown, quantised, monkeypatch):
    monkeypatch.setattr(openvino_engine, "quantise", lambda *_: quantised)  # the real one, made once

    def choose(fastest, **card):
        offered = []

        def measure(run):
            offered.extend(run)
            return {name: 1.0 + fastest.index(name) if name in fastest else 9.0 for name in run}

        monkeypatch.setattr(serving, "measure_seconds", measure)
        card = make_card(**card)
        served = choose_serving(network, card, validation=shown, calibration=list(shown.pixels.numpy()), device="cpu")
        return served, offered

    return choose


def test_integers_serve_where_they_are_fastest_and_let_nothing_more_escape(choose):
    served, offered = choose(["int8"])
    assert "float32" in offered
    assert (served.card.serving.engine, served.card.serving.precision) == ("openvino", "int8")
    assert set(served.files) == set(served.card.serving.files) == {"openvino.xml", "openvino.bin"}
    assert served.p_defective.shape == (16,)
    assert served.card.serving.others["float32"] == "takes 9.00 times as long"


def test_integers_that_let_a_defective_part_escape_do_not_serve(choose, monkeypatch):
    quantised = serving._quantised

    class Blind:
        def __init__(self, candidate):
            self.serving, self.scorer, self.files = candidate.serving, candidate.scorer, candidate.files

        def predict(self, pictures):
            return np.zeros(len(pictures))

    monkeypatch.setattr(serving, "_quantised", lambda *given: Blind(quantised(*given)))
    served, offered = choose(["int8", "bfloat16", "float32"])
    assert "int8" not in offered
    assert served.card.serving.engine == "torch"
    assert served.card.serving.others["int8"].startswith("8 escapes on 16 pictures, where float32 has ")
    assert served.files == {}


def test_without_openvino_torch_serves(choose, monkeypatch):
    monkeypatch.setattr(openvino_engine, "is_installed", lambda: False)
    served, _ = choose(["int8", "float32"])
    assert served.card.serving.precision == "float32"


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="this processor has no bfloat16 arithmetic")
def test_bfloat16_that_moves_a_probability_too_far_does_not_serve(choose, monkeypatch):
    monkeypatch.setattr(serving, "_MOST_DIFFERENT", 0.0)
    monkeypatch.setattr(openvino_engine, "is_installed", lambda: False)
    served, _ = choose(["bfloat16", "float32"])
    assert served.card.serving.precision == "float32"
    assert "moves p_defective by up to" in served.card.serving.others["bfloat16"]
