"""Finds the round part in a picture, wherever it lies and however it was stretched, and lays it out flat.

A part that is round in truth shows concentric ellipses of one shape: rims, grooves, turning marks. Their common centre
and shape follow from the directions of all edges together, without linking edges into curves:

1. At an edge point p of an ellipse (p - c)' A (p - c) = const the grey-level gradient g is parallel to A (p - c), so
   g x (A p - b) = 0 with b = A c. That is linear in A (of trace 2) and b: one least-squares problem over all edge
   points, re-weighted against edges that belong to no ring.
2. In that frame a ring that is a little displaced or stretched is r(phi) = R + a cos phi + b sin phi + c cos 2 phi +
   d sin 2 phi. One such ring is fitted for each of a row of radii, and the outermost that edges support nearly all
   around is the outline.
3. An ellipse is fitted to the points of the outline.

Re-weighting follows Holland & Welsch, "Robust regression using iteratively reweighted least-squares" (1977).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Frame", "find_disc", "frame_whole_picture", "unroll"]

_EDGE_SCALE = 1.2  # pixels: standard deviation of the Gaussian under the derivative
_FAINTEST_EDGE = 2.0  # grey levels a pixel; what is fainter is noise of sensor and JPEG
_MOST_EDGES = 15_000  # the strongest; a textured background has many more, and none of them help
_RADII = np.geomspace(0.2, 0.56, 16)  # of the outline, in sides of the picture
_OUTLINE_WIDTH = 0.015  # of the radius; edges this near to a ring belong to it
_SECTORS = 72
_LEAST_SUPPORT = 0.6  # of the sectors; burrs, shadows and the picture's border hide the rest
_LEAST_CONTRAST = 3.0  # edges on the outline by edges as dense as around it; leaves and cloth reach 2
_MOST_STRETCH = 2.5  # longer by shorter axis


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where the part lies: the unit disc's point u is the picture's point `axes @ u + center`.

    Lengths are in widths of the picture, x to the right and y down, so they hold at any resolution. `axes` is float64
    [2,2], `center` float64 [2]. `is_disc` tells a disc that was found from a frame that stands in for one.
    """

    axes: NDArray[np.float64]
    center: NDArray[np.float64]
    is_disc: bool

    def warp(self, affine: NDArray[np.float64]) -> Frame:
        """Put another affine map, float64 [2,3], between the unit disc and this frame."""
        return Frame(
            axes=self.axes @ affine[:, :2], center=self.axes @ affine[:, 2] + self.center, is_disc=self.is_disc
        )

    def sample(self, picture: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.float32]:
        """Read grey levels at points [2,...] of the unit disc, linearly interpolated; the border goes on outside."""
        x, y = np.tensordot(self.axes, points, axes=1) + self.center.reshape(2, *[1] * (points.ndim - 1))
        width = picture.shape[1]
        levels: NDArray[np.float32] = ndimage.map_coordinates(
            picture, [y * width - 0.5, x * width - 0.5], order=1, mode="nearest"
        )
        return levels


def unroll(
    picture: NDArray[np.float32], frame: Frame, *, bands: int, turns: int, inner: float, outer: float
) -> NDArray[np.float32]:
    """Sample `bands` rings at `turns` angles: float32 [bands,turns], radii `inner` to `outer` of the disc's."""
    angle = np.arange(turns) * (2 * np.pi / turns)
    radius = inner + (outer - inner) * (np.arange(bands) + 0.5) / bands
    return frame.sample(picture, np.stack([np.outer(radius, np.cos(angle)), np.outer(radius, np.sin(angle))]))


def frame_whole_picture(picture: NDArray[np.float32]) -> Frame:
    """Give the frame of a picture without a disc: the ellipse with the moments of its edges' strength.

    It turns, stretches and moves along with the picture's content. `picture` is grey, float32 [h,w].
    """
    strength = ndimage.gaussian_gradient_magnitude(picture, _EDGE_SCALE).astype(np.float64)
    strength = np.maximum(strength - _FAINTEST_EDGE, 0) + 1e-6
    y, x = (np.indices(picture.shape) + 0.5) / picture.shape[1]
    points, weights = np.stack([x.ravel(), y.ravel()]), strength.ravel() / strength.sum()
    center = points @ weights
    offsets = points - center[:, None]
    spread, directions = np.linalg.eigh((offsets * weights) @ offsets.T)
    # A filled disc of radius 1 has a variance of 1/4 along each axis.
    return Frame(axes=directions * (2 * np.sqrt(spread)), center=center, is_disc=False)


