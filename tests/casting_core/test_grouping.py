"""Pictures of one casting are found again although turned, mirrored, stretched, zoomed and encoded anew."""

from itertools import combinations

import numpy as np
import pytest
from scipy import ndimage

from casting_core import matching
from casting_core.dataset import LabelledDataset, LabelledImage, read_dataset
from casting_core.disc import find_disc, fit_size, typical_profile
from casting_core.fingerprint import Pairs
from casting_core.grouping import Partition, group_castings
from casting_core.survey import read_picture
from casting_core.synthetic import make_casting, render
from tests.copies import copies, encode, pairwise_precision_and_recall

SIDE = 384


def photograph(seed, view=0):
    return render(make_casting(seed, defective=seed % 2 == 1), size=SIDE, view=view)


def block(seed):
    """A part that is not round: a plate with pockets on a bench."""
    rng = np.random.default_rng(seed)
    picture = np.full((SIDE, SIDE), 190.0)
    height, width = rng.integers(100, 150, 2)
    picture[SIDE // 2 - height : SIDE // 2 + height, SIDE // 2 - width : SIDE // 2 + width] = 110
    for _ in range(6):
        top, left = SIDE // 2 + rng.integers(-90, 70, 2)
        picture[top : top + rng.integers(10, 40), left : left + rng.integers(10, 40)] = rng.uniform(30, 220)
    return np.clip(ndimage.gaussian_filter(picture, 1) + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)


class Drawer(LabelledDataset):
    """A data set that lies in memory."""

    def read(self, image):
        return self._paths[image.uri]


@pytest.fixture
def drawer():
    """Make a data set of (name, bytes, part id)."""

    def drawer(files):
        return Drawer(
            source="drawer",
            images=tuple(LabelledImage(uri=name, label="ok", part_id=part_id) for name, _, part_id in files),
            _paths={name: content for name, content, _ in files},
        )

    return drawer


@pytest.fixture(scope="module")
def blown_up():
    """Five copies each of eight synthetic castings: files, and the casting of each."""
    castings = [seed for seed in range(8) for _ in range(5)]
    contents = [content for seed in range(8) for content in copies(photograph(seed), 5, seed)]
    order = np.random.default_rng(0).permutation(len(castings))
    return [(f"{number:02d}.jpeg", contents[k], None) for number, k in enumerate(order)], [castings[k] for k in order]


def test_copies_of_one_photograph_are_one_group_and_different_castings_stay_apart(drawer, blown_up):
    files, castings = blown_up
    seen = []
    grouping = group_castings(drawer(files), progress=lambda stage, done, total: seen.append((stage, done, total)))
    assert pairwise_precision_and_recall(grouping.groups, castings) == (1, 1)
    assert pairwise_precision_and_recall(grouping.castings, castings) == (1, 1)
    assert set(grouping.basis) == {"disc"}
    assert grouping.complete
    # Numbered from 0 in the order of the images.
    assert [group for i, group in enumerate(grouping.groups) if group not in grouping.groups[:i]] == list(range(8))
    assert {stage for stage, _, _ in seen} == {"pictures", "comparisons", "close looks"}
    assert ("pictures", 40, 40) in seen


def test_the_same_pictures_give_the_same_groups_however_many_threads_look(drawer, blown_up):
    files, _ = blown_up
    dataset = drawer(files[:15])
    assert group_castings(dataset, workers=1) == group_castings(dataset, workers=3)


def test_a_part_id_is_believed_before_the_picture(drawer):
    one, other, third = copies(photograph(1), 3, seed=5)
    (stranger,) = copies(photograph(2), 1, seed=6)
    files = [("a", one, "P-1"), ("b", other, "P-2"), ("c", stranger, "P-1"), ("d", third, None)]
    grouping = group_castings(drawer(files))
    # The last one looks like two parts; nobody can say which it is.
    assert grouping.groups == (0, 1, 0, 2)
    assert grouping.basis == ("part_id", "part_id", "part_id", "disc")
    assert group_castings(drawer([files[0], files[3]])).groups == (0, 0)


def test_with_part_ids_for_all_no_picture_is_read():
    images = tuple(LabelledImage(uri=f"file:///gone/{n}.png", label="ok", part_id=f"P-{n // 2}") for n in range(6))
    grouping = group_castings(LabelledDataset(source="gone", images=images))
    assert grouping.groups == grouping.castings == (0, 0, 1, 1, 2, 2)


def test_files_that_are_no_pictures_are_groups_of_their_own_unless_their_bytes_are_equal(drawer):
    picture = encode(photograph(3))
    files = [
        ("a", b"GIF89a", None),
        ("b", picture, None),
        ("c", b"", None),
        ("d", b"GIF89a", None),
        ("e", picture, None),
    ]
    grouping = group_castings(drawer(files))
    assert grouping.groups == (0, 1, 2, 0, 1)
    assert grouping.basis == ("unreadable", "disc", "unreadable", "unreadable", "disc")


def test_nothing_readable_is_no_error(drawer):
    assert group_castings(drawer([("a", b"", None), ("b", b"x", None)])).groups == (0, 1)


def test_parts_that_are_not_round_are_compared_as_whole_pictures(drawer):
    castings = [seed for seed in range(6) for _ in range(4)]
    contents = [content for seed in range(6) for content in copies(block(seed), 4, seed)]
    grouping = group_castings(drawer([(str(n), content, None) for n, content in enumerate(contents)]))
    precision, recall = pairwise_precision_and_recall(grouping.groups, castings)
    assert set(grouping.basis) == {"whole_picture"}
    assert precision == 1
    assert recall >= 0.7
    assert grouping.castings == grouping.groups


def test_a_casting_photographed_again_in_another_light_is_another_group_of_the_same_casting(drawer):
    rng = np.random.default_rng(0)
    y, x = np.indices((SIDE, SIDE)) - SIDE / 2 + 0.5

    def lit(picture, direction):
        streaks = sum(np.cos(k * np.arctan2(y, x) - direction * k) for k in (7, 11, 17, 23, 31))
        return picture * (0.8 + 0.09 * streaks)

    def centred(seed):
        """A disc with a speckled face, as blasted castings have."""
        speckles = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(SIDE, SIDE)), 1.5)
        radius = np.hypot(y, x)
        face = np.select([radius < 50, radius < 80, radius < 170], [150, 40, 140], 190)
        return ndimage.gaussian_filter(face.astype(float), 1) + 90 * speckles * (radius < 165) * (radius > 85)

    files = [
        (f"{seed}-{light}-{number}", content, None)
        for seed in range(5)
        for light in (0.0, 0.3)
        for number, content in enumerate(copies(lit(centred(seed), light) + rng.normal(0, 1, (SIDE, SIDE)), 3, seed))
    ]
    grouping = group_castings(drawer(files))
    castings = [name.split("-")[0] for name, _, _ in files]
    assert pairwise_precision_and_recall(grouping.castings, castings) == (1, 1)
    assert len(set(grouping.groups)) == 10
    assert {castings[link.first] == castings[link.second] for link in grouping.links} == {True}


