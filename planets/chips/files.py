"""The pictures of a folder: which files they are, what they are called, and how a changed one is noticed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from planets.chips import ArchiveError

SUFFIXES = (".jpg", ".jpeg")
"""What pictures end with, in any case of letters."""

Stamp = tuple[int, int]
"""Size and time of change (ns) of a file."""


class Picture(NamedTuple):
    """A file and its name in a table of predictions; the stamp tells whether it has changed since."""

    name: str
    path: Path
    stamp: Stamp


def find_pictures(folder: Path) -> tuple[list[Picture], int]:
    """Return the JPEG files of a folder and of all folders in it, by name, and how many other files it has.

    A picture's name is its path in the folder, without the suffix, with `/` between the parts.

    Raises:
        ArchiveError: there is no such folder, no picture in it, or two pictures have one name.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ArchiveError(f"{folder} {what}; name a folder of pictures ({', '.join(SUFFIXES)})")
    files = [path for path in folder.rglob("*") if path.is_file()]
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not pictures:
        raise ArchiveError(
            f"{folder} holds {len(files)} files and no picture among them; pictures end with "
            f"{' or '.join(SUFFIXES)}"
        )
    named = [(path.relative_to(folder).with_suffix("").as_posix(), path) for path in pictures]
    return named_pictures(named), len(files) - len(pictures)


def named_pictures(files: Iterable[tuple[str, Path]]) -> list[Picture]:
    """Return files with their names as pictures, sorted by name.

    Raises:
        ArchiveError: two files have one name.
    """
    found: dict[str, Picture] = {}
    for name, path in sorted(files):
        if name in found:
            raise ArchiveError(
                f"{found[name].path} and {path} would both be {name!r} in the table; rename one of them"
            )
        status = path.stat()
        found[name] = Picture(name, path, (status.st_size, status.st_mtime_ns))
    return list(found.values())
