"""How a sound casting looks to a line camera: its shape, the scene of one picture, and paint from the bench up.

Lengths are in units of the casting's outer radius, angles in radians, grey levels in 0..255.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Pixels: TypeAlias = NDArray[np.floating[Any]]

_BANK = 1024  # a power of two, so that an index wraps round with a bit mask
_WRAP = _BANK - 1
_FULL_TURN = 2 * np.pi
_BEARINGS = np.arange(_BANK) * (_FULL_TURN / _BANK)
_TEXELS_PER_RADIUS = 700

# Ranges of grey for bench and metal: over-exposed white bench, grey bench, dark bench; and how often each is met.
_STATIONS = (((195, 240), (115, 160)), ((125, 190), (150, 205)), ((55, 100), (130, 185)))
_STATION_SHARES = (0.4, 0.45, 0.15)


@dataclass(frozen=True, kw_only=True)
class Impeller:
    """A casting's own shape and surface: radii from the bore to the collar's foot, vanes, turning marks, texture."""

    bore: float
    hub: float
    eye: float
    collar: float
    collar_foot: float
    vane_count: int
    vane_wrap: float
    vane_phase: float
    vane_greys: tuple[float, ...]
    grooves_per_radius: float
    groove_depth: float
    ring_depth: float
    mark_depth: float
    mottle: float
    grain: float
    sparkle: float
    texture: tuple[int, int]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Impeller":
        """Draw a casting."""
        hub, eye = rng.uniform(0.24, 0.31), rng.uniform(0.48, 0.57)
        collar = eye + rng.uniform(0.05, 0.09)
        vane_count = int(rng.integers(5, 9))
        vane_grey = rng.uniform(35, 90)
        return cls(
            bore=hub - rng.uniform(0.05, 0.085),
            hub=hub,
            eye=eye,
            collar=collar,
            collar_foot=collar + rng.uniform(0.005, 0.03),
            vane_count=vane_count,
            vane_wrap=float(rng.choice([-1, 1])) * rng.uniform(0.6, 1.3),
            vane_phase=rng.uniform(0, 1),
            vane_greys=tuple(vane_grey * rng.uniform(0.35, 1.0, vane_count)),
            grooves_per_radius=rng.uniform(80, 125),
            groove_depth=rng.uniform(0.05, 0.7),
            ring_depth=rng.uniform(0.008, 0.025),
            mark_depth=rng.uniform(0.004, 0.024),
            mottle=rng.uniform(0.0, 0.04),
            grain=rng.uniform(0.006, 0.025),
            sparkle=max(0.0, rng.uniform(-0.6, 0.6)),
            texture=_anywhere_in_bank(rng),
        )


@dataclass(frozen=True, kw_only=True)
class Scene:
    """How one picture is taken: `centre` and `half_axes` in fractions of the picture, `tilt` per unit of height.

    `lobes` are the highlights of turned metal: (bearing, sharpness, strength). `slope` is the relative fall of light
    from the centre to the right and lower border.
    """

    centre: tuple[float, float]
    half_axes: tuple[float, float]
    turn: float
    tilt: tuple[float, float]
    bench: float
    metal: float
    slope: tuple[float, float]
    shadow: float
    light: float
    lobes: tuple[tuple[float, float, float], ...]
    texture: tuple[int, int]
    blur: float
    noise: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Scene":
        """Draw the circumstances of one picture."""
        stretch, radius = rng.uniform(0.94, 1.06), rng.uniform(0.37, 0.43)
        half_axes = (radius * stretch, radius / stretch)
        room = [0.5 - 1.08 * half_axis for half_axis in half_axes]  # a flash must not be cut off
        bench, metal = _STATIONS[rng.choice(len(_STATIONS), p=_STATION_SHARES)]
        light, lean = rng.uniform(-np.pi, np.pi), rng.uniform(-np.pi, np.pi)
        tilt = rng.uniform(0.005, 0.045)
        return cls(
            centre=(0.5 + rng.uniform(-1, 1) * room[0], 0.5 + rng.uniform(-1, 1) * room[1]),
            half_axes=half_axes,
            turn=rng.uniform(-np.pi, np.pi),
            tilt=(tilt * math.cos(lean), tilt * math.sin(lean)),
            bench=rng.uniform(*bench),
            metal=rng.uniform(*metal),
            slope=(rng.normal(0, 0.05), rng.normal(0, 0.05)),
            shadow=rng.uniform(0.15, 0.65),
            light=light,
            lobes=(
                (light, rng.uniform(4, 30), rng.uniform(0.15, 0.65)),
                (light + np.pi + rng.normal(0, 0.3), rng.uniform(4, 30), rng.uniform(0.1, 0.6)),
                (rng.uniform(-np.pi, np.pi), rng.uniform(15, 120), rng.uniform(0.0, 0.2)),
            ),
            texture=_anywhere_in_bank(rng),
            blur=rng.uniform(0.05, 0.2),
            noise=rng.uniform(0.5, 2.4),
        )


@dataclass(frozen=True, slots=True)
class Canvas:
    """A picture in the making: `x` [1,w] and `y` [h,1] run from the casting's axis, all other arrays are [h,w].

    `bearing` is the direction from the axis in 1024ths of a turn. `background` is the picture without the casting,
    `machined` how much of a pixel is visible shroud (0 to 1), `touched` where a mark has been painted.
    """

    scene: Scene
    x: Pixels
    y: Pixels
    pixel: float
    bearing: NDArray[np.intp]
    image: Pixels
    background: Pixels
    machined: Pixels
    touched: NDArray[np.bool_]

    @classmethod
    def blank(cls, scene: Scene, size: int) -> "Canvas":
        """Set up coordinates for a picture of `size` by `size` pixels."""
        steps = (np.arange(size, dtype=np.float32) + 0.5) / size
        x = ((steps - scene.centre[0]) / scene.half_axes[0])[None, :]
        y = ((steps - scene.centre[1]) / scene.half_axes[1])[:, None]
        bearing = (np.arctan2(y, x) * (_BANK / _FULL_TURN)).astype(np.intp) & _WRAP
        image, background, machined = np.zeros((3, size, size), np.float32)
        pixel = 1 / (size * math.sqrt(scene.half_axes[0] * scene.half_axes[1]))
        return cls(scene, x, y, pixel, bearing, image, background, machined, np.zeros((size, size), np.bool_))

    def around(self, x: float, y: float, half: float) -> "Canvas":
        """Give the square within `half` of a point; its arrays are views."""
        rows = slice(*np.searchsorted(self.y.ravel(), (y - half, y + half)))
        columns = slice(*np.searchsorted(self.x.ravel(), (x - half, x + half)))
        return Canvas(
            self.scene,
            self.x[:, columns],
            self.y[rows],
            self.pixel,
            self.bearing[rows, columns],
            self.image[rows, columns],
            self.background[rows, columns],
            self.machined[rows, columns],
            self.touched[rows, columns],
        )

    def radius(self, height: float = 0.0) -> Pixels:
        """Distance from the axis of what lies at a height over the shroud, as the tilted camera sees it."""
        dx, dy = (height * part for part in self.scene.tilt)
        distance: Pixels = np.sqrt((self.x - dx) ** 2 + (self.y - dy) ** 2)
        return distance

    def cover(self, radius: Pixels, edge: float) -> Pixels:
        """How much of each pixel lies within `edge` of the axis, in 0..1."""
        covered: Pixels = np.clip((edge - radius) * (1 / self.pixel) + 0.5, 0, 1)
        return covered

    def lay(self, coverage: Pixels, grey: Pixels | float) -> None:
        """Blend a grey over the image."""
        self.image[...] += coverage * (grey - self.image)


def paint_impeller(canvas: Canvas, impeller: Impeller) -> None:
    """Paint a sound casting on its bench onto a blank canvas."""
    _paint_bench(canvas)
    radius = canvas.radius()
    canvas.lay(canvas.cover(canvas.radius(-0.8), 1.0), 0.16 * canvas.scene.metal)
    _paint_shroud(canvas, impeller, radius)
    canvas.machined[...] = canvas.cover(radius, 1.0)
    inner = canvas.around(0, 0, impeller.collar_foot + 0.06)
    _paint_collar(inner, impeller)
    _paint_cavity(inner, impeller)
    _paint_hub(inner, impeller)


def _paint_bench(canvas: Canvas) -> None:
    """The table, a little blotched, with the casting's soft shadow on it."""
    scene = canvas.scene
    rows, columns = (
        ((axis.ravel() * 160).astype(np.intp) + offset) & _WRAP
        for axis, offset in zip((canvas.y, canvas.x), scene.texture, strict=True)
    )
    blotches = _noise_bank().smooth[np.ix_(rows, columns)]
    away_x, away_y = 0.05 * math.cos(scene.light), 0.05 * math.sin(scene.light)
    distance = np.sqrt((canvas.x + away_x) ** 2 + (canvas.y + away_y) ** 2)
    fall = np.exp(-np.clip(np.linspace(0, 2, _BANK) - 0.96, 0, None) / 0.1)
    shade = (scene.bench * (1 - scene.shadow * fall)).astype(np.float32)
    lit = shade[np.minimum(distance * (_BANK / 2), _WRAP).astype(np.intp)]
    canvas.background[...] = lit * (1 + 0.012 * blotches)
    canvas.image[...] = canvas.background


