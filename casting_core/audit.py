"""Says whether a labelled data set can be trained on, and whether a test on it would mean anything.

What it looks for: images of one casting, which must not lie on both sides of a split; labels that contradict each
other; shortcuts, by which a model would be right for the wrong reason; and how many castings there really are of each
class, since ten views of one casting teach little more than one.
"""

from __future__ import annotations

import csv
import posixpath
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.metrics import roc_auc_score

from casting_core.dataset import LABELS
from casting_core.grouping import group_castings
from casting_core.survey import survey

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence
    from pathlib import Path

    from casting_core.dataset import Label, LabelledDataset
    from casting_core.grouping import Basis, Grouping
    from casting_core.survey import Examined, Progress

__all__ = ["Audit", "ClassBalance", "Contradiction", "Shortcut", "audit_dataset", "file_names", "write_numbers"]

# What contradicting images have in common.
Ground = Literal["equal_bytes", "group", "casting"]
Measure = Literal["brightness", "background", "contrast", "file_size"]

_SUSPICIOUS_AUROC = 0.75


@dataclass(frozen=True, kw_only=True)
class Contradiction:
    """Images that must have one label and have two, by their places in the data set.

    For "equal_bytes" and "group" one of the labels is wrong. For "casting" it may also be that the casting was damaged,
    or was taken for another one that looks like it.
    """

    ground: Ground
    images: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """How well one simple measure tells the classes apart.

    By casting, the measure is averaged over the casting's images, since many images of few castings make chance look
    like a rule. AUROC is turned so that it is at least 0.5 by casting; `defective_is` says which way.
    """

    measure: Measure
    auroc_by_image: float
    auroc_by_casting: float
    defective_is: Literal["higher", "lower"]

    @property
    def is_suspicious(self) -> bool:
        """Whether a model might use it: judged by casting."""
        return self.auroc_by_casting >= _SUSPICIOUS_AUROC


