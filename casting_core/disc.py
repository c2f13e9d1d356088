"""Finds the round part in a picture, wherever it lies and however it was stretched.

A part that is round in truth shows concentric ellipses of one shape: rims, grooves, turning marks. All edges together
tell their common centre and shape, without being linked into curves:

1. At an edge point p of an ellipse (p - c)' A (p - c) = const the grey-level gradient g is parallel to A (p - c), so
   g x (A p - b) = 0 with b = A c. That is linear in A (of trace 2) and b: one least-squares problem over all edge
   points, re-weighted against edges that belong to no ring.
2. In that frame a ring that is a little off centre or out of shape is r(phi) = R + a cos phi + b sin phi +
   c cos 2 phi + d sin 2 phi. One such ring is fitted for each of a row of radii, and the outermost that edges support
   nearly all around is the outline.

Where the outline has two edges, a shadow, or lies outside the picture, it is off by some percent. Size is steadier
taken from all rings: `fit_size` shifts the profile of edges over the logarithm of the radius to what is typical.

Re-weighting follows Holland & Welsch, "Robust regression using iteratively reweighted least-squares" (1977).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["RINGS", "Frame", "find_disc", "fit_size", "frame_whole_picture", "typical_profile", "unroll"]

_EDGE_SCALE = 1.2  # pixels: standard deviation of the Gaussian under the derivative
_FAINTEST_EDGE = 2.0  # grey levels a pixel; what is fainter is noise of sensor and JPEG
_MOST_EDGES = 15_000  # the strongest; a textured background has many more, and none of them help
_RADIAL = 0.9  # least |cos| between an edge's normal and a ring's, 26 degrees
_RADII = np.geomspace(0.2, 0.56, 16)  # of the outline, in widths of the picture
_OUTLINE_WIDTH = 0.015  # of the radius; edges this near to a ring belong to it
_SECTORS = 72
_LEAST_SUPPORT = 0.6  # of the sectors; burrs, shadows and the picture's border hide the rest
_LEAST_CONTRAST = 3.0  # edges on a ring by edges as near to it; leaves and cloth reach 2
_MOST_STRETCH = 2.5  # longer by shorter axis
_PROFILE_START, _PROFILE_STEP, RINGS = 0.1, 0.01, 369  # of the outline's radius; steps of its logarithm, and how many
_MOST_SHIFT = 70  # bins: a factor of 2


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where the part lies: the unit disc's point u is the picture's point `axes @ u + center`.

    Lengths are in widths of the picture, x to the right and y down, so they hold at any resolution. `axes` is float64
    [2,2], `center` float64 [2]. `is_disc` tells a disc that was found from a frame that stands in for one.

    `profile` says how strong the rings are at radii 0.1 to 4 of this disc, in steps of 1 %: float64 [369], of length 1.
    """

    axes: NDArray[np.float64]
    center: NDArray[np.float64]
    is_disc: bool
    profile: NDArray[np.float64] = field(repr=False)

    def warped(self, affine: NDArray[np.float64]) -> Frame:
        """Put another affine map, float64 [2,3], between the unit disc and this frame."""
        return replace(self, axes=self.axes @ affine[:, :2], center=self.axes @ affine[:, 2] + self.center)

    def sample(self, picture: NDArray[np.uint8], points: NDArray[np.float64]) -> NDArray[np.float32]:
        """Read grey levels at points [2,...] of the unit disc, linearly interpolated; the border goes on outside."""
        x, y = np.tensordot(self.axes, points, axes=1) + self.center.reshape(2, *[1] * (points.ndim - 1))
        width = picture.shape[1]
        levels: NDArray[np.float32] = ndimage.map_coordinates(
            picture, [y * width - 0.5, x * width - 0.5], output=np.float32, order=1, mode="nearest"
        )
        return levels


def unroll(
    picture: NDArray[np.uint8], frame: Frame, *, bands: int, turns: int, inner: float, outer: float
) -> NDArray[np.float32]:
    """Sample `bands` rings at `turns` angles: float32 [bands,turns], radii `inner` to `outer` of the disc's."""
    angle = np.arange(turns) * (2 * np.pi / turns)
    radius = inner + (outer - inner) * (np.arange(bands) + 0.5) / bands
    return frame.sample(picture, np.stack([np.outer(radius, np.cos(angle)), np.outer(radius, np.sin(angle))]))


def frame_whole_picture(picture: NDArray[np.uint8]) -> Frame:
    """Give the frame of a picture without a disc: the ellipse with the moments of its edges' strength.

    It turns, stretches and moves along with the picture's content. `picture` is grey, uint8 [h,w].
    """
    strength = ndimage.gaussian_gradient_magnitude(picture.astype(np.float64), _EDGE_SCALE)
    weights = np.maximum(strength - _FAINTEST_EDGE, 1e-6).ravel()
    y, x = (np.indices(picture.shape) + 0.5) / picture.shape[1]
    points = np.stack([x.ravel(), y.ravel()])
    center = np.average(points, axis=1, weights=weights)
    spread, directions = np.linalg.eigh(np.cov(points, aweights=weights))
    # A filled disc of radius 1 has a variance of 1/4 along each axis.
    axes = directions * (2 * np.sqrt(spread))
    return Frame(axes=axes, center=center, is_disc=False, profile=np.zeros(RINGS))


