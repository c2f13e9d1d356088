"""Pictures of one casting are found again although turned, mirrored, stretched, zoomed and encoded anew."""

import io
from itertools import combinations

import pytest
from PIL import Image

from casting_core.dataset import read_dataset
from casting_core.grouping import group_castings
from casting_core.synthetic import make_casting, render

CASTINGS = 6


def copies(seed):
    """One photograph, and four copies of it as data sets are blown up with."""
    picture = Image.fromarray(render(make_casting(seed, defective=seed % 2 == 1), size=384))
    yield picture
    yield picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    yield picture.rotate(90)
    yield picture.resize((384, 340)).resize((384, 384))
    yield picture.crop((8, 8, 376, 376)).resize((384, 384)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)


@pytest.fixture(scope="module")
def blown_up(tmp_path_factory):
    folder = tmp_path_factory.mktemp("castings")
    for seed in range(CASTINGS):
        target = folder / ("def_front" if seed % 2 else "ok_front")
        target.mkdir(exist_ok=True)
        for number, picture in enumerate(copies(seed)):
            encoded = io.BytesIO()
            picture.save(encoded, format="JPEG", quality=80 + 3 * number)
            # Names that say nothing.
            (target / f"{(seed * 37 + number * 11) % 997:03d}.jpeg").write_bytes(encoded.getvalue())
    truth = {f"{(seed * 37 + n * 11) % 997:03d}.jpeg": seed for seed in range(CASTINGS) for n in range(5)}
    return read_dataset(str(folder)), truth


def test_copies_of_one_photograph_are_one_casting_and_different_castings_stay_apart(blown_up):
    dataset, truth = blown_up
    grouping = group_castings(dataset, workers=1)
    castings = [truth[image.uri.rsplit("/", 1)[-1]] for image in dataset.images]
    pairs = list(combinations(range(len(castings)), 2))
    same = [castings[a] == castings[b] for a, b in pairs]
    found = [grouping.castings[a] == grouping.castings[b] for a, b in pairs]
    hits = sum(s and f for s, f in zip(same, found, strict=True))
    assert hits / sum(found) >= 0.99
    assert hits / sum(same) >= 0.95


@pytest.mark.slow
def test_on_the_real_images_there_are_about_as_many_groups_as_castings(shared_folder):
    dataset = read_dataset(str(shared_folder / "data" / "casting"))
    grouping = group_castings(dataset)
    assert len(dataset.images) == 940
    assert 100 <= len(set(grouping.groups)) <= 125
    assert len(set(grouping.castings)) <= len(set(grouping.groups))
    assert set(grouping.basis) == {"disc"}
