"""JPEG files of a user's folder: names, paths, and stamps that reveal a change."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from planets.chips import ArchiveError

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
