"""The local head: a picture is as bad as its worst places, wherever these lie."""

import pytest
import torch

from casting_core.errors import UnknownArchitecture
from casting_core.local_network import LocalHead, LocalNetwork, cut_body
from casting_core.model import build_network


@pytest.mark.parametrize(("name", "channels"), [("mobilenet_v2", 96), ("resnet18", 256), ("squeezenet1_1", 512)])
def test_a_body_is_cut_at_sixteen_pixels_a_place(name, channels):
    body, found = cut_body(build_network(name), name=name)
    assert found == channels
    with torch.inference_mode():
        maps = body(torch.zeros(1, 3, 128, 128))
    assert maps.shape[1] == channels
    assert maps.shape[2] in (7, 8)


def test_a_network_without_such_layers_is_refused():
    with pytest.raises(UnknownArchitecture, match="no local head fits"):
        build_network("vit_b_32-local")


def test_one_bad_corner_weighs_as_much_wherever_it_is():
    torch.manual_seed(0)
    head = LocalHead(4).eval()
    sound = torch.zeros(1, 4, 20, 20)
    here, there = sound.clone(), sound.clone()
    here[..., 4:7, 4:7] = 3.0
    there[..., 12:15, 9:12] = 3.0
    with torch.inference_mode():
        assert torch.allclose(head(here), head(there))
        assert not torch.allclose(head(here), head(sound))


def test_training_leaves_the_statistics_and_judging_is_without_chance():
    network = LocalNetwork(*cut_body(build_network("squeezenet1_1"), name="squeezenet1_1"))
    inputs = torch.randn(2, 3, 64, 64)
    network.train()
    network(inputs)
    assert torch.equal(network.head.scale.running_mean, torch.zeros(512))
    network.eval()
    with torch.inference_mode():
        assert torch.equal(network(inputs), network(inputs))
