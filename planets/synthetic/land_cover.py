"""Painters of the land-cover labels except `primary`, which is the ground itself."""

from collections.abc import Callable

import numpy as np

from planets.synthetic.terrain import (
    SOIL,
    Color,
    Scene,
    blob,
    crossing,
    dots,
    lines,
    patchwork,
    plane,
    polygons,
    quads,
    texture,
    wander,
)

PARCELS: tuple[Color, ...] = ((92, 104, 74), (82, 96, 66), (108, 110, 82), (112, 102, 80), (72, 88, 62))
PLOTS: tuple[Color, ...] = ((108, 112, 78), (122, 110, 84), (86, 98, 62), (102, 88, 68))
ROOFS: tuple[Color, ...] = ((190, 186, 180), (166, 160, 150), (156, 126, 112), (200, 198, 196))
RIVERS: tuple[Color, ...] = ((36, 44, 48), (52, 56, 48), (98, 88, 66), (68, 70, 56))


def _agriculture(scene: Scene) -> None:
    rng = scene.rng
    land = patchwork(PARCELS, int(rng.integers(5, 28)), rng) + plane(rng.normal(0, 6, 3))
    land += texture("grass", rng) * np.float32(3) + texture("cloud", rng) * np.float32(5)
    for _ in range(int(rng.integers(1, 4))):
        radius = float(rng.uniform(14, 100))
        scene.blend(blob(scene.spot(0.05), radius, rng.uniform(0.2, 0.5), rng), land, rng.uniform(0.45, 1.0))


def _cultivation(scene: Scene) -> None:
    rng = scene.rng
    for _ in range(int(rng.integers(1, 4))):
        center, size = scene.along(scene.roads + scene.rivers, 25), float(rng.uniform(9, 22))
        plots = quads(center, size * 1.3, size, int(rng.integers(4, 12)), rng)
        for part in (plots[0::3], plots[1::3], plots[2::3]):
            scene.blend(polygons(part), scene.pick(PLOTS, 9), rng.uniform(0.45, 0.95))


def _water(scene: Scene) -> None:
    rng = scene.rng
    color = scene.pick(RIVERS)
    if rng.random() < 0.2:
        scene.blend(blob(scene.spot(0), rng.uniform(18, 80), 0.35, rng), color)
        return
    width = float(rng.choice([2.5, 6, 14, 30, 70], p=[0.2, 0.3, 0.25, 0.15, 0.1]) * rng.uniform(0.8, 1.3))
    river = wander(*crossing(rng), rng.uniform(0.1, 0.22), rng)
    scene.rivers.append(river)
    if rng.random() < 0.5:
        scene.blend(lines([river], width + rng.uniform(3, 8)), scene.pick([SOIL], 12), 0.55)
    scene.blend(lines([river], width), color, 0.95)


def _road(scene: Scene) -> None:
    rng = scene.rng
    trunk = wander(*crossing(rng), rng.uniform(0.0, 0.07), rng)
    scene.roads.append(trunk)
    for _ in range(int(rng.integers(0, 3))):
        start, end = scene.along([trunk], 0), crossing(rng)[1]
        scene.roads.append(wander(start, end, rng.uniform(0.0, 0.08), rng))
    scene.blend(lines(scene.roads, rng.uniform(1.5, 4.0)), scene.pick([SOIL], 10), rng.uniform(0.35, 0.95))


def _bare_ground(scene: Scene) -> None:
    rng = scene.rng
    for _ in range(int(rng.integers(1, 3))):
        ground = scene.pick([(164, 146, 120), (150, 120, 92), (172, 164, 146)], 10)
        scene.blend(blob(scene.spot(), rng.uniform(14, 55), 0.35, rng), ground, rng.uniform(0.75, 1))


def _habitation(scene: Scene) -> None:
    rng = scene.rng
    for _ in range(int(rng.integers(1, 3))):
        x, y = scene.along(scene.roads, 6)
        spread, number = float(rng.uniform(9, 30)), int(rng.integers(5, 55))
        scene.blend(
            blob((x, y), spread * 1.2, 0.4, rng, edge=8), scene.pick([SOIL], 8), rng.uniform(0.2, 0.6)
        )
        houses = [(float(a), float(b)) for a, b in rng.normal((x, y), spread, (number, 2))]
        for part in (houses[0::2], houses[1::2]):
            scene.blend(dots(part, [float(rng.uniform(1.0, 2.1)) for _ in part]), scene.pick(ROOFS, 12))


LAND_COVER_PAINTERS: dict[str, Callable[[Scene], None]] = {
    "agriculture": _agriculture,
    "water": _water,
    "road": _road,
    "cultivation": _cultivation,
    "bare_ground": _bare_ground,
    "habitation": _habitation,
}
"""In painting order: plots and villages follow rivers and roads painted before."""