def find_disc(picture: NDArray[np.float32]) -> Frame | None:
    """Find the outline of the round part in a grey picture, float32 [h,w]; None where there is none.

    Best on pictures of about 256 pixels: edges are then a pixel or two wide.
    """
    edges = _Edges.of(picture)
    rings = _concentric_shape(edges)
    if rings is None:
        return None
    outline = _outermost_ring(edges, rings)
    if outline is None:
        return None
    shape = _fit_ellipse(edges.points[:, outline])
    return None if shape is None else Frame(axes=shape.axes, center=shape.center, is_disc=True)


@dataclass(frozen=True, kw_only=True)
class _Edges:
    """Edge points in widths of the picture, float64 [2,n], and the unit vectors across them, float64 [2,n]."""

    points: NDArray[np.float64]
    normals: NDArray[np.float64]

    @classmethod
    def of(cls, picture: NDArray[np.float32]) -> _Edges:
        gradient_x = ndimage.gaussian_filter(picture, _EDGE_SCALE, order=(0, 1))
        gradient_y = ndimage.gaussian_filter(picture, _EDGE_SCALE, order=(1, 0))
        strength = np.hypot(gradient_x, gradient_y)
        ridge = _is_ridge(strength, gradient_x, gradient_y)
        if ridge.sum() > _MOST_EDGES:
            ridge &= strength >= np.partition(strength[ridge], -_MOST_EDGES)[-_MOST_EDGES]
        y, x = np.nonzero(ridge)
        normals = np.stack([gradient_x[ridge], gradient_y[ridge]]).astype(np.float64) / strength[ridge]
        return cls(points=(np.stack([x, y]) + 0.5) / picture.shape[1], normals=normals)


