"""Searches a data set for images of the same casting.

1. The fingerprints of all images are correlated, and what correlates on average is clustered. Average linkage, since a
   single spurious pair must not chain two castings together.
2. Clusters that some pairs connect are joined if close looks at the best of these pairs confirm most of them.
3. Two images of each group are compared by their fine detail with those of all others, and the likeliest are looked at
   closely. That finds castings which were photographed again, in another light.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from casting_core.closeup import DETAIL, CloseUp, compare
from casting_core.errors import InvalidDataset
from casting_core.fingerprint import Fingerprints, Pairs
from casting_core.survey import read_picture
from casting_core.types import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from casting_core.closeup import Likeness
    from casting_core.dataset import LabelledDataset
    from casting_core.grouping import Partition
    from casting_core.survey import Examined, Progress

__all__ = ["CastingSearch", "Link"]

# Correlations of fingerprints: 0.5 to 0.9 for copies of one photograph, at most 0.42 for different castings in the same
# light.
_CLUSTERED = 0.6
_SAME_LIGHT = 0.45
# Shares of patches that agree: 0.9 to 1 for copies of one photograph, seldom 0.33 for different castings.
_CONFIRMED = 0.5
_PROMISING = 0.25
_SAME_CASTING = 0.35  # on average of two looks
_SAME_CASTING_AT_ONE_LOOK = 0.45
_FAINTEST = 0.03  # correlation of fine detail; below it no close look confirmed anything
_LOOKS = 3  # close looks at a pair of clusters
_PARTNERS = 6  # likeliest other groups that one is compared with closely
_CLOSE_SIDE = 512  # pixels of the longer side
_KEPT = 512  # close-ups, of about 0.6 MB
# Step 3 takes 0.1 MB for each example, and time with the square of their number.
_MOST_EXAMPLES = 8_000


@dataclass(frozen=True, kw_only=True)
class Link:
    """Two groups that show one casting, by an image of each (its place in the data set), and how alike these are."""

    first: int
    second: int
    likeness: Likeness


class CastingSearch:
    """A search among the images that can be read."""

    def __init__(
        self, dataset: LabelledDataset, examined: Sequence[Examined], pool: Executor, progress: Progress
    ) -> None:
        self._count = len(examined)
        self._pool = pool
        self._progress = progress
        # Files with equal bytes are looked at once.
        unique = {each.sha256: index for index, each in reversed(list(enumerate(examined)))}
        views = {index: view for index in sorted(unique.values()) if (view := examined[index].view)}
        self._images = np.array(list(views), dtype=np.intp)
        # What is not round has edges that agree among all parts of its kind.
        self._is_disc = {index: view.frame.is_disc for index, view in views.items()}
        if views:
            self._fingerprints = Fingerprints(np.stack([view.fingerprint for view in views.values()]))

        @lru_cache(maxsize=_KEPT)
        def close_up(image: int) -> CloseUp:
            picture = read_picture(dataset.read(dataset.images[image]), side=_CLOSE_SIDE)
            if isinstance(picture, Rejection):
                raise InvalidDataset(f"{dataset.images[image].uri} changed while it was looked at; start again.")
            return CloseUp(picture, views[image].frame)

        self._close_up = close_up

    def run(self, groups: Partition) -> tuple[Link, ...] | None:
        """Join images to groups, and give the links between groups of one casting; None if groups are too many."""
        if not len(self._images):
            return ()
        pairs = self._similar(self._fingerprints, self._images, least=_SAME_LIGHT)
        for cluster in _clusters(pairs, self._count):
            _join_cluster(cluster, groups)
        self._join_clusters(pairs, groups)
        examples = _examples(self._images, pairs, groups)
        return self._link_groups(examples, groups) if len(examples) <= _MOST_EXAMPLES else None

    def _similar(self, fingerprints: Fingerprints, images: NDArray[np.intp], *, least: float) -> Pairs:
        """Compare all with all; fingerprint k is that of `images[k]`."""
        rows = fingerprints.rows()
        found = []
        for pairs in self._pool.map(lambda top: fingerprints.similar_in_row(top, least=least), rows):
            found.append(pairs)
            self._progress("comparisons", len(found), len(rows))
        joined = Pairs.joined(found)
        return replace(joined, first=images[joined.first], second=images[joined.second])

    def _look(self, pairs: Pairs) -> Iterator[Likeness]:
        """Compare the images of each pair closely."""

        def look(index: int) -> Likeness:
            first, second = self._close_up(int(pairs.first[index])), self._close_up(int(pairs.second[index]))
            return compare(first, second, pairs.pose(index), self._fingerprints)

        for index, likeness in enumerate(self._pool.map(look, range(len(pairs)))):
            self._progress("close looks", index + 1, len(pairs))
            yield likeness

    def _join_clusters(self, pairs: Pairs, groups: Partition) -> None:
        """Join clusters of one light (step 2)."""
        chosen = _best_between(pairs, groups, most=_LOOKS)
        looks = self._look(pairs[np.array([index for indices in chosen.values() for index in indices], np.intp)])
        confirmed = [
            clusters
            for clusters, indices in chosen.items()
            if statistics.median(look.agreement for look in islice(looks, len(indices))) >= _CONFIRMED
        ]
        _join_connected(confirmed, groups, self._count)

    def _link_groups(self, examples: NDArray[np.intp], groups: Partition) -> tuple[Link, ...]:
        """Find groups of one casting (step 3), and join those that are in one light after all."""
        details = self._pool.map(lambda image: self._close_up(image).detail_fingerprint(), examples.tolist())
        pairs = self._similar(Fingerprints(np.stack(list(details)), DETAIL), examples, least=_FAINTEST)
        chosen = list(_best_between(pairs, groups, most=2).values())
        looks = self._look(pairs[np.array([indices[0] for indices in chosen], np.intp)])
        promising = [
            (indices, look) for indices, look in zip(chosen, looks, strict=True) if look.agreement >= _PROMISING
        ]
        # The best of some hundred candidates is sometimes lucky, but not twice.
        second_looks = self._look(
            pairs[np.array([indices[1] for indices, _ in promising if len(indices) > 1], np.intp)]
        )
        same_light, links = [], []
        for indices, look in promising:
            first, second = int(pairs.first[indices[0]]), int(pairs.second[indices[0]])
            again = next(second_looks).agreement if len(indices) > 1 else None
            if look.agreement >= _CONFIRMED and look.correlation >= _SAME_LIGHT:
                same_light.append((first, second))
            elif _is_same_casting(look.agreement, again) and self._is_disc[first] and self._is_disc[second]:
                links.append(Link(first=first, second=second, likeness=look))
        _join_connected(same_light, groups, self._count)
        strongest = {
            frozenset((groups.of(link.first), groups.of(link.second))): link
            for link in sorted(links, key=lambda link: link.likeness.agreement)
        }
        return tuple(link for between, link in strongest.items() if len(between) > 1)


def _is_same_casting(agreement: float, again: float | None) -> bool:
    if again is None:
        return agreement >= _SAME_CASTING_AT_ONE_LOOK
    return (agreement + again) / 2 >= _SAME_CASTING


def _clusters(pairs: Pairs, count: int) -> Iterator[list[int]]:
    """Cluster what correlates on average (step 1); pairs that are not listed count as 0."""
    strong = pairs[np.flatnonzero(pairs.correlation >= _CLUSTERED)]
    graph = coo_array((strong.correlation, (strong.first, strong.second)), shape=(count, count))
    # What is not even connected need not be clustered, and a matrix of all images would not fit.
    _, component = connected_components(graph, directed=False)
    inside = pairs[np.flatnonzero(component[pairs.first] == component[pairs.second])]
    inside = inside[np.argsort(component[inside.first], kind="stable")]
    starts = np.flatnonzero(np.diff(component[inside.first], prepend=-1))
    for start, end in pairwise([*starts.tolist(), len(inside)]):
        chunk = inside[np.arange(start, end)]
        members, places = np.unique(np.concatenate([chunk.first, chunk.second]), return_inverse=True)
        distance = np.ones((len(members), len(members)))
        np.fill_diagonal(distance, 0)
        first, second = np.split(places, 2)
        distance[first, second] = distance[second, first] = 1 - np.minimum(chunk.correlation, 1)
        tree = linkage(squareform(distance, checks=False), method="average")
        labels = fcluster(tree, 1 - _CLUSTERED, criterion="distance")
        yield from (members[labels == label].tolist() for label in np.unique(labels))


def _join_connected(edges: Sequence[tuple[int, int]], groups: Partition, count: int) -> None:
    """Join the groups that edges between their images connect."""
    ends = np.array(edges, dtype=np.intp).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    members: dict[int, list[int]] = defaultdict(list)
    for image in np.unique(ends).tolist():
        members[component[image]].append(image)
    for connected in members.values():
        _join_cluster(connected, groups)


def _join_cluster(cluster: list[int], groups: Partition) -> None:
    part_ids = {groups.part_id(image) for image in cluster} - {None}
    # Nobody can say to which of several parts an image without an id belongs.
    joined = cluster if len(part_ids) <= 1 else [image for image in cluster if groups.part_id(image) is None]
    for image in joined[1:]:
        groups.join(joined[0], image)


def _best_between(pairs: Pairs, groups: Partition, *, most: int) -> dict[tuple[int, int], list[int]]:
    """Choose the best pairs of images between each two groups, for the likeliest partners of each group."""
    chosen: dict[tuple[int, int], list[int]] = defaultdict(list)
    partners = Counter[int]()
    for index in np.argsort(-pairs.correlation, kind="stable").tolist():
        first, second = sorted((groups.of(int(pairs.first[index])), groups.of(int(pairs.second[index]))))
        if first == second:
            continue
        if (first, second) not in chosen:
            if partners[first] >= _PARTNERS and partners[second] >= _PARTNERS:
                continue
            partners.update((first, second))
        if len(chosen[first, second]) < most:
            chosen[first, second].append(index)
    return chosen


def _examples(images: NDArray[np.intp], pairs: Pairs, groups: Partition) -> NDArray[np.intp]:
    """Give of each group the image that correlates best with the others, and of these the one least like it."""
    likeness: dict[int, dict[int, float]] = defaultdict(dict)
    for first, second, correlation in zip(
        pairs.first.tolist(), pairs.second.tolist(), pairs.correlation.tolist(), strict=True
    ):
        if groups.of(first) == groups.of(second):
            likeness[first][second] = likeness[second][first] = correlation
    members: dict[int, list[int]] = defaultdict(list)
    for image in images.tolist():
        members[groups.of(image)].append(image)
    examples = []
    for group in members.values():
        typical = max(group, key=lambda image: sum(likeness[image].values()))
        unlike = min(group, key=lambda image: likeness[typical].get(image, 0) if image != typical else 1)
        examples += [typical, unlike] if unlike != typical else [typical]
    return np.array(sorted(examples), dtype=np.intp)
