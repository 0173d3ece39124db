"""Tiny chips whose labels can be seen in them, for tests that train or score."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from planets.chips.store import ChipStore
from planets.config.training import ModelEntry, TrainingSettings
from planets.synthetic.labels import LABELS

SETTINGS = TrainingSettings(
    epochs=2,
    batch_size=16,
    image_size=32,
    seed=1,
    learning_rate=3e-3,
    weight_decay=0.05,
    warmup=0.1,
    optimizer="adamw",
    layer_decay=1.0,
    freeze_epochs=0,
    accumulate=1,
    gradient_clip=1.0,
    loss="bce",
    label_smoothing=0.0,
    drop_rate=0.0,
    drop_path=0.0,
    ema_decay=0.0,
    flips=True,
    crop=0.0,
    zoom=0.0,
    rotation=0.0,
    jitter=0.1,
    mixup=0.0,
    cutmix=0.0,
    progressive=0.0,
    checkpoint_metric="map",
    patience=0,
    precision="auto",
    compile=False,
    devices=1,
)

ENTRY = ModelEntry(name="tiny", architecture="test_resnet", pretrained=False, license="none")


def make_labels(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return 0/1 of shape `(count, 17)`; each label is on a share of the chips."""
    shares = np.linspace(0.7, 0.15, len(LABELS))
    return (np.random.default_rng(seed).random((count, len(LABELS))) < shares).astype(np.uint8)


def make_pixels(labels: NDArray[np.uint8], size: int = 32, seed: int = 0) -> NDArray[np.uint8]:
    """Return noise in which the first three labels each light up a channel."""
    random = np.random.default_rng(seed)
    pixels = random.integers(20, 120, (len(labels), size, size, 3))
    return (pixels + 120 * labels[:, None, None, :3]).astype(np.uint8)


def make_store(labels: NDArray[np.uint8], size: int = 32) -> ChipStore:
    """Return a store in memory."""
    return ChipStore(tuple(f"train_{row}" for row in range(len(labels))), make_pixels(labels, size))


def make_parts(count: int) -> NDArray[np.str_]:
    """Return 64 % train, the rest valid and test, mixed."""
    return np.array(["train", "valid", "train", "test", "train"])[np.arange(count) % 5]


def jpeg(pixels: NDArray[np.uint8], mode: str = "RGB") -> bytes:
    """Return a chip `(size, size, 3)` as a JPEG file; CMYK as the real ones are, with K = 0."""
    file = io.BytesIO()
    picture = Image.fromarray(pixels)
    if mode == "CMYK":
        inks = np.concatenate([255 - pixels, np.zeros_like(pixels[..., :1])], axis=-1)
        picture = Image.frombytes("CMYK", picture.size, inks.tobytes())
    picture.save(file, "JPEG", quality=95)
    return file.getvalue()


def write_chips(folder: Path, pixels: NDArray[np.uint8], mode: str = "CMYK") -> list[tuple[str, Path]]:
    """Write each chip as a JPEG file and return `(name, path)` of all."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [(f"train_{row}", folder / f"train_{row}.jpg") for row in range(len(pixels))]
    for (_, path), chip in zip(files, pixels, strict=True):
        path.write_bytes(jpeg(chip, mode))
    return files
