"""Training: both classes or nothing, the same seed the same network, folded batch norms are given back."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from casting_core.batch_norm import unfold_batch_norm
from casting_core.checkpoint import Checkpoint
from casting_core.errors import InvalidDataset
from casting_core.labelled import LabelledPictures
from casting_core.model import build_network
from casting_core.preprocess import Preprocessing
from casting_core.training import (
    Recipe,
    class_weights,
    rate_share,
    train,
    turn_and_mirror,
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
    return LabelledPictures(
        pixels=torch.from_numpy(pixels), labels=labels, castings=torch.arange(count) // 2, marks=marks
    )


def trained(recipe, pictures=None, **options):
    torch.manual_seed(1)
    network = build_network("resnet18")
    train(network, pictures or dotted(), recipe, Preprocessing(side=SIDE), device=CPU, **options)
    return network


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


def test_a_run_that_goes_on_from_its_checkpoint_ends_where_an_undisturbed_one_does(tmp_path):
    class Killed(Exception):
        pass

    def kill(step):
        if step.done == 13:
            raise Killed

    recipe = Recipe(epochs=2, crop_epochs=1, batch_size=4, weighting="castings", seed=3)
    undisturbed = trained(recipe)
    checkpoint = Checkpoint(path=tmp_path / "run.pt", key="this run")
    with pytest.raises(Killed):
        trained(recipe, checkpoint=checkpoint, on_step=kill)
    steps = []
    resumed = trained(recipe, checkpoint=checkpoint, on_step=steps.append)
    assert steps[0].done == 13
    state = resumed.state_dict()
    assert all(torch.equal(state[name], value) for name, value in undisturbed.state_dict().items())


def test_a_finished_run_is_not_trained_again(tmp_path):
    checkpoint = Checkpoint(path=tmp_path / "run.pt", key="this run")
    first = trained(Recipe(epochs=1), checkpoint=checkpoint).state_dict()
    steps = []
    again = trained(Recipe(epochs=1), checkpoint=checkpoint, on_step=steps.append).state_dict()
    assert not steps
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("spoil", ["other run", "cut off"])
def test_a_checkpoint_of_another_run_or_a_damaged_one_is_not_gone_on_from(tmp_path, spoil):
    checkpoint = Checkpoint(path=tmp_path / "run.pt", key="this run")
    checkpoint.save({"epoch": 1})
    assert checkpoint.load() == {"epoch": 1}
    if spoil == "other run":
        checkpoint = replace(checkpoint, key="another")
    else:
        checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:100])
    assert checkpoint.load() is None


def test_the_learning_rate_of_the_plain_recipe_is_a_cosine_from_its_first_step():
    shares = [rate_share(step, 100, warm_up=0.0) for step in range(100)]
    assert shares[0] == 1.0
    assert shares[50] == pytest.approx(0.5)
    assert shares == sorted(shares, reverse=True)


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
    alone = replace(pictures, labels=torch.full((8,), label))
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
