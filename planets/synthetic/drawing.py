"""One synthetic chip, from its labels to its JPEG file."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from planets.labels import LABELS
from planets.synthetic.label_sets import LabelSet
from planets.synthetic.land_cover import LAND_COVER_PAINTERS
from planets.synthetic.rare_events import RARE_PAINTERS
from planets.synthetic.scene import bare_scene
from planets.synthetic.sky import photograph

OVERLOOKED, IMAGINED = 0.07, 0.012
"""How often a label's thing is not to be seen, and how often one is to be seen that no label names."""

MISTAKEN = {"clear": "haze", "haze": "clear", "partly_cloudy": "clear"}
"""The weather that a label may stand for by mistake, half as often as something is overlooked."""

PAINTERS = LAND_COVER_PAINTERS | RARE_PAINTERS

_QUALITY = 75
"""That of the real chips, by their quantisation tables."""

_MODES = {"CMYK": 0.92, "RGB": 0.05, "L": 0.03}
"""The real chips are all CMYK; the others are here so that every reader meets them."""


def draw(tags: LabelSet, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a chip with these labels, uint8 RGB `(SIDE, SIDE, 3)`; now and then one thing is amiss."""
    shown = _as_seen(tags, rng)
    scene = bare_scene(shown, rng)
    for label, painter in PAINTERS.items():
        if label in shown:
            painter(scene)
    return photograph(scene.canvas, shown, rng)


def _as_seen(tags: LabelSet, rng: np.random.Generator) -> LabelSet:
    """Err as the real labellers did: labels name things that cannot be made out, and miss others."""
    if "cloudy" in tags:
        return tags
    missed = {label for label in LABELS if label in PAINTERS and rng.random() < OVERLOOKED}
    added = {label for label in LAND_COVER_PAINTERS if rng.random() < IMAGINED}
    seen = (tags | added) - missed
    for taken, shown in MISTAKEN.items():
        if taken in tags and rng.random() < OVERLOOKED / 2:
            seen = (seen - {taken}) | {shown}
    return seen


def draw_jpeg(tags: LabelSet, size: int, rng: np.random.Generator) -> bytes:
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