@dataclass(frozen=True, kw_only=True)
class ClassBalance:
    """How much there is of one class. A casting with both labels counts for both classes."""

    label: Label
    images: int
    groups: int
    castings: int
    most_images_of_a_casting: int


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was found about a data set; images are named by their places in it."""

    dataset: LabelledDataset = field(repr=False)
    examined: tuple[Examined, ...] = field(repr=False)
    grouping: Grouping = field(repr=False)
    balance: tuple[ClassBalance, ...]
    contradictions: tuple[Contradiction, ...]
    shortcuts: tuple[Shortcut, ...]

    @property
    def unreadable(self) -> tuple[int, ...]:
        """The files that are no pictures, or none that can be judged."""
        return tuple(index for index, each in enumerate(self.examined) if each.rejection)

    def basis_counts(self) -> dict[Basis, int]:
        """Count what the groups of the images rest on."""
        return dict(Counter(self.grouping.basis))

    def to_json(self) -> dict[str, Any]:
        """Give the findings as plain JSON values, files by their names."""
        names = file_names([image.uri for image in self.dataset.images])
        return {
            "dataset": self.dataset.source,
            "images": len(names),
            "groups": len(set(self.grouping.groups)),
            "castings": len(set(self.grouping.castings)),
            "castings_complete": self.grouping.complete,
            "classes": {each.label: asdict(each) for each in self.balance},
            "basis": self.basis_counts(),
            "unreadable": {
                names[index]: asdict(rejection)
                for index in self.unreadable
                if (rejection := self.examined[index].rejection)
            },
            "contradictions": [
                {
                    "ground": each.ground,
                    "images": {names[index]: self.dataset.images[index].label for index in each.images},
                }
                for each in self.contradictions
            ],
            "shortcuts": [asdict(each) | {"suspicious": each.is_suspicious} for each in self.shortcuts],
        }


def audit_dataset(
    dataset: LabelledDataset, *, workers: int | None = None, progress: Progress = lambda *_: None
) -> Audit:
    """Look at every picture of a data set and say what is wrong with it.

    Raises `InvalidDataset` for a file that is gone or changes meanwhile, and `StorageDenied` or `StorageUnavailable`
    if storage fails.
    """
    examined = survey(dataset, workers=workers, progress=progress)
    grouping = group_castings(dataset, examined=examined, workers=workers, progress=progress)
    labels = [image.label for image in dataset.images]
    return Audit(
        dataset=dataset,
        examined=examined,
        grouping=grouping,
        balance=tuple(_balance(label, labels, grouping) for label in LABELS),
        contradictions=tuple(_contradictions(labels, [each.sha256 for each in examined], grouping)),
        shortcuts=tuple(_shortcuts(labels, examined, grouping.castings)),
    )


def _balance(label: Label, labels: Sequence[Label], grouping: Grouping) -> ClassBalance:
    chosen = [index for index, each in enumerate(labels) if each == label]
    castings = Counter(grouping.castings[index] for index in chosen)
    return ClassBalance(
        label=label,
        images=len(chosen),
        groups=len({grouping.groups[index] for index in chosen}),
        castings=len(castings),
        most_images_of_a_casting=max(castings.values(), default=0),
    )


def _contradictions(labels: Sequence[Label], sha256: Sequence[str], grouping: Grouping) -> Iterable[Contradiction]:
    """Find sets of images with both labels, each on the strongest ground that shows it."""
    grounds: tuple[tuple[Ground, Sequence[Hashable]], ...] = (
        ("equal_bytes", sha256),
        ("group", grouping.groups),
        ("casting", grouping.castings),
    )
    explained: set[int] = set()
    for ground, keys in grounds:
        for images in _members(keys).values():
            if len({labels[image] for image in images if image not in explained}) > 1:
                yield Contradiction(ground=ground, images=tuple(images))
                explained.update(images)


def _members(keys: Sequence[Hashable]) -> Mapping[Hashable, list[int]]:
    members: dict[Hashable, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        members[key].append(index)
    return members


def _shortcuts(labels: Sequence[Label], examined: Sequence[Examined], castings: Sequence[int]) -> Iterable[Shortcut]:
    """Measure how well each simple measure predicts the label; nothing where there is one class alone."""
    readable = [(index, each, each.light) for index, each in enumerate(examined) if each.light]
    is_defective = np.array([labels[index] == "defective" for index, _, _ in readable], bool)
    if len(set(is_defective.tolist())) < len(LABELS):
        return
    measures: dict[Measure, list[float]] = {
        "brightness": [light.brightness for _, _, light in readable],
        "background": [light.background for _, _, light in readable],
        "contrast": [light.contrast for _, _, light in readable],
        "file_size": [float(each.size) for _, each, _ in readable],
    }
    # A casting with both labels counts once for each.
    keys = [(castings[index], labels[index]) for index, _, _ in readable]
    _, first, of_casting = np.unique(
        [f"{casting} {label}" for casting, label in keys], return_index=True, return_inverse=True
    )
    for measure, values in measures.items():
        by_image = float(roc_auc_score(is_defective, values))
        means = np.bincount(of_casting, values) / np.bincount(of_casting)
        by_casting = float(roc_auc_score(is_defective[first], means))
        higher = by_casting >= 0.5  # noqa: PLR2004 - chance
        yield Shortcut(
            measure=measure,
            auroc_by_image=by_image if higher else 1 - by_image,
            auroc_by_casting=by_casting if higher else 1 - by_casting,
            defective_is="higher" if higher else "lower",
        )


def file_names(uris: Sequence[str]) -> list[str]:
    """Name files as shortly as tells them apart: by their own names, or else by their paths below a common folder."""
    paths = [uri.split("::", 1)[0] for uri in uris]
    names = [posixpath.basename(path) for path in paths]
    if len(set(names)) < len(names):
        common = posixpath.commonpath(paths)
        names = [posixpath.relpath(path, common) for path in paths]
    return names


def write_numbers(path: Path, names: Sequence[str], numbers: Sequence[int], *, column: str) -> None:
    """Write a CSV file with the columns `image` and `column`: a file's name and its group's or casting's number."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", column))
        writer.writerows(zip(names, numbers, strict=True))
