"""Finds which images show the same casting, although flipped, turned, stretched, zoomed and re-encoded.

Two levels are told apart, because they differ in how certain they are:

- A *group* holds images of one casting in one light: copies of one photograph, or of photographs taken in one go. Whole
  discs correlate, which different castings do not.
- A *casting* joins groups whose fine detail agrees although the light does not: the casting was photographed again,
  turned or on another day. Splits into training and test go by casting, or the test is none.

Where a picture shows no disc, it is compared as a whole, in a frame that follows from where its edges are. That
withstands turns and mirroring, and also stretching and zooming where a part stands out from its background; a casting
photographed again is not recognised.

A part id, where given, is believed first: it makes a group, which is never joined with another part's. Files with equal
bytes count as one image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from casting_core.matching import CastingSearch
from casting_core.survey import parallel, survey

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from casting_core.dataset import LabelledDataset
    from casting_core.matching import Link
    from casting_core.survey import Examined, Progress

__all__ = ["Basis", "Grouping", "Partition", "group_castings"]

# What is known of an image's group rests on this.
Basis = Literal["part_id", "disc", "whole_picture", "unreadable"]


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """Which images belong together. One number for each image of the data set, counted from 0 in its order.

    `castings` never divides a group. `links` are what joined groups to castings. `complete` is False where groups were
    too many to look for castings photographed again; castings then are the groups.
    """

    groups: tuple[int, ...]
    castings: tuple[int, ...]
    basis: tuple[Basis, ...]
    links: tuple[Link, ...]
    complete: bool


def group_castings(
    dataset: LabelledDataset,
    *,
    examined: Sequence[Examined] | None = None,
    workers: int | None = None,
    progress: Progress = lambda *_: None,
) -> Grouping:
    """Find which images show the same casting.

    `examined` is the result of `survey`, which is done here if it is not given. A picture without a disc is compared
    as a whole, and one that cannot be read is a group of its own; `basis` tells. Time grows with the square of the
    number of images, slowly; memory with the number.

    Raises `InvalidDataset` for a file that is gone or changes meanwhile, and `StorageDenied` or `StorageUnavailable`
    if storage fails.
    """
    part_ids = [image.part_id for image in dataset.images]
    groups = Partition(part_ids)
    groups.join_equal(part_ids)
    if None not in part_ids:
        basis: tuple[Basis, ...] = tuple("part_id" for _ in part_ids)
        return Grouping(groups=groups.numbers(), castings=groups.numbers(), basis=basis, links=(), complete=True)
    if examined is None:
        examined = survey(dataset, workers=workers, progress=progress)
    groups.join_equal([each.sha256 for each in examined])
    with parallel(workers) as pool:
        links = CastingSearch(dataset, examined, pool, progress).run(groups)
    castings = groups.copy()
    for link in links or ():
        castings.join(link.first, link.second)
    return Grouping(
        groups=groups.numbers(),
        castings=castings.numbers(),
        basis=tuple(_basis(*each) for each in zip(part_ids, examined, strict=True)),
        links=links or (),
        complete=links is not None,
    )


def _basis(part_id: str | None, examined: Examined) -> Basis:
    if part_id is not None:
        return "part_id"
    if examined.view is None:
        return "unreadable"
    return "disc" if examined.view.frame.is_disc else "whole_picture"


class Partition:
    """Sets of images that never hold two part ids."""

    def __init__(self, part_ids: Iterable[str | None]) -> None:
        self._part_ids = list(part_ids)
        self._parents = list(range(len(self._part_ids)))

    def copy(self) -> Partition:
        """Give a partition that can be changed on its own."""
        other = Partition(self._part_ids)
        other._parents = self._parents.copy()
        return other

    def of(self, image: int) -> int:
        """Name the set of an image by one of its members."""
        while self._parents[image] != image:
            self._parents[image] = image = self._parents[self._parents[image]]
        return image

    def part_id(self, image: int) -> str | None:
        """Give the part id of an image's set, if any of its images has one."""
        return self._part_ids[self.of(image)]

    def join(self, first: int, second: int) -> None:
        """Put two sets together unless they are of two part ids."""
        first, second = sorted((self.of(first), self.of(second)))
        part_ids = {self._part_ids[first], self._part_ids[second]} - {None}
        if len(part_ids) <= 1:
            self._part_ids[first] = next(iter(part_ids), None)
            self._parents[second] = first

    def join_equal(self, keys: Sequence[str | None]) -> None:
        """Put images together that have equal keys; None is no key."""
        firsts: dict[str, int] = {}
        for image, key in enumerate(keys):
            if key is not None:
                self.join(firsts.setdefault(key, image), image)

    def numbers(self) -> tuple[int, ...]:
        """Number the sets from 0 in the order of their first images, and give each image's number."""
        numbers: dict[int, int] = {}
        return tuple(numbers.setdefault(self.of(image), len(numbers)) for image in range(len(self._parents)))