def _is_ridge(
    strength: NDArray[np.float32], gradient_x: NDArray[np.float32], gradient_y: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Keep points stronger than both neighbours across the edge, bool [h,w], so that each edge is one point wide."""
    direction = np.round(np.arctan2(gradient_y, gradient_x) / (np.pi / 4)).astype(np.int8) % 4
    ridge = np.zeros(strength.shape, bool)
    for index, (dy, dx) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        ahead, behind = np.roll(strength, (-dy, -dx), (0, 1)), np.roll(strength, (dy, dx), (0, 1))
        ridge |= (direction == index) & (strength >= ahead) & (strength > behind)
    ridge &= strength > _FAINTEST_EDGE
    # The border of a picture is no edge of anything.
    margin = np.zeros_like(ridge)
    margin[4:-4, 4:-4] = True
    return ridge & margin


@dataclass(frozen=True, kw_only=True)
class _Ellipse:
    """The points p with |inv(axes) (p - center)| = 1."""

    axes: NDArray[np.float64]
    center: NDArray[np.float64]

    @classmethod
    def from_form(cls, form: NDArray[np.float64], center: NDArray[np.float64], radius: float) -> _Ellipse | None:
        """Take (p - center)' form (p - center) = radius^2; None if that is no ellipse or one too thin to be a disc."""
        low, high = map(float, np.linalg.eigvalsh(form))
        if not (low > 0 and high < low * _MOST_STRETCH**2 and radius > 0):
            return None
        return cls(axes=np.linalg.inv(np.linalg.cholesky(form).T) * radius, center=center)

    def flatten(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map points [2,n] into the frame where this ellipse is the unit circle."""
        flat: NDArray[np.float64] = np.linalg.solve(self.axes, points - self.center[:, None])
        return flat


def _concentric_shape(edges: _Edges) -> _Ellipse | None:
    """Fit the common centre and shape of all rings (step 1); the size is arbitrary."""
    (x, y), (nx, ny) = edges.points - 0.5, edges.normals
    if len(x) < 10 * _SECTORS:
        return None
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
    if np.linalg.det(form) <= 0:
        return None
    return _Ellipse.from_form(form, np.linalg.solve(form, b) + 0.5, 1.0)


def _outermost_ring(edges: _Edges, rings: _Ellipse) -> NDArray[np.intp] | None:
    """Give the indices of the edge points on the part's outline (step 2)."""
    flat = rings.flatten(edges.points)
    radius, angle = np.hypot(*flat), np.arctan2(flat[1], flat[0])
    normals = rings.axes.T @ edges.normals
    radial = np.abs((normals * flat).sum(axis=0)) / (np.hypot(*normals) * radius + 1e-9)
    chosen = np.flatnonzero(radial > 0.9)  # noqa: PLR2004 - within 26 degrees of the ring's normal
    radius, angle = radius[chosen], angle[chosen]
    harmonics = np.stack([np.ones_like(angle), *(f(k * angle) for k in (1, 2) for f in (np.cos, np.sin))], axis=1)
    sector = ((angle + np.pi) * (_SECTORS / (2 * np.pi))).astype(int) % _SECTORS
    outline, outline_size, is_disc = None, 0.0, False
    candidates = []
    for start in _RADII:
        ring = _fit_ring(radius, harmonics, start)
        distance = np.abs(radius - harmonics @ ring) / start
        on_ring = distance < _OUTLINE_WIDTH
        support = np.count_nonzero(np.bincount(sector[on_ring], minlength=_SECTORS)) / _SECTORS
        around = np.count_nonzero(distance < 5 * _OUTLINE_WIDTH) - np.count_nonzero(on_ring)
        contrast = 4 * np.count_nonzero(on_ring) / max(around, 1)
        candidates.append((float(ring[0]), support, on_ring))
        is_disc |= support >= _LEAST_SUPPORT and contrast >= _LEAST_CONTRAST
    enough = max(_LEAST_SUPPORT, 0.8 * max(support for _, support, _ in candidates))
    for size, support, on_ring in candidates:
        if support >= enough and size > outline_size:
            outline, outline_size = on_ring, size
    return chosen[outline] if is_disc and outline is not None else None


def _fit_ring(radius: NDArray[np.float64], harmonics: NDArray[np.float64], start: float) -> NDArray[np.float64]:
    """Fit r(phi) near a circle of radius `start`: coefficients float64 [5], the circle's own first."""
    ring = start * np.eye(5)[0]
    # Without edges nearby the ring stays where it began.
    ridge = np.diag([1e-6, 3, 3, 9, 9])
    for step in range(8):
        width = start * max(0.008, 0.1 * 0.6**step)
        weights = np.exp(-(((radius - harmonics @ ring) / width) ** 2))
        weighted = harmonics * weights[:, None]
        ring = np.linalg.solve(weighted.T @ harmonics + ridge, weighted.T @ radius)
    return ring


def _fit_ellipse(points: NDArray[np.float64]) -> _Ellipse | None:
    """Fit an ellipse to outline points [2,n] (step 3)."""
    x, y = points - 0.5
    # Unknowns: d, e, b1, b2, f of p'Ap - 2 b'p = f with A as in step 1.
    design = np.stack([x * x - y * y, 2 * x * y, -2 * x, -2 * y, -np.ones_like(x)], axis=1)
    weights = np.ones(len(x))
    ellipse = None
    for _ in range(5):
        solution, *_ = np.linalg.lstsq(design * weights[:, None], -(x * x + y * y) * weights, rcond=None)
        d, e, b1, b2, f = solution
        form = np.array([[1 + d, e], [e, 1 - d]])
        center = np.linalg.solve(form, [b1, b2])
        ellipse = _Ellipse.from_form(form, center + 0.5, float(np.sqrt(max(f + center @ form @ center, 0))))
        if ellipse is None:
            return None
        miss = np.hypot(*ellipse.flatten(points)) - 1
        weights = 1 / (1 + (miss / 0.008) ** 2)
    return ellipse
