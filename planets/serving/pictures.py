"""The pictures to predict: those of a user's folder, or the test pictures of Kaggle's submission."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from planets.archive.cells import read_cells
from planets.archive.layout import (
    COLUMNS,
    LAYOUTS,
    SUBMISSIONS,
    SUFFIXES,
    TEST_CHIPS,
    by_name,
    chip_files,
    chip_name,
    find_folder,
    find_table,
    holds_chips,
    is_chip,
    other_files,
)
from planets.chips import ArchiveError
from planets.system import first_names

Stamp = tuple[int, int]
"""Size in bytes and mtime in ns of a file."""

_TEST, _ADDITIONAL = TEST_CHIPS


class Picture(NamedTuple):
    """A file, its name in a table of predictions, and a stamp that changes with the file."""

    name: str
    path: Path
    stamp: Stamp


def find_pictures(folder: Path) -> tuple[list[Picture], Counter[str]]:
    """Return the JPEG files below a folder, sorted by name, and the numbers of other files by suffix.

    The name is the path below the folder, without the suffix, with `/` as separator.

    Raises:
        ArchiveError: the folder is missing or holds no JPEG file, or two files share a name.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ArchiveError(f"{folder} {what}; name a folder of pictures ({', '.join(SUFFIXES)})")
    files = [path for path in folder.rglob("*") if path.is_file()]
    pictures = [path for path in files if is_chip(path.name)]
    others = Counter(path.suffix.lower() or path.name for path in files if not is_chip(path.name))
    if not pictures:
        found = f" ({count_others(others)})" if others else ""
        raise ArchiveError(
            f"{folder} holds {len(files)} files{found}, none of them a picture; pictures end with "
            f"{' or '.join(SUFFIXES)}: convert others to JPEG"
        )
    named = by_name((path.relative_to(folder).with_suffix("").as_posix(), path) for path in pictures)
    return _stamped(named), others


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
    chips, table = _base(folder)
    names = read_names(table)
    folders = (chips, _additional(folder, table.parent))
    files = by_name(item for place in folders for item in chip_files(place).items())
    others = {stem: f"{stem} ({name})" for place in folders for stem, name in other_files(place).items()}
    missing = [others.get(name, name) for name in names if name not in files]
    if missing:
        raise ArchiveError(
            f"{len(missing):,} of the {len(names):,} pictures that {table} names are missing: "
            f"{first_names(missing)}; unpack the archive again, and convert other formats to JPEG"
        )
    return _stamped({name: files[name] for name in names}), len(files) - len(names)


def read_names(file: Path) -> list[str]:
    """Return the names in Kaggle's table of test pictures, in its order.

    Raises:
        ArchiveError: it is not such a table, is empty, or repeats a name.
    """
    names = [chip_name(cell.strip()) for _, cell in read_cells(file).column(COLUMNS[0])]
    if not names:
        raise ArchiveError(f"{file} names no picture; unpack the archive again")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ArchiveError(
            f"{file} names pictures more than once: {first_names(twice)}; unpack the archive again"
        )
    return names


def _stamped(files: Mapping[str, Path]) -> list[Picture]:
    statuses = ((name, path, path.stat()) for name, path in files.items())
    return [Picture(name, path, (status.st_size, status.st_mtime_ns)) for name, path, status in statuses]


def _base(folder: Path) -> tuple[Path, Path]:
    """Return the first folder of pictures and the table beside it."""
    candidates = [folder / layout for layout in LAYOUTS]
    for place in candidates:
        chips, table = find_folder(place, _TEST), find_table(place, SUBMISSIONS)
        if chips and table:
            return chips, table
    searched = ", ".join(str(place) for place in candidates)
    raise ArchiveError(
        f"no {' or '.join(SUBMISSIONS)} beside {_TEST}/ in any of: {searched}; set DATASET_PATH to the "
        "folder that Kaggle's archive was unpacked to"
    )


def _additional(folder: Path, base: Path) -> Path:
    """Return the folder of the additional pictures, at the archive's root beside `planet/`."""
    roots = dict.fromkeys([folder, base, base.parent, base.parent.parent])
    for root in roots:
        place = find_folder(root, _ADDITIONAL)
        if place and holds_chips(place):
            return place
    searched = ", ".join(str(root / _ADDITIONAL) for root in roots)
    raise ArchiveError(f"no pictures in any of: {searched}; unpack the whole archive")


def count_others(others: Mapping[str, int]) -> str:
    """Return the numbers of other files for a person: `2 .png, 1 .txt`."""
    return ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(others.items()))
