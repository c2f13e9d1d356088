"""Compares pictures of round parts with one another, all with all, over all turns and mirror images.

Each disc is unrolled into rings, lighting is filtered out, and the Fourier transforms of the rings are correlated over
the angle. Every ring and frequency is first divided by its typical strength in the data set, so that what all parts
have in common (vanes, rims) says little and what is rare says much, as in Knapp & Carter, "The generalized correlation
method for estimation of time delay" (1976).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft, ndimage

from casting_core.disc import unroll

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from casting_core.disc import Frame

__all__ = ["WHOLE_DISC", "Fingerprints", "Pairs", "Pose", "Spectrum", "fingerprint", "level", "transform"]

WRAPPED = ("nearest", "wrap")  # unrolled rings go on in angle, not in radius

_INNER, _OUTER = 0.1, 1.06  # of the outline's radius: from within the hub to just beyond burrs on the rim
_SAMPLED_BANDS, _SAMPLED_TURNS = 64, 360
_BLOCK = 128  # images a side of a block of the comparison


@dataclass(frozen=True, kw_only=True)
class Pose:
    """How the second disc lies over the first: mirrored or not, and turned by `turn` radians."""

    mirrored: bool
    turn: float

    def affine(self) -> NDArray[np.float64]:
        """Map the first unit disc into the second, float64 [2,3]."""
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        linear = np.array([[cos, sin], [sin, -cos]] if self.mirrored else [[cos, sin], [-sin, cos]])
        return np.hstack([linear, np.zeros((2, 1))])


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs of images, first < second: indices int64 [n], correlation float32 [n], and the pose it was found at."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    correlation: NDArray[np.float32]
    mirrored: NDArray[np.bool_]
    turn: NDArray[np.float32]

    @classmethod
    def joined(cls, parts: Iterable[Pairs]) -> Pairs:
        """Put at least one set of pairs after the other."""
        parts = list(parts)
        return cls(
            **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)}
        )

    def __getitem__(self, chosen: NDArray[np.intp]) -> Pairs:
        return Pairs(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    def __len__(self) -> int:
        return len(self.first)

    def pose(self, index: int) -> Pose:
        """Give the pose of one pair."""
        return Pose(mirrored=bool(self.mirrored[index]), turn=float(self.turn[index]))


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """Which harmonics of the angle are compared, both ends included, and at how many turns."""

    first: int
    last: int
    turns: int


# Slower harmonics are light and shade, faster ones noise of JPEG.
WHOLE_DISC = Spectrum(first=6, last=90, turns=256)


def fingerprint(picture: NDArray[np.uint8], frame: Frame) -> NDArray[np.complex64]:
    """Give the Fourier coefficients of a part's fine structure, complex64 [bands,harmonics] of `WHOLE_DISC`.

    `picture` is grey, uint8 [h,w]; 256 pixels a side are enough.
    """
    rings = unroll(picture, frame, bands=_SAMPLED_BANDS, turns=_SAMPLED_TURNS, inner=_INNER, outer=_OUTER)
    detail = rings - ndimage.gaussian_filter(rings, (4, 8), mode=WRAPPED)
    detail = ndimage.gaussian_filter1d(detail, 1, axis=0, mode="nearest")[::2]
    return transform(level(detail, (11, 41), floor=2), WHOLE_DISC)


def level(detail: NDArray[np.float32], reach: tuple[int, int], *, floor: float) -> NDArray[np.float32]:
    """Bring unrolled detail [bands,turns] to the same contrast everywhere; noise below `floor` grey levels stays small.

    Contrast is taken over `reach` bands and turns.
    """
    # The filter's running sums may end a little below 0.
    power = np.maximum(ndimage.uniform_filter(detail * detail, reach, mode=WRAPPED), 0)
    contrast = np.sqrt(power) + floor
    return np.asarray(np.clip(detail / contrast, -3, 3), np.float32)


def transform(detail: NDArray[np.float32], spectrum: Spectrum) -> NDArray[np.complex64]:
    """Give the Fourier coefficients over the angle of unrolled detail [bands,turns]: complex64 [bands,harmonics]."""
    coefficients: NDArray[np.complex64] = fft.rfft(detail, axis=1)[:, spectrum.first : spectrum.last + 1]
    return coefficients


class Fingerprints:
    """The fingerprints of a data set, whitened by what is typical of it."""

    def __init__(self, coefficients: NDArray[np.complex64], spectrum: Spectrum = WHOLE_DISC) -> None:
        """Take coefficients complex64 [n,bands,harmonics]."""
        power = np.zeros(coefficients.shape[1:], np.float32)
        for each in coefficients:
            power += np.abs(each) ** 2
        self._typical = np.sqrt(power / max(len(coefficients), 1))
        self._spectrum = spectrum
        # Products are taken harmonic by harmonic.
        self._white = np.empty((coefficients.shape[2], *coefficients.shape[:2]), np.complex64)
        for index, each in enumerate(coefficients):
            self._white[:, index] = self.whiten(each).T

    def whiten(self, coefficients: NDArray[np.complex64]) -> NDArray[np.complex64]:
        """Bring coefficients [bands,harmonics] to typical strength 1 each, and to length 1 together."""
        white = coefficients / np.maximum(self._typical, 1e-6)
        white /= max(float(np.linalg.norm(white)), 1e-6)
        return np.asarray(white, np.complex64)

    def rows(self) -> range:
        """Give the numbers of the rows of blocks that `similar_in_row` takes."""
        return range(0, self._white.shape[1], _BLOCK)

    def similar_in_row(self, top: int, *, least: float) -> Pairs:
        """Compare one row of blocks of images with all images after them.

        Gives the pairs whose correlation at the best turn, mirrored or not, is at least `least`. It is 1 for equal and
        about 0 for unrelated pictures. All rows together take time that grows with the square of n.
        """
        return Pairs.joined(
            self._similar_in_block(top, left, least) for left in range(top, self._white.shape[1], _BLOCK)
        )

    def similar(self, *, least: float) -> Pairs:
        """Compare all images with all, as `similar_in_row` does."""
        return Pairs.joined(self.similar_in_row(top, least=least) for top in self.rows())

    def _similar_in_block(self, top: int, left: int, least: float) -> Pairs:
        rows = self._white[:, top : top + _BLOCK]
        columns = self._white[:, left : left + _BLOCK].transpose(0, 2, 1)
        straight, straight_turn = self._best_turn(rows, columns.conj())
        mirrored, mirrored_turn = self._best_turn(rows, columns)
        correlation = np.maximum(straight, mirrored)
        first, second = np.nonzero(correlation >= least)
        later = first + top < second + left
        first, second = first[later], second[later]
        is_mirrored = (mirrored > straight)[first, second]
        turn = np.where(is_mirrored, mirrored_turn[first, second], straight_turn[first, second])
        return Pairs(
            first=first + top,
            second=second + left,
            correlation=correlation[first, second],
            mirrored=is_mirrored,
            turn=(turn * (2 * np.pi / self._spectrum.turns)).astype(np.float32),
        )

    def _best_turn(
        self, rows: NDArray[np.complex64], columns: NDArray[np.complex64]
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Correlate [harmonics,n,bands] with [harmonics,bands,m] over the turn: highest value and where, [n,m] each."""
        spectrum = np.zeros((rows.shape[1], columns.shape[2], self._spectrum.last + 1), np.complex64)
        spectrum[:, :, self._spectrum.first :] = np.matmul(rows, columns).transpose(1, 2, 0)
        curve: NDArray[np.float32] = fft.irfft(spectrum, n=self._spectrum.turns, axis=2)
        turn = curve.argmax(axis=2)
        return np.take_along_axis(curve, turn[:, :, None], axis=2)[:, :, 0] * (self._spectrum.turns / 2), turn
