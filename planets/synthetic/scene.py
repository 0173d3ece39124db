"""The ground of a synthetic chip in the making: its canvas, and where its roads and rivers run."""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from planets.synthetic.terrain import SIDE, Field, Picture, Point, plane, texture

Colour = tuple[int, int, int]

FOREST: Colour = (48, 62, 54)
SAVANNA: Colour = (88, 90, 66)
SOIL: Colour = (140, 124, 98)


@dataclass
class Scene:
    """A chip in the making.

    Attributes:
        rng: the chip's own generator.
        canvas: what is painted so far.
        roads, rivers: the lines drawn so far; villages, plots and mines keep to them.
    """

    rng: np.random.Generator
    canvas: Picture
    roads: list[list[Point]] = field(default_factory=list)
    rivers: list[list[Point]] = field(default_factory=list)

    def blend(self, mask: Field, colour: Picture, strength: float = 1.0) -> None:
        """Cover the canvas with `colour` where `mask` is, as far as mask times `strength` says."""
        self.canvas += mask * np.float32(strength) * (colour - self.canvas)

    def pick(self, colours: Collection[Colour], spread: float = 7.0) -> Picture:
        """Draw one of `colours` and vary it."""
        colour = tuple(colours)[int(self.rng.integers(len(colours)))]
        return plane(np.array(colour) + self.rng.normal(0, spread) + self.rng.normal(0, spread / 3, 3))

    def spot(self, margin: float = 0.15) -> Point:
        """Draw a point at least `margin` of the side away from the border."""
        x, y = self.rng.uniform(margin * SIDE, (1 - margin) * SIDE, 2)
        return float(x), float(y)

    def along(self, paths: list[list[Point]], stray: float) -> Point:
        """Draw a point near one of `paths` and inside of the scene, or anywhere where there is none."""
        inside = [(x, y) for path in paths for x, y in path if 20 < x < SIDE - 20 and 20 < y < SIDE - 20]
        if not inside:
            return self.spot()
        x, y = inside[int(self.rng.integers(len(inside)))]
        return x + float(self.rng.normal(0, stray)), y + float(self.rng.normal(0, stray))


def bare_scene(tags: Collection[str], rng: np.random.Generator) -> Scene:
    """Lay out forest with its crowns in the light of the relief, or open land where there is no forest."""
    forest = "primary" in tags
    colour = np.array(FOREST if forest else SAVANNA) + rng.normal(0, 5) + rng.normal(0, (1.5, 1.0, 3.0))
    light = texture("canopy" if forest else "grass", rng) * np.float32(rng.uniform(3.5, 7.0))
    light = light + texture("relief", rng) * np.float32(rng.gamma(1.5, 1.6))
    light += texture("grass", rng) * np.float32(2.2)
    return Scene(rng, plane(colour) + light * plane((1.0, 0.9, 0.65)))
