"""Where the chips and their table lie in a folder that was unpacked from Kaggle, in any of its forms."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from planets.archive.table import Row, read_table
from planets.chips import ArchiveError

CHIPS = "train-jpg"
TABLE = "train_classes.csv"
TEST_CHIPS = ("test-jpg", "test-jpg-additional")
SUBMISSION = "sample_submission.csv"
LAYOUTS = (Path(), Path("planet"), Path("planet/planet"))
"""Where these two lie below the folder given: bare, in the archive's `planet/`, or in the whole archive."""


@dataclass(frozen=True)
class Archive:
    """A folder in the Kaggle layout. `root` is the folder that was given; nothing in it is ever written."""

    root: Path
    chips: Path
    table: Path
    rows: tuple[Row, ...]


def find_archive(folder: Path) -> Archive:
    """Find the chips and the label table in `folder`, and read the table.

    Raises:
        ArchiveError: nothing is found (the message names what was looked for where), or the table is faulty.
        UnknownTag: the table has a tag that is none of the 17 labels.
    """
    chips, table = locate(folder)
    return Archive(folder, chips, table, read_table(table))


def source_stamp(folder: Path) -> str:
    """Return a SHA-256 (hex) over path, size and mtime of the table and the chips, without reading a picture.

    It notices that a folder changed. It says nothing of what is in it: two copies have two stamps.

    Raises:
        ArchiveError: `folder` holds no archive.
    """
    chips, table = locate(folder)
    try:
        with os.scandir(chips) as entries:
            stamps = [_stamp(entry.name, entry) for entry in entries]
    except OSError as error:
        raise ArchiveError(f"{chips} cannot be listed: {error.strerror}; make it readable") from error
    stamps.append(_stamp(f"../{TABLE}", table))
    return hashlib.sha256("".join(sorted(stamps)).encode(errors="surrogateescape")).hexdigest()


def locate(folder: Path) -> tuple[Path, Path]:
    """Return the folder of chips and the table, neither of them opened.

    Raises:
        ArchiveError: they are not there; the message names what was looked for where.
    """
    if folder.is_file():
        raise ArchiveError(f"{folder} is a file; unpack it and name the folder it was unpacked to")
    if not folder.is_dir():
        raise ArchiveError(f"{folder} does not exist; name the folder that the archive was unpacked to")
    for base in (folder / layout for layout in LAYOUTS):
        if (base / CHIPS).is_dir() and (base / TABLE).is_file():
            return base / CHIPS, base / TABLE
    looked = "; ".join(_seen(folder / layout) for layout in LAYOUTS)
    raise ArchiveError(f"no chips found in {folder}; looked for {CHIPS}/ beside {TABLE} in: {looked}")


def _seen(base: Path) -> str:
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
