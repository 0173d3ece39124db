"""The ground of a synthetic chip: cheap textures and masks of shape `(SIDE, SIDE)`, and the scene."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFilter

SIDE = 256
"""Side of every scene in pixels of 3 m, as of the real chips."""

Field = NDArray[np.float32]
"""Float32 of shape `(SIDE, SIDE)`: a texture of mean 0 and deviation 1, or a mask between 0 and 1."""

Picture = NDArray[np.float32]
"""Float32 of shape `(3, SIDE, SIDE)`, RGB from 0 to 255; numpy is three times faster on planes."""

Point = tuple[float, float]
"""x and y in pixels, from the upper left corner."""

_SHEET = 1024
"""Side of the sheets that textures are cut from, at thousands of places and in eight orientations."""

_SPECTRA = {
    "canopy": (0.055, 0.22, 0.2),
    "grass": (0.0, 0.30, 0.9),
    "relief": (0.0, 0.05, 1.7),
    "cloud": (0.004, 0.5, 1.75),
    "edge": (0.012, 0.5, 1.7),
}
"""Lowest and highest frequency of each texture (cycles per pixel), and the exponent of its amplitude."""

_Y, _X = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)


def texture(kind: str, rng: np.random.Generator) -> Field:
    """Cut a random piece of the texture `kind`, a key of `_SPECTRA`."""
    x, y = rng.integers(0, _SHEET - SIDE, 2)
    piece = np.rot90(_sheet(kind)[y : y + SIDE, x : x + SIDE], int(rng.integers(4)))
    return piece.T if rng.random() < 0.5 else piece


@cache
def _sheet(kind: str) -> Field:
    """Filter white noise to a power-law spectrum (fractional Brownian motion) within a band."""
    lowest, highest, fall = _SPECTRA[kind]
    rng = np.random.default_rng([len(kind), *kind.encode()])
    frequency = np.hypot(np.fft.fftfreq(_SHEET)[:, None], np.fft.rfftfreq(_SHEET)[None, :])
    frequency[0, 0] = np.inf
    band = frequency**-fall * np.exp(-((frequency / highest) ** 4)) * (frequency >= lowest)
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((_SHEET, _SHEET))) * band)
    sheet: Field = ((noise - noise.mean()) / noise.std()).astype(np.float32)
    return sheet


def plane(color: ArrayLike) -> Picture:
    """Return a color as float32 `(3, 1, 1)`, which broadcasts over a picture."""
    return np.asarray(color, dtype=np.float32).reshape(3, 1, 1)


def ramp(angle: float) -> Field:
    """Return a slope from about -1 to 1 across the scene in the direction `angle` (radians)."""
    x, y = np.float32(np.cos(angle) * 2 / SIDE), np.float32(np.sin(angle) * 2 / SIDE)
    slope: Field = (_X - SIDE / 2) * x + (_Y - SIDE / 2) * y
    return slope


def soften(mask: Field, radius: float) -> Field:
    """Blur a mask; `radius` in pixels."""
    sheet = Image.fromarray((mask * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(sheet, dtype=np.float32) * np.float32(1 / 255)


def distance(center: Point) -> Field:
    """Return the distance of each pixel from `center`, in pixels."""
    away: Field = np.hypot(_X - np.float32(center[0]), _Y - np.float32(center[1]))
    return away


def blob(
    center: Point, radius: float, roughness: float, rng: np.random.Generator, edge: float = 2.0
) -> Field:
    """Return the mask of a patch with a ragged edge that fades over `edge` pixels.

    `roughness` is relative to `radius`.
    """
    depth = radius - distance(center) + texture("edge", rng) * np.float32(radius * roughness)
    mask: Field = np.clip(depth / np.float32(edge) + np.float32(0.5), 0, 1)
    return mask


def wander(start: Point, end: Point, bend: float, rng: np.random.Generator) -> list[Point]:
    """Join two points by a winding line of 65 points, by midpoint displacement.

    `bend` is relative to the distance of the points.
    """
    points = np.array([start, end], dtype=np.float64)
    stray = bend * float(np.hypot(*(points[1] - points[0])))
    for _ in range(6):
        middle = (points[:-1] + points[1:]) / 2 + rng.normal(0, stray, (len(points) - 1, 2))
        joined = np.empty((2 * len(points) - 1, 2))
        joined[0::2], joined[1::2] = points, middle
        points, stray = joined, stray * 0.4
    return [(float(x), float(y)) for x, y in points]


def crossing(rng: np.random.Generator) -> tuple[Point, Point]:
    """Draw two points outside the scene whose line crosses its inner part."""
    angle, offset = rng.uniform(0, np.pi), rng.uniform(-0.3, 0.3) * SIDE
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    middle = SIDE / 2 + across * offset
    start, end = middle - along * SIDE * 0.8, middle + along * SIDE * 0.8
    return (float(start[0]), float(start[1])), (float(end[0]), float(end[1]))


def lines(paths: Sequence[Sequence[Point]], width: float) -> Field:
    """Return the mask of lines `width` pixels wide, drawn at twice the size to smooth their edges."""
    sheet = Image.new("L", (2 * SIDE, 2 * SIDE))
    draw = ImageDraw.Draw(sheet)
    for path in paths:
        draw.line([(2 * x, 2 * y) for x, y in path], fill=255, width=max(1, round(2 * width)), joint="curve")
    return _mask(sheet)


def dots(points: Sequence[Point], radii: Sequence[float]) -> Field:
    """Return the mask of discs."""
    sheet = Image.new("L", (2 * SIDE, 2 * SIDE))
    draw = ImageDraw.Draw(sheet)
    for (x, y), radius in zip(points, radii, strict=True):
        draw.ellipse((2 * (x - radius), 2 * (y - radius), 2 * (x + radius), 2 * (y + radius)), fill=255)
    return _mask(sheet)


def quads(
    center: Point, spread: float, size: float, number: int, rng: np.random.Generator
) -> list[list[Point]]:
    """Return `number` parallel quadrilaterals about `size` pixels wide, scattered around `center`."""
    angle = rng.uniform(0, np.pi / 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    plots = []
    for _ in range(number):
        half = rng.uniform(0.35, 0.65, 2) * size
        shape = corners * half + rng.normal(0, 0.09 * size, (4, 2)) + rng.normal(0, spread, 2)
        plots.append([(float(x), float(y)) for x, y in shape @ turn.T + center])
    return plots


def polygons(shapes: Sequence[Sequence[Point]]) -> Field:
    """Return the mask of filled polygons."""
    sheet = Image.new("L", (2 * SIDE, 2 * SIDE))
    draw = ImageDraw.Draw(sheet)
    for shape in shapes:
        draw.polygon([(2 * x, 2 * y) for x, y in shape], fill=255)
    return _mask(sheet)


def patchwork(colors: Sequence[tuple[int, int, int]], cells: int, rng: np.random.Generator) -> Picture:
    """Divide the scene into about `cells` parcels, each in one of `colors`."""
    sheet = Image.new("RGB", (SIDE, SIDE), colors[0])
    draw = ImageDraw.Draw(sheet)
    angle = rng.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for left, top, right, bottom in _parcels(cells, rng):
        shape = np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) @ turn.T + SIDE / 2
        shade = rng.normal(0, 5, 1) + np.array(colors[int(rng.integers(len(colors)))])
        draw.polygon([(x, y) for x, y in shape.tolist()], fill=tuple(int(v) for v in shade.clip(0, 255)))
    return np.moveaxis(np.asarray(sheet), 2, 0).astype(np.float32, order="C")


def _parcels(number: int, rng: np.random.Generator) -> list[tuple[float, float, float, float]]:
    """Cut a square that covers the rotated scene into rectangles, splitting the largest across its length."""
    parcels = [(-0.72 * SIDE, -0.72 * SIDE, 0.72 * SIDE, 0.72 * SIDE)]
    while len(parcels) < number:
        parcels.sort(key=lambda p: (p[2] - p[0]) * (p[3] - p[1]))
        left, top, right, bottom = parcels.pop()
        share = rng.uniform(0.3, 0.7)
        if right - left > bottom - top:
            cut = left + share * (right - left)
            parcels += [(left, top, cut, bottom), (cut, top, right, bottom)]
        else:
            cut = top + share * (bottom - top)
            parcels += [(left, top, right, cut), (left, cut, right, bottom)]
    return parcels


def _mask(sheet: Image.Image) -> Field:
    return np.asarray(sheet.reduce(2), dtype=np.float32) * np.float32(1 / 255)


Color = tuple[int, int, int]

FOREST: Color = (48, 62, 54)
SAVANNA: Color = (88, 90, 66)
SOIL: Color = (140, 124, 98)


@dataclass
class Scene:
    """A chip while it is painted.

    Attributes:
        rng: random generator of the chip.
        canvas: the picture so far.
        roads: roads so far; villages and plots are placed along them.
        rivers: rivers so far; plots and mines are placed along them.
    """

    rng: np.random.Generator
    canvas: Picture
    roads: list[list[Point]] = field(default_factory=list)
    rivers: list[list[Point]] = field(default_factory=list)

    def blend(self, mask: Field, color: Picture, strength: float = 1.0) -> None:
        """Blend `color` into the canvas, with the opacity `mask * strength`."""
        self.canvas += mask * np.float32(strength) * (color - self.canvas)

    def pick(self, colors: Collection[Color], spread: float = 7.0) -> Picture:
        """Return a random variation of one of `colors`."""
        color = tuple(colors)[int(self.rng.integers(len(colors)))]
        return plane(np.array(color) + self.rng.normal(0, spread) + self.rng.normal(0, spread / 3, 3))

    def spot(self, margin: float = 0.15) -> Point:
        """Draw a point at least `margin` sides from the border."""
        x, y = self.rng.uniform(margin * SIDE, (1 - margin) * SIDE, 2)
        return float(x), float(y)

    def along(self, paths: list[list[Point]], stray: float) -> Point:
        """Draw a point near one of `paths` within the scene; anywhere if no path crosses it."""
        inside = [(x, y) for path in paths for x, y in path if 20 < x < SIDE - 20 and 20 < y < SIDE - 20]
        if not inside:
            return self.spot()
        x, y = inside[int(self.rng.integers(len(inside)))]
        return x + float(self.rng.normal(0, stray)), y + float(self.rng.normal(0, stray))


def bare_scene(tags: Collection[str], rng: np.random.Generator) -> Scene:
    """Paint forest with lit crowns and relief, or open land without `primary`."""
    forest = "primary" in tags
    color = np.array(FOREST if forest else SAVANNA) + rng.normal(0, 5) + rng.normal(0, (1.5, 1.0, 3.0))
    light = texture("canopy" if forest else "grass", rng) * np.float32(rng.uniform(3.5, 7.0))
    light = light + texture("relief", rng) * np.float32(rng.gamma(1.5, 1.6))
    light += texture("grass", rng) * np.float32(2.2)
    return Scene(rng, plane(color) + light * plane((1.0, 0.9, 0.65)))
