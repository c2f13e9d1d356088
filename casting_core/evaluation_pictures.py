"""Sheets of held-out and training pictures, and which of them a person should look at first."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageOps

from casting_core.audit import file_names
from casting_core.dataset import LABELS
from casting_core.figures import Tile, contact_sheet
from casting_core.heat_maps import draw_heat_map
from casting_core.outcomes import image_outcomes
from casting_core.palette import PAPER
from casting_core.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from casting_core.card import Thresholds
    from casting_core.dataset import Label
    from casting_core.evaluation_evidence import HeatMap, TrainingSample
    from casting_core.held_out import HeldOut
    from casting_core.types import VerdictName

Trouble = Literal["escape", "false reject", "review"]

_SAMPLES, _PREDICTIONS, _PAIRS_A_SHEET = 24, 36, 15
_ORDER: tuple[Trouble, ...] = ("escape", "false reject", "review")
# Ten pictures of one casting that went wrong would hide the other castings.
_OF_ONE_CASTING = 3


@dataclass(frozen=True, kw_only=True)
class Looked:
    """One held-out image as a person is shown it. `trouble` is None where the verdict is right."""

    name: str
    short_name: str
    label: Label
    verdict: VerdictName
    p_defective: float
    casting: int
    trouble: Trouble | None
    wrong_by: float


def look_at(held_out: HeldOut, thresholds: Thresholds) -> list[Looked]:
    """Give the held-out images, worst errors first: by how far p_defective lies from the label, then by name."""
    outcomes = image_outcomes(held_out, thresholds)
    short_names = file_names(held_out.names)
    masks = (outcomes.escaped, outcomes.false_rejected, outcomes.reviewed)
    looked = [
        Looked(
            name=name,
            short_name=short_names[index],
            label=LABELS[held_out.labels[index]],
            verdict=thresholds.verdict(float(held_out.p_defective[index])),
            p_defective=float(held_out.p_defective[index]),
            casting=int(held_out.castings[index]),
            trouble=next((trouble for trouble, mask in zip(_ORDER, masks, strict=True) if mask[index]), None),
            wrong_by=float(abs(held_out.p_defective[index] - held_out.labels[index])),
        )
        for index, name in enumerate(held_out.names)
    ]
    return sorted(looked, key=lambda each: (-each.wrong_by, each.name))


def troubled(looked: Sequence[Looked]) -> list[Looked]:
    """Those that were missed or left to review: escapes, then false rejects, then reviews, each worst first."""
    return [each for trouble in _ORDER for each in looked if each.trouble == trouble]


def worst(looked: Sequence[Looked], *, most: int = _PREDICTIONS) -> list[Looked]:
    """The worst images, at most three of a casting."""
    shown: dict[int, int] = {}
    chosen = []
    for each in looked:
        shown[each.casting] = shown.get(each.casting, 0) + 1
        if shown[each.casting] <= _OF_ONE_CASTING:
            chosen.append(each)
    return chosen[:most]


def spread(samples: Sequence[TrainingSample], *, most: int = _SAMPLES) -> list[TrainingSample]:
    """Some samples from all over the training set, as many of each class as there are."""
    classes = [[sample for sample in samples if sample.label == label] for label in ("ok", "defective")]
    chosen = []
    for members in classes:
        places = np.unique(np.linspace(0, len(members) - 1, min(len(members), most // 2)).astype(int))
        chosen += [members[place] for place in places if members]
    return chosen


def samples_sheet(samples: Sequence[TrainingSample], read: Callable[[str], bytes]) -> bytes:
    """Lay out what the model was trained on. Raises `InvalidInput` without samples, and what `read` raises."""
    short_names = file_names([sample.name for sample in samples])
    tiles = [
        Tile(content=read(sample.name), verdict=sample.label, p_defective=None, caption=short_name[-26:])
        for sample, short_name in zip(samples, short_names, strict=True)
    ]
    return contact_sheet(tiles, title="Samples of the training set", subtitle="with the labels that people gave them")


def predictions_sheet(looked: Sequence[Looked], read: Callable[[str], bytes]) -> bytes:
    """Lay out predictions on held-out images with their verdicts. Raises what `read` raises."""
    tiles = [
        Tile(
            content=read(each.name),
            verdict=each.verdict,
            p_defective=each.p_defective,
            caption=f"{'right' if each.verdict == each.label else f'is {each.label}'}, casting {each.casting}",
        )
        for each in looked
    ]
    subtitle = (
        f"worst errors first, at most {_OF_ONE_CASTING} images of a casting; colour and word: what the model said"
    )
    return contact_sheet(tiles, title="Predictions on held-out images", subtitle=subtitle)


def heat_map_sheets(explained: Sequence[tuple[Looked, HeatMap]]) -> dict[str, bytes]:
    """Lay out each image beside its heat map, some to a sheet: heat_maps_1.png and so on."""
    sheets = {}
    for number, start in enumerate(range(0, len(explained), _PAIRS_A_SHEET), start=1):
        some = explained[start : start + _PAIRS_A_SHEET]
        tiles = [tile for looked, heat_map in some for tile in _pair(looked, heat_map)]
        title = f"Missed or left to review: {start + 1} to {start + len(some)} of {counted(len(explained), 'image')}"
        subtitle = "left the picture, right what in it spoke for a defect (red) or for a sound casting (green)"
        sheets[f"heat_maps_{number}.png"] = contact_sheet(tiles, title=title, subtitle=subtitle)
    return sheets


def _pair(looked: Looked, heat_map: HeatMap) -> tuple[Tile, Tile]:
    caption = f"casting {looked.casting}"
    picture = Tile(
        content=_png(seen_picture(heat_map)), verdict=looked.label, p_defective=None, caption=f"so labelled, {caption}"
    )
    said = f"said the model: {looked.trouble}"
    overlay = Tile(
        content=_png(draw_heat_map(heat_map)), verdict=looked.verdict, p_defective=looked.p_defective, caption=said
    )
    return picture, overlay


def seen_picture(heat_map: HeatMap) -> Image.Image:
    """What the network saw, as a picture."""
    return Image.fromarray(heat_map.seen[0] if len(heat_map.seen) == 1 else heat_map.seen.transpose(1, 2, 0))


def thumbnail(picture: bytes | Image.Image, *, side: int) -> bytes:
    """Make a square JPEG of a picture or a file's content, small enough for a page with many."""
    opened = Image.open(io.BytesIO(picture)) if isinstance(picture, bytes) else picture
    with opened as image:
        image.draft("RGB", (side, side))
        padded = ImageOps.pad(image.convert("RGB"), (side, side), color=PAPER)
    target = io.BytesIO()
    padded.save(target, "JPEG", quality=82)
    return target.getvalue()


def _png(picture: Image.Image) -> bytes:
    target = io.BytesIO()
    picture.save(target, "PNG")
    return target.getvalue()
