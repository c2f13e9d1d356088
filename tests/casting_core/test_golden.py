"""The golden set is split off by casting, never shrinks, and grows only by castings that nobody has seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casting_core.errors import ArtifactCorrupt, ArtifactMissing
from casting_core.golden import read_golden_picture, split_off_golden, store_golden_pictures

SHA_OF_ONE = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"


def split(castings, *, labels=None, frozen=(), seen=(), share=0.25, seed=0):
    labels = labels or ["defective" if casting % 2 else "ok" for casting in castings]
    return split_off_golden(castings, labels, frozen=frozen, seen=seen, share=share, seed=seed)


def test_a_share_of_the_castings_of_each_class_becomes_golden_whole():
    castings = [number // 3 for number in range(120)]
    done = split(castings)
    golden = {castings[place] for place in done.golden}
    assert len(golden) == 10
    assert sum(casting % 2 for casting in golden) == 5
    assert golden.isdisjoint(castings[place] for place in done.training)
    assert len(done.golden) == 30
    assert done.fresh == done.golden
    assert not done.left_out


def test_what_is_golden_stays_and_only_castings_never_seen_are_added():
    castings = list(range(40))
    done = split(castings, frozen={0, 1}, seen=set(range(2, 20)), share=0.5)
    assert {0, 1} < set(done.golden)
    assert len(done.fresh) == 10
    assert min(done.fresh) >= 20
    assert set(range(2, 20)) <= set(done.training)


def test_another_picture_of_a_golden_casting_is_neither_trained_on_nor_golden():
    done = split([0, 0, 1, 2, 3], frozen={0}, seen={1, 2, 3, 4})
    assert done.left_out == (1,)
    assert 1 not in done.training


def test_each_class_gets_at_least_one_casting_but_training_keeps_one():
    done = split([0, 1, 2, 3], share=0.01)
    assert len(done.golden) == 2
    assert split([0, 1], share=0.9).golden == ()


def test_the_same_images_and_seed_give_the_same_split():
    castings = list(range(50))
    assert split(castings, seed=3) == split(castings, seed=3)
    assert split(castings, seed=3) != split(castings, seed=4)


@given(
    images=st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["ok", "defective"])), min_size=1, max_size=30),
    data=st.data(),
    share=st.floats(0.01, 0.99),
)
def test_every_image_is_in_one_place_and_no_casting_on_both_sides(images, data, share):
    castings, labels = [casting for casting, _ in images], [label for _, label in images]
    places = st.sets(st.integers(0, len(images) - 1))
    frozen = data.draw(places)
    done = split(castings, labels=labels, frozen=frozen, seen=data.draw(places), share=share)
    assert sorted(done.training + done.golden + done.left_out) == list(range(len(images)))
    assert frozen <= set(done.golden)
    golden = {castings[place] for place in done.golden + done.left_out}
    assert golden.isdisjoint(castings[place] for place in done.training)


def test_golden_pictures_are_kept_by_their_hash_and_checked_when_read(tmp_path):
    url = tmp_path.as_uri()
    store_golden_pictures(url, [b"one", b"two"])
    store_golden_pictures(url, [b"one"])
    assert read_golden_picture(url, SHA_OF_ONE) == b"one"
    assert len(list((tmp_path / "golden").iterdir())) == 2
    with pytest.raises(ArtifactMissing, match="Restore it from a backup"):
        read_golden_picture(url, "0" * 64)
    (tmp_path / "golden" / SHA_OF_ONE).write_bytes(b"another")
    with pytest.raises(ArtifactCorrupt, match="not the one that was frozen"):
        read_golden_picture(url, SHA_OF_ONE)
