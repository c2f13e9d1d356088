"""A loaded model judges files: one outcome for each key, the same whatever it is batched with."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from casting_core.model import build_network
from casting_core.scoring import Hardware, Scorer, choose_hardware, cpu_has_bfloat16, network_scorer
from casting_core.synthetic import make_casting, render
from casting_core.types import Prediction, Rejection

CPU = Hardware(device=torch.device("cpu"), precision=torch.float32)


def file_of(seed):
    target = io.BytesIO()
    Image.fromarray(render(make_casting(seed, defective=seed % 2 == 1), size=96)).save(target, format="JPEG")
    return target.getvalue()


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return build_network("squeezenet1_1")


@pytest.fixture
def scorer(network, make_card):
    return network_scorer(network, make_card(), CPU, batch_size=4)


def test_every_key_gets_its_own_outcome_and_rejections_pass_through(scorer):
    refused = Rejection(reason="missing", detail="gone")
    contents = {f"k{seed}": file_of(seed) for seed in range(6)} | {"gone": refused, "text": b"no picture"}
    outcomes = scorer.judge(contents)
    assert outcomes.keys() == contents.keys()
    assert outcomes["gone"] is refused
    assert outcomes["text"].reason == "not_an_image"
    for key in reversed([key for key in contents if key.startswith("k")]):
        alone = scorer.judge({key: contents[key]})[key]
        assert isinstance(alone, Prediction)
        assert outcomes[key].p_defective == pytest.approx(alone.p_defective, abs=1e-3)


def test_many_files_are_prepared_in_the_order_given(scorer):
    gone = Rejection(reason="missing", detail="gone")
    files = [file_of(seed % 5) if seed % 7 else gone for seed in range(60)]
    prepared = scorer.prepare_many(files)
    alone = [scorer.prepare(file) for file in files]
    assert [type(each) for each in prepared] == [type(each) for each in alone]
    assert all(np.array_equal(one, other) for one, other in zip(prepared, alone, strict=True) if one is not gone)


def test_nothing_to_judge_is_no_outcome(scorer):
    assert scorer.judge({}) == {}


def test_thresholds_and_temperature_of_the_card_make_the_verdict(network, make_card):
    from casting_core.card import Thresholds

    content = {"k": file_of(1)}
    plain = network_scorer(network, make_card(), CPU, batch_size=1).judge(content)["k"].p_defective
    hot = network_scorer(network, make_card(temperature=10.0), CPU, batch_size=1).judge(content)["k"].p_defective
    odds = np.log(plain / (1 - plain))
    assert hot == pytest.approx(1 / (1 + np.exp(-odds / 10)), abs=1e-6)
    for low, high, verdict in ((0.0, 0.0, "defective"), (1.0, 1.0, "ok"), (0.0, 1.0, "review")):
        card = make_card(thresholds=Thresholds(ok_below=low, defective_from=high))
        assert network_scorer(network, card, CPU, batch_size=1).judge(content)["k"].verdict == verdict


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (5, [2, 3]), (8, [4, 4]), (9, [2, 2, 2, 3]), (20, [3, 3, 3, 3, 4, 4])]
)
def test_pictures_are_shared_among_the_streams_of_an_engine_in_equal_numbers(make_card, count, sizes):
    batches = []

    def engine(batch):
        batches.append(len(batch))
        return torch.stack([batch.float().mean(dim=(1, 2, 3))] * 2, dim=1) * torch.tensor([1.0, -1.0])

    scorer = Scorer(engine, make_card(), CPU, batch_size=4, streams=2)
    p_defective = scorer.predict([np.full((1, 8, 8), number, np.uint8) for number in range(count)])
    assert p_defective == sorted(p_defective, reverse=True)
    assert len(p_defective) == count
    assert sorted(batches) == sizes


class ShortOfMemory(torch.nn.Module):
    """A network that fits two pictures on its card."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, inputs):
        self.batches.append(len(inputs))
        if len(inputs) > 2:
            raise torch.cuda.OutOfMemoryError("too many")
        return torch.stack([inputs.mean(dim=(1, 2, 3)), -inputs.mean(dim=(1, 2, 3))], dim=1)


def test_out_of_memory_halves_the_batch_and_goes_on(make_card, monkeypatch):
    network = ShortOfMemory()
    monkeypatch.setattr("casting_core.scoring.fuse", lambda network: network)
    scorer = network_scorer(network, make_card(), CPU, batch_size=8)
    pictures = [np.full((1, 64, 64), 10 * index, np.uint8) for index in range(16)]
    probabilities = scorer.predict(pictures)
    assert len(probabilities) == 16
    assert probabilities == sorted(probabilities, reverse=True)
    assert scorer.batch_size == 2
    assert network.batches[0] == 8


def test_a_single_picture_that_does_not_fit_is_an_error(make_card, monkeypatch):
    class Full(torch.nn.Module):
        def forward(self, _inputs):
            raise torch.cuda.OutOfMemoryError("full")

    monkeypatch.setattr("casting_core.scoring.fuse", lambda network: network)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        network_scorer(Full(), make_card(), CPU, batch_size=4).predict([np.zeros((1, 64, 64), np.uint8)] * 3)


def test_folding_batch_norm_changes_no_prediction(make_card):
    network = build_network("resnet18").eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2.0)
    picture = render(make_casting(5, defective=True), size=64)[None]
    card = make_card(architecture="resnet18")
    (served,) = network_scorer(network, card, CPU, batch_size=1).predict([picture])
    from casting_core.preprocess import normalise, stack

    with torch.inference_mode():
        eager = torch.softmax(network(normalise(stack([picture]), card.preprocessing)), dim=1)[0, 1].item()
    assert served == pytest.approx(eager, abs=1e-5)


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="this processor has no bfloat16 arithmetic")
def test_bfloat16_stays_close_to_float32(network, make_card):
    pictures = [render(make_casting(seed, defective=seed % 2 == 1), size=64)[None] for seed in range(8)]
    half = Hardware(device=torch.device("cpu"), precision=torch.bfloat16)
    exact = np.array(network_scorer(network, make_card(), CPU, batch_size=8).predict(pictures))
    rounded = np.array(network_scorer(network, make_card(), half, batch_size=8).predict(pictures))
    assert np.abs(exact - rounded).max() < 0.01
    assert (exact != rounded).any()


def test_float32_is_taken_as_asked_and_half_only_where_the_processor_has_it():
    assert choose_hardware("cpu", half=False).precision == torch.float32
    expected = torch.bfloat16 if cpu_has_bfloat16() else torch.float32
    assert choose_hardware("cpu", half=True).precision == expected
