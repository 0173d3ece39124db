"""The Kaggle submission: its test pictures, their files, and the table."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from planets.archive.layout import COLUMNS, LAYOUTS
from planets.chips import ArchiveError
from planets.chips.files import SUFFIXES, Picture, named_pictures
from planets.serving.batch import write_csv
from planets.serving.resume_log import ResumeLog

NAMES, TEST, ADDITIONAL = "sample_submission.csv", "test-jpg", "test-jpg-additional"
"""Names in Kaggle's archive: the table of all test pictures, and the two folders that hold them."""

_SHOWN = 5


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
    names = read_names(base / NAMES)
    files = [*_jpegs(base / TEST), *_jpegs(_additional(folder, base))]
    pictures = {picture.name: picture for picture in named_pictures(files)}
    missing = [name for name in names if name not in pictures]
    if missing:
        raise ArchiveError(
            f"{len(missing):,} of the {len(names):,} pictures that {base / NAMES} names are missing: "
            f"{_first(missing)}; unpack the archive again"
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
        raise ArchiveError(f"{file} names pictures more than once: {_first(twice)}; unpack the archive again")
    return names


def write_submission(out: Path, pictures: Sequence[Picture], log: ResumeLog) -> None:
    """Write `image_name,tags` for each picture, in the given order."""
    write_csv(out, COLUMNS, ((picture.name, " ".join(log.row(picture).tags)) for picture in pictures))


def _base(folder: Path) -> Path:
    """Return the folder that holds the table and the first folder of pictures."""
    candidates = [folder / layout for layout in LAYOUTS]
    for place in candidates:
        if (place / NAMES).is_file() and (place / TEST).is_dir():
            return place
    searched = ", ".join(str(place) for place in candidates)
    raise ArchiveError(
        f"no {NAMES} beside {TEST}/ in any of: {searched}; set DATASET_PATH to the folder that Kaggle's "
        "archive was unpacked to"
    )


def _additional(folder: Path, base: Path) -> Path:
    """Return the folder of the additional pictures, at the archive's root beside `planet/`."""
    roots = dict.fromkeys([folder, base, base.parent, base.parent.parent])
    for root in roots:
        for place in (root / ADDITIONAL / ADDITIONAL, root / ADDITIONAL):
            if any(path.suffix.lower() in SUFFIXES for path in place.glob("*")):
                return place
    searched = ", ".join(str(root / ADDITIONAL) for root in roots)
    raise ArchiveError(f"no pictures in any of: {searched}; unpack the whole archive")


def _jpegs(folder: Path) -> list[tuple[str, Path]]:
    return [(path.stem, path) for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
