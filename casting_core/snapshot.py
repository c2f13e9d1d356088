"""What one retraining learns from, frozen: every picture fetched once, with the label that counted at that moment.

Whatever happens to bucket, labels or folder meanwhile, the run works on these bytes.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import fsspec

from casting_core.dataset import LabelledDataset, LabelledImage
from casting_core.types import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["Snapshot", "SnapshotImage", "freeze"]


@dataclass(frozen=True, kw_only=True)
class SnapshotImage:
    """A labelled picture and the hash of its bytes, 64 hexadecimal digits."""

    image: LabelledImage
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Labelled pictures on this machine's disk, sorted by uri, each file's bytes once.

    `left_out` says of labelled images, by uri, why they are not among them.
    """

    folder: Path
    images: tuple[SnapshotImage, ...]
    left_out: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """The hash that stands for all of it: each image's uri, label and bytes."""
        digest = hashlib.sha256()
        for each in self.images:
            digest.update(f"{each.image.uri}\t{each.image.label}\t{each.sha256}\n".encode())
        return digest.hexdigest()

    def read(self, sha256: str) -> bytes:
        """Give the bytes of a picture."""
        return (self.folder / sha256).read_bytes()

    def dataset(self, images: Sequence[SnapshotImage], *, source: str) -> LabelledDataset:
        """Give some of the pictures as a data set that reads from disk."""
        return LabelledDataset(
            source=source,
            images=tuple(each.image for each in images),
            _filesystem=fsspec.filesystem("file"),
            _paths={each.image.uri: str(self.folder / each.sha256) for each in images},
        )


def freeze(pictures: Iterable[tuple[LabelledImage, bytes | Rejection]], folder: Path) -> Snapshot:
    """Write pictures into `folder`, named by their hashes, and return what they are.

    An image that cannot be had is left out. So is every one of several images of equal bytes that carry different
    labels: one of the labels is wrong, and nobody here can tell which. Of equal bytes with one label the first by uri
    stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left_out: dict[str, str] = {}
    by_bytes: dict[str, dict[str, LabelledImage]] = defaultdict(dict)
    for image, content in pictures:
        if isinstance(content, Rejection):
            left_out[image.uri] = f"{content.reason}: {content.detail}"
            continue
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 not in by_bytes:
            (folder / sha256).write_bytes(content)
        by_bytes[sha256][image.uri] = image
    kept = []
    for sha256, same in by_bytes.items():
        first, *copies = sorted(same)
        if len({image.label for image in same.values()}) > 1:
            left_out |= dict.fromkeys(same, "the same picture carries both labels")
        else:
            kept.append(SnapshotImage(image=same[first], sha256=sha256))
            left_out |= dict.fromkeys(copies, f"the same picture as {first}")
    kept.sort(key=lambda each: each.image.uri)
    return Snapshot(folder=folder, images=tuple(kept), left_out=left_out)
