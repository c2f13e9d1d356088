"""The golden set: castings on which models are compared, and which none of them is trained on.

It is frozen by casting. It grows by a share of the castings that no retraining has seen before, and nothing leaves it.
Copies of its pictures lie with the models, so that it outlives the images of the bucket.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np

from casting_core.errors import ArtifactCorrupt, ArtifactMissing
from casting_core.storage_errors import raise_translated

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from casting_core.types import Label

__all__ = ["GoldenSplit", "read_golden_picture", "split_off_golden", "store_golden_pictures"]

_FOLDER = "golden"


@dataclass(frozen=True, kw_only=True)
class GoldenSplit:
    """Places of images in one data set. Every image is in exactly one of `training`, `golden` and `left_out`.

    `fresh` are those of `golden` that were not in the golden set yet. `left_out` are images of golden castings that
    are not in the golden set themselves: they may not be trained on.
    """

    training: tuple[int, ...]
    golden: tuple[int, ...]
    fresh: tuple[int, ...]
    left_out: tuple[int, ...]


def split_off_golden(
    castings: Sequence[int],
    labels: Sequence[Label],
    *,
    frozen: Collection[int],
    seen: Collection[int],
    share: float,
    seed: int,
) -> GoldenSplit:
    """Split images by casting; `castings` and `labels` have one entry an image.

    `frozen` are the places of golden images. Of the castings without any image in `seen` (places of images that an
    earlier retraining was given), about `share` of each class become golden; where the golden set lacks a class, at
    least one casting does, unless none would be left to train on.
    """
    generator = np.random.default_rng(seed)
    golden = {castings[place] for place in frozen}
    taken = {castings[place] for place in seen}
    fresh: set[int] = set()
    for label in ("ok", "defective"):
        of_class = {casting for casting, each in zip(castings, labels, strict=True) if each == label}
        free = sorted(of_class - golden - taken - fresh)
        count = round(share * len(free))
        if not of_class & (golden | fresh):
            count = max(count, 1)
        count = min(count, len(free), len(of_class - golden - fresh) - 1)
        if count > 0:
            fresh.update(int(casting) for casting in generator.choice(free, size=count, replace=False))
    places = range(len(castings))
    now_golden = {place for place in places if place in set(frozen) or castings[place] in fresh}
    return GoldenSplit(
        training=tuple(place for place in places if castings[place] not in golden | fresh),
        golden=tuple(sorted(now_golden)),
        fresh=tuple(sorted(now_golden - set(frozen))),
        left_out=tuple(place for place in places if castings[place] in golden and place not in now_golden),
    )


def store_golden_pictures(
    models_url: str, contents: Iterable[bytes], *, options: Mapping[str, Any] | None = None
) -> None:
    """Keep pictures with the models, each under the hash of its bytes; one that is there already is left alone.

    Raises StorageUnavailable or StorageDenied.
    """
    filesystem, root = fsspec.core.url_to_fs(models_url, **dict(options or {}))
    folder = f"{root.rstrip('/')}/{_FOLDER}"
    try:
        filesystem.makedirs(folder, exist_ok=True)
        for content in contents:
            path = f"{folder}/{hashlib.sha256(content).hexdigest()}"
            if not filesystem.exists(path):
                filesystem.pipe_file(f"{path}.partial", content)
                filesystem.mv(f"{path}.partial", path)
    except Exception as error:  # noqa: BLE001 - each kind is told apart there
        raise_translated(error, models_url)


def read_golden_picture(models_url: str, sha256: str, *, options: Mapping[str, Any] | None = None) -> bytes:
    """Read a golden picture and check its bytes.

    Raises ArtifactMissing, ArtifactCorrupt, StorageUnavailable or StorageDenied.
    """
    filesystem, root = fsspec.core.url_to_fs(models_url, **dict(options or {}))
    path = f"{root.rstrip('/')}/{_FOLDER}/{sha256}"
    url = str(filesystem.unstrip_protocol(path))
    try:
        content: bytes = filesystem.cat_file(path)
    except FileNotFoundError as error:
        raise ArtifactMissing(f"The golden picture {url} is gone. Restore it from a backup.") from error
    except Exception as error:  # noqa: BLE001 - each kind is told apart there
        raise_translated(error, url)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ArtifactCorrupt(f"The golden picture {url} is not the one that was frozen. Restore it from a backup.")
    return content
