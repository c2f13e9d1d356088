"""The demonstration: train a small model, fill a bucket with three hours of two lines, and run the hourly job on it.

It uses what a plant uses: the same training, registry, bucket layout, flow, database and views.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from casting_core.artifact import publish_artifact
from casting_core.dataset import LabelledFile, read_dataset
from casting_core.folds import split_folds
from casting_core.grouping import group_castings
from casting_core.model import recognise_architecture
from casting_core.pictures import Example
from casting_core.presets import Preset
from casting_core.synthetic_dataset import render_castings
from casting_core.training import Recipe
from casting_core.training_run import TrainedModel, TrainingPlan, train_examples
from casting_core.types import Window
from db import models
from flows.baselines import set_baselines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from casting_core.training import Step
    from flows.resources import Resources

LINES = ("line-a", "line-b")
HOURS = 3
PARTS_PER_HOUR = 40
SEEDED = 360
PICTURE_SIDE = 300
# Share of defective parts by line and hour: the second line climbs in the last one. Two hours of history tell little of
# what is usual, so that only a large climb is surely more than chance.
DEFECT_RATES = {"line-a": (0.05, 0.05, 0.05), "line-b": (0.05, 0.075, 0.60)}
# These hours are what the alarms take for usual; a plant takes weeks.
USUAL_HOURS = 2
_SEED = 7
_WHY = "the model of the demonstration"
_WHY_USUAL = "the first hours of the demonstration, in which all is well"


@dataclass(frozen=True, kw_only=True)
class DemoPlan:
    """How the model of a demonstration is trained, and from which weights."""

    pretrained: str
    preset: Preset


def first_hour(now: datetime) -> datetime:
    """The first of the hours shown: all of them are over."""
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS)


def plan_for(pretrained: str, *, rendered: bool) -> DemoPlan:
    """Choose network and recipe: weights from a file say which network they are of."""
    if rendered or pretrained == "none":
        recipe = Recipe(crop_epochs=48, epochs=12, weight_decay=0.01)
        preset = Preset(backbone="resnet18", side=128, split="group", recipe=recipe)
    else:
        backbone = "resnet18" if pretrained == "imagenet" else recognise_architecture(pretrained)
        preset = Preset(backbone=backbone, side=224, split="group", recipe=Recipe(epochs=4))
    return DemoPlan(pretrained=pretrained, preset=preset)


def labelled_castings(home: Path, images: Path | None) -> tuple[list[LabelledFile], list[LabelledFile]]:
    """Castings to train on, and other castings for the lines to show."""
    if images is not None:
        return split_off_lines(read_files(images))
    castings = home / "castings"
    lines_defective = sum(round(rate * PARTS_PER_HOUR) for rates in DEFECT_RATES.values() for rate in rates)
    lines_ok = len(LINES) * HOURS * PARTS_PER_HOUR - lines_defective
    draw = partial(render_castings, seed=_SEED, size=PICTURE_SIDE)
    return draw(castings / "training", seeded=SEEDED), draw(
        castings / "lines", ok=lines_ok, defective=lines_defective, first=SEEDED
    )


def read_files(folder: Path) -> list[LabelledFile]:
    """Read a folder with a subfolder per class, and find out which pictures show the same casting."""
    dataset = read_dataset(str(folder))
    dataset.require_both_classes()
    castings = group_castings(dataset).castings
    return [
        LabelledFile(name=image.uri, content=dataset.read(image), label=image.label, group=casting)
        for image, casting in zip(dataset.images, castings, strict=True)
    ]


def split_off_lines(files: Sequence[LabelledFile]) -> tuple[list[LabelledFile], list[LabelledFile]]:
    """Set castings aside for the lines, so that they show what the model has never seen."""
    labels = np.array([int(file.label == "defective") for file in files])
    castings = np.array([file.group for file in files])
    shown = split_folds(labels, castings, folds=1, split="group", seed=_SEED) == 0
    return (
        [file for file, is_shown in zip(files, shown, strict=True) if not is_shown],
        [file for file, is_shown in zip(files, shown, strict=True) if is_shown],
    )


def train_champion(
    resources: Resources, files: Sequence[LabelledFile], plan: DemoPlan, on_step: Callable[[Step], None]
) -> TrainedModel:
    """Train, publish, register and promote a model."""
    settings = resources.settings
    trained = train_examples(
        [
            Example(
                name=file.name, label=file.label, casting=file.group, mark=file.mark, read=partial(bytes, file.content)
            )
            for file in files
        ],
        plan.preset,
        # To quantise takes longer than the few pictures of a demonstration would gain by it.
        TrainingPlan(
            preset="demonstration", pretrained=plan.pretrained, folds=1, device=settings.device, quantise=False
        ),
        workdir=settings.home / "training",
        on_step=on_step,
    )
    url, sha256 = publish_artifact(
        settings.models_root,
        card=trained.card,
        weights=trained.weights,
        files=trained.files(),
        options=settings.storage_options(settings.models_root),
    )
    card = trained.card.model_dump(mode="json")
    with resources.engine.begin() as connection:
        models.register_model(
            connection,
            version=trained.card.version,
            artifact_url=url,
            sha256=sha256,
            card=card,
            who=settings.who,
            why=_WHY,
            metrics=trained.card.metrics,
        )
        models.promote_model(connection, trained.card.version, who=settings.who, why=_WHY)
    return trained


def fill_bucket(bucket: Path, files: Sequence[LabelledFile], *, start: datetime) -> int:
    """Write each line's pictures hour by hour, two broken files among them; return how many files there are."""
    generator = np.random.default_rng(_SEED)
    # Few real castings have to come round again; rendered ones are as many as there are parts.
    by_label = {
        label: cycle(generator.permutation([file for file in files if file.label == label]))
        for label in ("ok", "defective")
    }
    written = 0
    for line in LINES:
        for hour in range(HOURS):
            moment = start + timedelta(hours=hour)
            folder = bucket / line / moment.strftime("%Y/%m/%d/%H")
            folder.mkdir(parents=True, exist_ok=True)
            defective = round(DEFECT_RATES[line][hour] * PARTS_PER_HOUR)
            labels = generator.permutation(["defective"] * defective + ["ok"] * (PARTS_PER_HOUR - defective))
            for number, label in enumerate(labels):
                content = next(by_label[label]).content
                part = f"{line[-1].upper()}{hour}{number:04d}"
                if line == LINES[-1] and hour == HOURS - 1 and number in _BROKEN:
                    content = _BROKEN[number](content)
                _write(folder / f"{part}.jpg", content, moment + timedelta(seconds=number * 80))
                written += 1
    return written


def take_for_usual(resources: Resources, start: datetime) -> None:
    """Set the lines' baselines from the first hours, to hold from the next one on."""
    until = start + timedelta(hours=USUAL_HOURS)
    with resources.engine.begin() as connection:
        set_baselines(
            connection,
            Window(since=start, until=until),
            who=resources.settings.who,
            why=_WHY_USUAL,
            valid_from=until,
            now=until,
        )


_BROKEN: dict[int, Callable[[bytes], bytes]] = {
    11: lambda content: content[: len(content) // 3],
    23: lambda _content: b"camera 2: exposure error 0x81\n",
}


def _write(path: Path, content: bytes, moment: datetime) -> None:
    path.write_bytes(content)
    os.utime(path, (moment.timestamp(), moment.timestamp()))
