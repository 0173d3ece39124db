"""Small archives in the Kaggle layout."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

LAYOUTS = ["", "planet", "planet/planet"]

TAGS = {
    "train_0": "haze primary",
    "train_1": "agriculture clear primary water",
    "train_2": "clear primary",
    "train_10": "cloudy",
}


def jpeg(color: tuple[int, ...], mode: str = "RGB", side: int = 16) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side), color if len(color) > 1 else color[0]).save(file, "JPEG")
    return file.getvalue()


def lay_out(folder: Path, tags: dict[str, str] = TAGS, end: str = "\n") -> Path:
    """Write chips of one color each, and their table."""
    (folder / "train-jpg").mkdir(parents=True)
    for number, name in enumerate(tags):
        (folder / "train-jpg" / f"{name}.jpg").write_bytes(jpeg((20 * number, 90, 60)))
    lines = ["image_name,tags", *(f"{name},{cell}" for name, cell in tags.items())]
    (folder / "train_classes.csv").write_bytes(end.join([*lines, ""]).encode())
    return folder


def lay_out_folders(folder: Path, labels: dict[str, int]) -> Path:
    """Write a folder of so many chips for each label; the files of all folders have the same names."""
    for place, (label, count) in enumerate(labels.items()):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            (folder / label / f"{number}.jpg").write_bytes(jpeg((20 * number, 30 * place, 60)))
    return folder


def draw_shapes(folder: Path, count: int) -> Path:
    """Write drawings of circles and squares, red and blue, and their table; each sixth is blank."""
    (folder / "train-jpg").mkdir(parents=True)
    random = np.random.default_rng(0)
    lines = ["image_name,tags"]
    for number in range(count):
        shape, color = (names[random.integers(2)] for names in (("circle", "square"), ("red", "blue")))
        image = Image.new("RGB", (48, 48), tuple(random.integers(180, 255, 3).tolist()))
        left, top, side = random.integers(2, 20), random.integers(2, 20), random.integers(14, 26)
        box = (left, top, left + side, top + side)
        pen = ImageDraw.Draw(image)
        if number % 6:
            (pen.ellipse if shape == "circle" else pen.rectangle)(box, fill=color)
        image.save(folder / "train-jpg" / f"{number}.jpg")
        lines.append(f"{number},{f'{color} {shape}' if number % 6 else 'blank'}")
    (folder / "train_classes.csv").write_text("\n".join([*lines, ""]))
    return folder


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every path below with its mode, mtime and content."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in [folder, *folder.rglob("*")]
    }


def table(folder: Path, content: str | bytes) -> Path:
    path = folder / "train_classes.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
