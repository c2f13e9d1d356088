"""Copies of a photograph as data sets are blown up with, and how well they are found again."""

import io

import numpy as np
from PIL import Image
from scipy import ndimage


def copies(picture, count, seed):
    """Copies of a photograph as data sets are blown up with: turned, mirrored, stretched, zoomed and encoded anew."""
    rng = np.random.default_rng(seed)
    middle = (np.array(picture.shape) - 1) / 2
    for number in range(count):
        turn = rng.uniform(0, 2 * np.pi)
        linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        linear @= np.diag([rng.choice([-1, 1]), 1]) @ np.diag(rng.uniform(0.92, 1.12, 2))
        moved = ndimage.affine_transform(
            picture.astype(np.float32), linear, middle - linear @ middle, order=1, mode="nearest"
        )
        yield encode(moved if number else picture, quality=int(rng.integers(75, 96)))


def encode(picture, quality=90):
    file = io.BytesIO()
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def pairwise_precision_and_recall(found, true):
    """Of the pairs put together, the share that belongs together; of the pairs that do, the share that was."""
    _, found_at, found_sizes = np.unique(found, return_inverse=True, return_counts=True)
    _, true_at, true_sizes = np.unique(true, return_inverse=True, return_counts=True)
    _, both_sizes = np.unique(np.stack([found_at, true_at]), axis=1, return_counts=True)
    together, belonging, both = (int((n * (n - 1) // 2).sum()) for n in (found_sizes, true_sizes, both_sizes))
    return both / together if together else 1.0, both / belonging if belonging else 1.0
