"""The Kaggle submission: which test pictures it names, where they lie, and the file itself."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from planets.archive.layout import COLUMNS, LAYOUTS
from planets.chips import ArchiveError
from planets.chips.files import SUFFIXES, Picture, named_pictures
from planets.serving.batch import replacing
from planets.serving.resume_log import Ledger

NAMES, TEST, ADDITIONAL = "sample_submission.csv", "test-jpg", "test-jpg-additional"
"""What Kaggle's archive calls the table of all names, and the two folders of pictures."""

_SHOWN = 5


def find_test(folder: Path) -> tuple[list[Picture], int]:
    """Return the pictures that the table of names lists, in its order, and how many others there are.

    Args:
        folder: the archive as unpacked, its `planet/`, or the innermost folder; the additional pictures lie
            in it, or beside it.

    Raises:
        ArchiveError: the table or a folder is not found, the table is faulty, or a named picture is missing;
            the message names what.
    """
    if not folder.is_dir():
        raise ArchiveError(f"{folder} is no folder; name the one that Kaggle's archive was unpacked to")
    base = _base(folder)
    names = read_names(base / NAMES)
    files = [*_jpegs(base / TEST), *_jpegs(_additional(folder, base))]
    found = {picture.name: picture for picture in named_pictures(files)}
    missing = [name for name in names if name not in found]
    if missing:
        raise ArchiveError(
            f"{len(missing):,} of the {len(names):,} pictures that {base / NAMES} names are missing: "
            f"{_first(missing)}; unpack the archive again"
        )
    return [found[name] for name in names], len(found) - len(names)


def read_names(file: Path) -> list[str]:
    """Return the names in the first column of Kaggle's table, in its order.

    Raises:
        ArchiveError: it is no such table, is empty, or has a name twice.
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


def write_submission(out: Path, pictures: Sequence[Picture], ledger: Ledger) -> None:
    """Write `image_name,tags` for each picture, in the order given, whole or not at all."""
    with replacing(out) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((picture.name, " ".join(ledger.row(picture).tags)) for picture in pictures)


def _base(folder: Path) -> Path:
    """Return the folder that holds the table of names and the first folder of pictures."""
    places = [folder / layout for layout in LAYOUTS]
    for place in places:
        if (place / NAMES).is_file() and (place / TEST).is_dir():
            return place
    looked = ", ".join(str(place) for place in places)
    raise ArchiveError(
        f"no {NAMES} beside {TEST}/ in any of: {looked}; set DATASET_PATH to the folder that Kaggle's "
        "archive was unpacked to"
    )


def _additional(folder: Path, base: Path) -> Path:
    """Return the folder of the additional pictures: in the archive it lies at the root, beside `planet/`."""
    roots = dict.fromkeys([folder, base, base.parent, base.parent.parent])
    for root in roots:
        for place in (root / ADDITIONAL / ADDITIONAL, root / ADDITIONAL):
            if any(path.suffix.lower() in SUFFIXES for path in place.glob("*")):
                return place
    looked = ", ".join(str(root / ADDITIONAL) for root in roots)
    raise ArchiveError(f"no pictures in any of: {looked}; unpack the whole archive")


def _jpegs(folder: Path) -> list[tuple[str, Path]]:
    return [(path.stem, path) for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
