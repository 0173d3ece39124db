"""JPEG decoding and scaling, the same for training and serving."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from planets.chips import ArchiveError

DECODER = "pillow-rgb"
"""Identifier of `decode`, stored in bundles: a bundle of another decoder is refused."""

RESIZER = "pillow-bilinear"
"""Identifies `resize`; stored and checked like `DECODER`."""

_FORMATS = {"PNG": (b"\x89PNG",), "TIFF": (b"II*\0", b"MM\0*"), "GIF": (b"GIF8",), "WebP": (b"RIFF",)}
"""First bytes of the formats that people rename to `.jpg`."""


def decode(data: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG file to RGB, uint8 of shape `(height, width, 3)`.

    Accepts grey, RGB and CMYK files. The real chips have four components, CMYK with K = 0, whose correct
    colors are `255 - CMY`; other decoders invert them or keep a fourth channel.

    Raises:
        ArchiveError: the bytes are no JPEG file, or are truncated.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            return np.asarray(picture.convert("RGB"))
    except UnidentifiedImageError:
        for format_name, magic in _FORMATS.items():
            if data.startswith(magic):
                raise ArchiveError(
                    f"the chip is a {format_name} file, whatever its name is; convert it to JPEG"
                ) from None
        what = "is not a JPEG picture" if data else "is empty"
        raise ArchiveError(f"the chip {what} ({len(data)} bytes); fetch it again") from None
    # Pillow's errors for damaged files have no common base class.
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise ArchiveError(f"the chip cannot be decoded ({error}); fetch it again") from error


def resize(chip: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Scale a chip `(height, width, 3)` to `(size, size, 3)`, bilinear, antialiased when shrinking."""
    if chip.shape[:2] == (size, size):
        return chip
    return np.asarray(Image.fromarray(chip).resize((size, size), Image.Resampling.BILINEAR))


def read_chip(name: str, path: Path, size: int) -> NDArray[np.uint8]:
    """Read the file of the chip `name` at `size` pixels a side.

    Raises:
        ArchiveError: the file is missing or broken; the message names chip and file.
    """
    try:
        return resize(decode(path.read_bytes()), size)
    except (ArchiveError, OSError) as error:
        raise ArchiveError(f"chip {name}, file {path}: {error}") from error