def typical_profile(discs: Sequence[Frame]) -> NDArray[np.float64]:
    """Give the profile that is typical of the discs of a data set, at least one."""
    profile: NDArray[np.float64] = np.mean([disc.profile for disc in discs], axis=0)
    for _ in range(3):
        shifts = [_shift_to(profile, disc.profile) for disc in discs]
        # The typical outline keeps radius 1.
        middle = int(np.median(shifts))
        moved = [np.roll(disc.profile, shift - middle) for disc, shift in zip(discs, shifts, strict=True)]
        profile = np.mean(moved, axis=0)
    return np.asarray(profile, np.float64)


def fit_size(disc: Frame, profile: NDArray[np.float64], *, least_match: float = 0.0) -> Frame:
    """Resize a disc by up to a factor of 2 so that its rings lie where those of the typical profile do.

    A disc whose rings even then correlate with the typical ones by less than `least_match` keeps its size.
    """
    shift = _shift_to(profile, disc.profile)
    moved = np.roll(disc.profile, shift)
    if moved @ profile <= least_match * np.linalg.norm(profile):
        return disc
    return replace(disc, axes=disc.axes * np.exp(-shift * _PROFILE_STEP), profile=moved)


def _shift_to(profile: NDArray[np.float64], other: NDArray[np.float64]) -> int:
    """Give the number of bins by which `other` is best moved outwards."""
    shifts = np.arange(-_MOST_SHIFT, _MOST_SHIFT + 1)
    fit = [np.roll(other, shift) @ profile for shift in shifts]
    return int(shifts[np.argmax(fit)])


def find_disc(picture: NDArray[np.uint8]) -> Frame | None:
    """Find the round part in a grey picture, uint8 [h,w]; None where there is none.

    Best on pictures of about 256 pixels: edges are then a pixel or two wide.
    """
    edges = _Edges.of(picture.astype(np.float32))
    if len(edges.strength) < 10 * _SECTORS:
        return None
    rings = _fit_concentric_rings(edges)
    return None if rings is None else _measure_rings(edges, *rings)


@dataclass(frozen=True, kw_only=True)
class _Edges:
    """Edge points in widths of the picture and the unit vectors across them, float64 [2,n]; `strength` is [n]."""

    points: NDArray[np.float64]
    normals: NDArray[np.float64]
    strength: NDArray[np.float64]

    @classmethod
    def of(cls, picture: NDArray[np.float32]) -> _Edges:
        gradient_x = ndimage.gaussian_filter(picture, _EDGE_SCALE, order=(0, 1))
        gradient_y = ndimage.gaussian_filter(picture, _EDGE_SCALE, order=(1, 0))
        magnitude = np.hypot(gradient_x, gradient_y)
        ridge = _is_ridge(magnitude, gradient_x, gradient_y)
        if np.count_nonzero(ridge) > _MOST_EDGES:
            ridge &= magnitude >= np.partition(magnitude[ridge], -_MOST_EDGES)[-_MOST_EDGES]
        y, x = np.nonzero(ridge)
        strength = magnitude[ridge].astype(np.float64)
        normals = np.stack([gradient_x[ridge], gradient_y[ridge]]) / strength
        return cls(points=(np.stack([x, y]) + 0.5) / picture.shape[1], normals=normals, strength=strength)


