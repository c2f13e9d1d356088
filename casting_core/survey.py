"""Looks once at every picture of a data set, and keeps what the audit needs of it."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from casting_core.disc import find_disc, fit_size, frame_whole_picture, typical_profile
from casting_core.fingerprint import fingerprint
from casting_core.images import Decoding, ImageGate, read_image
from casting_core.types import Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from casting_core.dataset import LabelledDataset, LabelledImage
    from casting_core.disc import Frame

    # Called with the name of the stage, how much of it is done, and how much there is.
    Progress = Callable[[str, int, int], None]

__all__ = ["Examined", "Light", "View", "parallel", "read_picture", "survey"]

SIDE = 256  # pixels of the longer side; edges are then a pixel or two wide
_SAMPLE = 48  # pictures from which the typical profile of a disc is taken
_MARGIN = 0.06  # of the disc's radius or the picture's side: where the background is, clear of burrs


@dataclass(frozen=True, kw_only=True)
class View:
    """What is compared of a picture: where the part lies, and its fingerprint, complex64 [bands,harmonics]."""

    frame: Frame
    fingerprint: NDArray[np.complex64]


@dataclass(frozen=True, kw_only=True)
class Light:
    """Simple measures of a picture in grey levels of 255: what a classifier should not need."""

    brightness: float
    background: float
    contrast: float


@dataclass(frozen=True, kw_only=True)
class Examined:
    """One file of a data set. `rejection` says why there is neither light nor view; `size` is in bytes."""

    size: int
    sha256: str
    light: Light | None = None
    view: View | None = None
    rejection: Rejection | None = None


def survey(
    dataset: LabelledDataset, *, workers: int | None = None, progress: Progress = lambda *_: None
) -> tuple[Examined, ...]:
    """Look at every picture, in the order of `dataset.images`.

    A file that is no picture is recorded as such. Raises `InvalidDataset` for a file that is gone, and
    `StorageDenied` or `StorageUnavailable` if storage fails.
    """
    total = len(dataset.images)
    sample = dataset.images[:: max(1, total // _SAMPLE)]
    with parallel(workers) as pool:
        discs = [disc for disc in pool.map(lambda image: _disc_of(dataset, image), sample) if disc]
        profile = typical_profile(discs) if discs else None
        examined = []
        for result in pool.map(lambda image: _examine(dataset.read(image), profile), dataset.images):
            examined.append(result)
            progress("pictures", len(examined), total)
    return tuple(examined)


def read_picture(content: bytes, *, side: int) -> NDArray[np.uint8] | Rejection:
    """Decode a picture to grey levels uint8 [h,w] with at most `side` pixels on the longer side, or say why not."""
    image = read_image(content, gate=ImageGate(), decoding=Decoding(color="grey", side=side))
    if isinstance(image, Rejection):
        return image
    image.thumbnail((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image)


@contextmanager
def parallel(workers: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """Open a pool of threads, by default one for each core this process may use.

    Inside, linear algebra stays on one thread: BLAS splits even small products among its own threads, which costs more
    than it gains and, with several pools, makes them fight for the cores.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(workers or cores) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _disc_of(dataset: LabelledDataset, image: LabelledImage) -> Frame | None:
    picture = read_picture(dataset.read(image), side=SIDE)
    return None if isinstance(picture, Rejection) else find_disc(picture)


def _examine(content: bytes, profile: NDArray[np.float64] | None) -> Examined:
    size, sha256 = len(content), hashlib.sha256(content).hexdigest()
    picture = read_picture(content, side=SIDE)
    if isinstance(picture, Rejection):
        return Examined(size=size, sha256=sha256, rejection=picture)
    disc = find_disc(picture)
    if disc is not None and profile is not None:
        disc = fit_size(disc, profile)
    frame = disc or frame_whole_picture(picture)
    light = _measure_light(picture, disc)
    view = View(frame=frame, fingerprint=fingerprint(picture, frame))
    return Examined(size=size, sha256=sha256, light=light, view=view)


def _measure_light(picture: NDArray[np.uint8], disc: Frame | None) -> Light:
    if disc is None:
        behind = np.ones(picture.shape, bool)
        margin = max(1, round(_MARGIN * min(picture.shape)))
        behind[margin:-margin, margin:-margin] = False
    else:
        y, x = (np.indices(picture.shape) + 0.5) / picture.shape[1]
        offset = np.stack([x - disc.center[0], y - disc.center[1]])
        behind = np.hypot(*np.tensordot(np.linalg.inv(disc.axes), offset, axes=1)) > 1 + _MARGIN
    background = picture[behind] if behind.any() else picture
    return Light(brightness=float(picture.mean()), background=float(background.mean()), contrast=float(picture.std()))
