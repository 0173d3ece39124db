"""The Kaggle layout: names of its folders and files, and where they lie in an unpacked folder."""

import hashlib
import os
from pathlib import Path

from planets.chips import ArchiveError

CHIPS = "train-jpg"
TABLE = "train_classes.csv"
TEST_CHIPS = ("test-jpg", "test-jpg-additional")
SUBMISSION = "sample_submission.csv"

COLUMNS = ("image_name", "tags")
"""Columns of every table of the dataset: labels, submission and predictions."""

LAYOUTS = (Path(), Path("planet"), Path("planet/planet"))
"""Where `CHIPS` and `TABLE` may lie: in the folder, in the archive's `planet/`, or in the whole archive."""


def locate(folder: Path) -> tuple[Path, Path]:
    """Return the folder of chips and the label table below `folder`; neither is opened.

    Raises:
        ArchiveError: they are missing; the message names every place that was searched.
    """
    if folder.is_file():
        raise ArchiveError(f"{folder} is a file; unpack it and name the folder it was unpacked to")
    if not folder.is_dir():
        raise ArchiveError(f"{folder} does not exist; name the folder that the archive was unpacked to")
    for base in (folder / layout for layout in LAYOUTS):
        if (base / CHIPS).is_dir() and (base / TABLE).is_file():
            return base / CHIPS, base / TABLE
    searched = "; ".join(_contents(folder / layout) for layout in LAYOUTS)
    raise ArchiveError(f"no chips found in {folder}; looked for {CHIPS}/ beside {TABLE} in: {searched}")


def source_stamp(folder: Path) -> str:
    """Return a SHA-256 (hex) over path, size and mtime of the table and the chips, without reading a chip.

    The stamp changes when the folder changes; it does not identify content: two copies have two stamps.

    Raises:
        ArchiveError: `folder` holds no archive, or its chips cannot be listed.
    """
    chips, table = locate(folder)
    try:
        with os.scandir(chips) as entries:
            stamps = [_stamp(entry.name, entry) for entry in entries]
    except OSError as error:
        raise ArchiveError(f"{chips} cannot be listed: {error.strerror}; make it readable") from error
    stamps.append(_stamp(f"../{TABLE}", table))
    return hashlib.sha256("".join(sorted(stamps)).encode(errors="surrogateescape")).hexdigest()


def _contents(base: Path) -> str:
    if not base.is_dir():
        return f"{base} (no such folder)"
    chips = "is there" if (base / CHIPS).is_dir() else "is missing"
    table = "is there" if (base / TABLE).is_file() else "is missing"
    return f"{base} ({CHIPS}/ {chips}, {TABLE} {table})"


def _stamp(name: str, file: os.DirEntry[str] | Path) -> str:
    try:
        status = file.stat()
    except FileNotFoundError:
        return f"{name}\0broken link\n"
    return f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n"
