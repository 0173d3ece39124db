"""One synthetic chip, from its labels to its JPEG file: ground, weather, lens, encoding."""

import io
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from planets.synthetic.label_sets import Tags
from planets.synthetic.labels import LABELS
from planets.synthetic.painters import LAND_COVER_PAINTERS, RARE_PAINTERS
from planets.synthetic.terrain import SIDE, Field, Picture, bare_scene, plane, texture

OVERLOOKED, IMAGINED = 0.07, 0.012
"""Rates of label noise: a labelled object is not drawn; an unlabelled one is drawn."""

MISTAKEN = {"clear": "haze", "haze": "clear", "partly_cloudy": "clear"}
"""Weather labels drawn as another weather, at half the rate of `OVERLOOKED`."""

PAINTERS = LAND_COVER_PAINTERS | RARE_PAINTERS

_MILK = (108, 124, 118)
_CLOUD = (212, 214, 216)

_QUALITY = 75
"""That of the real chips, by their quantisation tables."""

_MODES = {"CMYK": 0.92, "RGB": 0.05, "L": 0.03}
"""The real chips are all CMYK; the others are here so that every reader meets them."""


def draw(tags: Tags, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a chip with these labels, uint8 RGB `(SIDE, SIDE, 3)`; with occasional label noise."""
    shown = _as_seen(tags, rng)
    scene = bare_scene(shown, rng)
    for label, painter in PAINTERS.items():
        if label in shown:
            painter(scene)
    return photograph(scene.canvas, shown, rng)


def _as_seen(tags: Tags, rng: np.random.Generator) -> Tags:
    """Apply label noise like that of the real annotators: return the labels that are actually drawn."""
    if "cloudy" in tags:
        return tags
    missed = {label for label in LABELS if label in PAINTERS and rng.random() < OVERLOOKED}
    added = {label for label in LAND_COVER_PAINTERS if rng.random() < IMAGINED}
    seen = (tags | added) - missed
    for taken, shown in MISTAKEN.items():
        if taken in tags and rng.random() < OVERLOOKED / 2:
            seen = (seen - {taken}) | {shown}
    return seen


def draw_jpeg(tags: Tags, size: int, rng: np.random.Generator) -> bytes:
    """Draw a chip and encode it, `size` by `size` pixels, mostly in the form of the real chips."""
    picture = Image.fromarray(draw(tags, rng)).resize((size, size), Image.Resampling.BOX)
    return encode(picture, str(rng.choice(list(_MODES), p=list(_MODES.values()))))


def encode(picture: Image.Image, mode: str) -> bytes:
    """Encode a baseline JPEG; `CMYK` as the real chips are: four components, K = 0, no Adobe marker."""
    file = io.BytesIO()
    if mode == "CMYK":
        black = Image.new("L", picture.size, 0)
        picture = Image.merge("CMYK", (*Image.eval(picture, lambda value: 255 - value).split(), black))
    picture.convert(mode).save(file, "JPEG", quality=_QUALITY)
    return _without_adobe(file.getvalue())


def _without_adobe(data: bytes) -> bytes:
    """Cut out the APP14 segment that Pillow writes for CMYK; the real chips have none."""
    start = data.find(b"\xff\xee\x00\x0eAdobe", 0, 64)
    return data if start < 0 else data[:start] + data[start + 16 :]


def photograph(ground: Picture, tags: Collection[str], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Look at `ground` through the weather that `tags` name; uint8 of shape `(SIDE, SIDE, 3)`."""
    seen = _light(ground, rng)
    seen = _veil(seen, rng.uniform(0.2, 0.85) if "haze" in tags else rng.beta(1.2, 9) * 0.6, rng)
    if "cloudy" in tags:
        seen = _overcast(seen, rng)
    elif "partly_cloudy" in tags:
        seen = _clouds(seen, rng)
    return _lens(seen, rng)


def _light(seen: Picture, rng: np.random.Generator) -> Picture:
    """Vary exposure and color balance like the real scenes; one in ten is as brown as an old photograph."""
    gain = rng.normal(1.0, 0.09) * (1 + rng.normal(0, 0.02, 3))
    offset = rng.normal(0, 3.5) + rng.normal(0, (1.5, 1.0, 4.0))
    if rng.random() < 0.1:
        offset += np.array([6.0, -9.0, -24.0]) * rng.uniform(0.4, 1.2)
    return seen * plane(gain) + plane(offset)


def _veil(seen: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Mix in milk, unevenly over the scene."""
    density = np.float32(strength) * (1 + np.float32(0.15) * texture("relief", rng))
    milk = np.array(_MILK) + rng.normal(0, 9) + rng.normal(0, 2.5, 3)
    return _over(seen, np.clip(density, 0, 0.93), plane(milk))


def _clouds(seen: Picture, rng: np.random.Generator) -> Picture:
    """Float puffs over the scene, lit unevenly, and lay their shadows beside them."""
    sky = texture("cloud", rng)
    level = float(np.quantile(sky[::4, ::4], 1 - rng.uniform(0.02, 0.65)))
    density = np.clip((sky - np.float32(level)) * np.float32(rng.uniform(0.9, 2.6)), 0, 1)
    down, right = (int(step) for step in rng.integers(6, 26, 2) * rng.choice([-1, 1], 2))
    shadow = np.roll(density, (down, right), (0, 1)) * np.float32(rng.uniform(0.25, 0.6))
    lit = density * 22 + texture("relief", rng) * 9
    white = lit + plane(np.array(_CLOUD) + rng.normal(-22, 14) + rng.normal(0, 2, 3))
    return _over(seen * (1 - shadow), density * np.float32(rng.uniform(0.75, 1)), white)


def _overcast(seen: Picture, rng: np.random.Generator) -> Picture:
    """Close the sky; here and there it is thin enough to see something dark."""
    body = np.float32(rng.uniform(0.84, 1.0)) + texture("cloud", rng) * np.float32(rng.uniform(0, 0.08))
    white = np.array(_CLOUD) + rng.normal(-4, 20) + rng.normal(0, 2, 3)
    relief = texture("relief", rng) * np.float32(rng.uniform(2, 14))
    return _over(seen, np.clip(body, 0, 1), plane(white)) + relief


def _lens(seen: Picture, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Add the sensor's noise, and blur a little."""
    grain = rng.standard_normal((SIDE, SIDE), dtype=np.float32) * np.float32(1.3)
    exposed = np.moveaxis(np.clip(seen + grain, 2, 250).astype(np.uint8), 0, 2)
    return np.asarray(Image.fromarray(exposed).filter(ImageFilter.BoxBlur(float(rng.uniform(0.35, 0.7)))))


def _over(seen: Picture, density: Field, color: Picture) -> Picture:
    """Lay a layer of `color` over what is seen."""
    return seen + density * (color - seen)
