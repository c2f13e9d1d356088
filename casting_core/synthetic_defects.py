"""The marks on a synthetic casting: defects that reject it, and blemishes that do not.

A mark is painted into a `Patch`, the small window of a picture around its place, so that its cost follows its own size
and nothing outside the window can change. Lengths are in units of the casting's outer radius.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from casting_core.errors import InvalidInput
from casting_core.synthetic_impeller import Canvas, Pixels

DefectKind: TypeAlias = Literal["blow_hole", "shrinkage", "chipped_edge", "flash", "scratch"]
DEFECT_KINDS: tuple[DefectKind, ...] = get_args(DefectKind)

SUBTLE_SHARE = 0.15
# Outside every collar, even where a tilted camera sees it displaced: a defect further in would be hidden.
_INNERMOST, _OUTERMOST = 0.72, 1.0
_NEARLY_SATURATED = 160


@dataclass(frozen=True, kw_only=True)
class Defect:
    """One defect: what it is, how bad it is, and where it lies in the casting's own polar coordinates.

    `severity` in (0, 1] sets size and contrast. `radius_fraction` in 0.72..1 is the distance from the axis over the
    outer radius, `angle` is in radians and turns with the casting, `shape_seed` draws the outline. A chipped edge and a
    flash sit on the rim whatever `radius_fraction` says. `InvalidInput` is raised for values outside these ranges.
    """

    kind: DefectKind
    severity: float
    radius_fraction: float
    angle: float
    shape_seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in DEFECT_KINDS:
            raise InvalidInput(f"unknown defect kind {self.kind!r}: use one of {', '.join(DEFECT_KINDS)}")
        if not 0 < self.severity <= 1:
            raise InvalidInput(f"severity of a {self.kind} is {self.severity}: give a number above 0 and up to 1")
        if not _INNERMOST <= self.radius_fraction <= _OUTERMOST:
            raise InvalidInput(
                f"radius_fraction of a {self.kind} is {self.radius_fraction}: "
                f"give a number from {_INNERMOST} (just outside the collar) to {_OUTERMOST} (the rim)"
            )
        if not math.isfinite(self.angle):
            raise InvalidInput(f"angle of a {self.kind} is {self.angle}: give radians")
        if self.shape_seed < 0:
            raise InvalidInput(f"shape_seed of a {self.kind} is {self.shape_seed}: give 0 or more")

    @property
    def centre(self) -> float:
        """Distance from the axis about which the defect is painted."""
        return 1.0 if self.kind in ("chipped_edge", "flash") else self.radius_fraction

    @property
    def reach(self) -> float:
        """How far from its centre the defect may change the picture."""
        smallest, growth = _REACH[self.kind]
        return smallest + growth * self.severity


@dataclass(frozen=True, kw_only=True)
class Blemish:
    """A harmless mark that castings of both classes bear; places as for a `Defect`, `extent` its half width."""

    kind: Literal["stain", "turning_marks", "glint"]
    strength: float
    extent: float
    radius_fraction: float
    angle: float
    shape_seed: int

    @property
    def reach(self) -> float:
        """How far from its place the blemish may change the picture."""
        return 1.5 * self.extent


@dataclass(frozen=True, kw_only=True, slots=True)
class Patch:
    """A window into a picture, with coordinates about a mark's place; every array is float32 [h,w] except `touched`.

    `image` and `touched` (bool) are views that painting changes. `background` is the picture without the casting,
    `machined` how much of a pixel is visible machined shroud (0 to 1). `radius` runs from the axis; `radial` (outwards)
    and `tangential` from the mark's place. `pixel` is a pixel's width, `light_bearing` the light's direction against
    the radial axis in radians, `metal` the grey level of lit metal.
    """

    image: Pixels
    touched: NDArray[np.bool_]
    background: Pixels
    machined: Pixels
    radius: Pixels
    radial: Pixels
    tangential: Pixels
    pixel: float
    light_bearing: float
    metal: float

    @classmethod
    def of(cls, canvas: Canvas, *, radius_fraction: float, angle: float, reach: float) -> Self:
        """Open the window on a canvas; the place turns with the casting."""
        bearing = angle + canvas.scene.turn
        cos, sin = math.cos(bearing), math.sin(bearing)
        part = canvas.around(radius_fraction * cos, radius_fraction * sin, reach)
        return cls(
            image=part.image,
            touched=part.touched,
            background=part.background,
            machined=part.machined,
            radius=part.radius(),
            radial=part.x * cos + part.y * sin - radius_fraction,
            tangential=part.y * cos - part.x * sin,
            pixel=canvas.pixel,
            light_bearing=canvas.scene.light - bearing,
            metal=canvas.scene.metal,
        )

    def paint(self, opacity: Pixels, grey: Pixels | float) -> None:
        """Blend `grey` into the image; `opacity` is [h,w] in 0..1 and must be exactly 0 off the mark."""
        self.image[...] += opacity * (grey - self.image)
        self.touched[...] |= opacity > 0

    def within(self, signed_distance: Pixels) -> Pixels:
        """Turn a distance inside an outline (negative outside) into antialiased pixel coverage in 0..1."""
        covered: Pixels = np.clip(signed_distance / self.pixel + 0.5, 0, 1)
        return covered


def draw_defects(rng: np.random.Generator) -> tuple[Defect, ...]:
    """Draw the defects of one casting: at most three, and all subtle on about 15 % of castings."""
    count = int(rng.choice([1, 2, 3], p=[0.7, 0.22, 0.08]))
    low, high = (0.06, 0.25) if rng.random() < SUBTLE_SHARE else (0.35, 1.0)
    return tuple(
        Defect(
            kind=DEFECT_KINDS[rng.integers(len(DEFECT_KINDS))],
            severity=float(rng.uniform(low, high)),
            radius_fraction=float(rng.uniform(0.74, 0.94)),
            angle=float(rng.uniform(-np.pi, np.pi)),
            shape_seed=int(rng.integers(2**31)),
        )
        for _ in range(count)
    )


def draw_blemishes(rng: np.random.Generator) -> tuple[Blemish, ...]:
    """Draw the harmless marks of one casting: four on average."""
    kinds: tuple[Literal["stain", "turning_marks", "glint"], ...] = ("stain", "turning_marks", "glint")
    return tuple(
        Blemish(
            kind=kinds[rng.choice(3, p=[0.4, 0.35, 0.25])],
            strength=float(rng.uniform(0.2, 1.0)),
            extent=float(rng.uniform(0.03, 0.14)),
            radius_fraction=float(rng.uniform(0.66, 0.99)),
            angle=float(rng.uniform(-np.pi, np.pi)),
            shape_seed=int(rng.integers(2**31)),
        )
        for _ in range(rng.poisson(4))
    )


def paint_defect(canvas: Canvas, defect: Defect) -> None:
    """Paint one defect onto a casting; it changes nothing farther than its reach from its centre."""
    patch = Patch.of(canvas, radius_fraction=defect.centre, angle=defect.angle, reach=defect.reach)
    _PAINTERS[defect.kind](patch, defect.severity, np.random.default_rng(defect.shape_seed))


def _blow_hole(patch: Patch, severity: float, rng: np.random.Generator) -> None:
    largest = 0.008 + 0.048 * severity
    for index in range(1 + int(rng.choice([0, 0, 1, 2]))):
        radius = largest * (1.0 if index == 0 else float(rng.uniform(0.35, 0.8)))
        radial, tangential = (largest * rng.uniform(-2.2, 2.2) if index else 0.0 for _ in range(2))
        _pit(patch, radial, tangential, radius, depth=0.35 + 0.6 * severity, rng=rng)


def _pit(
    patch: Patch, radial: float, tangential: float, radius: float, *, depth: float, rng: np.random.Generator
) -> None:
    """A round hole: its wall is dark towards the light, and the lip away from the light shines."""
    across = (patch.radial - radial) * float(rng.uniform(0.85, 1.15))
    along = patch.tangential - tangential
    bearing = np.arctan2(along, across)
    outline = radius * (1 + 0.10 * np.cos(2 * bearing + rng.uniform(0, 6)) + 0.04 * np.cos(3 * bearing))
    distance = np.hypot(across, along)
    facing = np.cos(bearing - patch.light_bearing)
    lip = np.clip(1 - np.abs(distance - 1.12 * outline) / (0.3 * radius + 0.8 * patch.pixel), 0, 1)
    patch.paint(lip * np.clip(0.45 - 0.55 * facing, 0, 1) * depth * patch.machined, min(1.3 * patch.metal, 250.0))
    floor = 0.13 * patch.metal * (1 - 0.7 * facing * np.minimum(distance / radius, 1))
    patch.paint(patch.within(outline - distance) * depth * patch.machined, floor)


def _shrinkage(patch: Patch, severity: float, rng: np.random.Generator) -> None:
    """Torn, porous metal: a ragged chain of small cavities in a dull halo."""
    spread = 0.02 + 0.085 * severity
    direction = rng.uniform(0, np.pi)
    along = rng.normal(0, spread, 6 + int(30 * severity)).clip(-1.9 * spread, 1.9 * spread)
    across = 0.4 * rng.normal(0, spread, along.size).clip(-1.9 * spread, 1.9 * spread)
    across += 0.3 * spread * np.sin(along / spread)
    radial = along * np.cos(direction) - across * np.sin(direction)
    tangential = along * np.sin(direction) + across * np.cos(direction)
    size = rng.uniform(0.004, 0.009 + 0.014 * severity, along.size) * rng.choice([0.6, 1.0, 1.5], along.size)
    radial, tangential, size = np.array([radial, tangential, size], np.float32)
    # Warped coordinates make torn cavities of what would be round ones.
    warp = 0.5 * float(size.mean())
    x = patch.radial + warp * _ragged(patch.tangential + 0.3 * patch.radial, rng, waves=0.22 / size.mean())
    y = patch.tangential + warp * _ragged(patch.radial - 0.3 * patch.tangential, rng, waves=0.22 / size.mean())
    distance = np.hypot(x[..., None] - radial, y[..., None] - tangential)
    halo = np.clip(1 - (distance / (2.2 * size)).min(axis=-1), 0, 1)
    patch.paint(0.35 * halo * patch.machined, 0.55 * patch.metal)
    inside = patch.within((size - distance).max(axis=-1))
    patch.paint(inside * (0.4 + 0.55 * severity) * patch.machined, 0.14 * patch.metal)


def _chipped_edge(patch: Patch, severity: float, rng: np.random.Generator) -> None:
    """Metal broken off the rim: the bench shows where it is gone, and a rough dark face where it tore."""
    depth = 0.02 + 0.10 * severity
    half_width = depth * rng.uniform(1.0, 1.9)
    ragged = 1 + 0.25 * _ragged(patch.tangential / half_width, rng, waves=0.7)
    bite = depth * np.clip(1 - np.abs(patch.tangential / half_width) ** 1.7, 0, None) * ragged
    face = bite * rng.uniform(0.35, 0.6) + 0.3 * depth * (bite > 0)
    bitten = patch.within(patch.radius - (1 - bite)) * (bite > 0)
    grain = 1 + 0.5 * _ragged((patch.tangential + 0.6 * patch.radial) / depth, rng, waves=2.5)
    on_disc = patch.within(1.012 - patch.radius)
    patch.paint(bitten * on_disc, np.clip(0.25 * patch.metal * grain, 5, 160).astype(np.float32))
    patch.paint(bitten * on_disc * patch.within(patch.radius - (1 - bite + face)), patch.background)
    edge = np.clip(1 - np.abs(patch.radius - (1 - bite)) / (1.2 * patch.pixel), 0, 1) * (bite > 0.15 * depth)
    patch.paint(0.6 * edge, min(1.2 * patch.metal, 245.0))


def _flash(patch: Patch, severity: float, rng: np.random.Generator) -> None:
    """Thin torn metal squeezed out of the parting line: dark from above, with facets that shine."""
    half_length = 0.10 + 0.42 * severity
    thickness = 0.024 + 0.046 * severity
    arc = np.arctan2(patch.tangential, 1 + patch.radial)
    envelope = np.clip(1 - np.abs(arc / half_length) ** 3, 0, None)
    corners = np.sort(rng.uniform(-half_length, half_length, 6 + int(60 * half_length)))
    torn = np.interp(arc, corners, rng.uniform(-0.35, 1.0, corners.size).clip(0, 1))
    height = (thickness * envelope * torn).astype(np.float32)
    outside = patch.within(patch.radius - 0.992) * (height > 0)
    shadow = np.clip((1.01 + 1.8 * height - patch.radius) / 0.03, 0, 1)
    patch.paint(0.5 * outside * shadow, 0.35 * patch.background)
    fin = outside * patch.within(1 + height - patch.radius)
    facets = np.interp(arc + 0.4 * patch.radial, corners + rng.normal(0, 0.01), rng.uniform(-1, 1, corners.size))
    shining = np.clip(8 * (facets - 0.45), 0, 1)
    grey = patch.metal * (0.2 * (1 + 0.6 * facets) + shining)
    patch.paint(fin * (0.6 + 0.4 * severity), np.clip(grey, 5, 250).astype(np.float32))


def _scratch(patch: Patch, severity: float, rng: np.random.Generator) -> None:
    """A groove across the turning marks, bright on one flank and dark on the other."""
    half_length = 0.08 + 0.25 * severity
    width = 0.004 + 0.010 * severity
    direction = rng.uniform(-1.1, 1.1)
    along = patch.radial * math.cos(direction) + patch.tangential * math.sin(direction)
    across = patch.tangential * math.cos(direction) - patch.radial * math.sin(direction)
    across = across - rng.uniform(-0.9, 0.9) * along**2 - 0.003 * _ragged(along / half_length, rng, waves=0.8)
    taper = np.clip(2.5 * (1 - np.abs(along / half_length)), 0, 1) * (0.5 + 0.5 * severity) * patch.machined
    # Metal near saturation cannot get brighter, so there the dark flank is what shows.
    strengths = [0.3, 1.0] if patch.metal > _NEARLY_SATURATED else rng.permuted([1.0, 0.3])
    greys = (np.minimum(patch.image + 0.8 * patch.metal, 253), 0.12 * patch.metal)
    for side, strength, grey in zip((1, -1), strengths, greys, strict=True):
        # A line thinner than a pixel covers only a part of it.
        inside = (0.5 * (width + patch.pixel) - np.abs(across - 0.5 * side * width)) / patch.pixel
        patch.paint(np.clip(inside, 0, min(1.0, width / patch.pixel)) * strength * taper, grey)


def _ragged(position: Pixels, rng: np.random.Generator, *, waves: float) -> Pixels:
    """Smooth irregularity along a line, mostly in -1..1, with about `waves` waves per unit of position."""
    total = np.zeros_like(position)
    for octave, weight in ((0.6, 0.5), (1.0, 0.5), (1.7, 0.35), (3.1, 0.2)):
        pitch = 2 * np.pi * waves * octave * float(rng.uniform(0.8, 1.25))
        total += weight * np.sin(pitch * position + float(rng.uniform(0, 2 * np.pi)))
    return total


def paint_blemish(canvas: Canvas, blemish: Blemish) -> None:
    """Paint one blemish onto a casting, before its defects."""
    patch = Patch.of(canvas, radius_fraction=blemish.radius_fraction, angle=blemish.angle, reach=blemish.reach)
    rng = np.random.default_rng(blemish.shape_seed)
    extent, strength = blemish.extent, blemish.strength
    if blemish.kind == "stain":
        ring = np.hypot(patch.radial, patch.tangential * float(rng.uniform(0.7, 1.0))) / extent
        ring += 0.1 * _ragged((patch.tangential + 0.7 * patch.radial) / extent, rng, waves=0.4)
        dried_border = np.clip(1 - np.abs(ring - 0.8) / 0.2, 0, 1)
        opacity = 0.3 * strength * (np.clip(1 - ring, 0, 1) + rng.uniform(0, 1) * dried_border)
        patch.paint(opacity * patch.machined, 0.5 * patch.metal)
    elif blemish.kind == "turning_marks":
        # Along the arc, as the tool leaves them; a scratch runs across.
        from_circle = patch.radius - blemish.radius_fraction
        arcs = np.clip(np.cos(from_circle * float(rng.uniform(120, 400))), 0, 1)
        fade = np.clip(1 - (patch.tangential / (1.4 * extent)) ** 2 - (from_circle / (0.3 * extent)) ** 2, 0, 1)
        patch.paint(0.4 * strength * arcs * fade * patch.machined, patch.metal * float(rng.choice([0.6, 1.35])))
    else:
        spot = np.clip(1 - np.hypot(patch.radial / 0.25, patch.tangential) / (0.35 * extent), 0, 1)
        patch.paint(0.9 * strength * spot * patch.machined, min(1.5 * patch.metal, 250.0))


# Reach of the mildest defect, and its growth up to severity 1.
_REACH: dict[DefectKind, tuple[float, float]] = {
    "blow_hole": (0.07, 0.20),
    "shrinkage": (0.14, 0.25),
    "chipped_edge": (0.08, 0.24),
    "flash": (0.16, 0.45),
    "scratch": (0.12, 0.32),
}
_PAINTERS: dict[DefectKind, Callable[[Patch, float, np.random.Generator], None]] = {
    "blow_hole": _blow_hole,
    "shrinkage": _shrinkage,
    "chipped_edge": _chipped_edge,
    "flash": _flash,
    "scratch": _scratch,
}
