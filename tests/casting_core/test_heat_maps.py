import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from casting_core.errors import InvalidInput
from casting_core.evaluation_evidence import HeatMap
from casting_core.heat_maps import draw_heat_map, explain_with
from casting_core.model import build_network
from casting_core.types import Rejection


class BrightSpots(nn.Module):
    """Calls bright places defective and dark ones ok."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 2, 8, stride=8, bias=False)
        nn.init.constant_(self.features.weight, 1.0)

    def forward(self, inputs):
        score = self.features(inputs).mean(dim=(1, 2, 3))
        return torch.stack([-score, score], dim=1)


def spot(row, column, *, level=255):
    picture = np.full((1, 64, 64), 117, np.uint8)
    picture[:, row : row + 8, column : column + 8] = level
    return picture


def test_the_evidence_is_where_the_network_found_it(make_card):
    pictures = {b"a": spot(8, 40), b"b": spot(48, 16), b"c": spot(8, 40, level=0)}
    explain = explain_with(BrightSpots(), make_card(side=64), pictures.__getitem__)
    bright, lower, dark = explain([b"a", b"b", b"c"])
    assert np.unravel_index(bright.evidence.argmax(), (8, 8)) == (1, 5)
    assert np.unravel_index(lower.evidence.argmax(), (8, 8)) == (6, 2)
    # The same place in the dark speaks for a sound casting.
    assert np.unravel_index(dark.evidence.argmin(), (8, 8)) == (1, 5)
    assert bright.evidence.max() == pytest.approx(1)
    assert dark.evidence.min() == pytest.approx(-1)
    assert np.array_equal(bright.seen, pictures[b"a"])


class WorstPlace(BrightSpots):
    """Rates every place, and calls a picture as bad as its worst one."""

    def __init__(self):
        super().__init__()
        self.rate = nn.Conv2d(2, 1, 1)
        nn.init.constant_(self.rate.weight, 1.0)
        nn.init.constant_(self.rate.bias, -1e4)

    def forward(self, inputs):
        worst = self.rate(self.features(inputs)).amax(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(worst), worst], dim=1)


def test_a_network_that_rates_places_shows_which_stand_out_though_it_finds_them_all_sound(make_card):
    (found,) = explain_with(WorstPlace(), make_card(side=64), lambda _content: spot(8, 40))([b"a"])
    assert np.unravel_index(found.evidence.argmax(), (8, 8)) == (1, 5)
    assert found.evidence[1, 5] == pytest.approx(1)
    assert np.median(found.evidence) == 0


@pytest.mark.parametrize("architecture", ["mobilenet_v2", "mobilenet_v2-local"])
def test_usual_networks_can_be_explained(make_card, architecture):
    torch.manual_seed(0)
    network = build_network(architecture).eval()
    before = network(torch.zeros(1, 3, 64, 64))
    explain = explain_with(network, make_card(side=64, architecture=architecture), lambda _content: spot(8, 40))
    maps = explain([b""] * 5)
    assert len(maps) == 5
    assert all(np.isfinite(each.evidence).all() and np.abs(each.evidence).max() <= 1 for each in maps)
    assert torch.equal(network(torch.zeros(1, 3, 64, 64)), before)


def test_a_network_without_maps_is_refused(make_card):
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 2))
    with pytest.raises(InvalidInput, match="no map of features"):
        explain_with(network, make_card(side=64), lambda _content: spot(0, 0))


def test_a_picture_that_cannot_be_judged_is_refused(make_card):
    explain = explain_with(
        BrightSpots(), make_card(side=64), lambda _content: Rejection(reason="blank", detail="no contrast")
    )
    with pytest.raises(InvalidInput, match="blank: no contrast"):
        explain([b"x"])


def test_colours_show_on_which_side_the_evidence_is():
    evidence = np.zeros((4, 4), np.float32)
    evidence[0, 0], evidence[3, 3] = 1, -1
    drawn = np.asarray(draw_heat_map(HeatMap(seen=np.full((1, 64, 64), 100, np.uint8), evidence=evidence)), int)
    assert drawn[4, 4, 0] > drawn[4, 4, 1] + 50
    assert drawn[60, 60, 1] > drawn[60, 60, 0] + 30
    assert drawn[32, 32].tolist() == [100, 100, 100]


def tilted_picture(*, level=100, side=64):
    """A picture that was turned a little, so that its square is filled up with black, and where it lies."""
    inside = np.zeros((side, side), bool)
    for row in range(8, side - 8):
        inside[row, 10 + row // 8 : side - 10 + row // 8 - 4] = True
    return np.where(inside, level, 0).astype(np.uint8)[None], inside


def test_no_evidence_is_drawn_beyond_the_edge_of_the_picture():
    seen, inside = tilted_picture()
    drawn = np.asarray(draw_heat_map(HeatMap(seen=seen, evidence=np.ones((4, 4), np.float32))), int)
    beyond = ~ndimage.binary_dilation(inside)  # its edge is a stair, and the mask's is straight
    assert (drawn[beyond] == 0).all()
    assert (drawn[inside][:, 0] > drawn[inside][:, 1] + 50).all()


def test_evidence_at_a_piece_that_is_missing_before_a_black_ground_is_drawn():
    y, x = np.indices((64, 64))
    part = np.hypot(x - 32, y - 32) < 28
    chip = part & (np.hypot(x - 58, y - 32) < 5)
    seen = np.where(part & ~chip, 120, 0).astype(np.uint8)[None]
    drawn = np.asarray(draw_heat_map(HeatMap(seen=seen, evidence=np.ones((4, 4), np.float32))), int)
    assert (drawn[chip & (x < 58)][:, 0] > 100).all()
    assert (drawn[np.hypot(x - 32, y - 32) > 30] == 0).all()


@pytest.mark.parametrize("lit", [0, 1, 2])
def test_a_picture_with_nothing_in_it_is_drawn_all_the_same(lit):
    seen = np.zeros((1, 16, 16), np.uint8)
    seen[0, 8, 4 : 4 + lit] = 255
    assert draw_heat_map(HeatMap(seen=seen, evidence=np.ones((4, 4), np.float32))).size == (16, 16)
