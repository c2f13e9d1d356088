"""The whole picture fills the network's square, and batches are what torchvision would make of them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from torchvision.transforms import functional

from casting_core.disc import find_disc
from casting_core.preprocess import (
    Preprocessing,
    find_round_part,
    fit_square,
    normalise,
    prepare,
    stack,
    symmetry,
    write_rings,
)
from casting_core.synthetic import make_casting, render

CASTING = Image.fromarray(render(make_casting(1, defective=True), size=96))


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_a_square_of_the_right_size_is_left_as_it_is(mode, channels):
    image = CASTING.convert(mode)
    square = fit_square(image, 96)
    assert square.shape == (channels, 96, 96)
    assert square.dtype == np.uint8
    assert (square == np.asarray(CASTING)).all()


def test_the_channels_of_colour_come_first_in_order():
    image = Image.new("RGB", (50, 50), (10, 120, 230))
    assert fit_square(image, 32)[:, 16, 16].tolist() == [10, 120, 230]


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [((100, 50), slice(16, 48), slice(0, 64)), ((50, 100), slice(0, 64), slice(16, 48))],
)
def test_a_long_picture_is_shown_whole_between_black_bars(size, rows, columns):
    square = fit_square(Image.new("L", size, 200), 64)[0]
    assert (square[rows, columns] == 200).all()
    assert (square == 200).sum() == 64 * 32
    assert (square == 0).sum() == 64 * 32


def test_nothing_of_the_rim_is_cropped():
    framed = np.zeros((120, 120), np.uint8)
    framed[[0, 1, -2, -1]] = framed[:, [0, 1, -2, -1]] = 255
    square = fit_square(Image.fromarray(framed), 60)[0]
    for edge in (square[0], square[-1], square[:, 0], square[:, -1]):
        assert edge.min() > 150
    assert square[5:-5, 5:-5].max() == 0


def test_scaling_down_averages_instead_of_picking_pixels():
    stripes = np.zeros((256, 256), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(fit_square(Image.fromarray(stripes), 64)[0, 4:-4, 4:-4].astype(int) - 127).max() <= 3


@settings(deadline=None)
@given(
    width=st.integers(1, 300), height=st.integers(1, 300), side=st.integers(32, 96), mode=st.sampled_from(["L", "RGB"])
)
def test_any_size_fits_any_square(width, height, side, mode):
    square = fit_square(Image.new(mode, (width, height), "white"), side)
    assert square.shape == (3 if mode == "RGB" else 1, side, side)
    # As large as it can be, and centred to a pixel.
    rows, columns = (np.flatnonzero(square[0].any(axis=axis)) for axis in (1, 0))
    assert max(len(rows), len(columns)) == side
    for found, length, other in ((rows, height, width), (columns, width, height)):
        assert len(found) == max(1, round(length * side / max(length, other)))
        assert abs(found[0] - (side - 1 - found[-1])) <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_is_normalised_as_torchvision_does(channels):
    pictures = np.random.default_rng(0).integers(0, 256, (5, channels, 32, 40), dtype=np.uint8)
    preprocessing = Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    batch = normalise(stack(list(pictures)), preprocessing)
    assert batch.shape == (5, 3, 32, 40)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)
    rgb = torch.from_numpy(pictures).expand(5, 3, 32, 40).float() / 255
    expected = functional.normalize(rgb, [0.4, 0.5, 0.6], [0.2, 0.3, 0.4])
    torch.testing.assert_close(batch, expected, rtol=0, atol=1e-6)


def test_grey_and_the_same_picture_in_colour_give_the_same_batch():
    grey, colour = (stack([fit_square(CASTING.convert(mode), 64)]) for mode in ("L", "RGB"))
    assert grey.shape == (1, 1, 64, 64)
    assert torch.equal(normalise(grey, Preprocessing()), normalise(colour, Preprocessing()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"side": 31},
        {"side": 4097},
        {"std": (0.2, 0.2, 0)},
        {"mean": (0.5,)},
        {"std": (0.2, float("nan"), 0.2)},
        {"crop": 1},
        {"typical_rings": "1 2 3"},
        {"typical_rings": " ".join(["x"] * 369)},
    ],
)
def test_preprocessing_that_no_picture_survives_is_refused(wrong):
    with pytest.raises(ValidationError):
        Preprocessing(**wrong)


def test_a_stretched_casting_is_made_round_again_wherever_it_lies():
    casting = Image.fromarray(render(make_casting(3, defective=False), size=400))
    frame = Image.new("L", (512, 512), 90)
    frame.paste(casting.resize((300, 400)), (150, 60))
    squares = [prepare(picture, Preprocessing(side=224, rectify=True))[0] for picture in (casting, frame)]
    found = [find_disc(square) for square in squares]
    for disc in found:
        lengths = np.linalg.svd(disc.axes, compute_uv=False)
        assert lengths == pytest.approx([0.93 / 2, 0.93 / 2], rel=0.05)
        assert disc.center == pytest.approx([0.5, 0.5], abs=0.02)
    # The same casting looks the same, but for what resampling costs.
    assert np.corrcoef(squares[0].ravel(), squares[1].ravel())[0, 1] > 0.95


def photograph(width=400):
    """A casting that is stretched as it is seen from the side."""
    return Image.fromarray(render(make_casting(5, defective=False), size=400)).resize((width, 400))


def without_rim(picture):
    """Cover everything beyond nine tenths of the radius, so that the outline seems to lie there."""
    disc, pixels = find_round_part(picture), np.asarray(picture).copy()
    places = (np.indices(pixels.shape)[::-1] + 0.5) / picture.width - disc.center[:, None, None]
    pixels[np.hypot(*np.tensordot(np.linalg.inv(disc.axes), places, axes=1)) > 0.9] = 40
    return Image.fromarray(pixels)


def likeness(preprocessing):
    """How alike a casting and the same one without its rim come out, in the middle."""
    seen, covered = (prepare(picture, preprocessing)[0] for picture in (photograph(), without_rim(photograph())))
    middle = np.hypot(*(np.indices(seen.shape) - 112)) < 80
    return np.corrcoef(seen[middle], covered[middle])[0, 1]


def test_a_part_whose_rim_is_hidden_gets_its_size_from_its_other_rings():
    typical = write_rings([find_round_part(photograph(width)) for width in (360, 380, 400, 420)])
    assert likeness(Preprocessing(side=224, rectify=True)) < 0.7
    assert likeness(Preprocessing(side=224, rectify=True, typical_rings=typical)) > 0.99


def test_a_part_with_other_rings_keeps_its_size():
    y, x = np.indices((256, 256)) - 128
    bands = np.hypot(x, y)
    target = Image.fromarray(np.where(bands < 100, 100 + 80 * (bands // 9 % 2), 40).astype(np.uint8))
    typical = write_rings([find_round_part(target)])
    plain, told = Preprocessing(side=224, rectify=True), Preprocessing(side=224, rectify=True, typical_rings=typical)
    assert np.array_equal(prepare(photograph(), plain), prepare(photograph(), told))


def test_a_data_set_without_a_disc_has_no_typical_rings():
    assert write_rings([]) is None


def test_a_picture_without_a_disc_is_fitted_as_a_whole():
    stripes = Image.fromarray(np.tile(np.arange(128, dtype=np.uint8) // 16 * 30, (96, 1)))
    assert np.array_equal(prepare(stripes, Preprocessing(side=64, rectify=True)), fit_square(stripes, 64))


def test_the_eight_symmetries_are_all_different_and_the_first_is_none():
    batch = torch.arange(16).reshape(1, 1, 4, 4)
    assert torch.equal(symmetry(batch, 0), batch)
    assert len({tuple(symmetry(batch, index).flatten().tolist()) for index in range(8)}) == 8