def _paint_shroud(canvas: Canvas, impeller: Impeller, radius: Pixels) -> None:
    """The turned face: rings and marks left by the tool, and the radial highlights that turned metal throws."""
    scene, banks = canvas.scene, _noise_bank()
    # About a third of the picture: the rest is hidden by what is painted next.
    seen = np.flatnonzero((radius > impeller.eye) & (radius < 1 + canvas.pixel))
    radius, bearing = radius.ravel()[seen], canvas.bearing.ravel()[seen]
    texel = _texel(impeller, scene, radius, bearing)
    face = 1 + impeller.mark_depth * banks.turned.take(texel) + impeller.mottle * banks.smooth.take(texel)
    face += impeller.ring_depth * banks.rings[texel // _BANK]
    speckle = banks.fine.take(texel)
    face += impeller.grain * speckle + impeller.sparkle * np.clip(speckle - 3.0, 0, 1)
    sheen = _sheen(scene)
    # A pixel averages over its width, which dims grooves finer than that; what is left shows as moiré.
    dimmed = impeller.groove_depth * float(np.sinc(impeller.grooves_per_radius * canvas.pixel))
    glance = (dimmed * np.clip(sheen - 1, 0, None))[bearing]
    face += glance * np.cos(radius * (_FULL_TURN * impeller.grooves_per_radius))
    face *= (scene.metal * sheen)[bearing]
    bevel = np.clip(1 - np.abs(radius - 0.992) / (0.008 + 0.5 * canvas.pixel), 0, 1)
    face += bevel * _edge_light(scene)[bearing]
    pixels = canvas.image.reshape(-1)
    pixels[seen] += canvas.cover(radius, 1.0) * (face - pixels[seen])


def _paint_collar(canvas: Canvas, impeller: Impeller) -> None:
    """The raised collar and the dark gap at its foot; from here inwards nothing is machined shroud."""
    top = canvas.radius(1.0)
    foot, collar = canvas.cover(canvas.radius(), impeller.collar_foot), canvas.cover(top, impeller.collar)
    canvas.lay(foot, 0.14 * canvas.scene.metal)
    canvas.lay(collar, _ring_face(canvas, top, impeller.eye, impeller.collar))
    canvas.machined[...] *= (1 - foot) * (1 - collar)


def _paint_cavity(canvas: Canvas, impeller: Impeller) -> None:
    """The dark inside of the eye, with the vanes that curve from the hub outwards."""
    scene = canvas.scene
    radius = canvas.radius(1.0)
    wrap = impeller.vane_wrap / (_FULL_TURN * (impeller.eye - impeller.hub))
    turned = canvas.bearing.astype(np.float32) / _BANK - (scene.turn / _FULL_TURN)
    phase = impeller.vane_count * (turned + wrap * radius) + impeller.vane_phase
    vane = np.floor(phase)
    phase -= vane
    ridge = np.clip(phase / 0.08, 0, 1) * np.clip(1 - phase / 0.55, 0, 1) ** 1.5
    ridge *= np.array(impeller.vane_greys, np.float32)[vane.astype(np.intp) % impeller.vane_count]
    ridge *= (0.6 + 0.4 * np.cos(_BEARINGS - scene.light)).astype(np.float32)[canvas.bearing]
    ridge *= 1 + 0.3 * _noise_bank().fine.take(_texel(impeller, scene, radius, canvas.bearing))
    # Light reaches the middle of the channel best: the collar and the hub shade its borders.
    ridge *= np.clip((impeller.eye - radius) / 0.08, 0, 1) * np.clip((radius - impeller.hub) / 0.1, 0.2, 1)
    canvas.lay(canvas.cover(radius, impeller.eye), 16 + ridge)


def _paint_hub(canvas: Canvas, impeller: Impeller) -> None:
    """The hub's turned end, the wall of its bore, and the bench that shows through."""
    scene = canvas.scene
    top = canvas.radius(0.7)
    canvas.lay(canvas.cover(top, impeller.hub), _ring_face(canvas, top, impeller.bore, impeller.hub))
    in_bore = canvas.cover(top, impeller.bore)
    wall = scene.metal * (0.42 - 0.25 * np.cos(_BEARINGS - scene.light))
    canvas.lay(in_bore, wall.astype(np.float32)[canvas.bearing])
    through = canvas.cover(canvas.radius(-1.2), 0.96 * impeller.bore)
    lit = 0.72 + 0.9 * (canvas.x * math.cos(scene.light) + canvas.y * math.sin(scene.light))
    canvas.lay(in_bore * through, 0.85 * scene.bench * np.clip(lit, 0.3, 1.1))


def _texel(impeller: Impeller, scene: Scene, radius: Pixels, bearing: NDArray[np.intp]) -> NDArray[np.intp]:
    """Flat index into the noise bank of a place on the casting, so that its texture turns with it."""
    row, column = impeller.texture
    ring = ((radius * _TEXELS_PER_RADIUS).astype(np.intp) + row) & _WRAP
    return ring * _BANK + ((bearing - int(scene.turn * _BANK / _FULL_TURN) + column) & _WRAP)


def _ring_face(canvas: Canvas, radius: Pixels, inner: float, outer: float) -> Pixels:
    """A narrow turned ring whose bevels catch the light."""
    soft = 0.009 + 0.6 * canvas.pixel
    bevels = np.clip(1 - np.abs(radius - (outer - 0.008)) / soft, 0, 1)
    bevels += 0.7 * np.clip(1 - np.abs(radius - (inner + 0.006)) / soft, 0, 1)
    flat = canvas.scene.metal * (0.5 + 0.5 * _sheen(canvas.scene))
    lit: Pixels = flat[canvas.bearing] + bevels * _edge_light(canvas.scene)[canvas.bearing]
    return lit


def _sheen(scene: Scene) -> Pixels:
    """Brightness of turned metal by bearing, float32 [1024], 1 on average."""
    sheen = np.zeros(_BANK)
    for bearing, sharpness, strength in scene.lobes:
        sheen += strength * np.exp(sharpness * (np.cos(_BEARINGS - bearing) - 1))
    streaks = _noise_bank().rings[(np.arange(_BANK) + scene.texture[0]) & _WRAP]
    brightness: Pixels = (1 + sheen - sheen.mean() + 0.006 * streaks).astype(np.float32)
    return brightness


def _edge_light(scene: Scene) -> Pixels:
    """Grey that a bevel adds by bearing, float32 [1024]: light on one side, dark on the other, with a few glints."""
    glints = np.clip(_noise_bank().rings[(np.arange(_BANK) + scene.texture[1]) & _WRAP] - 1.2, 0, 1)
    grey: Pixels = (scene.metal * (0.14 + 0.22 * np.cos(_BEARINGS - scene.light) + 0.35 * glints)).astype(np.float32)
    return grey


def _anywhere_in_bank(rng: np.random.Generator) -> tuple[int, int]:
    row, column = rng.integers(_BANK, size=2)
    return int(row), int(column)


@dataclass(frozen=True, kw_only=True)
class _NoiseBank:
    """Periodic textures of mean 0 and spread 1; `rings` is [1024], the others [1024,1024] of (radius, bearing)."""

    fine: Pixels
    smooth: Pixels
    turned: Pixels
    rings: Pixels


@lru_cache(maxsize=1)
def _noise_bank() -> _NoiseBank:
    """Draw the noise that all castings share, each at its own offset; drawing it anew would cost most of the time."""
    rng = np.random.default_rng(0)
    white = rng.standard_normal((_BANK, _BANK), dtype=np.float32)
    other = rng.standard_normal((_BANK, _BANK), dtype=np.float32)
    tool_marks = ndimage.gaussian_filter1d(other, 1.2, axis=0, mode="wrap")
    fine_rings, broad_rings = (ndimage.gaussian_filter1d(white[0], sigma, mode="wrap") for sigma in (2, 9))
    return _NoiseBank(
        fine=_standardised(ndimage.gaussian_filter(white, 1.2, mode="wrap")),
        smooth=_standardised(ndimage.gaussian_filter(other, 22, mode="wrap")),
        turned=_standardised(ndimage.uniform_filter1d(tool_marks, 90, axis=1, mode="wrap")),
        rings=_standardised(_standardised(fine_rings) + _standardised(broad_rings)),
    )


def _standardised(field: Pixels) -> Pixels:
    standard: Pixels = (field - field.mean()) / field.std()
    return standard
