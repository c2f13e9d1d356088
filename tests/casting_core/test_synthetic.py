"""Synthetic castings are repeatable, labelled truthfully, and differ between the classes by their defect alone."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from casting_core.errors import InvalidInput
from casting_core.synthetic import (
    DEFECT_KINDS,
    Defect,
    SyntheticCasting,
    defect_mask,
    make_casting,
    render,
    write_folder,
)
from casting_core.synthetic_impeller import Impeller


def casting_with(kind, *, seed=7, severity=0.7):
    defect = Defect(kind=kind, severity=severity, radius_fraction=0.84, angle=0.9, shape_seed=seed)
    return SyntheticCasting(seed=seed, defects=(defect,))


def change(casting, **picture):
    """Grey levels by which the defects change the picture, and the picture of the same casting without them."""
    sound = render(replace(casting, defects=()), **picture)
    return np.abs(render(casting, **picture).astype(int) - sound), sound


def jpeg_bytes(picture):
    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=90)
    return file.tell()


@pytest.mark.parametrize("size", [64, 300])
def test_the_same_arguments_give_the_same_bytes(size):
    first, again = (render(make_casting(3, defective=True), size=size, view=2) for _ in range(2))
    assert first.shape == (size, size)
    assert first.dtype == np.uint8
    assert first.tobytes() == again.tobytes()


def test_label_follows_from_the_defects():
    assert make_casting(5, defective=False).label == "ok"
    defective = make_casting(5, defective=True)
    assert defective.label == "defective"
    assert 1 <= len(defective.defects) <= 3
    assert defective == make_casting(5, defective=True)


def test_castings_differ_in_geometry_and_are_well_formed():
    impellers = [Impeller.draw(np.random.default_rng(seed)) for seed in range(200)]
    for impeller in impellers:
        assert 0.1 < impeller.bore < impeller.hub < impeller.eye < impeller.collar < impeller.collar_foot < 0.7
    assert len({impeller.eye for impeller in impellers}) == len(impellers)
    assert len({impeller.vane_count for impeller in impellers}) > 2


def test_other_seeds_and_other_views_are_other_pictures():
    casting = make_casting(11, defective=False)
    picture = render(casting, size=96).astype(int)
    for other in (render(casting, size=96, view=1), render(make_casting(12, defective=False), size=96)):
        assert np.mean(np.abs(picture - other) > 20) > 0.2


@pytest.mark.parametrize("size", [48, 300])
@pytest.mark.parametrize("severity", [0.06, 1.0])
@pytest.mark.parametrize("kind", DEFECT_KINDS)
def test_a_defect_changes_its_own_place_and_nothing_else(kind, severity, size):
    for view in range(2):
        casting = casting_with(kind, severity=severity)
        changed, _ = change(casting, size=size, view=view)
        mask = defect_mask(casting, size=size, view=view)
        assert changed.any()
        assert not changed[~mask].any()
        assert mask.mean() < 0.12


def test_a_sound_casting_has_an_empty_mask():
    assert not defect_mask(make_casting(2, defective=False), size=64).any()


@pytest.mark.parametrize("kind", DEFECT_KINDS)
def test_a_severe_defect_is_plain_to_see(kind):
    for seed in range(8):
        changed, sound = change(casting_with(kind, seed=seed), size=300)
        ordinary_step = np.abs(np.diff(sound.astype(int), axis=0)).mean()
        assert np.count_nonzero(changed > 5 * ordinary_step) >= 20


@pytest.mark.parametrize("kind", DEFECT_KINDS)
def test_severity_makes_a_defect_worse(kind):
    mild, middling, severe = (
        sum(change(casting_with(kind, seed=seed, severity=severity), size=200)[0].sum() for seed in range(6))
        for severity in (0.1, 0.5, 1.0)
    )
    assert mild < middling < severe


def test_a_mild_blow_hole_is_a_pinhole_of_a_few_pixels():
    widths = []
    for seed in range(6):
        changed, _ = change(casting_with("blow_hole", seed=seed, severity=0.1), size=512)
        rows, columns = np.nonzero(changed > 25)
        widths.append(max(np.ptp(rows), np.ptp(columns)) + 1)
    assert 4 <= np.median(widths) <= 14


def test_every_kind_is_drawn_and_one_casting_in_seven_is_subtle():
    castings = [make_casting(seed, defective=True) for seed in range(800)]
    assert {defect.kind for casting in castings for defect in casting.defects} == set(DEFECT_KINDS)
    subtle = np.mean([max(defect.severity for defect in casting.defects) <= 0.25 for casting in castings])
    assert 0.11 < subtle < 0.19


def test_neither_brightness_nor_file_size_gives_the_class_away():
    castings = [make_casting(1000 + number, defective=number % 2 == 1) for number in range(320)]
    pictures = [render(casting, size=96) for casting in castings]
    defective = [casting.label == "defective" for casting in castings]
    for shortcut in (np.mean, np.std, jpeg_bytes):
        assert 0.35 < roc_auc_score(defective, [shortcut(picture) for picture in pictures]) < 0.65


def test_write_folder_files_every_casting_under_its_label(tmp_path):
    paths = write_folder(tmp_path / "new", ok=2, defective=1, seed=4, size=64)
    assert [path.relative_to(tmp_path / "new").as_posix() for path in paths] == [
        "ok_front/cast_ok_00000.jpeg",
        "ok_front/cast_ok_00001.jpeg",
        "def_front/cast_def_00002.jpeg",
    ]
    for path in paths:
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "L", (64, 64))


def test_write_folder_names_views_and_repeats_itself(tmp_path):
    first, again = (
        write_folder(tmp_path / run, ok=1, defective=1, seed=9, size=48, views=2) for run in ("first", "again")
    )
    assert [path.name for path in first] == [
        "cast_ok_00000_v0.jpeg",
        "cast_ok_00000_v1.jpeg",
        "cast_def_00001_v0.jpeg",
        "cast_def_00001_v1.jpeg",
    ]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert len({path.read_bytes() for path in first}) == 4
    other_seed = write_folder(tmp_path / "other", ok=1, defective=0, seed=10, size=48)
    assert other_seed[0].read_bytes() != first[0].read_bytes()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"ok": -1}, "-1 ok"),
        ({"defective": -2}, "-2 defective"),
        ({"views": 0}, "0 views"),
        ({"seed": -1}, "seed of the folder is -1"),
        ({"size": 8}, "picture size is 8"),
    ],
)
def test_write_folder_refuses_what_it_cannot_write_and_writes_nothing(tmp_path, arguments, complaint):
    with pytest.raises(InvalidInput, match=complaint):
        write_folder(tmp_path / "new", **({"ok": 1, "defective": 1, "seed": 0, "size": 48} | arguments))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("picture", [{"size": 31}, {"size": 5000}, {"view": -1}])
@pytest.mark.parametrize("take", [render, defect_mask])
def test_a_picture_that_cannot_be_taken_is_refused(take, picture):
    with pytest.raises(InvalidInput, match="give"):
        take(make_casting(1, defective=True), **picture)


def test_a_negative_seed_is_refused():
    with pytest.raises(InvalidInput, match="seed of a casting is -3"):
        make_casting(-3, defective=False)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "rust"},
        {"severity": 0.0},
        {"severity": 1.2},
        {"severity": float("nan")},
        {"radius_fraction": 0.5},
        {"radius_fraction": 1.01},
        {"angle": float("inf")},
        {"shape_seed": -1},
    ],
)
def test_an_impossible_defect_is_refused(fault):
    sound = {"kind": "scratch", "severity": 0.5, "radius_fraction": 0.8, "angle": 0.0}
    with pytest.raises(InvalidInput, match=str(next(iter(fault.values())))):
        Defect(**(sound | fault))
