"""Compares two parts at close range: is it the same one?

One disc is laid over the other by an affine map, refined by Gauss-Newton steps (Lucas & Kanade, "An iterative image
registration technique", 1981). Copies of one photograph then correlate as a whole. Two photographs of one part do not,
since light and camera moved; but scratches, pores and burrs are still in their places, so small patches of fine detail
agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from casting_core.disc import unroll
from casting_core.fingerprint import WRAPPED, Spectrum, fingerprint, level, transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from casting_core.disc import Frame
    from casting_core.fingerprint import Fingerprints, Pose

__all__ = ["DETAIL", "CloseUp", "Likeness", "compare"]

_FLAT_SIDE = 80  # pixels a side of the disc that is laid over the other
_BLURS = (2.0, 0.8)  # pixels of it: first far-reaching steps, then exact ones
_STEPS = 8
_SMALL_STEP = 1e-3  # of the radius: a quarter of a pixel at 512
_GRID = np.stack(np.meshgrid(*2 * [(np.arange(_FLAT_SIDE) + 0.5) / _FLAT_SIDE * 2.1 - 1.05]))
_WITHIN = np.hypot(*_GRID) < 1.03  # noqa: PLR2004 - the outline and what sticks out of it

_DETAIL_INNER = 0.41  # of the outline's radius; vanes and hub within look alike on all parts
_DETAIL_BANDS, _DETAIL_TURNS = 64, 864
_PATCH_BANDS, _PATCH_TURNS = 16, 48
_SLACK_BANDS, _SLACK_TURNS = 1, 3  # by how much a patch may be off its place, since a part is not quite flat
_CHANCE = 0.95  # quantile of the similarity of unrelated patches
# Turns at which a part does not meet itself, whatever the number of its vanes.
_WRONG_TURNS = tuple(round(_DETAIL_TURNS * turn) for turn in (0.29, 0.44, 0.69))

DETAIL = Spectrum(first=20, last=219, turns=_DETAIL_TURNS)


class CloseUp:
    """One part at close range, prepared for comparison with several others.

    `picture` is grey, uint8 [h,w]; 512 pixels a side show a pore of 5 pixels.
    """

    def __init__(self, picture: NDArray[np.uint8], frame: Frame) -> None:
        self.picture = picture
        self.frame = frame
        self.fingerprint = fingerprint(picture, frame)
        self.flat = _flatten(picture, frame)
        self.detail = _detail(picture, frame)
        unrelated = [_patch_similarity(self.detail, np.roll(self.detail, turn, axis=1)) for turn in _WRONG_TURNS]
        self.chance = float(np.quantile(unrelated, _CHANCE))

    def detail_fingerprint(self) -> NDArray[np.complex64]:
        """Give the Fourier coefficients of the fine detail alone, complex64 [bands,harmonics] of `DETAIL`."""
        return transform(self.detail, DETAIL)


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How alike two parts are once one is laid over the other.

    `correlation` is that of their fingerprints: 0.5 to 1 for copies of one photograph. `agreement` is the share of
    patches whose fine detail is the same: 0.05 by chance, seldom over 0.35 for different parts, 1 for copies.
    """

    correlation: float
    agreement: float


def compare(first: CloseUp, second: CloseUp, pose: Pose, fingerprints: Fingerprints) -> Likeness:
    """Lay the second part over the first, starting at `pose`, and tell how alike they are."""
    start, target = pose.affine(), fingerprints.whiten(first.fingerprint)
    frames = [second.frame.warped(affine) for affine in (start, _align(first.flat, second, start))]
    moved = [fingerprints.whiten(fingerprint(second.picture, frame)) for frame in frames]
    similarities = [_patch_similarity(first.detail, _detail(second.picture, frame)) for frame in frames]
    # Where the light differs, steps may lead away instead of nearer.
    return Likeness(
        correlation=max(float(np.vdot(each, target).real) for each in moved),
        agreement=max(float(np.mean(each > (first.chance + second.chance) / 2)) for each in similarities),
    )


