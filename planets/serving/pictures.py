"""The pictures to predict: those of a user's folder, or the test pictures of Kaggle's submission."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from planets.archive.layout import COLUMNS, LAYOUTS, SUBMISSION, TEST_CHIPS
from planets.chips import ArchiveError
from planets.system import first_names

_TEST, _ADDITIONAL = TEST_CHIPS

SUFFIXES = (".jpg", ".jpeg")
"""Suffixes of chips, case-insensitive."""

Stamp = tuple[int, int]
"""Size in bytes and mtime in ns of a file."""


class Picture(NamedTuple):
    """A file, its name in a table of predictions, and a stamp that changes with the file."""

    name: str
    path: Path
    stamp: Stamp


def find_pictures(folder: Path) -> tuple[list[Picture], int]:
    """Return the JPEG files below a folder, sorted by name, and the number of other files there.

    The name is the path below the folder, without the suffix, with `/` as separator.

    Raises:
        ArchiveError: the folder is missing or holds no JPEG file, or two files share a name.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ArchiveError(f"{folder} {what}; name a folder of pictures ({', '.join(SUFFIXES)})")
    files = [path for path in folder.rglob("*") if path.is_file()]
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not pictures:
        raise ArchiveError(
            f"{folder} holds {len(files)} files, none of them a picture; pictures end with "
            f"{' or '.join(SUFFIXES)}"
        )
    named = [(path.relative_to(folder).with_suffix("").as_posix(), path) for path in pictures]
    return named_pictures(named), len(files) - len(pictures)


def find_test(folder: Path) -> tuple[list[Picture], int]:
    """Return the pictures of Kaggle's table, in its order, and the number of other pictures.

    Args:
        folder: the unpacked archive, its `planet/`, or the innermost folder; the additional pictures lie in
            it or beside it.

    Raises:
        ArchiveError: the table, a folder or a picture is missing, or the table is malformed.
    """
    if not folder.is_dir():
        raise ArchiveError(f"{folder} is not a folder; name the one that Kaggle's archive was unpacked to")
    base = _base(folder)
    names = read_names(base / SUBMISSION)
    files = [*_jpegs(base / _TEST), *_jpegs(_additional(folder, base))]
    pictures = {picture.name: picture for picture in named_pictures(files)}
    missing = [name for name in names if name not in pictures]
    if missing:
        raise ArchiveError(
            f"{len(missing):,} of the {len(names):,} pictures that {base / SUBMISSION} names are missing: "
            f"{first_names(missing)}; unpack the archive again"
        )
    return [pictures[name] for name in names], len(pictures) - len(names)


def read_names(file: Path) -> list[str]:
    """Return the names in the first column of Kaggle's table, in its order.

    Raises:
        ArchiveError: it is not such a table, is empty, or repeats a name.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = [row for row in csv.reader(opened) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise ArchiveError(f"{file} cannot be read ({error}); unpack the archive again") from error
    if not rows or rows[0][0] != COLUMNS[0]:
        raise ArchiveError(f"{file} must begin with the line {','.join(COLUMNS)!r}; unpack the archive again")
    names = [row[0] for row in rows[1:]]
    if not names:
        raise ArchiveError(f"{file} names no picture; unpack the archive again")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ArchiveError(
            f"{file} names pictures more than once: {first_names(twice)}; unpack the archive again"
        )
    return names


def named_pictures(files: Iterable[tuple[str, Path]]) -> list[Picture]:
    """Return named files as pictures, sorted by name.

    Raises:
        ArchiveError: two files share a name.
    """
    pictures: dict[str, Picture] = {}
    for name, path in sorted(files):
        if name in pictures:
            raise ArchiveError(
                f"{pictures[name].path} and {path} would both be {name!r} in the table; rename one of them"
            )
        status = path.stat()
        pictures[name] = Picture(name, path, (status.st_size, status.st_mtime_ns))
    return list(pictures.values())


def _base(folder: Path) -> Path:
    """Return the folder that holds the table and the first folder of pictures."""
    candidates = [folder / layout for layout in LAYOUTS]
    for place in candidates:
        if (place / SUBMISSION).is_file() and (place / _TEST).is_dir():
            return place
    searched = ", ".join(str(place) for place in candidates)
    raise ArchiveError(
        f"no {SUBMISSION} beside {_TEST}/ in any of: {searched}; set DATASET_PATH to the folder that "
        "Kaggle's archive was unpacked to"
    )


def _additional(folder: Path, base: Path) -> Path:
    """Return the folder of the additional pictures, at the archive's root beside `planet/`."""
    roots = dict.fromkeys([folder, base, base.parent, base.parent.parent])
    for root in roots:
        for place in (root / _ADDITIONAL / _ADDITIONAL, root / _ADDITIONAL):
            if any(path.suffix.lower() in SUFFIXES for path in place.glob("*")):
                return place
    searched = ", ".join(str(root / _ADDITIONAL) for root in roots)
    raise ArchiveError(f"no pictures in any of: {searched}; unpack the whole archive")


def _jpegs(folder: Path) -> list[tuple[str, Path]]:
    return [(path.stem, path) for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