def _is_ridge(
    magnitude: NDArray[np.float32], gradient_x: NDArray[np.float32], gradient_y: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Keep points stronger than both neighbours across the edge, bool [h,w], so that each edge is one point wide."""
    direction = np.round(np.arctan2(gradient_y, gradient_x) / (np.pi / 4)).astype(np.int8) % 4
    ridge = np.zeros(magnitude.shape, bool)
    for index, (dy, dx) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        ahead, behind = np.roll(magnitude, (-dy, -dx), (0, 1)), np.roll(magnitude, (dy, dx), (0, 1))
        ridge |= (direction == index) & (magnitude >= ahead) & (magnitude > behind)
    ridge &= magnitude > _FAINTEST_EDGE
    # The border of a picture is no edge of anything.
    inside = np.zeros_like(ridge)
    inside[4:-4, 4:-4] = True
    return ridge & inside


def _fit_concentric_rings(edges: _Edges) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Fit the axes [2,2] and the centre [2] that all rings share (step 1); the size is arbitrary.

    None if that is no ellipse, or one too thin to be a disc.
    """
    (x, y), (nx, ny) = edges.points - 0.5, edges.normals
    # Unknowns: d, e, b1, b2 of A = [[1 + d, e], [e, 1 - d]] and b.
    design = np.stack([-(nx * y + ny * x), nx * x - ny * y, ny, -nx], axis=1)
    target = ny * x - nx * y
    weights, tolerance = np.ones(len(x)), 0.5
    for _ in range(8):
        weighted = design * weights[:, None]
        d, e, *b = np.linalg.solve(weighted.T @ design + 1e-9 * np.eye(4), weighted.T @ target)
        form = np.array([[1 + d, e], [e, 1 - d]])
        radial = form @ np.stack([x, y]) - np.array(b)[:, None]
        length = np.hypot(*radial) + 1e-9
        sine = (nx * radial[1] - ny * radial[0]) / length
        tolerance = max(0.05, 0.6 * tolerance)
        # Near the centre a direction says little about where the centre is.
        weights = (1 + (sine / tolerance) ** 2) ** -2 / np.maximum(length, 0.07) ** 2
    thick, thin = (float(value) for value in np.linalg.eigvalsh(form))
    if thick <= 0 or thin > thick * _MOST_STRETCH**2:
        return None
    axes = np.linalg.inv(np.linalg.cholesky(form).T)
    return axes, np.linalg.solve(form, np.array(b)) + 0.5


def _measure_rings(edges: _Edges, axes: NDArray[np.float64], center: NDArray[np.float64]) -> Frame | None:
    """Give the frame whose unit circle is the outline; None if no ring is seen nearly all around."""
    flat = np.linalg.solve(axes, edges.points - center[:, None])
    normals = axes.T @ edges.normals
    radius = np.hypot(*flat) + 1e-9
    on_rings = np.abs((normals * flat).sum(axis=0)) > _RADIAL * np.hypot(*normals) * radius
    radius, angle, strength = radius[on_rings], np.arctan2(flat[1], flat[0])[on_rings], edges.strength[on_rings]
    outline = _find_outline(radius, angle)
    if outline is None:
        return None
    return Frame(axes=axes * outline, center=center, is_disc=True, profile=_profile(radius / outline, strength))


def _profile(radius: NDArray[np.float64], strength: NDArray[np.float64]) -> NDArray[np.float64]:
    place = np.log(radius / _PROFILE_START) / _PROFILE_STEP
    profile, _ = np.histogram(place, bins=RINGS, range=(0, RINGS), weights=strength)
    # Square roots keep one bright rim from outweighing all others.
    profile = ndimage.gaussian_filter1d(np.sqrt(profile), 1.5, mode="constant")
    profile -= ndimage.gaussian_filter1d(profile, 20, mode="constant")
    return np.asarray(profile / max(np.linalg.norm(profile), 1e-9), np.float64)


def _find_outline(radius: NDArray[np.float64], angle: NDArray[np.float64]) -> float | None:
    """Give the radius of the outermost ring among edge points [n] in polar coordinates (step 2)."""
    harmonics = np.stack([np.ones_like(angle), *(f(k * angle) for k in (1, 2) for f in (np.cos, np.sin))], axis=1)
    sector = ((angle + np.pi) * (_SECTORS / (2 * np.pi))).astype(int) % _SECTORS
    rings, is_disc = [], False
    for start in _RADII:
        ring = _fit_ring(radius, harmonics, start)
        distance = np.abs(radius - harmonics @ ring) / start
        on_ring = distance < _OUTLINE_WIDTH
        support = np.count_nonzero(np.bincount(sector[on_ring], minlength=_SECTORS)) / _SECTORS
        beside = np.count_nonzero(distance < 5 * _OUTLINE_WIDTH) - np.count_nonzero(on_ring)
        is_disc |= bool(support >= _LEAST_SUPPORT and 4 * np.count_nonzero(on_ring) >= _LEAST_CONTRAST * beside)
        rings.append((float(ring[0]), support))
    enough = max(_LEAST_SUPPORT, 0.8 * max(support for _, support in rings))
    return max(size for size, support in rings if support >= enough) if is_disc else None


def _fit_ring(radius: NDArray[np.float64], harmonics: NDArray[np.float64], start: float) -> NDArray[np.float64]:
    """Fit r(phi) near a circle of radius `start`: coefficients float64 [5], the circle's own first."""
    ring = start * np.eye(5)[0]
    # Without edges nearby the ring stays a circle.
    ridge = np.diag([1e-6, 3, 3, 9, 9])
    near = np.abs(radius - start) < 0.3 * start
    radius, harmonics = radius[near], harmonics[near]
    for width in start * np.array([0.1, 0.06, 0.036, 0.022, 0.013, 0.008]):
        weighted = harmonics * np.exp(-(((radius - harmonics @ ring) / width) ** 2))[:, None]
        ring = np.linalg.solve(weighted.T @ harmonics + ridge, weighted.T @ radius)
    return np.asarray(ring, np.float64)