def _align(target: NDArray[np.float32], other: CloseUp, affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Refine the map of the first unit disc into the other, float64 [2,3], by Gauss-Newton steps, coarse to fine."""
    spacing = 2.1 / _FLAT_SIDE
    x, y = _GRID[0][_WITHIN], _GRID[1][_WITHIN]
    for blur in _BLURS:
        wanted = _standardize(ndimage.gaussian_filter(target, blur))
        for _ in range(_STEPS):
            moved = _flatten(other.picture, other.frame.warped(affine))
            moved = _standardize(ndimage.gaussian_filter(moved, blur))
            slope_y, slope_x = (np.gradient(moved, spacing, axis=axis)[_WITHIN] for axis in (0, 1))
            jacobian = np.stack([slope_x * x, slope_x * y, slope_x, slope_y * x, slope_y * y, slope_y])
            normal = jacobian @ jacobian.T + 1e-5 * x.size * np.eye(6)
            step = np.linalg.solve(normal, jacobian @ (wanted - moved)[_WITHIN]).reshape(2, 3)
            affine = affine @ np.vstack([step + np.eye(2, 3), [0, 0, 1]])
            if np.abs(step).max() < _SMALL_STEP:
                break
    return affine


def _standardize(flat: NDArray[np.float32]) -> NDArray[np.float32]:
    within = flat[_WITHIN]
    return np.asarray((flat - within.mean()) / (within.std() + 1e-6), np.float32)


def _flatten(picture: NDArray[np.uint8], frame: Frame) -> NDArray[np.float32]:
    """Lay the disc out as a square picture [side,side] without light and shade."""
    flat = frame.sample(picture, _GRID)
    flat = flat - ndimage.gaussian_filter(flat, 2)
    # The filter's running sums may end a little below 0.
    contrast = np.sqrt(np.maximum(ndimage.uniform_filter(flat * flat, 15), 0)) + 3
    return np.asarray(np.clip(flat / contrast, -3, 3), np.float32)


def _detail(picture: NDArray[np.uint8], frame: Frame) -> NDArray[np.float32]:
    """Unroll the outer part of the disc, [bands,turns], keeping only its fine detail."""
    rings = unroll(picture, frame, bands=_DETAIL_BANDS, turns=_DETAIL_TURNS, inner=_DETAIL_INNER, outer=1.0)
    rings = ndimage.gaussian_filter(rings, 0.8, mode=WRAPPED)
    # Rims and turning marks run along the rings, highlights across them; only what is small both ways is left.
    rings = rings - ndimage.gaussian_filter1d(rings, 6, axis=1, mode="wrap")
    rings = rings - ndimage.gaussian_filter1d(rings, 5, axis=0, mode="nearest")
    return level(rings, (21, 69), floor=1.5)


def _patch_similarity(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Correlate the patches of two detail maps, each at its best small displacement: float32 [patches]."""
    padded = np.pad(second, ((_SLACK_BANDS, _SLACK_BANDS), (0, 0)))
    padded = np.pad(padded, ((0, 0), (_SLACK_TURNS, _SLACK_TURNS)), mode="wrap")
    energy = _sum_patches(first * first)
    best = np.full_like(energy, -1)
    for down in range(2 * _SLACK_BANDS + 1):
        for along in range(2 * _SLACK_TURNS + 1):
            moved = padded[down : down + _DETAIL_BANDS, along : along + _DETAIL_TURNS]
            norm = np.sqrt(energy * _sum_patches(moved * moved)) + np.float32(1e-6)
            best = np.maximum(best, _sum_patches(first * moved) / norm)
    return best.ravel()


def _sum_patches(values: NDArray[np.float32]) -> NDArray[np.float32]:
    patches = values.reshape(_DETAIL_BANDS // _PATCH_BANDS, _PATCH_BANDS, _DETAIL_TURNS // _PATCH_TURNS, _PATCH_TURNS)
    total: NDArray[np.float32] = patches.sum(axis=(1, 3))
    return total
