"""Painters of the labels except `primary`, which is the ground itself, and the weather."""

from collections.abc import Callable

import numpy as np

from planets.synthetic.terrain import (
    SOIL,
    Color,
    Scene,
    blob,
    crossing,
    distance,
    dots,
    lines,
    patchwork,
    plane,
    polygons,
    quads,
    ramp,
    soften,
    texture,
    wander,
)

PARCELS: tuple[Color, ...] = ((92, 104, 74), (82, 96, 66), (108, 110, 82), (112, 102, 80), (72, 88, 62))
PLOTS: tuple[Color, ...] = ((108, 112, 78), (122, 110, 84), (86, 98, 62), (102, 88, 68))
ROOFS: tuple[Color, ...] = ((190, 186, 180), (166, 160, 150), (156, 126, 112), (200, 198, 196))
RIVERS: tuple[Color, ...] = ((36, 44, 48), (52, 56, 48), (98, 88, 66), (68, 70, 56))
CROWNS: tuple[Color, ...] = ((150, 128, 136), (146, 146, 136), (156, 146, 98))


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


def _selective_logging(scene: Scene) -> None:
    rng = scene.rng
    trunk = wander(*crossing(rng), 0.06, rng)
    spurs = [
        wander(start, (start[0] + float(rng.normal(0, 45)), start[1] + float(rng.normal(0, 45))), 0.08, rng)
        for start in (scene.along([trunk], 0) for _ in range(int(rng.integers(4, 10))))
    ]
    scene.blend(lines([trunk, *spurs], 1.6), scene.pick([SOIL], 8), rng.uniform(0.5, 0.8))
    gaps = [scene.along(spurs, 5) for _ in range(int(rng.integers(12, 40)))]
    scene.blend(
        dots(gaps, [float(rng.uniform(1.2, 3.2)) for _ in gaps]), scene.pick([(124, 112, 84)], 8), 0.75
    )


def _artisinal_mine(scene: Scene) -> None:
    rng = scene.rng
    center = scene.along(scene.rivers, 4)
    pits = [(float(a), float(b)) for a, b in rng.normal(center, 24, (int(rng.integers(8, 22)), 2))]
    for x, y in pits[:5]:
        scene.blend(blob((x, y), rng.uniform(10, 24), 0.4, rng), scene.pick([(178, 162, 124)], 10), 0.9)
    ponds = scene.pick([(112, 132, 112), (138, 124, 86), (92, 122, 120)], 9)
    scene.blend(dots(pits, [float(rng.uniform(2.5, 7.5)) for _ in pits]), ponds, 0.9)


def _conventional_mine(scene: Scene) -> None:
    rng = scene.rng
    center, radius = scene.spot(0.3), float(rng.uniform(40, 85))
    pit = blob(center, radius, 0.18, rng)
    terraces = np.sin(distance(center) / np.float32(rng.uniform(2.2, 3.4)) + 2.5 * texture("edge", rng))
    ground = scene.pick([(166, 140, 118), (152, 148, 142)], 10) + (
        terraces * np.float32(8) + texture("cloud", rng) * np.float32(8)
    )
    scene.blend(pit, ground)
    scene.blend(blob(center, radius * 0.3, 0.2, rng), scene.pick([(70, 104, 108), (66, 62, 60)], 8))
    scene.blend(polygons(quads(center, radius * 0.7, 9, 8, rng)), plane((196, 194, 190)), 0.9)


def _blooming(scene: Scene) -> None:
    rng = scene.rng
    crowns = [scene.spot(0) for _ in range(int(rng.integers(25, 110)))]
    scene.blend(
        dots(crowns, [float(rng.uniform(1.3, 3.4)) for _ in crowns]),
        scene.pick(CROWNS),
        rng.uniform(0.5, 0.9),
    )


def _slash_burn(scene: Scene) -> None:
    rng = scene.rng
    center = scene.spot()
    for _ in range(int(rng.integers(1, 4))):
        burnt = blob(
            (center[0] + rng.normal(0, 22), center[1] + rng.normal(0, 22)), rng.uniform(14, 38), 0.35, rng
        )
        scene.blend(burnt, scene.pick([(36, 28, 26), (54, 40, 36)], 4), 0.9)
        scene.blend(burnt * np.clip(texture("cloud", rng), 0, 1), plane((112, 102, 98)), 0.5)
    angle = float(rng.uniform(0, 2 * np.pi))
    tip = (center[0] + 190 * np.cos(angle), center[1] + 190 * np.sin(angle))
    plume = soften(lines([wander(center, tip, 0.06, rng)], rng.uniform(14, 34)), 7)
    scene.blend(
        plume * np.clip(0.6 + 0.4 * texture("edge", rng), 0, 1), plane((188, 190, 196)), rng.uniform(0.2, 0.6)
    )


def _blow_down(scene: Scene) -> None:
    rng = scene.rng
    angle, center = float(rng.uniform(0, 2 * np.pi)), scene.spot(0.3)
    for _ in range(int(rng.integers(9, 18))):
        along, across = rng.normal(0, 36), rng.normal(0, 13)
        x = center[0] + along * np.cos(angle) - across * np.sin(angle)
        y = center[1] + along * np.sin(angle) + across * np.cos(angle)
        tip = (x + 26 * np.cos(angle), y + 26 * np.sin(angle))
        scene.blend(
            lines([wander((x, y), tip, 0.08, rng)], rng.uniform(3, 8)), scene.pick([(108, 104, 80)], 8), 0.7
        )
    scene.blend(
        blob(center, 45, 0.3, rng, edge=30) * np.clip(ramp(angle) + 0.5, 0, 1), plane((104, 98, 76)), 0.35
    )


LAND_COVER_PAINTERS: dict[str, Callable[[Scene], None]] = {
    "agriculture": _agriculture,
    "water": _water,
    "road": _road,
    "cultivation": _cultivation,
    "bare_ground": _bare_ground,
    "habitation": _habitation,
}
"""In painting order: plots and villages follow rivers and roads painted before."""

RARE_PAINTERS: dict[str, Callable[[Scene], None]] = {
    "selective_logging": _selective_logging,
    "slash_burn": _slash_burn,
    "blow_down": _blow_down,
    "artisinal_mine": _artisinal_mine,
    "conventional_mine": _conventional_mine,
    "blooming": _blooming,
}
"""In painting order."""