def test_too_many_groups_to_look_for_castings_photographed_again_is_said(drawer, blown_up, monkeypatch):
    files, castings = blown_up
    monkeypatch.setattr(matching, "_MOST_EXAMPLES", 3)
    grouping = group_castings(drawer(files))
    assert not grouping.complete
    assert grouping.castings == grouping.groups
    assert pairwise_precision_and_recall(grouping.groups, castings) == (1, 1)


def test_one_spurious_pair_does_not_chain_two_castings():
    inside = [(a, b, 0.8) for start in (0, 4) for a, b in combinations(range(start, start + 4), 2)]
    first, second, correlation = zip(*inside, (3, 4, 0.7), strict=True)
    pairs = Pairs(
        first=np.array(first),
        second=np.array(second),
        correlation=np.array(correlation, np.float32),
        mirrored=np.zeros(13, bool),
        turn=np.zeros(13, np.float32),
    )
    assert sorted(map(sorted, matching._clusters(pairs, 9))) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_sets_never_hold_two_part_ids():
    partition = Partition(["P-1", None, "P-2", None])
    partition.join(0, 1)
    partition.join(2, 3)
    partition.join(1, 3)
    assert partition.numbers() == (0, 0, 1, 1)
    assert partition.part_id(3) == "P-2"


@pytest.mark.parametrize("zoom", [0.8, 1.25])
def test_a_disc_that_hangs_out_of_the_picture_gets_its_true_size_from_its_rings(zoom):
    whole = [find_disc(photograph(4, view)) for view in range(4)]
    profile = typical_profile(whole)
    linear = np.eye(2) / zoom
    middle = np.array([SIDE / 2 - 0.5] * 2)
    moved = ndimage.affine_transform(photograph(4), linear, middle - linear @ middle, order=1, mode="nearest")
    sizes = [np.sqrt(abs(np.linalg.det(fit_size(disc, profile).axes))) for disc in (whole[0], find_disc(moved))]
    assert sizes[1] / sizes[0] == pytest.approx(zoom, rel=0.02)


@pytest.mark.parametrize("scale", [1, 3, 10])
def test_there_is_no_disc_in_noise_or_in_nothing(scale):
    noise = ndimage.gaussian_filter(np.random.default_rng(scale).normal(size=(256, 256)), scale)
    assert find_disc((128 + 40 * noise / noise.std()).clip(0, 255).astype(np.uint8)) is None
    assert find_disc(np.full((256, 256), 90, np.uint8)) is None


def test_copies_of_real_castings_are_found_again(drawer, shared_folder):
    real = read_dataset(str(shared_folder / "data" / "casting"))
    sample = real.images[::52]
    alone = group_castings(LabelledDataset(source="real", images=sample))
    # Of some castings there are several photographs, so only one of each is sure to be different from the others.
    different = [image for k, image in enumerate(sample) if alone.castings[k] not in alone.castings[:k]]
    assert len(different) >= 12
    castings = [number for number in range(len(different)) for _ in range(5)]
    pictures = [read_picture(real.read(image), side=512) for image in different]
    contents = [content for number, picture in enumerate(pictures) for content in copies(picture, 5, seed=number)]
    grouping = group_castings(drawer([(str(n), content, None) for n, content in enumerate(contents)]))
    precision, recall = pairwise_precision_and_recall(grouping.groups, castings)
    assert precision >= 0.99
    assert recall >= 0.95


@pytest.mark.slow
def test_on_the_real_images_there_are_about_as_many_groups_as_castings(shared_folder):
    dataset = read_dataset(str(shared_folder / "data" / "casting"))
    grouping = group_castings(dataset)
    assert len(dataset.images) == 940
    assert 100 <= len(set(grouping.groups)) <= 125
    assert len(set(grouping.castings)) <= len(set(grouping.groups))
    assert set(grouping.basis) == {"disc"}
