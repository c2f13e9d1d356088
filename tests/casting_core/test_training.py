"""Training: both classes or nothing, the same seed the same network, folded batch norms are given back."""

import numpy as np
import pytest
import torch

from casting_core.errors import InvalidDataset
from casting_core.model import build_network
from casting_core.preprocess import Preprocessing
from casting_core.training import (
    LabelledPictures,
    Recipe,
    class_weights,
    train,
    turn_and_mirror,
    unfold_batch_norm,
)

CPU = torch.device("cpu")
SIDE = 64


def dotted(count=24):
    """Pictures with a bright square where they are defective, and its place as the mark."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(60, 120, (count, 1, SIDE, SIDE)).astype(np.uint8)
    labels, marks = torch.arange(count) % 2, torch.full((count, 2), torch.nan)
    for index in range(1, count, 2):
        x, y = generator.integers(12, SIDE - 20, 2)
        pixels[index, 0, y : y + 10, x : x + 10] = 255
        marks[index] = torch.tensor([(x + 5) / SIDE, (y + 5) / SIDE])
    return LabelledPictures(pixels=torch.from_numpy(pixels), labels=labels, marks=marks)


def trained(recipe, pictures=None, on_step=lambda _step: None):
    torch.manual_seed(1)
    pictures = pictures or dotted()
    return train(build_network("resnet18"), pictures, recipe, Preprocessing(side=SIDE), device=CPU, on_step=on_step)


def test_the_same_seed_gives_the_same_network_and_another_seed_another():
    first, second, third = (trained(Recipe(epochs=1, seed=seed)).state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["fc.weight"], third["fc.weight"])


def test_the_loss_falls_and_the_steps_are_counted():
    steps = []
    trained(Recipe(epochs=4, crop_epochs=2, batch_size=8, symmetry=False), on_step=steps.append)
    assert [step.done for step in steps] == list(range(1, 19))
    assert {step.total for step in steps} == {18}
    assert (steps[0].epoch, steps[-1].epoch) == (1, 6)
    assert np.mean([step.loss for step in steps[-3:]]) < np.mean([step.loss for step in steps[:3]])


def test_crops_hold_the_mark_and_tell_nothing_by_their_place():
    from casting_core.training import _crop_batch

    pictures = dotted()
    crops = _crop_batch(pictures, torch.arange(24), np.random.default_rng(0))
    assert crops.shape == (24, 1, 32, 32)
    brightest = crops.flatten(1).max(dim=1).values
    assert (brightest[1::2] == 255).all()
    assert (brightest[::2] < 255).all()


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_is_refused_by_name(label):
    pictures = dotted(8)
    alone = LabelledPictures(pixels=pictures.pixels, labels=torch.full((8,), label), marks=pictures.marks)
    with pytest.raises(InvalidDataset, match="defective" if label else "ok"):
        trained(Recipe(epochs=1), alone)


def test_classes_count_the_same_whatever_their_size():
    labels = torch.tensor([0] * 9 + [1])
    weights = class_weights(labels)
    assert (weights[labels].mean(), 9 * weights[0]) == (pytest.approx(1.0), pytest.approx(weights[1].item()))


def test_all_eight_symmetries_occur_and_keep_every_pixel():
    batch = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4).repeat(200, 1, 1, 1)
    turned = turn_and_mirror(batch, np.random.default_rng(0))
    assert len({tuple(picture.flatten().tolist()) for picture in turned}) == 8
    assert (turned.flatten(1).sort(dim=1).values == torch.arange(16)).all()


def folded_network():
    """A network with batch norm as published weights have it: mean 0, variance 1, the rest in weight and bias."""
    torch.manual_seed(2)
    network = build_network("resnet18").eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.3, 0.3)
    return network


def test_unfolding_batch_norm_leaves_the_output_and_gives_real_statistics():
    network = folded_network()
    inputs = torch.randn(16, 3, SIDE, SIDE) * 2 + 1
    with torch.no_grad():
        before = network(inputs)
    assert unfold_batch_norm(network, iter([inputs[:8], inputs[8:]])) == 20
    with torch.no_grad():
        after = network(inputs)
        inside = network.conv1(inputs)
    assert torch.allclose(before, after, atol=1e-3 * float(before.abs().max()))
    assert torch.allclose(network.bn1.running_mean, inside.mean(dim=(0, 2, 3)), atol=1e-4)
    assert torch.allclose(network.bn1.running_var, inside.var(dim=(0, 2, 3), unbiased=False), rtol=1e-3)


def test_batch_norms_with_statistics_of_their_own_are_left_alone():
    network = folded_network()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.fill_(0.1)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    assert unfold_batch_norm(network, iter([])) == 0
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
